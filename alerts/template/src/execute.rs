//! Runs a parsed template within its limits.

use super::Environment;
use super::functions;
use super::html::Html;
use super::parse::{Argument, Named, Node, Number, Pipe, Template, is_blank};
use super::value::TemplateValue;

/// Looks at the time once in so many steps.
const TIME_CHECK_STEPS: usize = 64;
/// Bodies inside bodies, over all templates that are running: what bounds the stack.
const MAX_NESTING: usize = 250;

/// Executes with `$` as the first of the variables. Templates that the text does not define itself are looked up in `library`. With `html`
/// every value is escaped for the place where it is written.
pub(super) fn run(
    template: &Template,
    library: Option<&Named>,
    environment: &Environment<'_>,
    variables: Vec<(String, TemplateValue)>,
    html: bool,
) -> Result<String, String> {
    let root = variables.first().map_or(TemplateValue::Missing, |(_, value)| value.clone());
    let html = html.then(Html::default);
    let mut run = Run { template, library, environment, steps: 0, depth: 0, nesting: 0, variables, out: String::new(), html };
    run.nodes(&template.root, &root)?;
    Ok(run.out)
}

struct Run<'a> {
    template: &'a Template,
    library: Option<&'a Named>,
    environment: &'a Environment<'a>,
    steps: usize,
    depth: usize,
    nesting: usize,
    variables: Vec<(String, TemplateValue)>,
    out: String,
    html: Option<Html>,
}

enum Flow {
    Next,
    Break,
    Continue,
}

impl<'a> Run<'a> {
    fn step(&mut self) -> Result<(), String> {
        self.steps += 1;
        if self.steps > self.environment.limits.steps {
            return Err(format!("more than {} steps", self.environment.limits.steps));
        }
        if self.steps.is_multiple_of(TIME_CHECK_STEPS) && (self.environment.expired)() {
            return Err("time is up".to_owned());
        }
        Ok(())
    }

    fn write(&mut self, text: &str) -> Result<(), String> {
        if self.out.len() + text.len() > self.environment.limits.output_bytes {
            return Err(format!("output exceeds {} bytes", self.environment.limits.output_bytes));
        }
        self.out.push_str(text);
        Ok(())
    }

    fn nodes(&mut self, nodes: &'a [Node], dot: &TemplateValue) -> Result<Flow, String> {
        self.nesting += 1;
        if self.nesting > MAX_NESTING {
            return Err(format!("nested deeper than {MAX_NESTING}"));
        }
        let flow = self.each_node(nodes, dot);
        self.nesting -= 1;
        flow
    }

    fn each_node(&mut self, nodes: &'a [Node], dot: &TemplateValue) -> Result<Flow, String> {
        for node in nodes {
            self.step()?;
            let scope = self.variables.len();
            match node {
                Node::Text(text) => match &mut self.html {
                    Some(html) => {
                        let text = html.literal(text);
                        self.write(&text)?;
                    }
                    None => self.write(text)?,
                },
                Node::Action(pipe) => {
                    let value = self.pipe(pipe, dot)?;
                    if pipe.variables.is_empty() {
                        let text = match &mut self.html {
                            Some(html) => html.value(&value)?,
                            None => value.shown(),
                        };
                        self.write(&text)?;
                    }
                    continue;
                }
                Node::If { condition, body, otherwise } => {
                    let branch = if self.pipe(condition, dot)?.truth() { body } else { otherwise };
                    match self.nodes(branch, dot)? {
                        Flow::Next => {}
                        flow => {
                            self.variables.truncate(scope);
                            return Ok(flow);
                        }
                    }
                }
                Node::With { value, body, otherwise } => {
                    let value = self.pipe(value, dot)?;
                    let flow = if value.truth() { self.nodes(body, &value)? } else { self.nodes(otherwise, dot)? };
                    if !matches!(flow, Flow::Next) {
                        self.variables.truncate(scope);
                        return Ok(flow);
                    }
                }
                Node::Range { over, body, otherwise } => self.range(over, body, otherwise, dot)?,
                Node::Call { name, argument } => {
                    let argument = match argument {
                        Some(pipe) => self.pipe(pipe, dot)?,
                        None => TemplateValue::Missing,
                    };
                    self.call_template(name, argument)?;
                }
                Node::Break => return Ok(Flow::Break),
                Node::Continue => return Ok(Flow::Continue),
            }
            self.variables.truncate(scope);
        }
        Ok(Flow::Next)
    }

