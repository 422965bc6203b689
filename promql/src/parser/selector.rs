//! Selectors and what may follow an expression: ranges, subqueries, `offset`, `@`, `anchored`, `smoothed`.

use super::expression::Parser;
use super::lexer::Token;
use super::quote::{go_quote, is_utf8};
use crate::ast::{At, DurationExpr, Expr, MatrixSelector, Modifiers, Span, Subquery, VectorSelector};
use crate::error::ParseError;
use watchfire_model::{METRIC_NAME, MatchOp, Matcher};

type Parsed<T> = Result<T, ParseError>;

impl Parser<'_> {
    /// `name`, `name{...}` or `{...}`; the name has been consumed.
    pub fn vector_selector(&mut self, name: Option<(String, Span)>) -> Parsed<Expr> {
        let mut matchers = Vec::new();
        let start = match &name {
            Some((_, span)) => span.start,
            None => self.lexer.peek()?.span.start,
        };
        let mut end = name.as_ref().map_or(start, |(_, span)| span.end);
        let mut name = name.map(|(name, _)| name);
        if self.lexer.is_symbol("{")? {
            end = self.matchers(&mut name, &mut matchers)?;
        }
        if let Some(name) = &name {
            if let Some(twice) = matchers.iter().find(|m: &&Matcher| &*m.name == METRIC_NAME) {
                let span = Span { start, end };
                return self.fail(span, format!("metric name must not be set twice: {name:?} or {:?}", twice.value));
            }
            matchers.push(Matcher::equal(METRIC_NAME, name));
        }
        let span = Span { start, end };
        Ok(Expr::Vector(Box::new(VectorSelector {
            name,
            matchers,
            modifiers: Modifiers::default(),
            anchored: false,
            smoothed: false,
            span,
        })))
    }

    /// A name without braces.
    pub fn bare_selector(&self, (name, span): (String, Span)) -> Expr {
        let matchers = vec![Matcher::equal(METRIC_NAME, &name)];
        let modifiers = Modifiers::default();
        Expr::Vector(Box::new(VectorSelector { name: Some(name), matchers, modifiers, anchored: false, smoothed: false, span }))
    }

    fn matchers(&mut self, name: &mut Option<String>, matchers: &mut Vec<Matcher>) -> Parsed<u32> {
        self.lexer.next()?;
        loop {
            if self.lexer.is_symbol("}")? {
                return Ok(self.lexer.next()?.span.end);
            }
            let lexeme = self.lexer.peek()?.clone();
            let text = self.lexer.slice(lexeme.span);
            let (label, quoted) = match lexeme.token {
                Token::Text(label) => (label, true),
                Token::Word if !text.contains(':') => (text.to_owned(), false),
                Token::Number(_) if text.bytes().all(|b| b.is_ascii_alphabetic()) => (text.to_owned(), false),
                Token::Word => {
                    return self.fail(lexeme.span, "unexpected character inside braces: ':'");
                }
                _ => return self.unexpected("label matching", "identifier or \"}\""),
            };
            self.lexer.next()?;
            if quoted && (self.lexer.is_symbol(",")? || self.lexer.is_symbol("}")?) {
                if !is_utf8(&label) {
                    return self.fail(lexeme.span, format!("invalid metric name: {}", go_quote(&label)));
                }
                if let Some(first) = name {
                    return self.fail(lexeme.span, format!("metric name must not be set twice: {first:?} or {label:?}"));
                }
                *name = Some(label);
            } else {
                matchers.push(self.matcher(&label, lexeme.span)?);
            }
            if !self.lexer.eat_symbol(",")? && !self.lexer.is_symbol("}")? {
                return self.unexpected("label matching", "\",\" or \"}\"");
            }
        }
    }

    fn matcher(&mut self, label: &str, span: Span) -> Parsed<Matcher> {
        let op = match &self.lexer.peek()?.token {
            Token::Symbol("=") => MatchOp::Equal,
            Token::Symbol("!=") => MatchOp::NotEqual,
            Token::Symbol("=~") => MatchOp::Regex,
            Token::Symbol("!~") => MatchOp::NotRegex,
            _ => return self.unexpected("label matching", "label matching operator"),
        };
        self.lexer.next()?;
        let lexeme = self.lexer.peek()?.clone();
        let Token::Text(value) = lexeme.token else { return self.unexpected("label matching", "string") };
        self.lexer.next()?;
        if label.is_empty() || !is_utf8(label) {
            return self.fail(span, format!("invalid label name: {}", go_quote(label)));
        }
        Matcher::new(label, op, &value).map_err(|e| ParseError::at(self.lexer.text, span.to(lexeme.span), e.to_string()))
    }

    pub fn postfix(&mut self) -> Parsed<Expr> {
        let mut expr = self.primary()?;
        loop {
            if self.lexer.is_symbol("[")? {
                expr = self.brackets(expr)?;
            } else if self.lexer.is_word("offset")? {
                expr = self.offset(expr)?;
            } else if self.lexer.is_symbol("@")? {
                expr = self.at(expr)?;
            } else if self.lexer.is_word("anchored")? || self.lexer.is_word("smoothed")? {
                expr = self.extended(expr)?;
            } else {
                return Ok(expr);
            }
        }
    }

    fn brackets(&mut self, expr: Expr) -> Parsed<Expr> {
        let open = self.lexer.next()?.span;
        self.lexer.in_brackets = true;
        let range = self.duration_expression(0)?;
        self.positive(&range)?;
        let subquery = self.lexer.eat_symbol(":")?;
        let step = if subquery && !self.lexer.is_symbol("]")? { Some(self.duration_expression(0)?) } else { None };
        if let Some(step) = &step {
            self.positive(step)?;
        }
        if !self.lexer.is_symbol("]")? {
            if subquery && self.lexer.is_symbol(":")? {
                let span = self.lexer.peek()?.span;
                return self.fail(span, "unexpected colon ':'");
            }
            let context = if subquery { "subquery selector" } else { "subquery or range" };
            let expected = if subquery { "duration or \"]\"" } else { "\":\" or \"]\"" };
            return self.unexpected(context, expected);
        }
        self.lexer.in_brackets = false;
        let close = self.lexer.next()?.span;
        let span = expr.span().to(close);
        if subquery {
            return Ok(Expr::Subquery(Box::new(Subquery { expr, range, step, modifiers: Modifiers::default(), span })));
        }
        match expr {
            Expr::Vector(vector) if vector.modifiers.offset.is_some() => {
                self.fail(open.to(close), "no offset modifiers allowed before range")
            }
            Expr::Vector(vector) if vector.modifiers.at.is_some() => self.fail(open.to(close), "no @ modifiers allowed before range"),
            Expr::Vector(vector) => Ok(Expr::Matrix(Box::new(MatrixSelector { vector: *vector, range, span }))),
            _ => self.fail(open.to(close), "ranges only allowed for vector selectors"),
        }
    }

    /// A literal duration must be positive; computed ones are checked when the query's step is known.
    fn positive(&self, duration: &DurationExpr) -> Parsed<()> {
        match duration.literal_seconds() {
            Some(seconds) if seconds <= 0.0 => self.fail(duration.span(), "duration must be greater than 0"),
            _ => Ok(()),
        }
    }

    fn offset(&mut self, mut expr: Expr) -> Parsed<Expr> {
        let word = self.lexer.next()?.span;
        let duration = self.offset_duration()?;
        let end = self.lexer.last_end as u32;
        let span = expr.span();
        let Some((modifiers, node_span)) = modifiers_of(&mut expr) else {
            return self.fail(
                span.to(word),
                "offset modifier must be preceded by an instant vector selector or range vector selector or a subquery",
            );
        };
        if modifiers.offset.is_some() {
            return self.fail(span, "offset may not be set multiple times");
        }
        modifiers.offset = Some(duration);
        node_span.end = end;
        Ok(expr)
    }

    fn at(&mut self, mut expr: Expr) -> Parsed<Expr> {
        let symbol = self.lexer.next()?.span;
        let at = if let Some(word) = self.lexer.peek_word()? {
            let at = match word.to_ascii_lowercase().as_str() {
                "start" => At::Start,
                "end" => At::End,
                _ => return self.unexpected("@", "timestamp"),
            };
            self.lexer.next()?;
            self.expect("(", "@", "\"(\"")?;
            self.expect(")", "@", "\")\"")?;
            at
        } else {
            let start = self.lexer.peek()?.span;
            let seconds = self.signed_number("@")?;
            let millis = (seconds * 1000.0).round();
            if !millis.is_finite() || millis.abs() >= 9.2e18 {
                return self.fail(start, format!("timestamp out of bounds for @ modifier: {}", crate::number::format_general(seconds)));
            }
            At::Time(millis as i64)
        };
        let end = self.lexer.last_end as u32;
        let span = expr.span();
        let Some((modifiers, node_span)) = modifiers_of(&mut expr) else {
            return self
                .fail(span.to(symbol), "@ modifier must be preceded by an instant vector selector or range vector selector or a subquery");
        };
        if modifiers.at.is_some() {
            return self.fail(span, "@ <timestamp> may not be set multiple times");
        }
        modifiers.at = Some(at);
        node_span.end = end;
        Ok(expr)
    }

    fn extended(&mut self, mut expr: Expr) -> Parsed<Expr> {
        let smoothed = self.lexer.is_word("smoothed")?;
        let word = self.lexer.next()?.span;
        let name = if smoothed { "smoothed" } else { "anchored" };
        let span = expr.span().to(word);
        let (vector, matrix_span) = match &mut expr {
            Expr::Vector(vector) => (&mut **vector, None),
            Expr::Matrix(matrix) => {
                let matrix = &mut **matrix;
                (&mut matrix.vector, Some(&mut matrix.span))
            }
            _ => {
                return self.fail(span, format!("{name} modifier must be preceded by an instant vector selector or range vector selector"));
            }
        };
        if vector.smoothed || vector.anchored {
            let other = if vector.smoothed { "smoothed" } else { "anchored" };
            if other == name {
                return self.fail(span, format!("{name} modifier may not be set multiple times"));
            }
            return self.fail(span, "anchored and smoothed modifiers cannot be used together");
        }
        if !smoothed && matrix_span.is_none() {
            return self.fail(span, "anchored modifier must be preceded by a range vector selector");
        }
        vector.smoothed = smoothed;
        vector.anchored = !smoothed;
        match matrix_span {
            Some(matrix) => matrix.end = word.end,
            None => vector.span.end = word.end,
        }
        Ok(expr)
    }
}

fn modifiers_of(expr: &mut Expr) -> Option<(&mut Modifiers, &mut Span)> {
    match expr {
        Expr::Vector(v) => {
            let v = &mut **v;
            Some((&mut v.modifiers, &mut v.span))
        }
        Expr::Matrix(m) => {
            let m = &mut **m;
            Some((&mut m.vector.modifiers, &mut m.span))
        }
        Expr::Subquery(s) => {
            let s = &mut **s;
            Some((&mut s.modifiers, &mut s.span))
        }
        _ => None,
    }
}

impl VectorSelector {
    /// True when every matcher also matches the empty value, which would select everything.
    pub(crate) fn selects_everything(&self) -> bool {
        self.matchers.iter().all(|m| m.matches_value(""))
    }
}
