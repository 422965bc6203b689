//! Traces: search, waterfall, span. Any trace, span or correlation id opens here.

mod compare;
mod fall;
mod span;
mod waterfall;

use crate::action::Action;
use crate::canvas::Canvas;
use crate::effect::Effect;
use crate::filter::{Field, Fields, Filter};
use crate::look::Role;
use crate::number;
use crate::readings::Kind;
use crate::table::{Column, Rows, Sort, Table};
use crate::view::{Ask, Cx, Out, View, blank};
use compare::Compare;
use std::borrow::Cow;
use watchfire_model::reading::{Command, Trace, TraceQuery, TraceRow};
use watchfire_model::{HealthState, Request};
use waterfall::Waterfall;

/// Traces asked for at once.
const LIMIT: usize = 500;

#[derive(Default)]
pub(crate) struct Traces {
    table: Table<Kinds>,
    /// Only traces through this service.
    service: Option<String>,
    slowest: bool,
    errors: bool,
    level: Level,
    /// What was asked for, a trace, span or correlation id.
    id: String,
    opened: Option<String>,
    waterfall: Waterfall,
    scroll: usize,
    /// Rows of the open span, and how many end on screen.
    rows: (usize, usize),
}

#[derive(Default)]
enum Level {
    #[default]
    List,
    Waterfall,
    Span,
    Compare(Compare),
}

struct Kinds;

impl Rows for Kinds {
    type Row = TraceRow;
    const KIND: Kind = Kind::Traces;
    const COLUMNS: &'static [Column] = &[
        Column::left("STARTED", 12).sort('S'),
        Column::right("TOOK", 7).sort('T'),
        Column::left("SERVICE", 16).grow(1).sort('V'),
        Column::left("OPERATION", 20).grow(2).sort('O'),
        Column::right("SPANS", 5).sort('P'),
        Column::right("ERR", 4).sort('R'),
        Column::left("THROUGH", 24).rank(2).grow(2),
        Column::left("ID", 8).rank(1),
    ];

    fn key(row: &TraceRow) -> Cow<'_, str> {
        Cow::Borrowed(&row.trace_id)
    }

    fn value(row: &TraceRow, column: usize) -> Sort<'_> {
        match column {
            1 => Sort::Number(Some(row.duration_seconds)),
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
    fn query(&self, filter: &Filter) -> TraceQuery {
        TraceQuery {
            service: filter.equal("service").map(str::to_owned).or_else(|| self.service.clone()),
            operation: filter.equal("operation").or(filter.equal("op")).map(str::to_owned),
            min_duration_ms: filter.at_least("dur").map(|s| s * 1000.0),
            error: (self.errors || filter.has_word("error")).then_some(true),
            attributes: filter.attributes(),
            slowest_first: self.slowest,
            limit: Some(LIMIT),
            ..TraceQuery::default()
        }
    }

    fn open_trace(&mut self, id: String) {
        if self.id != id {
            self.waterfall = Waterfall::default();
            self.id = id;
        }
        self.scroll = 0;
        self.level = Level::Waterfall;
    }

    /// The trace on screen, if it is the one that was asked for.
    fn trace<'a>(&self, cx: &Cx<'a>) -> Option<&'a Trace> {
        let asked = matches!(&cx.readings.slot(Kind::Trace).request, Some(Request::Trace { id }) if *id == self.id);
        cx.readings.trace().filter(|_| asked)
    }
}

impl View for Traces {
    fn wants(&self, cx: &Cx<'_>) -> Vec<Request> {
        match &self.level {
            Level::List => vec![Request::Traces(self.query(cx.filter)), Request::Services],
            Level::Waterfall | Level::Span => vec![Request::Trace { id: self.id.clone() }],
            Level::Compare(compare) => compare.missing().map(|id| vec![Request::Trace { id: id.to_owned() }]).unwrap_or_default(),
        }
    }

