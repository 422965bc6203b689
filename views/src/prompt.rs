//! The line at the bottom that is typed into: commands, filters, answers. With completion and history.

use crate::canvas::Canvas;
use crate::look::Role;
use crossterm::event::{Event as TerminalEvent, KeyCode, KeyEvent, KeyModifiers};
use tui_input::Input;
use tui_input::backend::crossterm::EventHandler;

/// Longest line that is taken; a pasted log does not become a filter.
const LONGEST: usize = 4096;
const HISTORY: usize = 100;

/// What the line is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Command,
    Filter,
    /// A view asked; the topic tells which question.
    Answer {
        topic: &'static str,
        promql: bool,
    },
}

#[derive(Debug)]
pub(crate) struct Prompt {
    pub(crate) purpose: Purpose,
    pub(crate) label: String,
    input: Input,
    pub(crate) error: Option<String>,
    pub(crate) candidates: Vec<String>,
    chosen: Option<usize>,
    history_at: Option<usize>,
    /// What was typed before an older line was looked at.
    draft: String,
    /// What was there before, restored by Esc.
    pub(crate) before: String,
}

/// What a key did to the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Typed {
    Nothing,
    Changed,
    Submit,
    Cancel,
}

impl Prompt {
    pub(crate) fn new(purpose: Purpose, label: impl Into<String>, text: &str) -> Prompt {
        Prompt {
            purpose,
            label: label.into(),
            input: Input::new(text.to_owned()),
            error: None,
            candidates: Vec::new(),
            chosen: None,
            history_at: None,
            draft: String::new(),
            before: text.to_owned(),
        }
    }

    pub(crate) fn text(&self) -> &str {
        self.input.value()
    }

    pub(crate) fn set(&mut self, text: &str) {
        self.input = Input::new(text.to_owned());
    }

    pub(crate) fn paste(&mut self, text: &str) {
        let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let mut value: Vec<char> = self.input.value().chars().collect();
        let at = self.input.cursor().min(value.len());
        let room = LONGEST.saturating_sub(value.len());
        let added: Vec<char> = clean.trim().chars().take(room).collect();
        let cursor = at + added.len();
        value.splice(at..at, added);
        self.input = Input::new(value.into_iter().collect()).with_cursor(cursor);
    }

    pub(crate) fn key(&mut self, key: KeyEvent, history: &[String]) -> Typed {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Enter => return Typed::Submit,
            KeyCode::Esc => return Typed::Cancel,
            KeyCode::Char('c' | 'g') if control => return Typed::Cancel,
            KeyCode::Backspace if self.text().is_empty() => return Typed::Cancel,
            KeyCode::Tab | KeyCode::BackTab if !self.candidates.is_empty() => {
                let count = self.candidates.len();
                let next = match (self.chosen, key.code) {
                    (None, KeyCode::Tab) => 0,
                    (None, _) => count - 1,
                    (Some(i), KeyCode::Tab) => (i + 1) % count,
                    (Some(i), _) => (i + count - 1) % count,
                };
                self.chosen = Some(next);
                let text = self.candidates[next].clone();
                self.set(&text);
                return Typed::Nothing;
            }
            KeyCode::Up | KeyCode::Down if !history.is_empty() => {
                let last = history.len() - 1;
                if self.history_at.is_none() {
                    self.draft = self.text().to_owned();
                }
                self.history_at = match (self.history_at, key.code) {
                    (None, KeyCode::Up) => Some(last),
                    (Some(i), KeyCode::Up) => Some(i.saturating_sub(1)),
                    (Some(i), _) if i < last => Some(i + 1),
                    _ => None,
                };
                let text = self.history_at.map_or_else(|| self.draft.clone(), |i| history[i].clone());
                self.set(&text);
                return Typed::Changed;
            }
            KeyCode::Char(_) if self.text().chars().count() >= LONGEST => return Typed::Nothing,
            _ => {}
        }
        if self.input.handle_event(&TerminalEvent::Key(key)).is_some_and(|change| change.value) {
            self.chosen = None;
            self.error = None;
            return Typed::Changed;
        }
        Typed::Nothing
    }

    /// Draws the line at the bottom of `canvas` and what could follow above it.
    pub(crate) fn draw(&self, canvas: &mut Canvas<'_>) {
        let (width, height) = (canvas.width(), canvas.height());
        if height == 0 {
            return;
        }
        let y = height - 1;
        canvas.part(0, y, width, 1).clear();
        let mut pen = canvas.pen(0, y);
        pen.put(&self.label, Role::Key);
        let left = pen.x();
        let room = width.saturating_sub(left + 1);
        let scroll = self.input.visual_scroll(usize::from(room.max(1)));
        let visible: String = skip_columns(self.text(), scroll);
        let text_style = canvas.style(Role::Text);
        canvas.text(left, y, room, &visible, text_style);
        let cursor = left + (self.input.visual_cursor().max(scroll) - scroll) as u16;
        canvas.patch(cursor.min(width.saturating_sub(1)), y, 1, 1, text_style.add_modifier(ratatui::style::Modifier::REVERSED));
        if let Some(error) = &self.error {
            return crate::shell::said(&mut canvas.part(0, 0, width, y), "✖", Role::Unhealthy, error);
        }
        let shown = self.candidates.len().min(8).min(usize::from(y));
        let first = self.chosen.map_or(0, |c| (c + 1).saturating_sub(shown));
        // The whole width is theirs: the screen showing through beside them would read as part of them.
        canvas.part(0, y - shown as u16, width, shown as u16).clear();
        let widest = self.candidates.iter().map(|c| crate::canvas::display_width(c)).max().unwrap_or(0).min(usize::from(width)) as u16 + 2;
        for (line, (i, candidate)) in self.candidates.iter().enumerate().skip(first).take(shown).enumerate() {
            let mut part = canvas.part(left.saturating_sub(1), y - shown as u16 + line as u16, widest, 1);
            let role = if self.chosen == Some(i) { Role::Selected } else { Role::Dim };
            let style = part.style(role);
            part.text(1, 0, widest.saturating_sub(2), candidate, style);
            if self.chosen == Some(i) {
                part.patch(0, 0, widest, 1, style);
            }
        }
    }
}

