//! How a run ends: one number per outcome, and one way to say why.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use watchfire_notifiers::{JournalError, StartError};

/// Worst outcome of a judgement, as `watchfire check` exits with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    Healthy = 0,
    Warning = 1,
    Critical = 2,
    Unknown = 3,
}

impl From<Verdict> for ExitCode {
    fn from(verdict: Verdict) -> Self {
        ExitCode::from(verdict as u8)
    }
}

/// Bad usage of `check`, apart from its verdicts (`sysexits.h`).
pub const USAGE: u8 = 64;
/// What was asked for cannot be written out (`sysexits.h`).
const OUTPUT: u8 = 74;
/// What should not have happened has, again and again (`sysexits.h`).
pub const SOFTWARE: u8 = 70;
/// Cannot read, bind or reach something that was asked for.
pub const FAILED: u8 = 2;
/// Another process holds the state directory: whoever starts services tells it apart from a mistake in the configuration.
pub const IN_USE: u8 = 3;

/// The number that an error ends the program with.
pub fn code(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<StartError>() {
        Some(StartError::Journal(JournalError::InUse { .. })) => IN_USE,
        _ => FAILED,
    }
}

/// Prints an error with its chain of causes, harmless whatever is quoted in it.
pub fn complain(error: &anyhow::Error) {
    say("watchfire", &words(error));
}

/// An error with its chain of causes.
pub fn words(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for (depth, cause) in error.chain().enumerate() {
        let line = cause.to_string();
        // Causes often repeat what their parent already quoted.
        if depth == 0 {
            text.push_str(&line);
        } else if !text.contains(&line) {
            text.push_str(": ");
            text.push_str(&line);
        }
    }
    text
}

/// Prints what to do, after an error that somebody else put into words.
pub fn advise(text: &str) {
    say("help", text);
}

/// Prints what is tolerated, but should be known.
pub fn warn(text: &str) {
    say("warning", text);
}

pub fn say(who: &str, text: &str) {
    let shown: Vec<String> = text.lines().map(|l| watchfire_model::harmless(l).into_owned()).collect();
    let _ = writeln!(std::io::stderr().lock(), "{who}: {}", shown.join("\n  "));
}

/// Writes to standard output; a reader that went away ends the program quietly, as every filter does. Text for a terminal is made
/// harmless line by line, text for a pipe or a file stays what it is. A file that cannot hold it is an error: half of it would be
/// taken for all.
pub fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let result = if std::io::stdout().is_terminal() {
        text.split_inclusive('\n').try_for_each(|line| {
            let (body, end) = line.strip_suffix('\n').map_or((line, ""), |b| (b, "\n"));
            write!(out, "{}{end}", watchfire_model::harmless(body))
        })
    } else {
        out.write_all(text.as_bytes())
    };
    match result.and_then(|()| out.flush()) {
        Ok(()) => {}
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(e) => {
            say("watchfire", &format!("cannot write to standard output: {e}"));
            std::process::exit(i32::from(OUTPUT));
        }
    }
}

/// Text for an XML attribute or element, harmless first.
pub fn xml(text: &str) -> String {
    let safe: String = text.lines().map(|l| watchfire_model::harmless(l).into_owned()).collect::<Vec<_>>().join("\n");
    let escaped = safe.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
    escaped.replace('\n', "&#10;")
}
