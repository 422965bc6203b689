//! Tasks that outlive their panics.

use super::path::backoff;
use super::shared::Shared;
use std::time::Duration;

/// A task that has panicked begins anew after this long at the latest.
const LONGEST_REST: Duration = Duration::from_secs(60);

/// Runs a task to its end. One that panics begins anew, a little later each time: what it owes is in the state, and nobody else would send it.
pub(super) async fn survive<F: Future<Output = ()> + Send + 'static>(shared: &Shared, name: &str, run: impl Fn() -> F) {
    let limits = shared.table().limits.clone();
    for panics in 1.. {
        match tokio::spawn(run()).await {
            Err(error) if error.is_panic() => {}
            _ => return,
        }
        shared.meter.counter("watchfire_panics_total", &[("task", "delivery")]).add(1);
        let wait = backoff(panics, limits.backoff_min, LONGEST_REST);
        tracing::error!(path = name, wait = wait.as_secs_f64(), "delivery panicked; it begins anew from what is owed");
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = shared.cancel.cancelled() => return,
        }
    }
}
