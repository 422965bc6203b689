//! Health: a matrix of services and checks, each check in detail, and the scrape targets.

use crate::action::Action;
use crate::canvas::{Canvas, display_width, wrap};
use crate::effect::Effect;
use crate::filter::{Field, Fields};
use crate::look::{Role, state_glyph};
use crate::number;
use crate::readings::Kind;
use crate::table::{Column, Rows, Sort, Table, badness};
use crate::view::{Cx, Out, View, blank};
use crate::views::ViewId;
use std::borrow::Cow;
use watchfire_model::reading::{Check, Health as Reading, Target};
use watchfire_model::{HealthState, Request, Timestamp};

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Mode {
    #[default]
    Checks,
    Matrix,
    Targets,
}

#[derive(Default)]
pub(crate) struct Health {
    mode: Mode,
    checks: Table<Checks>,
    targets: Table<Targets>,
    scroll: usize,
}

struct Checks;

impl Rows for Checks {
    type Row = Check;
    const KIND: Kind = Kind::Health;
    const COLUMNS: &'static [Column] = &[
        Column::left("SERVICE", 19).grow(1).sort('S'),
        Column::left("CHECK", 15).grow(1).sort('C'),
        Column::left("STATE", 9).sort('T'),
        Column::right("SINCE", 6).sort('I'),
        Column::right("TIME", 6).rank(1).sort('M'),
        Column::right("P95", 6).rank(3).sort('P'),
        Column::left("15 MIN", 8).rank(2),
        Column::left("CERT", 5).rank(4),
        Column::left("DETAIL", 14).grow(3),
    ];

    fn key(row: &Check) -> Cow<'_, str> {
        Cow::Owned(format!("{} {}", row.service, row.check))
    }

    fn value(row: &Check, column: usize) -> Sort<'_> {
        match column {
            0 => Sort::Text(&row.service),
            1 => Sort::Text(&row.check),
            3 => Sort::time(row.since),
            4 => Sort::Number(row.latency_seconds),
            5 => Sort::Number(row.p95_seconds),
            _ => Sort::State(row.state),
        }
    }

    fn state(row: &Check) -> HealthState {
        row.state
    }
}

impl Fields for Check {
    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "service" => Field::text(&self.service),
            "check" => Field::text(&self.check),
            "state" => Field::text(self.state.word()),
            "url" => Field::text(&self.url),
            "detail" => Field::text(&self.detail),
            "dur" | "time" => Field::Number(self.latency_seconds),
            "p95" => Field::Number(self.p95_seconds),
            "error" => Field::Flag(matches!(self.state, HealthState::Unhealthy | HealthState::Degraded)),
            _ => return None,
        })
    }

    fn words(&self) -> Vec<Cow<'_, str>> {
        let mut words: Vec<Cow<'_, str>> =
            [&self.service, &self.check, &self.url, &self.detail].map(|t| Cow::Borrowed(t.as_str())).to_vec();
        words.extend(self.dependencies.iter().map(|d| Cow::Borrowed(d.name.as_str())));
        words
    }
}

struct Targets;

impl Rows for Targets {
    type Row = Target;
    const KIND: Kind = Kind::Health;
    const COLUMNS: &'static [Column] = &[
        Column::left("JOB", 18).grow(1).sort('J'),
        Column::left("INSTANCE", 21).grow(1).sort('I'),
        Column::left("STATE", 7).sort('T'),
        Column::right("LAST", 6).sort('A'),
        Column::right("TIME", 7).rank(1).sort('M'),
        Column::right("SAMPLES", 7).rank(2).sort('P'),
        Column::left("ERROR", 16).grow(2),
    ];

    fn key(row: &Target) -> Cow<'_, str> {
        Cow::Owned(format!("{} {}", row.job, row.instance))
    }

    fn value(row: &Target, column: usize) -> Sort<'_> {
        match column {
            0 => Sort::Text(&row.job),
            1 => Sort::Text(&row.instance),
            3 => Sort::time(row.last_scrape),
            4 => Sort::Number(row.duration_seconds),
            5 => Sort::Number(row.samples.map(|s| s as f64)),
            _ => Sort::State(Self::state(row)),
        }
    }

    fn state(row: &Target) -> HealthState {
        match row.up {
            Some(true) => HealthState::Healthy,
            Some(false) => HealthState::Unhealthy,
            None => HealthState::Unknown,
        }
    }
}

