//! The HTTP side of every simulated service: `/metrics` and its health paths, each on a port of its own on loopback.

use crate::health::HealthAnswer;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio_util::sync::CancellationToken;

const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECTIONS: usize = 64;
/// Until another connection is accepted after one could not be.
const REFUSED: Duration = Duration::from_millis(100);

/// A question to the simulation, asked by a connection and answered by the thread that owns the simulation.
pub(crate) enum Question {
    IsDown { service: usize, answer: oneshot::Sender<bool> },
    Metrics { service: usize, answer: oneshot::Sender<Option<String>> },
    Health { service: usize, path: String, answer: oneshot::Sender<Option<HealthAnswer>> },
}

pub(crate) type Questions = mpsc::Sender<Question>;

/// Binds the documented port, or any free one where that is taken.
pub(crate) async fn bind(port: u16) -> std::io::Result<(TcpListener, SocketAddr)> {
    let listener = match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
        Ok(listener) => listener,
        Err(_) => TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?,
    };
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Serves one service until the token is cancelled.
pub(crate) async fn serve(listener: TcpListener, service: usize, metrics_path: String, questions: Questions, stop: CancellationToken) {
    let connections = std::sync::Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            // Out of descriptors, most likely: asking again at once would take a core and find none.
            tokio::time::sleep(REFUSED).await;
            continue;
        };
        let Ok(permit) = std::sync::Arc::clone(&connections).try_acquire_owned() else { continue };
        let (questions, metrics_path, stop) = (questions.clone(), metrics_path.clone(), stop.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = connection(stream, service, metrics_path, questions) => {}
            }
            drop(permit);
        });
    }
}

async fn ask<T>(questions: &Questions, question: impl FnOnce(oneshot::Sender<T>) -> Question) -> Option<T> {
    let (answer, wait) = oneshot::channel();
    questions.send(question(answer)).ok()?;
    wait.await.ok()
}

/// A service that is down drops the connection without a word, also one that was kept alive from before.
async fn connection(stream: TcpStream, service: usize, metrics_path: String, questions: Questions) {
    if ask(&questions, |answer| Question::IsDown { service, answer }).await != Some(false) {
        return;
    }
    let handler = service_fn(|request: Request<Incoming>| {
        let (questions, metrics_path) = (questions.clone(), metrics_path.clone());
        async move { respond(&request, service, &metrics_path, &questions).await.ok_or(Down) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), handler)
        .await;
    if let Err(error) = served {
        tracing::trace!(%error, service, "connection to a simulated service ended");
    }
}

/// The service went down; hyper closes the connection on it.
#[derive(Debug)]
struct Down;

impl std::fmt::Display for Down {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the simulated service is down")
    }
}

impl std::error::Error for Down {}

async fn respond(request: &Request<Incoming>, service: usize, metrics_path: &str, questions: &Questions) -> Option<Response<Full<Bytes>>> {
    let path = request.uri().path();
    let (status, content_type, body) = if path == metrics_path {
        let text = ask(questions, |answer| Question::Metrics { service, answer }).await??;
        (200, "text/plain; version=0.0.4; charset=utf-8", text)
    } else if path.contains("health") || path.ends_with('z') || path.contains("live") || path.contains("ready") {
        let answer = ask(questions, |answer| Question::Health { service, path: path.to_owned(), answer }).await??;
        (answer.status, answer.content_type, answer.body)
    } else {
        if ask(questions, |answer| Question::IsDown { service, answer }).await? {
            return None;
        }
        (404, "application/json", r#"{"error":"this is a simulated service; it answers under /metrics and /health"}"#.to_owned())
    };
    let response = Response::builder()
        .status(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR))
        .header(header::CONTENT_TYPE, content_type)
        .body(Full::new(Bytes::from(body)));
    Some(response.unwrap_or_else(|_: http::Error| Response::new(Full::default())))
}
