//! Operators, calls and aggregations.

use super::lexer::{Lexer, Token};
use super::quote::{go_quote, is_utf8};
use crate::ast::{Aggregate, AggregateOp, Binary, BinaryOp, Call, Cardinality, Expr, Matching, Span};
use crate::error::ParseError;
use crate::functions;

pub struct Parser<'a> {
    pub lexer: Lexer<'a>,
}

type Parsed<T> = Result<T, ParseError>;

impl<'a> Parser<'a> {
    pub fn new(text: &'a str) -> Self {
        Parser { lexer: Lexer::new(text) }
    }

    pub fn fail<T>(&self, span: Span, message: impl Into<String>) -> Parsed<T> {
        Err(ParseError::at(self.lexer.text, span, message))
    }

    /// "unexpected X in CONTEXT, expected Y", at the next token.
    pub fn unexpected<T>(&mut self, context: &str, expected: &str) -> Parsed<T> {
        let lexeme = self.lexer.peek()?.clone();
        let mut message = format!("unexpected {}", self.lexer.describe(&lexeme));
        if !context.is_empty() {
            message.push_str(&format!(" in {context}"));
        }
        if !expected.is_empty() {
            message.push_str(&format!(", expected {expected}"));
        }
        self.fail(lexeme.span, message)
    }

    pub fn expect(&mut self, symbol: &str, context: &str, expected: &str) -> Parsed<Span> {
        if self.lexer.is_symbol(symbol)? {
            return Ok(self.lexer.next()?.span);
        }
        self.unexpected(context, expected)
    }

    pub fn whole(&mut self) -> Parsed<Expr> {
        if self.lexer.peek()?.token == Token::End {
            let span = Span::new(0, 0);
            return self.fail(span, "no expression found in input");
        }
        let expr = self.expression(0)?;
        if self.lexer.peek()?.token != Token::End {
            return self.unexpected("", "");
        }
        Ok(expr)
    }

    /// An expression whose operators all bind at least as tightly as `minimum`.
    pub fn expression(&mut self, minimum: u8) -> Parsed<Expr> {
        let mut lhs = self.unary()?;
        while let Some(op) = self.peek_operator()? {
            let precedence = op.precedence();
            if precedence < minimum {
                break;
            }
            let op_span = self.lexer.next()?.span;
            let (returns_bool, matching) = self.binary_modifiers(op, op_span, lhs.span())?;
            let rhs = self.expression(if op == BinaryOp::Pow { precedence } else { precedence + 1 })?;
            lhs = Expr::Binary(Box::new(Binary { op, op_span, lhs, rhs, matching, returns_bool }));
        }
        Ok(lhs)
    }

    fn peek_operator(&mut self) -> Parsed<Option<BinaryOp>> {
        if let Some(word) = self.lexer.peek_word()? {
            let word = word.to_ascii_lowercase();
            return Ok(match word.as_str() {
                "and" => Some(BinaryOp::And),
                "or" => Some(BinaryOp::Or),
                "unless" => Some(BinaryOp::Unless),
                "atan2" => Some(BinaryOp::Atan2),
                _ => None,
            });
        }
        Ok(match &self.lexer.peek()?.token {
            Token::Symbol(symbol) => match *symbol {
                "+" => Some(BinaryOp::Add),
                "-" => Some(BinaryOp::Sub),
                "*" => Some(BinaryOp::Mul),
                "/" => Some(BinaryOp::Div),
                "%" => Some(BinaryOp::Mod),
                "^" => Some(BinaryOp::Pow),
                "==" => Some(BinaryOp::Eq),
                "!=" => Some(BinaryOp::Ne),
                "<" => Some(BinaryOp::Lt),
                "<=" => Some(BinaryOp::Le),
                ">" => Some(BinaryOp::Gt),
                ">=" => Some(BinaryOp::Ge),
                "</" => Some(BinaryOp::TrimUpper),
                ">/" => Some(BinaryOp::TrimLower),
                _ => None,
            },
            _ => None,
        })
    }

    fn unary(&mut self) -> Parsed<Expr> {
        let mut signs = Vec::new();
        loop {
            let negative = match &self.lexer.peek()?.token {
                Token::Symbol("-") => true,
                Token::Symbol("+") => false,
                _ => break,
            };
            signs.push((negative, self.lexer.next()?.span));
        }
        if signs.is_empty() {
            return self.postfix();
        }
        // A sign binds looser than `^` and as tightly as `*`.
        let mut expr = self.postfix()?;
        while self.peek_operator()? == Some(BinaryOp::Pow) {
            let op_span = self.lexer.next()?.span;
            let (returns_bool, matching) = self.binary_modifiers(BinaryOp::Pow, op_span, expr.span())?;
            let rhs = self.expression(BinaryOp::Pow.precedence())?;
            expr = Expr::Binary(Box::new(Binary { op: BinaryOp::Pow, op_span, lhs: expr, rhs, matching, returns_bool }));
        }
        for (negative, span) in signs.into_iter().rev() {
            expr = match expr {
                Expr::Number { value, span: inner } => Expr::Number { value: if negative { -value } else { value }, span: span.to(inner) },
                expr => Expr::Unary { negative, span: span.to(expr.span()), expr: Box::new(expr) },
            };
        }
        Ok(expr)
    }

