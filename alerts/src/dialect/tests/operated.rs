//! What exporters say in the course of an incident, and not only at one moment: trials that fail, servers taken out by hand, consumers that die.

use super::*;

/// opossum-prometheus 0.3 with opossum 9, as applications wire them: halfOpen is not counted, and no event has a series before the first.
fn opossum(success: u32, reject: u32, open: u32, close: u32) -> String {
    let counts = [("success", success), ("reject", reject), ("open", open), ("close", close)];
    let line = |(event, n): &(&str, u32)| format!("circuit{{name=\"stock\",event=\"{event}\"}} {n}\n");
    let lines: String = counts.iter().filter(|(_, n)| *n > 0).map(line).collect();
    format!("# TYPE circuit counter\ncircuit{{name=\"stock\",event=\"fire\"}} {}\n{lines}", success + reject + 9)
}

/// As `rows`, and series that a scrape no longer has end with it.
fn rows_of_scrapes(texts: &[String]) -> DialectRows {
    let (store, promql) = (MemorySeries::new(), Engine::default());
    let mut engine = DialectEngine::built_in().expect("good files");
    let mut found = DialectRows::default();
    for (i, text) in texts.iter().enumerate() {
        let at = START.saturating_add(Duration::from_secs(15 * i as u64));
        let (mut alive, now) = (Vec::new(), TimeRange { start: START, end: at });
        let live = |view: &watchfire_model::SeriesView<'_>| view.values.last().is_some_and(|v| !watchfire_model::is_stale(*v));
        store.select(&Selector::default(), now, &mut |s| alive.extend(live(&s).then(|| s.labels.clone()))).expect("selects");
        for labels in alive {
            store.push(&labels, at.saturating_sub(Duration::from_millis(1)), Value::Float(watchfire_model::STALE_NAN));
        }
        add(&store, text, at);
        found = engine.evaluate(&promql, &store, at);
    }
    found
}

fn states(texts: &[String]) -> Vec<&'static str> {
    let all = |n: usize| rows(&texts[..n].iter().map(String::as_str).collect::<Vec<_>>());
    (1..=texts.len()).map(|n| all(n).breakers[0].state.word()).collect()
}

#[test]
fn a_breaker_whose_trials_failed_is_closed_again_though_half_open_is_not_counted() {
    let incident = [
        opossum(50, 0, 0, 0),
        opossum(51, 20, 1, 0),
        opossum(51, 40, 3, 0),
        // It opened once more and closed, within one scrape: calls tell which came last.
        opossum(60, 50, 4, 1),
        opossum(70, 50, 4, 1),
        opossum(80, 50, 4, 1),
        opossum(82, 60, 5, 1),
        opossum(82, 90, 5, 1),
    ];
    assert_eq!(states(&incident), ["closed", "open", "open", "open", "closed", "closed", "open", "open"]);
    let texts: Vec<&str> = incident.iter().map(String::as_str).collect();
    assert_eq!(rows(&texts).breakers[0].transitions, [(State::Closed, 1.0), (State::Open, 5.0)]);
}

#[test]
fn what_counters_without_half_open_do_not_tell_is_unknown_until_calls_do() {
    let begun_later = [opossum(70, 50, 4, 1), opossum(70, 50, 4, 1), opossum(75, 50, 4, 1)];
    assert_eq!(states(&begun_later), ["unknown", "unknown", "closed"]);
    assert_eq!(states(&[opossum(70, 50, 4, 1), opossum(70, 55, 4, 1)]), ["unknown", "open"]);
    assert_eq!(states(&[opossum(70, 50, 4, 4)]), ["closed"], "every close needs an open");
    assert_eq!(states(&[opossum(70, 50, 2, 0)]), ["open"]);
    // A new process begins with a closed breaker.
    assert_eq!(states(&[opossum(70, 50, 2, 0), opossum(3, 0, 0, 0)]), ["open", "closed"]);
}

fn haproxy(now: &str) -> String {
    ["UP", "DOWN", "MAINT", "DRAIN", "NOLB"]
        .map(|s| format!("haproxy_server_status{{proxy=\"web\",server=\"w1\",state=\"{s}\"}} {}\n", u8::from(s == now)))
        .concat()
}

