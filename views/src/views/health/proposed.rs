//! Probes worth having: services that nobody probes, and where their spans say that they answer.

use crate::canvas::Canvas;
use crate::filter::{Field, Fields};
use crate::look::Role;
use crate::readings::Kind;
use crate::table::{Column, Rows, Sort};
use std::borrow::Cow;
use watchfire_model::HealthState;
use watchfire_model::reading::ProposedProbe;

pub(super) struct Proposals;

impl Rows for Proposals {
    type Row = ProposedProbe;
    const KIND: Kind = Kind::Health;
    const COLUMNS: &'static [Column] =
        &[Column::left("NOT PROBED YET", 18).grow(1).sort('N'), Column::left("PROBE", 32).grow(2), Column::left("BECAUSE", 20).grow(2)];

    fn key(row: &ProposedProbe) -> Cow<'_, str> {
        Cow::Borrowed(&row.service)
    }

    fn value(row: &ProposedProbe, _: usize) -> Sort<'_> {
        Sort::Text(&row.service)
    }

    fn state(_: &ProposedProbe) -> HealthState {
        HealthState::Unknown
    }
}

impl Fields for ProposedProbe {
    fn field(&self, name: &str) -> Option<Field<'_>> {
        match name {
            "service" => Some(Field::text(&self.service)),
            "url" => Some(Field::text(&self.target)),
            _ => None,
        }
    }

    fn words(&self) -> Vec<Cow<'_, str>> {
        [&self.service, &self.target, &self.reason].map(|t| Cow::Borrowed(t.as_str())).to_vec()
    }
}

/// The argument that adds the probe.
pub(super) fn argument(row: &ProposedProbe) -> String {
    format!("--probe {}={}", row.service, row.target)
}

pub(super) fn cell(canvas: &mut Canvas<'_>, row: &ProposedProbe, column: usize, x: u16, width: u16) {
    let (text, role) = match column {
        0 => (&row.service, Role::Text),
        1 => (&row.target, Role::Accent),
        _ => (&row.reason, Role::Dim),
    };
    let style = canvas.style(role);
    canvas.text(x, 0, width, text, style);
}
