//! Messages from encoded spans to series: who publishes, who takes, and the queue between them.

#[path = "../testing/build.rs"]
mod build;
#[path = "../testing/walk.rs"]
mod walk;

use build::*;
use opentelemetry_proto::tonic::trace::v1::Span;
use std::time::Duration;
use watchfire_model::Labels;

const REQUESTS: &str = "traces_service_graph_request_total";
const SECONDS: Duration = Duration::from_secs(1);

fn edges(bench: &Bench) -> Vec<String> {
    let edge = |l: &Labels| format!("{} -> {} [{}]", l.value("client"), l.value("server"), l.value("connection_type"));
    bench.newest(REQUESTS).iter().map(|(l, v)| format!("{} {}", edge(l), v.as_float().unwrap_or(f64::NAN))).collect()
}

fn deliveries(bench: &Bench) -> Vec<String> {
    let through = |l: &Labels| format!("{} -> {} [{}] -> {}", l.value("client"), l.value("queue"), l.value("system"), l.value("server"));
    let newest = bench.newest("watchfire_message_deliveries_total");
    newest.iter().map(|(l, v)| format!("{} {}", through(l), v.as_float().unwrap_or(f64::NAN))).collect()
}

#[test]
fn consumers_are_joined_by_parent_and_by_links_across_traces() {
    let mut bench = Bench::new();
    let topic = || text("messaging.destination.name", "orders");
    bench.send("shop", vec![span(1, 1, 0, "send", PRODUCER).with(topic()).with(text("messaging.system", "kafka"))]);
    bench.send("billing", vec![span(7, 2, 0, "process", CONSUMER).links(1, 1)]);
    bench.send("mail", vec![span(1, 3, 1, "process", CONSUMER)]);
    bench.pass(15 * SECONDS);
    assert_eq!(edges(&bench), ["shop -> billing [messaging_system] 1", "shop -> mail [messaging_system] 1"]);
    assert_eq!(deliveries(&bench), ["shop -> orders [kafka] -> billing 1", "shop -> orders [kafka] -> mail 1"]);
}

/// SDKs of AWS give the ARN of a topic where it is published to, and those of a queue its URL.
#[test]
fn a_topic_is_one_node_by_its_name_and_by_what_its_cloud_calls_it() {
    let mut bench = Bench::new();
    let to = |id: u64, kind, system: &str, destination: &str| {
        span(id.into(), id, 0, "m", kind).with(text("messaging.system", system)).with(text("messaging.destination.name", destination))
    };
    bench.send("shop", vec![to(1, PRODUCER, "aws_sns", "arn:aws:sns:eu-west-1:123456789012:orders")]);
    bench.send("web", vec![to(2, PRODUCER, "aws_sns", "orders")]);
    bench.send("billing", vec![to(3, CONSUMER, "aws_sqs", "https://sqs.eu-west-1.amazonaws.com/123456789012/orders").links(1, 1)]);
    bench.send("mail", vec![to(4, CONSUMER, "aws_sqs", "arn:aws:sqs:eu-west-1:123456789012:orders").links(2, 2)]);
    bench.pass(15 * SECONDS);
    assert_eq!(deliveries(&bench), ["shop -> orders [aws_sns] -> billing 1", "web -> orders [aws_sns] -> mail 1"]);
}

/// A client that polls a topic is no producer: its polls would count as messages published and never consumed.
#[test]
fn fetching_and_settling_messages_publishes_nothing() {
    let mut bench = Bench::new();
    let topic = |span: Span| span.with(text("messaging.destination.name", "orders")).with(text("messaging.system", "kafka"));
    let doing = |id: u64, key: &str, operation: &str| topic(span(id.into(), id, 0, operation, CLIENT)).with(text(key, operation));
    bench.send("shop", vec![topic(span(1, 1, 0, "send", PRODUCER)), doing(2, "messaging.operation.type", "send")]);
    let fetched = vec![
        doing(3, "messaging.operation.type", "receive").links(1, 1),
        span(3, 31, 3, "process", CONSUMER).links(1, 1),
        doing(4, "messaging.operation.type", "settle"),
        doing(5, "messaging.operation", "receive"),
        doing(6, "messaging.operation", "ack"),
        doing(8, "messaging.operation", "modack"),
    ];
    bench.send("billing", fetched);
    bench.pass(15 * SECONDS);
    assert_eq!(edges(&bench), ["shop -> billing [messaging_system] 1", "shop -> orders [virtual_node] 1"]);
    assert_eq!(deliveries(&bench), ["shop -> orders [kafka] -> billing 1"]);
}

