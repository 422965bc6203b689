//! Script text to commands.

use super::series::{Sample, parse_series, parse_starts};
use regex::Regex;
use std::time::Duration;
use watchfire_model::{Labels, Timestamp, parse_duration};

pub enum Command {
    Clear,
    Load(Load),
    Eval(Box<Eval>),
}

/// Series to load, one sample every `gap`.
pub struct Load {
    pub gap: Duration,
    /// Also as native histograms with custom buckets.
    pub with_nhcb: bool,
    pub series: Vec<Loaded>,
}

/// One series to load. A start timestamp is a distance in milliseconds from its sample.
pub struct Loaded {
    pub labels: Labels,
    pub values: Vec<Option<Sample>>,
    pub starts: Vec<Option<i64>>,
}

#[derive(Clone, Copy, Debug)]
pub enum When {
    Instant(Timestamp),
    Range { start: Timestamp, end: Timestamp, step: Duration },
}

/// What a message must be.
#[derive(Clone, Debug)]
pub enum Message {
    Any,
    Exactly(String),
    Matching(Regex),
}

impl Message {
    pub fn accepts(&self, text: &str) -> bool {
        match self {
            Message::Any => true,
            // Scripts of Prometheus before 3.11 expect annotations without their positions.
            Message::Exactly(wanted) => wanted == text || wanted == without_position(text),
            Message::Matching(regex) => regex.is_match(text),
        }
    }
}

/// An annotation without the ` (line:column)` at its end.
fn without_position(text: &str) -> &str {
    let is_position =
        |inner: &str| inner.split_once(':').is_some_and(|(line, column)| line.parse::<usize>().is_ok() && column.parse::<usize>().is_ok());
    match text.rsplit_once(" (") {
        Some((before, after)) if after.strip_suffix(')').is_some_and(is_position) => before,
        _ => text,
    }
}

/// What an evaluation is expected to give.
#[derive(Debug, Default)]
pub struct Expected {
    pub ordered: bool,
    pub fail: Option<Message>,
    pub warn: Vec<Message>,
    pub info: Vec<Message>,
    pub no_warn: bool,
    pub no_info: bool,
    pub scalar: Option<f64>,
    pub text: Option<String>,
    pub series: Vec<(Labels, Vec<Option<Sample>>)>,
    /// Times of an expected range vector.
    pub range_vector: Option<(Timestamp, Timestamp, Duration)>,
}

pub struct Eval {
    pub expr: String,
    pub when: When,
    pub expected: Expected,
}

/// A command that could not be read.
pub struct Problem {
    pub is_eval: bool,
    pub subject: String,
    pub message: String,
}

/// All commands with their lines.
pub fn read(text: &str) -> Vec<(usize, Result<Command, Problem>)> {
    let lines: Vec<&str> = text.lines().map(str::trim).map(|l| if l.starts_with('#') { "" } else { l }).collect();
    let mut out = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at];
        let number = at + 1;
        at += 1;
        if line.is_empty() {
            continue;
        }
        let word = line.split_whitespace().next().unwrap_or("").to_ascii_lowercase();
        let body_start = at;
        if word.starts_with("load") || word.starts_with("eval") {
            while at < lines.len() && !lines[at].is_empty() {
                at += 1;
            }
        }
        let body = &lines[body_start..at];
        let command = if word == "clear" {
            Ok(Command::Clear)
        } else if word.starts_with("load") {
            read_load(line, body).map(Command::Load).map_err(|message| (false, message))
        } else if word.starts_with("eval") {
            read_eval(line, body).map(|eval| Command::Eval(Box::new(eval))).map_err(|message| (true, message))
        } else {
            Err((false, format!("invalid command {line:?}")))
        };
        out.push((number, command.map_err(|(is_eval, message)| Problem { is_eval, subject: line.to_owned(), message })));
    }
    out
}

fn read_load(line: &str, body: &[&str]) -> Result<Load, String> {
    let mut words = line.split_whitespace();
    let with_nhcb = match words.next() {
        Some("load") => false,
        Some("load_with_nhcb") => true,
        other => return Err(format!("unknown load command {other:?}")),
    };
    let gap = duration(words.next().ok_or("load needs a step")?)?;
    Ok(Load { gap, with_nhcb, series: read_loaded(body)? })
}

/// The series of a `load`. One that comes twice counts as described last; start timestamps go before what they belong to.
fn read_loaded(body: &[&str]) -> Result<Vec<Loaded>, String> {
    let mut series: Vec<Loaded> = Vec::new();
    let mut default: Vec<Option<i64>> = Vec::new();
    let mut waiting: Option<(Labels, Vec<Option<i64>>)> = None;
    for line in body {
        if let Some(rest) = line.strip_prefix("@st") {
            default = parse_starts(rest)?;
            continue;
        }
        let described = parse_series(line)?;
        if let Some(starts) = described.starts {
            if let Some((labels, _)) = waiting.replace((described.labels, starts)) {
                return Err(format!("no samples follow the start timestamps of {labels}"));
            }
            continue;
        }
        let (labels, values) = (described.labels, described.values);
        let starts = match waiting.take() {
            Some((of, _)) if of != labels => return Err(format!("start timestamps of {of} come before samples of {labels}")),
            Some((_, starts)) if starts.len() != values.len() => {
                return Err(format!("{labels} has {} samples and {} start timestamps", values.len(), starts.len()));
            }
            Some((_, starts)) => starts,
            None => default.iter().copied().cycle().take(if default.is_empty() { 0 } else { values.len() }).collect(),
        };
        series.retain(|other| other.labels != labels);
        series.push(Loaded { labels, values, starts });
    }
    match waiting {
        Some((labels, _)) => Err(format!("no samples follow the start timestamps of {labels}")),
        None => Ok(series),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|e| e.to_string())
}

