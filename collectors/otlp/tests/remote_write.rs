//! Remote write 1.0 and 2.0 over a socket.

use axum::Router;
use axum::body::Body;
use axum::routing::post;
use http::HeaderMap;
use std::sync::{Arc, Mutex};
use tokio_util::sync::CancellationToken;
use watchfire_model::{
    Appended, Exemplar, HandClock, Labels, Metadata, Meter, MetricKind, OriginId, SeriesId, SeriesSink, Timestamp, Value, is_stale,
};
use watchfire_otlp::{Limits, RemoteWrite};
use watchfire_serve::{Guard, serve};

const NOW: i64 = 1_700_000_000_000;

#[derive(Default)]
struct Store {
    origins: Mutex<Vec<String>>,
    /// Series, and the origins that they came under.
    begun: Mutex<Vec<(Labels, String)>>,
    series: Mutex<Vec<(Labels, MetricKind)>>,
    samples: Mutex<Vec<(Labels, Timestamp, Value)>>,
    metadata: Mutex<Vec<(String, Metadata)>>,
    exemplars: Mutex<Vec<Exemplar>>,
}

impl SeriesSink for Store {
    fn origin(&self, name: &str) -> OriginId {
        let mut origins = self.origins.lock().expect("not poisoned");
        let known = origins.iter().position(|known| known == name);
        OriginId(known.unwrap_or_else(|| {
            origins.push(name.to_owned());
            origins.len() - 1
        }) as u32)
    }
    fn series(&self, origin: OriginId, labels: &Labels, kind: MetricKind) -> Option<SeriesId> {
        let origin = self.origins.lock().expect("not poisoned")[origin.0 as usize].clone();
        self.begun.lock().expect("not poisoned").push((labels.clone(), origin));
        let mut series = self.series.lock().expect("not poisoned");
        let known = series.iter().position(|(l, _)| l == labels);
        Some(SeriesId(known.unwrap_or_else(|| {
            series.push((labels.clone(), kind));
            series.len() - 1
        }) as u32))
    }
    fn append(&self, _origin: OriginId, at: Timestamp, now: Timestamp, row: &[(SeriesId, Value)]) -> Appended {
        if at.0 > now.0 + 600_000 {
            return Appended { future: row.len(), ..Appended::default() };
        }
        let series = self.series.lock().expect("not poisoned");
        let mut samples = self.samples.lock().expect("not poisoned");
        samples.extend(row.iter().map(|(id, value)| (series[id.0 as usize].0.clone(), at, value.clone())));
        Appended { stored: row.len(), ..Appended::default() }
    }
    fn describe(&self, family: &str, metadata: Metadata) {
        self.metadata.lock().expect("not poisoned").push((family.to_owned(), metadata));
    }
    fn exemplar(&self, _series: SeriesId, exemplar: Exemplar) {
        self.exemplars.lock().expect("not poisoned").push(exemplar);
    }
}

