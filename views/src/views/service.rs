//! The page of one service: figures, callers and callees, operations, instances, checks, breakers, queues, alerts, errors, logs.

mod lines;

use crate::action::Action;
use crate::canvas::{Canvas, Pen, display_width, visible};
use crate::look::{Role, breaker_look, error_role, is_tripped, state_glyph};
use crate::number;
use crate::readings::Kind;
use crate::table::{moved, window};
use crate::view::{Cx, Out, View, blank};
use crate::views::{ViewId, changes};
use lines::{ERRORS, FIGURES, Line, P50, P95, P99, RATE, What, lines};
use ratatui::style::Style;
use watchfire_model::Request;
use watchfire_model::reading::{CollectorFigures, Instance, OperationRow, ServicePage, ServiceRow};

#[derive(Default)]
pub(crate) struct Service {
    name: String,
    position: usize,
    offset: usize,
    page: usize,
    /// Lines of the list, on screen or not.
    total: usize,
    /// Lines above the list, as it was drawn last.
    head: usize,
}

impl Service {
    /// The page on screen, if it is of the service that was asked for.
    fn reading<'a>(&self, cx: &Cx<'a>) -> Option<&'a ServicePage> {
        let asked = matches!(&cx.readings.slot(Kind::Service).request, Some(Request::Service { name }) if *name == self.name);
        cx.readings.service().filter(|_| asked)
    }

    /// To the nearest line that can be opened.
    fn land(&mut self, lines: &[Line<'_>], forward: bool) {
        let last = lines.len().saturating_sub(1);
        self.position = self.position.min(last);
        let can = |p: &usize| lines[*p].target.is_some();
        let found = if forward {
            (self.position..lines.len()).find(can).or_else(|| (0..self.position).rev().find(can))
        } else {
            (0..=self.position.min(last)).rev().filter(|_| !lines.is_empty()).find(can).or_else(|| (self.position..lines.len()).find(can))
        };
        self.position = found.unwrap_or(0);
    }
}

impl View for Service {
    fn wants(&self, _: &Cx<'_>) -> Vec<Request> {
        // What changed lately is known with the list.
        vec![Request::Service { name: self.name.clone() }, Request::Services]
    }

    fn open(&mut self, subject: Option<&str>) {
        let name = subject.unwrap_or("");
        if self.name != name {
            name.clone_into(&mut self.name);
            self.position = 0;
            self.offset = 0;
        }
    }

    fn update(&mut self, action: Action, cx: &Cx<'_>, out: &mut Out) -> bool {
        let Some(page) = self.reading(cx) else { return false };
        let lines = lines(page, cx);
        if let Some(to) = moved(action, self.position, self.page, lines.len().saturating_sub(1)) {
            self.position = to;
            self.land(&lines, matches!(action, Action::Down | Action::PageDown | Action::HalfDown | Action::Top));
            return true;
        }
        if action != Action::Open {
            return false;
        }
        if let Some(target) = lines.get(self.position).and_then(|l| l.target.clone()) {
            out.go(target.view, Some(target.subject));
            // An older filter would hide what one came for.
            out.filter_there = (target.view == ViewId::Traces).then_some(target.filter);
        }
        true
    }

    fn click(&mut self, _: u16, y: u16, cx: &Cx<'_>, out: &mut Out) -> bool {
        let Some(page) = self.reading(cx) else { return false };
        let Some(line) = usize::from(y).checked_sub(self.head) else { return false };
        let lines = lines(page, cx);
        let position = self.offset + line;
        if lines.get(position).is_none_or(|l| l.target.is_none()) {
            return false;
        }
        if self.position == position {
            return self.update(Action::Open, cx, out);
        }
        self.position = position;
        true
    }

    fn hints(&self, _: &Cx<'_>) -> Vec<(Action, &'static str)> {
        vec![
            (Action::Open, "open"),
            (Action::ItsMap, "map"),
            (Action::ItsTraces, "traces"),
            (Action::ItsLatency, "latency"),
            (Action::ItsLogs, "logs"),
            (Action::Back, "back"),
        ]
    }

    /// Whether there is more below the last row.
    fn tally(&self, _: &Cx<'_>) -> String {
        let shown = (self.offset + self.page).min(self.total);
        if self.total > self.page { format!("to line {shown} of {}", self.total) } else { String::new() }
    }

    fn service(&self, _: &Cx<'_>) -> Option<String> {
        (!self.name.is_empty()).then(|| self.name.clone())
    }

