//! Golden frames of every view: three sizes, three situations; and the same frames with fewer colours and characters.

mod fixture;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use fixture::Situation;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Color;
use watchfire_views::{App, ColorDepth, Event, Glyphs, Options, svg};

const SIZES: [(u16, u16); 3] = [(80, 24), (120, 40), (200, 50)];

/// Every screen and the keys that lead there.
const SCREENS: [(&str, &[&str]); 24] = [
    ("services", &["1"]),
    ("service", &["1", "enter"]),
    ("map", &["2"]),
    ("map-drawing", &["2", "v"]),
    ("traces", &["3"]),
    ("trace", &["3", "enter"]),
    ("compare", &["3", "x", "j", "d"]),
    ("span", &["3", "enter", "G", "k", "enter"]),
    ("latency", &["4"]),
    ("latency-percentiles", &["4", "s"]),
    ("explain", &["4", "r"]),
    ("queues", &["5"]),
    ("breakers", &["6"]),
    ("health", &["7"]),
    ("health-by-service", &["7", "v"]),
    ("health-proposed", &["7", "v", "v", "v"]),
    ("alerts", &["8"]),
    ("alert", &["8", "enter"]),
    ("rule-lab", &["8", "r"]),
    ("slo", &["9"]),
    ("explore", &["0"]),
    ("query", &["0", "enter"]),
    ("logs", &["L"]),
    ("changes", &["c"]),
];

fn press(app: &mut App, situation: Situation, keys: &[&str]) {
    for key in keys {
        let code = match *key {
            "enter" => KeyCode::Enter,
            "esc" => KeyCode::Esc,
            "tab" => KeyCode::Tab,
            "end" => KeyCode::End,
            key => KeyCode::Char(key.chars().next().expect("a key")),
        };
        app.handle(Event::Key(KeyEvent::new(code, KeyModifiers::NONE)));
        fixture::feed(app, situation);
        // Some views learn their size from the frame and ask for what fills it.
        app.frame_text(80, 24);
        fixture::feed(app, situation);
    }
}

fn frame(app: &mut App, situation: Situation, (width, height): (u16, u16)) -> Buffer {
    let area = Rect::new(0, 0, width, height);
    let mut buffer = Buffer::empty(area);
    for _ in 0..3 {
        buffer = Buffer::empty(area);
        app.render_to(&mut buffer, area);
        fixture::feed(app, situation);
    }
    buffer
}

fn frames(situation: Situation) {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for (name, keys) in SCREENS {
            let mut app = fixture::app(situation, Options { color: ColorDepth::TrueColor, ..Options::default() });
            press(&mut app, situation, keys);
            let text: Vec<String> = SIZES.iter().map(|size| svg::text_from_buffer(&frame(&mut app, situation, *size))).collect();
            insta::assert_snapshot!(format!("{name}-{}", format!("{situation:?}").to_lowercase()), text.join("=====\n"));
        }
    });
}

#[test]
fn every_view_when_nothing_was_received() {
    frames(Situation::Empty);
}

#[test]
fn every_view_on_a_calm_day() {
    frames(Situation::Calm);
}

#[test]
fn every_view_during_an_incident() {
    frames(Situation::Incident);
}

fn each_screen(options: &Options, mut check: impl FnMut(&str, &Buffer)) {
    for (name, keys) in SCREENS {
        let mut app = fixture::app(Situation::Incident, options.clone());
        press(&mut app, Situation::Incident, keys);
        check(name, &frame(&mut app, Situation::Incident, (100, 30)));
    }
}

/// A frame with its styles written into it: `[red bold]text` begins a run, `[]` goes back to the terminal's own.
fn styled_text(buffer: &Buffer) -> String {
    let mut out = String::new();
    for y in 0..buffer.area.height {
        let mut line = String::new();
        let mut last = String::new();
        for x in 0..buffer.area.width {
            let cell = &buffer[(x, y)];
            let colours = [(cell.fg, ""), (cell.bg, "on ")];
            let mut words: Vec<String> =
                colours.iter().filter(|(c, _)| *c != Color::Reset).map(|(c, on)| format!("{on}{c}").to_lowercase()).collect();
            words.extend(cell.modifier.iter_names().map(|(name, _)| name.to_lowercase()));
            let style = words.join(" ");
            if style != last {
                line.push_str(&format!("[{style}]"));
                last = style;
            }
            line.push_str(cell.symbol());
        }
        out.push_str(line.trim_end().trim_end_matches("[]").trim_end());
        out.push('\n');
    }
    out
}

