//! Queues: how much waits, since when, and whether it drains.

use crate::action::Action;
use crate::canvas::Canvas;
use crate::chart::{meter, sparkline};
use crate::filter::{Field, Fields};
use crate::look::{Role, state_glyph};
use crate::number;
use crate::readings::Kind;
use crate::table::{Column, Rows, Sort, Table};
use crate::view::{Cx, Out, View, blank};
use crate::views::ViewId;
use std::borrow::Cow;
use watchfire_model::reading::Queue;
use watchfire_model::{HealthState, Request};

#[derive(Default)]
pub(crate) struct Queues {
    table: Table<Kinds>,
}

struct Kinds;

impl Rows for Kinds {
    type Row = Queue;
    const KIND: Kind = Kind::Queues;
    const COLUMNS: &'static [Column] = &[
        Column::left("QUEUE", 23).grow(1).sort('Q'),
        Column::left("SYSTEM", 9).rank(5).sort('S'),
        Column::right("DEPTH", 7).sort('D'),
        Column::left("OF LIMIT", 8).rank(6),
        Column::right("IN", 7).sort('I'),
        Column::right("OUT", 7).sort('O'),
        Column::right("OLDEST", 7).rank(1).sort('T'),
        Column::right("DRAINS", 8).sort('R'),
        Column::right("WORK", 4).rank(3).sort('W'),
        Column::right("DEAD", 6).rank(2).sort('A'),
        Column::left("15 MIN", 8).rank(1),
        Column::left("FROM → TO", 22).rank(4).grow(2),
    ];

    fn key(row: &Queue) -> Cow<'_, str> {
        Cow::Owned(format!("{} {}", row.queue, row.system))
    }

    fn value(row: &Queue, column: usize) -> Sort<'_> {
        match column {
            0 => Sort::Text(&row.queue),
            1 => Sort::Text(&row.system),
            2 => Sort::Number(row.depth),
            4 => Sort::Number(row.in_rate),
            5 => Sort::Number(row.out_rate),
            6 => Sort::Number(row.oldest_seconds),
            7 => Sort::Number(row.drain_seconds),
            8 => Sort::Number(row.consumers),
            9 => Sort::Number(row.dead_letters),
            _ => Sort::State(row.state),
        }
    }

    fn state(row: &Queue) -> HealthState {
        row.state
    }
}

impl Fields for Queue {
    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "queue" | "name" => Field::text(&self.queue),
            "system" => Field::text(&self.system),
            "state" => Field::text(self.state.word()),
            "service" => {
                Field::Text(Cow::Owned(self.producers.iter().chain(&self.consumer_services).cloned().collect::<Vec<_>>().join(" ")))
            }
            "depth" => Field::Number(self.depth),
            "in" => Field::Number(self.in_rate),
            "out" => Field::Number(self.out_rate),
            "oldest" => Field::Number(self.oldest_seconds),
            "drain" => Field::Number(self.drain_seconds),
            "dead" => Field::Number(self.dead_letters),
            "consumers" => Field::Number(self.consumers),
            "error" => Field::Flag(matches!(self.state, HealthState::Unhealthy | HealthState::Degraded)),
            _ => return None,
        })
    }

    fn words(&self) -> Vec<Cow<'_, str>> {
        let mut words: Vec<Cow<'_, str>> = vec![Cow::Borrowed(&self.queue), Cow::Borrowed(&self.system)];
        words.extend(self.producers.iter().chain(&self.consumer_services).map(|s| Cow::Borrowed(s.as_str())));
        words
    }
}

/// Whether the queue grows, from its rates: `↑`, `↓` or nothing.
pub(super) fn trend(queue: &Queue) -> &'static str {
    match (queue.in_rate, queue.out_rate) {
        (Some(i), Some(o)) if i > o * 1.05 + 0.01 => "↑",
        (Some(i), Some(o)) if o > i * 1.05 + 0.01 => "↓",
        _ => "",
    }
}

/// What goes in, marked where it is told from other figures.
pub(super) fn inflow(queue: &Queue) -> String {
    format!("{}{}", if queue.in_inferred { "≈" } else { "" }, number::rate(queue.in_rate))
}

