//! Warnings and infos of an evaluation, worded and positioned as Prometheus does.

use crate::ast::Span;
use crate::error::position;
use crate::number::format_general;
use crate::parser::quote::go_quote;
use std::cell::RefCell;
use std::collections::BTreeSet;

/// What a histogram operation was for.
#[derive(Clone, Copy, Debug)]
pub enum Operation {
    Addition,
    Subtraction,
    Aggregation,
}

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Operation::Addition => "addition",
            Operation::Subtraction => "subtraction",
            Operation::Aggregation => "aggregation",
        }
    }
}

/// One remark about an evaluation. Equal ones are kept once.
#[derive(Clone, Debug)]
pub enum Note<'a> {
    InvalidQuantile(f64),
    InvalidRatio(f64, f64),
    BadBucketLabel { metric: &'a str, label: &'a str },
    MixedFloatsHistograms(&'a str),
    MixedFloatsHistogramsInAggregation,
    MixedClassicNative(&'a str),
    NotCounter(&'a str),
    NotGauge(&'a str),
    MixedExponentialCustom(&'a str),
    IncompatibleBucketLayout(&'static str),
    CounterResetCollision(Operation),
    StartTimeOverlap(&'a str),
    SortInRange,
    PossibleNonCounter(&'a str),
    PossibleNonCounterLabel { metric: &'a str, kind: &'a str },
    ForcedMonotonicity { metric: &'a str },
    IncompatibleTypes { left: &'static str, op: &'static str, right: &'static str },
    HistogramIgnoredInAggregation(&'static str),
    HistogramIgnoredInRange(&'a str),
    QuantileNan(&'a str),
    QuantileNanSkew(&'a str),
    FractionNan(&'a str),
    MismatchedCustomBuckets(Operation),
}

impl Note<'_> {
    fn text(&self) -> (bool, String) {
        let named = |text: &str, metric: &str| {
            if metric.is_empty() { text.to_owned() } else { format!("{text} for metric name {}", go_quote(metric)) }
        };
        let warning = |text: String| (true, format!("PromQL warning: {text}"));
        let info = |text: String| (false, format!("PromQL info: {text}"));
        match self {
            Note::InvalidQuantile(q) => warning(format!("quantile value should be between 0 and 1, got {}", format_general(*q))),
            Note::InvalidRatio(from, to) => warning(format!(
                "ratio value should be between -1 and 1, got {}, capping to {}",
                format_general(*from),
                format_general(*to)
            )),
            Note::BadBucketLabel { metric, label } => {
                warning(named(&format!("bucket label \"le\" is missing or has a malformed value of {}", go_quote(label)), metric))
            }
            Note::MixedFloatsHistograms(metric) => {
                warning(format!("encountered a mix of histograms and floats for metric name {}", go_quote(metric)))
            }
            Note::MixedFloatsHistogramsInAggregation => warning("encountered a mix of histograms and floats for aggregation".to_owned()),
            Note::MixedClassicNative(metric) => warning(named("vector contains a mix of classic and native histograms", metric)),
            Note::NotCounter(metric) => warning(format!("this native histogram metric is not a counter: {}", go_quote(metric))),
            Note::NotGauge(metric) => warning(format!("this native histogram metric is not a gauge: {}", go_quote(metric))),
            Note::MixedExponentialCustom(metric) => warning(format!(
                "vector contains a mix of histograms with exponential and custom buckets schemas for metric name {}",
                go_quote(metric)
            )),
            Note::IncompatibleBucketLayout(op) => warning(format!("incompatible bucket layout encountered for binary operator {op}")),
            Note::CounterResetCollision(op) => warning(format!("conflicting counter resets during histogram {}", op.name())),
            Note::StartTimeOverlap(metric) => {
                warning(format!("sample has start time that overlaps with previous sample timestamp for metric {}", go_quote(metric)))
            }
            Note::SortInRange => warning("sort is ineffective for range queries since results are always ordered by labels".to_owned()),
            Note::PossibleNonCounter(metric) => {
                info(format!("metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {}", go_quote(metric)))
            }
            Note::PossibleNonCounterLabel { metric, kind } => info(format!(
                "metric might not be a counter, __type__ label is not set to \"counter\" or \"histogram\", got {}: {}",
                go_quote(kind),
                go_quote(metric)
            )),
            Note::ForcedMonotonicity { metric } => info(named(
                "input to histogram_quantile needed to be fixed for monotonicity (see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)",
                metric,
            )),
            Note::IncompatibleTypes { left, op, right } => {
                info(format!("incompatible sample types encountered for binary operator {op:?}: {left} {op} {right}"))
            }
            Note::HistogramIgnoredInAggregation(name) => info(format!("ignored histogram in {name} aggregation")),
            Note::HistogramIgnoredInRange(metric) => {
                info(format!("ignored histograms in a range containing both floats and histograms for metric name {}", go_quote(metric)))
            }
            Note::QuantileNan(metric) => info(named("input to histogram_quantile has NaN observations, result is NaN", metric)),
            Note::QuantileNanSkew(metric) => {
                info(named("input to histogram_quantile has NaN observations, result is skewed higher", metric))
            }
            Note::FractionNan(metric) => {
                info(named("input to histogram_fraction has NaN observations, which are excluded from all fractions", metric))
            }
            Note::MismatchedCustomBuckets(op) => info(format!("mismatched custom buckets were reconciled during {}", op.name())),
        }
    }
}

/// Most notes of each kind that are told.
const TOLD: usize = 10;

/// Most notes of each kind that are told apart: there can be one for every value of a long query.
const KEPT: usize = 1000;

/// Collects notes during one evaluation.
#[derive(Debug, Default)]
pub struct Notes {
    query: String,
    /// Texts with their positions.
    warnings: RefCell<BTreeSet<String>>,
    infos: RefCell<BTreeSet<String>>,
}

impl Notes {
    pub fn new(query: &str) -> Self {
        Notes { query: query.to_owned(), ..Notes::default() }
    }

    pub fn add(&self, note: &Note<'_>, span: Span) {
        let (warning, text) = note.text();
        let mut kept = if warning { self.warnings.borrow_mut() } else { self.infos.borrow_mut() };
        if kept.len() < KEPT {
            let (line, column) = position(&self.query, span.start as usize);
            kept.insert(format!("{text} ({line}:{column})"));
        }
    }

    /// Warnings and infos, each sorted and cut at ten.
    pub fn into_texts(self) -> (Vec<String>, Vec<String>) {
        (limited(self.warnings.into_inner(), "warning"), limited(self.infos.into_inner(), "info"))
    }
}

fn limited(notes: BTreeSet<String>, kind: &str) -> Vec<String> {
    let omitted = notes.len().saturating_sub(TOLD);
    let at_least = if notes.len() == KEPT { "at least " } else { "" };
    let mut texts: Vec<String> = notes.into_iter().take(TOLD).collect();
    if omitted > 0 {
        texts.push(format!("{at_least}{omitted} more {kind} annotations omitted"));
    }
    texts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_for_every_value_is_a_thousand_of_them_and_hides_no_other_kind() {
        let notes = Notes::new("x");
        (0..10_000).for_each(|i| notes.add(&Note::InvalidQuantile(f64::from(i)), Span::default()));
        notes.add(&Note::QuantileNan("x"), Span::default());
        let (warnings, infos) = notes.into_texts();
        assert_eq!((warnings.len(), infos.len()), (11, 1));
        assert_eq!(warnings[10], "at least 990 more warning annotations omitted");
    }
}
