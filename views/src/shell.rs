//! What stands round every view: header, tabs, crumbs, banners, key strip, help, the first minute.

mod foot;
mod help;
mod welcome;

pub(crate) use foot::{message, said, strip};
pub(crate) use help::help;
pub(crate) use welcome::{exporter_snippet, welcome, welcome_strip};

use crate::action::Action;
use crate::app::{Held, nothing_received};
use crate::canvas::{Canvas, display_width, wrap};
use crate::keymap::Keymap;
use crate::look::{ColorDepth, Glyphs, Role, severity_state, state_glyph};
use crate::number;
use crate::readings::Kind;
use crate::view::{Cx, Place};
use crate::views::ViewId;
use watchfire_model::reading::{ReadError, Status};
use watchfire_model::{HealthState, Severity, Timestamp};

/// What the shell draws from.
pub(crate) struct Parts<'a> {
    pub(crate) cx: &'a Cx<'a>,
    pub(crate) status: Option<&'a Status>,
    pub(crate) place: &'a Place,
    pub(crate) trail: &'a [Place],
    pub(crate) keymap: &'a Keymap,
    pub(crate) wall: Timestamp,
    pub(crate) held: Option<&'a Held>,
    /// Something on screen is not of the time in the header yet.
    pub(crate) awaited: bool,
}

impl Parts<'_> {
    fn key(&self, action: Action) -> String {
        self.keymap.keys(self.place.view.name(), action).first().cloned().unwrap_or_default()
    }
}

pub(crate) fn too_small(canvas: &mut Canvas<'_>) {
    let style = canvas.style(Role::Text);
    let (width, height) = (canvas.width(), canvas.height());
    let sentences = ["watchfire needs 40x10".to_owned(), format!("this window is {width}x{height}, make it larger")];
    let lines = sentences.iter().flat_map(|sentence| wrap(sentence, width, usize::from(height)));
    for (y, line) in lines.take(usize::from(height)).enumerate() {
        canvas.text(0, y as u16, width, &line, style);
    }
}

/// The first line: is it bad, how bad, since when; what fits of the rest.
pub(crate) fn header(canvas: &mut Canvas<'_>, parts: &Parts<'_>) {
    let width = canvas.width();
    // What fires comes before where it was read, the word for now and the zone.
    let past = parts.cx.at.is_some();
    let mut pieces = parts.status.map(|status| counts(status, past, true)).unwrap_or_default();
    let since = parts.status.and_then(|s| s.overall_since).map_or(0, |s| 1 + display_width(&number::since(Some(s), parts.cx.now)));
    let word = parts.status.map_or(0, |status| status.overall.word().len());
    // Rows may be newer than the status, and are never shown without their mark.
    let rows = || parts.cx.readings.services().is_some_and(|s| s.services.iter().any(|s| s.simulated));
    let simulated = if parts.status.is_some_and(|s| s.simulated) || rows() { "SIMULATED" } else { "" };
    let gap: u16 = match width {
        100.. => 3,
        60.. => 2,
        _ => 1,
    };
    let gaps = usize::from(gap);
    // How many fire, and which of them somebody has in hand, behind state and since when, with the mark.
    let known =
        |pieces: &[Piece]| pieces.iter().filter(|piece| piece.rank <= IN_HAND).map(|piece| display_width(&piece.text)).sum::<usize>();
    let marked = if simulated.is_empty() { 0 } else { 3 + gaps };
    let about = 3 + word + since + gaps + marked;
    let mut marks = time_marks(parts, width < 60);
    let shortest = marks.last().map_or(0, |(text, _)| display_width(text)) + 2;
    if about + known(&pieces) + shortest > usize::from(width) {
        pieces = parts.status.map(|status| counts(status, past, false)).unwrap_or_default();
    }
    let said = about + known(&pieces);
    let needed = if parts.status.is_some_and(fires) && width >= 60 { said } else { 0 };
    while marks.len() > 1 && usize::from(width) < needed + display_width(&marks[0].0) + 2 {
        marks.remove(0);
    }
    let (clock, clock_role) = marks.swap_remove(0);
    let clock_width = display_width(&clock) as u16;
    let room = width.saturating_sub(clock_width + 2);
    let style = canvas.style(clock_role);
    canvas.right(0, 0, width.saturating_sub(1), &clock, style);
    let mut left = canvas.part(0, 0, room, 1);
    let mut pen = left.pen(1, 0);
    // Its name makes room for what has to be known.
    if width >= 72 && 11 + said <= usize::from(room) {
        pen.put("watchfire", Role::Strong).gap(2);
    }
    let Some(status) = parts.status else {
        match &parts.cx.readings.slot(Kind::Status).error {
            Some(error) => pen.put("? UNKNOWN", Role::Unknown).gap(2).put(&error.to_string(), Role::Dim),
            None => pen.put("? UNKNOWN", Role::Unknown).gap(2).put("reading …", Role::Dim),
        };
        return;
    };
    let state = status.overall;
    let role = Role::from(state);
    pen.put(state_glyph(state), role).gap(1).put(&state.word().to_uppercase(), role);
    // In a small window what fires is told rather than since when.
    let first = pieces.first().map_or(0, |piece| display_width(&piece.text) as u16);
    let fits = |used: u16| width >= 60 || !fires(status) || used + first + 2 * gap + 3 <= room;
    if let Some(since) = status.overall_since {
        let since = number::since(Some(since), parts.cx.now);
        if fits(pen.x() + 1 + since.len() as u16) {
            pen.gap(1).put(&since, Role::Text);
        }
    }
    pen.gap(gap);
    // What fired before a restart fires on, and is told first.
    if nothing_received(status) && !fires(status) {
        pen.put("nothing received yet", Role::Dim);
        return;
    }
    let length = |pieces: &[Piece]| pieces.iter().map(|piece| display_width(&piece.text) as u16).sum::<u16>();
    // What is simulated says so at any width; the rest of the counts makes room, what matters least first.
    let mark = if pen.x() + length(&pieces) + 9 + gap <= room { simulated } else { simulated.get(..3).unwrap_or("") };
    let reserve = if mark.is_empty() { 0 } else { mark.len() as u16 + gap };
    while pen.x() + length(&pieces) + reserve > room
        && let Some(least) = (0..pieces.len()).max_by_key(|i| (pieces[*i].rank, *i))
    {
        pieces.remove(least);
    }
    for piece in &pieces {
        pen.put(&piece.text, piece.role);
    }
    if !mark.is_empty() {
        pen.gap(gap).put(mark, Role::Banner);
    }
    let mut x = pen.x() + 3;
    for text in figures(status) {
        let needed = display_width(&text) as u16;
        if x + needed > room {
            break;
        }
        let dim = left.style(Role::Dim);
        left.text(x, 0, needed, &text, dim);
        x += needed + 3;
    }
}

