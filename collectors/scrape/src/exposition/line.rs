//! The parts of a sample line that the text formats share: where the series text ends, and what labels it holds.

use super::ParseError;
use std::borrow::Cow;

/// Labels of a series in the order of the text; the metric name is the label `__name__`. Empty values are kept: they matter to `honor_labels`.
pub type Pairs<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

pub(super) fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

pub(super) fn skip_blanks(text: &[u8], mut at: usize) -> usize {
    while at < text.len() && is_blank(text[at]) {
        at += 1;
    }
    at
}

/// The length of the series text (`name`, `name{...}` or `{...}`) at the start of `rest`.
///
/// # Errors
/// When a brace or a quote is not closed, or there is no name.
pub fn series_length(rest: &[u8]) -> Result<usize, ParseError> {
    let name_end = rest.iter().position(|b| matches!(b, b'{' | b' ' | b'\t' | b'\n' | b'\r')).unwrap_or(rest.len());
    let brace = skip_blanks(rest, name_end);
    if rest.get(brace) != Some(&b'{') {
        return if name_end == 0 { Err(ParseError::syntax("a metric name is expected")) } else { Ok(name_end) };
    }
    let mut at = brace + 1;
    loop {
        let step = memchr::memchr3(b'"', b'}', b'\n', &rest[at..]).ok_or_else(|| ParseError::syntax("a brace is not closed"))?;
        match rest[at + step] {
            b'}' => return Ok(at + step + 1),
            b'"' => at = string_end(rest, at + step)?,
            _ => return Err(ParseError::syntax("a brace is not closed")),
        }
    }
}

/// The position behind the string whose opening quote is at `open`.
pub(super) fn string_end(text: &[u8], open: usize) -> Result<usize, ParseError> {
    let mut at = open + 1;
    loop {
        let step = text
            .get(at..)
            .and_then(|rest| memchr::memchr2(b'"', b'\\', rest))
            .ok_or_else(|| ParseError::syntax("a quote is not closed"))?;
        match text[at + step] {
            b'"' => return Ok(at + step + 1),
            _ => at += step + 2,
        }
    }
}

/// Reads a series text into labels.
///
/// # Errors
/// On anything Prometheus refuses: bad names, bad UTF-8, missing values, repeated names, no metric name.
pub fn parse_series(text: &[u8]) -> Result<Pairs<'_>, ParseError> {
    let name_end = text.iter().position(|b| *b == b'{' || is_blank(*b)).unwrap_or(text.len());
    let mut pairs = Pairs::with_capacity(8);
    if name_end > 0 {
        if !is_metric_name(&text[..name_end]) {
            return Err(ParseError::syntax(format!("{:?} is not a metric name; quote it inside the braces", lossy(&text[..name_end]))));
        }
        pairs.push((Cow::Borrowed("__name__"), utf8(&text[..name_end])?));
    }
    let brace = skip_blanks(text, name_end);
    if brace < text.len() {
        let end = parse_labels(text, brace, true, &mut pairs)?;
        if end != text.len() {
            return Err(ParseError::syntax("text after the labels"));
        }
    }
    match pairs.first() {
        Some((name, value)) if name == "__name__" && !value.is_empty() => {}
        _ => return Err(ParseError::syntax("the sample has no metric name")),
    }
    for (index, (name, _)) in pairs.iter().enumerate() {
        if pairs[..index].iter().any(|(other, _)| other == name) {
            return Err(ParseError::syntax(format!("label name {name:?} is not unique")));
        }
    }
    Ok(pairs)
}

/// Reads a label set with its braces, as an exemplar has it.
///
/// # Errors
/// When it is not one.
pub fn parse_label_set(text: &[u8]) -> Result<Pairs<'_>, ParseError> {
    let mut pairs = Pairs::new();
    let end = parse_labels(text, 0, false, &mut pairs)?;
    if end == text.len() { Ok(pairs) } else { Err(ParseError::syntax("text after the labels")) }
}

