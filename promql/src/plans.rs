//! What outlives one evaluation: which group of an aggregation, and which match group of a join, each series of a source belongs to; and
//! compiled regular expressions of functions.

use crate::ast::{Aggregate, Matching};
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use regex::Regex;
use std::fmt::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use watchfire_model::{Labels, Matcher, PatternError, SeriesId, go_regex_whole};

/// Most aggregations whose groups are remembered.
const LIMIT: usize = 1024;
/// Most regular expressions that stay compiled; each takes at most a megabyte.
const MOST_PATTERNS: usize = 32;
/// No group yet.
const UNKNOWN: u32 = u32::MAX;
/// Set on a group number when the series does not look like a counter.
const SUSPECT: u32 = 1 << 31;

/// Remembered groups by aggregation, and match groups by matching. One evaluation at a time works on each.
#[derive(Debug, Default)]
pub struct Plans {
    groups: Mutex<HashMap<String, Arc<Mutex<Plan>>, RandomState>>,
    matches: Mutex<HashMap<String, Arc<Mutex<MatchPlan>>, RandomState>>,
    patterns: Mutex<HashMap<String, Arc<Regex>, RandomState>>,
    pages: Arc<AtomicUsize>,
}

/// Match groups of one way of matching, over all series that were ever joined by it.
#[derive(Debug, Default)]
pub struct MatchPlan {
    age: Age,
    /// By hashes of the label values that are matched.
    index: HashMap<(u64, u64), u32, RandomState>,
    numbers: BySeries,
}

/// When to begin anew. Series that come and go leave the rest of a plan valid; only groups that are gone pile up.
#[derive(Debug, Default)]
struct Age {
    /// The source's series when last asked; `None` for a plan not begun.
    generation: Option<u64>,
    /// Groups there may be before they are taken to be gone for the most part; zero until they have been counted once.
    most: usize,
}

impl Age {
    fn new(generation: Option<u64>) -> Self {
        Age { generation, most: 0 }
    }

    fn is_over(&mut self, generation: Option<u64>, groups: usize) -> bool {
        if self.generation == generation {
            return false;
        }
        let begun = self.generation.is_some();
        self.generation = generation;
        if self.most == 0 {
            self.most = 4096.max(2 * groups);
        }
        !begun || groups > self.most
    }
}

/// The groups of one aggregation over one selector.
#[derive(Debug, Default)]
pub struct Plan {
    age: Age,
    pub groups: Vec<Labels>,
    index: HashMap<Labels, u32, RandomState>,
    numbers: BySeries,
}

impl Plans {
    /// The plan of an aggregation; nothing is remembered of a source whose series can change unseen.
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
            if self.is_full(plans.len()) {
                plans.clear();
            }
            plans.entry(key).or_default().clone()
        };
        {
            let mut plan = plan.lock().unwrap_or_else(PoisonError::into_inner);
            let groups = plan.groups.len();
            if plan.age.is_over(generation, groups) {
                *plan = Plan { age: Age::new(generation), numbers: BySeries::new(&self.pages), ..Plan::default() };
            }
        }
        plan
    }

    /// The match groups of a matching.
    pub fn matches(&self, matching: &Matching, generation: u64) -> Arc<Mutex<MatchPlan>> {
        let key = format!("{} {:?}", matching.on, matching.labels);
        let plan = {
            let mut plans = self.matches.lock().unwrap_or_else(PoisonError::into_inner);
            if self.is_full(plans.len()) {
                plans.clear();
            }
            plans.entry(key).or_default().clone()
        };
        {
            let mut plan = plan.lock().unwrap_or_else(PoisonError::into_inner);
            let groups = plan.index.len();
            if plan.age.is_over(Some(generation), groups) {
                let age = Age::new(Some(generation));
                *plan = MatchPlan { age, numbers: BySeries::new(&self.pages), ..MatchPlan::default() };
            }
        }
        plan
    }

    /// A compiled regular expression that has to match a whole value. A rule asks for the same one each time it is evaluated, and compiling one
    /// costs more than most evaluations.
    ///
    /// # Errors
    /// As [`go_regex_whole`].
    pub fn pattern(&self, written: &str) -> Result<Arc<Regex>, PatternError> {
        let known = self.patterns.lock().unwrap_or_else(PoisonError::into_inner).get(written).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let compiled = Arc::new(go_regex_whole(written)?);
        let mut patterns = self.patterns.lock().unwrap_or_else(PoisonError::into_inner);
        if patterns.len() >= MOST_PATTERNS {
            patterns.clear();
        }
        patterns.insert(written.to_owned(), compiled.clone());
        Ok(compiled)
    }

    fn is_full(&self, plans: usize) -> bool {
        plans >= LIMIT || self.pages.load(Ordering::Relaxed) >= MOST_PAGES
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
        if let Some(number) = self.numbers.get(id, labels) {
            return number as usize;
        }
        let number = self.number(hashes(labels));
        self.numbers.set(id, labels, number as u32);
        number
    }
}