fn skip_columns(text: &str, columns: usize) -> String {
    use unicode_width::UnicodeWidthChar;
    let mut left = columns;
    text.chars()
        .skip_while(|c| {
            let skip = left > 0;
            left = left.saturating_sub(c.width().unwrap_or(0));
            skip
        })
        .collect()
}

/// Remembers a line, and tells whether it is another one: the same line twice in a row counts once.
pub(crate) fn remember(history: &mut Vec<String>, line: &str) -> bool {
    if line.is_empty() || history.last().is_some_and(|l| l == line) {
        return false;
    }
    history.push(line.to_owned());
    if history.len() > HISTORY {
        history.remove(0);
    }
    true
}

/// A question in PromQL, whoever asks for it.
pub(crate) const EXPRESSION: Purpose = Purpose::Answer { topic: "expression", promql: true };

/// What stands before a line of a session to come.
fn sign(purpose: Purpose) -> Option<char> {
    match purpose {
        Purpose::Command => Some(':'),
        Purpose::Filter => Some('/'),
        Purpose::Answer { promql: true, .. } => Some('?'),
        // A comment, a duration, a name: nobody asks the same twice.
        Purpose::Answer { .. } => None,
    }
}

/// A line for the sessions to come. As in shells, one that was begun with a blank is not for them; and nobody wants to leave first.
pub(crate) fn for_later(purpose: Purpose, typed: &str) -> Option<String> {
    let line = typed.trim();
    let sign = sign(purpose).filter(|_| !typed.starts_with(' ') && !matches!(line, "q" | "quit" | "exit"))?;
    Some(format!("{sign}{line}"))
}

/// The line of an earlier session, where it was typed for this purpose.
pub(crate) fn told(purpose: Purpose, line: &str) -> Option<&str> {
    line.strip_prefix(sign(purpose)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(prompt: &mut Prompt, code: KeyCode, history: &[String]) -> Typed {
        prompt.key(KeyEvent::new(code, KeyModifiers::NONE), history)
    }

    #[test]
    fn typing_completing_and_recalling() {
        let mut prompt = Prompt::new(Purpose::Command, ":", "");
        assert_eq!(press(&mut prompt, KeyCode::Char('q'), &[]), Typed::Changed);
        prompt.candidates = vec!["query".to_owned(), "queues".to_owned()];
        press(&mut prompt, KeyCode::Tab, &[]);
        press(&mut prompt, KeyCode::Tab, &[]);
        assert_eq!(prompt.text(), "queues");
        assert_eq!(press(&mut prompt, KeyCode::Up, &["at -5m".to_owned()]), Typed::Changed);
        assert_eq!(prompt.text(), "at -5m");
        press(&mut prompt, KeyCode::Down, &["at -5m".to_owned()]);
        assert_eq!(prompt.text(), "queues", "what was typed is not lost");
        assert_eq!(press(&mut prompt, KeyCode::Enter, &[]), Typed::Submit);
    }

    #[test]
    fn pasted_text_is_one_bounded_line() {
        let mut prompt = Prompt::new(Purpose::Filter, "/", "a");
        prompt.paste("b\nc\x1b[31m");
        assert_eq!(prompt.text(), "ab c [31m");
        prompt.paste(&"x".repeat(1 << 20));
        assert_eq!(prompt.text().len(), LONGEST);
    }
}