/// Newer conventions give each message of a batch a span that creates it, beside the one call that sends them.
#[test]
fn messages_that_are_created_and_then_sent_are_published_once() {
    let mut bench = Bench::new();
    let topic = |span: Span| span.with(text("messaging.destination.name", "orders")).with(text("messaging.system", "kafka"));
    let create = |id: u64| topic(span(1, id, 0, "create", PRODUCER)).with(text("messaging.operation.type", "create"));
    let send = |id: u64| topic(span(1, id, 0, "send", CLIENT)).with(text("messaging.operation.type", "send"));
    bench.send("shop", vec![create(1), create(2), send(3).links(1, 1).links(1, 2)]);
    bench.send("shop", vec![create(4), create(5), send(6).links(1, 4).links(1, 5).fails("no broker")]);
    bench.pass(15 * SECONDS);
    assert_eq!(edges(&bench), ["shop -> orders [virtual_node] 4"]);
    let failed = "traces_service_graph_request_failed_total";
    assert_eq!(bench.value(failed, &[("server", "orders")]), Some(2.0), "those whose sending failed");
}

/// A library that publishes by another one, both instrumented; or one instrumented twice, as pika is.
#[test]
fn a_producer_around_a_producer_of_the_same_message_publishes_nothing() {
    let publish = |id: u64, parent: u64, queue: &str| {
        span(1, id, parent, "send", PRODUCER).with(text("messaging.destination.name", queue)).with(text("messaging.system", "rabbitmq"))
    };
    for outer_first in [false, true] {
        let mut bench = Bench::new();
        let spans = [vec![publish(2, 1, "orders"), publish(4, 3, "orders")], vec![publish(1, 9, "orders"), publish(3, 9, "orders")]];
        let [inner, outer] = spans;
        for spans in if outer_first { [outer, inner] } else { [inner, outer] } {
            bench.send("shop", spans);
        }
        // Somewhere else is another message.
        bench.send("shop", vec![publish(6, 5, "mails"), publish(5, 9, "events")]);
        bench.send("billing", vec![span(1, 7, 4, "process", CONSUMER)]);
        bench.pass(15 * SECONDS);
        let mut edges = edges(&bench);
        edges.sort();
        assert_eq!(
            edges,
            [
                "shop -> billing [messaging_system] 1",
                "shop -> events [virtual_node] 1",
                "shop -> mails [virtual_node] 1",
                "shop -> orders [virtual_node] 1",
            ]
        );
    }
}

/// Instrumentations name the exchange, and RabbitMQ's default exchange has no name: the routing key is then the queue.
#[test]
fn messages_through_the_default_exchange_go_to_the_queue_of_their_routing_key() {
    let publish = |id: u64, destination: (&str, &str), key: (&str, &str)| {
        let named = span(id.into(), id, 0, "publish", PRODUCER).with(text("messaging.system", "rabbitmq"));
        named.with(text(destination.0, destination.1)).with(text(key.0, key.1)).with(text("server.address", "mq-1"))
    };
    let (old, new) = ("messaging.rabbitmq.routing_key", "messaging.rabbitmq.destination.routing_key");
    let mut bench = Bench::new();
    let spans = vec![
        publish(1, ("messaging.destination", ""), (old, "jobs")),
        publish(2, ("messaging.destination.name", "<default>"), (new, "jobs")),
        publish(3, ("messaging.destination.name", "amq.default"), (new, "jobs")),
        publish(4, ("messaging.destination.name", "events"), (new, "mail.welcome")),
        publish(5, ("messaging.destination", ""), (old, "amq.gen-JzTY20BRgKO")),
        publish(6, ("messaging.destination", ""), (old, "amq.gen-Xa2oijWpq31")),
        publish(8, ("messaging.destination.name", "amq.gen-Xa2oijWpq32"), ("messaging.destination.anonymous", "true")),
        publish(9, ("messaging.destination.name", "spring.gen-7fGh12"), ("messaging.operation.type", "send")),
        publish(7, ("messaging.destination.name", "/users/17/inbox"), ("messaging.destination.template", "/users/{id}/inbox")),
    ];
    bench.send("shop", spans);
    bench.pass(15 * SECONDS);
    let mut edges = edges(&bench);
    edges.sort();
    let to = |queue: &str, count: u32| format!("shop -> {queue} [virtual_node] {count}");
    assert_eq!(edges, [to("/users/{id}/inbox", 1), to("amq.gen", 3), to("events", 1), to("jobs", 3), to("spring.gen", 1)]);
}

