//! Alerts by cause: what is at fault first, what it explains beneath it. Detail, silence, acknowledge, and the rule lab.

mod detail;
mod lab;

use crate::action::Action;
use crate::canvas::Canvas;
use crate::effect::Effect;
use crate::filter::{Field, Fields};
use crate::look::{Role, severity_glyph, severity_state};
use crate::number;
use crate::readings::Kind;
use crate::table::window;
use crate::view::{Ask, Cx, Out, View, blank};
use crate::views::ViewId;
use lab::Lab;
use std::borrow::Cow;
use watchfire_model::reading::{Alert, AlertState, Alerts as Reading, Command, Silence};
use watchfire_model::{Request, parse_duration};

#[derive(Default)]
pub(crate) struct Alerts {
    selected: Option<String>,
    /// Where the selected alert stands, used when it is gone.
    position: usize,
    offset: usize,
    page: usize,
    history: bool,
    level: Level,
    lines: Vec<Line>,
    stamp: Option<(u64, u64, bool, bool)>,
    rewound: bool,
}

#[derive(Default)]
enum Level {
    #[default]
    List,
    Detail,
    Lab(Lab),
}

/// One line of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Line {
    Alert {
        index: usize,
        /// Beneath its cause: whether it is the last one.
        child: Option<bool>,
    },
    /// A sentence about the alert of that index.
    Note(usize, Note),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Note {
    Summary,
    Evidence,
}

impl Fields for Alert {
    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "alert" | "name" => Field::text(&self.name),
            "severity" => Field::text(self.severity.word()),
            "state" => Field::text(state_word(self)),
            "service" => Field::text(subject(self)),
            "group" => Field::text(&self.group),
            "value" => Field::Number(self.value),
            "silenced" => Field::Flag(self.silenced),
            "acknowledged" => Field::Flag(self.acknowledged_by.is_some()),
            "notified" => Field::Flag(self.notified),
            "firing" | "error" => Field::Flag(self.state == AlertState::Firing),
            "pending" => Field::Flag(self.state == AlertState::Pending),
            label => Field::text(self.labels.get(label.strip_prefix("label.")?).unwrap_or("")),
        })
    }

    fn words(&self) -> Vec<Cow<'_, str>> {
        let mut words: Vec<Cow<'_, str>> = vec![Cow::Borrowed(&self.name), Cow::Borrowed(self.severity.word())];
        words.extend(self.labels.iter().map(|l| Cow::Borrowed(&*l.value)));
        words
    }
}

/// What an alert is about: its service, or the nearest to one among its labels.
pub(super) fn subject(alert: &Alert) -> &str {
    const LABELS: [&str; 8] = ["service", "service_name", "queue", "breaker", "server", "job", "instance", "client"];
    LABELS.iter().map(|l| alert.labels.value(l)).find(|v| !v.is_empty()).unwrap_or("")
}

pub(super) fn state_word(alert: &Alert) -> &'static str {
    match alert.state {
        AlertState::Firing => "firing",
        AlertState::Pending => "pending",
        AlertState::Resolved => "resolved",
    }
}

/// Who has it, or why nobody has.
fn notified(alert: &Alert) -> String {
    if alert.cause.is_some() && alert.state == AlertState::Firing && !alert.notified {
        return "held: cause above".to_owned();
    }
    if alert.silenced {
        return "silenced".to_owned();
    }
    match (alert.notified_by.as_slice(), alert.notified) {
        ([], true) => "yes".to_owned(),
        ([], false) if alert.state == AlertState::Firing => "not yet".to_owned(),
        ([], false) => number::UNKNOWN.to_owned(),
        (paths, _) => paths.join(", "),
    }
}

fn identity(alert: &Alert) -> String {
    if alert.fingerprint.is_empty() {
        let labels: Vec<String> = alert.labels.iter().map(|l| format!("{}={}", l.name, l.value)).collect();
        return format!("{} {}", alert.name, labels.join(","));
    }
    alert.fingerprint.clone()
}

