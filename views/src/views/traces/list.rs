//! The search: which traces there are, newest or slowest first.

use super::{Compare, Level, MOST, Traces};
use crate::action::Action;
use crate::canvas::{Canvas, visible, wrap};
use crate::effect::Effect;
use crate::filter::{Field, Fields, Filter};
use crate::look::Role;
use crate::number;
use crate::readings::Kind;
use crate::table::{Column, Rows, Sort};
use crate::view::{Ask, Cx, Out, blank};
use std::borrow::Cow;
use watchfire_model::HealthState;
use watchfire_model::reading::{Command, TraceRow};

pub(super) struct Kinds;

/// The column of how long a trace took.
pub(super) const TOOK: usize = 1;

impl Rows for Kinds {
    type Row = TraceRow;
    const KIND: Kind = Kind::Traces;
    const COLUMNS: &'static [Column] = &[
        Column::left("STARTED", 12).rank(1).sort('S'),
        Column::right("TOOK", 7).sort('T'),
        Column::left("SERVICE", 16).grow(1).sort('V'),
        Column::left("OPERATION", 20).grow(2).sort('O'),
        Column::right("SPANS", 5).rank(1).sort('P'),
        Column::right("ERR", 5).sort('R'),
        Column::left("THROUGH", 24).rank(2).grow(2),
        Column::left("ID", 8).rank(1),
    ];

    fn key(row: &TraceRow) -> Cow<'_, str> {
        Cow::Borrowed(&row.trace_id)
    }

    fn value(row: &TraceRow, column: usize) -> Sort<'_> {
        match column {
            TOOK => Sort::Number(Some(row.duration_seconds)),
            2 => Sort::Text(&row.root_service),
            3 => Sort::Text(&row.root_operation),
            4 => Sort::Number(Some(row.spans as f64)),
            5 => Sort::Number(Some(row.errors as f64)),
            _ => Sort::Number(Some(row.start)),
        }
    }

    fn place(_: &TraceRow) -> u8 {
        0
    }

    fn state(row: &TraceRow) -> HealthState {
        if row.errors > 0 { HealthState::Unhealthy } else { HealthState::Healthy }
    }
}

impl Fields for TraceRow {
    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "service" => Field::Any(&self.services),
            "root" => Field::text(&self.root_service),
            "operation" | "op" => Field::text(&self.root_operation),
            "trace" | "id" => Field::text(&self.trace_id),
            "dur" => Field::Number(Some(self.duration_seconds)),
            "spans" => Field::Number(Some(self.spans as f64)),
            "errors" => Field::Number(Some(self.errors as f64)),
            "error" => Field::Flag(self.errors > 0),
            "pinned" => Field::Flag(self.pinned),
            _ => return None,
        })
    }

    fn words(&self) -> Vec<Cow<'_, str>> {
        let mut words: Vec<Cow<'_, str>> = [&self.root, &self.trace_id].map(|t| Cow::Borrowed(t.as_str())).to_vec();
        words.extend(self.services.iter().map(|s| Cow::Borrowed(s.as_str())));
        words
    }
}

impl Traces {
    /// The operation of a filter may be that of any span: the source finds it, the row knows its root only.
    pub(super) fn refresh(&mut self, cx: &Cx<'_>) {
        let filter = cx.filter.without(&["operation", "op"]);
        self.table.refresh(rows(cx), &Cx { filter: &filter, ..*cx });
    }

    pub(super) fn update_list(&mut self, action: Action, cx: &Cx<'_>, out: &mut Out) -> bool {
        let rows = rows(cx);
        self.refresh(cx);
        let selected = self.table.selected(rows).map(|r| r.trace_id.clone());
        match action {
            Action::Open => match selected {
                Some(id) => {
                    self.open_trace(id);
                    out.effects.push(Effect::Refresh);
                }
                None => out.refuse("no trace is selected; i opens one by any id"),
            },
            Action::Edit => {
                out.ask = Some(by_id());
            }
            Action::Errors => {
                self.errors = !self.errors;
                out.effects.push(Effect::Refresh);
            }
            Action::Slowest => {
                self.slowest = !self.slowest;
                out.effects.push(Effect::Refresh);
            }
            Action::Pin => {
                if let Some(id) = selected {
                    out.effects.push(Effect::Command(Command::PinTrace { id }));
                }
            }
            Action::Mark => out.mark = selected,
            Action::Compare => match (cx.marks, selected) {
                ([left, right], _) => self.compare(left, right, false, out),
                ([left], Some(right)) if *left != right => self.compare(left, &right, false, out),
                _ => out.refuse("mark one trace first, then compare another one with it"),
            },
            action => return self.table.update(action, rows),
        }
        true
    }

