//! Dialects to start from, for series that nobody knows.

use super::*;

#[test]
fn a_mapping_is_proposed_for_series_nobody_knows() {
    let one = |text: &str, help: &str, value: f64| {
        let labels = read_openmetrics(&format!("{text} {value}\n"), START).expect("reads");
        let mut found = Labels::empty();
        let all = TimeRange { start: Timestamp(0), end: Timestamp::MAX };
        labels.select(&Selector::default(), all, &mut |s| found = s.labels.clone()).expect("selects");
        ObservedSeries { labels: found, help: help.to_owned(), value }
    };
    let proposals = propose(&[
        one("acme_outbox_backlog{topic=\"mail\"}", "", 5.0),
        one("acme_breaker{dependency=\"db\",phase=\"open\"}", "", 1.0),
        one("acme_breaker{dependency=\"db\",phase=\"closed\"}", "", 0.0),
        one("acme_fuse_state{name=\"x\"}", "0 = closed, 1 = open", 1.0),
        one("acme_fuse_status{name=\"x\"}", "", 1.0),
        one("process_cpu_seconds_total{}", "", 1.0),
        one("mysql_global_variables_delayed_queue_size{}", "", 1000.0),
        one("mysql_global_status_sort_priority_queue_sorts{}", "", 4.0),
        one("pg_settings_gin_pending_list_limit_bytes{}", "", 4.0),
        one("node_udp_queues{queue=\"rx\",ip=\"v4\"}", "", 0.0),
        one("nginx_connections_waiting{}", "", 3.0),
        one("acme_consumer_lag_max{topic=\"mail\"}", "", 100.0),
        one("acme_queue_capacity{queue=\"mail\"}", "", 100.0),
    ]);
    let metrics: Vec<_> = proposals.iter().map(|p| (p.metric.as_str(), p.kind)).collect();
    assert_eq!(
        metrics,
        [
            ("acme_breaker", "breaker"),
            ("acme_consumer_lag_max", "queue"),
            ("acme_fuse_state", "breaker"),
            ("acme_fuse_status", "breaker"),
            ("acme_outbox_backlog", "queue")
        ]
    );
    assert!(proposals[0].toml.contains("kind = \"one_hot\", label = \"phase\""));
    assert!(proposals[3].toml.contains("fill in"), "an unknown number is never guessed");
    for proposal in &proposals {
        Dialect::parse("proposed", &proposal.toml).unwrap_or_else(|e| panic!("{e}\n{}", proposal.toml));
    }
    let (store, at) = scraped(&["acme_outbox_backlog{topic=\"mail\"} 5\n"]);
    let own = Dialect::parse("own", &proposals[4].toml).expect("reads");
    let found = DialectEngine::with_own(vec![own]).expect("good files").evaluate(&Engine::default(), &*store, at);
    assert_eq!((found.queues[0].queue.as_str(), found.queues[0].depth), ("mail", Some(5.0)));
}
