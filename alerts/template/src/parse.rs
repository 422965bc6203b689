//! From tokens to a tree. Unknown functions and variables are found here, as Go does, so a bad template fails when its file is loaded.

use super::lex::{self, Piece, Token, TokenKind};
use super::number::Number;
use super::place::{Place, Source};
use super::{Dialect, functions};
use std::collections::HashMap;
use std::sync::Arc;

/// Control structures inside control structures, and parentheses inside parentheses.
const MAX_NESTING: usize = 100;

/// Templates by name.
pub(super) type Named = HashMap<String, Definition>;

/// What a template does, and the text that says so.
#[derive(Clone)]
pub(super) struct Definition {
    pub nodes: Arc<[Node]>,
    pub source: Arc<Source>,
}

pub(super) struct Template {
    pub root: Definition,
    pub named: Named,
}

pub(super) enum Node {
    Text(String),
    Action(Pipe),
    If { condition: Pipe, body: Vec<Node>, otherwise: Vec<Node> },
    With { value: Pipe, body: Vec<Node>, otherwise: Vec<Node> },
    Range { over: Pipe, body: Vec<Node>, otherwise: Vec<Node> },
    Call { name: String, argument: Option<Pipe>, place: Place },
    Break,
    Continue,
}

pub(super) struct Pipe {
    /// Variables set by it, with their `$`.
    pub variables: Vec<String>,
    /// `=` instead of `:=`.
    pub assigns: bool,
    pub commands: Vec<Command>,
    pub place: Place,
}

pub(super) struct Command {
    pub arguments: Vec<Argument>,
    /// Of each argument.
    pub places: Vec<Place>,
    pub place: Place,
}

pub(super) enum Argument {
    Dot,
    Nil,
    Bool(bool),
    Text(String),
    Number(Number),
    Field(Vec<String>),
    Variable(String, Vec<String>),
    Function(String),
    Pipe(Box<Pipe>, Vec<String>),
}

/// Parses the template called `name`.
pub(super) fn parse(name: &str, text: &str, dialect: Dialect) -> Result<Template, String> {
    let pieces = lex::pieces(text).map_err(located)?;
    let ahead = if dialect == Dialect::Rule { DECLARATIONS } else { 0 };
    let source = Arc::new(Source { name: name.to_owned(), text: text.to_owned(), ahead });
    let mut parser = Parser {
        dialect,
        source,
        pieces: pieces.into_iter().peekable(),
        variables: root_variables(dialect == Dialect::Rule),
        named: HashMap::new(),
        depth: 0,
        loops: 0,
    };
    let (root, end) = parser.nodes()?;
    match end {
        Closing::Eof => Ok(Template { root: Definition { nodes: root.into(), source: parser.source }, named: parser.named }),
        Closing::EndAt(line) => Err(located((line, "unexpected {{end}}".to_owned()))),
        Closing::Else(line, _) => Err(located((line, "unexpected {{else}}".to_owned()))),
    }
}

/// Bytes of `{{$labels := .Labels}}` and its kin, which Prometheus puts in front of the templates of rules.
const DECLARATIONS: usize = 112;

/// What Prometheus declares in front of every alert template; templates defined inside see only `$`.
fn root_variables(alert: bool) -> Vec<String> {
    let names: &[&str] = if alert { &["$", "$labels", "$externalLabels", "$externalURL", "$value"] } else { &["$"] };
    names.iter().map(|s| (*s).to_owned()).collect()
}

fn located((line, message): (usize, String)) -> String {
    format!("{line}: {message}")
}

struct Parser {
    dialect: Dialect,
    source: Arc<Source>,
    pieces: std::iter::Peekable<std::vec::IntoIter<Piece>>,
    variables: Vec<String>,
    named: Named,
    depth: usize,
    loops: usize,
}

/// What ended a run of nodes.
enum Closing {
    Eof,
    /// `end`, on this line.
    EndAt(usize),
    /// `else`, with the tokens after it.
    Else(usize, Vec<Token>),
}

