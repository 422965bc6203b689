//! The notation of series: `metric{label="value"} 1 2+3x4 _ stale {{schema:0 count:1}}+{{count:1}}x3`, and start timestamps
//! (`metric@st -1m -30s-1mx2`, or `@st` alone for all series that follow) as distances from each sample.

use super::literal::read_literal;
use crate::ast::Expr;
use crate::histogram::arithmetic::{add, subtract};
use std::sync::Arc;
use watchfire_model::{Labels, LabelsBuilder, NativeHistogram, ORDINARY_NAN, STALE_NAN, parse_duration};

/// One value of a sequence.
#[derive(Clone, Debug, PartialEq)]
pub enum Sample {
    Float(f64),
    Histogram { histogram: Arc<NativeHistogram>, hint_given: bool },
}

/// A described series: a value per step, `None` for a gap.
#[derive(Clone, Debug)]
pub struct Described {
    pub labels: Labels,
    pub values: Vec<Option<Sample>>,
    /// Set when the line gives start timestamps: milliseconds relative to each sample.
    pub starts: Option<Vec<Option<i64>>>,
}

/// Parses one line.
///
/// # Errors
/// What could not be read.
pub fn parse_series(line: &str) -> Result<Described, String> {
    let (labels, rest) = parse_labels(line)?;
    if let Some(rest) = rest.strip_prefix("@st") {
        return Ok(Described { labels, values: Vec::new(), starts: Some(parse_starts(rest)?) });
    }
    let values = expand(rest, &|text, _| sample_values(text))?;
    Ok(Described { labels, values, starts: None })
}

/// Parses a sequence of start timestamps; `*` repeats the one before.
///
/// # Errors
/// What could not be read.
pub fn parse_starts(text: &str) -> Result<Vec<Option<i64>>, String> {
    expand(text, &|word, before| match word.strip_prefix('*') {
        Some(times) => {
            let last = before.iter().rev().flatten().next().ok_or("* repeats nothing: no start timestamp comes before it")?;
            let times = match times.strip_prefix('x') {
                Some(n) => count(n)?,
                None if times.is_empty() => 1,
                None => return Err(format!("unexpected {word:?} among start timestamps")),
            };
            Ok(vec![*last; times])
        }
        None => start_values(word),
    })
}

/// The labels a line begins with, and the rest.
fn parse_labels(line: &str) -> Result<(Labels, &str), String> {
    let (selector, end) = crate::parser::parse_selector_prefix(line).map_err(|e| e.to_string())?;
    let Expr::Vector(selector) = selector else { return Err(format!("no metric in {line:?}")) };
    let mut builder = LabelsBuilder::new();
    for m in &selector.matchers {
        if m.op != watchfire_model::MatchOp::Equal {
            return Err(format!("unexpected matcher {m} in a series description"));
        }
        builder.set(&m.name, &m.value);
    }
    Ok((builder.build(), &line[end..]))
}

/// Reads one item, knowing what came before it.
type Item<'a, T> = dyn Fn(&str, &[Option<T>]) -> Result<Vec<T>, String> + 'a;

/// Splits at spaces outside of histogram literals and expands each item.
fn expand<T: Clone>(text: &str, item: &Item<'_, T>) -> Result<Vec<Option<T>>, String> {
    let mut out: Vec<Option<T>> = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() && !rest.starts_with('#') {
        let mut depth = 0;
        let end = rest
            .char_indices()
            .find(|(_, c)| {
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    _ => {}
                }
                c.is_whitespace() && depth <= 0
            })
            .map_or(rest.len(), |(i, _)| i);
        let word = &rest[..end];
        if let Some(times) = word.strip_prefix('_') {
            let times = match times.strip_prefix('x') {
                Some(n) => count(n)?,
                None if times.is_empty() => 1,
                None => return Err(format!("unexpected {word:?} in a series")),
            };
            out.resize(out.len() + times, None);
        } else {
            let values = item(word, &out)?;
            out.extend(values.into_iter().map(Some));
        }
        if out.len() > 1_000_000 {
            return Err("series is longer than a million values".to_owned());
        }
        rest = rest[end..].trim_start();
    }
    Ok(out)
}