/// Causes first by how bad and how old they are; each is followed by what it explains.
fn arrange(reading: &Reading, cx: &Cx<'_>, history: bool) -> Vec<Line> {
    let alerts = &reading.alerts;
    let shown = |a: &Alert| {
        (history || a.state != AlertState::Resolved) && cx.filter.accepts(a) && (!cx.faults_only || a.state == AlertState::Firing)
    };
    let mut order: Vec<usize> = (0..alerts.len()).filter(|i| shown(&alerts[*i])).collect();
    order.sort_by_key(|i| {
        let a = &alerts[*i];
        (a.state, std::cmp::Reverse(a.severity), a.acknowledged_by.is_some(), a.active_at)
    });
    let explained_by = |child: &Alert, parent: &Alert| {
        child.state != AlertState::Resolved
            && parent.state != AlertState::Resolved
            && child.cause.as_ref().is_some_and(|c| c.alert == parent.name && (c.service.is_empty() || c.service == subject(parent)))
    };
    let mut parent: Vec<Option<usize>> = vec![None; alerts.len()];
    for i in &order {
        if alerts[*i].cause.is_some() {
            parent[*i] = order.iter().copied().find(|p| p != i && explained_by(&alerts[*i], &alerts[*p]));
        }
    }
    // A cause may itself be explained; what stands at the end of the chain is the cause of all.
    let root = |mut i: usize| {
        for _ in 0..64 {
            match parent[i] {
                Some(p) => i = p,
                None => return i,
            }
        }
        i
    };
    let roots: Vec<usize> = order.iter().map(|i| root(*i)).collect();
    let mut lines = Vec::new();
    for (i, own_root) in order.iter().zip(&roots) {
        if i != own_root {
            continue;
        }
        lines.push(Line::Alert { index: *i, child: None });
        let alert = &alerts[*i];
        if alert.state == AlertState::Firing {
            lines.push(Line::Note(*i, Note::Summary));
            if alert.evidence.as_ref().is_some_and(|e| !e.trace_ids.is_empty() || !e.surroundings.is_empty()) {
                lines.push(Line::Note(*i, Note::Evidence));
            }
        }
        let children: Vec<usize> = order.iter().zip(&roots).filter(|(c, r)| *r == i && *c != i).map(|(c, _)| *c).collect();
        for (n, child) in children.iter().enumerate() {
            lines.push(Line::Alert { index: *child, child: Some(n + 1 == children.len()) });
        }
    }
    // Chains that run in a circle have no end; they are shown all the same.
    for (i, own_root) in order.iter().zip(&roots) {
        if parent[*own_root].is_some() && !lines.iter().any(|l| matches!(l, Line::Alert { index, .. } if index == i)) {
            lines.push(Line::Alert { index: *i, child: None });
        }
    }
    lines
}

impl Alerts {
    fn refresh(&mut self, cx: &Cx<'_>) {
        let Some(reading) = cx.readings.alerts() else { return };
        let stamp = Some((cx.readings.generation(Kind::Alerts), cx.filter_stamp, self.history, cx.faults_only));
        if self.stamp != stamp {
            self.stamp = stamp;
            self.lines = arrange(reading, cx, self.history);
        }
        let found = self.lines.iter().position(
            |l| matches!(l, Line::Alert { index, .. } if self.selected.as_ref().is_some_and(|s| *s == identity(&reading.alerts[*index]) || *s == reading.alerts[*index].name)),
        );
        match found {
            Some(position) => self.position = position,
            None if self.position >= self.lines.len() => self.position = 0,
            None => {}
        }
        // The cursor stands on alerts, not on what is said about them.
        while self.position > 0 && matches!(self.lines.get(self.position), Some(Line::Note(..))) {
            self.position -= 1;
        }
        if let Some(Line::Alert { index, .. }) = self.lines.get(self.position) {
            self.selected = Some(identity(&reading.alerts[*index]));
        }
    }

