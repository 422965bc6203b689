//! Alerts by cause: what is at fault first, what it explains beneath it. Detail, silence, acknowledge, and the rule lab.

mod detail;
mod lab;
mod lead;
mod list;
mod silencing;
mod words;

use crate::action::Action;
use crate::canvas::Canvas;
use crate::effect::Effect;
use crate::look::Role;
use crate::number;
use crate::readings::Kind;
use crate::view::{Ask, Cx, Out, View, blank};
use crate::views::ViewId;
use lab::Lab;
use lead::{Lead, lead};
use list::{Line, arrange};
use silencing::silence_of;
use watchfire_model::Request;
use watchfire_model::reading::{Alert, AlertState, Command};
use words::{identity, names};
pub(super) use words::{state_word, subject};

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
    order: list::Order,
    /// Where the last frame put the headings: x, width, letter.
    headings: Vec<(u16, u16, char)>,
    /// Lines above the list.
    top: u16,
    stamp: Option<Stamp>,
    rewound: bool,
    /// Somebody just came for one alert.
    arrived: bool,
    /// Somebody moved the cursor or came for one alert; until then it stays at the top.
    touched: bool,
    /// The alert that the question on the prompt line is about.
    asked_of: Option<String>,
}

/// Generation of the reading, stamp of the filter, history, faults only, order: what the lines depend on.
type Stamp = (u64, u64, bool, bool, list::Order);

#[derive(Default)]
enum Level {
    #[default]
    List,
    Detail,
    Lab(Lab),
}

const NONE_SELECTED: &str = "no alert is selected; H shows resolved ones too";

