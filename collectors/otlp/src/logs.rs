//! Logs: records decoded leniently into [`LogRecord`]s. A bad id costs the link to the trace, not the record.

use crate::inspect::{Findings, Stop, inspect};
use crate::limits::Limits;
use crate::refusal::{Refusal, Signal};
use crate::repair::cut;
use crate::schema::LOGS;
use crate::value::{key_value, value_text};
use crate::wire::{Reader, WireError};
use std::borrow::Cow;
use std::sync::Arc;
use watchfire_model::{LogRecord, LogSeverity, MAX_AHEAD, Nanos, Receipt, ServiceName, SpanId, Timestamp, TraceId};

/// One logs request, decoded.
#[derive(Debug, Default)]
pub(crate) struct Decoded {
    pub(crate) records: Vec<LogRecord>,
    pub(crate) receipt: Receipt,
    pub(crate) cut: u64,
    /// Records of clocks that are far ahead.
    ahead: u64,
    pub(crate) dropped_attributes: u64,
}

/// Decodes an `ExportLogsServiceRequest`. Records without any time get `now`.
pub(crate) fn decode(bytes: &[u8], limits: &Limits, now: Timestamp) -> Result<Decoded, Refusal> {
    let mut findings = Findings::default();
    inspect(bytes, &LOGS, 0, limits, &mut findings).map_err(|stop| match stop {
        Stop::Wire(error) => Refusal::wire(Signal::Logs, &error),
        Stop::TooManyItems => Refusal::too_many(limits),
    })?;
    let mut decoder = Decoder { limits, now, decoded: Decoded::default() };
    decoder.request(bytes).map_err(|error| Refusal::wire(Signal::Logs, &error))?;
    let mut decoded = decoder.decoded;
    let warnings =
        [("invalid UTF-8", findings.bad_text), ("value nested too deep", findings.too_deep), ("time in the future", decoded.ahead)];
    decoded.receipt.accepted = decoded.records.len() as u64;
    decoded.receipt.warnings = warnings.into_iter().filter(|(_, n)| *n > 0).collect();
    Ok(decoded)
}

struct Decoder<'a> {
    limits: &'a Limits,
    now: Timestamp,
    decoded: Decoded,
}

/// What all records of one resource share.
struct Owner {
    service: Arc<str>,
    attributes: Vec<(String, String)>,
}

