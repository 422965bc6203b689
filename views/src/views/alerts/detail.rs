//! Why an alert fires: its value against the threshold over the last hour, its cause, its evidence.

use super::silencing::silence_of;
use super::words::{notified, state_word, subject};
use crate::canvas::{Canvas, display_width, wrap};
use crate::chart::{Axes, Line, lines};
use crate::look::{Role, severity_glyph, severity_state};
use crate::number;
use crate::view::Cx;
use std::time::Duration;
use watchfire_model::reading::{Alert, AlertState, Alerts};
use watchfire_model::{Timestamp, format_duration};

pub(super) const UNCONFIRMED: &str = "from before the restart, no data since";

/// `0.1841 (threshold 0.05)`.
pub(super) fn value_sentence(alert: &Alert, value: f64) -> String {
    match alert.threshold {
        Some(threshold) => format!("value {} (threshold {})", number::measured(value), number::measured(threshold)),
        None => format!("value {}", number::measured(value)),
    }
}

pub(super) fn render(alert: &Alert, reading: &Alerts, cx: &Cx<'_>, canvas: &mut Canvas<'_>) {
    let (width, height) = (canvas.width(), canvas.height());
    let text_width = width.saturating_sub(2);
    let tone = if alert.state == AlertState::Firing { severity_state(alert.severity).into() } else { Role::Dim };
    let since = format!(" {}", number::since(alert.state_since(), cx.now));
    // Whether it fires is on every screen; long names make room.
    let room = text_width.saturating_sub(display_width(state_word(alert)) as u16 + display_width(&since) as u16 + 6);
    let length = |text: &str| u16::try_from(display_width(text)).unwrap_or(u16::MAX);
    let name_width = length(&alert.name).min(room.saturating_sub(length(subject(alert)).min(room / 2)));
    let (strong, text) = (canvas.style(Role::Strong), canvas.style(Role::Text));
    canvas.pen(1, 0).put(severity_glyph(alert.severity), tone);
    canvas.name(3, 0, name_width, &alert.name, strong);
    let subject_width = length(subject(alert)).min(room - name_width);
    canvas.name(5 + name_width, 0, subject_width, subject(alert), text);
    let mut pen = canvas.pen(7 + name_width + subject_width, 0);
    pen.put(state_word(alert), tone).put(&since, Role::Text).put(&format!("   {}", alert.severity), Role::Dim);
    let chart = if height >= 16 && !alert.history.is_empty() { (height / 3).clamp(6, 14) } else { 0 };
    // What leads on comes before what explains how it was judged: a low screen cuts the end.
    let mut rows: Vec<(&str, String, Role)> = Vec::new();
    let mut row = |name: &'static str, value: &str, role: Role, limit: usize| {
        if !value.is_empty() {
            let lines = wrap(value, width.saturating_sub(15), limit).into_iter().enumerate();
            rows.extend(lines.map(|(i, line)| (if i == 0 { name } else { "" }, line, role)));
        }
    };
    row("summary", alert.annotations.value("summary"), Role::Text, 2);
    row("", alert.annotations.value("description"), Role::Text, 3);
    row("impact", alert.annotations.value("impact"), Role::Text, 2);
    row("owner", alert.annotations.value("owner"), Role::Text, 1);
    if let Some(cause) = &alert.cause {
        row("caused by", &format!("{} {}", cause.alert, cause.reason), Role::Accent, 2);
    }
    if let Some(value) = alert.value {
        row("value", value_sentence(alert, value).trim_start_matches("value "), Role::Text, 1);
    }
    if alert.unconfirmed {
        row("", UNCONFIRMED, Role::Unknown, 1);
    }
    if let Some(since) = alert.kept_since {
        let keeps = format_duration(Duration::from_secs_f64(alert.keep_firing_for_seconds.clamp(0.0, 1e9)));
        let ended = number::since(Some(since), cx.now);
        row("kept firing", &format!("its condition ended {ended} ago; it fires on until that is {keeps} ago"), Role::Text, 1);
    }
    if let Some(by) = &alert.acknowledged_by {
        row("acknowledged", by, Role::Text, 1);
    }
    if let Some(silence) = silence_of(alert, reading) {
        let until = cx.zone.moment(silence.ends_at, cx.now);
        row("silenced", &format!("until {until} by {} {}", silence.created_by, silence.comment), Role::Degraded, 1);
    }
    if let Some(evidence) = &alert.evidence {
        row("operation", evidence.top_operation.as_deref().unwrap_or(""), Role::Text, 1);
        row("nearby", &evidence.surroundings.join(" · "), Role::Text, 2);
        row("explains", &evidence.dependents.join(", "), Role::Text, 2);
    }
    row("runbook", alert.annotations.value("runbook_url"), Role::Accent, 1);
    if let Some(evidence) = &alert.evidence {
        row("traces", &evidence.trace_ids.iter().take(3).cloned().collect::<Vec<_>>().join("  "), Role::Accent, 1);
    }
    row("notified", &notified(alert, false), Role::Text, 1);
    // Rule files break long expressions over lines.
    let expression = alert.expression.split_whitespace().collect::<Vec<_>>().join(" ");
    row("rule", &expression, Role::Text, if height >= 30 { 6 } else { 3 });
    if alert.for_seconds > 0.0 {
        let held = format_duration(Duration::from_secs_f64(alert.for_seconds.min(1e9)));
        let holds = match alert.state {
            AlertState::Resolved => String::new(),
            _ => format!(", holds for {}", number::since(alert.active_at, cx.now)),
        };
        row("must hold", &format!("{held}{holds}, group {}", alert.group), Role::Text, 1);
    }
    row("open with", alert.evidence.as_ref().map_or("", |e| &e.command), Role::Dim, 2);
    let labels: Vec<String> = alert.labels.iter().filter(|l| &*l.name != "alertname").map(|l| format!("{}={}", l.name, l.value)).collect();
    row("labels", &labels.join(" "), Role::Dim, 2);
    let room = usize::from(height.saturating_sub(1 + chart));
    let kept = if rows.len() > room { room.saturating_sub(1) } else { rows.len() };
    for (y, (name, line, role)) in rows.iter().take(kept).enumerate() {
        canvas.pen(1, y as u16 + 1).column(13, name, Role::Dim).put(line, *role);
    }
    if kept < rows.len() && room > 0 {
        let mut unseen: Vec<&str> = rows[kept..].iter().map(|(name, ..)| *name).filter(|name| !name.is_empty()).collect();
        unseen.dedup();
        let more = format!("more in a larger window: {}", unseen.join(", "));
        canvas.pen(1, room as u16).column(13, "", Role::Dim).put(&more, Role::Faint);
    }
    if chart > 0 {
        history(&mut canvas.part(1, height - chart + 1, text_width, chart - 1), alert, cx.now);
    }
}

const SHORTEST_HISTORY: Duration = Duration::from_secs(15 * 60);

/// The value of the rule over time, with its threshold.
fn history(canvas: &mut Canvas<'_>, alert: &Alert, now: Timestamp) {
    // An alert that is seconds old is seen against what came before it.
    let start = alert.history.first().map_or(now, |(at, _)| *at).min(now.saturating_sub(SHORTEST_HISTORY));
    let axes = Axes { start, end: now.max(start), threshold: alert.threshold, label: number::significant };
    lines(canvas, &[Line { points: &alert.history, role: Role::Series1 }], &axes);
}
