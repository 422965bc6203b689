//! Latency: a heatmap over time, percentile lines, and what the spans of a region have in common.

mod distribution;
mod explanation;
mod heatmap;
mod marked;

use crate::action::Action;
use crate::canvas::Canvas;
use crate::effect::Effect;
use crate::look::Role;
use crate::number;
use crate::part::the_only;
use crate::readings::Kind;
use crate::table::moved;
use crate::view::{Ask, Cx, Out, View, blank};
use crate::views::ViewId;
use distribution::{histogram, percentile_lines};
use heatmap::{bands, occupied, worst};
use marked::Marked;
use std::time::Duration;
use watchfire_model::Request;
use watchfire_model::reading::{ExplainQuery, Latency as Reading, LatencyQuery};

/// What a page of findings or operations is.
const PAGE: usize = 10;
const RANGES: [u64; 6] = [300, 900, 3600, 10_800, 21_600, 86_400];
/// A quarter of an hour, unless somebody asks for another range.
const USUAL: usize = 1;
const AXIS: u16 = 8;

pub(crate) struct Latency {
    service: Option<String>,
    /// Somebody chose the service here, and Esc takes it back.
    chosen: bool,
    operation: Option<String>,
    range: Option<usize>,
    mode: Mode,
    /// Columns of the last frame: what to ask for.
    columns: usize,
    /// Column and row of the cell under the cursor.
    cursor: (usize, usize),
    /// The cursor was moved; else it stands at what is slowest.
    moved: bool,
    anchor: Option<(usize, usize)>,
    /// The times that cursor and anchor stand at: columns move on beneath them.
    marked: Marked,
    /// Where the mouse button went down.
    pressed: Option<(usize, usize)>,
    question: Option<ExplainQuery>,
    scroll: usize,
    /// Lines of the heatmap in the last frame.
    lines: u16,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Heatmap,
    Lines,
    Histogram,
    Operations,
}

impl Default for Latency {
    fn default() -> Self {
        Latency {
            service: None,
            chosen: false,
            operation: None,
            range: None,
            mode: Mode::Heatmap,
            columns: 60,
            cursor: (0, 0),
            moved: false,
            anchor: None,
            marked: Marked::default(),
            pressed: None,
            question: None,
            scroll: 0,
            lines: 0,
        }
    }
}

impl Latency {
    fn range(&self, cx: &Cx<'_>) -> usize {
        self.range.unwrap_or_else(|| cx.fitting_range(RANGES.iter().map(|s| *s as i64), USUAL))
    }

    fn query(&self, cx: &Cx<'_>) -> LatencyQuery {
        LatencyQuery {
            service: self.service.clone(),
            operation: self.operation.clone(),
            range_seconds: RANGES[self.range(cx)],
            columns: self.columns,
        }
    }

    /// The marked region, or the cell under the cursor with all that is slower.
    fn region(&self, reading: &Reading) -> Option<((usize, usize), (usize, usize))> {
        if reading.columns.is_empty() || reading.bounds.is_empty() {
            return None;
        }
        let (column, row) = (self.cursor.0.min(reading.columns.len() - 1), self.cursor.1.min(reading.bounds.len() - 1));
        Some(match self.anchor {
            Some((c, r)) => {
                let (c, r) = (c.min(reading.columns.len() - 1), r.min(reading.bounds.len() - 1));
                ((c.min(column), c.max(column)), (r.min(row), r.max(row)))
            }
            None => ((column, column), (row, reading.bounds.len() - 1)),
        })
    }

    /// What is explained: the region; where nobody chose one, whatever was slower than the usual p95 at any time of the screen.
    fn subject(&self, reading: &Reading) -> Option<((usize, usize), (usize, usize))> {
        let chosen = self.region(reading)?;
        if self.moved || self.anchor.is_some() {
            return Some(chosen);
        }
        let mut p95: Vec<f64> = reading.p95.iter().flatten().copied().filter(|v| v.is_finite()).collect();
        p95.sort_by(f64::total_cmp);
        let usual = *p95.get(p95.len() / 2)?;
        let row = reading.bounds.partition_point(|b| *b < usual).min(reading.bounds.len() - 1);
        Some(((0, reading.columns.len() - 1), (row, reading.bounds.len() - 1)))
    }

