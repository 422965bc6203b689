//! The scraper against real sockets.

mod support;

use axum::Router;
use axum::body::Body;
use axum::extract::Query;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use support::{job, scraper, scraper_at, scraper_into, serve};
use tokio::io::AsyncWriteExt;
use watchfire_model::{MetricKind, Secret, SeriesId};
use watchfire_scrape::{ByteSize, Job, RelabelConfig, StaticConfig, TargetHealth};
use watchfire_testkit::SleepyClock;

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

fn page(content_type: &'static str, body: impl Into<Body>) -> Response {
    ([(header::CONTENT_TYPE, content_type)], body.into()).into_response()
}

type Page = fn() -> Response;

/// Serves the given bodies one after the other, the last one for ever.
fn sequence(pages: Vec<Page>) -> Router {
    let count = Arc::new(AtomicUsize::new(0));
    Router::new().route(
        "/metrics",
        get(move || {
            let next = count.fetch_add(1, Ordering::SeqCst).min(pages.len() - 1);
            let made = pages[next]();
            async move { made }
        }),
    )
}

#[tokio::test]
async fn a_target_gives_its_samples_the_report_and_its_row_on_the_target_page() {
    let server = serve(sequence(vec![|| {
        page(TEXT, "# HELP http_requests_total Requests.\n# TYPE http_requests_total counter\nhttp_requests_total{code=\"200\",job=\"me\"} 1027\nlast_line_without_feed 3.5")
    }]))
    .await;
    let mut settings = job(server.address, "/metrics");
    settings.labels.insert("simulated".to_owned(), "true".to_owned());
    let rig = scraper(vec![settings]);
    rig.sink.until("two scrapes", |r| r.values("up{simulated=\"true\"}").len() >= 2).await;
    rig.sink.read(|r| {
        assert_eq!(r.values("http_requests_total{code=\"200\", exported_job=\"me\", simulated=\"true\"}")[0], Some(1027.0));
        assert_eq!(r.values("last_line_without_feed{simulated=\"true\"}")[0], Some(3.5));
        assert_eq!(r.values("up{simulated=\"true\"}")[0], Some(1.0));
        assert_eq!(r.values("scrape_samples_scraped{simulated=\"true\"}")[0], Some(2.0));
        assert_eq!(r.values("scrape_samples_post_metric_relabeling{simulated=\"true\"}")[0], Some(2.0));
        assert_eq!(r.values("scrape_series_added{simulated=\"true\"}")[..2], [Some(2.0), Some(0.0)]);
        assert_eq!(r.kind("http_requests_total"), Some(MetricKind::Counter));
        assert_eq!(r.metadata["http_requests_total"].help, "Requests.");
        // One row per scrape, everything of one scrape at one time.
        assert!(r.rows.iter().all(|(_, _, row)| row.len() == 7), "{:?}", r.rows);
    });
    let details = rig.handle.details();
    assert_eq!(details[0].health, TargetHealth::Up);
    let json = serde_json::to_value(&details[0]).unwrap();
    for key in [
        "discoveredLabels",
        "labels",
        "scrapePool",
        "scrapeUrl",
        "globalUrl",
        "lastError",
        "lastScrape",
        "lastScrapeDuration",
        "health",
        "scrapeInterval",
        "scrapeTimeout",
    ] {
        assert!(json.get(key).is_some(), "{key}");
    }
    assert_eq!(json["discoveredLabels"]["__address__"], server.address.to_string());
    let row = &rig.handle.targets()[0];
    assert_eq!((row.job.as_str(), row.up, row.samples), ("t", Some(true), Some(2)));
}

#[tokio::test]
async fn the_request_is_one_that_exporters_know() {
    let seen: Arc<parking_lot::Mutex<Option<HeaderMap>>> = Arc::default();
    let keep = seen.clone();
    let server = serve(Router::new().route(
        "/metrics",
        get(move |headers: HeaderMap| {
            *keep.lock() = Some(headers);
            async { page(TEXT, "a 1\n") }
        }),
    ))
    .await;
    let mut settings = job(server.address, "/metrics");
    settings.http_headers.insert("X-Scope".to_owned(), Secret::new("team"));
    settings.bearer_token = Some(Secret::new("token"));
    let rig = scraper(vec![settings]);
    rig.sink.until("a scrape", |r| !r.rows.is_empty()).await;
    let headers = seen.lock().take().unwrap();
    assert!(headers["accept"].to_str().unwrap().contains("text/plain;version=0.0.4"));
    assert_eq!(headers["accept-encoding"], "gzip");
    assert_eq!(headers["x-prometheus-scrape-timeout-seconds"], "0.2");
    assert_eq!(headers["authorization"], "Bearer token");
    assert_eq!(headers["x-scope"], "team");
}

