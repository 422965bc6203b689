//! What template functions make of a text: its case, its parts, its escapes.

use unicode_segmentation::UnicodeSegmentation;

/// One character for one, as Go has it: what would become two stays.
pub(super) fn upper(c: char) -> char {
    let mut mapped = c.to_uppercase();
    mapped.next().filter(|_| mapped.next().is_none()).unwrap_or(c)
}

pub(super) fn lower(c: char) -> char {
    let mut mapped = c.to_lowercase();
    mapped.next().filter(|_| mapped.next().is_none()).unwrap_or(c)
}

/// Upper case for each letter that starts a word; a word starts behind anything that is no letter, digit or underscore.
pub(super) fn title(text: &str) -> String {
    let mut previous = ' ';
    text.chars()
        .map(|c| {
            let boundary =
                if previous.is_ascii() { !(previous.is_ascii_alphanumeric() || previous == '_') } else { previous.is_whitespace() };
            previous = c;
            if boundary { upper(c) } else { c }
        })
        .collect()
}

/// As Alertmanager has it: words by Unicode's rules, the first letter of each large and the others small.
pub(super) fn title_case(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split_word_bounds() {
        let at = word.find(char::is_alphabetic).unwrap_or(word.len());
        let first = word[at..].chars().next().map_or(0, char::len_utf8);
        let mut large = word[at..at + first].chars().flat_map(char::to_uppercase);
        out.push_str(&word[..at]);
        out.extend(large.next());
        out.extend(large.flat_map(char::to_lowercase));
        out.push_str(&word[at + first..].to_lowercase());
    }
    out
}

/// Go's `net.SplitHostPort`: host without brackets, port.
pub(super) fn split_host_port(text: &str) -> Option<(&str, &str)> {
    let (host, port) = text.rsplit_once(':')?;
    if let Some(inner) = host.strip_prefix('[') {
        let inner = inner.strip_suffix(']')?;
        return (!inner.contains(['[', ']']) && !port.contains(['[', ']'])).then_some((inner, port));
    }
    (!host.contains([':', '[', ']']) && !port.contains(['[', ']'])).then_some((host, port))
}

pub(super) fn strip_domain(text: &str) -> String {
    let (host, port) = split_host_port(text).unwrap_or((text, ""));
    if host.parse::<std::net::IpAddr>().is_ok() {
        return text.to_owned();
    }
    let first = host.split('.').next().unwrap_or("");
    if port.is_empty() { first.to_owned() } else { format!("{first}:{port}") }
}

pub(super) fn url_path(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = rest.find('/').map_or("", |i| &rest[i..]);
    path.split(['?', '#']).next().unwrap_or("")
}

/// Go's `url.QueryEscape`.
pub fn query_escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for b in text.bytes() {
        match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(b as char),
            b' ' => out.push('+'),
            b => out.push_str(&format!("%{b:02X}")),
        }
    }
    out
}

/// Go's `url.PathUnescape`.
pub(super) fn unescape(text: &str) -> Result<String, String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            out.push(*first);
            continue;
        }
        let byte = after.get(..2).and_then(|h| u8::from_str_radix(std::str::from_utf8(h).ok()?, 16).ok());
        out.push(byte.ok_or_else(|| {
            format!("invalid URL escape {:?}", String::from_utf8_lossy(&text.as_bytes()[text.len() - after.len() - 1..]))
        })?);
        rest = &after[2..];
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}

pub(super) fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '\0' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

pub(super) fn js(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\'' => out.push_str("\\'"),
            '"' => out.push_str("\\\""),
            '<' | '>' | '&' | '=' => out.push_str(&format!("\\u{:04X}", c as u32)),
            c if (c as u32) < 0x20 => out.push_str(&format!("\\u{:04X}", c as u32)),
            c => out.push(c),
        }
    }
    out
}
