//! One request on its way into the series: resources, scopes, metrics, and the account of their points.

use super::Memory;
use super::labels::{ResourceLabels, plain_labels};
use super::names::{NameKind, metric_name};
use super::scopes::{SCOPE_LABEL, scope_name};
use crate::limits::Limits;
use hashbrown::HashSet;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::{AggregationTemporality, Exemplar as WireExemplar, Metric, exemplar, metric::Data};
use std::time::Duration;
use watchfire_model::{
    Appended, Exemplar, LabelsBuilder, METRIC_NAME, Metadata, MetricKind, Nanos, OriginId, Receipt, STALE_NAN, SeriesId, SeriesSink,
    SpanId, Timestamp, TraceId, Value,
};

/// `target_info` is written at this spacing, half of the query engine's look-back.
const TARGET_INFO_EVERY: Duration = Duration::from_secs(150);
/// Bit 0 of a point's flags: there is no value.
pub(super) const NO_RECORDED_VALUE: u32 = 1;

/// How values of one metric relate to those before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Temporality {
    Cumulative,
    Delta,
}

/// The state of writing one request.
pub(super) struct Writing<'a> {
    pub(super) sink: &'a dyn SeriesSink,
    pub(super) limits: &'a Limits,
    pub(super) memory: &'a mut Memory,
    pub(super) now: Timestamp,
    pub(super) origin: OriginId,
    /// Single samples of this resource that wait to be appended row by row.
    scalars: Vec<(Timestamp, SeriesId, Value)>,
    /// Times of the first and the last point of this resource that was taken.
    taken: Option<(Timestamp, Timestamp)>,
    receipt: Receipt,
}

/// What every point of one metric needs.
pub(super) struct Family<'a> {
    pub(super) name: &'a str,
    pub(super) kind: MetricKind,
    pub(super) temporality: Temporality,
    pub(super) resource: &'a ResourceLabels,
    /// Who reports it, where several do.
    scope: Option<&'a str>,
}

impl<'a> Writing<'a> {
    pub(super) fn new(sink: &'a dyn SeriesSink, limits: &'a Limits, memory: &'a mut Memory, now: Timestamp) -> Self {
        Writing { sink, limits, memory, now, origin: OriginId(0), scalars: Vec::new(), taken: None, receipt: Receipt::default() }
    }

    pub(super) fn receipt(self) -> Receipt {
        self.receipt
    }

    pub(super) fn request(&mut self, request: &ExportMetricsServiceRequest) {
        for resource_metrics in &request.resource_metrics {
            let attributes = resource_metrics.resource.as_ref().map(|r| &r.attributes[..]).unwrap_or_default();
            let resource = ResourceLabels::new(attributes, self.limits);
            self.origin = self.sink.origin(&resource.origin);
            self.taken = None;
            self.memory.scopes.look(&resource_metrics.scope_metrics);
            for scope in &resource_metrics.scope_metrics {
                scope.metrics.iter().for_each(|metric| self.metric(metric, scope_name(scope), &resource));
            }
            self.append_scalars();
            if let (Some(labels), Some((first, last))) = (&resource.target_info, self.taken)
                && let Some(series) = self.sink.series(self.origin, labels, MetricKind::Gauge)
            {
                // At the last point, and before it as often as a look-back needs, within what is accepted at all.
                let mut at = last.min(self.now);
                let mut rows = vec![at];
                while rows.len() < 16 && at.saturating_sub(TARGET_INFO_EVERY) >= first {
                    at = at.saturating_sub(TARGET_INFO_EVERY);
                    rows.push(at);
                }
                // Nobody sent it, so it must not be refused either for being late.
                let written = self.memory.written.get(&series).copied().unwrap_or(Timestamp::MIN);
                for at in rows.into_iter().rev().filter(|at| *at > written) {
                    self.sink.append(self.origin, at, self.now, &[(series, Value::Float(1.0))]);
                }
                if last > written {
                    if self.memory.written.len() >= self.limits.max_streams {
                        self.memory.written.clear();
                    }
                    self.memory.written.insert(series, last.min(self.now));
                }
            }
        }
    }

