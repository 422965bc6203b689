//! Prometheus remote write 1.0 and 2.0, to be mounted at `POST /api/v1/write` (prometheus/docs, `specs/prw/remote_write_spec{,_2_0}.md`).
//! What can be stored of a request is stored; what cannot is a 400 that says why and is not worth sending again.

mod histogram;
mod parse;
mod v1;
mod v2;

use crate::budget::{Budget, Reservation};
use crate::carried::StampedByOthers;
use crate::http::body;
use crate::limits::Limits;
use crate::refusal::{Refusal, Signal};
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use parse::{Problem, Series};
use std::sync::Arc;
use watchfire_model::{Appended, Clock, Labels, Meter, MetricKind, OriginId, SeriesId, SeriesSink, Timestamp, Value, harmless_limited};

const QUOTED: usize = 100;
/// The longest error text.
const TEXT: usize = 1024;

/// Receives remote writes; clones share it.
#[derive(Clone)]
pub struct RemoteWrite {
    sink: Arc<dyn SeriesSink>,
    clock: Arc<dyn Clock>,
    limits: Limits,
    meter: Meter,
    budget: Budget,
    over_memory: Arc<dyn Fn() -> bool + Send + Sync>,
}

/// The two versions of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// A request that is refused as a whole.
#[derive(Debug, PartialEq, Eq)]
struct Refused {
    status: StatusCode,
    reason: &'static str,
    text: String,
    /// Seconds after which the same request may be welcome.
    retry_after: Option<u64>,
}

/// How many of what were stored, and why others were not.
#[derive(Debug, Default, PartialEq, Eq)]
struct Written {
    samples: usize,
    histograms: usize,
    exemplars: usize,
    rejected: Vec<(&'static str, u64)>,
}

impl RemoteWrite {
    /// `over_memory` says whether more is held than may be; asked before a body is read.
    pub fn new(
        sink: Arc<dyn SeriesSink>,
        clock: Arc<dyn Clock>,
        limits: Limits,
        meter: &Meter,
        over_memory: Arc<dyn Fn() -> bool + Send + Sync>,
    ) -> Self {
        let budget = Budget::new(limits.max_in_flight);
        RemoteWrite { sink, clock, limits, meter: meter.clone(), budget, over_memory }
    }

    /// Answers one request whose body has been read. Takes as long as decompressing and storing do.
    pub fn take(&self, headers: &HeaderMap, compressed: &Bytes) -> Response<Body> {
        self.take_reserved(headers, compressed, self.budget.open())
    }

    fn take_reserved(&self, headers: &HeaderMap, compressed: &Bytes, mut reservation: Reservation) -> Response<Body> {
        let reading = self.clock.read();
        let sink = StampedByOthers { sink: &*self.sink, carried: reading.carried };
        let door = Door { sink: &sink, limits: &self.limits, meter: &self.meter, now: reading.wall };
        match version_of(headers).and_then(|version| encoding_of(headers).map(|()| version)) {
            Ok(version) => door.take(version, compressed, &mut reservation),
            Err(refused) => door.refuse(&refused),
        }
    }

    /// Answers one request: reads its body under the limit, and does the rest where it keeps nobody waiting.
    pub async fn receive(&self, headers: &HeaderMap, body: Body) -> Response<Body> {
        let now = self.clock.now();
        let refuse = |refused: &Refused| Door { sink: &*self.sink, limits: &self.limits, meter: &self.meter, now }.refuse(refused);
        // Before a byte of the body is read.
        if let Err(refused) = version_of(headers).and_then(|_| encoding_of(headers)) {
            return refuse(&refused);
        }
        if (self.over_memory)() {
            return refuse(&later(&Refusal::Memory, "memory"));
        }
        let mut reservation = self.budget.open();
        let compressed = match body::read(body, Signal::Metrics, &self.limits, &mut reservation).await {
            Ok(bytes) => bytes,
            Err(Refusal::InFlight) => return refuse(&later(&Refusal::InFlight, "inflight")),
            Err(Refusal::Decode(_, why)) => return refuse(&refused("decode", &why)),
            Err(Refusal::Slow(text)) => return refuse(&Refused::whole(StatusCode::REQUEST_TIMEOUT, "slow", text)),
            Err(_) => return refuse(&too_long(&self.limits)),
        };
        let (this, headers) = (self.clone(), headers.clone());
        let work = tokio::task::spawn_blocking(move || this.take_reserved(&headers, &compressed, reservation));
        match work.await {
            Ok(response) => response,
            Err(_) => {
                let text = "internal error: the decoder panicked".to_owned();
                refuse(&Refused::whole(StatusCode::INTERNAL_SERVER_ERROR, "internal", text))
            }
        }
    }
}

/// What one request is handled with.
struct Door<'a> {
    sink: &'a dyn SeriesSink,
    limits: &'a Limits,
    meter: &'a Meter,
    now: Timestamp,
}

