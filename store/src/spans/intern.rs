//! Low-cardinality text, kept once: operations, scopes, resources. What a span alone says (attribute values, ids) is never interned.

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::hash::BuildHasher;
use std::sync::Arc;
use watchfire_model::SpanKind;

/// Longest name that is kept as it is, in bytes; as the limit for names of the receivers.
const LONGEST_NAME: usize = 1024;

/// The beginning of a text that is at most as long as a name may be.
pub(crate) fn bounded(text: &str) -> &str {
    if text.len() <= LONGEST_NAME {
        return text;
    }
    let mut end = LONGEST_NAME;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// What a service does: one of its span names with the kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    pub service: Arc<str>,
    /// `__overflow__` where the names of a service are too many; the true name is in the span's body then.
    pub name: Arc<str>,
    pub kind: SpanKind,
    pub(crate) overflow: bool,
}

/// Who sent a span: the `Resource` message as it came, and what is read from it often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    pub raw: Box<[u8]>,
    pub service: Arc<str>,
    pub version: Arc<str>,
}

/// The instrumentation scope.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    pub name: Box<str>,
    pub version: Box<str>,
    key: Box<[u8]>,
}

impl Scope {
    /// `key` is the name, a zero byte, and the version.
    pub(crate) fn new(name: &str, version: &str, key: &[u8]) -> Self {
        Scope { name: name.into(), version: version.into(), key: key.into() }
    }
}

/// A value that is found by bytes.
pub(crate) trait Keyed {
    fn key(&self) -> &[u8];
}

impl Keyed for Resource {
    fn key(&self) -> &[u8] {
        &self.raw
    }
}

impl Keyed for Scope {
    fn key(&self) -> &[u8] {
        &self.key
    }
}

/// A set of shared values, bounded by number and bytes. Values nobody else holds are dropped when the set is full.
pub(crate) struct Interned<T> {
    limit: usize,
    most_bytes: usize,
    table: HashTable<Arc<T>>,
    bytes: usize,
    /// New values that come without a place before it is looked for what nobody holds any more: a look at all of them must not be the price of each.
    wait: usize,
    hasher: RandomState,
}

/// Bytes of a value: its key twice, roughly, and what holds it.
fn size(value: &impl Keyed) -> usize {
    value.key().len() + 128
}

impl<T: Keyed> Interned<T> {
    pub fn new(limit: usize, most_bytes: usize) -> Self {
        Interned { limit, most_bytes, table: HashTable::new(), bytes: 0, wait: 0, hasher: RandomState::default() }
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The value with this key, made by `make` if it is new, and whether it is.
    pub fn get(&mut self, key: &[u8], make: impl FnOnce() -> T) -> (Arc<T>, bool) {
        let hash = self.hasher.hash_one(key);
        if let Some(found) = self.table.find(hash, |held| held.key() == key) {
            return (found.clone(), false);
        }
        let made = Arc::new(make());
        if !self.has_room(&*made) {
            self.make_room();
        }
        // Still full of values in use: the new one lives as long as its segment and is not found again. Correct, only not shared.
        if self.has_room(&*made) {
            let hasher = &self.hasher;
            self.bytes += size(&*made);
            self.table.insert_unique(hash, made.clone(), |held| hasher.hash_one(held.key()));
        }
        (made, true)
    }

    fn has_room(&self, value: &T) -> bool {
        self.table.len() < self.limit && self.bytes + size(value) <= self.most_bytes
    }

    fn make_room(&mut self) {
        if self.wait > 0 {
            self.wait -= 1;
            return;
        }
        let (before, mut bytes) = (self.table.len(), 0);
        self.table.retain(|held| {
            let used = Arc::strong_count(held) > 1;
            bytes += if used { size(&**held) } else { 0 };
            used
        });
        self.bytes = bytes;
        self.wait = (before / 4).saturating_sub(before - self.table.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(n: usize) -> Scope {
        let key = format!("{n:0100}");
        Scope::new("", "", key.as_bytes())
    }

    fn get(table: &mut Interned<Scope>, n: usize) -> (Arc<Scope>, bool) {
        let made = scope(n);
        table.get(made.key(), || scope(n))
    }

    #[test]
    fn what_nobody_holds_makes_room_and_what_finds_none_is_not_shared() {
        let mut table = Interned::new(100, 1 << 20);
        let held: Vec<_> = (0..100).map(|n| get(&mut table, n).0).collect();
        assert!((0..100).all(|n| !get(&mut table, n).1));
        assert!((0..2).all(|_| get(&mut table, 100).1), "there is no room for it");
        drop(held);
        let new = (101..200).map(|n| get(&mut table, n)).last().map(|(last, _)| last);
        assert!(new.is_some() && !get(&mut table, 199).1 && get(&mut table, 0).1);
    }

    #[test]
    fn bytes_are_bounded_too() {
        let mut table = Interned::new(10_000, 10_000);
        let held: Vec<_> = (0..100).map(|n| get(&mut table, n).0).collect();
        assert!(table.bytes() > 5_000 && table.bytes() <= 10_000);
        assert!(!get(&mut table, 0).1 && get(&mut table, 99).1);
        drop(held);
    }
}
