//! Evaluates the rules of a test at its cadence, from its start, and compares. Groups ignore their own interval, as with promtool.

use super::{AlertTest, ExpectedSample, ExpressionTest, TestFile, TestGroup};
use crate::evaluator::{Bench, EvaluatorSettings, GroupRuntime, RuleRuntime, unwritten};
use crate::memory::MemorySeries;
use crate::rule::RuleGroup;
use crate::state::Moment;
use std::collections::BTreeMap;
use std::time::Duration;
use watchfire_model::reading::AlertState;
use watchfire_model::{BucketSpan, Clock, ClockReading, Labels, NativeHistogram, Timestamp, Value, format_duration};
use watchfire_promql::script::Sample;
use watchfire_promql::{Engine, EngineOptions, Query, QueryValue, format_float};

/// A test takes the time it takes.
struct Standing;

impl Clock for Standing {
    fn read(&self) -> ClockReading {
        ClockReading { wall: Timestamp(0), boot: Duration::ZERO, awake: Duration::ZERO, carried: Duration::ZERO }
    }
}

/// Every failure, worded as promtool words it.
pub(super) fn run(file: &TestFile, test: &TestGroup, groups: &[RuleGroup]) -> Vec<String> {
    let store = MemorySeries::new();
    let engine = Engine::new(EngineOptions { subquery_step: file.evaluation_interval, ..EngineOptions::default() });
    let settings = EvaluatorSettings {
        interval: test.interval,
        external_labels: test.external_labels.clone(),
        external_url: test.external_url.clone(),
        ..EvaluatorSettings::default()
    };
    let mut runtimes: Vec<GroupRuntime> = groups
        .iter()
        .map(|group| {
            let mut runtime = GroupRuntime::new(group, &settings);
            for (i, rule) in group.rules.iter().enumerate() {
                runtime.rules.push(RuleRuntime::new(rule.clone(), &format!("{};{};{i}", group.file, group.name), &store));
            }
            runtime
        })
        .collect();
    let times = test.alert_tests.iter().map(|t| t.eval_time).chain(test.expression_tests.iter().map(|t| t.eval_time));
    let last = test.start.saturating_add(times.max().unwrap_or_default());
    let mut alert_tests: Vec<&AlertTest> = test.alert_tests.iter().collect();
    alert_tests.sort_by_key(|t| t.eval_time);
    let mut alert_tests = alert_tests.into_iter().peekable();
    let mut loaded = 0;
    let mut failures = Vec::new();
    let mut at = test.start;
    while at <= last {
        load(&store, test, at, &mut loaded);
        let bench = Bench {
            settings: &settings,
            engine: &engine,
            source: &store,
            sink: &store,
            clock: &Standing,
            wall: at,
            room: usize::MAX,
            owner: &|_| None,
        };
        let mut broken = false;
        for group in &mut runtimes {
            let mut rules = std::mem::take(&mut group.rules);
            for rule in &mut rules {
                let done = bench.evaluate(group, rule, Moment::plain(at));
                if let Some(error) = done.map_or_else(Some, |done| unwritten(&done.appended)) {
                    let elapsed = go_duration(at.since(test.start));
                    failures.push(format!("    rule: {}, time: {elapsed}, err: {error}", rule.rule.name));
                    broken = true;
                }
            }
            group.rules = rules;
        }
        if broken {
            return failures;
        }
        let next = at.saturating_add(file.evaluation_interval);
        while let Some(expected) = alert_tests.next_if(|t| test.start.saturating_add(t.eval_time) < next) {
            failures.extend(compare_alerts(test, expected, &runtimes));
        }
        at = next;
    }
    // As with promtool, expressions see the samples up to the last evaluation, and none that lie between it and their own time.
    for expected in &test.expression_tests {
        failures.extend(compare_expression(test, expected, &engine, &store, file.fuzzy_compare));
    }
    failures
}

/// Adds the input samples up to a time.
fn load(store: &MemorySeries, test: &TestGroup, until: Timestamp, loaded: &mut u32) {
    loop {
        let at = test.start.saturating_add(test.interval * *loaded);
        if at > until {
            return;
        }
        let mut more = false;
        for series in &test.input_series {
            more |= series.values.len() > *loaded as usize;
            match series.values.get(*loaded as usize).and_then(Option::as_ref) {
                Some(Sample::Float(v)) => {
                    store.push(&series.labels, at, Value::Float(*v));
                }
                Some(Sample::Histogram { histogram: h, .. }) => {
                    store.push(&series.labels, at, Value::Histogram(h.clone()));
                }
                None => {}
            }
        }
        if !more {
            return;
        }
        *loaded += 1;
    }
}

fn compare_alerts(test: &TestGroup, expected: &AlertTest, groups: &[GroupRuntime]) -> Option<String> {
    let rules = groups.iter().flat_map(|g| &g.rules).filter(|r| r.rule.alerting().is_some() && r.rule.name == expected.alertname);
    let mut got: Vec<(Labels, Labels)> = rules
        .flat_map(|r| r.state.values())
        .filter(|a| a.life.state == AlertState::Firing)
        .map(|a| (a.labels.clone(), a.annotations.clone()))
        .collect();
    let mut wanted = expected.expected.clone();
    got.sort();
    wanted.sort();
    if got == wanted {
        return None;
    }
    let name = if test.name.is_empty() { String::new() } else { format!("    name: {},\n", test.name) };
    Some(format!(
        "{name}    alertname: {}, time: {}, \n        exp:{}, \n        got:{}",
        expected.alertname,
        format_duration(expected.eval_time),
        listed(&wanted),
        listed(&got)
    ))
}

