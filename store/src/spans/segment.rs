//! Some thousand spans as columns, with their own small dictionaries: complete in itself, never changed once sealed.

use super::block::{BLOCK_BYTES, Block, Spare, put_whole};
use super::intern::{Operation, Resource, Scope};
use super::open::Row;
use super::shown::Shown;
use std::sync::Arc;
use watchfire_model::{SpanId, SpanKind, SpanStatus, Timestamp, TraceId};

/// Rows after which a segment is sealed.
pub(crate) const SEGMENT_ROWS: usize = 8192;
/// Bytes of bodies after which a segment is sealed.
pub(crate) const SEGMENT_BYTES: usize = 4 * BLOCK_BYTES;

/// Status code of the span, as on the wire.
const STATUS: u8 = 3;
/// Received before; listed, not counted.
pub(crate) const REPEATED: u8 = 4;
/// Slower than the 99th percentile of its operation.
pub(crate) const SLOW: u8 = 8;
/// Counts as an error, by its status or by a setting of its service.
pub(crate) const FAILED: u8 = 16;
/// Its times made no sense: the end was before the start, or out of reach.
pub(crate) const MENDED: u8 = 32;

/// Columns of one segment. Row `i` of every column belongs to the same span.
#[derive(Clone, Debug, Default)]
pub(crate) struct Columns {
    pub trace_ids: Vec<u128>,
    pub span_ids: Vec<u64>,
    pub parents: Vec<u64>,
    /// Nanoseconds since the epoch, as the sender says.
    pub starts: Vec<u64>,
    /// Nanoseconds.
    pub durations: Vec<u64>,
    pub operations: Vec<u16>,
    pub resources: Vec<u16>,
    pub scopes: Vec<u16>,
    pub flags: Vec<u8>,
}

/// Bytes of one row in the columns.
const ROW_BYTES: usize = 16 + 4 * 8 + 3 * 2 + 1;

impl Columns {
    pub fn len(&self) -> usize {
        self.flags.len()
    }

    pub fn of(rows: &[Row]) -> Self {
        let count = rows.len();
        let mut columns = Columns {
            trace_ids: Vec::with_capacity(count),
            span_ids: Vec::with_capacity(count),
            parents: Vec::with_capacity(count),
            starts: Vec::with_capacity(count),
            durations: Vec::with_capacity(count),
            operations: Vec::with_capacity(count),
            resources: Vec::with_capacity(count),
            scopes: Vec::with_capacity(count),
            flags: Vec::with_capacity(count),
        };
        // In pieces that stay in the nearest cache while each column takes its part of them.
        for rows in rows.chunks(256) {
            columns.trace_ids.extend(rows.iter().map(|r| r.trace));
            columns.span_ids.extend(rows.iter().map(|r| r.span));
            columns.parents.extend(rows.iter().map(|r| r.parent));
            columns.starts.extend(rows.iter().map(|r| r.start));
            columns.durations.extend(rows.iter().map(|r| r.duration));
            columns.operations.extend(rows.iter().map(|r| r.operation));
            columns.resources.extend(rows.iter().map(|r| r.resource));
            columns.scopes.extend(rows.iter().map(|r| r.scope));
            columns.flags.extend(rows.iter().map(|r| r.flags));
        }
        columns
    }

    /// The rows that `keep` names, in its order.
    fn picked(&self, keep: &[usize]) -> Columns {
        fn pick<T: Copy>(column: &[T], keep: &[usize]) -> Vec<T> {
            keep.iter().map(|row| column[*row]).collect()
        }
        Columns {
            trace_ids: pick(&self.trace_ids, keep),
            span_ids: pick(&self.span_ids, keep),
            parents: pick(&self.parents, keep),
            starts: pick(&self.starts, keep),
            durations: pick(&self.durations, keep),
            operations: pick(&self.operations, keep),
            resources: pick(&self.resources, keep),
            scopes: pick(&self.scopes, keep),
            flags: pick(&self.flags, keep),
        }
    }
}

/// Sealed spans: what every reading of spans goes through, and what history would write to disk.
#[derive(Debug)]
pub struct Segment {
    pub(crate) columns: Columns,
    pub(crate) operations: Box<[Arc<Operation>]>,
    pub(crate) resources: Box<[Arc<Resource>]>,
    pub(crate) scopes: Box<[Arc<Scope>]>,
    pub(crate) blocks: Box<[Arc<Block>]>,
    /// Bytes of resources and scopes that no segment before this one had.
    pub(crate) own_bytes: usize,
    /// When the first and the last span arrived.
    pub(crate) received: (Timestamp, Timestamp),
    pub(crate) shown: Shown,
}

impl Segment {
    /// Number of spans.
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes held; resources that other segments had before are theirs.
    pub fn bytes(&self) -> usize {
        self.column_bytes() + self.blocks.iter().map(|b| b.bytes()).sum::<usize>()
    }

    /// Bytes beside those of the blocks.
    pub(crate) fn column_bytes(&self) -> usize {
        size_of::<Self>()
            + self.len() * ROW_BYTES
            + self.own_bytes
            + self.shown.bytes()
            + 8 * (self.operations.len() + self.resources.len() + self.scopes.len() + self.blocks.len())
    }

