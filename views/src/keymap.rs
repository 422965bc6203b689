//! Which key does what. The default is `assets/keymap.toml`; a user's file is laid over it.

use crate::action::Action;
use crate::views::ViewId;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use std::collections::BTreeMap;
use std::fmt;
use toml::Spanned;

const DEFAULT: &str = include_str!("../../assets/keymap.toml");
const EVERYWHERE: &str = "everywhere";

/// One key with its modifiers; shift of a character is in the character.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd)]
pub(crate) struct Chord {
    code: KeyCode,
    modifiers: KeyModifiers,
}

const NAMED: [(&str, KeyCode); 18] = [
    ("up", KeyCode::Up),
    ("down", KeyCode::Down),
    ("left", KeyCode::Left),
    ("right", KeyCode::Right),
    ("enter", KeyCode::Enter),
    ("esc", KeyCode::Esc),
    ("tab", KeyCode::Tab),
    ("backspace", KeyCode::Backspace),
    ("delete", KeyCode::Delete),
    ("insert", KeyCode::Insert),
    ("home", KeyCode::Home),
    ("end", KeyCode::End),
    ("page-up", KeyCode::PageUp),
    ("page-down", KeyCode::PageDown),
    ("space", KeyCode::Char(' ')),
    ("minus", KeyCode::Char('-')),
    ("f1", KeyCode::F(1)),
    ("f5", KeyCode::F(5)),
];

impl Chord {
    pub(crate) fn of(key: KeyEvent) -> Chord {
        let mut modifiers = key.modifiers & (KeyModifiers::CONTROL | KeyModifiers::ALT | KeyModifiers::SHIFT);
        let code = match key.code {
            KeyCode::BackTab => {
                modifiers |= KeyModifiers::SHIFT;
                KeyCode::Tab
            }
            KeyCode::Char(c) if modifiers.contains(KeyModifiers::CONTROL) => {
                modifiers -= KeyModifiers::SHIFT;
                KeyCode::Char(c.to_ascii_lowercase())
            }
            KeyCode::Char(c) => {
                // Terminals that report shift on its own send the small letter with it.
                let c = if modifiers.contains(KeyModifiers::SHIFT) && c.is_lowercase() { c.to_ascii_uppercase() } else { c };
                modifiers -= KeyModifiers::SHIFT;
                KeyCode::Char(c)
            }
            code => code,
        };
        Chord { code, modifiers }
    }

    fn parse(text: &str) -> Option<Chord> {
        let mut modifiers = KeyModifiers::NONE;
        let mut rest = text;
        while let Some((modifier, tail)) = [("ctrl-", KeyModifiers::CONTROL), ("alt-", KeyModifiers::ALT), ("shift-", KeyModifiers::SHIFT)]
            .iter()
            .find_map(|(prefix, m)| rest.strip_prefix(prefix).filter(|t| !t.is_empty()).map(|t| (*m, t)))
        {
            modifiers |= modifier;
            rest = tail;
        }
        let mut chars = rest.chars();
        let code = match (chars.next(), chars.next()) {
            (Some(c), None) => KeyCode::Char(c),
            _ => NAMED
                .iter()
                .find(|(name, _)| *name == rest)
                .map(|(_, code)| *code)
                .or_else(|| rest.strip_prefix('f').and_then(|n| n.parse().ok()).filter(|n| (1..=24).contains(n)).map(KeyCode::F))?,
        };
        // As a terminal reports it: a `shift-g` that stayed one would wait for ever, since what arrives is a `G`.
        Some(Chord::of(KeyEvent::new(code, modifiers)))
    }

    /// The character alone, for sorting by Shift-letter.
    pub(crate) fn character(self) -> Option<char> {
        match self.code {
            KeyCode::Char(c) if self.modifiers.is_empty() => Some(c),
            _ => None,
        }
    }
}

impl Chord {
    /// In letters alone: the signs of [`fmt::Display`] are keys of their own where a terminal has no others, `<` for `↵`.
    fn spelled(self) -> String {
        match NAMED.iter().find(|(_, code)| *code == self.code) {
            Some((name, _)) if self.modifiers.contains(KeyModifiers::SHIFT) => format!("shift-{name}"),
            Some((name, _)) if self.modifiers.is_empty() => (*name).to_owned(),
            _ => self.to_string(),
        }
    }
}

impl fmt::Display for Chord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (modifier, name) in [(KeyModifiers::CONTROL, "^"), (KeyModifiers::ALT, "alt-"), (KeyModifiers::SHIFT, "⇧")] {
            if self.modifiers.contains(modifier) {
                f.write_str(name)?;
            }
        }
        match self.code {
            KeyCode::Char(' ') => f.write_str("space"),
            KeyCode::Char(c) => write!(f, "{c}"),
            KeyCode::Enter => f.write_str("↵"),
            KeyCode::Up => f.write_str("↑"),
            KeyCode::Down => f.write_str("↓"),
            KeyCode::Left => f.write_str("←"),
            KeyCode::Right => f.write_str("→"),
            KeyCode::F(n) => write!(f, "F{n}"),
            code => f.write_str(NAMED.iter().find(|(_, c)| *c == code).map_or("?", |(name, _)| name)),
        }
    }
}

