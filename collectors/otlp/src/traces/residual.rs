//! Residuals: what is left of a span behind its ids, name, kind and times, which is its attributes, status and flags. Calls of one operation often have
//! it alike byte for byte. One that was read lately is compared instead of read again, and has a number by which the store knows it too.

use crate::limits::Limits;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};

/// Residuals that are remembered: this many places of two.
const PLACES: usize = 1 << PLACE_BITS;
const PLACE_BITS: u32 = 10;
const WAYS: usize = 2;
/// Bytes of a residual between which remembering pays.
const SHORTEST: usize = 32;
const LONGEST: usize = 512;

/// What reading a residual gave. Only those that gave nothing else are remembered: no element that counts, nothing to repair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) attributes: u32,
    /// Bytes of them, with which the residual begins.
    pub(super) attribute_bytes: u32,
    pub(super) flags: u32,
    pub(super) status: u8,
}

/// One residual that was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) number: NonZeroU64,
    pub(super) read: Read,
    length: u32,
    sum: u64,
}

/// Numbers are given once in a process: what has the same one is the same, whoever read it.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// Residuals read lately: about 1.1 MiB once there are any.
#[derive(Debug)]
pub struct Residuals {
    /// Under which the residuals were read.
    limits: Limits,
    entries: Box<[Option<Known>]>,
    /// [`LONGEST`] for each entry.
    bytes: Box<[u8]>,
    /// The sum of the residual that was looked for last, and which entry it may have; nothing where it was known, or was not looked for.
    vacancy: Option<(u64, usize)>,
    /// By a glance at the name of a span.
    novelty: [Novelty; 256],
    asked: u32,
}

impl Default for Residuals {
    fn default() -> Self {
        Residuals {
            limits: Limits::default(),
            entries: Box::default(),
            bytes: Box::default(),
            vacancy: None,
            novelty: [Novelty(0); 256],
            asked: 0,
        }
    }
}

impl Residuals {
    /// What was read under other limits says nothing about these.
    pub(super) fn under(&mut self, limits: &Limits) {
        if self.limits != *limits {
            *self = Residuals { limits: limits.clone(), ..Residuals::default() };
        }
    }

    /// What is known of this residual of a span called `name`.
    #[inline(always)]
    pub(super) fn find(&mut self, name: &[u8], residual: &[u8]) -> Option<&Known> {
        self.vacancy = None;
        self.asked = self.asked.wrapping_add(1);
        let glance = glance(name);
        if !(SHORTEST..=LONGEST).contains(&residual.len()) || !self.novelty[glance].pays(self.asked) {
            return None;
        }
        self.look(glance, residual)
    }

    #[inline(never)]
    fn look(&mut self, glance: usize, residual: &[u8]) -> Option<&Known> {
        let sum = sum(residual);
        let first = (sum >> (u64::BITS - PLACE_BITS)) as usize * WAYS;
        let (mut place, mut oldest) = (first, u64::MAX);
        for at in first..first + WAYS {
            let Some(known) = self.entries.get(at).and_then(Option::as_ref) else {
                (place, oldest) = (at, 0);
                continue;
            };
            if known.sum == sum && self.bytes.get(at * LONGEST..at * LONGEST + known.length as usize) == Some(residual) {
                self.novelty[glance].see(true);
                return self.entries[at].as_ref();
            }
            if known.number.get() < oldest {
                (place, oldest) = (at, known.number.get());
            }
        }
        self.novelty[glance].see(false);
        self.vacancy = Some((sum, place));
        None
    }

    /// Whether the residual that was looked for last may be remembered.
    #[inline]
    pub(super) fn has_vacancy(&self) -> bool {
        self.vacancy.is_some()
    }

    /// Remembers the residual that was looked for last, and gives it a number.
    #[inline(never)]
    pub(super) fn remember(&mut self, residual: &[u8], read: Read) -> Option<NonZeroU64> {
        let (sum, place) = self.vacancy.take()?;
        if self.entries.is_empty() {
            self.entries = vec![None; PLACES * WAYS].into();
            self.bytes = vec![0; PLACES * WAYS * LONGEST].into();
        }
        let number = NonZeroU64::new(NEXT.fetch_add(1, Ordering::Relaxed))?;
        self.bytes[place * LONGEST..][..residual.len()].copy_from_slice(residual);
        self.entries[place] = Some(Known { number, read, length: residual.len() as u32, sum });
        Some(number)
    }
}

/// How often spans of one name had a residual that was not known. Where nearly every one has, as with an identifier in a URL, looking costs more than it
/// saves.
#[derive(Clone, Copy, Debug)]
struct Novelty(u8);

impl Novelty {
    /// About one in nine must be known for looking to be worth its while.
    const MOST: u8 = 16;
    /// Where looking does not pay, one span in so many is looked for all the same.
    const RARELY: u32 = 128;

