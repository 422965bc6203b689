//! The terminal as a borrowed thing: taken in raw mode, given back on every way out, a panic and a dead other end included.

use crossterm::event::{DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste};
use crossterm::style::ResetColor;
use crossterm::terminal::{EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use crossterm::{cursor, execute};
use parking_lot::Mutex;
use std::io::{self, BufWriter, IsTerminal, Stdout, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::ThreadId;

/// Whether the terminal is ours right now; what restores it looks here first, so that restoring twice is harmless.
static TAKEN: AtomicBool = AtomicBool::new(false);
static MOUSE: AtomicBool = AtomicBool::new(false);
/// The thread that draws, once there is one.
static DRAWING: Mutex<Option<ThreadId>> = Mutex::new(None);
static FAILURES: AtomicU64 = AtomicU64::new(0);

/// Large enough for a full repaint of a big terminal in one write.
const FRAME_BUFFER: usize = 64 << 10;

/// Why screens cannot be shown here, and what to do instead.
pub fn refusal() -> Option<&'static str> {
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        return Some("there is no terminal here; use --headless, or --plain for a linear log");
    }
    // It understands no sequence, and would show every one of them.
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    dumb.then_some("TERM=dumb cannot show screens; use --plain for a linear log, or set TERM to what the terminal is")
}

/// Raw mode and the alternate screen, until dropped.
pub struct TerminalGuard(());

impl TerminalGuard {
    /// # Errors
    /// When there is no terminal, or it refuses.
    pub fn take(mouse: bool) -> io::Result<Self> {
        if let Some(why) = refusal() {
            return Err(io::Error::other(why));
        }
        *DRAWING.lock() = Some(std::thread::current().id());
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

/// Buttons, the wheel, and moves while a button is down. What the library would ask for reports every move of the mouse, which a slow line
/// carries for nothing.
const BUTTONS: &[u8] = b"\x1b[?1000h\x1b[?1002h\x1b[?1006h";

fn enter() -> io::Result<()> {
    enable_raw_mode()?;
    TAKEN.store(true, Ordering::SeqCst);
    let mut out = io::stdout();
    execute!(out, EnterAlternateScreen, EnableBracketedPaste, cursor::Hide)?;
    if MOUSE.load(Ordering::SeqCst) {
        out.write_all(BUTTONS)?;
        out.flush()?;
    }
    Ok(())
}

/// Gives the terminal back from anywhere, for an end that runs no destructors.
pub fn give_back() {
    leave();
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
    // A frame may have been cut short inside of a synchronized update or of a style.
    let _ = execute!(out, EndSynchronizedUpdate, ResetColor, DisableBracketedPaste, LeaveAlternateScreen, cursor::Show);
    let _ = disable_raw_mode();
    let _ = out.flush();
}

/// Says a panic in harmless words, in the right place. On the thread that draws, the terminal is given back first. Any other thread's panic
/// is somebody else's to survive, and must not tear the screens: it goes to the log, and [`failures`] counts it.
pub fn tame_panics() {
    std::panic::set_hook(Box::new(|info| {
        let text = info.to_string().lines().map(|line| watchfire_model::harmless(line).into_owned()).collect::<Vec<_>>().join("\n  ");
        FAILURES.fetch_add(1, Ordering::SeqCst);
        let drawing = DRAWING.lock().is_some_and(|thread| thread == std::thread::current().id());
        if TAKEN.load(Ordering::SeqCst) && !drawing {
            tracing::error!("a thread failed: {text}");
            return;
        }
        leave();
        // With standard error gone there is nobody left to tell.
        let _ = writeln!(io::stderr(), "watchfire failed: {text}");
    }));
}

/// Panics so far, on any thread.
pub fn failures() -> u64 {
    FAILURES.load(Ordering::SeqCst)
}

/// Where the shell that started us can take over and later hand back. Without one, a stopped program would hold the terminal for ever.
pub fn has_job_control() -> bool {
    use rustix::process::{getpgid, getpgrp, getppid, getsid};
    let Some(parent) = getppid() else { return false };
    let same_session = matches!((getsid(Some(parent)), getsid(None)), (Ok(a), Ok(b)) if a == b);
    same_session && getpgid(Some(parent)).is_ok_and(|group| group != getpgrp())
}

/// True once the other end of the terminal is gone: a closed window, a dropped connection. Asking the terminal itself is the only
/// reliable way; the event source would spin for ever instead.
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
