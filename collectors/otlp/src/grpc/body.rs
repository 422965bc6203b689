//! A request body on the budget: what it has brought counts as in flight, and it ends where the budget does.

use crate::budget::{Budget, Reservation};
use crate::refusal::Refusal;
use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tonic::Status;
use watchfire_serve::BodyError;

/// What is known about the reading of one request; shared by its body, its handler and whoever answers.
#[derive(Clone, Debug)]
pub(super) struct Reading(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    reservation: Option<Reservation>,
    failure: Option<Refusal>,
}

impl Reading {
    pub(super) fn new(budget: &Budget) -> Self {
        Reading(Arc::new(Mutex::new(State { reservation: Some(budget.open()), failure: None })))
    }

    fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The message is whole; what it holds of the budget goes with it.
    ///
    /// # Panics
    /// When called twice for one request.
    pub(super) fn finish(&self) -> Reservation {
        self.with(|state| state.reservation.take()).expect("a unary call has one message")
    }

    pub(super) fn was_read(&self) -> bool {
        self.with(|state| state.reservation.is_none())
    }

    pub(super) fn failure(&self) -> Option<Refusal> {
        self.with(|state| state.failure.take())
    }
}

/// The body of a request as tonic reads it.
pub(super) struct Metered {
    body: Body,
    reading: Reading,
}

impl Metered {
    pub(super) fn new(body: Body, reading: Reading) -> Self {
        Metered { body, reading }
    }
}

impl HttpBody for Metered {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = match std::task::ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            None => return Poll::Ready(None),
            Some(Ok(frame)) => frame,
            Some(Err(error)) => {
                if let Some(BodyError::Slow(why)) = BodyError::find(&error) {
                    self.reading.with(|state| state.failure = Some(Refusal::Slow(why.clone())));
                }
                return Poll::Ready(Some(Err(Status::data_loss(error.to_string()))));
            }
        };
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        let fits = self.reading.with(|state| {
            let fits = state.reservation.as_mut().is_none_or(|r| r.grow(bytes));
            if !fits {
                state.failure = Some(Refusal::InFlight);
            }
            fits
        });
        Poll::Ready(Some(if fits { Ok(frame) } else { Err(Status::unavailable("too much data in flight")) }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
