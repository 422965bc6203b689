//! Messages of which two consumer spans of a service tell: one that received them, and others that work on them. Only the others count, and they do not
//! always know by themselves who sent what they work on.

/// What is remembered of each kind.
const PLACES: usize = 1024;

#[derive(Clone, Copy, Default)]
struct Taken {
    /// Of whoever sent the message.
    tag: u64,
    service: u32,
    operation: u32,
    receives: bool,
}

#[derive(Clone, Copy, Default)]
struct Came {
    /// Of the span that received.
    tag: u64,
    from: u64,
    service: u32,
}

/// The latest.
pub(crate) struct Fetched {
    taken: Box<[Taken]>,
    came: Box<[Came]>,
}

impl Default for Fetched {
    fn default() -> Self {
        Fetched { taken: vec![Taken::default(); PLACES].into_boxed_slice(), came: vec![Came::default(); PLACES].into_boxed_slice() }
    }
}

fn place(tag: u64) -> usize {
    tag as usize % PLACES
}

impl Fetched {
    /// A service takes the message that was sent under this tag. Returns the operation that only receives it, where another one works on it.
    #[inline]
    pub fn takes(&mut self, tag: u64, service: u32, operation: u32, receives: bool) -> Option<u32> {
        let place = &mut self.taken[place(tag)];
        let before = std::mem::replace(place, Taken { tag, service, operation, receives });
        let other = (before.tag, before.service) == (tag, service) && before.receives != receives;
        other.then_some(if receives { operation } else { before.operation })
    }

    /// What a service works on within the span of tag `own` came from tag `from`.
    pub fn came(&mut self, own: u64, from: u64, service: u32) {
        self.came[place(own)] = Came { tag: own, from, service };
    }

    /// Where that came from which a service works on within this span.
    #[inline]
    pub fn origin(&self, own: u64, service: u32) -> Option<u64> {
        let came = &self.came[place(own)];
        ((came.tag, came.service) == (own, service)).then_some(came.from)
    }

    /// Numbers of operations mean others from now on.
    pub fn forget(&mut self) {
        self.taken.fill(Taken::default());
    }

    pub fn bytes(&self) -> usize {
        size_of_val(&*self.taken) + size_of_val(&*self.came)
    }
}
