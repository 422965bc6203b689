//! Producer spans around producer spans: a library that publishes by another one which is instrumented as well, or an instrumentation that wraps twice.
//! They are one message, which the inner one hands on. And consumers around consumers, where the outer one fetched what the inner ones process, or servers around servers,
//! where the inner one is a layer of the outer one, or another service behind it.

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

    /// Numbers of peers mean others from now on.
    pub fn forget(&mut self) {
        self.inner.fill(Half::default());
    }

    pub fn bytes(&self) -> usize {
        size_of_val(&*self.inner)
    }
}

/// One span of a server or a consumer.
#[derive(Clone, Copy)]
pub(crate) struct Taker {
    pub tag: u64,
    /// Tag of the span around it.
    pub parent: Option<u64>,
    pub operation: u32,
    /// It says that it received messages, and not that it works on them.
    pub receives: bool,
    /// Whose message it is it knows by itself.
    pub knows_sender: bool,
}

/// Two operations, spans of one of which are directly within spans of the other.
#[derive(Clone, Copy)]
pub(crate) struct Nested {
    pub outer: u32,
    pub inner: u32,
    /// The outer one received what the inner one works on.
    pub received: bool,
    /// And was counted for it, as it knew who sent that.
    pub counted: bool,
}

#[derive(Clone, Copy, Default)]
struct Seen {
    tag: u64,
    operation: u32,
    receives: bool,
    knows_sender: bool,
    /// It is not the span of this tag, but one within it.
    within: bool,
}

/// The latest servers and consumers, and the spans around them, in whatever order they come.
pub(crate) struct Nesting {
    seen: Box<[Seen]>,
    /// Tags of calls, and whose they are.
    calling: Box<[(u64, u32)]>,
}

impl Default for Nesting {
    fn default() -> Self {
        Nesting { seen: vec![Seen::default(); PLACES].into_boxed_slice(), calling: vec![(0, 0); PLACES].into_boxed_slice() }
    }
}

impl Nesting {
    /// Outer and inner operation, where one is directly within the other: layers of one service, or a service behind a proxy that opens no span for the call.
    #[inline]
    pub fn meet(&mut self, span: Taker) -> Option<Nested> {
        let Taker { tag, parent, operation, receives, knows_sender } = span;
        let own = &mut self.seen[Enclosing::place(tag)];
        let before = std::mem::replace(own, Seen { tag, operation, receives, knows_sender, within: false });
        if (before.tag, before.within) == (tag, true) {
            let received = receives && !before.receives;
            return Some(Nested { outer: operation, inner: before.operation, received, counted: received && knows_sender });
        }
        let around = &mut self.seen[Enclosing::place(parent?)];
        if (Some(around.tag), around.within) == (parent, false) {
            let received = around.receives && !receives;
            return Some(Nested { outer: around.operation, inner: operation, received, counted: received && around.knows_sender });
        }
        *around = Seen { tag: parent?, operation, receives, knows_sender, within: true };
        None
    }

    /// A call by a service, of this tag: whether who answered it shares its span.
    pub fn calls(&mut self, tag: u64, service: u32) -> bool {
        let place = Enclosing::place(tag);
        self.calling[place] = (tag, service);
        let seen = &self.seen[place];
        (seen.tag, seen.within) == (tag, false)
    }

    /// Whose call shares its span with the server of this tag.
    pub fn caller(&self, tag: u64) -> Option<u32> {
        let (call, service) = self.calling[Enclosing::place(tag)];
        (call == tag).then_some(service)
    }

    /// Numbers of operations mean others from now on.
    pub fn forget(&mut self) {
        self.seen.fill(Seen::default());
    }

    pub fn bytes(&self) -> usize {
        size_of_val(&*self.seen) + size_of_val(&*self.calling)
    }
}
