//! The prober against real sockets.

mod rig;
mod tls;

use axum::Router;
use axum::extract::Query;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect};
use axum::routing::get;
use rig::{Rig, answering, check, serve};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use watchfire_health::CheckSettings;
use watchfire_model::HealthState::{Degraded, Healthy, Unhealthy, Unknown};
use watchfire_model::Secret;
use watchfire_testkit::SleepyClock;

#[tokio::test]
async fn a_healthy_service_names_itself_and_its_dependencies() {
    let server = serve(answering(
        200,
        r#"{"service":"auth-service","status":"healthy","dependencies":{"database":"healthy","redis":"unhealthy"},"uptime":12}"#,
    ))
    .await;
    let rig = Rig::start(vec![check(&format!("http://{}/health", server.address))]);
    let report = rig.until("a report", |_| true).await;
    assert_eq!((report.service.as_str(), report.check.as_str(), report.state, report.success), ("auth-service", "health", Degraded, true));
    assert_eq!(report.detail, "HTTP 200: redis unhealthy");
    assert!(report.latency.is_some());
    let dependencies: Vec<_> = report.dependencies.iter().map(|d| (d.name.as_str(), d.state)).collect();
    assert_eq!(dependencies, [("database", Healthy), ("redis", Unhealthy)]);

    rig.handle.set_checks(Vec::new());
    let mut changes = rig.sink.changed.subscribe();
    let forgotten = async {
        while rig.sink.forgotten.lock().is_empty() {
            changes.changed().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(30), forgotten).await.unwrap();
    assert_eq!(*rig.sink.forgotten.lock(), [("auth-service".to_owned(), "health".to_owned())]);
}

#[tokio::test]
async fn two_failures_are_down_and_one_answer_recovers() {
    let broken = Arc::new(AtomicBool::new(false));
    let switch = broken.clone();
    let server = serve(Router::new().route(
        "/health",
        get(move || {
            let status = if switch.load(Ordering::SeqCst) { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
            async move { (status, "ok") }
        }),
    ))
    .await;
    let rig = Rig::start(vec![check(&format!("http://{}/health#orders", server.address))]);
    rig.until("healthy", |r| r.state == Healthy).await;
    broken.store(true, Ordering::SeqCst);
    let first = rig.until("a first failure", |r| !r.success).await;
    assert_eq!((first.state, first.detail.as_str()), (Healthy, "1 failure: HTTP 503"));
    let down = rig.until("down", |r| r.state == Unhealthy).await;
    assert_eq!(down.detail, "HTTP 503");
    assert!(down.since > first.since);
    broken.store(false, Ordering::SeqCst);
    rig.until("recovery", |r| r.state == Healthy && r.since > down.since).await;
    assert!(rig.meter.counter("watchfire_probe_failures_total", &[("reason", "status")]).get() >= 2);
}

/// A connection that was open when the lid was closed is gone when it is opened.
#[tokio::test]
async fn a_probe_that_the_machine_slept_through_is_made_again() {
    let (clock, hour) = (SleepyClock::default(), Duration::from_secs(3600));
    let (lid, requests) = (clock.clone(), Arc::new(AtomicUsize::new(0)));
    let health = move || {
        let status = match requests.fetch_add(1, Ordering::SeqCst) {
            1 => {
                lid.suspend(hour);
                StatusCode::SERVICE_UNAVAILABLE
            }
            0 | 2 => StatusCode::OK,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        async move { status }
    };
    let server = serve(Router::new().route("/health", get(health))).await;
    let rig = Rig::start_at(clock, vec![check(&format!("http://{}/health", server.address))]);
    rig.until("a failure while awake", |r| !r.success).await;
    let reports = rig.sink.reports.lock();
    assert_eq!(reports.iter().map(|r| r.success).collect::<Vec<_>>()[..3], [true, true, false]);
    assert!(reports[1].at.since(reports[0].at) > hour, "the second one is of after the sleep");
}

/// Connections that are open go on being served by a process that takes no new ones, and by the pod that a balancer no longer sends anybody to.
#[tokio::test]
async fn a_service_that_lets_nobody_in_any_more_is_down() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/health", listener.local_addr().unwrap());
    let router = Router::new().route("/health", get(|| async { "ok" }));
    let serving = tokio::spawn(async move { axum::serve(listener, router).await });
    let rig = Rig::start(vec![check(&url)]);
    rig.until("healthy", |r| r.state == Healthy).await;
    serving.abort();
    rig.until("down", |r| r.state == Unhealthy && r.detail.contains("cannot connect")).await;
}

#[tokio::test]
async fn what_goes_wrong_on_the_way_is_said() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let wrong = serve(answering(404, "")).await;
    let plain = serve(answering(200, "{}")).await;
    for (url, state, words) in [
        ("http://127.0.0.1:1/health".to_owned(), Unhealthy, "refused"),
        (format!("http://{}/health", silent.local_addr().unwrap()), Unhealthy, "no complete answer within 200ms"),
        ("http://does-not-exist.invalid/health".to_owned(), Unhealthy, "cannot resolve"),
        (format!("https://{}/health", plain.address), Unhealthy, "TLS"),
        (format!("http://{}/health", wrong.address), Unknown, "probe misconfigured: HTTP 404"),
        ("tcp://127.0.0.1:1".to_owned(), Unhealthy, "refused"),
    ] {
        let rig = Rig::start(vec![CheckSettings {
            interval: Duration::from_secs(3),
            timeout: Duration::from_secs(3),
            failures_before_down: 1,
            ..check(&url)
        }]);
        let limited = Rig::start(vec![CheckSettings { failures_before_down: 1, ..check(&url) }]);
        let rig = if words.contains("200ms") { limited } else { rig };
        let report = rig.until(&url, |r| !r.success).await;
        assert_eq!(report.state, state, "{url}: {}", report.detail);
        assert!(report.detail.contains(words), "{url}: {}", report.detail);
    }
}

#[tokio::test]
async fn redirects_and_sizes_are_bounded() {
    let hops = |Query(q): Query<HashMap<String, usize>>| async move {
        match q["n"] {
            0 => "ok".into_response(),
            n => Redirect::temporary(&format!("/hop?n={}", n - 1)).into_response(),
        }
    };
    let server = serve(
        Router::new()
            .route("/hop", get(hops))
            .route("/metadata", get(|| async { Redirect::temporary("http://169.254.169.254/") }))
            .route("/large", get(|| async { format!("{{\"status\":\"down\",\"x\":\"{}\"}}", "x".repeat(1 << 20)) })),
    )
    .await;
    for (path, state, words) in [
        ("/hop?n=3", Healthy, "HTTP 200"),
        ("/hop?n=4", Unknown, "more than 3 hops"),
        ("/metadata", Unknown, "redirect refused: to 169.254.169.254"),
        ("/large", Healthy, "longer than 65536 bytes"),
    ] {
        let rig = Rig::start(vec![CheckSettings {
            failures_before_down: 1,
            interval: Duration::from_secs(2),
            timeout: Duration::from_secs(2),
            ..check(&format!("http://{}{path}", server.address))
        }]);
        let report = rig.until(path, |_| true).await;
        assert_eq!(report.state, state, "{path}: {}", report.detail);
        assert!(report.detail.contains(words), "{path}: {}", report.detail);
    }
}

#[tokio::test]
async fn method_headers_and_expected_status_are_obeyed() {
    let server = serve(Router::new().route(
        "/health",
        axum::routing::post(|headers: HeaderMap| async move {
            if headers.get("x-token").is_some_and(|t| t == "secret") { StatusCode::IM_A_TEAPOT } else { StatusCode::UNAUTHORIZED }
        }),
    ))
    .await;
    let mut settings = check(&format!("http://{}/health", server.address));
    settings.method = "POST".to_owned();
    settings.expected_status = vec![418];
    let refused = Rig::start(vec![CheckSettings { failures_before_down: 1, ..settings.clone() }]);
    assert!(refused.until("a refusal", |_| true).await.detail.contains("credentials"));
    settings.headers.insert("X-Token".to_owned(), Secret::new("secret"));
    let rig = Rig::start(vec![settings]);
    assert_eq!(rig.until("a report", |_| true).await.state, Healthy);
}

#[tokio::test]
async fn an_open_port_is_healthy() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let rig = Rig::start(vec![check(&format!("tcp://{}", listener.local_addr().unwrap()))]);
    let report = rig.until("a report", |_| true).await;
    assert_eq!((report.state, report.check.as_str()), (Healthy, "tcp"));
    assert_eq!(report.detail, "takes connections; whether it would answer is not asked");
    assert!(
        report.latency.is_some_and(|took| took < Duration::from_millis(150)),
        "waiting for a greeting is no part of it: {:?}",
        report.latency
    );
}

