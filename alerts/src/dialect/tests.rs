//! Each dialect against its exporter's own text format.

use super::*;
use crate::memory::MemorySeries;
use crate::openmetrics::read_openmetrics;
use std::sync::Arc;
use watchfire_model::Value;

mod inferred;
mod interrupted;
mod operated;
mod pools;
mod proposed;
mod servers;
mod versions;

const START: Timestamp = Timestamp(1_700_000_000_000);

/// Several scrapes of exposition text, 15 s apart, as one source.
fn scraped(texts: &[&str]) -> (Arc<MemorySeries>, Timestamp) {
    let store = Arc::new(MemorySeries::new());
    let mut at = START;
    for (i, text) in texts.iter().enumerate() {
        at = START.saturating_add(Duration::from_secs(15 * i as u64));
        add(&store, text, at);
    }
    (store, at)
}

fn add(store: &MemorySeries, text: &str, at: Timestamp) {
    let parsed = read_openmetrics(text, at).expect("a readable exposition");
    let all = TimeRange { start: Timestamp(0), end: Timestamp::MAX };
    parsed
        .select(&Selector::default(), all, &mut |s| {
            let mut labels = s.labels.to_builder();
            labels.set("job", "exporter");
            store.push(&labels.build(), at, Value::Float(s.values[0]));
        })
        .expect("selects");
    for (family, metadata) in parsed.metadata() {
        store.describe(&family, metadata);
    }
}

fn rows(texts: &[&str]) -> DialectRows {
    let (store, _) = scraped(&[]);
    let mut engine = DialectEngine::built_in().expect("good files");
    let promql = Engine::default();
    let mut found = DialectRows::default();
    for (i, text) in texts.iter().enumerate() {
        let at = START.saturating_add(Duration::from_secs(15 * i as u64));
        add(&store, text, at);
        found = engine.evaluate(&promql, &*store, at);
    }
    found
}

fn breakers(texts: &[&str]) -> Vec<(String, String, &'static str)> {
    rows(texts).breakers.into_iter().map(|b| (b.service, b.breaker, b.state.word())).collect()
}

/// (queue, group, depth, oldest, consumers, dead letters)
type Shown = (String, Option<String>, Option<f64>, Option<f64>, Option<f64>, Option<f64>);

fn queues(texts: &[&str]) -> Vec<Shown> {
    rows(texts).queues.into_iter().map(|q| (q.queue, q.group, q.depth, q.oldest_seconds, q.consumers, q.dead_letters)).collect()
}

fn breaker(service: &str, name: &str, state: &'static str) -> (String, String, &'static str) {
    (service.to_owned(), name.to_owned(), state)
}

#[test]
fn every_built_in_file_is_read() {
    assert_eq!(builtin_dialects().map(|d| d.len()), Ok(builtin::FILES.len()));
}

