//! Refuses oversized queries in one pass over the bytes, before anything recursive sees them.

use crate::ast::Span;
use crate::error::ParseError;

pub const MAX_BYTES: usize = 16 * 1024;
pub const MAX_DEPTH: usize = 100;
pub const MAX_OPERATORS: usize = 1000;

/// How deep parentheses nest and how many operators there are; bounds the recursion of everything that follows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extent {
    pub depth: usize,
    pub operators: usize,
}

/// Measures a query.
///
/// # Errors
/// When it is longer than 16 KiB, nests deeper than 100 or has more than 1000 operators.
pub fn check(text: &str) -> Result<Extent, ParseError> {
    if text.len() > MAX_BYTES {
        return Err(ParseError::at(text, Span::default(), format!("query is longer than {MAX_BYTES} bytes ({} bytes)", text.len())));
    }
    let bytes = text.as_bytes();
    let mut extent = Extent::default();
    let mut depth = 0usize;
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        match bytes[at] {
            quote @ (b'"' | b'\'' | b'`') => {
                at += 1;
                while at < bytes.len() && bytes[at] != quote {
                    at += if bytes[at] == b'\\' && quote != b'`' { 2 } else { 1 };
                }
            }
            b'#' => at += bytes[at..].iter().position(|b| *b == b'\n').unwrap_or(bytes.len() - at),
            b'(' | b'[' | b'{' => {
                depth += 1;
                extent.depth = extent.depth.max(depth);
                if depth > MAX_DEPTH {
                    return Err(ParseError::at(text, Span::new(at, at + 1), format!("query nests deeper than {MAX_DEPTH}")));
                }
            }
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b'+' | b'-' | b'*' | b'/' | b'%' | b'^' | b'<' | b'>' | b'@' => extent.operators += 1,
            b'=' | b'!' if bytes.get(at + 1) == Some(&b'=') => {
                extent.operators += 1;
                at += 1;
            }
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => {
                while at < bytes.len() && (bytes[at].is_ascii_alphanumeric() || bytes[at] == b'_' || bytes[at] == b':') {
                    at += 1;
                }
                let word = &text[start..at];
                if ["and", "or", "unless", "atan2", "offset", "anchored", "smoothed"].iter().any(|w| w.eq_ignore_ascii_case(word)) {
                    extent.operators += 1;
                }
                at -= 1;
            }
            // A subquery follows its expression without nesting in the text, but nests in the tree.
            b':' => extent.operators += 1,
            _ => {}
        }
        if extent.operators > MAX_OPERATORS {
            return Err(ParseError::at(text, Span::new(start, start + 1), format!("query has more than {MAX_OPERATORS} operators")));
        }
        at += 1;
    }
    Ok(extent)
}
