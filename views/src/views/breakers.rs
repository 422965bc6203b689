//! Circuit breakers: state, since when, what they protect; inferred ones with their evidence.

use crate::action::Action;
use crate::canvas::{Canvas, wrap};
use crate::filter::{Field, Fields};
use crate::look::{Role, breaker_look};
use crate::number;
use crate::readings::Kind;
use crate::table::{Column, Rows, Sort, Table, badness};
use crate::view::{Cx, Out, View, blank};
use crate::views::ViewId;
use std::borrow::Cow;
use std::time::Duration;
use watchfire_model::reading::Breaker;
use watchfire_model::{HealthState, Request, Timestamp};

/// The time line reaches back this far.
const HOUR: Duration = Duration::from_secs(3600);

#[derive(Default)]
pub(crate) struct Breakers {
    table: Table<Kinds>,
}

struct Kinds;

impl Rows for Kinds {
    type Row = Breaker;
    const KIND: Kind = Kind::Breakers;
    const COLUMNS: &'static [Column] = &[
        Column::left("BREAKER", 20).grow(1).sort('B'),
        Column::left("IN SERVICE", 18).grow(1).sort('S'),
        Column::left("STATE", 10).sort('T'),
        Column::right("SINCE", 6).sort('I'),
        Column::right("FAIL%", 5).sort('F'),
        Column::right("FLIPS", 5).rank(2).sort('P'),
        Column::left("LAST HOUR", 10).rank(1).grow(2),
        Column::left("PROTECTS", 16).rank(3).grow(1).sort('C'),
        Column::left("SOURCE", 14).rank(4).sort('O'),
    ];

    fn key(row: &Breaker) -> Cow<'_, str> {
        Cow::Owned(format!("{} {}", row.service, row.breaker))
    }

    fn value(row: &Breaker, column: usize) -> Sort<'_> {
        match column {
            0 => Sort::Text(&row.breaker),
            1 => Sort::Text(&row.service),
            3 => Sort::time(row.since),
            4 => Sort::Number(row.failure_ratio),
            5 => Sort::Number(Some(row.transitions as f64)),
            7 => Sort::Text(row.protects.as_deref().unwrap_or("")),
            8 => Sort::Text(row.source.as_deref().unwrap_or("")),
            _ => Sort::State(Self::state(row)),
        }
    }

    fn state(row: &Breaker) -> HealthState {
        breaker_look(&row.state).1
    }
}

impl Fields for Breaker {
    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "breaker" | "name" => Field::text(&self.breaker),
            "service" => Field::text(&self.service),
            "state" => Field::text(&self.state),
            "protects" => Field::text(self.protects.as_deref().unwrap_or("")),
            "source" => Field::text(self.source.as_deref().unwrap_or("")),
            "fail" => Field::Number(self.failure_ratio),
            "flips" => Field::Number(Some(self.transitions as f64)),
            "inferred" => Field::Flag(self.inferred),
            "error" => Field::Flag(self.state == "open" || self.state == "half-open"),
            _ => return None,
        })
    }

    fn words(&self) -> Vec<Cow<'_, str>> {
        let texts = [Some(&self.breaker), Some(&self.service), Some(&self.state), self.protects.as_ref()];
        texts.into_iter().flatten().map(|t| Cow::Borrowed(t.as_str())).collect()
    }
}

impl View for Breakers {
    fn wants(&self, _: &Cx<'_>) -> Vec<Request> {
        vec![Request::Breakers]
    }

    /// A breaker as changes name it: `orders → payments`.
    fn open(&mut self, subject: Option<&str>) {
        if let Some((service, breaker)) = subject.and_then(|s| s.split_once(" → ")) {
            self.table.choose(format!("{service} {breaker}"));
        }
    }

