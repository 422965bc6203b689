//! Points that follow one another: what ends, what starts again, and what is too much for one.

use crate::fixture::*;
use crate::metrics::{CUMULATIVE, DELTA, SECOND, histogram, histogram_point, point, send, send_as, stored, sum};
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, HistogramDataPoint, Metric, NumberDataPoint, Summary, SummaryDataPoint, metric::Data, summary_data_point::ValueAtQuantile,
};

/// What the sender no longer has must not be looked at for as long as queries look back, among buckets that go on.
#[tokio::test]
async fn buckets_and_quantiles_end_with_the_point_that_lacks_them() {
    let fixture = Fixture::start();
    let no_value = |point: HistogramDataPoint| HistogramDataPoint { flags: 1, sum: None, ..point };
    send(
        &fixture,
        vec![
            histogram("a", CUMULATIVE, vec![histogram_point(0, &[1.0, 2.0], &[1, 2, 0]), histogram_point(10, &[1.0, 4.0], &[1, 2, 0])]),
            histogram("b", CUMULATIVE, vec![histogram_point(0, &[1.0], &[1, 2]), no_value(histogram_point(10, &[], &[]))]),
        ],
    )
    .await;
    let quantile = |quantile| ValueAtQuantile { quantile, value: 3.0 };
    let summary = |seconds, quantile_values, flags| SummaryDataPoint {
        time_unix_nano: NOW_NANOS + seconds * SECOND,
        quantile_values,
        flags,
        ..SummaryDataPoint::default()
    };
    let points = vec![summary(0, vec![quantile(0.5), quantile(0.9)], 0), summary(10, vec![quantile(0.5)], 0), summary(20, vec![], 1)];
    let data = Some(Data::Summary(Summary { data_points: points }));
    let rejected = send(&fixture, vec![Metric { name: "c".to_owned(), data, ..Metric::default() }]).await;
    assert_eq!(rejected, (0, String::new()));
    let ended: Vec<String> = stored(&fixture).into_iter().filter(|line| line.ends_with("stale")).collect();
    assert_eq!(
        ended,
        [
            r#"a_seconds_bucket{le="2.0"}@10=stale"#,
            r#"b_seconds_bucket{le="+Inf"}@10=stale"#,
            r#"b_seconds_bucket{le="1.0"}@10=stale"#,
            "b_seconds_count@10=stale",
            "b_seconds_sum@10=stale",
            r#"c_count@20=stale"#,
            r#"c_sum@20=stale"#,
            r#"c{quantile="0.5"}@20=stale"#,
            r#"c{quantile="0.9"}@10=stale"#,
        ]
    );
    fixture.stop().await;
}

#[tokio::test]
async fn deltas_under_other_bounds_start_again() {
    let fixture = Fixture::start();
    let points = vec![
        histogram_point(0, &[1.0, 2.0], &[1, 2, 3]),
        histogram_point(10, &[1.0, 2.0], &[1, 2, 3]),
        histogram_point(20, &[1.0, 4.0], &[1, 0, 1]),
    ];
    assert_eq!(send(&fixture, vec![histogram("spend", DELTA, points)]).await, (0, String::new()));
    let last: Vec<String> = stored(&fixture).into_iter().filter(|line| line.contains("@20")).collect();
    assert_eq!(
        last,
        [
            r#"spend_seconds_bucket{le="+Inf"}@20=2"#,
            r#"spend_seconds_bucket{le="1.0"}@20=1"#,
            r#"spend_seconds_bucket{le="2.0"}@20=stale"#,
            r#"spend_seconds_bucket{le="4.0"}@20=1"#,
            "spend_seconds_count@20=2",
            "spend_seconds_sum@20=1.5",
        ],
        "no bucket counts less than one below it"
    );
    fixture.stop().await;
}

#[tokio::test]
async fn a_point_of_very_many_series_takes_the_room_of_no_other() {
    let fixture = Fixture::start();
    let bounds: Vec<f64> = (0..1025).map(f64::from).collect();
    let wide = histogram_point(0, &bounds, &vec![1; 1026]);
    let ended = HistogramDataPoint { flags: 1, ..wide.clone() };
    let quantile_values = (0..1025).map(|n| ValueAtQuantile { quantile: f64::from(n) / 1025.0, value: 1.0 }).collect();
    let summary =
        Summary { data_points: vec![SummaryDataPoint { time_unix_nano: NOW_NANOS, quantile_values, ..SummaryDataPoint::default() }] };
    let summary = Metric { name: "c".to_owned(), data: Some(Data::Summary(summary)), ..Metric::default() };
    let (rejected, why) = send(&fixture, vec![histogram("a", CUMULATIVE, vec![wide, ended]), summary]).await;
    assert_eq!((rejected, why.as_str()), (3, "rejected 3 of 3 data points: 2 too many buckets, 1 too many quantiles"));
    assert!(stored(&fixture).is_empty());
    fixture.stop().await;
}

/// One point of a clock that is ahead would make everything after it late.
#[tokio::test]
async fn a_delta_from_the_future_is_refused_and_holds_up_nothing() {
    let fixture = Fixture::start();
    let (rejected, why) = send(&fixture, vec![sum("hits", DELTA, true, vec![point(0, 1.0), point(3600, 2.0), point(10, 4.0)])]).await;
    assert_eq!((rejected, why.as_str()), (1, "rejected 1 of 3 data points: 1 future"));
    assert_eq!(stored(&fixture), ["hits_total@0=1", "hits_total@10=5"]);
    fixture.stop().await;
}

/// What nobody sent is not refused either: a late point, or one that is refused itself, does not bring the `target_info` of its time along.
#[tokio::test]
async fn target_info_is_written_forwards_only() {
    let fixture = Fixture::start();
    let attributes = || vec![attribute("service.name", text("cart")), attribute("host.name", text("h1"))];
    let gauge = |name: &str, time_unix_nano| {
        let data = Some(Data::Gauge(Gauge { data_points: vec![NumberDataPoint { time_unix_nano, ..point(0, 1.0) }] }));
        Metric { name: name.to_owned(), data, ..Metric::default() }
    };
    send_as(&fixture, attributes(), vec![gauge("a", NOW_NANOS)]).await;
    send_as(&fixture, attributes(), vec![gauge("b", NOW_NANOS - 10 * SECOND)]).await;
    let (rejected, _) = send_as(&fixture, attributes(), vec![gauge("c", NOW_NANOS + 3600 * SECOND)]).await;
    assert_eq!(rejected, 1);
    let written: Vec<String> = stored(&fixture).into_iter().filter(|line| line.starts_with("target_info")).collect();
    assert_eq!(written, [r#"target_info{host_name="h1", instance="h1", job="cart"}@0=1"#]);
    assert_eq!(fixture.store.refused.load(std::sync::atomic::Ordering::Relaxed), 1, "the point itself");
    fixture.stop().await;
}
