//! HTTP/2 used as a weapon, frame by frame: each flood ends its own connection, is counted, and a good client never notices.

use crate::fixture::{Server, get_with};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use watchfire_serve::Guard;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ENHANCE_YOUR_CALM: u32 = 11;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
    out
}

/// The beginning of a connection, with one setting.
fn preface(setting: u16, value: u32) -> Vec<u8> {
    let mut out = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    out.extend(frame(SETTINGS, 0, 0, &[&setting.to_be_bytes()[..], &value.to_be_bytes()].concat()));
    out
}

/// SETTINGS_INITIAL_WINDOW_SIZE.
const WINDOW: u16 = 4;

/// `:method`, `:scheme http`, `:authority localhost` and a path, in HPACK without its dynamic table.
fn head(method: u8, path: &str) -> Vec<u8> {
    let mut block = vec![method, 0x86, 0x01, 9];
    block.extend_from_slice(b"localhost");
    block.extend_from_slice(&[0x04, path.len() as u8]);
    block.extend_from_slice(path.as_bytes());
    block
}

const GET: u8 = 0x82;
const POST: u8 = 0x83;

/// Sends `bytes` again and again until the server has had enough (or `times` times), while reading; returns everything the server sent.
async fn flood(server: &Server, start: &[u8], again: impl Fn(u32) -> Vec<u8>, times: u32) -> Vec<u8> {
    let (mut read, mut write) = server.connect().await.into_split();
    let reading = tokio::spawn(async move {
        let mut answer = Vec::new();
        // An end by reset is an end, too.
        let _ = read.read_to_end(&mut answer).await;
        answer
    });
    write.write_all(start).await.expect("nothing wrong so far");
    for round in 0..times {
        if write.write_all(&again(round)).await.is_err() {
            break;
        }
    }
    tokio::time::timeout(Duration::from_secs(60), reading).await.expect("the server ends the connection").expect("no panic")
}

/// The error codes of the GOAWAY frames in what a server sent.
fn goaways(mut bytes: &[u8]) -> Vec<u32> {
    let mut codes = Vec::new();
    while bytes.len() >= 9 {
        let length = u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]) as usize;
        let Some(payload) = bytes.get(9..9 + length) else { break };
        if bytes[3] == GOAWAY {
            codes.push(u32::from_be_bytes(payload[4..8].try_into().expect("four bytes")));
        }
        bytes = &bytes[9 + length..];
    }
    codes
}

async fn serves_on(server: &Server) {
    let answer = server.exchange(&get_with("host: localhost\r\n")).await;
    assert!(answer.ends_with("hello"), "{answer}");
}

#[tokio::test]
async fn streams_that_are_reset_as_soon_as_they_open_are_a_flood() {
    let server = Server::start(Guard::default()).await;
    let open_and_reset = |round: u32| {
        (0..500)
            .flat_map(|i| {
                let stream = 2 * (round * 500 + i) + 1;
                let mut frames = frame(HEADERS, END_STREAM | END_HEADERS, stream, &head(GET, "/late"));
                frames.extend(frame(RST_STREAM, 0, stream, &8u32.to_be_bytes()));
                frames
            })
            .collect()
    };
    let answer = flood(&server, &preface(WINDOW, 65_535), open_and_reset, 2000).await;
    assert_eq!(goaways(&answer), [ENHANCE_YOUR_CALM]);
    assert_eq!(server.rejected("flood"), 1);
    serves_on(&server).await;
    server.stop().await;
}

#[tokio::test]
async fn headers_without_end_are_cut_off() {
    let server = Server::start(Guard::default()).await;
    let mut start = preface(WINDOW, 65_535);
    start.extend(frame(HEADERS, END_STREAM, 1, &head(GET, "/")));
    // A header line of 16 KiB per frame, never the last one.
    let mut line = vec![0x00, 1, b'a', 0x7f, 0x81, 0x7e];
    line.resize(16_000, b'x');
    let answer = flood(&server, &start, |_| frame(CONTINUATION, 0, 1, &line), 100_000).await;
    assert!(goaways(&answer).iter().all(|code| *code != 0), "{:?}", goaways(&answer));
    assert_eq!(server.rejected("flood") + server.rejected("protocol"), 1);
    serves_on(&server).await;
    server.stop().await;
}

