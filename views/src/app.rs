//! The terminal program without a terminal: readings and events go in, effects and frames come out.

mod act;
mod input;
mod navigate;
mod typing;

use crate::canvas::Canvas;
use crate::effect::Effect;
use crate::filter::Filter;
use crate::keymap::{Keymap, KeymapError};
use crate::look::{ColorDepth, Glyphs, Look, ThemeError};
use crate::palette::Palette;
use crate::prompt::{EXPRESSION, Prompt, Purpose, remember, told};
use crate::readings::{Kind, Readings};
use crate::view::{Cx, Place, View};
use crate::views::{self, ViewId};
use crate::zone::Zone;
use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use watchfire_model::reading::{ReadError, Status};
use watchfire_model::{Reading, Request, Timestamp};

/// How the screen should look and behave.
#[derive(Clone, Debug)]
pub struct Options {
    /// Name of a theme: dark, light, high-contrast, colour-blind, mono, or one of `themes`.
    pub theme: String,
    /// Theme files of the user: name and TOML text.
    pub themes: Vec<(String, String)>,
    pub color: ColorDepth,
    pub glyphs: Glyphs,
    /// Whether wheel and clicks are used.
    pub mouse: bool,
    /// A keymap laid over the default one: file and TOML text.
    pub keymap: Option<(String, String)>,
    /// Who acknowledges and silences.
    pub user: String,
    /// What times of day are written in and read from.
    pub zone: Zone,
    /// What was typed in earlier sessions, oldest first: as [`crate::Effect::Remember`] gave it.
    pub typed: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            theme: "dark".to_owned(),
            themes: Vec::new(),
            color: ColorDepth::default(),
            glyphs: Glyphs::default(),
            mouse: true,
            keymap: None,
            user: "terminal".to_owned(),
            zone: Zone::default(),
            typed: Vec::new(),
        }
    }
}

