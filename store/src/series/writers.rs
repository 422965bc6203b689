//! Which writer has which column of timestamps. Writers come and go, as pods do; a column that nobody has series in is given to the next.

use super::origin::Origin;
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use parking_lot::RwLock;
use std::hash::BuildHasher;
use std::sync::Arc;

/// One column of timestamps with its series.
pub(super) type Cell = Arc<RwLock<Origin>>;

/// All writers by name and number.
#[derive(Default)]
pub(super) struct Writers {
    limit: usize,
    by_name: HashMap<Arc<str>, u32, RandomState>,
    all: Vec<Writer>,
    /// Numbers that nobody has.
    free: Vec<u32>,
}

struct Writer {
    /// `None` once its series have all gone, until another one has the number.
    name: Option<Arc<str>>,
    cell: Cell,
    /// It holds its number for as long as the process runs, with series or without.
    lasting: bool,
}

impl Writers {
    /// At most so many have a column of their own.
    pub fn new(limit: usize) -> Self {
        Writers { limit: limit.max(1), ..Writers::default() }
    }

    pub fn known(&self, name: &str) -> Option<u32> {
        self.by_name.get(name).copied()
    }

    pub fn cell(&self, number: u32) -> Option<&Cell> {
        self.all.get(number as usize).map(|writer| &writer.cell)
    }

    pub fn cells(&self) -> Vec<Cell> {
        self.all.iter().map(|writer| writer.cell.clone()).collect()
    }

    /// The number of a writer.
    pub fn number(&mut self, name: &str, lasting: bool) -> u32 {
        if let Some(number) = self.known(name) {
            self.all[number as usize].lasting |= lasting;
            return number;
        }
        if self.free.is_empty() && self.all.len() >= self.limit {
            // Sharing a timestamp column is correct, only less compact; a new column per name would let senders grow memory at will.
            return (self.by_name.hasher().hash_one(name) % self.all.len() as u64) as u32;
        }
        let shared: Arc<str> = name.into();
        let number = self.free.pop().unwrap_or_else(|| {
            self.all.push(Writer { name: None, cell: Cell::default(), lasting: false });
            (self.all.len() - 1) as u32
        });
        let writer = &mut self.all[number as usize];
        (writer.name, writer.lasting) = (Some(shared.clone()), lasting);
        self.by_name.insert(shared, number);
        number
    }

    /// The last series of this writer is gone. Whoever still holds its number and goes on shares it with the next who gets it.
    pub fn release(&mut self, number: u32) {
        let Some(writer) = self.all.get_mut(number as usize).filter(|writer| !writer.lasting) else { return };
        if let Some(name) = writer.name.take() {
            self.by_name.remove(&name);
            self.free.push(number);
        }
    }

    /// Bytes beside those of the columns.
    pub fn bytes(&self) -> usize {
        let names: usize = self.by_name.keys().map(|name| name.len() + 16).sum();
        names + self.by_name.capacity() * 21 + self.all.capacity() * (size_of::<Writer>() + size_of::<RwLock<Origin>>() + 16)
    }
}
