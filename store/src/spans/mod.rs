//! Spans: from the walk into columns, counted and joined on the way; held until memory is needed for newer ones.

mod batch;
pub(crate) mod block;
mod engine;
pub(crate) mod held;
pub(crate) mod intern;
mod keeping;
mod open;
mod publication;
pub(crate) mod sealer;
pub(crate) mod segment;
mod shown;
pub mod wire;

pub use engine::SpanEngine;
pub use held::SegmentSink;
pub use intern::{Operation, Resource, Scope};
pub use segment::{Segment, SpanRow};