    #[inline]
    fn pays(self, asked: u32) -> bool {
        self.0 < Self::MOST || asked.is_multiple_of(Self::RARELY)
    }

    #[inline]
    fn see(&mut self, known: bool) {
        self.0 = if known { self.0 / 2 } else { (self.0 + 1).min(Self::MOST) };
    }
}

/// A number below 256 made of the end of a name and its length.
#[inline]
fn glance(name: &[u8]) -> usize {
    let end = name.last_chunk().map_or(0, |end| u64::from_le_bytes(*end));
    ((end ^ (name.len() as u64) << 48).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as usize
}

/// Differs wherever one byte does. No hash to rely on: what has the same sum is compared.
#[inline]
fn sum(bytes: &[u8]) -> u64 {
    let mut sums = [0u64; 4];
    let mut add = |chunk: &[u8; 32]| {
        for (sum, word) in sums.iter_mut().zip(chunk.as_chunks().0) {
            *sum = sum.wrapping_add(u64::from_le_bytes(*word));
        }
    };
    bytes.as_chunks().0.iter().for_each(&mut add);
    bytes.last_chunk().into_iter().for_each(&mut add);
    let [a, b, c, d] = sums;
    (a ^ b.rotate_left(17) ^ c.rotate_left(31) ^ d.rotate_left(47) ^ bytes.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: Read = Read { attributes: 3, attribute_bytes: 20, flags: 7, status: 2 };

    fn residual(number: u32) -> Vec<u8> {
        format!("attributes, status and flags of span {number:08}").into_bytes()
    }

    impl Residuals {
        /// The number of a residual: that which it has, or is given now, if it is looked for at all.
        fn number(&mut self, name: &[u8], residual: &[u8]) -> Option<NonZeroU64> {
            let known = self.find(name, residual).map(|known| (known.number, known.read));
            match known {
                Some((number, read)) => {
                    assert_eq!(read, READ);
                    Some(number)
                }
                None => self.remember(residual, READ),
            }
        }
    }

    #[test]
    fn what_was_read_is_known_by_its_bytes_alone() {
        let mut residuals = Residuals::default();
        assert!(residuals.find(b"GET /cart", &residual(1)).is_none());
        let number = residuals.number(b"GET /cart", &residual(1)).expect("a number");
        assert_eq!(residuals.number(b"POST /orders", &residual(1)), Some(number));
        let mut other = residual(1);
        for at in 0..other.len() {
            other[at] ^= 1;
            assert!(residuals.find(b"GET /cart", &other).is_none(), "byte {at}");
            other[at] ^= 1;
        }
        // What only changes places has the same sum.
        let of = |order: [u8; 3]| order.map(|letter| [letter; 32]).concat();
        let (one, two) = (of(*b"abc"), of(*b"bac"));
        residuals.number(b"GET", &one);
        assert_eq!(sum(&one), sum(&two));
        assert!(residuals.find(b"GET", &one).is_some() && residuals.find(b"GET", &two).is_none());
        residuals.number(b"GET", &two);
        assert!(residuals.find(b"GET", &one).is_some() && residuals.find(b"GET", &two).is_some(), "two have room in one place");
    }

    #[test]
    fn what_was_read_under_other_limits_is_forgotten() {
        let mut residuals = Residuals::default();
        residuals.number(b"GET", &residual(1));
        residuals.under(&Limits::default());
        assert!(residuals.find(b"GET", &residual(1)).is_some());
        residuals.under(&Limits { max_value: 3, ..Limits::default() });
        assert!(residuals.find(b"GET", &residual(1)).is_none());
    }

    #[test]
    fn spans_that_are_always_new_are_soon_not_looked_for_until_they_repeat() {
        let mut residuals = Residuals::default();
        let looked_for = (0..1000).filter(|number| residuals.number(b"GET /orders", &residual(*number)).is_some()).count();
        assert!((16..40).contains(&looked_for), "{looked_for}");
        for _ in 0..1000 {
            residuals.number(b"GET /orders", &residual(7));
        }
        assert!((0..100).all(|_| residuals.find(b"GET /orders", &residual(7)).is_some()), "what repeats is known again");
    }

    #[test]
    fn no_more_are_remembered_than_there_is_room_for() {
        let mut residuals = Residuals::default();
        for number in 0..20_000 {
            // Names of their own, so that all are looked for.
            residuals.number(&residual(number), &residual(number));
        }
        assert_eq!((residuals.entries.len(), residuals.bytes.len()), (PLACES * WAYS, PLACES * WAYS * LONGEST));
        for length in [SHORTEST - 1, LONGEST + 1] {
            assert_eq!(residuals.number(b"GET", &vec![b'a'; length]), None);
        }
    }
}