    fn metric(&mut self, metric: &Metric, scope: &str, resource: &ResourceLabels) {
        let Some(data) = &metric.data else { return };
        let (name_kind, kind, temporality) = match data {
            Data::Gauge(_) => (NameKind::Gauge, MetricKind::Gauge, AggregationTemporality::Cumulative as i32),
            Data::Sum(sum) if sum.is_monotonic => (NameKind::MonotonicSum, MetricKind::Counter, sum.aggregation_temporality),
            Data::Sum(sum) => (NameKind::Other, MetricKind::Gauge, sum.aggregation_temporality),
            Data::Histogram(h) => (NameKind::Other, MetricKind::Histogram, h.aggregation_temporality),
            Data::ExponentialHistogram(h) => (NameKind::Other, MetricKind::Histogram, h.aggregation_temporality),
            Data::Summary(_) => (NameKind::Other, MetricKind::Summary, AggregationTemporality::Cumulative as i32),
        };
        let points = points_of(data);
        let name = metric_name(&metric.name, &metric.unit, name_kind);
        if name.is_empty() {
            return self.reject("no usable name", points);
        }
        let temporality = match AggregationTemporality::try_from(temporality) {
            Ok(AggregationTemporality::Delta) => Temporality::Delta,
            Ok(AggregationTemporality::Cumulative) => Temporality::Cumulative,
            Ok(AggregationTemporality::Unspecified) => {
                self.warn("unspecified temporality taken as cumulative", points);
                Temporality::Cumulative
            }
            Err(_) => return self.reject("unknown temporality", points),
        };
        self.sink.describe(&name, Metadata { kind, help: metric.description.clone(), unit: metric.unit.clone() });
        let scope = self.memory.scopes.is_contested(&metric.name).then_some(scope);
        let family = Family { name: &name, kind, temporality, resource, scope };
        match data {
            Data::Gauge(gauge) => gauge.data_points.iter().for_each(|p| self.number(&family, p)),
            Data::Sum(sum) => sum.data_points.iter().for_each(|p| self.number(&family, p)),
            Data::Histogram(h) => h.data_points.iter().for_each(|p| self.histogram(&family, p)),
            Data::ExponentialHistogram(h) => h.data_points.iter().for_each(|p| self.exponential(&family, p)),
            Data::Summary(s) => s.data_points.iter().for_each(|p| self.summary(&family, p)),
        }
    }

    /// The labels of a point, but for the name and `le` or `quantile`.
    pub(super) fn labels(&mut self, family: &Family<'_>, attributes: &[KeyValue]) -> LabelsBuilder {
        let mut labels = family.resource.of_point(attributes, self.limits);
        if let Some(scope) = family.scope {
            let mut plain = labels.clone();
            plain.set(METRIC_NAME, family.name);
            if !self.memory.scopes.owns(plain.build(), scope, self.now) {
                labels.set(SCOPE_LABEL, scope);
            }
        }
        labels
    }

    /// The series of a name with the labels of a point.
    pub(super) fn series(&self, labels: &LabelsBuilder, name: &str, extra: Option<(&str, &str)>, kind: MetricKind) -> Option<SeriesId> {
        let mut labels = labels.clone();
        if let Some((label, value)) = extra {
            labels.set(label, value);
        }
        labels.set(METRIC_NAME, name);
        self.sink.series(self.origin, &labels.build(), kind)
    }

    pub(super) fn reject(&mut self, reason: &'static str, points: u64) {
        add(&mut self.receipt.rejected, reason, points);
    }

    fn warn(&mut self, reason: &'static str, points: u64) {
        add(&mut self.receipt.warnings, reason, points);
    }

    /// Appends a point of one sample, together with others of its time.
    pub(super) fn scalar(&mut self, at: Timestamp, series: SeriesId, value: Value) {
        self.scalars.push((at, series, value));
    }

    fn took(&mut self, at: Timestamp) {
        self.taken = Some(self.taken.map_or((at, at), |(first, last)| (first.min(at), last.max(at))));
    }