    /// `bool`, `on`/`ignoring`, `group_left`/`group_right` and fills, after an operator. Errors are said of the operator.
    fn binary_modifiers(&mut self, op: BinaryOp, op_span: Span, lhs: Span) -> Parsed<(bool, Option<Matching>)> {
        let mut returns_bool = false;
        if self.lexer.is_word("bool")? {
            self.lexer.next()?;
            returns_bool = true;
            if !op.is_comparison() {
                return self.fail(op_span, "bool modifier can only be used on comparison operators");
            }
        }
        let mut matching = Matching {
            cardinality: if op.is_set() { Cardinality::ManyToMany } else { Cardinality::OneToOne },
            labels: Vec::new(),
            on: false,
            include: Vec::new(),
            fill_left: None,
            fill_right: None,
        };
        let mut written = false;
        if self.word_before_paren(&["on", "ignoring"])? {
            matching.on = self.lexer.is_word("on")?;
            self.lexer.next()?;
            matching.labels = self.grouping()?;
            written = true;
        }
        if self.lexer.is_word("group_left")? || self.lexer.is_word("group_right")? {
            let left = self.lexer.is_word("group_left")?;
            if !written {
                return self.unexpected("", "");
            }
            self.lexer.next()?;
            if op.is_set() {
                return self.fail(lhs, format!("no grouping allowed for {:?} operation", op.symbol()));
            }
            matching.cardinality = if left { Cardinality::ManyToOne } else { Cardinality::OneToMany };
            if self.lexer.is_symbol("(")? {
                matching.include = self.grouping()?;
            }
            if matching.on
                && let Some(label) = matching.labels.iter().find(|l| matching.include.contains(l))
            {
                return self.fail(op_span, format!("label {label:?} must not occur in ON and GROUP clause at once"));
            }
        }
        while self.word_before_paren(&["fill", "fill_left", "fill_right"])? {
            let lexeme = self.lexer.next()?;
            let which = self.lexer.slice(lexeme.span).to_ascii_lowercase();
            if op.is_set() {
                return self.fail(lexeme.span, "filling in missing series not allowed for set operators");
            }
            self.expect("(", "fill modifier", "\"(\"")?;
            let value = self.signed_number("fill modifier")?;
            self.expect(")", "fill modifier", "\")\"")?;
            if which != "fill_right" {
                matching.fill_left = Some(value);
            }
            if which != "fill_left" {
                matching.fill_right = Some(value);
            }
        }
        Ok((returns_bool, Some(matching)))
    }

    fn word_before_paren(&mut self, words: &[&str]) -> Parsed<bool> {
        let Some(word) = self.lexer.peek_word()? else { return Ok(false) };
        if !words.iter().any(|w| w.eq_ignore_ascii_case(word)) {
            return Ok(false);
        }
        Ok(self.lexer.peek_after()? == Some('('))
    }

    /// A number or duration with any sign.
    pub fn signed_number(&mut self, context: &str) -> Parsed<f64> {
        let mut sign = 1.0;
        if self.lexer.eat_symbol("-")? {
            sign = -1.0;
        } else {
            self.lexer.eat_symbol("+")?;
        }
        match self.lexer.peek()?.token {
            Token::Number(value) | Token::Duration(value) => {
                self.lexer.next()?;
                Ok(sign * value)
            }
            _ => self.unexpected(context, "number"),
        }
    }

    /// `(a, b, "c d")`
    fn grouping(&mut self) -> Parsed<Vec<String>> {
        self.expect("(", "grouping opts", "\"(\"")?;
        let mut labels = Vec::new();
        loop {
            if self.lexer.eat_symbol(")")? {
                return Ok(labels);
            }
            let lexeme = self.lexer.peek()?.clone();
            match lexeme.token {
                Token::Text(name) => {
                    if name.is_empty() || !is_utf8(&name) {
                        return self.fail(lexeme.span, format!("invalid label name for grouping: {}", go_quote(&name)));
                    }
                    labels.push(name);
                }
                Token::Word => {
                    let name = self.lexer.slice(lexeme.span);
                    if name.contains(':') {
                        return self.fail(lexeme.span, format!("invalid label name for grouping: {name:?}"));
                    }
                    labels.push(name.to_owned());
                }
                // `inf` and `nan` are numbers elsewhere.
                Token::Number(_) if self.lexer.slice(lexeme.span).bytes().all(|b| b.is_ascii_alphabetic()) => {
                    labels.push(self.lexer.slice(lexeme.span).to_owned());
                }
                _ => return self.unexpected("grouping opts", "label"),
            }
            self.lexer.next()?;
            if self.lexer.eat_symbol(",")? {
                continue;
            }
            if !self.lexer.is_symbol(")")? {
                return self.unexpected("grouping opts", "\",\" or \")\"");
            }
        }
    }

