//! Reading a request body under its limit and on the budget.

use crate::budget::Reservation;
use crate::limits::Limits;
use crate::refusal::{Refusal, Signal};
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::BodyExt;
use watchfire_serve::BodyError;

/// The whole body, not copied when it came in one piece.
pub(crate) async fn read(mut body: Body, signal: Signal, limits: &Limits, reservation: &mut Reservation) -> Result<Bytes, Refusal> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > limits.max_bytes {
        return Err(Refusal::too_long(limits));
    }
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| match BodyError::find(&error) {
            Some(BodyError::Slow(why)) => Refusal::Slow(why.clone()),
            Some(other) => Refusal::Decode(signal, other.to_string()),
            None => Refusal::Decode(signal, error.to_string()),
        })?;
        let Ok(data) = frame.into_data() else { continue };
        if first.len() + rest.len() + data.len() > limits.max_bytes {
            return Err(Refusal::too_long(limits));
        }
        if !reservation.grow(data.len()) {
            return Err(Refusal::InFlight);
        }
        if first.is_empty() && rest.is_empty() {
            first = data;
        } else {
            if rest.is_empty() {
                rest.reserve(announced.max(first.len() + data.len()));
                rest.extend_from_slice(&std::mem::take(&mut first));
            }
            rest.extend_from_slice(&data);
        }
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}
