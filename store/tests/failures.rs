//! What counts as a failure, from encoded spans to series.

#[path = "../testing/build.rs"]
mod build;
#[path = "../testing/walk.rs"]
mod walk;

use build::*;
use opentelemetry_proto::tonic::trace::v1::{Status, span::Event};
use std::time::Duration;
use watchfire_store::{SignalSettings, StoreLimits};

const CALLS: &str = "traces_span_metrics_calls_total";
const SECONDS: Duration = Duration::from_secs(1);

#[test]
fn client_errors_fail_a_server_only_where_that_is_asked_for() {
    for (asked, expected) in [(false, "STATUS_CODE_UNSET"), (true, "STATUS_CODE_ERROR")] {
        let services = if asked { [String::from("api")].into() } else { Default::default() };
        let mut bench = Bench::with(StoreLimits::default(), SignalSettings { http_4xx_is_error: services, ..SignalSettings::default() });
        bench.send("api", vec![span(1, 1, 0, "op", SERVER).with(int("http.status_code", 404))]);
        bench.pass(2 * SECONDS);
        assert_eq!(bench.newest(CALLS)[0].0.value("status_code"), expected);
    }
}

#[test]
fn what_went_wrong_is_an_error_where_no_status_says_it() {
    let mut bench = Bench::new();
    let job = |id: u64, events: &[&str]| {
        let mut span = span(id.into(), id, 0, "process mails", CONSUMER).with(text("bullmq.queue.name", "mails"));
        span.events.extend(events.iter().map(|name| Event { name: (*name).into(), time_unix_nano: 1, ..Event::default() }));
        span
    };
    bench.send("worker", vec![job(1, &["job completed"]), job(2, &["job failed"]), job(3, &["exception"])]);
    bench.send("worker", vec![job(4, &["exception", "job completed"]), job(5, &[])]);
    let get = |id: u64| span(id.into(), id, 0, "GET", CLIENT).with(text("server.address", "api.example.com"));
    let mut fine = get(12).with(text("error.type", "timeout"));
    fine.status = Some(Status { code: 1, ..Status::default() });
    let mut caught = get(13);
    caught.events.push(Event { name: "exception".into(), ..Event::default() });
    bench.send("web", vec![get(10), get(11).with(text("error.type", "timeout")), fine, caught]);
    bench.pass(5 * SECONDS);
    let calls =
        |service: &str, status: &str| bench.value("traces_span_metrics_calls_total", &[("service_name", service), ("status_code", status)]);
    assert_eq!((calls("worker", "STATUS_CODE_ERROR"), calls("worker", "STATUS_CODE_UNSET")), (Some(2.0), Some(3.0)));
    assert_eq!((calls("web", "STATUS_CODE_ERROR"), calls("web", "STATUS_CODE_OK")), (Some(1.0), Some(1.0)));
    assert_eq!(calls("web", "STATUS_CODE_UNSET"), Some(2.0), "an exception that was caught is no failure");
    let answer = |id: u64, attribute| span(id.into(), id, 0, "GET /", SERVER).with(int("http.request.size", 3)).with(attribute);
    let mut meant = answer(20, int("http.response.status_code", 503));
    meant.status = Some(Status { code: 1, ..Status::default() });
    let failing = [
        text("error.type", "Timeout"),
        int("http.response.status_code", 500),
        text("http.status_code", "502"),
        text("outcome", "SERVER_ERROR"),
        int("rpc.grpc.status_code", 14),
        text("rpc.response.status_code", "DEADLINE_EXCEEDED"),
        text("grpc.status_code", "13"),
    ];
    let fine = [
        int("http.response.status_code", 404),
        int("http.status_code", 200),
        text("error.type", ""),
        text("outcome", "CLIENT_ERROR"),
        int("rpc.grpc.status_code", 5),
        int("rpc.grpc.status_code", 0),
        text("rpc.status_code", "INVALID_ARGUMENT"),
    ];
    let answers = failing.into_iter().chain(fine).zip(21..).map(|(attribute, id)| answer(id, attribute));
    bench.send("api", answers.chain([meant]).collect());
    bench.send("caller", vec![get(40).with(int("http.response.status_code", 503)), get(41).with(int("http.status_code", 404))]);
    let ask = [
        text("rpc.status_code", "NOT_FOUND"),
        int("rpc.grpc.status_code", 5),
        text("grpc.status_code", "16"),
        text("rpc.response.status_code", "UNAVAILABLE"),
        int("rpc.grpc.status_code", 0),
        text("rpc.status_code", "OK"),
    ];
    bench.send(
        "asker",
        ask.into_iter().zip(50..).map(|(status, id)| span(id.into(), id, 0, "shop.Cart/Get", CLIENT).with(status)).collect(),
    );
    bench.pass(5 * SECONDS);
    let of = |service: &str| {
        ["ERROR", "UNSET", "OK"]
            .map(|status| bench.value(CALLS, &[("service_name", service), ("status_code", &format!("STATUS_CODE_{status}"))]))
    };
    assert_eq!(of("asker"), [Some(4.0), Some(2.0), None], "to a client of gRPC everything but success is a failure");
    assert_eq!(of("api"), [Some(7.0), Some(7.0), Some(1.0)], "4xx is the client's fault, and who says that all went well is believed");
    assert_eq!(of("caller"), [Some(1.0), Some(1.0), None], "whether 4xx is a failure its instrumentation decides");
}

/// Which failures are the server's the conventions say, by number in older names and in words in newer ones; to a client all are.
#[test]
fn the_status_of_an_rpc_tells_where_its_span_leaves_it_unset() {
    let mut bench = Bench::new();
    let (old, new, interim) = ("rpc.grpc.status_code", "rpc.status_code", "rpc.response.status_code");
    let failing = [2, 4, 12, 13, 14, 15].map(|code| int(old, code)).into_iter().chain([
        text(new, "UNAVAILABLE"),
        text(interim, "DEADLINE_EXCEEDED"),
        text(new, "unavailable"),
        text(old, "14"),
    ]);
    let fine = [0, 1, 3, 5, 7, 8, 16, 99].map(|code| int(old, code)).into_iter().chain([
        text(new, "OK"),
        text(interim, "NOT_FOUND"),
        text(old, "0"),
    ]);
    let answers: Vec<_> = failing.chain(fine).collect();
    for (service, kind) in [("server", SERVER), ("client", CLIENT)] {
        bench.send(
            service,
            answers.iter().zip(1..).map(|(status, id)| span(id.into(), id, 0, "Charge", kind).with(status.clone())).collect(),
        );
    }
    let mut meant = span(50, 50, 0, "Charge", SERVER).with(int(old, 13));
    meant.status = Some(Status { code: 1, ..Status::default() });
    bench.send("server", vec![meant]);
    bench.pass(5 * SECONDS);
    let of = |service: &str| {
        ["ERROR", "UNSET", "OK"]
            .map(|status| bench.value(CALLS, &[("service_name", service), ("status_code", &format!("STATUS_CODE_{status}"))]))
    };
    assert_eq!(of("server"), [Some(10.0), Some(11.0), Some(1.0)]);
    assert_eq!(of("client"), [Some(18.0), Some(3.0), None]);
}