impl Parser {
    fn nodes(&mut self) -> Result<(Vec<Node>, Closing), String> {
        self.depth += 1;
        if self.depth > MAX_NESTING {
            return Err(format!("1: nested deeper than {MAX_NESTING}"));
        }
        let mut out = Vec::new();
        let end = loop {
            let Some(piece) = self.pieces.next() else { break Closing::Eof };
            let tokens = match piece {
                Piece::Text(text) => {
                    out.push(Node::Text(text));
                    continue;
                }
                Piece::Action(tokens) => tokens,
            };
            let line = tokens.first().map_or(1, |t| t.line);
            let keyword = match tokens.first().map(|t| &t.kind) {
                Some(TokenKind::Word(word)) => word.as_str(),
                Some(_) => "",
                None => return Err(located((line, "missing value for command".to_owned()))),
            };
            let rest = || tokens[1..].to_vec();
            match keyword {
                "end" if tokens.len() == 1 => break Closing::EndAt(line),
                "else" => break Closing::Else(line, rest()),
                "if" | "with" | "range" => {
                    let node = self.control(keyword, rest(), line)?;
                    out.push(node);
                }
                "break" | "continue" if tokens.len() == 1 => {
                    if self.loops == 0 {
                        return Err(located((line, format!("{{{{{keyword}}}}} outside {{{{range}}}}"))));
                    }
                    out.push(if keyword == "break" { Node::Break } else { Node::Continue });
                }
                "define" if self.depth > 1 => return Err(located((line, "unexpected <define> in command".to_owned()))),
                "define" | "block" => {
                    if let Some(call) = self.define(keyword == "block", rest(), line)? {
                        out.push(call);
                    }
                }
                "template" => out.push(self.call(rest(), line)?),
                _ => {
                    let pipe = self.pipe(tokens, line, "command")?;
                    out.push(Node::Action(pipe));
                }
            }
        };
        self.depth -= 1;
        Ok((out, end))
    }

    fn control(&mut self, keyword: &str, tokens: Vec<Token>, line: usize) -> Result<Node, String> {
        let scope = self.variables.len();
        let head = self.pipe(tokens, line, keyword)?;
        self.loops += usize::from(keyword == "range");
        let (body, end) = self.nodes()?;
        self.loops -= usize::from(keyword == "range");
        let otherwise = match end {
            Closing::Eof => return Err(located((line, format!("unexpected EOF: {{{{{keyword}}}}} is not closed")))),
            Closing::EndAt(_) => Vec::new(),
            Closing::Else(at, rest) => match rest.first().map(|t| t.kind.clone()) {
                None => match self.nodes()? {
                    (nodes, Closing::EndAt(_)) => nodes,
                    (_, Closing::Else(at, _)) => return Err(located((at, "expected end; found {{else}}".to_owned()))),
                    (_, Closing::Eof) => return Err(located((line, format!("unexpected EOF: {{{{{keyword}}}}} is not closed")))),
                },
                Some(TokenKind::Word(word)) if word == keyword && keyword != "range" => {
                    self.depth += 1;
                    if self.depth > MAX_NESTING {
                        return Err(located((at, format!("nested deeper than {MAX_NESTING}"))));
                    }
                    let nested = vec![self.control(keyword, rest[1..].to_vec(), at)?];
                    self.depth -= 1;
                    nested
                }
                Some(_) => return Err(located((at, "unexpected token after {{else}}".to_owned()))),
            },
        };
        self.variables.truncate(scope);
        Ok(match keyword {
            "if" => Node::If { condition: head, body, otherwise },
            "with" => Node::With { value: head, body, otherwise },
            _ => Node::Range { over: head, body, otherwise },
        })
    }

    fn define(&mut self, block: bool, tokens: Vec<Token>, line: usize) -> Result<Option<Node>, String> {
        let Some(TokenKind::Text(name)) = tokens.first().map(|t| t.kind.clone()) else {
            return Err(located((line, "template name must be a quoted string".to_owned())));
        };
        let argument = match (block, tokens.len()) {
            (false, 1) => None,
            (false, _) => return Err(located((line, "unexpected token in define clause".to_owned()))),
            (true, _) => Some(self.pipe(tokens[1..].to_vec(), line, "block clause")?),
        };
        let outer = std::mem::replace(&mut self.variables, root_variables(false));
        let loops = std::mem::take(&mut self.loops);
        let (body, end) = self.nodes()?;
        self.variables = outer;
        self.loops = loops;
        if !matches!(end, Closing::EndAt(_)) {
            return Err(located((line, "unexpected EOF: {{define}} is not closed".to_owned())));
        }
        match self.named.get(&name) {
            // Of an empty and a full definition the full one counts.
            Some(_) if is_blank(&body) => {}
            Some(full) if !is_blank(&full.nodes) => {
                return Err(located((line, format!("template: multiple definition of template {name:?}"))));
            }
            _ => {
                self.named.insert(name.clone(), Definition { nodes: body.into(), source: self.source.clone() });
            }
        }
        Ok(block.then_some(Node::Call { name, argument, place: Place::of_call(&tokens) }))
    }

