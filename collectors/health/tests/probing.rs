//! The prober against real sockets.

use axum::Router;
use axum::extract::Query;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect};
use axum::routing::get;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use watchfire_health::{CheckSettings, Prober, ProberHandle};
use watchfire_model::HealthState::{Degraded, Healthy, Unhealthy, Unknown};
use watchfire_model::{CheckReport, Clock, ClockReading, Meter, ProbeSink, Secret, Timestamp};

struct MachineClock(Instant);

impl Clock for MachineClock {
    fn read(&self) -> ClockReading {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let awake = self.0.elapsed();
        ClockReading { wall: Timestamp::from_millis(wall.as_millis() as i64), boot: awake, awake, carried: Duration::ZERO }
    }
}

/// Keeps every report and can be waited on.
#[derive(Clone)]
struct Recorder {
    reports: Arc<Mutex<Vec<CheckReport>>>,
    forgotten: Arc<Mutex<Vec<(String, String)>>>,
    changed: Arc<watch::Sender<usize>>,
}

impl ProbeSink for Recorder {
    fn probe(&self, report: CheckReport) {
        self.reports.lock().push(report);
        self.changed.send_modify(|n| *n += 1);
    }

    fn forget(&self, service: &str, check: &str) {
        self.forgotten.lock().push((service.to_owned(), check.to_owned()));
        self.changed.send_modify(|n| *n += 1);
    }
}

struct Rig {
    handle: ProberHandle,
    sink: Recorder,
    meter: Meter,
    _stop: DropGuard,
}

impl Rig {
    fn start(checks: Vec<CheckSettings>) -> Rig {
        let sink = Recorder { reports: Arc::default(), forgotten: Arc::default(), changed: Arc::new(watch::channel(0).0) };
        let (meter, stop) = (Meter::new(), CancellationToken::new());
        let clock = Arc::new(MachineClock(Instant::now()));
        let handle = Prober::start(checks, 64, Arc::new(sink.clone()), meter.clone(), clock, stop.clone());
        Rig { handle, sink, meter, _stop: stop.drop_guard() }
    }

    /// Waits for a report that fits; fails the test after 30 seconds.
    async fn until(&self, what: &str, fits: impl Fn(&CheckReport) -> bool) -> CheckReport {
        let mut changes = self.sink.changed.subscribe();
        let waited = tokio::time::timeout(Duration::from_secs(30), async {
            loop {
                if let Some(found) = self.sink.reports.lock().iter().find(|r| fits(r)) {
                    return found.clone();
                }
                changes.changed().await.unwrap();
            }
        });
        match waited.await {
            Ok(found) => found,
            Err(_) => panic!("still waiting for {what}; seen {:?}", self.sink.reports.lock().last()),
        }
    }
}

struct Server {
    address: SocketAddr,
    _stop: DropGuard,
}

async fn serve(router: Router) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    tokio::spawn(async move { axum::serve(listener, router).with_graceful_shutdown(async move { stopped.cancelled().await }).await });
    Server { address, _stop: stop.drop_guard() }
}

fn check(url: &str) -> CheckSettings {
    let made = CheckSettings::from_url(url).unwrap();
    CheckSettings { interval: Duration::from_millis(200), timeout: Duration::from_millis(200), ..made }
}

fn answering(status: u16, body: &'static str) -> Router {
    Router::new().route(
        "/health",
        get(move || async move { (StatusCode::from_u16(status).unwrap(), [(header::CONTENT_TYPE, "application/json")], body) }),
    )
}

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

/// A server with a certificate for an address that answers every request over HTTP/1.1, and the file of its authority.
async fn serve_tls(folder: &std::path::Path, is_ca: rcgen::IsCa, name: &str) -> (SocketAddr, std::path::PathBuf) {
    let mut parameters = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    parameters.is_ca = is_ca;
    parameters.not_after = rcgen::date_time_ymd(2099, 12, 31);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = parameters.self_signed(&key).unwrap();
    let authority = folder.join("ca.pem");
    std::fs::write(&authority, certificate.pem()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        while let Ok((socket, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(socket).await else { return };
                let mut request = [0; 4096];
                while stream.read(&mut request).await.is_ok_and(|n| n > 0) {
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
                }
            });
        }
    });
    (address, authority)
}