    fn selected<'a>(&self, cx: &Cx<'a>) -> Option<&'a Alert> {
        let alerts = &cx.readings.alerts()?.alerts;
        match self.lines.get(self.position)? {
            Line::Alert { index, .. } | Line::Note(index, _) => alerts.get(*index),
        }
    }

    fn step(&mut self, forward: bool, count: usize, cx: &Cx<'_>) {
        for _ in 0..count {
            let is_alert = |p: &usize| matches!(self.lines.get(*p), Some(Line::Alert { .. }));
            let next = if forward { (self.position + 1..self.lines.len()).find(is_alert) } else { (0..self.position).rev().find(is_alert) };
            let Some(next) = next else { break };
            self.position = next;
        }
        self.remember(cx);
    }

    fn remember(&mut self, cx: &Cx<'_>) {
        self.selected = self.selected(cx).map(identity);
    }

    fn move_by(&mut self, action: Action, cx: &Cx<'_>) -> bool {
        let page = self.page.max(1);
        match action {
            Action::Up => self.step(false, 1, cx),
            Action::Down => self.step(true, 1, cx),
            Action::PageUp => self.step(false, page, cx),
            Action::PageDown => self.step(true, page, cx),
            Action::HalfUp => self.step(false, page / 2, cx),
            Action::HalfDown => self.step(true, page / 2, cx),
            Action::Top => self.step(false, usize::MAX, cx),
            Action::Bottom => self.step(true, usize::MAX, cx),
            _ => return false,
        }
        true
    }

    fn silence(&self, text: &str, cx: &Cx<'_>, out: &mut Out) {
        let Some(alert) = self.selected(cx) else { return out.say("no alert is selected") };
        let (duration, comment) = text.split_once(' ').unwrap_or((text, ""));
        let Ok(duration) = parse_duration(duration) else {
            return out.say(format!("`{duration}` is not a duration; write 30m, 2h or 1d and a comment"));
        };
        let mut matchers = vec![("alertname".to_owned(), "=".to_owned(), alert.name.clone())];
        for label in ["service", "service_name", "queue", "breaker", "job", "instance"] {
            if let Some(value) = alert.labels.get(label) {
                matchers.push((label.to_owned(), "=".to_owned(), value.to_owned()));
            }
        }
        out.effects.push(Effect::Command(Command::Silence(Silence {
            id: String::new(),
            matchers,
            starts_at: cx.now,
            ends_at: cx.now.saturating_add(duration),
            created_by: String::new(),
            comment: comment.trim().to_owned(),
        })));
    }
}

/// The silence that covers an alert, when one does.
pub(super) fn silence_of<'a>(alert: &Alert, reading: &'a Reading) -> Option<&'a Silence> {
    let holds = |(name, sign, value): &(String, String, String)| {
        let have = if name == "alertname" { alert.name.as_str() } else { alert.labels.value(name) };
        match sign.as_str() {
            "=" => have == value,
            "!=" => have != value,
            "=~" | "!~" => regex::Regex::new(&format!("^(?:{value})$")).is_ok_and(|r| r.is_match(have) == (sign == "=~")),
            _ => false,
        }
    };
    reading.silences.iter().find(|s| s.matchers.iter().all(holds))
}

impl View for Alerts {
    fn wants(&self, cx: &Cx<'_>) -> Vec<Request> {
        let mut wants = vec![Request::Alerts];
        if let Level::Lab(lab) = &self.level {
            wants.extend(lab.wants(cx));
        }
        wants
    }

    fn open(&mut self, subject: Option<&str>) {
        if let Some(name) = subject {
            self.selected = Some(name.to_owned());
            self.stamp = None;
        }
    }

    fn crumbs(&self) -> Vec<String> {
        match &self.level {
            Level::List if self.history => vec!["with resolved".to_owned()],
            Level::List => Vec::new(),
            Level::Detail => vec!["why".to_owned()],
            Level::Lab(lab) => vec![format!("rule lab {}", lab.name)],
        }
    }

