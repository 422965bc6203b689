//! `histogram_quantile`, `histogram_quantiles` and `histogram_fraction`, over classic and native histograms together.

use super::block::{Block, Meta};
use super::labels::text_argument;
use super::{Evaluator, Outcome};
use crate::annotations::Note;
use crate::ast::{Call, Span};
use crate::error::EvalError;
use crate::functions::over_time::Cell;
use crate::histogram::quantile::{ClassicBucket, NanEffect, classic_fraction, classic_quantile, native_fraction, native_quantile};
use crate::number::format_open_metrics;
use std::collections::{HashMap, HashSet};
use watchfire_model::{Labels, METRIC_NAME, NativeHistogram};

/// Series of the argument that make up one histogram: native ones by themselves, classic ones by their labels without `le`.
struct Group {
    meta: Meta,
    native: Vec<usize>,
    /// Series and upper bound.
    classic: Vec<(usize, f64)>,
}

/// What is asked of each histogram.
trait Question {
    fn native(&self, step: usize, h: &NativeHistogram, metric: &str) -> f64;
    fn classic(&self, step: usize, buckets: &mut Vec<ClassicBucket>, metric: &str) -> f64;
}

impl Evaluator<'_> {
    pub fn histogram_quantile(&self, call: &Call) -> Outcome<Block> {
        let quantiles = self.eval_scalar(&call.args[0])?;
        self.note_quantiles(&quantiles, call.args[0].span());
        let input = self.eval_vector(&call.args[1])?;
        let question = QuantileQuestion { evaluator: self, quantiles: &quantiles, span: call.args[1].span() };
        let groups = self.histogram_groups(&input, call.args[1].span());
        let mut out = self.block();
        self.ask(&input, &groups, call.args[1].span(), &question, &mut out, |labels| labels.clone())?;
        Ok(out)
    }

    pub fn histogram_quantiles(&self, call: &Call) -> Outcome<Block> {
        let name = text_argument(call, 1)?;
        let mut questions = Vec::new();
        for arg in &call.args[2..] {
            let quantiles = self.eval_scalar(arg)?;
            self.note_quantiles(&quantiles, arg.span());
            questions.push(quantiles);
        }
        let span = call.args[0].span();
        let input = self.eval_vector(&call.args[0])?;
        let groups = self.histogram_groups(&input, span);
        let mut out = self.block();
        for quantiles in questions {
            // The label needs one value: the quantile of the first step stands for constant ones, others get a row per value.
            let mut seen = HashSet::new();
            for value in quantiles.iter().copied().filter(|q| seen.insert(q.to_bits())) {
                self.ctx.budget.tick(1 + quantiles.len() / 64)?;
                let only: Vec<f64> =
                    quantiles.iter().map(|q| if q.to_bits() == value.to_bits() { *q } else { super::block::ABSENT }).collect();
                let question = QuantileQuestion { evaluator: self, quantiles: &only, span };
                let text = format_open_metrics(value);
                self.ask(&input, &groups, span, &question, &mut out, |labels| {
                    let mut builder = labels.to_builder();
                    builder.set(name, &text);
                    builder.build()
                })?;
            }
        }
        Ok(out)
    }

    pub fn histogram_fraction(&self, call: &Call) -> Outcome<Block> {
        let (lower, upper) = (self.eval_scalar(&call.args[0])?, self.eval_scalar(&call.args[1])?);
        let input = self.eval_vector(&call.args[2])?;
        let question = FractionQuestion { evaluator: self, lower: &lower, upper: &upper, span: call.args[2].span() };
        let groups = self.histogram_groups(&input, call.args[2].span());
        let mut out = self.block();
        self.ask(&input, &groups, call.args[2].span(), &question, &mut out, |labels| labels.clone())?;
        Ok(out)
    }

    fn note_quantiles(&self, quantiles: &[f64], span: Span) {
        for q in quantiles {
            if !(0.0..=1.0).contains(q) {
                self.ctx.notes.add(&Note::InvalidQuantile(*q), span);
            }
        }
    }

    fn histogram_groups(&self, input: &Block, span: Span) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        let mut index: HashMap<Labels, usize> = HashMap::new();
        let mut group = |labels: Labels, meta: &dyn Fn() -> Meta| match index.get(&labels) {
            Some(at) => *at,
            None => {
                groups.push(Group { meta: meta(), native: Vec::new(), classic: Vec::new() });
                index.insert(labels, groups.len() - 1);
                groups.len() - 1
            }
        };
        let mut members: Vec<(usize, usize, Option<f64>)> = Vec::new();
        for (series, meta) in input.series.iter().enumerate() {
            let has_floats = input.row(series).iter().any(|v| !watchfire_model::is_stale(*v));
            if input.has_histograms() && (0..input.steps).any(|step| input.histogram(series, step).is_some()) {
                let at = group(meta.labels.clone(), &|| meta.clone());
                members.push((at, series, None));
            }
            if !has_floats {
                continue;
            }
            let le = meta.labels.value("le");
            let Some(bound) = parse_bound(le) else {
                self.ctx.notes.add(&Note::BadBucketLabel { metric: meta.labels.metric_name(), label: le }, span);
                continue;
            };
            let mut builder = meta.labels.to_builder();
            builder.remove("le");
            // `x_bucket` and a native `x` belong together only under one name; the suffix stays part of the identity.
            let labels = builder.build();
            let at = group(labels.clone(), &|| Meta { labels: labels.clone(), drop_name: true });
            members.push((at, series, Some(bound)));
        }
        for (at, series, bound) in members {
            match bound {
                Some(bound) => groups[at].classic.push((series, bound)),
                None => groups[at].native.push(series),
            }
        }
        groups
    }

    fn ask(
        &self,
        input: &Block,
        groups: &[Group],
        span: Span,
        question: &dyn Question,
        out: &mut Block,
        labels: impl Fn(&Labels) -> Labels,
    ) -> Outcome<()> {
        let mut buckets = Vec::new();
        let mut rows: HashMap<Labels, usize> = HashMap::new();
        for group in groups {
            let labels = labels(&group.meta.labels);
            let metric = group.meta.labels.get(METRIC_NAME).unwrap_or("");
            let row = match rows.get(&labels) {
                Some(row) => *row,
                None => {
                    let row = self.push_row(out, Meta { labels: labels.clone(), drop_name: true })?;
                    rows.insert(labels, row);
                    row
                }
            };
            for step in 0..input.steps {
                self.ctx.budget.tick(1 + group.classic.len() / 8)?;
                let native = group.native.iter().find_map(|series| input.histogram(*series, step));
                buckets.clear();
                buckets.extend(
                    group
                        .classic
                        .iter()
                        .filter_map(|(series, upper)| input.float(*series, step).map(|count| ClassicBucket { upper: *upper, count })),
                );
                let value = match native {
                    Some(_) if !buckets.is_empty() => {
                        self.ctx.notes.add(&Note::MixedClassicNative(metric), span);
                        continue;
                    }
                    Some(h) => question.native(step, h, metric),
                    None if buckets.is_empty() => continue,
                    None => question.classic(step, &mut buckets, metric),
                };
                if out.is_present(row, step) {
                    return Err(EvalError::execution("vector cannot contain metrics with the same labelset"));
                }
                out.set(row, step, Cell::Float(value));
            }
        }
        out.retain_present();
        Ok(())
    }
}

