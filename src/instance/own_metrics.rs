//! watchfire's own counters and gauges as series, so that rules and screens can ask about them like about anything else.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use watchfire_model::{Clock, Labels, Meter, MetricKind, OwnSeries, SeriesId, SeriesSink, Value};

const EVERY: Duration = Duration::from_secs(5);

/// Writes every own metric each five seconds until cancelled.
pub async fn publish(meter: Meter, sink: Arc<dyn SeriesSink>, clock: Arc<dyn Clock>, cancel: CancellationToken) {
    let origin = sink.origin("watchfire");
    let mut known: HashMap<Labels, SeriesId> = HashMap::new();
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let readings = meter.readings();
        let mut row = Vec::with_capacity(readings.len());
        for (labels, value, is_counter) in readings {
            let id = match known.get(&labels) {
                Some(id) => *id,
                None => {
                    let kind = if is_counter { MetricKind::Counter } else { MetricKind::Gauge };
                    let Some(id) = sink.own_series(origin, &labels, kind, OwnSeries::Vital) else { continue };
                    known.insert(labels, id);
                    id
                }
            };
            row.push((id, Value::Float(value)));
        }
        let now = clock.now();
        sink.append(origin, now, now, &row);
    }
}
