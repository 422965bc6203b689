//! OTLP/JSON of arbitrary text: refused, or translated into a message that prost takes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use opentelemetry_proto::tonic::{logs::v1::LogsData, metrics::v1::MetricsData, trace::v1::TracesData};
use prost::Message;
use watchfire_otlp::{Limits, Signal, Translated, json_to_protobuf};

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { max_depth: 16, ..Limits::default() };
    if let Ok(Translated { protobuf: traces, .. }) = json_to_protobuf(bytes, Signal::Traces, &limits) {
        TracesData::decode(&traces[..]).expect("well formed");
    }
    if let Ok(Translated { protobuf: metrics, .. }) = json_to_protobuf(bytes, Signal::Metrics, &limits) {
        MetricsData::decode(&metrics[..]).expect("well formed");
    }
    if let Ok(Translated { protobuf: logs, .. }) = json_to_protobuf(bytes, Signal::Logs, &limits) {
        LogsData::decode(&logs[..]).expect("well formed");
    }
});