    /// The innermost expressions, without what may follow them.
    pub fn primary(&mut self) -> Parsed<Expr> {
        let lexeme = self.lexer.peek()?.clone();
        match lexeme.token {
            Token::Number(value) | Token::Duration(value) => {
                self.lexer.next()?;
                Ok(Expr::Number { value, span: lexeme.span })
            }
            Token::Text(value) => {
                self.lexer.next()?;
                Ok(Expr::Text { value, span: lexeme.span })
            }
            Token::Symbol("(") => {
                self.lexer.next()?;
                let expr = self.expression(0)?;
                let close = self.expect(")", "", "")?;
                Ok(Expr::Paren { expr: Box::new(expr), span: lexeme.span.to(close) })
            }
            Token::Symbol("{") => self.vector_selector(None),
            Token::Word => self.word(lexeme.span),
            _ => self.unexpected("", ""),
        }
    }

    fn word(&mut self, span: Span) -> Parsed<Expr> {
        let word = self.lexer.slice(span);
        let after = self.lexer.peek_after()?;
        if let Some(op) = AggregateOp::parse(word) {
            let next_word = self.lexer.peek_word_after()?;
            let clause = next_word.eq_ignore_ascii_case("by") || next_word.eq_ignore_ascii_case("without");
            if after == Some('(') || clause {
                return self.aggregate(op, span);
            }
        } else if after == Some('(') {
            return self.call(word, span);
        }
        // The other keywords are names of metrics where no keyword can stand.
        if ["on", "ignoring", "group_left", "group_right", "atan2", "bool"].iter().any(|w| w.eq_ignore_ascii_case(word)) {
            return self.unexpected("", "");
        }
        self.lexer.next()?;
        self.vector_selector(Some((word.to_owned(), span)))
    }

    fn call(&mut self, word: &str, span: Span) -> Parsed<Expr> {
        // These four words are also keywords, and keywords know no case.
        let lower = word.to_ascii_lowercase();
        let keyword = ["start", "end", "step", "range", "min_of", "max_of"].contains(&lower.as_str());
        let Some(function) = functions::signature(if keyword { &lower } else { word }) else {
            return self.fail(span, format!("unknown function with name {word:?}"));
        };
        self.lexer.next()?;
        self.lexer.next()?;
        let args = self.arguments()?;
        Ok(Expr::Call(Box::new(Call { function, args, span: Span { start: span.start, end: self.lexer.last_end as u32 } })))
    }

    /// Arguments up to and including the closing parenthesis.
    fn arguments(&mut self) -> Parsed<Vec<Expr>> {
        let mut args = Vec::new();
        if self.lexer.eat_symbol(")")? {
            return Ok(args);
        }
        loop {
            args.push(self.expression(0)?);
            if self.lexer.eat_symbol(")")? {
                return Ok(args);
            }
            if self.lexer.is_symbol(",")? {
                let comma = self.lexer.next()?.span;
                if self.lexer.is_symbol(")")? {
                    return self.fail(comma, "trailing commas not allowed in function call args");
                }
                continue;
            }
            return self.unexpected("", "");
        }
    }

    fn aggregate(&mut self, op: AggregateOp, span: Span) -> Parsed<Expr> {
        self.lexer.next()?;
        let mut clause = self.grouping_clause()?;
        if !self.lexer.is_symbol("(")? {
            return self.unexpected("aggregation", "");
        }
        self.lexer.next()?;
        let mut args = self.arguments()?;
        let mut end = self.lexer.last_end;
        if clause.is_none() {
            clause = self.grouping_clause()?;
            if clause.is_some() {
                end = self.lexer.last_end;
            }
        }
        let span = Span { start: span.start, end: end as u32 };
        let desired = 1 + usize::from(op.takes_parameter());
        if args.is_empty() {
            return self.fail(span, "no arguments for aggregate expression provided");
        }
        if args.len() != desired {
            return self.fail(
                span,
                format!("wrong number of arguments for aggregate expression provided, expected {desired}, got {}", args.len()),
            );
        }
        let expr = args.pop().unwrap_or(Expr::Number { value: 0.0, span });
        let param = args.pop();
        let grouped = clause.is_some();
        let (without, grouping) = clause.unwrap_or_default();
        Ok(Expr::Aggregate(Box::new(Aggregate { op, expr, param, grouping, without, grouped, span })))
    }

    fn grouping_clause(&mut self) -> Parsed<Option<(bool, Vec<String>)>> {
        let without = self.lexer.is_word("without")?;
        if !without && !self.lexer.is_word("by")? {
            return Ok(None);
        }
        self.lexer.next()?;
        Ok(Some((without, self.grouping()?)))
    }
}
