//! Query text to tokens. Words stay words: whether `sum` is an aggregation or a metric is decided by what follows it.

use super::quote::unquote;
use crate::ast::Span;
use crate::error::ParseError;

#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    End,
    Word,
    /// A number or a duration; the value is in seconds for durations.
    Number(f64),
    Duration(f64),
    Text(String),
    Symbol(&'static str),
}

/// A token and where it stands.
#[derive(Clone, Debug)]
pub struct Lexeme {
    pub token: Token,
    pub span: Span,
}

/// Longest first.
const SYMBOLS: [&str; 30] = [
    "==", "=~", "!=", "!~", "<=", ">=", "</", ">/", "(", ")", "{", "}", "[", "]", ",", "+", "-", "*", "/", "%", "^", "=", "<", ">", "@",
    ":", ";", "!", "~", "?",
];

const AGGREGATORS_AND_KEYWORDS: [&str; 26] = [
    "offset",
    "smoothed",
    "anchored",
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "bool",
    "fill",
    "fill_left",
    "fill_right",
    "start",
    "end",
    "step",
    "range",
    "and",
    "or",
    "unless",
    "atan2",
    "inf",
    "nan",
    "max_of",
    "min_of",
    "limitk",
];

pub struct Lexer<'a> {
    pub text: &'a str,
    position: usize,
    peeked: Option<Lexeme>,
    /// End of the last token handed out.
    pub last_end: usize,
    /// Inside brackets a colon separates range and step, and does not belong to a name.
    pub in_brackets: bool,
    in_braces: bool,
    open_parens: usize,
}

impl<'a> Lexer<'a> {
    pub fn new(text: &'a str) -> Self {
        Lexer { text, position: 0, peeked: None, last_end: 0, in_brackets: false, in_braces: false, open_parens: 0 }
    }

    pub fn peek(&mut self) -> Result<&Lexeme, ParseError> {
        if self.peeked.is_none() {
            self.peeked = Some(self.scan()?);
        }
        self.peeked.as_ref().ok_or_else(|| ParseError::at(self.text, Span::default(), "unexpected end of input"))
    }

    pub fn next(&mut self) -> Result<Lexeme, ParseError> {
        let lexeme = match self.peeked.take() {
            Some(lexeme) => lexeme,
            None => self.scan()?,
        };
        self.last_end = lexeme.span.end as usize;
        Ok(lexeme)
    }

