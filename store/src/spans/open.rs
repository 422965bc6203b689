//! The segment that is being written.

use super::block::{BLOCK_BYTES, Block};
use super::intern::{Operation, Resource, Scope};
use super::segment::{Columns, SEGMENT_BYTES, SEGMENT_ROWS, Segment};
use std::sync::Arc;
use watchfire_model::Timestamp;

pub(crate) struct Open {
    pub columns: Columns,
    /// Bodies of the block being filled.
    pub bodies: Vec<u8>,
    /// First row of that block.
    block_first: u32,
    blocks: Vec<Arc<Block>>,
    block_bytes: usize,
    operations: Vec<Arc<Operation>>,
    resources: Vec<Arc<Resource>>,
    scopes: Vec<Arc<Scope>>,
    /// Counts segments; dictionary places of an older segment are void.
    pub epoch: u32,
    received: Option<(Timestamp, Timestamp)>,
    /// Rows of the copy readers have.
    pub shown: usize,
}

impl Open {
    pub fn new() -> Self {
        Open {
            columns: Columns::default(),
            bodies: Vec::with_capacity(BLOCK_BYTES + (32 << 10)),
            block_first: 0,
            blocks: Vec::new(),
            block_bytes: 0,
            operations: Vec::new(),
            resources: Vec::new(),
            scopes: Vec::new(),
            epoch: 1,
            received: None,
            shown: 0,
        }
    }

    pub fn add_operation(&mut self, operation: &Arc<Operation>) -> u16 {
        self.operations.push(operation.clone());
        (self.operations.len() - 1) as u16
    }

    pub fn add_resource(&mut self, resource: &Arc<Resource>) -> u16 {
        self.resources.push(resource.clone());
        (self.resources.len() - 1) as u16
    }

    pub fn add_scope(&mut self, scope: &Arc<Scope>) -> u16 {
        self.scopes.push(scope.clone());
        (self.scopes.len() - 1) as u16
    }

    pub fn received(&mut self, at: Timestamp) {
        self.received = match self.received {
            None => Some((at, at)),
            Some((first, last)) => Some((first.min(at), last.max(at))),
        };
    }

    /// Closes the block if it is full; the caller has it compressed.
    pub fn close_block(&mut self, even_if_not_full: bool) -> Option<Arc<Block>> {
        if self.bodies.is_empty() || (self.bodies.len() < BLOCK_BYTES && !even_if_not_full) {
            return None;
        }
        let block = Arc::new(Block::new(self.block_first, self.bodies.as_slice().to_vec()));
        self.block_bytes += self.bodies.len();
        self.bodies.clear();
        self.block_first = self.columns.len() as u32;
        self.blocks.push(block.clone());
        Some(block)
    }

    pub fn is_full(&self) -> bool {
        self.columns.len() >= SEGMENT_ROWS
            || self.block_bytes + self.bodies.len() >= SEGMENT_BYTES
            || self.resources.len() >= 60_000
            || self.scopes.len() >= 60_000
    }

    /// A copy of what is there, for readers.
    pub fn copy(&self, now: Timestamp) -> Segment {
        let mut blocks = self.blocks.clone();
        if !self.bodies.is_empty() {
            blocks.push(Arc::new(Block::new(self.block_first, self.bodies.clone())));
        }
        Segment {
            columns: self.columns.clone(),
            operations: self.operations.as_slice().into(),
            resources: self.resources.as_slice().into(),
            scopes: self.scopes.as_slice().into(),
            blocks: blocks.into(),
            received: self.received.unwrap_or((now, now)),
        }
    }

    /// Turns what is there into a sealed segment and starts the next one. All blocks must be closed.
    pub fn seal(&mut self, now: Timestamp) -> Segment {
        let segment = self.copy(now);
        self.columns.clear();
        self.block_first = 0;
        self.blocks.clear();
        self.block_bytes = 0;
        self.operations.clear();
        self.resources.clear();
        self.scopes.clear();
        self.epoch = self.epoch.wrapping_add(1).max(1);
        self.received = None;
        self.shown = 0;
        segment
    }
}