#[test]
fn one_hot_states() {
    let text = r#"
# TYPE resilience4j_circuitbreaker_state gauge
resilience4j_circuitbreaker_state{application="checkout",group="none",name="payment",state="closed"} 0.0
resilience4j_circuitbreaker_state{application="checkout",group="none",name="payment",state="open"} 1.0
resilience4j_circuitbreaker_state{application="checkout",group="none",name="payment",state="half_open"} 0.0
resilience4j_circuitbreaker_state{application="checkout",group="none",name="stock",state="metrics_only"} 1.0
resilience4j_circuitbreaker_state{application="checkout",group="none",name="mail",state="forced_open"} 1.0
dapr_resiliency_cb_state{app_id="cart",name="pubsub",policy="circuitbreaker",namespace="default",flow_direction="outbound",target="app-a",status="half-open"} 1
dapr_resiliency_cb_state{app_id="cart",name="pubsub",policy="circuitbreaker",namespace="default",flow_direction="outbound",target="app-a",status="closed"} 0
ft_circuitbreaker_state_current{method="com.acme.Client.call",state="halfOpen"} 1
ft_circuitbreaker_state_current{method="com.acme.Client.call",state="open"} 0
kong_upstream_target_health{upstream="orders",target="10.0.0.1:80",address="10.0.0.1:80",state="unhealthy",subsystem="http"} 1
kong_upstream_target_health{upstream="orders",target="10.0.0.1:80",address="10.0.0.1:80",state="healthy",subsystem="http"} 0
kong_upstream_target_health{upstream="orders",target="10.0.0.2:80",address="10.0.0.2:80",state="healthchecks_off",subsystem="http"} 1
kong_upstream_target_health{upstream="orders",target="10.0.0.2:80",address="10.0.0.2:80",state="healthy",subsystem="http"} 0
haproxy_server_status{proxy="api",server="s1",state="UP"} 0
haproxy_server_status{proxy="api",server="s1",state="DOWN"} 1
"#;
    assert_eq!(
        breakers(&[text]),
        [
            breaker("cart", "pubsub/app-a", "half-open"),
            breaker("checkout", "mail", "open"),
            breaker("checkout", "payment", "open"),
            breaker("checkout", "stock", "closed"),
            breaker("exporter", "com.acme.Client.call", "half-open"),
            breaker("haproxy", "api/s1", "open"),
            breaker("kong", "orders/10.0.0.1:80", "open"),
            breaker("kong", "orders/10.0.0.2:80", "unknown"),
        ]
    );
}

#[test]
fn events_tell_by_the_last_one() {
    let polly = |opened: u32, half: u32, closed: u32| {
        let line = |event: &str, n: u32| {
            if n == 0 {
                return String::new();
            }
            format!(
                "resilience_polly_strategy_events_total{{event_name=\"{event}\",event_severity=\"Error\",pipeline_name=\"pay\",strategy_name=\"cb\"}} {n}\n"
            )
        };
        format!(
            "{}{}{}resilience_polly_strategy_events_total{{event_name=\"OnRetry\",pipeline_name=\"pay\",strategy_name=\"cb\"}} 9\n",
            line("OnCircuitOpened", opened),
            line("OnCircuitHalfOpened", half),
            line("OnCircuitClosed", closed)
        )
    };
    let script = [
        (0, 0, 0, None),
        (1, 0, 0, Some("open")),
        (1, 1, 0, Some("half-open")),
        (2, 1, 0, Some("open")),
        (2, 2, 1, Some("closed")),
        (2, 2, 1, Some("closed")),
        (3, 3, 1, Some("half-open")),
    ];
    let texts: Vec<String> = script.iter().map(|(o, h, c, _)| polly(*o, *h, *c)).collect();
    for n in 1..=texts.len() {
        let seen: Vec<&str> = texts[..n].iter().map(String::as_str).collect();
        let found = rows(&seen);
        assert_eq!(found.breakers.first().map(|b| b.state.word()), script[n - 1].3, "after {n} scrapes");
    }
    let found = rows(&[texts[1].as_str(), texts[2].as_str(), texts[4].as_str()]);
    let counted: Vec<_> = found.breakers[0].transitions.iter().map(|(s, n)| (s.word(), *n)).collect();
    assert_eq!(counted, [("closed", 1.0), ("half-open", 2.0), ("open", 2.0)], "the source's own counts");

    let opossum = |n: [u32; 3]| {
        format!(
            "circuit{{name=\"stock\",event=\"open\"}} {}\ncircuit{{name=\"stock\",event=\"halfOpen\"}} {}\ncircuit{{name=\"stock\",event=\"close\"}} {}\ncircuit{{name=\"stock\",event=\"fire\"}} 99\n",
            n[0], n[1], n[2]
        )
    };
    assert_eq!(breakers(&[&opossum([0, 0, 0])]), [breaker("exporter", "stock", "unknown")]);
    assert_eq!(breakers(&[&opossum([0, 0, 0]), &opossum([1, 0, 0])]), [breaker("exporter", "stock", "open")]);
    assert_eq!(breakers(&[&opossum([1, 1, 1])]), [breaker("exporter", "stock", "closed")]);
    // Closed by hand, there was no trial.
    assert_eq!(breakers(&[&opossum([1, 0, 1])]), [breaker("exporter", "stock", "closed")]);
    assert_eq!(breakers(&[&opossum([1, 0, 0]), &opossum([3, 1, 3])]), [breaker("exporter", "stock", "closed")]);
    assert_eq!(breakers(&[&opossum([2, 0, 1])]), [breaker("exporter", "stock", "open")]);
}

