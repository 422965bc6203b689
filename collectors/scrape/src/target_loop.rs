//! The life of one target: wait for its slot, fetch, read, store; nobody else waits for it.

use crate::ScrapeError;
use crate::exposition::Format;
use crate::job::Job;
use crate::relabel::Relabel;
use crate::request::{self, BodyBudget, Page};
use crate::sample_labels::LabelRules;
use crate::series_cache::SeriesCache;
use crate::session::{Counts, Session, SessionRules};
use crate::status::TargetDetail;
use crate::target::TargetPlan;
use parking_lot::Mutex;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use watchfire_fetch::Fetcher;
use watchfire_model::{Clock, ClockReading, Counter, METRIC_NAME, Meter, MetricKind, OwnSeries, SeriesId, SeriesSink, Timestamp};

/// A scrape that starts no later than this after its slot is given the slot's time, which makes times regular (Prometheus: `ScrapeTimestampTolerance`).
const TOLERANCE: Duration = Duration::from_millis(2);
/// Targets are looked at within this time of their start, before they fall into their slots.
const FIRST_LOOK: Duration = Duration::from_secs(1);

/// Characters kept of an error; it may quote the target.
const MAX_ERROR: usize = 400;

const REPORT: [&str; 5] =
    ["up", "scrape_duration_seconds", "scrape_samples_scraped", "scrape_samples_post_metric_relabeling", "scrape_series_added"];

/// A job with everything compiled that its targets share.
pub(crate) struct CompiledJob {
    /// Without targets and labels: what is left decides whether a running target may go on.
    pub(crate) settings: Job,
    pub(crate) relabel: Vec<Relabel>,
    pub(crate) metric_relabel: Vec<Relabel>,
    pub(crate) fetcher: Fetcher,
}

/// What all loops share.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) sink: Arc<dyn SeriesSink>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) meter: Meter,
    pub(crate) budget: BodyBudget,
}

pub(crate) struct TargetLoop {
    job: Arc<CompiledJob>,
    plan: TargetPlan,
    around: Surroundings,
    status: Arc<Mutex<TargetDetail>>,
    cache: SeriesCache,
    rules: SessionRules,
    report: Vec<Option<SeriesId>>,
    body_bytes: usize,
    samples: Counter,
    missed: Counter,
}

impl TargetLoop {
    pub(crate) fn new(
        job: Arc<CompiledJob>,
        plan: TargetPlan,
        around: Surroundings,
        status: Arc<Mutex<TargetDetail>>,
        inherited: Vec<SeriesId>,
    ) -> Self {
        let settings = &job.settings;
        let origin = around.sink.origin(&plan.origin());
        let report: Vec<Option<SeriesId>> = REPORT
            .iter()
            .map(|name| {
                let mut labels = plan.labels.to_builder();
                labels.set(METRIC_NAME, name);
                around.sink.own_series(origin, &labels.build(), MetricKind::Gauge, OwnSeries::Vital)
            })
            .collect();
        let rules = SessionRules {
            labels: LabelRules {
                target: plan.labels.clone(),
                honor_labels: settings.honor_labels,
                metric_relabel: job.metric_relabel.clone(),
                label_limit: settings.label_limit,
                name_length: settings.label_name_length_limit,
                value_length: settings.label_value_length_limit,
            },
            sample_limit: settings.sample_limit,
            honor_timestamps: settings.honor_timestamps,
            track_timestamps_staleness: settings.track_timestamps_staleness,
            classic_too: settings.always_scrape_classic_histograms,
            custom_buckets: settings.convert_classic_histograms_to_nhcb,
            reserved: report.iter().flatten().copied().collect(),
            origin,
            own_times: format!("{} (own times)", plan.origin()),
        };
        let mut cache = SeriesCache::new();
        cache.inherited = inherited;
        let samples = around.meter.counter("watchfire_scrape_samples_total", &[]);
        let missed = around.meter.counter("watchfire_scrape_slots_missed_total", &[]);
        TargetLoop { job, plan, around, status, cache, rules, report, body_bytes: 0, samples, missed }
    }

