//! Every action in every place: none fails, and none that the key strip offers does nothing without a word.

use super::fixture::{Situation, app, feed};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use watchfire_views::{Action, App, Event, Options};

/// Wide enough for every key of the strip.
const SIZE: (u16, u16) = (200, 24);
/// Keys that lead to each place.
const PLACES: [&str; 22] =
    ["1", "1\n", "2", "2v", "2f", "3", "3\n", "3\n\n", "4", "5", "6", "7", "7v", "7vv", "8", "8\n", "8r", "9", "0", "0\n", "L", "Lp"];

fn press(app: &mut App, key: char, situation: Situation) -> bool {
    let code = match key {
        '\n' | '↵' => KeyCode::Enter,
        key => KeyCode::Char(key),
    };
    let effects = app.handle(Event::Key(KeyEvent::new(code, KeyModifiers::NONE)));
    feed(app, situation);
    app.frame_text(SIZE.0, SIZE.1);
    feed(app, situation);
    !effects.is_empty()
}

fn at(place: &str, situation: Situation) -> App {
    let mut app = app(situation, Options::default());
    app.frame_text(SIZE.0, SIZE.1);
    for key in place.chars() {
        press(&mut app, key, situation);
    }
    app
}

#[test]
fn every_action_can_be_taken_everywhere() {
    for situation in [Situation::Incident, Situation::Empty] {
        for place in PLACES {
            let mut app = at(place, situation);
            for action in Action::ALL {
                app.order(action.name());
                feed(&mut app, situation);
                app.frame_text(40, 10);
                // A prompt would take the keys that lead back.
                app.handle(Event::Key(KeyEvent::new(KeyCode::Esc, KeyModifiers::NONE)));
                for key in place.chars() {
                    press(&mut app, key, situation);
                }
            }
        }
    }
}

#[test]
fn every_key_on_the_strip_does_something_or_says_why_not() {
    let mut dead = Vec::new();
    for situation in [Situation::Incident, Situation::Calm, Situation::Empty] {
        for place in PLACES {
            let strip = at(place, situation).frame_text(SIZE.0, SIZE.1).lines().last().unwrap_or_default().to_owned();
            for hint in strip.split("  ").map(str::trim).filter(|hint| !hint.is_empty()) {
                let mut parts = hint.chars();
                let (Some(key), Some(' ')) = (parts.next(), parts.next()) else { continue };
                let mut app = at(place, situation);
                let before = app.frame_text(SIZE.0, SIZE.1);
                let asked = press(&mut app, key, situation);
                if !asked && app.frame_text(SIZE.0, SIZE.1) == before {
                    dead.push(format!("{situation:?} {place:?}: {hint}"));
                }
            }
        }
    }
    assert!(dead.is_empty(), "{}", dead.join("\n"));
}
