//! Nodes and edges out of series and checks.

use super::*;
use crate::local::context::Declared;
use crate::local::lens::{QueryCache, RATE_WINDOW, SCRAPE_WINDOW};
use std::collections::BTreeMap;
use std::time::Duration;
use watchfire_model::reading::NodeKind;
use watchfire_model::{CheckReport, DependencyReport, HealthState, Labels, Timestamp, Value};
use watchfire_promql::Engine;
use watchfire_testkit::MemorySource;

/// Spans name a database by what is in it, and a probe by its address.
#[test]
fn a_database_is_as_well_as_the_probe_at_its_address() {
    let mut source = MemorySource::new();
    let at = Timestamp(1_772_334_000_000);
    for (metric, pairs) in [
        ("traces_service_graph_request_total", &[("client", "shop"), ("server", "orders"), ("connection_type", "database")][..]),
        ("watchfire_node_info", &[("node", "orders"), ("kind", "database"), ("system", "postgresql")]),
        ("watchfire_node_address", &[("node", "orders"), ("address", "db:5432")]),
    ] {
        let labels = Labels::from_pairs([("__name__", metric)].into_iter().chain(pairs.iter().copied()));
        [Timestamp(at.0 - 30_000), at].into_iter().for_each(|at| source.push(&labels, at, Value::Float(1.0)));
    }
    let check = |service: &str, state: HealthState| CheckReport {
        service: service.into(),
        check: "tcp".into(),
        url: "tcp://db:5432".into(),
        state,
        success: state == HealthState::Healthy,
        detail: "cannot connect".into(),
        at,
        since: at,
        ..CheckReport::default()
    };
    let row = |name: &str| ServiceRow { name: name.into(), ..ServiceRow::default() };
    let services = [row("db:5432"), ServiceRow { last_seen: Some(at), ..row("shop") }];
    let (engine, cache) = (Engine::default(), QueryCache::default());
    let lens = Lens { engine: &engine, source: &source, cache: &cache, at, window: RATE_WINDOW, scrape_window: SCRAPE_WINDOW };
    let (declared, last_seen) = (Declared::default(), BTreeMap::new());
    for (state, why) in [(HealthState::Unhealthy, &["tcp: cannot connect".to_owned()][..]), (HealthState::Healthy, &[])] {
        let checks = [check("db:5432", state)];
        let context = Context { declared: &declared, checks: &checks, alerts: &[], breakers: &[], last_seen: &last_seen };
        let map = map(&lens, &context, &services, &[]).expect("readable");
        let nodes: Vec<_> = map.nodes.iter().map(|n| n.name.as_str()).collect();
        assert_eq!(nodes, ["orders", "shop"], "the address is no node of its own");
        assert_eq!((map.nodes[0].state, &map.nodes[0].why[..]), (state, why));
    }
}

/// A service says of its database what no probe of the database and no failing call does.
#[test]
fn a_node_is_as_well_as_the_health_checks_of_its_callers_say() {
    let mut source = MemorySource::new();
    let at = Timestamp(1_772_334_000_000);
    let graph = "traces_service_graph_request_total";
    for (metric, pairs) in [
        (graph, &[("client", "shop"), ("server", "orders"), ("connection_type", "database")][..]),
        (graph, &[("client", "shop"), ("server", "mail"), ("connection_type", "")]),
        ("watchfire_node_info", &[("node", "orders"), ("kind", "database"), ("system", "postgresql")]),
    ] {
        let labels = Labels::from_pairs([("__name__", metric)].into_iter().chain(pairs.iter().copied()));
        [Timestamp(at.0 - 30_000), at].into_iter().for_each(|at| source.push(&labels, at, Value::Float(1.0)));
    }
    let said = |name: &str, state| DependencyReport { name: name.into(), state, detail: "timeout".into(), latency: None };
    let check = CheckReport {
        service: "shop".into(),
        check: "health".into(),
        url: "http://shop/health".into(),
        state: HealthState::Degraded,
        success: true,
        dependencies: vec![said("npgsql", HealthState::Unhealthy), said("mail-service", HealthState::Unhealthy)],
        at,
        since: at,
        ..CheckReport::default()
    };
    let (engine, cache) = (Engine::default(), QueryCache::default());
    let lens = Lens { engine: &engine, source: &source, cache: &cache, at, window: RATE_WINDOW, scrape_window: SCRAPE_WINDOW };
    let (declared, checks) = (Declared::default(), [check]);
    let last_seen = BTreeMap::from([("shop".to_owned(), at), ("mail".to_owned(), at)]);
    let context = Context { declared: &declared, checks: &checks, alerts: &[], breakers: &[], last_seen: &last_seen };
    let services = crate::local::services::services(&lens, &context).expect("readable").services;
    let map = map(&lens, &context, &services, &[]).expect("readable");
    let said = "unhealthy, says shop's health check: \"timeout\"";
    let nodes: Vec<_> = map.nodes.iter().map(|n| (n.name.as_str(), n.state, n.why.first().map_or("", String::as_str))).collect();
    let expected = [
        // It sends telemetry of its own, and says nothing of the kind.
        ("mail", HealthState::Degraded, said),
        ("orders", HealthState::Unhealthy, said),
        ("shop", HealthState::Degraded, "npgsql, mail-service down"),
    ];
    assert_eq!(nodes, expected);
}