struct QuantileQuestion<'a> {
    evaluator: &'a Evaluator<'a>,
    quantiles: &'a [f64],
    span: Span,
}

impl Question for QuantileQuestion<'_> {
    fn native(&self, step: usize, h: &NativeHistogram, metric: &str) -> f64 {
        let q = self.quantiles[step];
        if watchfire_model::is_stale(q) {
            return q;
        }
        let (value, effect) = native_quantile(q, h);
        let notes = &self.evaluator.ctx.notes;
        match effect {
            NanEffect::None => {}
            NanEffect::Result => notes.add(&Note::QuantileNan(metric), self.span),
            NanEffect::Skew => notes.add(&Note::QuantileNanSkew(metric), self.span),
        }
        value
    }

    fn classic(&self, step: usize, buckets: &mut Vec<ClassicBucket>, metric: &str) -> f64 {
        let q = self.quantiles[step];
        if watchfire_model::is_stale(q) {
            return q;
        }
        let (value, forced) = classic_quantile(q, buckets);
        if forced {
            self.evaluator.ctx.notes.add(&Note::ForcedMonotonicity { metric }, self.span);
        }
        value
    }
}

struct FractionQuestion<'a> {
    evaluator: &'a Evaluator<'a>,
    lower: &'a [f64],
    upper: &'a [f64],
    span: Span,
}

impl Question for FractionQuestion<'_> {
    fn native(&self, step: usize, h: &NativeHistogram, metric: &str) -> f64 {
        let (value, without_nan) = native_fraction(self.lower[step], self.upper[step], h);
        if without_nan {
            self.evaluator.ctx.notes.add(&Note::FractionNan(metric), self.span);
        }
        value
    }

    fn classic(&self, step: usize, buckets: &mut Vec<ClassicBucket>, _metric: &str) -> f64 {
        classic_fraction(self.lower[step], self.upper[step], buckets)
    }
}

/// An `le` value as Go reads floats.
pub fn parse_bound(text: &str) -> Option<f64> {
    let lower = text.to_ascii_lowercase();
    match lower.trim_start_matches(['+', '-']) {
        "inf" | "infinity" => Some(if lower.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY }),
        "nan" | "" => None,
        _ => text.parse().ok(),
    }
}
