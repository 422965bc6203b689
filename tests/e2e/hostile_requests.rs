//! Requests to the API that no client of good will makes, as bytes on a socket: each is answered in order, and no file is ever served.

use crate::instance::Watchfire;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Everything that is answered to these bytes until the server closes.
fn exchange(address: &str, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).expect("listening");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
    // A refusal may come before all is sent.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn tricks_with_paths_headers_and_lengths_get_a_plain_refusal() {
    let watchfire = Watchfire::start(&[]);
    let paths = [
        "/..%2f..%2f..%2fetc/passwd",
        "/../../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/api/v1/..%2f..%2fetc/passwd",
        "/api/v1/label/..%2f..%2fetc%2fpasswd/values/x",
        "/api/v1/status/..\\..\\etc\\passwd",
        "//etc/passwd",
        "/api/watchfire/v1/traces/..%2f..%2fetc%2fpasswd%00",
    ];
    for path in paths {
        let answer = exchange(&watchfire.api, get(path).as_bytes());
        assert!(answer.starts_with("HTTP/1.1 404") || answer.starts_with("HTTP/1.1 400"), "{path}: {answer}");
        assert!(!answer.contains("root:"), "{path}: {answer}");
    }
    let parameters: String = (0..10_000).map(|n| format!("&a{n}=1")).collect();
    let form = format!("query=1{parameters}");
    for (what, request, status) in [
        ("10,000 parameters", get(&format!("/api/v1/query?query=1{parameters}")), "HTTP/1.1 431"),
        ("a huge header", format!("GET / HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "a".repeat(1 << 20)), "HTTP/1.1 431"),
        ("HTTP/0.9", "GET /api/v1/query?query=1\r\n\r\n".to_owned(), "HTTP/1.1 400"),
        ("HTTP/9.9", "GET / HTTP/9.9\r\nhost: localhost\r\n\r\n".to_owned(), "HTTP/1.1 400"),
        ("two lengths", "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx".to_owned(), "HTTP/1.1 400"),
        ("a coding that nobody knows", "POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: x\r\n\r\n".to_owned(), "HTTP/1.1 400"),
        ("a byte that is none", "G\u{1}T / HTTP/1.1\r\nhost: localhost\r\n\r\n".to_owned(), "HTTP/1.1 400"),
        (
            "10,000 fields of a form",
            format!(
                "POST /api/v1/query HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/x-www-form-urlencoded\r\n\
                 content-length: {}\r\n\r\n{form}",
                form.len()
            ),
            "HTTP/1.1 400",
        ),
    ] {
        let answer = exchange(&watchfire.api, request.as_bytes());
        assert!(answer.starts_with(status), "{what}: {answer}");
    }
    // One after the other without waiting: each its own answer, in order.
    let both = format!("GET /-/ready HTTP/1.1\r\nhost: localhost\r\n\r\n{}", get("/nothing"));
    let answers = exchange(&watchfire.api, both.as_bytes());
    let statuses: Vec<&str> = answers.split("HTTP/1.1 ").skip(1).map(|a| &a[..3]).collect();
    assert_eq!(statuses, ["200", "404"], "{answers}");
    // Both kinds of length: the chunks count, and the connection ends with the answer (RFC 9112, 6.1). What stands behind the last chunk is no request.
    for lengths in ["content-length: 70\r\ntransfer-encoding: chunked", "transfer-encoding: chunked\r\ncontent-length: 70"] {
        let smuggled = format!(
            "POST /api/v1/query HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-www-form-urlencoded\r\n{lengths}\r\n\r\n\
             7\r\nquery=1\r\n0\r\n\r\nGET /-/ready HTTP/1.1\r\nhost: localhost\r\n\r\n"
        );
        let answer = exchange(&watchfire.api, smuggled.as_bytes());
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
        assert!(answer.contains("connection: close") && !answer.contains("Ready"), "{answer}");
    }
    let (status, _) = watchfire.get("/-/ready").await;
    assert_eq!(status, 200, "good clients are served as before");
    for reason in ["headers", "protocol"] {
        assert!(watchfire.metric(&format!("watchfire_http_rejected_total{{reason=\"{reason}\"}}")).await >= 2.0, "{reason} is counted");
    }
}

/// What a page in a browser on the same machine can try: to post from another origin, to fetch across sites, and to rebind its own name to loopback.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_in_a_browser_gets_nowhere() {
    let watchfire = Watchfire::start(&["--remote-write-receiver"]);
    let form = "content-type: application/x-www-form-urlencoded\r\n";
    let silence = r#"{"matchers":[{"name":"a","value":"b","isRegex":false,"isEqual":true}],"startsAt":"2026-01-01T00:00:00Z","endsAt":"2126-01-01T00:00:00Z","createdBy":"x","comment":"x"}"#;
    let page = "origin: http://evil.example\r\n";
    let span = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"0102030405060708090a0b0c0d0e0f10","spanId":"0102030405060708","name":"x"}]}]}]}"#;
    let json = "content-type: application/json\r\n";
    let requests = [
        (&watchfire.api, "POST", "/-/reload", page.to_owned(), ""),
        (&watchfire.api, "POST", "/api/watchfire/v1/silences", format!("{page}{json}"), silence),
        (&watchfire.api, "POST", "/api/v1/query", format!("{page}{form}"), "query=up"),
        (&watchfire.api, "POST", "/api/v1/write", page.to_owned(), "x"),
        (&watchfire.api, "GET", "/api/v1/query?query=up", "sec-fetch-site: cross-site\r\n".to_owned(), ""),
        (
            &watchfire.api,
            "GET",
            "/",
            format!(
                "{page}connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            ),
            "",
        ),
        // What a form can send needs no preflight.
        (&watchfire.otlp_http, "POST", "/v1/traces", format!("{page}content-type: text/plain\r\n"), span),
        (&watchfire.otlp_http, "POST", "/v1/traces", format!("{page}{json}"), span),
    ];
    let origin = requests.len() as f64;
    for (address, method, path, headers, body) in requests {
        let close = if headers.contains("upgrade") { "" } else { "connection: close\r\n" };
        let request =
            format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n{close}{headers}content-length: {}\r\n\r\n{body}", body.len());
        let answer = exchange(address, request.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("is not allowed"), "{method} {path}: {answer}");
        let said = if address == &watchfire.api { r#"{"status":"error","errorType":"bad_data","error":"origin "# } else { r#"{"code":7,"# };
        assert!(answer.contains(said), "in the words of the port: {answer}");
        assert!(!answer.to_ascii_lowercase().contains("access-control"), "{answer}");
    }
    for address in [&watchfire.api, &watchfire.otlp_http] {
        let request = "GET /api/v1/query?query=up HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n";
        let answer = exchange(address, request.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("evil.example") && answer.contains("is not allowed"), "{answer}");
    }
    assert_eq!(watchfire.metric(r#"watchfire_http_rejected_total{reason="origin"}"#).await, origin);
    assert_eq!(watchfire.metric(r#"watchfire_http_rejected_total{reason="host"}"#).await, 2.0);
    let status = watchfire.json("/api/watchfire/v1/alerts").await;
    assert!(status["silences"].as_array().is_none_or(Vec::is_empty), "{status}");
    let traces = watchfire.json("/api/v1/query?query=traces_span_metrics_calls_total").await;
    assert_eq!(traces["data"]["result"].as_array().map(Vec::len), Some(0), "{traces}");
}
