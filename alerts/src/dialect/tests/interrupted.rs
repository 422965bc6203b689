//! Looks that take too long.

use super::*;
use watchfire_model::is_stale;
use watchfire_promql::{Control, Interrupt};

const OPEN: &str = "resilience4j_circuitbreaker_state{application=\"shop\",name=\"pay\",state=\"open\"} 1\n";

#[test]
fn who_takes_too_long_ends_nothing_and_has_the_next_turn_a_minute_later() {
    let (store, start) = scraped(&[OPEN]);
    let mut engine = DialectEngine::built_in().expect("good files");
    let (promql, meter) = (Engine::default(), Meter::new());
    let hasty = || Some(Interrupt::Timeout);
    let looks = meter.counter("watchfire_dialect_looks_interrupted_total", &[]);
    let mut tick = |seconds: u64, control: Control<'_>| {
        let at = start.saturating_add(Duration::from_secs(seconds));
        engine.tick(&promql, &*store, &*store, at, at, &meter, control);
        engine.rows().breakers.len()
    };
    assert_eq!(tick(0, Control::default()), 1);
    for second in (15..75).step_by(5) {
        assert_eq!((tick(second, Control { interrupt: Some(&hasty), ..Control::default() }), looks.get()), (1, 1));
    }
    assert_eq!((tick(90, Control { interrupt: Some(&hasty), ..Control::default() }), looks.get()), (1, 2), "after its pause");
    let mut states = Vec::new();
    let range = TimeRange { start: start.saturating_sub(Duration::from_secs(1)), end: start.saturating_add(Duration::from_secs(120)) };
    store
        .select(&Selector::metric("watchfire_breaker_state"), range, &mut |view| {
            states.extend(view.times.iter().zip(view.values).map(|(t, v)| (t.since(start).as_secs(), *v, is_stale(*v))));
        })
        .expect("memory answers");
    assert_eq!(states, [(0, 2.0, false)], "nothing ended it");
}