#[test]
fn a_queue_of_bullmq_has_a_name_of_its_own_kind() {
    let mut bench = Bench::new();
    let queue = || text("bullmq.queue.name", "emails");
    bench.send(
        "api",
        vec![span(1, 1, 0, "add emails.welcome", PRODUCER).with(queue()), span(2, 1, 0, "add emails", PRODUCER).with(queue())],
    );
    bench.send("worker", vec![span(1, 2, 1, "process emails", CONSUMER).with(queue())]);
    bench.pass(15 * SECONDS);
    assert_eq!(edges(&bench), ["api -> worker [messaging_system] 1", "api -> emails [virtual_node] 1"]);
    assert_eq!(deliveries(&bench), ["api -> emails [bullmq] -> worker 1"]);
}

/// As of SQS, which hands out ten messages at once: each is processed within the span that fetched them.
/// The instrumentation of Celery names the queue, and not what it is a queue of.
#[test]
fn a_queue_of_celery_is_told_by_its_attributes() {
    let mut bench = Bench::new();
    let task = |span: Span, action: &str| span.with(text("celery.action", action)).with(text("messaging.destination", "mails"));
    bench.send("shop", vec![task(span(1, 1, 0, "apply_async/send", PRODUCER), "apply_async")]);
    bench.send("mailer", vec![task(span(1, 2, 1, "run/send", CONSUMER), "run")]);
    bench.pass(15 * SECONDS);
    let systems: Vec<_> = bench.newest("watchfire_message_deliveries_total").iter().map(|(l, _)| l.value("system").to_owned()).collect();
    assert_eq!(systems, ["celery"]);
}

#[test]
fn all_messages_that_were_fetched_together_come_out_of_their_queue() {
    let mut bench = Bench::new();
    let named = |span: Span, doing: &str| span.with(text("messaging.destination", "orders")).with(text("messaging.operation", doing));
    let mut spans: Vec<Span> = (2..12).map(|id| named(span(1, id, 1, "orders process", CONSUMER), "process")).collect();
    spans.push(named(span(1, 1, 0, "orders receive", CONSUMER), "receive"));
    bench.send("worker", spans);
    bench.pass(15 * SECONDS);
    assert_eq!(deliveries(&bench), [" -> orders [] -> worker 10"]);
}

/// A long queue parts the two halves by more than the join waits, and a producer may send no spans at all: what comes out is counted all the same.
#[test]
fn messages_of_producers_that_are_not_seen_come_out_of_their_queue() {
    let mut bench = Bench::new();
    let topic = |span: Span| span.with(text("messaging.destination.name", "orders")).with(text("messaging.system", "kafka"));
    bench.send("shop", vec![topic(span(1, 1, 0, "send", PRODUCER))]);
    bench.pass(15 * SECONDS);
    let late = vec![
        topic(span(1, 11, 1, "process", CONSUMER)),
        // One message linked, and a parent that is no producer: one delivery.
        topic(span(2, 21, 20, "process", CONSUMER)).links(1, 1),
        topic(span(3, 31, 0, "process", CONSUMER)).fails("no"),
        // Fetched, and processed by others.
        topic(span(4, 41, 0, "receive", CONSUMER)).with(text("messaging.operation.type", "receive")),
        span(5, 51, 0, "process", CONSUMER),
    ];
    bench.send("billing", late);
    bench.pass(15 * SECONDS);
    assert_eq!(edges(&bench), ["shop -> orders [virtual_node] 1"]);
    assert_eq!(deliveries(&bench), [" -> orders [kafka] -> billing 3"]);
    assert_eq!(bench.value("watchfire_message_deliveries_failed_total", &[("queue", "orders")]), Some(1.0));
}

