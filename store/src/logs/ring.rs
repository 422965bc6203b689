//! The ring of log records. Full chunks are shared with readers, so a reader holds the lock only while it copies pointers.

use super::patterns::Patterns;
use crate::StoreLimits;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use watchfire_model::reading::{LogLine, LogQuery, Logs};
use watchfire_model::{Counter, LogRecord, LogSeverity, Meter, Timestamp, TraceId};

const CHUNK: usize = 512;
/// Lines returned when the question names no limit, and the most there ever are.
const LIMIT: usize = 500;
const MOST: usize = 10_000;
/// Matching lines whose templates are counted, newest first.
const PATTERN_LINES: usize = 20_000;
const PATTERNS: usize = 50;
/// Lines on either side of one that is found.
const MOST_CONTEXT: usize = 50;
/// Bytes of a body that are kept.
const BODY: usize = 64 << 10;

#[derive(Default)]
struct Ring {
    full: VecDeque<(Arc<Vec<LogRecord>>, usize)>,
    open: Vec<LogRecord>,
    open_bytes: usize,
    bytes: usize,
    count: usize,
}

pub(crate) struct LogRing {
    limits: StoreLimits,
    ring: Mutex<Ring>,
    received: Counter,
    evicted: Counter,
    aged: Counter,
    cut: Counter,
}

fn size(record: &LogRecord) -> usize {
    size_of::<LogRecord>()
        + record.body.capacity()
        + record.event_name.as_ref().map_or(0, String::capacity)
        + record.attributes.iter().map(|(k, v)| 48 + k.capacity() + v.capacity()).sum::<usize>()
}

impl LogRing {
    pub fn new(limits: &StoreLimits, meter: &Meter) -> Self {
        let evicted = |reason| meter.counter("watchfire_logs_evicted_total", &[("reason", reason)]);
        LogRing {
            limits: limits.clone(),
            ring: Mutex::default(),
            received: meter.counter("watchfire_logs_total", &[]),
            evicted: evicted("memory"),
            aged: evicted("age"),
            cut: meter.counter("watchfire_truncated_total", &[("reason", "log_body")]),
        }
    }

    pub fn push(&self, records: Vec<LogRecord>) {
        self.received.add(records.len() as u64);
        let mut ring = self.ring.lock();
        for mut record in records {
            if record.body.len() > BODY {
                let end = (0..=BODY).rev().find(|i| record.body.is_char_boundary(*i)).unwrap_or(0);
                record.body.truncate(end);
                record.body.push('…');
                record.body.shrink_to_fit();
                self.cut.add(1);
            }
            let bytes = size(&record);
            ring.open.push(record);
            ring.open_bytes += bytes;
            ring.bytes += bytes;
            ring.count += 1;
            if ring.open.len() >= CHUNK || ring.open_bytes >= self.limits.log_bytes() / 8 {
                let (chunk, chunk_bytes) = (std::mem::take(&mut ring.open), std::mem::take(&mut ring.open_bytes));
                ring.full.push_back((Arc::new(chunk), chunk_bytes));
            }
        }
        while (ring.count > self.limits.logs || ring.bytes > self.limits.log_bytes())
            && let Some((chunk, bytes)) = ring.full.pop_front()
        {
            ring.count -= chunk.len();
            ring.bytes -= bytes;
            self.evicted.add(chunk.len() as u64);
        }
    }

    /// Drops chunks of which every record is older; the one that is being filled is the last.
    pub fn drop_before(&self, cutoff: Timestamp) {
        let mut ring = self.ring.lock();
        let is_old = |chunk: &[LogRecord]| chunk.iter().all(|r| r.at < cutoff);
        while let Some((chunk, bytes)) = ring.full.front()
            && is_old(chunk)
        {
            let (count, bytes) = (chunk.len(), *bytes);
            ring.count -= count;
            ring.bytes -= bytes;
            ring.full.pop_front();
            self.aged.add(count as u64);
        }
        if ring.full.is_empty() && is_old(&ring.open) {
            let (chunk, bytes) = (std::mem::take(&mut ring.open), std::mem::take(&mut ring.open_bytes));
            ring.count -= chunk.len();
            ring.bytes -= bytes;
            self.aged.add(chunk.len() as u64);
        }
    }

    pub fn len(&self) -> usize {
        self.ring.lock().count
    }

    pub fn bytes(&self) -> usize {
        self.ring.lock().bytes
    }

    pub fn received(&self) -> u64 {
        self.received.get()
    }

    fn chunks(&self) -> Vec<Arc<Vec<LogRecord>>> {
        let ring = self.ring.lock();
        let mut chunks: Vec<_> = ring.full.iter().map(|(chunk, _)| chunk.clone()).collect();
        if !ring.open.is_empty() {
            chunks.push(Arc::new(ring.open.clone()));
        }
        chunks
    }