    pub(super) fn compare(&mut self, left: &str, right: &str, within: bool, out: &mut Out) {
        self.level = Level::Compare(Compare::of(left.to_owned(), right.to_owned(), within));
        out.effects.push(Effect::Refresh);
    }

    pub(super) fn draw_list(&mut self, cx: &Cx<'_>, canvas: &mut Canvas<'_>) {
        let rows = rows(cx);
        self.refresh(cx);
        if self.table.shown(rows).next().is_none() {
            let failing = if self.errors { "failing " } else { "" };
            let none = match &self.service {
                Some(service) => format!("no {failing}traces of {service} held"),
                None if self.errors || cx.at.is_some() => format!("no {failing}traces held"),
                None => "no traces yet".to_owned(),
            };
            let advice = if self.errors {
                "f shows all traces"
            } else if cx.at.is_some() {
                "the time cursor hides what came later; End goes back to now"
            } else {
                "send spans to the OTLP ports, or start watchfire demo; :trace ID opens one by any id"
            };
            // What only a row can answer was asked of so many; none of all would say too much.
            if rows.len() >= MOST {
                let (text, dim) = (canvas.style(Role::Text), canvas.style(Role::Dim));
                let width = canvas.width().saturating_sub(4);
                canvas.text(3, 1, width, &format!("none of the {MOST} newest matches  {}", cx.filter.text), text);
                for (y, line) in wrap("all are searched by service= operation= dur> start> error pinned and attributes: with one of these the others reach further", width, 4).iter().enumerate() {
                    canvas.text(3, 2 + y as u16, width, line, dim);
                }
                return;
            }
            return blank(canvas, cx, Kind::Traces, &none, advice);
        }
        self.table.draw(canvas, rows, cx, |canvas, row, column, x, width| {
            let (text, dim) = (canvas.style(Role::Text), canvas.style(Role::Dim));
            match column {
                0 => {
                    canvas.text(x, 0, width, &cx.zone.clock_millis(row.start), dim);
                }
                1 => canvas.right(x, 0, width, &number::latency(row.duration_seconds), text),
                2 => {
                    let service = visible(&row.root_service);
                    let shown = if row.root_missing { format!("… {service}") } else { service.into_owned() };
                    canvas.text(x, 0, width, &shown, text);
                }
                3 => {
                    let name = named(&row.root_operation);
                    let shown = if row.pinned { format!("★ {name}") } else { name.into_owned() };
                    canvas.text(x, 0, width, &shown, text);
                }
                4 => canvas.right(x, 0, width, &if row.spans < 100_000 { row.spans.to_string() } else { short(row.spans) }, dim),
                5 => {
                    let (shown, role) = if row.errors > 0 {
                        (format!("✖ {}", short(row.errors)), Role::Unhealthy)
                    } else {
                        ("0".to_owned(), Role::Faint)
                    };
                    let style = canvas.style(role);
                    canvas.right(x, 0, width, &shown, style);
                }
                6 => {
                    let others: Vec<&str> = row.services.iter().filter(|s| **s != row.root_service).map(String::as_str).collect();
                    canvas.text(x, 0, width, &others.join(" "), dim);
                }
                _ => {
                    // An id of 64 bits begins with as many zeros as others have digits there.
                    let id = row.trace_id.strip_prefix("0000000000000000").unwrap_or(&row.trace_id);
                    canvas.text(x, 0, width, id.get(..8).unwrap_or(id), dim);
                }
            }
        });
    }
}

/// Whether the source answers all of a filter, so that what it finds are the newest of those that match.
pub(super) fn is_answered(filter: &Filter) -> bool {
    let operations = ["operation", "op"].iter().filter(|field| filter.equal(field).is_some()).count();
    operations < 2 && filter.is_answered_by(&["service", "operation", "op"], "dur", &["error", "pinned"])
}

pub(super) fn rows<'a>(cx: &Cx<'a>) -> &'a [TraceRow] {
    cx.readings.traces().map(|t| t.traces.as_slice()).unwrap_or_default()
}

/// The name of a span, also of one that has none: nobody could see it or point at it.
pub(super) fn named(name: &str) -> Cow<'_, str> {
    if name.is_empty() { Cow::Borrowed("(no name)") } else { visible(name) }
}

/// A count in four places.
fn short(count: usize) -> String {
    if count < 1000 { count.to_string() } else { format!("{}k", count / 1000) }
}

pub(super) fn by_id() -> Ask {
    Ask { topic: "id", label: "trace, span or correlation id".to_owned(), text: String::new(), promql: false }
}
