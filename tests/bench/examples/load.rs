//! Sends spans to a running watchfire as fast as it takes them and prints its memory every ten seconds.
//!
//! `cargo run --release -p watchfire-bench --example load -- ADDRESS SECONDS [PID] [high]`: the gRPC address, and the process whose memory is watched.

use bytes::Bytes;
use prost::Message;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tonic::transport::Endpoint;
use watchfire_bench::batches::{SPANS, Variety, request};
use watchfire_bench::client::{Until, load};

/// Different requests that are sent in turn: twice as many spans as are recognised as sent again.
const REQUESTS: u64 = 1024;

fn megabytes(pid: &str) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    Some(line.split_whitespace().next()?.parse::<f64>().ok()? / 1024.0)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, seconds, ..] = &arguments[..] else { return Err("ADDRESS SECONDS [PID] [high]".into()) };
    let seconds: u64 = seconds.parse()?;
    let pid = arguments.get(2).cloned().unwrap_or_default();
    let variety = if arguments.iter().any(|a| a == "high") { Variety::High } else { Variety::Ordinary };
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() as u64;
    let data: Arc<Vec<Bytes>> = Arc::new((1..=REQUESTS).map(|seed| request(seed, SPANS, variety, now).encode_to_vec().into()).collect());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let channel = Endpoint::from_shared(format!("http://{address}"))?.connect().await?;
        let begun = Instant::now();
        let (mut highest, mut spans, mut refused) = (0.0f64, 0, 0);
        while begun.elapsed() < Duration::from_secs(seconds) {
            let end = (begun + Duration::from_secs(seconds)).min(Instant::now() + Duration::from_secs(10));
            let sent = load(&channel, &data, None, spans / SPANS, Until::Time(end)).await;
            spans += sent.accepted * SPANS;
            refused += sent.refused;
            let memory = megabytes(&pid).unwrap_or(f64::NAN);
            highest = highest.max(memory);
            println!("{:4.0} s: {spans} spans accepted, {refused} requests told to wait, {memory:.0} MB", begun.elapsed().as_secs_f64());
        }
        println!("highest {highest:.0} MB, {:.0} spans a second", spans as f64 / begun.elapsed().as_secs_f64());
        Ok::<(), Box<dyn std::error::Error>>(())
    })
}
