//! The two halves of a call meet here: the client's span and the server's, in either order.
//!
//! A bounded table of buckets of four halves. A caller is filed under its own span id, a callee under its parent's (or a link's), so both look into the same bucket.
//! When a bucket is full its oldest half is overwritten and counted as lost; nothing grows.

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

const TAKEN: u32 = 1;
const CALLEE: u32 = 2;
const FAILED: u32 = 4;
/// A message: several consumers may belong to one producer, so the producer stays until it expires.
const MESSAGE: u32 = 8;
const MATCHED: u32 = 16;
const PROTOCOL_SHIFT: u32 = 5;

/// Quarter seconds a half waits for the other: 10 s. SDKs batch for up to 5 s, and the two ends are not in step.
const PATIENCE: u16 = 40;

impl Half {
    pub fn new(tag: u64, callee: bool, failed: bool, message: bool, protocol: u32) -> Self {
        let flag = |on: bool, bit: u32| if on { bit } else { 0 };
        let meta = TAKEN | flag(callee, CALLEE) | flag(failed, FAILED) | flag(message, MESSAGE) | (protocol & 7) << PROTOCOL_SHIFT;
        Half { tag, meta, ..Half::default() }
    }

    fn taken(&self) -> bool {
        self.meta & TAKEN != 0
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

#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(128))]
struct Bucket([Half; 4]);

/// Caller and callee of one call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pair {
    pub caller: Half,
    pub callee: Half,
}

pub(crate) struct Join {
    buckets: Box<[Bucket]>,
    mask: usize,
    /// Where the next sweep starts.
    swept: usize,
    waiting: usize,
    /// Halves overwritten before they met anyone.
    pub lost: u64,
}

impl Join {
    /// A table of `2^bits` buckets, 128 bytes each.
    pub fn new(bits: u32) -> Self {
        let size = 1usize << bits;
        Join { buckets: vec![Bucket::default(); size].into_boxed_slice(), mask: size - 1, swept: 0, waiting: 0, lost: 0 }
    }

    pub fn bytes(&self) -> usize {
        size_of_val(&*self.buckets)
    }

    #[cfg(test)]
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Reads the buckets of these tags. In a loop that does nothing else the cache misses overlap; joined one by one each would be waited for.
    #[inline]
    pub fn touch(&self, tags: &[u64]) {
        let mut seen = 0;
        for tag in tags {
            let bucket = &self.buckets[*tag as usize & self.mask].0;
            seen ^= bucket[0].tag ^ bucket[2].tag;
        }
        std::hint::black_box(seen);
    }

    /// Offers a half. `meet` is called for each half of the other side that it belongs to; what is still needed stays in the table.
    #[inline]
    pub fn offer(&mut self, mut half: Half, now: u16, mut meet: impl FnMut(Pair)) {
        half.meta |= u32::from(now) << 16;
        let bucket = &mut self.buckets[half.tag as usize & self.mask].0;
        let mut met = false;
        for slot in bucket.iter_mut() {
            if slot.tag != half.tag || !slot.taken() || slot.is_callee() == half.is_callee() {
                continue;
            }
            met = true;
            let (caller, callee) = if half.is_callee() { (*slot, half) } else { (half, *slot) };
            meet(Pair { caller, callee });
            if half.is_callee() && slot.message() {
                slot.meta |= MATCHED;
            } else {
                *slot = Half::default();
                self.waiting -= 1;
            }
            if half.is_callee() {
                break;
            }
            if !half.message() {
                break;
            }
        }
        if met {
            if half.is_callee() || !half.message() {
                return;
            }
            half.meta |= MATCHED;
        }
        let slot = match bucket.iter().position(|slot| !slot.taken()) {
            Some(free) => {
                self.waiting += 1;
                &mut bucket[free]
            }
            None => {
                let mut oldest = 0;
                for (i, slot) in bucket.iter().enumerate() {
                    if slot.age(now) > bucket[oldest].age(now) {
                        oldest = i;
                    }
                }
                self.lost += u64::from(!bucket[oldest].matched());
                &mut bucket[oldest]
            }
        };
        *slot = half;
    }

    /// Looks at a part of the table and hands out the halves that waited long enough. Four calls see everything.
    pub fn sweep(&mut self, now: u16, mut expired: impl FnMut(Half)) {
        if self.waiting == 0 {
            return;
        }
        let quarter = self.buckets.len().div_ceil(4);
        let end = (self.swept + quarter).min(self.buckets.len());
        for bucket in &mut self.buckets[self.swept..end] {
            for slot in &mut bucket.0 {
                if slot.taken() && slot.age(now) >= PATIENCE {
                    expired(*slot);
                    *slot = Half::default();
                    self.waiting -= 1;
                }
            }
        }
        self.swept = if end == self.buckets.len() { 0 } else { end };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn half(tag: u64, callee: bool) -> Half {
        Half { nanos: 7, weight: 1.0, ..Half::new(tag, callee, false, false, 0) }
    }

    fn offer(join: &mut Join, half: Half, now: u16) -> Vec<Pair> {
        let mut met = Vec::new();
        join.offer(half, now, |pair| met.push(pair));
        met
    }

    #[test]
    fn a_producer_serves_every_consumer_and_is_not_reported_missing() {
        let mut join = Join::new(4);
        let message = |callee| Half { weight: 1.0, ..Half::new(9, callee, false, true, 5) };
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