    fn fields(&self) -> &'static [&'static str] {
        &["alert", "severity", "state", "service", "group", "value", "silenced", "acknowledged", "notified", "firing", "pending", "error"]
    }

    fn update(&mut self, action: Action, cx: &Cx<'_>, out: &mut Out) -> bool {
        self.refresh(cx);
        if let Level::Lab(lab) = &mut self.level
            && lab.update(action, cx, out)
        {
            return true;
        }
        let selected = self.selected(cx);
        match (action, selected) {
            (Action::Open, Some(alert)) => match self.level {
                Level::List => self.level = Level::Detail,
                _ => {
                    if let Some(id) = alert.evidence.as_ref().and_then(|e| e.trace_ids.first()) {
                        out.go(ViewId::Traces, Some(format!("id:{id}")));
                    }
                }
            },
            (Action::ItsTraces, Some(alert)) => match alert.evidence.as_ref().and_then(|e| e.trace_ids.first()) {
                Some(id) => out.go(ViewId::Traces, Some(format!("id:{id}"))),
                None => return false,
            },
            (Action::Silence, Some(alert)) => {
                let active = cx.readings.alerts().and_then(|r| silence_of(alert, r));
                match active {
                    Some(silence) => {
                        out.effects.push(Effect::Command(Command::ExpireSilence { id: silence.id.clone() }));
                    }
                    None => {
                        let label = format!("silence {} for (and why)", alert.name);
                        out.ask = Some(Ask { topic: "silence", label, text: "1h ".to_owned(), promql: false });
                    }
                }
            }
            (Action::Acknowledge, Some(alert)) => {
                out.effects.push(Effect::Command(Command::Acknowledge {
                    fingerprint: alert.fingerprint.clone(),
                    by: String::new(),
                    until: None,
                }));
            }
            (Action::RuleLab, Some(alert)) => {
                self.level = Level::Lab(Lab::of(alert));
                out.effects.push(Effect::Refresh);
            }
            (Action::Url, Some(alert)) => {
                let url = alert.annotations.value("runbook_url");
                if url.is_empty() {
                    out.say("this alert has no runbook_url");
                } else {
                    out.effects.push(Effect::OpenUrl(url.to_owned()));
                }
            }
            (Action::History, _) => self.history = !self.history,
            _ => return self.move_by(action, cx),
        }
        true
    }

    fn click(&mut self, _: u16, y: u16, cx: &Cx<'_>, _: &mut Out) -> bool {
        if matches!(self.level, Level::List) && y > 0 {
            let position = self.offset + usize::from(y) - 1;
            if position < self.lines.len() {
                self.position = position;
                self.remember(cx);
                return true;
            }
        }
        false
    }

    fn answer(&mut self, topic: &'static str, text: &str, cx: &Cx<'_>, out: &mut Out) {
        self.refresh(cx);
        match (topic, &mut self.level) {
            ("silence", _) => self.silence(text, cx, out),
            ("acknowledge", _) => {
                if let Some(alert) = self.selected(cx) {
                    let (fingerprint, by) = (alert.fingerprint.clone(), text.to_owned());
                    out.effects.push(Effect::Command(Command::Acknowledge { fingerprint, by, until: None }));
                }
            }
            (topic, Level::Lab(lab)) => lab.answer(topic, text, out),
            _ => {}
        }
    }

    fn back(&mut self) -> bool {
        match self.level {
            Level::List => std::mem::take(&mut self.history),
            _ => {
                self.level = Level::List;
                true
            }
        }
    }

    fn problem(&mut self, forward: bool, cx: &Cx<'_>) -> bool {
        self.refresh(cx);
        let Some(reading) = cx.readings.alerts() else { return false };
        let rewound = std::mem::take(&mut self.rewound);
        let fires =
            |p: &usize| matches!(self.lines[*p], Line::Alert { index, child: None } if reading.alerts[index].state == AlertState::Firing);
        let count = self.lines.len();
        let found = match (forward, rewound) {
            (true, true) => (0..count).find(fires),
            (true, false) => (self.position + 1..count).find(fires),
            (false, true) => (0..count).rev().find(fires),
            (false, false) => (0..self.position.min(count)).rev().find(fires),
        };
        if let Some(position) = found {
            self.position = position;
            self.remember(cx);
        }
        found.is_some()
    }

    fn rewind(&mut self) {
        self.rewound = true;
    }

    fn hints(&self, cx: &Cx<'_>) -> Vec<(Action, &'static str)> {
        if let Level::Lab(_) = self.level {
            return Lab::hints();
        }
        let silenced = self.selected(cx).is_some_and(|a| a.silenced);
        let mut hints = vec![
            (Action::Open, if matches!(self.level, Level::List) { "why" } else { "trace" }),
            (Action::Silence, if silenced { "end silence" } else { "silence" }),
            (Action::Acknowledge, "acknowledge"),
            (Action::RuleLab, "rule lab"),
            (Action::ItsTraces, "traces"),
        ];
        if self.selected(cx).is_some_and(|a| !a.annotations.value("runbook_url").is_empty()) {
            hints.push((Action::Url, "runbook"));
        }
        if matches!(self.level, Level::List) {
            hints.push((Action::History, "history"));
        }
        hints
    }

    fn tally(&self, cx: &Cx<'_>) -> String {
        let Some(reading) = cx.readings.alerts() else { return String::new() };
        let firing = reading.alerts.iter().filter(|a| a.state == AlertState::Firing).count();
        format!("{firing} firing, {} rules", reading.rules)
    }

    fn service(&self, cx: &Cx<'_>) -> Option<String> {
        self.selected(cx).map(|a| subject(a).to_owned()).filter(|s| !s.is_empty())
    }

    fn copy(&self, cx: &Cx<'_>) -> Option<String> {
        let alert = self.selected(cx)?;
        let summary = alert.annotations.value("summary");
        Some(format!(
            "{} {} {} since {} {summary}\n{}",
            alert.name,
            subject(alert),
            state_word(alert),
            number::since(alert.active_at, cx.now),
            alert.expression
        ))
    }

    fn render(&mut self, cx: &Cx<'_>, canvas: &mut Canvas<'_>) {
        let Some(reading) = cx.readings.alerts() else {
            return blank(canvas, cx, Kind::Alerts, "", "");
        };
        self.refresh(cx);
        match &mut self.level {
            Level::Lab(lab) => return lab.render(cx, canvas),
            Level::Detail => {
                if let Some(alert) = self.selected(cx) {
                    return detail::render(alert, reading, cx, canvas);
                }
                self.level = Level::List;
            }
            Level::List => {}
        }
        let mut top = 0;
        for (group, rule, error) in reading.broken_rules.iter().take(3) {
            let mut pen = canvas.pen(1, top);
            pen.put("▲ rule ", Role::Degraded)
                .put(rule, Role::Strong)
                .put(&format!(" in {group} cannot be evaluated: {error}"), Role::Text);
            top += 1;
        }
        let (width, height) = (canvas.width(), canvas.height());
        let mut body = canvas.part(0, top, width, height - top.min(height));
        if self.lines.is_empty() {
            let none = if reading.rules == 0 { "no rules loaded" } else { "nothing fires" };
            let advice = if reading.rules == 0 {
                "watchfire --rules FILE reads Prometheus rule files".to_owned()
            } else {
                let at =
                    reading.last_evaluation.map_or_else(|| "not evaluated yet".to_owned(), |t| format!("evaluated {}", number::clock(t)));
                format!("{} rules, {at}; H shows what was resolved", reading.rules)
            };
            return blank(&mut body, cx, Kind::Alerts, none, &advice);
        }
        self.list(reading, cx, &mut body);
    }
}

