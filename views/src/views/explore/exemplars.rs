//! Single measurements behind a series, each with its trace.

use crate::canvas::Canvas;
use crate::look::Role;
use crate::number;
use watchfire_model::reading::{QueryExemplar, QuerySeries};

/// Whether an exemplar was measured for what a series sums up.
pub(super) fn is_of(exemplar: &QueryExemplar, series: &QuerySeries) -> bool {
    series.labels.iter().all(|l| &*l.name == "__name__" || &*l.name == "le" || exemplar.labels.get(&l.name) == Some(&*l.value))
}

/// The exemplars of the series called `of`; nothing is said of a single one.
pub(super) fn rows(exemplars: &[&QueryExemplar], of: &str, chosen: Option<usize>, canvas: &mut Canvas<'_>) {
    let (width, zone) = (canvas.width(), canvas.zone());
    canvas.pen(3, 0).put("EXEMPLARS", Role::Heading).put(if of.is_empty() { "" } else { "  of " }, Role::Dim).put(of, Role::Dim);
    for (i, exemplar) in exemplars.iter().enumerate() {
        let mut row = canvas.part(0, i as u16 + 1, width, 1);
        let labels: Vec<String> =
            exemplar.labels.iter().filter(|l| &*l.name != "__name__").map(|l| format!("{}={}", l.name, l.value)).collect();
        row.pen(1, 0)
            .column(2, "◆", Role::Accent)
            .column(10, &zone.clock(exemplar.at), Role::Dim)
            .column(9, &number::significant(exemplar.value), Role::Text)
            .column(18, exemplar.trace_id.get(..16).unwrap_or(&exemplar.trace_id), Role::Accent)
            .put(&labels.join("  "), Role::Dim);
        if chosen == Some(i) {
            let style = row.style(Role::Selected);
            row.patch(0, 0, width, 1, style);
        }
    }
}