#[test]
fn the_state_whose_time_grows_is_the_present_one() {
    let text = |closed: u64, open: u64| {
        format!(
            "ft_circuitbreaker_state_total_nanoseconds{{method=\"m\",state=\"closed\"}} {closed}\nft_circuitbreaker_state_total_nanoseconds{{method=\"m\",state=\"open\"}} {open}\nft_circuitbreaker_state_total_nanoseconds{{method=\"m\",state=\"halfOpen\"}} 0\n"
        )
    };
    assert_eq!(breakers(&[&text(100, 0)]), [breaker("exporter", "m", "unknown")]);
    assert_eq!(breakers(&[&text(100, 0), &text(200, 0)]), [breaker("exporter", "m", "closed")]);
    let opened = rows(&[&text(100, 0), &text(200, 0), &text(205, 95), &text(205, 95)]);
    assert_eq!(opened.breakers[0].state, State::Open, "and it stays where no time has passed");
    assert!(opened.breakers[0].transitions.contains(&(State::Open, 1.0)));
}

#[test]
fn a_trial_between_two_scrapes_is_counted_where_there_must_have_been_one() {
    let states = |now: &str| {
        ["closed", "open", "half_open"]
            .map(|s| format!("resilience4j_circuitbreaker_state{{name=\"stock\",state=\"{s}\"}} {}\n", u8::from(s == now)))
            .concat()
    };
    let counts = |script: &[&str]| {
        let texts: Vec<String> = script.iter().map(|s| states(s)).collect();
        let found = rows(&texts.iter().map(String::as_str).collect::<Vec<_>>());
        found.breakers[0].transitions.iter().map(|(s, n)| (s.word(), *n)).collect::<Vec<_>>()
    };
    assert_eq!(counts(&["closed", "open", "closed"]), [("closed", 1.0), ("half-open", 1.0), ("open", 1.0)]);
    assert_eq!(counts(&["closed", "open", "half_open", "closed"]), [("closed", 1.0), ("half-open", 1.0), ("open", 1.0)]);
    assert_eq!(
        counts(&["closed", "open", "open"]),
        [("closed", 0.0), ("half-open", 0.0), ("open", 1.0)],
        "a trial that failed cannot be seen"
    );
}

#[test]
fn numbers_are_believed_where_their_meaning_is_told() {
    for (help, value, state) in [
        ("0=closed 1=half-open 2=open", 2, "open"),
        ("0=closed 1=half-open 2=open", 1, "half-open"),
        ("Circuit state (0: closed, 1: open, 2: half_open)", 2, "half-open"),
        ("1 = open, 2 = half open, 3 = closed", 3, "closed"),
        ("closed=0, open=1, half-open=2", 1, "open"),
        ("State of the circuit breaker.", 1, "unknown"),
        ("0 closed, 1 half-open, 2 open", 7, "unknown"),
    ] {
        let text = format!(
            "# HELP circuit_breaker_state {help}\n# TYPE circuit_breaker_state gauge\ncircuit_breaker_state{{service=\"api\",breaker=\"db\"}} {value}\n"
        );
        assert_eq!(breakers(&[&text]), [breaker("api", "db", state)], "{help} {value}");
    }
    assert_eq!(
        breakers(&[
            "app_circuit_breaker_state{service=\"a\",name=\"x\",state=\"HALF_OPEN\"} 1\napp_circuit_breaker_state{service=\"a\",name=\"x\",state=\"CLOSED\"} 0\n"
        ]),
        [breaker("a", "x", "half-open")]
    );
    assert_eq!(breakers(&["hystrix_circuit_breaker_open{group=\"g\",key=\"k\"} 1\n"]), [breaker("exporter", "g/k", "open")]);
    let own = Dialect::parse("own", "title = \"own\"\n[[breaker]]\nseries = \"my_state\"\nservice = [\"{job}\"]\nbreaker = [\"{n}\"]\nencoding = { kind = \"number\", table = { 0 = \"closed\", \"0.5\" = \"half-open\", 1 = \"open\" } }\n").expect("reads");
    let (store, at) = scraped(&["my_state{n=\"x\"} 0.5\n"]);
    let found = DialectEngine::with_own(vec![own]).expect("good files").evaluate(&Engine::default(), &*store, at);
    assert_eq!(found.breakers[0].state, State::HalfOpen);
}

