//! While one alert fires, others are not told: the inhibition rules of an `alertmanager.yml`.

use super::tree::Routing;
use crate::journal::{Cell, State};
use std::cell::OnceCell;
use std::collections::{BTreeSet, HashMap};
use watchfire_model::{Labels, Matcher, Notice, NoticeState, Timestamp};

/// While a source fires, targets with the same values of some labels are not told.
#[derive(Clone, Debug)]
pub struct InhibitRule {
    pub source: Vec<Matcher>,
    pub target: Vec<Matcher>,
    pub equal: Vec<String>,
}

impl InhibitRule {
    /// The values of the labels that must be the same; one that is missing is as good as an empty one.
    fn shared<'a>(&self, labels: &'a Labels) -> Vec<&'a str> {
        self.equal.iter().map(|name| labels.value(name)).collect()
    }
}

/// What other alerts say about telling one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inhibition {
    None,
    /// It is not told.
    Now,
    /// It was not told until the last of them ended: by the wall clock, and by the steady one of the queue.
    Over {
        ends_at: Timestamp,
        queued_at: Timestamp,
    },
}

/// Every alert that may inhibit others, found by the values that a rule wants to be equal: looked for anew for each of some thousand alerts of a
/// storm, it would take seconds to tell one message.
pub struct Inhibitors<'a> {
    rules: &'a [InhibitRule],
    state: &'a State,
    /// One table per rule, made when the first alert is asked about.
    sources: OnceCell<Vec<Table<'a>>>,
}

type Table<'a> = HashMap<Vec<&'a str>, Vec<Source<'a>>>;

#[derive(Clone, Copy)]
struct Source<'a> {
    cell: &'a Cell,
    /// It matches the rule's other side too.
    both: bool,
}

fn all(matchers: &[Matcher], labels: &Labels) -> bool {
    matchers.iter().all(|m| m.matches(labels))
}

impl Routing {
    /// What inhibits what, by the state as it is.
    pub fn inhibitors<'a>(&'a self, state: &'a State) -> Inhibitors<'a> {
        Inhibitors { rules: &self.inhibit, state, sources: OnceCell::new() }
    }
}

impl<'a> Inhibitors<'a> {
    /// What other alerts say about telling this one.
    pub fn inhibition(&self, notice: &Notice) -> Inhibition {
        let mut found = Inhibition::None;
        for cell in self.of(notice) {
            let source = &cell.notice;
            if source.state == NoticeState::Firing {
                return Inhibition::Now;
            }
            found = match found {
                Inhibition::Over { ends_at, .. } if ends_at >= source.ends_at => found,
                _ => Inhibition::Over { queued_at: cell.queued_at, ends_at: source.ends_at },
            };
        }
        found
    }

    /// True while another alert that fires inhibits this one.
    pub fn inhibited(&self, notice: &Notice) -> bool {
        self.inhibition(notice) == Inhibition::Now
    }

    /// Fingerprints of the alerts that inhibit this one now.
    pub fn fingerprints(&self, notice: &Notice) -> BTreeSet<String> {
        let firing = self.of(notice).filter(|cell| cell.notice.state == NoticeState::Firing);
        firing.map(|cell| cell.notice.fingerprint.clone()).collect()
    }

    /// What has inhibited this one since it began.
    fn of<'n>(&'n self, notice: &'n Notice) -> impl Iterator<Item = &'a Cell> + 'n {
        let rules = self.rules.iter().enumerate().filter(|(_, rule)| all(&rule.target, &notice.labels));
        rules.flat_map(move |(index, rule)| {
            let both = all(&rule.source, &notice.labels);
            let same = self.sources()[index].get(&rule.shared(&notice.labels)).map_or(&[][..], Vec::as_slice);
            same.iter()
                .filter(move |source| {
                    let other = &source.cell.notice;
                    // One that was over before this began has nothing to do with it.
                    (other.state == NoticeState::Firing || other.ends_at > notice.starts_at)
                        && other.fingerprint != notice.fingerprint
                        // Two alerts that match both sides must not silence each other.
                        && !(both && source.both)
                })
                .map(|source| source.cell)
        })
    }

    fn sources(&self) -> &[Table<'a>] {
        self.sources.get_or_init(|| {
            // Each path has its own record of an alert; the newest says how it stands.
            let mut newest: HashMap<&str, &Cell> = HashMap::new();
            for cell in self.state.cells.values().flat_map(|cells| cells.values()) {
                let known = newest.entry(&cell.notice.fingerprint).or_insert(cell);
                if cell.notice.revision > known.notice.revision {
                    *known = cell;
                }
            }
            let table = |rule: &InhibitRule| {
                let mut table = Table::new();
                for &cell in newest.values().filter(|cell| all(&rule.source, &cell.notice.labels)) {
                    let both = all(&rule.target, &cell.notice.labels);
                    table.entry(rule.shared(&cell.notice.labels)).or_default().push(Source { cell, both });
                }
                table
            };
            self.rules.iter().map(table).collect()
        })
    }
}
