//! What both transports do with a request once its bytes are here: decode, store, account, answer.

use crate::budget::{Budget, Reservation};
use crate::ingest::{Queue, Work};
use crate::limits::Limits;
use crate::logs;
use crate::metrics::Translator;
use crate::refusal::{Refusal, Signal};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use watchfire_model::{Clock, Counter, LogSink, Meter, Receipt, SeriesSink};

/// Requests longer than this are decoded off the receiver's thread where they take long to decode.
const LONG: usize = 256 << 10;
/// The longest `error_message` of a partial success.
const MESSAGE: usize = 1024;

/// Everything behind the transports.
pub(crate) struct Intake {
    pub(crate) limits: Limits,
    pub(crate) budget: Budget,
    pub(crate) meter: Meter,
    queue: Queue,
    translator: Translator,
    logs: Arc<dyn LogSink>,
    clock: Arc<dyn Clock>,
    stopping: AtomicBool,
    over_memory: Arc<dyn Fn() -> bool + Send + Sync>,
    accepted: [Counter; 3],
}

/// What became of a request that was taken in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) rejected: u64,
    /// Empty when there is nothing to say.
    pub(crate) message: String,
}

/// Where requests go, beside the span queue.
pub(crate) struct Sinks {
    pub(crate) series: Arc<dyn SeriesSink>,
    pub(crate) logs: Arc<dyn LogSink>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) over_memory: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl Intake {
    pub(crate) fn new(limits: Limits, budget: Budget, queue: Queue, sinks: Sinks, meter: &Meter) -> Self {
        let accepted = Signal::ALL.map(|s| meter.counter("watchfire_ingest_accepted_total", &[("signal", s.label())]));
        Intake {
            budget,
            translator: Translator::new(limits.clone(), sinks.series, meter),
            limits,
            meter: meter.clone(),
            queue,
            logs: sinks.logs,
            clock: sinks.clock,
            stopping: AtomicBool::new(false),
            over_memory: sinks.over_memory,
            accepted,
        }
    }

    /// From here on every request is refused.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Whether requests are taken at all now; asked before their body is read.
    pub(crate) fn open(&self) -> Result<(), Refusal> {
        if self.stopping.load(Ordering::Relaxed) {
            Err(Refusal::Shutdown)
        } else if (self.over_memory)() {
            Err(Refusal::Memory)
        } else {
            Ok(())
        }
    }

    /// Counts a refusal; returns it for the answer.
    pub(crate) fn count(&self, signal: Option<Signal>, refusal: Refusal) -> Refusal {
        let (name, reason) = refusal.counter();
        match signal {
            Some(signal) if name == "watchfire_ingest_rejected_total" => {
                self.meter.counter(name, &[("signal", signal.label()), ("reason", reason)]).add(1);
            }
            _ => self.meter.counter(name, &[("reason", reason)]).add(1),
        }
        refusal
    }

    /// Takes in one protobuf request; `lost` is what it had before it became one.
    pub(crate) async fn take(
        self: &Arc<Self>,
        signal: Signal,
        bytes: Bytes,
        lost: Receipt,
        reservation: Reservation,
    ) -> Result<Outcome, Refusal> {
        let mut receipt = match signal {
            Signal::Traces => self.traces(bytes, reservation)?,
            Signal::Metrics | Signal::Logs if bytes.len() > LONG => {
                let intake = self.clone();
                let decode = tokio::task::spawn_blocking(move || intake.decoded(signal, &bytes, reservation));
                decode.await.map_err(|_| Refusal::Internal("the decoder panicked".to_owned()))??
            }
            Signal::Metrics | Signal::Logs => self.decoded(signal, &bytes, reservation)?,
        };
        receipt.rejected.extend(lost.rejected);
        receipt.warnings.extend(lost.warnings);
        Ok(self.account(signal, &receipt))
    }

    fn traces(&self, bytes: Bytes, mut reservation: Reservation) -> Result<Receipt, Refusal> {
        let (mut parsed, mut residuals) = self.queue.pool.take();
        let result = parsed.parse(&bytes, &self.limits, &mut residuals);
        self.queue.pool.give_residuals(residuals);
        if let Err(refusal) = result {
            self.queue.pool.give(parsed);
            return Err(refusal);
        }
        let dropped = parsed.dropped();
        self.truncated("text", parsed.cut_texts());
        self.truncated("attributes", dropped.attributes);
        self.truncated("events", dropped.events);
        self.truncated("links", dropped.links);
        let receipt = parsed.receipt();
        reservation.shrink_to(bytes.len());
        let work = Work { bytes, parsed, received: self.clock.now(), reservation };
        if self.queue.push(work) { Ok(receipt) } else { Err(Refusal::Shutdown) }
    }

    fn decoded(&self, signal: Signal, bytes: &[u8], _reservation: Reservation) -> Result<Receipt, Refusal> {
        let now = self.clock.read();
        if signal == Signal::Metrics {
            return self.translator.request(bytes, now.wall, now.carried);
        }
        let decoded = logs::decode(bytes, &self.limits, now.wall)?;
        self.truncated("text", decoded.cut);
        self.truncated("attributes", decoded.dropped_attributes);
        if !decoded.records.is_empty() {
            self.logs.logs(decoded.records);
        }
        Ok(decoded.receipt)
    }

    fn truncated(&self, what: &str, count: u64) {
        if count > 0 {
            self.meter.counter("watchfire_truncated_total", &[("what", what)]).add(count);
        }
    }

    fn account(&self, signal: Signal, receipt: &Receipt) -> Outcome {
        self.accepted[signal as usize].add(receipt.accepted);
        for (reason, count) in &receipt.rejected {
            let reason = reason.replace(' ', "_");
            self.meter.counter("watchfire_ingest_rejected_total", &[("signal", signal.label()), ("reason", &reason)]).add(*count);
        }
        for (reason, count) in &receipt.warnings {
            let reason = reason.replace([' ', '-'], "_").to_ascii_lowercase();
            self.meter.counter("watchfire_ingest_repaired_total", &[("signal", signal.label()), ("reason", &reason)]).add(*count);
        }
        Outcome { rejected: receipt.rejected_total(), message: message(signal, receipt) }
    }
}