/// Reads `{name="value",...}` from the brace at `open`; gives the position behind the closing one.
/// With `metric`, a quoted string without a value is the metric name.
pub(super) fn parse_labels<'a>(text: &'a [u8], open: usize, metric: bool, pairs: &mut Pairs<'a>) -> Result<usize, ParseError> {
    let mut at = skip_blanks(text, open + 1);
    loop {
        match text.get(at) {
            None => return Err(ParseError::syntax("a brace is not closed")),
            Some(b'}') => return Ok(at + 1),
            Some(_) => {}
        }
        let quoted = text[at] == b'"';
        let name = if quoted {
            let end = string_end(text, at)?;
            let name = unescape(&text[at + 1..end - 1])?;
            at = end;
            name
        } else {
            let end =
                at + text[at..].iter().position(|b| !(b.is_ascii_alphanumeric() || *b == b'_' || *b == b':')).unwrap_or(text.len() - at);
            if !is_label_name(&text[at..end]) {
                return Err(ParseError::syntax(format!("a label name is expected, not {:?}", lossy(&text[at..(at + 20).min(text.len())]))));
            }
            let name = utf8(&text[at..end])?;
            at = end;
            name
        };
        at = skip_blanks(text, at);
        if quoted && metric && matches!(text.get(at), Some(b',' | b'}')) {
            if pairs.iter().any(|(n, _)| n == "__name__") {
                return Err(ParseError::syntax("the metric name is given twice"));
            }
            pairs.insert(0, (Cow::Borrowed("__name__"), name));
        } else {
            if text.get(at) != Some(&b'=') {
                return Err(ParseError::syntax(format!("label {name:?} has no value")));
            }
            at = skip_blanks(text, at + 1);
            if text.get(at) != Some(&b'"') {
                return Err(ParseError::syntax(format!("the value of label {name:?} is not quoted")));
            }
            if name.is_empty() {
                return Err(ParseError::syntax("a label has no name"));
            }
            let end = string_end(text, at)?;
            pairs.push((name, unescape(&text[at + 1..end - 1])?));
            at = skip_blanks(text, end);
        }
        match text.get(at) {
            Some(b',') => at = skip_blanks(text, at + 1),
            Some(b'}') => {}
            // Prometheus does not miss the comma, and exporters that forget it work with it.
            Some(_) if metric => {}
            _ => return Err(ParseError::syntax("a comma or a closing brace is expected after a label")),
        }
    }
}

/// `\\`, `\"` and `\n`; any other backslash stands for itself, as in Prometheus.
pub(super) fn unescape(text: &[u8]) -> Result<Cow<'_, str>, ParseError> {
    let text = std::str::from_utf8(text).map_err(|_| ParseError::syntax("invalid UTF-8"))?;
    if !text.contains('\\') {
        return Ok(Cow::Borrowed(text));
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('\\', Some('\\' | '"')) => out.extend(chars.next()),
            ('\\', Some('n')) => {
                chars.next();
                out.push('\n');
            }
            _ => out.push(c),
        }
    }
    Ok(Cow::Owned(out))
}

/// Writes a series text that [`parse_series`] reads back.
pub fn write_series<'a>(out: &mut Vec<u8>, name: &str, labels: impl Iterator<Item = (&'a str, &'a str)>) {
    out.clear();
    let plain = is_metric_name(name.as_bytes());
    if plain {
        out.extend_from_slice(name.as_bytes());
    }
    let mut open = false;
    if !plain {
        out.push(b'{');
        quote(out, name);
        open = true;
    }
    for (name, value) in labels {
        out.push(if open { b',' } else { b'{' });
        open = true;
        if is_label_name(name.as_bytes()) {
            out.extend_from_slice(name.as_bytes())
        } else {
            quote(out, name)
        }
        out.push(b'=');
        quote(out, value);
    }
    if open {
        out.push(b'}');
    }
}