    /// Scrapes until stopped. Gives the series that are then still without an end.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> Vec<SeriesId> {
        let (interval, offset) = (self.plan.interval, self.plan.offset());
        let started = self.around.clock.read();
        let wait = until_slot(started.wall, interval, offset);
        let first_look = Duration::from_nanos(u64::try_from(offset.as_nanos() % FIRST_LOOK.as_nanos()).unwrap_or(0));
        if wait > FIRST_LOOK && interval > 2 * FIRST_LOOK && !self.step(&stop, first_look, None).await {
            return self.remains();
        }
        let (mut due, mut slot) = (started.boot + wait, started.wall.saturating_add(wait));
        loop {
            let wait = due.saturating_sub(self.around.clock.read().boot);
            if !self.step(&stop, wait, Some(slot)).await {
                return self.remains();
            }
            (due, slot) = (due + interval, slot.saturating_add(interval));
            // Slots that passed during a suspend or a long scrape are not made up for.
            let behind = self.around.clock.read().boot.saturating_sub(due);
            let skipped = u32::try_from(behind.as_nanos() / interval.as_nanos()).unwrap_or(u32::MAX);
            if skipped > 0 {
                self.missed.add(u64::from(skipped));
                (due, slot) = (due + interval * skipped, slot.saturating_add(interval * skipped));
            }
        }
    }

    fn remains(self) -> Vec<SeriesId> {
        let reports = self.report.iter().flatten().copied();
        self.cache.live_series().chain(reports).collect()
    }

    /// Waits and scrapes; false when stopped.
    async fn step(&mut self, stop: &CancellationToken, wait: Duration, slot: Option<Timestamp>) -> bool {
        let work = async {
            tokio::time::sleep(wait).await;
            self.scrape(slot).await;
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => false,
            () = work => true,
        }
    }

    async fn scrape(&mut self, slot: Option<Timestamp>) {
        let asked = self.around.clock.read();
        let tolerance = TOLERANCE.min(self.plan.interval / 100);
        let mut at = match slot {
            Some(slot) if asked.wall.since(slot) <= tolerance && slot.since(asked.wall) <= tolerance => slot,
            _ => asked.wall,
        };
        let mut start = tokio::time::Instant::now();
        let mut fetched = self.fetch().await;
        let mut now = self.around.clock.read();
        if fetched.is_err() && now.interrupted_since(&asked, start.elapsed(), self.plan.timeout) {
            (at, start) = (now.wall, tokio::time::Instant::now());
            fetched = self.fetch().await;
            now = self.around.clock.read();
        }
        let outcome = self.store(fetched, at, now, start);
        self.status.lock().scraped(at, start.elapsed(), outcome);
    }

    async fn fetch(&self) -> Result<Page, ScrapeError> {
        let (plan, around) = (&self.plan, &self.around);
        let fetch = request::fetch(&self.job.fetcher, &self.job.settings, &plan.url, plan.timeout, self.body_bytes, &around.budget);
        tokio::time::timeout(plan.timeout, fetch).await.unwrap_or(Err(ScrapeError::Timeout(plan.timeout)))
    }

    /// Reads and stores; the words for the target page.
    fn store(
        &mut self,
        fetched: Result<Page, ScrapeError>,
        at: Timestamp,
        now: ClockReading,
        start: tokio::time::Instant,
    ) -> Result<(u64, Vec<String>), String> {
        let mut session = Session::new(&mut self.cache, &*self.around.sink, &self.rules);
        let read = match &fetched {
            Err(e) => Err((e.reason(), e.to_string())),
            Ok(page) => {
                self.body_bytes = page.body.len();
                // A fault of ours costs this scrape, not the target.
                match std::panic::catch_unwind(AssertUnwindSafe(|| session.read(page.format, &page.body))) {
                    Ok(Ok(())) => Ok(()),
                    Ok(Err(e)) => Err((e.reason(), explain(&e, page))),
                    Err(_) => Err(("internal", "internal error while reading the answer; please report it".to_owned())),
                }
            }
        };
        let mut counts = session.counts();
        if read.is_err() {
            counts.added = 0;
        }
        let report: Vec<(SeriesId, f64)> = self
            .report
            .iter()
            .zip(report_values(read.is_ok(), start.elapsed(), counts))
            .filter_map(|(id, value)| Some(((*id)?, value)))
            .collect();
        if let Err((reason, why)) = read {
            session.fail(at, now.wall, &report);
            self.around.meter.counter("watchfire_scrape_failures_total", &[("reason", reason)]).add(1);
            let why: String = why.chars().take(MAX_ERROR).collect();
            tracing::debug!(url = %self.plan.url, error = %watchfire_model::harmless(&why), "scrape failed");
            return Err(why);
        }
        let stored = session.commit(at, now.wall, now.carried, &report);
        self.samples.add(stored.stored as u64);
        let losses = [
            ("duplicate", counts.duplicate + stored.duplicate),
            ("series_limit", counts.refused + stored.series_limit),
            ("out_of_order", stored.out_of_order),
            ("future", stored.future),
            ("old", stored.old),
        ];
        let mut warnings = Vec::new();
        for (reason, lost) in losses.into_iter().filter(|(_, lost)| *lost > 0) {
            self.around.meter.counter("watchfire_scrape_samples_rejected_total", &[("reason", reason)]).add(lost as u64);
            warnings.push(format!("{lost} samples rejected: {}", reason.replace('_', " ")));
        }
        if let Ok(Page { fallback: Some((content_type, protocol)), .. }) = &fetched {
            let said = if content_type.is_empty() { "no content type".to_owned() } else { format!("content type {content_type:?}") };
            warnings.push(format!("the target sends {said}; read as {protocol:?}"));
        }
        Ok((counts.scraped as u64, warnings))
    }
}

fn explain(error: &crate::exposition::ParseError, page: &Page) -> String {
    match &page.fallback {
        Some((content_type, _)) if content_type.is_empty() => {
            format!("the answer has no Content-Type and does not read as Prometheus text: {error}")
        }
        Some((content_type, _)) => {
            format!("content type {content_type:?} is no metrics format, and the answer does not read as Prometheus text: {error}")
        }
        None if page.format == Format::OpenMetrics => format!("OpenMetrics: {error}"),
        None => error.to_string(),
    }
}

fn report_values(up: bool, took: Duration, counts: Counts) -> [f64; 5] {
    [f64::from(u8::from(up)), took.as_secs_f64(), counts.scraped as f64, counts.kept as f64, counts.added as f64]
}

/// Time from `wall` to the next slot: the next moment that is `offset` past a multiple of `interval`.
fn until_slot(wall: Timestamp, interval: Duration, offset: Duration) -> Duration {
    let interval = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX).max(1);
    let offset = u64::try_from(offset.as_millis()).unwrap_or(0) % interval;
    let position = wall.millis().rem_euclid(i64::try_from(interval).unwrap_or(i64::MAX)) as u64;
    Duration::from_millis((interval + offset - position) % interval)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_lie_on_a_grid_that_does_not_depend_on_the_start() {
        let (interval, offset) = (Duration::from_secs(15), Duration::from_millis(4200));
        for start in [0, 1, 4199, 4200, 4201, 14_999, 1_700_000_000_123] {
            let wait = until_slot(Timestamp(start), interval, offset);
            assert!(wait < interval);
            assert_eq!((start + wait.as_millis() as i64).rem_euclid(15_000), 4200, "{start}");
        }
    }
}
