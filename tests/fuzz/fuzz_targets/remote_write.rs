//! Remote write of arbitrary bytes, in both versions: always an answer, and only whole series reach the sink.

#![no_main]

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use std::sync::Arc;
use std::time::Duration;
use watchfire_model::{
    Appended, Clock, ClockReading, Exemplar, Labels, Metadata, Meter, MetricKind, OriginId, SeriesId, SeriesSink, Timestamp, Value,
};
use watchfire_otlp::{Limits, RemoteWrite};

struct Still;

impl Clock for Still {
    fn read(&self) -> ClockReading {
        ClockReading { wall: Timestamp(0), boot: Duration::ZERO, awake: Duration::ZERO, carried: Duration::ZERO }
    }
}

struct Sink;

impl SeriesSink for Sink {
    fn origin(&self, _name: &str) -> OriginId {
        OriginId(0)
    }
    fn series(&self, _origin: OriginId, labels: &Labels, _kind: MetricKind) -> Option<SeriesId> {
        assert!(!labels.metric_name().is_empty());
        Some(SeriesId(0))
    }
    fn append(&self, _origin: OriginId, _at: Timestamp, _now: Timestamp, row: &[(SeriesId, Value)]) -> Appended {
        Appended { stored: row.len(), ..Appended::default() }
    }
    fn describe(&self, _family: &str, _metadata: Metadata) {}
    fn exemplar(&self, _series: SeriesId, _exemplar: Exemplar) {}
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(compressed) = snap::raw::Encoder::new().compress_vec(bytes) else { return };
    let compressed = Bytes::from(compressed);
    let receiver = RemoteWrite::new(Arc::new(Sink), Arc::new(Still), Limits::default(), &Meter::new(), Arc::new(|| false));
    for content_type in ["application/x-protobuf", "application/x-protobuf;proto=io.prometheus.write.v2.Request"] {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static(content_type));
        let status = receiver.take(&headers, &compressed).status();
        assert!(matches!(status.as_u16(), 204 | 400 | 413), "{status}");
    }
});
