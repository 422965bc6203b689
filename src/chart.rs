//! Query results as a chart in plain text: one braille plot, a legend below.

use crate::modes::query::Series;

/// Dots of a braille cell by (column, row).
const DOTS: [[u8; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];
/// Series beyond this are counted, not drawn: nobody tells twenty lines apart.
const MAX_SERIES: usize = 8;

/// Draws up to eight series into `width` x `height` characters with the scale on the left.
pub fn chart(series: &[Series], width: usize, height: usize) -> String {
    let drawn: Vec<(&Series, Vec<(f64, f64)>)> = series
        .iter()
        .take(MAX_SERIES)
        .map(|s| (s, s.points.iter().filter_map(|(t, v)| v.parse().ok().filter(|v: &f64| v.is_finite()).map(|v| (*t, v))).collect()))
        .collect();
    let points = || drawn.iter().flat_map(|(_, p)| p.iter().copied());
    let Some(first) = points().next() else { return "no data\n".to_owned() };
    let fold = |pick: fn(&(f64, f64)) -> f64, best: fn(f64, f64) -> f64| points().fold(pick(&first), |a, p| best(a, pick(&p)));
    let (t0, t1) = (fold(|p| p.0, f64::min), fold(|p| p.0, f64::max));
    let (low, high) = (fold(|p| p.1, f64::min).min(0.0), fold(|p| p.1, f64::max));
    let high = if high > low { high } else { low + 1.0 };
    let label = 10;
    let columns = width.saturating_sub(label + 1).max(1);
    let mut cells = vec![vec![0u8; columns]; height];
    for (_, line) in &drawn {
        let place = |(t, v): (f64, f64)| {
            let x = if t1 > t0 { (t - t0) / (t1 - t0) } else { 0.0 } * (columns * 2 - 1) as f64;
            let y = (1.0 - (v - low) / (high - low)) * (height * 4 - 1) as f64;
            (x.round() as usize, y.round() as usize)
        };
        let mut previous: Option<(usize, usize)> = None;
        for point in line {
            let (x, y) = place(*point);
            let (x0, y0) = previous.unwrap_or((x, y));
            let steps = x.abs_diff(x0).max(y.abs_diff(y0)).max(1);
            for i in 0..=steps {
                let between = |a: usize, b: usize| (a as f64 + (b as f64 - a as f64) * i as f64 / steps as f64).round() as usize;
                let (px, py) = (between(x0, x), between(y0, y));
                cells[py / 4][px / 2] |= DOTS[px % 2][py % 4];
            }
            previous = Some((x, y));
        }
    }
    let mut out = String::new();
    for (row, line) in cells.iter().enumerate() {
        let scale = match row {
            0 => number(high),
            r if r + 1 == height => number(low),
            r if r == height / 2 => number(low + (high - low) / 2.0),
            _ => String::new(),
        };
        let dots: String = line.iter().map(|c| char::from_u32(0x2800 + u32::from(*c)).unwrap_or(' ')).collect();
        out.push_str(&format!("{scale:>label$} {}\n", dots.trim_end_matches('\u{2800}')));
    }
    for (s, line) in &drawn {
        let last = line.last().map_or("–".to_owned(), |(_, v)| number(*v));
        out.push_str(&format!("{:label$} {}  last {last}\n", "", s.labels));
    }
    if series.len() > drawn.len() {
        out.push_str(&format!("{:label$} and {} more series\n", "", series.len() - drawn.len()));
    }
    out
}

fn number(v: f64) -> String {
    match v.abs() {
        a if a >= 1e9 => format!("{:.2}G", v / 1e9),
        a if a >= 1e6 => format!("{:.2}M", v / 1e6),
        a if a >= 1e4 => format!("{:.1}k", v / 1e3),
        a if a >= 100.0 || a == 0.0 => format!("{v:.0}"),
        a if a >= 0.01 => format!("{v:.2}"),
        _ => format!("{v:.1e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use watchfire_model::Labels;

    #[test]
    fn a_rising_line_goes_from_the_lower_left_to_the_upper_right() {
        let series =
            [Series { labels: Labels::from_pairs([("a", "b")]), points: (0..50).map(|i| (f64::from(i), i.to_string())).collect() }];
        let drawn = chart(&series, 40, 5);
        let lines: Vec<&str> = drawn.lines().collect();
        assert!(lines[0].trim_start().starts_with("49"), "{drawn}");
        assert!(lines[0].chars().count() > lines[4].trim_end().chars().count(), "{drawn}");
        assert!(lines[5].contains("{a=\"b\"}  last 49.00") || lines[5].contains("last 49"), "{drawn}");
    }

    #[test]
    fn nothing_to_draw_is_said() {
        assert_eq!(chart(&[], 40, 5), "no data\n");
        let nan = [Series { labels: Labels::empty(), points: vec![(0.0, "NaN".to_owned())] }];
        assert_eq!(chart(&nan, 40, 5), "no data\n");
    }
}
