//! What is hostile to an engine: queries that are short and ask for much memory or much time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use watchfire_model::{Labels, METRIC_NAME, Timestamp, Value};
use watchfire_promql::{Control, Engine, EngineOptions, EvalError, Evaluation, Interrupt, Query};
use watchfire_testkit::MemorySource;

const AT: Timestamp = Timestamp(600_000);

/// `m{i="0"}` to `m{i="9"}` and as many `target_info`, with a sample every ten seconds.
fn source() -> MemorySource {
    let mut source = MemorySource::new();
    for i in 0..10 {
        for name in ["m", "target_info"] {
            let labels = Labels::from_pairs([(METRIC_NAME, name.to_owned()), ("instance", i.to_string()), ("job", "x".to_owned())]);
            for second in (0..=600).step_by(10) {
                source.push(&labels, Timestamp(second * 1000), Value::Float(1.0));
            }
        }
    }
    source
}

fn within(max_samples: usize, text: &str) -> Result<Evaluation, EvalError> {
    let engine = Engine::new(EngineOptions { max_samples, ..EngineOptions::default() });
    let query = Query::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
    engine.instant(&query, &source(), AT)
}

#[test]
fn scalars_are_held_too() {
    // A thousand places each, and none is needed any longer before the innermost is known.
    let nested = (0..40).fold("time()".to_owned(), |inner, _| format!("time() + ({inner})"));
    for inner in [nested.as_str(), "scalar(m) + 1 + time()", "min_of(time(), time())"] {
        let text = format!("count_over_time(vector({inner})[1000s:1s])");
        assert!(within(100_000, &text).is_ok(), "{text}");
        assert_eq!(within(1_500, &text).map(|_| ()), Err(EvalError::TooManySamples { limit: 1_500 }), "{text}");
    }
    for inner in ["vector(time())", "minute()", "absent(nothing)", "absent_over_time(nothing[1m])"] {
        let text = format!("count_over_time(({inner} and {inner} and {inner})[1000s:1s])");
        assert_eq!(within(1_500, &text).map(|_| ()), Err(EvalError::TooManySamples { limit: 1_500 }), "{text}");
    }
    let held = within(100_000, &format!("count_over_time(vector({nested})[1000s:1s])")).expect("within the limit").peak_samples;
    assert!((40_000..50_000).contains(&held), "{held} samples");
}

#[test]
fn series_that_only_bring_labels_are_held_too() {
    assert!(within(10_000, "info(m)").is_ok());
    assert_eq!(within(100, "info(m)").map(|_| ()), Err(EvalError::TooManySamples { limit: 100 }));
}

#[test]
fn no_label_grows_without_end() {
    let tenfold = "$1".repeat(10);
    let replaced = move |times: usize| {
        (0..times).fold("m".to_owned(), |inner, _| format!("label_replace({inner}, \"job\", \"{tenfold}\", \"job\", \"(.*)\")"))
    };
    let joined = |times: usize| {
        let sources = ["\"job\""; 10].join(", ");
        (0..times).fold("m".to_owned(), |inner, _| format!("label_join({inner}, \"job\", \"\", {sources})"))
    };
    for grown in [&replaced as &dyn Fn(usize) -> String, &joined] {
        assert!(within(10_000, &grown(3)).is_ok());
        // 10^30 bytes.
        let error = within(usize::MAX, &grown(30)).expect_err("longer than any memory");
        assert!(error.to_string().contains("label value"), "{error}");
        // Text of many series, each no longer than it may be.
        assert_eq!(within(3_000, &grown(4)).map(|_| ()), Err(EvalError::TooManySamples { limit: 3_000 }));
    }
}

#[test]
fn interrupts_are_asked_for_during_work_on_numbers() {
    let engine = Engine::default();
    let many = vec!["time() ^ 0.5"; 30].join(" + ");
    for inner in [
        format!("vector({many})"),
        format!("vector(time()){}", " * 1".repeat(100)),
        "ceil(".repeat(50) + "vector(time())" + &")".repeat(50),
        "histogram_quantiles(vector(1), \"q\", time())".to_owned(),
    ] {
        let query = Query::parse(&format!("count_over_time(({inner})[100000s:1s])")).expect("parses");
        let asked = AtomicUsize::new(0);
        let interrupt = || (asked.fetch_add(1, Ordering::Relaxed) >= 20).then_some(Interrupt::Timeout);
        let control = Control { interrupt: Some(&interrupt), ..Control::default() };
        assert_eq!(engine.instant_with(&query, &source(), AT, control).map(|_| ()), Err(EvalError::Timeout), "{inner}");
    }
}

#[test]
fn times_beyond_every_calendar_have_no_samples() {
    let engine = Engine::default();
    let far = [Timestamp::MIN, Timestamp::MAX];
    for text in [
        "m",
        "m offset 200y",
        "m offset -200y",
        "rate(m[200y])",
        "m smoothed",
        "rate(m[5m] smoothed)",
        "count_over_time(m[10s:1s] offset -200y)",
        "info(m)",
        "m @ 9.1e15 offset -200y",
        "m @ -9.1e15 offset 200y",
        "hour()",
    ] {
        let query = Query::parse(text).expect("parses");
        let control = Control { lookback: Some(Duration::MAX), ..Control::default() };
        for at in far {
            let _ = engine.instant(&query, &source(), at).expect(text);
            let _ = engine.instant_with(&query, &source(), at, control).expect(text);
        }
        let step = Duration::from_secs(10_000_000_000_000);
        // All of time, which a subquery has too many steps in.
        let all = engine.range_with(&query, &source(), (far[0], far[1], step), control);
        assert!(matches!(all, Ok(_) | Err(EvalError::TooManySamples { .. })), "{text}: {all:?}");
    }
}
