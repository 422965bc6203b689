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
        let total: f64 = value.positive_buckets.iter().chain(&value.negative_buckets).sum::<f64>() + value.zero_count;
        // Whole counts add up exactly; NaN is observed without a bucket. Counts with fractions are not compared, as in Prometheus.
        let whole = h.positive_count.is_empty() && h.negative_count.is_empty();
        if whole && if value.sum.is_nan() { total > value.count } else { total != value.count } {
            return Err(wrong(&format!("its buckets hold {total} observations, its count is {}", value.count)));
        }
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
    // Only the first span may begin below zero; another that does would lie over the one before.
    let apart = spans.iter().skip(1).all(|s| s.offset >= 0);
    (apart && buckets.len() == expected && buckets.iter().all(|b| *b >= 0.0)).then_some(buckets)
}

#[cfg(test)]
mod tests {
    use super::super::protobuf_messages::{Bucket, Counter, LabelPair, Plain, Quantile, Summary, Time};
    use super::*;
    use proptest::prelude::*;

    /// What was received, as text.
    #[derive(Default)]
    struct Received {
        floats: Vec<String>,
        histograms: Vec<NativeHistogram>,
        exemplars: Vec<(u32, String, Option<i64>)>,
        about: Vec<String>,
    }

    impl Recipient for Received {
        fn guess(&mut self, _: &[u8]) -> Guess {
            Guess::None
        }

        fn sample(&mut self, which: Which<'_>, value: f64, at: Option<i64>) -> Result<u32, ParseError> {
            let Which::Text(text) = which else { unreachable!("nothing is guessed here") };
            let at = at.map(|at| format!(" {at}")).unwrap_or_default();
            self.floats.push(format!("{} {value}{at}", String::from_utf8_lossy(text)));
            Ok(self.floats.len() as u32)
        }

        fn histogram(&mut self, _: Which<'_>, value: NativeHistogram, _: Option<i64>) -> Result<u32, ParseError> {
            self.histograms.push(value);
            Ok(1000)
        }

        fn exemplar(&mut self, entry: u32, exemplar: ExemplarText<'_>) {
            self.exemplars.push((entry, String::from_utf8_lossy(exemplar.labels).into_owned(), exemplar.at));
        }

        fn comment(&mut self, _: &[u8]) {}

        fn kind(&mut self, family: &str, kind: MetricKind) {
            self.about.push(format!("{family} {kind:?}"));
        }

        fn help(&mut self, family: &str, help: &str) {
            self.about.push(format!("{family} {help}"));
        }

        fn unit(&mut self, family: &str, unit: &str) {
            self.about.push(format!("{family} {unit}"));
        }
    }

    fn encode(families: &[MetricFamily]) -> Vec<u8> {
        families.iter().flat_map(Message::encode_length_delimited_to_vec).collect()
    }

