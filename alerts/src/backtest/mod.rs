//! What a rule would have done: its expression over past data as columns, and the life of its alerts replayed over them.

mod failing;
mod order;
mod recording;
mod series;

use self::failing::Values;
use self::order::Turn;
pub use self::order::read_of;
use self::series::Series;
use crate::comparison::Comparison;
use crate::evaluator::{alert_labels, concerns};
use crate::layered::Layered;
use crate::rule::{Alerting, Rule, RuleGroup, RuleKind};
use crate::state::{Change, Life, Moment};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use watchfire_model::reading::{AlertState, Backtest, BacktestQuery, ComparedWith, Episode};
use watchfire_model::{Labels, SeriesData, SeriesSource, Timestamp, Value};
use watchfire_promql::{Control, Engine, Query, QueryValue};
use watchfire_template::TemplateLimits;
use watchfire_template::rule::{TemplateContext, expand};

/// Evaluations done at once; the life of alerts goes on from one piece to the next.
const PIECE: i64 = 10_000;
/// Evaluations that one expression is tried on: a week at every second, and more.
const MOST_EVALUATIONS: i64 = 1_000_000;
/// Episodes reported; beyond it only the pages are counted.
const MAX_EPISODES: usize = 10_000;

/// The outcome for one rule of a file.
#[derive(Clone, Debug)]
pub struct RuleBacktest {
    pub group: String,
    pub rule: String,
    pub backtest: Backtest,
}

/// Between evaluations where neither the caller nor the group says otherwise: watchfire's own interval.
pub const BACKTEST_STEP: Duration = Duration::from_secs(15);

/// From when to when, and how often.
#[derive(Clone, Copy, Debug)]
pub struct Period {
    pub start: Timestamp,
    pub end: Timestamp,
    /// `None`: each group's own interval, or [`BACKTEST_STEP`].
    pub step: Option<Duration>,
}

/// Tries all alerting rules of some groups on the past. As live, they see what the other rules record, and their `ALERTS`.
pub fn backtest(engine: &Engine, groups: &[RuleGroup], source: &dyn SeriesSource, period: Period) -> Vec<RuleBacktest> {
    let layered = Layered::over(source);
    let rules: Vec<(&RuleGroup, &Rule)> = groups.iter().flat_map(|g| g.rules.iter().map(move |r| (g, r))).collect();
    let mut out: Vec<Option<RuleBacktest>> = rules.iter().map(|_| None).collect();
    for Turn { rule: i, unseen } in order::turns(&rules.iter().map(|(_, r)| *r).collect::<Vec<_>>()) {
        let (group, rule) = rules[i];
        let step = period.step.or(group.interval).unwrap_or(BACKTEST_STEP);
        let run = Run { engine, source: &layered, start: period.start, end: period.end, step, control: Control::default() };
        let backtest = match &rule.kind {
            RuleKind::Recording => Some(run.record(rule, group.limit, &layered)).filter(|backtest| !backtest.warnings.is_empty()),
            RuleKind::Alerting(alerting) => Some(run.alert(rule, alerting, group.limit, Some(&layered))),
        };
        out[i] = backtest.map(|mut backtest| {
            if !unseen.is_empty() {
                backtest.warnings.push(format!(
                    "it reads the alerts of {}, which need what it gives: here it sees only those that were recorded",
                    unseen.join(", ")
                ));
            }
            RuleBacktest { group: group.name.clone(), rule: rule.name.clone(), backtest }
        });
    }
    out.into_iter().flatten().collect()
}

