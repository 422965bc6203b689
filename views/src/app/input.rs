//! Keys, mouse, pasted text and ticks.

use super::{App, Effects, Mode, cx};
use crate::action::Action;
use crate::command::{self, Order};
use crate::effect::{self, Effect, Event};
use crate::filter::Filter;
use crate::keymap::Chord;
use crate::look;
use crate::palette::{Choice, Palette};
use crate::prompt::{Prompt, Purpose, Typed, remember};
use crate::view::{Out, Place};
use crate::views::ViewId;
use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use watchfire_model::Timestamp;
use watchfire_model::reading::Command;

/// How long a message stays in place of the key strip.
const MESSAGE_MS: i64 = 6000;

impl App {
    /// Takes an event in and says what the program around must do.
    pub fn handle(&mut self, event: Event) -> Effects {
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
                self.paste(&text)
            }
            Event::Resize(width, height) => {
                self.size = (width, height);
                self.dirty = true;
                Vec::new()
            }
            Event::Tick(now) => {
                self.tick(now);
                Vec::new()
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
        self.wall = now;
        if self.message.as_ref().is_some_and(|(_, _, since)| now.millis() - since.millis() > MESSAGE_MS) {
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
                match key.code {
                    KeyCode::Down | KeyCode::Char('j') => *scroll = scroll.saturating_add(1).min(500),
                    KeyCode::Up | KeyCode::Char('k') => *scroll = scroll.saturating_sub(1),
                    KeyCode::PageDown | KeyCode::Char(' ') => *scroll = scroll.saturating_add(10).min(500),
                    KeyCode::PageUp => *scroll = scroll.saturating_sub(10),
                    _ => self.mode = Mode::Normal,
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
        if let Some(letter) = chord.character().filter(char::is_ascii_uppercase) {
            let cx = cx(&self.readings, &self.settings, &self.place, self.when());
            self.views[self.place.view as usize].letter(letter, &cx);
        }
        Vec::new()
    }

    /// Does one action, wherever it came from: key, palette, command.
    pub(crate) fn act(&mut self, action: Action) -> Effects {
        self.dirty = true;
        if action == Action::Copy && self.first_minute() {
            return self.copy_snippet();
        }
        let opened = ViewId::opened_by(action);
        // A view may know better than its service where `t` should lead.
        if opened.is_none_or(|(_, takes_service)| takes_service) {
            let mut out = Out::default();
            let cx = cx(&self.readings, &self.settings, &self.place, self.when());
            if self.views[self.place.view as usize].update(action, &cx, &mut out) {
                return self.take(out);
            }
        }
        if let Some((view, takes_service)) = opened {
            let mut subject = None;
            if takes_service {
                let cx = self.cx();
                subject = self.views[self.place.view as usize].service(&cx);
                if subject.is_none() && view == ViewId::Service {
                    self.say("no service is selected here", true);
                    return Vec::new();
                }
            }
            return if takes_service { self.descend(Place { view, subject }) } else { self.switch(view) };
        }
        self.shell_action(action)
    }

    fn first_minute(&self) -> bool {
        self.place.view == ViewId::Services && self.readings.status().is_some_and(super::nothing_received)
    }

    fn shell_action(&mut self, action: Action) -> Effects {
        match action {
            Action::Back => return self.back(false),
            Action::Quit => return self.back(true),
            Action::ForceQuit => return vec![Effect::Quit],
            Action::LastView => {
                if let Some(last) = self.last.clone() {
                    return self.descend(last);
                }
            }
            Action::NextView | Action::PreviousView => {
                let tabs = ViewId::TABS;
                let here = (self.place.view as usize).min(tabs - 1);
                let next = if action == Action::NextView { (here + 1) % tabs } else { (here + tabs - 1) % tabs };
                return self.switch(ViewId::ALL[next]);
            }
            Action::NextProblem => return self.problem(true),
            Action::PreviousProblem => return self.problem(false),
            Action::Filter => {
                let text = self.settings[self.place.view as usize].filter.text.clone();
                self.mode = Mode::Prompt(Prompt::new(Purpose::Filter, "/", &text));
            }
            Action::Command => {
                self.mode = Mode::Prompt(Prompt::new(Purpose::Command, ":", ""));
                self.complete();
            }
            Action::Palette => self.mode = Mode::Palette(Palette::new(&self.keymap, self.place.view, &self.services())),
            Action::Help => self.mode = Mode::Help { scroll: 0 },
            Action::FaultsOnly => {
                let setting = &mut self.settings[self.place.view as usize];
                setting.faults_only = !setting.faults_only;
                let text = if setting.faults_only { "only rows that are not fine; ! shows all" } else { "all rows" };
                self.say(text, false);
            }
            Action::StepBack => return self.scrub(-15),
            Action::StepForward => return self.scrub(15),
            Action::LeapBack => return self.scrub(-300),
            Action::LeapForward => return self.scrub(300),
            Action::ChangeBefore => return self.seek_change(false),
            Action::ChangeAfter => return self.seek_change(true),
            Action::Live => return self.set_time(None),
            Action::Freeze => self.freeze(),
            Action::Refresh => return vec![Effect::Refresh],
            Action::Redraw => return vec![Effect::Redraw],
            Action::Suspend => return vec![Effect::Suspend],
            Action::NextTheme => {
                let names = look::names(&self.options.themes);
                let next = names.iter().position(|n| *n == self.theme).map_or(0, |i| (i + 1) % names.len());
                let name = names[next].clone();
                self.change_theme(&name);
            }
            Action::Copy => {
                let text = self.views[self.place.view as usize].copy(&self.cx());
                match text {
                    Some(text) => return self.copied(&text),
                    None => self.say("nothing selected to copy", true),
                }
            }
            Action::Save => return self.export("text"),
            Action::Mark => self.say("rows of this view cannot be marked", true),
            _ => {}
        }
        Vec::new()
    }

    fn copied(&mut self, text: &str) -> Effects {
        let clean = effect::clipboard(text);
        self.say(format!("copied {} characters", clean.chars().count()), false);
        vec![Effect::Copy(clean)]
    }

    fn copy_snippet(&mut self) -> Effects {
        let endpoint = self.readings.status().and_then(|s| s.listening.otlp_grpc.clone());
        let snippet = crate::shell::exporter_snippet(endpoint.as_deref());
        self.say("copied the collector's exporter block", false);
        vec![Effect::Copy(snippet)]
    }

    fn export(&mut self, format: &str) -> Effects {
        let exported = self.views[self.place.view as usize].export(format, &self.cx());
        match exported {
            Ok((name, text)) => vec![Effect::Save { name, text }],
            Err(why) => {
                self.say(why, true);
                Vec::new()
            }
        }
    }

    fn change_theme(&mut self, name: &str) {
        match crate::look::Look::load(name, &self.options.themes, self.options.color, self.options.glyphs) {
            Ok(look) => {
                self.say(format!("theme {name}: {}", look.description), false);
                self.look = look.in_zone(self.options.zone);
                self.theme = name.to_owned();
            }
            Err(error) => self.say(error.to_string(), true),
        }
    }

    /// Carries out what a view asked for.
    pub(crate) fn take(&mut self, out: Out) -> Effects {
        let mut effects = Vec::new();
        for effect in out.effects {
            match effect {
                Effect::OpenUrl(url) => match effect::address(&url) {
                    Ok(url) => {
                        self.say(format!("opening {url}"), false);
                        effects.push(Effect::OpenUrl(url));
                    }
                    Err(why) => self.say(why, true),
                },
                Effect::Copy(text) => effects.extend(self.copied(&text)),
                Effect::Command(command) => effects.push(Effect::Command(self.signed(command))),
                effect => effects.push(effect),
            }
        }
        if let Some(text) = out.message {
            self.say(text, false);
        }
        if let Some(text) = out.filter {
            self.set_filter(&text);
        }
        if let Some(key) = out.mark {
            let marks = &mut self.settings[self.place.view as usize].marks;
            if !marks.remove(&key) {
                marks.insert(key);
            }
        }
        if let Some(ask) = out.ask {
            let purpose = Purpose::Answer { topic: ask.topic, promql: ask.promql };
            self.mode = Mode::Prompt(Prompt::new(purpose, format!("{} ", ask.label), &ask.text));
        }
        if let Some(place) = out.go {
            effects.extend(self.descend(place));
        }
        if let Some(text) = out.filter_there {
            self.set_filter(&text);
        }
        effects
    }

    /// Puts the name of the person under what they do.
    fn signed(&self, mut command: Command) -> Command {
        match &mut command {
            Command::Silence(silence) if silence.created_by.is_empty() => silence.created_by.clone_from(&self.options.user),
            Command::Acknowledge { by, .. } if by.is_empty() => by.clone_from(&self.options.user),
            _ => {}
        }
        command
    }

    fn prompt_key(&mut self, key: KeyEvent) -> Effects {
        let Mode::Prompt(prompt) = &mut self.mode else { return Vec::new() };
        let history: &[String] = match prompt.purpose {
            Purpose::Command => &self.commands,
            Purpose::Filter => &self.filters,
            Purpose::Answer { .. } => &[],
        };
        match prompt.key(key, history) {
            Typed::Nothing => {}
            Typed::Changed => {
                if prompt.purpose == Purpose::Filter {
                    self.preview();
                }
                self.complete();
            }
            Typed::Cancel => {
                let (purpose, before) = (prompt.purpose, prompt.before.clone());
                self.mode = Mode::Normal;
                if purpose == Purpose::Filter {
                    self.set_filter(&before);
                }
            }
            Typed::Submit => return self.submit(),
        }
        Vec::new()
    }

    /// A filter works while it is typed; a mistake is named and the last good one stays.
    fn preview(&mut self) {
        let Mode::Prompt(prompt) = &mut self.mode else { return };
        match Filter::parse(prompt.text(), self.views[self.place.view as usize].fields()) {
            Ok(filter) => {
                self.stamps += 1;
                let setting = &mut self.settings[self.place.view as usize];
                setting.filter = filter;
                setting.stamp = self.stamps;
            }
            Err(error) => prompt.error = Some(error),
        }
    }

    pub(crate) fn set_filter(&mut self, text: &str) {
        match Filter::parse(text, self.views[self.place.view as usize].fields()) {
            Ok(filter) => {
                self.stamps += 1;
                let setting = &mut self.settings[self.place.view as usize];
                setting.filter = filter;
                setting.stamp = self.stamps;
                self.dirty = true;
            }
            Err(error) => self.say(format!("filter: {error}"), true),
        }
    }

    fn submit(&mut self) -> Effects {
        let Mode::Prompt(mut prompt) = std::mem::replace(&mut self.mode, Mode::Normal) else { return Vec::new() };
        let text = prompt.text().trim().to_owned();
        match prompt.purpose {
            Purpose::Filter => match Filter::parse(&text, self.views[self.place.view as usize].fields()) {
                Ok(_) => {
                    remember(&mut self.filters, &text);
                    self.set_filter(&text);
                    vec![Effect::Refresh]
                }
                Err(error) => {
                    prompt.error = Some(error);
                    self.mode = Mode::Prompt(prompt);
                    Vec::new()
                }
            },
            Purpose::Command => {
                remember(&mut self.commands, &text);
                self.order(&text)
            }
            Purpose::Answer { topic, .. } => self.answer(topic, &text),
        }
    }

    fn answer(&mut self, topic: &'static str, text: &str) -> Effects {
        let mut out = Out::default();
        let cx = cx(&self.readings, &self.settings, &self.place, self.when());
        self.views[self.place.view as usize].answer(topic, text, &cx, &mut out);
        let mut effects = self.take(out);
        effects.push(Effect::Refresh);
        effects
    }

    /// Runs a command line.
    pub fn order(&mut self, line: &str) -> Effects {
        self.dirty = true;
        match command::parse(line, self.wall, self.options.zone) {
            Err(error) => {
                self.say(error, true);
                Vec::new()
            }
            Ok(Order::Go(place, filter)) => {
                let mut effects = if place.subject.is_some() { self.descend(place) } else { self.switch(place.view) };
                if let Some(filter) = filter {
                    self.set_filter(&filter);
                }
                effects.push(Effect::Refresh);
                effects
            }
            Ok(Order::At(at)) => self.set_time(at),
            Ok(Order::Theme(name)) => {
                self.change_theme(&name);
                Vec::new()
            }
            Ok(Order::Export(format)) => self.export(&format),
            Ok(Order::Act(action)) => self.act(action),
            Ok(Order::Tell(topic, text)) => self.answer(topic, &text),
            Ok(Order::CopySnippet) => self.copy_snippet(),
        }
    }

    fn complete(&mut self) {
        let services: Vec<&str> = match self.readings.vocabulary() {
            Some(vocabulary) if !vocabulary.services.is_empty() => vocabulary.services.iter().map(String::as_str).collect(),
            _ => self.readings.services().map(|s| s.services.iter().map(|r| r.name.as_str()).collect()).unwrap_or_default(),
        };
        let Mode::Prompt(prompt) = &mut self.mode else { return };
        let mut candidates = match prompt.purpose {
            Purpose::Command => command::complete(prompt.text(), &services, &look::names(&self.options.themes)),
            Purpose::Filter => {
                let fields = self.views[self.place.view as usize].fields();
                complete_filter(prompt.text(), fields, &services)
            }
            Purpose::Answer { promql: true, .. } => crate::promql_words::complete(prompt.text(), self.readings.vocabulary()),
            Purpose::Answer { .. } => Vec::new(),
        };
        candidates.truncate(64);
        prompt.candidates = candidates;
    }

    fn palette_key(&mut self, key: KeyEvent) -> Effects {
        let Mode::Palette(palette) = &mut self.mode else { return Vec::new() };
        match key.code {
            KeyCode::Up => palette.step(false),
            KeyCode::Down | KeyCode::Tab => palette.step(true),
            _ => match palette.prompt.key(key, &[]) {
                Typed::Changed => palette.search(),
                Typed::Cancel => self.mode = Mode::Normal,
                Typed::Submit => {
                    let choice = palette.choice();
                    self.mode = Mode::Normal;
                    return match choice {
                        Some(Choice::Act(action)) => self.act(action),
                        Some(Choice::Go(place)) => self.descend(place),
                        None => Vec::new(),
                    };
                }
                Typed::Nothing => {}
            },
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
                let id: String = text.trim().chars().take(200).collect();
                if id.is_empty() || id.chars().any(|c| c.is_whitespace() || c.is_control()) {
                    self.say("paste an id to open its trace; text goes into / or :", true);
                    return Vec::new();
                }
                self.descend(Place { view: ViewId::Traces, subject: Some(format!("id:{id}")) })
            }
        }
    }

    fn mouse(&mut self, mouse: MouseEvent) -> Effects {
        if !matches!(self.mode, Mode::Normal) {
            return Vec::new();
        }
        let action = match mouse.kind {
            MouseEventKind::ScrollUp => Action::Up,
            MouseEventKind::ScrollDown => Action::Down,
            MouseEventKind::Down(MouseButton::Left) => return self.click(mouse.column, mouse.row),
            _ => return Vec::new(),
        };
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

fn complete_filter(text: &str, fields: &[&str], services: &[&str]) -> Vec<String> {
    let start = text.rfind([' ', '(', '!']).map_or(0, |i| i + 1);
    let (head, part) = text.split_at(start);
    if let Some(value) = part.strip_prefix("service=") {
        return services.iter().filter(|s| s.contains(value)).map(|s| format!("{head}service={s}")).collect();
    }
    if part.is_empty() {
        return Vec::new();
    }
    fields.iter().filter(|f| f.starts_with(part)).map(|f| format!("{head}{f}")).collect()
}
