//! Functions of instant vectors and scalars.

use super::block::{Block, Meta};
use super::select::Take;
use super::{Evaluator, Outcome, Val};
use crate::annotations::Note;
use crate::ast::{Call, Expr};
use crate::functions::over_time::Cell;
use crate::functions::{Kind, date};
use crate::histogram::buckets::{ascending, uses_custom_buckets};
use crate::number::kahan;
use std::cmp::Ordering;
use watchfire_model::{Labels, NativeHistogram, is_stale};

impl Evaluator<'_> {
    pub fn call(&self, call: &Call) -> Outcome<Val> {
        let arg = |i: usize| &call.args[i];
        let count = self.steps.count;
        let constant = |value: f64| self.scalars(vec![value; count]);
        match call.function.kind {
            Kind::OverTime(function) => self.range_call(call, Some(function)).map(Val::Vector),
            Kind::AbsentOverTime => self.range_call(call, None).map(Val::Vector),
            Kind::Elementwise(f) => self.map_floats(arg(0), |_, v| Some(f(v))),
            Kind::Date(part) => {
                if call.args.is_empty() {
                    let mut block = self.block();
                    let row = self.push_row(&mut block, Meta { labels: Labels::empty(), drop_name: false })?;
                    for step in 0..count {
                        block.set(row, step, Cell::Float(date::part(part, self.steps.at(step).div_euclid(1000) as f64)));
                    }
                    return Ok(Val::Vector(block));
                }
                self.map_floats(arg(0), |_, v| Some(date::part(part, v)))
            }
            Kind::Clamp => {
                let (low, high) = (self.eval_scalar(arg(1))?, self.eval_scalar(arg(2))?);
                self.clamp(arg(0), &low, &high)
            }
            Kind::ClampMax => {
                let high = self.eval_scalar(arg(1))?;
                self.clamp(arg(0), &vec![f64::NEG_INFINITY; count], &high)
            }
            Kind::ClampMin => {
                let low = self.eval_scalar(arg(1))?;
                self.clamp(arg(0), &low, &vec![f64::INFINITY; count])
            }
            Kind::Round => {
                let nearest = if call.args.len() > 1 { Some(self.eval_scalar(arg(1))?) } else { None };
                self.map_floats(arg(0), |step, v| {
                    let inverse = 1.0 / nearest.as_ref().map_or(1.0, |nearest| nearest[step]);
                    Some((v * inverse + 0.5).floor() / inverse)
                })
            }
            Kind::Scalar => {
                let block = self.eval_vector(arg(0))?;
                let value = |step: usize| {
                    let mut floats = (0..block.len()).filter_map(|series| block.float(series, step));
                    floats.next().filter(|_| floats.next().is_none()).unwrap_or(f64::NAN)
                };
                self.scalars((0..count).map(value).collect())
            }
            Kind::Vector => {
                let values = self.eval_scalar(arg(0))?;
                Ok(Val::Vector(self.one_series(values)))
            }
            Kind::Time => self.scalars((0..count).map(|step| self.steps.at(step) as f64 / 1000.0).collect()),
            Kind::Pi => constant(std::f64::consts::PI),
            Kind::QueryStep => constant(self.ctx.times.step),
            Kind::QueryRange => constant(self.ctx.times.range),
            Kind::QueryStart => constant(self.ctx.start as f64 / 1000.0),
            Kind::QueryEnd => constant(self.ctx.end as f64 / 1000.0),
            Kind::MinOf | Kind::MaxOf => {
                let (a, b) = (self.eval_scalar(arg(0))?, self.eval_scalar(arg(1))?);
                let pick = if matches!(call.function.kind, Kind::MinOf) { go_min } else { go_max };
                self.scalars(a.iter().zip(b.iter()).map(|(a, b)| pick(*a, *b)).collect())
            }
            Kind::Timestamp => self.timestamp(arg(0)),
            Kind::StartTimestamp => self.start_timestamp(arg(0)),
            Kind::Absent => {
                let found = self.eval_vector(arg(0))?;
                self.where_absent(&found, arg(0)).map(Val::Vector)
            }
            Kind::HistogramAvg => self.map_histograms(arg(0), |h| h.sum / h.count),
            Kind::HistogramCount => self.map_histograms(arg(0), |h| h.count),
            Kind::HistogramSum => self.map_histograms(arg(0), |h| h.sum),
            Kind::HistogramStddev => self.map_histograms(arg(0), |h| histogram_variance(h).sqrt()),
            Kind::HistogramStdvar => self.map_histograms(arg(0), histogram_variance),
            Kind::HistogramFraction => self.histogram_fraction(call).map(Val::Vector),
            Kind::HistogramQuantile => self.histogram_quantile(call).map(Val::Vector),
            Kind::HistogramQuantiles => self.histogram_quantiles(call).map(Val::Vector),
            Kind::Sort { descending } => self.sort(call, descending),
            Kind::SortByLabel { descending } => self.sort_by_label(call, descending),
            Kind::LabelReplace => self.label_replace(call).map(Val::Vector),
            Kind::LabelJoin => self.label_join(call).map(Val::Vector),
            Kind::Info => self.info(call).map(Val::Vector),
        }
    }

    fn map_floats(&self, arg: &Expr, f: impl Fn(usize, f64) -> Option<f64>) -> Outcome<Val> {
        let mut block = self.eval_vector(arg)?.floats_only();
        let steps = block.steps.max(1);
        for (i, v) in block.floats.iter_mut().enumerate() {
            if !is_stale(*v) {
                *v = f(i % steps, *v).unwrap_or(super::block::ABSENT);
            }
        }
        block.drop_names();
        Ok(Val::Vector(block))
    }

    fn clamp(&self, arg: &Expr, low: &[f64], high: &[f64]) -> Outcome<Val> {
        let value =
            self.map_floats(arg, |step, v| if high[step] < low[step] { None } else { Some(go_max(low[step], go_min(high[step], v))) })?;
        let Val::Vector(mut block) = value else { return Ok(value) };
        block.retain_present();
        Ok(Val::Vector(block))
    }

    fn map_histograms(&self, arg: &Expr, f: impl Fn(&NativeHistogram) -> f64) -> Outcome<Val> {
        let mut block = self.eval_vector(arg)?;
        for i in 0..block.floats.len() {
            block.floats[i] = block.histograms.get(i).and_then(Option::as_ref).map_or(super::block::ABSENT, |h| f(h));
        }
        block.histograms = Vec::new();
        block.retain_present();
        block.drop_names();
        Ok(Val::Vector(block))
    }

    fn timestamp(&self, arg: &Expr) -> Outcome<Val> {
        let mut block = match arg.unwrap_parens() {
            Expr::Vector(selector) if !selector.smoothed => self.select(selector, Take::Time)?,
            _ => {
                let mut block = self.eval_vector(arg)?;
                for series in 0..block.len() {
                    for step in 0..block.steps {
                        if block.is_present(series, step) {
                            block.floats[series * block.steps + step] = self.steps.at(step) as f64 / 1000.0;
                        }
                    }
                }
                block.histograms = Vec::new();
                block
            }
        };
        block.drop_names();
        Ok(Val::Vector(block))
    }

    fn start_timestamp(&self, arg: &Expr) -> Outcome<Val> {
        let mut block = match arg.unwrap_parens() {
            Expr::Vector(selector) if self.ctx.source.has_start_times() => self.select(selector, Take::Start)?,
            _ => self.block(),
        };
        block.drop_names();
        Ok(Val::Vector(block))
    }

    fn sort(&self, call: &Call, descending: bool) -> Outcome<Val> {
        let block = self.eval_vector(&call.args[0])?.floats_only();
        self.reorder(call, block, |block, a, b| by_value(block.floats[a], block.floats[b], descending))
    }

    fn sort_by_label(&self, call: &Call, descending: bool) -> Outcome<Val> {
        let names: Vec<&str> = call.args[1..]
            .iter()
            .filter_map(|arg| match arg.unwrap_parens() {
                Expr::Text { value, .. } => Some(value.as_str()),
                _ => None,
            })
            .collect();
        let block = self.eval_vector(&call.args[0])?;
        self.reorder(call, block, |block, a, b| {
            let (a, b) = (&block.series[a].labels, &block.series[b].labels);
            let order = names
                .iter()
                .map(|name| natural(a.value(name), b.value(name)))
                .find(|order| *order != Ordering::Equal)
                .unwrap_or_else(|| a.cmp(b));
            if descending { order.reverse() } else { order }
        })
    }

    /// Several steps have no common order, be they of a range query or of a subquery: there the order stays, and a note says so.
    fn reorder(&self, call: &Call, block: Block, order: impl Fn(&Block, usize, usize) -> Ordering) -> Outcome<Val> {
        if self.ctx.is_range || block.steps != 1 {
            self.ctx.notes.add(&Note::SortInRange, call.span);
            return Ok(Val::Vector(block));
        }
        let mut rows: Vec<usize> = (0..block.len()).collect();
        rows.sort_by(|a, b| order(&block, *a, *b));
        let mut sorted = self.block();
        for row in rows {
            let at = sorted.push(block.series[row].clone());
            if let Some(cell) = block.cell(row, 0) {
                sorted.set(at, 0, cell);
            }
        }
        sorted.lease = block.lease;
        Ok(Val::Vector(sorted))
    }
}

