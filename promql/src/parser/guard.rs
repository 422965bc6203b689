//! Refuses oversized queries in one pass over the bytes, before anything recursive sees them.

use crate::ast::Span;
use crate::error::ParseError;

/// How large an expression may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpressionLimits {
    pub bytes: usize,
    /// Nesting of parentheses, brackets and braces; never more than 1000, whatever is asked for.
    pub depth: usize,
    /// Never more than 1000, whatever is asked for.
    pub operators: usize,
}

/// What the stack that trees are walked on is made for.
const SAFE: usize = 1000;

impl Default for ExpressionLimits {
    fn default() -> Self {
        ExpressionLimits { bytes: 16 * 1024, depth: 100, operators: SAFE }
    }
}

/// How deep parentheses nest and how many operators there are; bounds the recursion of everything that follows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extent {
    pub depth: usize,
    pub operators: usize,
}

/// Measures a query.
///
/// # Errors
/// When it is longer, nests deeper or has more operators than the limits allow.
pub fn check(text: &str, limits: ExpressionLimits) -> Result<Extent, ParseError> {
    let (max_depth, max_operators) = (limits.depth.min(SAFE), limits.operators.min(SAFE));
    if text.len() > limits.bytes {
        let message = format!("query is longer than {} bytes ({} bytes)", limits.bytes, text.len());
        return Err(ParseError::at(text, Span::default(), message));
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
                if depth > max_depth {
                    return Err(ParseError::at(text, Span::new(at, at + 1), format!("query nests deeper than {max_depth}")));
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
        if extent.operators > max_operators {
            return Err(ParseError::at(text, Span::new(start, start + 1), format!("query has more than {max_operators} operators")));
        }
        at += 1;
    }
    Ok(extent)
}
