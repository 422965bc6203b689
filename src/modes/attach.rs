//! `watchfire attach`: the same screens over a headless instance.

use super::screen;
use crate::appearance;
use crate::attach::RemoteSource;
use crate::cli::AttachArgs;
use crate::clock::SystemClock;
use crate::logging;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};
use watchfire_config::{Ui, paths};
use watchfire_model::Request;
use watchfire_model::reading::Source;
use watchfire_views::App;

/// # Errors
/// When there is no terminal, or nothing answers at the address.
pub fn attach(args: &AttachArgs) -> anyhow::Result<ExitCode> {
    let runtime = super::runtime()?;
    let remote = Arc::new(RemoteSource::new(&args.url, std::env::var("WATCHFIRE_TOKEN").ok(), runtime.handle().clone())?);
    remote
        .read(&Request::Status, None)
        .map_err(|e| anyhow::anyhow!("cannot attach to {}: {e}\nstart the other side with `watchfire run --headless`", remote.url()))?;
    let environment = std::env::vars_os().filter_map(|(n, v)| Some((n.into_string().ok()?, v.into_string().ok()?))).collect();
    logging::to_file("info", &paths(&environment).state_dir).map_err(|e| anyhow::anyhow!("cannot write the log: {e}"))?;
    let options = appearance::options(&args.screen, &Ui::default())?;
    let mouse = options.mouse;
    let mut app = App::new(options)?;
    if let Some(place) = &args.screen.open {
        app.order(place);
    }
    let wakes = screen::wakes();
    let wake = wakes.0.clone();
    runtime.spawn(async move {
        let (Ok(mut term), Ok(mut hup)) = (signal(SignalKind::terminate()), signal(SignalKind::hangup())) else { return };
        tokio::select! {
            _ = term.recv() => {}
            _ = hup.recv() => {}
        }
        let _ = wake.send(screen::Wake::Quit);
    });
    let shown = screen::show(app, mouse, remote.clone(), remote, wakes, &SystemClock);
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    shown?;
    Ok(ExitCode::SUCCESS)
}
