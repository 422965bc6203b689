//! Asking the store in PromQL at one point in time. Every reading goes through here, which is why the time cursor works for all of them.

use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};
use watchfire_model::reading::ReadError;
use watchfire_model::{Labels, NativeHistogram, SeriesSource, Timestamp, Value};
use watchfire_promql::{Control, Engine, EvalError, Evaluation, Interrupt, Query, QueryValue};

/// Parsed queries by text. Bounded: texts typed by people are not kept for ever.
#[derive(Default)]
pub struct QueryCache(Mutex<HashMap<String, Arc<Query>>>);

const MAX_CACHED_QUERIES: usize = 512;

impl QueryCache {
    /// # Errors
    /// When the expression does not parse; the message carries the position.
    pub fn parse(&self, engine: &Engine, expression: &str) -> Result<Arc<Query>, ReadError> {
        let mut cached = self.0.lock();
        if let Some(query) = cached.get(expression) {
            return Ok(query.clone());
        }
        let query = Arc::new(engine.parse(expression).map_err(|e| ReadError::BadRequest(e.to_string()))?);
        if cached.len() >= MAX_CACHED_QUERIES {
            cached.clear();
        }
        cached.insert(expression.to_owned(), query.clone());
        Ok(query)
    }
}

/// Each series with its value per step, `None` where there is none.
pub type Columns = Vec<(Labels, Vec<Option<f64>>)>;

/// The store seen from one moment.
pub struct Lens<'a> {
    pub engine: &'a Engine,
    pub source: &'a dyn SeriesSource,
    pub cache: &'a QueryCache,
    pub at: Timestamp,
    /// What "now" means for a rate: a minute, or less while there is less than a minute of data. Dividing ten seconds of calls by sixty
    /// would show a sixth of the truth.
    pub window: Duration,
    /// The same for series that are scraped, which have a sample every 15 s or so: five minutes, or less while there is less.
    pub scrape_window: Duration,
}

/// Rates are taken over this long once there is that much.
pub const RATE_WINDOW: Duration = Duration::from_secs(60);
pub const SCRAPE_WINDOW: Duration = Duration::from_secs(300);
/// The shortest window with two publications of derived series in it.
pub const SHORTEST_WINDOW: Duration = Duration::from_secs(5);

/// The window of rates when spans have come for `known`. Longer than that by what lies between two publications: the zero that a counter begins with
/// stands where the one before its first span was, and a window without it leaves out the whole first batch of a sender.
pub fn rate_window(known: Duration) -> Duration {
    // Two seconds, and one that whole seconds cut off.
    const BEFORE: Duration = Duration::from_secs(3);
    known.saturating_add(BEFORE).clamp(SHORTEST_WINDOW, RATE_WINDOW)
}

/// The window of rates of scraped series in a run that has lasted for `known`. Beyond a minute it grows in steps, so that the same questions are
/// asked for a while and need not be read anew each second.
pub fn scrape_window(known: Duration) -> Duration {
    const STEP: u64 = 15;
    let known = known.clamp(SHORTEST_WINDOW, SCRAPE_WINDOW);
    if known < RATE_WINDOW { known } else { Duration::from_secs(known.as_secs() / STEP * STEP) }
}

