//! What an instance does by itself, whether or not anybody looks or anything comes in.

use super::own_metrics;
use crate::local::LocalSource;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use watchfire_model::reading::Source;
use watchfire_model::{Clock, Meter, Reading, Request};
use watchfire_store::Store;

const MAINTAIN_EVERY: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Looks at the overall state also while nobody else does, so that "since when" is known to the first who asks, and keeps it as a series.
pub async fn watch_overall(source: Arc<LocalSource>, meter: Meter, cancel: CancellationToken) {
    // Not at once: what is read before the first telemetry would be the first answer that others get.
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + LOOK_EVERY, LOOK_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            _ = ticks.tick() => {
                let (source, meter_of_memory) = (source.clone(), meter.clone());
                let looked = tokio::task::spawn_blocking(move || {
                    source.remember();
                    own_metrics::note_memory(&meter_of_memory, &source.store.usage());
                    source.read(&Request::Status, None)
                })
                .await;
                if let Ok(Ok(Reading::Status(status))) = looked {
                    own_metrics::note_overall(&meter, status.overall);
                }
            }
        }
    }
}

/// Lets go of what is older than the retention, whether or not anything comes in.
pub async fn maintain(store: Arc<Store>, clock: Arc<dyn Clock>, cancel: CancellationToken) {
    let mut ticks = tokio::time::interval(MAINTAIN_EVERY);
    // After a stall once is enough.
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            _ = ticks.tick() => {
                let (store, now) = (store.clone(), clock.now());
                let _ = tokio::task::spawn_blocking(move || store.maintain(now)).await;
            }
        }
    }
}
