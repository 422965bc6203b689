//! Explore: ask in PromQL, see a chart and a table.

mod exemplars;
mod questions;
mod series;
mod sorting;
mod table;

use crate::action::Action;
use crate::canvas::{Canvas, wrap};
use crate::chart::{Axes, Line, lines};
use crate::effect::Effect;
use crate::filter::quoted;
use crate::look::Role;
use crate::number;
use crate::readings::Kind;
use crate::table::moved;
use crate::view::{Ask, Cx, Out, View};
use crate::views::ViewId;
use questions::EXAMPLES;
use series::{is_histogram, name_of, newest, shared, title};
use std::time::Duration;
use watchfire_model::reading::{QueryExemplar, QueryResult, QuerySeries};
use watchfire_model::{Labels, Request, Timestamp};

const RANGES: [i64; 8] = [300, 900, 1800, 3600, 10_800, 21_600, 86_400, 604_800];
/// Points per series; about what the widest chart can show.
const POINTS: i64 = 240;

/// Series in the chart, those round the selected one; more hide each other.
const DRAWN: usize = 24;

/// Exemplars listed below the series.
const EXEMPLARS: usize = 5;

pub(crate) struct Explore {
    expression: String,
    range: Option<usize>,
    show: Show,
    position: usize,
    offset: usize,
    page: usize,
    history: Vec<String>,
    /// The series that was selected last; below it stand its exemplars.
    series: usize,
    order: sorting::Order,
    /// The series under the cursor where an order by values moves them about.
    kept: Option<Labels>,
    /// Which row the last frame put on which line.
    drawn: Vec<(u16, usize)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Show {
    Both,
    Chart,
    Table,
}

impl Default for Explore {
    fn default() -> Self {
        Explore {
            expression: String::new(),
            range: None,
            show: Show::Both,
            position: 0,
            offset: 0,
            page: 10,
            history: Vec::new(),
            series: 0,
            order: None,
            kept: None,
            drawn: Vec::new(),
        }
    }
}

/// An hour, unless somebody asks for another range.
const USUAL: usize = 3;

impl Explore {
    fn range(&self, cx: &Cx<'_>) -> usize {
        self.range.unwrap_or_else(|| cx.fitting_range(RANGES.into_iter(), USUAL))
    }

    fn span(&self, cx: &Cx<'_>) -> (Timestamp, Timestamp, i64) {
        let length = RANGES[self.range(cx)] * 1000;
        let step = (length / POINTS / 5000).max(1) * 5000;
        let (start, end) = cx.last(length, step);
        (start, end, step)
    }

    fn shown<'a>(&self, result: &'a QueryResult, cx: &Cx<'_>) -> Vec<&'a QuerySeries> {
        let mut shown: Vec<&QuerySeries> = result.series.iter().filter(|s| cx.filter.accepts(*s)).collect();
        sorting::sort(&mut shown, self.order);
        shown
    }

    /// The cursor stays on its series when a new reading moves that.
    fn follow(&mut self, shown: &[&QuerySeries]) {
        if self.order.is_none() {
            return;
        }
        let stays = |i: usize| shown.get(i).map(|s| &s.labels) == self.kept.as_ref();
        if !stays(self.series)
            && let Some(found) = self.kept.as_ref().and_then(|kept| shown.iter().position(|s| s.labels == *kept))
        {
            if self.position == self.series {
                self.position = found;
            }
            self.series = found;
        }
        self.kept = shown.get(self.series).map(|s| s.labels.clone());
    }

    /// Another order begins at its top.
    fn reorder(&mut self, order: sorting::Order) {
        self.order = order;
        (self.position, self.series, self.kept) = (0, 0, None);
    }

