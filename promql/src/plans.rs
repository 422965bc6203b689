//! What outlives one evaluation: which group of an aggregation, and which match group of a join, each series of a source belongs to.

use crate::ast::{Aggregate, Matching};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};
use watchfire_model::{Labels, Matcher, SeriesId};

/// Most aggregations whose groups are remembered.
const LIMIT: usize = 1024;
/// No group yet.
const UNKNOWN: u32 = u32::MAX;
/// Set on a group number when the series does not look like a counter.
const SUSPECT: u32 = 1 << 31;

/// Remembered groups by aggregation, and match groups by matching. One evaluation at a time works on each.
#[derive(Debug, Default)]
pub struct Plans {
    groups: Mutex<HashMap<String, Arc<Mutex<Plan>>, FixedState>>,
    matches: Mutex<HashMap<String, Arc<Mutex<MatchPlan>>, FixedState>>,
}

/// Match groups of one way of matching, over all series that were ever joined by it.
#[derive(Debug, Default)]
pub struct MatchPlan {
    generation: Option<u64>,
    /// By hashes of the label values that are matched.
    index: HashMap<(u64, u64), u32, FixedState>,
    entries: Vec<(u32, u32)>,
}

/// The groups of one aggregation over one selector.
#[derive(Debug, Default)]
pub struct Plan {
    generation: Option<u64>,
    pub groups: Vec<Labels>,
    index: HashMap<Labels, u32, FixedState>,
    /// By series id: part of the label fingerprint, and the group.
    entries: Vec<(u32, u32)>,
}

impl Plans {
    /// The plan of an aggregation; forgotten when the source's series have changed, or can change unseen.
    pub fn get(&self, aggregate: &Aggregate, matchers: &[Matcher], counter: bool, generation: Option<u64>) -> Arc<Mutex<Plan>> {
        if generation.is_none() {
            return Arc::default();
        }
        let mut key = format!("{counter} {} {:?}", aggregate.without, aggregate.grouping);
        for matcher in matchers {
            // Writing to a string cannot fail.
            let _ = write!(key, "\u{0}{matcher}");
        }
        let plan = {
            let mut plans = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
            if plans.len() >= LIMIT && !plans.contains_key(&key) {
                plans.clear();
            }
            plans.entry(key).or_default().clone()
        };
        {
            let mut plan = plan.lock().unwrap_or_else(PoisonError::into_inner);
            if plan.generation != generation {
                *plan = Plan { generation, ..Plan::default() };
            }
        }
        plan
    }

    /// The match groups of a matching; forgotten when the source's series have changed.
    pub fn matches(&self, matching: &Matching, generation: u64) -> Arc<Mutex<MatchPlan>> {
        let key = format!("{} {:?}", matching.on, matching.labels);
        let plan = {
            let mut plans = self.matches.lock().unwrap_or_else(PoisonError::into_inner);
            if plans.len() >= LIMIT && !plans.contains_key(&key) {
                plans.clear();
            }
            plans.entry(key).or_default().clone()
        };
        {
            let mut plan = plan.lock().unwrap_or_else(PoisonError::into_inner);
            if plan.generation != Some(generation) {
                *plan = MatchPlan { generation: Some(generation), ..MatchPlan::default() };
            }
        }
        plan
    }
}

impl MatchPlan {
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// The number of a match group.
    pub fn number(&mut self, hashes: (u64, u64)) -> usize {
        let next = self.index.len() as u32;
        *self.index.entry(hashes).or_insert(next) as usize
    }

    /// The number of the match group of a series; its hashes are computed on first sight.
    #[inline]
    pub fn number_of(&mut self, id: SeriesId, labels: &Labels, hashes: impl FnOnce(&Labels) -> (u64, u64)) -> usize {
        let check = labels.fingerprint() as u32;
        if let Some((known, number)) = self.entries.get(id.0 as usize)
            && *known == check
            && *number != UNKNOWN
        {
            return *number as usize;
        }
        let number = self.number(hashes(labels));
        remember(&mut self.entries, id, (check, number as u32));
        number
    }
}

/// Ids are dense; one far out of line is not worth the room.
fn remember(entries: &mut Vec<(u32, u32)>, id: SeriesId, entry: (u32, u32)) {
    let at = id.0 as usize;
    if at < entries.len() + (1 << 20) {
        if at >= entries.len() {
            entries.resize(at + 1, (0, UNKNOWN));
        }
        entries[at] = entry;
    }
}

impl Plan {
    /// The group of a series, and whether it is suspect; computed on first sight.
    #[inline]
    pub fn group(&mut self, id: SeriesId, labels: &Labels, compute: impl FnOnce(&Labels) -> (Labels, bool)) -> (usize, bool) {
        let check = labels.fingerprint() as u32;
        if let Some((known, group)) = self.entries.get(id.0 as usize)
            && *known == check
            && *group != UNKNOWN
        {
            return ((group & !SUSPECT) as usize, group & SUSPECT != 0);
        }
        self.learn(id, check, compute(labels))
    }

    #[cold]
    fn learn(&mut self, id: SeriesId, check: u32, (labels, suspect): (Labels, bool)) -> (usize, bool) {
        let group = match self.index.get(&labels) {
            Some(group) => *group,
            None => {
                let group = self.groups.len() as u32;
                self.index.insert(labels.clone(), group);
                self.groups.push(labels);
                group
            }
        };
        remember(&mut self.entries, id, (check, group | if suspect { SUSPECT } else { 0 }));
        (group as usize, suspect)
    }
}
