//! What a target exposed last time. A scraper sees the same lines again and again: each entry remembers the raw text of a line, the series it
//! became, and which entry came next, so that a steady scrape is one comparison and one number per line (Prometheus keeps a similar cache).

use crate::exposition::Guess;
use crate::sample_labels::Texts;
use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashTable};
use std::hash::BuildHasher;
use watchfire_model::{Metadata, MetricKind, SeriesId};

pub(crate) const NONE: u32 = u32::MAX;

/// Families of one target. Once there are so many, all are forgotten after the scrape and learned anew with the next one: a target that names others
/// every time must not fill the memory. Those beyond have no type in that scrape.
const MAX_FAMILIES: usize = 20_000;

#[derive(Default)]
struct Family {
    metadata: Metadata,
    /// Noted as changed in this scrape.
    changed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Comment,
    Series,
    /// Dropped by relabelling.
    Dropped,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    start: u32,
    length: u32,
    /// The entry of the following line, last time.
    next: u32,
    pub(crate) id: SeriesId,
    /// The epoch this entry was last met in.
    pub(crate) seen: u32,
    pub(crate) kind: Kind,
    /// Has a value in the store that no stale marker ended yet.
    pub(crate) live: bool,
    /// Was live until a scrape failed: when it comes back it is nothing new.
    pub(crate) paused: bool,
    /// Comes with times of its own.
    pub(crate) timed: bool,
}

/// The memory of one target.
#[derive(Default)]
pub struct SeriesCache {
    arena: Vec<u8>,
    pub(crate) entries: Vec<Entry>,
    index: HashTable<u32>,
    hasher: RandomState,
    /// Counts scrapes; starts at 1 so that a new entry was seen in none.
    pub(crate) epoch: u32,
    /// Entry of the first line of the last scrape plus one; 0 for none.
    first: u32,
    previous: u32,
    pub(crate) live: usize,
    /// Live series of a target this one continues, to be ended or taken over by its first scrape.
    pub(crate) inherited: Vec<SeriesId>,
    families: HashMap<String, Family>,
    pub(crate) texts: Texts,
    changed_families: Vec<String>,
}

impl SeriesCache {
    pub fn new() -> Self {
        SeriesCache { previous: NONE, ..SeriesCache::default() }
    }

    pub(crate) fn begin(&mut self) {
        self.epoch += 1;
        self.previous = NONE;
    }

    fn text(&self, entry: &Entry) -> &[u8] {
        &self.arena[entry.start as usize..(entry.start + entry.length) as usize]
    }

    /// Whether the line at the start of `rest` is the one that came next last time.
    #[inline]
    pub(crate) fn guess(&mut self, rest: &[u8]) -> Guess {
        let expected = match self.entries.get(self.previous as usize) {
            Some(previous) => previous.next,
            None => self.first.wrapping_sub(1),
        };
        let Some(entry) = self.entries.get(expected as usize) else { return Guess::None };
        let length = entry.length as usize;
        if rest.len() <= length || rest[..length] != *self.text(entry) {
            // A comment may end the body exactly.
            return Guess::None;
        }
        if entry.kind == Kind::Comment {
            self.entries[expected as usize].seen = self.epoch;
            self.previous = expected;
            return Guess::Comment(length);
        }
        // `name` alone is also the start of `name {labels}`.
        let bare = rest[length - 1] != b'}' && matches!(rest.get(length + 1), Some(b'{' | b' ' | b'\t'));
        if matches!(rest[length], b' ' | b'\t') && !bare { Guess::Series { length, entry: expected } } else { Guess::None }
    }

    /// Notes that this entry is the current line.
    #[inline]
    pub(crate) fn follow(&mut self, entry: u32) {
        match self.entries.get_mut(self.previous as usize) {
            Some(previous) => previous.next = entry,
            None => self.first = entry.wrapping_add(1),
        }
        self.previous = entry;
    }

    pub(crate) fn find(&self, text: &[u8]) -> Option<u32> {
        self.index.find(self.hasher.hash_one(text), |i| self.text(&self.entries[*i as usize]) == text).copied()
    }

    /// Adds an entry; the text must not be there yet.
    pub(crate) fn insert(&mut self, text: &[u8], kind: Kind, id: SeriesId) -> u32 {
        let index = self.entries.len() as u32;
        let start = self.arena.len() as u32;
        self.arena.extend_from_slice(text);
        self.entries.push(Entry {
            start,
            length: text.len() as u32,
            next: NONE,
            id,
            seen: 0,
            kind,
            live: false,
            paused: false,
            timed: false,
        });
        let (arena, entries, hasher) = (&self.arena, &self.entries, &self.hasher);
        self.index.insert_unique(hasher.hash_one(text), index, |i| {
            let e = &entries[*i as usize];
            hasher.hash_one(&arena[e.start as usize..(e.start + e.length) as usize])
        });
        index
    }

    /// Remembers a comment line.
    pub(crate) fn comment(&mut self, line: &[u8]) {
        let entry = self.find(line).unwrap_or_else(|| self.insert(line, Kind::Comment, SeriesId(NONE)));
        self.entries[entry as usize].seen = self.epoch;
        self.follow(entry);
    }

