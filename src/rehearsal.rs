//! A scenario from its first byte on the wire to the people who are told, on a clock that only moves when it is told to: what takes minutes in
//! a demo takes seconds here, and comes out the same every time.
//!
//! Types to know: [`rehearse`] runs one scenario and gives an [`Account`]; [`Account::faults`] compares it with what the scenario declares;
//! [`gaps`] says what no scenario of a platform touches.
//!
//! Invariants: only transport is left out. Bytes are those that the simulated services would send; decoders, store, dialects, rules, causes,
//! routes, groups and messages are those of a run, up to what each channel would put on the wire; nothing here knows a platform by name.

mod account;
#[cfg(test)]
mod cursor;
#[cfg(test)]
mod declared;
mod held;
#[cfg(test)]
mod leads;
mod messages;
mod report;
mod wire;

pub use account::{Account, gaps};
pub use held::{CursorSteps, cursor_steps};
pub use report::text;

use crate::instance::{Plan, StoreEvidence, dialect_engine, document_settings, signals, store_limits};
use crate::local::Declared;
use crate::local::lens::{Lens, QueryCache, RATE_WINDOW, SCRAPE_WINDOW};
use crate::local::objectives::met;
use crate::topology::JoinedTopology;
use account::Observer;
use std::sync::Arc;
use std::time::Duration;
use watchfire_alerts::{Evaluator, EvaluatorSettings};
use watchfire_config::platform::{Platform, Scenario};
use watchfire_demo::Simulation;
use watchfire_model::{Clock, HandClock, Meter, Timestamp};
use watchfire_notifiers::Rehearsal;
use watchfire_promql::Engine;
use watchfire_store::Store;
use wire::Wire;

/// Simulated time moves in steps of this: exports come once a second.
const STEP: Duration = Duration::from_secs(1);
/// Objectives are read this often, as a screen would.
const LOOK: u64 = 5;
/// How long after the scenario everything may take to be as before.
const PATIENCE: Duration = Duration::from_secs(15 * 60);
/// The slowest digest of a document comes once a day.
const DIGESTS: Duration = Duration::from_secs(25 * 3600);
/// 2026-01-05 09:00 UTC, a Monday: any time would do, as long as it is always the same.
const EPOCH: Timestamp = Timestamp::from_millis(1_767_603_600_000);

/// Runs one scenario until everything is as before again, or patience ends.
///
/// # Errors
/// When rules, routes or targets of the plan cannot be used.
pub fn rehearse(plan: &Plan, platform: &Platform, scenario: &Scenario, seed: u64) -> anyhow::Result<Account> {
    let hands = HandClock::at(EPOCH);
    let clock: Arc<dyn Clock> = Arc::new(hands.clone());
    let meter = Meter::new();
    let store = Store::new(store_limits(&plan.config), meter.clone(), clock.clone());
    let engine = Arc::new(Engine::default());
    let declared = Arc::new(Declared::from(platform));
    let topology = Arc::new(JoinedTopology::new(store.clone(), declared));
    let mut delivery = Rehearsal::new(&document_settings(platform)).map_err(|e| anyhow::anyhow!("route: {e}"))?;
    let evidence = Arc::new(StoreEvidence::new(store.clone(), engine.clone(), None));
    let hold = EvaluatorSettings::default().hold;
    let settings = EvaluatorSettings { interval: plan.config.evaluation_interval, ..EvaluatorSettings::default() };
    let mut evaluator = Evaluator::new(settings, plan.rule_groups()?, store.clone(), store.clone(), topology, clock.clone(), meter.clone())
        .with_engine(engine.clone())
        .with_evidence(evidence)
        .with_dialects(dialect_engine(plan, &store)?);
    let simulation = Simulation::new(platform, seed, Some(scenario), None, EPOCH, 1.0);
    let mut wire = Wire::new(platform, simulation, store.clone(), store.span_engine(signals(plan)), &meter)?;
    let mut observer = Observer::new(platform, scenario, hold);
    let cache = QueryCache::default();

    let limit = scenario.lasts + PATIENCE;
    let mut at = Duration::ZERO;
    while at < limit {
        at += STEP;
        hands.advance(STEP);
        let now = clock.now();
        wire.advance(at, now)?;
        let outcome = evaluator.tick();
        observer.alerts(&evaluator.records(), &outcome.changed, at);
        for notice in outcome.notices {
            observer.notice(&notice);
            delivery.take(notice, now);
        }
        delivery.refresh(&outcome.refreshed);
        delivery.send(now).iter().for_each(|said| observer.said(said, at));
        if at.as_secs().is_multiple_of(LOOK) {
            let lens = Lens {
                engine: &engine,
                source: &*store,
                cache: &cache,
                at: now,
                window: RATE_WINDOW.min(at),
                scrape_window: SCRAPE_WINDOW.min(at),
            };
            for (index, objective) in platform.objectives.iter().enumerate() {
                observer.objective(index, met(&lens, objective), at);
            }
            observer.breakers(&lens, wire.simulation())?;
        }
        if at > scenario.lasts && observer.calm() {
            break;
        }
    }
    // Nothing fires any more; batches and digests are still to come.
    let mut now = clock.now();
    while let Some(next) = delivery.next(now).filter(|next| next.since(EPOCH) < DIGESTS) {
        now = next;
        delivery.send(now).iter().for_each(|said| observer.said(said, now.since(EPOCH)));
    }
    Ok(observer.account(at, evaluator.broken_rules()))
}
