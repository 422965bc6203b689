//! Metrics in, series out: every type, and what is wrong with single points.

use crate::fixture::*;
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue, any_value::Value as Any};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint, Metric,
    NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint, exemplar, exponential_histogram_data_point::Buckets,
    metric::Data, number_data_point::Value as Number, summary_data_point::ValueAtQuantile,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use watchfire_model::{MetricKind, Timestamp, Value, is_stale};

pub const SECOND: u64 = 1_000_000_000;
pub const CUMULATIVE: i32 = AggregationTemporality::Cumulative as i32;
pub const DELTA: i32 = AggregationTemporality::Delta as i32;

pub fn point(seconds: u64, value: f64) -> NumberDataPoint {
    NumberDataPoint { time_unix_nano: NOW_NANOS + seconds * SECOND, value: Some(Number::AsDouble(value)), ..NumberDataPoint::default() }
}

fn gauge(name: &str, unit: &str, points: Vec<NumberDataPoint>) -> Metric {
    let data = Some(Data::Gauge(Gauge { data_points: points }));
    Metric { name: name.to_owned(), unit: unit.to_owned(), description: "how much".to_owned(), data, ..Metric::default() }
}

pub fn sum(name: &str, temporality: i32, is_monotonic: bool, points: Vec<NumberDataPoint>) -> Metric {
    let data = Some(Data::Sum(Sum { data_points: points, aggregation_temporality: temporality, is_monotonic }));
    Metric { name: name.to_owned(), data, ..Metric::default() }
}

pub fn histogram(name: &str, temporality: i32, points: Vec<HistogramDataPoint>) -> Metric {
    let data = Some(Data::Histogram(Histogram { data_points: points, aggregation_temporality: temporality }));
    Metric { name: name.to_owned(), unit: "s".to_owned(), data, ..Metric::default() }
}

pub fn histogram_point(seconds: u64, bounds: &[f64], counts: &[u64]) -> HistogramDataPoint {
    HistogramDataPoint {
        time_unix_nano: NOW_NANOS + seconds * SECOND,
        count: counts.iter().sum(),
        sum: Some(1.5),
        explicit_bounds: bounds.to_vec(),
        bucket_counts: counts.to_vec(),
        ..HistogramDataPoint::default()
    }
}

fn exponential(temporality: i32, points: Vec<ExponentialHistogramDataPoint>) -> Metric {
    let data = Some(Data::ExponentialHistogram(ExponentialHistogram { data_points: points, aggregation_temporality: temporality }));
    Metric { name: "size".to_owned(), unit: "By".to_owned(), data, ..Metric::default() }
}

fn exponential_point(seconds: u64, scale: i32, counts: &[u64]) -> ExponentialHistogramDataPoint {
    ExponentialHistogramDataPoint {
        time_unix_nano: NOW_NANOS + seconds * SECOND,
        scale,
        count: counts.iter().sum::<u64>() + 1,
        zero_count: 1,
        sum: Some(9.0),
        positive: Some(Buckets { offset: 0, bucket_counts: counts.to_vec() }),
        ..ExponentialHistogramDataPoint::default()
    }
}

/// Sends metrics of a resource without attributes; returns what was rejected and why.
pub async fn send(fixture: &Fixture, metrics: Vec<Metric>) -> (i64, String) {
    send_as(fixture, vec![], metrics).await
}

pub async fn send_as(fixture: &Fixture, attributes: Vec<KeyValue>, metrics: Vec<Metric>) -> (i64, String) {
    send_scopes(fixture, attributes, vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }]).await
}

async fn send_scopes(fixture: &Fixture, attributes: Vec<KeyValue>, scope_metrics: Vec<ScopeMetrics>) -> (i64, String) {
    let resource = Some(Resource { attributes, ..Resource::default() });
    let request =
        ExportMetricsServiceRequest { resource_metrics: vec![ResourceMetrics { resource, scope_metrics, ..ResourceMetrics::default() }] };
    let answer = fixture.post_protobuf("/v1/metrics", request.encode_to_vec()).await;
    assert_eq!(answer.status, 200);
    let response = ExportMetricsServiceResponse::decode(answer.body).expect("a response");
    response.partial_success.map_or((0, String::new()), |p| (p.rejected_data_points, p.error_message))
}

