//! `watchfire` and `watchfire run`: collect, evaluate, and show or stay silent.

use super::leaving;
use super::screen::{self, Wake};
use super::typed::Typed;
use crate::appearance;
use crate::cli::{RunFlags, ScreenFlags};
use crate::clock::SystemClock;
use crate::exit;
use crate::instance::{Instance, Plan, STOP_AT_ONCE, STOP_WITHIN};
use crate::logging;
use crate::memory;
use crate::terminal;
use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use watchfire_model::reading::Source;
use watchfire_model::{Clock, Request};
use watchfire_views::{App, Options, Zone, plain};

/// # Errors
/// When the wish is wrong, or something cannot be started.
pub fn run(flags: &RunFlags) -> anyhow::Result<ExitCode> {
    let plan = Plan::from_flags(flags)?;
    let headless = plan.config.headless;
    start(plan, headless, &flags.screen, None)
}

/// Every port may hold 512 connections, which is more than the 1,024 descriptors that many systems grant unasked; what they grant when asked is enough.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

/// Runs a plan until it is told to stop, or `for_duration` is over.
///
/// # Errors
/// As [`run`].
pub fn start(plan: Plan, headless: bool, flags: &ScreenFlags, for_duration: Option<Duration>) -> anyhow::Result<ExitCode> {
    let screens = !headless && !flags.plain;
    if let (true, Some(why)) = (screens, terminal::refusal()) {
        anyhow::bail!(why);
    }
    let mut no_log = None;
    if screens {
        no_log = logging::to_file(&plan.config.log_level, &plan.config.state_dir);
    } else {
        logging::to_stderr(&plan.config.log_level);
    }
    raise_descriptor_limit();
    memory::spare(plan.config.memory_limit.bytes());
    for warning in &plan.loaded.warnings {
        tracing::warn!("{warning}");
    }
    let app = if screens {
        let typed = Typed::of(&plan.config.state_dir);
        let options = Options { typed: typed.lines(), ..appearance::options(flags, &plan.config.ui)? };
        let mouse = options.mouse;
        let mut app = App::new(options)?;
        if let Some(place) = &flags.open {
            app.order(place);
        }
        no_log.iter().for_each(|news| app.tell(news));
        Some((mouse, typed, app))
    } else {
        None
    };
    let zone = appearance::zone(&plan.config.ui.timezone)?;
    let runtime = super::runtime()?;
    let wakes = screen::wakes();
    let durable = plan.durable;
    let instance = runtime.block_on(Instance::start(plan, screens.then(|| wakes.0.clone())))?;
    let given_up = instance.given_up();
    match app {
        Some((mouse, typed, app)) => {
            screen::listen_for_job_control(&runtime, wakes.0.clone())?;
            let left = CancellationToken::new();
            spawn_signals(&runtime, wakes.0.clone(), &instance, for_duration, left.clone())?;
            let shown = screen::show(app, mouse, typed, instance.source(), instance.commands(), wakes, &SystemClock);
            left.cancel();
            leaving::leave(&runtime, instance, durable);
            shown?;
        }
        None if flags.plain && !headless => {
            let mut signals = Signals::listen(&runtime)?;
            exit::print(&format!("{}\n", instance.listening_text()));
            let hung_up = print_plain(instance.source().as_ref(), &runtime, &mut signals, zone, for_duration, &given_up);
            runtime.block_on(async {
                signals.end_at_once_on_another();
                instance.stop(if hung_up { STOP_AT_ONCE } else { STOP_WITHIN }).await;
            });
        }
        None => {
            let signals = Signals::listen(&runtime)?;
            let mut out = std::io::stdout().lock();
            writeln!(out, "{}", instance.ready_line()).and_then(|()| out.flush())?;
            drop(out);
            runtime.block_on(wait_headless(&instance, signals, for_duration));
            runtime.block_on(instance.stop(STOP_WITHIN));
        }
    }
    // Blocking reads that still run belong to nobody any more.
    runtime.shutdown_timeout(Duration::from_millis(200));
    if given_up.is_cancelled() {
        exit::say(
            "watchfire",
            "evaluation panicked again and again, so this run has ended; its log says where. What was journaled is kept",
        );
        return Ok(ExitCode::from(exit::SOFTWARE));
    }
    Ok(ExitCode::SUCCESS)
}

/// SIGTERM and SIGINT end the screens, SIGHUP ends them too: the terminal went away.
fn spawn_signals(
    runtime: &tokio::runtime::Runtime,
    wake: std::sync::mpsc::Sender<Wake>,
    instance: &Instance,
    for_duration: Option<Duration>,
    left: CancellationToken,
) -> std::io::Result<()> {
    let (cancelled, given_up) = (instance.cancelled(), instance.given_up());
    let mut signals = Signals::listen(runtime)?;
    runtime.spawn(async move {
        tokio::select! {
            _ = signals.term.recv() => {}
            _ = signals.int.recv() => {}
            _ = signals.hup.recv() => {}
            () = elapsed(for_duration) => {}
            () = cancelled.cancelled() => {}
            () = given_up.cancelled() => {}
            () = left.cancelled() => {}
        }
        let _ = wake.send(Wake::Quit);
        signals.another().await;
    });
    Ok(())
}

