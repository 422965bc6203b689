//! `label_replace` and `label_join`.

use super::block::{Block, Meta, text_size};
use super::{Evaluator, Lease, Outcome};
use crate::ast::{Call, Expr};
use crate::error::EvalError;
use crate::parser::quote::is_utf8;
use regex::Regex;
use std::collections::HashMap;
use watchfire_model::{Labels, METRIC_NAME};

pub fn text_argument(call: &Call, index: usize) -> Outcome<&str> {
    match call.args.get(index).map(Expr::unwrap_parens) {
        Some(Expr::Text { value, .. }) => Ok(value),
        _ => Err(EvalError::execution(format!("argument {} of {} must be a string literal", index + 1, call.function.name))),
    }
}

impl Evaluator<'_> {
    pub fn label_replace(&self, call: &Call) -> Outcome<Block> {
        let (target, replacement, source, pattern) =
            (text_argument(call, 1)?, text_argument(call, 2)?, text_argument(call, 3)?, text_argument(call, 4)?);
        let regex = self
            .ctx
            .plans
            .pattern(pattern)
            .map_err(|_| EvalError::execution(format!("invalid regular expression in label_replace(): {pattern}")))?;
        check_name(target, "destination", "label_replace")?;
        let mut block = self.eval_vector(&call.args[0])?;
        for meta in &mut block.series {
            let value = meta.labels.value(source).to_owned();
            // Every reference can bring the whole value.
            let most = replacement.len().saturating_add(replacement.matches('$').count().saturating_mul(value.len()));
            self.ctx.budget.hold(&mut self.ctx.budget.lease(), text_size(most))?;
            if let Some(text) = expand(&regex, &value, replacement) {
                self.set_label(meta, target, &text, &mut block.lease)?;
            }
        }
        merge(self, block)
    }

    pub fn label_join(&self, call: &Call) -> Outcome<Block> {
        let (target, separator) = (text_argument(call, 1)?, text_argument(call, 2)?);
        let sources = (3..call.args.len()).map(|i| text_argument(call, i)).collect::<Outcome<Vec<_>>>()?;
        for source in &sources {
            check_name(source, "source", "label_join")?;
        }
        check_name(target, "destination", "label_join")?;
        let mut block = self.eval_vector(&call.args[0])?;
        for meta in &mut block.series {
            let text = sources.iter().map(|source| meta.labels.value(source)).collect::<Vec<_>>().join(separator);
            self.set_label(meta, target, &text, &mut block.lease)?;
        }
        merge(self, block)
    }

    /// Gives a series a label; each has its own, so that its text is held as samples are.
    fn set_label(&self, meta: &mut Meta, name: &str, value: &str, lease: &mut Lease) -> Outcome<()> {
        self.ctx.budget.tick(1 + value.len() / 1024)?;
        if value.len() > self.ctx.label_bytes {
            return Err(EvalError::execution(format!(
                "label value of {} bytes for {name:?}, longer than the limit of {}",
                value.len(),
                self.ctx.label_bytes
            )));
        }
        self.ctx.budget.hold(lease, text_size(value.len()))?;
        let mut builder = meta.labels.to_builder();
        builder.set(name, value);
        meta.labels = builder.build();
        // A name that was given explicitly stays.
        if name == METRIC_NAME {
            meta.drop_name = false;
        }
        Ok(())
    }
}

fn check_name(name: &str, role: &str, function: &str) -> Outcome<()> {
    if name.is_empty() || !is_utf8(name) {
        return Err(EvalError::execution(format!("invalid {role} label name in {function}(): {name}")));
    }
    Ok(())
}

/// The replacement text with `$1` and `${name}` filled in, by Go's rules: the longest name wins, unknown groups are empty.
fn expand(regex: &Regex, value: &str, replacement: &str) -> Option<String> {
    let captures = regex.captures(value)?;
    let mut out = String::new();
    captures.expand(replacement, &mut out);
    Some(out)
}

/// Joins series that have become the same, where they do not overlap.
pub fn merge(evaluator: &Evaluator<'_>, block: Block) -> Outcome<Block> {
    let mut rows: HashMap<Labels, usize> = HashMap::with_capacity(block.len());
    if block.series.iter().enumerate().all(|(i, m)| rows.insert(m.labels.clone(), i).is_none()) {
        return Ok(block);
    }
    rows.clear();
    let mut merged = Block::new(block.steps, evaluator.ctx.budget.lease());
    for (series, meta) in block.series.iter().enumerate() {
        let row = match rows.get(&meta.labels) {
            Some(row) => *row,
            None => {
                let row = merged.push(meta.clone());
                rows.insert(meta.labels.clone(), row);
                row
            }
        };
        for step in 0..block.steps {
            let Some(cell) = block.cell(series, step) else { continue };
            if merged.is_present(row, step) {
                return Err(EvalError::execution("vector cannot contain metrics with the same labelset"));
            }
            merged.set(row, step, cell);
        }
    }
    merged.lease = block.lease;
    Ok(merged)
}