#[tokio::test]
async fn openmetrics_with_exemplars_arrives_compressed() {
    let server = serve(sequence(vec![|| {
        let text = "# TYPE req counter\n# UNIT req_seconds seconds\nreq_total 3 # {trace_id=\"4bf92f3577b34da6a3ce929d0e0e4736\",span_id=\"00f067aa0ba902b7\"} 0.5 1700000000.5\nreq_created 1.7e9\n# EOF\n";
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(text.as_bytes()).unwrap();
        ([(header::CONTENT_TYPE, OPENMETRICS), (header::CONTENT_ENCODING, "gzip")], gzip.finish().unwrap()).into_response()
    }]))
    .await;
    let rig = scraper(vec![job(server.address, "/metrics")]);
    rig.sink.until("an exemplar", |r| !r.exemplars.is_empty()).await;
    rig.sink.read(|r| {
        assert_eq!(r.values("req_total")[0], Some(3.0));
        assert_eq!(r.kind("req_total"), Some(MetricKind::Counter));
        let exemplar = &r.exemplars[0].1;
        assert_eq!(exemplar.trace_id.unwrap().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!((exemplar.at.millis(), exemplar.value), (1_700_000_000_500, 0.5));
    });
}

#[tokio::test]
async fn whatever_ends_a_series_leaves_a_stale_marker() {
    let good: Page = || page(TEXT, "kept 1\ngone 1\n");
    let cases: Vec<(&str, Page, &str)> = vec![
        ("status", || StatusCode::SERVICE_UNAVAILABLE.into_response(), "503"),
        ("parse", || page(TEXT, "kept 1\ngone {{{\n"), "line 2"),
        ("sample limit", || page(TEXT, "kept 1\na 1\nb 1\nc 1\n"), "sample limit exceeded"),
        ("no end", || page(OPENMETRICS, "kept 1\n"), "# EOF"),
    ];
    for (name, bad, error) in cases {
        let server = serve(sequence(vec![good, bad])).await;
        let rig = scraper(vec![Job { sample_limit: 3, ..job(server.address, "/metrics") }]);
        rig.sink.until(name, |r| r.values("up").contains(&Some(0.0))).await;
        rig.sink.read(|r| {
            assert_eq!(r.values("gone")[..2], [Some(1.0), None], "{name}");
            assert_eq!(r.values("kept")[..2], [Some(1.0), None], "{name}");
        });
        let waited = rig.handle.details().remove(0);
        assert!(waited.last_error.contains(error), "{name}: {}", waited.last_error);
        assert_eq!(waited.health, TargetHealth::Down);

        // What comes back is nothing new.
        let server = serve(sequence(vec![good, bad, good])).await;
        let rig = scraper(vec![Job { sample_limit: 3, ..job(server.address, "/metrics") }]);
        rig.sink.until("recovered", |r| r.values("up").len() >= 3).await;
        rig.sink.read(|r| {
            assert_eq!(r.values("up")[..3], [Some(1.0), Some(0.0), Some(1.0)], "{name}");
            assert_eq!(r.values("scrape_series_added")[..3], [Some(2.0), Some(0.0), Some(0.0)], "{name}");
            assert_eq!(r.values("kept")[..3], [Some(1.0), None, Some(1.0)], "{name}");
        });
    }

    let server = serve(sequence(vec![good, || page(TEXT, "kept 2\n")])).await;
    let rig = scraper(vec![job(server.address, "/metrics")]);
    rig.sink.until("three scrapes", |r| r.values("up").len() >= 3).await;
    rig.sink.read(|r| {
        assert_eq!(r.values("gone"), [Some(1.0), None], "one marker, once");
        assert_eq!(r.values("kept")[..2], [Some(1.0), Some(2.0)]);
    });
    rig.handle.set_jobs(Vec::new());
    rig.sink.until("the target's end", |r| r.values("up").last() == Some(&None)).await;
    rig.sink.read(|r| assert_eq!(r.values("kept").last(), Some(&None)));
    assert!(rig.handle.targets().is_empty());
}

#[tokio::test]
async fn a_changed_job_takes_over_the_series_of_the_old_one() {
    let server = serve(sequence(vec![|| page(TEXT, "a 1\nb 1\n")])).await;
    let rig = scraper(vec![job(server.address, "/metrics")]);
    rig.sink.until("a scrape", |r| !r.values("b").is_empty()).await;
    let drop_b = RelabelConfig {
        source_labels: vec!["__name__".to_owned()],
        regex: "b".to_owned(),
        action: watchfire_scrape::Action::Drop,
        ..RelabelConfig::default()
    };
    rig.handle.set_jobs(vec![Job { metric_relabel_configs: vec![drop_b], ..job(server.address, "/metrics") }]);
    rig.sink.until("the end of b", |r| r.values("b").last() == Some(&None)).await;
    rig.sink.read(|r| {
        assert!(r.values("a").iter().all(Option::is_some), "a went on without a gap");
        assert!(r.values("up").iter().all(Option::is_some));
    });
}

#[tokio::test]
async fn bodies_are_cut_at_the_limit_whatever_they_are_made_of() {
    let endless = Router::new().route(
        "/endless",
        get(|| async {
            let line = axum::body::Bytes::from("filler{a=\"b\"} 1\n".repeat(1000));
            let (sender, receiver) = tokio::sync::mpsc::channel::<Result<axum::body::Bytes, std::io::Error>>(1);
            tokio::spawn(async move { while sender.send(Ok(line.clone())).await.is_ok() {} });
            page(TEXT, Body::from_stream(tokio_stream::wrappers::ReceiverStream::new(receiver)))
        }),
    );
    let bomb = endless.route(
        "/bomb",
        get(|| async {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            gzip.write_all(&vec![b'#'; 64 << 20]).unwrap();
            ([(header::CONTENT_TYPE, TEXT), (header::CONTENT_ENCODING, "gzip")], gzip.finish().unwrap()).into_response()
        }),
    );
    let server = serve(bomb).await;
    for path in ["/endless", "/bomb"] {
        let settings = Job {
            body_size_limit: ByteSize(1 << 20),
            scrape_interval: Duration::from_secs(20),
            scrape_timeout: Some(Duration::from_secs(20)),
            ..job(server.address, path)
        };
        let rig = scraper(vec![settings]);
        rig.sink.until(path, |r| r.values("up") == [Some(0.0)]).await;
        let error = rig.handle.details().remove(0).last_error;
        assert_eq!(error, "body size limit exceeded: more than 1MiB", "{path}");
        assert_eq!(rig.meter.counter("watchfire_scrape_failures_total", &[("reason", "body_limit")]).get(), 1);
    }
}

#[tokio::test]
async fn an_encoding_that_was_not_asked_for_is_named() {
    let answer = || async { ([(header::CONTENT_TYPE, TEXT), (header::CONTENT_ENCODING, "zstd")], "a 1\n").into_response() };
    let server = serve(Router::new().route("/metrics", get(answer))).await;
    let rig = scraper(vec![job(server.address, "/metrics")]);
    rig.sink.until("a failure", |r| r.values("up").first() == Some(&Some(0.0))).await;
    let error = rig.handle.details().remove(0).last_error;
    assert_eq!(error, r#"the answer is encoded as "zstd", which was not asked for; gzip and identity are understood"#);
}

#[tokio::test]
async fn a_target_that_hangs_before_or_within_its_answer_times_out() {
    // Accepts and says nothing, or half of an answer.
    for half in ["", "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 1000\r\n\r\na 1\n"] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let mut open = Vec::new();
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                socket.write_all(half.as_bytes()).await.unwrap();
                open.push(socket);
            }
        });
        let rig = scraper(vec![job(address, "/metrics")]);
        rig.sink.until("a failure", |r| r.values("up").contains(&Some(0.0))).await;
        rig.sink.read(|r| {
            let took = r.values("scrape_duration_seconds")[0].unwrap();
            assert!(took >= 0.2, "{took}");
            assert!(r.values("a").is_empty());
        });
        assert_eq!(rig.handle.details()[0].last_error, "no complete answer within 200ms");
        server.abort();
    }
    let rig = scraper(vec![job("127.0.0.1:1".parse().unwrap(), "/metrics")]);
    rig.sink.until("a refused connection", |r| r.values("up") == [Some(0.0)]).await;
    assert!(rig.handle.details()[0].last_error.contains("refused"), "{}", rig.handle.details()[0].last_error);
}

