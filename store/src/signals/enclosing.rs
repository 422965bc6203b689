//! Producer spans around producer spans: a library that publishes by another one which is instrumented as well, or an instrumentation that wraps twice.
//! They are one message, which the inner one hands on.

use super::join::Half;

/// What is remembered, one half a place.
const PLACES: usize = 1024;

/// The latest producers by their parents. An inner span ends first, and so comes first.
pub(crate) struct Enclosing {
    /// Under the tag of the parent.
    inner: Box<[Half]>,
}

impl Default for Enclosing {
    fn default() -> Self {
        Enclosing { inner: vec![Half::default(); PLACES].into_boxed_slice() }
    }
}

impl Enclosing {
    fn place(tag: u64) -> usize {
        tag as usize % PLACES
    }

    /// A producer was seen within the span of tag `parent`.
    pub fn remember(&mut self, parent: u64, half: &Half) {
        self.inner[Self::place(parent)] = Half { tag: parent, ..*half };
    }

    /// Whether a producer of the same message was seen within this one.
    pub fn encloses(&self, half: &Half) -> bool {
        let inner = &self.inner[Self::place(half.tag)];
        inner.tag == half.tag && inner.same_message(half)
    }

    pub fn bytes(&self) -> usize {
        size_of_val(&*self.inner)
    }
}
