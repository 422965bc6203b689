//! The OTLP receiver: gRPC and HTTP, protobuf and JSON; traces to a span visitor, metrics to series, logs to records.
//! It decides what is well formed and within limits; what spans, samples and records mean is decided behind the traits of the model.
//!
//! Types to know
//! - [`start`] with [`Settings`] gives a [`Running`] receiver; both of its ports understand both protocols.
//! - [`traces::Parsed`]: a trace request read once, borrowed, into reusable columns, and then shown to a `SpanVisitor`; [`walk`] does both.
//! - [`json_to_protobuf`]: OTLP/JSON, as it comes over HTTP or lies in files, into the bytes that everything else here reads.
//! - [`Direct`]: the same decoding without sockets, for callers in the same process.
//! - [`RawCodec`]: gRPC messages as the bytes they are, for receiver and senders alike.
//! - [`RemoteWrite`]: Prometheus remote write, for whoever mounts it.
//! - [`Limits`]: how much of what; [`Refusal`]: each way to say no, with its text, HTTP status, gRPC code and counter.
//!
//! Invariants
//! - Nothing of a refused request is stored; one bad item costs only itself and is told to the sender as partial success.
//! - Elements are counted before anything is built from them, bytes are counted while they arrive, decompression stops one byte past the limit.
//! - What a visitor gets is well formed: valid UTF-8, bounded texts, bounded nesting. Bodies that were not are rewritten, not passed on.
//! - No allocation per span in a steady stream; attributes are not decoded here.
//!
//! To add a metric type or an encoding: one file beside its siblings in `metrics/` or `http/`, one arm where the siblings are listed.
//! The message tables of `schema.rs` serve inspection, repair and JSON at once: a new field is one line there.

mod budget;
mod carried;
mod direct;
mod encoding;
mod grpc;
mod http;
mod ingest;
mod inspect;
mod intake;
mod json;
#[cfg(test)]
mod json_tests;
mod limits;
mod logs;
mod metrics;
mod receiver;
mod refusal;
pub mod remote_write;
mod repair;
mod schema;
mod status;
mod surrogates;
pub mod traces;
mod value;
mod wire;

pub use direct::Direct;
pub use grpc::RawCodec;
pub use json::{Translated, to_protobuf as json_to_protobuf};
pub use limits::Limits;
pub use receiver::{Running, Settings, StartError, start};
pub use refusal::{Refusal, Signal};
pub use remote_write::RemoteWrite;
pub use traces::walk;
