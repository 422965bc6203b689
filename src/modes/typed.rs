//! What was typed on the prompt line, kept over sessions as shells do: the newest lines in a file of the state directory that only its user reads.

use std::fs::OpenOptions;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use watchfire_model::harmless;

/// Lines that a session begins with; the prompt keeps no more of each kind.
const LINES: usize = 300;
/// The file is written anew when it has grown beyond this, and no more of it is read.
const MOST_BYTES: u64 = 64 << 10;
/// Longer lines are pasted, not typed.
const LONGEST: usize = 1000;
/// A line with one of these may hold what nobody wants to find in a file.
const SECRETIVE: [&str; 8] = ["password", "passwd", "secret", "token", "authorization", "bearer", "api_key", "apikey"];

/// The file of typed lines. Whatever goes wrong with it costs the lines and nothing else.
#[derive(Clone, Debug)]
pub struct Typed {
    path: PathBuf,
}

impl Typed {
    pub fn of(directory: &Path) -> Typed {
        Typed { path: directory.join("typed") }
    }

    /// The newest lines, oldest first.
    pub fn lines(&self) -> Vec<String> {
        let (text, whole) = self.newest().unwrap_or_default();
        // What begins before the part that was read is no line.
        let lines: Vec<&str> = text.lines().skip(usize::from(!whole)).filter(|line| may_be_kept(line)).collect();
        let lines: Vec<String> = lines[lines.len().saturating_sub(LINES)..].iter().map(|line| (*line).to_owned()).collect();
        if !whole {
            let _ = self.begin_anew(&lines);
        }
        lines
    }

    /// Adds a line, as other sessions of the same user may at the same time.
    pub fn add(&self, line: &str) {
        if may_be_kept(line) {
            let _ =
                options().create(true).append(true).open(&self.path).and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
        }
    }

    fn newest(&self) -> io::Result<(String, bool)> {
        let mut file = options().read(true).open(&self.path)?;
        let about = file.metadata()?;
        if !about.is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let from = about.len().saturating_sub(MOST_BYTES);
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.take(MOST_BYTES).read_to_end(&mut bytes)?;
        Ok((String::from_utf8_lossy(&bytes).into_owned(), from == 0))
    }

    fn begin_anew(&self, lines: &[String]) -> io::Result<()> {
        let beside = self.path.with_extension("new");
        let text: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
        options().create(true).write(true).truncate(true).open(&beside)?.write_all(text.as_bytes())?;
        std::fs::rename(beside, &self.path)
    }
}

/// Neither a link nor a pipe in its place is followed, and nobody else reads it.
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600).custom_flags((rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits() as i32);
    options
}

fn may_be_kept(line: &str) -> bool {
    let plain = !line.trim().is_empty() && line.len() <= LONGEST && harmless(line) == line;
    let lower = line.to_ascii_lowercase();
    plain && !SECRETIVE.iter().any(|word| lower.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn lines_are_found_by_the_next_session_and_nobody_else() {
        let directory = tempfile::tempdir().expect("a directory");
        let typed = Typed::of(directory.path());
        assert!(typed.lines().is_empty());
        for line in [":at -10m", "/service=cart error", "?sum(rate(x[5m]))", ":query up{token=\"x\"}", ":\u{1b}[31m", "", &"x".repeat(2000)]
        {
            typed.add(line);
        }
        assert_eq!(Typed::of(directory.path()).lines(), [":at -10m", "/service=cart error", "?sum(rate(x[5m]))"]);
        let mode = directory.path().join("typed").metadata().expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn the_file_stays_small_and_keeps_the_newest() {
        let directory = tempfile::tempdir().expect("a directory");
        let typed = Typed::of(directory.path());
        for n in 0..8000 {
            typed.add(&format!(":service number-{n}"));
        }
        let lines = typed.lines();
        assert_eq!((lines.len(), lines.last().map(String::as_str)), (LINES, Some(":service number-7999")));
        assert!(directory.path().join("typed").metadata().expect("a file").len() < MOST_BYTES / 4);
        assert_eq!(typed.lines(), lines);
    }

    #[test]
    fn what_somebody_put_in_its_place_is_left_alone() {
        let directory = tempfile::tempdir().expect("a directory");
        let elsewhere = directory.path().join("elsewhere");
        std::fs::write(&elsewhere, ":not mine\n").expect("written");
        std::os::unix::fs::symlink(&elsewhere, directory.path().join("typed")).expect("a link");
        let typed = Typed::of(directory.path());
        typed.add(":at -1m");
        assert!(typed.lines().is_empty());
        assert_eq!(std::fs::read_to_string(elsewhere).expect("there"), ":not mine\n");
        // Bytes that are no text, and a file of somebody who edits it, are read as far as they are lines.
        let other = Typed { path: directory.path().join("other") };
        std::fs::write(&other.path, b":live\n\xff\xfe\x00\n:changes\n").expect("written");
        assert_eq!(other.lines(), [":live", ":changes"]);
    }
}
