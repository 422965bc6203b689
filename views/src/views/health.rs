//! Health: checks one by one and as a matrix of services, the scrape targets, and probes worth adding.

mod checks;
mod matrix;
mod proposed;
mod targets;

use crate::action::Action;
use crate::canvas::Canvas;
use crate::effect::Effect;
use crate::look::Role;
use crate::readings::Kind;
use crate::table::Table;
use crate::view::{Cx, Out, View, blank};
use crate::views::ViewId;
use checks::{Checks, check_cell, explain};
use matrix::Matrix;
use proposed::Proposals;
use targets::{Targets, target_cell};
use watchfire_model::Request;
use watchfire_model::reading::{Check, Health as Reading, ProposedProbe, Target};

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Mode {
    #[default]
    Checks,
    Matrix,
    Targets,
    Proposed,
}

#[derive(Default)]
pub(crate) struct Health {
    mode: Mode,
    checks: Table<Checks>,
    targets: Table<Targets>,
    proposed: Table<Proposals>,
    matrix: Matrix,
}

impl Health {
    fn selected<'a>(&self, cx: &Cx<'a>) -> Option<&'a Check> {
        self.checks.selected(checks(cx))
    }
}

impl View for Health {
    fn wants(&self, _: &Cx<'_>) -> Vec<Request> {
        vec![Request::Health]
    }

    /// A check: `orders health`.
    fn open(&mut self, subject: Option<&str>) {
        if let Some(check) = subject {
            self.mode = Mode::Checks;
            self.checks.choose(check.to_owned());
        }
    }

    fn crumbs(&self) -> Vec<String> {
        match self.mode {
            Mode::Checks => Vec::new(),
            Mode::Matrix => vec!["by service".to_owned()],
            Mode::Targets => vec!["scrape targets".to_owned()],
            Mode::Proposed => vec!["proposed probes".to_owned()],
        }
    }

