//! Span bodies, up to 256 KiB of them one after the other, compressed once the block is full.

use super::wire::{Fields, put_varint};
use arc_swap::ArcSwap;
use lz4_flex::block::{CompressTable, compress_into_with_table, decompress_into, get_maximum_output_size};
use parking_lot::Mutex;
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use watchfire_model::SpanView;

/// Bytes after which a block is closed.
pub(crate) const BLOCK_BYTES: usize = 256 << 10;

/// Room of a buffer that is being filled: a block and the longest body that may come on top.
pub(crate) const BUFFER_BYTES: usize = BLOCK_BYTES + (32 << 10);

/// Emptied buffers on their way back to the ingest thread: memory that is already mapped, where a new buffer would cost a page fault every 4 KiB.
#[derive(Debug, Default)]
pub(crate) struct Spare(Mutex<Vec<Vec<u8>>>);

impl Spare {
    pub fn take(&self) -> Vec<u8> {
        self.0.lock().pop().unwrap_or_else(|| Vec::with_capacity(BUFFER_BYTES))
    }

    pub fn give(&self, mut buffer: Vec<u8>) {
        let mut held = self.0.lock();
        if held.len() < 4 && buffer.capacity() <= 2 * BUFFER_BYTES {
            buffer.clear();
            held.push(buffer);
        }
    }
}

/// Room in which a thread packs and unpacks one block after the other: to get a quarter of a megabyte of zeros for each costs as much as to fill it.
struct Room {
    table: CompressTable,
    packed: Vec<u8>,
    unpacked: Vec<u8>,
}

thread_local! {
    static ROOM: RefCell<Room> = RefCell::new(Room { table: CompressTable::large(), packed: Vec::new(), unpacked: Vec::new() });
}

/// A vector of at least this length.
fn at_least(room: &mut Vec<u8>, length: usize) -> &mut [u8] {
    if room.len() < length {
        room.resize(length, 0);
    }
    &mut room[..length]
}

/// Compressed, if that makes it shorter.
fn packed(bytes: &[u8]) -> Option<Box<[u8]>> {
    ROOM.with_borrow_mut(|Room { table, packed, .. }| {
        let packed = at_least(packed, get_maximum_output_size(bytes.len()));
        let length = compress_into_with_table(bytes, packed, table).ok()?;
        (length < bytes.len()).then(|| packed[..length].into())
    })
}

#[derive(Debug)]
enum Body {
    Plain(Vec<u8>),
    /// lz4 block format; uncompressed length beside it.
    Packed(Box<[u8]>, usize),
}

/// Bodies of consecutive rows of a segment. Each is a varint and the bytes of which it is twice the length; or, where it is odd, half of it is where in
/// the block the record with the same bytes begins.
#[derive(Debug)]
pub(crate) struct Block {
    /// First row within the segment.
    pub first: u32,
    body: ArcSwap<Body>,
    /// Bytes that are counted for it; none once it was let go.
    counted: AtomicUsize,
}

impl Block {
    pub fn new(first: u32, bytes: Vec<u8>) -> Self {
        let block = Block { first, body: ArcSwap::from_pointee(Body::Plain(bytes)), counted: AtomicUsize::new(0) };
        block.counted.store(block.bytes(), Ordering::Relaxed);
        block
    }

    /// Compresses in place; readers see the old form until it is done. Returns the bytes that count no more. The buffer goes to `spare` if nobody
    /// reads it.
    pub fn pack(&self, spare: &Spare) -> usize {
        let body = self.body.load_full();
        let Body::Plain(bytes) = &*body else { return 0 };
        let kept = match packed(bytes) {
            Some(packed) => Body::Packed(packed, bytes.len()),
            None => Body::Plain(bytes.as_slice().to_vec()),
        };
        self.body.store(Arc::new(kept));
        if let Ok(Body::Plain(buffer)) = Arc::try_unwrap(body) {
            spare.give(buffer);
        }
        let packed = self.bytes();
        // Its segment may have gone meanwhile, and all that was counted for it with it.
        let counted = self.counted.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |counted| (counted > packed).then_some(packed));
        counted.map_or(0, |counted| counted - packed)
    }

    /// Lets go of what is counted for it: so many bytes.
    pub fn let_go(&self) -> usize {
        self.counted.swap(0, Ordering::Relaxed)
    }

    /// The bodies as one run of bytes.
    pub fn bodies(&self) -> Bodies {
        let body = self.body.load_full();
        match &*body {
            Body::Plain(_) => Bodies { plain: Some(body), unpacked: Vec::new(), length: 0 },
            Body::Packed(packed, length) => {
                let mut unpacked = ROOM.with_borrow_mut(|room| std::mem::take(&mut room.unpacked));
                let length = decompress_into(packed, at_least(&mut unpacked, *length)).unwrap_or_default();
                Bodies { plain: None, unpacked, length }
            }
        }
    }

    pub fn bytes(&self) -> usize {
        size_of::<Self>()
            + 32
            + match &**self.body.load() {
                Body::Plain(bytes) => bytes.capacity(),
                Body::Packed(bytes, _) => bytes.len(),
            }
    }
}