#[test]
fn envoy_saturates_and_ejects_but_does_not_open() {
    let text = r#"
envoy_cluster_circuit_breakers_default_rq_open{envoy_cluster_name="pay"} 1
envoy_cluster_circuit_breakers_default_cx_open{envoy_cluster_name="pay"} 0
envoy_cluster_circuit_breakers_default_rq_open{cluster_name="outbound|80||stock"} 0
envoy_cluster_outlier_detection_ejections_active{envoy_cluster_name="pay"} 1
envoy_cluster_membership_total{envoy_cluster_name="pay"} 3
envoy_cluster_outlier_detection_ejections_active{envoy_cluster_name="mail"} 2
envoy_cluster_membership_total{envoy_cluster_name="mail"} 2
"#;
    let found = rows(&[text]);
    let shown: Vec<_> = found.breakers.iter().map(|b| (b.breaker.as_str(), b.state.word(), b.saturated)).collect();
    assert_eq!(
        shown,
        [
            ("mail (outliers)", "open", false),
            ("outbound|80||stock", "closed", false),
            ("pay", "closed", true),
            ("pay (outliers)", "half-open", false)
        ]
    );
}

#[test]
fn rabbitmq_is_counted_once_on_each_of_its_endpoints() {
    let plain = "rabbitmq_queue_messages 12\nrabbitmq_queue_messages_ready 10\nrabbitmq_queue_messages_unacked 2\nrabbitmq_consumers 4\n";
    assert_eq!(queues(&[plain]), [("(all)".to_owned(), None, Some(12.0), None, Some(4.0), None)]);
    let per_object = "rabbitmq_queue_messages{vhost=\"/\",queue=\"mail\"} 7\nrabbitmq_queue_messages_ready{vhost=\"/\",queue=\"mail\"} 5\nrabbitmq_queue_messages_unacked{vhost=\"/\",queue=\"mail\"} 2\nrabbitmq_queue_consumers{vhost=\"/\",queue=\"mail\"} 3\n";
    assert_eq!(queues(&[per_object]), [("mail".to_owned(), None, Some(7.0), None, Some(3.0), None)]);
    let detailed = "rabbitmq_detailed_queue_messages{vhost=\"/\",queue=\"mail\"} 7\nrabbitmq_detailed_queue_messages_ready{vhost=\"/\",queue=\"mail\"} 5\nrabbitmq_detailed_queue_messages_unacked{vhost=\"/\",queue=\"mail\"} 2\nrabbitmq_detailed_queue_consumers{vhost=\"/\",queue=\"mail\"} 3\nrabbitmq_detailed_queue_messages{vhost=\"/\",queue=\"mail.dlq\"} 4\n";
    let both = format!("{plain}{detailed}");
    assert_eq!(
        queues(&[&both]),
        [("mail".to_owned(), None, Some(7.0), None, Some(3.0), Some(4.0)), ("mail.dlq".to_owned(), None, Some(4.0), None, None, Some(4.0))]
    );
}

