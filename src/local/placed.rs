//! Checks that have an address for a name, and the services that answer there: a probe given as a URL is of whom callers reach under that URL.

use super::lens::Lens;
use std::collections::{BTreeMap, BTreeSet};
use watchfire_model::CheckReport;
use watchfire_model::reading::ReadError;

/// Names of checks that are nobody's, and the service that is meant: the only node that is known under the address that is asked.
///
/// # Errors
/// When the store cannot be queried.
pub fn placed(lens: &Lens<'_>, checks: &[CheckReport], is_declared: &dyn Fn(&str) -> bool) -> Result<BTreeMap<String, String>, ReadError> {
    if checks.is_empty() {
        return Ok(BTreeMap::new());
    }
    let services = lens.by("service_name", "group by (service_name) (watchfire_service_info)")?;
    let addresses = lens.vector("group by (node, address) (watchfire_node_address)")?;
    let mut nodes: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for check in checks.iter().filter(|c| !services.contains_key(&c.service) && !is_declared(&c.service)) {
        let there = addresses.iter().filter(|(labels, _)| check.is_of(labels.value("address"))).map(|(labels, _)| labels.value("node"));
        nodes.entry(&check.service).or_default().extend(there);
    }
    let only = |(name, nodes): (&str, BTreeSet<&str>)| {
        let node = nodes.first().filter(|node| nodes.len() == 1 && services.contains_key(**node))?;
        Some((name.to_owned(), (*node).to_owned()))
    };
    Ok(nodes.into_iter().filter_map(only).collect())
}

#[cfg(test)]
mod tests {
    use super::super::lens::{QueryCache, RATE_WINDOW, SCRAPE_WINDOW};
    use super::*;
    use watchfire_model::{HealthState, Labels, Timestamp, Value};
    use watchfire_promql::Engine;
    use watchfire_testkit::MemorySource;

    #[test]
    fn a_probe_named_by_its_address_is_of_the_only_service_that_answers_there() {
        let (mut source, at) = (MemorySource::new(), Timestamp(1_772_334_000_000));
        let mut say = |metric: &str, pairs: &[(&str, &str)]| {
            let labels = Labels::from_pairs([("__name__", metric)].into_iter().chain(pairs.iter().copied()));
            source.push(&labels, at, Value::Float(1.0));
        };
        ["orders", "stock", "gateway"].iter().for_each(|name| say("watchfire_service_info", &[("service_name", name)]));
        for (node, address) in [("orders", "10.0.0.5:8003"), ("stock", "lb:80"), ("gateway", "lb:80"), ("redis", "10.0.0.5:6379")] {
            say("watchfire_node_address", &[("node", node), ("address", address)]);
        }
        let check = |service: &str, url: &str| CheckReport {
            service: service.into(),
            check: "health".into(),
            url: url.into(),
            state: HealthState::Healthy,
            success: true,
            latency: None,
            detail: String::new(),
            dependencies: Vec::new(),
            at,
            since: at,
            certificate_expires: None,
        };
        let checks = [
            check("10.0.0.5:8003", "http://10.0.0.5:8003/health"),
            check("lb", "http://lb/health"),
            check("10.0.0.5:6379", "tcp://10.0.0.5:6379"),
            check("stock", "http://10.0.0.5:8003/stock"),
            check("mail", "http://10.0.0.5:8003/mail"),
            check("elsewhere", "http://elsewhere/"),
        ];
        let (engine, cache) = (Engine::default(), QueryCache::default());
        let lens = Lens { engine: &engine, source: &source, cache: &cache, at, window: RATE_WINDOW, scrape_window: SCRAPE_WINDOW };
        let names = placed(&lens, &checks, &|name| name == "mail").expect("readable");
        assert_eq!(names, BTreeMap::from([("10.0.0.5:8003".to_owned(), "orders".to_owned())]));
    }
}
