//! Logs: the newest lines, by service and severity, with what stands round them and a jump to their trace; or templates with their count.

mod patterns;
mod sought;

use crate::action::Action;
use crate::canvas::{Canvas, visible, wrap};
use crate::effect::Effect;
use crate::filter::{ATTRIBUTES, Field, Fields};
use crate::look::Role;
use crate::number;
use crate::readings::Kind;
use crate::table::{moved, window};
use crate::view::{Cx, Out, View, blank};
use crate::views::ViewId;
use crate::zone::Zone;
use std::borrow::Cow;
use std::ops::Range;
use watchfire_model::reading::LogLine;
use watchfire_model::{Request, Timestamp};

/// Lines asked for at once.
const LIMIT: usize = 1000;
/// Lines of context on either side; more hide what was looked for.
const MOST_CONTEXT: usize = 9;
const SEVERITIES: [Option<&str>; 5] = [None, Some("DEBUG"), Some("INFO"), Some("WARN"), Some("ERROR")];

pub(crate) struct Logs {
    service: Option<String>,
    severity: usize,
    follow: bool,
    /// Templates instead of lines, and which one is selected.
    patterns: bool,
    pattern: usize,
    wrapped: bool,
    open: bool,
    /// Lines shown before and after each one that the filter lets through.
    context: usize,
    /// Lines on screen, and whether the filter lets each through or it stands beside one.
    order: Vec<usize>,
    hits: Vec<bool>,
    order_of: Option<(u64, u64, bool, usize)>,
    position: usize,
    /// The selected line, which keeps the cursor while newer ones push others out.
    held: Option<(f64, String)>,
    offset: usize,
    page: usize,
    /// Which line or template the last frame put where.
    drawn: Vec<(Range<u16>, usize)>,
}

impl Default for Logs {
    fn default() -> Self {
        Logs {
            service: None,
            severity: 0,
            follow: true,
            patterns: false,
            pattern: 0,
            wrapped: false,
            open: false,
            context: 0,
            order: Vec::new(),
            hits: Vec::new(),
            order_of: None,
            position: 0,
            held: None,
            offset: 0,
            page: 10,
            drawn: Vec::new(),
        }
    }
}

/// How loud a severity is, on OpenTelemetry's words and those of other loggers.
pub(super) fn tone(severity: &str) -> Role {
    match severity.trim_end_matches(|c: char| c.is_ascii_digit()).to_ascii_uppercase().as_str() {
        "ERROR" | "FATAL" | "CRITICAL" | "EMERGENCY" | "ALERT" | "ERR" | "SEVERE" => Role::Unhealthy,
        "WARN" | "WARNING" => Role::Degraded,
        "TRACE" | "DEBUG" => Role::Faint,
        _ => Role::Dim,
    }
}

impl Fields for LogLine {
    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "service" => Field::text(&self.service),
            "severity" | "level" => Field::text(&self.severity),
            "body" | "message" => Field::text(&self.body),
            "trace" => Field::text(self.trace_id.as_deref().unwrap_or("")),
            "error" => Field::Flag(tone(&self.severity) == Role::Unhealthy),
            attribute => return self.attributes.get(attribute).map(|v| Field::text(v)),
        })
    }

    fn words(&self) -> Vec<Cow<'_, str>> {
        [&self.service, &self.severity, &self.body].map(|t| Cow::Borrowed(t.as_str())).to_vec()
    }
}

impl Logs {
    fn refresh(&mut self, cx: &Cx<'_>) {
        // Nothing stands round a line where all are shown.
        if cx.filter.is_empty() && !cx.faults_only {
            self.context = 0;
        }
        let lines = lines(cx);
        let stamp = Some((cx.readings.generation(Kind::Logs), cx.filter_stamp, cx.faults_only, self.context));
        if self.order_of != stamp {
            self.order_of = stamp;
            let loud = |l: &LogLine| matches!(tone(&l.severity), Role::Unhealthy | Role::Degraded);
            let hits: Vec<bool> = lines.iter().map(|l| cx.filter.accepts(l) && (!cx.faults_only || loud(l))).collect();
            let beside = |i: usize| hits[i.saturating_sub(self.context)..(i + self.context + 1).min(hits.len())].contains(&true);
            self.order = (0..lines.len()).filter(|i| hits[*i] || self.context > 0 && beside(*i)).collect();
            self.hits = self.order.iter().map(|i| hits[*i]).collect();
            if let Some((time, body)) = self.held.as_ref().filter(|_| !self.follow) {
                let of = |p: usize| &lines[self.order[p]];
                let first = self.order.partition_point(|i| lines[*i].time < *time);
                let same = (first..self.order.len()).take_while(|p| of(*p).time <= *time).find(|p| of(*p).body == *body);
                self.position = same.unwrap_or(first);
            }
        }
        let last = self.order.len().saturating_sub(1);
        self.position = if self.follow { last } else { self.position.min(last) };
    }

