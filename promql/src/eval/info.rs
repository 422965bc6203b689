//! `info(v, {selector})`: adds labels of info metrics (`target_info` by default) that share `instance` and `job`.
//! Follows Prometheus `promql/info.go`.

use super::block::{Block, Meta};
use super::{Evaluator, Lease, Outcome};
use crate::ast::{At, Call, Expr, Modifiers};
use crate::error::EvalError;
use std::collections::HashMap;
use std::rc::Rc;
use watchfire_model::{Labels, LabelsBuilder, METRIC_NAME, MatchOp, Matcher, Selector, TimeRange, Timestamp, is_stale};

const IDENTIFYING: [&str; 2] = ["instance", "job"];

/// One info series: its labels and its samples (time and whether it is stale).
struct InfoSeries {
    labels: Labels,
    times: Vec<i64>,
    stale: Vec<bool>,
    histogram: Vec<bool>,
}

/// What the second argument asks for.
struct Wanted {
    names: Vec<Matcher>,
    data: Vec<Matcher>,
}

impl Evaluator<'_> {
    pub fn info(&self, call: &Call) -> Outcome<Block> {
        let base = self.eval_vector(&call.args[0])?;
        let wanted = wanted(call);
        let (pinned, offset) = self.reference(&call.args[0], None, 0)?.unwrap_or((None, 0));
        let times: Vec<i64> = (0..self.steps.count).map(|step| pinned.unwrap_or_else(|| self.steps.at(step)) - offset).collect();
        // Info metrics themselves are passed through.
        let is_info = |meta: &Meta| wanted.names.iter().all(|m| m.matches(&meta.labels));
        let identified = base.series.iter().any(|m| !is_info(m) && !identity(&m.labels).is_empty());
        let mut lease = self.ctx.budget.lease();
        let series = if identified { self.info_series(&wanted, &times, &mut lease)? } else { Vec::new() };
        let mut by_identity: HashMap<Labels, Vec<usize>> = HashMap::new();
        for (index, info) in series.iter().enumerate() {
            by_identity.entry(identity(&info.labels)).or_default().push(index);
        }
        let all_optional = wanted.data.iter().all(|m| m.matches_value(""));
        let mut out = self.block();
        let mut rows: HashMap<Labels, usize> = HashMap::new();
        for (row, meta) in base.series.iter().enumerate() {
            let candidates = if is_info(meta) { None } else { by_identity.get(&identity(&meta.labels)) };
            let mut enriched: HashMap<Vec<usize>, Rc<Labels>> = HashMap::new();
            for (step, time) in times.iter().enumerate() {
                self.ctx.budget.tick(1 + candidates.map_or(0, Vec::len) / 8)?;
                let Some(cell) = base.cell(row, step) else { continue };
                let labels = if is_info(meta) {
                    meta.labels.clone()
                } else {
                    let found = match candidates {
                        Some(candidates) => self.current(&series, candidates, *time)?,
                        None => Vec::new(),
                    };
                    if found.is_empty() && !all_optional {
                        continue;
                    }
                    match enriched.get(&found) {
                        Some(labels) => (**labels).clone(),
                        None => {
                            let labels = enrich(&meta.labels, &wanted, found.iter().map(|i| &series[*i].labels))?;
                            enriched.insert(found, Rc::new(labels.clone()));
                            labels
                        }
                    }
                };
                let at = match rows.get(&labels) {
                    Some(at) => *at,
                    None => {
                        let at = self.push_row(&mut out, Meta { labels: labels.clone(), drop_name: meta.drop_name })?;
                        rows.insert(labels, at);
                        at
                    }
                };
                if out.is_present(at, step) {
                    return Err(EvalError::execution("vector cannot contain metrics with the same labelset"));
                }
                out.set(at, step, cell);
            }
        }
        let samples = out.samples();
        self.ctx.budget.hold(&mut out.lease, samples)?;
        Ok(out)
    }

    /// When info series are looked up: where the first selector below reads its samples.
    fn reference(&self, expr: &Expr, pinned: Option<i64>, offset: i64) -> Outcome<Option<(Option<i64>, i64)>> {
        let apply = |modifiers: &Modifiers| -> Outcome<(Option<i64>, i64)> {
            let (own, at) = self.modifiers(modifiers)?;
            Ok(match at {
                Some(at) => (Some(at), own),
                None => (pinned, offset + own),
            })
        };
        match expr {
            Expr::Vector(v) => apply(&v.modifiers).map(Some),
            Expr::Matrix(m) => apply(&m.vector.modifiers).map(Some),
            Expr::Subquery(s) => {
                let (pinned, offset) = apply(&s.modifiers)?;
                // `start()` and `end()` of the query also pin inside a subquery.
                debug_assert!(s.modifiers.at != Some(At::Start) || pinned.is_some());
                self.reference(&s.expr, pinned, offset)
            }
            _ => {
                for child in expr.children() {
                    if let Some(found) = self.reference(child, pinned, offset)? {
                        return Ok(Some(found));
                    }
                }
                Ok(None)
            }
        }
    }

    fn info_series(&self, wanted: &Wanted, times: &[i64], lease: &mut Lease) -> Outcome<Vec<InfoSeries>> {
        let first = times.iter().min().copied().unwrap_or(0) - self.ctx.lookback;
        let last = times.iter().max().copied().unwrap_or(0);
        let selector = Selector(wanted.names.iter().chain(&wanted.data).cloned().collect());
        let mut out = Vec::new();
        let mut failure = None;
        self.ctx.source.select(&selector, TimeRange::new(Timestamp(first), Timestamp(last)), &mut |view| {
            if failure.is_some() || identity(view.labels).is_empty() {
                return;
            }
            let samples = view.times.len();
            if let Err(error) = self.ctx.budget.tick(1 + samples / 16).and_then(|()| self.ctx.budget.hold(lease, samples)) {
                failure = Some(error);
                return;
            }
            let histogram = |i: usize| view.histograms.get(i).and_then(Option::as_ref);
            out.push(InfoSeries {
                labels: view.labels.clone(),
                times: view.times.iter().map(|t| t.0).collect(),
                stale: (0..view.times.len()).map(|i| histogram(i).map_or(is_stale(view.values[i]), |h| is_stale(h.sum))).collect(),
                histogram: (0..view.times.len()).map(|i| histogram(i).is_some()).collect(),
            });
        })?;
        failure.map_or(Ok(out), Err)
    }

    /// The info series in force at a time, one per metric name: that with the latest sample.
    fn current(&self, series: &[InfoSeries], candidates: &[usize], time: i64) -> Outcome<Vec<usize>> {
        let mut latest: Vec<(usize, i64)> = Vec::new();
        for index in candidates {
            let info = &series[*index];
            let at = info.times.partition_point(|t| *t <= time);
            let Some(at) = at.checked_sub(1).filter(|at| info.times[*at] > time - self.ctx.lookback && !info.stale[*at]) else { continue };
            if info.histogram[at] {
                return Err(EvalError::execution("info sample should be float"));
            }
            let sampled = info.times[at];
            match latest.iter_mut().find(|(other, _)| series[*other].labels.metric_name() == info.labels.metric_name()) {
                None => latest.push((*index, sampled)),
                Some((_, t)) if *t > sampled => {}
                Some(entry) if entry.1 < sampled => *entry = (*index, sampled),
                Some((other, t)) => {
                    return Err(EvalError::execution(format!(
                        "found duplicate series for info metric: existing {} @ {t}, new {} @ {sampled}",
                        super::binary::label_text(&series[*other].labels),
                        super::binary::label_text(&info.labels)
                    )));
                }
            }
        }
        Ok(latest.into_iter().map(|(index, _)| index).collect())
    }
}

