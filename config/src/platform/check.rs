//! What the grammar of TOML cannot say: names exist once, references hit something, shares are shares.

use super::{Effect, Platform, Retry, Saga, Step};
use crate::diagnosis::{ConfigError, nearest};
use std::collections::BTreeSet;
use std::time::Duration;

/// Calls, messages or observations per second; a simulator of one process makes a thousandth of it.
const MOST_RATE: f64 = 1e6;
/// How many times more than ordinary an effect may make something.
const MOST_FACTOR: f64 = 1e4;
/// Tries of one call, and how much longer each waits than the one before.
const MOST_ATTEMPTS: u32 = 100;
const MOST_BACKOFF: f64 = 100.0;
/// Workers of one queue.
const MOST_WORKERS: u32 = 10_000;

struct Checker<'a> {
    platform: &'a Platform,
    place: &'a str,
    text: &'a str,
    errors: Vec<ConfigError>,
}

pub(super) fn check<'a>(
    platform: &'a Platform,
    place: &'a str,
    text: &'a str,
    scenario_text: &dyn Fn(&str) -> (String, &'a str),
) -> Vec<ConfigError> {
    let mut checker = Checker { platform, place, text, errors: Vec::new() };
    checker.names();
    checker.calls();
    checker.queues();
    checker.breakers();
    checker.series();
    checker.objectives();
    let mut errors = checker.errors;
    for scenario in &platform.scenarios {
        let (place, text) = scenario_text(&scenario.name);
        for effect in &scenario.effects {
            let mut checker = Checker { platform, place: &place, text, errors: Vec::new() };
            checker.effect(effect, scenario.lasts);
            errors.append(&mut checker.errors);
        }
    }
    errors
}

impl<'a> Checker<'a> {
    fn fail(&mut self, needle: &str, message: String, help: Option<String>) {
        let mut error = ConfigError::new(self.place, message).near(self.text, needle);
        error.help = help.map(Into::into);
        self.errors.push(error);
    }

    fn nodes(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let p = self.platform;
        let services = p.services.iter().map(|s| s.name.as_str());
        let stores = p.stores.iter().map(|s| s.name.as_str());
        let providers = p.providers.iter().map(|s| s.name.as_str());
        services.chain(stores).chain(providers).chain(p.queues.iter().map(|q| q.name.as_str()))
    }

    fn names(&mut self) {
        let mut seen = BTreeSet::new();
        for name in self.nodes() {
            let valid = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
            if !valid {
                self.fail(&format!("{name:?}"), format!("{name:?} is not a name: use letters, digits, `-`, `_` and `.`"), None);
            }
            if !seen.insert(name) {
                self.fail(
                    &format!("{name:?}"),
                    format!("the name `{name}` is used twice"),
                    Some("services, stores, providers and queues share one list of names".into()),
                );
            }
        }
        if self.platform.services.is_empty() {
            self.fail("", "a platform needs at least one [[service]]".into(), None);
        }
        self.share("[defaults]", "sampling", self.platform.defaults.sampling);
        self.retry("[defaults.retry]", &self.platform.defaults.retry);
        for service in &self.platform.services {
            self.share(&service.name, "sampling", service.sampling.unwrap_or(1.0));
            for (key, share) in [("cpu", service.cpu), ("memory", service.memory), ("disk", service.disk)] {
                self.share(&service.name, key, share);
            }
        }
        for store in &self.platform.stores {
            self.share(&store.name, "errors", store.errors);
            self.share(&store.name, "hit_ratio", store.hit_ratio.unwrap_or(0.0));
        }
        for provider in &self.platform.providers {
            self.share(&provider.name, "errors", provider.errors);
        }
        for breaker in &self.platform.breakers {
            self.share(&breaker.name, "failure_share", breaker.failure_share.unwrap_or(0.0));
        }
    }

    fn share(&mut self, of: &str, key: &str, share: f64) {
        if !(0.0..=1.0).contains(&share) {
            let needle = self.written(key, share);
            self.fail(&needle, format!("{key} = {share} is not a share between 0 and 1 (in `{of}`)"), None);
        }
    }

    fn amount(&mut self, of: &str, key: &str, amount: f64, most: f64) {
        if !(0.0..=most).contains(&amount) {
            let needle = self.written(key, amount);
            self.fail(&needle, format!("{key} = {amount} is not a number between 0 and {most} (in `{of}`)"), None);
        }
    }

    fn retry(&mut self, of: &str, retry: &Retry) {
        self.share(of, "jitter", retry.jitter);
        self.amount(of, "factor", retry.factor, MOST_BACKOFF);
        self.amount(of, "attempts", f64::from(retry.attempts), f64::from(MOST_ATTEMPTS));
    }

