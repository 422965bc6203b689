//! Text 0.0.4 and 1.0.0, read as leniently as Prometheus reads it (`model/textparse`): blanks almost anywhere, repeated metadata,
//! a missing last line feed, several registries one after the other.

use super::line::{is_blank, lossy, series_length, skip_blanks, utf8};
use super::number::{parse_float, parse_millis};
use super::{Guess, ParseError, Recipient, Which};
use watchfire_model::MetricKind;

/// Reads a whole body.
///
/// # Errors
/// At the first line that Prometheus would refuse; what the recipient got so far is then to be thrown away.
pub fn walk<R: Recipient>(body: &[u8], recipient: &mut R) -> Result<(), ParseError> {
    let mut at = 0;
    while at < body.len() {
        at = match recipient.guess(&body[at..]) {
            Guess::Series { length, entry } => finish(body, at + length, Which::Entry(entry), recipient),
            Guess::Comment(length) => Ok(at + length),
            Guess::None => read_line(body, at, recipient),
        }
        .map_err(|e| e.at(body, at))?;
    }
    Ok(())
}

fn read_line<R: Recipient>(body: &[u8], start: usize, recipient: &mut R) -> Result<usize, ParseError> {
    let at = skip_blanks(body, start);
    match body.get(at) {
        None => Ok(at),
        Some(b'\n') => Ok(at + 1),
        Some(b'\r') if body.get(at + 1) == Some(&b'\n') => Ok(at + 2),
        Some(b'#') => {
            let end = memchr::memchr(b'\n', &body[at..]).map_or(body.len(), |n| at + n);
            comment(&body[at + 1..end], recipient)?;
            let next = (end + 1).min(body.len());
            // `# EOF` ends a page in OpenMetrics; a target that changes its format must not have it skipped.
            if body[next - 1] == b'\n' && !body[at..end].starts_with(b"# EOF") {
                recipient.comment(&body[start..next]);
            }
            Ok(next)
        }
        Some(_) => {
            let length = series_length(&body[at..])?;
            finish(body, at + length, Which::Text(&body[at..at + length]), recipient)
        }
    }
}

/// Value, optional timestamp, end of line; `at` is behind the series text.
#[inline]
fn finish<R: Recipient>(body: &[u8], at: usize, which: Which<'_>, recipient: &mut R) -> Result<usize, ParseError> {
    let start = skip_blanks(body, at);
    let end = token_end(body, start);
    let value =
        parse_float(&body[start..end]).ok_or_else(|| ParseError::syntax(format!("{:?} is not a value", lossy(&body[start..end]))))?;
    if let Some(b'\n') = body.get(end) {
        recipient.sample(which, value, None)?;
        return Ok(end + 1);
    }
    let start = skip_blanks(body, end);
    let end = token_end(body, start);
    let at = match &body[start..end] {
        b"" => None,
        digits => Some(
            parse_millis(digits).ok_or_else(|| ParseError::syntax(format!("{:?} is not a timestamp in milliseconds", lossy(digits))))?,
        ),
    };
    let mut end = skip_blanks(body, end);
    if body.get(end) == Some(&b'\r') {
        end += 1;
    }
    match body.get(end) {
        None | Some(b'\n') => {
            recipient.sample(which, value, at)?;
            Ok((end + 1).min(body.len()))
        }
        Some(_) => Err(ParseError::syntax("text after the sample")),
    }
}

#[inline]
fn token_end(body: &[u8], start: usize) -> usize {
    let mut end = start;
    while end < body.len() && body[end] > b' ' {
        end += 1;
    }
    end
}

fn comment<R: Recipient>(text: &[u8], recipient: &mut R) -> Result<(), ParseError> {
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    if !text.first().is_some_and(|b| is_blank(*b)) {
        return Ok(());
    }
    let (keyword, rest) = word(text);
    match keyword {
        // Without anything behind it, it is a word like any other.
        b"TYPE" | b"HELP" if skip_blanks(rest, 0) == rest.len() => {}
        b"TYPE" => {
            let (name, rest) = family(rest)?;
            let (kind, rest) = word(rest);
            if skip_blanks(rest, 0) < rest.len() {
                return Err(ParseError::syntax(format!("text after the metric type: {:?}", lossy(rest))));
            }
            recipient.kind(&name, kind_of(kind)?);
        }
        b"HELP" => {
            let (name, rest) = family(rest)?;
            recipient.help(&name, &super::line::unescape(&rest[skip_blanks(rest, 0)..])?);
        }
        _ => {}
    }
    Ok(())
}

fn kind_of(word: &[u8]) -> Result<MetricKind, ParseError> {
    Ok(match word {
        b"counter" => MetricKind::Counter,
        b"gauge" => MetricKind::Gauge,
        b"histogram" => MetricKind::Histogram,
        b"summary" => MetricKind::Summary,
        b"untyped" | b"unknown" => MetricKind::Unknown,
        b"info" => MetricKind::Info,
        b"stateset" => MetricKind::StateSet,
        b"gaugehistogram" => MetricKind::GaugeHistogram,
        other => return Err(ParseError::syntax(format!("invalid metric type {:?}", lossy(other)))),
    })
}

fn word(text: &[u8]) -> (&[u8], &[u8]) {
    let start = skip_blanks(text, 0);
    let end = text[start..].iter().position(|b| is_blank(*b)).map_or(text.len(), |n| start + n);
    (&text[start..end], &text[end..])
}

/// A family name, plain or quoted.
fn family(text: &[u8]) -> Result<(std::borrow::Cow<'_, str>, &[u8]), ParseError> {
    let start = skip_blanks(text, 0);
    if text.get(start) == Some(&b'"') {
        let end = super::line::string_end(text, start)?;
        return Ok((super::line::unescape(&text[start + 1..end - 1])?, &text[end..]));
    }
    let (name, rest) = word(text);
    if name.is_empty() { Err(ParseError::syntax("a metric name is expected in the comment")) } else { Ok((utf8(name)?, rest)) }
}