    /// Forgets entries not met in this epoch once they are the greater part, and families with what was said of them where there are too many.
    pub(crate) fn shrink(&mut self) {
        let too_many = self.families.len() >= MAX_FAMILIES;
        if too_many {
            self.families = HashMap::default();
        }
        let stays = |entry: &Entry| entry.seen == self.epoch && !(too_many && entry.kind == Kind::Comment);
        let kept = self.entries.iter().filter(|e| stays(e)).count();
        if self.entries.len() - kept <= kept + 64 && !too_many {
            return;
        }
        let mut renamed = vec![NONE; self.entries.len()];
        let mut fresh = SeriesCache::new();
        for (old, entry) in self.entries.iter().enumerate().filter(|(_, e)| stays(e)) {
            let new = fresh.insert(self.text(entry), entry.kind, entry.id);
            renamed[old] = new;
            let (start, length) = (fresh.entries[new as usize].start, entry.length);
            fresh.entries[new as usize] = Entry { start, length, ..*entry };
        }
        for entry in &mut fresh.entries {
            entry.next = renamed.get(entry.next as usize).copied().unwrap_or(NONE);
        }
        let first = self.first.checked_sub(1).and_then(|f| renamed.get(f as usize)).copied().unwrap_or(NONE);
        self.first = first.wrapping_add(1);
        (self.arena, self.entries, self.index, self.hasher) = (fresh.arena, fresh.entries, fresh.index, fresh.hasher);
        self.previous = NONE;
    }

    /// Forgets every line and every family.
    pub(crate) fn clear(&mut self) {
        self.families = HashMap::default();
        self.changed_families = Vec::new();
        self.arena = Vec::new();
        self.entries = Vec::new();
        self.index = HashTable::new();
        (self.first, self.previous, self.live) = (0, NONE, 0);
        self.texts = Texts::default();
    }

    /// Series with a value that no stale marker ended.
    pub(crate) fn live_series(&self) -> impl Iterator<Item = SeriesId> + '_ {
        self.entries.iter().filter(|e| e.live).map(|e| e.id).chain(self.inherited.iter().copied())
    }

    /// Whether the failed scrapes of a target left more behind than its good ones did.
    pub(crate) fn is_littered(&self, lived: usize) -> bool {
        self.entries.len() > 4 * lived + 4096 || self.families.len() >= MAX_FAMILIES
    }

    pub(crate) fn describe(&mut self, family: &str, change: impl FnOnce(&mut Metadata) -> bool) {
        if !self.families.contains_key(family) {
            if self.families.len() >= MAX_FAMILIES {
                return;
            }
            self.families.insert(family.to_owned(), Family::default());
        }
        let Some(known) = self.families.get_mut(family) else { return };
        if change(&mut known.metadata) && !std::mem::replace(&mut known.changed, true) {
            self.changed_families.push(family.to_owned());
        }
    }

    #[cfg(test)]
    pub(crate) fn families(&self) -> usize {
        self.families.len()
    }

    /// Families that changed since this was asked last.
    pub(crate) fn take_changed(&mut self) -> Vec<(String, Metadata)> {
        let names = std::mem::take(&mut self.changed_families);
        let changed = names.into_iter().filter_map(|name| {
            let known = self.families.get_mut(&name)?;
            known.changed = false;
            Some((name, known.metadata.clone()))
        });
        changed.collect()
    }

    /// The type of the family a sample belongs to, by its name or its name without the suffix of its type.
    pub(crate) fn kind_of(&self, name: &str) -> MetricKind {
        if let Some(family) = self.families.get(name) {
            return family.metadata.kind;
        }
        let suffixes = ["_bucket", "_count", "_sum", "_total", "_info", "_gcount", "_gsum"];
        suffixes.iter().find_map(|s| self.families.get(name.strip_suffix(s)?)).map_or(MetricKind::Unknown, |f| f.metadata.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scrape(cache: &mut SeriesCache, lines: &[&str]) -> usize {
        cache.begin();
        let mut guessed = 0;
        for line in lines {
            match cache.guess(format!("{line} 1\n").as_bytes()) {
                Guess::Series { entry, .. } => {
                    guessed += 1;
                    cache.follow(entry);
                    cache.entries[entry as usize].seen = cache.epoch;
                }
                _ => {
                    let entry = cache.find(line.as_bytes()).unwrap_or_else(|| cache.insert(line.as_bytes(), Kind::Series, SeriesId(0)));
                    cache.follow(entry);
                    cache.entries[entry as usize].seen = cache.epoch;
                }
            }
        }
        cache.shrink();
        guessed
    }

    #[test]
    fn the_second_scrape_is_guessed_and_a_changed_line_costs_two_guesses() {
        let mut cache = SeriesCache::new();
        assert_eq!(scrape(&mut cache, &["a", "b", "c", "d"]), 0);
        assert_eq!(scrape(&mut cache, &["a", "b", "c", "d"]), 4);
        assert_eq!(scrape(&mut cache, &["a", "x", "c", "d"]), 2);
        assert_eq!(scrape(&mut cache, &["a", "x", "c", "d"]), 4);
    }

    #[test]
    fn lines_that_never_return_are_forgotten() {
        let mut cache = SeriesCache::new();
        for round in 0..50 {
            let lines: Vec<String> = (0..100).map(|i| format!("m{{round=\"{round}\",i=\"{i}\"}}")).collect();
            let mut all: Vec<&str> = vec!["steady_one", "steady_two"];
            all.extend(lines.iter().map(String::as_str));
            let guessed = scrape(&mut cache, &all);
            assert!(round < 2 || guessed == 2, "{round}: {guessed}");
            assert!(cache.entries.len() <= 300, "{}", cache.entries.len());
            assert!(cache.arena.len() <= 300 * 40);
        }
    }
}