    fn open(&mut self, subject: Option<&str>) {
        match subject.map(|s| s.strip_prefix("id:").ok_or(s)) {
            None => {
                self.service = None;
                self.opened = None;
                self.level = Level::List;
            }
            // Coming back to the same subject finds things as they were left.
            Some(_) if self.opened.as_deref() == subject => {}
            Some(Ok(id)) => self.open_trace(id.to_owned()),
            Some(Err(service)) => {
                self.service = Some(service.to_owned());
                self.level = Level::List;
            }
        }
        self.opened = subject.map(str::to_owned);
    }

    fn crumbs(&self) -> Vec<String> {
        let short: String = self.id.chars().take(16).collect();
        let search = if self.waterfall.search.is_empty() { None } else { Some(format!("search {}", self.waterfall.search)) };
        match &self.level {
            Level::List => {
                let errors = self.errors.then(|| "with errors".to_owned());
                errors.into_iter().chain(self.slowest.then(|| "slowest first".to_owned())).collect()
            }
            Level::Waterfall => std::iter::once(format!("trace {short}")).chain(search).collect(),
            Level::Span => vec![format!("trace {short}"), "span".to_owned()],
            Level::Compare(_) => vec!["compare".to_owned()],
        }
    }

    fn fields(&self) -> &'static [&'static str] {
        &["service", "root", "operation", "op", "trace", "id", "dur", "spans", "errors", "error", "pinned"]
    }

    fn update(&mut self, action: Action, cx: &Cx<'_>, out: &mut Out) -> bool {
        let trace = self.trace(cx);
        match &mut self.level {
            Level::List => return self.update_list(action, cx, out),
            Level::Compare(compare) => {
                match action {
                    Action::Up => compare.scroll = compare.scroll.saturating_sub(1),
                    Action::Down => compare.scroll += 1,
                    Action::PageUp => compare.scroll = compare.scroll.saturating_sub(10),
                    Action::PageDown => compare.scroll += 10,
                    _ => return false,
                }
                return true;
            }
            Level::Span => match action {
                Action::Up => self.scroll = self.scroll.saturating_sub(1),
                Action::Down => self.scroll += 1,
                Action::PageUp => self.scroll = self.scroll.saturating_sub(10),
                Action::PageDown => self.scroll += 10,
                _ => return false,
            },
            Level::Waterfall => match action {
                Action::Open => {
                    if trace.is_some() {
                        self.scroll = 0;
                        self.level = Level::Span;
                    }
                }
                Action::Filter | Action::Edit => {
                    let text = self.waterfall.search.clone();
                    out.ask = Some(Ask { topic: "search", label: "search in trace".to_owned(), text, promql: false });
                }
                Action::Pin => out.effects.push(Effect::Command(Command::PinTrace { id: self.id.clone() })),
                action => return self.waterfall.update(action),
            },
        }
        true
    }

    fn letter(&mut self, letter: char, _: &Cx<'_>) -> bool {
        matches!(self.level, Level::List) && self.table.letter(letter)
    }

    fn click(&mut self, x: u16, y: u16, cx: &Cx<'_>, out: &mut Out) -> bool {
        let again = match self.level {
            Level::List => self.table.click(x, y, rows(cx)),
            Level::Waterfall => self.waterfall.click(y),
            _ => return false,
        };
        again && self.update(Action::Open, cx, out)
    }

    fn answer(&mut self, topic: &'static str, text: &str, cx: &Cx<'_>, out: &mut Out) {
        match topic {
            "search" => {
                text.clone_into(&mut self.waterfall.search);
                if let (Some(trace), false) = (self.trace(cx), text.is_empty())
                    && !self.waterfall.find(trace)
                {
                    out.say(format!("no span holds {text}"));
                }
            }
            "id" if !text.is_empty() => self.open_trace(text.to_owned()),
            _ => {}
        }
    }

    fn back(&mut self) -> bool {
        match self.level {
            // A trace opened by its id has no list behind it.
            Level::Waterfall if self.opened.as_deref().is_some_and(|o| o.starts_with("id:")) => {
                self.opened = None;
                self.level = Level::List;
                false
            }
            Level::Waterfall | Level::Compare(_) => {
                self.level = Level::List;
                true
            }
            Level::Span => {
                self.level = Level::Waterfall;
                true
            }
            Level::List => false,
        }
    }

    fn problem(&mut self, forward: bool, cx: &Cx<'_>) -> bool {
        match self.level {
            Level::List => self.table.problem(forward, rows(cx), cx),
            Level::Waterfall => self.trace(cx).is_some_and(|trace| self.waterfall.problem(forward, trace)),
            _ => false,
        }
    }

    fn hints(&self, cx: &Cx<'_>) -> Vec<(Action, &'static str)> {
        match self.level {
            Level::List if cx.marks.is_empty() => vec![
                (Action::Open, "open"),
                (Action::Errors, if self.errors { "all" } else { "errors" }),
                (Action::Slowest, if self.slowest { "newest" } else { "slowest" }),
                (Action::Edit, "by id"),
                (Action::Mark, "mark"),
                (Action::Pin, "pin"),
            ],
            Level::List => vec![(Action::Open, "open"), (Action::Compare, "compare with marked"), (Action::Mark, "mark")],
            Level::Waterfall => vec![
                (Action::Open, "span"),
                (Action::Left, "fold"),
                (Action::Right, "unfold"),
                (Action::CriticalPath, "critical path"),
                (Action::NextProblem, "next error"),
                (Action::Pin, "pin"),
                (Action::ItsLogs, "logs"),
            ],
            _ => vec![(Action::Back, "back"), (Action::Copy, "copy")],
        }
    }

    fn tally(&self, cx: &Cx<'_>) -> String {
        match self.level {
            Level::List => {
                let searched = cx.readings.traces().map_or(0, |t| t.searched);
                format!("{}, {} searched", self.table.tally(), number::count(searched as f64)).trim_start_matches(", ").to_owned()
            }
            // Whether there is more below the last row.
            Level::Span if self.rows.0 > self.rows.1 => format!("to line {} of {}, j k scroll", self.rows.1, self.rows.0),
            _ => self.waterfall.tally(),
        }
    }

    fn service(&self, cx: &Cx<'_>) -> Option<String> {
        match self.level {
            Level::List => self.table.selected(rows(cx)).map(|row| row.root_service.clone()),
            _ => self.trace(cx).and_then(|t| self.waterfall.span(t)).map(|s| s.service.clone()),
        }
    }

    fn copy(&self, cx: &Cx<'_>) -> Option<String> {
        match self.level {
            Level::List => self.table.selected(rows(cx)).map(|row| row.trace_id.clone()),
            Level::Span => {
                let trace = self.trace(cx)?;
                let span = self.waterfall.span(trace)?;
                let attributes: Vec<String> = span.attributes.iter().map(|(k, v)| format!("{k}={v}")).collect();
                Some(format!("{} {} {}\n{}", span.service, span.name, number::latency(span.duration_seconds), attributes.join("\n")))
            }
            _ => self.trace(cx).map(|t| t.trace_id.clone()),
        }
    }

    fn export(&self, _: &str, cx: &Cx<'_>) -> Result<(String, String), String> {
        if let (Some(trace), false) = (self.trace(cx), matches!(self.level, Level::List)) {
            let json = serde_json::to_string_pretty(trace).map_err(|e| e.to_string())?;
            let id: String = trace.trace_id.chars().filter(char::is_ascii_hexdigit).take(32).collect();
            return Ok((format!("trace-{id}.json"), json));
        }
        let mut csv = String::from("trace_id,started,duration_seconds,service,operation,spans,errors\n");
        for row in self.table.shown(rows(cx)) {
            let texts = [&row.trace_id, &row.root_service, &row.root_operation].map(|t| super::csv_field(t));
            csv.push_str(&format!(
                "{},{},{},{},{},{},{}\n",
                texts[0], row.start, row.duration_seconds, texts[1], texts[2], row.spans, row.errors
            ));
        }
        Ok(("traces.csv".to_owned(), csv))
    }

    fn render(&mut self, cx: &Cx<'_>, canvas: &mut Canvas<'_>) {
        match &mut self.level {
            Level::List => self.draw_list(cx, canvas),
            Level::Compare(compare) => {
                if let Some(trace) = cx.readings.trace() {
                    compare.take(trace);
                }
                compare.render(canvas);
            }
            Level::Waterfall | Level::Span => {
                let Some(trace) = self.trace(cx) else {
                    return blank(canvas, cx, Kind::Trace, &format!("reading trace {} …", self.id), "");
                };
                self.waterfall.refresh(trace, cx.readings.generation(Kind::Trace));
                match (&self.level, self.waterfall.span(trace)) {
                    (Level::Span, Some(span)) => {
                        self.rows = span::render(span, self.waterfall.self_seconds(), trace, &mut self.scroll, canvas);
                    }
                    _ => self.waterfall.render(trace, canvas),
                }
            }
        }
    }
}

