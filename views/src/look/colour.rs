//! From a theme's paint to a style, with as many colours as the terminal has.

use super::{ColorDepth, Paint};
use ratatui::style::{Color, Modifier, Style};

pub(super) fn resolve(paint: &Paint, depth: ColorDepth) -> Result<Style, String> {
    let mut style = Style::default();
    let parse = |text: &Option<String>| match text {
        None => Ok(None),
        Some(t) => colour(t).map(Some).ok_or_else(|| t.clone()),
    };
    let (fg, bg, ansi, ansi_bg) = (parse(&paint.fg)?, parse(&paint.bg)?, parse(&paint.ansi)?, parse(&paint.ansi_bg)?);
    let shade = |rich: Option<Color>, poor: Option<Color>| match depth {
        ColorDepth::Mono => None,
        ColorDepth::Ansi16 => poor.or(rich.map(nearest_16)),
        ColorDepth::Ansi256 => rich.map(nearest_256).or(poor),
        ColorDepth::TrueColor => rich.or(poor),
    };
    style.fg = shade(fg, ansi);
    style.bg = shade(bg, ansi_bg);
    let mut modifiers = Modifier::empty();
    modifiers.set(Modifier::BOLD, paint.bold);
    modifiers.set(Modifier::DIM, paint.dim);
    modifiers.set(Modifier::ITALIC, paint.italic);
    modifiers.set(Modifier::UNDERLINED, paint.underline);
    // Without colours a background can only be told by reversing.
    let had_background = paint.bg.is_some() || paint.ansi_bg.is_some();
    modifiers.set(Modifier::REVERSED, paint.reverse || (depth == ColorDepth::Mono && had_background));
    // A dim cell that is reversed is a grey block within the bar.
    let bar = if modifiers.contains(Modifier::REVERSED) { Modifier::DIM } else { Modifier::empty() };
    Ok(style.add_modifier(modifiers).remove_modifier(bar))
}

const NAMES: [(&str, Color, (u8, u8, u8)); 16] = [
    ("black", Color::Black, (0, 0, 0)),
    ("red", Color::Red, (205, 0, 0)),
    ("green", Color::Green, (0, 205, 0)),
    ("yellow", Color::Yellow, (205, 205, 0)),
    ("blue", Color::Blue, (0, 0, 238)),
    ("magenta", Color::Magenta, (205, 0, 205)),
    ("cyan", Color::Cyan, (0, 205, 205)),
    ("gray", Color::Gray, (229, 229, 229)),
    ("dark-gray", Color::DarkGray, (127, 127, 127)),
    ("light-red", Color::LightRed, (255, 0, 0)),
    ("light-green", Color::LightGreen, (0, 255, 0)),
    ("light-yellow", Color::LightYellow, (255, 255, 0)),
    ("light-blue", Color::LightBlue, (92, 92, 255)),
    ("light-magenta", Color::LightMagenta, (255, 0, 255)),
    ("light-cyan", Color::LightCyan, (0, 255, 255)),
    ("white", Color::White, (255, 255, 255)),
];

fn colour(text: &str) -> Option<Color> {
    if let Some(hex) = text.strip_prefix('#') {
        let value = (hex.len() == 6).then(|| u32::from_str_radix(hex, 16).ok()).flatten()?;
        return Some(Color::Rgb((value >> 16) as u8, (value >> 8) as u8, value as u8));
    }
    NAMES.iter().find(|(name, _, _)| *name == text).map(|(_, colour, _)| *colour)
}

fn nearest_16(colour: Color) -> Color {
    let Color::Rgb(r, g, b) = colour else { return colour };
    let distance = |(x, y, z): (u8, u8, u8)| {
        let d = |a: u8, b: u8| (i32::from(a) - i32::from(b)).pow(2);
        d(r, x) + d(g, y) + d(b, z)
    };
    NAMES.iter().min_by_key(|(_, _, rgb)| distance(*rgb)).map_or(Color::Reset, |(_, c, _)| *c)
}

/// The 6x6x6 cube and the grey ramp of xterm.
fn nearest_256(colour: Color) -> Color {
    let Color::Rgb(r, g, b) = colour else { return colour };
    const STEPS: [i32; 6] = [0, 95, 135, 175, 215, 255];
    let step = |v: u8| (0..6).min_by_key(|i| (STEPS[*i] - i32::from(v)).abs()).unwrap_or(0);
    let (x, y, z) = (step(r), step(g), step(b));
    let distance = |p: i32, q: i32, s: i32| (p - i32::from(r)).pow(2) + (q - i32::from(g)).pow(2) + (s - i32::from(b)).pow(2);
    let cube = distance(STEPS[x], STEPS[y], STEPS[z]);
    let mean = (i32::from(r) + i32::from(g) + i32::from(b)) / 3;
    let grey = ((mean - 8) / 10).clamp(0, 23);
    let level = 8 + 10 * grey;
    if distance(level, level, level) < cube { Color::Indexed(232 + grey as u8) } else { Color::Indexed((16 + 36 * x + 6 * y + z) as u8) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rich_colours_fall_to_near_poor_ones() {
        assert_eq!(nearest_16(Color::Rgb(200, 10, 10)), Color::Red);
        assert_eq!(nearest_256(Color::Rgb(255, 0, 0)), Color::Indexed(196));
        assert_eq!(nearest_256(Color::Rgb(128, 128, 128)), Color::Indexed(244));
    }
}
