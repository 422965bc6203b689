//! Panics: what panics loses its turn, and nothing else does.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use watchfire_model::Meter;

/// Runs a part of the evaluator's work. When it panics that is counted, and its words come back as an error.
pub(super) fn survived<T>(task: &str, meter: &Meter, part: impl FnOnce() -> T) -> Result<T, String> {
    caught(part).inspect_err(|_| meter.counter("watchfire_panics_total", &[("task", task)]).add(1))
}

/// As [`survived`], for those who count nothing.
pub(super) fn caught<T>(part: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(part)).map_err(|panic| format!("panicked: {}", words(&*panic)))
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no reason given")
}