impl Decoder<'_> {
    fn request(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        each(bytes, 1, |resource_logs| {
            // The resource may come after its records.
            let mut attributes = Vec::new();
            each(resource_logs, 1, |resource| each(resource, 1, |kv| self.attribute(kv, &mut attributes)))?;
            let mut name = ServiceName::default();
            attributes.iter().for_each(|(key, value): &(String, String)| name.see(key, value));
            let service = Arc::from(name.or_unknown());
            attributes.retain(|(key, _)| key != "service.name");
            let owner = Owner { service, attributes };
            each(resource_logs, 2, |scope_logs| each(scope_logs, 2, |record| self.record(record, &owner)))
        })
    }

    fn record(&mut self, bytes: &[u8], owner: &Owner) -> Result<(), WireError> {
        let mut record = LogRecord {
            at: self.now,
            service: owner.service.clone(),
            severity: LogSeverity::Unspecified,
            body: String::new(),
            trace_id: None,
            span_id: None,
            event_name: None,
            attributes: Vec::new(),
        };
        let (mut time, mut observed) = (0, 0);
        let mut severity_text = Cow::Borrowed("");
        let mut reader = Reader::new(bytes);
        while let Some((field, wire_type)) = reader.tag()? {
            match field {
                1 => time = reader.fixed64()?,
                11 => observed = reader.fixed64()?,
                2 => record.severity = LogSeverity::from_number(i32::try_from(reader.varint()?).unwrap_or(0)),
                3 => severity_text = String::from_utf8_lossy(reader.bytes()?),
                5 => {
                    let body = reader.bytes()?;
                    self.decoded.cut += u64::from(body.len() > self.limits.max_log_body);
                    record.body = value_text(body, self.limits.max_log_body, self.limits)?;
                }
                6 => self.attribute(reader.bytes()?, &mut record.attributes)?,
                9 => record.trace_id = reader.bytes()?.try_into().ok().map(TraceId).filter(|id| !id.is_zero()),
                10 => record.span_id = reader.bytes()?.try_into().ok().map(SpanId).filter(|id| !id.is_zero()),
                12 => record.event_name = Some(cut(&String::from_utf8_lossy(reader.bytes()?), self.limits.max_name).into_owned()),
                _ => reader.skip(field, wire_type)?,
            }
        }
        let latest = self.now.saturating_add(MAX_AHEAD);
        let mut told = [time, observed].into_iter().filter(|nanos| *nanos > 0).map(|nanos| Nanos(nanos).timestamp()).peekable();
        self.decoded.ahead += u64::from(told.peek().is_some_and(|at| *at > latest));
        // What has not happened yet would be the newest record for as long as it is kept.
        record.at = told.find(|at| *at <= latest).unwrap_or(self.now);
        if record.severity == LogSeverity::Unspecified {
            record.severity = severity_of(&severity_text);
        }
        // A span without its trace leads nowhere.
        if record.trace_id.is_none() {
            record.span_id = None;
        }
        record.event_name = record.event_name.filter(|name| !name.is_empty());
        record.attributes.extend(owner.attributes.iter().cloned());
        self.decoded.records.push(record);
        Ok(())
    }

    /// Adds an attribute; of duplicates the last wins, beyond the limit the first stay.
    fn attribute(&mut self, kv: &[u8], attributes: &mut Vec<(String, String)>) -> Result<(), WireError> {
        let (key, value) = key_value(kv)?;
        self.decoded.cut += u64::from(key.len() > self.limits.max_key) + u64::from(value.len() > self.limits.max_value);
        let key = cut(&String::from_utf8_lossy(key), self.limits.max_key).into_owned();
        let value = value_text(value, self.limits.max_value, self.limits)?;
        match attributes.iter().position(|(k, _)| *k == key) {
            Some(known) => attributes[known].1 = value,
            None if attributes.len() < self.limits.max_attributes => attributes.push((key, value)),
            None => self.decoded.dropped_attributes += 1,
        }
        Ok(())
    }
}

/// Calls `visit` with every occurrence of a length-delimited field.
fn each(bytes: &[u8], wanted: u32, mut visit: impl FnMut(&[u8]) -> Result<(), WireError>) -> Result<(), WireError> {
    let mut reader = Reader::new(bytes);
    while let Some((field, wire_type)) = reader.tag()? {
        if field == wanted { visit(reader.bytes()?)? } else { reader.skip(field, wire_type)? }
    }
    Ok(())
}

/// Severity by name, for senders that give no number.
fn severity_of(text: &str) -> LogSeverity {
    const NAMES: [(&str, LogSeverity); 12] = [
        ("trace", LogSeverity::Trace),
        ("debug", LogSeverity::Debug),
        ("info", LogSeverity::Info),
        ("notice", LogSeverity::Info),
        ("warn", LogSeverity::Warn),
        ("err", LogSeverity::Error),
        ("severe", LogSeverity::Error),
        ("fatal", LogSeverity::Fatal),
        ("crit", LogSeverity::Fatal),
        ("alert", LogSeverity::Fatal),
        ("emerg", LogSeverity::Fatal),
        ("panic", LogSeverity::Fatal),
    ];
    let lower = match text {
        // As glog and logcat have them.
        "V" => "trace",
        "D" => "debug",
        "I" => "info",
        "W" => "warn",
        "E" => "error",
        "F" | "C" => "fatal",
        _ => text,
    };
    let lower = lower.to_ascii_lowercase();
    NAMES.iter().find(|(name, _)| lower.starts_with(name)).map_or(LogSeverity::Unspecified, |(_, severity)| *severity)
}
