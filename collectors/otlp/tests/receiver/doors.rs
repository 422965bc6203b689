//! Who is not let in at all, in the words of OTLP: hosts, origins, tokens, headers that are too large or too slow, a receiver that stops.

use crate::fixture::*;
use prost::Message;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Code;
use watchfire_otlp::Settings;
use watchfire_serve::Guard;

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const JSON: (&str, &str) = ("content-type", "application/json");

fn body() -> Vec<u8> {
    traces(vec![span("a")]).encode_to_vec()
}

impl Fixture {
    fn turned_away(&self, reason: &str) -> u64 {
        self.count("watchfire_http_rejected_total", &[("reason", reason)])
    }

    async fn call_with(&self, name: &'static str, value: &str) -> Result<bytes::Bytes, tonic::Status> {
        let mut request = tonic::Request::new(bytes::Bytes::from(body()));
        request.metadata_mut().insert(name, value.parse().expect("ASCII"));
        let mut grpc = tonic::client::Grpc::new(self.channel.clone());
        grpc.ready().await.expect("connected");
        grpc.unary(request, http::uri::PathAndQuery::from_static(TRACE_EXPORT), RawCodec).await.map(tonic::Response::into_inner)
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.http.trim_start_matches("http://")).await.expect("listening")
    }
}

async fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await.expect("it ends");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn web_pages_and_rebound_names_get_nothing_in() {
    let fixture = Fixture::start();
    let answer = fixture.post("/v1/traces", &[PROTOBUF, ("origin", "http://evil.example")], body()).await;
    assert_eq!((answer.status, answer.header("content-type")), (403, "application/x-protobuf"));
    assert_eq!(answer.message(), "origin \"http://evil.example\" is not allowed");
    let answer = fixture.post("/v1/traces", &[PROTOBUF, ("host", "evil.example")], body()).await;
    assert_eq!((answer.status, answer.message().as_str()), (403, "host \"evil.example\" is not allowed"));
    let status = fixture.call_with("origin", "http://evil.example").await.expect_err("refused");
    assert_eq!((status.code(), status.message()), (Code::PermissionDenied, "origin \"http://evil.example\" is not allowed"));
    assert_eq!((fixture.turned_away("origin"), fixture.turned_away("host")), (2, 1));
    assert_eq!(fixture.stop().await.len(), 0);
}

#[tokio::test]
async fn without_the_token_nothing_gets_in_and_after_twenty_wrong_ones_the_address_waits() {
    let guard = Guard { token: Some("correct horse battery staple".into()), ..Guard::default() };
    let fixture = Fixture::with(Settings { guard, ..Settings::default() });
    let right = ("authorization", "Bearer correct horse battery staple");
    for headers in [vec![JSON], vec![JSON, ("authorization", "Bearer correct horse battery stable")]] {
        let answer = fixture.post("/v1/traces", &headers, "{}").await;
        assert_eq!(
            (answer.status, answer.header("www-authenticate"), answer.message().as_str()),
            (401, "Bearer", "missing or wrong token")
        );
    }
    let status = fixture.call(TRACE_EXPORT, body()).await.expect_err("no token");
    assert_eq!((status.code(), status.message()), (Code::Unauthenticated, "missing or wrong token"));
    for _ in 3..20 {
        assert_eq!(fixture.post("/v1/traces", &[JSON], "{}").await.status, 401);
    }
    let answer = fixture.post("/v1/traces", &[PROTOBUF], body()).await;
    let seconds: u64 = answer.header("retry-after").parse().expect("seconds");
    assert!((1..=60).contains(&seconds));
    assert_eq!((answer.status, answer.message()), (429, format!("too many wrong tokens from this address; try again in {seconds}s")));
    let status = fixture.call_with("authorization", "Bearer wrong").await.expect_err("too many");
    assert_eq!(
        (status.code(), status.message().split(';').next()),
        (Code::ResourceExhausted, Some("too many wrong tokens from this address"))
    );
    assert_eq!((fixture.turned_away("auth"), fixture.turned_away("auth_rate")), (20, 2));
    // Whoever has the right one is not made to pay for a neighbour who has not.
    assert_eq!(fixture.post("/v1/traces", &[PROTOBUF, right], body()).await.status, 200);
    fixture.call_with(right.0, right.1).await.expect("the right token");
    assert_eq!(fixture.stop().await.len(), 2);
}