    /// What was measured for the selected series, one for each trace.
    fn exemplars<'a>(&self, result: &'a QueryResult, shown: &[&QuerySeries]) -> Vec<&'a QueryExemplar> {
        let Some(series) = shown.get(self.series.min(shown.len().saturating_sub(1))) else { return Vec::new() };
        let mut found: Vec<&QueryExemplar> = Vec::new();
        for exemplar in result.exemplars.iter().filter(|e| exemplars::is_of(e, series)) {
            if found.len() < EXEMPLARS && !found.iter().any(|f| f.trace_id == exemplar.trace_id) {
                found.push(exemplar);
            }
        }
        found
    }

    /// The exemplar under the cursor.
    fn chosen<'a>(&self, result: &'a QueryResult, shown: &[&QuerySeries]) -> Option<&'a QueryExemplar> {
        self.exemplars(result, shown).get(self.position.checked_sub(shown.len())?).copied()
    }

    /// Where `t` leads: to the exemplar under the cursor, to the newest one of the series, or to traces that the series counts.
    fn traces(&self, cx: &Cx<'_>) -> Option<(Option<String>, String)> {
        let result = self.result(cx)?;
        let shown = self.shown(result, cx);
        if let Some(exemplar) = self.chosen(result, &shown).or_else(|| self.exemplars(result, &shown).first().copied()) {
            return Some((Some(format!("id:{}", exemplar.trace_id)), String::new()));
        }
        let labels = &shown.get(self.series)?.labels;
        let service = ["service_name", "service", "server", "client"].iter().find_map(|name| labels.get(name))?;
        let mut filter = Vec::new();
        filter.extend(labels.get("span_name").map(|name| format!("operation={}", quoted(name))));
        filter.extend(labels.get("status_code").filter(|code| *code == "STATUS_CODE_ERROR").map(|_| "error".to_owned()));
        Some((Some(service.to_owned()), filter.join(" ")))
    }

    fn ask(&mut self, expression: &str) {
        expression.trim().clone_into(&mut self.expression);
        (self.position, self.series, self.kept) = (0, 0, None);
        crate::prompt::remember(&mut self.history, &self.expression);
    }

    /// The answer to the expression on screen, not to one before it.
    fn result<'a>(&self, cx: &Cx<'a>) -> Option<&'a QueryResult> {
        let same = matches!(&cx.readings.slot(Kind::QueryRange).request, Some(Request::QueryRange { expression, .. }) if *expression == self.expression);
        cx.readings.query_range().filter(|_| same)
    }
}

impl View for Explore {
    fn wants(&self, cx: &Cx<'_>) -> Vec<Request> {
        let mut wants = vec![Request::Vocabulary];
        if !self.expression.is_empty() {
            let (start, end, step_ms) = self.span(cx);
            wants.insert(0, Request::QueryRange { expression: self.expression.clone(), start, end, step_ms });
        }
        wants
    }

    fn open(&mut self, subject: Option<&str>) {
        if let Some(expression) = subject.filter(|s| *s != self.expression) {
            self.ask(expression);
        }
    }