    fn call(&mut self, tokens: Vec<Token>, line: usize) -> Result<Node, String> {
        let Some(TokenKind::Text(name)) = tokens.first().map(|t| t.kind.clone()) else {
            return Err(located((line, "template name must be a quoted string".to_owned())));
        };
        let argument = if tokens.len() > 1 { Some(self.pipe(tokens[1..].to_vec(), line, "template clause")?) } else { None };
        Ok(Node::Call { name, argument, place: Place::of_call(&tokens) })
    }

    /// A whole pipeline; declares its variables for what follows.
    fn pipe(&mut self, tokens: Vec<Token>, line: usize, clause: &str) -> Result<Pipe, String> {
        let mut cursor = Cursor { dialect: self.dialect, tokens: &tokens, at: 0, line, clause };
        let (variables, assigns) = cursor.declarations(clause == "range")?;
        let commands = cursor.commands(&self.variables, 0)?;
        if cursor.at < tokens.len() {
            return Err(located((line, "unexpected token in operand".to_owned())));
        }
        // As with Go, whether what is assigned exists turns out when it is executed.
        self.variables.extend(variables.iter().cloned());
        Ok(Pipe { variables, assigns, commands, place: Place::of(&tokens) })
    }
}

pub(super) fn is_blank(nodes: &[Node]) -> bool {
    nodes.iter().all(|node| matches!(node, Node::Text(text) if text.trim().is_empty()))
}

