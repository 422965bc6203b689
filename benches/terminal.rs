//! What an engineer feels of the screens, on the real program in a pseudo-terminal of 200x50: the time from a key to the screen it asked for, while
//! spans come in at half of what is taken in at most, and what the program costs when nothing comes in at all.
//!
//! `cargo bench -p watchfire --bench terminal`. Linux only: processor time is read from `/proc`. The load, the emulator and the program share the
//! machine, so what is printed is an upper bound. About a minute.

use bytes::Bytes;
use portable_pty::{Child, CommandBuilder, PtySize, native_pty_system};
use prost::Message;
use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tonic::transport::{Channel, Endpoint};
use watchfire_bench::batches::{SPANS, Variety, request};
use watchfire_bench::client::{Until, load, paced};

type Failure = Box<dyn std::error::Error>;

const COLUMNS: u16 = 200;
const ROWS: u16 = 50;
/// Different requests that are sent in turn: twice as many spans as are recognised as sent again.
const REQUESTS: u64 = 1024;
const ROUNDS: usize = 60;
const IDLE: Duration = Duration::from_secs(20);
const PATIENCE: Duration = Duration::from_secs(20);
/// Keys, and what only the screen behind each shows.
const KEYS: [(&str, &str); 4] = [("3", "TOOK"), ("4", "entry points"), ("8", " firing, "), ("1", "15 MIN")];

/// The program on a terminal of its own.
struct Screen {
    child: Box<dyn Child + Send + Sync>,
    writer: Box<dyn Write + Send>,
    bytes: Receiver<Vec<u8>>,
    emulator: vt100::Parser,
    written: usize,
    _home: tempfile::TempDir,
    _master: Box<dyn portable_pty::MasterPty + Send>,
}

impl Screen {
    fn start(grpc: &str) -> Result<Self, Failure> {
        let pair = native_pty_system().openpty(PtySize { rows: ROWS, cols: COLUMNS, pixel_width: 0, pixel_height: 0 })?;
        let home = tempfile::TempDir::new()?;
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_watchfire"));
        command.env_clear();
        command.env("HOME", home.path());
        command.env("XDG_RUNTIME_DIR", home.path());
        command.env("TERM", "xterm-256color");
        command.env("LANG", "C.UTF-8");
        command.args(["--otlp-grpc", grpc, "--otlp-http", "127.0.0.1:0", "--api", "127.0.0.1:0", "--notify", "none", "--theme", "dark"]);
        let child = pair.slave.spawn_command(command)?;
        drop(pair.slave);
        let mut reader = pair.master.try_clone_reader()?;
        let (send, bytes) = channel();
        std::thread::spawn(move || {
            let mut chunk = [0; 1 << 16];
            while let Ok(n @ 1..) = reader.read(&mut chunk) {
                if send.send(chunk[..n].to_vec()).is_err() {
                    return;
                }
            }
        });
        let size = |n: u16| NonZeroU16::new(n).expect("a terminal has a size");
        let writer = pair.master.take_writer()?;
        let emulator = vt100::Parser::new(size(ROWS), size(COLUMNS), 0);
        Ok(Screen { child, writer, bytes, emulator, written: 0, _home: home, _master: pair.master })
    }

    fn take(&mut self, within: Duration) -> bool {
        let Ok(bytes) = self.bytes.recv_timeout(within) else { return false };
        self.written += bytes.len();
        self.emulator.process(&bytes);
        true
    }

    /// The time until `text` is on the screen.
    fn until(&mut self, text: &str) -> Result<Duration, Failure> {
        let begun = Instant::now();
        while !self.emulator.screen().contents().contains(text) {
            if begun.elapsed() > PATIENCE || !self.take(PATIENCE) {
                return Err(format!("never showed {text:?}:\n{}", self.emulator.screen().contents()).into());
            }
        }
        Ok(begun.elapsed())
    }

    /// The time from a key to the screen it asked for. What was written before counts for nothing.
    fn press(&mut self, key: &str, shows: &str) -> Result<Duration, Failure> {
        while self.take(Duration::ZERO) {}
        self.writer.write_all(key.as_bytes())?;
        self.writer.flush()?;
        self.until(shows)
    }

    /// Reads on for a while.
    fn watch(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            self.take(left);
        }
    }

    fn cpu(&self) -> Result<Duration, Failure> {
        let id = self.child.process_id().ok_or("no process")?;
        let mut nanos = 0;
        for task in std::fs::read_dir(format!("/proc/{id}/task"))? {
            let stat = std::fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
            nanos += stat.split_whitespace().next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
        }
        Ok(Duration::from_nanos(nanos))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn quantile(times: &[Duration], q: f64) -> f64 {
    let index = ((times.len() as f64 * q) as usize).min(times.len().saturating_sub(1));
    times.get(index).map_or(f64::NAN, |t| t.as_secs_f64() * 1000.0)
}

fn main() -> Result<(), Failure> {
    let grpc = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let mut screen = Screen::start(&grpc)?;
    screen.until("OTEL_EXPORTER_OTLP_ENDPOINT")?;
    screen.watch(Duration::from_secs(3));
    let (cpu, written) = (screen.cpu()?, screen.written);
    screen.watch(IDLE);
    let seconds = IDLE.as_secs_f64();
    println!(
        "idle: {:.2} % of a core, {:.0} bytes a second to the terminal",
        (screen.cpu()? - cpu).as_secs_f64() / seconds * 100.0,
        (screen.written - written) as f64 / seconds
    );

    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() as u64;
    let data: Arc<Vec<Bytes>> =
        Arc::new((1..=REQUESTS).map(|seed| request(seed, SPANS, Variety::Ordinary, now).encode_to_vec().into()).collect());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let channel: Channel = runtime.block_on(Endpoint::from_shared(format!("http://{grpc}"))?.connect())?;
    let begun = Instant::now();
    let sent = runtime.block_on(load(&channel, &data, None, 0, Until::Time(begun + Duration::from_secs(3))));
    let most = sent.accepted as f64 / begun.elapsed().as_secs_f64();
    let every = Duration::from_secs_f64(2.0 / most);
    println!("taken in at most: {:.0} spans a second; half of that from now on", most * SPANS as f64);

    let sending = runtime.spawn(async move { paced(&channel, &data, every).await });
    screen.watch(Duration::from_secs(5));
    let (mut times, begun, mut slowest) = (Vec::new(), Instant::now(), (Duration::ZERO, ""));
    for round in 0..ROUNDS {
        for (index, (key, shows)) in KEYS.into_iter().enumerate() {
            // A person's pace, and never in step with what the program does every so often.
            screen.watch(Duration::from_millis(60 + (round * 37 + index * 53) as u64 % 90));
            let time = screen.press(key, shows)?;
            slowest = slowest.max((time, shows));
            times.push(time);
        }
    }
    let under_load = begun.elapsed();
    sending.abort();
    times.sort();
    println!(
        "key to paint, {} keys in {:.0} s: median {:.1} ms, p99 {:.1} ms, worst {:.1} ms ({})",
        times.len(),
        under_load.as_secs_f64(),
        quantile(&times, 0.5),
        quantile(&times, 0.99),
        quantile(&times, 1.0),
        slowest.1
    );
    Ok(())
}