    fn copy(&self, _: &Cx<'_>) -> Option<String> {
        (!self.name.is_empty()).then(|| self.name.clone())
    }

    fn render(&mut self, cx: &Cx<'_>, canvas: &mut Canvas<'_>) {
        let Some(page) = self.reading(cx) else {
            return blank(
                canvas,
                cx,
                Kind::Service,
                &format!("reading {} …", self.name),
                "watchfire keeps asking; :service and Tab completes the names that are known",
            );
        };
        let lines = lines(page, cx);
        // Where nobody declares anything, nothing is missing from what was declared.
        let preset = cx.readings.status().is_some_and(|s| s.platform.is_some());
        self.head = if canvas.height() < LOW { SHORT_HEAD } else { HEAD };
        head(page, cx, self.head > SHORT_HEAD, canvas);
        if lines.is_empty() {
            let dim = canvas.style(Role::Dim);
            canvas.text(3, self.head as u16 + 1, canvas.width(), "nothing is known about this service yet", dim);
            return;
        }
        self.land(&lines, true);
        let (width, height) = (canvas.width(), canvas.height());
        let rows = usize::from(height).saturating_sub(self.head);
        (self.page, self.total) = (rows, lines.len());
        self.offset = window(self.position, self.offset, rows, lines.len());
        // The heading above the first line that can be opened stays in sight.
        if self.position <= 2 {
            self.offset = 0;
        }
        for (y, (position, line)) in lines.iter().enumerate().skip(self.offset).take(rows).enumerate() {
            let mut row = canvas.part(0, (self.head + y) as u16, width, 1);
            draw(&mut row, &line.what, preset);
            if position == self.position {
                let style = row.style(Role::Selected);
                row.patch(0, 0, width, 1, style);
            }
        }
    }
}

/// Lines above the list.
const HEAD: usize = 4;
/// A page lower than this has the state and the figures only: the list is what one came for.
const LOW: u16 = 9;
const SHORT_HEAD: usize = 2;

fn head(page: &ServicePage, cx: &Cx<'_>, whole: bool, canvas: &mut Canvas<'_>) {
    let (row, now) = (&page.service, cx.now);
    let changes = cx.readings.services().map(|s| s.changes.as_slice()).unwrap_or_default();
    let deploy = changes.iter().filter(|c| c.kind == "version" && c.subject == row.name).max_by_key(|c| c.at);
    let before = deploy.map_or_else(String::new, |c| format!(", {} until {}", c.from, changes::time(c, cx.zone.moment(c.at, now))));
    let mut pen = canvas.pen(1, 0);
    pen.put(state_glyph(row.state), row.state.into())
        .gap(1)
        .name(&visible(&row.name), Role::Strong)
        .gap(2)
        .put(row.state.word(), row.state.into());
    pen.gap(2).put(&row.why.join(" · "), Role::Text);
    // A collector makes no calls of its own; it has other figures.
    match page.collector.as_ref().filter(|_| row.rate.is_none()) {
        Some(figures) => collector(figures, canvas.pen(1, 1)),
        None => calls(row, if canvas.width() < 100 { 2 } else { 3 }, canvas.pen(1, 1)),
    }
    if !whole {
        return;
    }
    let narrow = canvas.width() < 100;
    let gap = if narrow { 2 } else { 3 };
    let mut pen = canvas.pen(1, 2);
    let unknown = number::UNKNOWN;
    for (name, value) in [
        ("owner ", row.owner.clone().unwrap_or_else(|| unknown.to_owned())),
        ("version ", row.version.as_ref().map_or_else(|| unknown.to_owned(), |version| format!("{version}{before}"))),
        ("seen ", row.last_seen.map_or_else(|| unknown.to_owned(), |t| format!("{} ago", number::since(Some(t), now)))),
    ] {
        if pen.whole(&[(name, Role::Dim), (&value, Role::Text)]) {
            pen.gap(gap);
        }
    }
    // The fullest first, where there is no room for all.
    let mut resources: Vec<&(String, f64)> = page.resources.iter().collect();
    if narrow {
        resources.sort_by(|a, b| b.1.total_cmp(&a.1));
    }
    for (name, ratio) in resources.into_iter().take(4) {
        let role = if *ratio > 0.8 { Role::Degraded } else { Role::Text };
        if pen.whole(&[(name, Role::Dim), (" ", Role::Dim), (&number::percent_sign(Some(*ratio)), role)]) {
            pen.gap(2);
        }
    }
    let source = row.source.as_deref().unwrap_or(unknown);
    if pen.whole(&[("source ", Role::Dim), (source, Role::Text)]) {
        pen.gap(2);
    }
    if row.simulated {
        pen.whole(&[("simulated", Role::Banner)]);
    }
}

