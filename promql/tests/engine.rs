//! The engine's limits, errors and forms of results.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use watchfire_model::{Labels, METRIC_NAME, Selector, SeriesId, SeriesSource, SeriesView, SourceError, TimeRange, Timestamp, Value};
use watchfire_promql::{Control, Engine, EngineOptions, EvalError, Interrupt, Query, QueryValue};

/// `count` series `m{i="..."}` with a sample every ten seconds from 0 to 1000 s, value = seconds * (i + 1).
struct Lines {
    labels: Vec<Labels>,
    times: Vec<Timestamp>,
    generation: Option<u64>,
}

impl Lines {
    fn new(count: usize) -> Self {
        let labels = (0..count).map(|i| Labels::from_pairs([(METRIC_NAME, "m_total".to_owned()), ("i", i.to_string())])).collect();
        Lines { labels, times: (0..=100).map(|i| Timestamp(i * 10_000)).collect(), generation: Some(1) }
    }
}

impl SeriesSource for Lines {
    fn select(&self, selector: &Selector, range: TimeRange, visit: &mut dyn FnMut(SeriesView<'_>)) -> Result<(), SourceError> {
        if selector.metric_name() == Some("broken") {
            return Err(SourceError::Unavailable("no route".to_owned()));
        }
        let from = self.times.partition_point(|t| *t <= range.start);
        let to = self.times.partition_point(|t| *t <= range.end).max(from);
        for (i, labels) in self.labels.iter().enumerate().filter(|(_, l)| selector.matches(l)) {
            let values: Vec<f64> = self.times[from..to].iter().map(|t| t.seconds() * (i + 1) as f64).collect();
            if from < to {
                visit(SeriesView {
                    id: SeriesId(i as u32),
                    labels,
                    times: &self.times[from..to],
                    values: &values,
                    histograms: &[],
                    rising: false,
                });
            }
        }
        Ok(())
    }

    fn generation(&self) -> Option<u64> {
        self.generation
    }
}

fn query(text: &str) -> Query {
    Query::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"))
}

const AT: Timestamp = Timestamp(600_000);

#[test]
fn an_engine_is_shared_between_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    shared(&Engine::default());
    shared(&query("up"));
}

#[test]
fn results_have_the_forms_of_the_api() -> Result<(), EvalError> {
    let (engine, source) = (Engine::default(), Lines::new(3));
    assert_eq!(engine.instant(&query("1 + 1"), &source, AT)?.value, QueryValue::Scalar { at: AT, value: 2.0 });
    assert_eq!(engine.instant(&query("\"x\""), &source, AT)?.value, QueryValue::String { at: AT, value: "x".to_owned() });
    let QueryValue::Vector(samples) = engine.instant(&query("rate(m_total[1m])"), &source, AT)?.value else { panic!("no vector") };
    assert_eq!(samples.len(), 3);
    assert_eq!((samples[1].labels.to_string().as_str(), &samples[1].value, samples[1].at), ("{i=\"1\"}", &Value::Float(2.0), AT));
    let QueryValue::Matrix(series) = engine.instant(&query("m_total{i=\"0\"}[20s]"), &source, AT)?.value else { panic!("no matrix") };
    assert_eq!(series[0].times, [Timestamp(590_000), Timestamp(600_000)]);
    let range = engine.range(&query("sum(m_total)"), &source, Timestamp(0), Timestamp(20_000), Duration::from_secs(10))?;
    let QueryValue::Matrix(series) = range.value else { panic!("no matrix") };
    assert_eq!(series[0].values, [0.0, 60.0, 120.0].map(Value::Float));
    Ok(())
}