/// Everything stored, as `labels@seconds=value`.
pub fn stored(fixture: &Fixture) -> Vec<String> {
    let samples = fixture.store.samples.lock().expect("not poisoned");
    let text = |value: &Value| match value {
        Value::Float(v) if is_stale(*v) => "stale".to_owned(),
        Value::Float(v) => v.to_string(),
        Value::Histogram(h) if is_stale(h.sum) => "stale histogram".to_owned(),
        Value::Histogram(h) => format!("h{}:{}:{:?}", h.schema, h.count, h.positive_buckets),
    };
    let mut lines: Vec<String> =
        samples.iter().map(|(labels, at, value)| format!("{labels}@{}={}", (at.0 - NOW.0) / 1000, text(value))).collect();
    lines.sort();
    lines
}

#[tokio::test]
async fn numbers_keep_their_time_and_get_their_prometheus_name() {
    let fixture = Fixture::start();
    let int = NumberDataPoint { value: Some(Number::AsInt(-3)), ..point(0, 0.0) };
    let rejected = send(
        &fixture,
        vec![
            gauge("kafka.consumer_group.lag", "1", vec![int]),
            sum("http.requests", CUMULATIVE, true, vec![point(0, 5.0), point(10, 7.0)]),
            sum("queue.length", CUMULATIVE, false, vec![point(0, 4.0)]),
        ],
    )
    .await;
    assert_eq!(rejected, (0, String::new()));
    assert_eq!(
        stored(&fixture),
        ["http_requests_total@0=5", "http_requests_total@10=7", "kafka_consumer_group_lag_ratio@0=-3", "queue_length@0=4"]
    );
    let metadata = fixture.store.metadata.lock().expect("not poisoned").clone();
    assert_eq!(metadata["http_requests_total"].kind, MetricKind::Counter);
    assert_eq!(metadata["queue_length"].kind, MetricKind::Gauge);
    assert_eq!(
        (metadata["kafka_consumer_group_lag_ratio"].help.as_str(), metadata["kafka_consumer_group_lag_ratio"].unit.as_str()),
        ("how much", "1")
    );
    fixture.stop().await;
}

