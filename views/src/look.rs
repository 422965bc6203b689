//! How things look: a theme resolved for what the terminal can show. Widgets name a [`Role`], never a colour.

use crate::zone::Zone;
use ratatui::style::{Color, Modifier, Style};
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::BTreeMap;
use watchfire_model::{HealthState, Severity};

/// The themes that come with watchfire; a file of the user's is given to [`crate::Options`].
pub(crate) const BUILT_IN: [(&str, &str); 5] = [
    ("dark", include_str!("../../assets/themes/dark.toml")),
    ("light", include_str!("../../assets/themes/light.toml")),
    ("high-contrast", include_str!("../../assets/themes/high-contrast.toml")),
    ("colour-blind", include_str!("../../assets/themes/colour-blind.toml")),
    ("mono", include_str!("../../assets/themes/mono.toml")),
];

/// How many colours the terminal has. `Mono` is also what NO_COLOR asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ColorDepth {
    Mono,
    #[default]
    Ansi16,
    Ansi256,
    TrueColor,
}

/// Which characters the terminal can draw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Glyphs {
    /// Letters and signs of ASCII only.
    Ascii,
    /// Blocks and lines, no braille.
    Block,
    #[default]
    Braille,
}

/// What a piece of the screen means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, PartialOrd, Ord, Hash)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    Text,
    /// Secondary text: units, hints.
    Dim,
    /// Lines, empty bars, what should not be noticed.
    Faint,
    Strong,
    /// Column headings.
    Heading,
    /// The tab or crumb that is open.
    Active,
    Selected,
    Marked,
    Healthy,
    Degraded,
    Unhealthy,
    Unknown,
    /// Names of things that can be opened.
    Accent,
    Key,
    Banner,
    Paused,
    Match,
    Series1,
    Series2,
    Series3,
    Series4,
    Series5,
    Series6,
    Heat1,
    Heat2,
    Heat3,
    Heat4,
    Heat5,
}

impl Role {
    pub(crate) const ALL: [Role; 28] = [
        Role::Text,
        Role::Dim,
        Role::Faint,
        Role::Strong,
        Role::Heading,
        Role::Active,
        Role::Selected,
        Role::Marked,
        Role::Healthy,
        Role::Degraded,
        Role::Unhealthy,
        Role::Unknown,
        Role::Accent,
        Role::Key,
        Role::Banner,
        Role::Paused,
        Role::Match,
        Role::Series1,
        Role::Series2,
        Role::Series3,
        Role::Series4,
        Role::Series5,
        Role::Series6,
        Role::Heat1,
        Role::Heat2,
        Role::Heat3,
        Role::Heat4,
        Role::Heat5,
    ];

    /// Colours of lines in charts, in turn.
    pub(crate) fn series(index: usize) -> Role {
        [Role::Series1, Role::Series2, Role::Series3, Role::Series4, Role::Series5, Role::Series6][index % 6]
    }

    pub(crate) fn heat(step: usize) -> Role {
        [Role::Heat1, Role::Heat2, Role::Heat3, Role::Heat4, Role::Heat5][step.min(4)]
    }
}

impl From<HealthState> for Role {
    fn from(state: HealthState) -> Role {
        match state {
            HealthState::Healthy => Role::Healthy,
            HealthState::Degraded => Role::Degraded,
            HealthState::Unhealthy => Role::Unhealthy,
            HealthState::Unknown => Role::Unknown,
        }
    }
}

/// The sign of a state; always beside a word or in a column that is about state.
pub(crate) fn state_glyph(state: HealthState) -> &'static str {
    match state {
        HealthState::Healthy => "●",
        HealthState::Degraded => "▲",
        HealthState::Unhealthy => "✖",
        HealthState::Unknown => "?",
    }
}

/// The state a severity stands for on screen.
pub(crate) fn severity_state(severity: Severity) -> HealthState {
    match severity {
        Severity::Critical | Severity::High => HealthState::Unhealthy,
        Severity::Security | Severity::Warning => HealthState::Degraded,
        Severity::Normal | Severity::Low | Severity::Info => HealthState::Unknown,
    }
}

pub(crate) fn severity_glyph(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical | Severity::High => "✖",
        Severity::Security | Severity::Warning => "▲",
        Severity::Normal | Severity::Low | Severity::Info => "○",
    }
}