#[test]
fn remembered_groups_follow_the_source() -> Result<(), EvalError> {
    let engine = Engine::default();
    let count = query("count by (i) (m_total)");
    let groups = |source: &Lines| match engine.instant(&count, source, AT).map(|e| e.value) {
        Ok(QueryValue::Vector(samples)) => samples.iter().map(|s| s.labels.value("i").to_owned()).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    let mut source = Lines::new(3);
    assert_eq!(groups(&source), ["0", "1", "2"]);
    assert_eq!(groups(&source), ["0", "1", "2"]);
    source.labels.remove(0);
    source.generation = Some(2);
    assert_eq!(groups(&source), ["1", "2"]);
    // Even an id that means another series under the same generation is not trusted.
    source.labels.reverse();
    assert_eq!(groups(&source).len(), 2);
    source.generation = None;
    assert_eq!(groups(&source), ["2", "1"]);
    Ok(())
}

#[test]
fn too_many_samples_are_an_execution_error() {
    let engine = Engine::new(EngineOptions { max_samples: 50, ..EngineOptions::default() });
    let source = Lines::new(100);
    for text in ["m_total", "rate(m_total[1m])", "m_total + m_total", "sum_over_time(vector(1)[1h:1s])"] {
        let error = engine.instant(&query(text), &source, AT).expect_err(text);
        assert_eq!(error, EvalError::TooManySamples { limit: 50 }, "{text}");
        assert_eq!(error.error_type(), "execution");
    }
    assert!(engine.instant(&query("sum(m_total)"), &source, AT).is_ok());
    let minute = Duration::from_millis(1);
    assert!(engine.range(&query("1"), &source, Timestamp(0), AT, minute).is_err());
}

#[test]
fn samples_that_were_read_are_counted_as_in_prometheus() -> Result<(), EvalError> {
    let (engine, source) = (Engine::default(), Lines::new(2));
    // Read at one step, and at three.
    for (text, once, thrice) in [
        ("1", 0, 0),
        ("m_total", 2, 6),
        ("m_total + m_total", 4, 12),
        ("sum(m_total)", 2, 6),
        ("m_total @ 300", 2, 6),
        ("timestamp(m_total)", 2, 6),
        ("rate(m_total[1m])", 12, 36),
        ("sum by (i) (rate(m_total[1m]))", 12, 36),
        ("max_over_time(m_total[1m])", 12, 36),
        // Of a subquery its windows count.
        ("max_over_time(m_total[1m:20s])", 6, 18),
        ("max_over_time(rate(m_total[1m])[1m:20s])", 6, 18),
    ] {
        assert_eq!(engine.instant(&query(text), &source, AT)?.read_samples, once, "{text}");
        let range = engine.range(&query(text), &source, AT, Timestamp(AT.0 + 30_000), Duration::from_secs(15))?;
        assert_eq!(range.read_samples, thrice, "{text}");
    }
    assert_eq!(engine.instant(&query("m_total[1m]"), &source, AT)?.read_samples, 12);
    Ok(())
}

#[test]
fn an_interrupt_ends_an_evaluation() {
    let (engine, source) = (Engine::default(), Lines::new(2000));
    let asked = AtomicUsize::new(0);
    for (interrupt, error, kind) in
        [(Interrupt::Timeout, EvalError::Timeout, "timeout"), (Interrupt::Canceled, EvalError::Canceled, "canceled")]
    {
        let after_some = || (asked.fetch_add(1, Ordering::Relaxed) >= 3).then_some(interrupt);
        asked.store(0, Ordering::Relaxed);
        let control = Control { interrupt: Some(&after_some), ..Control::default() };
        let result = engine.instant_with(&query("m_total * on (i) m_total"), &source, AT, control);
        assert_eq!(result.map(|_| ()), Err(error.clone()));
        assert_eq!(error.error_type(), kind);
    }
}

#[test]
fn errors_map_to_those_of_the_api() {
    let (engine, source) = (Engine::default(), Lines::new(2));
    let step = Duration::from_secs(1);
    let kind = |result: Result<watchfire_promql::Evaluation, EvalError>| result.map(|_| ()).map_err(|e| e.error_type());
    assert_eq!(kind(engine.instant(&query("broken"), &source, AT)), Err("internal"));
    assert_eq!(kind(engine.instant(&query("label_replace(m_total, \"i\", \"\", \"i\", \".*\")"), &source, AT)), Err("execution"));
    assert_eq!(kind(engine.range(&query("m_total[1m]"), &source, Timestamp(0), AT, step)), Err("bad_data"));
    assert_eq!(kind(engine.range(&query("m_total"), &source, AT, Timestamp(0), step)), Err("bad_data"));
    assert_eq!(kind(engine.range(&query("m_total"), &source, Timestamp(0), AT, Duration::ZERO)), Err("bad_data"));
}

#[test]
fn deep_queries_are_evaluated_on_their_own_stack() -> Result<(), EvalError> {
    let (engine, source) = (Engine::default(), Lines::new(1));
    let text = vec!["m_total"; 1001].join(" + ");
    let QueryValue::Vector(samples) = engine.instant(&query(&text), &source, AT)?.value else { panic!("no vector") };
    assert_eq!(samples[0].value, Value::Float(600.0 * 1001.0));
    Ok(())
}

#[test]
fn annotations_say_where() -> Result<(), EvalError> {
    let (engine, source) = (Engine::default(), Lines::new(1));
    let result = engine.instant(&query("1 +\n  quantile(2, m_total)"), &source, AT)?;
    assert_eq!(result.warnings, ["PromQL warning: quantile value should be between 0 and 1, got 2 (2:12)"]);
    assert!(result.infos.is_empty());
    Ok(())
}

#[test]
fn lookback_can_be_changed_for_one_query() -> Result<(), EvalError> {
    let (engine, source) = (Engine::default(), Lines::new(1));
    let late = Timestamp(1_200_000);
    let found = |control| match engine.instant_with(&query("m_total"), &source, late, control).map(|e| e.value) {
        Ok(QueryValue::Vector(samples)) => samples.len(),
        other => panic!("{other:?}"),
    };
    assert_eq!(found(Control::default()), 1);
    assert_eq!(found(Control { lookback: Some(Duration::from_secs(60)), ..Control::default() }), 0);
    assert_eq!(found(Control { lookback: Some(Duration::ZERO), ..Control::default() }), found(Control::default()));
    Ok(())
}
