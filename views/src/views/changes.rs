//! What changed: versions, breakers, alerts, error shares, edges and health that differ from before.

use crate::action::Action;
use crate::canvas::{Canvas, display_width};
use crate::filter::{Field, Fields};
use crate::look::Role;
use crate::number;
use crate::readings::Kind;
use crate::table::{Column, Rows, Sort, Table};
use crate::view::{Cx, Out, View, blank};
use crate::views::ViewId;
use std::borrow::Cow;
use std::time::Duration;
use watchfire_model::reading::Change;
use watchfire_model::{HealthState, Request, parse_duration};

const RANGES: [u64; 6] = [300, 900, 3600, 10_800, 21_600, 86_400];

pub(crate) struct Changes {
    table: Table<Kinds>,
    seconds: u64,
}

impl Default for Changes {
    fn default() -> Self {
        Changes { table: Table::default(), seconds: 3600 }
    }
}

struct Kinds;

impl Rows for Kinds {
    type Row = Change;
    const KIND: Kind = Kind::Changes;
    const COLUMNS: &'static [Column] = &[
        Column::left("TIME", 9).sort('T'),
        Column::right("AGO", 6).rank(2),
        Column::left("WHAT", 8).rank(1).sort('W'),
        Column::left("SUBJECT", 24).grow(1).sort('S'),
        Column::left("FROM → TO", 22).grow(1),
    ];

    fn key(row: &Change) -> Cow<'_, str> {
        Cow::Owned(format!("{} {} {} {}", row.at.millis(), row.kind, row.subject, row.to))
    }

    fn value(row: &Change, column: usize) -> Sort<'_> {
        match column {
            2 => Sort::Text(&row.kind),
            3 => Sort::Text(&row.subject),
            _ => Sort::time(Some(row.at)),
        }
    }

    fn place(_: &Change) -> u8 {
        0
    }

    fn state(row: &Change) -> HealthState {
        tone(row)
    }
}

impl Fields for Change {
    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "kind" => Field::text(&self.kind),
            "subject" | "service" => Field::text(&self.subject),
            "from" => Field::text(&self.from),
            "to" => Field::text(&self.to),
            _ => return None,
        })
    }

    fn words(&self) -> Vec<Cow<'_, str>> {
        [&self.kind, &self.subject, &self.from, &self.to].map(|t| Cow::Borrowed(t.as_str())).to_vec()
    }
}

/// The service a change is about: `orders health`, `orders → payments`.
fn first_service(change: &Change) -> &str {
    change.subject.split([' ']).next().unwrap_or_default()
}

/// What is known to a few seconds only from so much on gets a `~`.
const COARSE_SECONDS: f64 = 15.0;

/// `03:10:31`, and `~03:10:31` for what was looked for less often.
pub(super) fn time(change: &Change, text: String) -> String {
    if change.within_seconds > COARSE_SECONDS { format!("~{text}") } else { text }
}

/// Whether a change is bad news.
fn tone(change: &Change) -> HealthState {
    match change.to.as_str() {
        "open" | "firing" | "unhealthy" | "down" | "gone" => HealthState::Unhealthy,
        "half-open" | "pending" | "degraded" => HealthState::Degraded,
        "closed" | "resolved" | "healthy" | "up" => HealthState::Healthy,
        _ if change.kind == "errors" => HealthState::Degraded,
        _ => HealthState::Unknown,
    }
}

/// `03:10:31  breaker social→facebook closed → open`.
pub(super) fn line(canvas: &mut Canvas<'_>, change: &Change, now: watchfire_model::Timestamp) {
    let what = match change.kind.as_str() {
        "version" => String::new(),
        "errors" => "error share ".to_owned(),
        kind => format!("{kind} "),
    };
    let at = time(change, canvas.zone().moment(change.at, now));
    let mut pen = canvas.pen(0, 0);
    pen.put(&at, Role::Dim).gap(2);
    pen.put(&what, Role::Dim).put(&change.subject, Role::Text).gap(1);
    from_to(&mut pen, change);
}

fn from_to(pen: &mut crate::canvas::Pen<'_, '_>, change: &Change) {
    let role = match tone(change) {
        HealthState::Unknown => Role::Text,
        state => state.into(),
    };
    if !change.from.is_empty() {
        pen.put(&change.from, Role::Dim).put(" → ", Role::Dim);
    }
    pen.put(&change.to, role);
}

impl View for Changes {
    fn wants(&self, cx: &Cx<'_>) -> Vec<Request> {
        let (since, _) = cx.last(self.seconds as i64 * 1000, 60_000);
        vec![Request::Changes { since }]
    }

    fn open(&mut self, subject: Option<&str>) {
        if let Some(range) = subject.and_then(|s| parse_duration(s).ok()) {
            self.seconds = range.as_secs().clamp(60, 7 * 86_400);
        }
    }

