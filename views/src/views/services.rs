//! Services: rate, errors and latency of each, and in words what is wrong.

use crate::action::Action;
use crate::canvas::{Canvas, display_width, visible};
use crate::chart::sparkline;
use crate::filter::{Field, Fields};
use crate::look::{Role, error_role, state_glyph};
use crate::number;
use crate::readings::Kind;
use crate::table::{Column, Rows, Sort, Table};
use crate::view::{Cx, Out, View, blank};
use crate::views::ViewId;
use std::borrow::Cow;
use watchfire_model::reading::{Change, ServiceRow};
use watchfire_model::{HealthState, Request};

#[derive(Default)]
pub(crate) struct Services {
    table: Table<Kinds>,
}

struct Kinds;

/// As wide as `host mem 45.6%`.
const BUSIEST: u16 = 14;
const NAME: usize = 0;
const RATE: usize = 1;
const ERRORS: usize = 2;
const P50: usize = 3;
const P95: usize = 4;
const P99: usize = 5;
const TREND: usize = 6;
const OWNER: usize = 7;
const VERSION: usize = 8;
const SPANS: usize = 9;
const SATURATION: usize = 10;
const WHY: usize = 11;

impl Rows for Kinds {
    type Row = ServiceRow;
    const KIND: Kind = Kind::Services;
    const COLUMNS: &'static [Column] = &[
        Column::left("SERVICE", 22).grow(1).sort('S'),
        Column::right("RATE", 7).sort('R'),
        Column::right("ERR%", 5).sort('%'),
        Column::right("P50", 6).rank(3).sort('M'),
        Column::right("P95", 6).rank(1).sort('P'),
        Column::right("P99", 6).rank(1).sort('H'),
        Column::left("15 MIN", 8).rank(2),
        Column::left("OWNER", 12).rank(5).sort('O'),
        Column::left("VERSION", 9).rank(6).sort('V'),
        Column::right("SPANS", 7).rank(7).sort('N'),
        Column::left("BUSIEST", BUSIEST).rank(4).sort('B'),
        Column::left("WHY", 13).wish(30).grow(3).sort('W'),
    ];

    fn key(row: &ServiceRow) -> Cow<'_, str> {
        Cow::Borrowed(&row.name)
    }

    fn value(row: &ServiceRow, column: usize) -> Sort<'_> {
        match column {
            NAME => Sort::Text(&row.name),
            RATE => Sort::Number(row.rate),
            ERRORS => Sort::Number(row.error_ratio),
            P50 => Sort::Number(row.p50_seconds),
            P95 => Sort::Number(row.p95_seconds),
            P99 => Sort::Number(row.p99_seconds),
            SATURATION => Sort::Number(row.saturation),
            OWNER => Sort::Text(row.owner.as_deref().unwrap_or("")),
            VERSION => Sort::Text(row.version.as_deref().unwrap_or("")),
            SPANS => Sort::Number(row.sample_count),
            _ => Sort::State(row.state),
        }
    }

    fn state(row: &ServiceRow) -> HealthState {
        row.state
    }
}

impl Fields for ServiceRow {
    fn field(&self, name: &str) -> Option<Field<'_>> {
        Some(match name {
            "service" | "name" => Field::text(&self.name),
            "state" => Field::text(self.state.word()),
            "owner" => Field::text(self.owner.as_deref().unwrap_or("")),
            "version" => Field::text(self.version.as_deref().unwrap_or("")),
            "rate" => Field::Number(self.rate),
            "err" => Field::Number(self.error_ratio),
            "p50" => Field::Number(self.p50_seconds),
            "p95" | "dur" => Field::Number(self.p95_seconds),
            "p99" => Field::Number(self.p99_seconds),
            "busy" => Field::Number(self.saturation),
            "error" => Field::Flag(matches!(self.state, HealthState::Unhealthy | HealthState::Degraded)),
            "simulated" => Field::Flag(self.simulated),
            _ => return None,
        })
    }

    fn words(&self) -> Vec<Cow<'_, str>> {
        let mut words: Vec<Cow<'_, str>> = vec![Cow::Borrowed(&self.name), Cow::Borrowed(self.state.word())];
        words.extend(self.owner.iter().chain(&self.why).map(|w| Cow::Borrowed(w.as_str())));
        words
    }
}

impl View for Services {
    fn wants(&self, _: &Cx<'_>) -> Vec<Request> {
        vec![Request::Services]
    }

