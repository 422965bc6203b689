//! What attributes state of a call.

use super::peer::{NOBODY, Peers, Protocol};
use super::peer_attributes::PeerAttributes;
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
    pub fn read(span: &SpanView<'_>, kind: SpanKind, peers: &mut Peers) -> Stated {
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