/// Why the screen cannot start as asked.
#[derive(Debug, thiserror::Error)]
pub enum OptionError {
    #[error(transparent)]
    Theme(#[from] ThemeError),
    #[error(transparent)]
    Keymap(#[from] KeymapError),
}

/// What a person set for one view and finds again.
#[derive(Debug, Default)]
pub(crate) struct Setting {
    pub(crate) filter: Filter,
    pub(crate) stamp: u64,
    pub(crate) faults_only: bool,
    pub(crate) marks: Vec<String>,
}

/// Readings that arrived while the screen is frozen.
pub(crate) struct Held {
    /// The newest answer to each kind of question.
    newest: Vec<(Request, Result<Reading, ReadError>)>,
    pub(crate) count: u64,
}

/// What keys mean at the moment.
pub(crate) enum Mode {
    Normal,
    Prompt(Prompt),
    Palette(Palette),
    /// The first line shown.
    Help {
        scroll: usize,
    },
}

/// The whole screen and its state.
pub struct App {
    options: Options,
    theme: String,
    look: Look,
    keymap: Keymap,
    readings: Readings,
    held: Option<Held>,
    views: Vec<Box<dyn View>>,
    settings: Vec<Setting>,
    place: Place,
    trail: Vec<Place>,
    last: Option<Place>,
    mode: Mode,
    at: Option<Timestamp>,
    /// The time cursor stands where the screen was frozen; the same key lets go of it.
    paused: bool,
    wall: Timestamp,
    message: Option<(String, bool, Timestamp)>,
    commands: Vec<String>,
    filters: Vec<String>,
    expressions: Vec<String>,
    /// Problems of all views are read while someone jumps between them.
    hunting: bool,
    /// Which way to the next problem, and which views have not been read since that was asked.
    chase: Option<(bool, Vec<Kind>)>,
    /// Changes are read to jump to the one before or the next.
    seeking: Option<bool>,
    /// When what changed, as was known when the time cursor left now; a reading of then knows only what came before. `None` where nobody asked.
    ahead: Option<Vec<Timestamp>>,
    /// What the screen shows of another time than it says, until it has been read.
    awaited: Vec<Kind>,
    stamps: u64,
    size: (u16, u16),
    body: Rect,
    tabs: Vec<(u16, u16, ViewId)>,
    dirty: bool,
}

impl App {
    /// # Errors
    /// When the theme or the keymap cannot be used.
    pub fn new(options: Options) -> Result<App, OptionError> {
        let look = Look::load(&options.theme, &options.themes, options.color, options.glyphs)?.in_zone(options.zone);
        let mut keymap = Keymap::load(options.keymap.as_ref().map(|(file, text)| (&**file, &**text)))?;
        keymap.spelled = options.glyphs == Glyphs::Ascii;
        let typed = |purpose| {
            let mut history = Vec::new();
            options.typed.iter().filter_map(|line| told(purpose, line)).for_each(|line| {
                remember(&mut history, line);
            });
            history
        };
        Ok(App {
            commands: typed(Purpose::Command),
            filters: typed(Purpose::Filter),
            expressions: typed(EXPRESSION),
            theme: options.theme.clone(),
            look,
            keymap,
            readings: Readings::default(),
            held: None,
            views: views::all(),
            settings: ViewId::ALL.iter().map(|_| Setting::default()).collect(),
            place: Place { view: ViewId::Services, subject: None },
            trail: Vec::new(),
            last: None,
            mode: Mode::Normal,
            at: None,
            paused: false,
            wall: Timestamp::default(),
            message: None,
            hunting: false,
            chase: None,
            seeking: None,
            ahead: None,
            awaited: Vec::new(),
            stamps: 0,
            size: (80, 24),
            body: Rect::default(),
            tabs: Vec::new(),
            dirty: true,
            options,
        })
    }

    /// What must be read for the present screen, most important first. `Status` is always there.
    pub fn wants(&self) -> Vec<Request> {
        let mut wants = self.views[self.place.view as usize].wants(&self.cx());
        // Nothing is shown before it is known whose it is, and whether it is a simulation.
        let first = if self.readings.status().is_some() { wants.len() } else { 0 };
        wants.insert(first, Request::Status);
        if self.hunting {
            wants.extend([Request::Services, Request::Alerts, Request::Breakers, Request::Queues, Request::Health]);
        }
        if self.seeking.is_some() {
            wants.push(Request::Services);
        }
        match &self.mode {
            Mode::Prompt(_) => wants.push(Request::Vocabulary),
            Mode::Palette(_) => wants.push(Request::Services),
            _ => {}
        }
        let mut unique: Vec<Request> = Vec::with_capacity(wants.len());
        for request in wants {
            if !unique.contains(&request) {
                unique.push(request);
            }
        }
        unique
    }

    /// The time cursor that readings must be of; `None` is now.
    pub fn at(&self) -> Option<Timestamp> {
        self.at
    }

    /// Takes an answer in. While frozen it is held and counted.
    pub fn receive(&mut self, request: &Request, answer: Result<Reading, ReadError>) {
        if let Some(held) = &mut self.held {
            let kind = Kind::of(request);
            held.newest.retain(|(r, _)| Kind::of(r) != kind);
            held.newest.push((request.clone(), answer));
            held.count += 1;
            return;
        }
        if let (Ok(Reading::Status(status)), None) = (&answer, self.at)
            && self.wall < status.now
        {
            self.wall = status.now;
        }
        if let Some((_, missing)) = &mut self.chase {
            missing.retain(|kind| *kind != Kind::of(request));
        }
        let awaited = self.awaited.len();
        self.awaited.retain(|kind| *kind != Kind::of(request));
        if self.readings.put(request, answer) || self.awaited.len() < awaited {
            self.dirty = true;
        }
    }

    /// Whether a frame drawn now could differ from the last one.
    pub fn dirty(&self) -> bool {
        self.dirty
    }

    /// The name of the theme in use.
    pub fn theme(&self) -> &str {
        &self.theme
    }

    pub fn render(&mut self, frame: &mut Frame<'_>) {
        let area = frame.area();
        self.render_to(frame.buffer_mut(), area);
    }

    /// Draws the whole screen. Any size is fine; below 40x10 there is only a notice.
    pub fn render_to(&mut self, buffer: &mut Buffer, area: Rect) {
        self.dirty = false;
        let look = self.look.clone();
        let mut canvas = Canvas::new(buffer, area, &look);
        self.size = (canvas.width(), canvas.height());
        if canvas.width() < 40 || canvas.height() < 10 {
            crate::shell::too_small(&mut canvas);
            return;
        }
        let (width, height) = self.size;
        let cx = cx(&self.readings, &self.settings, &self.place, self.when());
        let parts = crate::shell::Parts {
            cx: &cx,
            status: self.readings.status(),
            place: &self.place,
            trail: &self.trail,
            keymap: &self.keymap,
            wall: self.wall,
            held: self.held.as_ref(),
            awaited: !self.awaited.is_empty(),
        };
        crate::shell::header(&mut canvas.part(0, 0, width, 1), &parts);
        let welcome = self.place.view == ViewId::Services && self.readings.status().is_some_and(nothing_received);
        let mut top = 1;
        if !welcome {
            self.tabs = crate::shell::tabs(&mut canvas.part(0, 1, width, 1), &parts);
            top = 2;
            let view = &self.views[self.place.view as usize];
            let crumbs = crate::shell::crumbs(&parts, &view.crumbs(), view.is_filtered());
            if !crumbs.is_empty() {
                crate::shell::crumb_line(&mut canvas.part(0, top, width, 1), &crumbs);
                top += 1;
            }
        }
        let lines = if height >= 24 { 2 } else { 1 };
        top += crate::shell::banners(&mut canvas.part(0, top, width, lines), &parts);
        self.body = Rect::new(0, top, width, (height - 1).saturating_sub(top));
        let mut body = canvas.part(0, top, width, self.body.height);
        let view = &mut self.views[self.place.view as usize];
        if welcome {
            crate::shell::welcome(&mut body, self.readings.status());
        } else {
            view.render(&cx, &mut body);
        }
        match (&self.message, &mut canvas.part(0, height - 1, width, 1)) {
            (Some((text, is_error, _)), _) => crate::shell::message(&mut canvas, text, *is_error),
            (None, strip) if welcome => crate::shell::welcome_strip(strip, &parts),
            (None, strip) => crate::shell::strip(strip, &parts, &**view),
        }
        match &mut self.mode {
            Mode::Normal => {}
            Mode::Prompt(prompt) => prompt.draw(&mut canvas),
            Mode::Palette(palette) => palette.draw(&mut canvas),
            Mode::Help { scroll } => crate::shell::help(&mut canvas, &parts, &**view, scroll),
        }
    }

    fn when(&self) -> When {
        When { now: self.shown_time(), at: self.at, zone: self.options.zone }
    }

    /// The time the screen describes.
    fn shown_time(&self) -> Timestamp {
        let frozen = self.held.as_ref().and_then(|_| self.readings.status().map(|s| s.now));
        let refused = self.readings.slot(Kind::Status).error.as_ref().and_then(|_| self.readings.status()).map(|s| s.now);
        let lost = refused.or_else(|| self.readings.status().and_then(|s| s.disconnected_since));
        self.at.or(frozen).or(lost).unwrap_or(self.wall)
    }

    fn cx(&self) -> Cx<'_> {
        cx(&self.readings, &self.settings, &self.place, self.when())
    }

    fn say(&mut self, text: impl Into<String>, is_error: bool) {
        self.message = Some((text.into(), is_error, self.wall));
        self.dirty = true;
    }

    /// Says something in place of the key strip, until a key is pressed or some seconds have passed.
    pub fn tell(&mut self, text: &str) {
        self.say(text, false);
    }

    fn services(&self) -> Vec<&str> {
        self.readings.services().map(|s| s.services.iter().map(|row| row.name.as_str()).collect()).unwrap_or_default()
    }

    /// A picture of the screen as it was last drawn, as text without styles; for tests and `:export text`.
    pub fn frame_text(&mut self, width: u16, height: u16) -> String {
        let mut buffer = Buffer::empty(Rect::new(0, 0, width, height));
        let area = buffer.area;
        self.render_to(&mut buffer, area);
        crate::svg::text_from_buffer(&buffer)
    }
}

/// The time a view describes, and how it is written.
#[derive(Clone, Copy)]
pub(crate) struct When {
    now: Timestamp,
    at: Option<Timestamp>,
    zone: Zone,
}

/// Built from fields, so that views can be borrowed beside it.
fn cx<'a>(readings: &'a Readings, settings: &'a [Setting], place: &Place, when: When) -> Cx<'a> {
    let setting = &settings[place.view as usize];
    Cx {
        readings,
        now: when.now,
        at: when.at,
        zone: when.zone,
        filter: &setting.filter,
        filter_stamp: setting.stamp,
        faults_only: setting.faults_only,
        marks: &setting.marks,
    }
}

pub(crate) fn nothing_received(status: &Status) -> bool {
    let i = &status.ingest;
    status.services == 0
        && i.spans_held == Some(0)
        && i.spans_evicted == Some(0)
        // Not `series`: watchfire's own metrics are series too.
        && i.samples_per_second.unwrap_or(0.0) == 0.0
        && i.logs_held == Some(0)
        && i.checks == 0
        && i.targets_up == 0
        && i.targets_down == 0
}

/// Effects that the screen itself carries out are not among those handed out.
pub(crate) type Effects = Vec<Effect>;