fn calls(row: &ServiceRow, gap: u16, mut pen: Pen<'_, '_>) {
    let percentile = |value| number::percentile(value, row.sample_count, row.sampling_ratio);
    for (name, value) in [
        ("", number::rate(row.rate)),
        ("errors ", number::percent_sign(row.error_ratio)),
        ("p50 ", percentile(row.p50_seconds)),
        ("p95 ", percentile(row.p95_seconds)),
        ("p99 ", percentile(row.p99_seconds)),
        ("from ", number::seen(row)),
    ] {
        if pen.whole(&[(name, Role::Dim), (&value, Role::Text)]) {
            pen.gap(gap);
        }
    }
    if let Some(ratio) = row.sampling_ratio.filter(|r| *r < 0.999) {
        let kept = format!("≈ {} %", number::digits(ratio * 100.0));
        let _ = pen.whole(&[(&kept, Role::Unknown), (" of traces kept", Role::Unknown)])
            || pen.whole(&[(&kept, Role::Unknown), (" kept", Role::Unknown)]);
    }
}

/// What a collector says of itself; what it lost stands out.
fn collector(figures: &CollectorFigures, mut pen: Pen<'_, '_>) {
    let queue = format!("{} of {}", number::whole(figures.queue_size), number::whole(figures.queue_capacity));
    pen.put("queue ", Role::Dim).put(&queue, Role::Text).gap(3);
    for (name, value, loss) in [
        ("accepted ", figures.accepted, false),
        ("sent ", figures.sent, false),
        ("refused ", figures.refused, true),
        ("dropped ", figures.dropped, true),
        ("queue full ", figures.enqueue_failed, true),
        ("send failed ", figures.send_failed, true),
    ] {
        let role = if loss && value.is_some_and(|v| v > 0.0) { Role::Degraded } else { Role::Text };
        pen.put(name, Role::Dim).put(&number::whole(value), role).gap(3);
    }
}

/// Names are not moved further than this from their figures, however wide the screen is.
const WIDEST_NAMES: u16 = 72;

/// Below this only rate, errors and p95 are shown: figures without the name they belong to say nothing.
const ALL_FIGURES: u16 = 64;

/// The figures that have room, and where each stands; names take what is left of them.
struct Places {
    x: u16,
    shown: Vec<(usize, u16)>,
}

impl Places {
    fn of(width: u16) -> Places {
        let kept: &[usize] = if width < ALL_FIGURES { &[0, 1, 3] } else { &[0, 1, 2, 3, 4] };
        let all: u16 = kept.iter().map(|i| FIGURES[*i].1).sum();
        let x = width.saturating_sub(all + 1).min(WIDEST_NAMES);
        let mut next = x;
        let place = |figure: &usize| {
            let at = next;
            next += FIGURES[*figure].1;
            (*figure, at)
        };
        let shown = kept.iter().map(place).collect();
        Places { x, shown }
    }

    /// Writes one of the figures, where it is shown.
    fn put(&self, canvas: &mut Canvas<'_>, figure: usize, text: &str, style: Style) {
        if let Some((_, at)) = self.shown.iter().find(|(shown, _)| *shown == figure) {
            canvas.right(*at, 0, FIGURES[figure].1, text, style);
        }
    }
}

