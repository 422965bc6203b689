//! Operators: between scalars, between vectors and scalars, set operations, and the value of one pair of elements.
//! Follows Prometheus `promql/engine.go`.

use super::block::Block;
use super::matching::Signatures;
use super::{Evaluator, Outcome, Val};
use crate::annotations::{Note, Operation};
use crate::ast::{Binary, BinaryOp, Cardinality, Matching, Span};
use crate::error::EvalError;
use crate::functions::over_time::Cell;
use crate::histogram::arithmetic::{IncompatibleSchema, Remarks, add, divide, equal, multiply, subtract};
use crate::histogram::buckets::compact;
use crate::histogram::trim::{Keep, trim};
use crate::parser::quote::go_quote;
use std::collections::HashMap;
use std::sync::Arc;
use watchfire_model::{CounterResetHint, Label, Labels, is_stale};

impl Evaluator<'_> {
    pub fn binary(&self, binary: &Binary, span: Span) -> Outcome<Val> {
        let lhs = self.eval(&binary.lhs)?;
        let rhs = self.eval(&binary.rhs)?;
        match (lhs, rhs) {
            (Val::Scalar(l), Val::Scalar(r)) => {
                self.scalars(l.iter().zip(r.iter()).map(|(l, r)| scalar_result(binary.op, *l, *r)).collect())
            }
            (Val::Vector(v), Val::Scalar(s)) => self.vector_scalar(binary, v, &s, false, span).map(Val::Vector),
            (Val::Scalar(s), Val::Vector(v)) => self.vector_scalar(binary, v, &s, true, span).map(Val::Vector),
            (Val::Vector(l), Val::Vector(r)) => {
                let default = Matching {
                    cardinality: if binary.op.is_set() { Cardinality::ManyToMany } else { Cardinality::OneToOne },
                    labels: Vec::new(),
                    on: false,
                    include: Vec::new(),
                    fill_left: None,
                    fill_right: None,
                };
                let matching = binary.matching.as_ref().unwrap_or(&default);
                if binary.op.is_set() {
                    self.set_operation(binary.op, matching, l, r).map(Val::Vector)
                } else {
                    self.matched(binary, matching, l, r, span).map(Val::Vector)
                }
            }
            _ => Err(EvalError::execution("operators take scalars and instant vectors")),
        }
    }

    fn vector_scalar(&self, binary: &Binary, mut block: Block, scalars: &[f64], scalar_first: bool, span: Span) -> Outcome<Block> {
        let (op, steps) = (binary.op, block.steps);
        let comparison = op.is_comparison();
        if !block.has_histograms() && !matches!(op, BinaryOp::TrimUpper | BinaryOp::TrimLower) {
            for (i, v) in block.floats.iter_mut().enumerate() {
                if is_stale(*v) {
                    continue;
                }
                let s = scalars[i % steps];
                let (l, r) = if scalar_first { (s, *v) } else { (*v, s) };
                *v = if comparison {
                    match (compare(op, l, r), binary.returns_bool) {
                        (keep, true) => f64::from(u8::from(keep)),
                        (true, false) => *v,
                        (false, false) => super::block::ABSENT,
                    }
                } else {
                    arithmetic(op, l, r)
                };
            }
        } else {
            for series in 0..block.len() {
                for (step, scalar) in scalars.iter().enumerate() {
                    let Some(cell) = block.cell(series, step) else { continue };
                    let s = Cell::Float(*scalar);
                    let kept = if scalar_first { self.element(op, &s, &cell, span) } else { self.element(op, &cell, &s, span) };
                    let at = series * steps + step;
                    block.floats[at] = super::block::ABSENT;
                    if let Some(slot) = block.histograms.get_mut(at) {
                        *slot = None;
                    }
                    let result = match kept {
                        Kept::Impossible => None,
                        Kept::Value(value, keep) if comparison && binary.returns_bool => {
                            let _ = value;
                            Some(Cell::Float(f64::from(u8::from(keep))))
                        }
                        // A comparison keeps the vector's element, whichever side it is on.
                        Kept::Value(_, true) if comparison => Some(cell),
                        Kept::Value(_, false) => None,
                        Kept::Value(value, true) => Some(value),
                    };
                    if let Some(result) = result {
                        block.set(series, step, result);
                    }
                }
            }
        }
        if drops_name(op) || binary.returns_bool {
            block.drop_names();
        }
        if comparison || block.has_histograms() || matches!(op, BinaryOp::TrimUpper | BinaryOp::TrimLower) {
            block.retain_present();
        }
        Ok(block)
    }

    fn set_operation(&self, op: BinaryOp, matching: &Matching, lhs: Block, rhs: Block) -> Outcome<Block> {
        let signatures = Signatures::new(self, matching, [&lhs, &rhs]);
        let (left, right) = (signatures.ids(&lhs), signatures.ids(&rhs));
        let steps = lhs.steps;
        let mut seen = vec![false; signatures.len() * steps];
        let (mark, mark_ids) = if op == BinaryOp::Or { (&lhs, &left) } else { (&rhs, &right) };
        for (series, id) in mark_ids.iter().enumerate() {
            self.ctx.budget.tick(1 + steps / 16)?;
            for step in 0..steps {
                if mark.is_present(series, step) {
                    seen[id * steps + step] = true;
                }
            }
        }
        let mut rows: HashMap<Labels, usize> = HashMap::new();
        let mut out = self.block();
        let mut copy = |from: &Block, ids: &[usize], keep: &dyn Fn(bool) -> bool| -> Outcome<()> {
            for (series, id) in ids.iter().enumerate() {
                let mut row = None;
                for step in 0..steps {
                    let Some(cell) = from.cell(series, step).filter(|_| keep(seen[id * steps + step])) else { continue };
                    let meta = &from.series[series];
                    let row = *row.get_or_insert_with(|| *rows.entry(meta.labels.clone()).or_insert_with(|| out.push(meta.clone())));
                    if out.is_present(row, step) {
                        return Err(EvalError::execution("vector cannot contain metrics with the same labelset"));
                    }
                    out.series[row].drop_name |= meta.drop_name;
                    out.set(row, step, cell);
                }
            }
            Ok(())
        };
        match op {
            BinaryOp::And => copy(&lhs, &left, &|seen| seen)?,
            BinaryOp::Unless => copy(&lhs, &left, &|seen| !seen)?,
            _ => {
                copy(&lhs, &left, &|_| true)?;
                copy(&rhs, &right, &|seen| !seen)?;
            }
        }
        let samples = out.samples();
        self.ctx.budget.hold(&mut out.lease, samples)?;
        Ok(out)
    }

    /// One element, where both sides are there.
    pub fn element(&self, op: BinaryOp, l: &Cell, r: &Cell, span: Span) -> Kept {
        let notes = &self.ctx.notes;
        let impossible = |left: &'static str, right: &'static str| {
            notes.add(&Note::IncompatibleTypes { left, op: op.symbol(), right }, span);
            Kept::Impossible
        };
        match (l, r) {
            (Cell::Float(l), Cell::Float(r)) => {
                if op.is_comparison() {
                    Kept::Value(Cell::Float(*l), compare(op, *l, *r))
                } else if matches!(op, BinaryOp::TrimUpper | BinaryOp::TrimLower) {
                    impossible("float", "float")
                } else {
                    Kept::Value(Cell::Float(arithmetic(op, *l, *r)), true)
                }
            }
            (Cell::Float(l), Cell::Histogram(r)) => match op {
                BinaryOp::Mul => {
                    let mut h = (**r).clone();
                    multiply(&mut h, *l);
                    compact(&mut h);
                    Kept::Value(Cell::Histogram(Arc::new(h)), true)
                }
                _ => impossible("float", "histogram"),
            },
            (Cell::Histogram(l), Cell::Float(r)) => {
                let mut h = (**l).clone();
                match op {
                    BinaryOp::Mul => multiply(&mut h, *r),
                    BinaryOp::Div => divide(&mut h, *r),
                    BinaryOp::TrimUpper => h = trim(l, *r, Keep::Below),
                    BinaryOp::TrimLower => h = trim(l, *r, Keep::Above),
                    _ => return impossible("histogram", "float"),
                }
                compact(&mut h);
                Kept::Value(Cell::Histogram(Arc::new(h)), true)
            }
            (Cell::Histogram(l), Cell::Histogram(r)) => {
                let (outcome, operation, h) = match op {
                    BinaryOp::Add => {
                        let mut h = (**l).clone();
                        (add(&mut h, r), Operation::Addition, h)
                    }
                    BinaryOp::Sub => {
                        let mut h = (**l).clone();
                        let outcome = subtract(&mut h, r);
                        h.counter_reset = CounterResetHint::Gauge;
                        (outcome, Operation::Subtraction, h)
                    }
                    BinaryOp::Eq => return Kept::Value(Cell::Histogram(l.clone()), equal(l, r)),
                    BinaryOp::Ne => return Kept::Value(Cell::Histogram(l.clone()), !equal(l, r)),
                    _ => return impossible("histogram", "histogram"),
                };
                match outcome {
                    Err(IncompatibleSchema) => {
                        notes.add(&Note::IncompatibleBucketLayout(op.symbol()), span);
                        Kept::Impossible
                    }
                    Ok(Remarks { reset_collision, reconciled }) => {
                        if reset_collision {
                            notes.add(&Note::CounterResetCollision(operation), span);
                        }
                        if reconciled {
                            notes.add(&Note::MismatchedCustomBuckets(operation), span);
                        }
                        let mut h = h;
                        compact(&mut h);
                        Kept::Value(Cell::Histogram(Arc::new(h)), true)
                    }
                }
            }
        }
    }
}