impl Door<'_> {
    fn count(&self, reason: &str, n: u64) {
        self.meter.counter("watchfire_ingest_rejected_total", &[("signal", "remote_write"), ("reason", reason)]).add(n);
    }

    fn refuse(&self, refused: &Refused) -> Response<Body> {
        let mut response = envelope(refused.status, &refused.text);
        match refused.retry_after {
            None => {
                self.count(refused.reason, 1);
                if refused.status == StatusCode::PAYLOAD_TOO_LARGE {
                    // The rest of the body is not read.
                    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                }
            }
            Some(seconds) => {
                self.meter.counter("watchfire_ingest_refused_total", &[("reason", refused.reason)]).add(1);
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            }
        }
        response
    }

    fn take(&self, version: Version, compressed: &Bytes, reservation: &mut Reservation) -> Response<Body> {
        match self.store(version, compressed, reservation) {
            Ok(written) => self.answer(version, &written),
            Err(refused) => self.refuse(&refused),
        }
    }

    fn store(&self, version: Version, compressed: &Bytes, reservation: &mut Reservation) -> Result<Written, Refused> {
        let broken = |error: snap::Error| match error {
            snap::Error::TooBig { .. } => too_long(self.limits),
            error => refused("decode", &format!("cannot decompress snappy block: {error}")),
        };
        // The block says how long it will be; nothing is allocated for one that lies or is too long.
        let announced = snap::raw::decompress_len(compressed).map_err(broken)?;
        if compressed.len() > self.limits.max_bytes || announced > self.limits.max_bytes {
            return Err(too_long(self.limits));
        }
        if !reservation.grow(announced) {
            return Err(later(&Refusal::InFlight, "inflight"));
        }
        let bytes = snap::raw::Decoder::new().decompress_vec(compressed).map_err(broken)?;
        let parsed = match version {
            Version::One => v1::parse(&bytes, self.limits),
            Version::Two => v2::parse(&bytes, self.limits),
        };
        let request = parsed.map_err(|problem| match problem {
            Problem::Decode(why) => refused("decode", &why),
            Problem::TooManyItems => {
                let text =
                    format!("request exceeds {} items (otlp.max_items); limits.otlp.items_per_request raises it", self.limits.max_items);
                Refused::whole(StatusCode::PAYLOAD_TOO_LARGE, "items", text)
            }
        })?;
        for (family, metadata) in request.metadata {
            self.sink.describe(&family, metadata);
        }
        Ok(self.append(request.series, request.rejected))
    }

    fn append(&self, series: Vec<Series>, rejected: Vec<(&'static str, u64)>) -> Written {
        let (remote, now) = (self.sink.origin(REMOTE_WRITE), self.now);
        let mut target = Target::new(self.sink);
        let mut written = Written { rejected, ..Written::default() };
        let mut floats: Vec<(Timestamp, SeriesId, Value)> = Vec::new();
        let mut histograms: Vec<(Timestamp, SeriesId, Value)> = Vec::new();
        for series in series {
            let kind = series.kind.unwrap_or_else(|| kind_by_name(&series.labels));
            let Some(id) = self.sink.series(target.origin(&series.labels), &series.labels, kind) else {
                written.reject("series limit", (series.samples.len() + series.histograms.len()) as u64);
                continue;
            };
            floats.extend(series.samples.into_iter().map(|(at, value)| (at, id, Value::Float(value))));
            histograms.extend(series.histograms.into_iter().map(|(at, h)| (at, id, Value::Histogram(Arc::new(h)))));
            written.exemplars += series.exemplars.len();
            for exemplar in series.exemplars {
                self.sink.exemplar(id, exemplar);
            }
        }
        for (samples, is_histogram) in [(&mut floats, false), (&mut histograms, true)] {
            samples.sort_by_key(|(at, ..)| *at);
            let mut row = Vec::new();
            for same_time in samples.chunk_by(|a, b| a.0 == b.0) {
                row.clear();
                row.extend(same_time.iter().map(|(_, series, value)| (*series, value.clone())));
                let stored = written.account(row.len(), &self.sink.append(remote, same_time[0].0, now, &row));
                *(if is_histogram { &mut written.histograms } else { &mut written.samples }) += stored;
            }
        }
        written
    }

    fn answer(&self, version: Version, written: &Written) -> Response<Body> {
        let accepted = (written.samples + written.histograms) as u64;
        self.meter.counter("watchfire_ingest_accepted_total", &[("signal", "remote_write")]).add(accepted);
        for (reason, n) in &written.rejected {
            self.count(&reason.replace(' ', "_"), *n);
        }
        let mut response = if written.rejected.is_empty() {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NO_CONTENT;
            response
        } else {
            let total: u64 = written.rejected.iter().map(|(_, n)| n).sum();
            let reasons: Vec<String> = written.rejected.iter().map(|(reason, n)| format!("{n} {reason}")).collect();
            envelope(StatusCode::BAD_REQUEST, &format!("rejected {total} of {} samples: {}", total + accepted, reasons.join(", ")))
        };
        if version == Version::Two {
            for (what, n) in [("samples", written.samples), ("histograms", written.histograms), ("exemplars", written.exemplars)] {
                let name = format!("x-prometheus-remote-write-{what}-written");
                if let Ok(name) = HeaderName::try_from(name) {
                    response.headers_mut().insert(name, HeaderValue::from(n));
                }
            }
        }
        response
    }
}

