//! Traces: [`Parsed`] reads a request once, borrowed, into reusable columns; only when all of it is well formed does a visitor see any of it.

mod attributes;
mod parse;
mod residual;
mod span;
mod visit;

pub use parse::{Dropped, Parsed};
pub use residual::Residuals;

use crate::limits::Limits;
use crate::refusal::Refusal;
use watchfire_model::{Receipt, SpanVisitor, Timestamp};

/// Reads one `ExportTraceServiceRequest` (or `TracesData`) and shows it to `visitor`; `received` is passed on to `end_of_request`.
///
/// # Errors
/// When the request is refused as a whole; then the visitor has seen nothing.
pub fn walk<V: SpanVisitor + ?Sized>(bytes: &[u8], limits: &Limits, received: Timestamp, visitor: &mut V) -> Result<Receipt, Refusal> {
    let mut parsed = Parsed::default();
    parsed.parse(bytes, limits, &mut Residuals::default())?;
    parsed.visit(bytes, received, visitor);
    Ok(parsed.receipt())
}
