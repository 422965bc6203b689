//! A running receiver with recording sinks, and clients for both transports.

use bytes::Bytes;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value as Any};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, TracesData};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};
use watchfire_model::{
    Appended, Exemplar, HandClock, Labels, LogRecord, LogSink, Metadata, Meter, MetricKind, OriginId, ResourceView, SeriesId, SeriesSink,
    SpanView, SpanVisitor, Timestamp, Value,
};
pub use watchfire_otlp::RawCodec;
use watchfire_otlp::{Limits, Running, Settings, start};

pub const NOW: Timestamp = Timestamp(1_700_000_000_000);
pub const NOW_NANOS: u64 = 1_700_000_000_000_000_000;

/// What a span looked like when it was shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    pub service: String,
    pub name: String,
    pub attributes: usize,
    pub body: Vec<u8>,
}

/// Fields of one number. Not decoded: what is nested deep is an attribute like others.
fn count(mut fields: &[u8], number: u32) -> usize {
    use prost::encoding::{DecodeContext, decode_key, skip_field};
    let mut count = 0;
    while !fields.is_empty() {
        let (field, wire_type) = decode_key(&mut fields).expect("whole fields");
        skip_field(wire_type, field, &mut fields, DecodeContext::default()).expect("whole fields");
        count += usize::from(field == number);
    }
    count
}

#[derive(Clone, Default)]
pub struct Spans(pub Arc<Mutex<Vec<Seen>>>, String, Arc<Mutex<u64>>);

impl SpanVisitor for Spans {
    fn resource(&mut self, resource: &ResourceView<'_>) {
        let name = resource.attributes.iter().rfind(|(key, _)| *key == "service.name");
        self.1 = name.and_then(|(_, value)| value.as_str().map(str::to_owned)).unwrap_or_default();
    }
    fn scope(&mut self, _name: &str, _version: &str) {}
    fn span(&mut self, span: &SpanView<'_>) {
        let seen = Seen {
            service: self.1.clone(),
            name: String::from_utf8(span.name.to_vec()).expect("names are UTF-8"),
            attributes: count(span.attribute_fields(), 9),
            body: span.body.to_vec(),
        };
        self.0.lock().expect("not poisoned").push(seen);
    }
    fn end_of_request(&mut self, received: Timestamp) {
        assert!(received >= NOW);
    }
    fn tick(&mut self, _now: Timestamp) {
        *self.2.lock().expect("not poisoned") += 1;
    }
}

/// Series and logs, remembered; refuses what the store would.
#[derive(Default)]
pub struct Store {
    series: Mutex<(HashMap<Labels, SeriesId>, Vec<Labels>)>,
    pub samples: Mutex<Vec<(Labels, Timestamp, Value)>>,
    pub metadata: Mutex<HashMap<String, Metadata>>,
    pub exemplars: Mutex<Vec<(Labels, Exemplar)>>,
    pub logs: Mutex<Vec<LogRecord>>,
    pub series_limit: Mutex<Option<usize>>,
    /// Samples that were not taken.
    pub refused: AtomicUsize,
}

impl SeriesSink for Store {
    fn origin(&self, _name: &str) -> OriginId {
        OriginId(1)
    }
    fn series(&self, _origin: OriginId, labels: &Labels, _kind: MetricKind) -> Option<SeriesId> {
        let mut series = self.series.lock().expect("not poisoned");
        if let Some(id) = series.0.get(labels) {
            return Some(*id);
        }
        if self.series_limit.lock().expect("not poisoned").is_some_and(|limit| series.1.len() >= limit) {
            return None;
        }
        let id = SeriesId(series.1.len() as u32);
        series.0.insert(labels.clone(), id);
        series.1.push(labels.clone());
        Some(id)
    }
    fn append(&self, _origin: OriginId, at: Timestamp, now: Timestamp, row: &[(SeriesId, Value)]) -> Appended {
        let mut appended = Appended::default();
        if at > now.saturating_add(Duration::from_secs(600)) {
            appended.future = row.len();
            self.refused.fetch_add(row.len(), Ordering::Relaxed);
            return appended;
        }
        let series = self.series.lock().expect("not poisoned");
        let mut samples = self.samples.lock().expect("not poisoned");
        for (id, value) in row {
            let labels = &series.1[id.0 as usize];
            match samples.iter().rev().find(|(l, ..)| l == labels) {
                Some((_, last, _)) if *last > at => appended.out_of_order += 1,
                Some((_, last, known)) if *last == at && known != value => appended.duplicate += 1,
                Some((_, last, _)) if *last == at => {}
                _ => {
                    samples.push((labels.clone(), at, value.clone()));
                    appended.stored += 1;
                }
            }
        }
        self.refused.fetch_add(appended.out_of_order + appended.duplicate, Ordering::Relaxed);
        appended
    }
    fn describe(&self, family: &str, metadata: Metadata) {
        self.metadata.lock().expect("not poisoned").insert(family.to_owned(), metadata);
    }
    fn exemplar(&self, series: SeriesId, exemplar: Exemplar) {
        let labels = self.series.lock().expect("not poisoned").1[series.0 as usize].clone();
        self.exemplars.lock().expect("not poisoned").push((labels, exemplar));
    }
}