#[test]
fn each_queue_between_the_same_two_services_has_its_own_deliveries() {
    let mut bench = Bench::new();
    let through = |id: u64, queue: &str| span(id.into(), id, 0, "send", PRODUCER).with(text("messaging.destination.name", queue));
    bench.send("shop", vec![through(1, "orders"), through(2, "orders"), through(3, "refunds"), span(4, 4, 0, "call", CLIENT)]);
    let process = |trace: u64, id: u64| span(trace.into(), id, trace, "process", CONSUMER);
    bench.send("billing", vec![process(1, 11), process(2, 12), process(3, 13).fails("refused"), span(4, 14, 4, "GET /x", SERVER)]);
    bench.pass(15 * SECONDS);
    assert_eq!(edges(&bench), ["shop -> billing [messaging_system] 3", "shop -> billing [] 1"]);
    assert_eq!(deliveries(&bench), ["shop -> orders [] -> billing 2", "shop -> refunds [] -> billing 1"]);
    let failed = |queue| bench.value("watchfire_message_deliveries_failed_total", &[("queue", queue)]);
    assert_eq!((failed("orders"), failed("refunds")), (Some(0.0), Some(1.0)));
    let seen: Vec<_> = bench.store.observed_deliveries().iter().filter_map(|d| d.queue.as_deref().map(str::to_owned)).collect();
    assert_eq!(seen, ["orders", "refunds"]);
}

#[test]
fn a_queue_called_like_a_service_is_that_service_only_if_it_reads_the_queue() {
    let publish = |id: u64| {
        let named = span(id.into(), id, 0, "publish", PRODUCER).with(text("messaging.system", "rabbitmq"));
        named.with(text("messaging.destination.name", "mail"))
    };
    let mut bench = Bench::new();
    bench.send("mail", vec![span(1, 1, 0, "GET /", SERVER)]);
    bench.send("shop", vec![publish(2)]);
    bench.pass(15 * SECONDS);
    assert_eq!(edges(&bench), ["shop -> mail (rabbitmq) [virtual_node] 1"]);

    let mut bench = Bench::new();
    bench.send("shop", vec![publish(2), publish(3)]);
    bench.send("mail", vec![span(2, 21, 2, "process", CONSUMER)]);
    bench.pass(15 * SECONDS);
    assert_eq!(edges(&bench), ["shop -> mail [messaging_system] 2"], "the one that was not met is no call");
}

/// A library that hands over many messages in one call, whose context they all bear.
#[test]
fn a_batch_is_as_many_messages_as_it_says() {
    let of = |id: u64, kind: i32, topic: &str, messages: i64| {
        let named =
            span(id.into(), id, 0, topic, kind).with(text("messaging.destination.name", topic)).with(text("messaging.system", "sqs"));
        named.with(int("messaging.batch.message_count", messages))
    };
    let mut bench = Bench::new();
    bench.send("shop", vec![of(1, PRODUCER, "lost", 10), of(2, PRODUCER, "orders", 3), of(3, PRODUCER, "huge", 1 << 40)]);
    let taken = (0..3).map(|i| span(20 + u128::from(i), 20 + i, 0, "process", CONSUMER).links(2, 2)).collect();
    bench.send("billing", taken);
    bench.send("mail", vec![of(4, CONSUMER, "letters", 7)]);
    bench.pass(15 * SECONDS);
    assert_eq!(edges(&bench), ["shop -> billing [messaging_system] 3", "shop -> huge [virtual_node] 1", "shop -> lost [virtual_node] 10"]);
    assert_eq!(deliveries(&bench), ["shop -> orders [sqs] -> billing 3", " -> letters [sqs] -> mail 7"]);
}

