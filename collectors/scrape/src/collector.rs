//! Pointing watchfire at an OpenTelemetry collector: where its own metrics and its health check are, what its metrics say, and the snippet
//! that makes it send here. Metric names: OpenTelemetry Collector, internal telemetry.

use crate::job::{Job, JobError};
use std::time::Duration;
use watchfire_model::reading::CollectorFigures;

const METRICS_PORT: u16 = 8888;
const HEALTH_PORT: u16 = 13133;

/// What `--collector URL` sets up.
#[derive(Clone, Debug, PartialEq)]
pub struct Collector {
    /// `host:port` of its metrics; the name of its node on the map.
    pub instance: String,
    /// Scrapes the collector's own metrics, as job `otelcol`.
    pub job: Job,
    /// URL of its `health_check` extension.
    pub health_url: String,
}

impl Collector {
    /// From `http://host:port`. Without a port the metrics are at 8888; the health check is at 13133 of the same host.
    ///
    /// # Errors
    /// When the text is not an http or https URL.
    pub fn from_url(text: &str) -> Result<Collector, JobError> {
        let written = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let fail = |what: String| JobError { job: text.to_owned(), what };
        let mut url = reqwest::Url::parse(&written).map_err(|e| fail(format!("not a URL: {e}; write http://host:8888")))?;
        // A written port stands in the text even where it is the scheme's own.
        let authority = written.split("://").nth(1).unwrap_or_default().split('/').next().unwrap_or_default();
        let port_written = authority
            .rsplit('@')
            .next()
            .unwrap_or_default()
            .rsplit(':')
            .next()
            .is_some_and(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()))
            && authority.contains(':');
        if !port_written && url.set_port(Some(METRICS_PORT)).is_err() {
            return Err(fail("the URL has no host".to_owned()));
        }
        url.set_fragment(Some("otelcol"));
        let mut job = Job::from_url(url.as_str())?;
        job.scrape_interval = Duration::from_secs(10);
        let instance = job.static_configs[0].targets[0].clone();
        let health_url = format!("{}://{}:{HEALTH_PORT}/", url.scheme(), url.host_str().unwrap_or("127.0.0.1"));
        Ok(Collector { instance, job, health_url })
    }
}

/// Adds up samples of one collector's own metrics: (metric name, value). Names outside `otelcol_*` are passed over. What is absent stays `None`: a
/// collector without a queue has no queue of length 0. What was lost lately no total tells; that is left empty.
pub fn figures<'a>(samples: impl IntoIterator<Item = (&'a str, f64)>) -> CollectorFigures {
    let mut figures = CollectorFigures::default();
    let (mut by_receivers, mut by_processors) = (None, None);
    for (name, value) in samples {
        let Some(name) = name.strip_prefix("otelcol_") else { continue };
        let name = name.strip_suffix("_total").unwrap_or(name);
        // Translations of OTLP names add the unit.
        let name = name.strip_suffix("_seconds").unwrap_or(name);
        let name = name.strip_suffix("__batches_").or_else(|| name.strip_suffix("_batches")).unwrap_or(name);
        let field = match name {
            "exporter_queue_size" => &mut figures.queue_size,
            "exporter_queue_capacity" => &mut figures.queue_capacity,
            "process_uptime" => &mut figures.uptime_seconds,
            n if n.starts_with("receiver_accepted_") => &mut figures.accepted,
            n if n.starts_with("receiver_refused_") || n.starts_with("receiver_failed_") => &mut by_receivers,
            n if n.starts_with("processor_refused_") => &mut by_processors,
            // Newer collectors count drops of processors as `incoming` minus `outgoing`; those that say `dropped` are read here.
            n if n.starts_with("processor_dropped_") => &mut figures.dropped,
            n if n.starts_with("exporter_sent_") => &mut figures.sent,
            n if n.starts_with("exporter_send_failed_") => &mut figures.send_failed,
            n if n.starts_with("exporter_enqueue_failed_") => &mut figures.enqueue_failed,
            _ => continue,
        };
        if value.is_finite() {
            *field = Some(field.unwrap_or(0.0) + value);
        }
    }
    // What the memory limiter refuses its receiver refuses in turn, and counts it again.
    figures.refused = by_receivers.into_iter().chain(by_processors).reduce(f64::max);
    figures
}

