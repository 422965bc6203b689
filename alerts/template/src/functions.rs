//! The functions of alert templates: Go's builtins, those Prometheus adds and those Alertmanager adds.

use super::float::float_general;
use super::format::sprintf;
use super::text::{html, js, lower, query_escape, split_host_port, strip_domain, title, title_case, unescape, upper, url_path};
use super::time::{between, in_zone, layout, moment};
use super::value::{ListKind, MapKind, SAMPLE, TemplateValue};
use super::{Dialect, Environment, humanize, time};
use regex::Regex;
use std::collections::BTreeMap;
use std::rc::Rc;
use watchfire_model::parse_duration;

type Outcome = Result<TemplateValue, String>;

/// What a parameter accepts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Parameter {
    Any,
    Str,
    Sample,
    /// What `query` returns.
    Vector,
    Strings,
    Time,
}

pub(super) struct Function {
    name: &'static str,
    /// Nothing for what both have.
    dialect: Option<Dialect>,
    pub parameters: &'static [Parameter],
    /// More arguments of any type may follow.
    pub variadic: bool,
}

const fn function(name: &'static str, parameters: &'static [Parameter], variadic: bool) -> Function {
    Function { name, dialect: None, parameters, variadic }
}

const fn of_rules(name: &'static str, parameters: &'static [Parameter], variadic: bool) -> Function {
    Function { name, dialect: Some(Dialect::Rule), parameters, variadic }
}

const fn of_receivers(name: &'static str, parameters: &'static [Parameter], variadic: bool) -> Function {
    Function { name, dialect: Some(Dialect::Receiver), parameters, variadic }
}

use Parameter::{Any, Str, Strings, Vector};
#[rustfmt::skip]
const FUNCTIONS: [Function; 56] = [
    // Handled where they are executed: they do not evaluate every argument. Prometheus has `tmpl` too, but for its console pages only.
    function("and", &[Any], true), function("or", &[Any], true),
    function("not", &[Any], false), function("len", &[Any], false), function("index", &[Any], true), function("slice", &[Any], true),
    function("print", &[], true), function("println", &[], true), function("printf", &[Str], true),
    function("html", &[], true), function("js", &[], true), function("urlquery", &[], true), function("call", &[Any], true),
    function("eq", &[Any], true), function("ne", &[Any, Any], false),
    function("lt", &[Any, Any], false), function("le", &[Any, Any], false),
    function("gt", &[Any, Any], false), function("ge", &[Any, Any], false),
    function("reReplaceAll", &[Str, Str, Str], false), function("match", &[Str, Str], false),
    function("safeHtml", &[Str], false), function("title", &[Str], false), function("toUpper", &[Str], false), function("toLower", &[Str], false),
    function("humanizeDuration", &[Any], false),

    of_rules("query", &[Str], false), of_rules("first", &[Vector], false), of_rules("label", &[Str, Parameter::Sample], false),
    of_rules("value", &[Parameter::Sample], false), of_rules("strvalue", &[Parameter::Sample], false),
    of_rules("sortByLabel", &[Str, Vector], false), of_rules("args", &[], true),
    of_rules("graphLink", &[Str], false), of_rules("tableLink", &[Str], false),
    of_rules("stripPort", &[Str], false), of_rules("stripDomain", &[Str], false),
    of_rules("humanize", &[Any], false), of_rules("humanize1024", &[Any], false),
    of_rules("humanizePercentage", &[Any], false), of_rules("humanizeTimestamp", &[Any], false),
    of_rules("toTime", &[Any], false), of_rules("toDuration", &[Any], false), of_rules("now", &[], false),
    of_rules("pathPrefix", &[], false), of_rules("externalURL", &[], false), of_rules("parseDuration", &[Str], false),
    of_rules("urlQueryEscape", &[Str], false),

    of_receivers("join", &[Str, Strings], false), of_receivers("stringSlice", &[], true), of_receivers("trimSpace", &[Str], false),
    of_receivers("date", &[Str, Parameter::Time], false), of_receivers("tz", &[Str, Parameter::Time], false),
    of_receivers("since", &[Parameter::Time], false), of_receivers("urlUnescape", &[Str], false), of_receivers("safeUrl", &[Str], false),
];