    /// Asks what the slow spans have in common, or the failing ones: those of the region, or all where nobody chose one.
    fn explain(&mut self, reading: &Reading, errors_only: bool, out: &mut Out) {
        let chosen = self.moved || self.anchor.is_some();
        let subject = match errors_only && !chosen && !reading.columns.is_empty() {
            true => Some(((0, reading.columns.len() - 1), (0, reading.bounds.len().saturating_sub(1)))),
            false => self.subject(reading),
        };
        let Some(((from, to), (low, high))) = subject else { return out.refuse("nothing to explain yet") };
        let start = if from == 0 { reading.start } else { reading.columns[from - 1] };
        self.question = Some(ExplainQuery {
            service: self.service.clone(),
            operation: self.operation.clone(),
            start,
            end: reading.columns[to],
            min_duration_ms: low.checked_sub(1).map(|r| reading.bounds[r] * 1000.0),
            max_duration_ms: (high + 1 < reading.bounds.len()).then(|| reading.bounds[high] * 1000.0),
            errors_only,
        });
        self.scroll = 0;
        out.effects.push(Effect::Refresh);
    }
}

impl View for Latency {
    fn wants(&self, cx: &Cx<'_>) -> Vec<Request> {
        let mut wants = vec![Request::Latency(self.query(cx))];
        if let Some(question) = &self.question {
            wants.insert(0, Request::Explain(question.clone()));
        }
        wants
    }

    fn open(&mut self, subject: Option<&str>) {
        if self.service.as_deref() != subject {
            self.service = subject.map(str::to_owned);
            self.chosen = false;
            self.operation = None;
            self.moved = false;
            self.anchor = None;
            self.question = None;
        }
    }

    fn crumbs(&self) -> Vec<String> {
        let explained = self.question.as_ref().map(|_| "explain".to_owned());
        self.operation.clone().into_iter().chain(explained).collect()
    }

    fn update(&mut self, action: Action, cx: &Cx<'_>, out: &mut Out) -> bool {
        let Some(reading) = cx.readings.latency() else { return false };
        self.follow(reading);
        let (columns, rows) = (reading.columns.len().max(1), reading.bounds.len().max(1));
        if let Some(question) = &self.question {
            match action {
                Action::Errors => {
                    let errors_only = !question.errors_only;
                    self.explain(reading, errors_only, out);
                }
                Action::Open => {
                    if let Some(id) = cx.readings.explanation().and_then(|e| e.example_traces.first()) {
                        out.go(ViewId::Traces, Some(format!("id:{id}")));
                    }
                    return true;
                }
                // What is drawn ends at the last finding.
                action => match moved(action, self.scroll, PAGE, usize::MAX) {
                    Some(to) => self.scroll = to,
                    None => return false,
                },
            }
            return true;
        }
        if self.mode == Mode::Operations
            && let Some(to) = moved(action, self.scroll, PAGE, reading.operations.len().saturating_sub(1))
        {
            self.scroll = to;
            return true;
        }
        match action {
            Action::Mode => {
                self.scroll = 0;
                self.mode = match self.mode {
                    Mode::Heatmap => Mode::Lines,
                    Mode::Lines => Mode::Histogram,
                    Mode::Histogram => Mode::Operations,
                    Mode::Operations => Mode::Heatmap,
                };
            }
            Action::RangeLonger => self.range = Some((self.range(cx) + 1).min(RANGES.len() - 1)),
            Action::RangeShorter => self.range = Some(self.range(cx).saturating_sub(1)),
            Action::Edit | Action::Filter => {
                let text = self.service.clone().unwrap_or_default();
                out.ask = Some(Ask {
                    topic: "service",
                    label: "latency of (service, or nothing for entry points)".to_owned(),
                    text,
                    promql: false,
                });
            }
            Action::Select => self.anchor = if self.anchor.is_some() { None } else { Some(self.cursor) },
            Action::Explain => self.explain(reading, false, out),
            Action::Errors => self.explain(reading, true, out),
            Action::Open if self.mode == Mode::Operations => {
                self.operation = reading.operations.get(self.scroll).map(|o| o.name.clone());
                self.mode = Mode::Heatmap;
                out.effects.push(Effect::Refresh);
            }
            Action::Open => self.explain(reading, false, out),
            // Slower is further up.
            Action::Up => self.cursor.1 = (self.cursor.1 + 1).min(rows - 1),
            Action::Down => self.cursor.1 = self.cursor.1.saturating_sub(1),
            Action::Left => self.cursor.0 = self.cursor.0.saturating_sub(1),
            Action::Right => self.cursor.0 = (self.cursor.0 + 1).min(columns - 1),
            Action::HalfUp | Action::PageUp => self.cursor.0 = self.cursor.0.saturating_sub(10),
            Action::HalfDown | Action::PageDown => self.cursor.0 = (self.cursor.0 + 10).min(columns - 1),
            Action::Top => self.cursor.0 = 0,
            Action::Bottom => self.cursor.0 = columns - 1,
            _ => return false,
        }
        if matches!(action, Action::RangeLonger | Action::RangeShorter) {
            self.moved = false;
            out.effects.push(Effect::Refresh);
        } else if self.mode == Mode::Heatmap && !matches!(action, Action::Explain | Action::Errors | Action::Open) {
            self.moved = true;
        }
        self.mark(reading);
        true
    }

