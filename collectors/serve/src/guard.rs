//! The limits of one port.

use crate::attempts::Attempts;
use crate::tls::Certificates;
use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};
use std::sync::Arc;
use std::time::Duration;

/// The part of a request that is known before its body.
pub type RequestHead = http::request::Parts;

/// How a refusal is written for one port: an OTLP port answers in `google.rpc.Status`, the API in Prometheus's error envelope.
pub type Render = Arc<dyn Fn(&RequestHead, &Refusal) -> Response<Body> + Send + Sync>;

/// A request that is not let through to the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub status: StatusCode,
    /// The `reason` label of `watchfire_http_rejected_total`.
    pub reason: &'static str,
    /// For people; text from the request in it is already harmless and short.
    pub text: String,
}

/// Everything that bounds one port. The defaults are for a loopback port that speaks HTTP/1.1 and HTTP/2.
#[derive(Clone)]
pub struct Guard {
    /// Connections at a time; beyond them the oldest one without a complete request makes room.
    pub max_connections: usize,
    /// From the first byte of a request (or from the accept) to the end of its headers.
    pub header_timeout: Duration,
    /// From the end of the headers to the end of the body.
    pub body_timeout: Duration,
    /// Least bytes per second while a body is awaited, over [`body_window`](Self::body_window).
    pub body_min_rate: u64,
    pub body_window: Duration,
    /// Longest time a client may leave an answer unread.
    pub write_timeout: Duration,
    /// Longest rest of an HTTP/1 connection between two requests. (HTTP/2 connections are pinged instead.)
    pub idle_timeout: Duration,
    /// A connection older than this is asked to reconnect, and closed 30 s later.
    pub max_age: Duration,
    /// What running requests get when the server stops.
    pub drain_timeout: Duration,
    /// Request line and headers together, in bytes.
    pub max_header_bytes: usize,
    /// Header lines of one request.
    pub max_headers: usize,
    pub http1: bool,
    /// `None` turns HTTP/2 off.
    pub http2: Option<Http2>,
    /// Host names allowed besides `localhost`, `*.localhost` and IP literals; `*` allows every name.
    pub allowed_hosts: Vec<String>,
    /// Origins (`https://grafana.example:3000`) allowed to send requests from a browser; none by default.
    pub allowed_origins: Vec<String>,
    /// What every request must carry as `Authorization: Bearer <token>`; needed where others than this machine can connect.
    pub token: Option<Arc<str>>,
    /// Wrong tokens per address. Ports whose guards are clones of one another share it: more ports are not more tries.
    pub attempts: Attempts,
    /// What TLS is spoken with; `None` is plain text.
    pub tls: Option<Certificates>,
    pub render: Render,
}

/// HTTP/2 settings of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Http2 {
    pub max_streams: u32,
    /// Bytes a peer may send ahead on one stream, and on all streams of a connection.
    pub stream_window: u32,
    pub connection_window: u32,
    pub max_frame: u32,
    pub keepalive_interval: Duration,
    pub keepalive_timeout: Duration,
}

impl Default for Http2 {
    fn default() -> Self {
        Http2 {
            max_streams: 100,
            stream_window: 1 << 20,
            connection_window: 2 << 20,
            max_frame: 16 << 10,
            keepalive_interval: Duration::from_secs(30),
            keepalive_timeout: Duration::from_secs(20),
        }
    }
}

impl Default for Guard {
    fn default() -> Self {
        Guard {
            max_connections: 512,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            body_min_rate: 1024,
            body_window: Duration::from_secs(10),
            write_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(60),
            max_age: Duration::from_secs(3600),
            drain_timeout: Duration::from_secs(10),
            max_header_bytes: 16 << 10,
            max_headers: 100,
            http1: true,
            http2: Some(Http2::default()),
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            token: None,
            attempts: Attempts::default(),
            tls: None,
            render: Arc::new(plain_refusal),
        }
    }
}

/// A refusal as one line of text, with the status and nothing else.
pub fn plain_refusal(_head: &RequestHead, refusal: &Refusal) -> Response<Body> {
    let mut response = Response::new(Body::from(format!("{}\n", refusal.text)));
    *response.status_mut() = refusal.status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
