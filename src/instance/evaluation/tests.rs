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

/// The thread's own, with a topology that can be cursed.
fn watch(clock: &HandClock, topology: &Arc<Cursed>, cancel: &CancellationToken) -> Watch {
    let rules = "groups:\n- name: g\n  interval: 15s\n  rules: [{alert: Always, expr: vector(1)}]\n";
    let groups = RuleFile::parse("rules.yml", rules).expect("rules parse").groups;
    let (meter, store) = (Meter::new(), Arc::new(MemorySeries::new()));
    let (dispatcher, _) =
        Dispatcher::start(Settings::default(), None, meter.clone(), Arc::new(clock.clone()), cancel.clone()).expect("starts");
    let clock: Arc<dyn Clock> = Arc::new(clock.clone());
    let (settings, source) = (EvaluatorSettings::default(), store.clone());
    let evaluator = Evaluator::new(settings, groups.clone(), source, store, topology.clone(), clock.clone(), meter.clone());
    let panics = meter.counter("watchfire_panics_total", &[("task", "evaluator")]);
    let (shared, punctuality, panicked) = (Arc::new(Shared::default()), Punctuality::new(&meter), VecDeque::new());
    Watch { evaluator, groups, shared, dispatcher, board: Board::default(), clock, punctuality, panics, panicked }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_that_panics_is_followed_by_one_from_the_journal() {
    let (clock, topology, cancel) = (HandClock::at(Timestamp(1_700_000_000_000)), Arc::new(Cursed::default()), CancellationToken::new());
    let mut watch = watch(&clock, &topology, &cancel);
    let board = watch.board.clone();
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

#[tokio::test(flavor = "multi_thread")]
async fn five_panics_within_a_minute_are_the_end_and_five_in_an_hour_are_not() {
    for (pause, ends) in [(14, true), (16, false)] {
        let (clock, topology, cancel) =
            (HandClock::at(Timestamp(1_700_000_000_000)), Arc::new(Cursed::default()), CancellationToken::new());
        let mut watch = watch(&clock, &topology, &cancel);
        let given_up = watch.shared.given_up.clone();
        topology.0.store(5, Ordering::SeqCst);
        let mut state = Turns::default();
        for panic in 1..=5 {
            clock.advance(Duration::from_secs(pause));
            watch.survive(&mut state);
            assert_eq!((watch.panics.get(), given_up.is_cancelled()), (panic, ends && panic == 5), "{pause} s apart");
        }
        cancel.cancel();
        watch.dispatcher.drained().await;
    }
}
