//! What a wrong value in an OTLP/JSON document costs.

use crate::json::to_protobuf;
use crate::limits::Limits;
use crate::refusal::{Refusal, Signal};
use watchfire_model::Receipt;

#[test]
fn half_a_character_costs_itself() {
    let request = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"cut \ud83d"}]}]}]}"#;
    let protobuf = to_protobuf(request.as_bytes(), Signal::Traces, &Limits::default()).expect("read").protobuf;
    assert!(String::from_utf8_lossy(&protobuf).contains("cut \u{fffd}"));
}

/// The form of a request with one list of items, and what was lost of it.
fn read(signal: Signal, json: &str) -> Result<(String, Receipt), Refusal> {
    to_protobuf(json.as_bytes(), signal, &Limits::default()).map(|read| (String::from_utf8_lossy(&read.protobuf).into_owned(), read.lost))
}

fn lost(rejected: u64, repaired: u64) -> Receipt {
    let counted = |count: u64| if count == 0 { vec![] } else { vec![("wrong type or range", count)] };
    Receipt { accepted: 0, rejected: counted(rejected), warnings: counted(repaired) }
}

#[test]
fn a_wrong_value_costs_its_span_and_no_other() {
    for wrong in [
        r#""startTimeUnixNano":-1"#,
        r#""endTimeUnixNano":"yesterday""#,
        r#""endTimeUnixNano":1.5"#,
        r#""startTimeUnixNano":{"seconds":1}"#,
        r#""startTimeUnixNano":[1,[2]]"#,
        r#""kind":"SPAN_KIND_SERVER""#,
        r#""name":5"#,
        r#""name":true"#,
        r#""traceId":5"#,
        r#""flags":4294967296"#,
        r#""status":"OK""#,
        r#""status":{"code":"ERROR"}"#,
        r#""attributes":{"a":1}"#,
        r#""attributes":"a""#,
        r#""events":3"#,
    ] {
        let json =
            format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{"name":"one"}},{{{wrong},"name":"bad"}},{{"name":"two"}}]}}]}}]}}"#);
        let (protobuf, account) = read(Signal::Traces, &json).expect(wrong);
        assert!(protobuf.contains("one") && protobuf.contains("two") && !protobuf.contains("bad"), "{wrong}: {protobuf:?}");
        assert_eq!(account, lost(1, 0), "{wrong}");
    }
    let (_, account) = read(Signal::Traces, r#"{"resourceSpans":[{"scopeSpans":[{"spans":[7,"x",[],{}]}]}]}"#).expect("read");
    assert_eq!(account, lost(3, 0));
}

#[test]
fn a_wrong_attribute_event_or_link_costs_itself() {
    let json = r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"n","value":{"intValue":"9223372036854775808"}},{"key":"kept"}]},
        "scopeSpans":[{"spans":[{"name":"stays","attributes":[{"key":5},{"key":"blob","value":{"bytesValue":"%"}},{"key":"yes"}],
        "events":[{"name":"gone","timeUnixNano":-5},{"name":"there"}],"links":[{"flags":"x"}]}]}]}]}"#;
    let (protobuf, account) = read(Signal::Traces, json).expect("read");
    for kept in ["kept", "stays", "yes", "there"] {
        assert!(protobuf.contains(kept), "{kept}: {protobuf:?}");
    }
    assert!(!protobuf.contains("blob") && !protobuf.contains("gone"));
    assert_eq!(account, lost(0, 5));
}

#[test]
fn a_wrong_value_costs_its_log_record_or_data_point_and_one_of_the_metric_all_its_points() {
    let logs =
        r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"2024-01-01","eventName":"bad"},{"eventName":"good"}]}]}]}"#;
    let (protobuf, account) = read(Signal::Logs, logs).expect("read");
    assert!(protobuf.contains("good") && !protobuf.contains("bad"));
    assert_eq!(account, lost(1, 0));
    let metrics = r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[
        {"name":"gauge","gauge":{"dataPoints":[{"asDouble":"much"},{"asInt":5,"exemplars":[{"timeUnixNano":-1}]}]}},
        {"name":"histogram","histogram":{"aggregationTemporality":2,"dataPoints":[{"bucketCounts":["1","-1"]},{"count":"3"}]}},
        {"name":"named","sum":{"aggregationTemporality":"AGGREGATION_TEMPORALITY_DELTA","dataPoints":[{"asInt":1},{"asInt":2},{"asInt":"x"}]}}]}]}]}"#;
    let (protobuf, account) = read(Signal::Metrics, metrics).expect("read");
    assert!(protobuf.contains("gauge") && protobuf.contains("histogram") && !protobuf.contains("named"));
    assert_eq!(account, lost(5, 1));
}

#[test]
fn what_is_no_list_of_items_is_no_otlp() {
    for json in [
        r#"{"resourceSpans":5}"#,
        r#"{"resourceSpans":[5]}"#,
        r#"{"resourceSpans":[{"scopeSpans":[[]]}]}"#,
        r#"{"resourceSpans":[{"scopeSpans":[{"spans":{}}]}]}"#,
        r#"{"resourceSpans":[{"resource":7,"scopeSpans":[{"spans":[{"name":-1}]}]}]}"#,
        "[]",
        "5",
    ] {
        assert!(matches!(read(Signal::Traces, json), Err(Refusal::Decode(..))), "{json}");
    }
}

#[test]
fn an_integer_that_does_not_fit_is_left_out_instead_of_wrapped() {
    let fits = |value: &str| {
        let json = format!(r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"n","value":{{"intValue":{value}}}}}]}}}}]}}"#);
        read(Signal::Traces, &json).expect("read").1 == lost(0, 0)
    };
    assert!(fits("\"9223372036854775807\"") && fits("\"-9223372036854775808\"") && fits("9223372036854775807"));
    assert!(!fits("\"9223372036854775808\"") && !fits("9223372036854775808") && !fits("1e19"));
}
