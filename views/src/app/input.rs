//! Keys, mouse, pasted text and ticks.

use super::{App, Effects, Mode, cx};
use crate::action::Action;
use crate::effect::{Effect, Event};
use crate::keymap::Chord;
use crate::prompt::Purpose;
use crate::table::moved;
use crate::view::{Out, Place};
use crate::views::ViewId;
use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use std::time::Duration;
use watchfire_model::{Timestamp, ids_in};

/// How long a message stays in place of the key strip.
const MESSAGE: Duration = Duration::from_secs(6);

/// Whether an id stands within something else: an address, a line of JSON, a `traceparent`.
fn is_wrapped(text: &str) -> bool {
    let lengths: Vec<usize> = text.split('-').map(str::len).collect();
    text.contains("://") || text.contains(['{', '"', '\'', '?', '&', ',', ';']) || lengths == [2, 32, 16, 2]
}

/// The trace in a text, with the span of it that is meant; or else the first id.
fn ids_within(text: &str) -> Option<String> {
    let ids = ids_in(text);
    let of = |length: usize| ids.iter().find(|id| id.len() == length);
    match (of(32), of(16)) {
        (Some(trace), Some(span)) => Some(format!("{trace} {span}")),
        _ => ids.first().cloned(),
    }
}

impl App {
    /// Takes an event in and says what the program around must do.
    pub fn handle(&mut self, event: Event) -> Effects {
        let asked = if self.held.is_some() { self.wants() } else { Vec::new() };
        let mut effects = self.take_in(event);
        effects.extend(self.go_on_frozen(&asked));
        let wants = self.wants();
        self.readings.ask(&wants);
        effects
    }

    fn take_in(&mut self, event: Event) -> Effects {
        match event {
            Event::Key(key) if key.kind == KeyEventKind::Release => Vec::new(),
            Event::Key(key) => {
                self.dirty = true;
                self.key(key)
            }
            Event::Mouse(mouse) if self.options.mouse => self.mouse(mouse),
            Event::Mouse(_) => Vec::new(),
            Event::Paste(text) => {
                self.dirty = true;
                self.message = None;
                self.paste(&text)
            }
            Event::Resize(width, height) => {
                self.size = (width, height);
                self.dirty = true;
                Vec::new()
            }
            Event::Tick(now) => {
                self.tick(now);
                let mut effects = self.seek_on();
                effects.extend(self.chase_on());
                effects
            }
            Event::Done(result) => {
                match result {
                    Ok(text) => self.say(text, false),
                    Err(text) => self.say(text, true),
                }
                vec![Effect::Refresh]
            }
        }
    }

    fn tick(&mut self, now: Timestamp) {
        // Ages on screen have seconds; a frame is due when one has passed.
        if now.millis().div_euclid(1000) != self.wall.millis().div_euclid(1000) {
            self.dirty = true;
        }
        // What was said before the first tick is as old as that.
        if self.wall == Timestamp::default()
            && let Some((_, _, since)) = &mut self.message
        {
            *since = now;
        }
        self.wall = now;
        if self.message.as_ref().is_some_and(|(_, _, since)| now.since(*since) > MESSAGE) {
            self.message = None;
            self.dirty = true;
        }
    }

    fn key(&mut self, key: KeyEvent) -> Effects {
        let force = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
        match &mut self.mode {
            Mode::Prompt(_) => return self.prompt_key(key),
            Mode::Palette(_) => return self.palette_key(key),
            Mode::Help { scroll } if !force => {
                let page = usize::from(self.size.1.saturating_sub(3));
                let action = match key.code {
                    KeyCode::Char(' ') => Some(Action::PageDown),
                    _ => self.keymap.action(self.place.view.name(), Chord::of(key)),
                };
                // Drawing knows where the last line is.
                match action.and_then(|action| moved(action, *scroll, page, usize::MAX)) {
                    Some(to) => *scroll = to,
                    None => self.mode = Mode::Normal,
                }
                return Vec::new();
            }
            _ => {}
        }
        self.message = None;
        let chord = Chord::of(key);
        if let Some(action) = self.keymap.action(self.place.view.name(), chord) {
            return self.act(action);
        }
        if let Some(letter) = chord.character().filter(|c| c.is_ascii_uppercase() || *c == '%') {
            let cx = cx(&self.readings, &self.settings, &self.place, self.when());
            self.views[self.place.view as usize].letter(letter, &cx);
        }
        Vec::new()
    }

    fn paste(&mut self, text: &str) -> Effects {
        match &mut self.mode {
            Mode::Prompt(prompt) => {
                prompt.paste(text);
                let is_filter = prompt.purpose == Purpose::Filter;
                if is_filter {
                    self.preview();
                }
                self.complete();
                Vec::new()
            }
            Mode::Palette(palette) => {
                palette.prompt.paste(text);
                palette.search();
                Vec::new()
            }
            // An id pasted anywhere opens its trace.
            _ => {
                let mut id: String = text.trim().chars().take(200).collect();
                let is_word = |text: &str| !text.is_empty() && !text.chars().any(|c| c.is_whitespace() || c.is_control());
                if !is_word(&id) || is_wrapped(&id) {
                    id = ids_within(text).unwrap_or(if is_word(&id) { id } else { String::new() });
                }
                if id.is_empty() {
                    self.say("paste an id to open its trace; text goes into / or :", true);
                    return Vec::new();
                }
                self.descend(Place { view: ViewId::Traces, subject: Some(format!("id:{id}")) })
            }
        }
    }

    fn mouse(&mut self, mouse: MouseEvent) -> Effects {
        let action = match (&mut self.mode, mouse.kind) {
            (_, MouseEventKind::ScrollUp) => Action::Up,
            (_, MouseEventKind::ScrollDown) => Action::Down,
            (Mode::Normal, MouseEventKind::Down(MouseButton::Left)) => return self.click(mouse.column, mouse.row),
            (Mode::Normal, MouseEventKind::Up(MouseButton::Left)) => {
                let cx = cx(&self.readings, &self.settings, &self.place, self.when());
                let y = mouse.row.saturating_sub(self.body.y);
                self.dirty |= self.views[self.place.view as usize].release(mouse.column, y, &cx);
                return Vec::new();
            }
            _ => return Vec::new(),
        };
        self.dirty = true;
        let down = action == Action::Down;
        match &mut self.mode {
            Mode::Help { scroll } => *scroll = if down { scroll.saturating_add(3) } else { scroll.saturating_sub(3) },
            Mode::Palette(palette) => palette.step(down),
            _ => {}
        }
        if !matches!(self.mode, Mode::Normal) {
            return Vec::new();
        }
        let mut effects = Vec::new();
        for _ in 0..3 {
            effects.extend(self.act(action));
        }
        effects
    }

    fn click(&mut self, x: u16, y: u16) -> Effects {
        self.dirty = true;
        if y == 1 {
            let hit = self.tabs.iter().find(|(left, right, _)| (*left..*right).contains(&x)).map(|(_, _, view)| *view);
            return hit.map_or_else(Vec::new, |view| self.switch(view));
        }
        if y < self.body.y || y >= self.body.bottom() {
            return Vec::new();
        }
        let mut out = Out::default();
        let cx = cx(&self.readings, &self.settings, &self.place, self.when());
        let top = self.body.y;
        if self.views[self.place.view as usize].click(x, y - top, &cx, &mut out) {
            return self.take(out);
        }
        Vec::new()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.wall
    }
}
