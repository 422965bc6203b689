//! Other versions of the exporters, and other exporters of the same systems.

use super::*;

/// Five minutes of scrapes in which `{n}` counts seconds and `{2n}` twice as fast.
fn moving(text: &str) -> DialectRows {
    let texts: Vec<String> = (0..21).map(|i| text.replace("{n}", &(i * 15).to_string()).replace("{2n}", &(i * 30).to_string())).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    rows(&texts)
}

type Flow<'a> = (&'a str, Option<f64>, Option<f64>, Option<f64>, Option<f64>);

/// (queue, depth, in, out, dead letters), rates to a tenth.
fn flows(found: &DialectRows) -> Vec<Flow<'_>> {
    let tenth = |rate: Option<f64>| rate.map(|r| (r * 10.0).round() / 10.0);
    found.queues.iter().map(|q| (&*q.queue, q.depth, tenth(q.in_rate), tenth(q.out_rate), q.dead_letters)).collect()
}

#[test]
fn rabbitmq_through_the_exporter_beside_it() {
    let found = moving(
        r#"
rabbitmq_queue_messages{cluster="c",durable="true",policy="",queue="orders",self="1",vhost="/"} 42
rabbitmq_queue_messages{cluster="c",durable="true",policy="",queue="orders",self="1",vhost="eu"} 7
# TYPE rabbitmq_queue_messages_published_total counter
rabbitmq_queue_messages_published_total{cluster="c",durable="true",policy="",queue="orders",self="1",vhost="/"} {2n}
rabbitmq_queue_messages_published_total{cluster="c",durable="true",policy="",queue="orders",self="1",vhost="eu"} {n}
# TYPE rabbitmq_queue_messages_ack_total counter
rabbitmq_queue_messages_ack_total{cluster="c",durable="true",policy="",queue="orders",self="1",vhost="/"} {n}
rabbitmq_queue_messages_ack_total{cluster="c",durable="true",policy="",queue="orders",self="1",vhost="eu"} 0
# TYPE rabbitmq_queue_messages_delivered_noack_total counter
rabbitmq_queue_messages_delivered_noack_total{cluster="c",durable="true",policy="",queue="orders",self="1",vhost="/"} 0
rabbitmq_queue_messages_delivered_noack_total{cluster="c",durable="true",policy="",queue="orders",self="1",vhost="eu"} 0
# TYPE rabbitmq_queue_messages_get_noack_total counter
rabbitmq_queue_messages_get_noack_total{cluster="c",durable="true",policy="",queue="orders",self="1",vhost="/"} 0
rabbitmq_queue_messages_get_noack_total{cluster="c",durable="true",policy="",queue="orders",self="1",vhost="eu"} 0
"#,
    );
    assert_eq!(flows(&found), [("eu/orders", Some(7.0), Some(1.0), Some(0.0), None), ("orders", Some(42.0), Some(2.0), Some(1.0), None)]);
}

#[test]
fn redis_lists_of_the_same_name_in_two_databases() {
    let found = rows(&[
        "redis_key_size{db=\"db0\",key=\"jobs\"} 11\nredis_key_size{db=\"db3\",key=\"jobs\"} 2\nredis_stream_length{db=\"db1\",stream=\"s\"} 5\n",
    ]);
    let depths: Vec<_> = found.queues.iter().map(|q| (&*q.queue, q.depth)).collect();
    assert_eq!(depths, [("db1/s", Some(5.0)), ("db3/jobs", Some(2.0)), ("jobs", Some(11.0))]);
}

#[test]
fn burrow_through_the_exporter_beside_it() {
    let found = moving(
        r#"
kafka_burrow_partition_lag{cluster="c",group="g",partition="0",topic="t"} 5
kafka_burrow_partition_lag{cluster="c",group="g",partition="1",topic="t"} 6
kafka_burrow_total_lag{cluster="c",group="g"} 11
kafka_burrow_topic_partition_offset{cluster="c",partition="0",topic="t"} {2n}
kafka_burrow_partition_current_offset{cluster="c",group="g",partition="0",topic="t"} {n}
"#,
    );
    assert_eq!(flows(&found), [("t", Some(11.0), Some(2.0), Some(1.0), None)]);
    assert_eq!(found.queues[0].group.as_deref(), Some("g"));
}

