//! Scrape targets, one row each.

use crate::canvas::Canvas;
use crate::filter::{Field, Fields};
use crate::look::{Role, state_glyph};
use crate::number;
use crate::readings::Kind;
use crate::table::{Column, Rows, Sort};
use std::borrow::Cow;
use watchfire_model::reading::Target;
use watchfire_model::{HealthState, Timestamp};

pub(super) struct Targets;

impl Rows for Targets {
    type Row = Target;
    const KIND: Kind = Kind::Health;
    const COLUMNS: &'static [Column] = &[
        Column::left("JOB", 18).grow(1).sort('J'),
        Column::left("INSTANCE", 21).grow(1).sort('I'),
        Column::left("STATE", 7).sort('T'),
        Column::right("LAST", 6).sort('A'),
        Column::right("TIME", 7).rank(1).sort('M'),
        Column::right("SAMPLES", 7).rank(2).sort('P'),
        Column::left("ERROR", 16).grow(2),
    ];

    fn key(row: &Target) -> Cow<'_, str> {
        Cow::Owned(format!("{} {}", row.job, row.instance))
    }

    fn value(row: &Target, column: usize) -> Sort<'_> {
        match column {
            0 => Sort::Text(&row.job),
            1 => Sort::Text(&row.instance),
            3 => Sort::time(row.last_scrape),
            4 => Sort::Number(row.duration_seconds),
            5 => Sort::Number(row.samples.map(|s| s as f64)),
            _ => Sort::State(Self::state(row)),
        }
    }

    fn state(row: &Target) -> HealthState {
        match row.up {
            Some(true) => HealthState::Healthy,
            Some(false) => HealthState::Unhealthy,
            None => HealthState::Unknown,
        }
    }
}

impl Fields for Target {
    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "job" | "service" => Field::text(&self.job),
            "instance" => Field::text(&self.instance),
            "url" => Field::text(&self.url),
            "error" => Field::Flag(self.up == Some(false)),
            "dur" | "time" => Field::Number(self.duration_seconds),
            _ => return None,
        })
    }

    fn words(&self) -> Vec<Cow<'_, str>> {
        [&self.job, &self.instance, &self.url, &self.last_error].map(|t| Cow::Borrowed(t.as_str())).to_vec()
    }
}

pub(super) fn target_cell(canvas: &mut Canvas<'_>, row: &Target, column: usize, x: u16, width: u16, now: Timestamp) {
    let (text, dim) = (canvas.style(Role::Text), canvas.style(Role::Dim));
    let state = Targets::state(row);
    let style = canvas.style(state.into());
    match column {
        0 => {
            canvas.text(x, 0, 1, state_glyph(state), style);
            canvas.text(x + 2, 0, width.saturating_sub(2), &row.job, text);
        }
        1 => {
            canvas.text(x, 0, width, &row.instance, text);
        }
        2 => {
            let word = match row.up {
                Some(true) => "up",
                Some(false) => "down",
                None => "unknown",
            };
            canvas.text(x, 0, width, word, style);
        }
        3 => canvas.right(x, 0, width, &number::since(row.last_scrape, now), dim),
        4 => canvas.right(x, 0, width, &number::latency_known(row.duration_seconds), dim),
        5 => canvas.right(x, 0, width, &number::counted(row.samples.map(|s| s as f64)), dim),
        _ => {
            canvas.text(x, 0, width, &row.last_error, text);
        }
    }
}