#[test]
fn kafka_lag_from_any_exporter_without_negative_ones() {
    let group = |g: &str| Some(g.to_owned());
    let exporter = "kafka_consumergroup_lag{consumergroup=\"g\",topic=\"t\",partition=\"0\"} 5\nkafka_consumergroup_lag{consumergroup=\"g\",topic=\"t\",partition=\"1\"} 7\nkafka_consumergroup_lag{consumergroup=\"g\",topic=\"t\",partition=\"2\"} -1\nkafka_consumergroup_lag_sum{consumergroup=\"g\",topic=\"t\"} 11\nkafka_consumergroup_members{consumergroup=\"g\"} 2\nkafka_consumergroup_lag{consumergroup=\"idle\",topic=\"t\",partition=\"0\"} -1\n";
    assert_eq!(queues(&[exporter]), [("t".to_owned(), group("g"), Some(12.0), None, Some(2.0), None)]);
    let kminion = "kminion_kafka_consumer_group_topic_partition_lag{group_id=\"g\",topic_name=\"t\",partition_id=\"0\"} 3\nkminion_kafka_consumer_group_topic_lag{group_id=\"g\",topic_name=\"t\"} 3\nkminion_kafka_consumer_group_members{group_id=\"g\"} 1\n";
    assert_eq!(queues(&[kminion]), [("t".to_owned(), group("g"), Some(3.0), None, Some(1.0), None)]);
    let burrow = "burrow_kafka_consumer_lag_total{cluster=\"c\",consumer_group=\"g\"} 9\nburrow_kafka_consumer_partition_lag{cluster=\"c\",consumer_group=\"g\",topic=\"t\",partition=\"0\"} 9\n";
    assert_eq!(queues(&[burrow]), [("t".to_owned(), group("g"), Some(9.0), None, None, None)]);
    for suffix in ["", "_ratio"] {
        let otel = format!(
            "kafka_consumer_group_lag{suffix}{{group=\"g\",topic=\"t\",partition=\"0\"}} 4\nkafka_consumer_group_lag_sum{suffix}{{group=\"g\",topic=\"t\"}} 4\nkafka_consumer_group_members{suffix}{{group=\"g\"}} 2\n"
        );
        assert_eq!(queues(&[&otel]), [("t".to_owned(), group("g"), Some(4.0), None, Some(2.0), None)], "{suffix}");
    }
}

#[test]
fn redis_lists_and_streams() {
    let text = "redis_key_size{db=\"db0\",key=\"jobs:dead\"} 3\nredis_key_size{db=\"db0\",key=\"jobs\"} 40\nredis_key_size{db=\"db0\",key=\"_kombu.binding.jobs\"} 1\nredis_stream_length{db=\"db0\",stream=\"orders\"} 1000\nredis_stream_group_lag{db=\"db0\",stream=\"orders\",group=\"billing\"} 6\nredis_stream_group_messages_pending{db=\"db0\",stream=\"orders\",group=\"billing\"} 2\nredis_stream_group_consumers{db=\"db0\",stream=\"orders\",group=\"billing\"} 2\n";
    assert_eq!(
        queues(&[text]),
        [
            ("jobs".to_owned(), None, Some(40.0), None, None, Some(3.0)),
            ("jobs:dead".to_owned(), None, Some(3.0), None, None, Some(3.0)),
            ("orders".to_owned(), Some("billing".to_owned()), Some(8.0), None, Some(2.0), None),
        ]
    );
    assert_eq!(queues(&["redis_stream_length{db=\"db0\",stream=\"s\"} 5\n"]), [("s".to_owned(), None, Some(5.0), None, None, None)]);
}