/// The collector configuration that sends everything here: paste and merge.
pub fn exporter_snippet(grpc: &str, http: &str) -> String {
    format!(
        "# Add to the OpenTelemetry collector's configuration.
exporters:
  otlp/watchfire:
    endpoint: {grpc}
    tls:
      insecure: true
  # Or over HTTP:
  # otlphttp/watchfire:
  #   endpoint: http://{http}

service:
  pipelines:
    # Add otlp/watchfire to the exporters that are there already.
    traces:
      exporters: [otlp/watchfire]
    metrics:
      exporters: [otlp/watchfire]
    logs:
      exporters: [otlp/watchfire]
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_url_gives_metrics_and_health() {
        for (url, metrics, health) in [
            ("http://127.0.0.1", "127.0.0.1:8888", "http://127.0.0.1:13133/"),
            ("http://otel:9888/metrics", "otel:9888", "http://otel:13133/"),
            ("otel", "otel:8888", "http://otel:13133/"),
            ("http://[::1]", "[::1]:8888", "http://[::1]:13133/"),
            ("http://otel:80", "otel:80", "http://otel:13133/"),
        ] {
            let collector = Collector::from_url(url).unwrap();
            assert_eq!((collector.instance.as_str(), collector.health_url.as_str()), (metrics, health), "{url}");
            assert_eq!(collector.job.job_name, "otelcol");
            assert_eq!(collector.job.metrics_path, "/metrics");
        }
        assert!(Collector::from_url("ftp://otel").is_err());
    }

    #[test]
    fn own_metrics_of_old_and_new_collectors_add_up() {
        let figures = figures([
            ("otelcol_receiver_accepted_spans", 10.0),
            ("otelcol_receiver_accepted_spans_total", 5.0),
            ("otelcol_receiver_refused_log_records_total", 2.0),
            ("otelcol_exporter_queue_size", 300.0),
            ("otelcol_exporter_queue_capacity", 1000.0),
            ("otelcol_exporter_send_failed_spans__spans__total", 7.0),
            ("otelcol_process_uptime_seconds_total", 12.5),
            ("go_goroutines", 9.0),
        ]);
        assert_eq!((figures.accepted, figures.uptime_seconds), (Some(15.0), Some(12.5)));
        assert_eq!((figures.refused, figures.dropped, figures.send_failed), (Some(2.0), None, Some(7.0)));
        assert_eq!((figures.queue_size, figures.queue_capacity), (Some(300.0), Some(1000.0)));
    }

    #[test]
    fn what_a_processor_and_then_its_receiver_refuse_is_refused_once() {
        let refused = |samples: &[(&str, f64)]| figures(samples.iter().copied()).refused;
        let limited = [("otelcol_processor_refused_spans_total", 70.0), ("otelcol_receiver_refused_spans_total", 70.0)];
        assert_eq!(refused(&limited), Some(70.0));
        assert_eq!(refused(&limited[..1]), Some(70.0));
        let apart =
            [("otelcol_receiver_refused_spans", 3.0), ("otelcol_receiver_failed_spans", 4.0), ("otelcol_processor_refused_spans", 2.0)];
        assert_eq!(refused(&apart), Some(7.0));
        assert_eq!(refused(&[]), None);
    }

    #[test]
    fn the_snippet_is_yaml_that_names_our_ports() {
        let snippet = exporter_snippet("127.0.0.1:4317", "127.0.0.1:4318");
        let value: serde_json::Value = serde_saphyr::from_str(&snippet).unwrap();
        assert_eq!(value["exporters"]["otlp/watchfire"]["endpoint"], "127.0.0.1:4317");
        assert!(snippet.contains("http://127.0.0.1:4318"));
    }
}