    /// A number as it stands in the file, with its key.
    fn written(&self, key: &str, value: f64) -> String {
        let stands = |(at, _): (usize, &str)| {
            let tail = self.text[at + key.len()..].trim_start().strip_prefix('=')?.trim_start();
            let length = tail.find([',', '}', ']', '#', '\n', ' ']).unwrap_or(tail.len());
            let parsed: f64 = tail[..length].trim().replace('_', "").parse().ok()?;
            let end = self.text.len() - tail.len() + length;
            (parsed == value || parsed.is_nan() && value.is_nan()).then(|| self.text[at..end].to_owned())
        };
        self.text.match_indices(key).find_map(stands).unwrap_or_default()
    }

    fn known(&mut self, name: &str, what: &str) -> bool {
        if self.nodes().any(|n| n == name) {
            return true;
        }
        let help = nearest(name, self.nodes()).map(|near| format!("did you mean `{near}`?"));
        self.fail(&format!("{name:?}"), format!("{what} names `{name}`, which this platform does not have"), help);
        false
    }

    fn service(&mut self, name: &str, what: &str) {
        if self.platform.service(name).is_none() {
            let help = nearest(name, self.platform.services.iter().map(|s| s.name.as_str())).map(|near| format!("did you mean `{near}`?"));
            self.fail(&format!("{name:?}"), format!("{what} names the service `{name}`, which this platform does not have"), help);
        }
    }

    fn step(&mut self, owner: &str, step: &Step) {
        self.share(owner, "share", step.share);
        if let Some(retry) = &step.retry {
            self.retry(owner, retry);
        }
        if step.to.is_empty() {
            if step.op.is_empty() {
                self.fail(owner, format!("a step of `{owner}` has neither `to` nor `op`"), None);
            }
            return;
        }
        if self.known(&step.to, &format!("a step of `{owner}`")) {
            self.called(owner, &step.to, &step.op);
        }
    }

    /// A call to a service must hit one of its operations, a message one of the queue's jobs.
    fn called(&mut self, owner: &str, to: &str, op: &str) {
        let candidates: Vec<&str> = if self.platform.service(to).is_some() {
            self.platform.operations.iter().filter(|o| o.service == to).map(|o| o.name.as_str()).collect()
        } else if let Some(queue) = self.platform.queue(to) {
            queue.jobs.iter().map(String::as_str).collect()
        } else {
            return;
        };
        if candidates.is_empty() && self.platform.queue(to).is_some() {
            return;
        }
        if !candidates.contains(&op) {
            let help = nearest(op, candidates.iter().copied())
                .map(|near| format!("did you mean `{near}`?"))
                .unwrap_or_else(|| format!("it has: {}", candidates.join(", ")));
            self.fail(&format!("{op:?}"), format!("`{owner}` calls `{op}` of `{to}`, which has no such operation"), Some(help));
        }
    }

    fn calls(&mut self) {
        for operation in &self.platform.operations {
            self.service(&operation.service, &format!("operation `{}`", operation.name));
            self.amount(&operation.name, "rate", operation.rate, MOST_RATE);
            self.share(&operation.name, "errors", operation.errors);
            self.share(&operation.name, "client_errors", operation.client_errors);
            for step in &operation.steps {
                self.step(&operation.name, step);
            }
            if operation.p95 < operation.p50 {
                self.fail(&operation.name, format!("`{}` has a p95 below its p50", operation.name), None);
            }
        }
        if let Some(cycle) = self.cycle() {
            self.fail(
                &format!("{:?}", cycle),
                format!("`{cycle}` ends up calling itself"),
                Some("synchronous calls must form no cycle".into()),
            );
        }
        for Saga { name, service, steps, rate, .. } in &self.platform.sagas {
            self.amount(name, "rate", *rate, MOST_RATE);
            self.service(service, &format!("saga `{name}`"));
            for step in steps {
                if self.known(&step.to, &format!("saga `{name}`")) {
                    self.called(name, &step.to, &step.op);
                    if !step.compensation.is_empty() {
                        self.called(name, &step.to, &step.compensation);
                    }
                }
            }
        }
    }