    fn fields(&self) -> &'static [&'static str] {
        &["kind", "subject", "service", "from", "to"]
    }

    fn orders(&self) -> Vec<(char, &'static str)> {
        Table::<Kinds>::orders()
    }

    fn update(&mut self, action: Action, cx: &Cx<'_>, out: &mut Out) -> bool {
        let rows = rows(cx);
        self.table.refresh(rows, cx);
        match action {
            Action::RangeLonger => self.seconds = RANGES.into_iter().find(|r| *r > self.seconds).unwrap_or(self.seconds),
            Action::RangeShorter => self.seconds = RANGES.into_iter().rev().find(|r| *r < self.seconds).unwrap_or(self.seconds),
            Action::Open => {
                if let Some(row) = self.table.selected(rows) {
                    match row.kind.as_str() {
                        "alert" => out.go(ViewId::Alerts, Some(row.subject.clone())),
                        "breaker" => out.go(ViewId::Breakers, Some(row.subject.clone())),
                        "edge" => out.go(ViewId::Map, Some(first_service(row).to_owned())),
                        _ => out.go(ViewId::Service, Some(first_service(row).to_owned())),
                    }
                }
            }
            // The one under the cursor; from there on, the one before.
            Action::ChangeBefore => match self.table.selected(rows).filter(|row| row.at < cx.now) {
                Some(row) => out.at = Some(row.at),
                None => return false,
            },
            action => return self.table.update(action, rows),
        }
        if matches!(action, Action::RangeLonger | Action::RangeShorter) {
            out.effects.push(crate::effect::Effect::Refresh);
        }
        true
    }

    fn letter(&mut self, letter: char, _: &Cx<'_>) -> bool {
        self.table.letter(letter)
    }

    fn click(&mut self, x: u16, y: u16, cx: &Cx<'_>, out: &mut Out) -> bool {
        self.table.click(x, y, rows(cx)) && self.update(Action::Open, cx, out)
    }

    fn hints(&self, _: &Cx<'_>) -> Vec<(Action, &'static str)> {
        vec![
            (Action::Open, "open"),
            (Action::RangeLonger, "longer"),
            (Action::RangeShorter, "shorter"),
            (Action::ChangeBefore, "cursor to it"),
        ]
    }

    fn tally(&self, cx: &Cx<'_>) -> String {
        let coarsest = rows(cx).iter().map(|row| row.within_seconds).fold(0.0, f64::max);
        let span = |seconds| number::span_short(Duration::from_secs(seconds));
        let coarse = if coarsest > COARSE_SECONDS { format!("~ up to {} earlier  ", span(coarsest as u64)) } else { String::new() };
        format!("{coarse}last {}  {}", span(self.seconds), self.table.tally()).trim_end().to_owned()
    }

    fn copy(&self, cx: &Cx<'_>) -> Option<String> {
        let row = self.table.selected(rows(cx))?;
        Some(format!("{} {} {} {} {} → {}", cx.zone.clock(row.at), cx.zone.name(row.at), row.kind, row.subject, row.from, row.to))
    }

    fn service(&self, cx: &Cx<'_>) -> Option<String> {
        let row = self.table.selected(rows(cx))?;
        (row.kind != "alert").then(|| first_service(row).to_owned())
    }

    fn render(&mut self, cx: &Cx<'_>, canvas: &mut Canvas<'_>) {
        let rows = rows(cx);
        self.table.refresh(rows, cx);
        if self.table.shown(rows).next().is_none() {
            let span = number::span_short(Duration::from_secs(self.seconds));
            return blank(canvas, cx, Kind::Changes, &format!("nothing changed in the last {span}"), "] looks back further");
        }
        self.table.draw(canvas, rows, cx, |canvas, row, column, x, width| {
            let (text, dim) = (canvas.style(Role::Text), canvas.style(Role::Dim));
            match column {
                0 => {
                    canvas.right(x, 0, width, &time(row, cx.zone.clock(row.at)), text);
                }
                1 => canvas.right(x, 0, width, &number::since(Some(row.at), cx.now), dim),
                2 => {
                    canvas.text(x, 0, width, &row.kind, dim);
                }
                3 => {
                    canvas.text(x, 0, width, &row.subject, text);
                }
                // Where both do not fit, what it is now.
                _ => {
                    let both = display_width(&row.from) + 3 + display_width(&row.to);
                    let short = Change { from: String::new(), ..row.clone() };
                    let shown = if both > usize::from(width) { &short } else { row };
                    from_to(&mut canvas.part(x, 0, width, 1).pen(0, 0), shown);
                }
            }
        });
    }
}

fn rows<'a>(cx: &Cx<'a>) -> &'a [Change] {
    cx.readings.changes().map(|c| c.changes.as_slice()).unwrap_or_default()
}
