//! Servers that exporters stand beside: whether they are up is the exporter's word, and a check like that of a probe.

use super::Look;
use super::file::{Format, ServerSource};
use super::rows::ServerRow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use watchfire_model::{CheckReport, HealthState, Labels, ProbeSink, Timestamp};

/// The word of an exporter that went silent is not known for this long, and then forgotten.
const FORGOTTEN: Duration = Duration::from_secs(900);

/// The servers that one entry of a dialect knows. Of several exporters that ask one server for the same, the one that does not get it is heard.
pub(super) fn read(source: &ServerSource, look: &Look<'_>) -> Vec<ServerRow> {
    let mut found: BTreeMap<(String, String), ServerRow> = BTreeMap::new();
    for (labels, value) in look.vector(&source.up) {
        if value.is_nan() {
            continue;
        }
        let exporter = labels.value("instance").to_owned();
        let labels = with_parts(&labels);
        let address = Format::first(&source.address, &labels).map(|a| without_scheme(&a).to_owned());
        let Some(service) = Format::first(&source.service, &labels).or_else(|| address.clone()) else { continue };
        let check = Format::first(&source.check, &labels).unwrap_or_else(|| source.metric.clone());
        let scheme = labels
            .value("instance")
            .split_once("://")
            .map(|(scheme, _)| scheme)
            .filter(|scheme| *scheme == "https" && source.system == "http");
        let row = ServerRow {
            service: service.clone(),
            check: check.clone(),
            metric: source.metric.clone(),
            url: format!("{}://{}", scheme.unwrap_or(&source.system), address.unwrap_or_default()),
            up: value > 0.0,
            exporter,
        };
        let known = found.entry((service, check)).or_insert_with(|| row.clone());
        if known.up && !row.up {
            *known = row;
        }
    }
    found.into_values().collect()
}

/// Adds the parts of what was asked: its `host`, and of a URL the `path`, as checks are named by it. A server may bear these labels itself.
fn with_parts(labels: &Labels) -> Labels {
    let stated = labels.value("instance");
    let instance = without_scheme(stated);
    let host = match instance.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) && (!host.contains(':') || host.starts_with('[')) => host,
        _ => instance,
    };
    let path = stated.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map_or("", |(_, path)| path);
    let path = path.split(['?', '#']).next().unwrap_or_default().trim_matches('/');
    let mut with = labels.to_builder();
    for (name, value) in [("host", host), ("path", path)] {
        if !value.is_empty() && labels.get(name).is_none() {
            with.set(name, value);
        }
    }
    with.build()
}

/// `redis://user@host:6379/0` is `host:6379`.
fn without_scheme(address: &str) -> &str {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit('@').next().unwrap_or_default()
}

/// Reports what exporters say as checks, and how long they have said it.
#[derive(Default)]
pub(super) struct Reporter {
    sink: Option<Arc<dyn ProbeSink>>,
    told: BTreeMap<(String, String), Told>,
}

struct Told {
    row: ServerRow,
    state: HealthState,
    since: Timestamp,
    heard: Timestamp,
}

impl std::fmt::Debug for Reporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reporter").field("told", &self.told.keys()).finish_non_exhaustive()
    }
}

impl Reporter {
    pub fn to(sink: Arc<dyn ProbeSink>) -> Self {
        Reporter { sink: Some(sink), told: BTreeMap::new() }
    }

    pub fn report(&mut self, rows: &[ServerRow], at: Timestamp) {
        let Some(sink) = &self.sink else { return };
        for row in rows {
            let state = if row.up { HealthState::Healthy } else { HealthState::Unhealthy };
            let told = self.told.entry((row.service.clone(), row.check.clone())).or_insert_with(|| Told {
                row: row.clone(),
                state,
                since: at,
                heard: at,
            });
            if told.state != state {
                (told.state, told.since) = (state, at);
            }
            (told.row, told.heard) = (row.clone(), at);
        }
        self.told.retain(|(service, check), told| {
            if at.since(told.heard) > FORGOTTEN {
                sink.forget(service, check);
                return false;
            }
            if told.heard != at && told.state != HealthState::Unknown {
                (told.state, told.since) = (HealthState::Unknown, at);
            }
            sink.probe(told.check(at));
            true
        });
    }
}

impl Told {
    fn check(&self, at: Timestamp) -> CheckReport {
        let ServerRow { service, check, metric, url, exporter, .. } = &self.row;
        let detail = match self.state {
            HealthState::Healthy => String::new(),
            HealthState::Unknown => format!("nothing is heard of {metric} of {exporter}"),
            HealthState::Degraded | HealthState::Unhealthy => format!("not reached, says {metric} of {exporter}"),
        };
        CheckReport {
            service: service.clone(),
            check: check.clone(),
            url: url.clone(),
            state: self.state,
            success: self.state == HealthState::Healthy,
            latency: None,
            detail,
            dependencies: Vec::new(),
            at,
            since: self.since,
            certificate_expires: None,
        }
    }
}