    fn fields(&self) -> &'static [&'static str] {
        &["service", "state", "owner", "version", "rate", "err", "p50", "p95", "p99", "dur", "busy", "error", "simulated"]
    }

    fn orders(&self) -> Vec<(char, &'static str)> {
        Table::<Kinds>::orders()
    }

    fn update(&mut self, action: Action, cx: &Cx<'_>, out: &mut Out) -> bool {
        let rows = rows(cx);
        self.table.refresh(rows, cx);
        match action {
            Action::Open => {
                if let Some(row) = self.table.selected(rows) {
                    out.go(ViewId::Service, Some(row.name.clone()));
                }
                true
            }
            action => self.table.update(action, rows),
        }
    }

    fn letter(&mut self, letter: char, _: &Cx<'_>) -> bool {
        self.table.letter(letter)
    }

    fn click(&mut self, x: u16, y: u16, cx: &Cx<'_>, out: &mut Out) -> bool {
        if self.table.click(x, y, rows(cx)) {
            return self.update(Action::Open, cx, out);
        }
        true
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
        vec![(Action::Open, "open"), (Action::ItsMap, "map"), (Action::ItsTraces, "traces"), (Action::Changes, "changes")]
    }

    fn tally(&self, _: &Cx<'_>) -> String {
        self.table.tally()
    }

    fn service(&self, _: &Cx<'_>) -> Option<String> {
        self.table.selected_key().map(str::to_owned)
    }

    fn copy(&self, cx: &Cx<'_>) -> Option<String> {
        let row = self.table.selected(rows(cx))?;
        let percentile = |value| number::percentile(value, row.sample_count, row.sampling_ratio);
        Some(format!(
            "{} {} rate {} errors {} p50 {} p95 {} p99 {} {}",
            row.name,
            row.state.word(),
            number::rate(row.rate),
            number::percent_sign(row.error_ratio),
            percentile(row.p50_seconds),
            percentile(row.p95_seconds),
            percentile(row.p99_seconds),
            row.why.join("; ")
        ))
    }

    fn export(&self, _: &str, cx: &Cx<'_>) -> Result<(String, String), String> {
        let mut csv = String::from("service,state,rate,error_ratio,p50_seconds,p95_seconds,p99_seconds,owner,why\n");
        for row in self.table.shown(rows(cx)) {
            let figures = [row.rate, row.error_ratio, row.p50_seconds, row.p95_seconds, row.p99_seconds];
            let figures: Vec<String> = figures.iter().map(|f| f.map_or_else(String::new, |v| v.to_string())).collect();
            let texts = [row.owner.clone().unwrap_or_default(), row.why.join("; ")].map(|t| super::csv_field(&t));
            csv.push_str(&format!("{},{},{},{}\n", super::csv_field(&row.name), row.state.word(), figures.join(","), texts.join(",")));
        }
        Ok(("services.csv".to_owned(), csv))
    }

    fn render(&mut self, cx: &Cx<'_>, canvas: &mut Canvas<'_>) {
        let Some(services) = cx.readings.services() else {
            return blank(canvas, cx, Kind::Services, "", "");
        };
        let rows = &services.services;
        self.table.refresh(rows, cx);
        let (width, height) = (canvas.width(), canvas.height());
        // The selected row in full and what changed stand below the rows, as far as there is room; rows come first.
        let changed = if services.changes.is_empty() { 0 } else { (services.changes.len() as u16).min(8) + 2 };
        let spare = height.saturating_sub((rows.len().min(1000) as u16).saturating_add(1));
        let below = if spare >= 2 { (2 + changed).min(spare) } else { 0 };
        let mut upper = canvas.part(0, 0, width, height - below);
        if self.table.shown(rows).next().is_none() {
            blank(
                &mut upper,
                cx,
                Kind::Services,
                "no services yet",
                "send spans to the OTLP ports of the header's first page, or start watchfire demo",
            );
        } else {
            // On a narrow screen the reason takes the place of the trend, on a wider one that of the busiest resource: words before pictures.
            let places = Table::<Kinds>::places(width);
            let lends = |pair: &&[(usize, u16, u16)]| matches!(pair[0].0, TREND | SATURATION) && pair[1].0 == WHY;
            // The figure left of the trend stands at its right end, and is told apart by one blank.
            let lent = places.windows(2).find(lends).map(|pair| pair[1].1 - pair[0].1 + u16::from(pair[0].0 == TREND));
            self.table.draw(&mut upper, rows, cx, |canvas, row, column, x, width| cell(canvas, row, column, x, width, lent.unwrap_or(0)));
        }
        if let (2.., Some(row)) = (below, self.table.selected(rows)) {
            in_full(&mut canvas.part(0, height - below + 1, width, 1), row);
        }
        if below > 4 {
            changes(&mut canvas.part(0, height - below + 3, width, below - 3), &services.changes, cx);
        }
    }
}

fn rows<'a>(cx: &Cx<'a>) -> &'a [ServiceRow] {
    cx.readings.services().map(|s| s.services.as_slice()).unwrap_or_default()
}

