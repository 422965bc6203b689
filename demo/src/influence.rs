//! What a scenario does to one part of the platform at one moment.

use std::time::Duration;
use watchfire_config::platform::{Effect, Scenario};

/// The sum of all effects on one target. The default changes nothing.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Influence {
    pub(crate) down: bool,
    pub(crate) errors: f64,
    pub(crate) status: Option<u16>,
    pub(crate) latency_factor: f64,
    pub(crate) latency_add: Duration,
    pub(crate) rate_factor: f64,
    pub(crate) consumers_stopped: bool,
    pub(crate) service_factor: f64,
    pub(crate) arrivals: f64,
    /// (value, strength): the resource goes from its ordinary use towards the value.
    pub(crate) cpu: Option<(f64, f64)>,
    pub(crate) memory: Option<(f64, f64)>,
    pub(crate) disk: Option<(f64, f64)>,
    pub(crate) unregistered: bool,
    pub(crate) health: String,
    pub(crate) set: Option<(f64, f64)>,
    pub(crate) factor: f64,
    pub(crate) add: f64,
}

impl Default for Influence {
    fn default() -> Self {
        Influence {
            down: false,
            errors: 0.0,
            status: None,
            latency_factor: 1.0,
            latency_add: Duration::ZERO,
            rate_factor: 1.0,
            consumers_stopped: false,
            service_factor: 1.0,
            arrivals: 0.0,
            cpu: None,
            memory: None,
            disk: None,
            unregistered: false,
            health: String::new(),
            set: None,
            factor: 1.0,
            add: 0.0,
        }
    }
}

/// A value pulled towards another with a strength of 0 to 1.
pub(crate) fn pulled(ordinary: f64, pull: Option<(f64, f64)>) -> f64 {
    pull.map_or(ordinary, |(value, strength)| ordinary + (value - ordinary) * strength)
}

/// How much of an effect is there at `at` (time since the scenario began): 0 before, 1 in force, in between while it ramps.
fn strength(effect: &Effect, lasts: Duration, at: Duration) -> f64 {
    let until = effect.until.unwrap_or(lasts);
    let ramp = effect.ramp.unwrap_or(Duration::ZERO).as_secs_f64();
    if at < effect.at {
        return 0.0;
    }
    let share = |passed: Duration| if ramp > 0.0 { (passed.as_secs_f64() / ramp).min(1.0) } else { 1.0 };
    let risen = share(at.min(until) - effect.at);
    if at < until { risen } else { (risen - share(at - until)).max(0.0) }
}

/// The influence on `target` (and `operation`, where the target is a service or provider) at a time since the scenario began.
pub(crate) fn influence(scenario: &Scenario, target: &str, is_service: bool, operation: &str, at: Duration) -> Influence {
    let mut sum = Influence::default();
    for effect in &scenario.effects {
        let hit = effect.target == target || (effect.target == "*" && is_service);
        if !hit || !(effect.operation.is_empty() || effect.operation == operation) {
            continue;
        }
        let s = strength(effect, scenario.lasts, at);
        if s <= 0.0 {
            continue;
        }
        let scaled = |factor: Option<f64>| factor.map_or(1.0, |f| 1.0 + (f - 1.0) * s);
        sum.down |= effect.down;
        sum.errors += effect.errors * s;
        sum.status = effect.status.or(sum.status);
        sum.latency_factor *= scaled(effect.latency_factor);
        sum.latency_add += effect.latency_add.unwrap_or_default().mul_f64(s);
        sum.rate_factor *= scaled(effect.rate_factor);
        sum.consumers_stopped |= effect.consumers_stopped;
        sum.service_factor *= scaled(effect.service_factor);
        sum.arrivals += effect.arrivals * s;
        sum.cpu = effect.cpu.map(|v| (v, s)).or(sum.cpu);
        sum.memory = effect.memory.map(|v| (v, s)).or(sum.memory);
        sum.disk = effect.disk.map(|v| (v, s)).or(sum.disk);
        sum.unregistered |= effect.unregistered;
        if !effect.health.is_empty() {
            sum.health.clone_from(&effect.health);
        }
        sum.set = effect.set.map(|v| (v, s)).or(sum.set);
        sum.factor *= scaled(effect.factor);
        sum.add += effect.add.unwrap_or(0.0) * s;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_effect_ramps_up_holds_and_goes_back() {
        let effect = Effect {
            at: Duration::from_secs(10),
            until: Some(Duration::from_secs(20)),
            ramp: Some(Duration::from_secs(4)),
            ..Effect::default()
        };
        let shown: Vec<f64> =
            [9, 10, 12, 14, 19, 20, 22, 24, 30].map(|s| strength(&effect, Duration::from_secs(60), Duration::from_secs(s))).into();
        assert_eq!(shown, [0.0, 0.0, 0.5, 1.0, 1.0, 1.0, 0.5, 0.0, 0.0]);
        let cut_short = Effect { until: Some(Duration::from_secs(12)), ..effect };
        assert_eq!(strength(&cut_short, Duration::from_secs(60), Duration::from_secs(12)), 0.5);
    }

    #[test]
    fn effects_on_one_target_add_up_and_spare_the_others() {
        let effect = |target: &str, operation: &str| Effect {
            target: target.into(),
            operation: operation.into(),
            latency_factor: Some(2.0),
            errors: 0.1,
            ..Effect::default()
        };
        let scenario = Scenario {
            name: String::new(),
            title: String::new(),
            trips: Vec::new(),
            misses: Vec::new(),
            look_for: String::new(),
            lasts: Duration::from_secs(10),
            effects: vec![effect("a", ""), effect("a", "GET /x"), effect("*", "")],
        };
        let on = |target, service, operation| influence(&scenario, target, service, operation, Duration::ZERO).latency_factor;
        assert_eq!(on("a", true, "GET /x"), 8.0);
        assert_eq!(on("a", true, "GET /y"), 4.0);
        assert_eq!(on("b", true, ""), 2.0);
        assert_eq!(on("b", false, ""), 1.0);
    }
}