fn fires(status: &Status) -> bool {
    status.firing_count() > 0
}

/// A count of the header.
struct Piece {
    text: String,
    role: Role,
    /// Those of the highest make room first.
    rank: u8,
}

/// The rank of what somebody silenced or acknowledged: it tells nobody, and whoever comes later has to know that. What fires comes before it.
const IN_HAND: u8 = 1;

/// Firing alerts by severity, loudest first, then what is pending, how many of them are explained, silenced or acknowledged (the last two
/// `apart`, or as one), and how many services are silent.
fn counts(status: &Status, past: bool, apart: bool) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut add = |text: String, role: Role, rank: u8| {
        let text = if pieces.is_empty() { text } else { format!(" · {text}") };
        pieces.push(Piece { text, role, rank });
    };
    for severity in Severity::ALL {
        let count = status.firing.get(severity.word()).copied().unwrap_or(0);
        if count > 0 {
            add(format!("{count} {}", severity.word()), severity_state(severity).into(), 0);
        }
    }
    let other = status
        .firing
        .iter()
        .filter(|(word, _)| !Severity::ALL.iter().any(|s| s.word() == *word))
        .fold(0, |sum: usize, (_, n)| sum.saturating_add(*n));
    if other > 0 {
        add(format!("{other} other"), Role::Degraded, 0);
    }
    if status.pending > 0 {
        add(format!("{} pending", status.pending), Role::Dim, 4);
    }
    if pieces.is_empty() {
        // Where nobody watched, silence says nothing.
        let unknown = past && status.overall == HealthState::Unknown;
        pieces.push(Piece { text: if unknown { "no alert known" } else { "nothing fires" }.to_owned(), role: Role::Dim, rank: 0 });
    }
    let (silenced, acknowledged) = (status.silenced, status.acknowledged);
    let (silenced, acknowledged, either) =
        if apart || silenced == 0 { (silenced, acknowledged, 0) } else { (0, 0, silenced.saturating_add(acknowledged)) };
    let counted = [
        (status.held, "explained", 5),
        (silenced, "silenced", IN_HAND),
        (acknowledged, "acked", IN_HAND),
        // Where there is no room to say by what.
        (either, "in hand", IN_HAND),
    ];
    for (count, what, rank) in counted {
        if count > 0 {
            pieces.push(Piece { text: format!(" ({count} {what})"), role: Role::Dim, rank });
        }
    }
    if status.silent > 0 && status.services > 0 {
        pieces.push(Piece { text: format!(" · {} of {} silent", status.silent, status.services), role: Role::Unknown, rank: 3 });
    }
    pieces
}