/// The three signals a run answers to. Listened for before anybody is told that the run has begun, and by the same listeners to its end, so that
/// none is lost.
pub struct Signals {
    term: Signal,
    int: Signal,
    hup: Signal,
}

impl Signals {
    /// # Errors
    /// When the system grants no handler.
    pub fn listen(runtime: &tokio::runtime::Runtime) -> std::io::Result<Self> {
        let _inside = runtime.enter();
        // Once it is listened for, a file that reaches its limit (`ulimit -f`) is an error of writing, as a full disk is, and no end.
        let _ = signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?;
        Ok(Signals { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())?, hup: signal(SignalKind::hangup())? })
    }

    /// What is queued is being drained now; who asks again does not want to wait for it. What is durable is on disk already.
    async fn another(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
        terminal::give_back();
        std::process::exit(1);
    }

    fn end_at_once_on_another(mut self) {
        tracing::info!("stopping: draining what is queued; a second signal ends at once");
        tokio::spawn(async move { self.another().await });
    }
}

async fn elapsed(after: Option<Duration>) {
    match after {
        Some(d) => tokio::time::sleep(d).await,
        None => std::future::pending().await,
    }
}

/// SIGTERM and SIGINT drain, a second one ends at once; SIGHUP reloads rules and notification settings.
async fn wait_headless(instance: &Instance, mut signals: Signals, for_duration: Option<Duration>) {
    let (over, given_up) = (elapsed(for_duration), instance.given_up());
    tokio::pin!(over);
    loop {
        tokio::select! {
            _ = signals.term.recv() => break,
            _ = signals.int.recv() => break,
            () = &mut over => break,
            () = given_up.cancelled() => break,
            _ = signals.hup.recv() => match instance.reload().await {
                Ok(done) => tracing::info!("{done}"),
                Err(error) => tracing::error!("not reloaded, what was loaded before stays: {error}"),
            },
        }
    }
    signals.end_at_once_on_another();
}

/// One line per event, for screen readers and pipes, until one of the signals comes, `for_duration` is over or there is nothing more to tell. True when it was SIGHUP: whoever
/// read the lines is gone.
pub fn print_plain(
    source: &dyn Source,
    runtime: &tokio::runtime::Runtime,
    signals: &mut Signals,
    zone: Zone,
    for_duration: Option<Duration>,
    ended: &CancellationToken,
) -> bool {
    let mut log = plain::Log::in_zone(zone);
    let end = for_duration.map(|d| Instant::now() + d);
    loop {
        for request in [Request::Status, Request::Services, Request::Breakers, Request::Alerts] {
            if let Ok(reading) = source.read(&request, None) {
                for line in log.lines(&reading, SystemClock.now()) {
                    exit::print(&format!("{line}\n"));
                }
            }
        }
        let left = end.map_or(Duration::from_secs(1), |e| e.saturating_duration_since(Instant::now()).min(Duration::from_secs(1)));
        let stopped = runtime.block_on(async {
            tokio::select! {
                _ = signals.int.recv() => Some(false),
                _ = signals.term.recv() => Some(false),
                _ = signals.hup.recv() => Some(true),
                () = ended.cancelled() => Some(false),
                () = tokio::time::sleep(left) => None,
            }
        });
        let over = end.is_some_and(|e| Instant::now() >= e);
        if let Some(hung_up) = stopped.or(over.then_some(false)) {
            return hung_up;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::mpsc::channel;
    use watchfire_model::reading::ReadError;
    use watchfire_model::{Reading, Timestamp};

    /// Sends this process an interrupt in the middle of a later round of questions.
    struct Interrupting(AtomicU32);

    impl Source for Interrupting {
        fn read(&self, _: &Request, _: Option<Timestamp>) -> Result<Reading, ReadError> {
            if self.0.fetch_add(1, Ordering::SeqCst) == 6 {
                let sent = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::INT);
                sent.expect("a signal to oneself");
            }
            Err(ReadError::Timeout)
        }
    }

    #[test]
    fn a_signal_that_comes_while_readings_are_read_and_printed_is_not_lost() {
        let (ended, end) = channel();
        std::thread::spawn(move || {
            let runtime = crate::modes::runtime().expect("a runtime");
            let mut signals = Signals::listen(&runtime).expect("listeners");
            let hung_up =
                print_plain(&Interrupting(AtomicU32::new(0)), &runtime, &mut signals, Zone::default(), None, &CancellationToken::new());
            ended.send(hung_up).expect("the test waits");
        });
        assert_eq!(end.recv_timeout(Duration::from_secs(20)), Ok(false), "it ends, and the reader is there still");
    }
}