fn time(text: &str) -> Result<Timestamp, String> {
    Ok(Timestamp(0).saturating_add(duration(text)?))
}

/// The next word and the rest.
fn word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    match text.find(char::is_whitespace) {
        Some(end) => (&text[..end], text[end..].trim_start()),
        None => (text, ""),
    }
}

fn keyword<'a>(text: &'a str, wanted: &str) -> Result<&'a str, String> {
    let (found, rest) = word(text);
    if found == wanted { Ok(rest) } else { Err(format!("expected {wanted:?}, found {found:?}")) }
}

fn read_eval(line: &str, body: &[&str]) -> Result<Eval, String> {
    let mut expected = Expected::default();
    let (command, rest) = word(line);
    match command {
        "eval" => {}
        "eval_fail" => expected.fail = Some(Message::Any),
        "eval_warn" => expected.warn.push(Message::Any),
        "eval_info" => expected.info.push(Message::Any),
        "eval_ordered" => expected.ordered = true,
        other => return Err(format!("unknown command {other:?}")),
    }
    let (kind, rest) = word(rest);
    let (when, expr) = match kind {
        "instant" => {
            let (at, rest) = word(keyword(rest, "at")?);
            (When::Instant(time(at)?), rest)
        }
        "range" => {
            let (start, rest) = word(keyword(rest, "from")?);
            let (end, rest) = word(keyword(rest, "to")?);
            let (step, rest) = word(keyword(rest, "step")?);
            (When::Range { start: time(start)?, end: time(end)?, step: duration(step)? }, rest)
        }
        other => return Err(format!("expected \"instant\" or \"range\", found {other:?}")),
    };
    for line in body {
        read_expectation(line, &mut expected)?;
    }
    if !expected.warn.is_empty() && expected.no_warn || !expected.info.is_empty() && expected.no_info {
        return Err("contradicting expect lines".to_owned());
    }
    let is_instant = matches!(when, When::Instant(_));
    if is_instant && expected.range_vector.is_none() && expected.series.iter().any(|(_, values)| values.len() > 1) {
        return Err("an instant evaluation has one value for each series".to_owned());
    }
    if !is_instant && (expected.ordered || expected.range_vector.is_some() || expected.text.is_some()) {
        return Err("only an instant evaluation has an order, a string or a range vector as its result".to_owned());
    }
    Ok(Eval { expr: expr.to_owned(), when, expected })
}

fn read_expectation(line: &str, expected: &mut Expected) -> Result<(), String> {
    let (first, rest) = word(line);
    if first == "expected_fail_message" {
        expected.fail = Some(Message::Exactly(rest.to_owned()));
        return Ok(());
    }
    if first == "expected_fail_regexp" {
        expected.fail = Some(Message::Matching(Regex::new(rest).map_err(|e| e.to_string())?));
        return Ok(());
    }
    if first == "expect" {
        let (kind, rest) = word(rest);
        match kind {
            "range" => {
                let (start, rest) = word(keyword(keyword(rest, "vector")?, "from")?);
                let (end, rest) = word(keyword(rest, "to")?);
                let step = keyword(rest, "step")?;
                expected.range_vector = Some((time(start)?, time(end)?, duration(step)?));
            }
            "string" => expected.text = Some(string_literal(rest)?),
            "ordered" => expected.ordered = true,
            "fail" => expected.fail = Some(message(rest)?),
            "warn" => expected.warn.push(message(rest)?),
            "info" => expected.info.push(message(rest)?),
            "no_warn" => expected.no_warn = true,
            "no_info" => expected.no_info = true,
            other => return Err(format!("invalid expected error/annotation type {other}")),
        }
        return Ok(());
    }
    if let Some(value) = super::series::parse_number(line) {
        expected.scalar = Some(value);
        return Ok(());
    }
    let described = parse_series(line)?;
    if described.values.is_empty() {
        return Err(format!("no value expected in {line:?}"));
    }
    expected.series.push((described.labels, described.values));
    Ok(())
}

fn message(text: &str) -> Result<Message, String> {
    if text.is_empty() {
        Ok(Message::Any)
    } else if let Some(text) = text.strip_prefix("msg:") {
        Ok(Message::Exactly(text.trim().to_owned()))
    } else if let Some(text) = text.strip_prefix("regex:") {
        Ok(Message::Matching(Regex::new(text.trim()).map_err(|e| format!("invalid regex: {e}"))?))
    } else {
        Err(format!("invalid token {text:?}, expected msg: or regex:"))
    }
}

fn string_literal(text: &str) -> Result<String, String> {
    match crate::query::Query::parse(text).map(|q| q.expr().unwrap_parens().clone()) {
        Ok(crate::ast::Expr::Text { value, .. }) => Ok(value),
        _ => Err("expected string literal not valid - a quoted string literal is required".to_owned()),
    }
}