/// Why a keymap cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum KeymapError {
    #[error("{place}: {why}")]
    Unreadable { place: String, why: String },
    #[error("{file}: there is no view `{table}`; tables are everywhere, {views}")]
    Table { file: String, table: String, views: String },
    #[error("{place}, [{table}]: \"{key}\" is bound twice, in another spelling too; keep one of them")]
    Twice { place: String, table: String, key: String },
    #[error("{place}, [{table}]: `{key}` is not a key; write a character, a name such as page-up, or ctrl-x")]
    Key { place: String, table: String, key: String },
    #[error("{place}, [{table}] \"{key}\": there is no action `{action}`{hint}")]
    Action { place: String, table: String, key: String, action: String, hint: String },
}

/// Keys by view; what a view does not bind, `[everywhere]` does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keymap {
    tables: BTreeMap<String, Vec<(Chord, Option<Action>)>>,
    /// Keys are shown in letters alone.
    pub(crate) spelled: bool,
}

impl Keymap {
    /// The default keys with the user's, a file and its text, laid over them.
    pub(crate) fn load(user: Option<(&str, &str)>) -> Result<Keymap, KeymapError> {
        let mut keymap = Keymap::default();
        keymap.lay("the default keymap", DEFAULT)?;
        if let Some((file, text)) = user {
            keymap.lay(file, text)?;
        }
        Ok(keymap)
    }

    fn lay(&mut self, file: &str, text: &str) -> Result<(), KeymapError> {
        let line = |at: usize| format!("{file}:{}", 1 + text.bytes().take(at).filter(|b| *b == b'\n').count());
        let tables: BTreeMap<String, BTreeMap<String, Spanned<String>>> = toml::from_str(text).map_err(|e| KeymapError::Unreadable {
            place: e.span().map_or_else(|| file.to_owned(), |span| line(span.start)),
            why: e.message().to_owned(),
        })?;
        for (table, keys) in tables {
            if table != EVERYWHERE && ViewId::from_name(&table).is_none() {
                let views = ViewId::ALL.iter().map(|view| view.name()).collect::<Vec<_>>().join(", ");
                return Err(KeymapError::Table { file: file.to_owned(), table, views });
            }
            let rows = self.tables.entry(table.clone()).or_default();
            let mut here = Vec::new();
            for (key, action) in keys {
                let place = || line(action.span().start);
                let chord =
                    Chord::parse(&key).ok_or_else(|| KeymapError::Key { place: place(), table: table.clone(), key: key.clone() })?;
                if here.contains(&chord) {
                    return Err(KeymapError::Twice { place: place(), table, key });
                }
                here.push(chord);
                let action = match action.get_ref().as_str() {
                    "none" => None,
                    name => Some(Action::from_name(name).ok_or_else(|| KeymapError::Action {
                        place: place(),
                        table: table.clone(),
                        key: key.clone(),
                        action: name.to_owned(),
                        hint: nearest(name).map_or_else(String::new, |n| format!("; did you mean `{n}`?")),
                    })?),
                };
                rows.retain(|(c, _)| *c != chord);
                rows.push((chord, action));
            }
        }
        Ok(())
    }

    pub(crate) fn action(&self, view: &str, chord: Chord) -> Option<Action> {
        let find = |table: &str| self.tables.get(table).and_then(|rows| rows.iter().find(|(c, _)| *c == chord)).map(|(_, a)| *a);
        find(view).or_else(|| find(EVERYWHERE)).flatten()
    }

    /// The keys of an action in a view, shortest first; the ones another action took over are left out.
    pub(crate) fn keys(&self, view: &str, action: Action) -> Vec<String> {
        let mut keys: Vec<String> = [view, EVERYWHERE]
            .iter()
            .filter_map(|table| self.tables.get(*table))
            .flatten()
            .filter(|(chord, a)| *a == Some(action) && self.action(view, *chord) == Some(action))
            .map(|(chord, _)| if self.spelled { chord.spelled() } else { chord.to_string() })
            .collect();
        keys.sort_by_key(|k| (k.chars().count(), k.clone()));
        keys.dedup();
        keys
    }

    /// Whether any view has a key for an action.
    pub(crate) fn binds(&self, action: Action) -> bool {
        self.tables.values().flatten().any(|(_, a)| *a == Some(action))
    }

    /// The view that has a key for an action which `here` has none for, the first of several.
    pub(crate) fn only_elsewhere(&self, here: ViewId, action: Action) -> Option<ViewId> {
        let has = |view: &ViewId| !self.keys(view.name(), action).is_empty();
        if has(&here) { None } else { ViewId::ALL.iter().copied().find(has) }
    }

