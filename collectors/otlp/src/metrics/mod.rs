//! Metrics: all five OTLP metric types as Prometheus series (the mapping of prometheus/otlptranslator and `prometheusremotewrite`).
//! Each point stands for itself: what is wrong with one is counted under its reason and costs no other.

mod delta;
mod exponential;
mod float_text;
mod histogram;
mod labels;
mod layout;
mod names;
mod number;
mod request;
mod scopes;

use crate::carried::StampedByOthers;
use crate::inspect::{Findings, Stop, inspect};
use crate::limits::Limits;
use crate::refusal::{Refusal, Signal};
use crate::repair::repair;
use crate::schema::METRICS;
use delta::Deltas;
use hashbrown::HashMap;
use layout::Layouts;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use prost::Message;
use request::Writing;
use scopes::Scopes;
use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use watchfire_model::{Gauge, Meter, Receipt, SeriesId, SeriesSink, Timestamp};

/// Values nested deeper are shortened already here: prost gives up on them.
const DECODABLE_DEPTH: usize = 32;

/// What has to be remembered from one point to the next.
struct Memory {
    deltas: Deltas,
    layouts: Layouts,
    scopes: Scopes,
    /// When each `target_info` was written last; bounded as the others are.
    written: HashMap<SeriesId, Timestamp>,
}

/// Turns metric requests into appends. Holds what deltas have added up to.
pub(crate) struct Translator {
    limits: Limits,
    sink: Arc<dyn SeriesSink>,
    memory: Mutex<Memory>,
    streams: Gauge,
}

impl Translator {
    pub(crate) fn new(limits: Limits, sink: Arc<dyn SeriesSink>, meter: &Meter) -> Self {
        let limits = Limits { max_depth: limits.max_depth.min(DECODABLE_DEPTH), ..limits };
        Translator {
            memory: Mutex::new(Memory {
                deltas: Deltas::new(limits.max_streams),
                layouts: Layouts::new(limits.max_streams),
                scopes: Scopes::new(limits.max_streams),
                written: HashMap::new(),
            }),
            limits,
            sink,
            streams: meter.gauge("watchfire_delta_streams", &[]),
        }
    }

    /// Stores one `ExportMetricsServiceRequest`; `now` is its arrival, on a clock that is `carried` ahead of that of its sender.
    pub(crate) fn request(&self, bytes: &[u8], now: Timestamp, carried: Duration) -> Result<Receipt, Refusal> {
        let mut findings = Findings::default();
        inspect(bytes, &METRICS, 0, &self.limits, &mut findings).map_err(|stop| match stop {
            Stop::Wire(error) => Refusal::wire(Signal::Metrics, &error),
            Stop::TooManyItems => Refusal::too_many(&self.limits),
        })?;
        let mut clean = Cow::Borrowed(bytes);
        if findings.needs_repair() {
            let mut repaired = Vec::with_capacity(bytes.len());
            repair(bytes, &METRICS, 0, &self.limits, &mut repaired).map_err(|error| Refusal::wire(Signal::Metrics, &error))?;
            clean = Cow::Owned(repaired);
        }
        let request = ExportMetricsServiceRequest::decode(&*clean).map_err(|error| Refusal::Decode(Signal::Metrics, error.to_string()))?;
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let sink = StampedByOthers { sink: &*self.sink, carried };
        let mut writing = Writing::new(&sink, &self.limits, &mut memory, now);
        writing.request(&request);
        let mut receipt = writing.receipt();
        self.streams.set(memory.deltas.len() as f64);
        let repaired = [("invalid UTF-8", findings.bad_text), ("value nested too deep", findings.too_deep)];
        receipt.warnings.extend(repaired.into_iter().filter(|(_, n)| *n > 0));
        Ok(receipt)
    }
}