    fn call_template(&mut self, name: &str, argument: TemplateValue) -> Result<(), String> {
        let own = self.template.named.get(name);
        let shared = || self.library.and_then(|named| named.get(name));
        // A blank definition does not hide a full one.
        let Some(nodes) = own.filter(|nodes| !is_blank(nodes)).or_else(shared).or(own) else {
            return Err(format!("template {name:?} not defined"));
        };
        self.depth += 1;
        if self.depth > self.environment.limits.depth {
            return Err(format!("exceeded maximum template depth ({})", self.environment.limits.depth));
        }
        let outer = std::mem::replace(&mut self.variables, vec![("$".to_owned(), argument.clone())]);
        let outcome = self.nodes(nodes, &argument);
        self.variables = outer;
        self.depth -= 1;
        outcome.map(|_| ())
    }

    fn range(&mut self, over: &'a Pipe, body: &'a [Node], otherwise: &'a [Node], dot: &TemplateValue) -> Result<(), String> {
        let value = self.evaluate(over, dot)?;
        let items: Vec<(TemplateValue, TemplateValue)> = match &value {
            TemplateValue::List { items, .. } => items.iter().enumerate().map(|(i, v)| (TemplateValue::Int(i as i64), v.clone())).collect(),
            TemplateValue::Map { entries, .. } => entries.iter().map(|(k, v)| (TemplateValue::text(k), v.clone())).collect(),
            TemplateValue::Int(n) => (0..(*n).min(i64::try_from(self.environment.limits.steps).unwrap_or(i64::MAX - 1) + 1))
                .map(|i| (TemplateValue::Int(i), TemplateValue::Int(i)))
                .collect(),
            TemplateValue::Missing | TemplateValue::Nil => Vec::new(),
            other => return Err(format!("range can't iterate over {}", other.print())),
        };
        let scope = self.variables.len();
        if items.is_empty() {
            self.declare(over, &TemplateValue::Missing)?;
            self.nodes(otherwise, dot)?;
            self.variables.truncate(scope);
            return Ok(());
        }
        for (key, item) in items {
            self.step()?;
            match over.variables.as_slice() {
                [] => {}
                [element] => self.set(element, item.clone(), over.assigns)?,
                [index, element, ..] => {
                    self.set(index, key, over.assigns)?;
                    self.set(element, item.clone(), over.assigns)?;
                }
            }
            let flow = self.nodes(body, &item)?;
            self.variables.truncate(scope);
            if matches!(flow, Flow::Break) {
                break;
            }
        }
        Ok(())
    }

    fn set(&mut self, name: &str, value: TemplateValue, assigns: bool) -> Result<(), String> {
        if !assigns {
            self.variables.push((name.to_owned(), value));
            return Ok(());
        }
        match self.variables.iter_mut().rev().find(|(have, _)| have == name) {
            Some((_, slot)) => *slot = value,
            None => return Err(format!("undefined variable: {name}")),
        }
        Ok(())
    }

    fn declare(&mut self, pipe: &Pipe, value: &TemplateValue) -> Result<(), String> {
        pipe.variables.iter().try_for_each(|name| self.set(name, value.clone(), pipe.assigns))
    }

    fn pipe(&mut self, pipe: &'a Pipe, dot: &TemplateValue) -> Result<TemplateValue, String> {
        let value = self.evaluate(pipe, dot)?;
        self.declare(pipe, &value)?;
        Ok(value)
    }

    fn evaluate(&mut self, pipe: &'a Pipe, dot: &TemplateValue) -> Result<TemplateValue, String> {
        let mut last = None;
        for command in &pipe.commands {
            last = Some(self.command(command, dot, last)?);
        }
        Ok(last.unwrap_or(TemplateValue::Missing))
    }

    fn command(&mut self, command: &'a [Argument], dot: &TemplateValue, last: Option<TemplateValue>) -> Result<TemplateValue, String> {
        self.step()?;
        let (first, rest) = command.split_first().ok_or("missing value for command")?;
        if let Argument::Function(name) = first {
            return self.function(name, rest, dot, last);
        }
        if matches!(first, Argument::Nil) {
            return Err("nil is not a command".to_owned());
        }
        if !rest.is_empty() || last.is_some() {
            return self.method(first, rest, dot, last);
        }
        self.argument(first, dot)
    }