    pub fn slice(&self, span: Span) -> &'a str {
        &self.text[span.start as usize..span.end as usize]
    }

    /// The first character after the peeked token that is neither space nor comment.
    pub fn peek_after(&mut self) -> Result<Option<char>, ParseError> {
        let end = self.peek()?.span.end as usize;
        let start = skip_space(self.text, end);
        Ok(self.text[start..].chars().next())
    }

    /// The word after the peeked token, if it is one.
    pub fn peek_word_after(&mut self) -> Result<&'a str, ParseError> {
        let end = self.peek()?.span.end as usize;
        let start = skip_space(self.text, end);
        let length = self.text.as_bytes()[start..].iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count();
        Ok(&self.text[start..start + length])
    }

    pub fn is_symbol(&mut self, symbol: &str) -> Result<bool, ParseError> {
        Ok(matches!(&self.peek()?.token, Token::Symbol(s) if *s == symbol))
    }

    pub fn eat_symbol(&mut self, symbol: &str) -> Result<bool, ParseError> {
        if self.is_symbol(symbol)? {
            self.next()?;
            return Ok(true);
        }
        Ok(false)
    }

    /// The peeked word, if it is one.
    pub fn peek_word(&mut self) -> Result<Option<&'a str>, ParseError> {
        let lexeme = self.peek()?;
        let (is_word, span) = (lexeme.token == Token::Word, lexeme.span);
        Ok(is_word.then(|| self.slice(span)))
    }

    pub fn is_word(&mut self, word: &str) -> Result<bool, ParseError> {
        Ok(self.peek_word()?.is_some_and(|w| w.eq_ignore_ascii_case(word)))
    }

    /// How Prometheus names a token in an error.
    pub fn describe(&self, lexeme: &Lexeme) -> String {
        let text = self.slice(lexeme.span);
        match &lexeme.token {
            Token::End => "end of input".to_owned(),
            Token::Word => {
                let lower = text.to_ascii_lowercase();
                if crate::ast::AggregateOp::parse(text).is_some() {
                    format!("<aggr:{text}>")
                } else if ["and", "or", "unless", "atan2"].contains(&lower.as_str()) {
                    format!("<op:{text}>")
                } else if AGGREGATORS_AND_KEYWORDS.contains(&lower.as_str()) {
                    format!("<{text}>")
                } else if text.contains(':') {
                    format!("metric identifier {text:?}")
                } else {
                    format!("identifier {text:?}")
                }
            }
            Token::Number(_) => format!("number {text:?}"),
            Token::Duration(_) => format!("duration {text:?}"),
            Token::Text(_) => {
                if text.chars().count() > 10 {
                    let cut: String = text.chars().take(10).collect();
                    format!("string {cut:?}...")
                } else {
                    format!("string {text:?}")
                }
            }
            Token::Symbol(s) if matches!(*s, "(" | ")" | "{" | "}" | "[" | "]" | "," | ":" | ";" | "=") => format!("{s:?}"),
            Token::Symbol(s) => format!("<op:{s}>"),
        }
    }

    fn scan(&mut self) -> Result<Lexeme, ParseError> {
        let start = skip_space(self.text, self.position);
        let bytes = self.text.as_bytes();
        let Some(&first) = bytes.get(start) else {
            self.position = start;
            let unclosed = match (self.in_braces, self.in_brackets, self.open_parens) {
                (true, ..) => "unexpected end of input inside braces",
                (_, true, _) => "unclosed left bracket",
                (.., 1..) => "unclosed left parenthesis",
                _ => return Ok(Lexeme { token: Token::End, span: Span::new(start, start) }),
            };
            return Err(ParseError::at(self.text, Span::new(start, start), unclosed));
        };
        let (token, end) = match first {
            b'"' | b'\'' | b'`' => self.scan_string(start, first)?,
            b'0'..=b'9' => self.scan_number(start)?,
            b'.' if bytes.get(start + 1).is_some_and(u8::is_ascii_digit) => self.scan_number(start)?,
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => self.scan_word(start),
            b':' if !self.in_brackets => self.scan_word(start),
            _ => match SYMBOLS.iter().find(|s| self.text[start..].starts_with(**s)) {
                Some(&symbol) if !matches!(symbol, "!" | "~" | "?") => {
                    self.track(symbol, start)?;
                    (Token::Symbol(symbol), start + symbol.len())
                }
                _ => {
                    let c = self.text[start..].chars().next().unwrap_or('\u{fffd}');
                    let inside = if self.in_braces { " inside braces" } else { "" };
                    let message = match first {
                        b'!' => {
                            let next =
                                self.text[start + 1..].chars().next().map_or_else(|| "end of input".to_owned(), |c| format!("{c:?}"));
                            format!("unexpected character after '!'{inside}: {next}")
                        }
                        _ => format!("unexpected character{inside}: {c:?}"),
                    };
                    return Err(ParseError::at(self.text, Span::new(start, start + c.len_utf8()), message));
                }
            },
        };
        self.position = end;
        Ok(Lexeme { token, span: Span::new(start, end) })
    }

    /// Which of the pairs are open, so that the end of the input says what is missing.
    fn track(&mut self, symbol: &str, start: usize) -> Result<(), ParseError> {
        let fail = |at: usize, message: &str| Err(ParseError::at(self.text, Span::new(at, at + 1), message));
        match symbol {
            "{" => self.in_braces = true,
            "}" if !self.in_braces => return fail(start, "unexpected character: '}'"),
            "}" => self.in_braces = false,
            "(" => self.open_parens += 1,
            ")" if self.open_parens == 0 => return fail(start + 1, "unexpected right parenthesis ')'"),
            ")" => self.open_parens -= 1,
            "=~" if !self.in_braces => return fail(start, "unexpected character after '=': '~'"),
            _ => {}
        }
        Ok(())
    }

    fn scan_word(&self, start: usize) -> (Token, usize) {
        let part = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_' || (*b == b':' && !self.in_brackets);
        let length = self.text.as_bytes()[start..].iter().take_while(|b| part(b)).count();
        let word = &self.text[start..start + length];
        let token = if word.eq_ignore_ascii_case("inf") {
            Token::Number(f64::INFINITY)
        } else if word.eq_ignore_ascii_case("nan") {
            Token::Number(watchfire_model::ORDINARY_NAN)
        } else {
            Token::Word
        };
        (token, start + length)
    }

    fn scan_string(&self, start: usize, quote: u8) -> Result<(Token, usize), ParseError> {
        let bytes = self.text.as_bytes();
        let fail = |message: &str, at: usize| ParseError::at(self.text, Span::new(start, at.min(self.text.len())), message);
        let mut at = start + 1;
        loop {
            match bytes.get(at) {
                None if quote == b'`' => return Err(fail("unterminated raw string", at)),
                None => return Err(fail("unterminated quoted string", at)),
                Some(b'\n') if quote != b'`' => return Err(fail("unterminated quoted string", at)),
                Some(b'\\') if quote != b'`' => at += 2,
                Some(b) if *b == quote => break,
                Some(_) => at += 1,
            }
        }
        let raw = self.text.get(start + 1..at).ok_or_else(|| fail("unterminated quoted string", at))?;
        let value = if quote == b'`' { raw.replace('\r', "") } else { unquote(raw, quote).map_err(|m| fail(&m, at + 1))? };
        Ok((Token::Text(value), at + 1))
    }

    fn scan_number(&self, start: usize) -> Result<(Token, usize), ParseError> {
        let bytes = self.text.as_bytes();
        let run = |from: usize, part: fn(&u8) -> bool| from + bytes[from.min(bytes.len())..].iter().take_while(|b| part(b)).count();
        let word_end = run(start, |b| b.is_ascii_alphanumeric() || matches!(*b, b'.' | b'_'));
        let bad = |end: usize| {
            ParseError::at(self.text, Span::new(start, end), format!("bad number or duration syntax: {:?}", &self.text[start..end]))
        };
        if matches!(bytes.get(start..start + 2), Some(b"0x" | b"0X")) {
            if !separates(&self.text[start + 1..word_end]) {
                return Err(bad(word_end));
            }
            let digits = self.text[start + 2..word_end].replace('_', "");
            let value = u64::from_str_radix(&digits, 16).map_err(|_| bad(word_end))?;
            return Ok((Token::Number(value as f64), word_end));
        }
        let mut end = run(start, |b| b.is_ascii_digit() || *b == b'_');
        let integer = end;
        if bytes.get(end).is_some_and(u8::is_ascii_alphabetic) && !matches!(bytes[end], b'e' | b'E') {
            let seconds = parse_duration_seconds(&self.text[start..word_end]).ok_or_else(|| bad(word_end))?;
            return Ok((Token::Duration(seconds), word_end));
        }
        if bytes.get(end) == Some(&b'.') {
            end = run(end + 1, |b| b.is_ascii_digit() || *b == b'_');
        }
        if matches!(bytes.get(end), Some(b'e' | b'E')) {
            let sign = end + 1 + usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
            if !bytes.get(sign).is_some_and(u8::is_ascii_digit) {
                return Err(bad(word_end.max(sign)));
            }
            end = run(sign, |b| b.is_ascii_digit() || *b == b'_');
        }
        if bytes.get(end).is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_' || *b == b'.') {
            return Err(bad(word_end.max(end + 1)));
        }
        if !separates(&self.text[start..end]) {
            return Err(bad(end));
        }
        let digits = self.text[start..end].replace('_', "");
        // As Go reads integers: a leading zero makes them octal.
        let octal = end == integer && digits.len() > 1 && digits.starts_with('0');
        let value = match octal.then(|| u64::from_str_radix(&digits, 8).ok()).flatten() {
            Some(value) => value as f64,
            None => digits.parse::<f64>().map_err(|_| bad(end))?,
        };
        if value.is_infinite() {
            let message = format!("error parsing number: {:?} is out of range", &self.text[start..end]);
            return Err(ParseError::at(self.text, Span::new(start, end), message));
        }
        Ok((Token::Number(value), end))
    }
}

/// Whether every underscore stands between two digits, or behind the `x` of `0x`.
fn separates(number: &str) -> bool {
    let digit = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_hexdigit() || matches!(b, b'x' | b'X'));
    let bytes = number.as_bytes();
    bytes.iter().enumerate().all(|(at, b)| *b != b'_' || (at > 0 && digit(bytes.get(at - 1)) && digit(bytes.get(at + 1))))
}

/// `1h30m` as seconds, by the rules of Prometheus durations.
pub fn parse_duration_seconds(text: &str) -> Option<f64> {
    watchfire_model::parse_duration(text).ok().map(|d| d.as_millis() as f64 / 1000.0)
}

fn skip_space(text: &str, mut at: usize) -> usize {
    let bytes = text.as_bytes();
    loop {
        match bytes.get(at) {
            Some(b' ' | b'\t' | b'\n' | b'\r') => at += 1,
            Some(b'#') => at += bytes[at..].iter().position(|b| *b == b'\n').unwrap_or(bytes.len() - at),
            _ => return at,
        }
    }
}