fn listed(alerts: &[(Labels, Labels)]) -> String {
    if alerts.is_empty() {
        return "[]".to_owned();
    }
    let items: Vec<String> = alerts
        .iter()
        .enumerate()
        .map(|(i, (labels, annotations))| {
            format!("            {i}:\n              Labels:{labels}\n              Annotations:{annotations}\n")
        })
        .collect();
    format!("[\n{}            ]", items.concat())
}

fn compare_expression(test: &TestGroup, expected: &ExpressionTest, engine: &Engine, store: &MemorySeries, fuzzy: bool) -> Option<String> {
    let context = format!("    expr: {:?}, time: {}", expected.expression, format_duration(expected.eval_time));
    let at = test.start.saturating_add(expected.eval_time);
    let evaluated = Query::parse(&expected.expression)
        .map_err(|e| e.to_string())
        .and_then(|q| engine.instant(&q, store, at).map_err(|e| e.to_string()));
    let mut got: Vec<(Labels, Value)> = match evaluated.map(|e| e.value) {
        Err(error) => return Some(format!("{context}, err: {error}")),
        Ok(QueryValue::Vector(samples)) => samples.into_iter().map(|s| (s.labels, s.value)).collect(),
        Ok(QueryValue::Scalar { value, .. }) => vec![(Labels::empty(), Value::Float(value))],
        Ok(_) => return Some(format!("{context}, err: rule result is not a vector or scalar")),
    };
    let mut wanted = expected.expected.clone();
    got.sort_by(|a, b| a.0.cmp(&b.0));
    wanted.sort_by(|a, b| a.labels.cmp(&b.labels));
    let equal = got.len() == wanted.len() && got.iter().zip(&wanted).all(|((l, v), w)| *l == w.labels && same_value(v, w, fuzzy));
    if equal {
        return None;
    }
    let show = |labels: &Labels, value: String| {
        let labels = if labels.is_empty() { "{}".to_owned() } else { labels.to_string() };
        format!("{labels} {value}")
    };
    let exp: Vec<String> =
        wanted.iter().map(|w| show(&w.labels, w.histogram.as_ref().map_or_else(|| format_float(w.value), histogram_text))).collect();
    let got: Vec<String> = got
        .iter()
        .map(|(l, v)| match v {
            Value::Float(f) => show(l, format_float(*f)),
            Value::Histogram(h) => show(l, histogram_text(h)),
        })
        .collect();
    let or_nil = |items: Vec<String>| if items.is_empty() { "nil".to_owned() } else { items.join(", ") };
    Some(format!("{context},\n        exp: {}\n        got: {}", or_nil(exp), or_nil(got)))
}

fn same_value(got: &Value, wanted: &ExpectedSample, fuzzy: bool) -> bool {
    match (got, &wanted.histogram) {
        (Value::Float(got), None) => {
            // As with promtool, NaN equals nothing.
            let want = wanted.value;
            *got == want || (fuzzy && (got.next_up() == want || got.next_down() == want))
        }
        (Value::Histogram(got), Some(want)) => same_histogram(got, want),
        _ => false,
    }
}

/// The same buckets with the same counts, however they are laid out.
fn same_histogram(a: &NativeHistogram, b: &NativeHistogram) -> bool {
    let buckets = |spans: &[BucketSpan], counts: &[f64]| {
        let mut at = 0;
        let mut counts = counts.iter();
        let mut out = BTreeMap::new();
        for span in spans {
            at += span.offset;
            for _ in 0..span.length {
                if let Some(count) = counts.next().filter(|c| **c != 0.0) {
                    out.insert(at, count.to_bits());
                }
                at += 1;
            }
        }
        out
    };
    (a.schema, a.count, a.sum, a.zero_count) == (b.schema, b.count, b.sum, b.zero_count)
        && (a.zero_threshold == b.zero_threshold || (a.zero_count == 0.0 && b.zero_count == 0.0))
        && a.custom_values == b.custom_values
        && buckets(&a.positive_spans, &a.positive_buckets) == buckets(&b.positive_spans, &b.positive_buckets)
        && buckets(&a.negative_spans, &a.negative_buckets) == buckets(&b.negative_spans, &b.negative_buckets)
}

fn histogram_text(h: &NativeHistogram) -> String {
    let counts = |counts: &[f64]| counts.iter().map(|c| format_float(*c)).collect::<Vec<_>>().join(" ");
    let mut parts =
        vec![format!("schema:{}", h.schema), format!("count:{}", format_float(h.count)), format!("sum:{}", format_float(h.sum))];
    if h.zero_count != 0.0 {
        parts.push(format!("z_bucket:{} z_bucket_w:{}", format_float(h.zero_count), format_float(h.zero_threshold)));
    }
    for (spans, buckets, offset, name) in
        [(&h.positive_spans, &h.positive_buckets, "offset", "buckets"), (&h.negative_spans, &h.negative_buckets, "n_offset", "n_buckets")]
    {
        if let Some(first) = spans.first() {
            parts.push(format!("{offset}:{} {name}:[{}]", first.offset, counts(buckets)));
        }
    }
    format!("{{{{{}}}}}", parts.join(" "))
}

/// Go's form of whole seconds, which promtool uses for the times of evaluation errors.
fn go_duration(d: Duration) -> String {
    let seconds = d.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s}s"),
        (0, m, s) => format!("{m}m{s}s"),
        (h, m, s) => format!("{h}h{m}m{s}s"),
    }
}
