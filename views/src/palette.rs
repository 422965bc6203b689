//! The palette: every action, view and service, found by a few letters of its name.

use crate::action::Action;
use crate::canvas::{Canvas, display_width};
use crate::keymap::Keymap;
use crate::look::Role;
use crate::prompt::{Prompt, Purpose};
use crate::view::Place;
use crate::views::ViewId;
use nucleo_matcher::pattern::{CaseMatching, Normalization, Pattern};
use nucleo_matcher::{Config, Matcher, Utf32Str};

#[derive(Clone, Debug)]
pub(crate) enum Choice {
    Act(Action),
    /// In a view where one is not.
    There(ViewId, Action),
    Go(Place),
}

#[derive(Debug)]
struct Entry {
    text: String,
    /// What `:` and keymap files call it.
    name: &'static str,
    keys: String,
    choice: Choice,
}

#[derive(Debug)]
pub(crate) struct Palette {
    pub(crate) prompt: Prompt,
    entries: Vec<Entry>,
    found: Vec<usize>,
    selected: usize,
}

impl Palette {
    pub(crate) fn new(keymap: &Keymap, view: ViewId, services: &[&str]) -> Palette {
        let here = keymap.of_view(view.name());
        // What no key is left for is found here as well.
        let everywhere =
            Action::ALL.iter().filter(|a| !here.contains(a) && (!keymap.keys(view.name(), **a).is_empty() || !keymap.binds(**a)));
        let actions = here.iter().chain(everywhere).map(|action| Entry {
            text: action.long().to_owned(),
            name: action.name(),
            keys: keymap.keys(view.name(), *action).first().cloned().unwrap_or_default(),
            choice: Choice::Act(*action),
        });
        let key = |view: ViewId, action| keymap.keys(view.name(), action).first().cloned().unwrap_or_default();
        // What only other views do comes last, with the keys that lead to it.
        let there = ViewId::ALL.iter().filter(|there| **there != view).flat_map(|there| {
            let actions = keymap.of_view(there.name()).into_iter().filter(|action| !here.contains(action));
            actions.map(|action| Entry {
                text: format!("{}: {}", there.title(), action.long()),
                name: action.name(),
                keys: [there.tab_action().map(|tab| key(view, tab)).unwrap_or_default(), key(*there, action)].join(" "),
                choice: Choice::There(*there, action),
            })
        });
        let services = services.iter().map(|name| Entry {
            text: format!("service {name}"),
            name: "",
            keys: String::new(),
            choice: Choice::Go(Place { view: ViewId::Service, subject: Some((*name).to_owned()) }),
        });
        let entries: Vec<Entry> = actions.chain(there).chain(services).collect();
        let found = (0..entries.len()).collect();
        Palette { prompt: Prompt::new(Purpose::Command, "› ", ""), entries, found, selected: 0 }
    }

    /// Finds anew after the line changed; best match first.
    pub(crate) fn search(&mut self) {
        let mut matcher = Matcher::new(Config::DEFAULT);
        let pattern = Pattern::parse(self.prompt.text(), CaseMatching::Ignore, Normalization::Smart);
        let mut letters = Vec::new();
        let mut scored: Vec<(u32, usize)> = self
            .entries
            .iter()
            .enumerate()
            .filter_map(|(i, entry)| {
                let scores = [entry.text.as_str(), entry.name].map(|text| pattern.score(Utf32Str::new(text, &mut letters), &mut matcher));
                scores.into_iter().max().flatten().map(|score| (score, i))
            })
            .collect();
        scored.sort_by_key(|(score, i)| (std::cmp::Reverse(*score), *i));
        self.found = scored.into_iter().map(|(_, i)| i).collect();
        self.selected = 0;
    }

    pub(crate) fn step(&mut self, down: bool) {
        let last = self.found.len().saturating_sub(1);
        self.selected = if down { (self.selected + 1).min(last) } else { self.selected.saturating_sub(1) };
    }

    pub(crate) fn choice(&self) -> Option<Choice> {
        self.found.get(self.selected).map(|i| self.entries[*i].choice.clone())
    }

    pub(crate) fn draw(&self, canvas: &mut Canvas<'_>) {
        let (width, height) = (canvas.width().min(72), canvas.height().min(18));
        let (x, y) = ((canvas.width() - width) / 2, (canvas.height() - height) / 4);
        let mut part = canvas.part(x, y, width, height);
        part.clear();
        part.frame("every action");
        if width < 8 || height < 4 {
            return;
        }
        self.prompt.draw(&mut part.part(2, 1, width - 4, 1));
        let rows = usize::from(height - 3);
        let first = crate::table::window(self.selected, 0, rows, self.found.len());
        for (line, (position, i)) in self.found.iter().enumerate().skip(first).take(rows).enumerate() {
            let entry = &self.entries[*i];
            let mut row = part.part(1, line as u16 + 2, width - 2, 1);
            let (text, key) = (row.style(Role::Text), row.style(Role::Key));
            row.text(1, 0, width.saturating_sub(5 + display_width(&entry.keys) as u16), &entry.text, text);
            row.right(width.saturating_sub(12), 0, 9, &entry.keys, key);
            if position == self.selected {
                let style = row.style(Role::Selected);
                row.patch(0, 0, width, 1, style);
            }
        }
        if self.found.is_empty() {
            let dim = part.style(Role::Dim);
            part.text(2, 2, width - 4, "no action of that name", dim);
        }
    }
}
