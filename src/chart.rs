//! Query results as a chart in plain text: one braille plot, a legend below.

use crate::modes::query::Series;
use chrono::{DateTime, Utc};

/// Dots of a braille cell by (column, row).
const DOTS: [[u8; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];
/// Series beyond this are counted, not drawn: nobody tells twenty lines apart.
const MAX_SERIES: usize = 8;

/// What was asked for, in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub start: f64,
    pub end: f64,
    /// Between points: farther apart there was nothing in between.
    pub step: f64,
}

/// Draws up to eight series into `width` x `height` characters with the scale on the left and the time below: of the whole span, where there is one, so
/// that what begins late is seen to begin late.
pub fn chart(series: &[Series], span: Option<Span>, width: usize, height: usize) -> String {
    if series.is_empty() {
        return "no data\n".to_owned();
    }
    let drawn: Vec<(&Series, Vec<(f64, f64)>)> = series
        .iter()
        .take(MAX_SERIES)
        .map(|s| (s, s.points.iter().filter_map(|(t, v)| v.parse().ok().filter(|v: &f64| v.is_finite()).map(|v| (*t, v))).collect()))
        .collect();
    let points = || drawn.iter().flat_map(|(_, p)| p.iter().copied());
    let Some(first) = points().next() else { return "nothing to draw: no value is a finite number\n".to_owned() };
    let fold = |pick: fn(&(f64, f64)) -> f64, best: fn(f64, f64) -> f64| points().fold(pick(&first), |a, p| best(a, pick(&p)));
    let (t0, t1) = span.map_or_else(|| (fold(|p| p.0, f64::min), fold(|p| p.0, f64::max)), |span| (span.start, span.end));
    let gap = span.map_or(f64::INFINITY, |span| span.step * 1.5);
    let (low, high) = (fold(|p| p.1, f64::min).min(0.0), fold(|p| p.1, f64::max));
    let high = if high > low { high } else { low + 1.0 };
    let label = 10;
    let columns = width.saturating_sub(label + 1).max(1);
    let mut cells = vec![vec![0u8; columns]; height];
    for (_, line) in &drawn {
        let place = |(t, v): (f64, f64)| {
            let x = if t1 > t0 { ((t - t0) / (t1 - t0)).clamp(0.0, 1.0) } else { 0.0 } * (columns * 2 - 1) as f64;
            let y = (1.0 - (v - low) / (high - low)) * (height * 4 - 1) as f64;
            (x.round() as usize, y.round() as usize)
        };
        let mut previous: Option<(f64, f64)> = None;
        for point in line {
            let (x, y) = place(*point);
            let (x0, y0) = previous.filter(|before| point.0 - before.0 <= gap).map_or((x, y), place);
            let steps = x.abs_diff(x0).max(y.abs_diff(y0)).max(1);
            for i in 0..=steps {
                let between = |a: usize, b: usize| (a as f64 + (b as f64 - a as f64) * i as f64 / steps as f64).round() as usize;
                let (px, py) = (between(x0, x), between(y0, y));
                cells[py / 4][px / 2] |= DOTS[px % 2][py % 4];
            }
            previous = Some(*point);
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
    if t1 > t0 {
        let (from, to) = (moment(t0), moment(t1));
        let between = columns.saturating_sub(from.len() + to.len()).max(1);
        out.push_str(&format!("{:label$} {from}{}{to}\n", "", " ".repeat(between)));
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

fn moment(seconds: f64) -> String {
    let at = DateTime::<Utc>::from_timestamp_millis((seconds * 1000.0) as i64);
    at.map_or_else(|| seconds.to_string(), |at| at.format("%Y-%m-%d %H:%M:%SZ").to_string())
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
        let drawn = chart(&series, None, 40, 5);
        let lines: Vec<&str> = drawn.lines().collect();
        assert!(lines[0].trim_start().starts_with("49"), "{drawn}");
        assert!(lines[0].chars().count() > lines[4].trim_end().chars().count(), "{drawn}");
        assert_eq!(lines[5].trim(), "1970-01-01 00:00:00Z 1970-01-01 00:00:49Z");
        assert!(lines[6].contains("{a=\"b\"}  last 49"), "{drawn}");
    }

    #[test]
    fn what_is_not_there_is_not_drawn() {
        let at = |t: u32, v: &str| (f64::from(t), v.to_owned());
        let points =
            vec![at(600, "1"), at(610, "1"), at(620, "NaN"), at(630, "NaN"), at(640, "1"), at(650, "1"), at(800, "1"), at(1000, "1")];
        let series = [Series { labels: Labels::empty(), points }];
        let drawn = chart(&series, Some(Span { start: 0.0, end: 1000.0, step: 10.0 }), 111, 3);
        let top: Vec<char> = drawn.lines().next().expect("a line").chars().skip(11).collect();
        let is_drawn = |t: usize| top.get(t / 10).is_some_and(|c| *c != '\u{2800}');
        let seen: Vec<usize> = (0..100).filter(|n| is_drawn(n * 10)).map(|n| n * 10).collect();
        assert_eq!(seen, [590, 600, 630, 640, 790, 990], "{drawn}");
    }

    #[test]
    fn nothing_to_draw_is_said() {
        assert_eq!(chart(&[], None, 40, 5), "no data\n");
        let nan = [Series { labels: Labels::empty(), points: vec![(0.0, "NaN".to_owned())] }];
        assert_eq!(chart(&nan, None, 40, 5), "nothing to draw: no value is a finite number\n");
    }
}
