//! What attributes state of a call, and a memory of it: calls of one operation mostly state the same, byte for byte.

use super::peer::{NOBODY, Peers, Protocol};
use super::peer_attributes::PeerAttributes;
use foldhash::fast::RandomState;
use std::hash::BuildHasher;
use watchfire_model::{SpanKind, SpanView};

/// What the attributes of a CLIENT, PRODUCER or CONSUMER span state of its call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Stated {
    /// Whom it went to; [`NOBODY`] where it does not go to anyone or does not say to whom.
    pub peer: u32,
    pub protocol: Protocol,
    /// Messages that it is about, where that is more than one.
    pub batch: Option<u32>,
    /// It says what went wrong.
    pub error: bool,
    /// It is of BullMQ, whose spans tell by an event that a job failed.
    pub bullmq: bool,
    /// It hands over messages.
    pub sends: bool,
    /// It fetches messages or says what became of them.
    pub consumes: bool,
    /// What is called within it is the broker.
    pub fetches: bool,
    /// It is a consumer's, named after its queue.
    pub names_queue: bool,
    /// It is a consumer's that asked for messages and got none.
    pub empty: bool,
}

impl Stated {
    fn read(span: &SpanView<'_>, kind: SpanKind, peers: &mut Peers) -> Stated {
        let mut attributes = PeerAttributes::default();
        attributes.read(span);
        let consumer = kind == SpanKind::Consumer;
        let names_queue = consumer && attributes.take_queue(span.name);
        let protocol = attributes.protocol(kind);
        let consumes = attributes.consumes();
        let goes = match kind {
            SpanKind::Consumer => attributes.processes() || names_queue,
            SpanKind::Client => !consumes,
            _ => true,
        };
        Stated {
            peer: if goes { peers.find(&attributes, protocol) } else { NOBODY },
            protocol,
            batch: attributes.batch(),
            error: attributes.states_error(),
            bullmq: attributes.of_bullmq(),
            sends: attributes.sends(),
            consumes,
            fetches: attributes.fetches(kind),
            names_queue,
            empty: consumer && attributes.comes_back_empty(span),
        }
    }
}

/// Entries of the memory (160 KiB).
const ENTRIES: usize = 4096;
/// Bytes of attributes beyond which reading them, which passes over long values, costs less than looking at each of their bytes.
const LONGEST: usize = 768;

/// What calls stated lately, by all bytes of their attributes. Those are compared by a seeded hash of 64 bits alone: two of the thousands that are
/// remembered would have to agree in it by chance.
pub(crate) struct StatedLately {
    entries: Box<[Option<(u64, Stated)>]>,
    hasher: RandomState,
}

/// How often calls of one operation stated what none did lately. Where nearly every one does, as with an identifier in a URL, looking costs more than it
/// saves.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Novelty(u8);

impl Novelty {
    /// About one in nine must be known for looking to be worth its while.
    const MOST: u8 = 16;
    /// Where looking does not pay, one call in so many is looked for all the same.
    const RARELY: u64 = 32;

    fn pays(self, calls: u64) -> bool {
        self.0 < Self::MOST || calls.is_multiple_of(Self::RARELY)
    }

    fn see(&mut self, known: bool) {
        self.0 = if known { self.0 / 2 } else { (self.0 + 1).min(Self::MOST) };
    }
}

impl StatedLately {
    pub fn new() -> Self {
        StatedLately { entries: vec![None; ENTRIES].into(), hasher: RandomState::default() }
    }

    pub fn bytes(&self) -> usize {
        size_of_val(&*self.entries)
    }

    /// Numbers of peers mean others from now on.
    pub fn forget(&mut self) {
        self.entries.fill(None);
    }

