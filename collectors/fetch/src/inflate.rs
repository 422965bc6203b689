//! gzip undone piece by piece, as many members as there are: what one part of an answer was compressed apart from the next is still one
//! answer.

use bytes::{Buf, Bytes};
use flate2::bufread::MultiGzDecoder;
use std::io::{self, BufRead, Read};

/// The most that is handed out at a time, so that a small body cannot become a large one unseen.
const PIECE: usize = 16 << 10;

/// Compressed bytes go in as they come, and out of it what they were.
#[derive(Debug)]
pub struct Inflate {
    decoder: MultiGzDecoder<Arrived>,
    any: bool,
}

/// What came and was not read yet. An empty one that has not ended makes the decoder wait.
#[derive(Debug, Default)]
struct Arrived {
    bytes: Bytes,
    ended: bool,
}

impl Read for Arrived {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let length = self.fill_buf()?.len().min(out.len());
        self.bytes.copy_to_slice(&mut out[..length]);
        Ok(length)
    }
}

impl BufRead for Arrived {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.bytes.is_empty() && !self.ended { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(&self.bytes) }
    }

    fn consume(&mut self, amount: usize) {
        self.bytes.advance(amount);
    }
}

impl Inflate {
    pub fn new() -> Self {
        Inflate { decoder: MultiGzDecoder::new(Arrived::default()), any: false }
    }

    /// What came next from the network; `None` is its end.
    pub fn feed(&mut self, bytes: Option<Bytes>) {
        let arrived = self.decoder.get_mut();
        self.any |= bytes.as_ref().is_some_and(|b| !b.is_empty());
        match bytes {
            Some(bytes) => arrived.bytes = bytes,
            None => arrived.ended = true,
        }
    }

    /// The next piece; an empty one at the end, `None` where more must be fed.
    ///
    /// # Errors
    /// When this is not gzip, or it ends in the middle.
    pub fn next(&mut self) -> io::Result<Option<Bytes>> {
        // Nothing is compressed to nothing by servers that answer without a body.
        if !self.any && self.decoder.get_ref().ended {
            return Ok(Some(Bytes::new()));
        }
        let mut piece = vec![0; PIECE];
        match self.decoder.read(&mut piece) {
            Ok(length) => {
                piece.truncate(length);
                Ok(Some(piece.into()))
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(e) => Err(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    /// Fed in pieces of `size` bytes.
    fn inflate(compressed: &[u8], size: usize) -> io::Result<Vec<u8>> {
        let mut inflate = Inflate::new();
        let mut pieces = compressed.chunks(size).map(Bytes::copy_from_slice);
        let mut out = Vec::new();
        loop {
            match inflate.next()? {
                None => inflate.feed(pieces.next()),
                Some(piece) if piece.is_empty() => return Ok(out),
                Some(piece) => out.extend_from_slice(&piece),
            }
        }
    }

    #[test]
    fn members_follow_one_another_however_they_arrive() {
        let long = "depth 3\n".repeat(10_000);
        let both = [gzip(b"a 1\n"), gzip(long.as_bytes()), gzip(b"")].concat();
        for size in [1, 7, 100_000] {
            assert_eq!(inflate(&both, size).unwrap(), [b"a 1\n", long.as_bytes()].concat(), "{size} bytes at a time");
        }
        assert_eq!(inflate(b"", 1).unwrap(), b"");
    }

    #[test]
    fn what_is_cut_or_no_gzip_is_an_error() {
        let whole = gzip(b"a 1\nb 2\n");
        for cut in 1..whole.len() {
            assert!(inflate(&whole[..cut], 3).is_err(), "{cut} of {}", whole.len());
        }
        assert!(inflate(b"a 1\n", 10).is_err());
        assert!(inflate(&[whole, b"rest".to_vec()].concat(), 10).is_err());
    }
}
