//! Traces: search, waterfall, span. Any trace, span or correlation id opens here.

mod compare;
mod differences;
mod fall;
mod list;
mod span;
mod waterfall;

use crate::action::Action;
use crate::canvas::Canvas;
use crate::effect::Effect;
use crate::filter::SOUGHT_ATTRIBUTES;
use crate::number;
use crate::readings::Kind;
use crate::table::{Table, moved};
use crate::view::{Ask, Cx, Out, View, blank};
use compare::Compare;
use list::{Kinds, rows};
use watchfire_model::Request;
use watchfire_model::reading::{Command, Trace, TraceQuery};
use waterfall::Waterfall;

/// Traces asked for at once.
const LIMIT: usize = 500;
/// The same where the filter has conditions that only a row can answer.
const MOST: usize = 5000;
/// A time that is told from now on back moves in steps of so many milliseconds.
const STEP: i64 = 15_000;

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
    /// A span or correlation id whose span the cursor shall stand on once its trace is there.
    sought: Option<String>,
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

impl Traces {
    fn query(&self, cx: &Cx<'_>) -> TraceQuery {
        let filter = cx.filter;
        let (start, end) = filter.began(cx.now, cx.zone, STEP);
        TraceQuery {
            service: filter.equal("service").map(str::to_owned).or_else(|| self.service.clone()),
            operation: filter.equal("operation").or(filter.equal("op")).map(str::to_owned),
            min_duration_ms: filter.at_least("dur").map(|s| s * 1000.0),
            max_duration_ms: filter.at_most("dur").map(|s| s * 1000.0),
            start,
            end,
            error: if self.errors { Some(true) } else { filter.flag("error") },
            pinned: filter.flag("pinned"),
            attributes: filter.attributes(),
            // Ordered by how long they took, the longest of all are wanted, not those of the newest.
            slowest_first: self.slowest || self.table.order() == Some((list::TOOK, true)),
            limit: Some(if list::is_answered(filter) { LIMIT } else { MOST }),
        }
    }

