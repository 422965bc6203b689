//! Whatever telemetry says and whatever keys are pressed: no control byte in a cell, no panic, and a terminal shows what was drawn.

mod fixture;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use fixture::poison::Poison;
use fixture::wire::Painter;
use fixture::{NOW, Situation, full};
use proptest::prelude::*;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use serde_json::Value;
use std::num::NonZeroU16;
use unicode_width::UnicodeWidthStr;
use watchfire_model::{Reading, Request, Timestamp};
use watchfire_views::{App, Event, Glyphs, Options};

const VIEWS: &str = "1234567890Lc";

/// Texts that attack terminals, in the spirit of reports against other tools.
fn hostile() -> impl Strategy<Value = String> {
    let pieces = prop_oneof![
        Just("\x1b[31m".to_owned()),
        Just("\x1b]0;title\x07".to_owned()),
        Just("\x1bP+q\x1b\\".to_owned()),
        Just("\u{9b}2J".to_owned()),
        Just("\u{202e}gnp.exe".to_owned()),
        Just("\u{200b}\u{2066}\u{feff}".to_owned()),
        Just("a\u{301}".repeat(40)),
        Just(format!("e{}", "\u{300}".repeat(200))),
        Just("👩‍👩‍👧‍👦🇩🇪❤️".to_owned()),
        Just("日本語".to_owned()),
        Just("\r\n\t\0\x08\x7f".to_owned()),
        Just("[red]{{x}}<b>".to_owned()),
        Just("ﷺ﷽𒐫".to_owned()),
        Just("x".repeat(3000)),
        any::<String>(),
    ];
    // The emulator drops U+FFFD, which terminals show.
    proptest::collection::vec(pieces, 1..4).prop_map(|p| p.concat().replace('\u{fffd}', "."))
}

/// Readings whose fields are all filled, with these texts in turn.
fn poisoned(poison: &mut Poison, request: &Request, texts: &[String], next: &mut usize) -> Option<Reading> {
    let reading = full::filled(request)?;
    Some(poison.reading(&reading, &mut || {
        *next += 1;
        texts[*next % texts.len()].clone()
    }))
}

fn feed(app: &mut App, texts: &[String]) {
    thread_local! {
        /// What the fields take is found out once.
        static POISON: std::cell::RefCell<Poison> = std::cell::RefCell::default();
    }
    let mut next = 0;
    for _ in 0..2 {
        for request in app.wants() {
            if let Some(reading) = POISON.with_borrow_mut(|poison| poisoned(poison, &request, texts, &mut next)) {
                app.receive(&request, Ok(reading));
            }
        }
    }
}

/// From here on a whole number is a moment, in milliseconds or finer.
const MOMENTS: i64 = 1_000_000_000_000;

