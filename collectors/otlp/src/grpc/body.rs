//! A request body on the budget: what it has brought counts as in flight, and it ends where the budget does.
//!
//! A message that lies whole and uncompressed in the first frame goes round tonic, which would copy it into a buffer of its own (7 % of all that a span
//! costs): it is put aside as it lies, and tonic, which keeps the framing of everything else, is given an empty one in its place.
//!
//! A compressed message is shown to tonic as if it were not, and inflated where OTLP over HTTP has its bodies inflated: tonic would read the first member
//! of a gzip stream, answer that all is well, and drop the others.

use crate::budget::{Budget, Reservation};
use crate::encoding::Encoding;
use crate::refusal::Refusal;
use axum::body::Body;
use bytes::{Buf, Bytes};
use http_body::{Body as HttpBody, Frame};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tonic::Status;
use watchfire_serve::BodyError;

/// The prefix of a gRPC message: a byte that says whether it is compressed, and its length.
const PREFIX: usize = 5;
/// Values of that byte.
const PLAIN: u8 = 0;
const COMPRESSED: u8 = 1;
/// An uncompressed message of no bytes.
const EMPTY: Bytes = Bytes::from_static(&[0; PREFIX]);
/// A smaller message is copied: as it lies, it would hold on to the whole buffer that the connection reads into, of which the budget knows nothing.
const WORTH_KEEPING: usize = 32 << 10;

/// What is known about the reading of one request; shared by its body, its handler and whoever answers.
#[derive(Clone, Debug)]
pub(super) struct Reading(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    reservation: Option<Reservation>,
    /// The message, when it went round tonic.
    aside: Option<Bytes>,
    /// How the message is compressed.
    packed: Option<Encoding>,
    failure: Option<Refusal>,
}

impl Reading {
    pub(super) fn new(budget: &Budget) -> Self {
        Reading(Arc::new(Mutex::new(State { reservation: Some(budget.open()), aside: None, packed: None, failure: None })))
    }

    fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The message is whole: as tonic read it, or as it was put aside, with its compression. What it holds of the budget goes with it.
    ///
    /// # Panics
    /// When called twice for one request.
    pub(super) fn finish(&self, read: Bytes) -> (Bytes, Option<Encoding>, Reservation) {
        self.with(|state| {
            let reservation = state.reservation.take().expect("a unary call has one message");
            (state.aside.take().unwrap_or(read), state.packed, reservation)
        })
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
    /// What messages that say that they are compressed are compressed with.
    encoding: Option<Encoding>,
    /// Nothing of the body has been read.
    fresh: bool,
    /// What follows the byte that said "compressed".
    held: Option<Bytes>,
    /// The longest message; tonic refuses a longer one.
    max_bytes: usize,
}

impl Metered {
    pub(super) fn new(body: Body, encoding: Option<Encoding>, reading: Reading, max_bytes: usize) -> Self {
        Metered { body, reading, encoding, fresh: true, held: None, max_bytes }
    }

    /// Whether this first frame is one message and nothing else, and worth keeping as it lies.
    fn is_whole_message(&self, frame: &Bytes, flag: u8) -> bool {
        let length = frame.len().saturating_sub(PREFIX);
        let [a, b, c, d] = u32::try_from(length).unwrap_or(0).to_be_bytes();
        (WORTH_KEEPING..=self.max_bytes).contains(&length) && frame.starts_with(&[flag, a, b, c, d])
    }

