//! Files that settings name: secrets, and lists of targets. Read again and again while running, so never without a limit.

use std::io::{self, Read};
use std::path::Path;

/// A token or a password; anything larger was named by mistake.
const SECRET: u64 = 64 << 10;

/// The text of a file of at most `limit` bytes, whatever it says of its length. A pipe or a device, which may never end or never begin, is no file.
///
/// # Errors
/// When it cannot be read, is no file or no text, or is larger.
pub fn read_text(path: &Path, limit: u64) -> io::Result<String> {
    let too_large = || io::Error::other(format!("it is larger than {} KiB", limit >> 10));
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    if metadata.len() > limit {
        return Err(too_large());
    }
    let mut text = String::new();
    std::fs::File::open(path)?.take(limit + 1).read_to_string(&mut text)?;
    if text.len() as u64 > limit {
        return Err(too_large());
    }
    Ok(text)
}

/// A secret as its file holds it now, without the line end that editors add.
///
/// # Errors
/// Names the file and what is wrong with it.
pub async fn read_secret(path: &Path) -> Result<String, String> {
    let owned = path.to_owned();
    let read = tokio::task::spawn_blocking(move || read_text(&owned, SECRET)).await.map_err(|e| e.to_string())?;
    read.map(|text| text.trim().to_owned()).map_err(|e| format!("cannot read {}: {e}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_read_than_the_limit() -> io::Result<()> {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("secret");
        std::fs::write(&path, "x".repeat(2048))?;
        assert_eq!(read_text(&path, 2048)?.len(), 2048);
        assert_eq!(read_text(&path, 1024).expect_err("too large").to_string(), "it is larger than 1 KiB");
        Ok(())
    }

    #[test]
    fn a_device_without_end_is_not_read_and_a_pipe_without_a_writer_not_waited_for() -> io::Result<()> {
        assert_eq!(read_text(Path::new("/dev/zero"), 1024).expect_err("no file").to_string(), "it is not a file");
        let directory = tempfile::tempdir()?;
        let pipe = directory.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status()?.success());
        assert_eq!(read_text(&pipe, 1024).expect_err("no file").to_string(), "it is not a file");
        Ok(())
    }

    #[test]
    fn what_says_that_it_is_empty_and_is_not_is_read_to_the_limit() {
        // Files of /proc say that they hold nothing.
        assert!(read_text(Path::new("/proc/self/maps"), 16).is_err());
    }
}
