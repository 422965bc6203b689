//! Group numbers that outlive one evaluation: which group of an aggregation each series of a source belongs to.

use crate::ast::Aggregate;
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

/// Remembered groups by aggregation. One evaluation at a time works on each.
#[derive(Debug, Default)]
pub struct Plans(Mutex<HashMap<String, Arc<Mutex<Plan>>, FixedState>>);

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
            let mut plans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
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
        let at = id.0 as usize;
        // Ids are dense; one far out of line is not worth the room.
        if at < self.entries.len() + (1 << 20) {
            if at >= self.entries.len() {
                self.entries.resize(at + 1, (0, UNKNOWN));
            }
            self.entries[at] = (check, group | if suspect { SUSPECT } else { 0 });
        }
        (group as usize, suspect)
    }
}
