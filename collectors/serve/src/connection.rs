//! One connection: what it is doing, how long it may, and how it ends.

use crate::accept::Port;
use crate::admission::Admission;
use crate::guard::Guard;
use crate::stream::{Socket, Watched};
use crate::tls::Decrypted;
use http::Request;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use std::io::IoSlice;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use watchfire_model::causes;

/// Milliseconds that mean "not now".
const NEVER: u64 = u64::MAX;
/// What a connection gets between being asked to reconnect and being closed.
const AGE_GRACE: Duration = Duration::from_secs(30);
/// How long the rest of a refused body is thrown away. Closing at once would reset the connection, and the refusal would be lost with it.
const LINGER: Duration = Duration::from_secs(2);

/// What a connection is doing, as its socket, its requests and the accept loop tell it. Times are milliseconds since the accept.
#[derive(Debug)]
pub(crate) struct Activity {
    accepted: Instant,
    /// Requests whose head has arrived and whose answer is not out yet.
    in_flight: AtomicUsize,
    /// Those of them whose body has arrived too.
    complete: AtomicUsize,
    served_any: AtomicBool,
    http2: AtomicBool,
    read_any: AtomicBool,
    /// A request was answered before its body had come to its end.
    cut_short: AtomicBool,
    /// When the last byte of an answer went out.
    resting_since: AtomicU64,
    /// When the first byte of a head that is not complete yet came in.
    head_since: AtomicU64,
    /// Since when the socket takes no more.
    blocked_since: AtomicU64,
    /// Answers of which the client has not taken what it was offered, and when one of them last moved. A full socket is not the only way to
    /// leave an answer unread: in HTTP/2 the client says how much it will take.
    unread: AtomicUsize,
    moved_at: AtomicU64,
    /// Cancelled when the connection has to make room.
    pub(crate) evicted: CancellationToken,
}

/// Why a connection without a request ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expiry {
    /// Bytes of a head came, its end did not.
    Head,
    /// Nothing came after the accept.
    Silent,
    /// Nothing came after an answer.
    Idle,
}

impl Activity {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Activity {
            accepted: Instant::now(),
            in_flight: AtomicUsize::new(0),
            complete: AtomicUsize::new(0),
            served_any: AtomicBool::new(false),
            http2: AtomicBool::new(false),
            read_any: AtomicBool::new(false),
            cut_short: AtomicBool::new(false),
            resting_since: AtomicU64::new(0),
            head_since: AtomicU64::new(NEVER),
            blocked_since: AtomicU64::new(NEVER),
            unread: AtomicUsize::new(0),
            moved_at: AtomicU64::new(0),
            evicted: CancellationToken::new(),
        })
    }

    fn elapsed(&self) -> u64 {
        u64::try_from(self.accepted.elapsed().as_millis()).unwrap_or(NEVER - 1)
    }

    /// Bytes came in.
    pub(crate) fn received(&self, bytes: &[u8]) {
        if !self.read_any.swap(true, Ordering::Relaxed) && bytes.starts_with(b"PRI") {
            self.http2.store(true, Ordering::Relaxed);
        }
        if self.in_flight.load(Ordering::Relaxed) == 0 && self.head_since.load(Ordering::Relaxed) == NEVER {
            self.head_since.store(self.elapsed(), Ordering::Relaxed);
        }
    }

    /// Nobody will read the rest of a body that is still coming.
    pub(crate) fn cut_short(&self) {
        self.cut_short.store(true, Ordering::Relaxed);
    }

    /// Bytes went out; an answer still on its way is no rest.
    pub(crate) fn sent(&self) {
        self.resting_since.store(self.elapsed(), Ordering::Relaxed);
        self.blocked_since.store(NEVER, Ordering::Relaxed);
    }

    /// Bytes could not go out, because the client reads none.
    pub(crate) fn blocked(&self) {
        if self.blocked_since.load(Ordering::Relaxed) == NEVER {
            self.blocked_since.store(self.elapsed(), Ordering::Relaxed);
        }
    }

    /// When a client that leaves its answers unread has had its time.
    fn unread_until(&self, guard: &Guard) -> Option<Instant> {
        let moved_at = if self.unread.load(Ordering::Relaxed) > 0 { self.moved_at.load(Ordering::Relaxed) } else { NEVER };
        let since = self.blocked_since.load(Ordering::Relaxed).min(moved_at);
        (since != NEVER).then(|| self.accepted + Duration::from_millis(since) + guard.write_timeout)
    }

    /// How far this connection is from deserving its place: 0 has no request, 1 has one that is still coming in, 2 is being served.
    pub(crate) fn rank(&self) -> u8 {
        if self.in_flight.load(Ordering::Relaxed) == 0 {
            0
        } else if self.complete.load(Ordering::Relaxed) == 0 {
            1
        } else {
            2
        }
    }

    fn expiry(&self, guard: &Guard) -> Option<(Instant, Expiry)> {
        if self.in_flight.load(Ordering::Relaxed) > 0 || self.http2.load(Ordering::Relaxed) {
            return None;
        }
        let at = |millis: u64, timeout| self.accepted + Duration::from_millis(millis) + timeout;
        let head_since = self.head_since.load(Ordering::Relaxed);
        Some(if head_since != NEVER {
            (at(head_since, guard.header_timeout), Expiry::Head)
        } else if self.served_any.load(Ordering::Relaxed) {
            (at(self.resting_since.load(Ordering::Relaxed), guard.idle_timeout), Expiry::Idle)
        } else {
            (at(0, guard.header_timeout), Expiry::Silent)
        })
    }
}

