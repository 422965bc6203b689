//! The guard over real sockets.

use crate::fixture::{Server, get_with, read_all, router};
use axum::body::Body;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use watchfire_model::Meter;
use watchfire_serve::{Guard, serve};

#[tokio::test]
async fn foreign_hosts_and_origins_are_refused_in_the_agreed_words() {
    let server = Server::start(Guard {
        allowed_hosts: vec!["watch.example".to_owned()],
        allowed_origins: vec!["https://grafana.example".to_owned()],
        ..Guard::default()
    })
    .await;
    for (headers, status, text) in [
        ("host: localhost\r\n", "200", "hello"),
        ("host: 127.0.0.1:1\r\n", "200", "hello"),
        ("host: [::1]:99\r\n", "200", "hello"),
        ("host: watch.example\r\n", "200", "hello"),
        ("host: evil.example\r\n", "403", "host \"evil.example\" is not allowed"),
        ("", "400", "missing host header"),
        ("host: localhost\r\nhost: evil.example\r\n", "403", "host \"evil.example\" is not allowed"),
        ("host: localhost\r\norigin: http://evil.example\r\n", "403", "origin \"http://evil.example\" is not allowed"),
        ("host: localhost\r\norigin: null\r\n", "403", "origin \"null\" is not allowed"),
        ("host: localhost\r\nsec-fetch-site: cross-site\r\n", "403", "origin \"cross-site\" is not allowed"),
        ("host: localhost\r\nsec-fetch-site: same-origin\r\n", "200", "hello"),
        ("host: localhost\r\norigin: https://grafana.example\r\nsec-fetch-site: cross-site\r\n", "200", "hello"),
        ("host: localhost\r\norigin: \u{1b}[31m\r\n", "400", ""),
    ] {
        let answer = server.exchange(&get_with(headers)).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")) && answer.contains(text), "{headers:?} got {answer}");
        assert!(!answer.to_ascii_lowercase().contains("access-control"), "no CORS header on {headers:?}");
    }
    assert_eq!((server.rejected("host"), server.rejected("origin")), (3, 3));
    server.stop().await;
}

#[tokio::test]
async fn a_port_with_a_token_answers_nobody_without_it() {
    let server = Server::start(Guard { token: Some("s3cret".into()), ..Guard::default() }).await;
    for (headers, status) in [
        ("", 401),
        ("authorization: Bearer s3cret\r\n", 200),
        ("authorization: bearer s3cret\r\n", 200),
        ("authorization: Bearer s3cre\r\n", 401),
        ("authorization: Bearer s3crets3cret\r\n", 401),
        ("authorization: Bearer \r\n", 401),
        ("authorization: Basic s3cret\r\n", 401),
    ] {
        let answer = server.exchange(&get_with(&format!("host: localhost\r\n{headers}"))).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{headers:?} got {answer}");
        if status == 401 {
            assert!(answer.contains("www-authenticate: Bearer") && answer.contains("missing or wrong token"), "{answer}");
        }
    }
    assert_eq!(server.rejected("auth"), 5);
    server.stop().await;
}

#[tokio::test]
async fn headers_that_are_too_large_are_answered_431_with_a_reason() {
    let server = Server::start(Guard::default()).await;
    let long = server.exchange(&get_with(&format!("host: localhost\r\nx: {}\r\n", "a".repeat(17 << 10)))).await;
    assert!(long.starts_with("HTTP/1.1 431") && long.contains("headers exceed 16 KiB"), "{long}");
    let many = server.exchange(&get_with(&format!("host: localhost\r\n{}", "a: b\r\n".repeat(120)))).await;
    assert!(many.starts_with("HTTP/1.1 431") && many.contains("headers exceed 100 lines"), "{many}");
    let huge = server.exchange(&get_with(&format!("host: localhost\r\nx: {}\r\n", "a".repeat(1 << 20)))).await;
    assert!(huge.is_empty() || huge.starts_with("HTTP/1.1 431"), "{huge}");
    assert_eq!((server.rejected("headers"), server.rejected("protocol")), (3, 0));
    server.stop().await;
}

