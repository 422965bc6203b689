//! Checks, one row each, the worst first; the selected one in full.

use crate::canvas::{Canvas, wrap};
use crate::filter::{Field, Fields};
use crate::look::{Role, state_glyph};
use crate::number;
use crate::readings::Kind;
use crate::table::{Column, Rows, Sort, badness};
use std::borrow::Cow;
use watchfire_model::reading::Check;
use watchfire_model::{HealthState, Timestamp};

pub(super) struct Checks;

impl Rows for Checks {
    type Row = Check;
    const KIND: Kind = Kind::Health;
    const COLUMNS: &'static [Column] = &[
        Column::left("SERVICE", 22).grow(1).sort('S'),
        Column::left("CHECK", 15).grow(1).sort('C'),
        Column::left("STATE", 9).sort('T'),
        Column::right("SINCE", 6).sort('I'),
        Column::right("TIME", 6).rank(1).sort('M'),
        Column::right("P95", 6).rank(3).sort('P'),
        Column::left("15 MIN", 8).rank(2),
        Column::left("CERT", 5).rank(4),
        Column::left("DETAIL", 11).grow(3),
    ];

    fn key(row: &Check) -> Cow<'_, str> {
        Cow::Owned(format!("{} {}", row.service, row.check))
    }

    fn value(row: &Check, column: usize) -> Sort<'_> {
        match column {
            0 => Sort::Text(&row.service),
            1 => Sort::Text(&row.check),
            3 => Sort::time(row.since),
            4 => Sort::Number(row.latency_seconds),
            5 => Sort::Number(row.p95_seconds),
            _ => Sort::State(row.state),
        }
    }

    fn state(row: &Check) -> HealthState {
        row.state
    }
}

impl Fields for Check {
    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "service" => Field::text(&self.service),
            "check" => Field::text(&self.check),
            "state" => Field::text(self.state.word()),
            "url" => Field::text(&self.url),
            "detail" => Field::text(&self.detail),
            "dur" | "time" => Field::Number(self.latency_seconds),
            "p95" => Field::Number(self.p95_seconds),
            "error" => Field::Flag(matches!(self.state, HealthState::Unhealthy | HealthState::Degraded)),
            _ => return None,
        })
    }

    fn words(&self) -> Vec<Cow<'_, str>> {
        let mut words: Vec<Cow<'_, str>> =
            [&self.service, &self.check, &self.url, &self.detail].map(|t| Cow::Borrowed(t.as_str())).to_vec();
        words.extend(self.dependencies.iter().map(|d| Cow::Borrowed(d.name.as_str())));
        words
    }
}

pub(super) fn check_cell(canvas: &mut Canvas<'_>, row: &Check, column: usize, x: u16, width: u16, now: Timestamp) {
    let (text, dim) = (canvas.style(Role::Text), canvas.style(Role::Dim));
    let style = canvas.style(row.state.into());
    match column {
        0 => {
            canvas.text(x, 0, 1, state_glyph(row.state), style);
            canvas.text(x + 2, 0, width.saturating_sub(2), &row.service, text);
        }
        1 => {
            canvas.text(x, 0, width, &row.check, text);
        }
        2 => {
            canvas.text(x, 0, width, row.state.word(), style);
        }
        3 => canvas.right(x, 0, width, &number::since(row.since, now), text),
        4 => canvas.right(x, 0, width, &number::latency_known(row.latency_seconds), text),
        5 => canvas.right(x, 0, width, &number::latency_known(row.p95_seconds), dim),
        6 => history(canvas, &row.history, x, 0, width),
        7 => {
            let (shown, role) = certificate(row, now);
            let style = canvas.style(role);
            canvas.text(x, 0, width, &shown, style);
        }
        _ => {
            let worst = row.dependencies.iter().filter(|d| d.state != HealthState::Healthy).min_by_key(|d| badness(d.state));
            let shown = match worst {
                Some(d) => format!("{} {} {}", d.name, d.state.word(), d.detail),
                None => row.detail.clone(),
            };
            canvas.text(x, 0, width, &shown, if row.state == HealthState::Healthy { dim } else { text });
        }
    }
}

fn certificate(row: &Check, now: Timestamp) -> (String, Role) {
    match row.certificate_expires {
        None => (number::UNKNOWN.to_owned(), Role::Faint),
        Some(at) if at <= now => ("over".to_owned(), Role::Unhealthy),
        Some(at) => {
            let left = at.since(now);
            let role = if left.as_secs() < 14 * 86_400 { Role::Degraded } else { Role::Dim };
            (number::span_short(left), role)
        }
    }
}

/// One character per step of time; the worst state of those that share one.
fn history(canvas: &mut Canvas<'_>, states: &[HealthState], x: u16, y: u16, width: u16) {
    let count = states.len().min(usize::from(width));
    let pad = usize::from(width) - count;
    for i in 0..usize::from(width) {
        let worst =
            i.checked_sub(pad).map(|i| &states[i * states.len() / count.max(1)..((i + 1) * states.len() / count.max(1)).min(states.len())]);
        let state = worst.and_then(|s| s.iter().copied().min_by_key(|s| badness(*s)));
        let (symbol, role) = match state {
            Some(HealthState::Healthy) => ('▁', Role::Healthy),
            Some(HealthState::Degraded) => ('▄', Role::Degraded),
            Some(HealthState::Unhealthy) => ('█', Role::Unhealthy),
            _ => ('·', Role::Faint),
        };
        let style = canvas.style(role);
        canvas.dot(x + i as u16, y, symbol, style);
    }
}

/// The selected check: address, detail, dependencies.
pub(super) fn explain(canvas: &mut Canvas<'_>, check: &Check, now: Timestamp) {
    let zone = canvas.zone();
    let mut pen = canvas.pen(1, 0);
    pen.name(&check.service, Role::Strong).gap(1).put(&check.check, Role::Text).gap(2).put(&check.url, Role::Accent);
    if let Some(at) = check.last_checked {
        pen.put(&format!("   checked {} ago", number::since(Some(at), now)), Role::Dim);
    }
    if let Some(at) = check.certificate_expires {
        pen.put(&format!("   certificate until {}", zone.moment(at, now)), Role::Dim);
    }
    let mut y = 1;
    for line in wrap(&check.detail, canvas.width().saturating_sub(2), 2) {
        canvas.pen(1, y).put(&line, Role::Text);
        y += 1;
    }
    for dependency in &check.dependencies {
        let mut pen = canvas.pen(1, y);
        pen.put(state_glyph(dependency.state), dependency.state.into())
            .gap(1)
            .column(20, &dependency.name, Role::Text)
            .gap(1)
            .column(11, dependency.state.word(), dependency.state.into())
            .put(&dependency.detail, Role::Dim);
        y += 1;
    }
}