    /// An operation on a cycle of synchronous calls, if there is one.
    fn cycle(&self) -> Option<String> {
        fn visit<'a>(
            platform: &'a Platform,
            key: (&'a str, &'a str),
            path: &mut Vec<(&'a str, &'a str)>,
            done: &mut BTreeSet<(&'a str, &'a str)>,
        ) -> bool {
            if path.contains(&key) {
                return true;
            }
            if !done.insert(key) {
                return false;
            }
            path.push(key);
            let found = platform
                .operation(key.0, key.1)
                .is_some_and(|o| o.steps.iter().any(|s| platform.service(&s.to).is_some() && visit(platform, (&s.to, &s.op), path, done)));
            path.pop();
            found
        }
        let mut done = BTreeSet::new();
        self.platform
            .operations
            .iter()
            .find(|o| visit(self.platform, (&o.service, &o.name), &mut Vec::new(), &mut done))
            .map(|o| format!("{} {}", o.service, o.name))
    }

    fn queues(&mut self) {
        for queue in &self.platform.queues {
            self.service(&queue.consumer, &format!("queue `{}`", queue.name));
            self.service(&queue.exported_by, &format!("queue `{}`", queue.name));
            self.share(&queue.name, "errors", queue.errors);
            self.amount(&queue.name, "arrivals", queue.arrivals, MOST_RATE);
            self.amount(&queue.name, "workers", f64::from(queue.workers), f64::from(MOST_WORKERS));
            for step in &queue.steps {
                self.step(&queue.name, step);
            }
        }
    }

    fn breakers(&mut self) {
        for breaker in &self.platform.breakers {
            self.service(&breaker.service, &format!("breaker `{}`", breaker.name));
            self.known(&breaker.protects, &format!("breaker `{}`", breaker.name));
            if breaker.failures.is_some() == breaker.failure_share.is_some() {
                self.fail(
                    &format!("{:?}", breaker.name),
                    format!("breaker `{}` needs either `failures` or `failure_share`", breaker.name),
                    None,
                );
            }
        }
    }

    fn series(&mut self) {
        for signal in &self.platform.signals {
            self.service(&signal.service, &format!("signal `{}`", signal.name));
            self.amount(&signal.name, "rate", signal.rate, MOST_RATE);
            self.share(&signal.name, "noise", signal.noise);
        }
        for service in &self.platform.services {
            for name in &service.health_dependencies {
                self.known(name, &format!("health of `{}`", service.name));
            }
        }
    }

    fn objectives(&mut self) {
        let mut seen = BTreeSet::new();
        for objective in &self.platform.objectives {
            if !seen.insert((objective.id.as_str(), objective.name.as_str())) {
                self.fail(
                    &format!("{:?}", objective.id),
                    format!("objective `{}` {:?} is there twice", objective.id, objective.name),
                    None,
                );
            }
            if objective.comparison.is_some() != objective.value.is_some() {
                self.fail(
                    &format!("{:?}", objective.id),
                    format!("objective `{}` needs both `comparison` and `value`, or neither", objective.id),
                    None,
                );
            }
            let budget = [!objective.bad.is_empty(), !objective.total.is_empty(), objective.objective.is_some()];
            if budget.iter().any(|b| *b) && !budget.iter().all(|b| *b) {
                self.fail(
                    &format!("{:?}", objective.id),
                    format!("objective `{}` needs `bad`, `total` and `objective` together", objective.id),
                    None,
                );
            }
        }
    }

    fn effect(&mut self, effect: &Effect, lasts: Duration) {
        if let Some(signal) = effect.target.strip_prefix("signal:") {
            let names = || self.platform.signals.iter().map(|s| s.name.as_str());
            if !names().any(|n| n == signal) {
                let help = nearest(signal, names()).map(|near| format!("did you mean `signal:{near}`?"));
                self.fail(&format!("{:?}", effect.target), format!("there is no signal `{signal}`"), help);
            }
        } else if effect.target != "*" && self.known(&effect.target, "an effect") && !effect.operation.is_empty() {
            self.called(&effect.target, &effect.target, &effect.operation);
        }
        for (key, factor) in
            [("latency_factor", effect.latency_factor), ("rate_factor", effect.rate_factor), ("service_factor", effect.service_factor)]
        {
            self.amount(&effect.target, key, factor.unwrap_or(1.0), MOST_FACTOR);
        }
        self.amount(&effect.target, "arrivals", effect.arrivals, MOST_RATE);
        self.share(&effect.target, "errors", effect.errors);
        for (key, share) in [("cpu", effect.cpu), ("memory", effect.memory), ("disk", effect.disk)] {
            self.share(&effect.target, key, share.unwrap_or(0.0));
        }
        if effect.until.unwrap_or(lasts) > lasts || effect.at >= effect.until.unwrap_or(lasts) {
            self.fail(
                &format!("{:?}", effect.target),
                format!("the effect on `{}` ends before it begins, or after the scenario", effect.target),
                None,
            );
        }
    }
}
