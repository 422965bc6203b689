//! Whatever is sent to watchfire, a frame consists of text, cursor addresses and styles, and of nothing else: no byte of telemetry ever
//! reaches the terminal as a command.
//!
//! A run takes twenty thousand strings; `WATCHFIRE_HOSTILE_STRINGS=1000000` takes that many.

mod fixture;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use fixture::poison::{Poison, places};
use fixture::wire::{Painter, only_what_a_frame_needs};
use fixture::{NOW, Situation, full};
use std::collections::BTreeMap;
use watchfire_model::reading::ReadError;
use watchfire_views::{App, ColorDepth, Effect, Event, Options, plain};

/// A generator of hostile strings, the same in every run.
struct Hostile {
    state: u64,
    made: u64,
}

/// What terminals, fonts and markup languages have been attacked with.
const PIECES: [&str; 40] = [
    "\x1b[31m",
    "\x1b[2J\x1b[H",
    "\x1b]0;title\x07",
    "\x1b]52;c;cm0gLXJmIC8=\x07",
    "\x1b]8;;http://evil.example\x1b\\link\x1b]8;;\x1b\\",
    "\x1bP+q544e\x1b\\",
    "\x1b_Gf=24\x1b\\",
    "\x1b^privacy\x1b\\",
    "\x1bXstring\x1b\\",
    "\x1b[?1049l",
    "\x1b[5i",
    "\x1b[6n",
    "\x1b[c",
    "\x1bc",
    "\x1b(0",
    "\x1b%@",
    "\x1b#8",
    "\x1b",
    "\u{9b}31m",
    "\u{9d}0;t\u{9c}",
    "\u{90}q\u{9c}",
    "\u{85}",
    "\r",
    "\n",
    "\t",
    "\x08\x08\x08",
    "\x7f",
    "\0",
    "\x0e\x0f",
    "\u{202e}gnp.exe",
    "\u{2066}\u{2069}\u{200e}\u{200f}\u{061c}",
    "\u{200b}\u{200d}\u{2060}\u{feff}",
    "\u{2028}\u{2029}",
    "\u{e0041}\u{e007f}",
    "e\u{301}\u{302}\u{303}\u{304}\u{305}\u{306}\u{307}\u{308}\u{309}\u{30a}",
    "👩‍👩‍👧‍👦🇩🇪❤️",
    "日本語ﷺ𒐫",
    "[red]{{x}}<b>%s$(id)`id`",
    "service-name",
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
];

impl Hostile {
    fn number(&mut self, bound: usize) -> usize {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 33) as usize % bound
    }

    fn string(&mut self) -> String {
        self.made += 1;
        let mut text = String::new();
        for _ in 0..1 + self.number(4) {
            match self.number(4) {
                0 => (0..self.number(6)).for_each(|_| text.push(char::from_u32(self.number(0x100) as u32).unwrap_or('?'))),
                1 => text.extend(char::from_u32(self.number(0x11_0000) as u32)),
                _ => text.push_str(PIECES[self.number(PIECES.len())]),
            }
        }
        text
    }
}

/// Keys that lead to every screen, list, question and dialog, one after another.
const KEYS: &str = "1y\n\x1b2vyw\x1bfb\x1b3\n\ny\x1b\x1b4sr\x1b5y\n\x1b6y\n\x1b7v\x1bvyo\x1b8s\n8a\nyo\n\x1br\x1bh\x1bH\x1bS\x1b9\n\x1b0\nv\x1bLpy\n\x1b\nc?\x1b:\x1b/x\x1b";
/// Commands that write files, ask in a person's words, or fail with what was typed in the message.
const COMMANDS: [&str; 6] = ["export svg", "export dot", "export mermaid", "export text", "svc nowhere", "at never"];

/// What leaves the screens as text, for files, clipboards and other programs: no control character but the ends of its lines.
fn clean(text: &str) -> Result<(), String> {
    text.lines()
        .try_for_each(|line| only_what_a_frame_needs(line.as_bytes()).and(if line.contains('\x1b') { Err(line.into()) } else { Ok(()) }))
}