    fn fields(&self) -> &'static [&'static str] {
        &["breaker", "service", "state", "protects", "source", "fail", "flips", "inferred", "error"]
    }

    fn orders(&self) -> Vec<(char, &'static str)> {
        Table::<Kinds>::orders()
    }

    fn update(&mut self, action: Action, cx: &Cx<'_>, out: &mut Out) -> bool {
        let rows = rows(cx);
        self.table.refresh(rows, cx);
        if action == Action::Open {
            if let Some(row) = self.table.selected(rows) {
                out.go(ViewId::Service, Some(row.service.clone()));
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
        let rows = rows(cx);
        self.table.problem(forward, rows, cx)
    }

    fn rewind(&mut self) {
        self.table.rewind();
    }

    fn hints(&self, cx: &Cx<'_>) -> Vec<(Action, &'static str)> {
        if self.table.selected(rows(cx)).is_none() {
            return Vec::new();
        }
        vec![(Action::Open, "service"), (Action::ItsTraces, "traces"), (Action::ItsMap, "map")]
    }

    fn tally(&self, _: &Cx<'_>) -> String {
        self.table.tally()
    }

    fn service(&self, cx: &Cx<'_>) -> Option<String> {
        self.table.selected(rows(cx)).map(|row| row.service.clone())
    }

    fn export(&self, _: &str, cx: &Cx<'_>) -> Result<(String, String), String> {
        let mut csv = String::from("breaker,service,state,inferred,since,protects,evidence,failure_ratio,transitions\n");
        for row in self.table.shown(rows(cx)) {
            let since = row.since.map_or_else(String::new, |since| since.to_string());
            let (inferred, evidence) = (if row.inferred { "yes" } else { "no" }, row.evidence.join("; "));
            let texts = [&row.breaker, &row.service, &row.state, inferred, &since, row.protects.as_deref().unwrap_or(""), &evidence];
            csv.push_str(&super::csv_line(&texts, &[row.failure_ratio, Some(row.transitions as f64)]));
        }
        Ok(("breakers.csv".to_owned(), csv))
    }

    fn copy(&self, cx: &Cx<'_>) -> Option<String> {
        let row = self.table.selected(rows(cx))?;
        let inferred = if row.inferred { " (inferred)" } else { "" };
        Some(format!("{} {} {}{inferred} since {}", row.service, row.breaker, row.state, number::since(row.since, cx.now)))
    }

    fn render(&mut self, cx: &Cx<'_>, canvas: &mut Canvas<'_>) {
        let rows = rows(cx);
        self.table.refresh(rows, cx);
        if self.table.shown(rows).next().is_none() {
            let advice = "breakers appear with metrics of resilience4j, Polly, opossum, Envoy, Dapr and others, and are inferred where calls fail fast; \
                          watchfire_breaker_state{service,breaker} works too";
            return blank(canvas, cx, Kind::Breakers, "no breakers seen yet", advice);
        }
        let (width, height) = (canvas.width(), canvas.height());
        let detail = if height >= rows.len().min(200) as u16 + 8 { 6 } else { 0 };
        self.table.draw(&mut canvas.part(0, 0, width, height - detail), rows, cx, |canvas, row, column, x, width| {
            cell(canvas, row, column, x, width, cx.now);
        });
        if let (6, Some(row)) = (detail, self.table.selected(rows)) {
            explain(&mut canvas.part(0, height - 5, width, 5), row, cx.now);
        }
    }
}

fn cell(canvas: &mut Canvas<'_>, row: &Breaker, column: usize, x: u16, width: u16, now: Timestamp) {
    let (text, dim) = (canvas.style(Role::Text), canvas.style(Role::Dim));
    let (glyph, state) = breaker_look(&row.state);
    let style = canvas.style(state.into());
    match column {
        0 => {
            canvas.text(x, 0, 1, glyph, style);
            canvas.name(x + 2, 0, width.saturating_sub(2), &row.breaker, text);
        }
        1 => {
            canvas.name(x, 0, width, &row.service, text);
        }
        2 => {
            let word = match row.state.as_str() {
                // A limit on concurrency does not open; it sheds.
                "closed" if row.saturated => "saturated".to_owned(),
                state if row.inferred => format!("{state}?"),
                state => state.to_owned(),
            };
            canvas.text(x, 0, width, &word, if row.saturated { canvas.style(Role::Degraded) } else { style });
        }
        3 => canvas.right(x, 0, width, &number::since(row.since, now), text),
        4 => {
            let share = number::estimate(number::percent(row.failure_ratio), row.sample_count, row.sampling_ratio);
            canvas.right(x, 0, width, &share, text);
        }
        5 => canvas.right(x, 0, width, &row.transitions.to_string(), dim),
        6 => timeline(canvas, row, x, width, now),
        7 => {
            canvas.text(x, 0, width, row.protects.as_deref().unwrap_or(number::UNKNOWN), text);
        }
        _ => {
            canvas.text(x, 0, width, row.source.as_deref().unwrap_or(if row.declared { "declared" } else { number::UNKNOWN }), dim);
        }
    }
}

/// The worst state within each column of the last hour.
fn timeline(canvas: &mut Canvas<'_>, row: &Breaker, x: u16, width: u16, now: Timestamp) {
    let start = now.saturating_sub(HOUR).millis();
    let slot = (HOUR.as_millis() as i64 / i64::from(width.max(1))).max(1);
    for i in 0..width {
        let (from, to) = (start + i64::from(i) * slot, start + (i64::from(i) + 1) * slot);
        // What held at the beginning of the slot, and every change within it.
        let before = row.history.iter().rfind(|(at, _)| at.millis() <= from);
        let within = row.history.iter().filter(|(at, _)| at.millis() > from && at.millis() <= to);
        let worst = before.into_iter().chain(within).map(|(_, s)| breaker_look(s).1).min_by_key(|s| badness(*s));
        let (symbol, role) = match worst {
            Some(HealthState::Unhealthy) => ('█', Role::Unhealthy),
            Some(HealthState::Degraded) => ('▄', Role::Degraded),
            Some(HealthState::Healthy) => ('▁', Role::Healthy),
            _ => ('·', Role::Faint),
        };
        let style = canvas.style(role);
        canvas.dot(x + i, 0, symbol, style);
    }
}

/// The selected breaker in sentences.
fn explain(canvas: &mut Canvas<'_>, row: &Breaker, now: Timestamp) {
    let (_, state) = breaker_look(&row.state);
    let zone = canvas.zone();
    let mut pen = canvas.pen(1, 0);
    pen.name(&row.breaker, Role::Strong).gap(2).put(&row.state, state.into());
    if let Some(since) = row.since {
        pen.put(&format!(" since {} ({})", zone.moment(since, now), number::since(Some(since), now)), Role::Text);
    }
    let protects = row.protects.as_deref().unwrap_or("a peer that is not known");
    let effect = match row.state.as_str() {
        "open" => format!("calls of {} to {protects} are cut off", row.service),
        "half-open" => format!("{} tries single calls to {protects}", row.service),
        "closed" => format!("calls of {} to {protects} go through", row.service),
        _ => format!("nothing is known about calls of {} to {protects}", row.service),
    };
    canvas.pen(1, 1).put(&effect, Role::Text);
    let mut y = 2;
    if row.inferred || !row.evidence.is_empty() {
        let why = if row.evidence.is_empty() { "from spans that fail fast".to_owned() } else { row.evidence.join("; ") };
        let why = if row.inferred { format!("inferred: {why}") } else { why };
        for line in wrap(&why, canvas.width().saturating_sub(2), 2) {
            canvas.pen(1, y).put(&line, Role::Unknown);
            y += 1;
        }
    }
    // The first state that is known is no change.
    let Some(((first_at, first), changes)) = row.history.split_first() else { return };
    let mut pen = canvas.pen(1, y);
    pen.put("changes  ", Role::Dim);
    for (at, state) in changes.iter().rev().take(6) {
        pen.put(&format!("{} {state}", zone.clock(*at)), Role::Text).gap(3);
    }
    match changes.len() {
        0 => pen.put(&format!("none since {}", zone.clock(*first_at)), Role::Dim),
        1..=6 => pen.put(&format!("{first} before"), Role::Dim),
        more => pen.put(&format!("and {} before", more - 6), Role::Dim),
    };
}

fn rows<'a>(cx: &Cx<'a>) -> &'a [Breaker] {
    cx.readings.breakers().map(|b| b.breakers.as_slice()).unwrap_or_default()
}
