//! The rule lab: change the expression, how long it must hold or the threshold, and see at once what the past would have paged.

use crate::action::Action;
use crate::canvas::{Canvas, wrap};
use crate::chart::{Axes, Line, lines};
use crate::effect::Effect;
use crate::look::Role;
use crate::number;
use crate::readings::Kind;
use crate::table::moved;
use crate::view::{Ask, Cx, Out};
use std::time::Duration;
use watchfire_model::reading::{Alert, BacktestQuery, ComparedWith, Episode};
use watchfire_model::{Request, Timestamp, format_duration, parse_duration};

/// What a page of episodes is.
const PAGE: usize = 10;
const RANGES: [i64; 6] = [900_000, 3_600_000, 6 * 3_600_000, 24 * 3_600_000, 3 * 86_400_000, 7 * 86_400_000];
/// Six hours, unless somebody asks for another range.
const USUAL: usize = 2;
/// Time points of a backtest; more would not be seen.
const POINTS: i64 = 480;
/// Less than this says nothing about a week.
const SHORTEST_FOR_A_RATE: Duration = Duration::from_secs(3600);

pub(super) struct Lab {
    pub(super) name: String,
    expression: String,
    hold: Duration,
    keep: Duration,
    range: Option<usize>,
    /// As the rule has it, to compare with.
    original: (String, Duration),
    /// What the expression compares with what: of the rule itself, and as it was moved last, which nobody has read yet.
    compared: Option<Compared>,
    original_number: Option<f64>,
    scroll: usize,
}

struct Compared {
    expression: String,
    with: Option<ComparedWith>,
}

impl Lab {
    pub(super) fn of(alert: &Alert) -> Lab {
        let seconds = |s: f64| Duration::from_secs_f64(s.clamp(0.0, 1e9));
        let (hold, keep) = (seconds(alert.for_seconds), seconds(alert.keep_firing_for_seconds));
        // Rule files break long expressions; the line that edits them is one line.
        let expression = alert.expression.lines().map(str::trim).collect::<Vec<_>>().join(" ").trim().to_owned();
        Lab {
            name: alert.name.clone(),
            original: (expression.clone(), hold),
            expression,
            hold,
            keep,
            range: None,
            compared: None,
            original_number: alert.threshold,
            scroll: 0,
        }
    }

    pub(super) fn hints() -> Vec<(Action, &'static str)> {
        vec![
            (Action::Edit, "expression"),
            (Action::EditFor, "for"),
            (Action::MoreHops, "threshold up"),
            (Action::FewerHops, "down"),
            (Action::RangeLonger, "longer"),
            (Action::Copy, "copy rule"),
        ]
    }

    fn range(&self, cx: &Cx<'_>) -> usize {
        self.range.unwrap_or_else(|| cx.fitting_range(RANGES.into_iter().map(|ms| ms / 1000), USUAL))
    }

    fn span(&self, cx: &Cx<'_>) -> (Timestamp, Timestamp, i64) {
        let length = RANGES[self.range(cx)];
        let step = (length / POINTS / 15_000).max(1) * 15_000;
        let (start, end) = cx.last(length, step);
        (start, end, step)
    }

    pub(super) fn wants(&self, cx: &Cx<'_>) -> Vec<Request> {
        let (start, end, step_ms) = self.span(cx);
        let mut wants = vec![Request::Backtest(BacktestQuery {
            expression: self.expression.clone(),
            for_seconds: self.hold.as_secs_f64(),
            keep_firing_for_seconds: self.keep.as_secs_f64(),
            start,
            end,
            step_ms,
        })];
        if let Some(with) = self.compared(cx).flatten() {
            wants.push(Request::QueryRange { expression: with.value.clone(), start, end, step_ms });
        }
        wants
    }

    /// What the expression on screen compares with what; `None` until the past was worked through.
    fn compared<'a>(&'a self, cx: &Cx<'a>) -> Option<Option<&'a ComparedWith>> {
        let read = match &cx.readings.slot(Kind::Backtest).request {
            Some(Request::Backtest(query)) if query.expression == self.expression => cx.readings.backtest(),
            _ => None,
        };
        let moved = || self.compared.as_ref().filter(|c| c.expression == self.expression).map(|c| &c.with);
        read.map(|backtest| &backtest.comparison).or_else(moved).map(Option::as_ref)
    }

