//! Every bound of the store, in one place.

use std::time::Duration;

/// What the store may hold. Memory is shared out by fixed parts, so that a flood of one signal cannot push out another.
#[derive(Clone, Debug, PartialEq)]
pub struct StoreLimits {
    /// Bytes for everything the store keeps. Default 512 MiB.
    pub memory_bytes: u64,
    /// Part of the memory for spans (columns, compressed bodies). Default 0.5. They are the ones that make room where all need what is theirs.
    pub spans_share: f64,
    /// Part of the memory for series. Default 0.35.
    pub series_share: f64,
    /// Part of the memory for logs. Default 0.1. What is left over (0.05) is for indexes, the join and exemplars.
    pub logs_share: f64,
    /// Part of the span memory that evicted segments may leave behind for errors, slow and pinned traces. Default 0.5.
    pub kept_share: f64,
    /// Live series from outside. New ones beyond are refused, known ones keep updating, and watchfire's own have half as many more for themselves
    /// ([`OwnSeries`](watchfire_model::OwnSeries)). Default 100,000.
    pub series: usize,
    /// Writers with their own timestamp column; further ones share a column. Default 20,000.
    pub origins: usize,
    /// Log records. Default 200,000.
    pub logs: usize,
    /// Exemplars, all series together. Default 10,000.
    pub exemplars: usize,
    /// Metric families with HELP, TYPE and UNIT. Default 20,000.
    pub families: usize,
    /// Health checks remembered. Default 10,000.
    pub checks: usize,
    /// Age at which samples, spans and logs go, if memory did not already bound them. Default 6 h.
    pub retention: Duration,
    /// Traces a person may pin. Default 1,000; the oldest pin goes first.
    pub pinned: usize,
    /// Traces with an error or a slow span that eviction spares. Default 65,536, and one for 8 KiB of memory at most; the oldest go first.
    pub notable: usize,
    /// Spans of one trace that are shown; the rest is counted. Default 50,000.
    pub spans_per_trace: usize,
    /// Bytes of attributes, events and links of one trace that are shown, as they were sent; spans beyond come without theirs. Default 32 MiB:
    /// an ordinary trace of 50,000 spans has them all.
    pub trace_text: usize,
}

impl Default for StoreLimits {
    fn default() -> Self {
        StoreLimits {
            memory_bytes: 512 << 20,
            spans_share: 0.5,
            series_share: 0.35,
            logs_share: 0.1,
            kept_share: 0.5,
            series: 100_000,
            origins: 20_000,
            logs: 200_000,
            exemplars: 10_000,
            families: 20_000,
            checks: 10_000,
            retention: Duration::from_secs(6 * 3600),
            pinned: 1000,
            notable: 65_536,
            spans_per_trace: 50_000,
            trace_text: 32 << 20,
        }
    }
}

impl StoreLimits {
    pub fn span_bytes(&self) -> usize {
        part(self.memory_bytes, self.spans_share)
    }

    /// Bytes for spans where everything else takes `elsewhere`: their part, or what is left of the memory; a quarter of their part in any case. A
    /// thirty-second of the memory stays free for what comes in before the next look.
    pub fn span_bytes_beside(&self, elsewhere: usize) -> usize {
        let left = usize::try_from(self.memory_bytes - self.memory_bytes / 32).unwrap_or(usize::MAX).saturating_sub(elsewhere);
        self.span_bytes().min(left).max(self.span_bytes() / 4)
    }

    /// Traces that eviction spares: what a small memory holds of spans is of few traces, and even their ids take room.
    pub fn notable_traces(&self) -> usize {
        const BYTES_EACH: u64 = 8 << 10;
        self.notable.min(usize::try_from(self.memory_bytes / BYTES_EACH).unwrap_or(usize::MAX))
    }

    /// What errors, slow and pinned traces may have of so many bytes for spans.
    pub fn kept_bytes(&self, spans: usize) -> usize {
        part(spans as u64, self.kept_share)
    }

    pub fn series_bytes(&self) -> usize {
        part(self.memory_bytes, self.series_share)
    }

    pub fn log_bytes(&self) -> usize {
        part(self.memory_bytes, self.logs_share)
    }
}

fn part(whole: u64, share: f64) -> usize {
    (whole as f64 * share.clamp(0.0, 1.0)) as usize
}
