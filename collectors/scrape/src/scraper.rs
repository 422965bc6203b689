//! Keeps one loop per target in step with jobs and target files.

use crate::file_sd::FileDiscovery;
use crate::job::{Job, JobError};
use crate::relabel::{LabelMap, Relabel};
use crate::request::BodyBudget;
use crate::status::{DroppedTarget, TargetDetail};
use crate::target::{Planned, TargetPlan, plan};
use crate::target_loop::{CompiledJob, Surroundings, TargetLoop};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use watchfire_fetch::{Fetcher, Redirects, Resolver};
use watchfire_model::reading::Target;
use watchfire_model::{Clock, Meter, STALE_NAN, SeriesId, SeriesSink, Value};

/// How often target files are looked at.
const FILE_INTERVAL: Duration = Duration::from_secs(5);
/// Bytes of bodies held by all scrapes together, beyond 256 KiB each.
const BODY_BUDGET: usize = 128 << 20;

/// Starts the scraper.
pub struct Scraper;

/// The running scraper, seen from outside. Clones are the same scraper.
#[derive(Clone)]
pub struct ScraperHandle {
    jobs: Arc<watch::Sender<Vec<Job>>>,
    board: Arc<Mutex<Board>>,
}

/// What is shown of the scraper.
#[derive(Default)]
struct Board {
    targets: Vec<Arc<Mutex<TargetDetail>>>,
    dropped: Vec<DroppedTarget>,
    problems: Vec<String>,
}

impl Scraper {
    /// Starts scraping in the background of the current tokio runtime, until `stop` is cancelled. A job that cannot run is listed in
    /// [`ScraperHandle::problems`]; it does not keep the others from running.
    pub fn start(jobs: Vec<Job>, sink: Arc<dyn SeriesSink>, meter: Meter, clock: Arc<dyn Clock>, stop: CancellationToken) -> ScraperHandle {
        let (sender, receiver) = watch::channel(jobs);
        let board = Arc::new(Mutex::new(Board::default()));
        let pool = Pool {
            jobs: Vec::new(),
            running: BTreeMap::new(),
            files: FileDiscovery::default(),
            resolver: Resolver::new(),
            around: Surroundings { sink, clock, meter, budget: BodyBudget::new(BODY_BUDGET) },
            board: board.clone(),
        };
        tokio::spawn(pool.run(receiver, stop));
        ScraperHandle { jobs: Arc::new(sender), board }
    }
}

impl ScraperHandle {
    /// Replaces all jobs. Targets whose settings did not change go on undisturbed.
    pub fn set_jobs(&self, jobs: Vec<Job>) {
        self.jobs.send_replace(jobs);
    }

    /// One row per target, by job and instance.
    pub fn targets(&self) -> Vec<Target> {
        self.details().iter().map(TargetDetail::reading).collect()
    }

    /// Active targets as `/api/v1/targets` shows them, by job and instance.
    pub fn details(&self) -> Vec<TargetDetail> {
        self.board.lock().targets.iter().map(|t| t.lock().clone()).collect()
    }

    /// Targets that relabelling dropped.
    pub fn dropped(&self) -> Vec<DroppedTarget> {
        self.board.lock().dropped.clone()
    }

    /// Jobs, files and addresses that cannot be used, in words.
    pub fn problems(&self) -> Vec<String> {
        self.board.lock().problems.clone()
    }
}

struct Running {
    job: Arc<CompiledJob>,
    plan: TargetPlan,
    status: Arc<Mutex<TargetDetail>>,
    stop: CancellationToken,
    task: JoinHandle<Vec<SeriesId>>,
}

/// Targets that should run, by the name of the writer.
type Wanted = BTreeMap<String, (Arc<CompiledJob>, TargetPlan)>;

/// A job with its sources of targets.
struct Active {
    job: Job,
    compiled: Arc<CompiledJob>,
}

struct Pool {
    jobs: Vec<Active>,
    /// By the name of the writer, which holds URL and labels.
    running: BTreeMap<String, Running>,
    files: FileDiscovery,
    resolver: Arc<Resolver>,
    around: Surroundings,
    board: Arc<Mutex<Board>>,
}

