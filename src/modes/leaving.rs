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

/// Stops `instance` once the screens are gone, and ends the process at once when somebody asks for that.
pub fn leave(runtime: &tokio::runtime::Runtime, instance: Instance) {
    if terminal::hung_up() {
        return runtime.block_on(instance.stop(STOP_AT_ONCE));
    }
    let text = waits_for(instance.owed());
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
fn waits_for(owed: usize) -> String {
    let what = match owed {
        0 => "requests that are under way end".to_owned(),
        1 => "1 notification is still to be sent".to_owned(),
        n => format!("{n} notifications are still to be sent"),
    };
    let kept = if owed > 0 { "; what is not sent by then goes out after the next start" } else { "" };
    format!("watchfire ends: {what}, for at most {} s{kept}. q or Ctrl-C ends it now", STOP_WITHIN.as_secs())
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
        assert!(waits_for(0).contains("under way") && !waits_for(0).contains("next start"));
        assert!(waits_for(1).contains("1 notification is") && waits_for(3).contains("3 notifications are"));
        assert!([0, 1, 3].iter().all(|owed| waits_for(*owed).contains("10 s") && waits_for(*owed).ends_with("q or Ctrl-C ends it now")));
    }
}
