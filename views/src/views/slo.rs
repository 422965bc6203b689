//! Objectives: target, current value and impact, with what is left of the error budget and how fast it burns.

use crate::action::Action;
use crate::canvas::{Canvas, wrap};
use crate::chart::{meter, sparkline};
use crate::filter::{Field, Fields};
use crate::look::Role;
use crate::number;
use crate::readings::Kind;
use crate::table::{Column, Rows, Sort, Table};
use crate::view::{Cx, Out, View, blank};
use crate::views::ViewId;
use std::borrow::Cow;
use watchfire_model::reading::Objective;
use watchfire_model::{HealthState, Request, parse_duration};

#[derive(Default)]
pub(crate) struct Slo {
    table: Table<Kinds>,
}

struct Kinds;

impl Rows for Kinds {
    type Row = Objective;
    const KIND: Kind = Kind::Slo;
    const COLUMNS: &'static [Column] = &[
        Column::left("OBJECTIVE", 22).grow(2).sort('O'),
        Column::left("TARGET", 14).grow(1).sort('T'),
        Column::right("CURRENT", 9).sort('C'),
        Column::left("MET", 6).sort('M'),
        Column::right("BURN", 6).sort('B'),
        Column::left("BUDGET LEFT", 12).rank(1).sort('U'),
        Column::left("TREND", 8).rank(3),
        Column::left("GROUP", 14).rank(4).sort('R'),
        Column::left("IMPACT", 16).rank(2).grow(2),
    ];

    fn key(row: &Objective) -> Cow<'_, str> {
        Cow::Borrowed(&row.id)
    }

    fn value(row: &Objective, column: usize) -> Sort<'_> {
        match column {
            0 => Sort::Text(&row.name),
            1 => Sort::Text(&row.target),
            2 => Sort::Number(row.current_value),
            4 => Sort::Number(row.burn_rate),
            5 => Sort::Number(row.budget_left),
            7 => Sort::Text(&row.group),
            _ => Sort::State(Self::state(row)),
        }
    }

    fn state(row: &Objective) -> HealthState {
        match (row.met, row.burn_rate) {
            (Some(false), _) => HealthState::Unhealthy,
            (Some(true), Some(burn)) if burn > 1.0 => HealthState::Degraded,
            (Some(true), _) => HealthState::Healthy,
            (None, _) => HealthState::Unknown,
        }
    }
}

impl Fields for Objective {
    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "name" | "objective" => Field::text(&self.name),
            "id" => Field::text(&self.id),
            "group" => Field::text(&self.group),
            "burn" => Field::Number(self.burn_rate),
            "budget" => Field::Number(self.budget_left),
            "met" => Field::Flag(self.met == Some(true)),
            "error" => Field::Flag(self.met == Some(false)),
            "unknown" => Field::Flag(self.met.is_none()),
            _ => return None,
        })
    }

    fn words(&self) -> Vec<Cow<'_, str>> {
        [&self.name, &self.id, &self.group, &self.impact].map(|t| Cow::Borrowed(t.as_str())).to_vec()
    }
}

impl View for Slo {
    fn wants(&self, _: &Cx<'_>) -> Vec<Request> {
        vec![Request::Slo]
    }

