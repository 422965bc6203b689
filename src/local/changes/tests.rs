//! When something changed, over samples in memory.

use super::*;
use crate::local::lens::{QueryCache, RATE_WINDOW, SCRAPE_WINDOW};
use watchfire_model::Value;
use watchfire_promql::Engine;
use watchfire_testkit::MemorySource;

/// Changes within the last hour as a screen asks for them: since a whole minute, at any second.
fn seen(source: &MemorySource, at: Timestamp) -> Vec<(i64, String, String)> {
    let (engine, cache) = (Engine::default(), QueryCache::default());
    let lens = Lens { engine: &engine, source, cache: &cache, at, window: RATE_WINDOW, scrape_window: SCRAPE_WINDOW };
    let since = at.saturating_sub(Duration::from_secs(3600));
    let changes = changes(&lens, since.floor(60_000)).expect("readable");
    changes.into_iter().map(|c| (c.at.millis(), c.subject, c.to)).collect()
}

#[test]
fn who_asks_since_the_beginning_of_time_or_at_its_ends_is_answered() {
    let (engine, cache, mut source) = (Engine::default(), QueryCache::default(), MemorySource::new());
    let labels = Labels::from_pairs([("__name__", "watchfire_breaker_state"), ("service", "a"), ("breaker", "b")]);
    source.push(&labels, Timestamp(0), Value::Float(2.0));
    for at in [Timestamp(1_772_334_000_000), Timestamp::MIN, Timestamp::MAX] {
        let lens = Lens { engine: &engine, source: &source, cache: &cache, at, window: RATE_WINDOW, scrape_window: SCRAPE_WINDOW };
        for since in [Timestamp::MIN, Timestamp(0), Timestamp::MAX] {
            assert_eq!(changes(&lens, since).expect("readable"), []);
        }
    }
}

/// A service that always fails a little is in the list when it fails much, as one that never failed.
#[test]
fn an_error_share_that_multiplies_is_a_change_wherever_it_began() {
    let begin = 1_772_334_000_000;
    let mut source = MemorySource::new();
    let calls = |service: &str, status: &str| {
        Labels::from_pairs([
            ("__name__", "traces_span_metrics_calls_total"),
            ("service_name", service),
            ("span_kind", "SPAN_KIND_SERVER"),
            ("status_code", status),
        ])
    };
    // Of ten calls a second so many fail, in thousandths: at first, from twenty minutes on, and from forty on.
    for (service, shares) in [("noisy", [40, 430, 40]), ("calm", [0, 100, 0]), ("wavering", [60, 90, 60]), ("bad", [400, 400, 400])] {
        let (mut good, mut bad) = (0.0, 0.0);
        for step in 0..720_i64 {
            let at = Timestamp(begin + step * 5000);
            source.push(&calls(service, "STATUS_CODE_UNSET"), at, Value::Float(good));
            source.push(&calls(service, "STATUS_CODE_ERROR"), at, Value::Float(bad));
            let share = f64::from(shares[(step / 240) as usize]) / 1000.0;
            bad += 50.0 * share;
            good += 50.0 * (1.0 - share);
        }
    }
    let (engine, cache) = (Engine::default(), QueryCache::default());
    let at = Timestamp(begin + 3_590_000);
    let lens = Lens { engine: &engine, source: &source, cache: &cache, at, window: RATE_WINDOW, scrape_window: SCRAPE_WINDOW };
    let found = changes(&lens, Timestamp(begin)).expect("readable");
    let errors: Vec<String> =
        found.iter().filter(|c| c.kind == "errors").map(|c| format!("{} {} to {}", c.subject, c.from, c.to)).collect();
    assert_eq!(errors, ["calm 0.0 % to 10.0 %", "noisy 4.0 % to 43.0 %"]);
    // Both began after twenty minutes; the time at which their shares were crossed stays, whenever and for how long one looks back.
    let times = |at: i64, back: i64| -> Vec<i64> {
        let lens = Lens { at: Timestamp(at), ..lens };
        let found = changes(&lens, Timestamp(at - back)).expect("readable");
        found.iter().filter(|c| c.kind == "errors").map(|c| (c.at.millis() - begin) / 1000).collect()
    };
    let first = times(begin + 3_590_000, 3_590_000);
    assert!(first.len() == 2 && first.iter().all(|s| (1205..=1240).contains(s)), "{first:?}");
    for (later, back) in [(7, 3_597), (13, 3_600), (26, 3_100), (44, 2_900)] {
        assert_eq!(times(begin + 3_590_000 + later * 1000, back * 1000), first, "{later}");
    }
}

