//! `watchfire attach`: the same screens over a headless instance.

use super::screen;
use super::typed::Typed;
use crate::appearance;
use crate::attach::RemoteSource;
use crate::cli::AttachArgs;
use crate::clock::SystemClock;
use crate::door;
use crate::instance::environment;
use crate::logging;
use crate::prometheus::PrometheusSource;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use watchfire_config::{Config, Ui, paths};
use watchfire_model::reading::{CommandSink, ReadError, Source, Status};
use watchfire_model::{Reading, Request};
use watchfire_views::{App, Options};

/// Where a headless watchfire listens unless it was told otherwise.
const DEFAULT: &str = "http://127.0.0.1:9499";
/// Loopback answers at once.
const BRIEFLY: Duration = Duration::from_millis(300);

/// # Errors
/// When there is no terminal, or nothing answers at the address.
pub fn attach(args: &AttachArgs) -> anyhow::Result<ExitCode> {
    let runtime = super::runtime()?;
    let environment = environment();
    let remote = match &args.url {
        Some(url) => RemoteSource::of_environment(url, &runtime)?,
        None => {
            let doors = door::directory(&environment);
            RemoteSource::of_environment(&own_instance(&doors)?, &runtime)?.through_doors_in(doors)
        }
    };
    let remote = Arc::new(remote);
    let cannot = |e| remote.advise(e).context(format!("cannot attach to {}", remote.name()));
    let mut source: Arc<dyn Source> = remote.clone();
    let mut commands: Arc<dyn CommandSink> = remote.clone();
    let status = match remote.read(&Request::Status, None) {
        Err(error @ ReadError::NotFound(_)) => match remote.prometheus() {
            Some(program) => {
                let prometheus = Arc::new(PrometheusSource::new(remote.clone(), program, Arc::new(SystemClock)));
                (source, commands) = (prometheus.clone(), prometheus);
                source
                    .read(&Request::Status, None)
                    .map_err(|e| cannot(error).context(format!("nor can it be read as a Prometheus: {e}")))?
            }
            None => return Err(cannot(error)),
        },
        other => other.map_err(cannot)?,
    };
    // Who names no instance means a real one, where there is one.
    let demo = matches!(&status, Reading::Status(status) if args.url.is_none() && status.simulated);
    if let (true, Reading::Status(status)) = (demo, &status)
        && another_listens(status)
    {
        anyhow::bail!(
            "only a demo of yours runs here, and another watchfire listens at {DEFAULT}; choose one:\nwatchfire attach {}\nwatchfire attach {DEFAULT}",
            remote.name()
        );
    }
    let found = format!("this is a demo, the only watchfire of yours that runs ({})", remote.name());
    // A broken configuration is the other side's business; here it only costs the looks.
    let ui = Config::load(None, environment.clone(), []).map_or_else(|_| Ui::default(), |loaded| loaded.config.ui);
    if args.screen.plain {
        if demo {
            eprintln!("watchfire: {}", watchfire_model::harmless(&found));
        }
        let mut signals = super::run::Signals::listen(&runtime)?;
        super::run::print_plain(source.as_ref(), &runtime, &mut signals, appearance::zone(&ui.timezone)?, None, &CancellationToken::new());
        runtime.shutdown_timeout(Duration::from_millis(200));
        return Ok(ExitCode::SUCCESS);
    }
    let state_dir = paths(&environment).state_dir;
    let no_log = logging::to_file("info", &state_dir);
    let typed = Typed::of(&state_dir);
    let options = Options { typed: typed.lines(), ..appearance::options(&args.screen, &ui)? };
    let mouse = options.mouse;
    let mut app = App::new(options)?;
    if let Some(place) = &args.screen.open {
        app.order(place);
    }
    for news in no_log.iter().chain(demo.then_some(&found)) {
        app.tell(news);
    }
    let wakes = screen::wakes();
    screen::listen_for_job_control(&runtime, wakes.0.clone())?;
    let wake = wakes.0.clone();
    runtime.spawn(async move {
        let (Ok(mut term), Ok(mut hup)) = (signal(SignalKind::terminate()), signal(SignalKind::hangup())) else { return };
        tokio::select! {
            _ = term.recv() => {}
            _ = hup.recv() => {}
        }
        let _ = wake.send(screen::Wake::Quit);
    });
    let shown = screen::show(app, mouse, typed, source, commands, wakes, &SystemClock);
    runtime.shutdown_timeout(Duration::from_millis(200));
    shown?;
    Ok(ExitCode::SUCCESS)
}

/// Whether something listens where a headless watchfire does unless it was told otherwise, that is not the one with this status.
fn another_listens(status: &Status) -> bool {
    let address = DEFAULT.trim_start_matches("http://");
    let socket: Option<SocketAddr> = address.parse().ok();
    status.listening.api.as_deref() != Some(address) && socket.is_some_and(|socket| TcpStream::connect_timeout(&socket, BRIEFLY).is_ok())
}

/// The address of the one watchfire that this user runs on this machine.
fn own_instance(directory: &Path) -> anyhow::Result<String> {
    match &door::open_doors(directory)[..] {
        [] => Ok(DEFAULT.to_owned()),
        [door] => Ok(format!("unix:{}", door.display())),
        doors => {
            let choices: Vec<String> = doors.iter().map(|door| format!("watchfire attach unix:{}", door.display())).collect();
            anyhow::bail!("{} instances of yours run here; choose one:\n{}", doors.len(), choices.join("\n"))
        }
    }
}
