//! How things look: a theme resolved for what the terminal can show. Widgets name a [`Role`], never a colour.

mod ascii;
mod colour;

use crate::zone::Zone;
pub(crate) use ascii::{ascii_drawn, to_ascii};
use colour::resolve;
use ratatui::style::Style;
use serde::Deserialize;
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
}