#[test]
fn haproxy_tries_nothing_before_a_server_is_up_again() {
    let texts = [haproxy("UP"), haproxy("DOWN"), haproxy("UP")];
    let found = rows(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(found.breakers[0].transitions, [(State::Closed, 1.0), (State::HalfOpen, 0.0), (State::Open, 1.0)]);
}

#[test]
fn the_word_of_an_exporter_is_kept_where_it_is_no_state() {
    let found = rows(&[&haproxy("MAINT")]);
    assert_eq!((found.breakers[0].state, found.breakers[0].unread.as_deref()), (State::Unknown, Some("MAINT")));
}

/// RabbitMQ 3.10, `/metrics/per-object`: a channel's series go with the channel.
#[test]
fn a_queue_whose_consumers_died_lets_nothing_out() {
    let scrape = |step: u64, consumer: bool, publisher: bool| {
        let labels = r#"channel="<0.908.0>",vhost="/",queue="orders""#;
        let mut text = format!(
            "rabbitmq_queue_messages{{vhost=\"/\",queue=\"orders\"}} {}\nrabbitmq_queue_consumers{{vhost=\"/\",queue=\"orders\"}} {}\n",
            500 + step,
            u8::from(consumer)
        );
        if consumer {
            text += &format!(
                "rabbitmq_channel_get_total{{{labels}}} 0\nrabbitmq_channel_messages_delivered_total{{{labels}}} 0\nrabbitmq_channel_messages_acked_total{{{labels}}} {}\n",
                step * 150
            );
        }
        if publisher {
            let labels = r#"channel="<0.873.0>",queue_vhost="/",queue="orders",exchange_vhost="/",exchange="""#;
            text += &format!("rabbitmq_queue_messages_published_total{{{labels}}} {}\n", step * 75);
        }
        text
    };
    let flow = |texts: &[String]| {
        let found = rows_of_scrapes(texts);
        let q = &found.queues[0];
        (q.in_rate.map(f64::round), q.out_rate.map(f64::round), q.drain_seconds.is_some())
    };
    let mut texts: Vec<String> = (0..12).map(|step| scrape(step, true, true)).collect();
    assert_eq!(flow(&texts), (Some(5.0), Some(10.0), true));
    texts.push(scrape(12, false, false));
    assert_eq!(flow(&texts), (None, None, false));
}

/// RabbitMQ 3.10 with a consumer that rejects one message of ten.
#[test]
fn what_a_consumer_rejects_has_left_the_queue() {
    let scrape = |step: u64, (unacked, redelivered): (u64, u64)| {
        let queue = r#"vhost="/",queue="orders""#;
        let channel = format!("channel=\"<0.849.0>\",{queue}");
        let counters = [
            ("messages_delivered_ack", step * 150 + unacked + redelivered),
            ("messages_acked", step * 135),
            ("messages_redelivered", redelivered),
            ("messages_delivered", 0),
            ("get", 0),
            ("get_ack", 0),
        ];
        let counters = counters.map(|(name, n)| format!("rabbitmq_detailed_channel_{name}_total{{{channel}}} {n}\n")).concat();
        format!(
            "rabbitmq_detailed_queue_messages{{{queue}}} 400\nrabbitmq_detailed_queue_messages_unacked{{{queue}}} {unacked}\n{counters}"
        )
    };
    let out = |state: &dyn Fn(u64) -> (u64, u64)| {
        let texts: Vec<String> = (0..12).map(|step| scrape(step, state(step))).collect();
        rows_of_scrapes(&texts).queues[0].out_rate.map(f64::round)
    };
    assert_eq!(out(&|_| (0, 0)), Some(10.0));
    assert_eq!(out(&|step| (step * 30, 0)), Some(10.0), "what is still out has not left");
    assert_eq!(out(&|step| (0, step * 45)), Some(10.0), "nor what came back");
}

#[test]
fn a_list_of_bullmq_is_no_second_queue() {
    let text = "bullmq_job_count{queue=\"mail\", state=\"waiting\"} 4\nredis_key_size{db=\"db0\",key=\"bull:mail:wait\"} 4\nredis_key_size{db=\"db0\",key=\"bull:other:wait\"} 2";
    let found = queues(&[text]);
    assert_eq!(found.iter().map(|q| q.0.as_str()).collect::<Vec<_>>(), ["mail", "bull:other:wait"]);
}

#[test]
fn a_server_that_haproxy_does_not_check_is_unknown() {
    let up = |proxy: &str, server: &str, failures: &str| {
        format!(
            "haproxy_server_status{{proxy=\"{proxy}\",server=\"{server}\",state=\"DOWN\"}} 0\n\
             haproxy_server_status{{proxy=\"{proxy}\",server=\"{server}\",state=\"UP\"}} 1\n\
             haproxy_server_check_failures_total{{proxy=\"{proxy}\",server=\"{server}\"}} {failures}\n"
        )
    };
    let backend = |proxy: &str| {
        format!(
            "haproxy_backend_status{{proxy=\"{proxy}\",state=\"DOWN\"}} 0\nhaproxy_backend_status{{proxy=\"{proxy}\",state=\"UP\"}} 1\n"
        )
    };
    let text = [up("web", "w1", "0"), up("web", "w2", "NaN"), up("api", "a1", "NaN"), backend("web"), backend("api")].concat();
    let found = rows(&[&text]).breakers;
    let mut states: Vec<_> = found.iter().map(|b| (b.breaker.as_str(), b.state.word(), b.unread.as_deref())).collect();
    states.sort_unstable();
    let unchecked = Some("unchecked");
    assert_eq!(
        states,
        [
            ("api", "unknown", unchecked),
            ("api/a1", "unknown", unchecked),
            ("web", "closed", None),
            ("web/w1", "closed", None),
            ("web/w2", "unknown", unchecked)
        ]
    );
}
