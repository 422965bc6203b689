//! Live telemetry in bounded memory: series, spans, logs and health checks, and the signals derived from spans while they pass.
//! Everything here forgets: by bytes first, by age second, and whatever is let go is counted under its reason.
//!
//! Types to know
//! - [`Store`]: the whole; takes samples, logs and probe results, answers queries, searches and questions about traces.
//! - [`SpanEngine`]: the receiving end of the trace walk, owned by one thread. Derives RED, edges and sampling while it stores.
//! - [`StoreLimits`], [`SignalSettings`]: every bound, every choice.
//! - [`Segment`]: some thousand sealed spans as columns; a [`SegmentSink`] is offered each of them.
//! - [`Histogram`]: latencies in 32 buckets per octave, published without loss as a native histogram.
//!
//! Invariants
//! - The ingest thread waits for no search: readers of spans look at snapshots, published at most four times a second. Publishing series, it waits for
//!   one visit of a reader at most; see `series`.
//! - No allocation per span: text that recurs is interned, the rest stays in the compressed body that came over the wire.
//! - A figure derived from spans is corrected for sampling; how much of it was seen is published beside it.
//! - Nothing is invented: a peer that sends no spans gets a node only under a name its caller stated; a call from outside gets none.
//! - Absent on purpose: disks (history), judgement (alerts), query evaluation (promql), the wire walk (collectors/otlp).
//!
//! To derive another signal: count it in `spans/batch.rs` beside RED, publish it in `spans/publication.rs`. To answer another question about spans:
//! one file in `reads/`.

mod aging;
mod checks;
mod limits;
mod logs;
mod read_ahead;
mod reads;
mod series;
mod signals;
mod spans;
mod store;
mod topology;

pub use limits::StoreLimits;
pub use reads::errors::Example;
pub use signals::edges::{Connection, ObservedEdge};
pub use signals::histogram::{CLASSIC_BOUNDS, Histogram};
pub use signals::peer::Protocol;
pub use signals::sampling::weight as sampling_weight;
pub use signals::services::ServiceSeen;
pub use signals::{OVERFLOW, SignalSettings};
pub use spans::{Operation, Resource, Scope, Segment, SegmentSink, SpanEngine, SpanRow, wire};
pub use store::{Store, Usage};
