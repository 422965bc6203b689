//! A tonic codec that leaves messages as the bytes they are.

use bytes::{Buf, BufMut, Bytes};
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// Hands messages over whole: no copy coming in, one going out.
#[derive(Clone, Copy, Debug, Default)]
pub struct RawCodec;

/// Reads the one message of a unary call. tonic passes over any further ones, and their sender would believe them stored.
#[derive(Clone, Copy, Debug, Default)]
pub struct OneMessage {
    read: bool,
}

impl Codec for RawCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = RawCodec;
    type Decoder = OneMessage;

    fn encoder(&mut self) -> RawCodec {
        RawCodec
    }

    fn decoder(&mut self) -> OneMessage {
        OneMessage::default()
    }
}

impl Encoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(item);
        Ok(())
    }
}

impl Decoder for OneMessage {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        if std::mem::replace(&mut self.read, true) {
            return Err(Status::invalid_argument("a unary call has one message, this one has more"));
        }
        Ok(Some(source.copy_to_bytes(source.remaining())))
    }
}