/// The origin of what comes from a sender that does not say which of its targets it is of.
const REMOTE_WRITE: &str = "remote_write";

/// The target that a series is of, as its labels name it. All series of one scrape have one time, and those of other targets have others: under one
/// origin each would be a gap in all of the others.
struct Target<'a> {
    sink: &'a dyn SeriesSink,
    /// The last one: series of one target mostly follow each other.
    job: String,
    instance: String,
    origin: OriginId,
}

impl<'a> Target<'a> {
    fn new(sink: &'a dyn SeriesSink) -> Self {
        Target { sink, job: String::new(), instance: String::new(), origin: sink.origin(REMOTE_WRITE) }
    }

    fn origin(&mut self, labels: &Labels) -> OriginId {
        let (job, instance) = (labels.value("job"), labels.value("instance"));
        if (job, instance) != (&*self.job, &*self.instance) {
            let named = !job.is_empty() || !instance.is_empty();
            let name = if named { &*format!("{REMOTE_WRITE} {job} {instance}") } else { REMOTE_WRITE };
            self.origin = self.sink.origin(name);
            (self.job, self.instance) = (job.to_owned(), instance.to_owned());
        }
        self.origin
    }
}

impl Refused {
    /// For good: the same request would be refused again.
    fn whole(status: StatusCode, reason: &'static str, text: String) -> Self {
        Refused { status, reason, text, retry_after: None }
    }
}

impl Written {
    fn reject(&mut self, reason: &'static str, n: u64) {
        parse::add(&mut self.rejected, reason, n);
    }

    /// How many of a row were stored (a sample that was there already is).
    fn account(&mut self, row: usize, appended: &Appended) -> usize {
        let reasons = [
            ("future", appended.future),
            ("old", appended.old),
            ("out of order", appended.out_of_order),
            ("duplicate", appended.duplicate),
            ("series limit", appended.series_limit),
        ];
        for (reason, n) in reasons {
            self.reject(reason, n as u64);
        }
        row.saturating_sub(reasons.iter().map(|(_, n)| n).sum())
    }
}

fn too_long(limits: &Limits) -> Refused {
    let text = format!("request exceeds {} MiB (otlp.max_bytes); limits.otlp.message raises it", limits.max_bytes >> 20);
    Refused::whole(StatusCode::PAYLOAD_TOO_LARGE, "bytes", text)
}

/// For now.
fn later(refusal: &Refusal, reason: &'static str) -> Refused {
    let retry_after = refusal.retry_after().map(|delay| delay.as_secs());
    Refused { status: refusal.status(), reason, text: refusal.text(), retry_after }
}

fn refused(reason: &'static str, why: &str) -> Refused {
    let text = format!("cannot decode remote write request: {}", harmless_limited(why, 2 * QUOTED));
    Refused::whole(StatusCode::BAD_REQUEST, reason, text)
}

fn version_of(headers: &HeaderMap) -> Result<Version, Refused> {
    let value = headers.get(header::CONTENT_TYPE).map(|v| String::from_utf8_lossy(v.as_bytes())).unwrap_or_default();
    let mut parts = value.split(';').map(str::trim);
    let unsupported = || {
        let text = format!("unsupported media type \"{}\"; use application/x-protobuf", harmless_limited(&value, QUOTED));
        Refused::whole(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media_type", text)
    };
    if !parts.next().is_some_and(|essence| essence.eq_ignore_ascii_case("application/x-protobuf")) {
        return Err(unsupported());
    }
    match parts.find_map(|parameter| parameter.strip_prefix("proto=")) {
        None | Some("prometheus.WriteRequest") => Ok(Version::One),
        Some("io.prometheus.write.v2.Request") => Ok(Version::Two),
        Some(_) => Err(unsupported()),
    }
}

fn encoding_of(headers: &HeaderMap) -> Result<(), Refused> {
    match headers.get(header::CONTENT_ENCODING).map(|v| String::from_utf8_lossy(v.as_bytes())) {
        None => Ok(()),
        Some(encoding) if encoding.eq_ignore_ascii_case("snappy") => Ok(()),
        Some(encoding) => {
            let text = format!("unsupported encoding \"{}\"; use snappy", harmless_limited(&encoding, QUOTED));
            Err(Refused::whole(StatusCode::UNSUPPORTED_MEDIA_TYPE, "encoding", text))
        }
    }
}

/// Prometheus's error envelope.
fn envelope(status: StatusCode, text: &str) -> Response<Body> {
    let kind = if status.is_server_error() { "internal" } else { "bad_data" };
    let body = serde_json::json!({"status": "error", "errorType": kind, "error": harmless_limited(text, TEXT)});
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// What a series without metadata most likely is.
fn kind_by_name(labels: &Labels) -> MetricKind {
    let name = labels.metric_name();
    if name.ends_with("_total") {
        MetricKind::Counter
    } else if name.ends_with("_bucket") && labels.get("le").is_some() {
        MetricKind::Histogram
    } else {
        MetricKind::Unknown
    }
}