    /// Writes another number where the expression has its own.
    fn compare_with(&mut self, with: &ComparedWith, written: &str) {
        let (Some(before), Some(behind)) = (self.expression.get(..with.from), self.expression.get(with.to..)) else { return };
        let expression = format!("{before}{written}{behind}");
        let (from, to) = (with.from, with.from + written.len());
        // What is measured may stand behind the number and stays as it is.
        let with = ComparedWith { number: written.parse().unwrap_or(with.number), from, to, ..with.clone() };
        self.compared = Some(Compared { expression: expression.clone(), with: Some(with) });
        self.expression = expression;
    }

    pub(super) fn update(&mut self, action: Action, cx: &Cx<'_>, out: &mut Out) -> bool {
        match action {
            Action::Edit => {
                let label = format!("{} expression", self.name);
                out.ask = Some(Ask { topic: "expression", label, text: self.expression.clone(), promql: true });
            }
            Action::EditFor => {
                let text = format_duration(self.hold);
                out.ask = Some(Ask { topic: "for", label: format!("{} for", self.name), text, promql: false });
            }
            Action::MoreHops | Action::FewerHops => {
                let Some(compared) = self.compared(cx) else {
                    out.refuse("the past is still being worked through");
                    return true;
                };
                let Some(with) = compared.cloned() else {
                    out.refuse("the expression compares nothing with a number; i edits it");
                    return true;
                };
                if !with.number.is_normal() {
                    out.refuse(format!("a threshold of {} has no tenth; i edits it", with.number));
                    return true;
                }
                self.compare_with(&with, &tenth(with.number, action == Action::MoreHops));
                out.effects.push(Effect::Refresh);
            }
            Action::RangeLonger | Action::RangeShorter => {
                let longer = action == Action::RangeLonger;
                let range = self.range(cx);
                self.range = Some(if longer { (range + 1).min(RANGES.len() - 1) } else { range.saturating_sub(1) });
                out.effects.push(Effect::Refresh);
            }
            Action::Copy => out.effects.push(Effect::Copy(self.rule())),
            // What is drawn ends at the last episode.
            action => match moved(action, self.scroll, PAGE, usize::MAX) {
                Some(to) => self.scroll = to,
                None => return false,
            },
        }
        true
    }

    /// As a rule file has it. PromQL may begin with a brace or hold a `: `, which mean something in YAML unless the text is a block.
    fn rule(&self) -> String {
        let word = |c: char| c.is_alphanumeric() || c == '_';
        let name = if self.name.chars().all(word) { self.name.clone() } else { format!("{:?}", self.name) };
        let mut rule = format!("- alert: {name}\n  expr: |-\n    {}\n  for: {}", self.expression, format_duration(self.hold));
        if !self.keep.is_zero() {
            rule.push_str(&format!("\n  keep_firing_for: {}", format_duration(self.keep)));
        }
        rule
    }

    pub(super) fn answer(&mut self, topic: &'static str, text: &str, out: &mut Out) {
        match topic {
            "expression" if !text.is_empty() => self.expression = text.to_owned(),
            "for" => match parse_duration(text) {
                Ok(hold) => self.hold = hold,
                Err(error) => out.refuse(error.to_string()),
            },
            _ => {}
        }
    }

