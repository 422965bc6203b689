//! Where watchfire's own log goes: standard error without a terminal, a bounded file while the screens are up. Never onto the screens.

use parking_lot::Mutex;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// The file starts anew beyond this; the one before is kept beside it.
const MAX_LOG_BYTES: u64 = 8 << 20;

/// Logs to standard error, one harmless line per event.
pub fn to_stderr(level: &str) {
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter(level))
        .with_writer(|| Harmless(io::stderr()))
        .with_ansi(false)
        .with_target(false)
        .try_init();
}

/// Logs to `directory/watchfire.log`. Where that cannot be written there is no log, and a sentence says so: a disk that takes nothing is no reason to
/// see nothing.
pub fn to_file(level: &str, directory: &Path) -> Option<String> {
    let opened = std::fs::create_dir_all(directory).and_then(|()| LogFile::open(directory.join("watchfire.log"), MAX_LOG_BYTES));
    match opened {
        Ok(file) => {
            let _ = tracing_subscriber::fmt()
                .with_env_filter(filter(level))
                .with_writer(Shared(Arc::new(Mutex::new(file))))
                .with_ansi(false)
                .with_target(false)
                .try_init();
            None
        }
        Err(error) => Some(format!("no log is written: {}: {error}", directory.display())),
    }
}

/// Our own crates at the wanted level, everybody else only when something is wrong. A name stands for all that begin with it.
fn filter(level: &str) -> EnvFilter {
    let level = if ["error", "warn", "info", "debug", "trace"].contains(&level) { level } else { "info" };
    EnvFilter::new(format!("warn,watchfire={level}"))
}

/// Text from outside may be quoted in a log line; whoever reads the log on a terminal is protected here.
struct Harmless<W>(W);

impl<W: Write> Write for Harmless<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        for line in text.split_inclusive('\n') {
            let (body, end) = line.strip_suffix('\n').map_or((line, ""), |b| (b, "\n"));
            // At once, so that no file ends within a line.
            self.0.write_all(format!("{}{end}", watchfire_model::harmless(body)).as_bytes())?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// A file that starts anew when it has grown too long, also in a run of weeks.
struct LogFile {
    path: PathBuf,
    most: u64,
    file: File,
    bytes: u64,
}

impl LogFile {
    fn open(path: PathBuf, most: u64) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        let bytes = file.metadata()?.len();
        Ok(LogFile { path, most, file, bytes })
    }

    fn begin_anew(&mut self) -> io::Result<()> {
        std::fs::rename(&self.path, self.path.with_extension("log.1"))?;
        *self = LogFile::open(self.path.clone(), self.most)?;
        Ok(())
    }
}

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes >= self.most && self.begin_anew().is_err() {
            // A line is worth more than the bound; it is tried again after as much again.
            self.bytes = 0;
        }
        let written = self.file.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[derive(Clone)]
struct Shared(Arc<Mutex<LogFile>>);

impl<'a> MakeWriter<'a> for Shared {
    type Writer = Harmless<SharedWriter>;

    fn make_writer(&'a self) -> Self::Writer {
        Harmless(SharedWriter(self.0.clone()))
    }
}

struct SharedWriter(Arc<Mutex<LogFile>>);

impl Write for SharedWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.lock().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_starts_anew_while_it_is_written_and_keeps_what_was_before() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("watchfire.log");
        let shared = Shared(Arc::new(Mutex::new(LogFile::open(path.clone(), 100).expect("opened"))));
        let subscriber = tracing_subscriber::fmt().with_env_filter(filter("debug")).with_writer(shared).with_ansi(false).finish();
        tracing::subscriber::with_default(subscriber, || {
            for n in 0..50 {
                tracing::debug!(target: "watchfire_store::series", "line {n}");
                tracing::info!(target: "hyper", "of others");
            }
        });
        let text = |path: &Path| std::fs::read_to_string(path).expect("readable");
        let (now, before) = (text(&path), text(&directory.path().join("watchfire.log.1")));
        assert!(now.len() < 200 && before.len() < 200, "{} and {} bytes", now.len(), before.len());
        let all = before + &now;
        assert!(all.contains("line 48") && all.contains("line 49") && !all.contains("of others"), "{all}");
    }
}