struct Cursor<'a> {
    dialect: Dialect,
    tokens: &'a [Token],
    at: usize,
    line: usize,
    /// What misses a value where there is none.
    clause: &'a str,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<&TokenKind> {
        self.tokens.get(self.at).map(|t| &t.kind)
    }

    fn symbol(&self, ahead: usize) -> Option<&'static str> {
        match self.tokens.get(self.at + ahead).map(|t| &t.kind) {
            Some(TokenKind::Symbol(s)) => Some(s),
            _ => None,
        }
    }

    fn fail<T>(&self, message: impl Into<String>) -> Result<T, String> {
        Err(located((self.tokens.get(self.at).map_or(self.line, |t| t.line), message.into())))
    }

    fn declarations(&mut self, range: bool) -> Result<(Vec<String>, bool), String> {
        let Some(TokenKind::Variable(first)) = self.peek().cloned() else { return Ok((Vec::new(), false)) };
        match (self.symbol(1), self.tokens.get(self.at + 2).map(|t| &t.kind), self.symbol(3)) {
            (Some(sign @ (":=" | "=")), _, _) => {
                self.at += 2;
                Ok((vec![first], sign == "="))
            }
            (Some(","), Some(TokenKind::Variable(second)), Some(sign @ (":=" | "="))) if range => {
                let second = second.clone();
                self.at += 4;
                Ok((vec![first, second], sign == "="))
            }
            (Some(","), _, _) => self.fail("too many declarations in command"),
            _ => Ok((Vec::new(), false)),
        }
    }

    fn commands(&mut self, variables: &[String], depth: usize) -> Result<Vec<Command>, String> {
        if depth > MAX_NESTING {
            return self.fail(format!("nested deeper than {MAX_NESTING}"));
        }
        let mut commands = Vec::new();
        loop {
            let (mut arguments, mut places) = (Vec::new(), Vec::new());
            let (first, mut from) = (self.at, self.at);
            while let Some(argument) = self.argument(variables, depth)? {
                arguments.push(argument);
                places.push(Place::of_operand(&self.tokens[from..self.at]));
                from = self.at;
            }
            if arguments.is_empty() {
                return match self.symbol(0) {
                    Some("|") if !commands.is_empty() => self.fail("unexpected \"|\" in command"),
                    // A bar at the end is nothing.
                    _ if !commands.is_empty() => Ok(commands),
                    _ if depth > 0 => self.fail("missing value for parenthesized pipeline"),
                    _ => self.fail(format!("missing value for {}", self.clause)),
                };
            }
            if !commands.is_empty() && !matches!(arguments[0], Argument::Function(_) | Argument::Field(_) | Argument::Variable(..)) {
                return self.fail(format!("non executable command in pipeline stage {}", commands.len() + 1));
            }
            commands.push(Command { arguments, places, place: Place::of(&self.tokens[first..self.at]) });
            if self.symbol(0) == Some("|") {
                self.at += 1;
            } else {
                return Ok(commands);
            }
        }
    }

    /// Fields directly behind an operand: `.A.B`.
    fn chain(&mut self) -> Vec<String> {
        let mut fields = Vec::new();
        while let Some(Token { kind: TokenKind::Field(name), spaced: false, .. }) = self.tokens.get(self.at) {
            fields.push(name.clone());
            self.at += 1;
        }
        fields
    }

    fn argument(&mut self, variables: &[String], depth: usize) -> Result<Option<Argument>, String> {
        let Some(kind) = self.peek().cloned() else { return Ok(None) };
        let argument = match kind {
            TokenKind::Symbol("(") => {
                let open = self.at;
                self.at += 1;
                let commands = self.commands(variables, depth + 1)?;
                if self.symbol(0) != Some(")") {
                    return self.fail("unclosed left paren");
                }
                let place = Place::of(&self.tokens[open + 1..self.at]);
                self.at += 1;
                Argument::Pipe(Box::new(Pipe { variables: Vec::new(), assigns: false, commands, place }), self.chain())
            }
            TokenKind::Symbol("|" | ")") => return Ok(None),
            TokenKind::Symbol(other) => return self.fail(format!("unexpected {other:?} in operand")),
            TokenKind::Dot => {
                self.at += 1;
                Argument::Dot
            }
            TokenKind::Field(first) => {
                self.at += 1;
                let mut fields = vec![first];
                fields.extend(self.chain());
                Argument::Field(fields)
            }
            TokenKind::Variable(name) => {
                if !variables.contains(&name) {
                    return self.fail(format!("undefined variable {name:?}"));
                }
                self.at += 1;
                Argument::Variable(name, self.chain())
            }
            TokenKind::Text(text) => {
                self.at += 1;
                Argument::Text(text)
            }
            TokenKind::Char(c) => {
                self.at += 1;
                Argument::Number(Number { int: Some(i64::from(u32::from(c))), float: Some(f64::from(u32::from(c))), is_float: false })
            }
            TokenKind::Number(text) => {
                let argument = match Number::parse(&text) {
                    Ok(number) => Argument::Number(number),
                    Err(message) => match text.strip_suffix('i').map(Number::parse) {
                        // Nobody computes with imaginary numbers here; they print as in Go.
                        Some(Ok(Number { float: Some(part), .. })) => Argument::Text(format!("(0{part:+}i)")),
                        _ => return self.fail(message),
                    },
                };
                self.at += 1;
                argument
            }
            TokenKind::Word(word) => {
                let argument = match word.as_str() {
                    "true" => Argument::Bool(true),
                    "false" => Argument::Bool(false),
                    "nil" => Argument::Nil,
                    name if functions::lookup(name, self.dialect).is_some() => Argument::Function(word),
                    name => return self.fail(format!("function {name:?} not defined")),
                };
                self.at += 1;
                match argument {
                    Argument::Function(_) => {
                        let place = Place::of(&self.tokens[self.at - 1..self.at]);
                        let fields = self.chain();
                        let call = |function| {
                            let commands = vec![Command { arguments: vec![function], places: vec![place], place }];
                            Box::new(Pipe { variables: Vec::new(), assigns: false, commands, place })
                        };
                        if fields.is_empty() { argument } else { Argument::Pipe(call(argument), fields) }
                    }
                    other => other,
                }
            }
        };
        if let Some(next) = self.tokens.get(self.at) {
            let separated = next.spaced || matches!(next.kind, TokenKind::Symbol("|" | ")"));
            if !separated {
                return self.fail("unexpected token after operand");
            }
        }
        Ok(Some(argument))
    }
}