    /// Remembers which line the cursor stands on.
    fn hold(&mut self, cx: &Cx<'_>) {
        self.held = self.selected(cx).map(|l| (l.time, l.body.clone()));
    }

    fn selected<'a>(&self, cx: &Cx<'a>) -> Option<&'a LogLine> {
        self.order.get(self.position).and_then(|i| lines(cx).get(*i))
    }
}

impl View for Logs {
    fn wants(&self, cx: &Cx<'_>) -> Vec<Request> {
        vec![Request::Logs(self.query(cx))]
    }

    fn open(&mut self, subject: Option<&str>) {
        if self.service.as_deref() != subject {
            self.follow = true;
            self.open = false;
        }
        self.service = subject.map(str::to_owned);
    }

    fn crumbs(&self) -> Vec<String> {
        let severity = SEVERITIES[self.severity].map(|s| format!("{s} and louder"));
        let patterns = self.patterns.then(|| "patterns".to_owned());
        let context = (self.context > 0 && !self.patterns)
            .then(|| format!("with {} line{} round each", self.context, if self.context == 1 { "" } else { "s" }));
        let wrapped = (self.wrapped && !self.patterns).then(|| "long lines on several rows".to_owned());
        severity.into_iter().chain(patterns).chain(context).chain(wrapped).collect()
    }

