//! What a template computes with, and how it prints: Go's `%v`.

use super::format::float_shortest;
use chrono::DateTime;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use watchfire_model::NativeHistogram;

/// A value inside a template.
#[derive(Clone, Debug)]
pub enum TemplateValue {
    /// What Go prints as `<no value>`.
    Missing,
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(Rc<str>),
    /// Absent keys of a map of strings read as the empty text.
    Map {
        entries: Rc<BTreeMap<String, TemplateValue>>,
        strings: bool,
    },
    List(Rc<[TemplateValue]>),
    /// One element of a query result: `.Labels`, `.Value`.
    Sample(Rc<Sample>),
    /// The top level: `.Labels`, `.Value`, `.ExternalLabels`, `.ExternalURL`.
    Data(Rc<Data>),
    /// Nanoseconds since the epoch.
    Time(i64),
    /// Nanoseconds.
    Duration(i64),
    Histogram(Arc<NativeHistogram>),
}

#[derive(Debug)]
pub struct Sample {
    pub labels: TemplateValue,
    pub value: TemplateValue,
}

#[derive(Debug)]
pub struct Data {
    pub labels: TemplateValue,
    pub external_labels: TemplateValue,
    pub external_url: String,
    pub value: TemplateValue,
}

impl TemplateValue {
    pub(super) fn text(text: impl AsRef<str>) -> Self {
        TemplateValue::Str(Rc::from(text.as_ref()))
    }

    /// The name Go's errors use for the type.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            TemplateValue::Missing | TemplateValue::Nil => "<nil>",
            TemplateValue::Bool(_) => "bool",
            TemplateValue::Int(_) => "int",
            TemplateValue::Float(_) => "float64",
            TemplateValue::Str(_) => "string",
            TemplateValue::Map { strings: true, .. } => "map[string]string",
            TemplateValue::Map { .. } => "map[string]interface {}",
            TemplateValue::List(_) => "template.queryResult",
            TemplateValue::Sample(_) => "*template.sample",
            TemplateValue::Data(_) => "struct",
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
            TemplateValue::Str(s) => !s.is_empty(),
            TemplateValue::Map { entries, .. } => !entries.is_empty(),
            TemplateValue::List(items) => !items.is_empty(),
            _ => true,
        }
    }

    pub(super) fn field(&self, name: &str) -> Result<TemplateValue, String> {
        let unknown = || Err(format!("can't evaluate field {name} in type {}", self.type_name()));
        Ok(match self {
            TemplateValue::Map { entries, strings } => match entries.get(name) {
                Some(value) => value.clone(),
                None if *strings => TemplateValue::text(""),
                None => TemplateValue::Missing,
            },
            TemplateValue::Sample(sample) => match name {
                "Labels" => sample.labels.clone(),
                "Value" => sample.value.clone(),
                _ => return unknown(),
            },
            TemplateValue::Data(data) => match name {
                "Labels" => data.labels.clone(),
                "ExternalLabels" => data.external_labels.clone(),
                "ExternalURL" => TemplateValue::text(&data.external_url),
                "Value" => data.value.clone(),
                _ => return unknown(),
            },
            TemplateValue::Time(nanos) => return time_method(*nanos, name).map_or_else(unknown, Ok),
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
            TemplateValue::Missing | TemplateValue::Nil => return Err(format!("nil data; no entry for key {name:?}")),
            _ => return unknown(),
        })
    }

    /// A method with arguments.
    pub(super) fn call(&self, name: &str, arguments: &[TemplateValue]) -> Result<TemplateValue, String> {
        match (self, name, arguments) {
            (TemplateValue::Time(nanos), "Format", [TemplateValue::Str(layout)]) => Ok(TemplateValue::text(time_layout(*nanos, layout))),
            (TemplateValue::Time(_), "Format", _) => Err("wrong arguments for Format: want a layout".to_owned()),
            _ => {
                self.field(name)?;
                Err(format!("{name} is not a method but has arguments"))
            }
        }
    }

    /// The value as a template writes it: what a pointer points to.
    pub(super) fn shown(&self) -> String {
        let text = self.print();
        if matches!(self, TemplateValue::Sample(_)) { text.trim_start_matches('&').to_owned() } else { text }
    }

    /// The value as Go's `%v` prints it.
    pub(super) fn print(&self) -> String {
        match self {
            TemplateValue::Missing => "<no value>".to_owned(),
            TemplateValue::Nil => "<nil>".to_owned(),
            TemplateValue::Bool(b) => b.to_string(),
            TemplateValue::Int(i) => i.to_string(),
            TemplateValue::Float(f) => float_shortest(*f),
            TemplateValue::Str(s) => s.to_string(),
            TemplateValue::Map { entries, .. } => {
                let inner: Vec<String> = entries.iter().map(|(k, v)| format!("{k}:{}", v.print())).collect();
                format!("map[{}]", inner.join(" "))
            }
            TemplateValue::List(items) => {
                let inner: Vec<String> = items.iter().map(TemplateValue::print).collect();
                format!("[{}]", inner.join(" "))
            }
            TemplateValue::Sample(s) => format!("&{{{} {}}}", s.labels.print(), s.value.print()),
            TemplateValue::Data(d) => {
                format!("{{{} {} {} {}}}", d.labels.print(), d.external_labels.print(), d.external_url, d.value.print())
            }
            TemplateValue::Time(nanos) => time_text(*nanos),
            TemplateValue::Duration(nanos) => duration_text(*nanos),
            TemplateValue::Histogram(h) => {
                format!("{{count:{}, sum:{}}}", float_shortest(h.count), float_shortest(h.sum))
            }
        }
    }
}

