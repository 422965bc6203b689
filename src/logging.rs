//! Where watchfire's own log goes: standard error without a terminal, a bounded file while the screens are up. Never onto the screens.

use parking_lot::Mutex;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// The file starts anew beyond this; the previous one is kept beside it.
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

/// Logs to `directory/watchfire.log`.
///
/// # Errors
/// When the file cannot be opened.
pub fn to_file(level: &str, directory: &Path) -> io::Result<()> {
    std::fs::create_dir_all(directory)?;
    let path = directory.join("watchfire.log");
    if std::fs::metadata(&path).is_ok_and(|m| m.len() > MAX_LOG_BYTES) {
        std::fs::rename(&path, directory.join("watchfire.log.1"))?;
    }
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter(level))
        .with_writer(Shared(Arc::new(Mutex::new(file))))
        .with_ansi(false)
        .with_target(false)
        .try_init();
    Ok(())
}

/// Our own crates at the wanted level, everybody else only when something is wrong.
fn filter(level: &str) -> EnvFilter {
    let level = if ["error", "warn", "info", "debug", "trace"].contains(&level) { level } else { "info" };
    EnvFilter::new(format!(
        "warn,watchfire={level},watchfire_store={level},watchfire_otlp={level},watchfire_scrape={level},watchfire_health={level},\
         watchfire_alerts={level},watchfire_notifiers={level},watchfire_serve={level},watchfire_fetch={level},watchfire_demo={level}"
    ))
}

/// Text from outside may be quoted in a log line; whoever reads the log on a terminal is protected here.
struct Harmless<W>(W);

impl<W: Write> Write for Harmless<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        for line in text.split_inclusive('\n') {
            let (body, end) = line.strip_suffix('\n').map_or((line, ""), |b| (b, "\n"));
            write!(self.0, "{}{end}", watchfire_model::harmless(body))?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[derive(Clone)]
struct Shared(Arc<Mutex<File>>);

impl<'a> MakeWriter<'a> for Shared {
    type Writer = Harmless<SharedWriter>;

    fn make_writer(&'a self) -> Self::Writer {
        Harmless(SharedWriter(self.0.clone()))
    }
}

struct SharedWriter(Arc<Mutex<File>>);

impl Write for SharedWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.lock().flush()
    }
}
