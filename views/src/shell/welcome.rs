//! The first minute: nothing received yet, and exactly what to paste.

use super::Parts;
use crate::action::Action;
use crate::canvas::Canvas;
use crate::look::Role;
use watchfire_model::reading::Status;

/// An exporter for an OpenTelemetry collector that sends everything here.
pub(crate) fn exporter_snippet(grpc: Option<&str>) -> String {
    let endpoint = crate::canvas::safe(grpc.unwrap_or("127.0.0.1:4317"), 200).into_owned();
    format!(
        "exporters:\n  otlp/watchfire:\n    endpoint: {endpoint}\n    tls:\n      insecure: true\nservice:\n  pipelines:\n    traces:\n      \
         exporters: [otlp/watchfire]\n    metrics:\n      exporters: [otlp/watchfire]\n    logs:\n      exporters: [otlp/watchfire]"
    )
}

pub(crate) fn welcome(canvas: &mut Canvas<'_>, status: Option<&Status>) {
    let none = Status::default();
    let status = status.unwrap_or(&none);
    let listening = &status.listening;
    let mut y = 1;
    let mut pen = canvas.pen(3, y);
    match (&listening.otlp_grpc, &listening.otlp_http) {
        (None, None) => {
            pen.put("No OTLP receiver listens", Role::Strong).gap(3).put("start watchfire with --otlp-grpc or --otlp-http", Role::Text);
        }
        (grpc, http) => {
            pen.column(19, "Send telemetry to", Role::Strong);
            if let Some(grpc) = grpc {
                pen.put("OTLP gRPC ", Role::Dim).put(grpc, Role::Accent).gap(3);
            }
            if let Some(http) = http {
                pen.put("HTTP ", Role::Dim).put(http, Role::Accent);
            }
        }
    }
    y += 2;
    let endpoint = listening.otlp_http.as_deref().or(listening.otlp_grpc.as_deref()).unwrap_or("127.0.0.1:4318");
    let protocol = if listening.otlp_http.is_none() && listening.otlp_grpc.is_some() { " OTEL_EXPORTER_OTLP_PROTOCOL=grpc" } else { "" };
    let export = format!("export OTEL_EXPORTER_OTLP_ENDPOINT=http://{endpoint}{protocol}");
    let rows: [(&str, String); 5] = [
        ("from an SDK", export),
        ("from a collector", "y copies the exporter block".to_owned()),
        ("from Prometheus", "watchfire --scrape http://host:port/metrics".to_owned()),
        ("health checks", "watchfire --probe http://host:port/health".to_owned()),
        ("just looking", "watchfire demo".to_owned()),
    ];
    for (what, how) in rows {
        let mut pen = canvas.pen(3, y);
        pen.column(19, what, Role::Dim).put(&how, Role::Text);
        y += 1;
    }
    y += 1;
    for (path, works, why) in &status.notification_paths {
        let (sign, role) = if *works { ("●", Role::Healthy) } else { ("▲", Role::Degraded) };
        let mut pen = canvas.pen(3, y);
        pen.column(19, "notifications", Role::Dim).put(sign, role).gap(1).put(path, Role::Text).gap(1).put(why, Role::Dim);
        y += 1;
    }
    // The whole block, where there is room to read it.
    if canvas.height() > y + 15 {
        y += 1;
        canvas.pen(3, y).put("the exporter block", Role::Heading);
        let text = canvas.style(Role::Text);
        for (i, line) in exporter_snippet(listening.otlp_grpc.as_deref()).lines().enumerate() {
            canvas.text(5, y + 1 + i as u16, 70, line, text);
        }
    }
}

pub(crate) fn welcome_strip(canvas: &mut Canvas<'_>, parts: &Parts<'_>) {
    let mut pen = canvas.pen(1, 0);
    for (action, label) in
        [(Action::Copy, "copy exporter block"), (Action::Command, "command"), (Action::Help, "help"), (Action::Quit, "quit")]
    {
        pen.put(&parts.key(action), Role::Key).gap(1).put(label, Role::Dim).gap(2);
    }
}