impl Fields for Target {
    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "job" | "service" => Field::text(&self.job),
            "instance" => Field::text(&self.instance),
            "url" => Field::text(&self.url),
            "error" => Field::Flag(self.up == Some(false)),
            "dur" | "time" => Field::Number(self.duration_seconds),
            _ => return None,
        })
    }

    fn words(&self) -> Vec<Cow<'_, str>> {
        [&self.job, &self.instance, &self.url, &self.last_error].map(|t| Cow::Borrowed(t.as_str())).to_vec()
    }
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

    fn crumbs(&self) -> Vec<String> {
        match self.mode {
            Mode::Checks => Vec::new(),
            Mode::Matrix => vec!["by service".to_owned()],
            Mode::Targets => vec!["scrape targets".to_owned()],
        }
    }

    fn fields(&self) -> &'static [&'static str] {
        &["service", "check", "state", "url", "detail", "time", "p95", "job", "instance", "error", "dur"]
    }

    fn update(&mut self, action: Action, cx: &Cx<'_>, out: &mut Out) -> bool {
        let (checks, targets) = (checks(cx), targets(cx));
        self.checks.refresh(checks, cx);
        self.targets.refresh(targets, cx);
        match action {
            Action::Mode => {
                self.scroll = 0;
                self.mode = match self.mode {
                    Mode::Checks => Mode::Matrix,
                    Mode::Matrix => Mode::Targets,
                    Mode::Targets => Mode::Checks,
                };
            }
            Action::Open => {
                if let Some(name) = self.service(cx) {
                    out.go(ViewId::Service, Some(name));
                }
            }
            Action::Url => {
                let url = match self.mode {
                    Mode::Targets => self.targets.selected(targets).map(|t| t.url.clone()),
                    _ => self.selected(cx).map(|c| c.url.clone()),
                };
                if let Some(url) = url {
                    out.effects.push(Effect::OpenUrl(url));
                }
            }
            action => {
                return match self.mode {
                    Mode::Checks => self.checks.update(action, checks),
                    Mode::Targets => self.targets.update(action, targets),
                    Mode::Matrix => self.scroll_matrix(action),
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

    fn letter(&mut self, letter: char, _: &Cx<'_>) -> bool {
        match self.mode {
            Mode::Targets => self.targets.letter(letter),
            _ => self.checks.letter(letter),
        }
    }

    fn click(&mut self, x: u16, y: u16, cx: &Cx<'_>, out: &mut Out) -> bool {
        match self.mode {
            Mode::Checks => self.checks.click(x, y, checks(cx)) && self.update(Action::Open, cx, out),
            Mode::Targets => self.targets.click(x, y, targets(cx)),
            Mode::Matrix => false,
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

    fn hints(&self, _: &Cx<'_>) -> Vec<(Action, &'static str)> {
        let next = match self.mode {
            Mode::Checks => "by service",
            Mode::Matrix => "targets",
            Mode::Targets => "checks",
        };
        vec![(Action::Mode, next), (Action::Open, "service"), (Action::Url, "open address")]
    }

    fn tally(&self, cx: &Cx<'_>) -> String {
        match self.mode {
            Mode::Targets => self.targets.tally(),
            Mode::Checks => self.checks.tally(),
            Mode::Matrix => format!("{} checks", checks(cx).len()),
        }
    }

    fn service(&self, cx: &Cx<'_>) -> Option<String> {
        match self.mode {
            Mode::Targets => self.targets.selected(targets(cx)).map(|t| t.job.clone()),
            _ => self.selected(cx).map(|c| c.service.clone()),
        }
    }

    fn copy(&self, cx: &Cx<'_>) -> Option<String> {
        match self.mode {
            Mode::Targets => self.targets.selected(targets(cx)).map(|t| format!("{} {}", t.url, t.last_error)),
            _ => self.selected(cx).map(|c| format!("{} {} {} {} {}", c.service, c.check, c.url, c.state.word(), c.detail)),
        }
    }

    fn render(&mut self, cx: &Cx<'_>, canvas: &mut Canvas<'_>) {
        let Some(health) = cx.readings.health() else {
            return blank(canvas, cx, Kind::Health, "", "");
        };
        self.checks.refresh(&health.checks, cx);
        self.targets.refresh(&health.targets, cx);
        match self.mode {
            Mode::Checks => self.draw_checks(health, cx, canvas),
            Mode::Matrix => self.draw_matrix(health, canvas),
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
                "no health checks yet".to_owned()
            } else {
                format!("no health checks; {} scrape targets, {down} down (v shows them)", health.targets.len())
            };
            return blank(
                canvas,
                cx,
                Kind::Health,
                &none,
                "watchfire --probe http://host:port/health adds one; tcp:// and grpc:// work too",
            );
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

    fn draw_matrix(&mut self, health: &Reading, canvas: &mut Canvas<'_>) {
        let mut names: Vec<&str> = health.checks.iter().map(|c| c.check.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let mut services: Vec<&str> = health.checks.iter().map(|c| c.service.as_str()).collect();
        services.dedup();
        services.sort_unstable();
        services.dedup();
        let left = services.iter().map(|s| display_width(s)).max().unwrap_or(0).clamp(10, 24) as u16;
        let (text, heading) = (canvas.style(Role::Text), canvas.style(Role::Heading));
        let widest = |name: &str| {
            let cells = health.checks.iter().filter(|c| c.check == name).map(|c| display_width(&matrix_cell(c)));
            cells.chain([display_width(name)]).max().unwrap_or(0).min(16) as u16
        };
        let columns: Vec<(&str, u16)> = names.iter().map(|n| (*n, widest(n))).collect();
        let mut x = left + 3;
        for (name, width) in &columns {
            canvas.text(x, 0, *width, name, heading);
            x += width + 2;
        }
        canvas.text(1, 0, left, "SERVICE", heading);
        let height = usize::from(canvas.height().saturating_sub(1));
        self.scroll = self.scroll.min(services.len().saturating_sub(height));
        for (line, service) in services.iter().skip(self.scroll).take(height).enumerate() {
            let y = line as u16 + 1;
            canvas.text(1, y, left, service, text);
            let mut x = left + 3;
            for (name, width) in &columns {
                let check = health.checks.iter().find(|c| c.service == *service && c.check == *name);
                match check {
                    Some(check) => {
                        let style = canvas.style(check.state.into());
                        canvas.text(x, y, *width, &matrix_cell(check), style);
                    }
                    None => canvas.dot(x, y, '·', heading),
                }
                x += width + 2;
            }
        }
    }

    fn scroll_matrix(&mut self, action: Action) -> bool {
        self.scroll = match action {
            Action::Up => self.scroll.saturating_sub(1),
            Action::Down => self.scroll + 1,
            Action::PageUp | Action::HalfUp => self.scroll.saturating_sub(10),
            Action::PageDown | Action::HalfDown => self.scroll + 10,
            Action::Top => 0,
            Action::Bottom => usize::MAX / 2,
            _ => return false,
        };
        true
    }
}

fn check_cell(canvas: &mut Canvas<'_>, row: &Check, column: usize, x: u16, width: u16, now: Timestamp) {
    let (text, dim) = (canvas.style(Role::Text), canvas.style(Role::Dim));
    let style = canvas.style(row.state.into());
    match column {
        0 => {
            canvas.text(x, 0, 1, state_glyph(row.state), style);
            canvas.text(x + 2, 0, width.saturating_sub(2), &row.service, text);
        }
        1 => {
            canvas.text(x, 0, width, &row.check, text);
        }
        2 => {
            canvas.text(x, 0, width, row.state.word(), style);
        }
        3 => canvas.right(x, 0, width, &number::since(row.since, now), text),
        4 => canvas.right(x, 0, width, &number::latency_known(row.latency_seconds), text),
        5 => canvas.right(x, 0, width, &number::latency_known(row.p95_seconds), dim),
        6 => history(canvas, &row.history, x, 0, width),
        7 => {
            let (shown, role) = certificate(row, now);
            let style = canvas.style(role);
            canvas.text(x, 0, width, &shown, style);
        }
        _ => {
            let worst = row.dependencies.iter().filter(|d| d.state != HealthState::Healthy).min_by_key(|d| badness(d.state));
            let shown = match worst {
                Some(d) => format!("{} {} {}", d.name, d.state.word(), d.detail),
                None => row.detail.clone(),
            };
            canvas.text(x, 0, width, &shown, if row.state == HealthState::Healthy { dim } else { text });
        }
    }
}

fn certificate(row: &Check, now: Timestamp) -> (String, Role) {
    match row.certificate_expires {
        None => (number::UNKNOWN.to_owned(), Role::Faint),
        Some(at) if at <= now => ("over".to_owned(), Role::Unhealthy),
        Some(at) => {
            let left = at.since(now);
            let role = if left.as_secs() < 14 * 86_400 { Role::Degraded } else { Role::Dim };
            (number::span_short(left), role)
        }
    }
}

/// One character per step of time; the worst state of those that share one.
pub(super) fn history(canvas: &mut Canvas<'_>, states: &[HealthState], x: u16, y: u16, width: u16) {
    let count = states.len().min(usize::from(width));
    let pad = usize::from(width) - count;
    for i in 0..usize::from(width) {
        let worst =
            i.checked_sub(pad).map(|i| &states[i * states.len() / count.max(1)..((i + 1) * states.len() / count.max(1)).min(states.len())]);
        let state = worst.and_then(|s| s.iter().copied().min_by_key(|s| badness(*s)));
        let (symbol, role) = match state {
            Some(HealthState::Healthy) => ('▁', Role::Healthy),
            Some(HealthState::Degraded) => ('▄', Role::Degraded),
            Some(HealthState::Unhealthy) => ('█', Role::Unhealthy),
            _ => ('·', Role::Faint),
        };
        let style = canvas.style(role);
        canvas.dot(x + i as u16, y, symbol, style);
    }
}

fn target_cell(canvas: &mut Canvas<'_>, row: &Target, column: usize, x: u16, width: u16, now: Timestamp) {
    let (text, dim) = (canvas.style(Role::Text), canvas.style(Role::Dim));
    let state = Targets::state(row);
    let style = canvas.style(state.into());
    match column {
        0 => {
            canvas.text(x, 0, 1, state_glyph(state), style);
            canvas.text(x + 2, 0, width.saturating_sub(2), &row.job, text);
        }
        1 => {
            canvas.text(x, 0, width, &row.instance, text);
        }
        2 => {
            let word = match row.up {
                Some(true) => "up",
                Some(false) => "down",
                None => "unknown",
            };
            canvas.text(x, 0, width, word, style);
        }
        3 => canvas.right(x, 0, width, &number::since(row.last_scrape, now), dim),
        4 => canvas.right(x, 0, width, &number::latency_known(row.duration_seconds), dim),
        5 => canvas.right(x, 0, width, &number::counted(row.samples.map(|s| s as f64)), dim),
        _ => {
            canvas.text(x, 0, width, &row.last_error, text);
        }
    }
}

/// How long a healthy check took, or in a word what it is instead.
fn matrix_cell(check: &Check) -> String {
    let healthy = check.state == HealthState::Healthy;
    let shown = if healthy { number::latency_known(check.latency_seconds) } else { check.state.word().to_owned() };
    format!("{} {shown}", state_glyph(check.state))
}

/// The selected check: address, detail, dependencies.
fn explain(canvas: &mut Canvas<'_>, check: &Check, now: Timestamp) {
    let zone = canvas.zone();
    let mut pen = canvas.pen(1, 0);
    pen.put(&check.service, Role::Strong).gap(1).put(&check.check, Role::Text).gap(2).put(&check.url, Role::Accent);
    if let Some(at) = check.last_checked {
        pen.put(&format!("   checked {} ago", number::since(Some(at), now)), Role::Dim);
    }
    if let Some(at) = check.certificate_expires {
        pen.put(&format!("   certificate until {}", zone.moment(at, now)), Role::Dim);
    }
    let mut y = 1;
    for line in wrap(&check.detail, canvas.width().saturating_sub(2), 2) {
        canvas.pen(1, y).put(&line, Role::Text);
        y += 1;
    }
    for dependency in &check.dependencies {
        let mut pen = canvas.pen(1, y);
        pen.put(state_glyph(dependency.state), dependency.state.into())
            .gap(1)
            .column(20, &dependency.name, Role::Text)
            .column(11, dependency.state.word(), dependency.state.into())
            .put(&dependency.detail, Role::Dim);
        y += 1;
    }
}

fn checks<'a>(cx: &Cx<'a>) -> &'a [Check] {
    cx.readings.health().map(|h| h.checks.as_slice()).unwrap_or_default()
}

fn targets<'a>(cx: &Cx<'a>) -> &'a [Target] {
    cx.readings.health().map(|h| h.targets.as_slice()).unwrap_or_default()
}
