//! Label sets: what a resource gives to all its series, and what a point adds.

use super::names::label_name;
use crate::limits::Limits;
use crate::repair::cut;
use crate::value::value_text;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use prost::Message;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use watchfire_model::{Labels, LabelsBuilder, METRIC_NAME, ServiceName, UNKNOWN_SERVICE};

/// What all series of one resource have in common.
#[derive(Debug)]
pub(super) struct ResourceLabels {
    /// `job` and `instance`; they win over attributes of points.
    identity: Vec<(Arc<str>, Arc<str>)>,
    /// Promoted attributes; attributes of points win over them.
    promoted: Vec<(Arc<str>, Arc<str>)>,
    /// Labels of `target_info`, where the resource says more than who it is.
    pub(super) target_info: Option<Labels>,
    /// Who writes: names the origin of the samples.
    pub(super) origin: String,
}

const IDENTIFYING: [&str; 3] = ["service.name", "service.namespace", "service.instance.id"];

impl ResourceLabels {
    pub(super) fn new(attributes: &[KeyValue], limits: &Limits) -> Self {
        let attributes = texts(attributes, limits);
        let mut service = ServiceName::default();
        attributes.iter().for_each(|(key, value)| service.see(key, value));
        let service = service.found();
        let get = |key: &str| match key {
            "service.name" => service.as_deref(),
            _ => attributes.get(key).map(String::as_str).filter(|v| !v.is_empty()),
        };
        let job = service.as_deref().map(|name| match get("service.namespace") {
            Some(namespace) => format!("{namespace}/{name}"),
            None => name.to_owned(),
        });
        // Pods, containers and processes of one service that do not say which instance they are would share their series, and each step from the one to
        // the other would count as a restart.
        let process = || match (get("host.name"), get("process.pid")) {
            (Some(host), Some(pid)) => Some(format!("{host}/{pid}")),
            (host, _) => host.map(str::to_owned),
        };
        let named = ["service.instance.id", "k8s.pod.name", "container.id"].into_iter().find_map(get).map(str::to_owned);
        let instance = named.or_else(process);
        let instance = instance.as_deref();
        let pair = |name: &str, value: &str| (Arc::<str>::from(name), Arc::<str>::from(value));
        let identity: Vec<_> =
            [job.as_deref().map(|j| pair("job", j)), instance.map(|i| pair("instance", i))].into_iter().flatten().collect();
        let promoted = limits.promote_resource_attributes.iter().filter_map(|(key, label)| Some(pair(label, get(key)?))).collect();
        let mut builder = LabelsBuilder::new();
        for (name, value) in merged(attributes.iter().filter(|(key, _)| !IDENTIFYING.contains(&key.as_str()))) {
            builder.set(&name, &value);
        }
        let says_more = !identity.is_empty() && attributes.keys().any(|key| !IDENTIFYING.contains(&key.as_str()));
        for (name, value) in &identity {
            builder.set_shared(name.clone(), value.clone());
        }
        builder.set(METRIC_NAME, "target_info");
        ResourceLabels {
            promoted,
            target_info: says_more.then(|| builder.build()),
            origin: format!("otlp/{}/{}", job.as_deref().unwrap_or(UNKNOWN_SERVICE), instance.unwrap_or_default()),
            identity,
        }
    }

    /// The labels of a series, but for its name and `le` or `quantile`.
    pub(super) fn of_point(&self, attributes: &[KeyValue], limits: &Limits) -> LabelsBuilder {
        let attributes = texts(attributes, limits);
        let mut builder = LabelsBuilder::new();
        for (name, value) in &self.promoted {
            builder.set_shared(name.clone(), value.clone());
        }
        for (name, value) in merged(attributes.iter()) {
            builder.set(&name, &value);
        }
        for (name, value) in &self.identity {
            builder.set_shared(name.clone(), value.clone());
        }
        builder
    }
}

/// Attributes as text by key, sorted; of duplicates the last wins, beyond the limit the first stay.
fn texts(attributes: &[KeyValue], limits: &Limits) -> BTreeMap<String, String> {
    let mut texts = BTreeMap::new();
    for kv in attributes {
        if texts.len() < limits.max_attributes || texts.contains_key(&kv.key) {
            texts.insert(kv.key.clone(), attribute_text(kv.value.as_ref(), limits));
        }
    }
    texts
}

/// Label names and values; keys that become the same label have their values joined in order of the keys.
fn merged<'a>(attributes: impl Iterator<Item = (&'a String, &'a String)>) -> BTreeMap<String, String> {
    let mut labels: BTreeMap<String, String> = BTreeMap::new();
    for (key, value) in attributes {
        let name = label_name(key);
        if name.is_empty() || name == METRIC_NAME {
            continue;
        }
        match labels.get_mut(&name) {
            Some(joined) => {
                joined.push(';');
                joined.push_str(value);
            }
            None => {
                labels.insert(name, value.clone());
            }
        }
    }
    labels
}

/// A label set from any attributes: of an exemplar.
pub(super) fn plain_labels(attributes: &[KeyValue], limits: &Limits) -> Labels {
    Labels::from_pairs(merged(texts(attributes, limits).iter()))
}

fn attribute_text(value: Option<&AnyValue>, limits: &Limits) -> String {
    match value.and_then(|v| v.value.as_ref()) {
        None => String::new(),
        Some(Value::StringValue(text)) => match cut(text, limits.max_value) {
            Cow::Borrowed(whole) => whole.to_owned(),
            Cow::Owned(cut) => cut,
        },
        // Rare enough to go by way of the wire, where the writer of all other kinds lives.
        Some(_) => value.map(|v| value_text(&v.encode_to_vec(), limits.max_value, limits).unwrap_or_default()).unwrap_or_default(),
    }
}
