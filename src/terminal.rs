//! The terminal as a borrowed thing: taken in raw mode, given back on every way out, a panic and a dead other end included.

use crossterm::event::{DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture};
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use crossterm::{cursor, execute};
use std::io::{self, BufWriter, IsTerminal, Stdout, Write};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the terminal is ours right now; what restores it looks here first, so that restoring twice is harmless.
static TAKEN: AtomicBool = AtomicBool::new(false);
static MOUSE: AtomicBool = AtomicBool::new(false);

/// Large enough for a full repaint of a big terminal in one write.
const FRAME_BUFFER: usize = 64 << 10;

/// Raw mode and the alternate screen, until dropped.
pub struct TerminalGuard(());

impl TerminalGuard {
    /// # Errors
    /// When there is no terminal, or it refuses.
    pub fn take(mouse: bool) -> io::Result<Self> {
        if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
            return Err(io::Error::other("there is no terminal here; use `--headless`, or `--plain` for a linear log"));
        }
        restore_on_panic();
        MOUSE.store(mouse, Ordering::SeqCst);
        enter()?;
        Ok(TerminalGuard(()))
    }

    /// Gives the terminal back, for suspending.
    pub fn release(&self) {
        leave();
    }

    /// Takes it again after resuming.
    ///
    /// # Errors
    /// When the terminal refuses.
    pub fn resume(&self) -> io::Result<()> {
        enter()
    }

    /// A buffered writer: one write call a frame.
    pub fn writer(&self) -> BufWriter<Stdout> {
        BufWriter::with_capacity(FRAME_BUFFER, io::stdout())
    }
}

impl Drop for TerminalGuard {
    fn drop(&mut self) {
        leave();
    }
}

fn enter() -> io::Result<()> {
    enable_raw_mode()?;
    TAKEN.store(true, Ordering::SeqCst);
    let mut out = io::stdout();
    execute!(out, EnterAlternateScreen, EnableBracketedPaste, cursor::Hide)?;
    if MOUSE.load(Ordering::SeqCst) {
        execute!(out, EnableMouseCapture)?;
    }
    Ok(())
}

/// Best effort on purpose: on the way out there is nobody left to tell.
fn leave() {
    if !TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    let mut out = io::stdout();
    if MOUSE.load(Ordering::SeqCst) {
        let _ = execute!(out, DisableMouseCapture);
    }
    let _ = execute!(out, DisableBracketedPaste, LeaveAlternateScreen, cursor::Show);
    let _ = disable_raw_mode();
    let _ = out.flush();
}

/// Panics in any thread give the terminal back before their text appears, and the text is made harmless.
fn restore_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            leave();
            previous(info);
        }));
    });
}

/// True once the other end of the terminal is gone: a closed window, a dropped connection. Asking the terminal itself is the only
/// reliable way; the event source would spin for ever instead.
#[cfg(unix)]
pub fn hung_up() -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let stdin = io::stdin();
    let mut fds = [PollFd::new(&stdin, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    match poll(&mut fds, Some(&now)) {
        Ok(n) if n > 0 => fds[0].revents().intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL),
        _ => false,
    }
}

#[cfg(not(unix))]
pub fn hung_up() -> bool {
    false
}
