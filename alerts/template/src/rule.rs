//! Labels and annotations of alerting rules.

use crate::value::{MapKind, Record, TemplateValue};
use crate::{Dialect, Environment, QueryFunction, TemplateLimits, execute, parse};
use std::collections::BTreeMap;
use std::rc::Rc;
use watchfire_model::{Labels, Timestamp, Value};

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

/// Parses without executing: what can be known about a template when its file is loaded. The alert names it in errors.
///
/// # Errors
/// Syntax, unknown functions and variables, in words.
pub fn check(alert: &str, text: &str) -> Result<(), String> {
    if !text.contains("{{") {
        return Ok(());
    }
    parse::parse("", text, Dialect::Rule).map(|_| ()).map_err(|e| format!("template: __alert_{alert}:{e}"))
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
    let name = context.name;
    let template = parse::parse(name, text, Dialect::Rule).map_err(|e| format!("error parsing template {name}: template: {name}:{e}"))?;
    let environment = Environment {
        dialect: Dialect::Rule,
        external_url: context.external_url,
        at: context.at,
        query: context.query,
        limits: context.limits,
        expired: context.expired,
    };
    let labels = strings(context.labels);
    let external_labels = strings(context.external_labels);
    let external_url = TemplateValue::text(context.external_url);
    let value = TemplateValue::of(context.value.clone());
    let root = TemplateValue::Record(Rc::new(Record {
        type_name: "struct { Labels map[string]string; ExternalLabels map[string]string; ExternalURL string; Value interface {} }",
        pointer: false,
        fields: vec![
            ("Labels", labels.clone()),
            ("ExternalLabels", external_labels.clone()),
            ("ExternalURL", external_url.clone()),
            ("Value", value.clone()),
        ],
    }));
    let variables = vec![
        ("$".to_owned(), root),
        ("$labels".to_owned(), labels),
        ("$externalLabels".to_owned(), external_labels),
        ("$externalURL".to_owned(), external_url),
        ("$value".to_owned(), value),
    ];
    execute::run(&template, None, &environment, variables, false).map_err(|e| format!("error executing template {name}: {e}"))
}

fn strings(labels: &Labels) -> TemplateValue {
    let map: BTreeMap<String, TemplateValue> = labels.iter().map(|l| (l.name.to_string(), TemplateValue::text(&*l.value))).collect();
    TemplateValue::Map { entries: Rc::new(map), kind: MapKind::Strings }
}