impl Alerts {
    fn list(&mut self, reading: &Reading, cx: &Cx<'_>, canvas: &mut Canvas<'_>) {
        let (width, height) = (canvas.width(), canvas.height());
        // Name, subject, since, notified, state; the rest is for words.
        let state_width = 9;
        let notified_width = match width {
            100.. => 22,
            64.. => 18,
            _ => 0,
        };
        let since_width = 7;
        let fixed = since_width + notified_width + state_width + 8;
        let names = width.saturating_sub(fixed);
        let name_width = names * 5 / 9;
        let columns = [1, 1 + name_width + 2, 1 + names + 1, 1 + names + since_width + 3, 1 + names + since_width + notified_width + 5];
        let heading = canvas.style(Role::Heading);
        canvas.text(columns[0], 0, name_width, "CAUSE", heading);
        canvas.right(columns[2], 0, since_width, "SINCE", heading);
        canvas.text(columns[3], 0, notified_width, "NOTIFIED", heading);
        canvas.text(columns[4], 0, state_width, "STATE", heading);
        let rows = usize::from(height.saturating_sub(1));
        self.page = rows;
        self.offset = window(self.position, self.offset, rows, self.lines.len());
        for (line, (position, entry)) in self.lines.iter().enumerate().skip(self.offset).take(rows).enumerate() {
            let y = line as u16 + 1;
            let mut row = canvas.part(0, y, width, 1);
            match entry {
                Line::Note(index, note) => note_line(&mut row, &reading.alerts[*index], *note),
                Line::Alert { index, child } => {
                    let alert = &reading.alerts[*index];
                    let state = severity_state(alert.severity).into();
                    let tone = match alert.state {
                        AlertState::Firing => state,
                        _ => Role::Dim,
                    };
                    let mut pen = row.pen(columns[0], 0);
                    match child {
                        Some(true) => {
                            pen.put("  └ ", Role::Faint);
                        }
                        Some(false) => {
                            pen.put("  ├ ", Role::Faint);
                        }
                        None => {}
                    }
                    pen.put(severity_glyph(alert.severity), tone).gap(1);
                    let left = pen.x();
                    let strong = row.style(if child.is_none() && alert.state == AlertState::Firing { Role::Strong } else { Role::Text });
                    row.text(left, 0, columns[1].saturating_sub(left + 1), &alert.name, strong);
                    let text = row.style(Role::Text);
                    row.text(columns[1], 0, names.saturating_sub(name_width + 2), subject(alert), text);
                    let since = alert.resolved_at.filter(|_| alert.state == AlertState::Resolved).or(alert.active_at);
                    row.right(columns[2], 0, since_width, &number::since(since, cx.now), text);
                    let dim = row.style(Role::Dim);
                    row.text(columns[3], 0, notified_width, &notified(alert), dim);
                    let word = match (&alert.acknowledged_by, alert.silenced) {
                        (Some(_), _) if alert.state == AlertState::Firing => "acked",
                        (_, true) if alert.state == AlertState::Firing => "silenced",
                        _ => state_word(alert),
                    };
                    let tone = row.style(tone);
                    row.text(columns[4], 0, state_width, word, tone);
                    if position == self.position {
                        let style = row.style(Role::Selected);
                        row.patch(0, 0, width, 1, style);
                    }
                }
            }
        }
    }
}

