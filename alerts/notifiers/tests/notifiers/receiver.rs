//! An HTTP receiver on loopback that records what it was sent and answers as told.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use parking_lot::Mutex;
use serde_json::Value;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

/// One request.
#[derive(Clone, Debug)]
pub struct Received {
    pub path: String,
    pub headers: HeaderMap,
    pub body: String,
    pub at: Instant,
}

impl Received {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }

    pub fn key(&self) -> &str {
        self.headers.get("idempotency-key").map(|v| v.to_str().unwrap()).unwrap_or("")
    }
}

/// What to answer.
#[derive(Clone, Debug)]
pub enum Answer {
    Status(u16),
    RetryAfter(u16, u64),
    /// Redirect there.
    Moved(String),
    /// 200 and a body of that many MiB.
    Flood(usize),
    /// Never.
    Hang,
    /// That status, and then a body that never comes.
    Bodiless(u16),
    /// 200 and this body.
    Json(&'static str),
    /// 200 after that many milliseconds.
    Slow(u64),
}

#[derive(Default)]
struct Shared {
    received: Mutex<Vec<Received>>,
    script: Mutex<VecDeque<Answer>>,
    always: Mutex<Option<Answer>>,
    flooded: Mutex<usize>,
}

/// The receiver; it stops when dropped.
pub struct Receiver {
    pub url: String,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

impl Receiver {
    pub async fn start() -> Receiver {
        let shared = Arc::new(Shared::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(shared.clone());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Receiver { url, shared, task }
    }

    /// Answers in this order, then as before.
    pub fn answers(&self, script: impl IntoIterator<Item = Answer>) {
        self.shared.script.lock().extend(script);
    }

    pub fn always(&self, answer: Option<Answer>) {
        *self.shared.always.lock() = answer;
    }

    pub fn received(&self) -> Vec<Received> {
        self.shared.received.lock().clone()
    }

    pub fn count(&self) -> usize {
        self.shared.received.lock().len()
    }

    /// Bytes of floods that were taken from us.
    pub fn flooded(&self) -> usize {
        *self.shared.flooded.lock()
    }

    /// (alert name, status) of every alert of every webhook message, in order.
    pub fn alerts(&self) -> Vec<(String, String)> {
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        self.received()
            .iter()
            .flat_map(|r| r.json()["alerts"].as_array().cloned().unwrap_or_default())
            .map(|a| (text(&a["labels"]["alertname"]), text(&a["status"])))
            .collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(State(shared): State<Arc<Shared>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let body = String::from_utf8_lossy(&body).into_owned();
    shared.received.lock().push(Received {
        path: uri.path_and_query().map_or("", |p| p.as_str()).to_owned(),
        headers,
        body,
        at: Instant::now(),
    });
    let next = shared.script.lock().pop_front().or_else(|| shared.always.lock().clone()).unwrap_or(Answer::Status(200));
    let response = |status: u16| Response::builder().status(StatusCode::from_u16(status).unwrap());
    match next {
        Answer::Status(status) => response(status).body(Body::from("told to\u{1b}[31m")).unwrap(),
        Answer::RetryAfter(status, seconds) => response(status).header("retry-after", seconds).body(Body::empty()).unwrap(),
        Answer::Moved(to) => response(301).header("location", to).body(Body::empty()).unwrap(),
        Answer::Flood(mebibytes) => {
            let chunks = futures_of_zeros(shared.clone(), mebibytes);
            response(200).body(chunks).unwrap()
        }
        Answer::Json(text) => response(200).header("content-type", "application/json").body(Body::from(text)).unwrap(),
        Answer::Hang => std::future::pending().await,
        Answer::Bodiless(status) => response(status).body(Body::new(NoBody)).unwrap(),
        Answer::Slow(millis) => {
            // The slowness of this receiver.
            tokio::time::sleep(std::time::Duration::from_millis(millis)).await;
            response(200).body(Body::empty()).unwrap()
        }
    }
}

/// A body that counts how much of it is taken.
fn futures_of_zeros(shared: Arc<Shared>, mebibytes: usize) -> Body {
    struct Zeros(Arc<Shared>, usize);
    impl http_body::Body for Zeros {
        type Data = Bytes;
        type Error = std::convert::Infallible;
        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
            if self.1 == 0 {
                return std::task::Poll::Ready(None);
            }
            self.1 -= 1;
            *self.0.flooded.lock() += 16 << 10;
            std::task::Poll::Ready(Some(Ok(http_body::Frame::data(Bytes::from_static(&[0; 16 << 10])))))
        }
    }
    Body::new(Zeros(shared, mebibytes * 64))
}

/// A body that never comes.
struct NoBody;

impl http_body::Body for NoBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;
    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        std::task::Poll::Pending
    }
}
