//! A platform on a clock that only moves when it is told to. No sockets: what services send and show is handed out as values.

use crate::breaker::BreakerState;
use crate::health::HealthAnswer;
use crate::otlp::Export;
use crate::trace::Timeline;
use crate::world::{Node, Sim, World};
use std::rc::Rc;
use std::time::Duration;
use watchfire_config::platform::{Platform, Scenario};
use watchfire_model::Timestamp;

/// One run of one platform. The same platform, seed, scenario and speed give the same run, bit for bit.
pub struct Simulation {
    sim: Sim,
    speed: f64,
}

impl Simulation {
    /// A simulation at its beginning. `epoch` is the wall-clock time of that moment; `speed` the simulated seconds per second of wall-clock
    /// time (1 is real time). A scenario begins at once. `sampling` overrides the ratios of the platform file.
    pub fn new(platform: &Platform, seed: u64, scenario: Option<&Scenario>, sampling: Option<f64>, epoch: Timestamp, speed: f64) -> Self {
        let timeline =
            Timeline { epoch: u64::try_from(epoch.millis()).unwrap_or(0) * 1_000_000, speed: if speed > 0.0 { speed } else { 1.0 } };
        let world = World::new(Rc::new(platform.clone()), seed, scenario.cloned(), sampling, timeline);
        let sim = Sim::new(world);
        sim.begin();
        Simulation { sim, speed: timeline.speed }
    }

    /// Simulated time since the beginning.
    pub fn now(&self) -> Duration {
        self.sim.now()
    }

    /// Runs until `until` (simulated time since the beginning).
    pub fn run_until(&mut self, until: Duration) {
        self.sim.executor.run_until(until);
    }

    /// Moves what is to come to a later wall-clock time, as if the simulation had begun that much later.
    pub fn postpone(&mut self, by: Duration) {
        let epoch = &mut self.sim.world().timeline.epoch;
        *epoch = epoch.saturating_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Spans and logs of one service (by its place in the platform file) that have happened by now and were not taken before.
    pub fn take_exports(&mut self, service: usize) -> Vec<Export> {
        let until = self.now().div_f64(self.speed);
        self.sim.world().take_exports(service, until)
    }

    /// The OTLP metrics of one service as they are now.
    pub fn metrics_export(&mut self, service: usize) -> Export {
        let now = self.now();
        self.sim.world().metrics_export(service, now)
    }

    /// Whether a service is down, by scenario.
    pub fn is_down(&self, service: usize) -> bool {
        let name = self.sim.platform().services[service].name.clone();
        self.sim.influence(&name, "").down
    }

    /// The text under `/metrics` of one service; `None` while it is down.
    pub fn metrics_text(&mut self, service: usize) -> Option<String> {
        let now = self.now();
        (!self.is_down(service)).then(|| self.sim.world().metrics_text(service, now))
    }

    /// The answer of a health endpoint; `None` while the service is down.
    pub fn health(&self, service: usize, path: &str) -> Option<HealthAnswer> {
        let now = self.now();
        self.sim.world().health(service, path, now)
    }

    /// Messages waiting in a queue.
    pub fn queue_depth(&self, queue: &str) -> Option<usize> {
        let world = self.sim.world();
        match world.nodes.get(queue) {
            Some(Node::Queue(index)) => Some(world.queues[*index].depth()),
            _ => None,
        }
    }

    /// State of a breaker now, and all its transitions: (simulated time, state entered).
    pub fn breaker(&self, service: &str, name: &str) -> Option<(BreakerState, Vec<(Duration, BreakerState)>)> {
        let world = self.sim.world();
        let breaker = world.breakers.iter().find(|b| b.parameters().service == service && b.parameters().name == name)?;
        Some((breaker.state(), breaker.transitions().to_vec()))
    }

    /// Spans made so far, of sampled traces.
    pub fn spans_made(&self) -> u64 {
        self.sim.world().spans_made
    }
}

#[cfg(test)]
#[path = "simulation_tests.rs"]
mod tests;