    fn append_scalars(&mut self) {
        let mut scalars = std::mem::take(&mut self.scalars);
        scalars.sort_by_key(|(at, ..)| *at);
        let mut row = Vec::new();
        for same_time in scalars.chunk_by(|a, b| a.0 == b.0) {
            row.clear();
            row.extend(same_time.iter().map(|(_, series, value)| (*series, value.clone())));
            let appended = self.sink.append(self.origin, same_time[0].0, self.now, &row);
            let mut rejected = 0;
            for (reason, samples) in reasons(&appended) {
                self.reject(reason, samples as u64);
                rejected += samples;
            }
            let accepted = row.len().saturating_sub(rejected) as u64;
            self.receipt.accepted += accepted;
            if accepted > 0 {
                self.took(same_time[0].0);
            }
        }
    }

    /// Appends a point of several samples, which counts as one: a first by which its stream is known, and from `parts` on what may be others in the next
    /// point. What the point before it had of these and this one has not ends. A point without a value (`stale`) ends everything.
    pub(super) fn whole_row(&mut self, at: Timestamp, row: Vec<(Option<SeriesId>, Value)>, parts: usize, stale: bool) {
        let Some(mut row) = row.into_iter().map(|(series, value)| Some((series?, value))).collect::<Option<Vec<_>>>() else {
            return self.reject("series limit", 1);
        };
        if stale {
            row.iter_mut().for_each(|(_, value)| *value = Value::Float(STALE_NAN));
        }
        let appended = self.sink.append(self.origin, at, self.now, &row);
        match reasons(&appended).into_iter().max_by_key(|(_, samples)| *samples) {
            Some((reason, samples)) if samples > 0 => return self.reject(reason, 1),
            _ => self.receipt.accepted += 1,
        }
        self.took(at);
        let stream = row[0].0;
        let parts: Vec<SeriesId> = row[parts..].iter().map(|(series, _)| *series).collect();
        let before = self.memory.layouts.before(stream, at, self.now);
        if before != parts {
            let kept: HashSet<SeriesId> = parts.iter().copied().collect();
            let ended = before.iter().filter(|id| !kept.contains(*id));
            let ended: Vec<_> = ended.map(|id| (*id, Value::Float(STALE_NAN))).collect();
            self.sink.append(self.origin, at, self.now, &ended);
        }
        self.memory.layouts.remember(stream, at, self.now, &parts);
    }

    pub(super) fn exemplar(&self, series: SeriesId, exemplar: &WireExemplar) {
        let value = match exemplar.value {
            Some(exemplar::Value::AsDouble(value)) => value,
            Some(exemplar::Value::AsInt(value)) => value as f64,
            None => return,
        };
        let trace_id = exemplar.trace_id[..].try_into().ok().map(TraceId).filter(|id| !id.is_zero());
        let span_id = exemplar.span_id[..].try_into().ok().map(SpanId).filter(|id| !id.is_zero());
        let labels = plain_labels(&exemplar.filtered_attributes, self.limits);
        let characters: usize = labels.iter().map(|l| l.name.chars().count() + l.value.chars().count()).sum();
        let ids = if trace_id.is_some() { "trace_id".len() + 32 } else { 0 } + if span_id.is_some() { "span_id".len() + 16 } else { 0 };
        let labels = if characters + ids <= Exemplar::CHARACTERS { labels } else { Default::default() };
        self.sink.exemplar(series, Exemplar { at: time(exemplar.time_unix_nano), value, trace_id, span_id, labels });
    }
}

/// The time of a point.
pub(super) fn time(nanos: u64) -> Timestamp {
    Nanos(nanos).timestamp()
}

fn reasons(appended: &Appended) -> [(&'static str, usize); 5] {
    [
        ("future", appended.future),
        ("old", appended.old),
        ("out of order", appended.out_of_order),
        ("duplicate", appended.duplicate),
        ("series limit", appended.series_limit),
    ]
}

fn add(list: &mut Vec<(&'static str, u64)>, reason: &'static str, count: u64) {
    if count == 0 {
        return;
    }
    match list.iter_mut().find(|(r, _)| *r == reason) {
        Some((_, n)) => *n += count,
        None => list.push((reason, count)),
    }
}

fn points_of(data: &Data) -> u64 {
    let points = match data {
        Data::Gauge(g) => g.data_points.len(),
        Data::Sum(s) => s.data_points.len(),
        Data::Histogram(h) => h.data_points.len(),
        Data::ExponentialHistogram(h) => h.data_points.len(),
        Data::Summary(s) => s.data_points.len(),
    };
    points as u64
}
