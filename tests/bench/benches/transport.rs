//! Server CPU per span over gRPC: receiver, walk and store as the program wires them, against a generated tonic service with a trivial handler that
//! derives and keeps nothing. Same bytes, same client, same allocator (mimalloc), alternating legs; the CPU is that of the server's own threads, the one
//! that compresses span bodies included.
//!
//! `cargo bench -p watchfire-bench --bench transport`. Linux only: thread times are read from `/proc`. Prints the median and range of the per-pair ratios.

use bytes::Bytes;
use mimalloc::MiMalloc;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use prost::Message;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio_util::sync::CancellationToken;
use tonic::codec::CompressionEncoding;
use tonic::transport::Endpoint;
use watchfire_bench::batches::{Variety, request};
use watchfire_bench::client::{Until, load};
use watchfire_bench::processor;
use watchfire_model::{Clock, ClockReading, Meter, Timestamp};
use watchfire_otlp::{Settings, start};
use watchfire_store::{SignalSettings, Store, StoreLimits};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Enough that the median moves little from run to run on a shared machine.
const PAIRS: usize = 11;
/// Different spans that are sent in turn: twice as many as the store remembers, so that hardly one is taken for a repetition and skipped.
const SPANS: usize = 1 << 19;

struct Wall;

impl Clock for Wall {
    fn read(&self) -> ClockReading {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        ClockReading { wall: Timestamp(since.as_millis() as i64), boot: since, awake: since, carried: std::time::Duration::ZERO }
    }
}

struct Trivial;

#[tonic::async_trait]
impl TraceService for Trivial {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        std::hint::black_box(request.into_inner().resource_spans.len());
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

/// The generated service on a thread of its own, named so that its CPU can be told apart.
fn generated() -> std::io::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    std::thread::Builder::new().name("generated".to_owned()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("non-blocking");
            let service = TraceServiceServer::new(Trivial)
                .accept_compressed(CompressionEncoding::Gzip)
                .accept_compressed(CompressionEncoding::Zstd)
                .max_decoding_message_size(16 << 20);
            let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
            let server = tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming);
            server.await.expect("serves until the process ends");
        });
    })?;
    Ok(address)
}

fn encoded(spans: usize, start: u64) -> Arc<Vec<Bytes>> {
    Arc::new((1..=(SPANS / spans) as u64).map(|seed| request(seed, spans, Variety::Ordinary, start).encode_to_vec().into()).collect())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let clock = Arc::new(Wall);
    let begun = clock.now().0 as u64 * 1_000_000;
    // Little memory, so that it is full soon and what comes in takes the place of what goes, as in any process that has run for a while.
    let limits = StoreLimits { memory_bytes: 96 << 20, ..StoreLimits::default() };
    let meter = Meter::new();
    let store = Store::new(limits, meter.clone(), clock.clone());
    let settings = Settings { grpc: Some("127.0.0.1:0".parse()?), http: None, ..Settings::default() };
    let cancel = CancellationToken::new();
    let engine = store.span_engine(SignalSettings::default());
    let running = start(settings, engine, store.clone(), store.clone(), &meter, clock, cancel.clone())?;
    let ours = running.grpc.ok_or("asked for")?;
    let theirs = generated()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        for (spans, requests, encoding) in [
            (512, 2048, None),
            (32, 12_288, None),
            (512, 1024, Some(CompressionEncoding::Gzip)),
            (512, 1024, Some(CompressionEncoding::Zstd)),
        ] {
            let mut figures = Vec::new();
            let data = encoded(spans, begun);
            let bytes = data.iter().map(Bytes::len).sum::<usize>() as f64 / (data.len() * spans) as f64;
            for pair in 0..=PAIRS {
                let mut nanos = [0.0; 2];
                for (leg, (address, threads)) in
                    [(ours, &["otlp", "otlp-decode", "ingest", "watchfire-seal"][..]), (theirs, &["generated"][..])].into_iter().enumerate()
                {
                    let channel = Endpoint::from_shared(format!("http://{address}"))?.connect().await?;
                    let time = || processor::time("self", |name| threads.contains(&name));
                    let before = time();
                    load(&channel, &data, encoding, pair * requests, Until::Requests(requests)).await;
                    nanos[leg] = (time() - before).as_nanos() as f64 / (requests * spans) as f64;
                }
                // The first pair warms up.
                if pair > 0 {
                    figures.push((nanos[1] / nanos[0], nanos[0], nanos[1]));
                }
            }
            figures.sort_by(|a, b| a.0.total_cmp(&b.0));
            let (ratio, ours, theirs) = figures[PAIRS / 2];
            println!(
                "{spans:4} spans/batch {:8} {bytes:.0} B/span: watchfire {ours:6.0} ns/span, generated service {theirs:6.0} ns/span, \
                 {ratio:.2}x less [{:.2} .. {:.2}]",
                encoding.map_or("identity".to_owned(), |e| e.to_string()),
                figures[0].0,
                figures[PAIRS - 1].0
            );
        }
        Ok::<(), Box<dyn std::error::Error>>(())
    })?;
    let usage = store.usage();
    let repeated = meter.counter("watchfire_spans_repeated_total", &[]).get();
    println!(
        "{} spans received, {repeated} of them taken for repeated, {} held, {} evicted",
        usage.spans_received, usage.spans_held, usage.spans_evicted
    );
    cancel.cancel();
    running.join();
    Ok(())
}