fn count(text: &str) -> Result<usize, String> {
    text.parse::<usize>().ok().filter(|n| *n <= 1_000_000).ok_or_else(|| format!("invalid repetition {text:?}"))
}

/// `a`, `axN`, `a+bxN`, `a-bxN` of floats or histograms.
fn sample_values(word: &str) -> Result<Vec<Sample>, String> {
    if word.starts_with("{{") {
        return histogram_values(word);
    }
    let (value, increment, times) = progression(word, &take_sample)?;
    // By repeated addition, so that rounding is that of the notation's definition.
    let mut current = value;
    let mut out = vec![Sample::Float(current)];
    for _ in 0..times {
        current += increment.unwrap_or(0.0);
        out.push(Sample::Float(if increment.is_some() { current } else { value }));
    }
    Ok(out)
}

fn histogram_values(word: &str) -> Result<Vec<Sample>, String> {
    let literal_end = |text: &str| text.find("}}").map(|i| i + 2).ok_or_else(|| format!("histogram without end in {word:?}"));
    let end = literal_end(word)?;
    let (base, hint_given) = read_literal(&word[..end])?;
    let mut rest = &word[end..];
    let mut increment = None;
    let mut sign = '+';
    if let Some(first) = rest.chars().next().filter(|c| matches!(c, '+' | '-')) {
        sign = first;
        rest = &rest[1..];
        let end = literal_end(rest)?;
        increment = Some(read_literal(&rest[..end])?.0);
        rest = &rest[end..];
    }
    let times = match rest.strip_prefix('x') {
        Some(n) => count(n)?,
        None if rest.is_empty() && increment.is_none() => 0,
        None => return Err(format!("unexpected {rest:?} after a histogram")),
    };
    let sample = |h: &NativeHistogram| Sample::Histogram { histogram: Arc::new(h.clone()), hint_given };
    let mut current = base;
    let mut out = vec![sample(&current)];
    for _ in 0..times {
        if let Some(increment) = &increment {
            let outcome = if sign == '+' { add(&mut current, increment) } else { subtract(&mut current, increment) };
            outcome.map_err(|_| "histograms with exponential and custom buckets cannot be combined".to_owned())?;
        }
        out.push(sample(&current));
    }
    Ok(out)
}

/// The value a word begins with, and the rest of the word.
type Take<'a, T> = dyn for<'w> Fn(&'w str) -> Option<(T, &'w str)> + 'a;

/// Splits `a±bxN`: value, increment if written, and how often it repeats.
fn progression<T: std::ops::Neg<Output = T>>(word: &str, take: &Take<'_, T>) -> Result<(T, Option<T>, usize), String> {
    let fail = || format!("invalid value {word:?} in a series");
    let (value, rest) = take(word).ok_or_else(fail)?;
    let (increment, rest) = match rest.as_bytes().first() {
        // The sign is the increment's own; it has no second one.
        Some(b'+' | b'-') => take(rest).map(|(increment, rest)| (Some(increment), rest)).ok_or_else(fail)?,
        _ => (None, rest),
    };
    match rest.strip_prefix('x') {
        Some(n) => Ok((value, increment, count(n)?)),
        None if rest.is_empty() && increment.is_none() => Ok((value, None, 0)),
        None => Err(fail()),
    }
}

fn start_values(word: &str) -> Result<Vec<i64>, String> {
    fn take(text: &str) -> Option<(i64, &str)> {
        let (negative, digits) = signed(text);
        let (duration, rest) = digits.split_at(digits.find(['+', '-', 'x']).unwrap_or(digits.len()));
        let millis = i64::try_from(parse_duration(duration).ok()?.as_millis()).ok()?;
        Some((if negative { -millis } else { millis }, rest))
    }
    let (value, increment, times) = progression(word, &take)?;
    Ok((0..=times as i64).map(|i| value + i * increment.unwrap_or(0)).collect())
}