    fn fields(&self) -> &'static [&'static str] {
        &["service", "severity", "level", "body", "message", "trace", "error", ATTRIBUTES]
    }

    fn update(&mut self, action: Action, cx: &Cx<'_>, out: &mut Out) -> bool {
        self.refresh(cx);
        if self.patterns && self.choose_pattern(action, cx, out) {
            return true;
        }
        let last = self.order.len().saturating_sub(1);
        if let Some(to) = moved(action, self.position, self.page, last) {
            self.position = to;
            self.follow = to == last && action != Action::Up;
            self.hold(cx);
            return true;
        }
        match action {
            Action::Follow => {
                self.follow = !self.follow;
                self.hold(cx);
            }
            Action::Patterns => self.patterns = !self.patterns,
            Action::Wrap => self.wrapped = !self.wrapped,
            Action::Severity => {
                self.severity = (self.severity + 1) % SEVERITIES.len();
                out.effects.push(Effect::Refresh);
            }
            Action::MoreHops if cx.filter.is_empty() && !cx.faults_only => {
                out.refuse("all lines are shown; / filters, + then shows what stands round each line");
            }
            Action::MoreHops | Action::FewerHops => {
                if !self.follow {
                    self.hold(cx);
                }
                let more = action == Action::MoreHops;
                self.context = if more { (self.context + 1).min(MOST_CONTEXT) } else { self.context.saturating_sub(1) };
                out.effects.push(Effect::Refresh);
            }
            Action::Open => match self.selected(cx).and_then(|l| l.trace_id.clone()) {
                Some(id) if self.open => out.go(ViewId::Traces, Some(format!("id:{id}"))),
                _ => self.open = !self.open,
            },
            Action::ItsTraces => match self.selected(cx).and_then(|l| l.trace_id.clone()) {
                Some(id) => out.go(ViewId::Traces, Some(format!("id:{id}"))),
                None => out.refuse("this line belongs to no trace"),
            },
            _ => return false,
        }
        true
    }

    fn click(&mut self, _: u16, y: u16, cx: &Cx<'_>, out: &mut Out) -> bool {
        self.refresh(cx);
        let Some(hit) = self.drawn.iter().find(|(lines, _)| lines.contains(&y)).map(|(_, row)| *row) else { return false };
        let selected = if self.patterns { &mut self.pattern } else { &mut self.position };
        let again = std::mem::replace(selected, hit) == hit;
        if !self.patterns {
            self.follow = false;
            self.hold(cx);
        }
        again && self.update(Action::Open, cx, out)
    }

    fn back(&mut self) -> bool {
        std::mem::take(&mut self.open) || std::mem::take(&mut self.patterns)
    }

    fn problem(&mut self, forward: bool, cx: &Cx<'_>) -> bool {
        self.refresh(cx);
        let lines = lines(cx);
        let hit = |p: &usize| tone(&lines[self.order[*p]].severity) == Role::Unhealthy;
        let found = if forward {
            (self.position + 1..self.order.len()).find(hit)
        } else {
            (0..self.position.min(self.order.len())).rev().find(hit)
        };
        if let Some(position) = found {
            self.position = position;
            self.follow = false;
            self.hold(cx);
        }
        found.is_some()
    }

    fn hints(&self, cx: &Cx<'_>) -> Vec<(Action, &'static str)> {
        if self.patterns {
            return vec![(Action::Open, "its lines"), (Action::Patterns, "all lines"), (Action::Severity, "severity")];
        }
        let traced = self.selected(cx).is_some_and(|l| l.trace_id.is_some());
        let mut hints = Vec::new();
        if self.selected(cx).is_some() {
            hints.push((Action::Open, if self.open && traced { "trace" } else { "whole line" }));
        }
        if traced {
            hints.push((Action::ItsTraces, "trace"));
        }
        if !cx.filter.is_empty() || cx.faults_only {
            hints.push((Action::MoreHops, if self.context > 0 { "more context" } else { "context" }));
        }
        hints.extend([
            (Action::Follow, if self.follow { "stop" } else { "follow" }),
            (Action::Severity, "severity"),
            (Action::Patterns, "patterns"),
            (Action::Wrap, if self.wrapped { "cut" } else { "wrap" }),
        ]);
        hints
    }

    fn tally(&self, cx: &Cx<'_>) -> String {
        let follow = if self.follow { "following  " } else { "" };
        if self.patterns {
            let (patterns, of) = cx.readings.logs().map_or((0, 0), |l| (l.patterns.len(), l.patterns_of));
            return format!("{patterns} patterns of the newest {}", number::count(of as f64));
        }
        let (hits, all) = (self.hits.iter().filter(|hit| **hit).count(), lines(cx).len());
        let newest = if all >= LIMIT { "the newest " } else { "" };
        format!("{follow}{hits} of {newest}{all}")
    }

    fn service(&self, cx: &Cx<'_>) -> Option<String> {
        self.selected(cx).map(|l| l.service.clone())
    }

    fn export(&self, _: &str, cx: &Cx<'_>) -> Result<(String, String), String> {
        let mut csv = String::from("time,service,severity,body,trace_id\n");
        let held = lines(cx);
        for line in self.order.iter().filter_map(|index| held.get(*index)) {
            let time = line.time.to_string();
            csv.push_str(&super::csv_line(
                &[&time, &line.service, &line.severity, &line.body, line.trace_id.as_deref().unwrap_or("")],
                &[],
            ));
        }
        Ok(("logs.csv".to_owned(), csv))
    }

    fn copy(&self, cx: &Cx<'_>) -> Option<String> {
        self.selected(cx).map(|l| format!("{} {} {} {}", cx.zone.clock_millis(l.time), l.service, l.severity, l.body))
    }

    fn render(&mut self, cx: &Cx<'_>, canvas: &mut Canvas<'_>) {
        self.refresh(cx);
        self.drawn.clear();
        if self.patterns {
            return self.draw_patterns(cx, canvas);
        }
        if self.order.is_empty() {
            return blank(canvas, cx, Kind::Logs, "no log lines held", "OTLP logs appear here, linked to their traces");
        }
        let (width, height) = (canvas.width(), canvas.height());
        let lines = lines(cx);
        let detail: Vec<String> =
            if self.open { self.selected(cx).map(|l| whole(l, cx.zone, width)).unwrap_or_default() } else { Vec::new() };
        let below = (detail.len() as u16 + u16::from(!detail.is_empty())).min(height / 2);
        let rows = height - below;
        self.page = usize::from(rows);
        if self.wrapped {
            self.draw_wrapped(lines, &mut canvas.part(0, 0, width, rows));
        } else {
            self.offset = window(self.position, self.offset, usize::from(rows), self.order.len());
            for (y, position) in (self.offset..self.order.len()).take(usize::from(rows)).enumerate() {
                self.drawn.push((y as u16..y as u16 + 1, position));
                let mut part = canvas.part(0, y as u16, width, 1);
                let line = &lines[self.order[position]];
                let x = head(&mut part, line);
                let style = part.style(if self.hits[position] { Role::Text } else { Role::Faint });
                part.text(x, 0, width.saturating_sub(x + 1), &line.body, style);
                if position == self.position {
                    let style = part.style(Role::Selected);
                    part.patch(0, 0, width, 1, style);
                }
            }
        }
        for (i, text) in detail.iter().take(usize::from(below.saturating_sub(1))).enumerate() {
            canvas.pen(1, rows + 1 + i as u16).put(text, if i == 0 { Role::Strong } else { Role::Text });
        }
    }
}