impl Pool {
    async fn run(mut self, mut jobs: watch::Receiver<Vec<Job>>, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(FILE_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut refused = self.compile(jobs.borrow_and_update().clone());
        let mut first = true;
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                changed = jobs.changed(), if !first => {
                    if changed.is_err() {
                        // Every handle is gone; the jobs stay as they are.
                        stop.cancelled().await;
                        break;
                    }
                    let new = jobs.borrow_and_update().clone();
                    refused = self.compile(new);
                    self.refresh_files().await;
                    self.sync(&refused).await;
                }
                _ = ticks.tick() => {
                    if self.refresh_files().await || first {
                        first = false;
                        self.sync(&refused).await;
                    }
                }
            }
        }
        for running in self.running.values() {
            running.stop.cancel();
        }
    }

    /// Compiles jobs; those that did not change keep what they have. Gives what was refused.
    fn compile(&mut self, jobs: Vec<Job>) -> Vec<String> {
        let mut refused = Vec::new();
        let mut old = std::mem::take(&mut self.jobs);
        for job in jobs {
            let settings = settings_of(&job);
            let known = old.iter().position(|a| a.compiled.settings == settings).map(|at| old.swap_remove(at).compiled);
            let compiled = match known {
                Some(compiled) => Ok(compiled),
                None => compile(&job, settings, &self.resolver),
            };
            match compiled {
                Ok(compiled) => self.jobs.push(Active { job, compiled }),
                Err(e) => {
                    tracing::warn!(error = %watchfire_model::harmless_limited(&e.to_string(), 300), "scrape job refused");
                    refused.push(e.to_string());
                }
            }
        }
        refused
    }

    async fn refresh_files(&mut self) -> bool {
        let patterns: BTreeSet<String> =
            self.jobs.iter().flat_map(|a| &a.job.file_sd_configs).flat_map(|c| c.files.iter().cloned()).collect();
        if patterns.is_empty() {
            return false;
        }
        let mut files = std::mem::take(&mut self.files);
        match tokio::task::spawn_blocking(move || (files.refresh(&patterns), files)).await {
            Ok((changed, files)) => {
                self.files = files;
                changed
            }
            Err(_) => false,
        }
    }

    /// Starts and stops loops until they are those the jobs and files ask for.
    async fn sync(&mut self, refused: &[String]) {
        let (wanted, dropped, mut problems) = self.plan();
        problems.splice(0..0, refused.iter().cloned().chain(self.files.problems().map(str::to_owned)));

        let mut ended: Vec<(String, Running)> = Vec::new();
        for name in self.running.keys().cloned().collect::<Vec<_>>() {
            let goes_on = wanted.get(&name).is_some_and(|(job, plan)| {
                let running = &self.running[&name];
                Arc::ptr_eq(&running.job, job) && running.plan.interval == plan.interval && running.plan.timeout == plan.timeout
            });
            if !goes_on && let Some(running) = self.running.remove(&name) {
                running.stop.cancel();
                ended.push((name, running));
            }
        }
        let mut inheritance: BTreeMap<String, Vec<SeriesId>> = BTreeMap::new();
        for (name, running) in ended {
            let remains = running.task.await.unwrap_or_default();
            if wanted.contains_key(&name) {
                inheritance.insert(name, remains);
            } else {
                self.end_series(&name, &remains);
            }
        }
        for (name, (job, plan)) in wanted {
            match self.running.get_mut(&name) {
                Some(running) => running.status.lock().discovered_labels = plan.discovered,
                None => {
                    let inherited = inheritance.remove(&name).unwrap_or_default();
                    self.running.insert(name, self.launch(job, plan, inherited));
                }
            }
        }
        let mut targets: Vec<Arc<Mutex<TargetDetail>>> = self.running.values().map(|r| r.status.clone()).collect();
        targets.sort_by_cached_key(|t| {
            let t = t.lock();
            (t.labels.value("job").to_owned(), t.labels.value("instance").to_owned(), t.scrape_url.clone())
        });
        self.around.meter.gauge("watchfire_scrape_targets", &[]).set(targets.len() as f64);
        *self.board.lock() = Board { targets, dropped, problems };
    }

    fn plan(&self) -> (Wanted, Vec<DroppedTarget>, Vec<String>) {
        let (mut wanted, mut dropped, mut problems) = (Wanted::new(), Vec::new(), Vec::new());
        for Active { job, compiled } in &self.jobs {
            let mut addresses: Vec<(&str, LabelMap)> = Vec::new();
            for group in &job.static_configs {
                addresses.extend(group.targets.iter().map(|t| (t.as_str(), group.labels.clone())));
            }
            for pattern in job.file_sd_configs.iter().flat_map(|c| &c.files) {
                for (path, group) in self.files.groups(pattern) {
                    let mut labels = group.labels.clone();
                    labels.insert("__meta_filepath".to_owned(), path.display().to_string());
                    addresses.extend(group.targets.iter().map(|t| (t.as_str(), labels.clone())));
                }
            }
            if job.target_limit > 0 && addresses.len() > job.target_limit {
                problems.push(format!("scrape job {:?}: {} targets, the limit is {}", job.job_name, addresses.len(), job.target_limit));
                addresses.truncate(job.target_limit);
            }
            for (address, group) in addresses {
                match plan(job, &compiled.relabel, address, &group) {
                    Planned::Target(plan) => {
                        wanted.entry(plan.origin()).or_insert((compiled.clone(), *plan));
                    }
                    Planned::Dropped(discovered_labels) => {
                        dropped.push(DroppedTarget {
                            discovered_labels: crate::status::shown(&discovered_labels),
                            scrape_pool: job.job_name.clone(),
                        });
                    }
                    Planned::Bad(what) => problems.push(format!("scrape job {:?}: {what}", job.job_name)),
                }
            }
        }
        (wanted, dropped, problems)
    }

    fn launch(&self, job: Arc<CompiledJob>, plan: TargetPlan, inherited: Vec<SeriesId>) -> Running {
        let status = Arc::new(Mutex::new(TargetDetail::new(&plan, &job.settings.job_name)));
        let stop = CancellationToken::new();
        let target = TargetLoop::new(job.clone(), plan.clone(), self.around.clone(), status.clone(), inherited);
        let task = tokio::spawn(target.run(stop.clone()));
        Running { job, plan, status, stop, task }
    }

    /// The target is gone: none of its series has a value from here on.
    fn end_series(&self, origin: &str, series: &[SeriesId]) {
        let now = self.around.clock.now();
        let row: Vec<(SeriesId, Value)> = series.iter().map(|id| (*id, Value::Float(STALE_NAN))).collect();
        self.around.sink.append(self.around.sink.origin(origin), now, now, &row);
    }
}

/// What of a job decides how its targets are scraped; who they are is left out.
fn settings_of(job: &Job) -> Job {
    Job { static_configs: Vec::new(), file_sd_configs: Vec::new(), labels: BTreeMap::new(), ..job.clone() }
}

fn compile(job: &Job, settings: Job, resolver: &Arc<Resolver>) -> Result<Arc<CompiledJob>, JobError> {
    job.check()?;
    let fail = |what: String| JobError { job: job.job_name.clone(), what };
    let rules = |configs: &[_]| configs.iter().map(Relabel::new).collect::<Result<Vec<_>, _>>().map_err(fail);
    let redirects = Redirects { limit: if job.follow_redirects { job.max_redirects } else { 0 }, anywhere: job.allow_local_redirects };
    let fetcher = Fetcher::new(resolver.clone(), &job.tls_config, redirects).map_err(|e| fail(format!("tls_config: {e}")))?;
    Ok(Arc::new(CompiledJob {
        relabel: rules(&job.relabel_configs)?,
        metric_relabel: rules(&job.metric_relabel_configs)?,
        settings,
        fetcher,
    }))
}
