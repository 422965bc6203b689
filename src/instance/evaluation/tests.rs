//! The thread's turns outlive a panic.

use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use watchfire_alerts::{MemorySeries, RuleFile};
use watchfire_model::{Dependency, HandClock, Topology, Unhealthy};
use watchfire_notifiers::{Dispatcher, Settings};

/// Panics while it is asked for, as many times as it is told to.
#[derive(Default)]
struct Cursed(AtomicUsize);

impl Topology for Cursed {
    fn dependencies(&self, _: &str) -> Vec<Dependency> {
        Vec::new()
    }

    fn unhealthy(&self) -> Vec<Unhealthy> {
        let curses = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        assert!(curses.is_err(), "the topology is cursed");
        Vec::new()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_that_panics_is_followed_by_one_from_the_journal() {
    let rules = "groups:\n- name: g\n  interval: 15s\n  rules: [{alert: Always, expr: vector(1)}]\n";
    let groups = RuleFile::parse("rules.yml", rules).expect("rules parse").groups;
    let (clock, meter, store) = (HandClock::at(Timestamp(1_700_000_000_000)), Meter::new(), Arc::new(MemorySeries::new()));
    let topology = Arc::new(Cursed::default());
    let cancel = tokio_util::sync::CancellationToken::new();
    let (dispatcher, _) =
        Dispatcher::start(Settings::default(), None, meter.clone(), Arc::new(clock.clone()), cancel.clone()).expect("starts");
    let clocks: Arc<dyn Clock> = Arc::new(clock.clone());
    let (settings, source) = (EvaluatorSettings::default(), store.clone());
    let evaluator = Evaluator::new(settings, groups.clone(), source, store, topology.clone(), clocks.clone(), meter.clone());
    let board = Board::default();
    let panics = meter.counter("watchfire_panics_total", &[("task", "evaluator")]);
    let (shared, punctuality) = (Arc::new(Shared::default()), Punctuality::new(&meter));
    let mut watch = Watch { evaluator, groups, shared, dispatcher, board: board.clone(), clock: clocks, punctuality, panics };
    let firing = || board.read().alerts.len();

    clock.advance(Duration::from_secs(15));
    topology.0.store(2, Ordering::SeqCst);
    let mut state = Turns::default();
    watch.survive(&mut state);
    assert_eq!((watch.panics.get(), firing()), (1, 0));
    assert!(board.read().broken_rules[0].2.starts_with("panicked"), "{:?}", board.read().broken_rules);
    let first = watch.survive(&mut state);
    assert_eq!((watch.panics.get(), board.read().broken_rules.len()), (2, 1));
    let second = state.panics_in_a_row;
    clock.advance(Duration::from_secs(15));
    watch.survive(&mut state);
    assert_eq!((watch.panics.get(), firing(), board.read().broken_rules.len()), (2, 1, 0), "all is well again");
    assert!(first > SHORTEST_PAUSE && second == 2, "each rest is longer");
    cancel.cancel();
    watch.dispatcher.drained().await;
}