    /// What the span states; `calls` counts those of its operation.
    #[inline]
    pub fn of(&mut self, span: &SpanView<'_>, kind: SpanKind, peers: &mut Peers, novelty: &mut Novelty, calls: u64) -> Stated {
        let attributes = span.attribute_fields();
        // What a consumer states depends on its name, its links and its parent too.
        if kind == SpanKind::Consumer || attributes.len() > LONGEST || !novelty.pays(calls) {
            return Stated::read(span, kind, peers);
        }
        let hash = self.hasher.hash_one((kind, attributes));
        let entry = &mut self.entries[hash as usize % ENTRIES];
        match entry {
            Some((known, stated)) if *known == hash => {
                novelty.see(true);
                *stated
            }
            _ => {
                novelty.see(false);
                let stated = Stated::read(span, kind, peers);
                *entry = Some((hash, stated));
                stated
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spans::wire;
    use proptest::prelude::*;
    use watchfire_model::{Nanos, SpanId, SpanStatus, TraceId};

    fn body(attributes: &[(&str, &str)]) -> Vec<u8> {
        let mut body = Vec::new();
        for (key, text) in attributes {
            let (mut value, mut attribute) = (Vec::new(), Vec::new());
            wire::put_bytes(&mut value, 1, text.as_bytes());
            wire::put_bytes(&mut attribute, 1, key.as_bytes());
            wire::put_bytes(&mut attribute, 2, &value);
            wire::put_bytes(&mut body, 9, &attribute);
        }
        body
    }

    fn span(kind: SpanKind, body: &[u8]) -> SpanView<'_> {
        SpanView {
            trace_id: TraceId([1; 16]),
            span_id: SpanId([1; 8]),
            parent_id: SpanId([1; 8]),
            name: b"orders process",
            kind,
            status: SpanStatus::Unset,
            start: Nanos(0),
            end: Nanos(0),
            flags: 0,
            trace_state: "",
            body,
            head: 0,
            attributes: (0, body.len() as u32),
            links: &[],
        }
    }

    const KINDS: [SpanKind; 3] = [SpanKind::Client, SpanKind::Producer, SpanKind::Consumer];
    const PAIRS: [(&str, &str); 14] = [
        ("server.address", "pay.example"),
        ("server.address", "bank.example"),
        ("db.system.name", "postgresql"),
        ("db.namespace", "orders"),
        ("messaging.system", "rabbitmq"),
        ("messaging.destination.name", "mail"),
        ("messaging.operation.type", "receive"),
        ("messaging.operation.type", "send"),
        ("error.type", "timeout"),
        ("http.request.method", "GET"),
        ("rpc.service", "Greeter"),
        ("http.response.status_code", "404"),
        ("http.response.status_code", "503"),
        ("thread.name", "worker-7"),
    ];

    proptest! {
        #[test]
        fn what_is_remembered_is_what_reading_would_find(
            calls in prop::collection::vec((0usize..3, prop::collection::vec(0usize..14, 0..4)), 1..80),
        ) {
            let (mut peers, mut lately, mut novelty) = (Peers::new(100), StatedLately::new(), Novelty::default());
            for (i, (kind, attributes)) in calls.iter().enumerate() {
                let body = body(&attributes.iter().map(|pair| PAIRS[*pair]).collect::<Vec<_>>());
                let span = span(KINDS[*kind], &body);
                let stated = lately.of(&span, KINDS[*kind], &mut peers, &mut novelty, i as u64);
                prop_assert_eq!(stated, Stated::read(&span, KINDS[*kind], &mut peers));
            }
        }
    }

    /// How many of the calls were looked for and remembered.
    fn remembered(calls: impl Iterator<Item = String>) -> (usize, Novelty) {
        let (mut peers, mut lately, mut novelty) = (Peers::new(100), StatedLately::new(), Novelty::default());
        for (i, path) in calls.enumerate() {
            let body = body(&[("url.full", &path)]);
            lately.of(&span(SpanKind::Client, &body), SpanKind::Client, &mut peers, &mut novelty, i as u64);
        }
        (lately.entries.iter().flatten().count(), novelty)
    }

    #[test]
    fn calls_that_never_state_the_same_are_soon_read_at_once() {
        let (entries, novelty) = remembered((0..1000).map(|i| format!("http://pay.example/orders/{i}")));
        assert!((20..60).contains(&entries), "{entries}");
        assert!(!novelty.pays(1), "{novelty:?}");
        // ... until they do.
        let new = (0..1000).map(|i| format!("http://pay.example/orders/{i}"));
        let (_, novelty) = remembered(new.chain((0..100).map(|_| "http://pay.example/health".to_owned())));
        assert!(novelty.pays(1), "{novelty:?}");
    }

    #[test]
    fn what_is_long_is_read_at_once() {
        assert_eq!(remembered(std::iter::once(format!("http://pay.example/{}", "x".repeat(LONGEST)))).0, 0);
        assert_eq!(remembered(std::iter::once("http://pay.example/".to_owned())).0, 1);
    }
}