/// An open block for reading.
pub(crate) struct Bodies {
    plain: Option<Arc<Body>>,
    /// The thread's room, which goes back to it.
    unpacked: Vec<u8>,
    length: usize,
}

impl Drop for Bodies {
    fn drop(&mut self) {
        let unpacked = std::mem::take(&mut self.unpacked);
        // A thread that ends has no room any more; then there is nothing to give back.
        let _ = ROOM.try_with(|room| {
            if let Ok(mut room) = room.try_borrow_mut()
                && room.unpacked.len() < unpacked.len()
            {
                room.unpacked = unpacked;
            }
        });
    }
}

impl Bodies {
    fn bytes(&self) -> &[u8] {
        match self.plain.as_deref() {
            Some(Body::Plain(bytes)) => bytes,
            _ => &self.unpacked[..self.length],
        }
    }

    /// The bodies in row order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let all = self.bytes();
        let mut at = 0;
        std::iter::from_fn(move || {
            let (head, used) = varint(all.get(at..)?)?;
            at += used;
            if head & 1 == 1 {
                let first = all.get(head / 2..)?;
                let (head, used) = varint(first)?;
                return first.get(used..used + head / 2);
            }
            let body = all.get(at..at + head / 2)?;
            at += body.len();
            Some(body)
        })
    }
}

fn varint(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0usize;
    for (i, byte) in bytes.iter().take(5).enumerate() {
        value |= ((byte & 0x7f) as usize) << (7 * i);
        if *byte < 0x80 {
            return Some((value, i + 1));
        }
    }
    None
}

/// Where a residual stands: number of the block, and where in it its record begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    block: u32,
    at: u32,
}

/// Appends a whole body.
pub(crate) fn put_whole(out: &mut Vec<u8>, body: &[u8]) {
    put_varint(out, (body.len() as u64) << 1);
    out.extend_from_slice(body);
}

/// Appends what the columns do not already say about a span. Ids, times and, where `named`, name and kind are left out: ids do not compress.
/// What is left is its residual; where `written` tells that this block has it, the place is put instead. Bodies come bounded: limits are the walk's.
#[inline]
pub(crate) fn put_body(out: &mut Vec<u8>, block: u32, span: &SpanView<'_>, named: bool, written: &mut Option<Written>) {
    match span.body.get(span.head as usize..) {
        Some(residual) if named && span.head > 0 => {
            if let Some(known) = written
                && known.block == block
            {
                put_varint(out, u64::from(known.at) << 1 | 1);
                return;
            }
            *written = Some(Written { block, at: out.len() as u32 });
            put_whole(out, residual);
        }
        _ => put_picked(out, span, named),
    }
}

/// As [`put_body`], field by field.
#[cold]
fn put_picked(out: &mut Vec<u8>, span: &SpanView<'_>, named: bool) {
    let body = span.body;
    // Ids and times come before the first attribute when fields are in order; where they are not, a repeated id in the body does no harm.
    let end = if span.attributes.1 == 0 { body.len() } else { span.attributes.0 as usize };
    let mut head = [(0usize, 0usize); 8];
    let mut heads = 0;
    let mut fields = Fields::new(body);
    let mut at = 0;
    let mut kept = 0;
    while at < end && heads < head.len() {
        let Some((number, _)) = fields.next() else { break };
        let next = body.len() - fields.rest().len();
        if next > end {
            break;
        }
        if !left_out(number, named) {
            head[heads] = (at, next);
            heads += 1;
            kept += next - at;
        }
        at = next;
    }
    put_varint(out, ((kept + body.len() - at) as u64) << 1);
    for (from, to) in &head[..heads] {
        out.extend_from_slice(&body[*from..*to]);
    }
    out.extend_from_slice(&body[at..]);
}

#[inline]
fn left_out(number: u32, named: bool) -> bool {
    matches!(number, 1 | 2 | 4 | 7 | 8) || (named && matches!(number, 5 | 6))
}