/// How bad a share of failing calls is.
pub(crate) fn error_role(errors: Option<f64>) -> Role {
    match errors {
        Some(e) if e >= 0.05 => Role::Unhealthy,
        Some(e) if e >= 0.01 => Role::Degraded,
        _ => Role::Text,
    }
}

/// Whether a breaker holds calls back; others are not worth a sign on an edge.
pub(crate) fn is_tripped(state: &str) -> bool {
    matches!(state, "open" | "half-open")
}

/// A breaker's state as a sign and how bad it is.
pub(crate) fn breaker_look(state: &str) -> (&'static str, HealthState) {
    match state {
        "open" => ("✖", HealthState::Unhealthy),
        "half-open" => ("◐", HealthState::Degraded),
        "closed" => ("●", HealthState::Healthy),
        _ => ("?", HealthState::Unknown),
    }
}

/// One theme file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Theme {
    /// One sentence for the list of themes.
    pub(crate) description: String,
    roles: BTreeMap<Role, Paint>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Paint {
    /// `#rrggbb`, for terminals with 256 colours or more.
    fg: Option<String>,
    bg: Option<String>,
    /// The name in the 16 colours.
    ansi: Option<String>,
    ansi_bg: Option<String>,
    bold: bool,
    dim: bool,
    italic: bool,
    underline: bool,
    reverse: bool,
}

/// Why a theme cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ThemeError {
    #[error("theme `{name}` is not known; there are {known}")]
    Unknown { name: String, known: String },
    #[error("theme `{name}`: {why}")]
    Unreadable { name: String, why: String },
    #[error(
        "theme `{name}`, role {role}: `{value}` is not a colour; write #rrggbb or one of the 16 names such as red, light-blue, dark-gray"
    )]
    Colour { name: String, role: String, value: String },
}

/// A theme resolved for one terminal.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    styles: [Style; Role::ALL.len()],
    pub(crate) glyphs: Glyphs,
    pub(crate) depth: ColorDepth,
    /// What times of day are written in.
    pub(crate) zone: Zone,
    /// The theme in one sentence.
    pub(crate) description: String,
}

impl Look {
    /// Reads theme `name` out of `files` (the user's) or the built-in ones.
    pub(crate) fn load(name: &str, files: &[(String, String)], depth: ColorDepth, glyphs: Glyphs) -> Result<Look, ThemeError> {
        let wanted = if name == "color-blind" { "colour-blind" } else { name };
        let text = files
            .iter()
            .map(|(n, t)| (n.as_str(), t.as_str()))
            .chain(BUILT_IN)
            .find(|(n, _)| *n == wanted)
            .map(|(_, text)| text)
            .ok_or_else(|| ThemeError::Unknown { name: name.to_owned(), known: names(files).join(", ") })?;
        let theme: Theme =
            toml::from_str(text).map_err(|e| ThemeError::Unreadable { name: name.to_owned(), why: e.message().to_owned() })?;
        let mut styles = [Style::default(); Role::ALL.len()];
        for role in Role::ALL {
            if let Some(paint) = theme.roles.get(&role) {
                styles[role as usize] = resolve(paint, depth).map_err(|value| ThemeError::Colour {
                    name: name.to_owned(),
                    role: format!("{role:?}").to_lowercase(),
                    value,
                })?;
            }
        }
        Ok(Look { styles, glyphs, depth, zone: Zone::default(), description: theme.description })
    }

    pub(crate) fn in_zone(self, zone: Zone) -> Look {
        Look { zone, ..self }
    }

    #[cfg(test)]
    pub(crate) fn plain() -> Look {
        Look {
            styles: [Style::default(); Role::ALL.len()],
            glyphs: Glyphs::Braille,
            depth: ColorDepth::Mono,
            zone: Zone::default(),
            description: String::new(),
        }
    }

    pub(crate) fn style(&self, role: Role) -> Style {
        self.styles[role as usize]
    }
}

/// Names of all themes, the user's first.
pub(crate) fn names(files: &[(String, String)]) -> Vec<String> {
    files.iter().map(|(n, _)| n.clone()).chain(BUILT_IN.iter().map(|(n, _)| (*n).to_owned())).collect()
}

