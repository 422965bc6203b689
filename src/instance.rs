//! Everything that runs in one process, started and stopped as one: receivers, scraper, prober, evaluator, dispatcher, API, and the
//! simulator of a demo.

mod addresses;
mod commands;
mod dialects;
mod evaluation;
mod evidence;
mod facts;
mod guide;
mod notifications;
mod own_metrics;
mod plan;
mod preset_rules;
mod ready;
mod receivers;
mod reload;
mod settings;
mod simulator;
mod targets;
mod upkeep;

pub use addresses::owner;
pub use dialects::beside as dialects_beside;
pub use evaluation::{conclusion, dialect_engine};
pub use evidence::StoreEvidence;
pub use notifications::{document_settings, notification_paths, notify_settings, test_notifications};
pub use own_metrics::help as own_metric_help;
pub use plan::{Plan, environment, platform};
pub use preset_rules::THRESHOLD_LABEL;
pub use settings::{signals, store_limits};
pub use targets::targets;

use crate::api::{self, Api};
use crate::board::Board;
use crate::clock::SystemClock;
use crate::door::{self, Door};
use crate::local::LocalSource;
use crate::modes::Wake;
use crate::tls;
use crate::topology::JoinedTopology;
use commands::LocalCommands;
use evaluation::EvaluatorHandle;
use facts::LiveFacts;
use reload::Reloader;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use watchfire_model::reading::{CommandSink, Listening, Source};
use watchfire_model::{Clock, Meter};
use watchfire_notifiers::DispatcherHandle;
use watchfire_otlp::RemoteWrite;
use watchfire_promql::Engine;
use watchfire_serve::{Certificates, Guard, Listener, serve};
use watchfire_store::Store;

/// A running watchfire.
pub struct Instance {
    source: Arc<LocalSource>,
    commands: Arc<LocalCommands>,
    listening: Listening,
    api: Arc<Api>,
    /// Receivers and collectors stop first, so that what they brought can still be judged and sent.
    intake: CancellationToken,
    /// Then the dispatcher sends what it owes.
    drain: CancellationToken,
    /// Then everything else.
    everything: CancellationToken,
    evaluator: EvaluatorHandle,
    reloader: Arc<Reloader>,
    dispatcher: DispatcherHandle,
    receivers: Option<watchfire_otlp::Running>,
    tasks: Vec<JoinHandle<()>>,
    /// Closed with the instance.
    _door: Option<Door>,
}

/// How long requests may take to end, and what is owed to be sent, before either is given up.
pub const STOP_WITHIN: Duration = Duration::from_secs(10);
/// The same where the terminal is gone: whoever closed it starts again at once, and needs the state directory for it.
pub const STOP_AT_ONCE: Duration = Duration::from_millis(250);

/// A task that was told to end.
const TASK_WITHIN: Duration = Duration::from_secs(2);

/// Readings computed at once, however many terminals ask.
const READINGS_AT_ONCE: usize = 4;

impl Instance {
    /// Starts; with `terminal`, notifications may also go to the one behind it.
    ///
    /// # Errors
    /// When an address, a rule file, the state directory or a target cannot be used.
    pub async fn start(plan: Plan, terminal: Option<Sender<Wake>>) -> anyhow::Result<Instance> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let meter = Meter::new();
        let intake = CancellationToken::new();
        let drain = CancellationToken::new();
        let everything = CancellationToken::new();
        let config = &plan.config;
        let groups = plan.rule_groups()?;
        let (mut jobs, mut checks) = targets::targets(&plan)?;

        let store = Store::new(store_limits(config), meter.clone(), clock.clone());
        let declared = Arc::new(plan.declared());
        let objectives = Arc::new(plan.platform.as_ref().map(|p| p.objectives.clone()).unwrap_or_default());

        let certificates = tls::server_config(&config.security)?.map(Certificates::new);
        let guard = Guard { tls: certificates.clone(), ..settings::guard(config, plan.token()?) };
        // Simulated services speak plainly and know no secret; nobody else's telemetry comes to a demo.
        let receiver_guard = if plan.demo.is_some() { Guard { token: None, tls: None, ..guard.clone() } } else { guard.clone() };
        let receivers = receivers::start(&plan, &store, receiver_guard, &meter, &clock, &intake)?;
        let api_listener = bind_api(&plan).await?;
        let listening = Listening {
            otlp_grpc: receivers.grpc.map(|a| a.to_string()),
            otlp_http: receivers.http.map(|a| a.to_string()),
            api: api_listener.as_ref().and_then(|l| l.local_addr().ok()).map(|a| a.to_string()),
        };