    fn click(&mut self, x: u16, y: u16, cx: &Cx<'_>, _: &mut Out) -> bool {
        let Some(reading) = cx.readings.latency().filter(|_| self.mode == Mode::Heatmap && self.question.is_none()) else { return false };
        let Some(cell) = self.cell(x, y, reading) else { return false };
        self.moved = true;
        self.cursor = cell;
        self.pressed = Some(cell);
        self.mark(reading);
        true
    }

    /// From where the button went down to where it is let go: the region.
    fn release(&mut self, x: u16, y: u16, cx: &Cx<'_>) -> bool {
        let Some(reading) = cx.readings.latency().filter(|_| self.mode == Mode::Heatmap && self.question.is_none()) else { return false };
        let (Some(from), Some(to)) = (self.pressed.take(), self.cell(x, y, reading)) else { return false };
        if from == to {
            return false;
        }
        (self.anchor, self.cursor) = (Some(from), to);
        self.mark(reading);
        true
    }

    fn answer(&mut self, topic: &'static str, text: &str, cx: &Cx<'_>, out: &mut Out) {
        if topic != "service" {
            return;
        }
        let known = cx.readings.latency().map(|l| l.services.as_slice()).unwrap_or_default();
        let names: Vec<&str> = known.iter().map(String::as_str).collect();
        self.service = match the_only(&names, text) {
            _ if text.is_empty() => None,
            Some(name) => Some(name.to_owned()),
            None if names.is_empty() => Some(text.to_owned()),
            None if names.iter().any(|name| name.contains(text)) => {
                return out.refuse(format!("several services are called {text}; Tab completes"));
            }
            None => return out.refuse(format!("no spans of a service called {text}; Tab completes")),
        };
        self.chosen = self.service.is_some();
        self.operation = None;
        self.moved = false;
        self.anchor = None;
    }

    fn back(&mut self) -> bool {
        if self.question.take().is_some() || self.anchor.take().is_some() || self.operation.take().is_some() {
            return true;
        }
        if std::mem::take(&mut self.chosen) {
            self.service = None;
            return true;
        }
        let other = self.mode != Mode::Heatmap;
        self.mode = Mode::Heatmap;
        other
    }

    fn hints(&self, cx: &Cx<'_>) -> Vec<(Action, &'static str)> {
        if let Some(question) = &self.question {
            let other = if question.errors_only { "what is slow" } else { "what fails" };
            return vec![(Action::Open, "example trace"), (Action::Errors, other), (Action::Back, "back")];
        }
        if cx.readings.latency().is_none_or(is_blank) {
            return vec![(Action::RangeLonger, "longer"), (Action::RangeShorter, "shorter"), (Action::Edit, "service")];
        }
        let next = match self.mode {
            Mode::Heatmap => "percentiles",
            Mode::Lines => "histogram",
            Mode::Histogram => "operations",
            Mode::Operations => "heatmap",
        };
        let mut hints = match self.mode {
            Mode::Heatmap => {
                vec![
                    (Action::Select, if self.anchor.is_some() { "unselect" } else { "select region" }),
                    (Action::Explain, "explain"),
                    (Action::Errors, "what fails"),
                ]
            }
            Mode::Operations => vec![(Action::Open, "only this")],
            _ => Vec::new(),
        };
        hints.extend([(Action::Mode, next), (Action::RangeLonger, "longer"), (Action::RangeShorter, "shorter"), (Action::Edit, "service")]);
        hints
    }

    fn tally(&self, cx: &Cx<'_>) -> String {
        let range = number::span_short(Duration::from_secs(RANGES[self.range(cx)]));
        let sampled = cx.readings.latency().and_then(|l| l.sampling_ratio).filter(|r| *r < 0.999);
        let sampled = sampled.map_or_else(String::new, |r| format!("  ≈ {} % kept", number::digits(r * 100.0)));
        format!("last {range}{sampled}")
    }

    fn service(&self, _: &Cx<'_>) -> Option<String> {
        self.service.clone()
    }

    fn copy(&self, cx: &Cx<'_>) -> Option<String> {
        let explanation = cx.readings.explanation().filter(|_| self.question.is_some())?;
        let lines: Vec<String> = explanation
            .findings
            .iter()
            .map(|f| {
                format!(
                    "{}={} {} % against {} %",
                    f.attribute,
                    f.value,
                    number::percent(Some(f.share_selected)),
                    number::percent(Some(f.share_others))
                )
            })
            .collect();
        Some(lines.join("\n"))
    }

