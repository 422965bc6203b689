//! Length-delimited `MetricFamily` messages, native histograms included. Classic samples take the same names as in the text format.

use super::line::write_series;
use super::number::openmetrics_float;
use super::protobuf_messages::{Exemplar, Histogram, Metric, MetricFamily, Span};
use super::{ExemplarText, Guess, ParseError, Recipient, Which};
use prost::Message;
use watchfire_model::{BucketSpan, CounterResetHint, MetricKind, NativeHistogram};

/// Buckets one native histogram may have; the widest in the field has 160 per sign.
const MAX_BUCKETS: usize = 10_000;

/// Reads a whole body. With `classic_too`, a histogram that has native buckets gives its classic series as well.
///
/// # Errors
/// When a message is cut, cannot be decoded or holds an impossible histogram.
pub fn walk<R: Recipient>(body: &[u8], classic_too: bool, recipient: &mut R) -> Result<(), ParseError> {
    let mut rest = body;
    let mut text = Vec::new();
    while !rest.is_empty() {
        let family = MetricFamily::decode_length_delimited(&mut rest).map_err(|e| ParseError::Protobuf(e.to_string()))?;
        if family.name.is_empty() {
            return Err(ParseError::Protobuf("a metric family has no name".to_owned()));
        }
        let kind = match family.r#type {
            0 => MetricKind::Counter,
            1 => MetricKind::Gauge,
            2 => MetricKind::Summary,
            3 => MetricKind::Unknown,
            4 => MetricKind::Histogram,
            5 => MetricKind::GaugeHistogram,
            other => return Err(ParseError::Protobuf(format!("metric family {:?} has unknown type {other}", family.name))),
        };
        recipient.kind(&family.name, kind);
        if !family.help.is_empty() {
            recipient.help(&family.name, &family.help);
        }
        if !family.unit.is_empty() {
            recipient.unit(&family.name, &family.unit);
        }
        for metric in &family.metric {
            let mut writer = Writer { text: &mut text, family: &family.name, metric, recipient };
            writer.metric(kind, classic_too)?;
        }
    }
    Ok(())
}

struct Writer<'a, R> {
    text: &'a mut Vec<u8>,
    family: &'a str,
    metric: &'a Metric,
    recipient: &'a mut R,
}