#[tokio::test]
async fn a_server_that_greets_no_more_is_not_well() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let rig = Rig::start(vec![check(&format!("tcp://{}", listener.local_addr().unwrap()))]);
    for _ in 0..2 {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"220 mail.local ESMTP\r\n").await.unwrap();
    }
    let report = rig.until("a greeting", |r| r.state == Healthy).await;
    assert_eq!(report.detail, "connected, and greeted");
    // Stopped from now on: the system still takes connections.
    let report = rig.until("silence", |r| r.state == Unhealthy).await;
    assert_eq!(report.detail, "takes connections, and did not greet within 100ms as before");
    assert_eq!(report.latency, None);
}

#[tokio::test]
async fn who_speaks_another_protocol_is_asked_wrongly_and_not_ill() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let rig = Rig::start(vec![check(&format!("http://{}/health", listener.local_addr().unwrap()))]);
    // What a server of HTTP/2 alone begins with: an empty SETTINGS frame.
    let server = async {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::io::AsyncWriteExt::write_all(&mut stream, &[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
        }
    };
    let report = tokio::select! { report = rig.until("a report", |_| true) => report, () = server => unreachable!() };
    assert_eq!(report.state, Unknown);
    assert!(report.detail.contains("the answer is not HTTP/1.1"), "{}", report.detail);
}

