//! Pictures of frames: SVG for a README, plain text for a file.

use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier};
use std::fmt::Write;

const CELL_WIDTH: f64 = 8.4;
const CELL_HEIGHT: f64 = 17.0;
const PADDING: f64 = 14.0;

/// Colours of the picture where a cell has the terminal's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paper {
    pub background: &'static str,
    pub foreground: &'static str,
}

impl Paper {
    pub const DARK: Paper = Paper { background: "#0d1117", foreground: "#d7dde4" };
    pub const LIGHT: Paper = Paper { background: "#ffffff", foreground: "#1f2328" };
}

/// The frame as an SVG document; text stays text and can be selected.
pub fn from_buffer(buffer: &Buffer, paper: Paper) -> String {
    let (columns, rows) = (buffer.area.width, buffer.area.height);
    let (width, height) = (f64::from(columns) * CELL_WIDTH + 2.0 * PADDING, f64::from(rows) * CELL_HEIGHT + 2.0 * PADDING);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" height=\"{height:.0}\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{}\"/>\n\
         <g font-family=\"ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace\" font-size=\"14\" xml:space=\"preserve\" style=\"white-space:pre\">\n",
        paper.background
    );
    for y in 0..rows {
        let mut x = 0;
        while x < columns {
            let (style, start) = (appearance(buffer, x, y, paper), x);
            let mut text = String::new();
            while x < columns && appearance(buffer, x, y, paper) == style {
                let symbol = buffer[(buffer.area.x + x, buffer.area.y + y)].symbol();
                text.push_str(symbol);
                x += (unicode_width::UnicodeWidthStr::width(symbol) as u16).max(1);
            }
            let (left, top) = (PADDING + f64::from(start) * CELL_WIDTH, PADDING + f64::from(y) * CELL_HEIGHT);
            let run = f64::from(x - start) * CELL_WIDTH;
            if style.background != paper.background {
                let _ = writeln!(
                    svg,
                    "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{run:.1}\" height=\"{CELL_HEIGHT}\" fill=\"{}\"/>",
                    style.background
                );
            }
            if text.trim().is_empty() {
                continue;
            }
            let weight = if style.bold { " font-weight=\"bold\"" } else { "" };
            let line = if style.underlined { " text-decoration=\"underline\"" } else { "" };
            let opacity = if style.dim { " opacity=\"0.6\"" } else { "" };
            let _ = writeln!(
                svg,
                "<text x=\"{left:.1}\" y=\"{:.1}\" textLength=\"{run:.1}\" fill=\"{}\"{weight}{line}{opacity}>{}</text>",
                top + 13.0,
                style.foreground,
                escape(&text)
            );
        }
    }
    svg.push_str("</g>\n</svg>\n");
    svg
}

/// The frame as lines of text without trailing blanks.
pub fn text_from_buffer(buffer: &Buffer) -> String {
    let mut out = String::new();
    for y in buffer.area.top()..buffer.area.bottom() {
        let mut line = String::new();
        let mut x = buffer.area.left();
        while x < buffer.area.right() {
            let symbol = buffer[(x, y)].symbol();
            line.push_str(symbol);
            x += (unicode_width::UnicodeWidthStr::width(symbol) as u16).max(1);
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

#[derive(PartialEq)]
struct Appearance {
    foreground: String,
    background: String,
    bold: bool,
    underlined: bool,
    dim: bool,
}

fn appearance(buffer: &Buffer, x: u16, y: u16, paper: Paper) -> Appearance {
    let cell = &buffer[(buffer.area.x + x, buffer.area.y + y)];
    let foreground = hex(cell.fg).unwrap_or_else(|| paper.foreground.to_owned());
    let background = hex(cell.bg).unwrap_or_else(|| paper.background.to_owned());
    let reversed = cell.modifier.contains(Modifier::REVERSED);
    let (foreground, background) = if reversed { (background, foreground) } else { (foreground, background) };
    Appearance {
        foreground,
        background,
        bold: cell.modifier.contains(Modifier::BOLD),
        underlined: cell.modifier.contains(Modifier::UNDERLINED),
        dim: cell.modifier.contains(Modifier::DIM),
    }
}

fn hex(colour: Color) -> Option<String> {
    Some(
        match colour {
            Color::Rgb(r, g, b) => return Some(format!("#{r:02x}{g:02x}{b:02x}")),
            Color::Black => "#000000",
            Color::Red => "#cd3131",
            Color::Green => "#0dbc79",
            Color::Yellow => "#c9a400",
            Color::Blue => "#2472c8",
            Color::Magenta => "#bc3fbc",
            Color::Cyan => "#11a8cd",
            Color::Gray => "#b0b8c0",
            Color::DarkGray => "#6a737d",
            Color::LightRed => "#f14c4c",
            Color::LightGreen => "#23d18b",
            Color::LightYellow => "#e5e510",
            Color::LightBlue => "#3b8eea",
            Color::LightMagenta => "#d670d6",
            Color::LightCyan => "#29b8db",
            Color::White => "#ffffff",
            Color::Reset | Color::Indexed(_) => return None,
        }
        .to_owned(),
    )
}

pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::layout::Rect;
    use ratatui::style::Style;

    #[test]
    fn a_frame_becomes_runs_of_text() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 6, 1));
        buffer.set_string(0, 0, "a<b", Style::default().fg(Color::Rgb(255, 0, 0)));
        let svg = from_buffer(&buffer, Paper::DARK);
        assert!(svg.contains("fill=\"#ff0000\">a&lt;b</text>"), "{svg}");
        assert_eq!(text_from_buffer(&buffer), "a<b\n");
    }
}
