//! The part of Go's `text/template` that alert labels and annotations are written in, with every function Prometheus adds.
//! Text that came from telemetry is data here: it is printed, compared and matched, never parsed again.

mod execute;
mod format;
mod functions;
mod humanize;
mod lex;
mod parse;
mod value;

pub(crate) use functions::query_escape;
pub use value::TemplateValue;

use std::collections::BTreeMap;
use std::rc::Rc;
use watchfire_model::{Labels, Timestamp, Value};

/// How much one template may do. Whatever goes beyond ends in an error, which becomes the text.
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

/// What a template sees.
pub struct TemplateContext<'a> {
    /// The name used in errors, such as `__alert_HighErrorRate`.
    pub name: &'a str,
    pub labels: &'a Labels,
    pub value: Value,
    pub external_labels: &'a Labels,
    pub external_url: &'a str,
    /// The time of the evaluation.
    pub at: Timestamp,
    pub query: &'a QueryFunction<'a>,
    pub limits: TemplateLimits,
    /// Says when the time allowed is over.
    pub expired: &'a dyn Fn() -> bool,
}

/// Parses without executing: what can be known about a template when its file is loaded.
///
/// # Errors
/// Syntax, unknown functions and variables, in words.
pub fn check(text: &str) -> Result<(), String> {
    if !text.contains("{{") {
        return Ok(());
    }
    parse::parse(text).map(|_| ()).map_err(|e| format!("error parsing template: {e}"))
}

/// Expands a template. A failure becomes the text `<error expanding template: ...>`; the alert goes out all the same.
pub fn expand(text: &str, context: &TemplateContext<'_>) -> String {
    match try_expand(text, context) {
        Ok(out) => out,
        Err(error) => format!("<error expanding template: {error}>"),
    }
}

/// As [`expand`], with the failure as an error.
///
/// # Errors
/// Parse and execution errors and limits, in words.
pub fn try_expand(text: &str, context: &TemplateContext<'_>) -> Result<String, String> {
    if !text.contains("{{") {
        return Ok(text.to_owned());
    }
    let template = parse::parse(text).map_err(|e| format!("error parsing template {}: template: {}:{e}", context.name, context.name))?;
    let value = match &context.value {
        Value::Float(f) => TemplateValue::Float(*f),
        Value::Histogram(h) => TemplateValue::Histogram(h.clone()),
    };
    let data = Rc::new(value::Data {
        labels: strings(context.labels),
        external_labels: strings(context.external_labels),
        external_url: context.external_url.to_owned(),
        value,
    });
    execute::run(&template, context, data).map_err(|e| format!("error executing template {}: {e}", context.name))
}

fn strings(labels: &Labels) -> TemplateValue {
    let map: BTreeMap<String, TemplateValue> =
        labels.iter().map(|l| (l.name.to_string(), TemplateValue::Str(Rc::from(&*l.value)))).collect();
    TemplateValue::Map { entries: Rc::new(map), strings: true }
}

#[cfg(test)]
mod tests;
