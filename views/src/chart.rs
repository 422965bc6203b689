//! Small drawings of figures over time.

use crate::canvas::Canvas;
use crate::look::{Glyphs, Role};
use watchfire_model::Timestamp;

const STEPS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// One line of bars, newest at the right; `·` where nothing is known. A steady series stands at a third of the height, so that
/// what rises is seen to rise.
pub(crate) fn sparkline(canvas: &mut Canvas<'_>, x: u16, y: u16, width: u16, values: &[Option<f64>], role: Role) {
    let columns = resample(values, usize::from(width));
    let known: Vec<f64> = columns.iter().flatten().copied().collect();
    let top = steady_top(&known);
    let (style, faint) = (canvas.style(role), canvas.style(Role::Faint));
    let pad = usize::from(width) - columns.len().min(usize::from(width));
    for (i, value) in std::iter::repeat_n(&None, pad).chain(&columns).enumerate() {
        match value {
            None => canvas.dot(x + i as u16, y, '·', faint),
            Some(v) => canvas.dot(x + i as u16, y, STEPS[(v / top * 7.99).clamp(0.0, 7.0) as usize], style),
        }
    }
}

/// The value that reaches the top: at least the maximum, and about three times what is usual.
fn steady_top(known: &[f64]) -> f64 {
    let mut sorted = known.to_vec();
    sorted.sort_by(f64::total_cmp);
    let median = sorted.get(sorted.len() / 2).copied().unwrap_or(0.0);
    let max = sorted.last().copied().unwrap_or(0.0);
    let top = max.max(median * 3.2);
    if top.is_finite() && top > 0.0 { top } else { 1.0 }
}

/// At most `width` columns: the mean of what falls into each, unknown where all of it is.
pub(crate) fn resample(values: &[Option<f64>], width: usize) -> Vec<Option<f64>> {
    if values.len() <= width {
        return values.to_vec();
    }
    (0..width)
        .map(|i| {
            let (from, to) = (i * values.len() / width, ((i + 1) * values.len() / width).max(i * values.len() / width + 1));
            let known: Vec<f64> = values[from..to].iter().flatten().copied().collect();
            (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
        })
        .collect()
}

/// A bar of `width` columns filled to `ratio`: `▮▮▮▯▯`.
pub(crate) fn meter(canvas: &mut Canvas<'_>, x: u16, y: u16, width: u16, ratio: f64, role: Role) {
    let full = (ratio.clamp(0.0, 1.0) * f64::from(width)).round() as u16;
    let (style, faint) = (canvas.style(role), canvas.style(Role::Faint));
    for i in 0..width {
        if i < full {
            canvas.dot(x + i, y, '▮', style);
        } else {
            canvas.dot(x + i, y, '▯', faint);
        }
    }
}

/// One line of a chart.
pub(crate) struct Line<'a> {
    pub(crate) points: &'a [(Timestamp, Option<f64>)],
    pub(crate) role: Role,
}

/// What a chart shows besides its lines.
pub(crate) struct Axes {
    pub(crate) start: Timestamp,
    pub(crate) end: Timestamp,
    /// A horizontal line at this value.
    pub(crate) threshold: Option<f64>,
    /// Writes a value of the vertical axis.
    pub(crate) label: fn(f64) -> String,
}

const LABEL: u16 = 8;