    /// The newest matching lines, oldest first, and the templates of all that match.
    pub fn read(&self, query: &LogQuery, at: Option<Timestamp>) -> Logs {
        let limit = query.limit.unwrap_or(LIMIT).min(MOST);
        let least = query.severity.as_deref().and_then(LogSeverity::parse);
        let trace = query.trace_id.as_deref().map(TraceId::parse);
        let contains = query.contains.as_deref().map(str::to_lowercase);
        let word = query.word.as_deref().map(str::to_lowercase);
        let within = |text: &str, part: &str| text.to_lowercase().contains(part);
        let says = |record: &LogRecord, word: &str| {
            within(&record.body, word) || within(&record.service, word) || within(record.severity.name(), word)
        };
        let until = query.end.into_iter().chain(at).min().unwrap_or(Timestamp::MAX);
        let from = query.start.unwrap_or(Timestamp::MIN);
        let within_reach =
            |record: &LogRecord| record.at >= from && record.at <= until && query.service.as_deref().is_none_or(|s| s == &*record.service);
        let fits = |record: &LogRecord| {
            within_reach(record)
                && least.is_none_or(|least| record.severity >= least)
                && trace.is_none_or(|trace| trace.is_some() && record.trace_id == trace)
                && contains.as_deref().is_none_or(|text| within(&record.body, text))
                && word.as_deref().is_none_or(|word| says(record, word))
        };
        let chunks = self.chunks();
        let mut patterns = Patterns::default();
        let mut found: Vec<&LogRecord> = Vec::new();
        let newest_first = || chunks.iter().rev().flat_map(|c| c.iter().rev());
        let mut patterns_of = 0;
        for record in newest_first().filter(|r| fits(r)).take(PATTERN_LINES.max(limit)) {
            patterns.add(&record.body);
            patterns_of += 1;
            if found.len() < limit {
                found.push(record);
            }
        }
        if let Some(context) = query.context.filter(|c| *c > 0) {
            found = with_context(newest_first().filter(|r| within_reach(r)), fits, context.min(MOST_CONTEXT), limit);
        }
        // Lines of one millisecond stay in the order in which they came.
        found.reverse();
        found.sort_by_key(|r| r.at);
        Logs { logs: found.into_iter().map(line).collect(), patterns: patterns.top(PATTERNS), patterns_of }
    }

    /// The trace that the newest log line with this text (in its body or as an attribute) belongs to.
    pub fn trace_of(&self, text: &str) -> Option<TraceId> {
        let chunks = self.chunks();
        let mut newest = chunks.iter().rev().flat_map(|c| c.iter().rev());
        newest.find_map(|r| r.trace_id.filter(|_| r.attributes.iter().any(|(_, v)| v == text) || r.body.contains(text)))
    }
}

/// The newest records that fit, each with as many on either side of it, newest first.
fn with_context<'r>(
    newest_first: impl Iterator<Item = &'r LogRecord>,
    fits: impl Fn(&LogRecord) -> bool,
    context: usize,
    limit: usize,
) -> Vec<&'r LogRecord> {
    let mut found = Vec::new();
    // Those that came later than the next one that fits, should it be near; and how many earlier ones still belong to the last.
    let (mut later, mut earlier) = (VecDeque::new(), 0);
    for record in newest_first {
        if found.len() >= limit {
            break;
        }
        if fits(record) {
            found.extend(later.drain(..));
            found.push(record);
            earlier = context;
        } else if earlier > 0 {
            found.push(record);
            earlier -= 1;
        } else {
            if later.len() == context {
                later.pop_front();
            }
            later.push_back(record);
        }
    }
    found.truncate(limit);
    found
}

fn line(record: &LogRecord) -> LogLine {
    let mut attributes: std::collections::BTreeMap<String, String> = record.attributes.iter().rev().cloned().collect();
    if let Some(name) = &record.event_name {
        attributes.insert("event.name".to_owned(), name.clone());
    }
    LogLine {
        time: record.at.seconds(),
        service: record.service.to_string(),
        severity: record.severity.name().to_owned(),
        body: record.body.clone(),
        trace_id: record.trace_id.map(|id| id.to_string()),
        span_id: record.span_id.map(|id| id.to_string()),
        attributes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_few_records_go_with_their_age_too_and_are_counted_under_it() {
        let meter = Meter::new();
        let ring = LogRing::new(&StoreLimits::default(), &meter);
        let record = |at: i64| LogRecord {
            at: Timestamp(at),
            service: "a".into(),
            severity: LogSeverity::Info,
            body: "x".to_owned(),
            trace_id: None,
            span_id: None,
            event_name: None,
            attributes: Vec::new(),
        };
        ring.push((0..700).map(record).collect());
        ring.drop_before(Timestamp(600));
        assert_eq!(ring.len(), 188, "a chunk that is old goes, one that is not yet stays whole");
        ring.drop_before(Timestamp(700));
        assert_eq!((ring.len(), ring.bytes(), ring.read(&LogQuery::default(), None).logs.len()), (0, 0, 0));
        let evicted = |reason| meter.counter("watchfire_logs_evicted_total", &[("reason", reason)]).get();
        assert_eq!((evicted("age"), evicted("memory")), (700, 0));
    }
}
