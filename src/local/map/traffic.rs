//! Calls between two, as series say: the edges of own spans, or ready-made service graphs.

use crate::local::lens::Lens;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use watchfire_model::Labels;
use watchfire_model::reading::ReadError;

/// `connection_type` of what goes through a queue.
pub(super) const MESSAGING: &str = "messaging_system";

/// `connection_type` of calls whose other half never came, which are counted once it was waited for long enough.
pub(super) const AWAITED: &str = "virtual_node";

#[derive(Clone, Debug, Default)]
pub(super) struct Traffic {
    pub rate: f64,
    pub failed: f64,
    pub p95: Option<f64>,
    pub source: &'static str,
    /// What the rate was taken over.
    pub window: Duration,
    /// Share of the calls whose spans were kept, where that is not all of them.
    pub sampling_ratio: Option<f64>,
}

impl Traffic {
    /// Calls that were seen, as opposed to those they stand for.
    pub fn sample_count(&self) -> f64 {
        self.rate * self.window.as_secs_f64() * self.sampling_ratio.unwrap_or(1.0)
    }
}

/// Client, server and `connection_type`.
pub(super) type Connected = (String, String, String);

/// Edges of own spans; where there are none for a pair, those of a collector or Tempo.
pub(super) fn traffic(lens: &Lens<'_>) -> Result<BTreeMap<Connected, Traffic>, ReadError> {
    let mut out: BTreeMap<Connected, Traffic> = BTreeMap::new();
    let (live, scraped) = (lens.window_text(), lens.scrape_window_text());
    let sources = [("job=\"\"", live, lens.window, "spans"), ("job!=\"\"", scraped, lens.scrape_window, "service graph")];
    let by = "client, server, connection_type";
    // Two jobs that derive the same graph from the same spans say it twice; the fuller one is believed.
    for (own, window, over, source) in sources {
        let mut fresh: BTreeMap<Connected, Traffic> = BTreeMap::new();
        let key = |labels: &Labels| {
            let [client, server, connection] = ["client", "server", "connection_type"].map(|name| labels.value(name).to_owned());
            (client, server, connection)
        };
        let late = if source == "spans" { lens.window_of_awaited() } else { over };
        let total = |metric: &str| {
            let rates = match late == over {
                true => format!("rate({metric}{{{own}}}[{window}])"),
                false => {
                    let [there, awaited] = ["!=", "="].map(|is| format!("{metric}{{{own},connection_type{is}\"{AWAITED}\"}}"));
                    format!("rate({there}[{window}]) or rate({awaited}[{}s])", late.as_secs())
                }
            };
            format!("max by ({by}) (sum by (job, {by}) ({rates}))")
        };
        for (labels, rate) in lens.vector(&total("traces_service_graph_request_total"))? {
            let key = key(&labels);
            let window = if key.2 == AWAITED { late } else { over };
            fresh.insert(key, Traffic { rate, source, window, ..Traffic::default() });
        }
        // An own edge that nobody uses any more is still known, for as long as its series live; counters of others may never end.
        let known: BTreeSet<(&str, &str)> = out.keys().map(|(client, server, _)| (client.as_str(), server.as_str())).collect();
        fresh.retain(|(client, server, _), traffic| {
            (traffic.rate > 0.0 || source == "spans") && !known.contains(&(client.as_str(), server.as_str()))
        });
        for (labels, rate) in lens.vector(&total("traces_service_graph_request_failed_total"))? {
            if let Some(entry) = fresh.get_mut(&key(&labels)) {
                entry.failed = rate;
            }
        }
        // The client's view includes the network and exists for peers without telemetry; the server's is the fallback. Of a message the client
        // only sees that it was put into the queue, so what the consumer did with it comes first.
        for side in ["client", "server"] {
            let metric = format!("traces_service_graph_request_{side}_seconds");
            let histogram = if source == "spans" {
                format!("sum by ({by}) (rate({metric}{{{own}}}[{window}]))")
            } else {
                format!("max by ({by}, le) (sum by (job, {by}, le) (rate({metric}_bucket{{{own}}}[{window}])))")
            };
            for (labels, value) in lens.vector(&format!("histogram_quantile(0.95, {histogram})"))? {
                let key = key(&labels);
                if let Some(entry) = fresh.get_mut(&key)
                    && (entry.p95.is_none() || key.2 == MESSAGING)
                {
                    entry.p95 = Some(value);
                }
            }
        }
        out.extend(fresh);
    }
    Ok(out)
}