/// A connection that was open when the lid was closed is gone when it is opened.
#[tokio::test]
async fn a_scrape_that_the_machine_slept_through_is_made_again() {
    let (clock, hour) = (SleepyClock::default(), Duration::from_secs(3600));
    let (lid, requests) = (clock.clone(), Arc::new(AtomicUsize::new(0)));
    let metrics = move || {
        let answer = match requests.fetch_add(1, Ordering::SeqCst) {
            0 => page(TEXT, "kept 1\n"),
            1 => {
                lid.suspend(hour);
                StatusCode::SERVICE_UNAVAILABLE.into_response()
            }
            2 => page(TEXT, "kept 2\n"),
            _ => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        };
        async move { answer }
    };
    let server = serve(Router::new().route("/metrics", get(metrics))).await;
    let rig = scraper_at(clock, vec![job(server.address, "/metrics")]);
    rig.sink.until("a failure while awake", |r| r.values("up").contains(&Some(0.0))).await;
    rig.sink.read(|r| {
        assert_eq!(r.values("up")[..3], [Some(1.0), Some(1.0), Some(0.0)]);
        assert_eq!(r.values("kept")[..3], [Some(1.0), Some(2.0), None]);
        let up = r.samples("up");
        assert!(up[1].0.since(up[0].0) > hour, "the second scrape is of after the sleep");
    });
}

