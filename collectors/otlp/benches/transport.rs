//! Server CPU per span over gRPC: this receiver, with the walk and a visitor that stores nothing, against a generated tonic service with a trivial
//! handler. Same bytes, same client, same allocator (mimalloc), alternating legs; the CPU is that of the server's own threads.
//!
//! `cargo bench -p watchfire-otlp --bench transport`. Linux only: thread times are read from `/proc`. Prints the median and range of the per-pair ratios.

mod batches;

use bytes::Bytes;
use mimalloc::MiMalloc;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Channel, Endpoint};
use watchfire_model::{
    Appended, Exemplar, Labels, LogRecord, LogSink, Metadata, Meter, MetricKind, OriginId, ResourceView, SeriesId, SeriesSink, SpanView,
    SpanVisitor, Timestamp, Value,
};
use watchfire_otlp::{Settings, start};
use watchfire_testkit::SimClock;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const PAIRS: usize = 5;
const IN_FLIGHT: usize = 8;
const PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

struct Nobody;

impl SpanVisitor for Nobody {
    fn resource(&mut self, _resource: &ResourceView<'_>) {}
    fn scope(&mut self, _name: &str, _version: &str) {}
    fn span(&mut self, span: &SpanView<'_>) {
        std::hint::black_box((span.name, span.start, span.end, span.kind, span.status, span.body, span.attribute_ranges));
    }
    fn end_of_request(&mut self, _received: Timestamp) {}
    fn tick(&mut self, _now: Timestamp) {}
}

struct Nowhere;

impl SeriesSink for Nowhere {
    fn origin(&self, _name: &str) -> OriginId {
        OriginId(0)
    }
    fn series(&self, _origin: OriginId, _labels: &Labels, _kind: MetricKind) -> Option<SeriesId> {
        None
    }
    fn append(&self, _origin: OriginId, _at: Timestamp, _now: Timestamp, _row: &[(SeriesId, Value)]) -> Appended {
        Appended::default()
    }
    fn describe(&self, _family: &str, _metadata: Metadata) {}
    fn exemplar(&self, _series: SeriesId, _exemplar: Exemplar) {}
}

impl LogSink for Nowhere {
    fn logs(&self, _records: Vec<LogRecord>) {}
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

/// Nanoseconds on a CPU of all threads with one of these names.
fn cpu_nanos(names: &[&str]) -> u64 {
    let mut total = 0;
    for task in std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        if names.contains(&name.trim()) {
            let stat = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            total += stat.split_whitespace().next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
        }
    }
    total
}

#[derive(Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Raw;
    type Decoder = Raw;
    fn encoder(&mut self) -> Raw {
        Raw
    }
    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = tonic::Status;
    fn encode(&mut self, item: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), tonic::Status> {
        bytes::BufMut::put(out, item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = tonic::Status;
    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, tonic::Status> {
        let length = bytes::Buf::remaining(from);
        Ok(Some(bytes::Buf::copy_to_bytes(from, length)))
    }
}

/// Sends `requests` batches, so many at a time over one connection.
async fn load(channel: &Channel, data: &Arc<Vec<Bytes>>, encoding: Option<CompressionEncoding>, requests: usize) {
    let mut senders = tokio::task::JoinSet::new();
    for sender in 0..IN_FLIGHT {
        let (channel, data) = (channel.clone(), data.clone());
        senders.spawn(async move {
            let mut grpc = tonic::client::Grpc::new(channel);
            if let Some(encoding) = encoding {
                grpc = grpc.send_compressed(encoding);
            }
            for index in (sender..requests).step_by(IN_FLIGHT) {
                grpc.ready().await.expect("connected");
                let message = data[index % data.len()].clone();
                let path = http::uri::PathAndQuery::from_static(PATH);
                grpc.unary(tonic::Request::new(message), path, Raw).await.expect("taken in");
            }
        });
    }
    while senders.join_next().await.transpose().expect("no panic").is_some() {}
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let free = Some("127.0.0.1:0".parse()?);
    let settings = Settings { grpc: free, http: None, ..Settings::default() };
    let (clock, cancel) = (Arc::new(SimClock::at(Timestamp(0))), CancellationToken::new());
    let running = start(settings, Nobody, Arc::new(Nowhere), Arc::new(Nowhere), &Meter::new(), clock, cancel.clone())?;
    let ours = running.grpc.ok_or("asked for")?;
    let theirs = generated()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        for (spans, requests, encoding) in
            [(512, 2000, None), (32, 12_000, None), (512, 800, Some(CompressionEncoding::Gzip)), (512, 800, Some(CompressionEncoding::Zstd))]
        {
            let data = Arc::new(batches::encoded(256, spans));
            let bytes = data.iter().map(Bytes::len).sum::<usize>() as f64 / (256 * spans) as f64;
            let mut figures = Vec::new();
            for pair in 0..=PAIRS {
                let mut nanos = [0.0; 2];
                for (leg, (address, threads)) in [(ours, &["otlp", "ingest"][..]), (theirs, &["generated"][..])].into_iter().enumerate() {
                    let channel = Endpoint::from_shared(format!("http://{address}"))?.connect().await?;
                    let before = cpu_nanos(threads);
                    load(&channel, &data, encoding, requests).await;
                    nanos[leg] = (cpu_nanos(threads) - before) as f64 / (requests as u64 * spans) as f64;
                }
                // The first pair warms up.
                if pair > 0 {
                    figures.push((nanos[1] / nanos[0], nanos[0], nanos[1]));
                }
            }
            figures.sort_by(|a, b| a.0.total_cmp(&b.0));
            let (ratio, ours, theirs) = figures[PAIRS / 2];
            println!(
                "{spans:4} spans/batch {:8} {bytes:.0} B/span: receiver and walk {ours:6.0} ns/span, generated service {theirs:6.0} ns/span, \
                 {ratio:.2}x less [{:.2} .. {:.2}]",
                encoding.map_or("identity".to_owned(), |e| e.to_string()),
                figures[0].0,
                figures[PAIRS - 1].0
            );
        }
        Ok::<(), Box<dyn std::error::Error>>(())
    })?;
    cancel.cancel();
    running.join();
    Ok(())
}