#[tokio::test]
async fn the_certificate_is_checked_and_its_end_reported() {
    let folder = tempfile::tempdir().unwrap();
    let (address, authority) = serve_tls(folder.path(), rcgen::IsCa::NoCa, "127.0.0.1").await;
    let mut settings = CheckSettings {
        failures_before_down: 1,
        interval: Duration::from_secs(3),
        timeout: Duration::from_secs(3),
        ..check(&format!("https://{address}/"))
    };
    let untrusted = Rig::start(vec![settings.clone()]);
    let report = untrusted.until("a refusal", |_| true).await;
    assert_eq!(report.state, Unhealthy);
    assert!(report.detail.contains("TLS") && report.detail.contains("UnknownIssuer"), "{}", report.detail);

    settings.tls.ca_file = Some(authority);
    let trusted = Rig::start(vec![settings.clone()]);
    let report = trusted.until("a report", |_| true).await;
    assert_eq!(report.state, Healthy, "{}", report.detail);
    assert_eq!(report.certificate_expires, Some(Timestamp::from_millis(4_102_358_400_000)));

    settings.tls = watchfire_fetch::TlsSettings { insecure_skip_verify: true, ..Default::default() };
    let careless = Rig::start(vec![settings]);
    assert_eq!(careless.until("a report", |_| true).await.state, Healthy);
}

/// `openssl req -x509` makes such a certificate: an authority that signed itself.
#[tokio::test]
async fn a_server_that_ca_file_names_is_trusted_under_its_own_name() {
    let folder = tempfile::tempdir().unwrap();
    let authority = || rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    for (name, state, detail) in [("127.0.0.1", Healthy, "HTTP 200"), ("192.0.2.1", Unhealthy, "not valid for name")] {
        let (address, file) = serve_tls(folder.path(), authority(), name).await;
        let mut settings = CheckSettings { failures_before_down: 1, ..check(&format!("https://{address}/")) };
        let unnamed = Rig::start(vec![settings.clone()]).until("a refusal", |_| true).await;
        assert_eq!(
            (unnamed.state, &*unnamed.detail),
            (Unhealthy, "TLS: the certificate signed itself; name its file in ca_file to trust it")
        );
        settings.tls.ca_file = Some(file);
        let named = Rig::start(vec![settings]).until("a report", |_| true).await;
        assert_eq!(named.state, state, "{}", named.detail);
        assert!(named.detail.contains(detail), "{}", named.detail);
    }
    // Another authority that signed itself is not trusted for that.
    let (_, other) = serve_tls(folder.path(), authority(), "127.0.0.1").await;
    let kept = folder.path().join("other.pem");
    std::fs::rename(other, &kept).unwrap();
    let (address, _) = serve_tls(folder.path(), authority(), "127.0.0.1").await;
    let mut settings = CheckSettings { failures_before_down: 1, ..check(&format!("https://{address}/")) };
    settings.tls.ca_file = Some(kept);
    assert_eq!(Rig::start(vec![settings]).until("a refusal", |_| true).await.state, Unhealthy);
}

#[tokio::test]
async fn a_grpc_server_whose_tls_is_refused_says_what_to_write() {
    let folder = tempfile::tempdir().unwrap();
    let (address, file) = serve_tls(folder.path(), rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained), "127.0.0.1").await;
    let plain = serve(Router::new()).await;
    let report = async |url: String, ca_file: Option<std::path::PathBuf>| {
        let mut settings = CheckSettings { failures_before_down: 1, ..check(&url) };
        settings.tls.ca_file = ca_file;
        Rig::start(vec![settings]).until(&url, |_| true).await
    };
    let refused = report(format!("grpcs://{address}"), None).await;
    assert_eq!((refused.state, &*refused.detail), (Unhealthy, "TLS: the certificate signed itself; name its file in ca_file to trust it"));
    let trusted = report(format!("grpcs://{address}"), Some(file)).await;
    assert!(!trusted.detail.contains("TLS"), "it is connected to: {}", trusted.detail);
    let refused = report(format!("grpcs://{}", plain.address), None).await;
    assert_eq!((refused.state, &*refused.detail), (Unhealthy, "TLS: the port answers without TLS; write grpc://"));
    let refused = report(format!("grpc://{address}"), None).await;
    assert!(refused.state == Unhealthy && refused.detail.contains("write grpcs:// if"), "{}", refused.detail);
}
