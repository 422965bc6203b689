//! Doing things: actions of keys, palette and commands, and what views ask for.

use super::{App, Effects, Mode, cx, nothing_received};
use crate::action::Action;
use crate::command::{self, Order};
use crate::effect::{self, Effect};
use crate::look::{self, Look};
use crate::palette::Palette;
use crate::part::the_only;
use crate::prompt::{Prompt, Purpose};
use crate::view::{Out, Place};
use crate::views::ViewId;
use std::time::Duration;
use watchfire_model::format_duration;
use watchfire_model::reading::Command;

impl App {
    /// Does one action, wherever it came from: key, palette, command.
    pub(crate) fn act(&mut self, action: Action) -> Effects {
        self.dirty = true;
        if action == Action::Copy && self.first_minute() {
            return self.copy_snippet();
        }
        // The key that opened Explore is, within it, the one for now.
        if action == Action::Explore && self.place.view == ViewId::Explore && self.at.is_some() {
            return self.set_time(None);
        }
        self.hunting &= matches!(action, Action::NextProblem | Action::PreviousProblem);
        self.chase = None;
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
        self.place.view == ViewId::Services && self.readings.status().is_some_and(nothing_received)
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
            Action::Filter | Action::FaultsOnly if !self.views[self.place.view as usize].is_filtered() => {
                self.say("there are no rows to filter here", true);
            }
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
            Action::Freeze if self.paused => return self.set_time(None),
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
        // The map knows its formats itself; rows are written as rows, whatever `w` asks for.
        let known = self.place.view == ViewId::Map || ["text", "txt", "csv", "json"].contains(&format);
        let exported = match known {
            false => Err(format!(
                "cannot write this as {format}: tables are written as csv, an open trace as json, the map as mermaid, dot, svg or text"
            )),
            true => self.views[self.place.view as usize].export(format, &self.cx()),
        };
        match exported {
            Ok((name, text)) => vec![Effect::Save { name, text }],
            Err(why) => {
                self.say(why, true);
                Vec::new()
            }
        }
    }

    fn change_theme(&mut self, name: &str) {
        match Look::load(name, &self.options.themes, self.options.color, self.options.glyphs) {
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
        if let Some(text) = out.refusal {
            self.say(text, true);
        }
        if let Some(text) = out.filter {
            self.set_filter(&text);
        }
        if let Some(key) = out.mark {
            let marks = &mut self.settings[self.place.view as usize].marks;
            match marks.iter().position(|mark| *mark == key) {
                Some(index) => drop(marks.remove(index)),
                None => marks.push(key),
            }
            // Two are compared; a mark that nobody sees any more makes room for the next one.
            if marks.len() > 2 {
                marks.remove(0);
            }
        }
        if let Some(ask) = out.ask {
            let purpose = Purpose::Answer { topic: ask.topic, promql: ask.promql };
            self.mode = Mode::Prompt(Prompt::new(purpose, format!("{} ", ask.label), &ask.text));
        }
        if out.at.is_some() {
            effects.extend(self.set_time(out.at));
        }
        if let Some(place) = out.go {
            effects.extend(self.descend(place));
        }
        if let Some(text) = out.filter_there {
            self.set_filter(&text);
        }
        effects
    }

    /// Puts the name of the person under what they do, and has it begin now, whatever time the screen is of.
    fn signed(&self, mut command: Command) -> Command {
        match &mut command {
            Command::Silence(silence) => {
                silence.ends_at = self.wall.saturating_add(silence.ends_at.since(silence.starts_at));
                silence.starts_at = self.wall;
                if silence.created_by.is_empty() {
                    silence.created_by.clone_from(&self.options.user);
                }
            }
            Command::Acknowledge { by, .. } if by.is_empty() => by.clone_from(&self.options.user),
            _ => {}
        }
        command
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
                let place = self.named(place);
                let mut effects = if place.subject.is_some() { self.descend(place) } else { self.switch(place.view) };
                if let Some(filter) = filter {
                    self.set_filter(&filter);
                }
                effects.push(Effect::Refresh);
                effects
            }
            Ok(Order::At(at)) => self.set_time(at),
            Ok(Order::Since(since)) if since >= self.shown_time() => {
                self.say("that is after the time on screen", true);
                Vec::new()
            }
            Ok(Order::Since(since)) => {
                let seconds = self.shown_time().since(since).as_secs();
                let length = format_duration(Duration::from_secs(seconds));
                self.descend(Place { view: ViewId::Changes, subject: Some(length) })
            }
            Ok(Order::Theme(name)) => {
                self.change_theme(&name);
                Vec::new()
            }
            Ok(Order::Export(format)) => self.export(&format),
            Ok(Order::Act(action)) => match self.keymap.only_elsewhere(self.place.view, action) {
                Some(view) => self.act_there(view, action),
                None => self.act(action),
            },
            Ok(Order::Tell(topic, _)) if self.place.view != ViewId::Alerts => {
                self.say(format!(":{topic} is about the alert that is selected in Alerts"), true);
                Vec::new()
            }
            Ok(Order::Tell(topic, text)) => self.answer(topic, &text),
            Ok(Order::CopySnippet) => self.copy_snippet(),
        }
    }

    /// Does in another view what only that one knows. What is about a row is left to whoever sees which one it is.
    pub(crate) fn act_there(&mut self, view: ViewId, action: Action) -> Effects {
        let mut effects = self.switch(view);
        if action.needs_a_row() {
            let key = self.keymap.keys(view.name(), action).first().cloned().unwrap_or_default();
            self.say(format!("choose a row, then {key}: {}", action.long()), false);
        } else {
            effects.extend(self.act(action));
        }
        effects
    }

    /// A part of a name is enough where only one has it, or only one begins with it.
    fn named(&self, place: Place) -> Place {
        let Some(part) = place.subject.as_deref().filter(|_| matches!(place.view, ViewId::Service | ViewId::Latency)) else {
            return place;
        };
        let whole = the_only(&self.services(), part).map(str::to_owned);
        Place { subject: whole.or_else(|| place.subject.clone()), ..place }
    }
}