        let (configured_jobs, configured_checks) = (jobs.len(), checks.len());
        let simulator = match (&plan.platform, &plan.demo) {
            (Some(platform), Some(demo)) => Some(simulator::start(platform, demo, &receivers, &mut jobs, &mut checks, &intake).await?),
            _ => None,
        };

        let api_url = listening.api.as_ref().map(|a| format!("http://{a}")).unwrap_or_default();
        let delivery = notify_settings(&plan, &api_url)?;
        let external_url = delivery.external_url.clone();
        let (dispatcher, recovered) = notifications::start(&plan, delivery.clone(), terminal, &meter, &clock, &drain)?;
        let engine = Arc::new(Engine::new(settings::engine_options(config)));
        let board = Board::default();
        let topology = Arc::new(JoinedTopology::new(store.clone(), declared.clone()));
        let evidence = Arc::new(StoreEvidence::new(store.clone(), engine.clone(), listening.api.clone()));
        let evaluator = evaluation::start(evaluation::Parts {
            plan: &plan,
            groups,
            store: store.clone(),
            engine: engine.clone(),
            topology,
            clock: clock.clone(),
            meter: meter.clone(),
            dispatcher: dispatcher.clone(),
            board: board.clone(),
            recovered,
            evidence: evidence.clone(),
            external_url,
        })?;
        let simulated = (jobs[configured_jobs..].to_vec(), checks[configured_checks..].to_vec());
        let scraper = watchfire_scrape::Scraper::start(jobs, store.clone(), meter.clone(), clock.clone(), intake.clone());
        let prober = watchfire_health::Prober::start(
            checks,
            config.limits.probe.parallel,
            store.clone(),
            meter.clone(),
            clock.clone(),
            intake.clone(),
        );
        let reloaded = reload::Parts {
            evaluator: evaluator.clone(),
            dispatcher: dispatcher.clone(),
            scraper: scraper.clone(),
            prober: prober.clone(),
            simulated,
            certificates,
        };
        let reloader = Arc::new(Reloader::new(&plan, &delivery, api_url, reloaded, clock.clone(), &meter));
        let facts = Arc::new(LiveFacts {
            listening: listening.clone(),
            dispatcher: dispatcher.clone(),
            scraper: scraper.clone(),
            prober,
            store: store.clone(),
            clock: clock.clone(),
            started: clock.now(),
            evidence,
            meter: meter.clone(),
            warnings: plan.warnings(),
            reloader: reloader.clone(),
            demo: plan.demo.is_some(),
            guide: plan.guide(clock.now()),
            forgetful: !plan.durable,
        });
        let source = LocalSource::new(store.clone(), engine.clone(), board.clone(), declared, objectives, clock.clone(), facts)
            .counting(meter.clone());
        let source = Arc::new(source);
        let commands = Arc::new(LocalCommands {
            dispatcher: dispatcher.clone(),
            board: board.clone(),
            store: store.clone(),
            reloader: reloader.clone(),
        });

