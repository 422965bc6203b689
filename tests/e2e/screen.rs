//! A program on a pseudo-terminal, seen through a terminal emulator.

use portable_pty::{CommandBuilder, MasterPty, PtySize, native_pty_system};
use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub const PATIENCE: Duration = Duration::from_secs(40);

/// The program on a terminal of its own, seen through a terminal emulator.
pub struct Screen {
    pub child: Box<dyn portable_pty::Child + Send + Sync>,
    pub master: Box<dyn MasterPty + Send>,
    pub writer: Box<dyn Write + Send>,
    pub bytes: Receiver<Vec<u8>>,
    pub parser: vt100::Parser,
    /// Everything that was written to the terminal.
    pub seen: Vec<u8>,
    /// Line editing and echo, as the terminal had them before the program came.
    pub modes: Option<u32>,
    _home: TempDir,
}

pub fn emulator(columns: u16, rows: u16) -> vt100::Parser {
    let size = |n: u16| NonZeroU16::new(n).expect("a terminal has a size");
    vt100::Parser::new(size(rows), size(columns), 0)
}

/// How the terminal treats what is typed: line by line and echoed, or raw.
pub fn modes(master: &dyn MasterPty) -> Option<u32> {
    master.get_termios().map(|modes| modes.local_flags.bits())
}

impl Screen {
    pub fn start_program(columns: u16, rows: u16, program: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let size = PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).expect("a pseudo-terminal");
        let home = TempDir::new().expect("a temporary directory");
        let mut command = CommandBuilder::new(program);
        command.env_clear();
        command.env("HOME", home.path());
        command.env("XDG_RUNTIME_DIR", home.path());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("TERM", "xterm-256color");
        command.env("LANG", "C.UTF-8");
        environment.iter().for_each(|(name, value)| command.env(name, value));
        command.args(arguments);
        let modes = modes(pair.master.as_ref());
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
        Screen { child, master: pair.master, writer, bytes, parser: emulator(columns, rows), seen: Vec::new(), modes, _home: home }
    }

    /// What was written to the terminal.
    pub fn take(&mut self, bytes: &[u8]) {
        self.parser.process(bytes);
        self.seen.extend_from_slice(bytes);
    }

    pub fn keys(&mut self, keys: &str) {
        self.writer.write_all(keys.as_bytes()).expect("keys are taken");
        self.writer.flush().expect("keys are taken");
    }

    /// Reads until the screen is as wanted.
    pub fn until(&mut self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let screen = self.parser.screen().contents();
            if wanted(&screen) {
                return screen;
            }
            let left = end.saturating_duration_since(Instant::now());
            match self.bytes.recv_timeout(left) {
                Ok(bytes) => self.take(&bytes),
                Err(RecvTimeoutError::Timeout) => panic!("the screen never showed {what}:\n{screen}"),
                Err(RecvTimeoutError::Disconnected) => panic!("the program ended before it showed {what}:\n{screen}"),
            }
        }
    }

    /// Reads to the end of the program; its exit status, and whether the last word to the terminal gave it back.
    pub fn end(mut self) -> (u32, bool) {
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
        (status.exit_code(), left && shown && modes(self.master.as_ref()) == self.modes)
    }
}