#[tokio::test]
async fn a_header_that_unpacks_to_megabytes_is_not_unpacked() {
    let server = Server::start(Guard::default()).await;
    // One entry of 4 KB in the dynamic table, named 12,000 times with a byte each: 48 MB of headers.
    let mut block = head(GET, "/");
    block.extend_from_slice(&[0x40, 1, b'a', 0x7f, 0xa1, 0x1e]);
    block.resize(block.len() + 4000, b'x');
    block.resize(16_000, 0xbe);
    let mut start = preface(WINDOW, 65_535);
    start.extend(frame(HEADERS, END_STREAM | END_HEADERS, 1, &block));
    let mut stream = server.connect().await;
    stream.write_all(&start).await.expect("sent");
    // Refused, and the connection may go on: the next request on it is answered, or it was ended.
    stream.write_all(&frame(HEADERS, END_STREAM | END_HEADERS, 3, &head(GET, "/"))).await.expect("sent");
    let answered = until(&mut stream, |answer| answer.windows(5).any(|w| w == b"hello") || !goaways(answer).is_empty()).await;
    assert!(answered, "neither served nor ended");
    serves_on(&server).await;
    server.stop().await;
}

/// Reads until `enough`; false when the connection ended before.
async fn until(stream: &mut TcpStream, enough: impl Fn(&[u8]) -> bool) -> bool {
    let mut answer = Vec::new();
    let reading = async {
        let mut piece = [0; 4096];
        loop {
            match stream.read(&mut piece).await {
                Ok(0) | Err(_) => return false,
                Ok(read) => answer.extend_from_slice(&piece[..read]),
            }
            if enough(&answer) {
                return true;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), reading).await.expect("something happens")
}

#[tokio::test]
async fn an_answer_that_is_taken_byte_by_byte_or_not_at_all_has_its_time() {
    let server = Server::start(Guard { write_timeout: Duration::from_millis(500), ..Guard::default() }).await;
    for (window, path) in [(1, "/big"), (0, "/"), (0, "/big")] {
        let mut start = preface(WINDOW, window);
        for stream in [1, 3, 5] {
            start.extend(frame(HEADERS, END_STREAM | END_HEADERS, stream, &head(GET, path)));
        }
        let mut stream = server.connect().await;
        stream.write_all(&start).await.expect("sent");
        let ended = !until(&mut stream, |_| false).await;
        assert!(ended, "{window} {path}");
    }
    assert_eq!(server.rejected("unread"), 3);
    serves_on(&server).await;
    server.stop().await;
}

#[tokio::test]
async fn a_body_of_empty_pieces_and_pings_that_nobody_reads_the_answers_of_end() {
    let server =
        Server::start(Guard { body_window: Duration::from_millis(500), write_timeout: Duration::from_millis(500), ..Guard::default() })
            .await;
    let mut start = preface(WINDOW, 65_535);
    start.extend(frame(HEADERS, END_HEADERS, 1, &head(POST, "/upload")));
    let nothing: Vec<u8> = (0..1000).flat_map(|_| frame(DATA, 0, 1, &[])).collect();
    let mut stream = server.connect().await;
    stream.write_all(&start).await.expect("sent");
    let (mut read, mut write) = stream.split();
    let mut answer = Vec::new();
    let sending = async { while write.write_all(&nothing).await.is_ok() {} };
    let reading = async {
        let mut piece = [0; 4096];
        while let Ok(got @ 1..) = read.read(&mut piece).await {
            answer.extend_from_slice(&piece[..got]);
            if !goaways(&answer).is_empty() || answer.windows(6).any(|w| w == b"slower") {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), async {
        tokio::select! { () = sending => {}, () = reading => {} }
    })
    .await
    .expect("it ends");
    assert!(server.rejected("slow") + server.rejected("flood") >= 1);
    drop(stream);

    // Pings whose answers are never read: the socket fills, and then the client has its time.
    let stream = server.connect().await;
    stream.writable().await.expect("open");
    let pings: Vec<u8> = (0..1000).flat_map(|_| frame(PING, 0, 0, &[7; 8])).collect();
    let mut stream = stream;
    stream.write_all(&preface(WINDOW, 65_535)).await.expect("sent");
    let sending = async { while stream.write_all(&pings).await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(60), sending).await.expect("the server ends it");
    serves_on(&server).await;
    server.stop().await;
}