/// Instrumentations of clients that poll have a consumer span for the poll around the one for what came (confluent-kafka in Python, Kafka in Java).
#[test]
fn a_consumer_around_consumers_has_fetched_what_they_process() {
    for parent_first in [true, false] {
        let mut bench = Bench::new();
        for round in 1..=5_u64 {
            bench.send("shop", vec![span(u128::from(round), 1, 0, "send", PRODUCER).with(text("messaging.destination", "orders"))]);
            let trace = u128::from(round) + 100;
            let fetch = span(trace, 2, 0, "recv", CONSUMER).links(u128::from(round), 1);
            let process = span(trace, 3, 2, "orders process", CONSUMER).with(text("messaging.destination", "orders"));
            let process = process.links(u128::from(round), 1);
            // Of another service it is a message that was handed on.
            let elsewhere = span(trace, 4, 3, "mail process", CONSUMER);
            let spans = [vec![fetch], vec![process]];
            for spans in if parent_first { spans } else { spans.into_iter().rev().collect::<Vec<_>>().try_into().expect("two") } {
                bench.send("billing", spans);
            }
            bench.send("mail", vec![elsewhere]);
        }
        bench.pass(15 * SECONDS);
        let calls = |service: &str, kind: &str| {
            let of: f64 = bench
                .newest("traces_span_metrics_calls_total")
                .iter()
                .filter(|(l, _)| l.value("service_name") == service && l.value("span_kind") == kind)
                .filter_map(|(_, v)| v.as_float())
                .sum();
            of
        };
        // The first is counted before it is known.
        assert_eq!((calls("billing", "SPAN_KIND_CONSUMER"), calls("billing", "SPAN_KIND_CLIENT")), (6.0, 4.0), "{parent_first}");
        assert_eq!(calls("mail", "SPAN_KIND_CONSUMER"), 5.0);
        assert_eq!(bench.value("watchfire_message_deliveries_total", &[("server", "billing")]), Some(6.0));
    }
}

/// Instrumentations of AMQP name the exchange on both sides, and the queue only in the name of the consumer's span.
#[test]
fn messages_through_an_exchange_come_through_the_queue_that_its_consumer_is_named_after() {
    let told = |id: u64, name: &str, kind: i32, exchange: &str| {
        let named =
            span(id.into(), id, 0, name, kind).with(text("messaging.destination", exchange)).with(text("messaging.system", "rabbitmq"));
        named.with(text("messaging.rabbitmq.routing_key", "paid.card"))
    };
    let mut bench = Bench::new();
    let publish = |id: u64, exchange: &str| told(id, "publish", PRODUCER, exchange);
    let take = |id: u64, name: &str, exchange: &str, of: u64| told(id, name, CONSUMER, exchange).links(of.into(), of);
    bench.send("shop", vec![publish(1, "shop.events"), publish(2, "news"), publish(3, "plain"), publish(4, "temporary")]);
    bench.send("shipper", vec![take(11, "shipments process", "shop.events", 1), take(12, "readers process", "news", 2)]);
    bench.send("mailer", vec![take(13, "mails process", "news", 2), take(14, "plain receive", "plain", 3)]);
    bench.send("mailer", vec![take(15, "amq.gen-JzTY20BRgKO process", "temporary", 4), take(16, "paid.card process", "shop.events", 9)]);
    // Nobody takes these any more.
    bench.send("shop", vec![publish(5, "shop.events"), publish(6, "news")]);
    bench.pass(15 * SECONDS);
    let mut deliveries = deliveries(&bench);
    deliveries.sort();
    assert_eq!(
        deliveries,
        [
            " -> shop.events [rabbitmq] -> mailer 1",
            "shop -> amq.gen [rabbitmq] -> mailer 1",
            "shop -> mails [rabbitmq] -> mailer 1",
            "shop -> plain [rabbitmq] -> mailer 1",
            "shop -> readers [rabbitmq] -> shipper 1",
            "shop -> shipments [rabbitmq] -> shipper 1",
        ]
    );
    let lost: Vec<_> = edges(&bench).into_iter().filter(|edge| edge.contains("virtual_node")).collect();
    assert_eq!(lost, ["shop -> news [virtual_node] 1", "shop -> shipments [virtual_node] 1"], "what feeds one queue is that queue");
}

/// What is within itself is no part of anything, or nothing would be left of the service.
#[test]
fn a_consumer_directly_within_its_like_is_a_message_of_its_own() {
    let mut bench = Bench::new();
    for trace in 1..=3 {
        let chain = vec![span(trace, 1, 0, "step", CONSUMER), span(trace, 2, 1, "step", CONSUMER), span(trace, 3, 2, "last", CONSUMER)];
        bench.send("jobs", chain);
        bench.send("jobs", vec![span(trace, 4, 0, "last", CONSUMER), span(trace, 5, 4, "step", CONSUMER)]);
    }
    bench.pass(3 * SECONDS);
    let served = bench.newest("traces_span_metrics_calls_total").into_iter().filter(|(l, _)| l.value("span_kind") == "SPAN_KIND_CONSUMER");
    assert!(served.filter_map(|(_, v)| v.as_float()).sum::<f64>() >= 6.0);
}

