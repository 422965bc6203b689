//! What panics loses its turn; nothing else does.

use super::*;
use watchfire_model::{SeriesView, SourceError};

/// Plain memory in which whoever looks at `cursed` panics while that is asked for.
struct Cursed {
    store: Arc<MemorySeries>,
    active: Mutex<bool>,
}

impl SeriesSource for Cursed {
    fn select(&self, selector: &Selector, range: TimeRange, visit: &mut dyn FnMut(SeriesView<'_>)) -> Result<(), SourceError> {
        let names_it = selector.metric_name() == Some("cursed");
        assert!(!(names_it && *self.active.lock()), "cursed series {}", 13);
        self.store.select(selector, range, visit)
    }
}

const RULES: &str = "groups:\n  - name: g\n    interval: 15s\n    rules:\n      - alert: Cursed\n        expr: cursed > 0\n      - alert: Errors\n        expr: errors > 0\n        annotations: {summary: '{{ query \"cursed\" | len }}'}\n      - record: sum\n        expr: sum(errors)\n";

#[test]
fn a_rule_that_panics_is_broken_and_the_others_are_evaluated() {
    let mut world = World::new(RULES);
    let source = Arc::new(Cursed { store: world.store.clone(), active: Mutex::new(false) });
    let clock = Arc::new(world.clock.clone());
    let settings = EvaluatorSettings::default();
    let topology = world.topology.clone();
    world.evaluator = Evaluator::new(settings, groups(RULES), source.clone(), world.store.clone(), topology, clock, world.meter.clone());
    world.set(&[("__name__", "cursed")], 1.0);
    assert_eq!(world.round(&[]).notices.len(), 1, "fires");
    *source.active.lock() = true;
    world.pass(15);
    let outcome = world.round(&[("a", 1.0)]);
    assert_eq!(told(&outcome), [("a".to_owned(), NoticeState::Firing)]);
    let summary = outcome.notices[0].annotations.get("summary");
    assert_eq!(summary, Some("<error expanding template: panicked: cursed series 13>"), "a text costs no alert");
    assert_eq!(world.latest("sum")[0].1, 1.0, "the rules behind it are evaluated");
    let reports = &world.evaluator.groups()[0].rules;
    assert_eq!((reports[0].health, reports[0].last_error.as_deref()), (RuleHealth::Err, Some("panicked: cursed series 13")));
    assert_eq!(reports[1].health, RuleHealth::Ok);
    assert_eq!(reports[0].alerts.as_ref().map(Vec::len), Some(1), "what fires is kept");
    assert_eq!(world.meter.counter("watchfire_panics_total", &[("task", "rule")]).get(), 1);
    *source.active.lock() = false;
    world.pass(15);
    world.round(&[("a", 1.0)]);
    assert!(world.evaluator.broken_rules().is_empty());
}

#[test]
fn who_begins_anew_from_the_journal_repeats_nothing_and_waits_no_longer() {
    let rules = ERRORS.replace("for: 30s", "for: 20m");
    let mut world = World::new(&rules);
    let mut journal: BTreeMap<String, AlertRecord> = BTreeMap::new();
    let mut told = Vec::new();
    let rounds = |world: &mut World, n: usize, journal: &mut BTreeMap<String, AlertRecord>, told: &mut Vec<NoticeState>| {
        for _ in 0..n {
            let outcome = world.round(&[("api", 0.5)]);
            journal.extend(outcome.changed.into_iter().map(|r| (r.key(), r)));
            outcome.removed.iter().for_each(|key| drop(journal.remove(key)));
            told.extend(outcome.notices.iter().map(|n| n.state));
            world.pass(15);
        }
    };
    rounds(&mut world, 76, &mut journal, &mut told);
    world.evaluator.begin_anew(groups(&rules), journal.values().cloned().collect());
    rounds(&mut world, 4, &mut journal, &mut told);
    assert!(told.is_empty(), "not yet");
    rounds(&mut world, 2, &mut journal, &mut told);
    assert_eq!(told, [NoticeState::Firing], "in its time: nothing was unwatched");
    world.evaluator.begin_anew(groups(&rules), journal.values().cloned().collect());
    rounds(&mut world, 8, &mut journal, &mut told);
    assert_eq!(told.len(), 1, "nobody is told twice");
    assert_eq!(world.latest("ALERTS").len(), 1, "its series went on");
}
