//! Whatever the expression, an instant query gives what a range query gives at that step: the fused and cached paths of instant rules
//! agree with the general one, and nothing panics.

use proptest::prelude::*;
use std::sync::Arc;
use std::time::Duration;
use watchfire_model::{
    BucketSpan, Labels, METRIC_NAME, NativeHistogram, STALE_NAN, Selector, SeriesId, SeriesSource, SeriesView, SourceError, TimeRange,
    Timestamp, Value,
};
use watchfire_promql::{Engine, Query, QueryValue};

const STEP: i64 = 15_000;
const AT: Timestamp = Timestamp(20 * STEP);

struct Series {
    labels: Labels,
    times: Vec<Timestamp>,
    values: Vec<f64>,
    histograms: Vec<Option<Arc<NativeHistogram>>>,
}

/// Counters with resets and gaps, gauges with stale markers and NaN, histograms, and a series that changes its type.
struct Mixed(Vec<Series>);

impl Mixed {
    fn new() -> Self {
        let mut all = Vec::new();
        for (name, job) in
            [("a_total", "x"), ("a_total", "y"), ("a_total", "z"), ("g", "x"), ("g", "y"), ("h", "x"), ("h", "y"), ("m", "x")]
        {
            let index = all.len();
            let labels = Labels::from_pairs([(METRIC_NAME, name), ("job", job), ("le", if index % 2 == 0 { "1" } else { "+Inf" })]);
            let mut series = Series { labels, times: Vec::new(), values: Vec::new(), histograms: Vec::new() };
            for i in 0..=24i64 {
                let step = i as usize;
                if (step * 7 + index).is_multiple_of(11) {
                    continue;
                }
                series.times.push(Timestamp(i * STEP));
                series.values.push(match name {
                    "g" if (step + index) % 9 == 4 => STALE_NAN,
                    "g" if (step + index) % 9 == 7 => f64::NAN,
                    "g" => (step as f64 - 10.0) * (index as f64 - 3.5),
                    _ => ((step * (index + 1)) % 40) as f64,
                });
                let histogram = name == "h" || (name == "m" && step.is_multiple_of(2));
                series.histograms.push(histogram.then(|| {
                    let count = 1.0 + ((step * (index + 1)) % 30) as f64;
                    Arc::new(NativeHistogram {
                        schema: (index % 3) as i32,
                        count: 2.0 * count,
                        sum: count,
                        positive_spans: vec![BucketSpan { offset: 0, length: 2 }],
                        positive_buckets: vec![count, count],
                        ..NativeHistogram::default()
                    })
                }));
            }
            all.push(series);
        }
        Mixed(all)
    }
}