#[tokio::test]
async fn a_header_that_does_not_end_is_answered_408_and_a_silent_client_is_closed() {
    let server = Server::start(Guard { header_timeout: Duration::from_millis(200), ..Guard::default() }).await;
    let slow = server.exchange(b"GET / HTTP/1.1\r\nhost: loc").await;
    assert!(slow.starts_with("HTTP/1.1 408") && slow.contains("header read timed out after 200ms"), "{slow}");
    assert_eq!(server.exchange(b"").await, "");
    assert_eq!(server.rejected("slow"), 2);
    server.stop().await;
}

#[tokio::test]
async fn a_body_that_trickles_is_given_up() {
    let server = Server::start(Guard { body_window: Duration::from_millis(300), ..Guard::default() }).await;
    let slow = server.exchange(b"POST /upload HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100000\r\n\r\nabc").await;
    assert!(slow.starts_with("HTTP/1.1 408") && slow.contains("slower than 1024 bytes per second"), "{slow}");
    assert_eq!(server.rejected("slow"), 1);
    server.stop().await;
}

#[tokio::test]
async fn a_body_is_read_up_to_its_limit_and_not_further() {
    let server = Server::start(Guard::default()).await;
    let request =
        |length: usize| format!("POST /upload HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
    let mut fits = request(1 << 20).into_bytes();
    fits.resize(fits.len() + (1 << 20), b'x');
    let answer = server.exchange(&fits).await;
    assert!(answer.ends_with("1048576 bytes"), "{answer}");
    let announced = server.exchange(request((1 << 20) + 1).as_bytes()).await;
    assert!(announced.starts_with("HTTP/1.1 413") && announced.ends_with("request exceeds 1 MiB"), "{announced}");
    let mut chunked = b"POST /upload HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    chunked.extend_from_slice(format!("{:x}\r\n", (1 << 20) + 1).as_bytes());
    chunked.resize(chunked.len() + (1 << 20) + 1, b'x');
    let answer = server.exchange(&chunked).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn a_refusal_reaches_a_client_that_is_still_sending() {
    let server = Server::start(Guard::default()).await;
    for _ in 0..20 {
        let mut stream = server.connect().await;
        stream.write_all(b"POST /upload HTTP/1.1\r\nhost: localhost\r\ncontent-length: 8388608\r\n\r\n").await.expect("sent");
        // Eight times what is read: a server that just closed would answer with a reset.
        let chunk = vec![b'x'; 1 << 20];
        for _ in 0..8 {
            stream.write_all(&chunk).await.expect("taken, if only to be thrown away");
        }
        let answer = read_all(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 413") && answer.ends_with("request exceeds 1 MiB"), "{answer}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_flood_of_idle_connections_gives_way_to_a_good_client() {
    let server = Server::start(Guard { max_connections: 16, ..Guard::default() }).await;
    let mut flood = Vec::new();
    for _ in 0..200 {
        flood.push(server.connect().await);
        let started = Instant::now();
        if flood.len() % 20 == 0 {
            let answer = server.exchange(&get_with("host: localhost\r\n")).await;
            assert!(answer.ends_with("hello"), "{answer}");
            assert!(started.elapsed() < Duration::from_secs(2));
        }
    }
    assert!(server.count("watchfire_connections_evicted_total") >= 180);
    assert_eq!(server.count("watchfire_connections_refused_total"), 0);
    drop(flood);
    server.stop().await;
}

#[tokio::test]
async fn when_all_are_being_served_the_next_one_is_refused() {
    let server = Server::start(Guard { max_connections: 2, ..Guard::default() }).await;
    let mut busy = Vec::new();
    for _ in 0..2 {
        let mut stream = server.connect().await;
        stream.write_all(b"GET /endless HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("sent");
        let mut first = [0];
        stream.read_exact(&mut first).await.expect("the answer has begun");
        busy.push(stream);
    }
    assert_eq!(server.exchange(b"").await, "");
    assert_eq!(server.count("watchfire_connections_refused_total"), 1);
    drop(busy);
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_never_reads_its_answer_is_closed() {
    let server = Server::start(Guard { write_timeout: Duration::from_millis(200), max_connections: 1, ..Guard::default() }).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /big HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("sent");
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        // The place is free again as soon as the stuck connection is gone.
        let answer = server.exchange(&get_with("host: localhost\r\n")).await;
        if answer.ends_with("hello") {
            break;
        }
        assert!(Instant::now() < deadline, "still stuck");
        tokio::task::yield_now().await;
    }
    server.stop().await;
}

#[tokio::test]
async fn keep_alive_rests_and_is_closed_when_idle_too_long() {
    let server = Server::start(Guard { idle_timeout: Duration::from_millis(300), ..Guard::default() }).await;
    let mut stream = server.connect().await;
    let started = Instant::now();
    for _ in 0..2 {
        stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("sent");
        let mut answer = vec![0; 4096];
        let read = stream.read(&mut answer).await.expect("answered");
        assert!(String::from_utf8_lossy(&answer[..read]).ends_with("hello"));
    }
    assert_eq!(read_all(&mut stream).await, "");
    assert!(started.elapsed() >= Duration::from_millis(290), "closed after {:?}", started.elapsed());
    server.stop().await;
}

#[tokio::test]
async fn stopping_finishes_what_runs_and_accepts_nothing_new() {
    let server = Server::start(Guard::default()).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /late HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("sent");
    // An idle neighbour must not hold the drain up.
    let idle = server.connect().await;
    let mut probe = server.connect().await;
    probe.write_all(&get_with("host: localhost\r\n")).await.expect("sent");
    read_all(&mut probe).await;
    server.cancel.cancel();
    let answer = read_all(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("late"), "{answer}");
    let address = server.address;
    server.stop().await;
    assert!(TcpStream::connect(address).await.is_err());
    drop(idle);
}

#[tokio::test]
async fn http2_is_served_and_checked_by_authority() {
    let server = Server::start(Guard::default()).await;
    let stream = server.connect().await;
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(executor, hyper_util::rt::TokioIo::new(stream)).await.expect("speaks HTTP/2");
    let driver = tokio::spawn(connection);
    for (uri, origin, content_type, status, grpc_status) in [
        ("http://localhost/", None, "text/plain", 200, None),
        ("http://evil.example/", None, "text/plain", 403, None),
        ("http://localhost/", Some("http://evil.example"), "application/grpc", 200, Some("7")),
    ] {
        let mut request = http::Request::get(uri).header("content-type", content_type);
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        let answer = client.send_request(request.body(Body::empty()).expect("valid")).await.expect("answered");
        assert_eq!(answer.status(), status, "{uri}");
        assert_eq!(answer.headers().get("grpc-status").map(|v| v.to_str().expect("text")), grpc_status);
        if grpc_status.is_some() {
            assert_eq!(answer.headers()["grpc-message"], "origin \"http://evil.example\" is not allowed");
        }
    }
    drop(client);
    server.stop().await;
    let _ = driver.await;
}

#[tokio::test]
async fn a_unix_socket_is_served_alike() {
    let path = std::env::temp_dir().join(format!("watchfire-serve-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = tokio::net::UnixListener::bind(&path).expect("bound");
    let cancel = CancellationToken::new();
    let task = serve("unix", listener, router(), Guard::default(), &Meter::new(), cancel.clone());
    let mut stream = tokio::net::UnixStream::connect(&path).await.expect("listening");
    stream.write_all(&get_with("host: localhost\r\n")).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    assert!(answer.ends_with("hello"), "{answer}");
    cancel.cancel();
    task.await.expect("no panic");
    std::fs::remove_file(&path).expect("removed");
}