/// Figures of the header, most useful first.
fn figures(status: &Status) -> Vec<String> {
    let ingest = &status.ingest;
    let mut figures = Vec::new();
    if let Some(rate) = ingest.spans_per_second {
        figures.push(format!("{} spans/s", number::count(rate.round())));
    }
    if let Some(rate) = ingest.samples_per_second {
        figures.push(format!("{} samples/s", number::count(rate.round())));
    }
    if let Some(memory) = ingest.memory_bytes {
        figures.push(format!("{} of {}", number::bytes(memory), number::bytes(ingest.memory_limit_bytes)));
    }
    if let Some(platform) = &status.platform {
        figures.push(platform.clone());
    }
    figures
}

/// The time on screen and where it was read, the longest way to say it first.
fn time_marks(parts: &Parts<'_>, short: bool) -> Vec<(String, Role)> {
    let zone = parts.cx.zone;
    let lost = parts.cx.readings.slot(Kind::Status).error.as_ref();
    if let (Some(error), Some(status)) = (lost, parts.status) {
        // Who refuses is there: the banner says what it refuses.
        return match error {
            ReadError::Disconnected(_) | ReadError::Timeout => vec![(format!("✖ {error}"), Role::Unhealthy)],
            _ => vec![(format!("✖ refused, frozen at {}", zone.clock(status.now)), Role::Unhealthy)],
        };
    }
    if let Some(since) = parts.status.and_then(|s| s.disconnected_since) {
        let age = parts.wall.since(since).as_secs();
        return vec![(format!("✖ disconnected {:02}:{:02}, frozen at {}", age / 60, age % 60, zone.clock(since)), Role::Unhealthy)];
    }
    if let Some(held) = parts.held {
        // The time of what is shown, which is a little before the key was pressed.
        let text = format!("‖ frozen at {} · {} held", zone.clock(parts.cx.now), number::count(held.count as f64));
        return vec![(text, Role::Paused)];
    }
    if let Some(at) = parts.cx.at {
        let back = if parts.awaited { "reading …".to_owned() } else { format!("-{}", number::span(parts.wall.since(at))) };
        return vec![(format!("‖ at {} {}  {back}", zone.moment(at, parts.wall), zone.name(at)), Role::Paused)];
    }
    let source = parts.status.and_then(|s| s.source.as_deref()).map_or(String::new(), |url| {
        let host = url.split_once("://").map_or(url, |(_, rest)| rest);
        format!("{host} ")
    });
    let (clock, name) = (zone.clock(parts.wall), zone.name(parts.wall));
    let mut texts = vec![format!("● {clock}")];
    if !short {
        texts.insert(0, format!("● live {clock} {name}"));
        if !source.is_empty() {
            texts.insert(0, format!("● {source}{clock}"));
            texts.insert(0, format!("● {source}live {clock} {name}"));
        }
    }
    texts.into_iter().map(|text| (text, Role::Dim)).collect()
}

/// Draws the tabs and says where each is: left, right, view.
pub(crate) fn tabs(canvas: &mut Canvas<'_>, parts: &Parts<'_>) -> Vec<(u16, u16, ViewId)> {
    let width = usize::from(canvas.width());
    let active = parts.trail.iter().chain(std::iter::once(parts.place)).map(|p| p.view).rfind(|v| (*v as usize) < ViewId::TABS);
    let all = &ViewId::ALL[..ViewId::TABS];
    let label = |view: &ViewId| {
        let key = view.tab_action().map(|a| parts.keymap.keys("", a).first().cloned().unwrap_or_default()).unwrap_or_default();
        (key, view.title())
    };
    let length = |views: &[ViewId]| views.iter().map(|v| display_width(&label(v).0) + 2 + v.title().len()).sum::<usize>();
    let nine = &all[..9];
    let shown = if length(all) >= width && length(nine) <= width && active.is_none_or(|a| nine.contains(&a)) { nine } else { all };
    // Where there is no room for all names, the ones most often needed keep theirs.
    let mut named: Vec<ViewId> = Vec::new();
    let mut used = 1 + shown.iter().map(|v| display_width(&label(v).0) + 1).sum::<usize>();
    let most_needed = [ViewId::Services, ViewId::Alerts, ViewId::Map, ViewId::Traces];
    for view in active.into_iter().chain(most_needed).chain(shown.iter().copied()) {
        let more = view.title().len() + 1;
        if shown.contains(&view) && !named.contains(&view) && used + more <= width + 1 {
            used += more;
            named.push(view);
        }
    }
    let mut places = Vec::new();
    let mut pen = canvas.pen(1, 0);
    for view in shown {
        let (key, title) = label(view);
        let left = pen.x();
        let is_active = active == Some(*view);
        pen.put(&key, if is_active { Role::Active } else { Role::Key });
        if named.contains(view) {
            pen.gap(1).put(title, if is_active { Role::Active } else { Role::Dim });
        }
        places.push((left, pen.x(), *view));
        pen.gap(1);
    }
    places
}

