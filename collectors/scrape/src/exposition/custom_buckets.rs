//! Classic histograms as native ones with custom buckets (schema -53): stands between a walker and a recipient and joins the `_bucket`, `_sum`
//! and `_count` lines of one histogram into one sample, as Prometheus does under `convert_classic_histograms_to_nhcb`.

use super::line::{parse_series, write_series};
use super::number::parse_float;
use super::{ExemplarText, Guess, ParseError, Recipient, Which};
use hashbrown::HashSet;
use watchfire_model::{BucketSpan, CUSTOM_BUCKETS_SCHEMA, MetricKind, NativeHistogram};

/// What a line of a histogram that is not complete yet gives as its entry.
const JOINING: u32 = u32::MAX - 1;

/// Joins on the way to `inner`.
pub struct CustomBuckets<'a, R> {
    inner: &'a mut R,
    /// Pass the classic series on as well.
    classic_too: bool,
    histograms: HashSet<String>,
    pending: Option<Pending>,
}

#[derive(Default)]
struct Pending {
    /// The series text without suffix and `le`.
    series: Vec<u8>,
    at: Option<i64>,
    /// Upper bound and cumulative count.
    buckets: Vec<(f64, f64)>,
    sum: f64,
    count: Option<f64>,
    exemplars: Vec<(Vec<u8>, f64, Option<i64>)>,
    /// The lines as they came, to fall back on.
    lines: Vec<(Vec<u8>, f64)>,
}

enum Part {
    Bucket(f64),
    Sum,
    Count,
}

impl<'a, R: Recipient> CustomBuckets<'a, R> {
    pub fn new(inner: &'a mut R, classic_too: bool) -> Self {
        CustomBuckets { inner, classic_too, histograms: HashSet::new(), pending: None }
    }

    /// Hands on the last histogram.
    ///
    /// # Errors
    /// As the recipient.
    pub fn finish(mut self) -> Result<(), ParseError> {
        self.flush()
    }

    fn flush(&mut self) -> Result<(), ParseError> {
        let Some(pending) = self.pending.take() else { return Ok(()) };
        match pending.join() {
            Some(value) => {
                let entry = self.inner.histogram(Which::Text(&pending.series), value, pending.at)?;
                for (labels, value, at) in &pending.exemplars {
                    self.inner.exemplar(entry, ExemplarText { labels, value: *value, at: *at });
                }
                if !self.classic_too {
                    return Ok(());
                }
            }
            None => tracing::debug!("classic histogram with falling counts is kept as it is"),
        }
        for (line, value) in &pending.lines {
            self.inner.sample(Which::Text(line), *value, pending.at)?;
        }
        Ok(())
    }

    /// The histogram a series text belongs to, and as what.
    fn part(&self, series: &[u8]) -> Result<Option<(Vec<u8>, Part)>, ParseError> {
        let pairs = parse_series(series)?;
        let name = pairs[0].1.as_ref();
        let family = |suffix: &str| name.strip_suffix(suffix).filter(|f| self.histograms.contains(*f));
        let le = pairs.iter().find(|(n, _)| n == "le").and_then(|(_, v)| parse_float(v.as_bytes()));
        let (family, part) = if let (Some(family), Some(le)) = (family("_bucket"), le) {
            (family, Part::Bucket(le))
        } else if let Some(family) = family("_sum") {
            (family, Part::Sum)
        } else if let Some(family) = family("_count") {
            (family, Part::Count)
        } else {
            return Ok(None);
        };
        let mut text = Vec::new();
        write_series(&mut text, family, pairs[1..].iter().filter(|(n, _)| n != "le").map(|(n, v)| (n.as_ref(), v.as_ref())));
        Ok(Some((text, part)))
    }
}

impl Pending {
    /// `None` when the counts are no counts.
    fn join(&self) -> Option<NativeHistogram> {
        let mut buckets = self.buckets.clone();
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        buckets.dedup_by(|a, b| a.0 == b.0);
        let last = buckets.last().map(|(_, count)| *count);
        let count = self.count.or(last).filter(|c| c.is_finite())?;
        if buckets.last().is_none_or(|(bound, _)| bound.is_finite()) {
            buckets.push((f64::INFINITY, count));
        }
        let mut below = 0.0;
        let mut counts = Vec::with_capacity(buckets.len());
        for (_, cumulative) in &buckets {
            let own = cumulative - below;
            if own.is_nan() || own < 0.0 {
                return None;
            }
            counts.push(own);
            below = *cumulative;
        }
        buckets.pop();
        Some(NativeHistogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            count,
            sum: self.sum,
            positive_spans: vec![BucketSpan { offset: 0, length: u32::try_from(counts.len()).ok()? }],
            positive_buckets: counts,
            custom_values: buckets.into_iter().map(|(bound, _)| bound).collect(),
            ..NativeHistogram::default()
        })
    }
}

impl<R: Recipient> Recipient for CustomBuckets<'_, R> {
    /// Every line is looked at: what was one line last time is a part of something now.
    fn guess(&mut self, _: &[u8]) -> Guess {
        Guess::None
    }

    fn sample(&mut self, which: Which<'_>, value: f64, at: Option<i64>) -> Result<u32, ParseError> {
        let Which::Text(series) = which else { return self.inner.sample(which, value, at) };
        let Some((name, part)) = self.part(series)? else { return self.inner.sample(which, value, at) };
        if self.pending.as_ref().is_none_or(|p| p.series != name || p.at != at) {
            self.flush()?;
        }
        let pending = self.pending.get_or_insert_with(|| Pending { series: name, at, ..Pending::default() });
        match part {
            Part::Bucket(bound) => pending.buckets.push((bound, value)),
            Part::Sum => pending.sum = value,
            Part::Count => pending.count = Some(value),
        }
        pending.lines.push((series.to_vec(), value));
        Ok(JOINING)
    }

    fn histogram(&mut self, which: Which<'_>, value: NativeHistogram, at: Option<i64>) -> Result<u32, ParseError> {
        self.inner.histogram(which, value, at)
    }

    fn exemplar(&mut self, entry: u32, exemplar: ExemplarText<'_>) {
        match &mut self.pending {
            Some(pending) if entry == JOINING => pending.exemplars.push((exemplar.labels.to_vec(), exemplar.value, exemplar.at)),
            _ => self.inner.exemplar(entry, exemplar),
        }
    }

    fn comment(&mut self, _: &[u8]) {}

    fn kind(&mut self, family: &str, kind: MetricKind) {
        if kind == MetricKind::Histogram {
            self.histograms.insert(family.to_owned());
        }
        self.inner.kind(family, kind);
    }

    fn help(&mut self, family: &str, help: &str) {
        self.inner.help(family, help);
    }

    fn unit(&mut self, family: &str, unit: &str) {
        self.inner.unit(family, unit);
    }
}
