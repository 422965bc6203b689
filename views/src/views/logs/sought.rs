//! What of a filter the source can look for among all lines that are held; the newest thousand alone are a few minutes of a busy platform.

use super::Logs;
use crate::view::Cx;
use watchfire_model::reading::LogQuery;

/// A part of a text that is shorter than this is in most lines.
const SHORTEST: usize = 3;
impl Logs {
    /// What is asked for: among all lines that are held, with those round each hit where they are wanted.
    pub(super) fn query(&self, cx: &Cx<'_>) -> LogQuery {
        let filter = cx.filter;
        let query = LogQuery {
            service: filter.equal("service").map(str::to_owned).or_else(|| self.service.clone()),
            severity: super::SEVERITIES[self.severity].map(str::to_owned),
            limit: Some(super::LIMIT),
            ..LogQuery::default()
        };
        let least = query.severity.or_else(|| match () {
            () if filter.has_word("error") => Some("ERROR".to_owned()),
            () if cx.faults_only => Some("WARN".to_owned()),
            () => None,
        });
        let words = filter.words().into_iter().filter(|word| *word != "error" && word.len() >= SHORTEST);
        let body = ["body", "message"].into_iter().find_map(|field| {
            let exactly = filter.equal(field).map(str::to_owned);
            exactly.or_else(|| filter.pattern(field).and_then(literal))
        });
        LogQuery {
            context: Some(self.context).filter(|context| *context > 0 && !self.patterns),
            severity: least,
            word: words.max_by_key(|word| word.len()).map(str::to_owned),
            contains: body,
            trace_id: filter.equal("trace").filter(|id| id.len() == 32).map(str::to_owned),
            ..query
        }
    }
}

/// The longest text that whatever matches a pattern must hold; `None` where that is not easy to say.
fn literal(pattern: &str) -> Option<String> {
    let flags =
        pattern.strip_prefix("(?").and_then(|rest| rest.split_once(')')).filter(|(flags, _)| flags.chars().all(char::is_alphabetic));
    // Where blanks mean nothing, what is read here is not what is meant.
    if flags.is_some_and(|(flags, _)| flags.contains('x')) {
        return None;
    }
    let mut rest = flags.map_or(pattern, |(_, rest)| rest).chars();
    let (mut pieces, mut piece) = (Vec::new(), String::new());
    while let Some(c) = rest.next() {
        match c {
            '\\' => match rest.next()? {
                // A character by its number, or a class by its name.
                'x' | 'u' | 'U' | 'p' | 'P' => return None,
                // A class or a place, such as `\s` and `\b`.
                class if class.is_alphanumeric() => pieces.push(std::mem::take(&mut piece)),
                sign => piece.push(sign),
            },
            '.' | '^' | '$' | '+' => pieces.push(std::mem::take(&mut piece)),
            '*' | '?' => {
                piece.pop();
                pieces.push(std::mem::take(&mut piece));
            }
            '|' | '(' | ')' | '[' | ']' | '{' | '}' => return None,
            c => piece.push(c),
        }
    }
    pieces.push(piece);
    pieces.into_iter().filter(|piece| piece.len() >= SHORTEST).max_by_key(String::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_pattern_cannot_do_without_is_found_where_that_is_sure() {
        for (pattern, part) in [
            ("time.?out", Some("time")),
            ("(?s)^\\s*user\\s+.*\\s+logged\\s+in", Some("logged")),
            (r"C:\\temp\.log", Some(r"C:\temp.log")),
            ("colou?rs", Some("colo")),
            ("ab+cde", Some("cde")),
            ("a|timeout", None),
            ("(timeout)?", None),
            ("[abc]timeout", None),
            ("a.b", None),
            (r"\x41bort", None),
            (r"\pLetter", None),
            ("(?ix)time out", None),
            ("(?i)Timeout", Some("Timeout")),
            ("", None),
        ] {
            assert_eq!(literal(pattern).as_deref(), part, "{pattern}");
        }
    }
}