fn quote(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'\\' | b'"' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

pub(super) fn utf8(text: &[u8]) -> Result<Cow<'_, str>, ParseError> {
    std::str::from_utf8(text).map(Cow::Borrowed).map_err(|_| ParseError::syntax("invalid UTF-8"))
}

pub(super) fn lossy(text: &[u8]) -> String {
    String::from_utf8_lossy(&text[..text.len().min(100)]).into_owned()
}

pub(super) fn is_metric_name(name: &[u8]) -> bool {
    name.first().is_some_and(|b| !b.is_ascii_digit()) && name.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_' || *b == b':')
}

pub(super) fn is_label_name(name: &[u8]) -> bool {
    is_metric_name(name) && !name.contains(&b':')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Vec<(String, String)>, String> {
        parse_series(text.as_bytes())
            .map(|p| p.into_iter().map(|(n, v)| (n.into_owned(), v.into_owned())).collect())
            .map_err(|e| e.to_string())
    }

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn series_of_real_exporters_are_read() {
        for (text, expected) in [
            ("up", &[("__name__", "up")][..]),
            ("a:b:c{}", &[("__name__", "a:b:c")]),
            ("m{a=\"b\"}", &[("__name__", "m"), ("a", "b")]),
            ("m{a=\"b\",}", &[("__name__", "m"), ("a", "b")]),
            ("m{a=\"b\" c=\"d\"e=\"f\"}", &[("__name__", "m"), ("a", "b"), ("c", "d"), ("e", "f")]),
            ("m { a = \"b\" , c=\"\" }", &[("__name__", "m"), ("a", "b"), ("c", "")]),
            (r#"m{p="C:\\DIR",e="\"quoted\"\n",q="\d"}"#, &[("__name__", "m"), ("p", "C:\\DIR"), ("e", "\"quoted\"\n"), ("q", "\\d")]),
            (r#"{"http.server.duration"}"#, &[("__name__", "http.server.duration")]),
            (r#"{"my.metric","k8s.pod"="x",b="y"}"#, &[("__name__", "my.metric"), ("k8s.pod", "x"), ("b", "y")]),
            (r#"m{a="}",b="{"}"#, &[("__name__", "m"), ("a", "}"), ("b", "{")]),
        ] {
            assert_eq!(read(text), Ok(pairs(expected)), "{text}");
            assert_eq!(series_length(format!("{text} 1").as_bytes()), Ok(text.len()), "{text}");
        }
    }

    #[test]
    fn broken_series_are_refused() {
        for text in [
            "",
            "{}",
            "{a=\"b\"}",
            "1m",
            "m{a=\"b\"",
            "m{a=b}",
            "m{a}",
            "m{1a=\"b\"}",
            "m{a=\"1\",a=\"2\"}",
            "m{a:b=\"c\"}",
            "m{,}",
            "m{\"n\"}",
            "m{\"\"=\"a\"}",
            "m{a=\"b\" ,,}",
            "m{a=\"b\" +}",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        assert!(parse_series(b"m{a=\"\xff\"}").is_err());
        assert!(parse_label_set(b"{a=\"b\" c=\"d\"}").is_err(), "an exemplar is of OpenMetrics, which wants the comma");
    }

    proptest! {
        #[test]
        fn any_labels_survive_writing_and_reading(name in "\\PC{1,12}", labels in proptest::collection::btree_map("\\PC{1,8}", any::<String>(), 0..5)) {
            prop_assume!(!labels.contains_key("__name__"));
            let mut text = Vec::new();
            write_series(&mut text, &name, labels.iter().map(|(n, v)| (n.as_str(), v.as_str())));
            let back = parse_series(&text).unwrap();
            prop_assert_eq!(back[0].1.as_ref(), name.as_str());
            let rest: std::collections::BTreeMap<String, String> = back[1..].iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
            prop_assert_eq!(rest, labels);
        }

        #[test]
        fn any_bytes_are_read_or_refused_without_panic(text in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = series_length(&text);
            let _ = parse_series(&text);
        }
    }
}
