//! Where in a template something failed, in Go's words: `template: NAME:1:115: executing "NAME" at <query "sum(">: ...`.

use super::lex::{self, Token, TokenKind};

/// A text that templates were read from.
#[derive(Debug)]
pub(super) struct Source {
    /// The template that the text itself is.
    pub name: String,
    pub text: String,
    /// Bytes that Prometheus puts in front of the first line: they count in its columns.
    pub ahead: usize,
}

/// A part of the text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// What Go gives as its position: of a chain of fields that is the second one.
    at: usize,
    start: usize,
    end: usize,
    /// It is a call of a template, from the name on.
    call: bool,
}

impl Place {
    pub fn of(tokens: &[Token]) -> Place {
        let (start, end) = (tokens.first().map_or(0, |t| t.start), tokens.last().map_or(0, |t| t.end));
        Place { at: start, start, end, call: false }
    }

    /// Of an operand with fields behind it.
    pub fn of_operand(tokens: &[Token]) -> Place {
        let chained = matches!(tokens.first().map(|t| &t.kind), Some(TokenKind::Field(_) | TokenKind::Variable(_)));
        let place = Place::of(tokens);
        Place { at: tokens.get(1).filter(|_| chained).map_or(place.start, |t| t.start), ..place }
    }

    pub fn of_call(tokens: &[Token]) -> Place {
        Place { call: true, ..Place::of(tokens) }
    }
}

impl Source {
    /// What went wrong at `place` while the template `running` was executed.
    pub fn error(&self, place: Option<Place>, running: &str, error: &str) -> String {
        let Source { name, text, ahead } = self;
        let Some(place) = place else { return format!("template: {name}: {error}") };
        let before = &text[..place.at.min(text.len())];
        let (line, column) = match before.rfind('\n') {
            Some(newline) => (1 + before.matches('\n').count(), before.len() - newline - 1),
            None => (1, before.len() + ahead),
        };
        let words = self.words(place);
        format!("template: {name}:{line}:{column}: executing {running:?} at <{words}>: {error}")
    }

    /// How a part of the text reads.
    pub fn words(&self, place: Place) -> String {
        let words = words(&self.text[place.start..place.end]);
        if place.call { format!("{{{{template {words}}}}}") } else { words }
    }
}

/// A part of an action as Go prints it: with one space between operands, whatever stood there.
fn words(part: &str) -> String {
    let Ok((tokens, _)) = lex::tokens(&format!("{part}}}}}"), 1) else { return part.to_owned() };
    let mut out = String::new();
    let mut before: Option<&Token> = None;
    for token in &tokens {
        let is = |token: &Token, symbol: &str| matches!(token.kind, TokenKind::Symbol(s) if s == symbol);
        let wide = |token: &Token| is(token, "|") || is(token, ":=") || is(token, "=");
        if let Some(before) = before {
            let tight = is(before, "(") || is(token, ")") || is(token, ",");
            if wide(before) || wide(token) || (token.spaced && !tight) {
                out.push(' ');
            }
        }
        out.push_str(&part[token.start..token.end]);
        before = Some(token);
    }
    out
}