#[tokio::test]
async fn a_resource_becomes_job_instance_promoted_labels_and_target_info() {
    let fixture = Fixture::start();
    let attributes = vec![
        attribute("service.name", text("cart")),
        attribute("service.namespace", text("shop")),
        attribute("service.instance.id", text("i-1")),
        attribute("host.name", text("h1")),
        attribute("deployment.environment.name", text("prod")),
    ];
    let with_labels = NumberDataPoint {
        attributes: vec![
            attribute("a.b", text("2")),
            attribute("a-b", text("1")),
            attribute("1st", Any::BoolValue(true)),
            attribute("job", text("mine")),
            attribute("empty", text("")),
        ],
        ..point(0, 1.0)
    };
    send_as(&fixture, attributes, vec![gauge("g", "", vec![with_labels])]).await;
    let common = r#"deployment_environment_name="prod", instance="i-1", job="shop/cart""#;
    assert_eq!(
        stored(&fixture),
        [
            format!(r#"g{{a_b="1;2", {common}, key_1st="true", service_name="cart", service_namespace="shop"}}@0=1"#),
            r#"target_info{deployment_environment_name="prod", host_name="h1", instance="i-1", job="shop/cart"}@0=1"#.to_owned(),
        ]
    );
    fixture.stop().await;
}

/// Collectors send figures of workloads without a `service.name`.
#[tokio::test]
async fn a_resource_of_kubernetes_is_named_by_its_workload_and_told_apart_by_its_pod() {
    let fixture = Fixture::start();
    for pod in ["web-5d4f8c7b9d-x7k2p", "web-5d4f8c7b9d-b2c4d"] {
        let attributes = vec![attribute("k8s.deployment.name", text("web")), attribute("k8s.pod.name", text(pod))];
        send_as(&fixture, attributes, vec![gauge("g", "", vec![point(0, 1.0)])]).await;
    }
    let names = |pod: &str| format!(r#"instance="{pod}", job="web""#);
    let of = |pod: &str| {
        let [common, name] = [names(pod), format!(r#"k8s_deployment_name="web", k8s_pod_name="{pod}""#)];
        [format!(r#"g{{{common}, service_name="web"}}@0=1"#), format!(r#"target_info{{{common}, {name}}}@0=1"#)]
    };
    let mut expected = [of("web-5d4f8c7b9d-x7k2p"), of("web-5d4f8c7b9d-b2c4d")].concat();
    expected.sort();
    assert_eq!(stored(&fixture), expected);
    fixture.stop().await;
}

/// SDKs of Node, and those of Java before 2.0, tell the process and no instance. The workers of one machine count each for itself.
#[tokio::test]
async fn processes_that_name_no_instance_are_told_apart_by_where_they_run() {
    let fixture = Fixture::start();
    let process = |pid: i64| {
        vec![attribute("service.name", text("web")), attribute("host.name", text("vm-1")), attribute("process.pid", Any::IntValue(pid))]
    };
    for (seconds, pid, value) in [(0, 7, 900.0), (1, 8, 5.0), (10, 7, 910.0), (11, 8, 6.0)] {
        send_as(&fixture, process(pid), vec![sum("hits", CUMULATIVE, true, vec![point(seconds, value)])]).await;
    }
    let hits: Vec<_> = stored(&fixture).into_iter().filter(|series| series.starts_with("hits")).collect();
    let of = |pid: u64, at: u64, value: u64| format!(r#"hits_total{{instance="vm-1/{pid}", job="web", service_name="web"}}@{at}={value}"#);
    assert_eq!(hits, [of(7, 0, 900), of(7, 10, 910), of(8, 11, 6), of(8, 1, 5)]);
    fixture.stop().await;
}

#[tokio::test]
async fn deltas_add_up_per_series_and_out_of_order_ones_are_refused() {
    let fixture = Fixture::start();
    let labelled =
        |seconds, value, label: &str| NumberDataPoint { attributes: vec![attribute("route", text(label))], ..point(seconds, value) };
    send(&fixture, vec![sum("hits", DELTA, true, vec![labelled(0, 2.0, "a"), labelled(0, 10.0, "b"), labelled(10, 3.0, "a")])]).await;
    let (rejected, why) =
        send(&fixture, vec![sum("hits", DELTA, true, vec![labelled(10, 9.0, "a"), labelled(20, 1.0, "a"), labelled(30, -1.0, "a")])]).await;
    assert_eq!((rejected, why.as_str()), (2, "rejected 2 of 3 data points: 1 delta out of order, 1 negative delta"));
    send(&fixture, vec![sum("level", DELTA, false, vec![point(0, 5.0), point(10, -2.0)])]).await;
    assert_eq!(
        stored(&fixture),
        [
            r#"hits_total{route="a"}@0=2"#,
            r#"hits_total{route="a"}@10=5"#,
            r#"hits_total{route="a"}@20=6"#,
            r#"hits_total{route="b"}@0=10"#,
            "level@0=5",
            "level@10=3",
        ]
    );
    fixture.stop().await;
    // The number of streams is bounded.
    let fixture = Fixture::limited(|l| l.max_streams = 2);
    let points = ["a", "b", "c"].map(|label| labelled(0, 1.0, label)).to_vec();
    let (rejected, why) = send(&fixture, vec![sum("hits", DELTA, true, points)]).await;
    assert_eq!((rejected, why.as_str()), (1, "rejected 1 of 3 data points: 1 too many delta streams"));
    fixture.stop().await;
}

/// As two client libraries of one process do, which both count requests by their method.
#[tokio::test]
async fn one_metric_of_two_scopes_is_two_streams() {
    let fixture = Fixture::start();
    let hits = |seconds, value, label: &str| {
        let labelled = NumberDataPoint { attributes: vec![attribute("method", text(label))], ..point(seconds, value) };
        sum("hits", CUMULATIVE, true, vec![labelled])
    };
    let scope = |name: &str, metrics: Vec<Metric>| ScopeMetrics {
        scope: Some(InstrumentationScope { name: name.to_owned(), ..InstrumentationScope::default() }),
        metrics,
        ..ScopeMetrics::default()
    };
    let latency = |counts: &[u64]| histogram("latency", CUMULATIVE, vec![histogram_point(0, &[1.0], counts)]);
    for scopes in [
        vec![scope("http", vec![hits(0, 1.0, "GET"), latency(&[1, 0])]), scope("undici", vec![hits(0, 5.0, "GET"), latency(&[0, 2])])],
        // Whose series is whose does not depend on the order, and equal names with other attributes are no conflict.
        vec![scope("undici", vec![hits(10, 6.0, "GET"), hits(10, 9.0, "PUT")]), scope("http", vec![hits(10, 2.0, "GET")])],
        // Nor on whether the other one is there.
        vec![scope("undici", vec![hits(20, 7.0, "GET")])],
    ] {
        assert_eq!(send_scopes(&fixture, vec![], scopes).await, (0, String::new()));
    }
    assert_eq!(
        stored(&fixture),
        [
            r#"hits_total{method="GET", otel_scope_name="undici"}@0=5"#,
            r#"hits_total{method="GET", otel_scope_name="undici"}@10=6"#,
            r#"hits_total{method="GET", otel_scope_name="undici"}@20=7"#,
            r#"hits_total{method="GET"}@0=1"#,
            r#"hits_total{method="GET"}@10=2"#,
            r#"hits_total{method="PUT"}@10=9"#,
            r#"latency_seconds_bucket{le="+Inf", otel_scope_name="undici"}@0=2"#,
            r#"latency_seconds_bucket{le="+Inf"}@0=1"#,
            r#"latency_seconds_bucket{le="1.0", otel_scope_name="undici"}@0=0"#,
            r#"latency_seconds_bucket{le="1.0"}@0=1"#,
            "latency_seconds_count@0=1",
            r#"latency_seconds_count{otel_scope_name="undici"}@0=2"#,
            "latency_seconds_sum@0=1.5",
            r#"latency_seconds_sum{otel_scope_name="undici"}@0=1.5"#,
        ]
    );
    fixture.stop().await;
}

#[tokio::test]
async fn histograms_become_buckets_with_the_le_text_of_a_scrape() {
    let fixture = Fixture::start();
    send(&fixture, vec![histogram("latency", CUMULATIVE, vec![histogram_point(0, &[0.005, 1.0, 1e6], &[1, 2, 3, 4])])]).await;
    send(&fixture, vec![histogram("spend", DELTA, vec![histogram_point(0, &[1.0], &[1, 0]), histogram_point(10, &[1.0], &[2, 5])])]).await;
    assert_eq!(
        stored(&fixture),
        [
            r#"latency_seconds_bucket{le="+Inf"}@0=10"#,
            r#"latency_seconds_bucket{le="0.005"}@0=1"#,
            r#"latency_seconds_bucket{le="1.0"}@0=3"#,
            r#"latency_seconds_bucket{le="1e+06"}@0=6"#,
            "latency_seconds_count@0=10",
            "latency_seconds_sum@0=1.5",
            r#"spend_seconds_bucket{le="+Inf"}@0=1"#,
            r#"spend_seconds_bucket{le="+Inf"}@10=8"#,
            r#"spend_seconds_bucket{le="1.0"}@0=1"#,
            r#"spend_seconds_bucket{le="1.0"}@10=3"#,
            "spend_seconds_count@0=1",
            "spend_seconds_count@10=8",
            "spend_seconds_sum@0=1.5",
            "spend_seconds_sum@10=3",
        ]
    );
    fixture.stop().await;
}

#[tokio::test]
async fn exponential_histograms_become_native_ones_and_summaries_quantiles() {
    let fixture = Fixture::start();
    send(&fixture, vec![exponential(CUMULATIVE, vec![exponential_point(0, 2, &[1, 2])])]).await;
    let delta =
        Metric { name: "delta".to_owned(), ..exponential(DELTA, vec![exponential_point(0, 2, &[1, 2]), exponential_point(10, 1, &[4])]) };
    send(&fixture, vec![delta]).await;
    let summary = SummaryDataPoint {
        time_unix_nano: NOW_NANOS,
        count: 3,
        sum: 0.5,
        quantile_values: vec![ValueAtQuantile { quantile: 0.5, value: 0.1 }, ValueAtQuantile { quantile: 1.0, value: 0.3 }],
        ..SummaryDataPoint::default()
    };
    let data = Some(Data::Summary(Summary { data_points: vec![summary] }));
    send(&fixture, vec![Metric { name: "rpc".to_owned(), data, ..Metric::default() }]).await;
    assert_eq!(
        stored(&fixture),
        [
            "delta_bytes@0=h2:4:[1.0, 2.0]",
            "delta_bytes@10=h1:9:[7.0]",
            r#"rpc_count@0=3"#,
            r#"rpc_sum@0=0.5"#,
            r#"rpc{quantile="0.5"}@0=0.1"#,
            r#"rpc{quantile="1.0"}@0=0.3"#,
            "size_bytes@0=h2:4:[1.0, 2.0]",
        ]
    );
    fixture.stop().await;
}

#[tokio::test]
async fn a_point_without_a_recorded_value_ends_its_series_and_only_such_a_point_does() {
    let fixture = Fixture::start();
    let ended = |p: NumberDataPoint| NumberDataPoint { flags: 1, value: None, ..p };
    let ended_histogram = HistogramDataPoint { flags: 1, ..histogram_point(0, &[1.0], &[0, 0]) };
    let ended_exponential = ExponentialHistogramDataPoint { flags: 1, ..exponential_point(0, 2, &[]) };
    // The bits of a staleness mark in a value are just a NaN.
    let foreign = point(0, f64::from_bits(0x7ff0_0000_0000_0002));
    send(
        &fixture,
        vec![
            gauge("g", "", vec![ended(point(0, 0.0))]),
            gauge("nan", "", vec![foreign]),
            histogram("h", CUMULATIVE, vec![ended_histogram]),
            exponential(CUMULATIVE, vec![ended_exponential]),
        ],
    )
    .await;
    assert_eq!(
        stored(&fixture),
        [
            "g@0=stale",
            r#"h_seconds_bucket{le="+Inf"}@0=stale"#,
            r#"h_seconds_bucket{le="1.0"}@0=stale"#,
            "h_seconds_count@0=stale",
            "h_seconds_sum@0=stale",
            "nan@0=NaN",
            "size_bytes@0=stale histogram",
        ]
    );
    fixture.stop().await;
}

#[tokio::test]
async fn wrong_points_are_refused_one_by_one_with_their_reason() {
    let fixture = Fixture::start();
    let unsorted = histogram_point(0, &[2.0, 1.0], &[1, 1, 1]);
    let not_a_bound = histogram_point(0, &[f64::NAN], &[1, 1]);
    let mismatch = histogram_point(0, &[1.0], &[1, 1, 1]);
    let mut wrong_total = histogram_point(0, &[1.0], &[1, 1]);
    wrong_total.count = 3;
    let mut exponential_total = exponential_point(0, 0, &[1]);
    exponential_total.count = 9;
    let (rejected, why) = send(
        &fixture,
        vec![
            histogram("h", CUMULATIVE, vec![unsorted, not_a_bound, mismatch, wrong_total, histogram_point(0, &[1.0], &[1, 1])]),
            exponential(CUMULATIVE, vec![exponential_point(0, -9, &[1]), exponential_point(0, i32::MIN, &[1]), exponential_total]),
            gauge("g", "", vec![NumberDataPoint { value: None, ..point(0, 0.0) }, point(3600, 1.0), point(10, 1.0), point(5, 1.0)]),
            gauge("日本", "", vec![point(0, 1.0)]),
        ],
    )
    .await;
    assert_eq!(rejected, 10);
    assert_eq!(
        why,
        "rejected 10 of 13 data points: 2 bucket bounds not sorted, 1 bucket counts do not match bounds, 2 bucket counts do not add up, \
         2 exponential scale below -4, 1 no value, 1 no usable name, 1 future"
    );
    assert_eq!(fixture.rejected("metrics", "future"), 1);
    assert_eq!(fixture.rejected("metrics", "exponential_scale_below_-4"), 2);
    // Same time and same value again is nothing new; another value is a duplicate.
    assert_eq!(send(&fixture, vec![gauge("g", "", vec![point(10, 1.0)])]).await, (0, String::new()));
    assert_eq!(
        send(&fixture, vec![gauge("g", "", vec![point(10, 2.0)])]).await,
        (1, "rejected 1 of 1 data points: 1 duplicate".to_owned())
    );
    fixture.stop().await;
}

#[tokio::test]
async fn beyond_the_series_limit_known_series_keep_updating() {
    let fixture = Fixture::start();
    send(&fixture, vec![gauge("known", "", vec![point(0, 1.0)])]).await;
    *fixture.store.series_limit.lock().expect("not poisoned") = Some(1);
    let (rejected, why) = send(&fixture, vec![gauge("new", "", vec![point(0, 1.0)]), gauge("known", "", vec![point(10, 2.0)])]).await;
    assert_eq!((rejected, why.as_str()), (1, "rejected 1 of 2 data points: 1 series limit"));
    assert_eq!(stored(&fixture), ["known@0=1", "known@10=2"]);
    fixture.stop().await;
}

#[tokio::test]
async fn exemplars_lead_from_a_series_to_a_trace() {
    let fixture = Fixture::start();
    let exemplar = |value| Exemplar {
        time_unix_nano: NOW_NANOS,
        trace_id: vec![7; 16],
        span_id: vec![9; 8],
        filtered_attributes: vec![attribute("user.id", text("u1"))],
        value: Some(exemplar::Value::AsDouble(value)),
    };
    let mut with = histogram_point(0, &[1.0, 2.0], &[1, 1, 1]);
    with.exemplars = vec![exemplar(1.5), exemplar(99.0)];
    let counted = NumberDataPoint { exemplars: vec![exemplar(1.0)], ..point(0, 1.0) };
    send(&fixture, vec![histogram("h", CUMULATIVE, vec![with]), sum("c", CUMULATIVE, true, vec![counted])]).await;
    let exemplars = fixture.store.exemplars.lock().expect("not poisoned").clone();
    let seen: Vec<String> = exemplars.iter().map(|(labels, e)| format!("{labels} {} {}", e.value, e.labels)).collect();
    assert_eq!(
        seen,
        [
            r#"h_seconds_bucket{le="2.0"} 1.5 {user_id="u1"}"#,
            r#"h_seconds_bucket{le="+Inf"} 99 {user_id="u1"}"#,
            r#"c_total 1 {user_id="u1"}"#,
        ]
    );
    assert!(exemplars.iter().all(|(_, e)| e.at == Timestamp(NOW.0) && e.trace_id.is_some() && e.span_id.is_some()));
    fixture.stop().await;
}

#[tokio::test]
async fn texts_that_are_not_utf8_are_repaired_in_metrics_too() {
    let fixture = Fixture::start();
    let request = ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            scope_metrics: vec![ScopeMetrics {
                metrics: vec![gauge("g", "", vec![NumberDataPoint { attributes: vec![attribute("k", text("BAD"))], ..point(0, 1.0) }])],
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    };
    let mut body = request.encode_to_vec();
    let at = body.windows(3).position(|w| w == b"BAD").expect("in there");
    body[at] = 0xff;
    let answer = fixture.post_protobuf("/v1/metrics", body).await;
    let partial = ExportMetricsServiceResponse::decode(answer.body).expect("a response").partial_success.expect("a warning");
    assert_eq!((partial.rejected_data_points, partial.error_message.as_str()), (0, "repaired: 1 invalid UTF-8"));
    assert_eq!(stored(&fixture), ["g{k=\"\u{fffd}AD\"}@0=1"]);
    fixture.stop().await;
}