impl SeriesSource for Mixed {
    fn select(&self, selector: &Selector, range: TimeRange, visit: &mut dyn FnMut(SeriesView<'_>)) -> Result<(), SourceError> {
        for (i, s) in self.0.iter().enumerate().filter(|(_, s)| selector.matches(&s.labels)) {
            let from = s.times.partition_point(|t| *t <= range.start);
            let to = s.times.partition_point(|t| *t <= range.end);
            if from < to {
                let any = s.histograms.iter().any(Option::is_some);
                visit(SeriesView {
                    id: SeriesId(i as u32),
                    labels: &s.labels,
                    times: &s.times[from..to],
                    values: &s.values[from..to],
                    histograms: if any { &s.histograms[from..to] } else { &[] },
                    rising: false,
                });
            }
        }
        Ok(())
    }

    fn generation(&self) -> Option<u64> {
        Some(7)
    }
}

fn vector() -> impl Strategy<Value = String> {
    let selector = prop::sample::select(vec!["a_total", "g", "h", "m", "{job=\"x\"}", "a_total{job!=\"z\"}", "g offset 30s", "none"]);
    let window =
        prop::sample::select(vec!["[1m]", "[3m]", "[20s]", "[2m] offset 15s", "[2m:30s]", "[5m:1m]", "[1m] anchored", "[1m] smoothed"]);
    let function = prop::sample::select(vec![
        "rate",
        "increase",
        "delta",
        "irate",
        "idelta",
        "sum_over_time",
        "avg_over_time",
        "max_over_time",
        "last_over_time",
        "count_over_time",
        "changes",
        "resets",
        "stddev_over_time",
        "deriv",
        "mad_over_time",
        "ts_of_max_over_time",
        "absent_over_time",
    ]);
    let leaf = prop_oneof![
        selector.clone().prop_map(str::to_owned),
        (function, selector, window).prop_map(|(f, s, w)| {
            // An offset goes behind the range.
            match s.split_once(" offset") {
                Some((s, _)) => format!("{f}({s}{w})"),
                None => format!("{f}({s}{w})"),
            }
        }),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        let aggregate = prop::sample::select(vec!["sum", "avg", "min", "max", "count", "group", "stddev", "quantile"]);
        let grouping = prop::sample::select(vec!["", " by (job)", " without (job)", " by (le, __name__)", " by ()"]);
        let op = prop::sample::select(vec![
            "+",
            "-",
            "*",
            "/",
            "==",
            "> bool",
            "<",
            "and",
            "or",
            "unless",
            "+ on (job)",
            "* on (job) group_left ()",
            "and on ()",
            "- fill (0)",
            "> ignoring (le) group_right ()",
            "</",
            ">/",
        ]);
        let wrap = prop::sample::select(vec![
            "abs",
            "ceil",
            "-",
            "histogram_count",
            "histogram_quantile(0.9, ",
            "timestamp",
            "absent",
            "sgn",
            "clamp_min(2, ",
            "scalar",
        ]);
        prop_oneof![
            (aggregate, grouping, inner.clone())
                .prop_map(|(a, g, e)| { if a == "quantile" { format!("quantile{g} (0.3, {e})") } else { format!("{a}{g} ({e})") } }),
            (inner.clone(), op, inner.clone()).prop_map(|(l, o, r)| format!("({l}) {o} ({r})")),
            (wrap, inner).prop_map(|(w, e)| match w {
                "-" => format!("-({e})"),
                "histogram_quantile(0.9, " => format!("histogram_quantile(0.9, {e})"),
                "clamp_min(2, " => format!("clamp_min({e}, 2)"),
                "scalar" => format!("vector(scalar({e}))"),
                w => format!("{w}({e})"),
            }),
        ]
    })
}

/// Values as text, NaNs alike, sorted by labels; `None` for an error.
fn instant(engine: &Engine, query: &Query, source: &Mixed) -> Option<Vec<String>> {
    let QueryValue::Vector(samples) = engine.instant(query, source, AT).ok()?.value else { return None };
    let mut out: Vec<String> = samples.iter().map(|s| text(&s.labels, &s.value)).collect();
    out.sort();
    Some(out)
}

fn last_step(engine: &Engine, query: &Query, source: &Mixed) -> Option<Vec<String>> {
    let start = Timestamp(AT.0 - STEP);
    let QueryValue::Matrix(series) = engine.range(query, source, start, AT, Duration::from_millis(STEP as u64)).ok()?.value else {
        return None;
    };
    let mut out: Vec<String> =
        series.iter().filter_map(|s| Some(text(&s.labels, &s.values[s.times.iter().position(|t| *t == AT)?]))).collect();
    out.sort();
    Some(out)
}

fn text(labels: &Labels, value: &Value) -> String {
    match value {
        // Sums may differ in the last places, by the order of their terms.
        Value::Float(v) => format!("{labels} {v:.9e}"),
        Value::Histogram(h) => format!("{labels} {:.9e} {:.9e} {:?}", h.count, h.sum, h.positive_spans),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn instant_and_range_queries_agree(expr in vector()) {
        let (engine, source) = (Engine::default(), Mixed::new());
        if let Ok(query) = Query::parse(&expr) {
            let first = instant(&engine, &query, &source);
            // With what the first evaluation left in the caches.
            prop_assert_eq!(&instant(&engine, &query, &source), &first, "{}", expr);
            // A range query may fail at the other step.
            if let Some(range) = last_step(&engine, &query, &source) {
                prop_assert_eq!(Some(range), first, "{}", expr);
            }
        }
    }
}