/// What is said beneath a cause.
fn note_line(canvas: &mut Canvas<'_>, alert: &Alert, note: Note) {
    match note {
        Note::Summary => {
            let mut words: Vec<String> = Vec::new();
            let summary = alert.annotations.value("summary");
            if !summary.is_empty() {
                words.push(summary.to_owned());
            } else if let Some(value) = alert.value {
                words.push(detail::value_sentence(alert, value));
            }
            if let Some(evidence) = &alert.evidence {
                words.extend(evidence.surroundings.iter().take(2).cloned());
            }
            if let Some(by) = &alert.acknowledged_by {
                words.push(format!("acknowledged by {by}"));
            }
            canvas.pen(3, 0).put(&words.join(" · "), Role::Text);
        }
        Note::Evidence => {
            let Some(evidence) = &alert.evidence else { return };
            let mut pen = canvas.pen(3, 0);
            pen.put("evidence  ", Role::Dim);
            if !evidence.trace_ids.is_empty() {
                let plural = if evidence.trace_ids.len() == 1 { "" } else { "s" };
                pen.put(&format!("{} trace{plural}  ", evidence.trace_ids.len()), Role::Text);
            }
            pen.put(evidence.top_operation.as_deref().unwrap_or(""), Role::Text);
        }
    }
}