#[tokio::test]
async fn redirects_are_followed_as_far_as_is_safe() {
    let hops = |Query(q): Query<HashMap<String, usize>>| async move {
        match q["n"] {
            0 => page(TEXT, "arrived 1\n"),
            n => Redirect::temporary(&format!("/hop?n={}", n - 1)).into_response(),
        }
    };
    let to = |Query(q): Query<HashMap<String, String>>| async move { Redirect::temporary(&q["to"]).into_response() };
    let server = serve(Router::new().route("/hop", get(hops)).route("/to", get(to))).await;
    let seen: Arc<parking_lot::Mutex<Vec<HeaderMap>>> = Arc::default();
    let keep = seen.clone();
    let other = serve(Router::new().route(
        "/metrics",
        get(move |headers: HeaderMap| {
            keep.lock().push(headers);
            async { page(TEXT, "elsewhere 1\n") }
        }),
    ))
    .await;

    for (path, error) in [
        ("/hop?n=5".to_owned(), ""),
        ("/hop?n=6".to_owned(), "redirect refused: more than 5 hops"),
        ("/to?to=http://169.254.169.254/latest/meta-data".to_owned(), "redirect refused: to 169.254.169.254"),
        ("/to?to=http://[fe80::1]/".to_owned(), "redirect refused: to fe80::1"),
        ("/to?to=file:///etc/passwd".to_owned(), "redirect refused: scheme \"file\"; only http and https are followed"),
        (format!("/to?to=http://{}/metrics", other.address), ""),
    ] {
        let mut settings = job(server.address, &path);
        settings.scrape_interval = Duration::from_secs(2);
        settings.bearer_token = Some(Secret::new("token"));
        let rig = scraper(vec![settings]);
        rig.sink.until(&path, |r| !r.values("up").is_empty()).await;
        rig.sink.until(&path, |_| rig.handle.details()[0].last_scrape.is_some()).await;
        assert_eq!(rig.handle.details()[0].last_error, error, "{path}");
    }
    let seen = seen.lock();
    assert!(!seen.is_empty() && seen.iter().all(|h| !h.contains_key("authorization")), "credentials stayed with the first host");
}

#[tokio::test]
async fn content_types_are_taken_kindly_or_refused_clearly() {
    let cases: Vec<(Page, bool, &str)> = vec![
        (|| Body::from("a 1\n").into_response(), true, "no content type"),
        (|| page("application/octet-stream", "a 1\n"), true, "octet-stream"),
        (|| page("text/html", "<html><h1>Hello</h1></html>"), false, "content type \"text/html\" is no metrics format"),
        (|| page("application/json", "{\"a\":1}"), false, "application/json"),
        (|| page("text/plain", "Active connections: 1 \nserver accepts handled requests\n"), false, "line 1"),
    ];
    for (made, up, words) in cases {
        let server = serve(sequence(vec![made])).await;
        let rig = scraper(vec![job(server.address, "/metrics")]);
        rig.sink.until(words, |r| r.values("up").len() >= 2).await;
        let detail = rig.handle.details().remove(0);
        assert_eq!(detail.health == TargetHealth::Up, up, "{words}");
        let said = if up { detail.warnings.join(" ") } else { detail.last_error };
        assert!(said.contains(words), "{said}");
    }
    let server = serve(sequence(vec![|| Body::from("a 1\n").into_response()])).await;
    let rig = scraper(vec![Job { fallback_scrape_protocol: None, ..job(server.address, "/metrics") }]);
    rig.sink.until("strictness", |r| r.values("up").contains(&Some(0.0))).await;
}