impl Alerts {
    fn refresh(&mut self, cx: &Cx<'_>) {
        let Some(reading) = cx.readings.alerts() else { return };
        let stamp = Some((cx.readings.generation(Kind::Alerts), cx.filter_stamp, self.history, cx.faults_only, self.order));
        if self.stamp != stamp {
            self.stamp = stamp;
            self.lines = arrange(reading, cx, self.history, self.order);
        }
        let sought = self.selected.clone();
        let wanted = |alert: &Alert| sought.as_deref().is_some_and(|s| s == identity(alert) || names(alert, s));
        let opened = !matches!(self.level, Level::List);
        // Who comes for an alert that has resolved finds it too, and who reads one that resolves goes on reading it.
        if (std::mem::take(&mut self.arrived) || opened) && !self.history {
            let mut states = reading.alerts.iter().filter(|a| wanted(a)).map(|a| a.state).peekable();
            if states.peek().is_some() && states.all(|state| state == AlertState::Resolved) {
                self.history = true;
                self.lines = arrange(reading, cx, true, self.order);
            }
        }
        let found = self.lines.iter().position(|l| matches!(l, Line::Alert { index, .. } if wanted(&reading.alerts[*index])));
        match found.filter(|_| self.touched) {
            Some(position) => self.position = position,
            None if !self.touched => self.position = 0,
            // Another alert would stand on the page of this one.
            None if opened => self.level = Level::List,
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
        self.touched = true;
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
            self.touched = true;
            self.arrived = true;
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
        &[
            "alert",
            "label.NAME",
            "severity",
            "state",
            "service",
            "group",
            "value",
            "silenced",
            "acknowledged",
            "notified",
            "firing",
            "pending",
            "error",
        ]
    }

    fn update(&mut self, action: Action, cx: &Cx<'_>, out: &mut Out) -> bool {
        self.refresh(cx);
        self.touched = true;
        self.asked_of = None;
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
                    let Lead { view, subject, .. } = lead(alert);
                    out.go(view, subject);
                }
            },
            (Action::ItsTraces, Some(alert)) => match lead(alert) {
                Lead { view: ViewId::Traces, subject, .. } => out.go(ViewId::Traces, subject),
                _ => return false,
            },
            (Action::Silence, Some(alert)) => {
                let active = cx.readings.alerts().and_then(|r| silence_of(alert, r));
                let (topic, label, text) = match active {
                    // Whoever pressed a key too many must not page everybody again.
                    Some(silence) => ("silenced", silencing::of_it(silence, cx.now), "end"),
                    // Several alerts can have one name.
                    None => ("silence", format!("silence {} for (and why)", [&alert.name, subject(alert)].join(" ").trim_end()), "1h "),
                };
                let asked_of = identity(alert);
                out.ask = Some(Ask { topic, label, text: text.to_owned(), promql: false });
                self.asked_of = Some(asked_of);
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
                    out.refuse("this alert has no runbook_url");
                } else {
                    out.effects.push(Effect::OpenUrl(url.to_owned()));
                }
            }
            (Action::History, _) => self.history = !self.history,
            (Action::Open | Action::Silence | Action::Acknowledge | Action::RuleLab | Action::Url, None) => out.refuse(NONE_SELECTED),
            _ => match list::by_action(self.order, action).filter(|_| matches!(self.level, Level::List)) {
                Some(order) => self.order = order,
                None => return self.move_by(action, cx),
            },
        }
        true
    }

    fn letter(&mut self, letter: char, _: &Cx<'_>) -> bool {
        match list::by_letter(self.order, letter).filter(|_| matches!(self.level, Level::List)) {
            Some(order) => self.order = order,
            None => return false,
        }
        true
    }

    fn click(&mut self, x: u16, y: u16, cx: &Cx<'_>, out: &mut Out) -> bool {
        let Some(y) = y.checked_sub(self.top).filter(|_| matches!(self.level, Level::List)) else { return false };
        let heading = self.headings.iter().find(|(left, width, _)| y == 0 && (*left..left + width).contains(&x));
        if let Some((_, _, letter)) = heading {
            self.letter(*letter, cx);
            return false;
        }
        let Some(line) = usize::from(y).checked_sub(1) else { return false };
        let position = self.offset + line;
        if position >= self.lines.len() {
            return false;
        }
        let before = self.selected(cx).map(identity);
        self.position = position;
        self.remember(cx);
        // As in every list: what is selected already opens.
        before.is_some() && before == self.selected(cx).map(identity) && self.update(Action::Open, cx, out)
    }

    fn answer(&mut self, topic: &'static str, text: &str, cx: &Cx<'_>, out: &mut Out) {
        self.refresh(cx);
        // While somebody typed, the alert may have gone and another one stand under the cursor.
        let another = self.asked_of.take().is_some_and(|of| self.selected(cx).map(identity) != Some(of));
        match (topic, &mut self.level) {
            ("silence" | "silenced", _) if another => {
                out.refuse("the alert has left the list meanwhile, nothing is changed; H shows resolved ones too")
            }
            ("silenced", _) => self.change_silence(text, cx, out),
            ("silence", _) => self.silence(text, cx, out),
            ("acknowledge", _) => match self.selected(cx) {
                Some(alert) => {
                    let (fingerprint, by) = (alert.fingerprint.clone(), text.to_owned());
                    out.effects.push(Effect::Command(Command::Acknowledge { fingerprint, by, until: None }));
                }
                None => out.refuse(NONE_SELECTED),
            },
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
        let history = (Action::History, if self.history { "only firing" } else { "history" });
        let Some(alert) = self.selected(cx) else { return vec![history] };
        let mut hints = vec![
            (Action::Open, if matches!(self.level, Level::List) { "why" } else { lead(alert).word }),
            (Action::Silence, if alert.silenced { "silenced" } else { "silence" }),
            (Action::Acknowledge, "acknowledge"),
            (Action::RuleLab, "rule lab"),
            (Action::ItsTraces, "traces"),
        ];
        if !alert.annotations.value("runbook_url").is_empty() {
            hints.push((Action::Url, "runbook"));
        }
        if matches!(self.level, Level::List) {
            hints.push(history);
        }
        hints
    }

    fn tally(&self, cx: &Cx<'_>) -> String {
        let Some(reading) = cx.readings.alerts() else { return String::new() };
        let firing = reading.alerts.iter().filter(|a| a.state == AlertState::Firing).count();
        format!("{firing} firing, {} rule{}", reading.rules, if reading.rules == 1 { "" } else { "s" })
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
            number::since(alert.state_since(), cx.now),
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
        self.top = top;
        let (width, height) = (canvas.width(), canvas.height());
        let mut body = canvas.part(0, top, width, height - top.min(height));
        if self.lines.is_empty() {
            let none = match reading.rules {
                0 => "no rules loaded",
                _ if cx.at.is_some() && reading.last_evaluation.is_none() => "no alert is known of then",
                _ if self.history => "nothing fires, and nothing resolved within 15 minutes",
                _ => "nothing fires",
            };
            let advice = if reading.rules == 0 {
                "watchfire --rules FILE reads Prometheus rule files".to_owned()
            } else {
                let at = match reading.last_evaluation {
                    Some(last) => format!("evaluated {}", cx.zone.clock(last)),
                    None if cx.at.is_some() => "and no record of an evaluation".to_owned(),
                    None => "not evaluated yet".to_owned(),
                };
                let more = if self.history { "" } else { "; H shows what was resolved" };
                format!("{} rules, {at}{more}", reading.rules)
            };
            return blank(&mut body, cx, Kind::Alerts, none, &advice);
        }
        self.list(reading, cx, &mut body);
    }
}
