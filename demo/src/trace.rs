//! Spans and logs on their way out: ids, sampling, attributes in the old or the new names, wall-clock times.

use crate::chance::Chance;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::{Span, Status, span};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;
use watchfire_config::platform::Attributes;

pub(crate) type SpanId = [u8; 8];

/// One trace: its id, whether it is kept, and what its `tracestate` says about that.
#[derive(Debug)]
pub(crate) struct Trace {
    pub(crate) id: [u8; 16],
    pub(crate) sampled: bool,
    pub(crate) state: String,
    /// Goes wherever it can go, whatever the shares say, so that a rare dependency is seen early.
    pub(crate) thorough: bool,
    /// Simulated time of its beginning. At more than ordinary speed, times within a trace stay true to each other.
    pub(crate) anchor: Duration,
}

impl Trace {
    /// A new trace, kept with the given probability by the consistent sampling of the OpenTelemetry specification: the lower 56 bits of the id
    /// decide against the threshold that `ot=th` carries.
    pub(crate) fn begin(chance: &mut Chance, ratio: f64, anchor: Duration) -> Rc<Trace> {
        let id: [u8; 16] = chance.bytes();
        let (sampled, state) = if ratio >= 1.0 {
            (true, String::new())
        } else {
            // Four hexadecimal digits of threshold, as the specification suggests.
            let threshold = ((1.0 - ratio.max(0.0)) * 65_536.0).round().min(65_535.0) as u64;
            let randomness = u64::from_be_bytes([0, id[9], id[10], id[11], id[12], id[13], id[14], id[15]]);
            let digits = format!("{threshold:04x}");
            let digits = digits.trim_end_matches('0');
            (randomness >= threshold << 40, format!("ot=th:{}", if digits.is_empty() { "0" } else { digits }))
        };
        Rc::new(Trace { id, sampled, state, thorough: false, anchor })
    }

    /// A trace that is always kept, and says so, whatever the ratio.
    pub(crate) fn thorough(chance: &mut Chance, anchor: Duration) -> Rc<Trace> {
        Rc::new(Trace { id: chance.bytes(), sampled: true, state: "ot=th:0".to_owned(), thorough: true, anchor })
    }

    /// Another trace that is kept exactly if this one is: what a consumer starts for a message.
    pub(crate) fn follow(&self, chance: &mut Chance, anchor: Duration) -> Rc<Trace> {
        Rc::new(Trace { id: chance.bytes(), sampled: self.sampled, state: self.state.clone(), thorough: self.thorough, anchor })
    }
}

/// Simulated time on the wall clock of the receiver.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeline {
    /// Unix nanoseconds at which the simulation began.
    pub(crate) epoch: u64,
    pub(crate) speed: f64,
}

impl Timeline {
    /// Wall-clock time since the epoch of a moment in a trace (or process) that began at `anchor`.
    pub(crate) fn offset(&self, anchor: Duration, at: Duration) -> Duration {
        anchor.div_f64(self.speed) + at.saturating_sub(anchor)
    }

    pub(crate) fn nanos(&self, anchor: Duration, at: Duration) -> u64 {
        self.epoch + self.offset(anchor, at).as_nanos() as u64
    }
}

pub(crate) fn text(key: &str, value: impl Into<String>) -> KeyValue {
    attribute(key, any_value::Value::StringValue(value.into()))
}

pub(crate) fn int(key: &str, value: i64) -> KeyValue {
    attribute(key, any_value::Value::IntValue(value))
}

pub(crate) fn flag(key: &str, value: bool) -> KeyValue {
    attribute(key, any_value::Value::BoolValue(value))
}

fn attribute(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// Chooses between the two generations of attribute names.
#[derive(Clone, Copy)]
pub(crate) struct Names(pub(crate) Attributes);

impl Names {
    pub(crate) fn pick(self, new: &'static str, old: &'static str) -> &'static str {
        match self.0 {
            Attributes::New => new,
            Attributes::Old => old,
        }
    }

    /// `server.address` and its port, or `net.peer.name` and its port.
    pub(crate) fn peer(self, host: &str, port: i64) -> [KeyValue; 2] {
        [text(self.pick("server.address", "net.peer.name"), host), int(self.pick("server.port", "net.peer.port"), port)]
    }

    /// The logical name of what is called, for targets that send no spans themselves.
    pub(crate) fn peer_service(self, name: &str) -> KeyValue {
        text(self.pick("service.peer.name", "peer.service"), name)
    }

    pub(crate) fn http(self, method: &str, status: Option<u16>) -> Vec<KeyValue> {
        let mut list = vec![text(self.pick("http.request.method", "http.method"), method)];
        if let Some(status) = status {
            list.push(int(self.pick("http.response.status_code", "http.status_code"), i64::from(status)));
        }
        list
    }
}

