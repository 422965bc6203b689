//! Messages of which two consumer spans of a service tell: one that received them, and others that work on them. Only the others count, and they do not
//! always know by themselves who sent what they work on.

/// What is remembered of each kind.
const PLACES: usize = 1024;

/// A consumer span, and what it says of a message.
#[derive(Clone, Copy, Default)]
pub(crate) struct Taken {
    /// Of whoever sent the message, or of any span around.
    pub tag: u64,
    pub service: u32,
    pub operation: u32,
    /// It says that it received, and not that it works on something.
    pub receives: bool,
    /// It is linked to this tag, as to nothing but a sender.
    pub linked: bool,
}

/// Two spans of a service for one message.
#[derive(Clone, Copy)]
pub(crate) struct Both {
    /// The operation that only receives.
    pub receiving: u32,
    /// What they have in common is the sender for certain, and not some span around both.
    pub of_sender: bool,
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
    /// A service takes a message; says so if another of its spans did, and the one received what the other works on.
    #[inline]
    pub fn takes(&mut self, taken: Taken) -> Option<Both> {
        let before = std::mem::replace(&mut self.taken[place(taken.tag)], taken);
        let other = (before.tag, before.service) == (taken.tag, taken.service) && before.receives != taken.receives;
        let receiving = if taken.receives { taken.operation } else { before.operation };
        other.then_some(Both { receiving, of_sender: taken.linked || before.linked })
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