impl Lens<'_> {
    /// # Errors
    /// When the expression is wrong, too heavy, or takes longer than a query may.
    pub fn evaluate(&self, expression: &str) -> Result<Evaluation, ReadError> {
        let query = self.cache.parse(self.engine, expression)?;
        let interrupt = self.in_time();
        self.engine.instant_with(&query, self.source, self.at, within(&interrupt)).map_err(read_error)
    }

    /// Ends a query that people wait for, as the HTTP API does.
    pub fn in_time(&self) -> impl Fn() -> Option<Interrupt> + Sync + use<> {
        let deadline = Instant::now() + self.engine.options().timeout;
        move || (Instant::now() >= deadline).then_some(Interrupt::Timeout)
    }

    /// # Errors
    /// As [`evaluate`](Self::evaluate).
    pub fn evaluate_range(&self, expression: &str, start: Timestamp, end: Timestamp, step: Duration) -> Result<Evaluation, ReadError> {
        let query = self.cache.parse(self.engine, expression)?;
        let interrupt = self.in_time();
        self.engine.range_with(&query, self.source, (start, end, step), within(&interrupt)).map_err(read_error)
    }

    /// An instant vector of floats; NaN means "no calls", which is not a number to show, so it is left out.
    ///
    /// # Errors
    /// As [`evaluate`](Self::evaluate).
    pub fn vector(&self, expression: &str) -> Result<Vec<(Labels, f64)>, ReadError> {
        let mut out = Vec::new();
        match self.evaluate(expression)?.value {
            QueryValue::Vector(samples) => {
                for sample in samples {
                    if let Value::Float(value) = sample.value
                        && !value.is_nan()
                    {
                        out.push((sample.labels, value));
                    }
                }
            }
            QueryValue::Scalar { value, .. } if !value.is_nan() => out.push((Labels::empty(), value)),
            _ => {}
        }
        Ok(out)
    }

    /// One float per value of a label.
    ///
    /// # Errors
    /// As [`evaluate`](Self::evaluate).
    pub fn by(&self, label: &str, expression: &str) -> Result<BTreeMap<String, f64>, ReadError> {
        Ok(self.vector(expression)?.into_iter().map(|(labels, v)| (labels.value(label).to_owned(), v)).collect())
    }

    /// The 50th, 95th and 99th percentile of each histogram of an expression, which is evaluated once for all three.
    ///
    /// # Errors
    /// As [`evaluate`](Self::evaluate).
    pub fn percentiles(&self, histogram: &str) -> Result<BTreeMap<Labels, [Option<f64>; 3]>, ReadError> {
        let mut out: BTreeMap<Labels, [Option<f64>; 3]> = BTreeMap::new();
        for (labels, value) in self.vector(&format!("histogram_quantiles({histogram}, \"quantile\", 0.5, 0.95, 0.99)"))? {
            let index = match labels.value("quantile") {
                "0.5" => 0,
                "0.95" => 1,
                _ => 2,
            };
            let mut builder = labels.to_builder();
            builder.remove("quantile");
            out.entry(builder.build()).or_default()[index] = Some(value);
        }
        Ok(out)
    }

    /// A single number.
    ///
    /// # Errors
    /// As [`evaluate`](Self::evaluate).
    pub fn number(&self, expression: &str) -> Result<Option<f64>, ReadError> {
        Ok(self.vector(expression)?.first().map(|(_, v)| *v))
    }

    /// Each series of a range query as one column per step, `None` where there is no value.
    ///
    /// # Errors
    /// As [`evaluate`](Self::evaluate).
    pub fn columns(&self, expression: &str, back: Duration, step: Duration) -> Result<Columns, ReadError> {
        let (start, count) = self.grid(back, step);
        let mut out = Vec::new();
        if let QueryValue::Matrix(series) = self.evaluate_range(expression, start, self.at, step)?.value {
            for data in series {
                let mut column = vec![None; count];
                for (t, value) in data.times.iter().zip(&data.values) {
                    if let (Some(slot), Value::Float(v)) = (slot(start, *t, step, count), value)
                        && v.is_finite()
                    {
                        column[slot] = Some(*v);
                    }
                }
                out.push((data.labels, column));
            }
        }
        Ok(out)
    }

    /// As [`columns`](Self::columns) for native histograms.
    ///
    /// # Errors
    /// As [`evaluate`](Self::evaluate).
    pub fn histogram_columns(
        &self,
        expression: &str,
        back: Duration,
        step: Duration,
    ) -> Result<Vec<Option<Arc<NativeHistogram>>>, ReadError> {
        let (start, count) = self.grid(back, step);
        let mut column = vec![None; count];
        if let QueryValue::Matrix(series) = self.evaluate_range(expression, start, self.at, step)?.value
            && let Some(data) = series.into_iter().next()
        {
            for (t, value) in data.times.iter().zip(data.values) {
                if let (Some(slot), Value::Histogram(h)) = (slot(start, *t, step, count), value) {
                    column[slot] = Some(h);
                }
            }
        }
        Ok(column)
    }

    /// The window of rates of what is counted ten seconds after it was told, because its other half was waited for: a run that is younger than the window
    /// of rates knows nothing of the last ten seconds, and has nothing before its first.
    pub fn window_of_awaited(&self) -> Duration {
        const WAIT: Duration = Duration::from_secs(10);
        if self.window < RATE_WINDOW { self.window.saturating_sub(WAIT).max(SHORTEST_WINDOW) } else { self.window }
    }

    /// The window for scraped series as PromQL writes it.
    pub fn scrape_window_text(&self) -> String {
        format!("{}s", self.scrape_window.as_secs().max(1))
    }

    /// The window as PromQL writes it.
    pub fn window_text(&self) -> String {
        format!("{}s", self.window.as_secs().max(1))
    }

    /// Start of the grid that ends at the cursor, and the number of its points.
    pub fn grid(&self, back: Duration, step: Duration) -> (Timestamp, usize) {
        let step_ms = step.as_millis().max(1);
        let steps = (back.as_millis() / step_ms).max(1) as usize;
        let start = self.at.saturating_sub(step * (steps as u32 - 1));
        (start, steps)
    }
}