/// A list of the same key on two servers is two queues, where one of them fills up behind the other. A replica has its master's, and an exporter
/// beside one server alone says nothing of where.
#[test]
fn lists_of_one_key_are_told_apart_by_server() {
    let size =
        |instance: &str, key: &str, waiting: u32| format!("redis_key_size{{instance=\"{instance}\",db=\"db0\",key=\"{key}\"}} {waiting}\n");
    let role =
        |instance: &str, role: &str| format!("redis_instance_info{{instance=\"{instance}\",role=\"{role}\",redis_version=\"7.2\"}} 1\n");
    let two = [
        size("redis://cart:6379", "jobs", 40),
        size("redis://cart:6379", "jobs:dead", 3),
        size("redis://cart:6379", "mails", 1),
        size("redis://mail:6379", "jobs", 900),
        role("redis://cart:6379", "master"),
        role("redis://mail:6379", "master"),
    ]
    .concat();
    let depths = |text: &str| queues(&[text]).into_iter().map(|q| (q.0, q.2)).collect::<Vec<_>>();
    assert_eq!(queues(&[&two])[0].5, Some(3.0), "what it gave up on");
    let row = |name: &str, depth: f64| (name.to_owned(), Some(depth));
    assert_eq!(
        depths(&two),
        [row("cart:6379/jobs", 40.0), row("cart:6379/jobs:dead", 3.0), row("mail:6379/jobs", 900.0), row("mails", 1.0)]
    );
    let replica = size("replica:9121", "jobs", 41) + &role("replica:9121", "slave");
    let one = size("cart:9121", "jobs", 40) + &role("cart:9121", "master");
    assert_eq!(depths(&format!("{one}{replica}")), [row("jobs", 40.0)]);
    assert_eq!(depths(&replica), [row("jobs", 41.0)], "nobody asks the master");
    let stream = |instance: &str, lag: u32| {
        let labels = format!("{{instance=\"{instance}\",db=\"db0\",stream=\"orders\",group=\"billing\"}}");
        format!(
            "redis_stream_group_lag{labels} {lag}\nredis_stream_group_messages_pending{labels} 0\nredis_stream_group_consumers{labels} {}\n",
            lag / 2
        )
    };
    let found = queues(&[&(stream("a:9121", 6) + &stream("b:9121", 2))]);
    let found: Vec<_> = found.iter().map(|q| (q.0.as_str(), q.2, q.4)).collect();
    assert_eq!(found, [("a:9121/orders", Some(6.0), Some(3.0)), ("b:9121/orders", Some(2.0), Some(1.0))]);
}

#[test]
fn a_collectors_exporters_are_queues() {
    let collector = "otelcol_exporter_queue_size{exporter=\"otlp/watchfire\"} 12\notelcol_exporter_queue_capacity{exporter=\"otlp/watchfire\"} 1000\notelcol_exporter_enqueue_failed_spans{exporter=\"otlp/watchfire\"} 3\notelcol_exporter_enqueue_failed_log_records{exporter=\"otlp/watchfire\"} 1\n";
    let expected = [("otlp/watchfire".to_owned(), None, Some(12.0), None, None, Some(4.0))];
    assert_eq!(queues(&[collector]), expected);
    let with_units = collector.replace("queue_size", "queue_size__batches_").replace("failed_spans", "failed_spans__spans__total");
    assert_eq!(queues(&[&with_units]), expected);
}

#[test]
fn task_queues() {
    let celery = "celery_queue_length{queue_name=\"emails\"} 25\ncelery_active_consumer_count{queue_name=\"emails\"} 4\ncelery_worker_up{hostname=\"w\"} 1\n";
    assert_eq!(queues(&[celery]), [("emails".to_owned(), None, Some(25.0), None, Some(4.0), None)]);
    let bullmq = "# HELP bullmq_job_count Number of jobs in the queue by state\n# TYPE bullmq_job_count gauge\nbullmq_job_count{queue=\"video\", state=\"waiting\"} 5\nbullmq_job_count{queue=\"video\", state=\"active\"} 3\nbullmq_job_count{queue=\"video\", state=\"delayed\"} 2\nbullmq_job_count{queue=\"video\", state=\"failed\"} 1\nbullmq_job_count{queue=\"video\", state=\"completed\"} 900\n";
    assert_eq!(queues(&[bullmq]), [("video".to_owned(), None, Some(7.0), None, None, Some(1.0))]);
    let sidekiq = "sidekiq_queue_enqueued_jobs{name=\"default\"} 8\nsidekiq_queue_latency_seconds{name=\"default\"} 1.5\nsidekiq_retry_jobs 2\nsidekiq_dead_jobs 3\n";
    assert_eq!(
        queues(&[sidekiq]),
        [("(retry)".to_owned(), None, Some(2.0), None, None, Some(3.0)), ("default".to_owned(), None, Some(8.0), Some(1.5), None, None)]
    );
    assert_eq!(
        queues(&["sidekiq_queue_backlog{queue_name=\"low\"} 4\nsidekiq_queue_latency_seconds{queue_name=\"low\"} 9\n"]),
        [("low".to_owned(), None, Some(4.0), Some(9.0), None, None)]
    );
    assert_eq!(
        queues(&[
            "flower_worker_prefetched_tasks{worker=\"a\",task=\"t\"} 2\nflower_worker_prefetched_tasks{worker=\"b\",task=\"t\"} 3\nflower_worker_online{worker=\"a\"} 1\n"
        ]),
        [("(prefetched)".to_owned(), None, Some(5.0), None, Some(1.0), None)]
    );
}

