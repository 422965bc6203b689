//! Runs a parsed template within its limits.

use super::Environment;
use super::functions;
use super::html::Html;
use super::number::Number;
use super::parse::{Argument, Command, Named, Node, Pipe, Template, is_blank};
use super::place::{Place, Source};
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
    let source = &*template.root.source;
    let mut run = Run {
        template,
        library,
        environment,
        steps: 0,
        depth: 0,
        nesting: 0,
        variables,
        out: String::new(),
        html,
        source,
        running: &source.name,
        at: None,
    };
    match run.nodes(&template.root.nodes, &root) {
        Ok(_) => Ok(run.out),
        Err(error) => Err(run.source.error(run.at, run.running, &error)),
    }
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
    /// What is being executed: the text, the template, and the latest part of it. No error is caught, so this is where it was made.
    source: &'a Source,
    running: &'a str,
    at: Option<Place>,
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
                Node::Call { name, argument, place } => {
                    self.at = Some(*place);
                    let argument = match argument {
                        Some(pipe) => self.pipe(pipe, dot)?,
                        None => TemplateValue::Missing,
                    };
                    self.at = Some(*place);
                    self.call_template(name, argument)?;
                }
                Node::Break => return Ok(Flow::Break),
                Node::Continue => return Ok(Flow::Continue),
            }
            self.variables.truncate(scope);
        }
        Ok(Flow::Next)
    }

    fn call_template(&mut self, name: &'a str, argument: TemplateValue) -> Result<(), String> {
        let own = self.template.named.get(name);
        let shared = || self.library.and_then(|named| named.get(name));
        // A blank definition does not hide a full one.
        let Some(definition) = own.filter(|d| !is_blank(&d.nodes)).or_else(shared).or(own) else {
            return Err(format!("template {name:?} not defined"));
        };
        self.depth += 1;
        if self.depth > self.environment.limits.depth {
            return Err(format!("exceeded maximum template depth ({})", self.environment.limits.depth));
        }
        let outer = (std::mem::replace(&mut self.variables, vec![("$".to_owned(), argument.clone())]), self.source, self.running);
        (self.source, self.running) = (&definition.source, name);
        self.nodes(&definition.nodes, &argument)?;
        (self.variables, self.source, self.running) = outer;
        self.depth -= 1;
        Ok(())
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
        self.at = Some(pipe.place);
        let mut last = None;
        for command in &pipe.commands {
            last = Some(self.command(command, dot, last)?);
        }
        Ok(last.unwrap_or(TemplateValue::Missing))
    }

    fn command(&mut self, command: &'a Command, dot: &TemplateValue, last: Option<TemplateValue>) -> Result<TemplateValue, String> {
        self.step()?;
        let first = command.arguments.first().ok_or("missing value for command")?;
        self.at = command.places.first().copied();
        if let Argument::Function(name) = first {
            return self.function(name, command, dot, last);
        }
        if matches!(first, Argument::Nil) {
            return Err("nil is not a command".to_owned());
        }
        if command.arguments.len() > 1 || last.is_some() {
            return self.method(first, command, dot, last);
        }
        self.argument(first, dot)
    }

    /// An argument of a command.
    fn argument_of(&mut self, command: &'a Command, number: usize, dot: &TemplateValue) -> Result<TemplateValue, String> {
        self.at = command.places.get(number).copied();
        self.argument(&command.arguments[number], dot)
    }

    /// A method with arguments: what stands last in a chain of fields.
    fn method(
        &mut self,
        chain: &'a Argument,
        command: &'a Command,
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
        let mut arguments = Vec::with_capacity(command.arguments.len());
        for number in 1..command.arguments.len() {
            arguments.push(self.argument_of(command, number, dot)?);
        }
        arguments.extend(last);
        receiver.call(name, &arguments)
    }

    fn variable(&self, name: &str) -> Result<TemplateValue, String> {
        let value = self.variables.iter().rev().find(|(have, _)| have == name).map(|(_, v)| v.clone());
        value.ok_or_else(|| format!("undefined variable: {name}"))
    }

    /// Counts the arguments before it evaluates them, and checks each before the next, so that of several mistakes Go's is named.
    fn function(
        &mut self,
        name: &str,
        command: &'a Command,
        dot: &TemplateValue,
        last: Option<TemplateValue>,
    ) -> Result<TemplateValue, String> {
        let given = command.arguments.len() - 1;
        let parameters = functions::parameters(name, given + usize::from(last.is_some()), self.environment)?;
        if matches!(name, "and" | "or") {
            return self.short_circuit(name == "or", command, dot, last);
        }
        let mut arguments = Vec::with_capacity(given + 1);
        for number in 1..=given {
            let argument = self.argument_of(command, number, dot)?;
            if let Some(parameter) = parameters.get(number - 1) {
                let words = || self.at.map(|place| self.source.words(place)).unwrap_or_default();
                match command.arguments[number] {
                    Argument::Bool(_) | Argument::Text(_) | Argument::Number(_) => parameter.accepts_constant(&words, &argument)?,
                    _ => parameter.accepts(&argument)?,
                }
            }
            arguments.push(argument);
        }
        if let Some(last) = last {
            parameters.get(given).map_or(Ok(()), |parameter| parameter.accepts(&last))?;
            arguments.push(last);
        }
        if (self.environment.expired)() {
            return Err("time is up".to_owned());
        }
        let value = functions::call(name, &arguments, self.environment).inspect_err(|_| self.at = Some(command.place))?;
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
        command: &'a Command,
        dot: &TemplateValue,
        last: Option<TemplateValue>,
    ) -> Result<TemplateValue, String> {
        let (mut value, mut last) = (None, last);
        for number in 1..command.arguments.len() {
            let current = self.argument_of(command, number, dot)?;
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
            Argument::Function(name) => {
                // Without arguments, and so without a command of its own.
                functions::parameters(name, 0, self.environment)?;
                functions::call(name, &[], self.environment)
            }
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
