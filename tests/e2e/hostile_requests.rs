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
    // Both kinds of length: what stands behind the last chunk is no request.
    let smuggled = "POST /api/v1/query HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: 70\r\n\
                    transfer-encoding: chunked\r\n\r\n7\r\nquery=1\r\n0\r\n\r\nGET /-/ready HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let answer = exchange(&watchfire.api, smuggled.as_bytes());
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    assert!(!answer.contains("Ready"), "{answer}");
    let (status, _) = watchfire.get("/-/ready").await;
    assert_eq!(status, 200, "good clients are served as before");
    for reason in ["headers", "protocol"] {
        assert!(watchfire.metric(&format!("watchfire_http_rejected_total{{reason=\"{reason}\"}}")).await >= 2.0, "{reason} is counted");
    }
}
