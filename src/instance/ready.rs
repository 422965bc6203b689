//! Saying where an instance listens: for programs as one line of JSON, for people as a sentence.

use serde_json::json;
use watchfire_model::reading::Listening;

/// `{"ready":true,"otlp_grpc":"...","otlp_http":"...","api":"..."}`
pub fn line(listening: &Listening) -> String {
    json!({"ready": true, "otlp_grpc": listening.otlp_grpc, "otlp_http": listening.otlp_http, "api": listening.api}).to_string()
}

/// For the first line of `--plain`.
pub fn sentence(listening: &Listening) -> String {
    let off = || "off".to_owned();
    format!(
        "watchfire listens: OTLP gRPC {}, OTLP HTTP {}, API {}",
        listening.otlp_grpc.clone().unwrap_or_else(off),
        listening.otlp_http.clone().unwrap_or_else(off),
        listening.api.clone().unwrap_or_else(off)
    )
}