/// Puts another figure of its kind in place of every `each`th one. Moments are signed: the upper half of the figures are moments before the epoch.
fn distort(value: &mut Value, (whole, broken): (u64, f64), each: usize, next: &mut usize) {
    match value {
        Value::Number(figure) => {
            *next += 1;
            if next.is_multiple_of(each) {
                *value = match figure.as_i64() {
                    None if figure.is_f64() => broken.into(),
                    Some(at) if at >= MOMENTS => whole.cast_signed().into(),
                    _ => whole.into(),
                };
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|v| distort(v, (whole, broken), each, next)),
        Value::Object(fields) => fields.values_mut().for_each(|v| distort(v, (whole, broken), each, next)),
        _ => {}
    }
}

/// A reading with other figures: the largest of these that each of its fields can hold.
fn distorted(reading: Reading, (whole, broken): (u64, f64), each: usize, next: &mut usize) -> Reading {
    let as_json = serde_json::to_value(&reading).expect("a reading is JSON");
    let start = *next;
    for most in [u64::MAX, i64::MAX as u64, u64::from(u32::MAX), u64::from(u16::MAX)] {
        let mut value = as_json.clone();
        *next = start;
        distort(&mut value, (whole.min(most), broken), each, next);
        if let Ok(reading) = serde_json::from_value(value) {
            return reading;
        }
    }
    reading
}

fn check(buffer: &Buffer) -> Result<(), TestCaseError> {
    for y in 0..buffer.area.height {
        for x in 0..buffer.area.width {
            let symbol = buffer[(x, y)].symbol();
            prop_assert!(!symbol.chars().any(char::is_control), "control character at {x},{y}: {symbol:?}");
            prop_assert!(symbol.chars().count() <= 12, "{} characters in one cell", symbol.chars().count());
            prop_assert!(usize::from(x) + symbol.width() <= usize::from(buffer.area.width), "{symbol:?} stands over the edge at {x},{y}");
        }
    }
    Ok(())
}

fn press(app: &mut App, code: KeyCode) {
    app.handle(Event::Key(KeyEvent::new(code, KeyModifiers::NONE)));
}

fn cases(default: u32) -> ProptestConfig {
    let cases = std::env::var("WATCHFIRE_HOSTILE_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(default);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(8))]

    #[test]
    fn no_text_puts_a_control_byte_into_a_cell(texts in proptest::collection::vec(hostile(), 1..6), width in 40u16..160, height in 10u16..50, ascii in any::<bool>()) {
        let options = Options { glyphs: if ascii { Glyphs::Ascii } else { Glyphs::Braille }, ..Options::default() };
        let mut app = App::new(options).expect("built-in theme and keymap");
        app.handle(Event::Tick(NOW));
        for view in VIEWS.chars() {
            press(&mut app, KeyCode::Char(view));
            for inner in [KeyCode::Null, KeyCode::Enter, KeyCode::Enter] {
                press(&mut app, inner);
                feed(&mut app, &texts);
                let area = Rect::new(0, 0, width, height);
                let mut buffer = Buffer::empty(area);
                app.render_to(&mut buffer, area);
                check(&buffer)?;
            }
            press(&mut app, KeyCode::Esc);
        }
    }
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn a_terminal_shows_exactly_the_cells(texts in proptest::collection::vec(hostile(), 1..6), view in 0..VIEWS.len()) {
        let mut app = App::new(Options::default()).expect("built-in theme and keymap");
        app.handle(Event::Tick(NOW));
        press(&mut app, KeyCode::Char(VIEWS.as_bytes()[view] as char));
        feed(&mut app, &texts);
        let area = Rect::new(0, 0, 100, 30);
        let mut expected = Buffer::empty(area);
        app.render_to(&mut expected, area);
        let mut emulator = vt100::Parser::new(NonZeroU16::new(30).expect("not zero"), NonZeroU16::new(100).expect("not zero"), 0);
        emulator.process(&Painter::new(100, 30).paint(&mut app));
        for y in 0..30 {
            let mut x = 0;
            while x < 100 {
                let symbol = expected[(x, y)].symbol();
                let cell = emulator.screen().cell(y, x).expect("a cell inside of the screen");
                let shown = if cell.contents().is_empty() { " " } else { cell.contents() };
                prop_assert_eq!(shown, symbol, "at {},{}", x, y);
                x += (symbol.width() as u16).max(1);
            }
        }
    }

    #[test]
    fn no_keys_and_no_sizes_make_it_panic(steps in proptest::collection::vec(step(), 1..120)) {
        let mut app = fixture::app(Situation::Incident, Options::default());
        let mut size = (80, 24);
        let mut situation = Situation::Incident;
        for step in steps {
            match step {
                Step::Key(code, modifiers) => {
                    app.handle(Event::Key(KeyEvent::new(code, modifiers)));
                }
                Step::Click(column, row) => {
                    let kind = MouseEventKind::Down(MouseButton::Left);
                    app.handle(Event::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE }));
                }
                Step::Size(width, height) => {
                    size = (width, height);
                    app.handle(Event::Resize(width, height));
                }
                Step::Paste(text) => {
                    app.handle(Event::Paste(text));
                }
                Step::Situation(s) => situation = s,
            }
            fixture::feed(&mut app, situation);
            let area = Rect::new(0, 0, size.0, size.1);
            let mut buffer = Buffer::empty(area);
            app.render_to(&mut buffer, area);
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Key(KeyCode, KeyModifiers),
    Click(u16, u16),
    Size(u16, u16),
    Paste(String),
    Situation(Situation),
}

fn step() -> impl Strategy<Value = Step> {
    let named = proptest::sample::select(vec![
        KeyCode::Enter,
        KeyCode::Esc,
        KeyCode::Up,
        KeyCode::Down,
        KeyCode::Left,
        KeyCode::Right,
        KeyCode::PageDown,
        KeyCode::PageUp,
        KeyCode::Home,
        KeyCode::End,
        KeyCode::Tab,
        KeyCode::BackTab,
        KeyCode::Backspace,
    ]);
    prop_oneof![
        6 => (33u8..127).prop_map(|c| Step::Key(KeyCode::Char(char::from(c)), KeyModifiers::NONE)),
        4 => named.prop_map(|code| Step::Key(code, KeyModifiers::NONE)),
        1 => proptest::sample::select(vec!['p', 'u', 'd', 'f', 'b', 'o', 'r', 't']).prop_map(|c| Step::Key(KeyCode::Char(c), KeyModifiers::CONTROL)),
        1 => (0u16..120, 0u16..50).prop_map(|(x, y)| Step::Click(x, y)),
        1 => prop_oneof![Just((0, 0)), Just((1, 1)), Just((40, 10)), Just((500, 200)), (0u16..130, 0u16..50)].prop_map(|(w, h)| Step::Size(w, h)),
        1 => "\\PC{0,20}".prop_map(Step::Paste),
        1 => proptest::sample::select(vec![Situation::Empty, Situation::Calm, Situation::Incident]).prop_map(Step::Situation),
    ]
}

#[test]
fn every_size_is_drawn() {
    let mut app = fixture::app(Situation::Incident, Options::default());
    for view in VIEWS.chars() {
        press(&mut app, KeyCode::Char(view));
        fixture::feed(&mut app, Situation::Incident);
        for (width, height) in [(0, 0), (1, 1), (1, 200), (500, 1), (39, 10), (40, 9), (40, 10), (41, 11), (60, 15), (500, 200)] {
            let area = Rect::new(0, 0, width, height);
            let mut buffer = Buffer::empty(area);
            app.render_to(&mut buffer, area);
            if width >= 21 && height >= 1 && (width < 40 || height < 10) {
                assert!(buffer.content()[0].symbol() == "w", "a notice at {width}x{height}");
            }
        }
    }
}

#[test]
fn telemetry_is_made_harmless_in_one_place() {
    // The gate is `canvas::safe`; nothing else in this crate may call the model's function.
    let mut stack = vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
    let mut callers = Vec::new();
    while let Some(path) = stack.pop() {
        if path.is_dir() {
            stack.extend(std::fs::read_dir(path).expect("a readable folder").map(|e| e.expect("an entry").path()));
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("a source file");
        callers.extend(text.lines().filter(|l| l.contains("watchfire_model::harmless")).map(|_| path.clone()));
        // Cells are written in one place as well.
        let writes = ["set_symbol(", "set_char(", "set_string(", "set_stringn(", "set_line("];
        let body = text.split("#[cfg(test)]").next().unwrap_or("");
        assert!(path.ends_with("canvas.rs") || !writes.iter().any(|w| body.contains(w)), "{} writes cells past the canvas", path.display());
    }
    assert_eq!(callers.len(), 1, "{callers:?}");
}

/// Counts and moments at the ends of what their types hold, and figures beyond every scale.
#[test]
fn no_figures_make_it_panic() {
    let wholes = [0, 1, 65_535, 65_536, u64::from(u32::MAX), u64::from(u32::MAX) + 1, i64::MAX as u64, 1 << 63, u64::MAX];
    let broken = [0.0, -1.0, 1e-300, 5e-324, 1e18, 1e308, -1e308];
    let figures = wholes.iter().flat_map(|whole| [NOW, Timestamp::MIN, Timestamp::MAX].map(|now| (*whole, now)));
    for (case, (whole, now)) in figures.enumerate() {
        for each in 1..=3 {
            let mut app = App::new(Options::default()).expect("built-in theme and keymap");
            app.handle(Event::Tick(now));
            let mut next = case;
            for view in VIEWS.chars() {
                press(&mut app, KeyCode::Char(view));
                for inner in [KeyCode::Null, KeyCode::Enter, KeyCode::Enter] {
                    press(&mut app, inner);
                    for request in app.wants() {
                        let Ok(reading) = fixture::answer(&request, Situation::Incident) else { continue };
                        app.receive(&request, Ok(distorted(reading, (whole, broken[case % broken.len()]), each, &mut next)));
                    }
                    for (width, height) in [(40, 10), (200, 50)] {
                        app.frame_text(width, height);
                    }
                }
                press(&mut app, KeyCode::Esc);
            }
        }
    }
}