    fn fields(&self) -> &'static [&'static str] {
        &["service", "check", "state", "url", "detail", "time", "p95", "job", "instance", "error", "dur"]
    }

    fn update(&mut self, action: Action, cx: &Cx<'_>, out: &mut Out) -> bool {
        let (checks, targets) = (checks(cx), targets(cx));
        self.checks.refresh(checks, cx);
        self.targets.refresh(targets, cx);
        self.proposed.refresh(proposals(cx), cx);
        match action {
            Action::Mode => {
                self.mode = self.next(cx);
            }
            Action::Open => {
                if let Some(name) = self.service(cx) {
                    out.go(ViewId::Service, Some(name));
                }
            }
            Action::Url => {
                let url = match self.shown(cx) {
                    Mode::Targets => self.targets.selected(targets).map(|t| t.url.clone()),
                    Mode::Checks => self.selected(cx).map(|c| c.url.clone()),
                    Mode::Matrix | Mode::Proposed => return false,
                };
                if let Some(url) = url {
                    out.effects.push(Effect::OpenUrl(url));
                }
            }
            action => {
                return match self.shown(cx) {
                    Mode::Checks => self.checks.update(action, checks),
                    Mode::Targets => self.targets.update(action, targets),
                    Mode::Proposed => self.proposed.update(action, proposals(cx)),
                    Mode::Matrix => self.matrix.update(action),
                };
            }
        }
        true
    }

    fn back(&mut self) -> bool {
        let inner = self.mode != Mode::Checks;
        self.mode = Mode::Checks;
        inner
    }

    fn letter(&mut self, letter: char, cx: &Cx<'_>) -> bool {
        match self.shown(cx) {
            Mode::Checks => self.checks.letter(letter),
            Mode::Targets => self.targets.letter(letter),
            Mode::Proposed => self.proposed.letter(letter),
            Mode::Matrix => false,
        }
    }

    fn click(&mut self, x: u16, y: u16, cx: &Cx<'_>, out: &mut Out) -> bool {
        match self.shown(cx) {
            Mode::Checks => self.checks.click(x, y, checks(cx)) && self.update(Action::Open, cx, out),
            Mode::Targets => self.targets.click(x, y, targets(cx)),
            Mode::Proposed => self.proposed.click(x, y, proposals(cx)),
            Mode::Matrix => self.matrix.click(y) && self.update(Action::Open, cx, out),
        }
    }

    fn problem(&mut self, forward: bool, cx: &Cx<'_>) -> bool {
        let checks = checks(cx);
        self.mode = Mode::Checks;
        self.checks.problem(forward, checks, cx)
    }

    fn rewind(&mut self) {
        self.checks.rewind();
    }

    fn hints(&self, cx: &Cx<'_>) -> Vec<(Action, &'static str)> {
        let next = match self.next(cx) {
            Mode::Checks => "checks",
            Mode::Matrix => "by service",
            Mode::Targets => "targets",
            Mode::Proposed => "proposed probes",
        };
        let mut hints = vec![(Action::Mode, next)];
        if self.service(cx).is_some() {
            hints.push((Action::Open, "service"));
        }
        match self.shown(cx) {
            Mode::Checks if self.selected(cx).is_some() => hints.push((Action::Url, "open address")),
            Mode::Targets if self.targets.selected(targets(cx)).is_some() => hints.push((Action::Url, "open address")),
            Mode::Proposed => hints.push((Action::Copy, "copy argument")),
            _ => {}
        }
        hints
    }

    fn tally(&self, cx: &Cx<'_>) -> String {
        match self.shown(cx) {
            Mode::Targets => self.targets.tally(),
            Mode::Proposed => format!("{} not probed", proposals(cx).len()),
            Mode::Checks => match (self.checks.tally(), proposals(cx).len()) {
                (tally, 0) => tally,
                (tally, n) => format!("{tally}, {n} not probed").trim_start_matches(", ").to_owned(),
            },
            Mode::Matrix => format!("{} checks", checks(cx).len()),
        }
    }

    fn service(&self, cx: &Cx<'_>) -> Option<String> {
        match self.shown(cx) {
            Mode::Targets => self.targets.selected(targets(cx)).map(|t| t.job.clone()),
            Mode::Matrix => self.matrix.service(checks(cx)).map(str::to_owned),
            Mode::Proposed => self.proposed.selected(proposals(cx)).map(|p| p.service.clone()),
            Mode::Checks => self.selected(cx).map(|c| c.service.clone()),
        }
    }

    fn export(&self, _: &str, cx: &Cx<'_>) -> Result<(String, String), String> {
        let health = cx.readings.health().ok_or("nothing was read yet")?;
        let mut csv = String::from("service,check,state,since,url,detail,latency_seconds,p95_seconds\n");
        for check in health.checks.iter().filter(|check| cx.filter.accepts(*check)) {
            let since = check.since.map_or_else(String::new, |since| since.to_string());
            let texts = [&check.service, &check.check, check.state.word(), &since, &check.url, &check.detail];
            csv.push_str(&super::csv_line(&texts, &[check.latency_seconds, check.p95_seconds]));
        }
        Ok(("checks.csv".to_owned(), csv))
    }

    fn copy(&self, cx: &Cx<'_>) -> Option<String> {
        match self.shown(cx) {
            Mode::Targets => self.targets.selected(targets(cx)).map(|t| format!("{} {}", t.url, t.last_error)),
            Mode::Matrix => self.service(cx),
            Mode::Proposed => self.proposed.selected(proposals(cx)).map(proposed::argument),
            Mode::Checks => self.selected(cx).map(|c| format!("{} {} {} {} {}", c.service, c.check, c.url, c.state.word(), c.detail)),
        }
    }

    fn render(&mut self, cx: &Cx<'_>, canvas: &mut Canvas<'_>) {
        let Some(health) = cx.readings.health() else {
            return blank(canvas, cx, Kind::Health, "", "");
        };
        self.checks.refresh(&health.checks, cx);
        self.targets.refresh(&health.targets, cx);
        self.proposed.refresh(&health.proposed, cx);
        match self.shown(cx) {
            Mode::Checks => self.draw_checks(health, cx, canvas),
            Mode::Proposed => self.draw_proposed(health, cx, canvas),
            Mode::Matrix if health.checks.is_empty() => blank(canvas, cx, Kind::Health, NO_CHECKS, HOW_TO_ADD),
            Mode::Matrix => self.matrix.draw(health, canvas),
            Mode::Targets => {
                if self.targets.shown(&health.targets).next().is_none() {
                    return blank(canvas, cx, Kind::Health, "no scrape targets", "watchfire --scrape http://host:port/metrics adds one");
                }
                self.targets.draw(canvas, &health.targets, cx, |canvas, row, column, x, width| {
                    target_cell(canvas, row, column, x, width, cx.now);
                });
            }
        }
    }
}