pub(super) fn lookup(name: &str, dialect: Dialect) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|f| f.name == name && f.dialect.is_none_or(|d| d == dialect))
}

impl Parameter {
    /// What is written in the template itself is refused in other words than a value. `words` are those of the template.
    pub fn accepts_constant(self, words: &dyn Fn() -> String, value: &TemplateValue) -> Result<(), String> {
        match (self, self.accepts(value)) {
            (_, Ok(())) => Ok(()),
            (Str, _) => Err(format!("expected string; found {}", words())),
            _ => Err(format!("can't handle {} for arg of type {}", words(), self.type_name())),
        }
    }

    fn type_name(self) -> &'static str {
        match self {
            Any => "interface {}",
            Str => "string",
            Parameter::Sample => SAMPLE,
            Vector => "template.queryResult",
            Strings => "[]string",
            Parameter::Time => "time.Time",
        }
    }

    pub fn accepts(self, value: &TemplateValue) -> Result<(), String> {
        match (self, value) {
            (Any, _) | (Str, TemplateValue::Str(_)) | (Parameter::Time, TemplateValue::Time(_)) => Ok(()),
            (Parameter::Sample, TemplateValue::Record(record)) if record.type_name == SAMPLE => Ok(()),
            (Vector, TemplateValue::List { kind: ListKind::QueryResult, .. } | TemplateValue::Nil) => Ok(()),
            (Strings, TemplateValue::List { kind: ListKind::Strings, .. }) => Ok(()),
            (Str | Parameter::Time, TemplateValue::Nil) => Err(format!("cannot assign nil to {}", self.type_name())),
            _ => Err(format!("wrong type for value; expected {}; got {}", self.type_name(), value.type_name())),
        }
    }
}

