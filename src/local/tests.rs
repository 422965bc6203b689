//! What the source of readings keeps, whatever is asked of it.

use super::*;
use watchfire_model::HandClock;
use watchfire_store::StoreLimits;

/// A run of which nothing more is known.
struct Nothing;

impl RunFacts for Nothing {
    fn complete(&self, _: &mut Status) {}

    fn targets(&self) -> Vec<Target> {
        Vec::new()
    }

    fn silences(&self) -> Vec<Silence> {
        Vec::new()
    }

    fn delivery(&self, _: &mut Alert) {}

    fn evidence(&self, _: &mut Alert, _: Timestamp) {}
}

#[test]
fn an_answer_is_kept_for_as_long_as_it_is_given_again() {
    let clock = Arc::new(HandClock::at(Timestamp(1_772_334_000_000)));
    let store = Store::new(StoreLimits::default(), Meter::new(), clock.clone());
    let (engine, declared) = (Arc::new(Engine::default()), Arc::new(Declared::default()));
    let source = LocalSource::new(store, engine, Board::default(), declared, Arc::default(), clock.clone(), Arc::new(Nothing));
    for step in 0..50 {
        let at = clock.now().saturating_sub(Duration::from_secs(step));
        source.read(&Request::Map, Some(at)).expect("readable");
        clock.advance(FRESH);
    }
    assert!(source.cached.lock().len() <= 2, "a map and the services on it");
}