    fn open_trace(&mut self, id: String) {
        if self.id != id {
            self.waterfall = Waterfall::default();
            self.sought = Some(id.clone());
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
            Level::List => vec![Request::Traces(self.query(cx)), Request::Services],
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
        &["service", "root", "operation", "op", "trace", "id", "start", "dur", "spans", "errors", "error", "pinned", SOUGHT_ATTRIBUTES]
    }

    fn is_filtered(&self) -> bool {
        matches!(self.level, Level::List)
    }

    fn orders(&self) -> Vec<(char, &'static str)> {
        if self.is_filtered() { Table::<Kinds>::orders() } else { Vec::new() }
    }

    fn update(&mut self, action: Action, cx: &Cx<'_>, out: &mut Out) -> bool {
        let trace = self.trace(cx);
        match &mut self.level {
            Level::List => return self.update_list(action, cx, out),
            Level::Compare(compare) => return compare.scroll(action),
            Level::Span => match moved(action, self.scroll, self.rows.1.saturating_sub(self.scroll), self.rows.0) {
                Some(to) => self.scroll = to,
                None => return false,
            },
            Level::Waterfall if trace.is_none() => match action {
                Action::Edit | Action::Filter => out.ask = Some(list::by_id()),
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
                Action::NextMatch | Action::PreviousMatch if self.waterfall.search.is_empty() => out.refuse("/ searches in this trace"),
                Action::NextMatch | Action::PreviousMatch => {
                    if let Some(Err(why)) = trace.map(|t| self.waterfall.find(t, action == Action::NextMatch)) {
                        out.refuse(why);
                    }
                }
                // What was asked for may be the id of a span, or the beginning of one.
                Action::Pin => {
                    out.effects.extend(trace.map(|t| Effect::Command(Command::PinTrace { id: t.trace_id.clone() })));
                }
                Action::Mark => out.mark = trace.map(|t| t.trace_id.clone()),
                Action::Compare => match trace.and_then(|t| Some((t, cx.marks.iter().rfind(|mark| **mark != t.trace_id)?))) {
                    Some((right, left)) => self.compare(left, &right.trace_id, true, out),
                    None => out.refuse("mark another trace first, then compare this one with it"),
                },
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
                    && let Err(why) = self.waterfall.find(trace, true)
                {
                    out.refuse(why);
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
            Level::Compare(ref compare) if compare.within => {
                self.level = Level::Waterfall;
                true
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
            Level::List => {
                let filter = cx.filter.without(&["operation", "op"]);
                self.table.problem(forward, rows(cx), &Cx { filter: &filter, ..*cx })
            }
            Level::Waterfall => self.trace(cx).is_some_and(|trace| self.waterfall.problem(forward, trace)),
            _ => false,
        }
    }

    fn hints(&self, cx: &Cx<'_>) -> Vec<(Action, &'static str)> {
        match self.level {
            Level::List if rows(cx).is_empty() && !self.errors && !self.slowest => vec![(Action::Edit, "by id")],
            Level::List if cx.marks.is_empty() => vec![
                (Action::Open, "open"),
                (Action::Errors, if self.errors { "all" } else { "errors" }),
                (Action::Slowest, if self.slowest { "newest" } else { "slowest" }),
                (Action::Edit, "by id"),
                (Action::Mark, "mark"),
                (Action::Pin, "pin"),
            ],
            Level::List => {
                let compare = if cx.marks.len() == 2 { "compare the marked" } else { "compare with marked" };
                vec![(Action::Open, "open"), (Action::Compare, compare), (Action::Mark, "mark")]
            }
            Level::Waterfall => {
                let Some(trace) = self.trace(cx) else { return vec![(Action::Edit, "by id"), (Action::Back, "back")] };
                let mut hints = vec![(Action::Open, "span"), (Action::Left, "fold")];
                if self.waterfall.is_folded() {
                    hints.push((Action::Right, "unfold"));
                }
                if self.waterfall.has_errors_below(trace) {
                    hints.push((Action::NextProblem, "next error"));
                }
                hints.push((Action::CriticalPath, "critical path"));
                hints.push((Action::Filter, "search"));
                if !self.waterfall.search.is_empty() {
                    hints.push((Action::NextMatch, "next match"));
                }
                hints.push((Action::Pin, "pin"));
                // Who marked another trace came to compare.
                match cx.marks.iter().any(|mark| *mark != trace.trace_id) {
                    true => hints.insert(1, (Action::Compare, "compare with marked")),
                    false => hints.push((Action::Mark, "mark")),
                }
                hints.push((Action::ItsLogs, "logs"));
                hints
            }
            _ => vec![(Action::Back, "back"), (Action::Copy, "copy")],
        }
    }

    fn tally(&self, cx: &Cx<'_>) -> String {
        match self.level {
            Level::List => {
                let searched = cx.readings.traces().map_or(0, |t| t.searched);
                // More may match than were asked for.
                let newest = if self.query(cx).slowest_first { "slowest" } else { "newest" };
                let tally = match self.table.tally() {
                    tally if rows(cx).len() >= LIMIT => tally.replacen(" of ", &format!(" of {newest} "), 1),
                    tally => tally,
                };
                format!("{tally}, {} searched", number::count(searched as f64)).trim_start_matches(", ").to_owned()
            }
            // Whether there is more below the last row.
            Level::Span if self.rows.0 > self.rows.1 => format!("to line {} of {}, j k scroll", self.rows.1, self.rows.0),
            Level::Compare(ref compare) => compare.tally(),
            _ if self.trace(cx).is_none() => String::new(),
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
            Level::Compare(ref compare) => Some(format!("{} {}", compare.left, compare.right)),
            Level::Waterfall => self.trace(cx).map(|t| t.trace_id.clone()),
        }
    }

    fn export(&self, format: &str, cx: &Cx<'_>) -> Result<(String, String), String> {
        if let (Some(trace), false) = (self.trace(cx), matches!(self.level, Level::List)) {
            if format == "csv" {
                return Err("an open trace is written as json; the list of traces as csv".to_owned());
            }
            let json = serde_json::to_string_pretty(trace).map_err(|e| e.to_string())?;
            let id: String = trace.trace_id.chars().filter(char::is_ascii_hexdigit).take(32).collect();
            return Ok((format!("trace-{id}.json"), json));
        }
        if format == "json" {
            return Err("the list of traces is written as csv; an open trace as json".to_owned());
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
                match compare.missing().filter(|_| cx.readings.slot(Kind::Trace).error.is_some()) {
                    Some(id) => {
                        let advice = "it may have gone to make room; p keeps a trace. Esc goes back";
                        blank(canvas, cx, Kind::Trace, &format!("reading trace {id} …"), advice);
                    }
                    None => compare.render(canvas),
                }
            }
            Level::Waterfall | Level::Span => {
                let Some(trace) = self.trace(cx) else {
                    let advice = "not here yet, or gone to make room: watchfire keeps asking; i asks for another id";
                    return blank(canvas, cx, Kind::Trace, &format!("reading trace {} …", self.id), advice);
                };
                self.waterfall.refresh(trace, cx.readings.generation(Kind::Trace));
                if let Some(sought) = self.sought.take() {
                    self.waterfall.land(trace, &sought);
                }
                self.waterfall.marked = cx.marks.contains(&trace.trace_id);
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
