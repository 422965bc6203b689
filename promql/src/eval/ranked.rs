//! Aggregations that keep some series of each group: `topk`, `bottomk`, `limitk`, `limit_ratio`.

use super::aggregate::group_ids;
use super::block::Block;
use super::calls::by_value;
use super::hash::labels_hash;
use super::{Evaluator, Outcome};
use crate::annotations::Note;
use crate::ast::{Aggregate, AggregateOp, Span};
use crate::error::EvalError;
use crate::functions::over_time::Cell;
use crate::number::format_general;
use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// A candidate: the worst one is on top of the heap.
struct Candidate {
    value: f64,
    series: usize,
    descending: bool,
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        by_value(self.value, other.value, self.descending).then_with(|| self.series.cmp(&other.series))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Candidate {}

impl Evaluator<'_> {
    pub fn ranked(&self, aggregate: &Aggregate) -> Outcome<Block> {
        let Some(param) = &aggregate.param else { return Ok(self.block()) };
        let parameter = self.eval_scalar(param)?;
        let ratio = aggregate.op == AggregateOp::LimitRatio;
        if ratio {
            self.check_ratios(&parameter, param.span())?
        } else {
            check_counts(&parameter)?
        }
        // Also where nothing is asked for: what is wrong with the input is said.
        let input = self.eval_vector(&aggregate.expr)?;
        if !ratio && parameter.iter().all(|k| *k < 1.0) {
            return Ok(self.block());
        }
        let (groups, group) = group_ids(aggregate, &input.series);
        let mut kept: Vec<Vec<(usize, usize)>> = Vec::with_capacity(input.steps);
        let offsets: Vec<f64> =
            if ratio { input.series.iter().map(|m| labels_hash(&m.labels) as f64 / u64::MAX as f64).collect() } else { Vec::new() };
        for (step, k) in parameter.iter().enumerate() {
            self.ctx.budget.tick(1 + input.len() / 4)?;
            let mut chosen: Vec<(usize, usize)> = match aggregate.op {
                AggregateOp::LimitRatio => {
                    let r = k.clamp(-1.0, 1.0);
                    let inside = |series: &usize| if r >= 0.0 { offsets[*series] < r } else { offsets[*series] >= 1.0 + r };
                    (0..input.len()).filter(|s| input.is_present(*s, step) && inside(s)).map(|s| (group[s], s)).collect()
                }
                AggregateOp::Limitk => {
                    let mut taken = vec![0usize; groups.labels.len()];
                    let k = limit(*k, input.len());
                    let take = |series: &usize| {
                        let count = &mut taken[group[*series]];
                        *count += 1;
                        *count <= k
                    };
                    (0..input.len()).filter(|s| input.is_present(*s, step)).filter(take).map(|s| (group[s], s)).collect()
                }
                op => self.extremes(&input, &group, groups.labels.len(), step, limit(*k, input.len()), op, aggregate),
            };
            // Grouped in the order the groups appear.
            chosen.sort_by_key(|(group, _)| *group);
            kept.push(chosen);
        }
        let mut out = self.block();
        let mut rows: Vec<Option<usize>> = vec![None; input.len()];
        for (step, chosen) in kept.iter().enumerate() {
            for (_, series) in chosen {
                let row = match rows[*series] {
                    Some(row) => row,
                    None => {
                        let row = out.push(input.series[*series].clone());
                        rows[*series] = Some(row);
                        row
                    }
                };
                if let Some(cell) = input.cell(*series, step) {
                    out.set(row, step, cell);
                }
            }
        }
        out.lease = input.lease;
        Ok(out)
    }

    #[allow(clippy::too_many_arguments)]
    fn extremes(
        &self,
        input: &Block,
        group: &[usize],
        groups: usize,
        step: usize,
        k: usize,
        op: AggregateOp,
        aggregate: &Aggregate,
    ) -> Vec<(usize, usize)> {
        let descending = op == AggregateOp::Topk;
        let mut heaps: Vec<BinaryHeap<Candidate>> = (0..groups).map(|_| BinaryHeap::new()).collect();
        for (series, group) in group.iter().enumerate() {
            match input.cell(series, step) {
                Some(Cell::Float(value)) if k > 0 => {
                    let heap = &mut heaps[*group];
                    let candidate = Candidate { value, series, descending };
                    if heap.len() < k {
                        heap.push(candidate);
                    } else if let Some(mut worst) = heap.peek_mut()
                        && candidate < *worst
                    {
                        *worst = candidate;
                    }
                }
                Some(Cell::Histogram(_)) => {
                    self.ctx.notes.add(&Note::HistogramIgnoredInAggregation(op.name()), aggregate.span);
                }
                _ => {}
            }
        }
        heaps
            .into_iter()
            .enumerate()
            .flat_map(|(group, heap)| heap.into_sorted_vec().into_iter().map(move |candidate| (group, candidate.series)))
            .collect()
    }

    fn check_ratios(&self, ratios: &[f64], span: Span) -> Outcome<()> {
        if ratios.iter().any(|r| r.is_nan()) {
            return Err(EvalError::execution("Ratio value is NaN"));
        }
        let largest = ratios.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let smallest = ratios.iter().copied().fold(f64::INFINITY, f64::min);
        if largest > 1.0 {
            self.ctx.notes.add(&Note::InvalidRatio(largest, 1.0), span);
        }
        if smallest < -1.0 {
            self.ctx.notes.add(&Note::InvalidRatio(smallest, -1.0), span);
        }
        Ok(())
    }
}

fn limit(k: f64, series: usize) -> usize {
    if k < 1.0 { 0 } else { (k as usize).min(series) }
}

fn check_counts(counts: &[f64]) -> Outcome<()> {
    for k in counts {
        if k.is_nan() {
            return Err(EvalError::execution("Parameter value is NaN"));
        }
        if *k >= 9_223_372_036_854_775_808.0 {
            return Err(EvalError::execution(format!("Scalar value {} overflows int64", format_general(*k))));
        }
        if *k <= -9_223_372_036_854_775_808.0 {
            return Err(EvalError::execution(format!("Scalar value {} underflows int64", format_general(*k))));
        }
    }
    Ok(())
}
