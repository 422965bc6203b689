//! Span bodies, up to 256 KiB of them one after the other, compressed once the block is full.

use arc_swap::ArcSwap;
use lz4_flex::block::{CompressTable, compress_into_with_table, decompress_into, get_maximum_output_size};
use parking_lot::Mutex;
use std::cell::RefCell;
use std::sync::Arc;

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

/// Bodies of consecutive rows of a segment: each a varint length and the bytes.
#[derive(Debug)]
pub(crate) struct Block {
    /// First row within the segment.
    pub first: u32,
    body: ArcSwap<Body>,
}

impl Block {
    pub fn new(first: u32, bytes: Vec<u8>) -> Self {
        Block { first, body: ArcSwap::from_pointee(Body::Plain(bytes)) }
    }

    /// Compresses in place; readers see the old form until it is done. Returns the bytes saved. The buffer goes to `spare` if nobody reads it.
    pub fn pack(&self, spare: &Spare) -> usize {
        let body = self.body.load_full();
        let Body::Plain(bytes) = &*body else { return 0 };
        let held = self.bytes();
        let kept = match packed(bytes) {
            Some(packed) => Body::Packed(packed, bytes.len()),
            None => Body::Plain(bytes.as_slice().to_vec()),
        };
        self.body.store(Arc::new(kept));
        if let Ok(Body::Plain(buffer)) = Arc::try_unwrap(body) {
            spare.give(buffer);
        }
        held.saturating_sub(self.bytes())
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
        let mut rest = self.bytes();
        std::iter::from_fn(move || {
            let (length, used) = length(rest)?;
            let body = rest.get(used..used + length)?;
            rest = &rest[used + length..];
            Some(body)
        })
    }
}

fn length(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0usize;
    for (i, byte) in bytes.iter().take(5).enumerate() {
        value |= ((byte & 0x7f) as usize) << (7 * i);
        if *byte < 0x80 {
            return Some((value, i + 1));
        }
    }
    None
}

/// Appends what the columns do not already say about a span. Ids, times and, where `named`, name and kind are left out: ids do not compress.
/// `attributes` are where its attributes are. Bodies come bounded: limits are the walk's.
pub(crate) fn put_body(out: &mut Vec<u8>, body: &[u8], attributes: &[(u32, u32)], named: bool) {
    if let Some(at) = usual_head(body, named) {
        let rest = &body[at..];
        super::wire::put_varint(out, rest.len() as u64);
        out.extend_from_slice(rest);
        return;
    }
    // Ids and times come before the first attribute when fields are in order; where they are not, a repeated id in the body does no harm.
    let end = attributes.first().map_or(body.len(), |(start, _)| attribute_start(body, *start as usize));
    let mut head = [(0usize, 0usize); 8];
    let mut heads = 0;
    let mut fields = super::wire::Fields::new(body);
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
    super::wire::put_varint(out, (kept + body.len() - at) as u64);
    for (from, to) in &head[..heads] {
        out.extend_from_slice(&body[*from..*to]);
    }
    out.extend_from_slice(&body[at..]);
}

/// Where the field that holds an attribute begins, given where the attribute's own bytes begin: its tag is one byte, its length one to five.
fn attribute_start(body: &[u8], content: usize) -> usize {
    (2..=6).filter_map(|back| content.checked_sub(back)).find(|at| body.get(*at) == Some(&0x4a)).unwrap_or(0)
}

/// Length of the part that the columns know, if the fields come in the order every SDK writes them: trace id, span id, parent, name, kind, start, end.
#[inline]
fn usual_head(body: &[u8], named: bool) -> Option<usize> {
    let ids = body.first_chunk::<28>()?;
    if !named || ids[..2] != [0x0a, 16] || ids[18..20] != [0x12, 8] {
        return None;
    }
    let mut at = 28;
    if body.get(at) == Some(&0x22) {
        let length = *body.get(at + 1)?;
        if length >= 0x80 {
            return None;
        }
        at += 2 + usize::from(length);
    }
    if body.get(at) == Some(&0x2a) {
        let length = *body.get(at + 1)?;
        if length >= 0x80 {
            return None;
        }
        at += 2 + usize::from(length);
    }
    // Kind in one byte, start and end in nine each.
    let times = body.get(at..at + 20)?;
    (times[0] == 0x30 && times[1] < 0x80 && times[2] == 0x39 && times[11] == 0x41).then_some(at + 20)
}

#[inline]
fn left_out(number: u32, named: bool) -> bool {
    matches!(number, 1 | 2 | 4 | 7 | 8) || (named && matches!(number, 5 | 6))
}
