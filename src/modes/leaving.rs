//! The end of a run with screens: what it waits for is said, and who does not want to wait says so again.

use crate::exit;
use crate::instance::{Instance, STOP_AT_ONCE, STOP_WITHIN};
use crate::terminal;
use crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// What ends sooner ends without a word.
const SAID_AFTER: Duration = Duration::from_millis(400);

/// How often the thread that waits for keys looks whether the end has come without one.
const KEYS_PATIENCE: Duration = Duration::from_millis(100);

/// Stops `instance` once the screens are gone, and ends the process at once when somebody asks for that. `durable`: what is owed
/// survives it.
pub fn leave(runtime: &tokio::runtime::Runtime, instance: Instance, durable: bool) {
    if terminal::hung_up() {
        return runtime.block_on(instance.stop(STOP_AT_ONCE));
    }
    let text = waits_for(instance.owed(), durable);
    runtime.block_on(async {
        let stopped = instance.stop(STOP_WITHIN);
        tokio::pin!(stopped);
        if tokio::time::timeout(SAID_AFTER, &mut stopped).await.is_ok() {
            return;
        }
        let keys = Keys::listen(&text);
        tokio::select! {
            () = &mut stopped => keys.end(),
            () = keys.asked.notified() => {
                keys.end();
                std::process::exit(1);
            }
        }
    });
}

/// In words: why the shell is not back yet, and what to do about it.
fn waits_for(owed: usize, durable: bool) -> String {
    let what = match owed {
        0 => "requests under way to end".to_owned(),
        1 => "1 notification to be sent".to_owned(),
        n => format!("{n} notifications to be sent"),
    };
    let rest = match (owed, durable) {
        (0, _) => "",
        (_, true) => "; what is not sent by then goes out after the next start",
        (_, false) => "; what is not sent by then is forgotten",
    };
    format!("watchfire waits for {what}, {} s at most{rest}. q or Ctrl-C ends it now", STOP_WITHIN.as_secs())
}

/// Keys while there are no screens any more.
struct Keys {
    asked: Arc<Notify>,
    over: Arc<AtomicBool>,
}

impl Keys {
    /// Says what is waited for, where somebody sees it, and listens for a key.
    fn listen(text: &str) -> Keys {
        let keys = Keys { asked: Arc::default(), over: Arc::default() };
        // Where the screens were: standard error may be a file.
        exit::print(&format!("{text}\n"));
        if std::io::stdin().is_terminal() && crossterm::terminal::enable_raw_mode().is_ok() {
            let (asked, over) = (keys.asked.clone(), keys.over.clone());
            std::thread::spawn(move || {
                while !over.load(Ordering::SeqCst) && !terminal::hung_up() {
                    match crossterm::event::poll(KEYS_PATIENCE) {
                        Ok(true) if crossterm::event::read().is_ok_and(|event| is_leaving(&event)) => asked.notify_one(),
                        Ok(_) => {}
                        Err(_) => return,
                    }
                }
            });
        }
        keys
    }

    /// Gives the keyboard back to the shell.
    fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
        let _ = crossterm::terminal::disable_raw_mode();
    }
}

/// The keys that leave the screens, whatever a keymap makes of them there.
fn is_leaving(event: &Event) -> bool {
    let Event::Key(KeyEvent { code, modifiers, kind, .. }) = event else { return false };
    let interrupt = *code == KeyCode::Char('c') && modifiers.contains(KeyModifiers::CONTROL);
    *kind != KeyEventKind::Release && (interrupt || matches!(code, KeyCode::Char('q') | KeyCode::Esc))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_is_told_for_what_and_how_to_end_it() {
        let end = ", 10 s at most. q or Ctrl-C ends it now";
        assert_eq!(waits_for(0, true), format!("watchfire waits for requests under way to end{end}"));
        for (owed, durable, words) in [
            (1, true, ["1 notification to be sent", "goes out after the next start"]),
            (3, true, ["3 notifications to be sent", "goes out after the next start"]),
            // As in a demo.
            (3, false, ["3 notifications to be sent", "is forgotten"]),
        ] {
            let text = waits_for(owed, durable);
            assert!(words.iter().all(|word| text.contains(word)), "{text}");
        }
    }
}