#[tokio::test]
async fn grpc_health_is_asked_by_service() {
    let (reporter, service) = tonic_health::server::health_reporter();
    reporter.set_service_status("cart", tonic_health::ServingStatus::Serving).await;
    reporter.set_service_status("stock", tonic_health::ServingStatus::NotServing).await;
    reporter.set_service_status("slow", tonic_health::ServingStatus::Unknown).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(
        tonic::transport::Server::builder()
            .add_service(service)
            .serve_with_incoming(tokio_stream::wrappers::TcpListenerStream::new(listener)),
    );
    let bare = serve(answering(200, "{}")).await;
    for (url, state, words) in [
        (format!("grpc://{address}/cart"), Healthy, "SERVING"),
        (format!("grpc://{address}"), Healthy, "SERVING"),
        (format!("grpc://{address}/stock"), Unhealthy, "NOT_SERVING"),
        (format!("grpc://{address}/slow"), Unknown, "UNKNOWN"),
        (format!("grpc://{address}/missing"), Unknown, "does not know service \"missing\""),
        ("grpc://127.0.0.1:1".to_owned(), Unhealthy, "refused"),
        (format!("grpc://{}", bare.address), Unknown, "misconfigured"),
    ] {
        let rig = Rig::start(vec![CheckSettings {
            failures_before_down: 1,
            interval: Duration::from_secs(3),
            timeout: Duration::from_secs(3),
            ..check(&url)
        }]);
        let report = rig.until(&url, |_| true).await;
        assert_eq!(report.state, state, "{url}: {}", report.detail);
        assert!(report.detail.contains(words), "{url}: {}", report.detail);
    }
    server.abort();
}

#[tokio::test]
async fn silent_endpoints_delay_nobody() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let seen = count.clone();
    let server = serve(Router::new().route(
        "/health",
        get(move || {
            seen.fetch_add(1, Ordering::SeqCst);
            async { "ok" }
        }),
    ))
    .await;
    let at = |address: SocketAddr, name: String| CheckSettings {
        service: name,
        interval: Duration::from_secs(2),
        timeout: Duration::from_secs(2),
        ..check(&format!("http://{address}/health"))
    };
    let mut checks: Vec<CheckSettings> = (0..20).map(|i| at(silent.local_addr().unwrap(), format!("silent{i}"))).collect();
    checks.extend((0..80).map(|i| at(server.address, format!("good{i}"))));
    let rig = Rig::start(checks);
    rig.until("a silent endpoint down", |r| r.service.starts_with("silent") && r.state == Unhealthy).await;
    let reports = rig.sink.reports.lock();
    let good: Vec<_> = reports.iter().filter(|r| r.service.starts_with("good")).collect();
    assert!(good.iter().all(|r| r.state == Healthy) && count.load(Ordering::SeqCst) >= 80);
    assert!((0..80).all(|i| good.iter().any(|r| r.service == format!("good{i}"))));
}

#[tokio::test]
async fn two_instances_that_call_themselves_the_same_do_not_hide_each_other() {
    let body = r#"{"service":"orders","status":"healthy"}"#;
    let (one, two) = (serve(answering(200, body)).await, serve(answering(503, body)).await);
    let rig = Rig::start([one.address, two.address].map(|a| check(&format!("http://{a}/health"))).to_vec());
    rig.until("the good one", |r| r.service == "orders" && r.state == Healthy).await;
    rig.until("the broken one", |r| r.service == "orders" && r.state == Unhealthy).await;
    let reports = rig.sink.reports.lock();
    let names = |wanted| {
        reports
            .iter()
            .filter(|r| r.service == "orders" && r.state == wanted)
            .map(|r| r.check.clone())
            .collect::<std::collections::BTreeSet<_>>()
    };
    assert!(names(Healthy).is_disjoint(&names(Unhealthy)), "{:?}", names(Unhealthy));
}

#[tokio::test]
async fn checks_that_cannot_run_are_named_and_twins_are_told_apart() {
    let (one, two) = (serve(answering(200, "{}")).await, serve(answering(200, "{}")).await);
    let named = |address: SocketAddr| CheckSettings { service: "orders".to_owned(), ..check(&format!("http://{address}/health")) };
    let bad = CheckSettings { url: "ftp://x".to_owned(), ..CheckSettings::default() };
    let rig = Rig::start(vec![named(one.address), named(two.address), bad]);
    rig.until("the second instance", |r| r.check == format!("health {}", two.address)).await;
    rig.until("the first instance", |r| r.check == "health").await;
    assert!(rig.handle.problems()[0].contains("ftp"));
}
