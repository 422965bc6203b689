//! The first minute: nothing received yet, and exactly what to paste.

use super::Parts;
use crate::action::Action;
use crate::canvas::{Canvas, display_width, wrap};
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
    if canvas.width() < WIDE {
        return narrow(canvas, status);
    }
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
    let (endpoint, protocol) = exported(status);
    let export = format!("export OTEL_EXPORTER_OTLP_ENDPOINT={endpoint}{protocol}");
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
        pen.column(19, "notifications", Role::Dim).put(sign, role).gap(1).put(path, Role::Text).gap(1);
        let x = pen.x();
        let (width, dim) = (canvas.width().saturating_sub(x + 1), canvas.style(Role::Dim));
        let lines = wrap(why, width, 2);
        for (i, line) in lines.iter().enumerate() {
            canvas.text(x, y + i as u16, width, line, dim);
        }
        y += lines.len().max(1) as u16;
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

/// Below this the columns of the wide one would be cut.
const WIDE: u16 = 78;

/// Where an SDK sends, and which protocol it has to be told to speak.
fn exported(status: &Status) -> (String, &'static str) {
    let (grpc, http) = (status.listening.otlp_grpc.as_deref(), status.listening.otlp_http.as_deref());
    let endpoint = http.or(grpc).unwrap_or("127.0.0.1:4318");
    let protocol = if http.is_none() && grpc.is_some() { " OTEL_EXPORTER_OTLP_PROTOCOL=grpc" } else { "" };
    (format!("http://{endpoint}"), protocol)
}

/// The same in whole words where there is little room, what most need first.
fn narrow(canvas: &mut Canvas<'_>, status: &Status) {
    let (grpc, http) = (status.listening.otlp_grpc.as_deref(), status.listening.otlp_http.as_deref());
    let mut lines: Vec<(&str, String)> = Vec::new();
    if (grpc, http) == (None, None) {
        lines.push(("", "No OTLP receiver listens: start with".to_owned()));
        lines.push(("", "  --otlp-grpc or --otlp-http".to_owned()));
    } else {
        let (endpoint, protocol) = exported(status);
        lines.push(("set ", "OTEL_EXPORTER_OTLP_ENDPOINT to".to_owned()));
        lines.push(("", format!("  {endpoint}")));
        if !protocol.is_empty() {
            lines.push(("and ", protocol.trim().to_owned()));
        }
    }
    lines.extend(grpc.map(|grpc| ("gRPC  ", grpc.to_owned())));
    lines.extend([("", "watchfire --scrape URL".to_owned()), ("", "watchfire --probe URL".to_owned()), ("", "watchfire demo".to_owned())]);
    lines.extend(status.notification_paths.iter().filter(|(_, works, _)| !works).map(|(path, _, why)| ("▲ ", format!("{path} {why}"))));
    for (y, (what, line)) in lines.iter().enumerate().take(usize::from(canvas.height())) {
        canvas.pen(1, y as u16).put(what, Role::Dim).put(line, Role::Text);
    }
}

pub(crate) fn welcome_strip(canvas: &mut Canvas<'_>, parts: &Parts<'_>) {
    let width = canvas.width();
    let mut pen = canvas.pen(1, 0);
    for (action, label) in
        [(Action::Copy, "copy exporter block"), (Action::Command, "command"), (Action::Help, "help"), (Action::Quit, "quit")]
    {
        let key = parts.key(action);
        let needed = (display_width(&key) + 1 + display_width(label)) as u16;
        if !key.is_empty() && pen.x() + needed < width {
            pen.put(&key, Role::Key).gap(1).put(label, Role::Dim).gap(2);
        }
    }
}