/// Calls to what sends no spans are counted ten seconds after they were told. A run that is twenty seconds old has seen ten seconds of them.
#[test]
fn calls_whose_other_half_was_waited_for_have_their_rate_from_the_start() {
    let mut source = MemorySource::new();
    let first = Timestamp(1_772_334_000_000);
    for (server, connection, late) in [("api.example.com", "virtual_node", 10), ("orders", "database", 0)] {
        for metric in ["traces_service_graph_request_total", "traces_service_graph_request_failed_total"] {
            let pairs = [("__name__", metric), ("client", "shop"), ("server", server), ("connection_type", connection)];
            let labels = Labels::from_pairs(pairs);
            for second in (late..=20).step_by(2) {
                // A counter begins with a zero, one publication before.
                let (at, calls) = (first.saturating_add(Duration::from_secs(second)), second - late);
                if second == late {
                    source.push(&labels, at.saturating_sub(Duration::from_secs(2)), Value::Float(0.0));
                }
                source.push(&labels, at, Value::Float(calls as f64 * 3.0));
            }
        }
    }
    let known = Duration::from_secs(20);
    let (engine, cache, at) = (Engine::default(), QueryCache::default(), first.saturating_add(known));
    let window = crate::local::lens::rate_window(known);
    let lens = Lens { engine: &engine, source: &source, cache: &cache, at, window, scrape_window: SCRAPE_WINDOW };
    let (declared, last_seen) = (Declared::default(), BTreeMap::new());
    let context = Context { declared: &declared, checks: &[], alerts: &[], breakers: &[], last_seen: &last_seen };
    let map = map(&lens, &context, &[], &[]).expect("readable");
    for edge in &map.edges {
        assert!((2.3..=3.3).contains(&edge.rate.unwrap_or_default()), "{edge:?}");
        assert!(edge.error_ratio.is_some_and(|ratio| ratio > 0.99), "{edge:?}");
    }
    assert_eq!(map.edges.len(), 2);
}

/// What only a probe or an exporter knows is nobody's service, whether anybody calls it or not.
#[test]
fn what_is_only_connected_to_is_no_service() {
    let mut source = MemorySource::new();
    let at = Timestamp(1_772_334_000_000);
    let edge = [("client", "shop"), ("server", "legacy:9000"), ("connection_type", "virtual_node")];
    let labels = Labels::from_pairs([("__name__", "traces_service_graph_request_total")].into_iter().chain(edge));
    [Timestamp(at.0 - 30_000), at].into_iter().for_each(|at| source.push(&labels, at, Value::Float(1.0)));
    let check = |service: &str, url: &str, state: HealthState| CheckReport {
        service: service.into(),
        check: "c".into(),
        url: url.into(),
        state,
        success: state == HealthState::Healthy,
        detail: "refused".into(),
        at,
        since: at,
        ..CheckReport::default()
    };
    let checks = [
        check("legacy:9000", "tcp://legacy:9000", HealthState::Unhealthy),
        check("db:5432", "postgresql://db:5432", HealthState::Healthy),
        check("queue:4222", "tcp://queue:4222", HealthState::Unhealthy),
        check("web", "http://web/health", HealthState::Healthy),
    ];
    let (engine, cache) = (Engine::default(), QueryCache::default());
    let lens = Lens { engine: &engine, source: &source, cache: &cache, at, window: RATE_WINDOW, scrape_window: SCRAPE_WINDOW };
    let (declared, last_seen) = (Declared::default(), BTreeMap::from([("shop".to_owned(), at)]));
    let context = Context { declared: &declared, checks: &checks, alerts: &[], breakers: &[], last_seen: &last_seen };
    let services = crate::local::services::services(&lens, &context).expect("readable").services;
    let mut names: Vec<_> = services.iter().map(|s| s.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["legacy:9000", "queue:4222", "shop", "web"], "a healthy dependency is no row, and a broken one is");
    let map = map(&lens, &context, &services, &[]).expect("readable");
    let nodes: Vec<_> = map.nodes.iter().map(|n| (n.name.as_str(), n.kind, n.state)).collect();
    let expected = [
        ("db:5432", NodeKind::Database, HealthState::Healthy),
        ("legacy:9000", NodeKind::External, HealthState::Unhealthy),
        ("queue:4222", NodeKind::External, HealthState::Unhealthy),
        ("shop", NodeKind::Service, HealthState::Healthy),
        ("web", NodeKind::Service, HealthState::Healthy),
    ];
    assert_eq!(nodes, expected);
    assert_eq!(map.edges[0].kind, "external");
}