impl Traces {
    fn update_list(&mut self, action: Action, cx: &Cx<'_>, out: &mut Out) -> bool {
        let rows = rows(cx);
        self.table.refresh(rows, cx);
        let selected = self.table.selected(rows).map(|r| r.trace_id.clone());
        match action {
            Action::Open => {
                if let Some(id) = selected {
                    self.open_trace(id);
                    out.effects.push(Effect::Refresh);
                }
            }
            Action::Edit => {
                out.ask = Some(Ask { topic: "id", label: "trace, span or correlation id".to_owned(), text: String::new(), promql: false })
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
            Action::Compare => match (cx.marks.iter().next(), selected) {
                (Some(left), Some(right)) if *left != right => {
                    self.level = Level::Compare(Compare::of(left.clone(), right));
                    out.effects.push(Effect::Refresh);
                }
                _ => out.say("mark one trace with x, then compare another one with it"),
            },
            action => return self.table.update(action, rows),
        }
        true
    }

    fn draw_list(&mut self, cx: &Cx<'_>, canvas: &mut Canvas<'_>) {
        let rows = rows(cx);
        self.table.refresh(rows, cx);
        if self.table.shown(rows).next().is_none() {
            let none = match &self.service {
                Some(service) => format!("no traces of {service} held"),
                None => "no traces yet".to_owned(),
            };
            return blank(
                canvas,
                cx,
                Kind::Traces,
                &none,
                "send spans to the OTLP ports, or start watchfire demo; :trace ID opens one by any id",
            );
        }
        self.table.draw(canvas, rows, cx, |canvas, row, column, x, width| {
            let (text, dim) = (canvas.style(Role::Text), canvas.style(Role::Dim));
            match column {
                0 => {
                    canvas.text(x, 0, width, &cx.zone.clock_millis(row.start), dim);
                }
                1 => canvas.right(x, 0, width, &number::latency(row.duration_seconds), text),
                2 => {
                    let shown = if row.root_missing { format!("… {}", row.root_service) } else { row.root_service.clone() };
                    canvas.text(x, 0, width, &shown, text);
                }
                3 => {
                    let shown = if row.pinned { format!("★ {}", row.root_operation) } else { row.root_operation.clone() };
                    canvas.text(x, 0, width, &shown, text);
                }
                4 => canvas.right(x, 0, width, &row.spans.to_string(), dim),
                5 => {
                    let (shown, role) =
                        if row.errors > 0 { (format!("✖ {}", row.errors), Role::Unhealthy) } else { ("0".to_owned(), Role::Faint) };
                    let style = canvas.style(role);
                    canvas.right(x, 0, width, &shown, style);
                }
                6 => {
                    canvas.text(x, 0, width, &row.services.join(" "), dim);
                }
                _ => {
                    canvas.text(x, 0, width, row.trace_id.get(..8).unwrap_or(&row.trace_id), dim);
                }
            }
        });
    }
}

fn rows<'a>(cx: &Cx<'a>) -> &'a [TraceRow] {
    cx.readings.traces().map(|t| t.traces.as_slice()).unwrap_or_default()
}
