//! Who is told, and when. One cause gives one page: an alert that a firing dependency explains is shown under it and does not notify; one
//! with a suspected cause waits a bounded time for it to show itself; when the cause recovers and the alert does not, it notifies.

use super::record::Standing;
use super::settings::EvaluatorSettings;
use crate::cause::{Candidate, Expected, Explanation, Root};
use crate::state::Moment;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use watchfire_model::{Labels, Severity};

/// Who delivers knows who is told: whether an alert is silenced, its people asleep, or no route leads to anybody.
pub trait Audience: Send + Sync {
    /// Whether somebody has heard of this alert as it stands, or would hear of it now.
    fn hears(&self, fingerprint: &str, labels: &Labels, severity: Severity) -> bool;
}

/// How long alerts are held back.
#[derive(Clone, Copy)]
pub(super) struct Patience<'a> {
    pub settings: &'a EvaluatorSettings,
    /// Between two evaluations of the slowest rule.
    pub interval: Duration,
    /// How far back the rule of each candidate looks at least.
    pub looks_back: &'a [Duration],
}

impl Patience<'_> {
    fn of(&self, severity: Severity) -> Duration {
        if severity == Severity::Critical { self.settings.hold_critical } else { self.settings.hold }
    }

    /// For an alert about the suspected cause to show itself.
    fn before(&self, explanation: &Explanation, severity: Severity) -> Duration {
        match explanation.root {
            Root::Probe { expected: Expected::Nothing, .. } => Duration::ZERO,
            // What is scraped right after one evaluation is seen by the next.
            Root::Probe { expected: Expected::Soon, .. } => self.of(severity).min(2 * self.interval),
            // Its alert needs as long as rates take to rise.
            Root::Edge { .. } => self.of(severity).min(self.settings.hold_critical),
            Root::Probe { expected: Expected::Alert, .. } | Root::Alert(_) => self.of(severity),
        }
    }

    /// For the candidate at this index to follow a cause that has ended.
    fn after(&self, index: usize, severity: Severity) -> Duration {
        self.of(severity).max((self.looks_back[index] + self.interval).min(self.settings.hold_longest))
    }
}

/// What is to be done about one active alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Nothing,
    /// Tell people, with this severity.
    Notify(Severity),
    /// Record it under its cause; nobody is told.
    Explain,
}

/// Whether somebody hears of the candidate at this index when it speaks that loud.
pub(super) type Hears<'a> = dyn Fn(usize, Severity) -> bool + 'a;

/// Decides for all active alerts at once. `standings` are updated; one verdict per candidate. Nobody hears of the cause of the `unspoken`, who would be heard.
#[allow(clippy::too_many_arguments)]
pub(super) fn decide(
    candidates: &[Candidate],
    explanations: &[Option<Explanation>],
    hears: &Hears<'_>,
    unspoken: &BTreeSet<usize>,
    standings: &mut [Standing],
    notified_as: &[Option<Severity>],
    patience: Patience<'_>,
    now: Moment,
) -> Vec<Verdict> {
    let mut verdicts = vec![Verdict::Nothing; candidates.len()];
    let before = standings.to_vec();
    let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (i, candidate) in candidates.iter().enumerate().filter(|(_, c)| c.firing) {
        let over = |since: Moment| now.since(since) >= patience.after(i, candidate.severity);
        match (&explanations[i], standings[i]) {
            (None, Standing::Notified) => {}
            (None, Standing::Explained { .. }) => standings[i] = Standing::Held { since: now, lingering: true },
            (None, Standing::Held { since, lingering: true }) if !over(since) => {}
            (None, _) => verdicts[i] = Verdict::Notify(candidate.severity),
            (Some(explanation), standing) => match firm(explanation, candidates) && !unspoken.contains(&i) {
                true => match (standing, silent_since(explanation, &before)) {
                    (Standing::Notified, _) | (Standing::Held { lingering: true, .. }, Some(_)) => {}
                    (Standing::Explained { .. }, Some(since)) => standings[i] = Standing::Held { since, lingering: true },
                    (standing, _) => {
                        if standing != (Standing::Explained { firm: true }) {
                            verdicts[i] = Verdict::Explain;
                        }
                        standings[i] = Standing::Explained { firm: true };
                    }
                },
                false => {
                    match standing {
                        Standing::Unsettled => standings[i] = Standing::Held { since: now, lingering: false },
                        // The alert that spoke for it has ended, and what it suffered from may still count for a while.
                        Standing::Explained { firm: true } => standings[i] = Standing::Held { since: now, lingering: true },
                        _ => {}
                    }
                    groups.entry(group_key(&explanation.root)).or_default().push(i);
                }
            },
        }
    }
    for members in groups.values() {
        represent(members, candidates, explanations, hears, standings, notified_as, &mut verdicts, patience, now);
    }
    raise(candidates, explanations, standings, notified_as, &mut verdicts);
    for (i, verdict) in verdicts.iter().enumerate() {
        if matches!(verdict, Verdict::Notify(_)) {
            standings[i] = Standing::Notified;
        }
    }
    verdicts
}

/// An explanation is firm when its root is an alert that fires, and so speaks for itself where anybody hears it.
pub(super) fn firm(explanation: &Explanation, candidates: &[Candidate]) -> bool {
    matches!(explanation.root, Root::Alert(index) if candidates[index].firing)
}