    /// What tonic is shown of the first bytes of the body.
    fn first(&mut self, mut data: Bytes) -> Bytes {
        let packed = self.encoding.filter(|_| data.starts_with(&[COMPRESSED]));
        if packed.is_some() {
            self.reading.with(|state| state.packed = packed);
        }
        if self.is_whole_message(&data, if packed.is_some() { COMPRESSED } else { PLAIN }) {
            data.advance(PREFIX);
            self.reading.with(|state| state.aside = Some(data));
            return EMPTY;
        }
        if packed.is_some() {
            self.held = Some(data.split_off(1)).filter(|rest| !rest.is_empty());
            return Bytes::from_static(&[PLAIN]);
        }
        data
    }
}

impl HttpBody for Metered {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(rest) = self.held.take() {
            return Poll::Ready(Some(Ok(Frame::data(rest))));
        }
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
        if !fits {
            return Poll::Ready(Some(Err(Status::unavailable("too much data in flight"))));
        }
        let first = bytes > 0 && std::mem::take(&mut self.fresh);
        Poll::Ready(Some(Ok(match frame.into_data() {
            Ok(data) if first => Frame::data(self.first(data)),
            Ok(data) => Frame::data(data),
            Err(trailers) => trailers,
        })))
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_none() && self.body.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    /// What tonic would read of a body of these frames, and what went round it.
    async fn read(frames: Vec<Vec<u8>>, encoding: Option<Encoding>) -> (Vec<Bytes>, Option<Bytes>) {
        let reading = Reading::new(&Budget::new(1 << 20));
        let body = Body::from_stream(tokio_stream::iter(frames.into_iter().map(Ok::<_, Status>)));
        let mut metered = Metered::new(body, encoding, reading.clone(), 64 << 10);
        let mut shown = Vec::new();
        while let Some(frame) = metered.frame().await {
            shown.push(frame.expect("on the budget").into_data().expect("data"));
        }
        (shown, reading.with(|state| state.aside.take()))
    }

    fn framed(compressed: u8, length: usize) -> Vec<u8> {
        let mut frame = vec![compressed];
        frame.extend_from_slice(&u32::try_from(length).expect("short").to_be_bytes());
        frame.resize(PREFIX + length, b'x');
        frame
    }

    #[tokio::test]
    async fn only_one_whole_uncompressed_message_in_the_first_frame_goes_round_tonic() {
        for length in [WORTH_KEEPING, 64 << 10] {
            let (shown, aside) = read(vec![framed(0, length)], None).await;
            assert_eq!((shown, aside.map(|m| m.len())), (vec![EMPTY], Some(length)));
        }
        let more = [framed(0, WORTH_KEEPING), vec![0]].concat();
        let (head, tail) = (framed(0, WORTH_KEEPING)[..9].to_vec(), framed(0, WORTH_KEEPING)[9..].to_vec());
        for (what, frames) in [
            ("small", vec![framed(0, WORTH_KEEPING - 1)]),
            ("too long", vec![framed(0, (64 << 10) + 1)]),
            ("compressed with what is not known", vec![framed(1, WORTH_KEEPING)]),
            ("in two frames", vec![head, tail]),
            ("followed by something", vec![more]),
            ("second", vec![framed(0, 1), framed(0, WORTH_KEEPING)]),
        ] {
            let (shown, aside) = read(frames.clone(), None).await;
            assert_eq!((shown, aside), (frames.into_iter().map(Bytes::from).collect(), None), "{what}");
        }
    }

    #[tokio::test]
    async fn a_compressed_message_is_shown_to_tonic_as_if_it_were_not() {
        let packed = Some(Encoding::Gzip);
        let (shown, aside) = read(vec![framed(1, WORTH_KEEPING)], packed).await;
        assert_eq!((shown, aside.map(|m| m.len())), (vec![EMPTY], Some(WORTH_KEEPING)));
        let bytes = |frames: Vec<Bytes>| frames.concat();
        for frames in [vec![framed(1, 9)], framed(1, 9).chunks(1).map(<[u8]>::to_vec).collect(), vec![vec![], framed(1, 9)]] {
            let (shown, aside) = read(frames, packed).await;
            assert_eq!((bytes(shown), aside), (framed(0, 9), None));
        }
        let (shown, _) = read(vec![framed(0, 9)], packed).await;
        assert_eq!(bytes(shown), framed(0, 9), "a message may say that it is not compressed");
    }
}