    /// A method with arguments: what stands last in a chain of fields.
    fn method(
        &mut self,
        chain: &'a Argument,
        rest: &'a [Argument],
        dot: &TemplateValue,
        last: Option<TemplateValue>,
    ) -> Result<TemplateValue, String> {
        let walk = |value: TemplateValue, fields: &[String]| fields.iter().try_fold(value, |v, name| v.field(name));
        let (receiver, name) = match chain {
            Argument::Field(fields) => match fields.split_last() {
                Some((name, before)) => (walk(dot.clone(), before)?, name),
                None => return Err("can't give argument to non-function".to_owned()),
            },
            Argument::Variable(variable, fields) if !fields.is_empty() => {
                let (name, before) = fields.split_last().ok_or("no field")?;
                (walk(self.variable(variable)?, before)?, name)
            }
            Argument::Pipe(pipe, fields) if !fields.is_empty() => {
                let (name, before) = fields.split_last().ok_or("no field")?;
                (walk(self.evaluate(pipe, dot)?, before)?, name)
            }
            _ => return Err("can't give argument to non-function".to_owned()),
        };
        let mut arguments = Vec::with_capacity(rest.len() + 1);
        for argument in rest {
            arguments.push(self.argument(argument, dot)?);
        }
        arguments.extend(last);
        receiver.call(name, &arguments)
    }

    fn variable(&self, name: &str) -> Result<TemplateValue, String> {
        let value = self.variables.iter().rev().find(|(have, _)| have == name).map(|(_, v)| v.clone());
        value.ok_or_else(|| format!("undefined variable: {name}"))
    }

    fn function(
        &mut self,
        name: &str,
        rest: &'a [Argument],
        dot: &TemplateValue,
        last: Option<TemplateValue>,
    ) -> Result<TemplateValue, String> {
        if matches!(name, "and" | "or") {
            return self.short_circuit(name == "or", rest, dot, last);
        }
        let mut arguments = Vec::with_capacity(rest.len() + 1);
        for argument in rest {
            arguments.push(self.argument(argument, dot)?);
        }
        arguments.extend(last);
        if (self.environment.expired)() {
            return Err("time is up".to_owned());
        }
        let value = functions::call(name, &arguments, self.environment)?;
        if let TemplateValue::Str(text) = &value
            && text.len() > self.environment.limits.output_bytes
        {
            return Err(format!("text exceeds {} bytes", self.environment.limits.output_bytes));
        }
        Ok(value)
    }

    /// `and` and `or` stop at the first argument that decides, and return it; of a bare `nil` nothing is left.
    fn short_circuit(
        &mut self,
        stop_at: bool,
        rest: &'a [Argument],
        dot: &TemplateValue,
        last: Option<TemplateValue>,
    ) -> Result<TemplateValue, String> {
        let (mut value, mut last) = (None, last);
        for argument in rest {
            let current = self.argument(argument, dot)?;
            let decides = current.truth() == stop_at;
            value = Some(current);
            if decides {
                last = None;
                break;
            }
        }
        let decided = last.or(value);
        decided
            .map(|value| if matches!(value, TemplateValue::Nil) { TemplateValue::Missing } else { value })
            .ok_or_else(|| format!("wrong number of args for {}: want at least 1 got 0", if stop_at { "or" } else { "and" }))
    }

    fn argument(&mut self, argument: &'a Argument, dot: &TemplateValue) -> Result<TemplateValue, String> {
        let chain = |value: TemplateValue, fields: &[String]| fields.iter().try_fold(value, |v, name| v.field(name));
        match argument {
            Argument::Dot => Ok(dot.clone()),
            Argument::Nil => Ok(TemplateValue::Nil),
            Argument::Bool(b) => Ok(TemplateValue::Bool(*b)),
            Argument::Text(text) => Ok(TemplateValue::text(text)),
            Argument::Number(number) => constant(*number),
            Argument::Field(fields) => chain(dot.clone(), fields),
            Argument::Variable(name, fields) => {
                let value = self.variable(name)?;
                chain(value, fields)
            }
            Argument::Function(name) => self.function(name, &[], dot, None),
            Argument::Pipe(pipe, fields) => {
                let value = self.evaluate(pipe, dot)?;
                chain(value, fields)
            }
        }
    }
}

fn constant(number: Number) -> Result<TemplateValue, String> {
    match number {
        Number { is_float: true, float: Some(f), .. } => Ok(TemplateValue::Float(f)),
        Number { int: Some(i), .. } => Ok(TemplateValue::Int(i)),
        Number { float: Some(f), .. } => Ok(TemplateValue::Float(f)),
        Number { .. } => Err("number overflows".to_owned()),
    }
}