/// Ascending or descending, NaN always last.
pub fn by_value(a: f64, b: f64, descending: bool) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        _ if descending => b.partial_cmp(&a).unwrap_or(Ordering::Equal),
        _ => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
    }
}

/// Numbers inside text compare as numbers.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    loop {
        match (a.first(), b.first()) {
            (None, None) => return Ordering::Equal,
            (None, _) => return Ordering::Less,
            (_, None) => return Ordering::Greater,
            (Some(x), Some(y)) if x.is_ascii_digit() && y.is_ascii_digit() => {
                let run = |s: &[u8]| s.iter().take_while(|c| c.is_ascii_digit()).count();
                let (m, n) = (run(a), run(b));
                let digits = |s: &[u8]| s.iter().position(|c| *c != b'0').map_or(Vec::new(), |i| s[i..].to_vec());
                let (x, y) = (digits(&a[..m]), digits(&b[..n]));
                let order = x.len().cmp(&y.len()).then_with(|| x.cmp(&y)).then_with(|| m.cmp(&n));
                if order != Ordering::Equal {
                    return order;
                }
                (a, b) = (&a[m..], &b[n..]);
            }
            (Some(x), Some(y)) if x == y => (a, b) = (&a[1..], &b[1..]),
            (Some(x), Some(y)) => return x.cmp(y),
        }
    }
}

/// As in Go, NaN wins over everything but the infinity beyond which there is nothing.
fn go_min(a: f64, b: f64) -> f64 {
    if (a.is_nan() || b.is_nan()) && a != f64::NEG_INFINITY && b != f64::NEG_INFINITY { f64::NAN } else { a.min(b) }
}

fn go_max(a: f64, b: f64) -> f64 {
    if (a.is_nan() || b.is_nan()) && a != f64::INFINITY && b != f64::INFINITY { f64::NAN } else { a.max(b) }
}

/// Variance estimated from the middles of the buckets.
fn histogram_variance(h: &NativeHistogram) -> f64 {
    let mean = h.sum / h.count;
    let (mut variance, mut c) = (0.0, 0.0);
    for bucket in ascending(h).into_iter().filter(|b| b.count != 0.0) {
        let value = if uses_custom_buckets(h) {
            (bucket.upper + bucket.lower) / 2.0
        } else if bucket.lower <= 0.0 && bucket.upper >= 0.0 {
            0.0
        } else {
            (bucket.upper * bucket.lower).sqrt().copysign(bucket.upper)
        };
        let delta = value - mean;
        (variance, c) = kahan(bucket.count * delta * delta, variance, c);
    }
    (variance + c) / h.count
}