#[test]
fn the_breaker_of_a_target_without_a_name_is_of_the_service_that_is_called_there() {
    let exported = "# HELP circuit_breaker_state 0=closed 1=half-open 2=open\ncircuit_breaker_state{service=\"localhost:8000\",breaker=\"pay\"} 2\ncircuit_breaker_state{service=\"lb:80\",breaker=\"pay\"} 0\n";
    let known = "watchfire_service_info{service_name=\"web\"} 1\nwatchfire_service_info{service_name=\"api\"} 1\nwatchfire_node_address{node=\"web\",address=\"127.0.0.1:8000\"} 1\nwatchfire_node_address{node=\"web\",address=\"lb:80\"} 1\nwatchfire_node_address{node=\"api\",address=\"lb:80\"} 1\n";
    let services = |text: &str| rows(&[text]).breakers.into_iter().map(|row| row.service).collect::<Vec<_>>();
    assert_eq!(services(&format!("{exported}{known}")), ["lb:80", "web"]);
    assert_eq!(services(exported), ["lb:80", "localhost:8000"]);
}

/// Whether the counters count is up to the worker: where they do not, a worker that is busy would seem to do nothing.
#[test]
fn what_bullmq_does_not_count_is_not_known() {
    let scrape = |i: u64, counted: u64, kept: u64| {
        let counts = format!(
            "bullmq_job_count{{queue=\"q\",state=\"waiting\"}} 0\nbullmq_job_count{{queue=\"q\",state=\"completed\"}} {}\nbullmq_job_count{{queue=\"q\",state=\"failed\"}} {}\n",
            9 * i * kept,
            i * kept
        );
        counts
            + &format!(
                "bullmq_job_completed_total{{queue=\"q\"}} {}\nbullmq_job_failed_total{{queue=\"q\"}} {}\n",
                18 * i * counted,
                2 * i * counted
            )
    };
    let out = |counted: u64, kept: u64| {
        let texts: Vec<String> = (0..21).map(|i| scrape(i, counted, kept)).collect();
        rows(&texts.iter().map(String::as_str).collect::<Vec<_>>()).queues[0].out_rate.map(|rate| (rate * 15.0).round())
    };
    assert_eq!((out(1, 1), out(0, 1), out(0, 0)), (Some(20.0), Some(10.0), None));
}

