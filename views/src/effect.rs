//! What goes in and what comes out: events wake the screen, effects are all it may ask of the world.

use crossterm::event::{KeyEvent, MouseEvent};
use watchfire_model::Timestamp;
use watchfire_model::reading::Command;

/// Everything that can wake the screen, besides readings.
#[derive(Clone, Debug)]
pub enum Event {
    Key(KeyEvent),
    Mouse(MouseEvent),
    Paste(String),
    /// Columns, rows.
    Resize(u16, u16),
    /// The wall clock; a few times a second.
    Tick(Timestamp),
    /// What became of an [`Effect::Command`] or [`Effect::Save`], in words.
    Done(Result<String, String>),
}

/// What the screen asks of the program around it.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    Quit,
    Suspend,
    /// Clean text for the clipboard (OSC 52).
    Copy(String),
    /// A write: silence, acknowledge, pin.
    Command(Command),
    /// A file for the working directory; the name has no path in it.
    Save {
        name: String,
        text: String,
    },
    /// A typed line, for [`crate::Options::typed`] of the sessions to come.
    Remember(String),
    /// Only http and https.
    OpenUrl(String),
    /// Read everything again at once: the time cursor or the question changed.
    Refresh,
    /// Clear the terminal and draw all of it.
    Redraw,
}

/// The longest text that is copied; terminals cut OSC 52 at about 75 kB of base64.
const COPY_LIMIT: usize = 50_000;

/// Text for the clipboard: no control characters but inner line ends, none at the end, so that a paste never runs anything.
pub(crate) fn clipboard(text: &str) -> String {
    let mut out: Vec<String> = Vec::new();
    let mut left = COPY_LIMIT;
    for line in text.lines() {
        let clean: String = line.chars().filter(|c| !c.is_control()).take(left).collect();
        left = left.saturating_sub(clean.chars().count() + 1);
        let clean = crate::canvas::safe(&clean, COPY_LIMIT).into_owned();
        out.push(clean);
        if left == 0 {
            break;
        }
    }
    out.join("\n").trim_end().to_owned()
}

/// The address if it may be opened, or why not.
pub(crate) fn address(url: &str) -> Result<String, String> {
    let bad = |why: &str| Err(format!("refused: {why}"));
    if url.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return bad("the address holds control characters or blanks");
    }
    let rest = match url.split_once("://") {
        Some(("http" | "https", rest)) => rest,
        _ => return Err(format!("{url} is not a web address; only http and https are opened")),
    };
    if rest.is_empty() || rest.starts_with(['/', '-', '?', '#']) {
        return bad("the address has no host");
    }
    Ok(url.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clipboard_never_holds_what_a_paste_would_run() {
        assert_eq!(clipboard("rm -rf /\n"), "rm -rf /");
        assert_eq!(clipboard("a\x1b]52;c;x\x07b\r\n\n"), "a]52;c;xb");
        assert_eq!(clipboard("one\ntwo\n"), "one\ntwo");
        assert_eq!(clipboard(&"x".repeat(100_000)).len(), COPY_LIMIT);
    }

    #[test]
    fn only_web_addresses_open() {
        assert!(address("https://wiki.example/runbook?x=1").is_ok());
        for bad in ["javascript:alert(1)", "file:///etc/passwd", "-flag", "http://x\ny", "http://", "https:///x", "http://-x", "ftp://x"] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }
}
