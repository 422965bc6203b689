//! What one service sends: requests of the three OTLP signals with the resource of its SDK.

use crate::exposition::Histogram;
use crate::trace::{flag, int, text};
use crate::world::World;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Histogram as OtlpHistogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, metric,
    number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};
use prost::Message;
use std::rc::Rc;
use std::time::Duration;
use watchfire_config::platform::Transport;

/// Spans in one request at most, as the batch processor of the SDKs.
const BATCH: usize = 512;

/// One request of one service.
#[derive(Clone, Debug)]
pub enum Payload {
    Traces(ExportTraceServiceRequest),
    Metrics(ExportMetricsServiceRequest),
    Logs(ExportLogsServiceRequest),
}

impl Payload {
    /// `traces`, `metrics` or `logs`.
    pub fn signal(&self) -> &'static str {
        match self {
            Payload::Traces(_) => "traces",
            Payload::Metrics(_) => "metrics",
            Payload::Logs(_) => "logs",
        }
    }
}

/// A request and how its service would send it.
#[derive(Clone, Debug)]
pub struct Export {
    pub service: String,
    pub transport: Transport,
    pub payload: Payload,
}

impl Export {
    /// The request's bytes: JSON where the service sends JSON, protobuf everywhere else.
    ///
    /// # Errors
    /// When a value has no JSON.
    pub fn body(&self) -> serde_json::Result<Vec<u8>> {
        fn encode<T: Message + serde::Serialize>(request: &T, json: bool) -> serde_json::Result<Vec<u8>> {
            if json { serde_json::to_vec(request) } else { Ok(request.encode_to_vec()) }
        }
        let json = self.transport == Transport::HttpJson;
        match &self.payload {
            Payload::Traces(request) => encode(request, json),
            Payload::Metrics(request) => encode(request, json),
            Payload::Logs(request) => encode(request, json),
        }
    }
}

fn scope(language: &str) -> Option<InstrumentationScope> {
    let name = match language {
        "nodejs" => "@opentelemetry/instrumentation-http",
        "java" => "io.opentelemetry.tomcat-10.0",
        "go" => "go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp",
        "dotnet" => "Microsoft.AspNetCore",
        _ => "opentelemetry.instrumentation.flask",
    };
    Some(InstrumentationScope { name: name.to_owned(), version: "1.0.0".to_owned(), ..InstrumentationScope::default() })
}

impl World {
    fn resource(&self, service: usize) -> Resource {
        let description = &self.platform.services[service];
        let language = if description.language.is_empty() { "python" } else { &description.language };
        let mut attributes = vec![
            text("service.name", description.name.clone()),
            text("service.instance.id", format!("{}-1", description.name)),
            text("deployment.environment.name", "simulation"),
            text("telemetry.sdk.language", language),
            text("telemetry.sdk.name", "opentelemetry"),
            text("telemetry.sdk.version", "1.39.0"),
            text("host.name", format!("{}-host", description.name)),
            flag("watchfire.simulated", true),
        ];
        if !description.version.is_empty() {
            attributes.push(text("service.version", description.version.clone()));
        }
        Resource { attributes, ..Resource::default() }
    }

    /// Spans and logs of a service that are due at the wall-clock offset `until`, in batches.
    pub(crate) fn take_exports(&mut self, service: usize, until: Duration) -> Vec<Export> {
        let platform = Rc::clone(&self.platform);
        let description = &platform.services[service];
        let transport = description.otlp.unwrap_or(platform.defaults.otlp);
        let (spans, logs) = self.services[service].outbox.take(until);
        let resource = Some(self.resource(service));
        let scope = scope(&description.language);
        let export = |payload| Export { service: description.name.clone(), transport, payload };
        let mut exports: Vec<Export> = spans
            .chunks(BATCH)
            .map(|batch| {
                let scope_spans = vec![ScopeSpans { scope: scope.clone(), spans: batch.to_vec(), ..ScopeSpans::default() }];
                let resource_spans = vec![ResourceSpans { resource: resource.clone(), scope_spans, ..ResourceSpans::default() }];
                export(Payload::Traces(ExportTraceServiceRequest { resource_spans }))
            })
            .collect();
        exports.extend(logs.chunks(BATCH).map(|batch| {
            let scope_logs = vec![ScopeLogs { scope: scope.clone(), log_records: batch.to_vec(), ..ScopeLogs::default() }];
            let resource_logs = vec![ResourceLogs { resource: resource.clone(), scope_logs, ..ResourceLogs::default() }];
            export(Payload::Logs(ExportLogsServiceRequest { resource_logs }))
        }));
        exports
    }

    /// The metrics of a service's SDK at `now`: request durations, CPU and memory.
    pub(crate) fn metrics_export(&mut self, service: usize, now: Duration) -> Export {
        let platform = Rc::clone(&self.platform);
        let description = &platform.services[service];
        let [cpu, memory, _] = self.resources(service, now);
        let (start, time) = (self.timeline.nanos(Duration::ZERO, Duration::ZERO), self.timeline.nanos(now, now));
        let number = |value: number_data_point::Value| NumberDataPoint {
            start_time_unix_nano: start,
            time_unix_nano: time,
            value: Some(value),
            ..NumberDataPoint::default()
        };
        let points = self.services[service]
            .durations
            .iter()
            .map(|((method, route, status), histogram)| {
                let attributes = vec![
                    text("http.request.method", method.clone()),
                    text("http.route", route.clone()),
                    int("http.response.status_code", i64::from(*status)),
                ];
                point(histogram, attributes, start, time)
            })
            .collect();
        let metrics = vec![
            Metric {
                name: "http.server.request.duration".into(),
                description: "Duration of HTTP server requests.".into(),
                unit: "s".into(),
                data: Some(metric::Data::Histogram(OtlpHistogram { data_points: points, aggregation_temporality: 2 })),
                ..Metric::default()
            },
            Metric {
                name: "process.cpu.utilization".into(),
                description: "Share of CPU time in use.".into(),
                unit: "1".into(),
                data: Some(metric::Data::Gauge(Gauge { data_points: vec![number(number_data_point::Value::AsDouble(cpu))] })),
                ..Metric::default()
            },
            Metric {
                name: "process.memory.usage".into(),
                description: "Physical memory in use.".into(),
                unit: "By".into(),
                data: Some(metric::Data::Sum(Sum {
                    data_points: vec![number(number_data_point::Value::AsInt((memory * 0.6 * 8e9) as i64))],
                    aggregation_temporality: 2,
                    is_monotonic: false,
                })),
                ..Metric::default()
            },
        ];
        let scope_metrics = vec![ScopeMetrics { scope: scope(&description.language), metrics, ..ScopeMetrics::default() }];
        let resource_metrics =
            vec![ResourceMetrics { resource: Some(self.resource(service)), scope_metrics, ..ResourceMetrics::default() }];
        Export {
            service: description.name.clone(),
            transport: description.otlp.unwrap_or(platform.defaults.otlp),
            payload: Payload::Metrics(ExportMetricsServiceRequest { resource_metrics }),
        }
    }
}

fn point(histogram: &Histogram, attributes: Vec<KeyValue>, start: u64, time: u64) -> HistogramDataPoint {
    HistogramDataPoint {
        attributes,
        start_time_unix_nano: start,
        time_unix_nano: time,
        count: histogram.count(),
        sum: Some(histogram.sum),
        bucket_counts: histogram.counts.clone(),
        explicit_bounds: histogram.bounds.clone(),
        ..HistogramDataPoint::default()
    }
}
