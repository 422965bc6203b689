//! One span in full: times, attributes, events, links, logs.

use crate::canvas::{Canvas, wrap};
use crate::look::Role;
use crate::number;
use crate::zone::Zone;
use watchfire_model::reading::{Span, Trace};

enum Line {
    Title(String),
    Pair(String, String),
    Text(String, Role),
}

/// Returns how many rows there are and how many of them end on screen.
pub(super) fn render(span: &Span, self_seconds: Option<f64>, trace: &Trace, scroll: &mut usize, canvas: &mut Canvas<'_>) -> (usize, usize) {
    let lines = lines(span, self_seconds, trace, canvas.zone());
    let width = canvas.width();
    let height = usize::from(canvas.height());
    let name_width = lines
        .iter()
        .filter_map(|l| if let Line::Pair(name, _) = l { Some(crate::canvas::display_width(name)) } else { None })
        .max()
        .unwrap_or(0)
        .clamp(12, 36) as u16;
    // Long values take several rows; they are broken here, where the width is known.
    let mut rows: Vec<(String, String, Role)> = Vec::new();
    for line in &lines {
        if rows.len() > *scroll + height + 200 {
            break;
        }
        match line {
            Line::Title(text) => rows.push((text.clone(), String::new(), Role::Heading)),
            Line::Text(text, role) => rows.extend(wrap(text, width.saturating_sub(4), 8).into_iter().map(|l| (String::new(), l, *role))),
            Line::Pair(name, value) => {
                for (i, piece) in wrap(value, width.saturating_sub(name_width + 4), 12).into_iter().enumerate() {
                    rows.push((if i == 0 { name.clone() } else { String::new() }, piece, Role::Text));
                }
            }
        }
    }
    *scroll = (*scroll).min(rows.len().saturating_sub(height));
    for (y, (name, value, role)) in rows.iter().skip(*scroll).take(height).enumerate() {
        let y = y as u16;
        match role {
            Role::Heading => {
                canvas.pen(1, y).put(name, Role::Heading);
            }
            role if name.is_empty() && *role != Role::Text => {
                canvas.pen(3, y).put(value, *role);
            }
            role => {
                let dim = canvas.style(Role::Dim);
                canvas.text(2, y, name_width, name, dim);
                let style = canvas.style(*role);
                canvas.text(name_width + 3, y, width, value, style);
            }
        }
    }
    (rows.len(), (*scroll + height).min(rows.len()))
}

fn lines(span: &Span, self_seconds: Option<f64>, trace: &Trace, zone: Zone) -> Vec<Line> {
    let pair = |name: &str, value: String| Line::Pair(name.to_owned(), value);
    let mut lines = vec![
        Line::Title(format!("{} {}", span.service, super::list::named(&span.name))),
        pair("started", zone.clock_millis(span.start)),
        pair("took", number::latency(span.duration_seconds)),
        pair("self time", number::latency_known(self_seconds)),
        pair("kind", span.kind.clone()),
        pair("status", format!("{} {}", span.status, span.status_message).trim().to_owned()),
        pair("span", span.span_id.clone()),
        pair("parent", if span.parent_id.is_empty() { number::UNKNOWN.to_owned() } else { span.parent_id.clone() }),
        pair("trace", trace.trace_id.clone()),
    ];
    // What is odd about it comes before what it says.
    lines.extend(span.warnings.iter().map(|w| Line::Text(format!("▲ {w}"), Role::Degraded)));
    let mut section = |title: &str, rows: Vec<Line>| {
        if !rows.is_empty() {
            lines.push(Line::Title(format!("{title} ({})", rows.len())));
            lines.extend(rows);
        }
    };
    section("attributes", span.attributes.iter().map(|(k, v)| Line::Pair(k.clone(), v.to_string())).collect());
    section(
        "events",
        span.events
            .iter()
            .map(|event| {
                let attributes: Vec<String> = event.attributes.iter().map(|(k, v)| format!("{k}={v}")).collect();
                Line::Pair(format!("+{}", number::latency(event.at - span.start)), format!("{}  {}", event.name, attributes.join("  ")))
            })
            .collect(),
    );
    section(
        "logs",
        trace
            .logs
            .iter()
            .filter(|l| l.span_id.as_deref() == Some(span.span_id.as_str()))
            .map(|l| Line::Text(format!("{} {} {}", zone.clock_millis(l.time), l.severity, l.body), super::super::logs::tone(&l.severity)))
            .collect(),
    );
    section("resource", span.resource.iter().map(|(k, v)| Line::Pair(k.clone(), v.to_string())).collect());
    lines
}
