//! Cuts a template into literal text and actions, and actions into tokens.

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Piece {
    Text(String),
    Action(Vec<Token>),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub kind: TokenKind,
    /// White space stood before it: `.A.B` is one chain, `.A .B` are two arguments.
    pub spaced: bool,
    pub line: usize,
    /// Where it stands in the text, in bytes.
    pub start: usize,
    pub end: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum TokenKind {
    /// `name`, a keyword, a function, `true`, `nil`.
    Word(String),
    /// `.Name`
    Field(String),
    /// `$` or `$name`
    Variable(String),
    Dot,
    Text(String),
    Char(char),
    Number(String),
    /// `|`, `(`, `)`, `,`, `:=`, `=`
    Symbol(&'static str),
}

/// A message with the line it belongs to.
pub(super) type LexError = (usize, String);

pub(super) fn pieces(text: &str) -> Result<Vec<Piece>, LexError> {
    let mut out = Vec::new();
    let mut rest = text;
    let mut line = 1;
    let mut trim_next = false;
    loop {
        let Some(open) = rest.find("{{") else {
            push_text(&mut out, rest, trim_next, false);
            return Ok(out);
        };
        let literal = &rest[..open];
        let inside = &rest[open + 2..];
        let left_trim = inside.starts_with('-') && inside[1..].starts_with([' ', '\t', '\r', '\n']);
        push_text(&mut out, literal, trim_next, left_trim);
        line += literal.matches('\n').count();
        let body = if left_trim { &inside[1..] } else { inside };
        // A comment stands directly behind its delimiter.
        let start = usize::from(left_trim);
        let (tokens, used) = if body[start..].starts_with("/*") {
            let Some(end) = body.find("*/") else { return Err((line, "unclosed comment".to_owned())) };
            let after = &body[end + 2..];
            if !(after.starts_with("}}") || after.strip_prefix([' ', '\t', '\r', '\n']).is_some_and(|rest| rest.starts_with("-}}"))) {
                return Err((line, "comment ends before closing delimiter".to_owned()));
            }
            (None, end + 2)
        } else {
            let (mut tokens, used) = tokens(body, line)?;
            // `body` ends where the text ends.
            let offset = text.len() - body.len();
            tokens.iter_mut().for_each(|token| (token.start, token.end) = (offset + token.start, offset + token.end));
            (Some(tokens), used)
        };
        let tail = body[used..].trim_start();
        let right_trim = tail.starts_with("-}}");
        let after = if right_trim { &tail[3..] } else { &tail[2..] };
        line += rest[open..rest.len() - after.len()].matches('\n').count();
        if let Some(tokens) = tokens {
            out.push(Piece::Action(tokens));
        }
        trim_next = right_trim;
        rest = after;
    }
}

fn push_text(out: &mut Vec<Piece>, text: &str, trim_start: bool, trim_end: bool) {
    let blank = [' ', '\t', '\r', '\n'];
    let text = if trim_start { text.trim_start_matches(blank) } else { text };
    let text = if trim_end { text.trim_end_matches(blank) } else { text };
    if !text.is_empty() {
        out.push(Piece::Text(text.to_owned()));
    }
}

/// Tokens up to the closing delimiter, and the bytes used without it.
pub(super) fn tokens(body: &str, mut line: usize) -> Result<(Vec<Token>, usize), LexError> {
    let mut out: Vec<Token> = Vec::new();
    let mut at = 0;
    let mut spaced = true;
    let mut depth = 0_i32;
    loop {
        let rest = &body[at..];
        let Some(c) = rest.chars().next() else { return Err((line, "unclosed action".to_owned())) };
        if rest.starts_with("}}") || (spaced && rest.starts_with("-}}") && at > 0) {
            if depth > 0 {
                return Err((line, "unclosed left paren".to_owned()));
            }
            return Ok((out, at));
        }
        let token_line = line;
        let (kind, used) = match c {
            ' ' | '\t' | '\r' | '\n' => {
                line += usize::from(c == '\n');
                at += 1;
                spaced = true;
                continue;
            }
            '|' => (TokenKind::Symbol("|"), 1),
            ',' => (TokenKind::Symbol(","), 1),
            '(' => {
                depth += 1;
                (TokenKind::Symbol("("), 1)
            }
            ')' => {
                depth -= 1;
                if depth < 0 {
                    return Err((line, "unexpected right paren".to_owned()));
                }
                (TokenKind::Symbol(")"), 1)
            }
            ':' if rest.starts_with(":=") => (TokenKind::Symbol(":="), 2),
            '=' => (TokenKind::Symbol("="), 1),
            '"' => quoted(rest, line)?,
            '`' => {
                let Some(end) = rest[1..].find('`') else { return Err((line, "unterminated raw quoted string".to_owned())) };
                line += rest[1..=end].matches('\n').count();
                (TokenKind::Text(rest[1..=end].to_owned()), end + 2)
            }
            '\'' => character(rest, line)?,
            '$' => {
                let name = word(&rest[1..]);
                (TokenKind::Variable(format!("${name}")), 1 + name.len())
            }
            '.' if rest[1..].starts_with(|c: char| c.is_ascii_digit()) => number(rest),
            '.' => match word(&rest[1..]) {
                "" => (TokenKind::Dot, 1),
                name => (TokenKind::Field(name.to_owned()), 1 + name.len()),
            },
            '+' | '-' if rest[1..].starts_with(|c: char| c.is_ascii_digit() || c == '.') => number(rest),
            c if c.is_ascii_digit() => number(rest),
            c if c.is_alphabetic() || c == '_' => {
                let name = word(rest);
                (TokenKind::Word(name.to_owned()), name.len())
            }
            c => return Err((line, format!("unexpected {:?} in command", c.to_string()))),
        };
        out.push(Token { kind, spaced, line: token_line, start: at, end: at + used });
        at += used;
        spaced = false;
    }
}

fn word(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len());
    &text[..end]
}

fn number(text: &str) -> (TokenKind, usize) {
    let bytes = text.as_bytes();
    let hex = text.trim_start_matches(['+', '-']).starts_with("0x");
    let mut end = 1;
    while end < bytes.len() {
        let c = bytes[end];
        let exponent_sign = matches!(c, b'+' | b'-') && matches!(bytes[end - 1], b'e' | b'E') && !hex;
        if !(c.is_ascii_alphanumeric() || c == b'.' || c == b'_' || exponent_sign) {
            break;
        }
        end += 1;
    }
    (TokenKind::Number(text[..end].to_owned()), end)
}

/// The text that a Go string in double quotes at the beginning stands for, and how long it is with its quotes.
pub fn quoted_text(text: &str) -> Option<(String, usize)> {
    match quoted(text, 0) {
        Ok((TokenKind::Text(out), length)) if text.starts_with('"') => Some((out, length)),
        _ => None,
    }
}

fn quoted(text: &str, line: usize) -> Result<(TokenKind, usize), LexError> {
    let mut out = String::new();
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((i, c)) = chars.next() {
        match c {
            '"' => return Ok((TokenKind::Text(out), i + 1)),
            '\n' => break,
            '\\' => out.push(escape(&mut chars).ok_or_else(|| (line, "invalid syntax in quoted string".to_owned()))?),
            c => out.push(c),
        }
    }
    Err((line, "unterminated quoted string".to_owned()))
}

fn character(text: &str, line: usize) -> Result<(TokenKind, usize), LexError> {
    let bad = || (line, "malformed character constant".to_owned());
    let mut chars = text.char_indices().skip(1).peekable();
    let c = match chars.next().ok_or_else(bad)?.1 {
        '\\' => escape(&mut chars).ok_or_else(bad)?,
        c => c,
    };
    match chars.next() {
        Some((i, '\'')) => Ok((TokenKind::Char(c), i + 1)),
        _ => Err(bad()),
    }
}

/// The character an escape sequence stands for; `\x` and octal escapes beyond ASCII become that code point.
fn escape(chars: &mut std::iter::Peekable<impl Iterator<Item = (usize, char)>>) -> Option<char> {
    let (_, c) = chars.next()?;
    let digits = |chars: &mut std::iter::Peekable<_>, n: usize, radix: u32, first: u32| {
        let mut code = first;
        for _ in 0..n {
            let (_, d): (usize, char) = Iterator::next(chars)?;
            code = code * radix + d.to_digit(radix)?;
        }
        char::from_u32(code)
    };
    Some(match c {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        'a' => '\u{7}',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'v' => '\u{b}',
        '\\' => '\\',
        '"' => '"',
        '\'' => '\'',
        'x' => digits(chars, 2, 16, 0)?,
        'u' => digits(chars, 4, 16, 0)?,
        'U' => digits(chars, 8, 16, 0)?,
        c @ '0'..='7' => digits(chars, 2, 8, c.to_digit(8)?)?,
        _ => return None,
    })
}
