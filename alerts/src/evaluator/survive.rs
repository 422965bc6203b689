//! Panics: what panics loses its turn, and nothing else does.

use watchfire_model::{Meter, caught};

/// Runs a part of the evaluator's work. When it panics that is counted, and its words come back as an error.
pub(super) fn survived<T>(task: &str, meter: &Meter, part: impl FnOnce() -> T) -> Result<T, String> {
    caught(part).inspect_err(|_| meter.counter("watchfire_panics_total", &[("task", task)]).add(1))
}