impl LogSink for Store {
    fn logs(&self, records: Vec<LogRecord>) {
        self.logs.lock().expect("not poisoned").extend(records);
    }
}

pub struct Fixture {
    pub running: Option<Running>,
    pub spans: Spans,
    pub store: Arc<Store>,
    pub meter: Meter,
    pub cancel: CancellationToken,
    pub http: String,
    pub channel: Channel,
    client: reqwest::Client,
}

impl Fixture {
    pub fn start() -> Self {
        Self::with(Settings::default())
    }

    pub fn limited(change: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = Limits::default();
        change(&mut limits);
        Self::with(Settings { limits, ..Settings::default() })
    }

    pub fn with(settings: Settings) -> Self {
        Self::at(NOW, settings)
    }

    /// A receiver whose clock stands still at `now`.
    pub fn at(now: Timestamp, settings: Settings) -> Self {
        let free = Some("127.0.0.1:0".parse().expect("an address"));
        let settings = Settings { grpc: free, http: free, ..settings };
        let (spans, store, meter, cancel) = (Spans::default(), Arc::new(Store::default()), Meter::new(), CancellationToken::new());
        let clock = Arc::new(HandClock::at(now));
        let running =
            start(settings, spans.clone(), store.clone(), store.clone(), &meter, clock, cancel.clone()).expect("free ports on loopback");
        let grpc = running.grpc.expect("asked for");
        let channel = Endpoint::from_shared(format!("http://{grpc}")).expect("a URL").connect_lazy();
        let http = format!("http://{}", running.http.expect("asked for"));
        // A client cannot be built without one, TLS or not; a second installation changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().build().expect("no TLS needed");
        Fixture { running: Some(running), spans, store, meter, cancel, http, channel, client }
    }

    /// Spans shown so far, once there are at least `count`.
    pub async fn spans(&self, count: usize) -> Vec<Seen> {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let spans = self.spans.0.lock().expect("not poisoned").clone();
            if spans.len() >= count {
                return spans;
            }
            assert!(Instant::now() < deadline, "only {} of {count} spans arrived", spans.len());
            tokio::task::yield_now().await;
        }
    }

    /// Stops the receiver and returns everything that was shown.
    pub async fn stop(mut self) -> Vec<Seen> {
        self.cancel.cancel();
        let running = self.running.take().expect("not stopped before");
        tokio::task::spawn_blocking(move || running.join()).await.expect("no panic");
        self.spans.0.lock().expect("not poisoned").clone()
    }

    pub fn count(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        self.meter.counter(name, labels).get()
    }

    pub fn rejected(&self, signal: &str, reason: &str) -> u64 {
        self.count("watchfire_ingest_rejected_total", &[("reason", reason), ("signal", signal)])
    }

    pub async fn post(&self, path: &str, headers: &[(&str, &str)], body: impl Into<reqwest::Body>) -> Answer {
        self.send(reqwest::Method::POST, path, headers, body).await
    }

    pub async fn send(&self, method: reqwest::Method, path: &str, headers: &[(&str, &str)], body: impl Into<reqwest::Body>) -> Answer {
        let url = if path.starts_with("http://") { path.to_owned() } else { format!("{}{path}", self.http) };
        let mut request = self.client.request(method, url).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.expect("answered");
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        Answer { status, headers, body: response.bytes().await.expect("read") }
    }

    pub async fn post_protobuf(&self, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        self.post(path, &[("content-type", "application/x-protobuf")], body).await
    }

    pub async fn post_json(&self, path: &str, body: &str) -> Answer {
        self.post(path, &[("content-type", "application/json")], body.to_owned()).await
    }

    /// One unary call with raw bytes.
    pub async fn call(&self, path: &'static str, message: impl Into<Bytes>) -> Result<Bytes, tonic::Status> {
        let mut grpc = tonic::client::Grpc::new(self.channel.clone()).max_decoding_message_size(usize::MAX);
        grpc.ready().await.expect("connected");
        let path = http::uri::PathAndQuery::from_static(path);
        grpc.unary(tonic::Request::new(message.into()), path, RawCodec).await.map(tonic::Response::into_inner)
    }

    /// The same, compressed.
    pub async fn call_compressed(
        &self,
        encoding: tonic::codec::CompressionEncoding,
        path: &'static str,
        message: impl Into<Bytes>,
    ) -> Result<Bytes, tonic::Status> {
        let mut grpc = tonic::client::Grpc::new(self.channel.clone()).send_compressed(encoding);
        grpc.ready().await.expect("connected");
        let path = http::uri::PathAndQuery::from_static(path);
        grpc.unary(tonic::Request::new(message.into()), path, RawCodec).await.map(tonic::Response::into_inner)
    }
}

