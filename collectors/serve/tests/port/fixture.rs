//! A guarded port over a real socket, with services that answer quickly, late, at length and without end.

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::StatusCode;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use watchfire_model::Meter;
use watchfire_serve::{BodyError, Guard, serve};

pub struct Server {
    pub address: SocketAddr,
    pub meter: Meter,
    pub cancel: CancellationToken,
    task: JoinHandle<()>,
}

impl Server {
    pub async fn start(guard: Guard) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (meter, cancel) = (Meter::new(), CancellationToken::new());
        let task = serve("test", listener, router(), guard, &meter, cancel.clone());
        Server { address, meter, cancel, task }
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("listening")
    }

    /// Sends bytes and reads until the server closes.
    pub async fn exchange(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await;
        stream.write_all(bytes).await.expect("sent");
        read_all(&mut stream).await
    }

    pub fn rejected(&self, reason: &str) -> u64 {
        self.meter.counter("watchfire_http_rejected_total", &[("reason", reason)]).get()
    }

    pub fn count(&self, name: &str) -> u64 {
        self.meter.counter(name, &[]).get()
    }

    pub async fn stop(self) {
        self.cancel.cancel();
        tokio::time::timeout(Duration::from_secs(20), self.task).await.expect("drains in time").expect("no panic");
    }
}

pub fn router() -> Router {
    Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/endless", get(|| async { Body::new(Endless { begun: false }) }))
        .route("/big", get(|| async { vec![b'x'; 64 << 20] }))
        .route(
            "/late",
            get(|| async {
                // Streams that a client resets are still open by then.
                tokio::time::sleep(Duration::from_millis(300)).await;
                "late"
            }),
        )
        .route("/files", get(files))
        .route("/upload", post(upload))
}

/// An answer that begins and never ends.
struct Endless {
    begun: bool,
}

impl http_body::Body for Endless {
    type Data = bytes::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<bytes::Bytes>, std::convert::Infallible>>> {
        if std::mem::replace(&mut self.begun, true) {
            return Poll::Pending;
        }
        Poll::Ready(Some(Ok(http_body::Frame::data(bytes::Bytes::from_static(b"begun")))))
    }
}

/// Opens as many files as a journal, an outbox and a reload of the rules may need at once.
async fn files() -> String {
    let program = std::env::current_exe().expect("known");
    let files: Vec<_> = (0..24).map_while(|_| std::fs::File::open(&program).ok()).collect();
    format!("{} files opened", files.len())
}

async fn upload(body: Body) -> Response {
    const MOST: usize = 1 << 20;
    let too_long = (StatusCode::PAYLOAD_TOO_LARGE, "request exceeds 1 MiB");
    if http_body::Body::size_hint(&body).lower() > MOST as u64 {
        return too_long.into_response();
    }
    match axum::body::to_bytes(body, MOST).await {
        Ok(bytes) => format!("{} bytes", bytes.len()).into_response(),
        Err(e) => match BodyError::find(&e) {
            Some(slow @ BodyError::Slow(_)) => (StatusCode::REQUEST_TIMEOUT, slow.to_string()).into_response(),
            Some(broken @ BodyError::Broken(_)) => (StatusCode::BAD_REQUEST, broken.to_string()).into_response(),
            None => too_long.into_response(),
        },
    }
}

pub async fn read_all(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    // A reset after the answer is how some refusals end; what came before it counts.
    let _ = tokio::time::timeout(Duration::from_secs(20), reading).await.expect("the server closes");
    String::from_utf8_lossy(&answer).into_owned()
}

pub fn get_with(headers: &str) -> Vec<u8> {
    format!("GET / HTTP/1.1\r\n{headers}connection: close\r\n\r\n").into_bytes()
}