impl<R: Recipient> Writer<'_, R> {
    fn metric(&mut self, kind: MetricKind, classic_too: bool) -> Result<(), ParseError> {
        let metric = self.metric;
        if let Some(counter) = &metric.counter {
            let entry = self.sample("", None, counter.value)?;
            self.exemplar(entry, counter.exemplar.as_ref());
        } else if let Some(plain) = metric.gauge.as_ref().or(metric.untyped.as_ref()) {
            self.sample("", None, plain.value)?;
        } else if let Some(summary) = &metric.summary {
            for q in &summary.quantile {
                self.sample("", Some(("quantile", &openmetrics_float(q.quantile))), q.value)?;
            }
            self.sample("_sum", None, summary.sample_sum)?;
            self.sample("_count", None, summary.sample_count as f64)?;
        } else if let Some(histogram) = &metric.histogram {
            let native = is_native(histogram);
            if native {
                let entry = self.native(histogram, kind)?;
                for exemplar in &histogram.exemplars {
                    self.exemplar(entry, Some(exemplar));
                }
            }
            if !native || classic_too {
                self.classic(histogram)?;
            }
        }
        Ok(())
    }

    fn classic(&mut self, histogram: &Histogram) -> Result<(), ParseError> {
        let count = float_or(histogram.sample_count_float, histogram.sample_count);
        let mut infinite = false;
        for bucket in &histogram.bucket {
            infinite |= bucket.upper_bound == f64::INFINITY;
            let value = float_or(bucket.cumulative_count_float, bucket.cumulative_count);
            let entry = self.sample("_bucket", Some(("le", &openmetrics_float(bucket.upper_bound))), value)?;
            self.exemplar(entry, bucket.exemplar.as_ref());
        }
        if !infinite {
            self.sample("_bucket", Some(("le", "+Inf")), count)?;
        }
        self.sample("_sum", None, histogram.sample_sum)?;
        self.sample("_count", None, count)?;
        Ok(())
    }

    fn native(&mut self, h: &Histogram, kind: MetricKind) -> Result<u32, ParseError> {
        let wrong = |what: &str| ParseError::Protobuf(format!("native histogram {:?}: {what}", self.family));
        if !(-4..=8).contains(&h.schema) {
            return Err(wrong(&format!("schema {} is not between -4 and 8", h.schema)));
        }
        let value = NativeHistogram {
            counter_reset: if kind == MetricKind::GaugeHistogram { CounterResetHint::Gauge } else { CounterResetHint::Unknown },
            schema: h.schema,
            zero_threshold: h.zero_threshold,
            zero_count: float_or(h.zero_count_float, h.zero_count),
            count: float_or(h.sample_count_float, h.sample_count),
            sum: h.sample_sum,
            positive_buckets: buckets(&h.positive_span, &h.positive_delta, &h.positive_count)
                .ok_or_else(|| wrong("positive spans and buckets differ"))?,
            positive_spans: spans(&h.positive_span),
            negative_buckets: buckets(&h.negative_span, &h.negative_delta, &h.negative_count)
                .ok_or_else(|| wrong("negative spans and buckets differ"))?,
            negative_spans: spans(&h.negative_span),
            custom_values: Vec::new(),
        };
        self.name("", None);
        match self.guessed() {
            Some(entry) => self.recipient.histogram(Which::Entry(entry), value, self.metric.timestamp_ms),
            None => self.recipient.histogram(Which::Text(&self.text[..self.text.len() - 1]), value, self.metric.timestamp_ms),
        }
    }

    fn sample(&mut self, suffix: &str, extra: Option<(&str, &str)>, value: f64) -> Result<u32, ParseError> {
        self.name(suffix, extra);
        let value = if value.is_nan() { watchfire_model::ORDINARY_NAN } else { value };
        match self.guessed() {
            Some(entry) => self.recipient.sample(Which::Entry(entry), value, self.metric.timestamp_ms),
            None => self.recipient.sample(Which::Text(&self.text[..self.text.len() - 1]), value, self.metric.timestamp_ms),
        }
    }

    /// Writes the series text and the blank a guess looks for.
    fn name(&mut self, suffix: &str, extra: Option<(&str, &str)>) {
        let labels = self.metric.label.iter().map(|l| (l.name.as_str(), l.value.as_str())).chain(extra);
        if suffix.is_empty() {
            write_series(self.text, self.family, labels);
        } else {
            write_series(self.text, &format!("{}{suffix}", self.family), labels);
        }
        self.text.push(b' ');
    }

    fn guessed(&mut self) -> Option<u32> {
        match self.recipient.guess(self.text) {
            Guess::Series { length, entry } if length + 1 == self.text.len() => Some(entry),
            _ => None,
        }
    }

    fn exemplar(&mut self, entry: u32, exemplar: Option<&Exemplar>) {
        let Some(exemplar) = exemplar else { return };
        let mut labels = Vec::new();
        write_series(&mut labels, "x", exemplar.label.iter().map(|l| (l.name.as_str(), l.value.as_str())));
        if labels.len() == 1 {
            labels.extend_from_slice(b"{}");
        }
        let at = exemplar.timestamp.as_ref().map(|t| t.seconds.saturating_mul(1000).saturating_add(i64::from(t.nanos) / 1_000_000));
        self.recipient.exemplar(entry, ExemplarText { labels: &labels[1..], value: exemplar.value, at });
    }
}

/// As Prometheus decides it: any span, a zero bucket or a zero threshold.
fn is_native(h: &Histogram) -> bool {
    !h.positive_span.is_empty() || !h.negative_span.is_empty() || h.zero_threshold > 0.0 || h.zero_count > 0 || h.zero_count_float > 0.0
}

fn float_or(float: f64, integer: u64) -> f64 {
    if float > 0.0 { float } else { integer as f64 }
}

fn spans(spans: &[Span]) -> Vec<BucketSpan> {
    // A single empty span only says "this is a native histogram".
    if spans.iter().all(|s| s.length == 0) {
        return Vec::new();
    }
    spans.iter().map(|s| BucketSpan { offset: s.offset, length: s.length }).collect()
}

/// Absolute counts; `None` when they do not fit the spans.
fn buckets(spans: &[Span], deltas: &[i64], counts: &[f64]) -> Option<Vec<f64>> {
    let expected: usize = spans.iter().map(|s| s.length as usize).fold(0, usize::saturating_add);
    if expected > MAX_BUCKETS {
        return None;
    }
    let buckets: Vec<f64> = if counts.is_empty() {
        let mut count = 0i64;
        deltas
            .iter()
            .map(|delta| {
                count = count.checked_add(*delta)?;
                (count >= 0).then_some(count as f64)
            })
            .collect::<Option<_>>()?
    } else {
        counts.to_vec()
    };
    (buckets.len() == expected && buckets.iter().all(|b| *b >= 0.0)).then_some(buckets)
}
