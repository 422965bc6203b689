//! The same spans as lines of percentiles over time, and as one histogram.

use super::AXIS;
use super::heatmap::{bands, occupied, shade};
use crate::canvas::Canvas;
use crate::chart::{Axes, Line, lines};
use crate::look::Role;
use crate::number;
use watchfire_model::reading::Latency as Reading;

pub(super) fn percentile_lines(reading: &Reading, canvas: &mut Canvas<'_>) {
    let points = |line: &[Option<f64>]| reading.columns.iter().copied().zip(line.iter().copied()).collect::<Vec<_>>();
    let (p50, p95, p99) = (points(&reading.p50), points(&reading.p95), points(&reading.p99));
    let drawn = [
        Line { points: &p99, role: Role::Series6 },
        Line { points: &p95, role: Role::Series2 },
        Line { points: &p50, role: Role::Series4 },
    ];
    lines(canvas, &drawn, &Axes { start: reading.start, end: reading.end, threshold: None, label: number::latency });
}

/// All spans of the time by how long they took.
pub(super) fn histogram(reading: &Reading, canvas: &mut Canvas<'_>) {
    let totals: Vec<f64> =
        (0..reading.bounds.len()).map(|r| reading.cells.iter().filter_map(|c| c.get(r).copied().flatten()).sum()).collect();
    let (all, most) = (totals.iter().sum::<f64>().max(1.0), totals.iter().copied().fold(1.0, f64::max));
    if totals.is_empty() {
        return;
    }
    let (dim, text) = (canvas.style(Role::Dim), canvas.style(Role::Text));
    let width = canvas.width().saturating_sub(AXIS + 20);
    for (y, (low, high)) in bands(occupied(reading), usize::from(canvas.height())).into_iter().enumerate() {
        let y = y as u16;
        let count: f64 = totals[low..=high.max(low)].iter().sum();
        canvas.right(0, y, AXIS - 1, &number::latency(reading.bounds[high]), dim);
        let length = (count / most * f64::from(width)).ceil().min(f64::from(width)) as u16;
        let (_, role) = shade(count, most);
        let style = canvas.style(role);
        for x in 0..length {
            canvas.dot(AXIS + 1 + x, y, '█', style);
        }
        canvas.text(
            AXIS + 2 + length,
            y,
            18,
            &format!("{} {}", number::count(count.round()), number::percent_sign(Some(count / all))),
            text,
        );
    }
}