    pub(super) fn render(&mut self, cx: &Cx<'_>, canvas: &mut Canvas<'_>) {
        let (width, height) = (canvas.width(), canvas.height());
        let changed = |same: bool| if same { Role::Text } else { Role::Accent };
        let expression = wrap(&self.expression, width.saturating_sub(9), if height >= 24 { 6 } else { 3 });
        let mut y = 0;
        for (i, line) in expression.iter().enumerate() {
            let name = if i == 0 { "expr" } else { "" };
            canvas.pen(1, y).column(7, name, Role::Dim).put(line, changed(self.expression == self.original.0));
            y += 1;
        }
        let (start, end, _) = self.span(cx);
        let range = number::span_short(end.since(start));
        let mut pen = canvas.pen(1, y);
        pen.column(7, "for", Role::Dim).put(&format_duration(self.hold), changed(self.hold == self.original.1));
        if !self.keep.is_zero() {
            pen.put(&format!("   fires on for {}", format_duration(self.keep)), Role::Text);
        }
        pen.put(&format!("   over the last {range}"), Role::Dim);
        if let Some(with) = self.compared(cx).flatten() {
            let same = |before: f64| (before - with.number).abs() <= 1e-9 * before.abs();
            let mut pen = canvas.pen(1, y + 1);
            let threshold = format!("{} {}", with.sign, plain(with.number));
            pen.column(7, "fires", Role::Dim).put(&threshold, changed(self.original_number.is_some_and(same)));
            if let Some(before) = self.original_number.filter(|before| !same(*before)) {
                pen.put(&format!("   the rule has {} {}", with.sign, plain(before)), Role::Dim);
            }
            y += 1;
        }
        y += 2;
        let slot = cx.readings.slot(Kind::Backtest);
        let current = slot.request.as_ref().is_some_and(|r| self.wants(cx).first() == Some(r));
        if let Some(error) = &slot.error {
            for line in wrap(&error.to_string(), width.saturating_sub(4), 4) {
                canvas.pen(1, y).put("✖ ", Role::Unhealthy).put(&line, Role::Text);
                y += 1;
            }
            return;
        }
        let Some(backtest) = cx.readings.backtest() else {
            canvas.pen(1, y).put("working through the past …", Role::Dim);
            return;
        };
        // What was not known then cannot have paged, so it is no part of the rate.
        let known_from = cx.readings.query_range().and_then(|r| r.series.iter().flat_map(|s| s.points.first()).map(|(at, _)| *at).min());
        let known = end.since(known_from.unwrap_or(start).max(start));
        let weeks = known.as_secs_f64() / 604_800.0;
        let rate = if known >= SHORTEST_FOR_A_RATE {
            format!("{} a week at this rate", number::digits(backtest.pages as f64 / weeks))
        } else {
            format!("in the {} that are known", number::span(known))
        };
        let plural = if backtest.pages == 1 { "" } else { "s" };
        canvas
            .pen(1, y)
            .put(&format!("would have fired {} time{plural}", backtest.pages), Role::Strong)
            .put(&format!("   {rate}"), Role::Text)
            .put(&format!("   {} evaluations", backtest.evaluations), Role::Dim)
            .put(if current { "" } else { "   working …" }, Role::Unknown);
        y += 1;
        for warning in backtest.warnings.iter().take(2) {
            canvas.pen(1, y).put(&format!("▲ {warning}"), Role::Degraded);
            y += 1;
        }
        let left = height.saturating_sub(y);
        let chart_height = if left >= 12 { (left / 2).min(14) } else { 0 };
        if chart_height > 0 {
            self.chart(cx, &mut canvas.part(1, y + 1, width.saturating_sub(2), chart_height), start, end);
            bars(&mut canvas.part(1, y + 1 + chart_height, width.saturating_sub(2), 1), &backtest.episodes, start, end);
            y += chart_height + 2;
        }
        self.episodes(&backtest.episodes, cx, &mut canvas.part(0, y, width, height.saturating_sub(y)));
    }

    fn chart(&self, cx: &Cx<'_>, canvas: &mut Canvas<'_>, start: Timestamp, end: Timestamp) {
        let Some(with) = self.compared(cx).flatten() else { return };
        let same = matches!(&cx.readings.slot(Kind::QueryRange).request, Some(Request::QueryRange { expression, .. }) if *expression == with.value);
        let Some(result) = cx.readings.query_range().filter(|_| same) else { return };
        let series: Vec<Line<'_>> =
            result.series.iter().take(6).enumerate().map(|(i, s)| Line { points: &s.points, role: Role::series(i) }).collect();
        lines(canvas, &series, &Axes { start, end, threshold: Some(with.number), label: number::significant });
    }

    fn episodes(&mut self, episodes: &[Episode], cx: &Cx<'_>, canvas: &mut Canvas<'_>) {
        let heading = canvas.style(Role::Heading);
        canvas.text(1, 0, 60, "PENDING   FIRED     ENDED     FOR      PEAK     LABELS", heading);
        let rows = usize::from(canvas.height().saturating_sub(1));
        self.scroll = self.scroll.min(episodes.len().saturating_sub(rows));
        for (i, episode) in episodes.iter().rev().skip(self.scroll).take(rows).enumerate() {
            let clock = |at: Option<Timestamp>| at.map_or_else(|| number::UNKNOWN.to_owned(), |at| cx.zone.clock(at));
            let length = episode.ended_at.unwrap_or(cx.now).since(episode.pending_at);
            let labels: Vec<String> = episode.labels.iter().map(|l| format!("{}={}", l.name, l.value)).collect();
            let role = if episode.fired_at.is_some() { Role::Unhealthy } else { Role::Dim };
            canvas
                .pen(1, i as u16 + 1)
                .column(10, &cx.zone.clock(episode.pending_at), Role::Text)
                .column(10, &clock(episode.fired_at), role)
                .column(10, &clock(episode.ended_at), Role::Text)
                .column(9, &number::span(length), Role::Text)
                .column(9, &episode.peak_value.map_or_else(|| number::UNKNOWN.to_owned(), number::significant), Role::Text)
                .put(&labels.join(" "), Role::Dim);
        }
        if episodes.is_empty() {
            canvas.pen(1, 1).put("nothing would have happened", Role::Dim);
        }
    }
}

