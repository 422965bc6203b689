//! Content codings: inflated piece by piece, so that a bomb is given up at its first byte too many.

use crate::budget::Reservation;
use crate::limits::Limits;
use crate::refusal::{Refusal, Signal};
use bytes::Bytes;
use http::{HeaderMap, header};
use std::io::Read;

/// What is longer than this is inflated, and translated, off the receiver's thread.
pub(crate) const LONG: usize = 64 << 10;
/// Inflated at a time.
const PIECE: usize = 64 << 10;
/// zstd frames may ask for a window of at most 2^24 bytes.
const ZSTD_WINDOW_LOG: u32 = 24;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Identity,
    Gzip,
    Zstd,
    /// As HTTP means it: zlib.
    Deflate,
}

impl Encoding {
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        // Two lines of one header mean what one line with a comma does.
        let lines = headers.get_all(header::CONTENT_ENCODING).iter().map(|v| String::from_utf8_lossy(v.as_bytes()));
        let value = lines.reduce(|all, line| format!("{all}, {line}").into()).unwrap_or_default();
        match value.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(Encoding::Identity),
            "gzip" | "x-gzip" => Ok(Encoding::Gzip),
            "zstd" => Ok(Encoding::Zstd),
            "deflate" => Ok(Encoding::Deflate),
            _ => Err(Refusal::Encoding(value.into_owned())),
        }
    }

    /// What the messages of a gRPC call that say so are compressed with. `None` also for what tonic refuses: only it knows how.
    pub(crate) fn of_grpc(headers: &HeaderMap) -> Option<Self> {
        match headers.get("grpc-encoding")?.as_bytes() {
            b"gzip" => Some(Encoding::Gzip),
            b"zstd" => Some(Encoding::Zstd),
            _ => None,
        }
    }

    pub(crate) fn inflate(self, raw: Bytes, signal: Signal, limits: &Limits, reservation: &mut Reservation) -> Result<Bytes, Refusal> {
        let broken = |e: std::io::Error| Refusal::Decode(signal, format!("cannot decompress: {e}"));
        match self {
            Encoding::Identity => Ok(raw),
            Encoding::Gzip => read(flate2::bufread::MultiGzDecoder::new(&*raw), broken, limits, reservation),
            Encoding::Deflate => read(flate2::bufread::ZlibDecoder::new(&*raw), broken, limits, reservation),
            Encoding::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(&*raw).map_err(broken)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(broken)?;
                read(decoder, broken, limits, reservation)
            }
        }
    }
}

fn read(
    mut from: impl Read,
    broken: impl Fn(std::io::Error) -> Refusal,
    limits: &Limits,
    reservation: &mut Reservation,
) -> Result<Bytes, Refusal> {
    let mut out = Vec::new();
    loop {
        let start = out.len();
        if !reservation.grow(PIECE) {
            return Err(Refusal::InFlight);
        }
        out.resize(start + PIECE, 0);
        let mut filled = start;
        while filled < out.len() {
            match from.read(&mut out[filled..]).map_err(&broken)? {
                0 => {
                    out.truncate(filled);
                    return if out.len() > limits.max_bytes { Err(Refusal::too_long(limits)) } else { Ok(Bytes::from(out)) };
                }
                read => filled += read,
            }
        }
        if out.len() > limits.max_bytes {
            return Err(Refusal::too_long(limits));
        }
    }
}