    /// The span of one row, without its body.
    pub fn row(&self, row: usize) -> SpanRow<'_> {
        SpanRow { segment: self, row }
    }

    /// The rows that readers had at `at`.
    pub fn rows_by(&self, at: Timestamp) -> impl DoubleEndedIterator<Item = SpanRow<'_>> + ExactSizeIterator {
        (0..self.shown.by(at, self.len())).map(|row| SpanRow { segment: self, row })
    }

    pub fn rows(&self) -> impl DoubleEndedIterator<Item = SpanRow<'_>> + ExactSizeIterator {
        (0..self.len()).map(|row| SpanRow { segment: self, row })
    }

    /// Calls `visit` with the body of each of `rows` (ascending); each block is unpacked at most once. `visit` says whether to go on.
    pub fn bodies(&self, rows: impl IntoIterator<Item = usize>, mut visit: impl FnMut(usize, &[u8]) -> bool) {
        let mut rows = rows.into_iter().peekable();
        for (i, block) in self.blocks.iter().enumerate() {
            let first = block.first as usize;
            let end = self.blocks.get(i + 1).map_or(self.len(), |next| next.first as usize);
            while rows.peek().is_some_and(|r| *r < first) {
                rows.next();
            }
            if rows.peek().is_none_or(|r| *r >= end) {
                continue;
            }
            let bodies = block.bodies();
            for (row, body) in (first..end).zip(bodies.iter()) {
                if rows.peek() == Some(&row) {
                    rows.next();
                    if !visit(row, body) {
                        return;
                    }
                }
                if rows.peek().is_none_or(|r| *r >= end) {
                    break;
                }
            }
        }
    }

    /// A segment with only the rows that `keep` names; `None` if there are none. Its bodies are put together in buffers of `spare`.
    pub(crate) fn salvage(&self, keep: &[usize], spare: &Spare) -> Option<Segment> {
        if keep.is_empty() {
            return None;
        }
        let mut columns = self.columns.picked(keep);
        let operations = used(&mut columns.operations, &self.operations);
        let resources = used(&mut columns.resources, &self.resources);
        let scopes = used(&mut columns.scopes, &self.scopes);
        let mut blocks = Vec::new();
        let mut bytes = spare.take();
        let (mut first, mut done) = (0u32, 0u32);
        self.bodies(keep.iter().copied(), |_, body| {
            put_whole(&mut bytes, body);
            done += 1;
            if bytes.len() >= BLOCK_BYTES {
                let block = Block::new(first, std::mem::take(&mut bytes));
                block.pack(spare);
                blocks.push(Arc::new(block));
                bytes = spare.take();
                first = done;
            }
            true
        });
        if bytes.is_empty() {
            spare.give(bytes);
        } else {
            let block = Block::new(first, bytes);
            block.pack(spare);
            blocks.push(Arc::new(block));
        }
        Some(Segment {
            own_bytes: self.own_bytes.min(resources.iter().map(|r| r.raw.len()).sum()),
            columns,
            operations,
            resources,
            scopes,
            blocks: blocks.into(),
            received: self.received,
            shown: self.shown.picked(keep, self.received.1),
        })
    }

    #[cfg(test)]
    pub(crate) fn of_block(block: Arc<Block>) -> Self {
        let columns = Columns::default();
        let blocks = [block].into();
        Segment {
            columns,
            operations: [].into(),
            resources: [].into(),
            scopes: [].into(),
            blocks,
            own_bytes: 0,
            received: Default::default(),
            shown: Default::default(),
        }
    }
}

/// The part of a dictionary that a column of places in it uses, to which the places then point.
fn used<T>(places: &mut [u16], all: &[Arc<T>]) -> Box<[Arc<T>]> {
    let mut kept = Vec::new();
    let mut renamed: Vec<Option<u16>> = vec![None; all.len()];
    for place in places {
        let held = usize::from(*place);
        *place = *renamed[held].get_or_insert_with(|| {
            kept.push(all[held].clone());
            (kept.len() - 1) as u16
        });
    }
    kept.into()
}

/// One span, as far as the columns know it.
#[derive(Clone, Copy, Debug)]
pub struct SpanRow<'a> {
    pub(crate) segment: &'a Segment,
    pub(crate) row: usize,
}

impl<'a> SpanRow<'a> {
    pub(crate) fn trace(&self) -> u128 {
        self.segment.columns.trace_ids[self.row]
    }

    pub fn trace_id(&self) -> TraceId {
        TraceId(self.trace().to_be_bytes())
    }

    pub fn span_id(&self) -> SpanId {
        SpanId(self.segment.columns.span_ids[self.row].to_be_bytes())
    }

    pub fn parent_id(&self) -> SpanId {
        SpanId(self.segment.columns.parents[self.row].to_be_bytes())
    }

    pub fn is_root(&self) -> bool {
        self.segment.columns.parents[self.row] == 0
    }

    /// Nanoseconds since the epoch, as the sender says.
    pub fn start(&self) -> u64 {
        self.segment.columns.starts[self.row]
    }

    /// Nanoseconds.
    pub fn duration(&self) -> u64 {
        self.segment.columns.durations[self.row]
    }

    pub fn operation(&self) -> &'a Operation {
        &self.segment.operations[self.segment.columns.operations[self.row] as usize]
    }

    pub fn service(&self) -> &'a str {
        &self.operation().service
    }

    pub fn kind(&self) -> SpanKind {
        self.operation().kind
    }

    pub fn resource(&self) -> &'a Resource {
        &self.segment.resources[self.segment.columns.resources[self.row] as usize]
    }

    pub fn scope(&self) -> &'a Scope {
        &self.segment.scopes[self.segment.columns.scopes[self.row] as usize]
    }

    pub fn status(&self) -> SpanStatus {
        SpanStatus::from_wire(u64::from(self.segment.columns.flags[self.row] & STATUS))
    }

    pub(crate) fn has(&self, flag: u8) -> bool {
        self.segment.columns.flags[self.row] & flag != 0
    }

    pub fn failed(&self) -> bool {
        self.has(FAILED)
    }
}
