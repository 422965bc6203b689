//! What is typed: the filter, the command and the answer on the prompt line, and the search of the palette.

use super::{App, Effects, Mode, cx};
use crate::command;
use crate::effect::Effect;
use crate::filter::Filter;
use crate::look;
use crate::palette::Choice;
use crate::prompt::{Purpose, Typed, for_later, remember};
use crate::view::Out;
use crossterm::event::{KeyCode, KeyEvent};

impl App {
    pub(super) fn prompt_key(&mut self, key: KeyEvent) -> Effects {
        let Mode::Prompt(prompt) = &mut self.mode else { return Vec::new() };
        let history: &[String] = match prompt.purpose {
            Purpose::Command => &self.commands,
            Purpose::Filter => &self.filters,
            Purpose::Answer { promql: true, .. } => &self.expressions,
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
    pub(super) fn preview(&mut self) {
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
        let for_later = for_later(prompt.purpose, prompt.text()).map(Effect::Remember);
        let (effects, new) = match prompt.purpose {
            Purpose::Filter => match Filter::parse(&text, self.views[self.place.view as usize].fields()) {
                Ok(_) => {
                    let new = remember(&mut self.filters, &text);
                    self.set_filter(&text);
                    (vec![Effect::Refresh], new)
                }
                Err(error) => {
                    prompt.error = Some(error);
                    self.mode = Mode::Prompt(prompt);
                    (Vec::new(), false)
                }
            },
            Purpose::Command => {
                let new = remember(&mut self.commands, &text);
                (self.order(&text), new)
            }
            Purpose::Answer { topic, promql } => {
                let new = promql && remember(&mut self.expressions, &text);
                (self.answer(topic, &text), new)
            }
        };
        effects.into_iter().chain(for_later.filter(|_| new)).collect()
    }

    pub(super) fn answer(&mut self, topic: &'static str, text: &str) -> Effects {
        let mut out = Out::default();
        let cx = cx(&self.readings, &self.settings, &self.place, self.when());
        self.views[self.place.view as usize].answer(topic, text, &cx, &mut out);
        let mut effects = self.take(out);
        effects.push(Effect::Refresh);
        effects
    }

    pub(super) fn complete(&mut self) {
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
            Purpose::Answer { topic: "service", .. } => {
                let typed = prompt.text();
                services.iter().filter(|s| !typed.is_empty() && s.contains(typed) && **s != typed).map(|s| (*s).to_owned()).collect()
            }
            Purpose::Answer { .. } => Vec::new(),
        };
        candidates.truncate(64);
        prompt.candidates = candidates;
    }

    pub(super) fn palette_key(&mut self, key: KeyEvent) -> Effects {
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
                        Some(Choice::There(view, action)) => self.act_there(view, action),
                        Some(Choice::Go(place)) => self.descend(place),
                        None => Vec::new(),
                    };
                }
                Typed::Nothing => {}
            },
        }
        Vec::new()
    }
}

fn complete_filter(text: &str, fields: &[&str], services: &[&str]) -> Vec<String> {
    let start = text.rfind([' ', '(', '!']).map_or(0, |i| i + 1);
    let (head, part) = text.split_at(start);
    if let Some(value) = part.strip_prefix("service=") {
        return services.iter().filter(|s| s.contains(value) && **s != value).map(|s| format!("{head}service={s}")).collect();
    }
    if part.is_empty() {
        return Vec::new();
    }
    fields.iter().filter(|f| f.starts_with(part) && **f != part).map(|f| format!("{head}{f}")).collect()
}