/// Since when nobody speaks: an alert that is given the time to follow its own cause says nothing of those that it explains, and if it follows,
/// their time has passed meanwhile.
fn silent_since(explanation: &Explanation, standings: &[Standing]) -> Option<Moment> {
    match explanation.root {
        Root::Alert(index) => match standings[index] {
            Standing::Held { since, lingering: true } => Some(since),
            _ => None,
        },
        Root::Probe { .. } | Root::Edge { .. } => None,
    }
}

fn group_key(root: &Root) -> String {
    match root {
        Root::Alert(index) => format!("alert {index}"),
        Root::Probe { service, .. } | Root::Edge { service, .. } => format!("service {service}"),
    }
}

/// Alerts that share a suspected cause share one page as well: when waiting is over the one nearest to it that anybody hears speaks for all, as loud as
/// the loudest of them. If it has spoken lower before, it speaks again.
#[allow(clippy::too_many_arguments)]
fn represent(
    members: &[usize],
    candidates: &[Candidate],
    explanations: &[Option<Explanation>],
    hears: &Hears<'_>,
    standings: &mut [Standing],
    notified_as: &[Option<Severity>],
    verdicts: &mut [Verdict],
    patience: Patience<'_>,
    now: Moment,
) {
    let mut nearest = members.to_vec();
    nearest.sort_by_key(|&i| (explanations[i].as_ref().map_or(0, |e| e.hops), candidates[i].active_at, i));
    let Some(loudest) = members.iter().map(|&i| candidates[i].severity).max() else { return };
    let spoken = nearest.iter().copied().find(|&i| standings[i] == Standing::Notified && hears(i, loudest));
    let over = |i: usize| match (standings[i], &explanations[i]) {
        (Standing::Held { since, lingering: false }, Some(suspected)) => {
            now.since(since) >= patience.before(suspected, candidates[i].severity)
        }
        (Standing::Held { since, .. }, _) => now.since(since) >= patience.after(i, candidates[i].severity),
        _ => false,
    };
    let waited = members.iter().any(|&i| over(i));
    if members.iter().all(|&i| matches!(standings[i], Standing::Explained { .. })) {
        // Who spoke for them has ended. What shares its cause ends about then, or else one of them speaks.
        members.iter().for_each(|&i| standings[i] = Standing::Held { since: now, lingering: true });
    }
    let waiting = members.iter().any(|&i| matches!(standings[i], Standing::Held { .. }));
    if spoken.is_none() && waiting && !waited {
        return;
    }
    let speaker = match spoken {
        Some(i) if notified_as[i].is_some_and(|own| own < loudest) => Some(i),
        Some(_) => None,
        // Where nobody hears of any, the nearest has been told, or is.
        None => {
            let heard = nearest.iter().copied().find(|&i| hears(i, loudest));
            heard.or_else(|| nearest.first().copied().filter(|_| members.iter().all(|&i| standings[i] != Standing::Notified)))
        }
    };
    for &i in members {
        if Some(i) == speaker {
            verdicts[i] = Verdict::Notify(loudest);
        } else if matches!(standings[i], Standing::Held { .. } | Standing::Unsettled) {
            standings[i] = Standing::Explained { firm: false };
            verdicts[i] = Verdict::Explain;
        }
    }
}

/// A cause speaks as loud as the loudest alert it silences; if it has spoken lower before, it speaks again.
fn raise(
    candidates: &[Candidate],
    explanations: &[Option<Explanation>],
    standings: &[Standing],
    notified_as: &[Option<Severity>],
    verdicts: &mut [Verdict],
) {
    let mut loudest: BTreeMap<usize, Severity> = BTreeMap::new();
    for (i, explanation) in explanations.iter().enumerate().filter(|(i, _)| candidates[*i].firing) {
        let Some(Explanation { root: Root::Alert(root), .. }) = explanation else { continue };
        if candidates[*root].firing && standings[i] != Standing::Notified {
            let entry = loudest.entry(*root).or_insert(candidates[i].severity);
            *entry = (*entry).max(candidates[i].severity);
        }
    }
    for (root, severity) in loudest {
        let spoken = match verdicts[root] {
            Verdict::Notify(own) => own,
            _ => match (standings[root], notified_as[root]) {
                (Standing::Notified, Some(own)) => own,
                _ => continue,
            },
        };
        if severity > spoken {
            verdicts[root] = Verdict::Notify(severity);
        }
    }
}

/// The services whose alerts each alert explains, or speaks for because they share a suspected cause.
pub(super) struct Dependents<'a> {
    by_root: BTreeMap<String, BTreeSet<&'a str>>,
    candidates: &'a [Candidate],
    explanations: &'a [Option<Explanation>],
}

impl<'a> Dependents<'a> {
    pub fn new(candidates: &'a [Candidate], explanations: &'a [Option<Explanation>]) -> Self {
        let mut by_root: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
        for (explanation, candidate) in explanations.iter().zip(candidates).filter(|(_, c)| c.firing) {
            if let (Some(explanation), Some(service)) = (explanation, candidate.subjects().last()) {
                by_root.entry(format!("{:?}", explanation.root)).or_default().insert(service);
            }
        }
        Dependents { by_root, candidates, explanations }
    }

    /// Sorted.
    pub fn of(&self, index: usize) -> Vec<String> {
        let shared = self.explanations[index].as_ref().map(|e| e.root.clone());
        let roots = [Some(Root::Alert(index)), shared];
        let services: BTreeSet<&str> =
            roots.iter().flatten().filter_map(|root| self.by_root.get(&format!("{root:?}"))).flatten().copied().collect();
        services.into_iter().filter(|s| self.candidates[index].subjects().all(|own| own != *s)).map(str::to_owned).collect()
    }
}