/// Draws one figure of one service. A long reason takes `lent` of the column left of it.
fn cell(canvas: &mut Canvas<'_>, row: &ServiceRow, column: usize, x: u16, width: u16, lent: u16) {
    let text = canvas.style(Role::Text);
    let dim = canvas.style(Role::Dim);
    let percentile = |value| number::percentile(value, row.sample_count, row.sampling_ratio);
    match column {
        NAME => {
            let style = canvas.style(row.state.into());
            canvas.text(x, 0, 1, state_glyph(row.state), style);
            let name = if row.state == HealthState::Unhealthy { canvas.style(Role::Strong) } else { text };
            canvas.text(x + 2, 0, width.saturating_sub(2), &visible(&row.name), name);
        }
        RATE => canvas.right(x, 0, width, &number::rate(row.rate), text),
        ERRORS => {
            let style = canvas.style(error_role(row.error_ratio));
            canvas.right(x, 0, width, &number::percent(row.error_ratio), style);
        }
        P50 => canvas.right(x, 0, width, &percentile(row.p50_seconds), text),
        P95 => canvas.right(x, 0, width, &percentile(row.p95_seconds), text),
        P99 => canvas.right(x, 0, width, &percentile(row.p99_seconds), text),
        TREND => sparkline(canvas, x, 0, width, &row.sparkline, row.state.into()),
        SATURATION => {
            let name = row.saturation_of.as_deref().unwrap_or("");
            let shown = row.saturation.map_or_else(|| number::UNKNOWN.to_owned(), |s| format!("{name} {}", number::percent_sign(Some(s))));
            let role = if row.saturation.is_some_and(|s| s > 0.8) { Role::Degraded } else { Role::Dim };
            let style = canvas.style(role);
            canvas.text(x, 0, width, &shown, style);
        }
        OWNER => {
            canvas.text(x, 0, width, row.owner.as_deref().unwrap_or(number::UNKNOWN), dim);
        }
        VERSION => {
            canvas.text(x, 0, width, row.version.as_deref().unwrap_or(number::UNKNOWN), dim);
        }
        SPANS => canvas.right(x, 0, width, number::seen(row).split(' ').next().unwrap_or_default(), dim),
        _ => {
            let style = if row.state == HealthState::Healthy { dim } else { text };
            let why =
                if row.why.is_empty() && row.state == HealthState::Unknown { "no telemetry".to_owned() } else { reasons(row).join(" · ") };
            let short = display_width(&why) > usize::from(width);
            let taken = if short && row.state != HealthState::Healthy { lent } else { 0 };
            let (x, width) = (x.saturating_sub(taken), width + taken);
            canvas.part(x.saturating_sub(1), 0, width + 1, 1).clear();
            canvas.text(x, 0, width, &why, style);
        }
    }
}

/// Why, as far as no other column says so: the share of errors has one of its own, and would push out of sight what explains it.
fn reasons(row: &ServiceRow) -> Vec<&str> {
    let said = |why: &&String| row.why.len() > 1 && why.ends_with("% errors");
    row.why.iter().filter(|why| !said(why)).map(String::as_str).collect()
}

/// The selected service with what its row has no room for.
fn in_full(canvas: &mut Canvas<'_>, row: &ServiceRow) {
    let mut pen = canvas.pen(1, 0);
    pen.name(&visible(&row.name), Role::Strong).gap(2);
    let why = if row.why.is_empty() { row.state.word().to_owned() } else { row.why.join(" · ") };
    pen.put(&why, row.state.into()).gap(2);
    let mut words: Vec<String> = Vec::new();
    words.extend(row.owner.iter().map(|o| format!("owner {o}")));
    words.extend(row.version.iter().map(|v| format!("version {v}")));
    words.extend(row.saturation.map(|s| format!("{} {}", row.saturation_of.as_deref().unwrap_or("busy"), number::percent_sign(Some(s)))));
    words.extend(row.sample_count.map(|_| number::seen(row)));
    words.extend(row.sampling_ratio.filter(|r| *r < 0.999).map(|r| format!("≈ {} % kept", number::digits(r * 100.0))));
    for (i, word) in words.iter().enumerate() {
        if !pen.whole(&[(if i > 0 { " · " } else { "" }, Role::Dim), (word, Role::Dim)]) {
            break;
        }
    }
}

/// `What changed since 03:09`, newest first, as many as fit.
fn changes(canvas: &mut Canvas<'_>, changes: &[Change], cx: &Cx<'_>) {
    let rows = usize::from(canvas.height().saturating_sub(1));
    let oldest = changes.iter().take(rows).map(|c| c.at).min().unwrap_or(cx.now);
    let clock = cx.zone.clock(oldest);
    let title = format!("What changed since {}", clock.get(..5).unwrap_or(&clock));
    canvas.pen(1, 0).put(&title, Role::Heading);
    for (y, change) in changes.iter().take(rows).enumerate() {
        super::changes::line(&mut canvas.part(1, y as u16 + 1, u16::MAX, 1), change, cx.now);
    }
}