    fn fields(&self) -> &'static [&'static str] {
        &["value", "label.NAME", "service", "service_name", "job", "instance", "queue", "breaker", "span_name", "status_code"]
    }

    fn update(&mut self, action: Action, cx: &Cx<'_>, out: &mut Out) -> bool {
        let (series, count) = match self.result(cx) {
            Some(result) => {
                let shown = self.shown(result, cx);
                (shown.len(), shown.len() + self.exemplars(result, &shown).len())
            }
            None if self.expression.is_empty() => (0, EXAMPLES.len() + self.before().count()),
            None => (0, 0),
        };
        let last = count.saturating_sub(1);
        match action {
            Action::Open if self.expression.is_empty() => {
                let example = EXAMPLES.get(self.position).map(|(_, expression)| (*expression).to_owned());
                let before = self.position.checked_sub(EXAMPLES.len()).and_then(|i| self.before().nth(i).cloned());
                self.ask(&example.or(before).unwrap_or_default());
                out.effects.push(Effect::Refresh);
            }
            Action::Open if self.on_exemplar(cx) => return self.update(Action::ItsTraces, cx, out),
            Action::ItsTraces => match self.traces(cx) {
                Some((subject, filter)) => {
                    out.go(ViewId::Traces, subject);
                    out.filter_there = Some(filter).filter(|f| !f.is_empty());
                }
                None => out.refuse("this series has no exemplar and names no service"),
            },
            Action::Edit | Action::Open => {
                out.ask = Some(Ask { topic: "expression", label: "promql".to_owned(), text: self.expression.clone(), promql: true });
            }
            Action::Mode if series == 0 => out.refuse("there is no series to draw"),
            Action::Mode => {
                self.show = match self.show {
                    Show::Both => Show::Chart,
                    Show::Chart => Show::Table,
                    Show::Table => Show::Both,
                };
            }
            Action::RangeLonger | Action::RangeShorter => {
                let longer = action == Action::RangeLonger;
                let range = self.range(cx);
                self.range = Some(if longer { (range + 1).min(RANGES.len() - 1) } else { range.saturating_sub(1) });
                out.effects.push(Effect::Refresh);
            }
            _ => match (moved(action, self.position, self.page, last), sorting::by_action(self.order, action)) {
                (Some(to), _) => self.position = to,
                (None, Some(order)) if series > 0 => self.reorder(order),
                _ => return false,
            },
        }
        if self.position < series {
            self.series = self.position;
            self.kept = None;
        }
        true
    }

    fn letter(&mut self, letter: char, cx: &Cx<'_>) -> bool {
        match sorting::by_letter(self.order, letter).filter(|_| self.result(cx).is_some()) {
            Some(order) => self.reorder(order),
            None => return false,
        }
        true
    }

    fn click(&mut self, _: u16, y: u16, cx: &Cx<'_>, out: &mut Out) -> bool {
        let Some(hit) = self.drawn.iter().find(|(line, _)| *line == y).map(|(_, row)| *row) else { return false };
        let again = std::mem::replace(&mut self.position, hit) == hit;
        if !self.expression.is_empty() && self.result(cx).is_some_and(|result| hit < self.shown(result, cx).len()) {
            (self.series, self.kept) = (hit, None);
        }
        again && self.update(Action::Open, cx, out)
    }

    fn answer(&mut self, topic: &'static str, text: &str, _: &Cx<'_>, _: &mut Out) {
        if topic == "expression" {
            self.ask(text);
        }
    }

    fn back(&mut self) -> bool {
        let had = !self.expression.is_empty();
        self.expression.clear();
        self.position = 0;
        had
    }

    fn hints(&self, _: &Cx<'_>) -> Vec<(Action, &'static str)> {
        if self.expression.is_empty() {
            return vec![(Action::Edit, "type an expression"), (Action::Open, "ask this")];
        }
        vec![
            (Action::Edit, "edit"),
            (Action::Mode, "chart/table"),
            (Action::ItsTraces, "traces"),
            (Action::RangeLonger, "longer"),
            (Action::RangeShorter, "shorter"),
            (Action::Copy, "copy"),
        ]
    }

    fn tally(&self, cx: &Cx<'_>) -> String {
        let range = number::span_short(Duration::from_secs(RANGES[self.range(cx)].unsigned_abs()));
        match self.result(cx) {
            Some(result) => {
                let (shown, all) = (self.shown(result, cx).len(), result.series.len());
                let of = if shown < all { format!("{shown} of ") } else { String::new() };
                let drawn = if shown > DRAWN && self.show != Show::Table { format!(", {DRAWN} drawn") } else { String::new() };
                format!("{of}{all} series{drawn}, last {range}")
            }
            None => format!("last {range}"),
        }
    }

    fn copy(&self, cx: &Cx<'_>) -> Option<String> {
        let result = self.result(cx)?;
        let shown = self.shown(result, cx);
        if let Some(exemplar) = self.chosen(result, &shown) {
            return Some(exemplar.trace_id.clone());
        }
        let series = shown.get(self.position)?;
        let value = series.last.clone().or_else(|| newest(series).map(|v| v.to_string()));
        Some(format!("{} {}", title(series), value.as_deref().unwrap_or("unknown")))
    }

    fn export(&self, _: &str, cx: &Cx<'_>) -> Result<(String, String), String> {
        let result = self.result(cx).ok_or("nothing was asked yet")?;
        let mut csv = String::from("time,series,value\n");
        for series in self.shown(result, cx) {
            let name = super::csv_field(&title(series));
            for (at, value) in &series.points {
                csv.push_str(&format!("{at},{name},{}\n", value.map_or_else(String::new, |v| v.to_string())));
            }
        }
        Ok(("query.csv".to_owned(), csv))
    }

    fn render(&mut self, cx: &Cx<'_>, canvas: &mut Canvas<'_>) {
        let (width, height) = (canvas.width(), canvas.height());
        self.drawn.clear();
        if self.expression.is_empty() {
            return self.examples(canvas);
        }
        let mut y = 0;
        for (i, line) in wrap(&self.expression, width.saturating_sub(4), 3).iter().enumerate() {
            canvas.pen(1, y).put(if i == 0 { "› " } else { "  " }, Role::Key).put(line, Role::Text);
            y += 1;
        }
        let slot = cx.readings.slot(Kind::QueryRange);
        if let Some(error) = &slot.error {
            y += 1;
            for (i, line) in wrap(&error.to_string(), width.saturating_sub(5), 6).iter().enumerate() {
                canvas.pen(1, y).put(if i == 0 { "✖ " } else { "  " }, Role::Unhealthy).put(line, Role::Text);
                y += 1;
            }
            canvas.pen(3, y).put("i edits the expression", Role::Dim);
            return;
        }
        let Some(result) = self.result(cx) else {
            canvas.pen(3, y + 1).put("working …", Role::Dim);
            return;
        };
        for (sign, text) in result.warnings.iter().map(|w| ("▲", w)).chain(result.infos.iter().map(|i| ("·", i))).take(3) {
            canvas.pen(1, y).put(sign, Role::Degraded).gap(1).put(text, Role::Dim);
            y += 1;
        }
        let series = self.shown(result, cx);
        if series.is_empty() {
            canvas.pen(3, y + 1).put("no series: the expression is valid and nothing matches", Role::Dim);
            return;
        }
        if series.iter().all(|s| is_histogram(s)) {
            let bare = !self.expression.contains(['(', ' ']);
            let inner = if bare { self.expression.as_str() } else { "…" };
            canvas.pen(1, y).put("these are histograms: ", Role::Text).put("ask for a figure of them, such as", Role::Dim);
            canvas.pen(3, y + 1).put(&format!("histogram_quantile(0.95, rate({inner}[5m]))"), Role::Accent);
            y += 2;
        }
        self.follow(&series);
        let exemplars = self.exemplars(result, &series);
        self.position = self.position.min(series.len() + exemplars.len() - 1);
        let listed = if exemplars.is_empty() || self.show == Show::Chart { 0 } else { exemplars.len() as u16 + 1 };
        let left = height.saturating_sub(y + listed);
        let chart_height = match self.show {
            Show::Chart => left,
            Show::Table => 0,
            Show::Both => (left * 3 / 5).max(left.saturating_sub(series.len() as u16 + 2)),
        };
        if chart_height >= 4 && series.iter().any(|s| newest(s).is_some()) {
            let (start, end, _) = self.span(cx);
            let drawn: Vec<Line<'_>> = series
                .iter()
                .enumerate()
                .skip(self.position.saturating_sub(5))
                .take(DRAWN)
                .map(|(i, s)| Line { points: &s.points, role: if i == self.series { Role::Series2 } else { Role::series(i) } })
                .collect();
            let axes = Axes { start, end, threshold: None, label: number::significant };
            lines(&mut canvas.part(1, y, width.saturating_sub(2), chart_height), &drawn, &axes);
            y += chart_height;
        }
        if self.show != Show::Chart {
            let end = match &slot.request {
                Some(Request::QueryRange { end, step_ms, .. }) => Timestamp::from_millis(end.millis().saturating_sub(*step_ms)),
                _ => Timestamp::MIN,
            };
            self.table(&series, end, &mut canvas.part(0, y, width, height.saturating_sub(y + listed)));
            for (line, _) in &mut self.drawn {
                *line += y;
            }
        }
        if listed > 0 {
            let chosen = self.position.checked_sub(series.len());
            let first = height.saturating_sub(listed) + 1;
            self.drawn.extend((0..exemplars.len()).map(|i| (first + i as u16, series.len() + i)));
            let of = series.get(self.series).map_or_else(String::new, |s| name_of(&s.labels, &shared(&series)));
            let of = if series.len() > 1 { of } else { String::new() };
            exemplars::rows(&exemplars, &of, chosen, &mut canvas.part(0, height.saturating_sub(listed), width, listed));
        }
    }
}

impl Explore {
    fn on_exemplar(&self, cx: &Cx<'_>) -> bool {
        self.result(cx).is_some_and(|result| self.chosen(result, &self.shown(result, cx)).is_some())
    }
}