        let api = Arc::new(Api {
            source: store.clone(),
            engine,
            readings: source.clone(),
            commands: commands.clone(),
            board: Arc::new(board),
            clock: clock.clone(),
            meter: meter.clone(),
            read_slots: Arc::new(Semaphore::new(READINGS_AT_ONCE)),
            query_slots: Arc::new(Semaphore::new(config.limits.query.parallel)),
            query_timeout: config.limits.query.timeout,
            max_points: config.limits.query.points,
            targets: Box::new(move || facts::target_lists(&scraper)),
            config_text: plan.loaded.show(),
            flags: plan.flag_values(),
            delivery: dispatcher.clone(),
            external_url: delivery.external_url.clone(),
            external_labels: plan.external_labels(),
            alertmanagers: config.alertmanager.iter().cloned().collect(),
            remote_write: config.remote_write_receiver.then(|| {
                RemoteWrite::new(store.clone(), clock.clone(), settings::otlp_limits(config), &meter, receivers::over_memory(&store))
            }),
            started: clock.now(),
            retention: watchfire_model::format_duration(config.limits.store.retention),
            ready: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
        });
        let mut tasks = Vec::new();
        if let Some(listener) = api_listener {
            tasks.push(serve("api", listener, api::router(api.clone()), guard.clone(), &meter, everything.clone()));
        }
        let door = open_door(&api, guard, &meter, &everything).map(|(door, task)| {
            tasks.push(task);
            door
        });
        tasks.push(tokio::spawn(own_metrics::publish(meter.clone(), store.clone(), clock.clone(), everything.clone())));
        tasks.push(tokio::spawn(upkeep::watch_overall(source.clone(), meter.clone(), everything.clone())));
        tasks.push(tokio::spawn(upkeep::maintain(store.clone(), clock.clone(), everything.clone())));
        tasks.push(tokio::spawn(reloader.clone().watch(everything.clone())));
        tasks.extend(simulator);
        if !plan.config.collector.is_empty()
            && let (Some(grpc), Some(http)) = (&listening.otlp_grpc, &listening.otlp_http)
        {
            tracing::info!("to send the collector's telemetry here:\n{}", watchfire_scrape::collector::exporter_snippet(grpc, http));
        }
        api.ready.store(true, Ordering::Relaxed);
        let receivers = Some(receivers.running);
        Ok(Instance {
            source,
            commands,
            listening,
            api,
            intake,
            everything,
            drain,
            evaluator,
            reloader,
            dispatcher,
            receivers,
            tasks,
            _door: door,
        })
    }

    pub fn source(&self) -> Arc<dyn Source> {
        self.source.clone()
    }

    pub fn commands(&self) -> Arc<dyn CommandSink> {
        self.commands.clone()
    }

    pub fn ready_line(&self) -> String {
        ready::line(&self.listening)
    }

    pub fn listening_text(&self) -> String {
        ready::sentence(&self.listening)
    }

    /// Cancelled when the instance stops by itself.
    pub fn cancelled(&self) -> CancellationToken {
        self.everything.clone()
    }

    /// Cancelled once nothing is evaluated any more, because that has panicked again and again.
    pub fn given_up(&self) -> CancellationToken {
        self.evaluator.given_up()
    }

    /// Reads rules, notification settings and targets again; a mistake keeps what was loaded before.
    ///
    /// # Errors
    /// Every mistake, with file, line and column.
    pub async fn reload(&self) -> Result<String, String> {
        let reloader = self.reloader.clone();
        tokio::task::spawn_blocking(move || reloader.reload()).await.map_err(|e| e.to_string())?
    }

    /// Notifications still to be sent.
    pub fn owed(&self) -> usize {
        self.dispatcher.owed()
    }

    /// Stops intake, judges once more, drains notifications, ends everything. What is durable is on disk already, so that no step need take
    /// longer than `within`.
    pub async fn stop(mut self, within: Duration) {
        self.api.stopping.store(true, Ordering::Relaxed);
        self.intake.cancel();
        let receivers = self.receivers.take();
        let evaluator = self.evaluator.clone();
        // Both join threads, so they leave the async ones alone.
        let joined = tokio::task::spawn_blocking(move || {
            if let Some(receivers) = receivers {
                receivers.join();
            }
            evaluator.stop();
        });
        if tokio::time::timeout(within, joined).await.is_err() {
            tracing::warn!("a receiver did not end in time");
        }
        self.drain.cancel();
        if tokio::time::timeout(within, self.dispatcher.drained()).await.is_err() {
            tracing::warn!("notifications were still owed at the end; they are kept and sent after the next start");
        }
        self.everything.cancel();
        for task in self.tasks {
            if tokio::time::timeout(within.min(TASK_WITHIN), task).await.is_err() {
                tracing::debug!("a task did not end in time");
            }
        }
    }
}

/// The port of the API, if it is to have one.
async fn bind_api(plan: &Plan) -> anyhow::Result<Option<TcpListener>> {
    match plan.config.api.address() {
        Some(address) => addresses::bind("the API", "api", address, plan.may_move(|f| &f.api)).await.map(Some),
        None => Ok(None),
    }
}

/// The API on a socket for the same user. A directory that cannot hold one is no reason not to start.
fn open_door(api: &Arc<Api>, guard: Guard, meter: &Meter, cancel: &CancellationToken) -> Option<(Door, JoinHandle<()>)> {
    match Door::open(&door::directory(&environment())) {
        Ok((door, listener)) => {
            tracing::info!("the same user attaches without an address: {}", door.path().display());
            // Who comes in here is this user already.
            let guard = Guard { token: None, tls: None, ..guard };
            let listener = Listener::of_user(listener, rustix::process::geteuid().as_raw());
            let task = serve("door", listener, api::router(api.clone()), guard, meter, cancel.clone());
            Some((door, task))
        }
        Err(error) => {
            tracing::warn!("no socket for `watchfire attach` without an address: {error:#}");
            None
        }
    }
}
