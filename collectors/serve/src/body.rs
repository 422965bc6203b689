//! Bodies: coming in, bounded in time (how many bytes are too many is for whoever reads them); going out, counted until the last byte.

use crate::connection::InFlight;
use crate::guard::Guard;
use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};
use watchfire_model::{Counter, causes};

/// Why a request body could not be read to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// The client sends too slowly; answer 408. Already counted.
    Slow(String),
    /// The connection broke or the framing is wrong; answer 400 if anybody still listens.
    Broken(String),
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BodyError::Slow(why) => f.write_str(why),
            BodyError::Broken(why) => write!(f, "cannot read the request body: {why}"),
        }
    }
}

impl Error for BodyError {}

impl BodyError {
    /// The body error somewhere behind an error of a body that went through other layers.
    pub fn find<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a BodyError> {
        causes(error).find_map(|error| error.downcast_ref())
    }
}

/// A request body that must keep coming.
pub(crate) struct Guarded {
    body: Incoming,
    in_flight: Arc<InFlight>,
    slow: Counter,
    body_timeout: Duration,
    window: Duration,
    window_bytes: u64,
    received: u64,
    /// Set by the first wait: the body's end of time, and the timer of the current window.
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl Guarded {
    pub(crate) fn new(body: Incoming, guard: &Guard, in_flight: Arc<InFlight>, slow: Counter) -> Self {
        if body.is_end_stream() {
            in_flight.body_complete();
        }
        Guarded {
            body,
            in_flight,
            slow,
            body_timeout: guard.body_timeout,
            window: guard.body_window,
            window_bytes: guard.body_min_rate.saturating_mul(guard.body_window.as_secs().max(1)),
            received: 0,
            waiting: None,
        }
    }

    fn too_slow(&self, why: String) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.slow.add(1);
        Poll::Ready(Some(Err(BodyError::Slow(why))))
    }
}

impl HttpBody for Guarded {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                this.received += frame.data_ref().map_or(0, |d| d.len() as u64);
                if this.body.is_end_stream() {
                    this.in_flight.body_complete();
                }
                return Poll::Ready(Some(Ok(frame)));
            }
            Poll::Ready(Some(Err(e))) => return Poll::Ready(Some(Err(BodyError::Broken(e.to_string())))),
            Poll::Ready(None) => {
                this.in_flight.body_complete();
                return Poll::Ready(None);
            }
            Poll::Pending => {}
        }
        let (window, body_timeout) = (this.window, this.body_timeout);
        loop {
            let (end, timer) = this.waiting.get_or_insert_with(|| {
                let now = Instant::now();
                (now + body_timeout, Box::pin(sleep_until(now + window.min(body_timeout))))
            });
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            let now = Instant::now();
            if now >= *end {
                return this.too_slow(format!("body read timed out after {body_timeout:?}"));
            }
            if this.received < this.window_bytes {
                let rate = this.window_bytes / window.as_secs().max(1);
                return this.too_slow(format!("body came slower than {rate} bytes per second for {window:?}"));
            }
            this.received = 0;
            timer.as_mut().reset((now + window).min(*end));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.in_flight.body_dropped();
    }
}

/// Answers are handed out in pieces of this size, so that one the client does not read stays here, where it is seen, and not in buffers below.
const PIECE: usize = 16 << 10;

/// A response body that keeps its connection "being served" until it is out, and tells whether the client takes it.
pub(crate) struct Answered {
    body: Body,
    /// What is left of a frame that is being handed out.
    rest: Bytes,
    in_flight: Arc<InFlight>,
    /// What was handed out last (at first: the head of the answer) has not been taken yet.
    unread: bool,
}

impl Answered {
    pub(crate) fn new(body: Body, in_flight: Arc<InFlight>) -> Self {
        let mut answered = Answered { body, rest: Bytes::new(), in_flight, unread: false };
        answered.set_unread(!answered.body.is_end_stream());
        answered
    }

    fn set_unread(&mut self, unread: bool) {
        if unread != self.unread {
            self.in_flight.answer_unread(unread);
            self.unread = unread;
        }
    }
}

impl Drop for Answered {
    fn drop(&mut self) {
        self.set_unread(false);
    }
}

impl HttpBody for Answered {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        // Whoever asks for more has got rid of what came before.
        this.set_unread(false);
        if this.rest.is_empty() {
            match std::task::ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => this.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                end => return Poll::Ready(end),
            }
        }
        let piece = this.rest.split_to(this.rest.len().min(PIECE));
        this.set_unread(true);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, inner) = (self.rest.len() as u64, self.body.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + rest);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}
