//! Kubernetes components with `?verbose`, and their failures, which are always verbose (apiserver `healthz`).

use super::{Body, Dependencies, Format, Verdict, bounded};
use crate::words::Word;

pub(super) const FORMAT: Format = Format { name: "kubernetes", sniff, decode };

fn sniff(body: &Body<'_>) -> bool {
    body.text.lines().next().is_some_and(|line| line.starts_with("[+]") || line.starts_with("[-]"))
}

/// `[+]name ok`, `[+]name excluded: ok`, `[-]name failed: reason withheld`, and at the end `<path> check passed` or `failed`.
fn decode(body: &Body<'_>) -> Verdict {
    let mut dependencies = Dependencies::default();
    let mut overall = None;
    let mut message = String::new();
    for line in body.text.lines() {
        if let Some(good) = line.strip_prefix("[+]") {
            let (name, rest) = good.split_once(' ').unwrap_or((good, ""));
            dependencies.add(name, if rest.starts_with("excluded") { Word::Absent } else { Word::Good }, String::new(), None);
        } else if let Some(bad) = line.strip_prefix("[-]") {
            let (name, reason) = bad.split_once(' ').unwrap_or((bad, ""));
            dependencies.add(name, Word::Bad, bounded(reason), None);
        } else if line.ends_with("check passed") {
            overall = Some(Word::Good);
        } else if line.ends_with("check failed") {
            overall = Some(Word::Bad);
            message = bounded(line);
        }
    }
    Verdict { overall, dependencies: dependencies.0, message, ..Verdict::default() }
}

#[cfg(test)]
use super::tests::Fixture;
#[cfg(test)]
use watchfire_model::HealthState::{Healthy, Unhealthy};
#[cfg(test)]
pub(super) const FIXTURES: &[Fixture] = &[
    Fixture {
        status: 200,
        content_type: "text/plain; charset=utf-8",
        path: "/livez",
        body: "[+]ping ok\n[+]log ok\n[+]etcd ok\n[+]poststarthook/start-apiextensions-informers ok\nlivez check passed\n",
        state: Healthy,
        dependencies: &[("ping", Healthy), ("log", Healthy), ("etcd", Healthy), ("poststarthook/start-apiextensions-informers", Healthy)],
    },
    Fixture {
        status: 200,
        content_type: "text/plain; charset=utf-8",
        path: "/readyz",
        body: "[+]ping ok\n[+]etcd excluded: ok\nreadyz check passed\n",
        state: Healthy,
        dependencies: &[("ping", Healthy)],
    },
    Fixture {
        status: 200,
        content_type: "text/plain",
        path: "/healthz",
        body: "[+]ping ok\nhealthz check passed",
        state: Healthy,
        dependencies: &[("ping", Healthy)],
    },
    Fixture {
        status: 500,
        content_type: "text/plain; charset=utf-8",
        path: "/readyz",
        body: "[+]ping ok\n[-]etcd failed: reason withheld\n[+]shutdown ok\nreadyz check failed\n",
        state: Unhealthy,
        dependencies: &[("ping", Healthy), ("etcd", Unhealthy), ("shutdown", Healthy)],
    },
];
