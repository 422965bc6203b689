//! The alerts of each service, in the order in which they are looked at as causes.

use super::Candidate;
use std::collections::{HashMap, HashSet};

/// The alerts of each service, best cause first, so that the first that may be one is the one.
pub(super) struct Services<'a> {
    all: HashMap<&'a str, Vec<usize>>,
    /// Of those, the ones that say the same of a label of place, or nothing of it: a service may have thousands of alerts in as many places, and
    /// each of them would be compared with each.
    places: HashMap<(&'a str, &'static str, Option<&'a str>), Vec<usize>>,
    /// By what alerts are ordered.
    positions: Vec<usize>,
}

impl<'a> Services<'a> {
    pub fn new(alerts: &'a [Candidate]) -> Self {
        let mut all: HashMap<&str, Vec<usize>> = HashMap::new();
        for (i, alert) in alerts.iter().enumerate() {
            for subject in alert.subjects() {
                all.entry(subject).or_default().push(i);
            }
        }
        let quality = |i: &usize| (!alerts[*i].firing, alerts[*i].active_at, std::cmp::Reverse(alerts[*i].severity), *i);
        let mut places: HashMap<_, Vec<usize>> = HashMap::new();
        let mut order: Vec<usize> = (0..alerts.len()).collect();
        order.sort_by_key(quality);
        let mut positions = vec![0; alerts.len()];
        order.iter().enumerate().for_each(|(position, i)| positions[*i] = position);
        for (service, list) in &mut all {
            list.sort_by_key(|i| positions[*i]);
            let labels: HashSet<&'static str> = list.iter().filter_map(|i| alerts[*i].place.first()).map(|(name, _)| *name).collect();
            for i in list.iter() {
                for label in &labels {
                    let value = alerts[*i].place.iter().find(|(name, _)| name == label).map(|(_, value)| value.as_str());
                    places.entry((*service, *label, value)).or_default().push(*i);
                }
            }
        }
        Services { all, places, positions }
    }

    pub fn of(&self, service: &str) -> &[usize] {
        self.all.get(service).map_or(&[], Vec::as_slice)
    }

    /// The best alert of a service that is acceptable for this victim. Where that is on the service itself, only those in its place can be.
    pub fn first(&self, service: &str, victim: &Candidate, mut acceptable: impl FnMut(usize) -> bool) -> Option<usize> {
        let mut first = |list: &[usize]| list.iter().copied().find(|c| acceptable(*c));
        match victim.place.first().filter(|_| victim.subjects().any(|own| own == service)) {
            None => first(self.of(service)),
            Some((label, value)) => {
                let mut of = |value| self.places.get(&(service, *label, value)).and_then(|list| first(list));
                let (same, open) = (of(Some(value.as_str())), of(None));
                same.into_iter().chain(open).min_by_key(|c| self.positions[*c])
            }
        }
    }
}