    fn fields(&self) -> &'static [&'static str] {
        &["objective", "name", "id", "group", "burn", "budget", "met", "error", "unknown"]
    }

    fn orders(&self) -> Vec<(char, &'static str)> {
        Table::<Kinds>::orders()
    }

    fn update(&mut self, action: Action, cx: &Cx<'_>, out: &mut Out) -> bool {
        let rows = rows(cx);
        self.table.refresh(rows, cx);
        if action == Action::Open {
            if let Some(row) = self.table.selected(rows).filter(|r| !r.expression.is_empty()) {
                out.go(ViewId::Explore, Some(row.expression.clone()));
            }
            return true;
        }
        self.table.update(action, rows)
    }

    fn letter(&mut self, letter: char, _: &Cx<'_>) -> bool {
        self.table.letter(letter)
    }

    fn click(&mut self, x: u16, y: u16, cx: &Cx<'_>, out: &mut Out) -> bool {
        self.table.click(x, y, rows(cx)) && self.update(Action::Open, cx, out)
    }

    fn problem(&mut self, forward: bool, cx: &Cx<'_>) -> bool {
        self.table.problem(forward, rows(cx), cx)
    }

    fn rewind(&mut self) {
        self.table.rewind();
    }

    fn hints(&self, cx: &Cx<'_>) -> Vec<(Action, &'static str)> {
        if rows(cx).is_empty() {
            return Vec::new();
        }
        vec![(Action::Open, "explore"), (Action::Copy, "copy"), (Action::FaultsOnly, "faults only")]
    }

    fn tally(&self, cx: &Cx<'_>) -> String {
        let rows = rows(cx);
        let judged: Vec<_> = rows.iter().filter(|o| has_target(o)).collect();
        let met = judged.iter().filter(|o| o.met == Some(true)).count();
        let unknown = judged.iter().filter(|o| o.met.is_none()).count();
        let mut parts = Vec::new();
        if !judged.is_empty() {
            parts.push(format!("{met} of {} met", judged.len()));
        }
        for (count, what) in [(unknown, "unknown"), (rows.len() - judged.len(), "without target")] {
            if count > 0 {
                parts.push(format!("{count} {what}"));
            }
        }
        parts.join(", ")
    }

    fn copy(&self, cx: &Cx<'_>) -> Option<String> {
        let row = self.table.selected(rows(cx))?;
        Some(format!("{} target {} current {}", row.name, row.target, row.current.as_deref().unwrap_or("unknown")))
    }

    fn export(&self, _: &str, cx: &Cx<'_>) -> Result<(String, String), String> {
        let mut csv = String::from("id,name,target,current,met,burn_rate,budget_left,impact\n");
        for row in self.table.shown(rows(cx)) {
            let met = row.met.map_or("unknown", |m| if m { "yes" } else { "no" });
            let figure = |v: Option<f64>| v.map_or_else(String::new, |v| v.to_string());
            let texts = [&row.id, &row.name, &row.target].map(|t| super::csv_field(t)).join(",");
            let current = super::csv_field(row.current.as_deref().unwrap_or(""));
            csv.push_str(&format!(
                "{texts},{current},{met},{},{},{}\n",
                figure(row.burn_rate),
                figure(row.budget_left),
                super::csv_field(&row.impact)
            ));
        }
        Ok(("objectives.csv".to_owned(), csv))
    }

    fn render(&mut self, cx: &Cx<'_>, canvas: &mut Canvas<'_>) {
        let rows = rows(cx);
        self.table.refresh(rows, cx);
        if self.table.shown(rows).next().is_none() {
            return blank(
                canvas,
                cx,
                Kind::Slo,
                "no objectives",
                "a platform preset or a config file states them: target, measure, impact",
            );
        }
        let (width, height) = (canvas.width(), canvas.height());
        let detail = if height >= 14 { 6 } else { 0 };
        self.table.draw(&mut canvas.part(0, 0, width, height - detail), rows, cx, cell);
        if let (6, Some(row)) = (detail, self.table.selected(rows)) {
            explain(&mut canvas.part(0, height - 5, width, 5), row);
        }
    }
}

/// Whether anything says what the value should be.
fn has_target(row: &Objective) -> bool {
    !row.target.is_empty()
}

fn burn_role(burn: Option<f64>) -> Role {
    match burn {
        Some(b) if b >= 6.0 => Role::Unhealthy,
        Some(b) if b > 1.0 => Role::Degraded,
        None => Role::Faint,
        _ => Role::Text,
    }
}

fn burn(value: Option<f64>) -> String {
    value.map_or_else(|| number::UNKNOWN.to_owned(), |b| format!("{}x", number::digits(b)))
}

/// A share of the budget, with the sign that says that there is none left.
fn percent(left: f64) -> String {
    let percent = left * 100.0;
    // What is barely overspent is not `-0%`, and what is barely left is not spent.
    match percent.round() {
        0.0 if percent < 0.0 => "-<1%".to_owned(),
        0.0 if percent > 0.0 => "<1%".to_owned(),
        rounded if rounded.abs() < 10_000.0 => format!("{rounded:.0}%"),
        _ => format!("{}%", number::digits(percent)),
    }
}

fn cell(canvas: &mut Canvas<'_>, row: &Objective, column: usize, x: u16, width: u16) {
    let (text, dim) = (canvas.style(Role::Text), canvas.style(Role::Dim));
    let state = Kinds::state(row);
    let style = canvas.style(state.into());
    match column {
        0 => {
            let glyph = if has_target(row) { crate::look::state_glyph(state) } else { "○" };
            canvas.text(x, 0, 1, glyph, style);
            canvas.name(x + 2, 0, width.saturating_sub(2), &row.name, text);
        }
        1 => {
            canvas.text(x, 0, width, if has_target(row) { &row.target } else { number::UNKNOWN }, dim);
        }
        2 => canvas.right(x, 0, width, row.current.as_deref().unwrap_or(number::UNKNOWN), style),
        3 => {
            let word = match row.met {
                Some(true) => "met",
                Some(false) => "missed",
                None if !has_target(row) => number::UNKNOWN,
                None => "?",
            };
            canvas.text(x, 0, width, word, style);
        }
        4 => {
            let style = canvas.style(burn_role(row.burn_rate));
            canvas.right(x, 0, width, &burn(row.burn_rate), style);
        }
        5 => match row.budget_left {
            Some(left) => {
                // Part of the window only: an estimate, as everywhere.
                let sign = if held(row).is_some() { "~" } else { "" };
                let figure = format!("{sign}{}", percent(left));
                // A bar is empty from zero on; by how much is the question then.
                let bar = width.saturating_sub(if left < 0.0 { width.min(figure.len() as u16 + 1).max(6) } else { 6 });
                meter(canvas, x, 0, bar, left, if left < 0.25 { Role::Unhealthy } else { Role::Healthy });
                let style = if left < 0.0 { canvas.style(Role::Unhealthy) } else { text };
                canvas.right(x + bar, 0, width - bar, &figure, style);
            }
            None => {
                canvas.text(x, 0, width, number::UNKNOWN, dim);
            }
        },
        6 => sparkline(canvas, x, 0, width, &row.sparkline, state.into()),
        7 => {
            canvas.text(x, 0, width, &row.group, dim);
        }
        _ => {
            canvas.text(x, 0, width, &row.impact, dim);
        }
    }
}

