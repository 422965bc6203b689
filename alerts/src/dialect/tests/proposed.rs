//! Dialects to start from, for series that nobody knows.

use super::*;
use proptest::prelude::*;

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

/// Names of OpenTelemetry have dots, and those from outside anything.
#[test]
fn what_is_proposed_can_be_read_whatever_the_names_are() {
    let observed = |metric: &str, label: &str, value: f64| ObservedSeries {
        labels: Labels::from_pairs([("__name__", metric), (label, "mail")]),
        help: String::new(),
        value,
    };
    for (metric, label) in [
        ("app.outbox.backlog", "topic"),
        ("app_backlog", "queue.name"),
        ("app queue \"x\" \u{1b}[2J\u{9b}", "queue"),
        ("app_circuit_open{x}", "name"),
        ("breaker.open", "breaker.name"),
    ] {
        let proposals = propose(&[observed(metric, label, 1.0)]);
        let [proposal] = &proposals[..] else { panic!("{metric:?}: {proposals:?}") };
        let own = Dialect::parse("own", &proposal.toml).unwrap_or_else(|e| panic!("{e}\n{}", proposal.toml));
        let store = Arc::new(MemorySeries::new());
        store.push(&observed(metric, label, 1.0).labels, START, Value::Float(1.0));
        let found = DialectEngine::with_own(vec![own]).expect("good files").evaluate(&Engine::default(), &*store, START);
        assert_eq!(found.queues.len() + found.breakers.len(), 1, "{}\n{found:?}", proposal.toml);
    }
}

#[test]
fn what_a_queue_has_done_is_not_what_waits_in_it() {
    let one = |metric: &str| ObservedSeries {
        labels: Labels::from_pairs([("__name__", metric), ("queue", "mail")]),
        help: String::new(),
        value: 1.0,
    };
    let shown =
        |metrics: &[&str]| propose(&metrics.iter().map(|m| one(m)).collect::<Vec<_>>()).into_iter().map(|p| p.metric).collect::<Vec<_>>();
    let done =
        ["jobs_queue_completed", "jobs_queue_failed", "jobs_queue_paused", "upstream_pending_overflow", "queue_consumers", "queue_workers"];
    assert_eq!(shown(&done), [] as [String; 0]);
    assert_eq!(shown(&["jobs_queue_waiting", "mail_backlog"]), ["jobs_queue_waiting", "mail_backlog"]);
}

#[test]
fn a_pattern_that_takes_a_metric_reads_it() {
    let all = builtin_dialects().expect("good files");
    let reads = |metric: &str| all.iter().any(|d| d.reads(&Labels::from_pairs([("__name__", metric), ("envoy_cluster_name", "pay")]), ""));
    assert!(reads("envoy_cluster_circuit_breakers_default_rq_open"));
    assert!(reads("envoy_cluster_upstream_rq_pending_overflow"));
    assert!(!reads("envoy_cluster_circuit_breakers_default_remaining_rq"));
    let numbers = Labels::from_pairs([("__name__", "who_breaker_state"), ("breaker", "db")]);
    assert!(!all.iter().any(|d| d.reads(&numbers, "")), "nothing says what its numbers mean");
}

/// Ordinary characters, those that mean something to PromQL, TOML or a list of labels, and those that nobody sees.
fn odd() -> impl Strategy<Value = String> {
    let one = prop_oneof![
        // From there on, in the last private plane, the parser keeps bytes that are not UTF-8.
        prop::char::range('\0', '\u{10feff}'),
        prop::sample::select(
            "aZ0_:.-/ \"'`\\{}[]()=~!,#$\u{a0}\u{200b}\u{ad}\u{1b}\u{7f}\u{85}\u{e000}\u{fffd}\n\t\r\0é🔥".chars().collect::<Vec<_>>()
        )
    ];
    prop::collection::vec(one, 0..4).prop_map(|chars| chars.into_iter().collect())
}

proptest! {
    #[test]
    fn what_is_proposed_finds_its_series_whatever_its_name_and_labels_are(
        metric in (odd(), odd()),
        label in (odd(), prop::sample::select(vec!["topic", "queue_name", "breaker", "name"]), odd()),
        value in odd(),
        kind in prop::sample::select(vec!["backlog", "circuit_open"]),
    ) {
        let metric = format!("{}.{kind}.{}", metric.0, metric.1);
        let label = format!("{}{}{}", label.0, label.1, label.2);
        let value = format!("m{value}");
        let labels = Labels::from_pairs([("__name__", metric.as_str()), (label.as_str(), value.as_str())]);
        let proposals = propose(&[ObservedSeries { labels: labels.clone(), help: String::new(), value: 1.0 }]);
        // Words are told apart by what is no letter: not every name speaks of a queue.
        prop_assume!(!proposals.is_empty());
        let toml = &proposals[0].toml;
        let own = Dialect::parse("own", toml).map_err(|e| TestCaseError::fail(format!("{e}\n{toml}")))?;
        let store = Arc::new(MemorySeries::new());
        store.push(&labels, START, Value::Float(1.0));
        let found = DialectEngine::with_own(vec![own]).expect("good files").evaluate(&Engine::default(), &*store, START);
        prop_assert_eq!(found.queues.len() + found.breakers.len(), 1, "{}\n{:?}", toml, found);
        let name = found.queues.iter().map(|q| &q.queue).chain(found.breakers.iter().map(|b| &b.breaker)).next().expect("one");
        if toml.contains("[\"{") || toml.contains("['{") {
            prop_assert!(name.starts_with('m'), "{}\n{:?}", toml, found);
        }
    }
}