#[test]
fn every_view_in_sixteen_colours_and_in_none() {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for (depth, colours) in [(ColorDepth::Ansi16, "16-colours"), (ColorDepth::Mono, "no-colours")] {
            let options = Options { color: depth, ..Options::default() };
            for (name, keys) in SCREENS {
                let mut app = fixture::app(Situation::Incident, options.clone());
                press(&mut app, Situation::Incident, keys);
                let text = styled_text(&frame(&mut app, Situation::Incident, (80, 24)));
                insta::assert_snapshot!(format!("{name}-{colours}"), text);
            }
        }
    });
}

#[test]
fn without_colours_nothing_is_coloured_and_the_text_is_the_same() {
    let mut coloured = Vec::new();
    each_screen(&Options { color: ColorDepth::TrueColor, ..Options::default() }, |_, b| coloured.push(svg::text_from_buffer(b)));
    let mut texts = coloured.into_iter();
    each_screen(&Options { color: ColorDepth::Mono, ..Options::default() }, |name, buffer| {
        assert!(buffer.content().iter().all(|c| c.fg == Color::Reset && c.bg == Color::Reset), "{name}");
        // The cursor in the heatmap has signs of its own only where the cell is empty, at every depth.
        assert_eq!(Some(svg::text_from_buffer(buffer)), texts.next(), "{name}");
    });
}

#[test]
fn sixteen_colours_means_sixteen() {
    for theme in ["dark", "light", "high-contrast", "colour-blind", "mono"] {
        each_screen(&Options { color: ColorDepth::Ansi16, theme: theme.to_owned(), ..Options::default() }, |name, buffer| {
            let rich = |c: Color| matches!(c, Color::Rgb(..) | Color::Indexed(_));
            assert!(!buffer.content().iter().any(|c| rich(c.fg) || rich(c.bg)), "{theme} {name}");
        });
    }
}

#[test]
fn the_ascii_ladder_is_ascii() {
    each_screen(&Options { glyphs: Glyphs::Ascii, color: ColorDepth::Mono, ..Options::default() }, |name, buffer| {
        let text = svg::text_from_buffer(buffer);
        assert!(text.is_ascii(), "{name}: {:?}", text.chars().find(|c| !c.is_ascii()));
        assert!(!text.contains('?') || !text.contains("??"), "{name} has a sign without a counterpart:\n{text}");
        // `<` leaps back; no other key may look like it.
        let strip = text.lines().rfind(|line| line.contains("help")).unwrap_or_default();
        assert!(!strip.contains(" < "), "{name}: a key looks like another: {strip}");
    });
}

#[test]
fn the_block_ladder_has_no_braille() {
    each_screen(&Options { glyphs: Glyphs::Block, ..Options::default() }, |name, buffer| {
        let text = svg::text_from_buffer(buffer);
        assert!(!text.chars().any(|c| ('\u{2801}'..='\u{28ff}').contains(&c)), "{name}");
    });
}

#[test]
fn at_eighty_columns_every_row_of_the_header_and_strip_is_complete() {
    for (name, keys) in SCREENS {
        let mut app = fixture::app(Situation::Incident, Options::default());
        press(&mut app, Situation::Incident, keys);
        let text = svg::text_from_buffer(&frame(&mut app, Situation::Incident, (80, 24)));
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines[0].contains("✖ UNHEALTHY 3m12s") && lines[0].contains("SIM") && lines[0].ends_with("● live 03:12:44 UTC"),
            "{name}: {}",
            lines[0]
        );
        assert!(lines[23].contains("? help"), "{name}: {}", lines[23]);
    }
}