#[test]
fn cloud_queues_and_nats() {
    let nats = |leader: &str, server: &str, pending: u32| {
        format!(
            "jetstream_consumer_num_pending{{account=\"A\",stream_name=\"ORDERS\",consumer_name=\"billing\",is_consumer_leader=\"{leader}\",server_name=\"{server}\"}} {pending}\njetstream_consumer_num_ack_pending{{account=\"A\",stream_name=\"ORDERS\",consumer_name=\"billing\",is_consumer_leader=\"{leader}\",server_name=\"{server}\"}} 2\n"
        )
    };
    let replicas = format!("{}{}{}", nats("true", "n1", 10), nats("false", "n2", 9), nats("false", "n3", 8));
    assert_eq!(queues(&[&replicas]), [("ORDERS".to_owned(), Some("billing".to_owned()), Some(12.0), None, None, None)]);
    let sqs = "aws_sqs_approximate_number_of_messages_visible_average{job=\"aws_sqs\",queue_name=\"mail\"} 14\naws_sqs_approximate_age_of_oldest_message_maximum{queue_name=\"mail\"} 33\n";
    assert_eq!(queues(&[sqs]), [("mail".to_owned(), None, Some(14.0), Some(33.0), None, None)]);
    let yace = "aws_sqs_approximate_number_of_messages_visible_average{dimension_QueueName=\"q-dlq\",name=\"arn:aws:sqs:::q-dlq\"} 2\naws_sqs_approximate_number_of_messages_visible_maximum{dimension_QueueName=\"q-dlq\",name=\"arn:aws:sqs:::q-dlq\"} 3\n";
    assert_eq!(queues(&[yace]), [("q-dlq".to_owned(), None, Some(3.0), None, None, Some(3.0))]);
    let pubsub = "stackdriver_pubsub_subscription_pubsub_googleapis_com_subscription_num_undelivered_messages{project_id=\"p\",subscription_id=\"s\",unit=\"1\"} 5\nstackdriver_pubsub_subscription_pubsub_googleapis_com_subscription_oldest_unacked_message_age{project_id=\"p\",subscription_id=\"s\",unit=\"s\"} 60\n";
    assert_eq!(queues(&[pubsub]), [("s".to_owned(), None, Some(5.0), Some(60.0), None, None)]);
}

#[test]
fn the_time_to_drain_follows_from_the_rates() {
    let texts: Vec<String> = (0..21)
        .map(|i| format!("celery_queue_length{{queue_name=\"q\"}} {}\ncelery_task_sent_total{{queue_name=\"q\",name=\"t\"}} {}\ncelery_task_succeeded_total{{queue_name=\"q\",name=\"t\"}} {}\n", 1000 - i * 15, i * 15, i * 30))
        .collect();
    let seen: Vec<&str> = texts.iter().map(String::as_str).collect();
    let found = rows(&seen);
    let queue = &found.queues[0];
    let (into, out, drain) = (queue.in_rate.expect("in"), queue.out_rate.expect("out"), queue.drain_seconds.expect("drains"));
    assert!((into - 1.0).abs() < 0.05 && (out - 2.0).abs() < 0.1, "{into} {out}");
    assert!((drain - 700.0).abs() < 0.2 * 700.0, "{drain}");
    let filling = rows(&["celery_queue_length{queue_name=\"q\"} 5\n"]);
    assert_eq!(filling.queues[0].drain_seconds, None);
    assert_eq!(rows(&["celery_queue_length{queue_name=\"q\"} 0\n"]).queues[0].drain_seconds, Some(0.0));
}

#[test]
fn rows_become_the_unified_series() {
    let found = rows(&[
        "celery_queue_length{queue_name=\"q\"} 5\n# HELP circuit_breaker_state 0=closed 1=half-open 2=open\ncircuit_breaker_state{service=\"a\",breaker=\"b\"} 2\n",
    ]);
    let series = found.series();
    let value = |name: &str| series.iter().find(|(l, _)| l.metric_name() == name).and_then(|(l, v)| v.as_float().map(|v| (l.clone(), v)));
    let (labels, state) = value("watchfire_breaker_state").expect("a state");
    assert_eq!((labels.value("service"), labels.value("breaker"), state), ("a", "b", 2.0));
    let (labels, depth) = value("watchfire_queue_depth").expect("a depth");
    assert_eq!((labels.value("queue"), labels.value("system"), depth), ("q", "celery", 5.0));
    assert!(value("watchfire_queue_oldest_seconds").is_none(), "what is not known has no series");
}

#[test]
fn a_bad_dialect_file_says_where() {
    let error = Dialect::parse("own", "title = \"x\"\n[[queue]]\nqueue = [\"{q}\"]\ndepht = []\n").expect_err("bad");
    assert!(error.starts_with("own.toml: ") && error.contains("depht"), "{error}");
    let error = Dialect::parse("own", "title = \"x\"\n[[queue]]\nqueue = [\"{q}\"]\ndepth = [\"sum(\"]\n").expect_err("bad");
    assert!(error.contains("sum(: 1:5: parse error"), "{error}");
}