/// The selected objective: burn rates against their limits, impact, expression.
fn explain(canvas: &mut Canvas<'_>, row: &Objective) {
    let mut pen = canvas.pen(1, 0);
    pen.name(&row.name, Role::Strong).gap(2).put(&row.target, Role::Text).gap(2);
    pen.put("now ", Role::Dim).put(row.current.as_deref().unwrap_or("unknown"), Role::from(Kinds::state(row)));
    let mut pen = canvas.pen(1, 1);
    pen.put("impact  ", Role::Dim).put(&row.impact, Role::Text);
    if let Some(left) = row.budget_left.filter(|left| *left < 0.0) {
        pen.gap(2).put(&format!("budget spent {}x", number::digits(1.0 - left)), Role::Unhealthy);
    }
    if let Some(held) = held(row) {
        let what = if row.budget_left.is_some_and(|left| left < 0.0) { "over" } else { "budget over" };
        pen.gap(if what == "over" { 1 } else { 2 }).put(&format!("{what} the {held} held"), Role::Degraded);
    }
    let mut pen = canvas.pen(1, 2);
    pen.put("burn    ", Role::Dim);
    if row.burn_rates.is_empty() {
        pen.put(
            if has_target(row) { "no error budget: judged by its value" } else { "no target is stated: watched, not judged" },
            Role::Dim,
        );
    }
    let over = |window: &str| row.burn_rates.iter().find(|(w, _)| w == window).and_then(|(_, v)| *v);
    // Less is held than the window asks for: an estimate, as everywhere.
    let sign = |window: &str| {
        let whole = parse_duration(window).map_or(0.0, |d| d.as_secs_f64());
        if row.budget_held_seconds.is_some_and(|held| held < whole) { "~" } else { "" }
    };
    // Somebody is told where both windows burn as fast: the long one says that it matters, the short one that it has not stopped.
    let mut told = false;
    for (i, limit) in row.burn_limits.iter().enumerate() {
        let (long, short) = (over(&limit.long), over(&limit.short));
        let exceeded = |v: Option<f64>| v.is_some_and(|v| v > limit.factor);
        let both = exceeded(long) && exceeded(short);
        if i == 2 {
            pen = canvas.pen(9, 3);
        }
        for (window, value) in [(&limit.long, long), (&limit.short, short)] {
            let role = match value {
                _ if exceeded(value) => Role::Unhealthy,
                None => Role::Faint,
                _ => Role::Text,
            };
            let mark = if value.is_some() { sign(window) } else { "" };
            pen.put(&format!("{window} "), Role::Dim).put(&format!("{mark}{}", burn(value)), role).gap(1);
        }
        pen.put(&format!("of {}", number::measured(limit.factor)), Role::Dim).gap(if both && !told { 1 } else { 3 });
        if both && !told {
            pen.put(if limit.pages { "page" } else { "ticket" }, Role::Unhealthy).gap(3);
            told = true;
        }
    }
    let (top, rows) = if row.burn_rates.is_empty() { (3, 2) } else { (4, 1) };
    for (i, line) in wrap(&row.expression, canvas.width().saturating_sub(10), rows).iter().enumerate() {
        canvas.pen(1, top + i as u16).put(if i == 0 { "from    " } else { "        " }, Role::Dim).put(line, Role::Dim);
    }
}

/// How much is held, where that is less than the objective's window.
fn held(row: &Objective) -> Option<String> {
    let (held, window) = (row.budget_held_seconds?, row.budget_window_seconds?);
    (held < window).then(|| number::span_short(std::time::Duration::from_secs_f64(held.clamp(0.0, 1e12))))
}

fn rows<'a>(cx: &Cx<'a>) -> &'a [Objective] {
    cx.readings.slo().map(|s| s.objectives.as_slice()).unwrap_or_default()
}