#[tokio::test]
async fn headers_that_are_too_large_or_too_slow_are_told_so() {
    let guard = Guard { header_timeout: Duration::from_millis(300), ..Guard::default() };
    let fixture = Fixture::with(Settings { guard, ..Settings::default() });
    let answer = fixture.post("/v1/traces", &[JSON, ("x", &"y".repeat(17 << 10))], "{}").await;
    assert_eq!((answer.status, answer.message().as_str()), (431, "headers exceed 16 KiB"));
    let status = fixture.call_with("x", &"y".repeat(17 << 10)).await.expect_err("too large");
    assert_eq!((status.code(), status.message()), (Code::ResourceExhausted, "headers exceed 16 KiB"));
    let mut slow = fixture.connect().await;
    slow.write_all(b"POST /v1/traces HTTP/1.1\r\nhost: loc").await.expect("sent");
    let answer = rest(&mut slow).await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("header read timed out after 300ms"), "{answer}");
    assert_eq!((fixture.turned_away("headers"), fixture.turned_away("slow")), (2, 1));
    fixture.stop().await;
}

#[tokio::test]
async fn what_comes_while_the_receiver_stops_may_be_tried_again() {
    let fixture = Fixture::start();
    // Heads that are not complete yet hold their connections open while the receiver drains.
    let mut waiting = Vec::new();
    for _ in 0..50 {
        let mut stream = fixture.connect().await;
        stream.write_all(b"POST /v1/traces HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n").await.expect("sent");
        waiting.push(stream);
    }
    let mut good = fixture.connect().await;
    good.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.expect("sent");
    assert!(rest(&mut good).await.starts_with("HTTP/1.1 404"), "all those before it have been accepted");
    fixture.cancel.cancel();
    let deadline = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(fixture.http.trim_start_matches("http://")).await.is_ok() {
        assert!(Instant::now() < deadline, "still listening");
    }
    let mut refused = 0;
    for mut stream in waiting {
        stream.write_all(b"content-length: 2\r\n\r\n{}").await.expect("still open");
        let answer = rest(&mut stream).await.to_ascii_lowercase();
        if answer.starts_with("http/1.1 503") {
            assert!(answer.contains("\r\nretry-after: 5\r\n") && answer.contains("shutting down; retry"), "{answer}");
            refused += 1;
        }
    }
    assert!(refused > 0);
    assert_eq!(fixture.count("watchfire_ingest_refused_total", &[("reason", "shutdown")]), refused);
    fixture.stop().await;
}

#[tokio::test]
async fn malformed_http_is_refused_and_a_smuggled_request_is_none() {
    let fixture = Fixture::start();
    for (request, status) in [
        ("GET /v1/traces\r\n\r\n", "HTTP/1.1 400"),
        ("POST /v1/traces HTTP/1.1\r\nhost: localhost\r\ncontent-length: x\r\n\r\n", "HTTP/1.1 400"),
        ("POST /v1/traces HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}", "HTTP/1.1 400"),
        ("POST /v1/traces HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: gzip\r\n\r\n", "HTTP/1.1 400"),
        ("P\x01ST /v1/traces HTTP/1.1\r\nhost: localhost\r\n\r\n", "HTTP/1.1 400"),
    ] {
        let mut stream = fixture.connect().await;
        stream.write_all(request.as_bytes()).await.expect("sent");
        let answer = rest(&mut stream).await;
        assert!(answer.starts_with(status), "{request:?} got {answer}");
    }
    // Two lengths that disagree: chunked counts, and the connection ends with it, so that nothing can hide behind the last chunk.
    let mut stream = fixture.connect().await;
    let both = "POST /v1/traces HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 60\r\n\
                transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\nGET /secret HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(both.as_bytes()).await.expect("sent");
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("connection: close") && !answer.contains("404"), "{answer}");
    assert_eq!(fixture.stop().await.len(), 0);
}
