//! What is known of residuals that came lately (see [`SpanView::residual`]): calls of one operation often state the same, byte for byte.

use super::failure;
use super::peer::Peers;
use super::stated::Stated;
use crate::spans::block::Written;
use std::num::NonZeroU64;
use watchfire_model::{SpanKind, SpanView};

/// Residuals that are remembered (288 KiB).
const ENTRIES: usize = 4096;

/// What is known of one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Residual {
    number: Option<NonZeroU64>,
    stated: Option<(SpanKind, Stated)>,
    /// The least HTTP status that failed, and whether that of the answer did.
    failed: Option<(u32, bool)>,
    /// Where it stands in the block that is being filled.
    pub written: Option<Written>,
}

impl Residual {
    /// What a CLIENT or PRODUCER span states.
    #[inline]
    pub fn stated(&mut self, span: &SpanView<'_>, kind: SpanKind, peers: &mut Peers) -> Stated {
        match self.stated {
            Some((known, stated)) if known == kind => stated,
            _ => self.stated.insert((kind, Stated::read(span, kind, peers))).1,
        }
    }

    /// Whether a SERVER span says that its answer was a failure; HTTP statuses from `least` on are.
    #[inline]
    pub fn answered_badly(&mut self, span: &SpanView<'_>, least: u32) -> bool {
        match self.failed {
            Some((known, failed)) if known == least => failed,
            _ => self.failed.insert((least, failure::answered_badly(span, least))).1,
        }
    }
}

pub(crate) struct Residuals {
    entries: Box<[Residual]>,
    /// For spans whose residual has no number: nothing is ever known of it.
    unknown: Residual,
}

impl Residuals {
    pub fn new() -> Self {
        Residuals { entries: vec![Residual::default(); ENTRIES].into(), unknown: Residual::default() }
    }

    pub fn bytes(&self) -> usize {
        size_of_val(&*self.entries)
    }

    /// Numbers of peers mean others from now on.
    pub fn forget_stated(&mut self) {
        self.entries.iter_mut().for_each(|residual| residual.stated = None);
    }

    /// What is known of the residual with this number.
    #[inline]
    pub fn of(&mut self, number: Option<NonZeroU64>) -> &mut Residual {
        let place = number.and_then(|number| self.entries.get_mut(number.get() as usize % ENTRIES));
        let residual = place.unwrap_or(&mut self.unknown);
        if number.is_none() || residual.number != number {
            residual.number = number;
            (residual.stated, residual.failed, residual.written) = (None, None, None);
        }
        residual
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

    fn span(kind: SpanKind, body: &[u8], residual: Option<NonZeroU64>) -> SpanView<'_> {
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
            residual,
            attributes: (0, body.len() as u32),
            links: &[],
        }
    }

    const KINDS: [SpanKind; 2] = [SpanKind::Client, SpanKind::Producer];
    const PAIRS: [(&str, &str); 16] = [
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
        ("rpc.status_code", "NOT_FOUND"),
        ("grpc.status_code", "14"),
        ("thread.name", "worker-7"),
    ];

    proptest! {
        #[test]
        fn what_is_remembered_is_what_reading_would_find(
            // Of few residuals, so that they repeat; some share a place, some have no number.
            residuals in prop::collection::vec(prop::collection::vec(0usize..16, 0..4), 1..6),
            spans in prop::collection::vec((0usize..2, 0usize..6, any::<bool>()), 1..80),
        ) {
            let (mut peers, mut lately) = (Peers::new(100), Residuals::new());
            for (kind, residual, strict) in spans {
                let residual = residual % residuals.len();
                let number = NonZeroU64::new((residual / 2 + ENTRIES * (residual % 2)) as u64);
                let body = body(&residuals[residual].iter().map(|pair| PAIRS[*pair]).collect::<Vec<_>>());
                let kind = KINDS[kind];
                let span = span(kind, &body, number);
                let known = lately.of(number);
                prop_assert_eq!(known.stated(&span, kind, &mut peers), Stated::read(&span, kind, &mut peers));
                let least = if strict { 400 } else { failure::SERVER_ERROR };
                prop_assert_eq!(known.answered_badly(&span, least), failure::answered_badly(&span, least));
            }
        }
    }
}