/// The outcome of one element: nothing that could be computed, or a value and whether a comparison keeps it.
pub enum Kept {
    Impossible,
    Value(Cell, bool),
}

pub fn drops_name(op: BinaryOp) -> bool {
    use BinaryOp::{Add, Atan2, Div, Mod, Mul, Pow, Sub};
    matches!(op, Add | Sub | Mul | Div | Mod | Pow | Atan2)
}

/// Labels in braces, the name among them: `{__name__="x", job="y"}`.
pub fn label_text(labels: &Labels) -> String {
    let plain = |name: &str| name.bytes().enumerate().all(|(i, b)| b.is_ascii_alphabetic() || b == b'_' || (i > 0 && b.is_ascii_digit()));
    let pair = |l: &Label| {
        let name = if plain(&l.name) { l.name.to_string() } else { go_quote(&l.name) };
        format!("{name}={}", go_quote(&l.value))
    };
    format!("{{{}}}", labels.iter().map(pair).collect::<Vec<_>>().join(", "))
}

fn compare(op: BinaryOp, l: f64, r: f64) -> bool {
    match op {
        BinaryOp::Eq => l == r,
        BinaryOp::Ne => l != r,
        BinaryOp::Lt => l < r,
        BinaryOp::Le => l <= r,
        BinaryOp::Gt => l > r,
        BinaryOp::Ge => l >= r,
        _ => false,
    }
}

fn arithmetic(op: BinaryOp, l: f64, r: f64) -> f64 {
    match op {
        BinaryOp::Add => l + r,
        BinaryOp::Sub => l - r,
        BinaryOp::Mul => l * r,
        BinaryOp::Div => l / r,
        BinaryOp::Mod => l % r,
        BinaryOp::Pow => l.powf(r),
        BinaryOp::Atan2 => l.atan2(r),
        _ => f64::NAN,
    }
}

fn scalar_result(op: BinaryOp, l: f64, r: f64) -> f64 {
    if op.is_comparison() { f64::from(u8::from(compare(op, l, r))) } else { arithmetic(op, l, r) }
}