#[test]
fn task_queues_through_other_exporters() {
    let bull = moving(
        "bull_queue_waiting{prefix=\"bull\",queue=\"video\"} 9\nbull_queue_delayed{prefix=\"bull\",queue=\"video\"} 2\nbull_queue_active{prefix=\"bull\",queue=\"video\"} 1\nbull_queue_failed{prefix=\"bull\",queue=\"video\"} 4\nbull_queue_completed{prefix=\"bull\",queue=\"video\"} {n}\n",
    );
    assert_eq!(flows(&bull), [("video", Some(11.0), None, Some(1.0), Some(4.0))]);
    let yabeda = moving(
        "sidekiq_jobs_waiting_count{queue=\"mail\"} 5\nsidekiq_queue_latency{queue=\"mail\"} 2.5\nsidekiq_jobs_retry_count 1\nsidekiq_jobs_dead_count 2\n# TYPE sidekiq_jobs_enqueued_total counter\nsidekiq_jobs_enqueued_total{queue=\"mail\",worker=\"W\"} {2n}\n# TYPE sidekiq_jobs_executed_total counter\nsidekiq_jobs_executed_total{queue=\"mail\",worker=\"W\"} {n}\n",
    );
    assert_eq!(flows(&yabeda), [("(retry)", Some(1.0), None, None, Some(2.0)), ("mail", Some(5.0), Some(2.0), Some(1.0), None)]);
    assert_eq!(yabeda.queues[1].oldest_seconds, Some(2.5));
    for latency in ["sidekiq_queue_latency_seconds", "sidekiq_queue_latency"] {
        let found = rows(&[&format!("sidekiq_queue_size{{name=\"mailers\"}} 3\n{latency}{{name=\"mailers\"}} 1.25\n")]);
        let shown: Vec<_> = found.queues.iter().map(|q| (&*q.queue, q.depth, q.oldest_seconds)).collect();
        assert_eq!(shown, [("mailers", Some(3.0), Some(1.25))], "{latency}");
    }
}

#[test]
fn microprofile_before_its_scopes_became_labels() {
    let text = "base_ft_circuitbreaker_state_total_seconds{method=\"m\",state=\"closed\"} 9\nbase_ft_circuitbreaker_state_total_seconds{method=\"m\",state=\"open\"} {n}\nbase_ft_circuitbreaker_state_total_seconds{method=\"m\",state=\"halfOpen\"} 0\n";
    let texts: Vec<String> = [0, 15].iter().map(|n: &i32| text.replace("{n}", &n.to_string())).collect();
    assert_eq!(breakers(&[&texts[0], &texts[1]]), [breaker("exporter", "m", "open")]);
}

#[test]
fn resilience4j_before_its_states_became_labels() {
    let help =
        "# HELP resilience4j_circuitbreaker_state 0 - CLOSED, 1 - OPEN, 2 - HALF_OPEN\n# TYPE resilience4j_circuitbreaker_state gauge\n";
    assert_eq!(breakers(&[&format!("{help}resilience4j_circuitbreaker_state{{name=\"b\"}} 1\n")]), [breaker("exporter", "b", "open")]);
    let unsaid = rows(&["resilience4j_circuitbreaker_state{name=\"b\"} 1\n"]);
    assert_eq!(unsaid.breakers[0].state, State::Unknown);
    assert_eq!(unsaid.breakers[0].unread.as_deref(), Some("1"));
}

#[test]
fn gauges_named_after_the_library() {
    for metric in ["pybreaker_state", "gobreaker_state", "cb_state", "app_cb_status", "circuit_breaker_current_state"] {
        let told =
            format!("# HELP {metric} 0=closed, 1=half-open, 2=open\n# TYPE {metric} gauge\n{metric}{{service=\"s\",name=\"b\"}} 2\n");
        assert_eq!(breakers(&[&told]), [breaker("s", "b", "open")], "{metric}");
        let words =
            format!("{metric}{{service=\"s\",name=\"b\",state=\"open\"}} 1\n{metric}{{service=\"s\",name=\"b\",state=\"closed\"}} 0\n");
        assert_eq!(breakers(&[&words]), [breaker("s", "b", "open")], "{metric}");
    }
    for (metric, label) in
        [("queue_size", "name"), ("app_outbox_backlog", "topic"), ("pending_jobs", "queue"), ("mail_queue_depth", "topic_name")]
    {
        let found = queues(&[&format!("{metric}{{{label}=\"q\"}} 7\n")]);
        assert_eq!(found, [("q".to_owned(), None, Some(7.0), None, None, None)], "{metric}");
    }
}

#[test]
fn a_state_set_names_its_label_after_itself() {
    let set = "# TYPE bank_circuit_breaker_state stateset\nbank_circuit_breaker_state{bank_circuit_breaker_state=\"closed\",breaker=\"db\"} 0\nbank_circuit_breaker_state{bank_circuit_breaker_state=\"open\",breaker=\"db\"} 1\nbank_circuit_breaker_state{bank_circuit_breaker_state=\"half-open\",breaker=\"db\"} 0\n";
    assert_eq!(breakers(&[set]), [breaker("exporter", "db", "open")]);
}

#[test]
fn what_a_task_queue_keeps_beside_its_jobs_is_no_queue() {
    let keys = ["wait", "1", "9:lock", "active", "completed", "events", "id", "marker", "meta", "stalled-check"];
    let text: String = keys.iter().map(|key| format!("redis_key_size{{db=\"db0\",key=\"bull:paint:{key}\"}} 3\n")).collect();
    let found = rows(&[&text]);
    assert_eq!(found.queues.iter().map(|q| &*q.queue).collect::<Vec<_>>(), ["bull:paint:wait"]);
}