/// A sample as Prometheus's lexer takes it: decimal, or a word by itself. `x` repeats, so hexadecimal is not read here and `NaNx3` is one word.
fn take_sample(text: &str) -> Option<(f64, &str)> {
    let (negative, digits) = signed(text);
    // The bits of a stale marker would not survive arithmetic.
    let with_sign = |value: f64| if negative { -value } else { value };
    let word = digits.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | ':')).unwrap_or(digits.len());
    if digits.starts_with(|c: char| c.is_ascii_alphabetic()) {
        let value = match &digits[..word] {
            "stale" if digits.len() == text.len() => STALE_NAN,
            word if word.eq_ignore_ascii_case("nan") => ORDINARY_NAN,
            word if word.eq_ignore_ascii_case("inf") => f64::INFINITY,
            _ => return None,
        };
        return Some((with_sign(value), &digits[word..]));
    }
    let run = |from: usize| digits[from..].bytes().take_while(u8::is_ascii_digit).count() + from;
    let mut end = run(0);
    if digits[end..].starts_with('.') {
        end = run(end + 1);
    }
    if digits[end..].starts_with(['e', 'E']) {
        end = run(end + 1 + usize::from(digits[end + 1..].starts_with(['+', '-'])));
    }
    let value: f64 = digits[..end].parse().ok()?;
    value.is_finite().then(|| (with_sign(value), &digits[end..]))
}

/// Whether a minus stands before it, and what stands behind the sign.
fn signed(text: &str) -> (bool, &str) {
    match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    }
}

/// A number as Go reads it: `0x1f`, `1e3`, `Inf`, `NaN`.
pub fn parse_number(text: &str) -> Option<f64> {
    let (negative, digits) = signed(text);
    let lower = digits.to_ascii_lowercase();
    let value = match lower.as_str() {
        "inf" | "infinity" => f64::INFINITY,
        "nan" => ORDINARY_NAN,
        _ if lower.starts_with("0x") => u64::from_str_radix(&lower[2..], 16).ok()? as f64,
        _ if !lower.starts_with(|c: char| c.is_ascii_digit() || c == '.') => return None,
        _ => lower.parse().ok()?,
    };
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(text: &str) -> Result<Vec<Option<f64>>, String> {
        Ok(parse_series(text)?
            .values
            .into_iter()
            .map(|v| match v {
                Some(Sample::Float(f)) => Some(f),
                _ => None,
            })
            .collect())
    }

    #[test]
    fn sequences_are_expanded() -> Result<(), String> {
        assert_eq!(floats("m 1+2x2 _ 5x1 -1-1x1")?, [Some(1.0), Some(3.0), Some(5.0), None, Some(5.0), Some(5.0), Some(-1.0), Some(-2.0)]);
        assert_eq!(floats("m{a=\"b\"} 0x2 _x2")?, [Some(0.0), Some(0.0), Some(0.0), None, None]);
        assert_eq!(parse_series("m@st _ -30s-1mx2 0")?.starts, Some(vec![None, Some(-30_000), Some(-90_000), Some(-150_000), Some(0)]));
        assert_eq!(parse_starts("_x2 -1s *x2 _ *")?, [None, None, Some(-1000), Some(-1000), Some(-1000), None, Some(-1000)]);
        assert!(parse_starts("_ *").is_err());
        assert_eq!(floats("m +Inf -inf 1e-3x0 .5 5.")?, [f64::INFINITY, f64::NEG_INFINITY, 0.001, 0.5, 5.0].map(Some));
        assert_eq!(floats("m -1.5e+2-0.5x1")?, [Some(-150.0), Some(-150.5)]);
        Ok(())
    }

    /// What promtool 2.42 refuses, each asked of it.
    #[test]
    fn sequences_are_read_as_strictly_as_by_prometheus() -> Result<(), String> {
        for bad in [
            "1+x", "stalex3", "NaNx3", "infx2", "-Infx2", "1+NaNx3", "0x1F", "0xF", "0x1+1x2", "1+0x1x2", "1+-1x2", "1--1x2", "1+1", "--1",
            "1e400", "1e", "Infinity", "1x3x2", "1x-1", "1x1.5", "x3", "5m", "1_000", "-stale", "é", "1é",
        ] {
            assert!(parse_series(&format!("m {bad}")).is_err(), "{bad} is read");
        }
        assert_eq!(floats("m 0x1")?, [Some(0.0), Some(0.0)]);
        assert!(floats("m stale 1")?[0].is_some_and(watchfire_model::is_stale), "a stale marker keeps its bits");
        assert!(floats("m stale+1x2")?[1].is_some_and(f64::is_nan));
        Ok(())
    }
}