/// What a function with so many arguments accepts; whatever follows may be anything.
pub(super) fn parameters(name: &str, given: usize, environment: &Environment<'_>) -> Result<&'static [Parameter], String> {
    let function = lookup(name, environment.dialect).ok_or_else(|| format!("function {name:?} not defined"))?;
    let least = function.parameters.len();
    if given < least || (!function.variadic && given > least) {
        let at_least = if function.variadic { "at least " } else { "" };
        return Err(format!("wrong number of args for {name}: want {at_least}{least} got {given}"));
    }
    Ok(function.parameters)
}

/// Calls a function with arguments that it accepts. `and` and `or` do not come here.
pub(super) fn call(name: &str, arguments: &[TemplateValue], environment: &Environment<'_>) -> Outcome {
    apply(name, arguments, environment).map_err(|e| format!("error calling {name}: {e}"))
}

fn str_of(value: &TemplateValue) -> &str {
    match value {
        TemplateValue::Str(s) => s,
        _ => "",
    }
}

fn apply(name: &str, a: &[TemplateValue], environment: &Environment<'_>) -> Outcome {
    let text = |s: String| Ok(TemplateValue::text(s));
    match name {
        "not" => Ok(TemplateValue::Bool(!a[0].truth())),
        "len" => length(&a[0]),
        "index" => a[1..].iter().try_fold(a[0].clone(), |from, key| index(&from, key)),
        "slice" => slice(a),
        "print" => text(print(a)),
        "println" => {
            let words: Vec<String> = a.iter().map(TemplateValue::print).collect();
            text(format!("{}\n", words.join(" ")))
        }
        "printf" => text(sprintf(str_of(&a[0]), &a[1..])?),
        "html" => text(html(&escapable(a))),
        "js" => text(js(&escapable(a))),
        "urlquery" => text(query_escape(&escapable(a))),
        // There are no values that are functions.
        "call" => Err(format!("non-function of type {}", a[0].type_name())),
        "eq" => {
            if a.len() < 2 {
                return Err("missing argument for comparison".to_owned());
            }
            for other in &a[1..] {
                if equal(&a[0], other)? {
                    return Ok(TemplateValue::Bool(true));
                }
            }
            Ok(TemplateValue::Bool(false))
        }
        "ne" => equal(&a[0], &a[1]).map(|e| TemplateValue::Bool(!e)),
        "lt" => less(&a[0], &a[1]).map(TemplateValue::Bool),
        "le" => Ok(TemplateValue::Bool(less(&a[0], &a[1])? || equal(&a[0], &a[1])?)),
        "gt" => Ok(TemplateValue::Bool(!(less(&a[0], &a[1])? || equal(&a[0], &a[1])?))),
        "ge" => less(&a[0], &a[1]).map(|l| TemplateValue::Bool(!l)),
        "query" => query(str_of(&a[0]), environment),
        "first" => match &a[0] {
            TemplateValue::List { items, .. } if !items.is_empty() => Ok(items[0].clone()),
            _ => Err("first() called on vector with no elements".to_owned()),
        },
        "label" => sample_label(&a[1], str_of(&a[0])),
        "strvalue" => sample_label(&a[0], "__value__"),
        "value" => a[0].field("Value"),
        "sortByLabel" => sort_by_label(str_of(&a[0]), &a[1]),
        "args" => {
            let entries: BTreeMap<String, TemplateValue> = a.iter().enumerate().map(|(i, v)| (format!("arg{i}"), v.clone())).collect();
            Ok(TemplateValue::Map { entries: Rc::new(entries), kind: MapKind::Any })
        }
        "reReplaceAll" => text(regex(str_of(&a[0]))?.replace_all(str_of(&a[2]), str_of(&a[1])).into_owned()),
        "match" => Ok(TemplateValue::Bool(regex(str_of(&a[0]))?.is_match(str_of(&a[1])))),
        "safeHtml" => Ok(TemplateValue::SafeHtml(Rc::from(str_of(&a[0])))),
        "title" if environment.dialect == Dialect::Receiver => text(title_case(str_of(&a[0]))),
        "title" => text(title(str_of(&a[0]))),
        "toUpper" => text(str_of(&a[0]).chars().map(upper).collect()),
        "toLower" => text(str_of(&a[0]).chars().map(lower).collect()),
        "graphLink" => text(format!("/graph?g0.expr={}&g0.tab=0", query_escape(str_of(&a[0])))),
        "tableLink" => text(format!("/graph?g0.expr={}&g0.tab=1", query_escape(str_of(&a[0])))),
        "stripPort" => text(split_host_port(str_of(&a[0])).map_or_else(|| str_of(&a[0]).to_owned(), |(host, _)| host.to_owned())),
        "stripDomain" => text(strip_domain(str_of(&a[0]))),
        "humanize" => text(humanize::humanize(number(&a[0])?)),
        "humanize1024" => text(humanize::humanize_1024(number(&a[0])?)),
        "humanizeDuration" => text(humanize::humanize_duration(number(&a[0])?)),
        "humanizePercentage" => text(humanize::humanize_percentage(number(&a[0])?)),
        "humanizeTimestamp" => {
            let v = number(&a[0])?;
            text(if v.is_finite() { time::text(&moment(milliseconds(v)?)) } else { float_general(v, 4) })
        }
        "toTime" => Ok(TemplateValue::Time(moment(milliseconds(number(&a[0])?)?))),
        "toDuration" => Ok(TemplateValue::Duration(nanos(number(&a[0])?)?)),
        "now" => Ok(TemplateValue::Float(environment.at.seconds())),
        "pathPrefix" => text(url_path(environment.external_url).to_owned()),
        "externalURL" => text(environment.external_url.to_owned()),
        "parseDuration" if str_of(&a[0]).is_empty() => Err("empty duration string".to_owned()),
        "parseDuration" => parse_duration(str_of(&a[0])).map(|d| TemplateValue::Float(d.as_secs_f64())).map_err(|e| e.to_string()),
        "urlQueryEscape" => text(query_escape(str_of(&a[0]))),
        "join" => match &a[1] {
            TemplateValue::List { items, .. } => text(items.iter().map(TemplateValue::print).collect::<Vec<_>>().join(str_of(&a[0]))),
            _ => Ok(TemplateValue::Missing),
        },
        "stringSlice" => match a.iter().find(|v| !matches!(v, TemplateValue::Str(_))) {
            None => Ok(TemplateValue::strings(a.iter().map(TemplateValue::print))),
            Some(other) => Err(format!("wrong type for value; expected string; got {}", other.type_name())),
        },
        "trimSpace" => text(str_of(&a[0]).trim().to_owned()),
        "date" | "tz" | "since" => match a.last() {
            Some(TemplateValue::Time(at)) if name == "date" => text(layout(at, str_of(&a[0]))),
            Some(TemplateValue::Time(at)) if name == "tz" => in_zone(str_of(&a[0]), at).map(TemplateValue::Time),
            Some(TemplateValue::Time(at)) => {
                let now = moment(environment.at.millis().saturating_mul(1_000_000));
                Ok(TemplateValue::Duration(between(&now, at)))
            }
            _ => Ok(TemplateValue::Missing),
        },
        "urlUnescape" => unescape(str_of(&a[0])).map(TemplateValue::text),
        "safeUrl" => Ok(a[0].clone()),
        other => Err(format!("function {other:?} not defined")),
    }
}

/// What the escaping functions escape.
fn escapable(arguments: &[TemplateValue]) -> String {
    match arguments {
        [TemplateValue::Nil | TemplateValue::Missing] => "<no value>".to_owned(),
        _ => print(arguments),
    }
}

/// Go's `Sprint`: a space between operands when neither is a string.
fn print(arguments: &[TemplateValue]) -> String {
    let mut out = String::new();
    let mut previous_text = true;
    for (i, argument) in arguments.iter().enumerate() {
        let is_text = matches!(argument, TemplateValue::Str(_));
        if i > 0 && !is_text && !previous_text {
            out.push(' ');
        }
        out.push_str(&argument.print());
        previous_text = is_text;
    }
    out
}

fn length(value: &TemplateValue) -> Outcome {
    let length = match value {
        TemplateValue::Str(s) => s.len(),
        TemplateValue::Map { entries, .. } => entries.len(),
        TemplateValue::List { items, .. } => items.len(),
        other => return Err(format!("len of type {}", other.type_name())),
    };
    Ok(TemplateValue::Int(length as i64))
}

fn index(from: &TemplateValue, key: &TemplateValue) -> Outcome {
    let position = |length: usize| match key {
        TemplateValue::Int(i) => usize::try_from(*i).ok().filter(|i| *i < length).ok_or_else(|| format!("index out of range: {i}")),
        TemplateValue::Nil | TemplateValue::Missing => Err("cannot index slice/array with nil".to_owned()),
        other => Err(format!("cannot index slice/array with type {}", other.type_name())),
    };
    match from {
        TemplateValue::Map { .. } => match key {
            TemplateValue::Str(name) => from.field(name),
            other => Err(format!("value has type {}; should be string", other.type_name())),
        },
        TemplateValue::List { items, .. } => Ok(items[position(items.len())?].clone()),
        TemplateValue::Str(s) => Ok(TemplateValue::Int(i64::from(s.as_bytes()[position(s.len())?]))),
        TemplateValue::Nil | TemplateValue::Missing => Err("index of untyped nil".to_owned()),
        other => Err(format!("can't index item of type {}", other.type_name())),
    }
}

fn slice(a: &[TemplateValue]) -> Outcome {
    let length = match &a[0] {
        TemplateValue::Str(s) => s.len(),
        TemplateValue::List { items, .. } => items.len(),
        TemplateValue::Nil | TemplateValue::Missing => return Err("slice of untyped nil".to_owned()),
        other => return Err(format!("can't slice item of type {}", other.type_name())),
    };
    let bound = |i: usize, default: usize| match a.get(i) {
        None => Ok(default),
        Some(TemplateValue::Int(n)) => usize::try_from(*n).ok().filter(|n| *n <= length).ok_or_else(|| format!("index out of range: {n}")),
        Some(other) => Err(format!("cannot index slice/array with type {}", other.type_name())),
    };
    let (from, to) = (bound(1, 0)?, bound(2, length)?);
    if from > to {
        return Err(format!("invalid slice index: {from} > {to}"));
    }
    match &a[0] {
        TemplateValue::Str(s) => Ok(TemplateValue::text(String::from_utf8_lossy(&s.as_bytes()[from..to]))),
        TemplateValue::List { items, kind } => Ok(TemplateValue::List { items: items[from..to].into(), kind: *kind }),
        _ => Ok(TemplateValue::Missing),
    }
}

fn equal(x: &TemplateValue, y: &TemplateValue) -> Result<bool, String> {
    use TemplateValue::{Bool, Duration, Float, Int, Missing, Nil, Str};
    match (x, y) {
        (Bool(x), Bool(y)) => Ok(x == y),
        (Int(x) | Duration(x), Int(y) | Duration(y)) => Ok(x == y),
        (Float(x), Float(y)) => Ok(x == y),
        (Str(x), Str(y)) => Ok(x == y),
        (Nil | Missing, Nil | Missing) => Ok(true),
        (Nil | Missing, _) | (_, Nil | Missing) => Ok(false),
        (Bool(_) | Int(_) | Float(_) | Str(_), Bool(_) | Int(_) | Float(_) | Str(_)) => Err("incompatible types for comparison".to_owned()),
        _ => Err(format!("non-comparable types {}: {}, {}: {}", x.print(), x.type_name(), y.type_name(), y.print())),
    }
}

fn less(x: &TemplateValue, y: &TemplateValue) -> Result<bool, String> {
    use TemplateValue::{Duration, Float, Int, Str};
    match (x, y) {
        (Int(x) | Duration(x), Int(y) | Duration(y)) => Ok(x < y),
        (Float(x), Float(y)) => Ok(x < y),
        (Str(x), Str(y)) => Ok(x < y),
        (Int(_) | Float(_) | Str(_), Int(_) | Float(_) | Str(_)) => Err("incompatible types for comparison".to_owned()),
        _ => Err("invalid type for comparison".to_owned()),
    }
}

fn query(expression: &str, environment: &Environment<'_>) -> Outcome {
    let vector = (environment.query)(expression)?;
    let items = vector.into_iter().map(|(labels, value)| TemplateValue::sample(&labels, value)).collect();
    Ok(TemplateValue::List { items, kind: ListKind::QueryResult })
}

fn sample_label(sample: &TemplateValue, name: &str) -> Outcome {
    sample.field("Labels")?.field(name)
}

fn sort_by_label(label: &str, list: &TemplateValue) -> Outcome {
    let TemplateValue::List { items, kind } = list else { return Ok(list.clone()) };
    let mut items = items.to_vec();
    items.sort_by_key(|item| sample_label(item, label).map(|v| v.print()).unwrap_or_default());
    Ok(TemplateValue::List { items: items.into(), kind: *kind })
}

fn regex(pattern: &str) -> Result<Regex, String> {
    watchfire_model::go_regex(pattern).map_err(|e| format!("regexp: {e}"))
}

/// What the humanizing functions take: numbers, texts that read as one, durations.
fn number(value: &TemplateValue) -> Result<f64, String> {
    match value {
        TemplateValue::Float(f) => Ok(*f),
        TemplateValue::Int(i) => Ok(*i as f64),
        TemplateValue::Duration(nanos) => Ok(*nanos as f64 / 1e9),
        TemplateValue::Str(s) => match s.to_ascii_lowercase().trim_start_matches(['+', '-']) {
            "inf" | "infinity" if s.starts_with('-') => Ok(f64::NEG_INFINITY),
            "inf" | "infinity" => Ok(f64::INFINITY),
            "nan" => Ok(f64::NAN),
            _ => s.parse().map_err(|_| format!("strconv.ParseFloat: parsing {:?}: invalid syntax", &**s)),
        },
        other => Err(format!("can't convert {} to float", other.type_name())),
    }
}

fn nanos(seconds: f64) -> Result<i64, String> {
    let nanos = seconds * 1e9;
    if nanos.is_finite() && nanos.abs() < i64::MAX as f64 { Ok(nanos as i64) } else { Err(format!("{seconds} is out of range")) }
}

/// Nanoseconds of a point in time, which in Prometheus has nothing finer than milliseconds.
fn milliseconds(seconds: f64) -> Result<i64, String> {
    nanos(seconds).map(|nanos| nanos / 1_000_000 * 1_000_000)
}
