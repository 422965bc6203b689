//! Reading files that people wrote, without trusting their size.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// What is written by hand; anything larger is a mistake or an attack.
pub const BY_HAND: u64 = 4 << 20;
/// Rules and scrape configurations, which programs write as well.
pub const GENERATED: u64 = 8 << 20;

/// The text of a file of at most `limit` bytes. No more than that is ever read, whatever the file says of its length.
///
/// # Errors
/// When it cannot be read, is no text, or is larger.
pub fn read_text(path: &Path, limit: u64) -> io::Result<String> {
    let file = File::open(path)?;
    // What says that it is too large is believed; what says that it is not is not.
    if file.metadata()?.len() > limit {
        return Err(too_large(limit));
    }
    text(file, limit)
}

/// As [`read_text`], from what is open already.
///
/// # Errors
/// As [`read_text`].
pub fn text(source: impl Read, limit: u64) -> io::Result<String> {
    let mut text = String::new();
    source.take(limit + 1).read_to_string(&mut text)?;
    if text.len() as u64 > limit {
        return Err(too_large(limit));
    }
    Ok(text)
}

fn too_large(limit: u64) -> io::Error {
    io::Error::other(format!("it is larger than {} MiB", limit >> 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_end_is_not_read_to_its_end() {
        assert_eq!(text(&b"abc"[..], 3).expect("just fits"), "abc");
        assert!(text(&b"abcd"[..], 3).is_err());
        let error = text(io::repeat(b'x'), BY_HAND).expect_err("without end");
        assert_eq!(error.to_string(), "it is larger than 4 MiB");
    }
}