impl Fixture {
    /// A call that claims an encoding which the client library would not let it send.
    pub async fn grpc_with_encoding(&self, encoding: &'static str) -> tonic::Status {
        let mut request = tonic::Request::new(Bytes::new());
        request.metadata_mut().insert("grpc-encoding", tonic::metadata::MetadataValue::from_static(encoding));
        let mut grpc = tonic::client::Grpc::new(self.channel.clone());
        grpc.ready().await.expect("connected");
        let path = http::uri::PathAndQuery::from_static(TRACE_EXPORT);
        grpc.unary::<Bytes, Bytes, _>(request, path, RawCodec).await.expect_err("refused")
    }
}

impl Fixture {
    /// One call whose body is cut into these frames, as no client library would cut it; the status that came back.
    pub async fn call_in_frames(&self, path: &'static str, frames: Vec<Bytes>) -> tonic::Code {
        let frames = frames.into_iter().map(|data| Ok::<_, tonic::Status>(http_body::Frame::data(data)));
        let body = tonic::body::Body::new(http_body_util::StreamBody::new(tokio_stream::iter(frames)));
        let request = http::Request::post(path).header("content-type", "application/grpc").header("te", "trailers");
        let channel = self.channel.clone();
        let sent = tower::ServiceExt::oneshot(channel, request.body(body).expect("a request")).await.expect("answered");
        let headers = sent.headers().clone();
        let read = http_body_util::BodyExt::collect(sent.into_body()).await.expect("read");
        let status = read.trailers().and_then(tonic::Status::from_header_map).or_else(|| tonic::Status::from_header_map(&headers));
        status.expect("a gRPC answer").code()
    }
}

pub struct Answer {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().expect("text"))
    }

    /// The message of a `google.rpc.Status`, in whichever encoding it came.
    pub fn message(&self) -> String {
        if self.header("content-type") == "application/json" {
            let json: serde_json::Value = serde_json::from_slice(&self.body).expect("JSON");
            return json["message"].as_str().expect("a message").to_owned();
        }
        let status: RpcStatus = prost::Message::decode(&self.body[..]).expect("a Status");
        status.message
    }
}

/// `google.rpc.Status`, as a client would decode it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RpcStatus {
    #[prost(int32, tag = "1")]
    pub code: i32,
    #[prost(string, tag = "2")]
    pub message: String,
    #[prost(message, repeated, tag = "3")]
    pub details: Vec<AnyDetail>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct AnyDetail {
    #[prost(string, tag = "1")]
    pub type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

pub fn attribute(key: &str, value: Any) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), key_strindex: 0 }
}

pub fn text(value: &str) -> Any {
    Any::StringValue(value.to_owned())
}

pub fn resource(service: &str) -> Resource {
    Resource { attributes: vec![attribute("service.name", text(service))], ..Resource::default() }
}

pub fn span(name: &str) -> Span {
    Span {
        trace_id: vec![7; 16],
        span_id: vec![9; 8],
        name: name.to_owned(),
        kind: 2,
        start_time_unix_nano: NOW_NANOS,
        end_time_unix_nano: NOW_NANOS + 1_000_000,
        ..Span::default()
    }
}

pub fn traces(spans: Vec<Span>) -> TracesData {
    TracesData {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource("checkout")),
            scope_spans: vec![ScopeSpans { spans, ..ScopeSpans::default() }],
            ..ResourceSpans::default()
        }],
    }
}

pub const TRACE_EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
pub const METRICS_EXPORT: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
pub const LOGS_EXPORT: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