/// `rejected 3 of 100 spans: 2 zero trace id, 1 older than retention; repaired: 4 invalid UTF-8`.
fn message(signal: Signal, receipt: &Receipt) -> String {
    let list = |reasons: &[(&'static str, u64)]| reasons.iter().map(|(reason, n)| format!("{n} {reason}")).collect::<Vec<_>>().join(", ");
    let rejected = receipt.rejected_total();
    let mut message = String::new();
    if rejected > 0 {
        message = format!("rejected {rejected} of {} {}: {}", rejected + receipt.accepted, signal.items(), list(&receipt.rejected));
    }
    if !receipt.warnings.is_empty() {
        let separator = if message.is_empty() { "" } else { "; " };
        message = format!("{message}{separator}repaired: {}", list(&receipt.warnings));
    }
    // Only reasons of our own are in it: ASCII, so that any place is a good one to cut.
    message.truncate(MESSAGE);
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partial_success_says_how_many_of_how_many_and_why() {
        let receipt = Receipt {
            accepted: 97,
            rejected: vec![("zero trace id", 2), ("older than retention", 1)],
            warnings: vec![("invalid UTF-8", 4)],
        };
        assert_eq!(
            message(Signal::Traces, &receipt),
            "rejected 3 of 100 spans: 2 zero trace id, 1 older than retention; repaired: 4 invalid UTF-8"
        );
        let warned = Receipt { accepted: 1, rejected: vec![], warnings: vec![("invalid UTF-8", 1)] };
        assert_eq!(message(Signal::Logs, &warned), "repaired: 1 invalid UTF-8");
        assert_eq!(message(Signal::Logs, &Receipt::default()), "");
    }
}
