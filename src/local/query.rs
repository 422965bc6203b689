//! Questions in PromQL: instant and over a range, with what leads from their values to traces; a rule tried on the past; the words to ask with.

use super::LocalSource;
use super::lens::within;
use std::time::Duration;
use watchfire_model::reading::{Backtest, BacktestQuery, QueryExemplar, QueryResult, QuerySeries, ReadError, Vocabulary};
use watchfire_model::{Labels, MatchOp, Matcher, Selector, SeriesData, SeriesSource, TimeRange, Timestamp, Value};
use watchfire_promql::{Query, QueryValue};

/// Exemplars in one answer; a screen lists a handful.
const MAX_EXEMPLARS: usize = 200;

impl LocalSource {
    pub(super) fn query(&self, expression: &str, at: Timestamp) -> Result<QueryResult, ReadError> {
        let evaluation = self.lens(at).evaluate(expression)?;
        Ok(result(evaluation.value, evaluation.warnings, evaluation.infos))
    }

    pub(super) fn query_range(&self, expression: &str, start: Timestamp, end: Timestamp, step: Duration) -> Result<QueryResult, ReadError> {
        let evaluation = self.lens(end).evaluate_range(expression, start, end, step)?;
        let query = self.queries.parse(&self.engine, expression)?;
        let exemplars = self.exemplars(&query, TimeRange::new(start, end));
        Ok(QueryResult { exemplars, ..result(evaluation.value, evaluation.warnings, evaluation.infos) })
    }

    /// What leads from the values of a query to traces, newest first.
    fn exemplars(&self, query: &Query, range: TimeRange) -> Vec<QueryExemplar> {
        let mut found = Vec::new();
        let selectors: Vec<Selector> = query.selectors();
        let buckets = selectors.iter().map(of_buckets);
        for (labels, exemplars) in selectors.iter().cloned().chain(buckets).flat_map(|s| self.store.exemplars(&s, range)) {
            found.extend(exemplars.into_iter().filter_map(|e| {
                Some(QueryExemplar { labels: labels.clone(), at: e.at, value: e.value, trace_id: e.trace_id?.to_string() })
            }));
        }
        found.sort_by(|a, b| b.at.cmp(&a.at).then_with(|| a.trace_id.cmp(&b.trace_id)));
        found.dedup();
        found.truncate(MAX_EXEMPLARS);
        found
    }

    pub(super) fn backtest(&self, query: &BacktestQuery) -> Result<Backtest, ReadError> {
        let lens = self.lens(query.end);
        let interrupt = lens.in_time();
        watchfire_alerts::backtest_query(&self.engine, query, self.store.as_ref(), within(&interrupt)).map_err(ReadError::BadRequest)
    }

    pub(super) fn vocabulary(&self) -> Result<Vocabulary, ReadError> {
        let everything = TimeRange::new(Timestamp::MIN, Timestamp::MAX);
        let failed = |e: watchfire_model::SourceError| ReadError::TooHeavy(e.to_string());
        Ok(Vocabulary {
            metrics: self.store.label_values(watchfire_model::METRIC_NAME, &[], everything).map_err(failed)?,
            labels: self.store.label_names(&[], everything).map_err(failed)?,
            services: self.store.label_values("service_name", &[], everything).map_err(failed)?,
        })
    }
}

/// The selector of a histogram's classic buckets: exemplars stand there, also where the histogram itself is asked for.
fn of_buckets(selector: &Selector) -> Selector {
    let is_name = |m: &Matcher| &*m.name == watchfire_model::METRIC_NAME && m.op == MatchOp::Equal;
    let renamed = |m: &Matcher| if is_name(m) { Matcher::equal(&m.name, &format!("{}_bucket", m.value)) } else { m.clone() };
    Selector(selector.0.iter().map(renamed).collect())
}

fn result(value: QueryValue, warnings: Vec<String>, infos: Vec<String>) -> QueryResult {
    let one = |labels, at, value| QuerySeries::from(&SeriesData { labels, times: vec![at], values: vec![value] });
    let (kind, series) = match value {
        QueryValue::Scalar { at, value } => ("scalar", vec![one(Labels::empty(), at, Value::Float(value))]),
        QueryValue::String { .. } => ("string", Vec::new()),
        QueryValue::Vector(samples) => ("vector", samples.into_iter().map(|s| one(s.labels, s.at, s.value)).collect()),
        QueryValue::Matrix(series) => ("matrix", series.iter().map(QuerySeries::from).collect()),
    };
    QueryResult { kind: kind.to_owned(), series, warnings, infos, exemplars: Vec::new() }
}
