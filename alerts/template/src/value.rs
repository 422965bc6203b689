//! What a template computes with, and how it prints: Go's `%v`.

use super::float::float_shortest;
use super::time::{self, Moment, duration_text};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use watchfire_model::{Label, Labels, NativeHistogram, Value};

/// A value inside a template.
#[derive(Clone, Debug)]
pub(super) enum TemplateValue {
    /// What a template writes as `<no value>`, and functions are given as nil.
    Missing,
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(Rc<str>),
    /// Text that an HTML template may write as it is.
    SafeHtml(Rc<str>),
    Map {
        entries: Rc<BTreeMap<String, TemplateValue>>,
        kind: MapKind,
    },
    List {
        items: Rc<[TemplateValue]>,
        kind: ListKind,
    },
    /// A struct: the top level, an element of a query result, an alert.
    Record(Rc<Record>),
    Time(Moment),
    /// Nanoseconds.
    Duration(i64),
    Histogram(Arc<NativeHistogram>),
}

/// What a map is in Go: which keys read as what, and which methods it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MapKind {
    /// Absent keys read as the empty text.
    Strings,
    /// As strings, with Alertmanager's methods.
    Kv,
    Any,
}

/// What a list is in Go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListKind {
    QueryResult,
    Strings,
    /// All alerts of a message: has `.Firing` and `.Resolved`.
    Alerts,
    /// Some of them.
    AlertSlice,
    Pairs,
}

/// Fields by name, in their order.
#[derive(Debug)]
pub(super) struct Record {
    pub type_name: &'static str,
    pub pointer: bool,
    pub fields: Vec<(&'static str, TemplateValue)>,
}

/// The type of an element of a query result.
pub(super) const SAMPLE: &str = "*template.sample";

impl TemplateValue {
    pub(super) fn text(text: impl AsRef<str>) -> Self {
        TemplateValue::Str(Rc::from(text.as_ref()))
    }

    pub(super) fn of(value: Value) -> Self {
        match value {
            Value::Float(f) => TemplateValue::Float(f),
            Value::Histogram(h) => TemplateValue::Histogram(h),
        }
    }

    pub(super) fn strings<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Self {
        TemplateValue::List { items: texts.into_iter().map(TemplateValue::text).collect(), kind: ListKind::Strings }
    }

    /// One element of a query result: `.Labels`, `.Value`.
    pub(super) fn sample(labels: &Labels, value: Value) -> Self {
        let entries = labels.iter().map(|Label { name, value }| (name.to_string(), TemplateValue::text(&**value))).collect();
        let labels = TemplateValue::Map { entries: Rc::new(entries), kind: MapKind::Strings };
        let fields = vec![("Labels", labels), ("Value", TemplateValue::of(value))];
        TemplateValue::Record(Rc::new(Record { type_name: SAMPLE, pointer: true, fields }))
    }

