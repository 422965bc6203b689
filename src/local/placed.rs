//! Checks that have an address for a name, and the services that answer there: a probe given as a URL is of the service that is called under it.

use super::lens::Lens;
use watchfire_model::reading::ReadError;
use watchfire_model::{CheckReport, Labels, Places};

/// Services and nodes with their addresses, at the moment of a lens.
pub struct Placed(Places);

impl Placed {
    /// # Errors
    /// When the store cannot be queried.
    pub fn look(lens: &Lens<'_>) -> Result<Self, ReadError> {
        let labels = |found: Vec<(Labels, f64)>| found.into_iter().map(|(labels, _)| labels);
        Ok(Placed(Places::new(labels(lens.vector(Places::SERVICES)?), labels(lens.vector(Places::ADDRESSES)?))))
    }

    /// The service that a check asks whose name is nobody's.
    pub fn asked(&self, check: &CheckReport, is_declared: &dyn Fn(&str) -> bool) -> Option<&str> {
        let is_known = is_declared(&check.service) || self.0.is_service(&check.service);
        if is_known { None } else { self.0.service_at(|address| check.is_of(address)) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::lens::{QueryCache, RATE_WINDOW, SCRAPE_WINDOW};
    use super::*;
    use watchfire_model::{HealthState, Timestamp, Value};
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
            at,
            since: at,
            ..CheckReport::default()
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
        let placed = Placed::look(&lens).expect("readable");
        let names: Vec<_> = checks.iter().map(|check| placed.asked(check, &|name| name == "mail")).collect();
        assert_eq!(names, [Some("orders"), None, None, None, None, None]);
    }
}