#[test]
fn no_string_in_any_field_becomes_a_command_to_the_terminal() {
    let wanted = std::env::var("WATCHFIRE_HOSTILE_STRINGS").ok().and_then(|n| n.parse().ok()).unwrap_or(20_000);
    let mut hostile = Hostile { state: 0x2545_f491, made: 0 };
    let mut poison = Poison::default();
    let mut app = App::new(Options { color: ColorDepth::TrueColor, ..Options::default() }).expect("built-in theme and keymap");
    app.handle(Event::Tick(NOW));
    let mut log = plain::Log::default();
    let mut painter = Painter::new(120, 40);
    let mut keys = KEYS.chars().cycle();
    let (mut written, mut said, mut left) = (0, 0, 0);
    for round in 0.. {
        if hostile.made >= wanted {
            break;
        }
        let code = match keys.next().expect("they go round") {
            '\n' => KeyCode::Enter,
            '\x1b' => KeyCode::Esc,
            key => KeyCode::Char(key),
        };
        let mut effects = app.handle(Event::Key(KeyEvent::new(code, KeyModifiers::NONE)));
        if round % 7 == 0 {
            app.handle(Event::Paste(hostile.string()));
            app.tell(&hostile.string());
        }
        if round % 5 == 0 {
            effects.extend(app.order(COMMANDS[hostile.number(COMMANDS.len())]));
            app.order(&hostile.string());
        }
        for request in app.wants() {
            // Every tenth question fails with words of whoever was asked, and every other one finds all fields filled.
            let failed = (round % 10 == 9).then(|| ReadError::BadRequest(hostile.string()));
            let found = if round % 2 == 0 { full::filled(&request) } else { fixture::answer(&request, Situation::Incident).ok() };
            match (failed, found) {
                (Some(error), _) => app.receive(&request, Err(error)),
                (None, Some(reading)) => {
                    let reading = poison.reading(&reading, &mut || hostile.string());
                    for line in log.lines(&reading, NOW) {
                        said += 1;
                        assert_eq!(clean(&line), Ok(()), "a line of the plain log");
                    }
                    app.receive(&request, Ok(reading));
                }
                (None, None) => {}
            }
        }
        for effect in effects {
            left += 1;
            match effect {
                Effect::Copy(text) | Effect::OpenUrl(text) => assert_eq!(clean(&text), Ok(()), "{text:?}"),
                Effect::Save { name, text } => assert_eq!(clean(&name).and(clean(&text)), Ok(()), "{name}"),
                _ => left -= 1,
            }
        }
        let bytes = painter.paint(&mut app);
        written += bytes.len();
        if let Err(what) = only_what_a_frame_needs(&bytes) {
            panic!("after {} strings: {what} in {:?}", hostile.made, String::from_utf8_lossy(&bytes));
        }
    }
    assert!(written > 100_000, "only {written} bytes were written: the screens were empty");
    assert!(said > 20 && left > 20, "{said} lines of the plain log, {left} texts that left the screens");
}

#[test]
fn every_field_of_every_reading_is_reached() {
    let mut found = BTreeMap::new();
    let mut poison = Poison::default();
    for question in full::questions() {
        let reading = full::filled(&question).unwrap_or_else(|| panic!("no answer to {question:?}"));
        places(&reading, &mut found);
        let mut strings = 0;
        poison.reading(&reading, &mut || {
            strings += 1;
            "x".into()
        });
        assert!(strings > 0, "no text of {question:?} is replaced");
    }
    let empty: Vec<&String> = found.iter().filter(|(_, something)| !**something).map(|(place, _)| place).collect();
    assert!(empty.is_empty(), "nothing ever stands in {empty:#?}");
}

#[test]
fn the_grammar_refuses_what_a_frame_does_not_need() {
    for good in ["plain ✖ text", "\x1b[1;1Hx\x1b[38;2;1;2;3m\x1b[0my", "\x1b[?25l"] {
        assert_eq!(only_what_a_frame_needs(good.as_bytes()), Ok(()), "{good:?}");
    }
    for bad in [
        "\x1b[2J",
        "\x1b]0;t\x07",
        "\x1b[6n",
        "a\rb",
        "\u{9b}m",
        "\u{202e}",
        "\u{200b}",
        "\u{2028}",
        "\u{e0041}",
        "\x1b[1;1",
        "\x1bc",
        "\x1b[?1049l",
        "\x1b[H",
    ] {
        assert!(only_what_a_frame_needs(bad.as_bytes()).is_err(), "{bad:?}");
    }
    assert!(only_what_a_frame_needs(b"\xff").is_err());
}