/// The way from the tab to here, when there is one.
pub(crate) fn crumbs(parts: &Parts<'_>, inner: &[String], filtered: bool) -> Vec<String> {
    let name = |place: &Place| match &place.subject {
        Some(subject) => match subject.split_once(':') {
            // Where one is, the trace itself says which it is.
            Some(("id", id)) if place != parts.place => format!("trace {}", id.chars().take(8).collect::<String>()),
            Some(("id", _)) => place.view.title().to_owned(),
            _ => format!("{} {subject}", place.view.title()),
        },
        None => place.view.title().to_owned(),
    };
    let mut all: Vec<String> = parts.trail.iter().chain(std::iter::once(parts.place)).map(name).collect();
    all.extend(inner.iter().cloned());
    if filtered && !parts.cx.filter.is_empty() {
        all.push(format!("/ {}", parts.cx.filter.text));
    }
    if filtered && parts.cx.faults_only {
        all.push("! faults only".to_owned());
    }
    if all.len() > 1 || parts.place.subject.is_some() { all } else { Vec::new() }
}

pub(crate) fn crumb_line(canvas: &mut Canvas<'_>, crumbs: &[String]) {
    let width = usize::from(canvas.width());
    // The innermost crumbs matter most; outer ones make room.
    let mut first = 0;
    let total = |from: usize| crumbs[from..].iter().map(|c| display_width(c) + 3).sum::<usize>();
    while first + 1 < crumbs.len() && total(first) + 2 > width {
        first += 1;
    }
    let mut pen = canvas.pen(1, 0);
    if first > 0 {
        pen.put("… › ", Role::Faint);
    }
    for (i, crumb) in crumbs.iter().enumerate().skip(first) {
        let last = i + 1 == crumbs.len();
        pen.put(crumb, if last { Role::Strong } else { Role::Dim });
        if !last {
            pen.put(" › ", Role::Faint);
        }
    }
}

/// Up to two lines of what the user must know, as far as there is room beside the rows. Returns how many were used.
pub(crate) fn banners(canvas: &mut Canvas<'_>, parts: &Parts<'_>) -> u16 {
    let Some(status) = parts.status else { return 0 };
    let style = canvas.style(Role::Banner);
    let width = canvas.width().saturating_sub(2);
    // What the other side refuses comes before what it said while it answered.
    let refused = parts.cx.readings.slot(Kind::Status).error.as_ref().map(ToString::to_string);
    let text = match refused.as_ref().map_or(status.banners.as_slice(), std::slice::from_ref) {
        [] => return 0,
        [one] => format!("▲ {one}"),
        [one, other] => format!("▲ {one} · {other}"),
        [one, rest @ ..] => format!("▲ (+{} more) {one}", rest.len()),
    };
    let lines = wrap(&text, width.saturating_sub(2), usize::from(canvas.height()));
    for (y, line) in lines.iter().enumerate() {
        canvas.text(if y == 0 { 1 } else { 3 }, y as u16, width, line, style);
    }
    lines.len() as u16
}

/// What the terminal can show, in words.
pub(crate) fn capabilities(depth: ColorDepth, glyphs: Glyphs) -> String {
    let colours = match depth {
        ColorDepth::Mono => "no colours",
        ColorDepth::Ansi16 => "16 colours",
        ColorDepth::Ansi256 => "256 colours",
        ColorDepth::TrueColor => "true colour",
    };
    let characters = match glyphs {
        Glyphs::Ascii => "ASCII",
        Glyphs::Block => "blocks",
        Glyphs::Braille => "braille",
    };
    format!("{colours}, {characters}")
}
