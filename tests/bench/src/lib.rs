//! What ingest costs from the socket to the store. Receiver and store are siblings that do not know each other; here they are measured together,
//! the way the program wires them.
//!
//! - `cargo bench -p watchfire-bench --bench ingest`: time and allocations per request of 512 spans, against prost.
//! - `--bench instructions`: one leg at a time, for callgrind.
//! - `--bench transport`: server CPU per span over gRPC, against a generated tonic service.
//! - `--bench histogram`: one observation, against DDSketch.
//! - `--bench readings`: questions about a million spans.
//! - `--example against_prometheus`: scrapes and rules of a whole process, beside the Prometheus that is installed.
//! - `--example load`: saturates a running watchfire and watches its memory.
//! - `cargo test -p watchfire-bench`: allocations and bytes per span, which must not grow.
//!
//! [`batches`] makes the requests: the same bytes for every leg, from a fixed seed. [`client`] sends them, [`processor`] says what that cost.

pub mod batches;
pub mod client;
pub mod processor;