#[tokio::test]
async fn a_body_that_breaks_a_rule_fails_its_scrape_and_no_other() {
    let hostile: Vec<(String, &str)> = vec![
        (format!("a{{{}}} 1\n", (0..200).map(|i| format!("l{i}=\"v\"")).collect::<Vec<_>>().join(",")), "label limit exceeded: 203 labels"),
        (format!("a{{l=\"{}\"}} 1\n", "v".repeat(1 << 20)), "label limit exceeded: label l of 1048576 bytes"),
        (format!("a{{{}=\"v\"}} 1\n", "n".repeat(300)), "label limit exceeded: a label name"),
        ("a{l=\"unclosed} 1\n".to_owned(), "line 1: a quote is not closed"),
        ("a{l=\"x\",l=\"y\"} 1\n".to_owned(), "not unique"),
        ("good 1\na one\n".to_owned(), "line 2: \"one\" is not a value"),
        ("a 1 soon\n".to_owned(), "timestamp"),
        ("# TYPE a thermometer\n".to_owned(), "invalid metric type"),
        ("# TYPE a counter of things\n".to_owned(), "text after the metric type"),
        ("a 1e400\n".to_owned(), "line 1: \"1e400\" is not a value"),
        ("a 1 -5\n".to_owned(), "timestamp"),
    ];
    for (body, error) in hostile {
        let server = serve(Router::new().route("/metrics", get(move || async move { page(TEXT, body) }))).await;
        let neighbour = serve(sequence(vec![|| page(TEXT, "fine 1\n")])).await;
        let rig = scraper(vec![job(server.address, "/metrics"), job(neighbour.address, "/metrics")]);
        rig.sink.until(error, |r| r.values("up").contains(&Some(0.0)) && r.values("fine").contains(&Some(1.0))).await;
        rig.sink.until(error, |_| rig.handle.details().iter().any(|d| !d.last_error.is_empty())).await;
        let errors: Vec<String> = rig.handle.details().into_iter().map(|d| d.last_error).filter(|e| !e.is_empty()).collect();
        assert!(errors.len() == 1 && errors[0].contains(error), "{errors:?}");
        rig.sink.read(|r| assert!(r.values("good").is_empty(), "nothing of a bad body is stored"));
    }
}

#[tokio::test]
async fn duplicates_keep_the_first_and_are_counted() {
    let server = serve(sequence(vec![|| page(TEXT, "a{x=\"1\"} 1\na{x=\"1\"} 2\n")])).await;
    let rig = scraper(vec![job(server.address, "/metrics")]);
    rig.sink.until("two scrapes", |r| r.values("up").len() >= 2).await;
    rig.sink.read(|r| assert!(r.values("a{x=\"1\"}").iter().all(|v| *v == Some(1.0))));
    assert!(rig.meter.counter("watchfire_scrape_samples_rejected_total", &[("reason", "duplicate")]).get() >= 1);
    assert_eq!(rig.handle.details()[0].warnings, ["1 samples rejected: duplicate"]);
    // As in Prometheus, what relabelling let through is counted with them.
    rig.sink.read(|r| assert_eq!(r.values("scrape_samples_post_metric_relabeling")[0], Some(2.0)));
}

#[tokio::test]
async fn beyond_the_series_limit_known_series_go_on() {
    let calls = Arc::new(AtomicUsize::new(0));
    let server = serve(Router::new().route(
        "/metrics",
        get(move || {
            let call = calls.fetch_add(1, Ordering::SeqCst);
            let new: String = (0..100).map(|i| format!("explode{{call=\"{call}\",i=\"{i}\"}} 1\n")).collect();
            async move { page(TEXT, format!("known {call}\n{new}")) }
        }),
    ))
    .await;
    let rig = scraper_into(support::recorder::Recorder::with_limit(50), vec![job(server.address, "/metrics")]);
    rig.sink.until("five scrapes", |r| r.values("up").len() >= 5).await;
    rig.sink.read(|r| {
        assert_eq!(r.series.len(), 50);
        let known = r.values("known");
        assert!(known.len() >= 5 && known.iter().all(Option::is_some));
    });
    assert!(rig.meter.counter("watchfire_scrape_samples_rejected_total", &[("reason", "series_limit")]).get() > 300);
}

