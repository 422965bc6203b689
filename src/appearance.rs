//! What this terminal can show: colours, characters, background. Asked once, before the first frame.

use crate::cli::{ScreenFlags, When};
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};
use watchfire_config::Ui;
use watchfire_config::files::{BY_HAND, read_text};
use watchfire_views::{ColorDepth, Glyphs, Options, Zone};

/// A terminal that answers at all does so within this; over a slow line the dark theme is a fair guess.
const ANSWER: Duration = Duration::from_millis(150);

/// Options for the screens from flags, configuration and environment.
///
/// # Errors
/// When a theme or keymap file cannot be read, or the time zone is none.
pub fn options(flags: &ScreenFlags, ui: &Ui) -> anyhow::Result<Options> {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let color = color_depth(flags.color, &variable);
    let mut themes = Vec::new();
    let wanted = flags.theme.clone().unwrap_or_else(|| ui.theme.clone());
    let theme = match wanted.as_str() {
        "auto" | "" if color == ColorDepth::Mono => "mono".to_owned(),
        "auto" | "" => if background_is_light(&variable) { "light" } else { "dark" }.to_owned(),
        path if path.ends_with(".toml") => {
            let text = read_text(Path::new(path), BY_HAND).map_err(|e| anyhow::anyhow!("cannot read theme {path}: {e}"))?;
            let name = Path::new(path).file_stem().map_or("custom".to_owned(), |s| s.to_string_lossy().into_owned());
            themes.push((name.clone(), text));
            name
        }
        name => name.to_owned(),
    };
    let keymap = match ui.keymap.as_str() {
        "" => None,
        path => {
            let text = read_text(Path::new(path), BY_HAND).map_err(|e| anyhow::anyhow!("cannot read keymap {path}: {e}"))?;
            Some((path.to_owned(), text))
        }
    };
    Ok(Options {
        theme,
        themes,
        color,
        glyphs: glyphs(flags.ascii, &variable),
        mouse: ui.mouse && !flags.no_mouse,
        keymap,
        user: std::env::var("USER").unwrap_or_else(|_| "terminal".to_owned()),
        zone: zone(&ui.timezone)?,
        ..Options::default()
    })
}

/// The zone of `ui.timezone`.
///
/// # Errors
/// When there is no such zone.
pub fn zone(setting: &str) -> anyhow::Result<Zone> {
    match setting {
        "" | "local" => Ok(local_zone(&std::env::var("TZ").unwrap_or_default(), Path::new("/etc/localtime"))),
        name => Zone::named(name)
            .ok_or_else(|| anyhow::anyhow!("ui.timezone = {name:?}: no such zone; write local, utc or a name such as Europe/Berlin")),
    }
}

/// What this machine calls local: `TZ`, else where its clock file leads to. UTC where that says nothing.
fn local_zone(variable: &str, clock: &Path) -> Zone {
    let of_variable = variable.strip_prefix(':').unwrap_or(variable);
    let linked = std::fs::canonicalize(clock).ok().and_then(|path| path.to_str().map(str::to_owned)).unwrap_or_default();
    let of_file = linked.split_once("zoneinfo/").map_or("", |(_, name)| name.trim_start_matches("posix/"));
    Zone::named(if of_variable.is_empty() { of_file } else { of_variable }).unwrap_or_default()
}

/// NO_COLOR wins over everything but an explicit `--color always`; then what the terminal says of itself.
fn color_depth(when: When, variable: &dyn Fn(&str) -> String) -> ColorDepth {
    let term = variable("TERM");
    let forced = when == When::Always;
    if when == When::Never || (!forced && !variable("NO_COLOR").is_empty()) || (!forced && term == "dumb") {
        return ColorDepth::Mono;
    }
    let colorterm = variable("COLORTERM");
    if colorterm == "truecolor" || colorterm == "24bit" {
        ColorDepth::TrueColor
    } else if term.contains("256color") || term.starts_with("tmux") || term.contains("kitty") {
        ColorDepth::Ansi256
    } else {
        ColorDepth::Ansi16
    }
}

fn glyphs(ascii: bool, variable: &dyn Fn(&str) -> String) -> Glyphs {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().map(|n| variable(n)).find(|v| !v.is_empty()).unwrap_or_default().to_lowercase();
    let utf8 = locale.contains("utf-8") || locale.contains("utf8");
    let plain = variable("TERM") == "linux";
    if ascii || (!utf8 && !locale.is_empty() && (locale == "c" || locale == "posix")) {
        Glyphs::Ascii
    } else if plain {
        // The Linux console has block characters but no braille.
        Glyphs::Block
    } else {
        Glyphs::Braille
    }
}

