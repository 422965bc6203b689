//! What is shown at t is what was shown live at t: frames of an incident, drawn while it happened and again with the time cursor.

use super::wire::Wire;
use super::{EPOCH, STEP};
use crate::board::Board;
use crate::cli::{Cli, Command};
use crate::instance::{Plan, conclusion, dialect_engine, signals, store_limits};
use crate::local::{Declared, LocalSource, RunFacts};
use crate::topology::JoinedTopology;
use clap::Parser;
use std::sync::Arc;
use std::time::Duration;
use watchfire_alerts::{Evaluator, EvaluatorSettings};
use watchfire_demo::Simulation;
use watchfire_model::reading::{Alert, Silence, Source, Status, Target};
use watchfire_model::{Clock, HandClock, Meter, Timestamp};
use watchfire_promql::Engine;
use watchfire_store::Store;
use watchfire_views::{App, Event, Options};

/// Each in every size that matters: by the command that opens it.
const SCREENS: [&str; 8] = ["services", "map", "queues", "breakers", "health", "alerts", "slo", "latency"];
/// Seconds of the scenario: calm, as it begins, in the midst, as it ends.
const MOMENTS: [u64; 4] = [45, 75, 121, 190];

/// When, which screen in which size, and its lines.
type Shown = (Timestamp, &'static str, (u16, u16), Vec<String>);

/// A run without notifications and without a network.
struct Bare {
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
        let surroundings = vec![format!("looked up at {}", now.millis() / 1000)];
        alert.evidence = Some(watchfire_model::Evidence { surroundings, ..watchfire_model::Evidence::default() });
    }
}

/// The frame of a screen without its first and last line: the clock and the keys differ by design.
fn frame(source: &LocalSource, screen: &str, size: (u16, u16), now: Timestamp, at: Option<Timestamp>) -> Vec<String> {
    let mut app = App::new(Options::default()).expect("the default options");
    app.handle(Event::Resize(size.0, size.1));
    app.handle(Event::Tick(now));
    if let Some(at) = at {
        let clock = chrono::DateTime::from_timestamp_millis(at.millis()).expect("a date").format("%H:%M:%S");
        app.order(&format!("at {clock}"));
        assert_eq!(app.at(), Some(at));
    }
    app.order(screen);
    // What a screen wants can depend on what it has drawn: once to see, once to show.
    for _ in 0..3 {
        for request in app.wants() {
            app.receive(&request, source.read(&request, app.at()));
        }
        app.frame_text(size.0, size.1);
    }
    let text = app.frame_text(size.0, size.1);
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines[1..lines.len() - 1].to_vec()
}

#[test]
fn what_is_shown_at_a_moment_is_what_was_shown_then() {
    let Some(Command::Demo(args)) = Cli::parse_from(["watchfire", "demo", "clientnest"]).command else { panic!("a demo") };
    let plan = Plan::demo(&args).expect("a demo needs no configuration");
    let platform = plan.platform.clone().expect("of a demo");
    let scenario = platform.scenario("database_outage").expect("it is there");
    let hands = HandClock::at(EPOCH);
    let clock: Arc<dyn Clock> = Arc::new(hands.clone());
    let meter = Meter::new();
    let store = Store::new(store_limits(&plan.config), meter.clone(), clock.clone());
    let engine = Arc::new(Engine::default());
    let declared = Arc::new(Declared::from(&platform));
    let topology = Arc::new(JoinedTopology::new(store.clone(), declared.clone()));
    let settings = EvaluatorSettings { interval: plan.config.evaluation_interval, ..EvaluatorSettings::default() };
    let groups = plan.rule_groups().expect("rules of the preset");
    let mut evaluator = Evaluator::new(settings, groups, store.clone(), store.clone(), topology, clock.clone(), meter.clone())
        .with_engine(engine.clone())
        .with_dialects(dialect_engine(&plan).expect("dialects"));
    let simulation = Simulation::new(&platform, 1, Some(scenario), None, EPOCH, 1.0);
    let mut wire = Wire::new(&platform, simulation, store.clone(), store.span_engine(signals(&plan)), &meter).expect("endpoints");
    let board = Board::default();
    let objectives = Arc::new(platform.objectives.clone());
    let facts = Arc::new(Bare { started: EPOCH, clock: clock.clone() });
    let source = LocalSource::new(store, engine, board.clone(), declared, objectives, clock.clone(), facts);

    let sizes = [(80, 24), (200, 50)];
    let mut live: Vec<Shown> = Vec::new();
    let mut elapsed = Duration::ZERO;
    while elapsed.as_secs() < MOMENTS[MOMENTS.len() - 1] + 40 {
        elapsed += STEP;
        hands.advance(STEP);
        let now = clock.now();
        wire.advance(elapsed, now).expect("valid telemetry");
        evaluator.tick();
        board.publish(conclusion(&evaluator));
        if MOMENTS.contains(&elapsed.as_secs()) {
            for screen in SCREENS {
                live.extend(sizes.map(|size| (now, screen, size, frame(&source, screen, size, now, None))));
            }
        }
    }
    let text = |screen: &str, size| live.iter().filter(|l| l.1 == screen && l.2 == size).map(|l| l.3.join("\n")).collect::<Vec<_>>();
    assert!(text("alerts", sizes[0]).iter().any(|f| f.contains("HighErrorRate")), "the incident is in the frames");
    assert!(text("breakers", sizes[0]).iter().any(|f| f.contains("open")), "the incident is in the frames");

    let now = clock.now();
    let mut differences = Vec::new();
    for (at, screen, size, before) in &live {
        let after = frame(&source, screen, *size, now, Some(*at));
        for (row, (before, after)) in before.iter().zip(&after).enumerate().filter(|(_, (before, after))| before != after) {
            differences.push(format!("{screen} {size:?} +{}s row {row}\n  live {before}\n  then {after}", at.since(EPOCH).as_secs()));
        }
    }
    assert!(differences.is_empty(), "{} rows differ:\n{}", differences.len(), differences.join("\n"));
}