    fn family(name: &str, kind: i32, metric: Metric) -> MetricFamily {
        MetricFamily { name: name.to_owned(), r#type: kind, metric: vec![metric], ..MetricFamily::default() }
    }

    fn read(families: &[MetricFamily], classic_too: bool) -> Result<Received, ParseError> {
        let mut received = Received::default();
        walk(&encode(families), classic_too, &mut received).map(|()| received)
    }

    fn native() -> Histogram {
        Histogram {
            sample_count: 10,
            sample_sum: 12.5,
            schema: 3,
            zero_threshold: 0.001,
            zero_count: 2,
            positive_span: vec![Span { offset: 0, length: 2 }, Span { offset: 1, length: 1 }],
            positive_delta: vec![1, 2, -1],
            negative_span: vec![Span { offset: -2, length: 1 }],
            negative_delta: vec![2],
            bucket: vec![Bucket { cumulative_count: 10, upper_bound: 1.0, ..Bucket::default() }],
            exemplars: vec![Exemplar { label: vec![], value: 0.5, timestamp: Some(Time { seconds: 5, nanos: 500_000_000 }) }],
            ..Histogram::default()
        }
    }

    #[test]
    fn classic_samples_take_the_names_of_the_text_format() {
        let exemplar =
            Exemplar { label: vec![LabelPair { name: "trace_id".to_owned(), value: "abc".to_owned() }], value: 1.0, timestamp: None };
        let label = vec![LabelPair { name: "code".to_owned(), value: "2\"00".to_owned() }];
        let received = read(
            &[
                MetricFamily {
                    help: "Requests.".to_owned(),
                    unit: "requests".to_owned(),
                    ..family(
                        "req_total",
                        0,
                        Metric { label, counter: Some(Counter { value: 3.0, exemplar: Some(exemplar) }), ..Metric::default() },
                    )
                },
                family("temperature", 1, Metric { gauge: Some(Plain { value: -1.5 }), timestamp_ms: Some(77), ..Metric::default() }),
                family("some.name", 3, Metric { untyped: Some(Plain { value: 1.0 }), ..Metric::default() }),
                family(
                    "s",
                    2,
                    Metric {
                        summary: Some(Summary { sample_count: 4, sample_sum: 8.0, quantile: vec![Quantile { quantile: 1.0, value: 3.0 }] }),
                        ..Metric::default()
                    },
                ),
                family(
                    "h",
                    4,
                    Metric {
                        histogram: Some(Histogram {
                            sample_count: 4,
                            sample_sum: 8.0,
                            bucket: vec![Bucket { cumulative_count: 2, upper_bound: 1.0, ..Bucket::default() }],
                            ..Histogram::default()
                        }),
                        ..Metric::default()
                    },
                ),
            ],
            false,
        )
        .unwrap();
        assert_eq!(
            received.floats,
            [
                r#"req_total{code="2\"00"} 3"#,
                "temperature -1.5 77",
                r#"{"some.name"} 1"#,
                r#"s{quantile="1.0"} 3"#,
                "s_sum 8",
                "s_count 4",
                r#"h_bucket{le="1.0"} 2"#,
                r#"h_bucket{le="+Inf"} 4"#,
                "h_sum 8",
                "h_count 4"
            ]
        );
        assert_eq!(received.exemplars, [(1, r#"{trace_id="abc"}"#.to_owned(), None)]);
        assert!(received.about.contains(&"req_total Requests.".to_owned()) && received.about.contains(&"h Histogram".to_owned()));
    }

    #[test]
    fn native_histograms_become_absolute_counts() {
        let received = read(&[family("h", 4, Metric { histogram: Some(native()), ..Metric::default() })], false).unwrap();
        assert!(received.floats.is_empty(), "classic buckets are left out beside native ones");
        let h = &received.histograms[0];
        assert_eq!((h.schema, h.count, h.sum, h.zero_count), (3, 10.0, 12.5, 2.0));
        assert_eq!(h.positive_buckets, [1.0, 3.0, 2.0]);
        assert_eq!(h.positive_spans, [BucketSpan { offset: 0, length: 2 }, BucketSpan { offset: 1, length: 1 }]);
        assert_eq!(h.negative_buckets, [2.0]);
        assert_eq!(received.exemplars, [(1000, "{}".to_owned(), Some(5500))]);

        let both = read(&[family("h", 4, Metric { histogram: Some(native()), ..Metric::default() })], true).unwrap();
        assert_eq!(both.floats.len(), 4);

        let empty = Histogram { positive_span: vec![Span::default()], ..Histogram::default() };
        let received = read(&[family("h", 5, Metric { histogram: Some(empty), ..Metric::default() })], false).unwrap();
        assert_eq!((received.histograms[0].positive_spans.len(), received.histograms[0].counter_reset), (0, CounterResetHint::Gauge));

        let floats = Histogram { sample_count_float: 1.5, positive_delta: vec![], positive_count: vec![0.5, 0.5, 0.5], ..native() };
        let received = read(&[family("h", 4, Metric { histogram: Some(floats), ..Metric::default() })], false).unwrap();
        assert_eq!((received.histograms[0].count, received.histograms[0].positive_buckets[2]), (1.5, 0.5));
    }

    #[test]
    fn impossible_messages_are_refused() {
        let of = |histogram: Histogram| read(&[family("h", 4, Metric { histogram: Some(histogram), ..Metric::default() })], false);
        assert!(of(Histogram { schema: 9, ..native() }).is_err());
        assert!(of(Histogram { positive_delta: vec![1], ..native() }).is_err());
        assert!(of(Histogram { positive_delta: vec![1, -2, 1], ..native() }).is_err());
        assert!(of(Histogram { positive_delta: vec![i64::MAX, 1, 1], ..native() }).is_err());
        assert!(of(Histogram { positive_span: vec![Span { offset: 0, length: u32::MAX }], ..native() }).is_err());
        // One bucket cannot be named twice, and no observation is missing.
        let overlapping = vec![Span { offset: 0, length: 2 }, Span { offset: -1, length: 1 }];
        assert!(of(Histogram { positive_span: overlapping, ..native() }).is_err());
        let missing = of(Histogram { sample_count: 11, ..native() }).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(missing.contains("hold 10 observations, its count is 11"), "{missing}");
        assert!(of(Histogram { sample_count: 11, sample_sum: f64::NAN, ..native() }).is_ok());
        assert!(read(&[family("", 0, Metric::default())], false).is_err());
        assert!(read(&[family("x", 9, Metric::default())], false).is_err());
        let whole = encode(&[family("h", 4, Metric { histogram: Some(native()), ..Metric::default() })]);
        assert!(walk(&whole[..whole.len() - 1], false, &mut Received::default()).is_err());
    }

    proptest! {
        #[test]
        fn damaged_bytes_are_refused_or_read_without_panic(flip in 0usize..200, bit in 0u8..8, cut in 0usize..200) {
            let mut bytes = encode(&[family("h", 4, Metric { histogram: Some(native()), ..Metric::default() })]);
            let at = flip % bytes.len();
            bytes[at] ^= 1 << bit;
            bytes.truncate(cut);
            let _ = walk(&bytes, true, &mut Received::default());
        }
    }
}
