//! Producer spans around producer spans: a library that publishes by another one which is instrumented as well, or an instrumentation that wraps twice.
//! They are one message, which the inner one hands on. And consumer spans around consumer spans: the outer one fetched what the inner ones process.

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

/// One consumer span.
#[derive(Clone, Copy)]
pub(crate) struct Fetched {
    pub tag: u64,
    /// Tag of the span around it.
    pub parent: Option<u64>,
    pub service: u32,
    pub operation: u32,
}

/// No span of this tag was seen, but a consumer within it.
const WITHIN: u32 = u32::MAX;

/// The latest consumers, and the spans around them, in whatever order they come.
pub(crate) struct Fetches {
    /// Tag, service, operation.
    seen: Box<[(u64, u32, u32)]>,
}

impl Default for Fetches {
    fn default() -> Self {
        Fetches { seen: vec![(0, 0, WITHIN); PLACES].into_boxed_slice() }
    }
}

impl Fetches {
    /// The operation that turns out to be around consumers of the same service with this span: its own, or that of its parent.
    pub fn around(&mut self, span: Fetched) -> Option<u32> {
        let own = Enclosing::place(span.tag);
        let (tag, service, operation) = self.seen[own];
        if (tag, service, operation) == (span.tag, span.service, WITHIN) {
            return Some(span.operation);
        }
        self.seen[own] = (span.tag, span.service, span.operation);
        let parent = span.parent?;
        let place = Enclosing::place(parent);
        let (tag, service, operation) = self.seen[place];
        if (tag, service) != (parent, span.service) {
            self.seen[place] = (parent, span.service, WITHIN);
            return None;
        }
        Some(operation).filter(|operation| *operation != WITHIN)
    }

    pub fn bytes(&self) -> usize {
        size_of_val(&*self.seen)
    }
}
