//! Two consumer spans for one message: who receives it and who works on it, in the ways that clients of brokers tell of them.

#[path = "../testing/build.rs"]
mod build;
#[path = "../testing/walk.rs"]
mod walk;

use build::*;
use opentelemetry_proto::tonic::trace::v1::Span;
use std::time::Duration;

const PAUSE: Duration = Duration::from_secs(15);

/// Edges and deliveries between two services of these names, and of the second one the messages it worked on and the calls to fetch them.
fn counted(bench: &Bench, producer: &str, consumer: &str) -> [f64; 4] {
    let between = [("client", producer), ("server", consumer)];
    let requests = bench.value("traces_service_graph_request_total", &between);
    let deliveries = bench.value("watchfire_message_deliveries_total", &between);
    let calls = |kind: &str| -> f64 {
        let all = bench.newest("traces_span_metrics_calls_total").into_iter();
        let own = all.filter(|(l, _)| l.value("service_name") == consumer && l.value("span_kind") == kind);
        own.filter_map(|(_, calls)| calls.as_float()).sum()
    };
    [requests.unwrap_or_default(), deliveries.unwrap_or_default(), calls("SPAN_KIND_CONSUMER"), calls("SPAN_KIND_CLIENT")]
}

fn of_topic(span: Span, operation: &str) -> Span {
    let span = span.with(text("messaging.system", "kafka")).with(text("messaging.destination.name", "orders"));
    span.with(text("messaging.operation", operation))
}

fn send(trace: u128) -> Span {
    of_topic(span(trace, 1, 0, "orders publish", PRODUCER), "publish")
}

/// Each message in a request of its own, so that what is learned of one holds for the next.
fn deliver(messages: u64, of: impl Fn(u128) -> Vec<Span>) -> Bench {
    let mut bench = Bench::new();
    for trace in 1..=u128::from(messages) {
        bench.send("shop", vec![send(trace)]);
        for span in of(trace) {
            bench.send("billing", vec![span]);
        }
    }
    bench.pass(PAUSE);
    bench
}

/// As in franz-go: the message is received within the span that published it, and worked on within the span that received it, which alone knows whence
/// it came.
#[test]
fn what_is_worked_on_within_what_received_it_came_from_who_published_it() {
    for inner_first in [false, true] {
        let bench = deliver(10, |trace| {
            let receive = of_topic(span(trace, 2, 1, "orders receive", CONSUMER), "receive");
            let process = of_topic(span(trace, 3, 2, "orders process", CONSUMER), "process").fails("no");
            if inner_first { vec![process, receive] } else { vec![receive, process] }
        });
        // The first is a message worked on, until it is known that others are.
        assert_eq!(counted(&bench, "shop", "billing"), [10.0, 10.0, 11.0, 9.0], "{inner_first}");
        let failed = bench.value("traces_service_graph_request_failed_total", &[("client", "shop"), ("server", "billing")]);
        assert_eq!(failed, Some(9.0), "{inner_first}");
        let unclaimed = bench.newest("traces_service_graph_request_total");
        assert_eq!(unclaimed.len(), 1, "{unclaimed:?}");
    }
}

/// As in Confluent's client for .NET: both are linked to who published, and neither is within the other.
#[test]
fn what_is_received_and_worked_on_beside_each_other_is_one_message() {
    for receive_first in [true, false] {
        let bench = deliver(10, |trace| {
            let receive = of_topic(span(100 + trace, 2, 0, "orders receive", CONSUMER), "receive").links(trace, 1);
            let process = of_topic(span(200 + trace, 3, 0, "orders process", CONSUMER), "process").links(trace, 1);
            if receive_first { vec![receive, process] } else { vec![process, receive] }
        });
        assert_eq!(counted(&bench, "shop", "billing"), [10.0, 10.0, 11.0, 9.0], "{receive_first}");
    }
}

/// As for SQS in Java, where the span that works on a message is within the one that published it.
#[test]
fn what_is_received_by_link_and_worked_on_by_parent_is_one_message() {
    let bench = deliver(10, |trace| {
        let receive = of_topic(span(100 + trace, 2, 0, "orders receive", CONSUMER), "receive").links(trace, 1);
        vec![receive, of_topic(span(trace, 3, 1, "orders process", CONSUMER), "process")]
    });
    assert_eq!(counted(&bench, "shop", "billing"), [10.0, 10.0, 11.0, 9.0]);
}

/// As in older instrumentations of KafkaJS, whose spans are all called by their topic.
#[test]
fn receiving_is_told_from_working_though_both_are_called_alike() {
    let bench = deliver(10, |trace| {
        let receive = of_topic(span(100 + trace, 2, 0, "orders", CONSUMER), "receive");
        vec![receive, of_topic(span(100 + trace, 3, 2, "orders", CONSUMER), "process").links(trace, 1)]
    });
    assert_eq!(counted(&bench, "shop", "billing"), [10.0, 10.0, 11.0, 9.0]);
}

/// What is around them is a loop of the service, and they know no sender by themselves.
#[test]
fn what_is_received_and_worked_on_within_one_loop_comes_out_of_the_queue() {
    let bench = deliver(10, |trace| {
        let receive = of_topic(span(100 + trace, 2, 9, "orders receive", CONSUMER), "receive");
        let process = [3, 4].map(|id| of_topic(span(100 + trace, id, 9, "orders process", CONSUMER), "process"));
        vec![receive].into_iter().chain(process).collect()
    });
    assert_eq!(counted(&bench, "", "billing"), [0.0, 20.0, 21.0, 9.0]);
}

#[test]
fn who_only_receives_has_taken_each_message_that_it_is_linked_to() {
    let bench = deliver(10, |trace| vec![of_topic(span(100 + trace, 2, 0, "orders receive", CONSUMER), "receive").links(trace, 1)]);
    assert_eq!(counted(&bench, "shop", "billing"), [10.0, 10.0, 10.0, 0.0]);
}

/// Two services that read a topic take a message each, whatever they call it.
#[test]
fn what_another_service_works_on_was_received_all_the_same() {
    let mut bench = Bench::new();
    for trace in 1..=10 {
        bench.send("shop", vec![send(trace)]);
        bench.send("billing", vec![of_topic(span(100 + trace, 2, 0, "orders receive", CONSUMER), "receive").links(trace, 1)]);
        bench.send("mail", vec![of_topic(span(200 + trace, 3, 0, "orders process", CONSUMER), "process").links(trace, 1)]);
    }
    bench.pass(PAUSE);
    assert_eq!(counted(&bench, "shop", "billing"), [10.0, 10.0, 10.0, 0.0]);
    assert_eq!(counted(&bench, "shop", "mail"), [10.0, 10.0, 10.0, 0.0]);
}