impl Health {
    fn draw_checks(&mut self, health: &Reading, cx: &Cx<'_>, canvas: &mut Canvas<'_>) {
        if self.checks.shown(&health.checks).next().is_none() {
            let down = health.targets.iter().filter(|t| t.up == Some(false)).count();
            let none = if health.targets.is_empty() {
                NO_CHECKS.to_owned()
            } else {
                format!("no health checks; {} scrape targets, {down} down (v shows them)", health.targets.len())
            };
            return blank(canvas, cx, Kind::Health, &none, HOW_TO_ADD);
        }
        let (width, height) = (canvas.width(), canvas.height());
        let selected = self.checks.selected(&health.checks);
        let wanted = selected.map_or(0, |c| 4 + c.dependencies.len().min(6) as u16);
        let detail = if height >= 10 + wanted { wanted } else { 0 };
        self.checks.draw(&mut canvas.part(0, 0, width, height - detail), &health.checks, cx, |canvas, row, column, x, width| {
            check_cell(canvas, row, column, x, width, cx.now);
        });
        if let (1.., Some(check)) = (detail, self.checks.selected(&health.checks)) {
            explain(&mut canvas.part(0, height - detail + 1, width, detail - 1), check, cx.now);
        }
    }

    /// The list with the selected proposal beneath it as it is written on the command line.
    fn draw_proposed(&mut self, health: &Reading, cx: &Cx<'_>, canvas: &mut Canvas<'_>) {
        let (width, height) = (canvas.width(), canvas.height());
        let foot = if height >= 6 { 2 } else { 0 };
        let mut top = 0;
        if self.mode == Mode::Checks {
            canvas.pen(1, 0).put(NO_CHECKS, Role::Text).put("; these services say where they could be probed:", Role::Dim);
            top = 2;
        }
        self.proposed.draw(&mut canvas.part(0, top, width, height.saturating_sub(foot + top)), &health.proposed, cx, proposed::cell);
        if let (2, Some(row)) = (foot, self.proposed.selected(&health.proposed)) {
            canvas.pen(1, height - 1).put("watchfire ", Role::Dim).put(&proposed::argument(row), Role::Text);
        }
    }

    /// What is on screen: where nothing is checked, the proposals to begin with.
    fn shown(&self, cx: &Cx<'_>) -> Mode {
        let begin = self.mode == Mode::Checks && checks(cx).is_empty() && targets(cx).is_empty() && !proposals(cx).is_empty();
        if begin { Mode::Proposed } else { self.mode }
    }

    /// What the mode key shows next.
    fn next(&self, cx: &Cx<'_>) -> Mode {
        match self.mode {
            Mode::Checks => Mode::Matrix,
            Mode::Matrix => Mode::Targets,
            Mode::Targets if !proposals(cx).is_empty() => Mode::Proposed,
            Mode::Targets | Mode::Proposed => Mode::Checks,
        }
    }
}

const NO_CHECKS: &str = "no health checks yet";
const HOW_TO_ADD: &str = "watchfire --probe http://host:port/health adds one; tcp:// and grpc:// work too";

fn checks<'a>(cx: &Cx<'a>) -> &'a [Check] {
    cx.readings.health().map(|h| h.checks.as_slice()).unwrap_or_default()
}

fn targets<'a>(cx: &Cx<'a>) -> &'a [Target] {
    cx.readings.health().map(|h| h.targets.as_slice()).unwrap_or_default()
}

fn proposals<'a>(cx: &Cx<'a>) -> &'a [ProposedProbe] {
    cx.readings.health().map(|h| h.proposed.as_slice()).unwrap_or_default()
}
