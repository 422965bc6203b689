//! Draws frames of a sample platform: `cargo run -p watchfire-views --example frames -- [WIDTHxHEIGHT] [empty|calm|incident] [KEYS]`
//! prints one as text; with `--svg` as a picture. KEYS are pressed first: `8<enter>` opens the first alert.

#[path = "../tests/fixture/mod.rs"]
mod fixture;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use fixture::Situation;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use watchfire_views::{ColorDepth, Event, Options, svg};

fn main() {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let picture = arguments.iter().position(|a| a == "--svg").map(|i| arguments.remove(i)).is_some();
    let mut arguments = arguments.into_iter();
    let size = arguments.next().unwrap_or_else(|| "80x24".to_owned());
    let (width, height) = size.split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?))).unwrap_or((80, 24));
    let situation = match arguments.next().as_deref() {
        Some("empty") => Situation::Empty,
        Some("calm") => Situation::Calm,
        _ => Situation::Incident,
    };
    let mut app = fixture::app(situation, Options { color: ColorDepth::TrueColor, ..Options::default() });
    let mut buffer = Buffer::empty(Rect::new(0, 0, width, height));
    app.render_to(&mut buffer, Rect::new(0, 0, width, height));
    for key in keys(&arguments.next().unwrap_or_default()) {
        app.handle(Event::Key(key));
        fixture::feed(&mut app, situation);
        app.render_to(&mut buffer, Rect::new(0, 0, width, height));
    }
    buffer.reset();
    app.render_to(&mut buffer, Rect::new(0, 0, width, height));
    let text = if picture { svg::from_buffer(&buffer, svg::Paper::DARK) } else { svg::text_from_buffer(&buffer) };
    print!("{text}");
}

fn keys(script: &str) -> Vec<KeyEvent> {
    let mut out = Vec::new();
    let mut rest = script;
    while let Some(c) = rest.chars().next() {
        let named = rest.strip_prefix('<').and_then(|r| r.split_once('>')).and_then(|(name, tail)| {
            let code = match name {
                "enter" => KeyCode::Enter,
                "esc" => KeyCode::Esc,
                "tab" => KeyCode::Tab,
                "end" => KeyCode::End,
                "space" => KeyCode::Char(' '),
                _ => return None,
            };
            Some((code, tail))
        });
        let (code, tail) = named.unwrap_or((KeyCode::Char(c), &rest[c.len_utf8()..]));
        out.push(KeyEvent::new(code, KeyModifiers::NONE));
        rest = tail;
    }
    out
}
