//! The heatmap: time from left to right, slower upwards, darker where more spans are.

use super::{AXIS, Latency};
use crate::canvas::Canvas;
use crate::look::Role;
use crate::number;
use watchfire_model::Timestamp;
use watchfire_model::reading::Latency as Reading;

impl Latency {
    /// Returns the lines used.
    pub(super) fn draw_heatmap(&mut self, reading: &Reading, now: Timestamp, canvas: &mut Canvas<'_>) -> u16 {
        let (width, height) = (canvas.width(), canvas.height());
        let foot = 2 + u16::from(height > 12);
        let rows = usize::from(height.saturating_sub(foot));
        self.lines = rows as u16;
        let bands = bands(occupied(reading), rows);
        let most = reading.cells.iter().flatten().flatten().copied().fold(1.0, f64::max);
        let region = self.region(reading);
        let dim = canvas.style(Role::Dim);
        for (y, (low, high)) in bands.iter().enumerate() {
            let y = y as u16;
            let Some(bound) = reading.bounds.get(*high) else { continue };
            canvas.right(0, y, AXIS - 1, &number::latency(*bound), dim);
            for (c, cells) in reading.cells.iter().enumerate().take(usize::from(width.saturating_sub(AXIS + 1))) {
                let x = AXIS + 1 + c as u16;
                let known: Vec<f64> = cells.iter().skip(*low).take(high - low + 1).flatten().copied().collect();
                let (symbol, role) = if known.is_empty() { ('·', Role::Faint) } else { shade(known.iter().sum(), most) };
                let style = canvas.style(role);
                canvas.dot(x, y, symbol, style);
                if let Some(((from, to), (bottom, top))) = region {
                    let in_region = self.anchor.is_some() && (from..=to).contains(&c) && *low <= top && *high >= bottom;
                    let under = c == self.cursor.0 && (*low..=*high).contains(&self.cursor.1);
                    if in_region || under {
                        let style = canvas.style(Role::Selected).add_modifier(ratatui::style::Modifier::REVERSED);
                        canvas.patch(x, y, 1, 1, if under { style } else { canvas.style(Role::Selected) });
                        if known.iter().sum::<f64>() == 0.0 {
                            canvas.dot(x, y, if under { '+' } else { '·' }, canvas.style(Role::Selected));
                        }
                    }
                }
            }
        }
        let y = bands.len() as u16;
        let zone = canvas.zone();
        canvas.text(AXIS + 1, y, width, &zone.moment(reading.start, now), dim);
        canvas.right(AXIS + 1, y, (reading.columns.len() as u16).min(width.saturating_sub(AXIS + 2)), &zone.clock(reading.end), dim);
        self.under_cursor(reading, &mut canvas.part(0, y + 1, width, 1));
        y + 2
    }

    fn under_cursor(&self, reading: &Reading, canvas: &mut Canvas<'_>) {
        let Some(((from, to), (low, high))) = self.region(reading) else { return };
        let count: f64 = reading.cells.iter().take(to + 1).skip(from).flat_map(|c| c.iter().take(high + 1).skip(low)).flatten().sum();
        let start = if from == 0 { reading.start } else { reading.columns[from - 1] };
        let fastest = low.checked_sub(1).map_or(0.0, |r| reading.bounds[r]);
        let zone = canvas.zone();
        let narrow = canvas.width() < 60;
        let slowest = match reading.bounds.get(high) {
            Some(bound) if high + 1 < reading.bounds.len() => format!("to {}", number::latency(*bound)),
            _ => "and slower".to_owned(),
        };
        let to = zone.clock(reading.columns[to]);
        let fastest = number::latency(fastest);
        let mut pen = canvas.pen(1, 0);
        if narrow {
            pen.put(&format!("{to}  {fastest} {slowest}  "), Role::Text);
        } else {
            let what = if self.anchor.is_some() { "region  " } else { "cursor  " };
            pen.put(what, Role::Dim).put(&format!("{} to {to}   {fastest} {slowest}   ", zone.clock(start)), Role::Text);
        }
        let plural = if count.round() == 1.0 { "" } else { "s" };
        pen.put(&format!("{} span{plural}", number::count(count.round())), Role::Strong);
    }
}

/// Darker or fuller means more spans; the steps are logarithmic, so that the few slow ones are seen beside the many fast.
pub(super) fn shade(count: f64, most: f64) -> (char, Role) {
    if count <= 0.0 {
        return (' ', Role::Faint);
    }
    let step = ((count.ln_1p() / most.ln_1p()) * 4.99).clamp(0.0, 4.0) as usize;
    (['░', '▒', '▒', '▓', '█'][step], Role::heat(step))
}

/// The newest column and the slowest row in it that holds something.
pub(super) fn worst(reading: &Reading) -> (usize, usize) {
    let column = reading.cells.iter().rposition(|c| c.iter().flatten().any(|v| *v > 0.0)).unwrap_or(0);
    let row = reading.cells.get(column).and_then(|c| c.iter().rposition(|v| v.is_some_and(|v| v > 0.0))).unwrap_or(0);
    (column, row)
}

/// The rows that hold spans, with one more at either end; what is empty above and below is not drawn.
pub(super) fn occupied(reading: &Reading) -> (usize, usize) {
    let holds = |r: &usize| reading.cells.iter().any(|c| c.get(*r).copied().flatten().is_some_and(|v| v > 0.0));
    let rows = reading.bounds.len();
    let first = (0..rows).find(holds).unwrap_or(0);
    let last = (0..rows).rev().find(holds).unwrap_or(rows.saturating_sub(1));
    (first.saturating_sub(1), (last + 1).min(rows.saturating_sub(1)))
}

/// Rows of the reading that share one line of the screen: first and last, the slowest at the top.
pub(super) fn bands((first, last): (usize, usize), height: usize) -> Vec<(usize, usize)> {
    let rows = last + 1 - first;
    // As many rows in each line, though some lines may stay free: a line of two rows would look twice as dark as one of one.
    let each = rows.div_ceil(height.max(1));
    (0..rows.div_ceil(each)).rev().map(|line| (first + line * each, last.min(first + (line + 1) * each - 1))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_shared_when_the_screen_is_low() {
        assert_eq!(bands((0, 3), 2), [(2, 3), (0, 1)]);
        assert_eq!(bands((2, 3), 9), [(3, 3), (2, 2)]);
        assert_eq!(bands((0, 0), 3), [(0, 0)]);
        assert_eq!(bands((0, 6), 6), [(6, 6), (4, 5), (2, 3), (0, 1)]);
    }

    #[test]
    fn few_spans_are_still_visible_beside_many() {
        assert_eq!(shade(0.0, 1000.0).0, ' ');
        assert_eq!(shade(1.0, 1000.0).0, '░');
        assert_eq!(shade(1000.0, 1000.0).0, '█');
    }
}
