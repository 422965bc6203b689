//! Reading files that people wrote, without trusting their size.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// What is written by hand; anything larger is a mistake or an attack.
pub const BY_HAND: u64 = 4 << 20;
/// Rules and scrape configurations, which programs write as well.
pub const GENERATED: u64 = 8 << 20;
/// Samples that a program wrote out. They are read whole, and as series take up to twice as much again.
pub const RECORDED: u64 = 256 << 20;

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

/// As [`read_text`], of a file and nothing else: a pipe or a device may never begin or never end, and what is read again and again while running must
/// not wait for one.
///
/// # Errors
/// As [`read_text`], and when it is no file.
pub fn read_file(path: &Path, limit: u64) -> io::Result<String> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    read_text(path, limit)
}

/// As [`read_text`], from what is open already.
///
/// # Errors
/// As [`read_text`].
pub fn text(source: impl Read, limit: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    source.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(too_large(limit));
    }
    decoded(bytes)
}

/// UTF-8; or UTF-16 where a byte order mark says so, which YAML allows and some shells write by themselves.
fn decoded(bytes: Vec<u8>) -> io::Result<String> {
    let unit: fn([u8; 2]) -> u16 = match bytes.get(..2) {
        Some([0xff, 0xfe]) => u16::from_le_bytes,
        Some([0xfe, 0xff]) => u16::from_be_bytes,
        _ => return String::from_utf8(bytes).map_err(|_| no_text("UTF-8")),
    };
    let (pairs, rest) = bytes[2..].as_chunks();
    let text = String::from_utf16(&pairs.iter().map(|pair| unit(*pair)).collect::<Vec<_>>());
    text.ok().filter(|_| rest.is_empty()).ok_or_else(|| no_text("UTF-16"))
}

fn no_text(encoding: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("stream did not contain valid {encoding}"))
}

fn too_large(limit: u64) -> io::Error {
    let shown = if limit < 1 << 20 { format!("{} KiB", limit >> 10) } else { format!("{} MiB", limit >> 20) };
    io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {shown}"))
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

    #[test]
    fn a_byte_order_mark_says_that_a_text_is_utf_16() -> io::Result<()> {
        let units = |text: &str| text.encode_utf16().collect::<Vec<_>>();
        let little: Vec<u8> = units("\u{feff}gr\u{fc}n \u{1f525}\n").iter().flat_map(|unit| unit.to_le_bytes()).collect();
        let big: Vec<u8> = units("\u{feff}gr\u{fc}n \u{1f525}\n").iter().flat_map(|unit| unit.to_be_bytes()).collect();
        assert_eq!((text(&*little, 64)?, text(&*big, 64)?), ("gr\u{fc}n \u{1f525}\n".to_owned(), "gr\u{fc}n \u{1f525}\n".to_owned()));
        // Half a unit, half a pair of surrogates, and Latin-1.
        for (bytes, encoding) in [(&little[..5], "UTF-16"), (&little[..14], "UTF-16"), (&b"gr\xfcn"[..], "UTF-8")] {
            let error = text(bytes, 64).expect_err("no text");
            assert_eq!(error.to_string(), format!("stream did not contain valid {encoding}"));
        }
        Ok(())
    }

    #[test]
    fn no_more_is_read_than_the_limit() -> io::Result<()> {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("secret");
        std::fs::write(&path, "x".repeat(2048))?;
        assert_eq!(read_file(&path, 2048)?.len(), 2048);
        assert_eq!(read_file(&path, 1024).expect_err("too large").to_string(), "it is larger than 1 KiB");
        Ok(())
    }

    #[test]
    fn a_device_without_end_is_not_read_and_a_pipe_without_a_writer_not_waited_for() -> io::Result<()> {
        assert_eq!(read_file(Path::new("/dev/zero"), 1024).expect_err("no file").to_string(), "it is not a file");
        let directory = tempfile::tempdir()?;
        let pipe = directory.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status()?.success());
        assert_eq!(read_file(&pipe, 1024).expect_err("no file").to_string(), "it is not a file");
        Ok(())
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn what_says_that_it_is_empty_and_is_not_is_read_to_the_limit() {
        // Files of /proc say that they hold nothing.
        assert!(read_file(Path::new("/proc/self/maps"), 16).is_err());
    }
}