    fn render(&mut self, cx: &Cx<'_>, canvas: &mut Canvas<'_>) {
        let (width, height) = (canvas.width(), canvas.height());
        self.columns = usize::from(width.saturating_sub(AXIS + 2)).clamp(10, 400);
        let Some(reading) = cx.readings.latency() else {
            return blank(canvas, cx, Kind::Latency, "", "");
        };
        if is_blank(reading) {
            let of = self.service.as_deref().map_or("any service".to_owned(), |s| s.to_owned());
            return blank(
                canvas,
                cx,
                Kind::Latency,
                &format!("no spans of {of} in this time"),
                "] looks back further, i chooses another service",
            );
        }
        self.follow(reading);
        if !self.moved && !reading.columns.is_empty() {
            self.cursor = worst(reading);
        }
        if self.question.is_some() {
            return self.draw_explanation(cx, canvas);
        }
        self.title(reading, &mut canvas.part(0, 0, width, 1));
        let mut body = canvas.part(0, 1, width, height.saturating_sub(1));
        match self.mode {
            Mode::Heatmap => {
                // What the heatmap leaves of a tall screen shows the percentiles of the same time.
                let used = self.draw_heatmap(reading, cx.now, &mut body);
                let left = body.height().saturating_sub(used + 1);
                if left >= 8 {
                    // As far to the right as the heatmap above it, so that a moment is one column of both.
                    percentile_lines(reading, &mut body.part(0, used + 1, width.saturating_sub(1), left.min(16)));
                }
            }
            Mode::Lines => percentile_lines(reading, &mut body),
            Mode::Histogram => histogram(reading, &mut body),
            Mode::Operations => self.draw_operations(reading, &mut body),
        }
    }
}

impl Latency {
    /// The cell of the heatmap at a place of the body.
    fn cell(&self, x: u16, y: u16, reading: &Reading) -> Option<(usize, usize)> {
        let lines = bands(occupied(reading), usize::from(self.lines));
        let (row, _) = usize::from(y).checked_sub(1).and_then(|y| lines.get(y)).filter(|_| x > AXIS)?;
        Some((usize::from(x - AXIS - 1).min(reading.columns.len().saturating_sub(1)), *row))
    }

    /// Brings cursor and anchor to where their times are now.
    fn follow(&mut self, reading: &Reading) {
        self.marked.place(reading, &mut self.cursor, self.anchor.as_mut());
    }

    fn mark(&mut self, reading: &Reading) {
        self.marked = Marked::at(reading, self.cursor, self.anchor);
    }

    fn title(&self, reading: &Reading, canvas: &mut Canvas<'_>) {
        let mut pen = canvas.pen(1, 0);
        pen.name(self.service.as_deref().unwrap_or("entry points"), Role::Strong)
            .gap(1)
            .put(self.operation.as_deref().unwrap_or(""), Role::Text);
        let newest = |line: &[Option<f64>]| line.iter().rev().find_map(|v| *v);
        for (name, line, role) in
            [("p50", &reading.p50, Role::Series4), ("p95", &reading.p95, Role::Series2), ("p99", &reading.p99, Role::Series6)]
        {
            pen.gap(3).put(name, role).gap(1).put(&number::latency_known(newest(line)), Role::Text);
        }
    }

    fn draw_operations(&mut self, reading: &Reading, canvas: &mut Canvas<'_>) {
        self.scroll = self.scroll.min(reading.operations.len().saturating_sub(1));
        super::service::operations(canvas, &reading.operations, reading.sampling_ratio, Some(self.scroll));
    }

    fn draw_explanation(&mut self, cx: &Cx<'_>, canvas: &mut Canvas<'_>) {
        let slot = cx.readings.slot(Kind::Explain);
        let current = matches!((&slot.request, &self.question), (Some(Request::Explain(asked)), Some(question)) if asked == question);
        match (cx.readings.explanation().filter(|_| current), &slot.error) {
            (Some(explanation), _) => {
                let of = self.question.as_ref().map(|q| explanation::in_words(q, canvas.zone(), cx.now)).unwrap_or_default();
                explanation::findings(explanation, &of, &mut self.scroll, canvas);
            }
            (None, Some(error)) => {
                canvas.pen(1, 1).put("✖ ", Role::Unhealthy).put(&error.to_string(), Role::Text);
            }
            _ => {
                canvas.pen(1, 1).put("comparing spans …", Role::Dim);
            }
        }
    }
}

/// Whether nothing was measured.
fn is_blank(reading: &Reading) -> bool {
    reading.cells.iter().flatten().flatten().all(|c| *c == 0.0) && reading.p50.iter().flatten().next().is_none()
}
