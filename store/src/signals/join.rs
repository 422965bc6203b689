//! The two halves of a call meet here: the client's span and the server's, in either order.
//!
//! A bounded table of buckets of four halves. A caller is filed under its own span id, a callee under its parent's (or a link's), so both look into the same bucket.
//! When a bucket is full its oldest half is overwritten and counted as lost; nothing grows.
//!
//! A part of each tag lies in a table of its own, small enough for a processor's cache: who looks for the other half, or for a free place, seldom touches more than
//! that, and what is written elsewhere is not waited for.

use crate::read_ahead::read_ahead;
use watchfire_model::Timestamp;

/// One side of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Half {
    pub tag: u64,
    pub nanos: u64,
    pub weight: f32,
    pub service: u32,
    pub peer: u32,
    /// Bits below, and the arrival in quarter seconds in the upper half.
    pub meta: u32,
}

const CALLEE: u32 = 1;
const FAILED: u32 = 2;
/// A message: several consumers may belong to one producer, so the producer stays until it expires.
const MESSAGE: u32 = 4;
const MATCHED: u32 = 8;
/// It stands for several messages, each of which may be met.
const BATCH: u32 = 128;
/// Its peer is the queue itself, and not the exchange that feeds it.
const NAMES_QUEUE: u32 = 256;
/// The messages it is about are told by its links.
const LINKED: u32 = 512;
const PROTOCOL_SHIFT: u32 = 4;

/// Quarter seconds a half waits for the other: 10 s. SDKs batch for up to 5 s, and the two ends are not in step.
const PATIENCE: u16 = 40;

/// The join's time: quarter seconds, which come round after four and a half hours.
pub(crate) fn quarters(at: Timestamp) -> u16 {
    const MILLIS: i64 = 250;
    (at.millis() / MILLIS) as u16
}

/// What one side says of a call.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HalfKind {
    pub callee: bool,
    pub failed: bool,
    pub message: bool,
    pub names_queue: bool,
    pub protocol: u32,
}

impl Half {
    pub fn new(tag: u64, kind: HalfKind) -> Self {
        let flag = |on: bool, bit: u32| if on { bit } else { 0 };
        let flags =
            flag(kind.callee, CALLEE) | flag(kind.failed, FAILED) | flag(kind.message, MESSAGE) | flag(kind.names_queue, NAMES_QUEUE);
        let meta = flags | (kind.protocol & 7) << PROTOCOL_SHIFT;
        Half { tag, meta, ..Half::default() }
    }

    pub fn is_callee(&self) -> bool {
        self.meta & CALLEE != 0
    }

    pub fn failed(&self) -> bool {
        self.meta & FAILED != 0
    }

    pub fn message(&self) -> bool {
        self.meta & MESSAGE != 0
    }

    pub fn matched(&self) -> bool {
        self.meta & MATCHED != 0
    }

    /// A half that is not missed when nobody meets it.
    pub fn optional(mut self) -> Self {
        self.meta |= MATCHED;
        self
    }

    pub fn names_queue(&self) -> bool {
        self.meta & NAMES_QUEUE != 0
    }

    /// A half whose messages are told by its links, and which is only in passing within another span.
    pub fn linked(mut self) -> Self {
        self.meta |= LINKED;
        self
    }

    /// As many messages as it says.
    pub fn stands_for(mut self, messages: Option<u32>) -> Self {
        if let Some(messages) = messages {
            self.weight *= messages as f32;
            self.meta |= BATCH;
        }
        self
    }

    pub fn is_batch(&self) -> bool {
        self.meta & BATCH != 0
    }

    /// Whether both are messages of one service to one queue.
    pub fn same_message(&self, other: &Half) -> bool {
        self.message() && other.message() && (self.service, self.peer) == (other.service, other.peer)
    }

    pub fn protocol(&self) -> u32 {
        self.meta >> PROTOCOL_SHIFT & 7
    }

    fn arrived(&self) -> u16 {
        (self.meta >> 16) as u16
    }

    fn age(&self, now: u16) -> u16 {
        now.wrapping_sub(self.arrived())
    }
}

/// Consumers of messages that found no room are kept for the next sweep, so many at most.
const CROWDED_OUT: usize = 10_000;

/// Halves of a bucket.
const PLACES: usize = 4;

/// Caller and callee of one call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pair {
    pub caller: Half,
    pub callee: Half,
}

pub(crate) struct Join {
    /// By bucket: of each half's tag what does not choose the bucket, zero where a place is free.
    tags: Box<[[u32; PLACES]]>,
    /// By bucket and place; nothing where the tag is zero.
    halves: Box<[Half]>,
    mask: usize,
    /// Where the next sweep starts.
    swept: usize,
    waiting: usize,
    /// Consumers whose place others needed. Ten messages that one span fetched all wait for whoever caused that span, and come out of their queue though
    /// nobody did.
    crowded_out: Vec<Half>,
    /// Halves overwritten before they met anyone.
    pub lost: u64,
}