fn draw(canvas: &mut Canvas<'_>, what: &What<'_>, preset: bool) {
    let width = canvas.width();
    let places = Places::of(width);
    let x = places.x;
    match what {
        What::Blank => {}
        What::Heading(title, figures) => {
            let style = canvas.style(Role::Heading);
            let room = if figures.is_empty() { width } else { x.saturating_sub(2) };
            canvas.text(1, 0, room, title, style);
            for (i, (name, _)) in figures.iter().enumerate() {
                places.put(canvas, i, name, style);
            }
        }
        What::Operation(o, sampling) => operation(canvas, o, *sampling, &places),
        What::Edge(edge, caller) => {
            let name = if *caller { &edge.client } else { &edge.server };
            let text = canvas.style(Role::Text);
            let used = canvas.name(3, 0, x.saturating_sub(5), name, text);
            let mut note = edge.kind.clone();
            if !edge.observed {
                note.push_str(", declared, no traffic");
            } else if !edge.declared && preset {
                note.push_str(", not declared");
            }
            let mut pen = canvas.pen(3 + used + 2, 0);
            match edge.breaker.as_deref() {
                Some(state) if is_tripped(state) => {
                    let (glyph, health) = breaker_look(state);
                    pen.put(&format!("{glyph} breaker {state}"), health.into()).gap(1);
                }
                _ => {}
            }
            if pen.x() + display_width(&note) as u16 <= x {
                pen.put(&note, Role::Dim);
            }
            let error = canvas.style(error_role(edge.error_ratio));
            places.put(canvas, RATE, &number::rate(edge.rate), text);
            places.put(canvas, ERRORS, &number::percent(edge.error_ratio), error);
            places.put(canvas, P95, &number::percentile(edge.p95_seconds, edge.sample_count, edge.sampling_ratio), text);
        }
        What::Instance(i, sampling, silent) => instance(canvas, i, *sampling, silent.as_deref(), &places),
        What::Count(count, tone, what) => {
            let tone = canvas.style(*tone);
            canvas.right(1, 0, 8, &number::count(*count as f64), tone);
            canvas.pen(11, 0).put(what, Role::Text);
        }
        What::Text { glyph, tone, name, word, detail } => {
            let names = if width >= 110 { 32 } else { 24 };
            let mut pen = canvas.pen(1, 0);
            pen.put(glyph, *tone).gap(1).column(names, name, Role::Text).gap(1).column(11, word, *tone).put(detail, Role::Text);
        }
    }
}

fn operation(canvas: &mut Canvas<'_>, o: &OperationRow, sampling: Option<f64>, places: &Places) {
    let x = places.x;
    let (text, dim) = (canvas.style(Role::Text), canvas.style(Role::Dim));
    let used = canvas.name(3, 0, x.saturating_sub(5), &o.name, text);
    if 3 + used + 2 + o.kind.len() as u16 <= x {
        canvas.text(3 + used + 2, 0, 12, &o.kind, dim);
    }
    let error = canvas.style(error_role(o.error_ratio));
    places.put(canvas, RATE, &number::rate(o.rate), text);
    places.put(canvas, ERRORS, &number::percent(o.error_ratio), error);
    for (figure, value) in [(P50, o.p50_seconds), (P95, o.p95_seconds), (P99, o.p99_seconds)] {
        places.put(canvas, figure, &number::percentile(value, o.sample_count, sampling), text);
    }
}

fn instance(canvas: &mut Canvas<'_>, i: &Instance, sampling: Option<f64>, silent: Option<&str>, places: &Places) {
    let x = places.x;
    let text = canvas.style(Role::Text);
    let name = if i.name.is_empty() { "says nothing that tells it apart" } else { &i.name };
    let used = canvas.name(3, 0, x.saturating_sub(5), name, text);
    // Which version fails is asked first.
    let mut notes: Vec<String> = silent.iter().map(|ago| format!("silent for {ago}")).collect();
    notes.extend(i.version.clone());
    notes.extend(i.place.as_ref().map(|place| format!("on {place}")));
    let mut pen = canvas.pen(3 + used + 2, 0);
    for (n, note) in notes.iter().enumerate() {
        if pen.x() + display_width(note) as u16 > x {
            break;
        }
        pen.put(note, if n == 0 && silent.is_some() { Role::Degraded } else { Role::Dim }).gap(2);
    }
    let error = canvas.style(error_role(i.error_ratio));
    places.put(canvas, RATE, &number::rate(i.rate), text);
    places.put(canvas, ERRORS, &number::percent(i.error_ratio), error);
    places.put(canvas, P95, &number::percentile(i.p95_seconds, i.sample_count, sampling), text);
}

/// A list of operations with their figures; used here and beside the heatmap.
pub(super) fn operations(canvas: &mut Canvas<'_>, operations: &[OperationRow], sampling: Option<f64>, selected: Option<usize>) {
    let (width, height) = (canvas.width(), usize::from(canvas.height()));
    draw(&mut canvas.part(0, 0, width, 1), &What::Heading("OPERATIONS", FIGURES), false);
    let rows = height.saturating_sub(1);
    let first = window(selected.unwrap_or(0), 0, rows, operations.len());
    for (y, (i, o)) in operations.iter().enumerate().skip(first).take(rows).enumerate() {
        let mut row = canvas.part(0, y as u16 + 1, width, 1);
        operation(&mut row, o, sampling, &Places::of(width));
        if selected == Some(i) {
            let style = row.style(Role::Selected);
            row.patch(0, 0, width, 1, style);
        }
    }
}