fn wanted(call: &Call) -> Wanted {
    let matchers = match call.args.get(1) {
        Some(Expr::Vector(v)) => v.matchers.clone(),
        _ => Vec::new(),
    };
    let (mut names, data): (Vec<Matcher>, Vec<Matcher>) = matchers.into_iter().partition(|m| &*m.name == METRIC_NAME);
    if names.is_empty() {
        names.push(Matcher::equal(METRIC_NAME, "target_info"));
    } else if names.iter().all(|m| matches!(m.op, MatchOp::NotEqual | MatchOp::NotRegex))
        && let Ok(any) = Matcher::new(METRIC_NAME, MatchOp::Regex, ".+_info")
    {
        names.push(any);
    }
    Wanted { names, data }
}

fn identity(labels: &Labels) -> Labels {
    let mut builder = LabelsBuilder::new();
    for name in IDENTIFYING {
        if let Some(value) = labels.get(name) {
            builder.set(name, value);
        }
    }
    builder.build()
}

fn enrich<'a>(base: &Labels, wanted: &Wanted, infos: impl Iterator<Item = &'a Labels>) -> Outcome<Labels> {
    let mut added = LabelsBuilder::new();
    for info in infos {
        for label in info.iter().filter(|l| &*l.name != METRIC_NAME) {
            if !wanted.data.is_empty() && !wanted.data.iter().any(|m| m.name == label.name) {
                continue;
            }
            if added.get(&label.name).is_some_and(|value| value != &*label.value) {
                return Err(EvalError::execution(format!("conflicting label: {}", label.name)));
            }
            if base.get(&label.name).is_none() {
                added.set_shared(label.name.clone(), label.value.clone());
            }
        }
    }
    let mut builder = base.to_builder();
    for label in added.build().iter() {
        builder.set_shared(label.name.clone(), label.value.clone());
    }
    Ok(builder.build())
}