/// A number per series, in pages: room is taken only where series were seen.
#[derive(Debug, Default)]
struct BySeries {
    pages: Vec<Option<Box<Page>>>,
    /// Pages in use by all plans of an engine.
    in_use: Arc<AtomicUsize>,
}

/// The label fingerprint, and the number. A series is only taken for one seen before when its labels are the same, too.
type Page = [(u64, u32); PAGE];
const PAGE: usize = 1024;
/// 128 MiB of pages; then everything is forgotten and learned anew.
const MOST_PAGES: usize = 8 * 1024;

impl BySeries {
    fn new(in_use: &Arc<AtomicUsize>) -> Self {
        BySeries { pages: Vec::new(), in_use: in_use.clone() }
    }

    #[inline]
    fn get(&self, id: SeriesId, labels: &Labels) -> Option<u32> {
        let page = self.pages.get(id.0 as usize / PAGE)?.as_ref()?;
        let (check, number) = page[id.0 as usize % PAGE];
        (check == labels.fingerprint() && number != UNKNOWN).then_some(number)
    }

    fn set(&mut self, id: SeriesId, labels: &Labels, number: u32) {
        let at = id.0 as usize / PAGE;
        if at >= self.pages.len() {
            self.pages.resize_with(at + 1, || None);
        }
        let page = self.pages[at].get_or_insert_with(|| {
            self.in_use.fetch_add(1, Ordering::Relaxed);
            Box::new([(0, UNKNOWN); PAGE])
        });
        page[id.0 as usize % PAGE] = (labels.fingerprint(), number);
    }
}

impl Drop for BySeries {
    fn drop(&mut self) {
        self.in_use.fetch_sub(self.pages.iter().flatten().count(), Ordering::Relaxed);
    }
}

impl Plan {
    /// The group of a series, and whether it is suspect; computed on first sight.
    #[inline]
    pub fn group(&mut self, id: SeriesId, labels: &Labels, compute: impl FnOnce(&Labels) -> (Labels, bool)) -> (usize, bool) {
        if let Some(group) = self.numbers.get(id, labels) {
            return ((group & !SUSPECT) as usize, group & SUSPECT != 0);
        }
        let (group_labels, suspect) = compute(labels);
        let group = self.learn(group_labels);
        self.numbers.set(id, labels, group | if suspect { SUSPECT } else { 0 });
        (group as usize, suspect)
    }

    #[cold]
    fn learn(&mut self, labels: Labels) -> u32 {
        if let Some(group) = self.index.get(&labels) {
            return *group;
        }
        let group = self.groups.len() as u32;
        self.index.insert(labels.clone(), group);
        self.groups.push(labels);
        group
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_compiled_once_and_few_are_kept() {
        let plans = Plans::default();
        let first = plans.pattern("a(.*)").expect("good");
        assert!(Arc::ptr_eq(&first, &plans.pattern("a(.*)").expect("good")));
        assert!(plans.pattern("a(").is_err());
        for n in 0..10 * MOST_PATTERNS {
            assert!(plans.pattern(&format!("a{n}")).expect("good").is_match(&format!("a{n}")));
        }
        assert!(plans.patterns.lock().expect("whole").len() <= MOST_PATTERNS);
        assert!(plans.pattern("a(.*)").expect("compiled again").is_match("abc"));
    }
}