/// Tries one expression on the past, as the rule lab asks, for as long as `control` lets it.
///
/// # Errors
/// When the expression does not parse, the times make no sense, or there are more of them than anybody waits for.
pub fn backtest_query(engine: &Engine, query: &BacktestQuery, source: &dyn SeriesSource, control: Control<'_>) -> Result<Backtest, String> {
    let parsed = Query::parse(&query.expression).map_err(|e| e.to_string())?;
    if query.end < query.start || query.step_ms <= 0 {
        return Err("a backtest needs start <= end and a positive step".to_owned());
    }
    let evaluations = query.end.millis().saturating_sub(query.start.millis()) / query.step_ms;
    if evaluations >= MOST_EVALUATIONS {
        return Err(format!("a backtest of more than {MOST_EVALUATIONS} evaluations; take a longer step or a shorter time"));
    }
    let seconds = |s: f64| Duration::try_from_secs_f64(s).map_err(|_| format!("{s} seconds is no duration"));
    let alerting =
        Alerting { hold: seconds(query.for_seconds)?, keep_firing_for: seconds(query.keep_firing_for_seconds)?, annotations: Vec::new() };
    let rule = Rule {
        name: "backtest".to_owned(),
        expression: query.expression.clone(),
        query: Arc::new(parsed),
        labels: Vec::new(),
        kind: RuleKind::Alerting(alerting.clone()),
        line: 0,
    };
    let step = Duration::from_millis(query.step_ms.unsigned_abs());
    let comparison = Comparison::of(&rule.query).map(|c| ComparedWith {
        value: c.left_text,
        sign: c.operator.to_owned(),
        number: c.threshold,
        from: c.constant.start,
        to: c.constant.end,
    });
    let mut backtest = Run { engine, source, start: query.start, end: query.end, step, control }.alert(&rule, &alerting, 0, None);
    for episode in &mut backtest.episodes {
        let mut labels = episode.labels.to_builder();
        labels.remove("alertname");
        episode.labels = labels.build();
    }
    Ok(Backtest { comparison, ..backtest })
}

struct Run<'a> {
    engine: &'a Engine,
    source: &'a dyn SeriesSource,
    start: Timestamp,
    end: Timestamp,
    step: Duration,
    control: Control<'a>,
}

/// One alert on its way through the columns.
struct Track<'a> {
    life: Option<Life>,
    peak: Option<f64>,
    open: Option<Episode>,
    series: Option<Series<'a>>,
}

