//! Remote write of arbitrary bytes, in both versions: always an answer, and only whole series reach the sink.

#![no_main]

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method};
use libfuzzer_sys::fuzz_target;
use watchfire_model::{Appended, Exemplar, Labels, Metadata, Meter, MetricKind, OriginId, SeriesId, SeriesSink, Timestamp, Value};
use watchfire_otlp::remote_write::receive;

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
    for content_type in ["application/x-protobuf", "application/x-protobuf;proto=io.prometheus.write.v2.Request"] {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static(content_type));
        let status = receive(&Method::POST, &headers, compressed.clone(), &Sink, &Meter::new(), Timestamp(0)).status();
        assert!(matches!(status.as_u16(), 204 | 400 | 413), "{status}");
    }
});