/// A finished span before it is put into protobuf.
pub(crate) struct Finished<'a> {
    pub(crate) trace: &'a Trace,
    pub(crate) span_id: SpanId,
    pub(crate) parent: Option<SpanId>,
    pub(crate) name: String,
    pub(crate) kind: span::SpanKind,
    pub(crate) start: Duration,
    pub(crate) end: Duration,
    pub(crate) attributes: Vec<KeyValue>,
    /// What went wrong: exception type and message.
    pub(crate) error: Option<(String, String)>,
    pub(crate) links: Vec<(Rc<Trace>, SpanId)>,
}

impl Finished<'_> {
    pub(crate) fn proto(self, timeline: Timeline, names: Names) -> Span {
        let nanos = |at| timeline.nanos(self.trace.anchor, at);
        let end = nanos(self.end);
        let mut attributes = self.attributes;
        let mut events = Vec::new();
        let status = self.error.map(|(kind, message)| {
            if matches!(names.0, Attributes::New) {
                attributes.push(text("error.type", kind.clone()));
            }
            events.push(span::Event {
                time_unix_nano: end,
                name: "exception".to_owned(),
                attributes: vec![text("exception.type", kind), text("exception.message", message.clone())],
                dropped_attributes_count: 0,
            });
            Status { code: 2, message }
        });
        Span {
            trace_id: self.trace.id.to_vec(),
            span_id: self.span_id.to_vec(),
            trace_state: self.trace.state.clone(),
            parent_span_id: self.parent.map(|p| p.to_vec()).unwrap_or_default(),
            flags: 1,
            name: self.name,
            kind: self.kind as i32,
            start_time_unix_nano: nanos(self.start),
            end_time_unix_nano: end,
            attributes,
            events,
            links: self
                .links
                .iter()
                .map(|(trace, span)| span::Link {
                    trace_id: trace.id.to_vec(),
                    span_id: span.to_vec(),
                    trace_state: trace.state.clone(),
                    flags: 1,
                    ..span::Link::default()
                })
                .collect(),
            status,
            ..Span::default()
        }
    }
}

/// What one service has produced and not yet sent, by the wall-clock offset at which it may be sent: never before it happened.
#[derive(Default)]
pub(crate) struct Outbox {
    spans: BTreeMap<(Duration, u64), Span>,
    logs: BTreeMap<(Duration, u64), LogRecord>,
    order: u64,
}

impl Outbox {
    pub(crate) fn span(&mut self, due: Duration, span: Span) {
        self.order += 1;
        self.spans.insert((due, self.order), span);
    }

    pub(crate) fn log(&mut self, due: Duration, record: LogRecord) {
        self.order += 1;
        self.logs.insert((due, self.order), record);
    }

    pub(crate) fn take(&mut self, until: Duration) -> (Vec<Span>, Vec<LogRecord>) {
        fn due<T>(map: &mut BTreeMap<(Duration, u64), T>, until: Duration) -> Vec<T> {
            let later = map.split_off(&(until + Duration::from_nanos(1), 0));
            std::mem::replace(map, later).into_values().collect()
        }
        (due(&mut self.spans, until), due(&mut self.logs, until))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_trace_in_ten_is_kept_and_the_threshold_says_so() {
        let mut chance = Chance::new(3);
        let traces: Vec<_> = (0..20_000).map(|_| Trace::begin(&mut chance, 0.1, Duration::ZERO)).collect();
        let kept = traces.iter().filter(|t| t.sampled).count();
        assert!((1_800..2_200).contains(&kept), "{kept}");
        assert!(traces.iter().all(|t| t.state == "ot=th:e666"));
        let whole = Trace::begin(&mut chance, 1.0, Duration::ZERO);
        assert!(whole.sampled && whole.state.is_empty());
        assert_eq!(Trace::begin(&mut chance, 0.5, Duration::ZERO).state, "ot=th:8");
    }

    #[test]
    fn speed_brings_traces_closer_and_leaves_each_as_long_as_it_is() {
        let timeline = Timeline { epoch: 1_000, speed: 10.0 };
        let second = Duration::from_secs(1);
        assert_eq!(timeline.nanos(second * 20, second * 20), 1_000 + 2_000_000_000);
        assert_eq!(timeline.nanos(second * 20, second * 23), 1_000 + 5_000_000_000);
    }

    #[test]
    fn nothing_leaves_before_it_happened() {
        let mut outbox = Outbox::default();
        for seconds in [3, 1, 2] {
            outbox.span(Duration::from_secs(seconds), Span { name: seconds.to_string(), ..Span::default() });
        }
        let names = |spans: Vec<Span>| spans.into_iter().map(|s| s.name).collect::<Vec<_>>();
        assert_eq!(names(outbox.take(Duration::from_secs(2)).0), ["1", "2"]);
        assert_eq!(names(outbox.take(Duration::from_secs(9)).0), ["3"]);
    }
}