#[test]
fn producers_that_say_the_routing_key_as_well_mean_the_exchange_that_consumers_say() {
    let mut bench = Bench::new();
    let told = |id: u64, parent: u64, destination: &str, kind: i32| {
        let name = if kind == PRODUCER { format!("{destination} send") } else { format!("{destination} receive") };
        let span = span(id.into(), if parent == 0 { 1 } else { 2 }, parent, &name, kind).with(text("messaging.system", "rabbitmq"));
        let span = span.with(text("messaging.destination", destination));
        if kind == CONSUMER { span.with(text("messaging.operation", "receive")) } else { span }
    };
    bench.send(
        "shop",
        vec![told(1, 0, "events,order.paid", PRODUCER), told(2, 0, ",mails", PRODUCER), told(3, 0, "events,order.sent", PRODUCER)],
    );
    bench.send("mailer", vec![told(1, 1, "events", CONSUMER), told(2, 1, "mails", CONSUMER)]);
    bench.pass(15 * SECONDS);
    assert_eq!(deliveries(&bench), ["shop -> events [rabbitmq] -> mailer 1", "shop -> mails [rabbitmq] -> mailer 1"]);
    let waiting: Vec<_> = edges(&bench).into_iter().filter(|edge| edge.contains("virtual_node")).collect();
    assert_eq!(waiting, ["shop -> events [virtual_node] 1"]);
}

/// SDKs of AWS name the queue in every call about it, and some say by the method alone what that does.
#[test]
fn who_fetches_from_sqs_publishes_nothing_there() {
    let mut bench = Bench::new();
    let call = |id: u64, method: &str| {
        let span = span(id.into(), 1, 0, "SQS", CLIENT).with(text("messaging.system", "aws.sqs"));
        let span = span.with(text("messaging.destination", "orders"));
        span.with(text("rpc.system", "aws-api")).with(text("rpc.method", method))
    };
    bench.send("shop", vec![call(1, "SendMessage"), call(2, "SQS/SendMessageBatch"), call(3, "GetQueueAttributes")]);
    bench.send("mailer", vec![call(4, "ReceiveMessage"), call(5, "DeleteMessage"), call(6, "SQS/ChangeMessageVisibility")]);
    let of_all =
        span(7, 1, 0, "SNS.ListTopics", CLIENT).with(text("messaging.system", "aws.sns")).with(text("server.address", "aws.example"));
    bench.send("shop", vec![of_all.with(text("rpc.system", "aws-api")).with(text("rpc.method", "ListTopics"))]);
    bench.pass(15 * SECONDS);
    assert_eq!(edges(&bench), ["shop -> aws.example [virtual_node] 1", "shop -> orders [virtual_node] 2"]);
    let queues: Vec<_> = bench.newest("watchfire_node_info").into_iter().filter(|(labels, _)| labels.value("kind") == "queue").collect();
    assert!(queues.iter().all(|(labels, _)| labels.value("node") == "orders"), "{queues:?}");
}

/// Sidekiq's instrumentation can be told to name its Redis so.
#[test]
fn queues_of_one_broker_are_told_apart_though_the_broker_is_stated() {
    let mut bench = Bench::new();
    let told = |id: u64, queue: &str, kind: i32| {
        let span = span(id.into(), if kind == PRODUCER { 1 } else { 2 }, u64::from(kind == CONSUMER), "job", kind);
        let span = span.with(text("messaging.system", "sidekiq")).with(text("peer.service", "sidekiq-redis"));
        span.with(text("messaging.destination", queue))
    };
    bench.send("shop", vec![told(1, "mails", PRODUCER), told(2, "reports", PRODUCER)]);
    bench.send("jobs", vec![told(1, "mails", CONSUMER), told(2, "reports", CONSUMER)]);
    bench.pass(15 * SECONDS);
    assert_eq!(deliveries(&bench), ["shop -> mails [sidekiq] -> jobs 1", "shop -> reports [sidekiq] -> jobs 1"]);
}