impl Join {
    /// A table of `2^bits` buckets, 144 bytes each.
    pub fn new(bits: u32) -> Self {
        let size = 1usize << bits;
        Join {
            tags: vec![[0; PLACES]; size].into_boxed_slice(),
            halves: vec![Half::default(); size * PLACES].into_boxed_slice(),
            mask: size - 1,
            swept: 0,
            waiting: 0,
            crowded_out: Vec::new(),
            lost: 0,
        }
    }

    pub fn bytes(&self) -> usize {
        size_of_val(&*self.tags) + size_of_val(&*self.halves) + self.crowded_out.capacity() * size_of::<Half>()
    }

    #[cfg(test)]
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Has the bucket of a tag at hand when the tag is offered.
    #[inline]
    pub fn read_ahead(&self, tag: u64) {
        let index = tag as usize & self.mask;
        read_ahead(&self.tags[index]);
        // Two lines of two halves each.
        read_ahead(&self.halves[index * PLACES]);
        read_ahead(&self.halves[index * PLACES + PLACES / 2]);
    }

    /// Offers a half. `meet` is called for each half of the other side that it belongs to; what is still needed stays in the table.
    #[inline]
    pub fn offer(&mut self, mut half: Half, now: u16, mut meet: impl FnMut(Pair)) {
        half.meta |= u32::from(now) << 16;
        let index = half.tag as usize & self.mask;
        let (tag, tags) = (short(half.tag), &mut self.tags[index]);
        let halves = &mut self.halves[index * PLACES..][..PLACES];
        let mut met = false;
        for place in 0..PLACES {
            if tags[place] != tag {
                continue;
            }
            let other = halves[place];
            if other.tag != half.tag || other.is_callee() == half.is_callee() {
                continue;
            }
            met = true;
            let (caller, callee) = if half.is_callee() { (other, half) } else { (half, other) };
            meet(Pair { caller, callee });
            if half.is_callee() && other.message() {
                halves[place].meta |= MATCHED;
            } else {
                tags[place] = 0;
                self.waiting -= 1;
            }
            if half.is_callee() || !half.message() {
                break;
            }
        }
        if met {
            if half.is_callee() || !half.message() {
                return;
            }
            half.meta |= MATCHED;
        }
        let place = match tags.iter().position(|tag| *tag == 0) {
            Some(free) => {
                self.waiting += 1;
                free
            }
            None => {
                let oldest = (0..PLACES).rev().max_by_key(|i| halves[*i].age(now)).unwrap_or_default();
                let gone = &halves[oldest];
                if gone.is_callee() && gone.message() && self.crowded_out.len() < CROWDED_OUT {
                    self.crowded_out.push(*gone);
                } else {
                    self.lost += u64::from(!gone.matched());
                }
                oldest
            }
        };
        tags[place] = tag;
        halves[place] = half;
    }

    /// The caller's half of a call, if it waits.
    fn waiting_caller(&mut self, tag: u64) -> Option<&mut Half> {
        let index = tag as usize & self.mask;
        let tags = &self.tags[index];
        let halves = &mut self.halves[index * PLACES..][..PLACES];
        halves
            .iter_mut()
            .zip(tags)
            .find(|(half, short_tag)| **short_tag == short(tag) && half.tag == tag && !half.is_callee())
            .map(|(half, _)| half)
    }

    /// Hands out the consumers of a service that wait for whoever is behind this tag, and know their message by nothing else.
    pub fn take_consumers(&mut self, tag: u64, service: u32) -> impl Iterator<Item = Half> + use<> {
        let index = tag as usize & self.mask;
        let tags = &mut self.tags[index];
        let mut taken = [None; PLACES];
        for (place, half) in self.halves[index * PLACES..][..PLACES].iter().enumerate() {
            let waits = tags[place] == short(tag) && half.tag == tag && half.service == service;
            if waits && half.is_callee() && half.message() && half.meta & LINKED == 0 {
                taken[place] = Some(Half { meta: half.meta & 0xffff, ..*half });
                tags[place] = 0;
                self.waiting -= 1;
            }
        }
        taken.into_iter().flatten()
    }

    /// Somebody else says that this call failed.
    pub fn fail(&mut self, tag: u64) {
        if let Some(half) = self.waiting_caller(tag) {
            half.meta |= FAILED;
        }
    }

    /// A call is told by another span as well, and is not missed if nobody answers it.
    pub fn told(&mut self, tag: u64) {
        if let Some(half) = self.waiting_caller(tag) {
            half.meta |= MATCHED;
        }
    }

    /// What a call that waits is to, as the span around it tells.
    pub fn is_to(&mut self, tag: u64, peer: u32) {
        if let Some(half) = self.waiting_caller(tag) {
            half.peer = peer;
        }
    }

