//! OpenMetrics 1.0: single blanks, seconds, exemplars, `# UNIT`, and `# EOF` at the end. One fault anywhere refuses the whole body.

use super::line::{Pairs, lossy, parse_labels, series_length, string_end, unescape, utf8};
use super::number::{parse_float, parse_seconds};
use super::{ExemplarText, Guess, ParseError, Recipient, Which};
use std::borrow::Cow;
use watchfire_model::MetricKind;

/// Reads a whole body.
///
/// # Errors
/// At the first fault, when `# EOF` is missing, or when text follows it.
pub fn walk<R: Recipient>(body: &[u8], recipient: &mut R) -> Result<(), ParseError> {
    let mut at = 0;
    while at < body.len() {
        let line = at;
        let next = match recipient.guess(&body[at..]) {
            Guess::Series { length, entry } => finish(body, at + length, Which::Entry(entry), recipient),
            Guess::Comment(length) => Ok(at + length),
            Guess::None if body[at] == b'#' => {
                let end = memchr::memchr(b'\n', &body[at..]).map_or(body.len(), |n| at + n);
                if &body[at..end] == b"# EOF" {
                    return if end + 1 >= body.len() { Ok(()) } else { Err(ParseError::syntax("text after # EOF").at(body, end + 1)) };
                }
                let done =
                    comment(&body[at..end], recipient).and_then(|()| if end == body.len() { Err(ParseError::NoEnd) } else { Ok(end + 1) });
                if let Ok(next) = done {
                    recipient.comment(&body[line..next]);
                }
                done
            }
            Guess::None => {
                series_length(&body[at..]).and_then(|length| finish(body, at + length, Which::Text(&body[at..at + length]), recipient))
            }
        };
        at = next.map_err(|e| e.at(body, line))?;
    }
    Err(ParseError::NoEnd)
}

/// ` value [timestamp] [ # {labels} value [timestamp]]` and the line feed.
#[inline]
fn finish<R: Recipient>(body: &[u8], at: usize, which: Which<'_>, recipient: &mut R) -> Result<usize, ParseError> {
    let (token, end) = token_at(body, at)?;
    let value = parse_float(token).ok_or_else(|| ParseError::syntax(format!("{:?} is not a value", lossy(token))))?;
    if let Some(b'\n') = body.get(end) {
        recipient.sample(which, value, None)?;
        return Ok(end + 1);
    }
    let (time, end) = time(body, end)?;
    let mut end = end;
    let mut exemplar = None;
    if body[end..].starts_with(b" # {") {
        let open = end + 3;
        let mut labels = Pairs::new();
        let close = parse_labels(body, open, false, &mut labels)?;
        let (token, value_end) = token_at(body, close)?;
        let value = parse_float(token).ok_or_else(|| ParseError::syntax(format!("{:?} is not the value of an exemplar", lossy(token))))?;
        let (at, exemplar_end) = self::time(body, value_end)?;
        exemplar = Some(ExemplarText { labels: &body[open..close], value, at });
        end = exemplar_end;
    }
    match body.get(end) {
        Some(b'\n') => {}
        None => return Err(ParseError::NoEnd),
        Some(_) => return Err(ParseError::syntax("text after the sample")),
    }
    let entry = recipient.sample(which, value, time)?;
    if let Some(exemplar) = exemplar {
        recipient.exemplar(entry, exemplar);
    }
    Ok(end + 1)
}

/// An optional timestamp after one blank; none when an exemplar or the line's end follows.
fn time(body: &[u8], at: usize) -> Result<(Option<i64>, usize), ParseError> {
    if body.get(at) != Some(&b' ') || body.get(at + 1) == Some(&b'#') {
        return Ok((None, at));
    }
    let (token, end) = token_at(body, at)?;
    let millis = parse_seconds(token).ok_or_else(|| ParseError::syntax(format!("{:?} is not a timestamp in seconds", lossy(token))))?;
    Ok((Some(millis), end))
}

/// The token behind exactly one blank.
#[inline]
fn token_at(body: &[u8], at: usize) -> Result<(&[u8], usize), ParseError> {
    if body.get(at) != Some(&b' ') {
        return Err(ParseError::syntax("one blank and a value are expected"));
    }
    let start = at + 1;
    let mut end = start;
    while end < body.len() && body[end] > b' ' {
        end += 1;
    }
    if end == start { Err(ParseError::syntax("a value is expected behind one blank")) } else { Ok((&body[start..end], end)) }
}

fn comment<R: Recipient>(line: &[u8], recipient: &mut R) -> Result<(), ParseError> {
    let Some((keyword, rest)) = line.strip_prefix(b"# ").and_then(|l| split_blank(l)) else {
        return Err(ParseError::syntax(format!("{:?} is neither HELP, TYPE, UNIT nor EOF", lossy(line))));
    };
    let (name, text) = family(rest)?;
    match keyword {
        b"TYPE" => recipient.kind(&name, kind_of(text)?),
        b"HELP" => recipient.help(&name, &unescape(text)?),
        b"UNIT" => {
            let unit = utf8(text)?;
            if !unit.is_empty() && !name.strip_suffix(&*unit).is_some_and(|n| n.ends_with('_')) {
                return Err(ParseError::syntax(format!("unit {unit:?} is not a suffix of metric {name:?}")));
            }
            recipient.unit(&name, &unit);
        }
        other => return Err(ParseError::syntax(format!("{:?} is neither HELP, TYPE, UNIT nor EOF", lossy(other)))),
    }
    Ok(())
}

fn split_blank(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let blank = memchr::memchr(b' ', text)?;
    Some((&text[..blank], &text[blank + 1..]))
}

fn family(text: &[u8]) -> Result<(Cow<'_, str>, &[u8]), ParseError> {
    let (name, rest) = if text.first() == Some(&b'"') {
        let end = string_end(text, 0)?;
        (unescape(&text[1..end - 1])?, &text[end..])
    } else {
        let end = memchr::memchr(b' ', text).unwrap_or(text.len());
        (utf8(&text[..end])?, &text[end..])
    };
    if name.is_empty() {
        return Err(ParseError::syntax("a metric name is expected in the comment"));
    }
    Ok((name, rest.strip_prefix(b" ").unwrap_or(rest)))
}

fn kind_of(word: &[u8]) -> Result<MetricKind, ParseError> {
    Ok(match word {
        b"counter" => MetricKind::Counter,
        b"gauge" => MetricKind::Gauge,
        b"histogram" => MetricKind::Histogram,
        b"gaugehistogram" => MetricKind::GaugeHistogram,
        b"summary" => MetricKind::Summary,
        b"info" => MetricKind::Info,
        b"stateset" => MetricKind::StateSet,
        b"unknown" => MetricKind::Unknown,
        other => return Err(ParseError::syntax(format!("invalid metric type {:?}", lossy(other)))),
    })
}