/// Lines over time with a labelled axis at the left and times below.
pub(crate) fn lines(canvas: &mut Canvas<'_>, lines: &[Line<'_>], axes: &Axes) {
    let (width, height) = (canvas.width(), canvas.height());
    if width < LABEL + 4 || height < 3 {
        return;
    }
    let (plot_width, plot_height) = (width - LABEL - 1, height - 1);
    let values = lines.iter().flat_map(|l| l.points.iter().filter_map(|(_, v)| *v)).chain(axes.threshold).filter(|v| v.is_finite());
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    let (low, high) = scale(low, high, axes.threshold.is_some());
    let dim = canvas.style(Role::Dim);
    let threshold = axes.threshold.map(|value| (level(value, low, high, f64::from(plot_height)) as u16, value));
    for (row, value) in [(0, high), (plot_height / 2, (low + high) / 2.0), (plot_height - 1, low)] {
        canvas.right(0, row, LABEL - 1, &(axes.label)(value), dim);
    }
    // The line bears its own value: on a low chart it lies beside the middle that would stand there.
    if let Some((row, value)) = threshold {
        canvas.part(0, row, LABEL, 1).clear();
        let style = canvas.style(Role::Degraded);
        canvas.right(0, row, LABEL - 1, &(axes.label)(value), style);
    }
    let faint = canvas.style(Role::Faint);
    for row in 0..plot_height {
        canvas.dot(LABEL - 1 + 1, row, '│', faint);
    }
    let duration = axes.end.since(axes.start).as_secs_f64().max(0.001);
    let mut plot = canvas.part(LABEL + 1, 0, plot_width, plot_height);
    if let Some((row, _)) = threshold {
        let style = plot.style(Role::Degraded);
        for x in 0..plot_width {
            plot.dot(x, row, '╌', style);
        }
    }
    let mut ink = Ink::new(plot_width, plot_height, plot.look().glyphs);
    for line in lines {
        ink.role = line.role;
        let mut last: Option<(f64, f64)> = None;
        for (at, value) in line.points {
            let Some(value) = value.filter(|v| v.is_finite()) else {
                last = None;
                continue;
            };
            let x = (at.seconds() - axes.start.seconds()) / duration * f64::from(ink.columns() - 1);
            let y = level(value, low, high, f64::from(ink.rows()));
            if x < 0.0 || x > f64::from(ink.columns()) {
                last = None;
                continue;
            }
            ink.segment(last.unwrap_or((x, y)), (x, y));
            last = Some((x, y));
        }
    }
    ink.paint(&mut plot);
    let y = height - 1;
    let zone = canvas.zone();
    canvas.text(LABEL + 1, y, plot_width, &zone.clock(axes.start), dim);
    canvas.right(LABEL + 1, y, plot_width, &zone.clock(axes.end), dim);
    if plot_width > 40 {
        let middle = Timestamp::from_millis(axes.start.millis() / 2 + axes.end.millis() / 2);
        canvas.text(LABEL + 1 + plot_width / 2 - 4, y, 8, &zone.clock(middle), dim);
    }
}

/// The values at the bottom and the top of a chart. From zero, unless that would lay a ratio just below its objective on the threshold.
fn scale(low: f64, high: f64, threshold: bool) -> (f64, f64) {
    match (low, high) {
        (l, h) if !l.is_finite() || !h.is_finite() => (0.0, 1.0),
        (l, h) if threshold && l < h && l > 0.8 * h => (l - (h - l) * 0.1, h + (h - l) * 0.1),
        (l, h) if l >= 0.0 => (0.0, if h > 0.0 { h * 1.05 } else { 1.0 }),
        (l, h) if l == h => (l - 1.0, h + 1.0),
        (l, h) => (l, h),
    }
}

fn level(value: f64, low: f64, high: f64, rows: f64) -> f64 {
    ((high - value) / (high - low) * (rows - 1.0)).clamp(0.0, (rows - 1.0).max(0.0)).round()
}

/// Dots finer than cells: 2x4 in braille, 1x2 in half blocks, 1x1 in ASCII.
struct Ink {
    width: u16,
    height: u16,
    scale: (u16, u16),
    cells: Vec<(u8, Role)>,
    role: Role,
}

impl Ink {
    fn new(width: u16, height: u16, glyphs: Glyphs) -> Ink {
        let scale = match glyphs {
            Glyphs::Braille => (2, 4),
            Glyphs::Block => (1, 2),
            Glyphs::Ascii => (1, 1),
        };
        Ink { width, height, scale, cells: vec![(0, Role::Text); usize::from(width) * usize::from(height)], role: Role::Text }
    }