/// When it was pending and when it fired, beneath the chart.
fn bars(canvas: &mut Canvas<'_>, episodes: &[Episode], start: Timestamp, end: Timestamp) {
    let left = 9;
    let width = canvas.width().saturating_sub(left);
    let dim = canvas.style(Role::Dim);
    canvas.right(0, 0, 7, "fires", dim);
    let length = end.since(start).as_secs_f64().max(1.0);
    let column = |at: Timestamp| ((at.since(start).as_secs_f64() / length).min(1.0) * f64::from(width.saturating_sub(1))) as u16;
    for episode in episodes {
        let last = episode.ended_at.unwrap_or(end);
        let fired = episode.fired_at.map(column);
        for x in column(episode.pending_at)..=column(last) {
            let fires = fired.is_some_and(|f| x >= f);
            let style = canvas.style(if fires { Role::Unhealthy } else { Role::Degraded });
            canvas.dot(left + x, 0, if fires { '█' } else { '▁' }, style);
        }
    }
}

/// A threshold a tenth further up or down. A share that is nearly all moves by a tenth of what is missing: nobody means 110 %.
fn tenth(value: f64, up: bool) -> String {
    let missing = 1.0 - value;
    if (0.0..0.5).contains(&missing) && missing > 0.0 {
        return plain(1.0 - tidy(if up { missing / 1.1 } else { missing * 1.1 }));
    }
    plain(tidy(if up == (value > 0.0) { value * 1.1 } else { value / 1.1 }))
}

/// Three digits, as a person would write it.
fn tidy(value: f64) -> f64 {
    let scale = 10f64.powi(2 - value.abs().log10().floor() as i32);
    if scale.is_normal() { (value * scale).round() / scale } else { value }
}

/// All digits that were meant, and none that binary fractions add.
fn plain(value: f64) -> String {
    if value.abs() < 1e6 { format!("{}", (value * 1e9).round() / 1e9) } else { format!("{value}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(expression: &str) -> serde_json::Value {
        serde_json::json!({
            "name": "A", "state": "firing", "severity": "warning", "labels": {}, "annotations": {}, "active_at": null,
            "cause": null, "notified": false, "expression": expression,
        })
    }

    #[test]
    fn a_threshold_is_moved_where_it_stands() {
        let mut lab = Lab::of(&serde_json::from_value(alert("sum(x) > 0.05 and on () sum(y) > 10")).expect("an alert"));
        let with = ComparedWith { value: "sum(x)".into(), sign: ">".into(), number: 0.05, from: 9, to: 13 };
        lab.compare_with(&with, &tenth(0.05, true));
        assert_eq!(lab.expression, "sum(x) > 0.055 and on () sum(y) > 10");
        let moved = lab.compared.as_ref().and_then(|c| c.with.clone()).expect("compared");
        lab.compare_with(&moved, "5");
        assert_eq!(lab.expression, "sum(x) > 5 and on () sum(y) > 10");
        let lines: Vec<String> = lab.rule().lines().map(str::to_owned).collect();
        assert_eq!(lines, ["- alert: A", "  expr: |-", "    sum(x) > 5 and on () sum(y) > 10", "  for: 0s"]);
        let moved =
            [(0.05, true), (1000.0, true), (1000.0, false), (-2.0, true), (0.999, true), (0.999, false), (0.9995, false), (1.0, true)];
        let shown = moved.map(|(value, up)| tenth(value, up));
        assert_eq!(shown, ["0.055", "1100", "909", "-1.82", "0.999091", "0.9989", "0.99945", "1.1"]);
        assert_eq!((plain(0.9995), plain(0.1 + 0.2), plain(50_000.0)), ("0.9995".to_owned(), "0.3".to_owned(), "50000".to_owned()));
    }
}