fn time_method(nanos: i64, name: &str) -> Option<TemplateValue> {
    use chrono::{Datelike, Timelike};
    let time = DateTime::from_timestamp_nanos(nanos);
    Some(match name {
        "Unix" => TemplateValue::Int(nanos.div_euclid(1_000_000_000)),
        "UnixMilli" => TemplateValue::Int(nanos.div_euclid(1_000_000)),
        "UnixNano" => TemplateValue::Int(nanos),
        "Year" => TemplateValue::Int(i64::from(time.year())),
        "Month" => TemplateValue::text(time.format("%B").to_string()),
        "Day" => TemplateValue::Int(i64::from(time.day())),
        "YearDay" => TemplateValue::Int(i64::from(time.ordinal())),
        "Weekday" => TemplateValue::text(time.format("%A").to_string()),
        "Hour" => TemplateValue::Int(i64::from(time.hour())),
        "Minute" => TemplateValue::Int(i64::from(time.minute())),
        "Second" => TemplateValue::Int(i64::from(time.second())),
        "UTC" | "Local" => TemplateValue::Time(nanos),
        "String" => TemplateValue::text(time_text(nanos)),
        _ => return None,
    })
}

/// Go's `Time.Format` in UTC: the layout shows how a certain moment of 2006 would look.
fn time_layout(nanos: i64, layout: &str) -> String {
    /// What a layout may hold, longest first where one begins another.
    const PARTS: [(&str, &str); 29] = [
        ("January", "%B"),
        ("Jan", "%b"),
        ("Monday", "%A"),
        ("Mon", "%a"),
        ("MST", "UTC"),
        ("2006", "%Y"),
        ("Z07:00", "Z"),
        ("-07:00", "+00:00"),
        ("-0700", "+0000"),
        ("-07", "+00"),
        ("002", "%j"),
        ("01", "%m"),
        ("02", "%d"),
        ("03", "%I"),
        ("04", "%M"),
        ("05", "%S"),
        ("06", "%y"),
        ("15", "%H"),
        ("PM", "%p"),
        ("pm", "%P"),
        ("_2", "%e"),
        ("1", "%-m"),
        ("2", "%-d"),
        ("3", "%-I"),
        ("4", "%-M"),
        ("5", "%-S"),
        (".000000000", "%.9f"),
        (".000000", "%.6f"),
        (".000", "%.3f"),
    ];
    let time = DateTime::from_timestamp_nanos(nanos);
    let mut out = String::new();
    let mut rest = layout;
    while let Some(c) = rest.chars().next() {
        match PARTS.iter().find(|(part, _)| rest.starts_with(part)) {
            Some((part, form)) => {
                out.push_str(&time.format(form).to_string());
                rest = &rest[part.len()..];
            }
            None => {
                out.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    out
}

/// Go's default form of a time in UTC: `2006-01-02 15:04:05.999 +0000 UTC`.
pub(super) fn time_text(nanos: i64) -> String {
    let time = DateTime::from_timestamp_nanos(nanos);
    let fraction = nanos.rem_euclid(1_000_000_000);
    let fraction = if fraction == 0 { String::new() } else { format!(".{fraction:09}").trim_end_matches('0').to_owned() };
    format!("{}{fraction} +0000 UTC", time.format("%Y-%m-%d %H:%M:%S"))
}

/// Go's form of a duration: `1h2m3.5s`, `250ms`, `0s`.
pub(super) fn duration_text(nanos: i64) -> String {
    if nanos == 0 {
        return "0s".to_owned();
    }
    let sign = if nanos < 0 { "-" } else { "" };
    let total = nanos.unsigned_abs();
    let trimmed = |value: u64, digits: usize, unit: u64| {
        let (whole, part) = (value / unit, value % unit);
        if part == 0 { whole.to_string() } else { format!("{whole}.{part:0digits$}").trim_end_matches('0').to_owned() }
    };
    if total < 1_000 {
        return format!("{sign}{total}ns");
    }
    if total < 1_000_000 {
        return format!("{sign}{}µs", trimmed(total, 3, 1_000));
    }
    if total < 1_000_000_000 {
        return format!("{sign}{}ms", trimmed(total, 6, 1_000_000));
    }
    let (minutes, rest) = (total / 60_000_000_000, total % 60_000_000_000);
    let seconds = trimmed(rest, 9, 1_000_000_000);
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{sign}{seconds}s"),
        (0, m) => format!("{sign}{m}m{seconds}s"),
        (h, m) => format!("{sign}{h}h{m}m{seconds}s"),
    }
}
