//! Further series of the platform file: gauges, counters, histograms and timestamps that scenarios can move.

use crate::exposition::DURATION_BUCKETS;
use crate::influence::pulled;
use crate::world::World;
use std::rc::Rc;
use std::time::Duration;
use watchfire_config::platform::{Signal, SignalKind};

/// Observations that one look may add to one histogram; at absurd speeds the rest is left out rather than the time.
const MAX_OBSERVATIONS: f64 = 5_000.0;

pub(crate) struct SignalState {
    last: Duration,
    /// Fractions of observations not yet made.
    owed: f64,
    /// Simulated time of the last renewal, for timestamps.
    renewed: Duration,
}

impl SignalState {
    pub(crate) fn new(_: &Signal) -> Self {
        SignalState { last: Duration::ZERO, owed: 0.0, renewed: Duration::ZERO }
    }
}

impl World {
    /// Brings every signal up to `now`.
    pub(crate) fn update_signals(&mut self, now: Duration) {
        let platform = Rc::clone(&self.platform);
        for (index, signal) in platform.signals.iter().enumerate() {
            let influence = self.influence(&format!("signal:{}", signal.name), "", now);
            let Some(service) = self.service_index(&signal.service) else { continue };
            let passed = now.saturating_sub(self.signals[index].last).as_secs_f64();
            self.signals[index].last = now;
            let noise = 1.0 + signal.noise * self.chance.swing();
            let moved = |ordinary: f64| pulled(ordinary, influence.set) * influence.factor + influence.add;
            let labels: Vec<(&str, &str)> = signal.labels.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            let help = if signal.help.is_empty() { signal.name.as_str() } else { signal.help.as_str() };
            match signal.kind {
                SignalKind::Gauge => self.services[service].exposition.set(&signal.series, help, &labels, moved(signal.value) * noise),
                SignalKind::Counter => {
                    let by = (moved(signal.value) * noise * passed).max(0.0);
                    self.services[service].exposition.count(&signal.series, help, &labels, by);
                }
                SignalKind::Histogram => {
                    let bounds = if signal.buckets.is_empty() { &DURATION_BUCKETS[..] } else { &signal.buckets };
                    self.services[service].exposition.observe(&signal.series, help, &labels, bounds, None);
                    self.signals[index].owed += signal.rate * passed;
                    let due = self.signals[index].owed.floor().min(MAX_OBSERVATIONS);
                    self.signals[index].owed = if due >= MAX_OBSERVATIONS { 0.0 } else { self.signals[index].owed - due };
                    for _ in 0..due as u64 {
                        let drawn = self.chance.log_normal(moved(signal.p50), moved(signal.p95));
                        self.services[service].exposition.observe(&signal.series, help, &labels, bounds, Some(drawn));
                    }
                }
                SignalKind::Timestamp => {
                    // `set` stops the renewals: what matters is that no sign of life comes.
                    let stopped = influence.set.is_some();
                    let due = now.saturating_sub(self.signals[index].renewed).as_secs_f64() >= signal.value;
                    if !stopped && due {
                        self.signals[index].renewed = now;
                    }
                    let renewed = self.signals[index].renewed;
                    let at = self.timeline.nanos(renewed, renewed) as f64 / 1e9;
                    self.services[service].exposition.set(&signal.series, help, &labels, at);
                }
            }
        }
    }
}