#[tokio::test]
async fn samples_with_their_own_times_are_stored_at_them() {
    let server = serve(sequence(vec![|| page(TEXT, "own 1 1700000000000\nshared 2\n"), || page(TEXT, "shared 3\n")])).await;
    let rig = scraper(vec![job(server.address, "/metrics")]);
    rig.sink.until("three scrapes", |r| r.values("up").len() >= 3).await;
    rig.sink.read(|r| {
        let own = r.samples("own");
        assert_eq!((own.len(), own[0].0.millis()), (1, 1_700_000_000_000), "and no stale marker, as in Prometheus");
        assert_eq!(r.values("shared")[..2], [Some(2.0), Some(3.0)]);
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_targets_that_never_answer_cost_the_other_four_hundred_fifty_nothing() {
    let server = serve(sequence(vec![|| page(TEXT, "work 1\n")])).await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let group = |address: std::net::SocketAddr, id: usize| StaticConfig {
        targets: vec![address.to_string()],
        labels: BTreeMap::from([("instance".to_owned(), format!("t{id}"))]),
    };
    let many = Job {
        job_name: "many".to_owned(),
        scrape_interval: Duration::from_secs(4),
        scrape_timeout: Some(Duration::from_secs(3)),
        static_configs: (0..500)
            .map(|id| if id % 10 == 0 { group(silent.local_addr().unwrap(), id) } else { group(server.address, id) })
            .collect(),
        ..Job::default()
    };
    let rig = scraper(vec![many]);
    // One row a scrape: everyone three times. Asked cheaply, for the question is asked at every row and under the lock of the next one.
    rig.sink.until("three rounds", |r| r.rows.len() >= 1500).await;
    assert_eq!(rig.handle.targets().len(), 500);
    // On a loaded machine an answer may be late for once; nobody but the silent stays down.
    let down = || rig.handle.targets().iter().filter(|t| t.up == Some(false)).count();
    rig.sink.until("only the silent are down", |_| down() == 50).await;
    rig.sink.read(|r| {
        let took: Vec<f64> = r.values("scrape_duration_seconds").into_iter().flatten().collect();
        assert!(took.iter().filter(|t| **t < 3.0).count() >= 900, "answers did not wait for the silent");
        let up: HashSet<_> = (0..r.series.len()).filter(|i| r.series[*i].1.metric_name() == "up").map(|i| SeriesId(i as u32)).collect();
        let mut rounds: HashMap<_, Vec<_>> = HashMap::new();
        for (_, at, row) in &r.rows {
            for (id, _) in row.iter().filter(|(id, _)| up.contains(id)) {
                rounds.entry(*id).or_default().push(*at);
            }
        }
        assert_eq!(rounds.len(), 500);
        let missed = rounds.values().flat_map(|times| times.windows(2)).filter(|w| w[1].since(w[0]) > Duration::from_secs(6)).count();
        assert_eq!(missed, 0, "every slot was used, those of the silent too");
    });
}

#[tokio::test]
async fn jobs_and_targets_that_cannot_run_are_named_and_the_rest_runs() {
    let server = serve(sequence(vec![|| page(TEXT, "a 1\n")])).await;
    let bad_job = Job { job_name: "bad".to_owned(), scheme: "ftp".to_owned(), ..Job::default() };
    let mut half = job(server.address, "/metrics");
    half.static_configs[0].targets.push("host:1/path".to_owned());
    let dropping = Job {
        job_name: "dropped".to_owned(),
        relabel_configs: vec![RelabelConfig { action: watchfire_scrape::Action::Drop, ..RelabelConfig::default() }],
        ..job(server.address, "/metrics")
    };
    let rig = scraper(vec![bad_job, half, dropping]);
    rig.sink.until("a scrape", |r| !r.rows.is_empty()).await;
    let problems = rig.handle.problems().join("\n");
    assert!(problems.contains("\"bad\"") && problems.contains("host:1/path"), "{problems}");
    assert_eq!(rig.handle.dropped().len(), 1);
    assert_eq!(rig.handle.dropped()[0].scrape_pool, "dropped");
}