fn resolve(paint: &Paint, depth: ColorDepth) -> Result<Style, String> {
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
    Ok(style.add_modifier(modifiers))
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

/// The ASCII ladder, in one place: each sign watchfire draws has a counterpart of one column; other letters become `?`.
pub(crate) fn ascii_for(c: char) -> char {
    match c {
        ' '..='~' => c,
        '✖' => 'X',
        '▲' => '!',
        '●' | '◆' | '★' => '*',
        '○' | '◐' => 'o',
        '–' | '─' | '╌' | '┄' | '—' => '-',
        '│' | '┃' | '·' | '▏' | '╎' | '┊' | '┆' => '|',
        '┌' | '┐' | '└' | '┘' | '├' | '┤' | '┬' | '┴' | '┼' | '╭' | '╮' | '╰' | '╯' => '+',
        '→' | '▶' | '▸' | '»' | '›' => '>',
        '←' | '◀' | '◂' | '«' | '‹' | '↵' => '<',
        '↑' | '▴' => '^',
        '↓' | '▾' | '▼' => 'v',
        '≈' => '=',
        '…' => '.',
        '⛁' | '▮' | '█' | '▓' => '#',
        '▯' | '▁' => '_',
        '▂' => '.',
        '▃' | '░' => ':',
        '▄' => '-',
        '▅' | '▒' => '=',
        '▆' => '+',
        '▇' => '*',
        '▀' => '"',
        '‖' => '=',
        'µ' => 'u',
        '×' => 'x',
        '✓' => 'v',
        '\u{2800}' => ' ',
        '\u{2801}'..='\u{28ff}' => '*',
        '␀'..='␡' => '^',
        _ => '?',
    }
}

pub(crate) fn to_ascii(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.is_ascii() {
        return text;
    }
    // A wide letter keeps its two columns, a mark vanishes with its letter's.
    use unicode_width::UnicodeWidthChar;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        for _ in 0..c.width().unwrap_or(0) {
            out.push(ascii_for(c));
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_theme_loads_at_every_depth() {
        for (name, _) in BUILT_IN {
            for depth in [ColorDepth::Mono, ColorDepth::Ansi16, ColorDepth::Ansi256, ColorDepth::TrueColor] {
                let look = Look::load(name, &[], depth, Glyphs::Braille).expect(name);
                assert_ne!(look.style(Role::Selected), Style::default(), "{name} {depth:?}: the selection must be visible");
                if depth == ColorDepth::Mono {
                    assert!(Role::ALL.iter().all(|r| look.style(*r).fg.is_none() && look.style(*r).bg.is_none()), "{name}");
                }
            }
        }
    }

    #[test]
    fn states_differ_in_sixteen_colours() {
        for (name, _) in BUILT_IN.iter().filter(|(n, _)| *n != "mono") {
            let look = Look::load(name, &[], ColorDepth::Ansi16, Glyphs::Block).expect(name);
            let mut seen: Vec<Style> = [Role::Healthy, Role::Degraded, Role::Unhealthy, Role::Unknown].map(|r| look.style(r)).to_vec();
            seen.dedup();
            assert_eq!(seen.len(), 4, "{name}");
        }
    }

    #[test]
    fn a_bad_theme_says_what_is_wrong() {
        let bad = [("mine".to_owned(), "description = \"x\"\n[roles]\ntext = { fg = \"reddish\" }".to_owned())];
        let error = Look::load("mine", &bad, ColorDepth::TrueColor, Glyphs::Block).unwrap_err();
        assert!(error.to_string().contains("`reddish` is not a colour"), "{error}");
        let missing = Look::load("drak", &[], ColorDepth::TrueColor, Glyphs::Block).unwrap_err();
        assert!(missing.to_string().contains("there are dark, light"), "{missing}");
    }

    #[test]
    fn rich_colours_fall_to_near_poor_ones() {
        assert_eq!(nearest_16(Color::Rgb(200, 10, 10)), Color::Red);
        assert_eq!(nearest_256(Color::Rgb(255, 0, 0)), Color::Indexed(196));
        assert_eq!(nearest_256(Color::Rgb(128, 128, 128)), Color::Indexed(244));
    }
}
