//! Requests of the same process: read exactly as those of a socket are, on the thread of the caller, in the caller's time.

use crate::limits::Limits;
use crate::logs;
use crate::metrics::Translator;
use crate::refusal::Refusal;
use crate::traces::walk;
use std::sync::Arc;
use std::time::Duration;
use watchfire_model::{LogSink, Meter, Receipt, SeriesSink, SpanVisitor, Timestamp};

/// A receiver without sockets and threads. What it is given is stored when the call returns, so a clock that is moved by hand can drive it.
pub struct Direct<V> {
    limits: Limits,
    visitor: V,
    translator: Translator,
    logs: Arc<dyn LogSink>,
}

impl<V: SpanVisitor> Direct<V> {
    pub fn new(limits: Limits, visitor: V, series: Arc<dyn SeriesSink>, logs: Arc<dyn LogSink>, meter: &Meter) -> Self {
        Direct { translator: Translator::new(limits.clone(), series, meter), limits, visitor, logs }
    }

    /// Takes one `ExportTraceServiceRequest`.
    ///
    /// # Errors
    /// As a socket would be refused.
    pub fn traces(&mut self, bytes: &[u8], received: Timestamp) -> Result<Receipt, Refusal> {
        walk(bytes, &self.limits, received, &mut self.visitor)
    }

    /// Takes one `ExportMetricsServiceRequest`.
    ///
    /// # Errors
    /// As a socket would be refused.
    pub fn metrics(&mut self, bytes: &[u8], received: Timestamp) -> Result<Receipt, Refusal> {
        self.translator.request(bytes, received, Duration::ZERO)
    }

    /// Takes one `ExportLogsServiceRequest`.
    ///
    /// # Errors
    /// As a socket would be refused.
    pub fn logs(&mut self, bytes: &[u8], received: Timestamp) -> Result<Receipt, Refusal> {
        let decoded = logs::decode(bytes, &self.limits, received)?;
        if !decoded.records.is_empty() {
            self.logs.logs(decoded.records);
        }
        Ok(decoded.receipt)
    }

    /// Publishes what is due. A running receiver does it at least four times a second.
    pub fn tick(&mut self, now: Timestamp) {
        self.visitor.tick(now);
    }
}
