//! The screens in a pseudo-terminal: alive within seconds, driven by keys, and the terminal given back on every way out.

use crate::instance::Watchfire;
use portable_pty::{CommandBuilder, MasterPty, PtySize, native_pty_system};
use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(40);

/// The program on a terminal of its own, seen through a terminal emulator.
struct Screen {
    child: Box<dyn portable_pty::Child + Send + Sync>,
    master: Box<dyn MasterPty + Send>,
    writer: Box<dyn Write + Send>,
    bytes: Receiver<Vec<u8>>,
    parser: vt100::Parser,
    seen: Vec<u8>,
    _home: TempDir,
}

fn emulator(columns: u16, rows: u16) -> vt100::Parser {
    let size = |n: u16| NonZeroU16::new(n).expect("a terminal has a size");
    vt100::Parser::new(size(rows), size(columns), 0)
}

impl Screen {
    fn start(columns: u16, rows: u16, arguments: &[&str]) -> Self {
        let size = PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).expect("a pseudo-terminal");
        let home = TempDir::new().expect("a temporary directory");
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_watchfire"));
        command.env_clear();
        command.env("HOME", home.path());
        command.env("TERM", "xterm-256color");
        command.env("LANG", "C.UTF-8");
        command.args(arguments);
        if arguments[0] != "attach" {
            command.args(["--otlp-grpc", "127.0.0.1:0", "--otlp-http", "127.0.0.1:0", "--api", "127.0.0.1:0"]);
        }
        command.args(["--theme", "dark"]);
        let child = pair.slave.spawn_command(command).expect("the program starts");
        drop(pair.slave);
        let mut reader = pair.master.try_clone_reader().expect("a reader");
        let (send, bytes) = channel();
        std::thread::spawn(move || {
            let mut chunk = [0; 8192];
            while let Ok(n) = reader.read(&mut chunk) {
                if n == 0 || send.send(chunk[..n].to_vec()).is_err() {
                    return;
                }
            }
        });
        let writer = pair.master.take_writer().expect("a writer");
        Screen { child, master: pair.master, writer, bytes, parser: emulator(columns, rows), seen: Vec::new(), _home: home }
    }

    fn keys(&mut self, keys: &str) {
        self.writer.write_all(keys.as_bytes()).expect("keys are taken");
        self.writer.flush().expect("keys are taken");
    }

    /// Reads until the screen is as wanted.
    fn until(&mut self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let screen = self.parser.screen().contents();
            if wanted(&screen) {
                return screen;
            }
            let left = end.saturating_duration_since(Instant::now());
            match self.bytes.recv_timeout(left) {
                Ok(bytes) => {
                    self.parser.process(&bytes);
                    self.seen.extend_from_slice(&bytes);
                }
                Err(RecvTimeoutError::Timeout) => panic!("the screen never showed {what}:\n{screen}"),
                Err(RecvTimeoutError::Disconnected) => panic!("the program ended before it showed {what}:\n{screen}"),
            }
        }
    }

    /// Reads to the end of the program; its exit status, and whether the last word to the terminal gave it back.
    fn end(mut self) -> (u32, bool) {
        let end = Instant::now() + PATIENCE;
        let status = loop {
            while let Ok(bytes) = self.bytes.try_recv() {
                self.seen.extend_from_slice(&bytes);
            }
            if let Some(status) = self.child.try_wait().expect("a child") {
                break status;
            }
            assert!(Instant::now() < end, "the program did not end");
            if let Ok(bytes) = self.bytes.recv_timeout(Duration::from_millis(50)) {
                self.seen.extend_from_slice(&bytes);
            }
        };
        while let Ok(bytes) = self.bytes.recv_timeout(Duration::from_millis(200)) {
            self.seen.extend_from_slice(&bytes);
        }
        let last = |sequence: &[u8]| self.seen.windows(sequence.len()).rposition(|w| w == sequence);
        let left = last(b"\x1b[?1049l") > last(b"\x1b[?1049h");
        let shown = last(b"\x1b[?25h") > last(b"\x1b[?25l");
        (status.exit_code(), left && shown)
    }
}

#[test]
fn the_demo_is_alive_and_its_views_open_by_key() {
    let mut screen = Screen::start(100, 30, &["demo", "--seed", "7"]);
    let first = screen.until("services with rates", |s| s.contains("api-gateway") && s.contains("/s"));
    assert!(first.contains("SIMULATED"), "{first}");
    for (key, shows) in
        [("2", "api-gateway"), ("3", "TOOK"), ("5", "content_publishing"), ("6", "facebook"), ("7", "health/ready"), ("1", "SERVICE")]
    {
        screen.keys(key);
        screen.until(shows, |s| s.contains(shows));
    }
    screen.keys("?");
    screen.until("help", |s| s.contains("keys that work here"));
    screen.keys("\x1b");
    screen.keys(":q\r");
    assert_eq!(screen.end(), (0, true));
}

#[test]
fn the_first_minute_says_what_to_paste_and_resizing_is_survived() {
    let mut screen = Screen::start(80, 24, &["--notify", "none"]);
    let empty = screen.until("the addresses", |s| s.contains("OTEL_EXPORTER_OTLP_ENDPOINT"));
    assert!(empty.contains("watchfire demo"), "{empty}");
    for (columns, rows) in [(20, 5), (1, 1), (200, 50), (80, 24)] {
        screen.master.resize(PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 }).expect("resized");
        screen.parser = emulator(columns, rows);
    }
    screen.until("the addresses again", |s| s.contains("OTEL_EXPORTER_OTLP_ENDPOINT"));
    screen.keys("\x03");
    assert_eq!(screen.end(), (0, true));
}

#[test]
fn sigterm_gives_the_terminal_back() {
    let mut screen = Screen::start(80, 24, &["--notify", "none"]);
    screen.until("the first screen", |s| s.contains("watchfire"));
    let id = screen.child.process_id().expect("a process").to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &id]).status().is_ok_and(|s| s.success()));
    assert_eq!(screen.end(), (0, true));
}

#[test]
fn an_attached_terminal_freezes_when_the_other_side_goes() {
    let watchfire = Watchfire::start(&[]);
    let url = watchfire.url("");
    let mut screen = Screen::start(100, 30, &["attach", &url]);
    screen.until("the other side's first minute", |s| s.contains("nothing received yet"));
    assert_eq!(watchfire.stop("TERM"), Some(0));
    screen.until("that the other side is gone", |s| s.to_lowercase().contains("disconnected"));
    screen.keys(":q\r");
    assert_eq!(screen.end(), (0, true));
}
