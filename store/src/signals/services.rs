//! The services spans came from.

use super::{OVERFLOW, SignalSettings};
use crate::spans::intern::bounded;
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use std::borrow::Cow;
use std::sync::Arc;
use watchfire_model::{AttributeValue, ResourceView, ServiceName, Timestamp};

/// One service as its spans show it.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceSeen {
    pub name: Arc<str>,
    pub namespace: Arc<str>,
    /// The version that sent last.
    pub version: Arc<str>,
    pub simulated: bool,
    /// Spans received, not corrected for sampling.
    pub spans: u64,
    /// Spans they stand for.
    pub weighted: f64,
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
    /// Received over represented spans of the newest interval with spans: 1 is unsampled.
    pub sampling_ratio: Option<f64>,
}

pub(crate) struct Service {
    pub seen: ServiceSeen,
    /// Weight of spans that state no threshold.
    pub weight: f64,
    pub http_4xx_is_error: bool,
    pub operations: usize,
    pub overflow_operations: [Option<u32>; 6],
    /// At the last publication.
    pub published: (u64, f64),
    pub series: ServiceSeries,
}

#[derive(Default)]
pub(crate) struct ServiceSeries {
    pub received: super::publish::Published,
    pub ratio: super::publish::Published,
    pub info: super::publish::Published,
    pub info_of: Option<(Arc<str>, Arc<str>, bool)>,
}

/// What a resource says about its service.
#[derive(Clone, Debug, Default)]
pub(crate) struct Identity<'a> {
    pub name: Cow<'a, str>,
    pub namespace: &'a str,
    pub version: &'a str,
    pub simulated: bool,
}

impl<'a> Identity<'a> {
    pub fn read(resource: &ResourceView<'a>) -> Self {
        let (mut identity, mut name) = (Identity::default(), ServiceName::default());
        for (key, value) in resource.attributes {
            match (*key, value) {
                ("service.namespace", AttributeValue::Str(namespace)) => identity.namespace = bounded(namespace),
                ("service.version", AttributeValue::Str(version)) => identity.version = bounded(version),
                ("watchfire.simulated", AttributeValue::Bool(simulated)) => identity.simulated = *simulated,
                ("watchfire.simulated", AttributeValue::Str(text)) => identity.simulated = *text == "true",
                (key, AttributeValue::Str(text)) => name.see(key, bounded(text)),
                _ => {}
            }
        }
        identity.name = name.or_unknown();
        identity
    }
}

pub(crate) struct Services {
    limit: usize,
    by_name: HashMap<Arc<str>, u32, RandomState>,
    all: Vec<Service>,
}

impl Services {
    pub fn new(limit: usize) -> Self {
        Services { limit, by_name: HashMap::default(), all: Vec::new() }
    }

    pub fn get(&self, id: u32) -> &Service {
        &self.all[id as usize]
    }

    pub fn get_mut(&mut self, id: u32) -> &mut Service {
        &mut self.all[id as usize]
    }

    pub fn named(&self, name: &str) -> Option<u32> {
        self.by_name.get(name).copied()
    }

    pub fn all(&self) -> &[Service] {
        &self.all
    }

    pub fn all_mut(&mut self) -> &mut [Service] {
        &mut self.all
    }

    /// The service of this name; beyond the bound they are all one.
    pub fn find(&mut self, identity: &Identity<'_>, settings: &SignalSettings) -> u32 {
        if let Some(id) = self.by_name.get(&*identity.name) {
            return *id;
        }
        let name = if self.all.len() >= self.limit { OVERFLOW } else { &*identity.name };
        if let Some(id) = self.by_name.get(name) {
            return *id;
        }
        let id = self.all.len() as u32;
        let shared: Arc<str> = name.into();
        let ratio = settings.sampling_ratios.get(name).copied().filter(|r| *r > 0.0 && *r <= 1.0);
        self.all.push(Service {
            seen: ServiceSeen {
                name: shared.clone(),
                namespace: identity.namespace.into(),
                version: identity.version.into(),
                simulated: identity.simulated,
                spans: 0,
                weighted: 0.0,
                first_seen: Timestamp::MAX,
                last_seen: Timestamp::MIN,
                sampling_ratio: ratio,
            },
            weight: ratio.map_or(1.0, |r| 1.0 / r),
            http_4xx_is_error: settings.http_4xx_is_error_everywhere || settings.http_4xx_is_error.contains(name),
            operations: 0,
            overflow_operations: [None; 6],
            published: (0, 0.0),
            series: ServiceSeries::default(),
        });
        self.by_name.insert(shared, id);
        id
    }
}