pub fn within(interrupt: &(dyn Fn() -> Option<Interrupt> + Sync)) -> Control<'_> {
    Control { interrupt: Some(interrupt), ..Control::default() }
}

fn slot(start: Timestamp, t: Timestamp, step: Duration, count: usize) -> Option<usize> {
    let offset = t.millis().saturating_sub(start.millis());
    let index = usize::try_from(offset / step.as_millis().max(1) as i64).ok()?;
    (index < count).then_some(index)
}

pub fn read_error(error: EvalError) -> ReadError {
    match error {
        EvalError::TooManySamples { .. } => ReadError::TooHeavy(error.to_string()),
        EvalError::Timeout => ReadError::Timeout,
        other => ReadError::BadRequest(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use watchfire_alerts::MemorySeries;
    use watchfire_promql::{EngineOptions, ExpressionLimits};

    #[test]
    fn the_window_of_scrapes_is_never_longer_than_what_is_known_and_settles() {
        for (known, window) in [(0, 5), (7, 7), (59, 59), (61, 60), (89, 75), (299, 285), (300, 300), (9000, 300)] {
            assert_eq!(scrape_window(Duration::from_secs(known)), Duration::from_secs(window), "{known} s");
        }
    }

    #[test]
    fn nobody_waits_longer_for_a_reading_than_a_query_may_take() {
        let engine = Engine::new(EngineOptions { timeout: Duration::ZERO, ..EngineOptions::default() });
        let (source, cache) = (MemorySeries::new(), QueryCache::default());
        let at = Timestamp(1_700_000_000_000);
        let lens = Lens { engine: &engine, source: &source, cache: &cache, at, window: RATE_WINDOW, scrape_window: SCRAPE_WINDOW };
        assert!(matches!(lens.evaluate("1"), Err(ReadError::Timeout)));
        assert!(matches!(lens.evaluate_range("1", at, at, Duration::from_secs(1)), Err(ReadError::Timeout)));
    }

    #[test]
    fn what_a_query_may_be_long_holds_for_readings_too() {
        let expression = ExpressionLimits { bytes: 8, ..ExpressionLimits::default() };
        let engine = Engine::new(EngineOptions { expression, ..EngineOptions::default() });
        let cache = QueryCache::default();
        assert!(cache.parse(&engine, "up").is_ok());
        assert!(matches!(cache.parse(&engine, "vector(1) + vector(2)"), Err(ReadError::BadRequest(_))));
    }

    #[test]
    fn what_a_sender_told_in_one_batch_stays_in_the_rate_for_a_minute() {
        let first = Timestamp(1_700_000_000_000);
        let source = MemorySeries::new();
        let calls = Labels::from_pairs([("__name__", "calls_total")]);
        // A counter begins with a zero, is counted to sixty at once, and is published every two seconds from then on. At worst the
        // publication before the first span is two seconds old.
        source.push(&calls, first.saturating_sub(Duration::from_secs(2)), Value::Float(0.0));
        for second in 0..60 {
            source.push(&calls, first.saturating_add(Duration::from_millis(500 + 2000 * second)), Value::Float(60.0));
        }
        let (engine, cache) = (Engine::new(EngineOptions::default()), QueryCache::default());
        for known in (600..57_000).step_by(100).map(Duration::from_millis) {
            let window = rate_window(known);
            let at = first.saturating_add(known);
            let lens = Lens { engine: &engine, source: &source, cache: &cache, at, window, scrape_window: window };
            let rate = lens.number(&format!("rate(calls_total[{}])", lens.window_text())).expect("it parses").unwrap_or(0.0);
            let counted = rate * window.as_secs_f64();
            assert!((55.0..=125.0).contains(&counted), "{counted} calls after {known:?}");
        }
    }
}
