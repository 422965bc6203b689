//! The segment that is being written.

use super::block::{self, BLOCK_BYTES, Block, Spare, Written};
use super::intern::{Operation, Resource, Scope};
use super::segment::{Columns, SEGMENT_BYTES, SEGMENT_ROWS, Segment};
use super::shown::Shown;
use std::sync::Arc;
use watchfire_model::{SpanView, Timestamp};

/// One span as the hot path writes it: one cache line, one bounds check. Columns are made of it when readers get a copy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub trace: u128,
    pub span: u64,
    pub parent: u64,
    pub start: u64,
    pub duration: u64,
    pub operation: u16,
    pub resource: u16,
    pub scope: u16,
    pub flags: u8,
}

pub(crate) struct Open {
    pub rows: Vec<Row>,
    /// Bodies of the block being filled.
    pub bodies: Vec<u8>,
    /// First row of that block.
    block_first: u32,
    /// Counts blocks: what was written into another is nowhere in this one.
    block_number: u32,
    blocks: Vec<Arc<Block>>,
    block_bytes: usize,
    operations: Vec<Arc<Operation>>,
    resources: Vec<Arc<Resource>>,
    scopes: Vec<Arc<Scope>>,
    /// Bytes of resources and scopes that came first with this segment.
    pub own_bytes: usize,
    /// Counts segments; dictionary places of an older segment are void.
    pub epoch: u32,
    received: Option<(Timestamp, Timestamp)>,
    shown: Shown,
}

impl Open {
    pub fn new() -> Self {
        Open {
            rows: Vec::with_capacity(SEGMENT_ROWS + 4096),
            bodies: Vec::with_capacity(super::block::BUFFER_BYTES),
            block_first: 0,
            block_number: 0,
            blocks: Vec::new(),
            block_bytes: 0,
            operations: Vec::new(),
            resources: Vec::new(),
            scopes: Vec::new(),
            own_bytes: 0,
            epoch: 1,
            received: None,
            shown: Shown::default(),
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

    /// Appends the body of the row that was pushed last; `written` is where its residual is known to stand.
    #[inline]
    pub fn put_body(&mut self, span: &SpanView<'_>, named: bool, written: &mut Option<Written>) {
        block::put_body(&mut self.bodies, self.block_number, span, named, written);
    }

    pub fn received(&mut self, at: Timestamp) {
        self.received = match self.received {
            None => Some((at, at)),
            Some((first, last)) => Some((first.min(at), last.max(at))),
        };
    }

    /// Closes the block if it is full; the caller has it compressed.
    pub fn close_block(&mut self, even_if_not_full: bool, spare: &Spare) -> Option<Arc<Block>> {
        if self.bodies.is_empty() || (self.bodies.len() < BLOCK_BYTES && !even_if_not_full) {
            return None;
        }
        self.block_bytes += self.bodies.len();
        let full = std::mem::replace(&mut self.bodies, spare.take());
        let block = Arc::new(Block::new(self.block_first, full));
        self.block_first = self.rows.len() as u32;
        self.block_number = self.block_number.wrapping_add(1);
        self.blocks.push(block.clone());
        Some(block)
    }

    pub fn is_full(&self) -> bool {
        self.rows.len() >= SEGMENT_ROWS
            || self.block_bytes + self.bodies.len() + self.own_bytes >= SEGMENT_BYTES
            || self.resources.len() >= 60_000
            || self.scopes.len() >= 60_000
    }

    /// From now on readers have what is there.
    pub fn is_shown(&mut self, now: Timestamp) {
        self.shown.mark(self.rows.len(), now);
    }

    /// A copy of what is there, for readers.
    pub fn copy(&self, now: Timestamp) -> Segment {
        let mut blocks = self.blocks.clone();
        if !self.bodies.is_empty() {
            blocks.push(Arc::new(Block::new(self.block_first, self.bodies.clone())));
        }
        Segment {
            columns: Columns::of(&self.rows),
            operations: self.operations.as_slice().into(),
            resources: self.resources.as_slice().into(),
            scopes: self.scopes.as_slice().into(),
            blocks: blocks.into(),
            own_bytes: self.own_bytes,
            received: self.received.unwrap_or((now, now)),
            shown: self.shown.clone(),
        }
    }

    /// Turns what is there into a sealed segment and starts the next one. All blocks must be closed.
    pub fn seal(&mut self, now: Timestamp) -> Segment {
        let segment = self.copy(now);
        self.rows.clear();
        self.block_first = 0;
        self.blocks.clear();
        self.block_bytes = 0;
        self.operations.clear();
        self.resources.clear();
        self.scopes.clear();
        self.own_bytes = 0;
        self.epoch = self.epoch.wrapping_add(1).max(1);
        self.received = None;
        self.shown = Shown::default();
        segment
    }
}