    /// A message was handed on within the span of this caller, which sends no second one.
    pub fn enclose(&mut self, tag: u64, inner: &Half) {
        if let Some(half) = self.waiting_caller(tag)
            && half.same_message(inner)
        {
            half.meta |= MATCHED;
        }
    }

    /// Peers of all halves that wait.
    pub fn peers(&self) -> impl Iterator<Item = u32> {
        let waiting = self.halves.chunks(PLACES).zip(&self.tags).flat_map(|(halves, tags)| halves.iter().zip(tags));
        waiting.filter(|(_, tag)| **tag != 0).map(|(half, _)| half.peer).chain(self.crowded_out.iter().map(|half| half.peer))
    }

    /// Looks at a part of the table and hands out the halves that waited long enough. Four calls see everything.
    pub fn sweep(&mut self, now: u16, mut expired: impl FnMut(Half)) {
        self.crowded_out.drain(..).for_each(&mut expired);
        if self.waiting == 0 {
            return;
        }
        let quarter = self.tags.len().div_ceil(4);
        let end = (self.swept + quarter).min(self.tags.len());
        for index in self.swept..end {
            let tags = &mut self.tags[index];
            if *tags == [0; PLACES] {
                continue;
            }
            for (tag, half) in
                tags.iter_mut().zip(&self.halves[index * PLACES..]).filter(|(tag, half)| **tag != 0 && half.age(now) >= PATIENCE)
            {
                expired(*half);
                *tag = 0;
                self.waiting -= 1;
            }
        }
        self.swept = if end == self.tags.len() { 0 } else { end };
    }
}

/// What of a tag is compared first; never zero.
#[inline]
fn short(tag: u64) -> u32 {
    (tag >> 32) as u32 | 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn half(tag: u64, callee: bool) -> Half {
        Half { nanos: 7, weight: 1.0, ..Half::new(tag, HalfKind { callee, ..HalfKind::default() }) }
    }

    fn offer(join: &mut Join, half: Half, now: u16) -> Vec<Pair> {
        let mut met = Vec::new();
        join.offer(half, now, |pair| met.push(pair));
        met
    }

    #[test]
    fn a_producer_serves_every_consumer_and_is_not_reported_missing() {
        let mut join = Join::new(4);
        let message = |callee| Half { weight: 1.0, ..Half::new(9, HalfKind { callee, message: true, protocol: 5, ..HalfKind::default() }) };
        assert!(offer(&mut join, message(true), 0).is_empty());
        assert_eq!(offer(&mut join, message(false), 1).len(), 1);
        assert_eq!(offer(&mut join, message(true), 2).len(), 1);
        assert_eq!(join.waiting(), 1);
        let mut expired = Vec::new();
        (0..4).for_each(|_| join.sweep(60, |h| expired.push(h)));
        assert!(expired.iter().all(Half::matched) && expired.len() == 1);
    }

    #[test]
    fn halves_expire_after_ten_seconds_and_not_before() {
        let mut join = Join::new(4);
        offer(&mut join, half(3, false), u16::MAX - 5);
        let mut expired = 0;
        (0..4).for_each(|_| join.sweep((u16::MAX - 5).wrapping_add(39), |_| expired += 1));
        assert_eq!(expired, 0);
        (0..4).for_each(|_| join.sweep((u16::MAX - 5).wrapping_add(40), |_| expired += 1));
        assert_eq!((expired, join.waiting()), (1, 0));
    }

    #[test]
    fn a_full_bucket_loses_its_oldest_half_and_says_so() {
        let mut join = Join::new(0);
        (1..=5).for_each(|i| assert!(offer(&mut join, half(i, false), i as u16).is_empty()));
        assert_eq!(join.lost, 1);
        assert!(offer(&mut join, half(1, true), 6).is_empty());
        assert_eq!(offer(&mut join, half(5, true), 6).len(), 1);
    }

    proptest! {
        #[test]
        fn halves_meet_exactly_once_in_any_order(order in prop::collection::vec(any::<prop::sample::Index>(), 64)) {
            let mut join = Join::new(10);
            let mut halves: Vec<Half> = (0..32u64).flat_map(|i| { let tag = i.wrapping_mul(0x9e37_79b9_7f4a_7c15); [half(tag, false), half(tag, true)] }).collect();
            let mut pairs = 0;
            for index in order {
                let next = halves.swap_remove(index.index(halves.len()));
                for pair in offer(&mut join, next, 0) {
                    prop_assert_eq!(pair.caller.tag, pair.callee.tag);
                    prop_assert!(!pair.caller.is_callee() && pair.callee.is_callee());
                    pairs += 1;
                }
            }
            prop_assert_eq!(pairs, 32);
            prop_assert_eq!(join.waiting(), 0);
        }
    }
}