/// Asks the terminal for its background (OSC 11), else believes COLORFGBG, else assumes dark.
fn background_is_light(variable: &dyn Fn(&str) -> String) -> bool {
    if let Some(luminance) = asked_background() {
        return luminance > 0.5;
    }
    match variable("COLORFGBG").rsplit(';').next().and_then(|b| b.parse::<u8>().ok()) {
        Some(background) => background == 7 || background == 15,
        None => false,
    }
}

/// Relative luminance of the background, 0 to 1.
#[cfg(unix)]
fn asked_background() -> Option<f64> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        return None;
    }
    crossterm::terminal::enable_raw_mode().ok()?;
    let mut answer = Vec::new();
    let mut out = std::io::stdout();
    // The device attributes after it are answered by every terminal, so that silence on the first question ends the wait.
    if write!(out, "\x1b]11;?\x1b\\\x1b[c").and_then(|()| out.flush()).is_ok() {
        let end = Instant::now() + ANSWER;
        let stdin = std::io::stdin();
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            let mut fds = [PollFd::new(&stdin, PollFlags::IN)];
            let wait = Timespec { tv_sec: 0, tv_nsec: i64::from(left.subsec_nanos()) };
            if !matches!(poll(&mut fds, Some(&wait)), Ok(n) if n > 0) {
                break;
            }
            let mut chunk = [0u8; 64];
            match rustix::io::read(&stdin, &mut chunk) {
                Ok(n) if n > 0 => answer.extend_from_slice(&chunk[..n]),
                _ => break,
            }
            if answer.len() > 256 || (answer.contains(&b'c') && answer.windows(2).any(|w| w == b"[?")) {
                break;
            }
        }
    }
    let _ = crossterm::terminal::disable_raw_mode();
    luminance(&String::from_utf8_lossy(&answer))
}

#[cfg(not(unix))]
fn asked_background() -> Option<f64> {
    None
}

/// From `rgb:ffff/ffff/ffff` somewhere in an answer.
fn luminance(answer: &str) -> Option<f64> {
    let rgb = answer.split("rgb:").nth(1)?;
    let mut parts = rgb.split('/').map(|part| {
        let digits: String = part.chars().take_while(char::is_ascii_hexdigit).take(4).collect();
        let max = 16f64.powi(i32::try_from(digits.len()).ok()?) - 1.0;
        Some(f64::from(u32::from_str_radix(&digits, 16).ok()?) / max)
    });
    let (r, g, b) = (parts.next()??, parts.next()??, parts.next()??);
    Some(0.2126 * r + 0.7152 * g + 0.0722 * b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &'static [(&'static str, &'static str)]) -> impl Fn(&str) -> String {
        move |name| pairs.iter().find(|(n, _)| *n == name).map_or(String::new(), |(_, v)| (*v).to_owned())
    }

    #[test]
    fn colours_follow_the_environment() {
        for (when, pairs, expected) in [
            (When::Auto, &[("TERM", "xterm")][..], ColorDepth::Ansi16),
            (When::Auto, &[("TERM", "xterm-256color")], ColorDepth::Ansi256),
            (When::Auto, &[("TERM", "xterm-256color"), ("COLORTERM", "truecolor")], ColorDepth::TrueColor),
            (When::Auto, &[("TERM", "xterm-256color"), ("NO_COLOR", "1")], ColorDepth::Mono),
            (When::Always, &[("TERM", "xterm-256color"), ("NO_COLOR", "1")], ColorDepth::Ansi256),
            (When::Never, &[("TERM", "xterm-256color")], ColorDepth::Mono),
            (When::Auto, &[("TERM", "dumb")], ColorDepth::Mono),
        ] {
            assert_eq!(color_depth(when, &environment(pairs)), expected, "{pairs:?}");
        }
    }

    #[test]
    fn local_time_is_what_the_machine_says() {
        let home = tempfile::TempDir::new().expect("a directory");
        let zones = home.path().join("zoneinfo/Europe");
        std::fs::create_dir_all(&zones).expect("made");
        std::fs::write(zones.join("Berlin"), "").expect("written");
        let clock = home.path().join("localtime");
        std::os::unix::fs::symlink(zones.join("Berlin"), &clock).expect("linked");
        let named = |name| Zone::named(name).expect("a zone");
        assert_eq!(local_zone("", &clock), named("Europe/Berlin"));
        assert_eq!(local_zone(":Asia/Tokyo", &clock), named("Asia/Tokyo"));
        assert_eq!(local_zone("", &home.path().join("none")), named("utc"));
        assert!(zone("Mars/Base").expect_err("no such zone").to_string().contains("ui.timezone"));
    }

    #[test]
    fn backgrounds_are_read_from_the_answer() {
        assert_eq!(luminance("\x1b]11;rgb:ffff/ffff/ffff\x1b\\\x1b[?6c"), Some(1.0));
        assert_eq!(luminance("\x1b]11;rgb:00/00/00\x07"), Some(0.0));
        assert_eq!(luminance("\x1b[?6c"), None);
    }
}
