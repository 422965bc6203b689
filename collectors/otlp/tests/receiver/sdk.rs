//! A real OpenTelemetry SDK, where one is installed (`pip install opentelemetry-sdk opentelemetry-exporter-otlp`; `PYTHON` names the interpreter).

use crate::fixture::*;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};
use watchfire_model::{Timestamp, Value};
use watchfire_otlp::Settings;

#[tokio::test]
async fn the_python_sdk_delivers_everything_with_its_defaults() {
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let has_sdk = Command::new(&python).args(["-c", "import opentelemetry.sdk._logs, opentelemetry.exporter.otlp.proto.grpc"]).output();
    if !has_sdk.is_ok_and(|o| o.status.success()) {
        println!("skipped: {python} has no OpenTelemetry SDK");
        return;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/receiver/sdk.py");
    for (protocol, compression) in [("grpc", "none"), ("grpc", "gzip"), ("http", "none"), ("http", "gzip")] {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        let fixture = Fixture::at(Timestamp(since.as_millis() as i64), Settings::default());
        let endpoint = if protocol == "grpc" {
            fixture.running.as_ref().and_then(|r| r.grpc).expect("bound").to_string()
        } else {
            fixture.http.trim_start_matches("http://").to_owned()
        };
        let arguments = [script.to_owned(), protocol.to_owned(), endpoint, compression.to_owned()];
        let command = python.clone();
        let output = tokio::task::spawn_blocking(move || Command::new(command).args(arguments).output()).await;
        let output = output.expect("no panic").expect("python runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let samples = fixture.store.samples.lock().expect("not poisoned").clone();
        let value = |name: &str| samples.iter().find(|(labels, ..)| labels.metric_name() == name).map(|(.., value)| value.clone());
        assert_eq!(value("sdk_requests_total"), Some(Value::Float(3.0)), "{protocol} {compression}");
        assert_eq!((value("sdk_active"), value("sdk_latency_seconds_count")), (Some(Value::Float(2.0)), Some(Value::Float(1.0))));
        let logs = fixture.store.logs.lock().expect("not poisoned").clone();
        assert!(logs.iter().any(|l| l.body == "boom" && l.trace_id.is_some()), "{logs:?}");
        let names: Vec<String> = fixture.stop().await.into_iter().map(|s| format!("{} {}", s.service, s.name)).collect();
        assert_eq!(names, ["sdk child", "sdk parent"], "{protocol} {compression}");
    }
}