/// Within the first minute of knowledge, where a look over an hour sees one moment only, and where no failure was ever counted before the first.
#[test]
fn a_service_that_fails_soon_after_it_came_is_in_the_list() {
    let begin = 1_772_334_000_000;
    let mut source = MemorySource::new();
    let calls = |status: &str| {
        Labels::from_pairs([
            ("__name__", "traces_span_metrics_calls_total"),
            ("service_name", "young"),
            ("span_kind", "SPAN_KIND_SERVER"),
            ("status_code", status),
        ])
    };
    let (mut good, mut bad) = (0.0, 0.0);
    for step in 0..24_i64 {
        let at = Timestamp(begin + step * 5000);
        source.push(&calls("STATUS_CODE_UNSET"), at, Value::Float(good));
        if step >= 4 {
            source.push(&calls("STATUS_CODE_ERROR"), at, Value::Float(bad));
            bad += 40.0;
        }
        good += 50.0;
    }
    for later in [40, 55, 70, 95, 110] {
        let changes = seen(&source, Timestamp(begin + later * 1000));
        let [(at, subject, _)] = &changes[..] else { panic!("after {later} s: {changes:?}") };
        assert!(subject == "young" && (20..=30).contains(&((at - begin) / 1000)), "after {later} s: {changes:?}");
    }
}

#[test]
fn a_change_keeps_its_time_and_says_what_it_is_about() {
    let begin = 1_772_334_000_000;
    let mut source = MemorySource::new();
    for breaker in ["mail", "sms"] {
        let labels = Labels::from_pairs([
            ("__name__", "ALERTS"),
            ("alertname", "BreakerOpen"),
            ("alertstate", "firing"),
            ("service", "notes"),
            ("breaker", breaker),
        ]);
        for step in 0..400 {
            source.push(&labels, Timestamp(begin + 2_345_000 + step * 5000), Value::Float(1.0));
        }
    }
    let expected = |breaker: &str| (begin + 2_345_000, format!("BreakerOpen notes {breaker}"), "firing".to_owned());
    for later in 0..40 {
        let changes = seen(&source, Timestamp(begin + 3_000_000 + later * 1700));
        assert_eq!(changes, [expected("mail"), expected("sms")], "{later}");
    }
}

/// A column of six hours is four minutes. Whether the deploy or the failures came first is told all the same.
#[test]
fn a_version_and_an_edge_have_their_moment_however_long_one_looks_back() {
    let begin = 1_772_334_000_000;
    let deployed = 4_321;
    let mut source = MemorySource::new();
    let info =
        |version: &str| Labels::from_pairs([("__name__", "watchfire_service_info"), ("service_name", "orders"), ("version", version)]);
    let calls = Labels::from_pairs([("__name__", "traces_span_metrics_calls_total"), ("service_name", "orders")]);
    let edge = |server: &str| {
        Labels::from_pairs([("__name__", "traces_service_graph_request_total"), ("client", "orders → x"), ("server", server)])
    };
    for second in (0..7200_i64).step_by(15) {
        let at = Timestamp(begin + second * 1000);
        source.push(&calls, at, Value::Float(second as f64));
        source.push(&info(if second < deployed { "1.0" } else { "2.0" }), at, Value::Float(1.0));
        if second < deployed {
            source.push(&edge("cash"), at, Value::Float(second as f64));
        } else {
            source.push(&edge("payments"), at, Value::Float((second - deployed) as f64));
        }
    }
    let (engine, cache) = (Engine::default(), QueryCache::default());
    let at = Timestamp(begin + 7_190_000);
    let lens = Lens { engine: &engine, source: &source, cache: &cache, at, window: RATE_WINDOW, scrape_window: SCRAPE_WINDOW };
    for back in [6000, 6 * 3600, 86_400] {
        let found = changes(&lens, Timestamp(at.0 - back * 1000)).expect("readable");
        let moments: Vec<(String, i64)> = found.iter().map(|c| (format!("{} {}", c.kind, c.to), (c.at.0 - begin) / 1000)).collect();
        let moment = |what: &str| moments.iter().find(|(w, _)| w == what).map(|(_, second)| *second);
        assert!(moment("version 2.0").is_some_and(|s| (4325..=4340).contains(&s)), "{back}: {moments:?}");
        assert!(moment("edge calls").is_some_and(|s| (4335..=4360).contains(&s)), "{back}: {moments:?}");
        // Silent is what has not called for five minutes.
        assert!(moment("edge silent").is_some_and(|s| (4600..=4640).contains(&s)), "{back}: {moments:?}");
        assert!(found.iter().all(|c| c.within_seconds <= 5.0), "{found:?}");
    }
}