    fn columns(&self) -> u16 {
        self.width * self.scale.0
    }

    fn rows(&self) -> u16 {
        self.height * self.scale.1
    }

    fn dot(&mut self, x: i32, y: i32) {
        if x < 0 || y < 0 || x >= i32::from(self.columns()) || y >= i32::from(self.rows()) {
            return;
        }
        let (x, y) = (x as u16, y as u16);
        let (column, row) = (x / self.scale.0, y / self.scale.1);
        let bit = match self.scale {
            (2, _) => [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]][usize::from(y % 4)][usize::from(x % 2)],
            (_, 2) => 1 << (y % 2),
            _ => 1,
        };
        let cell = &mut self.cells[usize::from(row) * usize::from(self.width) + usize::from(column)];
        cell.0 |= bit;
        cell.1 = self.role;
    }

    fn segment(&mut self, from: (f64, f64), to: (f64, f64)) {
        let steps = (to.0 - from.0).abs().max((to.1 - from.1).abs()).ceil().clamp(1.0, 4096.0);
        for i in 0..=steps as u32 {
            let t = f64::from(i) / steps;
            self.dot((from.0 + (to.0 - from.0) * t).round() as i32, (from.1 + (to.1 - from.1) * t).round() as i32);
        }
    }

    fn paint(&self, canvas: &mut Canvas<'_>) {
        for (i, (bits, role)) in self.cells.iter().enumerate().filter(|(_, (bits, _))| *bits != 0) {
            let symbol = match self.scale {
                (2, _) => char::from_u32(0x2800 + u32::from(*bits)).unwrap_or('*'),
                (_, 2) => [' ', '▀', '▄', '█'][usize::from(*bits & 3)],
                _ => '*',
            };
            let style = canvas.style(*role);
            canvas.dot((i % usize::from(self.width)) as u16, (i / usize::from(self.width)) as u16, symbol, style);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::look::Look;
    use ratatui::buffer::Buffer;
    use ratatui::layout::Rect;

    fn line(values: &[Option<f64>], width: u16) -> String {
        let look = Look::plain();
        let mut buffer = Buffer::empty(Rect::new(0, 0, width, 1));
        let area = buffer.area;
        sparkline(&mut Canvas::new(&mut buffer, area, &look), 0, 0, width, values, Role::Text);
        buffer.content().iter().map(|c| c.symbol()).collect()
    }

    #[test]
    fn a_ratio_is_seen_to_miss_its_objective() {
        let (low, high) = scale(0.976, 0.999, true);
        let rows = 7.0;
        assert!(level(0.976, low, high, rows) > level(0.999, low, high, rows) + 4.0);
        assert_eq!(scale(0.976, 0.999, false).0, 0.0);
        assert_eq!(scale(0.01, 0.184, true).0, 0.0);
    }

    #[test]
    fn sparklines_show_what_rises_and_what_is_not_known() {
        assert_eq!(line(&[Some(1.0); 4], 4), "▃▃▃▃");
        assert_eq!(line(&[Some(1.0), Some(1.0), Some(1.0), Some(10.0)], 4), "▁▁▁█");
        assert_eq!(line(&[None, Some(0.0)], 4), "···▁");
        assert_eq!(line(&[], 3), "···");
        assert_eq!(line(&[Some(f64::NAN), Some(f64::INFINITY)], 2).chars().count(), 2);
    }

    #[test]
    fn many_values_fall_into_few_columns() {
        let values: Vec<Option<f64>> = (0..100).map(|i| Some(f64::from(i))).collect();
        assert_eq!(resample(&values, 4), [Some(12.0), Some(37.0), Some(62.0), Some(87.0)]);
        assert_eq!(resample(&[None, None, Some(1.0)], 1), [Some(1.0)]);
    }
}
