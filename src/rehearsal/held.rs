//! A platform's run on simulated time, held as a live one holds it, for those who look back at it.

use super::wire::Wire;
use super::{EPOCH, STEP};
use crate::board::Board;
use crate::cli::{Cli, Command};
use crate::instance::{Plan, StoreEvidence, conclusion, dialect_engine, signals, store_limits};
use crate::local::{Declared, LocalSource, RunFacts};
use crate::topology::JoinedTopology;
use anyhow::{Context as _, bail};
use clap::Parser;
use std::sync::Arc;
use std::time::{Duration, Instant};
use watchfire_alerts::{Evaluator, EvaluatorSettings};
use watchfire_demo::Simulation;
use watchfire_model::reading::{Alert, Silence, Source, Status, Target};
use watchfire_model::{Clock, HandClock, Meter, Timestamp};
use watchfire_promql::Engine;
use watchfire_store::Store;
use watchfire_views::{App, Event, Options};

/// Each by the command that opens it.
pub(super) const SCREENS: [&str; 8] = ["services", "map", "queues", "breakers", "health", "alerts", "slo", "latency"];
/// Those behind them, and those of spans and lines: the command, and the keys that go on from there.
#[cfg(test)]
pub(super) const BEHIND: [(&str, &str); 16] = [
    ("service content-service", ""),
    ("service api-gateway", ""),
    ("map", "v"),
    ("traces", ""),
    ("traces", "f"),
    ("traces", "s"),
    ("logs", ""),
    ("logs", "p"),
    ("latency", "s"),
    ("latency", "r"),
    ("latency content-service", "rf"),
    ("latency content-service", ""),
    ("health", "v"),
    ("alerts", "\n"),
    ("changes", ""),
    ("query sum by (service_name) (rate(traces_span_metrics_calls_total[1m]))", ""),
];

/// A run without notifications and without a network.
struct Bare {
    evidence: StoreEvidence,
    started: Timestamp,
    clock: Arc<dyn Clock>,
}

impl RunFacts for Bare {
    fn complete(&self, status: &mut Status) {
        status.uptime_seconds = self.clock.now().since(self.started).as_secs_f64();
    }

    fn targets(&self) -> Vec<Target> {
        Vec::new()
    }

    fn silences(&self) -> Vec<Silence> {
        Vec::new()
    }

    fn delivery(&self, alert: &mut Alert) {
        alert.notified = alert.cause.is_none();
    }

    fn evidence(&self, alert: &mut Alert, now: Timestamp) {
        self.evidence.complete(alert, now);
    }
}

/// Runs a scenario of a platform for so long. `look` is called after each second with how many have passed.
///
/// # Errors
/// When there is no such platform or scenario, or its preset cannot be used.
pub(super) fn held(
    platform: &str,
    scenario: &str,
    lasts: Duration,
    mut look: impl FnMut(&LocalSource, Timestamp, u64),
) -> anyhow::Result<(LocalSource, Timestamp)> {
    let Some(Command::Demo(args)) = Cli::try_parse_from(["watchfire", "demo", platform])?.command else { bail!("not a demo") };
    let plan = Plan::demo(&args)?;
    let platform = plan.platform.clone().context("a demo has a platform")?;
    let scenario = platform.scenario(scenario).with_context(|| format!("no scenario {scenario:?}"))?;
    let hands = HandClock::at(EPOCH);
    let clock: Arc<dyn Clock> = Arc::new(hands.clone());
    let meter = Meter::new();
    let store = Store::new(store_limits(&plan.config), meter.clone(), clock.clone());
    let engine = Arc::new(Engine::default());
    let declared = Arc::new(Declared::from(&platform));
    let topology = Arc::new(JoinedTopology::new(store.clone(), declared.clone()));
    let settings = EvaluatorSettings { interval: plan.config.evaluation_interval, ..EvaluatorSettings::default() };
    let mut evaluator = Evaluator::new(settings, plan.rule_groups()?, store.clone(), store.clone(), topology, clock.clone(), meter.clone())
        .with_engine(engine.clone())
        .with_dialects(dialect_engine(&plan, &store)?);
    let simulation = Simulation::new(&platform, 1, Some(scenario), None, EPOCH, 1.0);
    let mut wire = Wire::new(&platform, simulation, store.clone(), store.span_engine(signals(&plan)), &meter)?;
    let board = Board::default();
    let objectives = Arc::new(platform.objectives.clone());
    let evidence = StoreEvidence::new(store.clone(), engine.clone(), None);
    let facts = Arc::new(Bare { evidence, started: EPOCH, clock: clock.clone() });
    let source = LocalSource::new(store, engine, board.clone(), declared, objectives, clock.clone(), facts);
    let mut elapsed = Duration::ZERO;
    while elapsed < lasts {
        elapsed += STEP;
        hands.advance(STEP);
        let now = clock.now();
        wire.advance(elapsed, now)?;
        evaluator.tick();
        board.publish(conclusion(&evaluator));
        look(&source, now, elapsed.as_secs());
    }
    Ok((source, clock.now()))
}

/// A screen at a moment: everything it wants is read, and drawn. `now` is the wall clock.
pub(super) fn screen(source: &LocalSource, screen: &str, size: (u16, u16), now: Timestamp, at: Option<Timestamp>) -> App {
    let mut app = App::new(Options::default()).expect("the default options");
    app.handle(Event::Resize(size.0, size.1));
    app.handle(Event::Tick(now));
    if let Some(at) = at {
        app.order(&format!("at {}", at.seconds()));
        assert_eq!(app.at(), Some(at));
    }
    app.order(screen);
    // What a screen wants can depend on what it has drawn: once to see, once to show.
    for _ in 0..3 {
        read(&mut app, source);
        app.frame_text(size.0, size.1);
    }
    app
}

pub(super) fn read(app: &mut App, source: &LocalSource) {
    for request in app.wants() {
        app.receive(&request, source.read(&request, app.at()));
    }
}

/// What steps of the time cursor cost on one screen.
#[derive(Clone, Debug)]
pub struct CursorSteps {
    pub screen: &'static str,
    /// From the key to the finished frame, the shortest first.
    pub times: Vec<Duration>,
}

/// Holds `lasts` of an incident and steps the cursor back over all of it, `steps` on each screen: reading everything anew and drawing it.
///
/// # Errors
/// As for the run itself.
pub fn cursor_steps(lasts: Duration, steps: u32) -> anyhow::Result<(u64, Vec<CursorSteps>)> {
    let size = (200, 50);
    // A terminal is attached all the while: the past is kept as it was shown.
    let (source, now) = held("clientnest", "database_outage", lasts, |source, now, seconds| {
        if seconds.is_multiple_of(30) {
            for name in SCREENS {
                screen(source, name, size, now, None);
            }
        }
    })?;
    let spans = source.store.usage().spans_held;
    // No two steps look at the same moment, so none is answered from what another one read.
    let apart = lasts / (steps * SCREENS.len() as u32 + 1);
    let mut moment = now;
    let mut measured = Vec::new();
    for name in SCREENS {
        let mut app = screen(&source, name, size, now, None);
        let mut times = Vec::new();
        for _ in 0..steps {
            moment = moment.saturating_sub(apart);
            let began = Instant::now();
            app.order(&format!("at {}", moment.seconds()));
            read(&mut app, &source);
            app.frame_text(size.0, size.1);
            times.push(began.elapsed());
        }
        times.sort();
        measured.push(CursorSteps { screen: name, times });
    }
    Ok((spans, measured))
}
