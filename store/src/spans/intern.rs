//! Low-cardinality text, kept once: operations, scopes, resources. What a span alone says (attribute values, ids) is never interned.

use foldhash::fast::FixedState;
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

/// A set of shared values. Values nobody else holds are dropped when the set is full.
pub(crate) struct Interned<T> {
    limit: usize,
    table: HashTable<Arc<T>>,
    hasher: FixedState,
}

impl<T: Keyed> Interned<T> {
    pub fn new(limit: usize) -> Self {
        Interned { limit, table: HashTable::new(), hasher: FixedState::default() }
    }

    /// The value with this key, made by `make` if it is new.
    pub fn get(&mut self, key: &[u8], make: impl FnOnce() -> T) -> Arc<T> {
        let hash = self.hasher.hash_one(key);
        if let Some(found) = self.table.find(hash, |held| held.key() == key) {
            return found.clone();
        }
        if self.table.len() >= self.limit {
            self.table.retain(|held| Arc::strong_count(held) > 1);
        }
        let made = Arc::new(make());
        // Still full of values in use: the new one lives as long as its segment and is not found again. Correct, only not shared.
        if self.table.len() < self.limit {
            let hasher = &self.hasher;
            self.table.insert_unique(hash, made.clone(), |held| hasher.hash_one(held.key()));
        }
        made
    }
}