/// A request on its way; counts for its connection until the answer is out.
#[derive(Debug)]
pub(crate) struct InFlight {
    activity: Arc<Activity>,
    complete: AtomicBool,
}

impl InFlight {
    pub(crate) fn new(activity: &Arc<Activity>) -> Arc<Self> {
        activity.in_flight.fetch_add(1, Ordering::Relaxed);
        activity.served_any.store(true, Ordering::Relaxed);
        activity.head_since.store(NEVER, Ordering::Relaxed);
        Arc::new(InFlight { activity: activity.clone(), complete: AtomicBool::new(false) })
    }

    /// The body was dropped; what is left of it is not wanted.
    pub(crate) fn body_dropped(&self) {
        if !self.complete.load(Ordering::Relaxed) {
            self.activity.cut_short();
        }
    }

    /// The client was offered a part of its answer, or took it.
    pub(crate) fn answer_unread(&self, unread: bool) {
        self.activity.moved_at.store(self.activity.elapsed(), Ordering::Relaxed);
        if unread {
            self.activity.unread.fetch_add(1, Ordering::Relaxed);
        } else {
            self.activity.unread.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The whole request is here.
    pub(crate) fn body_complete(&self) {
        if !self.complete.swap(true, Ordering::Relaxed) {
            self.activity.complete.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if *self.complete.get_mut() {
            self.activity.complete.fetch_sub(1, Ordering::Relaxed);
        }
        self.activity.resting_since.store(self.activity.elapsed(), Ordering::Relaxed);
        self.activity.head_since.store(NEVER, Ordering::Relaxed);
        self.activity.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Serves one connection to its end.
pub(crate) async fn run<S: crate::admission::HttpService>(
    socket: Socket,
    activity: Arc<Activity>,
    port: Arc<Port<S>>,
    cancel: CancellationToken,
) {
    let guard = &port.guard;
    let socket = Arc::new(socket);
    let raw = Watched::new(socket.clone(), activity.clone());
    let Some(certificates) = &guard.tls else { return converse(raw, &socket, &activity, &port, &cancel).await };
    let config = certificates.offering(guard);
    let handshake = timeout(guard.header_timeout, Decrypted::accept(config, raw.encrypted(), activity.clone()));
    let shaken = tokio::select! {
        () = activity.evicted.cancelled() => return,
        () = cancel.cancelled() => return,
        shaken = handshake => shaken,
    };
    match shaken {
        Ok(Ok(decrypted)) => converse(decrypted, &socket, &activity, &port, &cancel).await,
        Ok(Err(error)) => {
            port.rejected("tls");
            port.handshakes.failed(port.name, socket.peer(), &error);
        }
        Err(_) => port.rejected_slow.add(1),
    }
}

/// Answers requests until the connection ends or has to.
async fn converse<S: crate::admission::HttpService>(
    io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    socket: &Socket,
    activity: &Arc<Activity>,
    port: &Arc<Port<S>>,
    cancel: &CancellationToken,
) {
    let guard = &port.guard;
    let io = TokioIo::new(io);
    let admission = Arc::new(Admission::new(port.clone(), activity.clone(), socket.peer()));
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let admission = admission.clone();
        async move { admission.handle(request).await }
    });
    let builder = port.builder();
    let mut connection = pin!(builder.serve_connection(io, service));
    let retire_at = activity.accepted + guard.max_age;
    let mut close_at: Option<Instant> = None;
    loop {
        // Deadlines only ever begin now or later, so no expiry can come before the shortest of them has passed.
        let soonest = Instant::now() + guard.header_timeout.min(guard.idle_timeout).min(guard.write_timeout);
        let deadlines = [activity.expiry(guard).map(|(at, _)| at), activity.unread_until(guard), Some(retire_at)];
        let wake = close_at.unwrap_or_else(|| deadlines.into_iter().flatten().fold(soonest, Instant::min));
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    if let Some(reason) = offence(&*error) {
                        port.rejected(reason);
                    }
                    tracing::debug!(port = port.name, %error, "connection ended early");
                }
                if activity.cut_short.load(Ordering::Relaxed) {
                    tokio::select! {
                        () = activity.evicted.cancelled() => {}
                        _ = timeout(LINGER, socket.discard()) => {}
                    }
                }
                return;
            }
            () = activity.evicted.cancelled() => return,
            () = cancel.cancelled(), if close_at.is_none() => {
                connection.as_mut().graceful_shutdown();
                close_at = Some(Instant::now() + guard.drain_timeout);
            }
            () = sleep_until(wake) => {
                let now = Instant::now();
                if close_at.is_some_and(|at| at <= now) {
                    return;
                }
                if activity.unread_until(guard).is_some_and(|at| at <= now) {
                    port.rejected("unread");
                    return;
                }
                if close_at.is_none() && retire_at <= now {
                    connection.as_mut().graceful_shutdown();
                    close_at = Some(now + AGE_GRACE);
                    continue;
                }
                match activity.expiry(guard) {
                    Some((at, Expiry::Head)) if at <= now => {
                        port.rejected_slow.add(1);
                        // Plain words would not be understood under TLS.
                        if guard.tls.is_none() {
                            answer_slow_head(socket, guard.header_timeout);
                        }
                        return;
                    }
                    Some((at, Expiry::Silent)) if at <= now => {
                        port.rejected_slow.add(1);
                        return;
                    }
                    Some((at, Expiry::Idle)) if at <= now && close_at.is_none() => {
                        connection.as_mut().graceful_shutdown();
                        close_at = Some(now + guard.write_timeout);
                    }
                    _ => {}
                }
            }
        }
    }
}

/// What a client did that ended its connection, unless it was nothing but leaving.
fn offence(error: &(dyn std::error::Error + 'static)) -> Option<&'static str> {
    causes(error).find_map(|error| match error.downcast_ref::<h2::Error>() {
        Some(http2) if http2.is_library() => Some(if http2.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM) { "flood" } else { "protocol" }),
        _ => match error.downcast_ref::<hyper::Error>() {
            Some(http) if http.is_parse_too_large() => Some("headers"),
            Some(http) if http.is_parse() => Some("protocol"),
            _ => None,
        },
    })
}

/// Says why before closing. Best effort: what the socket does not take at once is not worth waiting for.
fn answer_slow_head(socket: &Socket, timeout: Duration) {
    let text = format!("header read timed out after {timeout:?}\n");
    let head = format!(
        "HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\n\r\n",
        text.len()
    );
    let _ = socket.try_write(&[IoSlice::new(head.as_bytes()), IoSlice::new(text.as_bytes())]);
}
