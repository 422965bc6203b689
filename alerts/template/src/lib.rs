//! The part of Go's `text/template` that people write alerts in: labels and annotations of rules with every function Prometheus adds, and the
//! messages of receivers with every function Alertmanager adds, in plain text and in HTML.
//!
//! - [`rule`]: expands a label or an annotation; a failure becomes the text, and the alert goes out all the same.
//! - [`receiver`]: the templates of an `alertmanager.yml`, those it ships with, and the data they see.
//! - [`TemplateLimits`]: how much one template may do.
//!
//! Text that came from telemetry is data here: it is printed, compared and matched, never parsed again. Nothing here reads a file or a clock.
//!
//! To add a function: a row in `functions` and its arm.

mod execute;
mod float;
mod format;
mod functions;
mod html;
mod humanize;
mod lex;
mod number;
mod parse;
mod place;
pub mod receiver;
pub mod rule;
mod shipped;
mod text;
mod time;
mod value;

pub use lex::quoted_text;
pub use text::query_escape;

use watchfire_model::{Labels, Timestamp, Value};

/// Whose templates: which functions and variables exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    /// Prometheus: labels and annotations of rules.
    Rule,
    /// Alertmanager: what receivers send.
    Receiver,
}

/// How much one template may do. Whatever goes beyond ends in an error.
#[derive(Clone, Copy, Debug)]
pub struct TemplateLimits {
    /// Nodes executed and functions called.
    pub steps: usize,
    /// Templates calling templates.
    pub depth: usize,
    /// Bytes of output.
    pub output_bytes: usize,
}

impl Default for TemplateLimits {
    fn default() -> Self {
        TemplateLimits { steps: 10_000, depth: 100, output_bytes: 64 << 10 }
    }
}

/// Answers `query` in a template: the vector of an instant query.
pub type QueryFunction<'a> = dyn Fn(&str) -> Result<Vec<(Labels, Value)>, String> + 'a;

/// What functions and the executor need to know beside the data.
struct Environment<'a> {
    dialect: Dialect,
    external_url: &'a str,
    at: Timestamp,
    query: &'a QueryFunction<'a>,
    limits: TemplateLimits,
    /// Says when the time allowed is over.
    expired: &'a dyn Fn() -> bool,
}

#[cfg(test)]
mod tests;