    /// The name Go's errors use for the type.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            TemplateValue::Missing | TemplateValue::Nil => "<nil>",
            TemplateValue::Bool(_) => "bool",
            TemplateValue::Int(_) => "int",
            TemplateValue::Float(_) => "float64",
            TemplateValue::Str(_) => "string",
            TemplateValue::SafeHtml(_) => "template.HTML",
            TemplateValue::Map { kind, .. } => match kind {
                MapKind::Strings => "map[string]string",
                MapKind::Kv => "template.KV",
                MapKind::Any => "map[string]interface {}",
            },
            TemplateValue::List { kind, .. } => match kind {
                ListKind::QueryResult => "template.queryResult",
                ListKind::Strings => "[]string",
                ListKind::Alerts => "template.Alerts",
                ListKind::AlertSlice => "[]template.Alert",
                ListKind::Pairs => "template.Pairs",
            },
            TemplateValue::Record(record) => record.type_name,
            TemplateValue::Time(_) => "*time.Time",
            TemplateValue::Duration(_) => "*time.Duration",
            TemplateValue::Histogram(_) => "*histogram.FloatHistogram",
        }
    }

    /// Go's idea of truth: not zero, not empty, not nil.
    pub(super) fn truth(&self) -> bool {
        match self {
            TemplateValue::Missing | TemplateValue::Nil => false,
            TemplateValue::Bool(b) => *b,
            TemplateValue::Int(i) => *i != 0,
            TemplateValue::Float(f) => *f != 0.0,
            TemplateValue::Str(s) | TemplateValue::SafeHtml(s) => !s.is_empty(),
            TemplateValue::Map { entries, .. } => !entries.is_empty(),
            TemplateValue::List { items, .. } => !items.is_empty(),
            _ => true,
        }
    }

    pub(super) fn field(&self, name: &str) -> Result<TemplateValue, String> {
        let unknown = || Err(format!("can't evaluate field {name} in type {}", self.type_name()));
        Ok(match self {
            TemplateValue::Map { entries, kind } => match (kind, name) {
                (MapKind::Kv, "SortedPairs") => pairs(entries),
                (MapKind::Kv, "Names" | "Values") => pairs(entries).field(name)?,
                (MapKind::Kv, "String") => TemplateValue::text(self.print()),
                (MapKind::Kv, "Remove") => return Err("wrong number of args for Remove: want 1 got 0".to_owned()),
                _ => match entries.get(name) {
                    Some(value) => value.clone(),
                    None if *kind == MapKind::Any => TemplateValue::Missing,
                    None => TemplateValue::text(""),
                },
            },
            TemplateValue::List { items, kind } => match (kind, name) {
                (ListKind::Alerts, "Firing" | "Resolved") => {
                    let wanted = name.to_lowercase();
                    let chosen = items.iter().filter(|a| a.field("Status").is_ok_and(|s| s.print() == wanted)).cloned().collect();
                    TemplateValue::List { items: chosen, kind: ListKind::AlertSlice }
                }
                (ListKind::Pairs, "Names") => TemplateValue::strings(parts(items, "Name")),
                (ListKind::Pairs, "Values") => TemplateValue::strings(parts(items, "Value")),
                (ListKind::Pairs, "String") => TemplateValue::text(self.print()),
                _ => return unknown(),
            },
            TemplateValue::Record(record) => match record.fields.iter().find(|(have, _)| *have == name) {
                Some((_, value)) => value.clone(),
                None => return unknown(),
            },
            TemplateValue::Time(moment) => return time::method(moment, name).map_or_else(unknown, Ok),
            TemplateValue::Duration(nanos) => {
                let seconds = *nanos as f64 / 1e9;
                match name {
                    "Seconds" => TemplateValue::Float(seconds),
                    "Minutes" => TemplateValue::Float(seconds / 60.0),
                    "Hours" => TemplateValue::Float(seconds / 3600.0),
                    "Milliseconds" => TemplateValue::Int(nanos / 1_000_000),
                    "String" => TemplateValue::text(duration_text(*nanos)),
                    _ => return unknown(),
                }
            }
            TemplateValue::Histogram(h) => match name {
                "Count" => TemplateValue::Float(h.count),
                "Sum" => TemplateValue::Float(h.sum),
                "Schema" => TemplateValue::Int(i64::from(h.schema)),
                "ZeroCount" => TemplateValue::Float(h.zero_count),
                "ZeroThreshold" => TemplateValue::Float(h.zero_threshold),
                _ => return unknown(),
            },
            // As Go's engine has it with `missingkey=zero`.
            TemplateValue::Missing => TemplateValue::Missing,
            TemplateValue::Nil => return Err(format!("nil data; no entry for key {name:?}")),
            _ => return unknown(),
        })
    }

    /// A method with arguments.
    pub(super) fn call(&self, name: &str, arguments: &[TemplateValue]) -> Result<TemplateValue, String> {
        match (self, name, arguments) {
            (TemplateValue::Time(moment), ..) => {
                if let Some(outcome) = time::call(moment, name, arguments) {
                    return outcome;
                }
            }
            (TemplateValue::Map { entries, kind: MapKind::Kv }, "Remove", arguments) => {
                let [TemplateValue::List { items, kind: ListKind::Strings }] = arguments else {
                    return Err("wrong arguments for Remove: want a list of names".to_owned());
                };
                let names: Vec<String> = items.iter().map(TemplateValue::print).collect();
                let left = entries.iter().filter(|(name, _)| !names.contains(name)).map(|(n, v)| (n.clone(), v.clone())).collect();
                return Ok(TemplateValue::Map { entries: Rc::new(left), kind: MapKind::Kv });
            }
            _ => {}
        }
        self.field(name)?;
        Err(format!("{name} is not a method but has arguments"))
    }

    /// The value as a template writes it: what a pointer points to.
    pub(super) fn shown(&self) -> String {
        if matches!(self, TemplateValue::Missing) {
            return "<no value>".to_owned();
        }
        let text = self.print();
        if matches!(self, TemplateValue::Record(_)) { text.trim_start_matches('&').to_owned() } else { text }
    }

    /// The value as Go's `%v` prints it.
    pub(super) fn print(&self) -> String {
        match self {
            TemplateValue::Missing | TemplateValue::Nil => "<nil>".to_owned(),
            TemplateValue::Bool(b) => b.to_string(),
            TemplateValue::Int(i) => i.to_string(),
            TemplateValue::Float(f) => float_shortest(*f),
            TemplateValue::Str(s) | TemplateValue::SafeHtml(s) => s.to_string(),
            TemplateValue::Map { entries, kind: MapKind::Kv } => pairs(entries).print(),
            TemplateValue::Map { entries, .. } => {
                let inner: Vec<String> = entries.iter().map(|(k, v)| format!("{k}:{}", v.print())).collect();
                format!("map[{}]", inner.join(" "))
            }
            TemplateValue::List { items, kind: ListKind::Pairs } => {
                let part = |pair: &TemplateValue, name: &str| pair.field(name).map(|v| v.print()).unwrap_or_default();
                let inner: Vec<String> = items.iter().map(|p| format!("{}={}", part(p, "Name"), part(p, "Value"))).collect();
                inner.join(", ")
            }
            TemplateValue::List { items, .. } => {
                let inner: Vec<String> = items.iter().map(TemplateValue::print).collect();
                format!("[{}]", inner.join(" "))
            }
            TemplateValue::Record(record) => {
                let inner: Vec<String> = record.fields.iter().map(|(_, v)| v.print()).collect();
                format!("{}{{{}}}", if record.pointer { "&" } else { "" }, inner.join(" "))
            }
            TemplateValue::Time(moment) => time::text(moment),
            TemplateValue::Duration(nanos) => duration_text(*nanos),
            TemplateValue::Histogram(h) => {
                format!("{{count:{}, sum:{}}}", float_shortest(h.count), float_shortest(h.sum))
            }
        }
    }
}

/// Sorted by name, with the alert's own name in front.
fn pairs(entries: &BTreeMap<String, TemplateValue>) -> TemplateValue {
    let (first, rest): (Vec<_>, Vec<_>) = entries.iter().partition(|(name, _)| *name == "alertname");
    let pair = |(name, value): (&String, &TemplateValue)| {
        let fields = vec![("Name", TemplateValue::text(name)), ("Value", value.clone())];
        TemplateValue::Record(Rc::new(Record { type_name: "template.Pair", pointer: false, fields }))
    };
    TemplateValue::List { items: first.into_iter().chain(rest).map(pair).collect(), kind: ListKind::Pairs }
}

fn parts<'a>(items: &'a [TemplateValue], name: &'a str) -> impl Iterator<Item = String> + 'a {
    items.iter().map(move |pair| pair.field(name).map(|v| v.print()).unwrap_or_default())
}