impl Run<'_> {
    fn step_millis(&self) -> i64 {
        i64::try_from(self.step.as_millis()).unwrap_or(i64::MAX).max(1)
    }

    /// Pieces of the period: (first, last) evaluation times.
    fn pieces(&self) -> impl Iterator<Item = (Timestamp, Timestamp)> {
        let (step, start, end) = (self.step_millis(), self.start.millis(), self.end.millis());
        let count = if end < start { 0 } else { (end - start) / step + 1 };
        (0..count).step_by(PIECE as usize).map(move |i| {
            let last = (i + PIECE - 1).min(count - 1);
            (Timestamp(start + i * step), Timestamp(start + last * step))
        })
    }

    /// What its alerts give for other rules to see is written to `layered`.
    fn alert(&self, rule: &Rule, alerting: &Alerting, limit: usize, layered: Option<&Layered<'_>>) -> Backtest {
        let mut result = Backtest::default();
        let mut tracks: BTreeMap<Labels, Track<'_>> = BTreeMap::new();
        let falling = Comparison::of(&rule.query).is_some_and(|c| c.operator.starts_with('<'));
        for piece in self.pieces() {
            let first = piece.0;
            let steps = steps_of(piece, self.step_millis());
            result.evaluations += steps;
            let found = match self.values(&rule.query, piece) {
                Ok(found) => found,
                Err(error) => {
                    result.warnings.push(error);
                    return result;
                }
            };
            found.report("", &mut result);
            for warning in found.warnings {
                if !result.warnings.contains(&warning) {
                    result.warnings.push(warning);
                }
            }
            let (columns, mut failed) = self.columns(rule, found.series, first, steps, &mut result.warnings);
            result.failed += failed.len();
            failed.extend(found.failed);
            let recovery = self.recovery(alerting, columns.keys().chain(tracks.keys()), piece);
            for labels in columns.keys() {
                tracks.entry(labels.clone()).or_insert_with(|| Track {
                    life: None,
                    peak: None,
                    open: None,
                    series: layered.map(|layered| Series::of(layered, &rule.name, labels)),
                });
            }
            for (labels, track) in &mut tracks {
                let empty = Vec::new();
                let column = columns.get(labels).unwrap_or(&empty);
                let recovered = recovery.get(labels);
                self.replay(labels, track, column, recovered, &failed, (first, steps), alerting, falling, &mut result);
            }
        }
        for (_, track) in tracks {
            if let Some(mut episode) = track.open {
                episode.peak_value = track.peak;
                push(&mut result, episode);
            }
        }
        if let Some(layered) = layered {
            layered.claim_alerts(&rule.name);
        }
        result.episodes.sort_by(|a, b| (a.pending_at, &a.labels).cmp(&(b.pending_at, &b.labels)));
        if limit > 0 {
            drop_above_limit(&mut result, limit);
        }
        result.pages = result.episodes.iter().filter(|e| e.fired_at.is_some()).count();
        result
    }

    /// The result by alert labels, and the evaluations at which two results had the same ones: those change nothing.
    #[allow(clippy::type_complexity)]
    fn columns(
        &self,
        rule: &Rule,
        series: Vec<SeriesData>,
        first: Timestamp,
        steps: usize,
        warnings: &mut Vec<String>,
    ) -> (BTreeMap<Labels, Vec<(usize, f64)>>, HashSet<usize>) {
        let varies = rule.labels.iter().any(|(_, t)| t.contains("{{") && ["alue", "query", "now"].iter().any(|w| t.contains(w)));
        let mut columns: BTreeMap<Labels, Vec<(usize, f64)>> = BTreeMap::new();
        let mut shared = false;
        for data in series {
            let index = |at: Timestamp| ((at.millis() - first.millis()) / self.step_millis()) as usize;
            let points = data.times.iter().zip(&data.values).map(|(t, v)| (index(*t).min(steps), *t, v.as_float().unwrap_or(f64::NAN)));
            if varies {
                for (i, at, value) in points {
                    columns.entry(self.labels(rule, &data.labels, value, at)).or_default().push((i, value));
                }
                shared = true;
            } else {
                let labels = self.labels(rule, &data.labels, f64::NAN, first);
                let column = columns.entry(labels).or_default();
                shared |= !column.is_empty();
                column.extend(points.map(|(i, _, v)| (i, v)));
            }
        }
        let mut failed = HashSet::new();
        if shared {
            for column in columns.values_mut() {
                column.sort_by_key(|(i, _)| *i);
                failed.extend(column.windows(2).filter(|w| w[0].0 == w[1].0).map(|w| w[0].0));
            }
            if !failed.is_empty() {
                warnings.push(format!(
                    "{} of {steps} evaluations fail: vector contains metrics with the same labelset after applying alert labels",
                    failed.len()
                ));
            }
        }
        (columns, failed)
    }

    fn labels(&self, rule: &Rule, metric: &Labels, value: f64, at: Timestamp) -> Labels {
        let expand = |text: &str| {
            let query = |expression: &str| {
                let query = Query::parse(expression).map_err(|e| e.to_string())?;
                let found = self.engine.instant(&query, self.source, at).map_err(|e| e.to_string())?;
                Ok(match found.value {
                    QueryValue::Vector(samples) => samples.into_iter().map(|s| (s.labels, s.value)).collect(),
                    QueryValue::Scalar { value, .. } => vec![(Labels::empty(), Value::Float(value))],
                    _ => Vec::new(),
                })
            };
            let context = TemplateContext {
                name: "backtest",
                labels: metric,
                value: Value::Float(value),
                external_labels: &Labels::empty(),
                external_url: "",
                at,
                query: &query,
                limits: TemplateLimits::default(),
                expired: &|| false,
            };
            expand(text, &context)
        };
        alert_labels(&rule.name, &rule.labels, metric, &expand)
    }

    /// For rules with hysteresis: at which evaluations of a piece each alert may resolve.
    fn recovery<'l>(
        &self,
        alerting: &Alerting,
        alerts: impl Iterator<Item = &'l Labels>,
        piece: (Timestamp, Timestamp),
    ) -> HashMap<Labels, BTreeSet<Timestamp>> {
        let Some(condition) = alerting.recover() else { return HashMap::new() };
        let mut out = HashMap::new();
        for labels in alerts {
            let context = TemplateContext {
                name: "recover",
                labels,
                value: Value::Float(f64::NAN),
                external_labels: &Labels::empty(),
                external_url: "",
                at: piece.0,
                query: &|_| Ok(Vec::new()),
                limits: TemplateLimits::default(),
                expired: &|| false,
            };
            if let Ok(query) = Query::parse(&expand(condition, &context))
                && let Ok(Values { series, .. }) = self.values(&query, piece)
            {
                let own = series.into_iter().filter(|s| concerns(&s.labels, labels));
                out.insert(labels.clone(), own.flat_map(|s| s.times).collect());
            }
        }
        out
    }

    #[allow(clippy::too_many_arguments)]
    fn replay(
        &self,
        labels: &Labels,
        track: &mut Track<'_>,
        column: &[(usize, f64)],
        recovered: Option<&BTreeSet<Timestamp>>,
        failed: &HashSet<usize>,
        (first, steps): (Timestamp, usize),
        alerting: &Alerting,
        falling: bool,
        result: &mut Backtest,
    ) {
        let mut points = column.iter().peekable();
        let mut i = 0;
        while i < steps {
            // Nothing can happen to an alert that is not there until it has a value.
            if track.life.is_none() {
                match points.peek() {
                    None => return,
                    Some((next, _)) => i = i.max(*next),
                }
            }
            let mut value = None;
            while let Some((_, v)) = points.next_if(|(at, _)| *at <= i) {
                value = Some(*v);
            }
            if !failed.is_empty() && failed.contains(&i) {
                i += 1;
                continue;
            }
            let now = Moment::plain(Timestamp(first.millis() + i as i64 * self.step_millis()));
            i += 1;
            let change = match (value, &mut track.life) {
                (Some(_), life) => {
                    if life.is_none() {
                        *life = Some(Life::begin(now));
                        track.peak = None;
                        track.open = Some(Episode { labels: labels.clone(), pending_at: now.at, ..Episode::default() });
                    }
                    life.as_mut().and_then(|life| life.present(alerting.hold, now))
                }
                (None, Some(life)) => life.absent(alerting.keep_firing_for, now, || recovered.is_none_or(|times| times.contains(&now.at))),
                (None, None) => None,
            };
            if let Some(value) = value.filter(|v| !v.is_nan()) {
                let further = |peak: f64| if falling { value < peak } else { value > peak };
                if track.peak.is_none_or(further) {
                    track.peak = Some(value);
                }
            }
            if let Some(series) = &mut track.series {
                series.write(now.at, track.life.as_ref().filter(|life| life.state != AlertState::Resolved));
            }
            match change {
                Some(Change::Fired) => {
                    if let Some(open) = &mut track.open {
                        open.fired_at = Some(now.at);
                    }
                }
                Some(Change::Resolved | Change::Dropped) => {
                    track.life = None;
                    if let Some(mut episode) = track.open.take() {
                        episode.ended_at = Some(now.at);
                        episode.peak_value = track.peak.take();
                        push(result, episode);
                    }
                }
                _ => {}
            }
            debug_assert!(track.life.is_none_or(|life| life.state != AlertState::Resolved));
        }
    }
}