impl Logs {
    /// From the selected line upwards, as many as fit.
    fn draw_wrapped(&mut self, lines: &[LogLine], canvas: &mut Canvas<'_>) {
        let (width, height) = (canvas.width(), canvas.height());
        let mut bottom = height;
        let mut position = self.position;
        loop {
            let line = &lines[self.order[position]];
            let pieces = wrap(&line.body, width.saturating_sub(38), 6);
            let tall = pieces.len().max(1) as u16;
            let top = bottom.saturating_sub(tall);
            self.drawn.push((top..bottom, position));
            let x = head(&mut canvas.part(0, top, width, 1), line);
            // The topmost line may begin above the screen; it must not run into the one below it.
            let role = if self.hits[position] { Role::Text } else { Role::Faint };
            for (i, piece) in pieces.iter().take(usize::from(bottom - top)).enumerate() {
                canvas.pen(x, top + i as u16).put(piece, role);
            }
            if position == self.position {
                let style = canvas.style(Role::Selected);
                canvas.patch(0, top, width, bottom - top, style);
            }
            bottom = top;
            if bottom == 0 || position == 0 {
                self.offset = position;
                return;
            }
            position -= 1;
        }
    }
}

/// Below this milliseconds, all but the first letter of a severity and the sign of a trace make room for the text.
const NARROW: u16 = 60;

/// Time, severity, service, and a sign where there is a trace. Returns where the text begins.
fn head(canvas: &mut Canvas<'_>, line: &LogLine) -> u16 {
    // What it says needs the room where there is little; Enter shows all of it.
    if canvas.width() < NARROW {
        let at = canvas.zone().clock(Timestamp::from_seconds(line.time));
        let level = line.severity.get(..1).unwrap_or("");
        let mut pen = canvas.pen(1, 0);
        pen.column(9, &at, Role::Dim).column(2, level, tone(&line.severity));
        let x = pen.x();
        let style = canvas.style(Role::Accent);
        canvas.name(x, 0, 8, &visible(&line.service), style);
        return x + 9;
    }
    let at = canvas.zone().clock_millis(line.time);
    let mut pen = canvas.pen(1, 0);
    pen.column(13, &at, Role::Dim);
    pen.column(6, &line.severity, tone(&line.severity));
    pen.column(2, if line.trace_id.is_some() { "→" } else { "" }, Role::Accent);
    let mut part_x = pen.x();
    let style = canvas.style(Role::Accent);
    canvas.text(part_x, 0, 15, &visible(&line.service), style);
    part_x += 16;
    part_x
}

fn whole(line: &LogLine, zone: Zone, width: u16) -> Vec<String> {
    let mut out = vec![format!("{} {} {}", zone.clock_millis(line.time), line.severity, line.service)];
    out.extend(wrap(&line.body, width.saturating_sub(2), 8));
    if let Some(trace) = &line.trace_id {
        out.push(format!("trace {trace}  (t opens it)"));
    }
    out.extend(line.attributes.iter().take(20).map(|(k, v)| format!("{k} = {v}")));
    out
}

fn lines<'a>(cx: &Cx<'a>) -> &'a [LogLine] {
    cx.readings.logs().map(|l| l.logs.as_slice()).unwrap_or_default()
}
