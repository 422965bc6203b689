//! Bytes between the socket and the store, over all requests. What does not fit is refused with a hint when to retry; nothing ever waits in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The bytes that may be in flight; clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Budget(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limit: usize,
    used: AtomicUsize,
}

/// Bytes taken out of a budget; given back when dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    budget: Budget,
    bytes: usize,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Self {
        Budget(Arc::new(Shared { limit, used: AtomicUsize::new(0) }))
    }

    pub(crate) fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    /// An empty reservation, to grow.
    pub(crate) fn open(&self) -> Reservation {
        Reservation { budget: self.clone(), bytes: 0 }
    }
}

impl Reservation {
    /// Takes `bytes` more; false when they are not there.
    pub(crate) fn grow(&mut self, bytes: usize) -> bool {
        let shared = &self.budget.0;
        let before = shared.used.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > shared.limit {
            shared.used.fetch_sub(bytes, Ordering::Relaxed);
            return false;
        }
        self.bytes += bytes;
        true
    }

    /// Grows or shrinks to exactly `bytes`; false when they are not there.
    pub(crate) fn fit(&mut self, bytes: usize) -> bool {
        if bytes > self.bytes {
            return self.grow(bytes - self.bytes);
        }
        self.shrink_to(bytes);
        true
    }

    /// Gives back all but `bytes`.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        let back = self.bytes.saturating_sub(bytes);
        self.budget.0.used.fetch_sub(back, Ordering::Relaxed);
        self.bytes -= back;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_comes_back_and_never_exceeds_the_limit() {
        let budget = Budget::new(100);
        let (mut a, mut b) = (budget.open(), budget.open());
        assert!(a.grow(60) && a.grow(20));
        assert!(!b.grow(21));
        assert!(b.grow(20));
        a.shrink_to(10);
        assert_eq!(budget.used(), 30);
        drop((a, b));
        assert_eq!(budget.used(), 0);
    }
}