/// When it is empty at the present rates, in words.
pub(super) fn drains(queue: &Queue) -> String {
    match (queue.drain_seconds, queue.depth) {
        (_, Some(d)) if d < 1.0 => "empty".to_owned(),
        (Some(s), _) => number::span(std::time::Duration::from_secs_f64(s.clamp(0.0, 1e9))),
        (None, Some(_)) if trend(queue) == "↑" => "never".to_owned(),
        (None, Some(_)) if queue.in_rate.is_some() && queue.out_rate.is_some() => "steady".to_owned(),
        _ => number::UNKNOWN.to_owned(),
    }
}

impl View for Queues {
    fn wants(&self, _: &Cx<'_>) -> Vec<Request> {
        vec![Request::Queues]
    }

    fn open(&mut self, subject: Option<&str>) {
        if let Some(queue) = subject {
            self.table.choose(queue.to_owned());
        }
    }

    fn fields(&self) -> &'static [&'static str] {
        &["queue", "system", "state", "service", "depth", "in", "out", "oldest", "drain", "dead", "consumers", "error"]
    }

    fn orders(&self) -> Vec<(char, &'static str)> {
        Table::<Kinds>::orders()
    }

    fn update(&mut self, action: Action, cx: &Cx<'_>, out: &mut Out) -> bool {
        let rows = rows(cx);
        self.table.refresh(rows, cx);
        if action == Action::Open {
            if let Some(name) = self.service(cx) {
                out.go(ViewId::Service, Some(name));
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
        vec![(Action::Open, "consumer"), (Action::ItsTraces, "traces"), (Action::ItsMap, "map")]
    }

    fn tally(&self, _: &Cx<'_>) -> String {
        self.table.tally()
    }

    fn service(&self, cx: &Cx<'_>) -> Option<String> {
        let row = self.table.selected(rows(cx))?;
        row.consumer_services.first().or(row.producers.first()).cloned()
    }

    fn export(&self, _: &str, cx: &Cx<'_>) -> Result<(String, String), String> {
        let mut csv = String::from(
            "queue,system,state,why,producers,consumers_by_name,depth,in_rate,out_rate,oldest_seconds,drain_seconds,consumers,dead_letters\n",
        );
        for row in self.table.shown(rows(cx)) {
            let (why, producers, readers) = (row.why.join("; "), row.producers.join("; "), row.consumer_services.join("; "));
            let texts = [&row.queue, &row.system, row.state.word(), &why, &producers, &readers];
            let figures = [row.depth, row.in_rate, row.out_rate, row.oldest_seconds, row.drain_seconds, row.consumers, row.dead_letters];
            csv.push_str(&super::csv_line(&texts, &figures));
        }
        Ok(("queues.csv".to_owned(), csv))
    }

    fn copy(&self, cx: &Cx<'_>) -> Option<String> {
        let row = self.table.selected(rows(cx))?;
        Some(format!(
            "{} ({}) depth {} in {} out {} oldest {} drains {}",
            row.queue,
            row.system,
            number::counted(row.depth),
            inflow(row),
            number::rate(row.out_rate),
            number::latency_known(row.oldest_seconds),
            drains(row)
        ))
    }

    fn render(&mut self, cx: &Cx<'_>, canvas: &mut Canvas<'_>) {
        let rows = rows(cx);
        self.table.refresh(rows, cx);
        if self.table.shown(rows).next().is_none() {
            let advice = "queues appear with messaging spans, or with metrics of RabbitMQ, Kafka, Redis, Celery, BullMQ, NATS and others: watchfire --scrape URL";
            return blank(canvas, cx, Kind::Queues, "no queues seen yet", advice);
        }
        let height = canvas.height();
        let listed = rows.len() as u16 + 1;
        let detail = if height >= (listed + 6).min(16) { 5 } else { 0 };
        let width = canvas.width();
        self.table.draw(&mut canvas.part(0, 0, width, height - detail), rows, cx, cell);
        if let (5, Some(row)) = (detail, self.table.selected(rows)) {
            explain(&mut canvas.part(0, height - 4, width, 4), row);
        }
    }
}

fn cell(canvas: &mut Canvas<'_>, row: &Queue, column: usize, x: u16, width: u16) {
    let (text, dim) = (canvas.style(Role::Text), canvas.style(Role::Dim));
    let state = canvas.style(row.state.into());
    match column {
        0 => {
            canvas.text(x, 0, 1, state_glyph(row.state), state);
            canvas.name(x + 2, 0, width.saturating_sub(2), &row.queue, text);
        }
        1 => {
            canvas.text(x, 0, width, &row.system, dim);
        }
        2 => canvas.right(x, 0, width, &format!("{} {}", number::counted(row.depth), pad(trend(row))), state),
        3 => match (row.depth, row.threshold) {
            (Some(depth), Some(limit)) if limit > 0.0 => meter(canvas, x, 0, width, depth / limit, row.state.into()),
            _ => {
                canvas.text(x, 0, width, number::UNKNOWN, dim);
            }
        },
        4 => canvas.right(x, 0, width, &inflow(row), text),
        5 => canvas.right(x, 0, width, &number::rate(row.out_rate), text),
        6 => canvas.right(x, 0, width, &number::latency_known(row.oldest_seconds), text),
        7 => {
            let shown = drains(row);
            let style = if shown == "never" { canvas.style(Role::Degraded) } else { text };
            canvas.right(x, 0, width, &shown, style);
        }
        8 => {
            let style = if row.consumers == Some(0.0) { canvas.style(Role::Unhealthy) } else { text };
            canvas.right(x, 0, width, &number::counted(row.consumers), style);
        }
        9 => {
            let style = if row.dead_letters.is_some_and(|d| d > 0.0) { canvas.style(Role::Degraded) } else { dim };
            canvas.right(x, 0, width, &number::counted(row.dead_letters), style);
        }
        10 => sparkline(canvas, x, 0, width, &row.sparkline, row.state.into()),
        _ => {
            let known = !(row.producers.is_empty() && row.consumer_services.is_empty());
            let way =
                if known { format!("{} → {}", names(&row.producers), names(&row.consumer_services)) } else { number::UNKNOWN.to_owned() };
            canvas.text(x, 0, width, &way, dim);
        }
    }
}

fn pad(trend: &str) -> &str {
    if trend.is_empty() { " " } else { trend }
}

fn names(list: &[String]) -> String {
    if list.is_empty() { number::UNKNOWN.to_owned() } else { list.join(", ") }
}

/// The selected queue in sentences.
fn explain(canvas: &mut Canvas<'_>, row: &Queue) {
    let mut pen = canvas.pen(1, 0);
    pen.name(&row.queue, Role::Strong).gap(2).put(state_glyph(row.state), row.state.into()).gap(1).put(row.state.word(), row.state.into());
    if !row.why.is_empty() {
        pen.gap(2).put(&row.why.join(" · "), Role::Text);
    }
    if let Some(limit) = row.threshold {
        pen.put(&format!("   alert above {}", number::count(limit)), Role::Dim);
    }
    if row.declared && row.depth.is_none() {
        pen.put("   declared, nothing seen", Role::Unknown);
    }
    if let Some(source) = &row.source {
        pen.put(&format!("   from {source}"), Role::Dim);
    }
    if row.in_inferred {
        pen.put("   ≈ what comes out and what the depth gained", Role::Dim);
    }
    canvas.pen(1, 1).put("written by ", Role::Dim).put(&names(&row.producers), Role::Text);
    canvas.pen(1, 2).put("read by    ", Role::Dim).put(&names(&row.consumer_services), Role::Text);
    let outlook = match (drains(row).as_str(), row.consumers) {
        (_, Some(0.0)) => "no consumer: it only grows".to_owned(),
        ("never", _) => "more comes in than goes out: it does not drain".to_owned(),
        ("empty", _) => "nothing waits".to_owned(),
        ("steady", _) => "as much goes out as comes in".to_owned(),
        (number::UNKNOWN, _) => "its rates are not known".to_owned(),
        (time, _) => format!("empty in {time} at the present rates"),
    };
    canvas.pen(1, 3).put("outlook    ", Role::Dim).put(&outlook, Role::Text);
}

fn rows<'a>(cx: &Cx<'a>) -> &'a [Queue] {
    cx.readings.queues().map(|q| q.queues.as_slice()).unwrap_or_default()
}
