//! Spans seen lately, so that a span that is sent again does not count twice.

use crate::read_ahead::read_ahead;

/// 16 tags of 32 bits per cache line; with the bucket they make 46 bits of hash, so two different spans are confused once in some hundred million.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Line([u32; 16]);

pub(crate) struct Repeats {
    lines: Box<[Line]>,
    /// Next slot to overwrite, per line.
    next: Box<[u8]>,
    mask: usize,
}

impl Repeats {
    /// Remembers about the last `2^bits * 16` spans.
    pub fn new(bits: u32) -> Self {
        let size = 1usize << bits;
        Repeats { lines: vec![Line([0; 16]); size].into_boxed_slice(), next: vec![0; size].into_boxed_slice(), mask: size - 1 }
    }

    pub fn bytes(&self) -> usize {
        self.lines.len() * 65
    }

    /// Has the line of a hash at hand when the hash is asked for.
    #[inline]
    pub fn read_ahead(&self, hash: u64) {
        read_ahead(&self.lines[hash as usize & self.mask]);
    }

    /// Whether this hash was seen lately; from now on it was.
    #[inline]
    pub fn seen(&mut self, hash: u64) -> bool {
        let index = hash as usize & self.mask;
        let tag = (hash >> 32) as u32 | 1;
        let line = &mut self.lines[index].0;
        // All sixteen are compared without a branch: one wide comparison.
        let mut hit = false;
        for held in line.iter() {
            hit |= *held == tag;
        }
        if hit {
            return true;
        }
        let next = &mut self.next[index];
        line[*next as usize & 15] = tag;
        *next = next.wrapping_add(1);
        false
    }
}
