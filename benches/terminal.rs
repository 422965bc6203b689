//! What an engineer feels of the screens, on the real program in a pseudo-terminal of 200x50: the time from a key to the screen it asked for, while
//! spans come in at half of what is taken in at most, and what the program costs when nothing comes in at all.
//!
//! `cargo bench -p watchfire --bench terminal`. Linux only: processor time is read from `/proc`. The load, the emulator and the program share the
//! machine, so what is printed is an upper bound. Two minutes and a half.

#[allow(dead_code)]
#[path = "../tests/e2e/screen.rs"]
mod screen;

use bytes::Bytes;
use prost::Message;
use screen::Screen;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tonic::transport::{Channel, Endpoint};
use watchfire_bench::batches::{SPANS, Variety, request};
use watchfire_bench::client::{Until, load, paced};
use watchfire_bench::processor;

type Failure = Box<dyn std::error::Error>;

const COLUMNS: u16 = 200;
const ROWS: u16 = 50;
/// Different requests that are sent in turn: twice as many spans as are recognised as sent again.
const REQUESTS: u64 = 1024;
const ROUNDS: usize = 60;
/// Rates look back over what is known until that is a minute, so each second asks other questions; idle is what comes after.
const SETTLED: Duration = Duration::from_secs(70);
const IDLE: Duration = Duration::from_secs(30);
/// Keys, and what only the screen behind each shows.
const KEYS: [(&str, &str); 4] = [("3", "TOOK"), ("4", "entry points"), ("8", " firing, "), ("1", "15 MIN")];

impl Screen {
    /// Reads on for a while, whatever comes.
    fn watch(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            if let Ok(bytes) = self.bytes.recv_timeout(left) {
                self.take(&bytes);
            }
        }
    }
}

fn quantile(times: &[Duration], q: f64) -> f64 {
    let index = ((times.len() as f64 * q) as usize).min(times.len().saturating_sub(1));
    times.get(index).map_or(f64::NAN, |t| t.as_secs_f64() * 1000.0)
}

fn main() -> Result<(), Failure> {
    let grpc = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let arguments = ["--otlp-grpc", &grpc, "--otlp-http", "127.0.0.1:0", "--api", "127.0.0.1:0", "--notify", "none", "--theme", "dark"];
    let mut screen = Screen::start_program(COLUMNS, ROWS, env!("CARGO_BIN_EXE_watchfire"), &arguments, &[]);
    screen.until("the first minute", |s| s.contains("OTEL_EXPORTER_OTLP_ENDPOINT"));
    screen.watch(SETTLED);
    let id = screen.child.process_id().ok_or("no process")?.to_string();
    let time = || processor::time(&id, |_| true);
    let (before, written) = (time(), screen.seen.len());
    screen.watch(IDLE);
    let seconds = IDLE.as_secs_f64();
    println!(
        "idle: {:.2} % of a core, {:.0} bytes a second to the terminal",
        (time() - before).as_secs_f64() / seconds * 100.0,
        (screen.seen.len() - written) as f64 / seconds
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
            let pressed = Instant::now();
            screen.keys(key);
            screen.until(shows, |s| s.contains(shows));
            let time = pressed.elapsed();
            slowest = slowest.max((time, shows));
            times.push(time);
        }
    }
    let under_load = begun.elapsed();
    sending.abort();
    screen.keys("\x03");
    screen.end();
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