fn steps_of((first, last): (Timestamp, Timestamp), step: i64) -> usize {
    ((last.millis() - first.millis()) / step) as usize + 1
}

fn push(result: &mut Backtest, episode: Episode) {
    if result.episodes.len() < MAX_EPISODES {
        result.episodes.push(episode);
    } else if !result.warnings.iter().any(|w| w.starts_with("more than")) {
        result.warnings.push(format!("more than {MAX_EPISODES} episodes; the rest is not listed"));
    }
}

/// A rule with more alerts than its limit fails and drops them all; here that is said, not replayed.
fn drop_above_limit(result: &mut Backtest, limit: usize) {
    let mut edges: Vec<(Timestamp, i32)> =
        result.episodes.iter().flat_map(|e| [(e.pending_at, 1), (e.ended_at.unwrap_or(Timestamp::MAX), -1)]).collect();
    edges.sort_unstable();
    let mut active = 0_i32;
    let most = edges
        .iter()
        .map(|(_, d)| {
            active += d;
            active
        })
        .max()
        .unwrap_or(0);
    if usize::try_from(most).is_ok_and(|m| m > limit) {
        result.warnings.push(format!("up to {most} alerts at once: with the group's limit of {limit} the rule fails there and drops them"));
    }
}

#[cfg(test)]
mod tests;