mod v1 {
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct WriteRequest {
        #[prost(message, repeated, tag = "1")]
        pub timeseries: Vec<TimeSeries>,
        #[prost(message, repeated, tag = "3")]
        pub metadata: Vec<MetricMetadata>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct TimeSeries {
        #[prost(message, repeated, tag = "1")]
        pub labels: Vec<Label>,
        #[prost(message, repeated, tag = "2")]
        pub samples: Vec<Sample>,
        #[prost(message, repeated, tag = "4")]
        pub histograms: Vec<super::Histogram>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Label {
        #[prost(string, tag = "1")]
        pub name: String,
        #[prost(string, tag = "2")]
        pub value: String,
    }
    #[derive(Clone, Copy, PartialEq, prost::Message)]
    pub struct Sample {
        #[prost(double, tag = "1")]
        pub value: f64,
        #[prost(int64, tag = "2")]
        pub timestamp: i64,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct MetricMetadata {
        #[prost(int32, tag = "1")]
        pub kind: i32,
        #[prost(string, tag = "2")]
        pub family: String,
        #[prost(string, tag = "4")]
        pub help: String,
    }
}

mod v2 {
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Request {
        #[prost(string, repeated, tag = "4")]
        pub symbols: Vec<String>,
        #[prost(message, repeated, tag = "5")]
        pub timeseries: Vec<TimeSeries>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct TimeSeries {
        #[prost(uint32, repeated, tag = "1")]
        pub labels_refs: Vec<u32>,
        #[prost(message, repeated, tag = "2")]
        pub samples: Vec<super::v1::Sample>,
        #[prost(message, repeated, tag = "3")]
        pub histograms: Vec<super::Histogram>,
        #[prost(message, repeated, tag = "4")]
        pub exemplars: Vec<Exemplar>,
        #[prost(message, optional, tag = "5")]
        pub metadata: Option<Metadata>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Exemplar {
        #[prost(uint32, repeated, tag = "1")]
        pub labels_refs: Vec<u32>,
        #[prost(double, tag = "2")]
        pub value: f64,
        #[prost(int64, tag = "3")]
        pub timestamp: i64,
    }
    #[derive(Clone, Copy, PartialEq, prost::Message)]
    pub struct Metadata {
        #[prost(int32, tag = "1")]
        pub kind: i32,
        #[prost(uint32, tag = "3")]
        pub help_ref: u32,
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct Histogram {
    #[prost(uint64, tag = "1")]
    count: u64,
    #[prost(double, tag = "3")]
    sum: f64,
    #[prost(sint32, tag = "4")]
    schema: i32,
    #[prost(uint64, tag = "6")]
    zero_count: u64,
    #[prost(message, repeated, tag = "11")]
    positive_spans: Vec<Span>,
    #[prost(sint64, repeated, tag = "12")]
    positive_deltas: Vec<i64>,
    #[prost(int64, tag = "15")]
    timestamp: i64,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Span {
    #[prost(sint32, tag = "1")]
    offset: i32,
    #[prost(uint32, tag = "2")]
    length: u32,
}

struct Server {
    url: String,
    store: Arc<Store>,
    meter: Meter,
    clock: Arc<HandClock>,
    client: reqwest::Client,
    cancel: CancellationToken,
}

impl Server {
    async fn start() -> Self {
        Self::start_with(Limits { max_bytes: 1 << 20, ..Limits::default() }, false).await
    }

    async fn start_with(limits: Limits, over_memory: bool) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (store, meter, cancel) = (Arc::new(Store::default()), Meter::new(), CancellationToken::new());
        let clock = Arc::new(HandClock::at(Timestamp(NOW)));
        let receiver = RemoteWrite::new(store.clone(), clock.clone(), limits, &meter, Arc::new(move || over_memory));
        let handler = move |headers: HeaderMap, body: Body| {
            let receiver = receiver.clone();
            async move { receiver.receive(&headers, body).await }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/api/v1/write", listener.local_addr().expect("bound"));
        serve("api", listener, Router::new().route("/api/v1/write", post(handler)), Guard::default(), &meter, cancel.clone());
        let client = reqwest::Client::builder().no_proxy().build().expect("client");
        Server { url, store, meter, clock, client, cancel }
    }

    async fn send_raw(&self, content_type: &str, encoding: &str, body: Vec<u8>) -> (u16, HeaderMap, String) {
        let request = self.client.post(&self.url).header("content-type", content_type).header("content-encoding", encoding);
        let answer = request.body(body).send().await.expect("answered");
        (answer.status().as_u16(), answer.headers().clone(), answer.text().await.expect("read"))
    }

    async fn send(&self, content_type: &str, message: &impl prost::Message) -> (u16, HeaderMap, String) {
        let body = snap::raw::Encoder::new().compress_vec(&message.encode_to_vec()).expect("small");
        self.send_raw(content_type, "snappy", body).await
    }

    fn stored(&self) -> Vec<String> {
        let samples = self.store.samples.lock().expect("not poisoned");
        let text = |value: &Value| match value {
            Value::Float(v) if is_stale(*v) => "stale".to_owned(),
            Value::Float(v) => v.to_string(),
            Value::Histogram(h) => format!("{}:{:?}", h.count, h.positive_buckets),
        };
        samples.iter().map(|(labels, at, value)| format!("{labels}@{}={}", at.0 - NOW, text(value))).collect()
    }

    fn rejected(&self, reason: &str) -> u64 {
        self.meter.counter("watchfire_ingest_rejected_total", &[("signal", "remote_write"), ("reason", reason)]).get()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

const V1: &str = "application/x-protobuf";
const V2: &str = "application/x-protobuf;proto=io.prometheus.write.v2.Request";

fn labels(pairs: &[(&str, &str)]) -> Vec<v1::Label> {
    pairs.iter().map(|(name, value)| v1::Label { name: (*name).to_owned(), value: (*value).to_owned() }).collect()
}

fn sample(after: i64, value: f64) -> v1::Sample {
    v1::Sample { value, timestamp: NOW + after }
}

fn native(after: i64) -> Histogram {
    Histogram {
        count: 6,
        sum: 3.0,
        schema: 1,
        zero_count: 1,
        positive_spans: vec![Span { offset: -1, length: 2 }, Span { offset: 3, length: 1 }],
        positive_deltas: vec![1, 1, 0],
        timestamp: NOW + after,
    }
}

#[tokio::test]
async fn version_one_is_stored_and_answered_204() {
    let server = Server::start().await;
    let stale = f64::from_bits(0x7ff0_0000_0000_0002);
    let request = v1::WriteRequest {
        timeseries: vec![
            v1::TimeSeries {
                labels: labels(&[("__name__", "up"), ("job", "api")]),
                samples: vec![sample(0, 1.0), sample(1000, stale)],
                ..Default::default()
            },
            v1::TimeSeries { labels: labels(&[("__name__", "latency")]), histograms: vec![native(0)], ..Default::default() },
        ],
        metadata: vec![v1::MetricMetadata { kind: 2, family: "up".to_owned(), help: "is it".to_owned() }],
    };
    let (status, headers, body) = server.send("application/x-protobuf;proto=prometheus.WriteRequest", &request).await;
    assert_eq!((status, body.as_str()), (204, ""));
    assert!(headers.get("x-prometheus-remote-write-samples-written").is_none());
    assert_eq!(server.stored(), [r#"up{job="api"}@0=1"#, r#"up{job="api"}@1000=stale"#, "latency@0=6:[1.0, 2.0, 2.0]"]);
    let metadata = server.store.metadata.lock().expect("not poisoned").clone();
    assert_eq!((metadata[0].0.as_str(), metadata[0].1.kind, metadata[0].1.help.as_str()), ("up", MetricKind::Gauge, "is it"));
    assert_eq!(server.meter.counter("watchfire_ingest_accepted_total", &[("signal", "remote_write")]).get(), 3);
}

#[tokio::test]
async fn series_of_each_target_begin_under_an_origin_of_its_own() {
    let server = Server::start().await;
    let series = |pairs: &[(&str, &str)]| v1::TimeSeries { labels: labels(pairs), samples: vec![sample(0, 1.0)], ..Default::default() };
    let up = |job, instance| series(&[("__name__", "up"), ("instance", instance), ("job", job)]);
    let timeseries = vec![up("api", "a:1"), up("api", "b:1"), up("web", "a:1"), series(&[("__name__", "recorded")])];
    let request = v1::WriteRequest { timeseries, ..Default::default() };
    assert_eq!(server.send(V1, &request).await.0, 204);
    let begun: Vec<String> = server.store.begun.lock().expect("not poisoned").iter().map(|(_, origin)| origin.clone()).collect();
    assert_eq!(begun, ["remote_write api a:1", "remote_write api b:1", "remote_write web a:1", "remote_write"]);
    assert_eq!(server.stored().len(), 4);
}

#[tokio::test]
async fn what_is_stamped_after_the_clock_was_set_back_is_as_fresh_as_it_was() {
    let server = Server::start().await;
    let request = |after| v1::WriteRequest {
        timeseries: vec![v1::TimeSeries { labels: labels(&[("__name__", "up")]), samples: vec![sample(after, 1.0)], ..Default::default() }],
        ..Default::default()
    };
    // Ten years ahead, and set right again: the clock is carried on, and the senders never were wrong.
    let years = 315_360_000_000;
    server.clock.step_wall(Timestamp(NOW + years));
    server.clock.step_wall(Timestamp(NOW));
    assert_eq!(server.send(V1, &request(-500)).await.0, 204);
    assert_eq!(server.stored(), [format!("up@{}=1", years - 500)]);
}

#[tokio::test]
async fn version_two_says_how_much_was_written() {
    let server = Server::start().await;
    let trace = "5b8efff798038103d269b633813fc60c";
    let long = "x".repeat(1 << 16);
    let symbols = ["", "__name__", "hits_total", "job", "api", "trace_id", trace, "how many", &long].map(str::to_owned).to_vec();
    let request = v2::Request {
        symbols,
        timeseries: vec![v2::TimeSeries {
            labels_refs: vec![1, 2, 3, 4],
            samples: vec![sample(0, 5.0), sample(1000, 6.0)],
            histograms: vec![native(2000)],
            exemplars: [vec![5, 6, 5, 4], vec![5, 6, 7, 8]]
                .map(|labels_refs| v2::Exemplar { labels_refs, value: 1.0, timestamp: NOW })
                .to_vec(),
            metadata: Some(v2::Metadata { kind: 1, help_ref: 7 }),
        }],
    };
    let (status, headers, _) = server.send(V2, &request).await;
    let written = |what: &str| headers[&format!("x-prometheus-remote-write-{what}-written")].to_str().expect("text").to_owned();
    assert_eq!(
        (status, written("samples"), written("histograms"), written("exemplars")),
        (204, "2".to_owned(), "1".to_owned(), "2".to_owned())
    );
    assert_eq!(server.stored().len(), 3);
    assert_eq!(server.store.series.lock().expect("not poisoned")[0].1, MetricKind::Counter);
    let exemplars = server.store.exemplars.lock().expect("not poisoned").clone();
    assert!(exemplars.iter().all(|e| e.trace_id.is_some_and(|id| id.to_string() == trace)));
    let kept: Vec<String> = exemplars.iter().map(|e| e.labels.to_string()).collect();
    assert_eq!(kept, [r#"{trace_id="api"}"#, "{}"], "more text than an exemplar may have is left out");
}

#[tokio::test]
async fn what_is_wrong_costs_itself_and_makes_the_answer_400() {
    let server = Server::start().await;
    let symbols = ["", "__name__", "good", "late"].map(str::to_owned).to_vec();
    let broken = Histogram { count: 99, ..native(0) };
    let request = v2::Request {
        symbols,
        timeseries: vec![
            v2::TimeSeries { labels_refs: vec![1, 2], samples: vec![sample(0, 1.0), sample(3_600_000, 1.0)], ..Default::default() },
            v2::TimeSeries { labels_refs: vec![1, 3], histograms: vec![broken], ..Default::default() },
            v2::TimeSeries { labels_refs: vec![1, 99], samples: vec![sample(0, 1.0)], ..Default::default() },
            v2::TimeSeries { labels_refs: vec![2, 3], samples: vec![sample(0, 1.0)], ..Default::default() },
        ],
    };
    let (status, headers, body) = server.send(V2, &request).await;
    assert_eq!((status, headers["x-prometheus-remote-write-samples-written"].as_bytes()), (400, &b"1"[..]));
    let json: serde_json::Value = serde_json::from_str(&body).expect("an envelope");
    assert_eq!((json["status"].as_str(), json["errorType"].as_str()), (Some("error"), Some("bad_data")));
    assert_eq!(
        json["error"].as_str(),
        Some("rejected 4 of 5 samples: 1 bucket counts do not add up, 1 invalid label reference, 1 no metric name, 1 future")
    );
    assert_eq!(server.stored(), ["good@0=1"]);
    assert_eq!((server.rejected("future"), server.rejected("no_metric_name")), (1, 1));

    let twice = v1::TimeSeries {
        labels: labels(&[("__name__", "a"), ("x", "1"), ("x", "2")]),
        samples: vec![sample(0, 1.0)],
        ..Default::default()
    };
    let (status, _, body) = server.send(V1, &v1::WriteRequest { timeseries: vec![twice], ..Default::default() }).await;
    assert!(status == 400 && body.contains("1 duplicate label"), "{body}");
}

#[tokio::test]
async fn requests_that_are_not_remote_writes_are_refused() {
    let server = Server::start().await;
    let empty = snap::raw::Encoder::new().compress_vec(&[]).expect("small");
    let mut bomb = Vec::new();
    prost::encoding::encode_varint(4 << 30, &mut bomb);
    bomb.extend_from_slice(&[0; 20]);
    let too_long = snap::raw::Encoder::new().compress_vec(&vec![0; 2 << 20]).expect("small");
    let garbage = snap::raw::Encoder::new().compress_vec(&[0xff; 10]).expect("small");
    for (content_type, encoding, body, status, text) in [
        ("application/json", "snappy", empty.clone(), 415, "unsupported media type \\\"application/json\\\"; use application/x-protobuf"),
        ("application/x-protobuf;proto=other", "snappy", empty.clone(), 415, "unsupported media type"),
        (V1, "gzip", empty.clone(), 415, "unsupported encoding \\\"gzip\\\"; use snappy"),
        (V1, "snappy", bomb, 413, "request exceeds 1 MiB"),
        (V1, "snappy", too_long, 413, "request exceeds 1 MiB"),
        (V1, "snappy", vec![0; 2 << 20], 413, "request exceeds 1 MiB"),
        (V1, "snappy", vec![10, 0xff, 0xff], 400, "cannot decode remote write request: cannot decompress snappy block"),
        (V1, "snappy", garbage, 400, "cannot decode remote write request: "),
    ] {
        let (got, _, answer) = server.send_raw(content_type, encoding, body).await;
        assert!(got == status && answer.contains(text), "{content_type} {encoding}: {got} {answer}");
    }
    let (status, ..) = server.send_raw(V1, "snappy", empty).await;
    assert_eq!(status, 204);
    assert_eq!((server.rejected("media_type"), server.rejected("bytes"), server.rejected("decode")), (2, 3, 2));
    assert!(server.stored().is_empty());
}

#[tokio::test]
async fn what_is_too_much_for_now_may_be_sent_again() {
    let request = v1::WriteRequest {
        timeseries: vec![v1::TimeSeries { labels: labels(&[("__name__", "up")]), samples: vec![sample(0, 1.0)], ..Default::default() }],
        metadata: vec![v1::MetricMetadata { kind: 2, family: "up".to_owned(), help: "x".repeat(500) }],
    };
    let refused = |server: &Server, reason| server.meter.counter("watchfire_ingest_refused_total", &[("reason", reason)]).get();
    let full = Server::start_with(Limits::default(), true).await;
    let (status, headers, answer) = full.send(V1, &request).await;
    assert!(status == 503 && headers["retry-after"] == "5" && answer.contains("memory limit reached; retry"), "{status} {answer}");
    // The body as it came fits, what it becomes does not.
    let busy = Server::start_with(Limits { max_in_flight: 400, ..Limits::default() }, false).await;
    let (status, headers, answer) = busy.send(V1, &request).await;
    assert!(status == 429 && headers["retry-after"] == "1" && answer.contains("too much data in flight; retry"), "{status} {answer}");
    // What was taken is given back.
    let (status, ..) = busy.send(V1, &v1::WriteRequest { metadata: Vec::new(), ..request }).await;
    assert_eq!(status, 204);
    assert_eq!((refused(&full, "memory"), refused(&busy, "inflight")), (1, 1));
    assert_eq!((full.stored().len(), busy.stored().len()), (0, 1));
}