    /// Actions bound in the table of one view.
    pub(crate) fn of_view(&self, view: &str) -> Vec<Action> {
        let mut actions: Vec<Action> = self.tables.get(view).into_iter().flatten().filter_map(|(_, a)| *a).collect();
        actions.sort();
        actions.dedup();
        actions
    }
}

fn nearest(name: &str) -> Option<&'static str> {
    let shared = |a: &str| a.chars().zip(name.chars()).take_while(|(x, y)| x == y).count();
    Action::ALL.iter().map(|a| a.name()).max_by_key(|a| shared(a)).filter(|a| shared(a) >= 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(code: KeyCode, modifiers: KeyModifiers) -> Chord {
        Chord::of(KeyEvent::new(code, modifiers))
    }

    #[test]
    fn the_default_keys_load_and_views_win() {
        let keymap = Keymap::load(None).expect("the default keymap");
        assert_eq!(keymap.action("services", key(KeyCode::Char('e'), KeyModifiers::NONE)), Some(Action::NextProblem));
        assert_eq!(keymap.action("alerts", key(KeyCode::Char('s'), KeyModifiers::NONE)), Some(Action::Silence));
        assert_eq!(keymap.action("queues", key(KeyCode::Char('s'), KeyModifiers::NONE)), None);
        assert_eq!(keymap.action("queues", key(KeyCode::BackTab, KeyModifiers::SHIFT)), Some(Action::PreviousView));
        assert_eq!(keymap.action("queues", key(KeyCode::Char('g'), KeyModifiers::SHIFT)), Some(Action::Bottom));
    }

    #[test]
    fn a_user_lays_keys_over_the_default() {
        let keymap = Keymap::load(Some(("keys.toml", "[everywhere]\n\"Q\" = \"force_quit\"\n\"c\" = \"none\"\n"))).expect("a valid keymap");
        assert_eq!(keymap.action("map", key(KeyCode::Char('Q'), KeyModifiers::SHIFT)), Some(Action::ForceQuit));
        assert_eq!(keymap.action("map", key(KeyCode::Char('c'), KeyModifiers::NONE)), None);
        assert!(keymap.keys("map", Action::Changes).is_empty());
    }

    #[test]
    fn mistakes_are_named() {
        let error = Keymap::load(Some(("keys.toml", "[everywhere]\n\"Q\" = \"force_qit\""))).unwrap_err();
        let told = "keys.toml:2, [everywhere] \"Q\": there is no action `force_qit`; did you mean `force_quit`?";
        assert_eq!(error.to_string(), told);
        let error = Keymap::load(Some(("keys.toml", "[map]\n\n\"Q\" = 5"))).unwrap_err();
        assert!(error.to_string().starts_with("keys.toml:3: "), "{error}");
        let error = Keymap::load(Some(("keys.toml", "[map]\n\"page-upp\" = \"quit\""))).unwrap_err();
        assert!(error.to_string().contains("`page-upp` is not a key"), "{error}");
        let error = Keymap::load(Some(("keys.toml", "[Map]\n\"Q\" = \"quit\""))).unwrap_err();
        assert!(error.to_string().contains("no view `Map`") && error.to_string().contains("map"), "{error}");
        let error = Keymap::load(Some(("keys.toml", "[map]\n\"Q\" = \"quit\"\n\"shift-q\" = \"help\""))).unwrap_err();
        assert!(error.to_string().contains("bound twice"), "{error}");
    }

    #[test]
    fn a_key_is_found_however_its_shift_is_written() {
        let keymap = Keymap::load(Some(("keys.toml", "[map]\n\"shift-w\" = \"quit\"\n\"ctrl-X\" = \"help\""))).expect("a valid keymap");
        assert_eq!(keymap.action("map", key(KeyCode::Char('W'), KeyModifiers::SHIFT)), Some(Action::Quit));
        assert_eq!(keymap.action("map", key(KeyCode::Char('x'), KeyModifiers::CONTROL)), Some(Action::Help));
    }

    #[test]
    fn ctrl_h_j_and_m_are_free_because_terminals_send_them_for_other_keys() {
        let keymap = Keymap::load(None).expect("the default keymap");
        for c in ['h', 'j', 'm'] {
            assert_eq!(keymap.action("map", key(KeyCode::Char(c), KeyModifiers::CONTROL)), None);
        }
    }

    #[test]
    fn every_action_has_a_key_somewhere() {
        let keymap = Keymap::load(None).expect("the default keymap");
        let views: Vec<&str> = keymap.tables.keys().map(String::as_str).collect();
        for action in Action::ALL {
            assert!(views.iter().any(|v| !keymap.keys(v, *action).is_empty()), "{action:?} has no key");
        }
    }
}
