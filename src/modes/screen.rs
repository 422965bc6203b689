//! The event loop around the screens: keys and readings in, frames and effects out. It never waits for a reading.

use super::exports::{open, save};
use super::typed::Typed;
use crate::screen_backend::ScreenBackend;
use crate::terminal::{TerminalGuard, failures, has_job_control, hung_up};
use base64::Engine as _;
use crossterm::event::{Event as TerminalEvent, KeyEventKind};
use crossterm::{execute, terminal};
use parking_lot::{Condvar, Mutex};
use ratatui::Terminal;
use rustix::process::Signal;
use std::io::{BufWriter, Stdout, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};
use watchfire_model::reading::{CommandSink, ReadError, Source};
use watchfire_model::{Clock, Reading, Request, Timestamp};
use watchfire_views::{App, Effect, Event};

/// How often readings are asked for while nothing wakes the reader earlier.
const READ_EVERY: Duration = Duration::from_millis(1000);
/// The clock of the header moves once a second; a tick more often than that is for messages that fade.
const TICK: Duration = Duration::from_millis(500);
/// Twenty frames a second at most, whatever arrives.
const FRAME: Duration = Duration::from_millis(50);
/// What a key changed, and what it asked for, is shown sooner; a key that repeats still costs no more than this allows.
const KEY_FRAME: Duration = Duration::from_millis(10);

/// Whatever else already waits is taken before the next frame, up to so much: a burst costs one frame.
const BURST: usize = 256;

/// How often the thread that waits for keys looks whether the terminal is gone, without a key.
const KEYS_PATIENCE: Duration = Duration::from_secs(1);

/// Everything that can wake the loop.
pub enum Wake {
    Terminal(TerminalEvent),
    /// What was read, and of which time.
    Answer(Request, Option<Timestamp>, Result<Reading, ReadError>),
    /// Bytes for the terminal beside the frames: a notification sequence, the bell.
    Bytes(Vec<u8>),
    Done(Result<String, String>),
    /// Somebody asked for the terminal (SIGTSTP), or gave it back (SIGCONT).
    Suspend,
    Resumed,
    Quit,
}

/// Answers that the screens have not taken in: while the terminal takes no frame, as behind a stalled line, nothing more is read.
const MOST_UNSEEN: usize = 16;

/// What the reader thread is to ask next.
#[derive(Default)]
struct Questions {
    wants: Vec<Request>,
    at: Option<Timestamp>,
    changed: bool,
    /// Answers on their way.
    unseen: usize,
    stop: bool,
}

/// Shows `app` until somebody quits, the terminal goes away, or `wakes` says so.
///
/// # Errors
/// When there is no terminal, or it cannot be drawn to.
pub fn show(
    mut app: App,
    mouse: bool,
    typed: Typed,
    source: Arc<dyn Source>,
    commands: Arc<dyn CommandSink>,
    wakes: (Sender<Wake>, Receiver<Wake>),
    clock: &dyn Clock,
) -> anyhow::Result<()> {
    let guard = TerminalGuard::take(mouse)?;
    let (send, receive) = wakes;
    let questions =
        Arc::new((Mutex::new(Questions { wants: app.wants(), at: app.at(), changed: true, ..Questions::default() }), Condvar::new()));
    let stop_input = Arc::new(AtomicBool::new(false));
    let input = spawn_input(send.clone(), stop_input.clone());
    // The reader may be inside a slow read of another machine and is not waited for.
    drop(spawn_reader(source, questions.clone(), send.clone()));

    let mut terminal = Terminal::new(ScreenBackend::new(guard.writer()))?;
    terminal.clear()?;
    if let Ok((columns, rows)) = terminal::size() {
        app.handle(Event::Resize(columns, rows));
    }
    app.handle(Event::Tick(clock.now()));
    let awaited = app.wants();
    let mut shown = Shown {
        app,
        terminal,
        guard,
        commands,
        typed,
        send,
        questions: questions.clone(),
        clock,
        last_frame: Instant::now() - FRAME,
        last_tick: Instant::now(),
        failed: failures(),
        pressed: false,
        awaited,
        quit: false,
    };
    let outcome = shown.run(&receive);
    stop_input.store(true, Ordering::SeqCst);
    questions.0.lock().stop = true;
    questions.1.notify_all();
    drop(shown);
    // Whoever waits for keys only sees the end when something comes, and a change of size is something.
    let _ = rustix::process::kill_process(rustix::process::getpid(), Signal::WINCH);
    // On a terminal that is gone crossterm reads without end, and only the end of the process ends that.
    if hung_up() {
        return Ok(());
    }
    let _ = input.join();
    outcome
}

/// The screens while they are shown: what the loop looks after.
struct Shown<'a> {
    app: App,
    /// Dropped before the guard, which gives the terminal back.
    terminal: Terminal<ScreenBackend<BufWriter<Stdout>>>,
    guard: TerminalGuard,
    commands: Arc<dyn CommandSink>,
    typed: Typed,
    send: Sender<Wake>,
    questions: Arc<(Mutex<Questions>, Condvar)>,
    clock: &'a dyn Clock,
    last_frame: Instant,
    last_tick: Instant,
    /// Panics elsewhere that were told of already.
    failed: u64,
    /// A key was pressed, or what it asked for came, and no frame shows it yet.
    pressed: bool,
    /// What a key asked for and nobody has seen yet.
    awaited: Vec<Request>,
    quit: bool,
}

impl Shown<'_> {
    /// Draws and listens until somebody quits or the terminal is gone.
    fn run(&mut self, wakes: &Receiver<Wake>) -> anyhow::Result<()> {
        loop {
            let gap = if self.pressed { KEY_FRAME } else { FRAME };
            if self.app.dirty() && self.last_frame.elapsed() >= gap {
                self.draw()?;
            }
            let wait = if self.app.dirty() {
                gap.saturating_sub(self.last_frame.elapsed())
            } else {
                TICK.saturating_sub(self.last_tick.elapsed())
            };
            let first = wakes.recv_timeout(wait.max(Duration::from_millis(1)));
            self.quit |= matches!(first, Err(RecvTimeoutError::Disconnected));
            let mut effects = Vec::new();
            for wake in first.into_iter().chain(wakes.try_iter().take(BURST)) {
                effects.extend(self.woken(wake)?);
            }
            if self.last_tick.elapsed() >= TICK {
                effects.extend(self.tick());
                if hung_up() {
                    return Ok(());
                }
            }
            for effect in effects {
                self.perform(effect)?;
            }
            if self.quit {
                return Ok(());
            }
            if let Some(wants) = ask(&self.questions, &self.app) {
                self.awaited = wants;
            }
        }
    }

    fn draw(&mut self) -> anyhow::Result<()> {
        failpoint("frame");
        execute!(self.terminal.backend_mut(), terminal::BeginSynchronizedUpdate)?;
        self.terminal.draw(|frame| self.app.render(frame))?;
        execute!(self.terminal.backend_mut(), terminal::EndSynchronizedUpdate)?;
        self.last_frame = Instant::now();
        self.pressed = false;
        Ok(())
    }

    fn woken(&mut self, wake: Wake) -> anyhow::Result<Vec<Effect>> {
        match wake {
            Wake::Terminal(event) => {
                // What the terminal shows after a resize is anybody's guess, even at the size it had before.
                if matches!(event, TerminalEvent::Resize(..)) {
                    self.terminal.clear()?;
                } else {
                    self.pressed = true;
                }
                return Ok(terminal_event(&mut self.app, event));
            }
            Wake::Answer(request, at, answer) => {
                self.seen();
                // About another time than the cursor's it comes too late.
                if at != self.app.at() {
                    return Ok(Vec::new());
                }
                if let Some(index) = self.awaited.iter().position(|wanted| *wanted == request) {
                    self.awaited.swap_remove(index);
                    self.pressed = true;
                }
                self.app.receive(&request, answer);
            }
            Wake::Bytes(bytes) => self.write(&bytes)?,
            Wake::Done(done) => return Ok(self.app.handle(Event::Done(done))),
            Wake::Suspend => return Ok(vec![Effect::Suspend]),
            Wake::Resumed => {
                // Stopped from outside, nobody gave the terminal back or took it again.
                self.guard.resume()?;
                return Ok(vec![Effect::Redraw]);
            }
            Wake::Quit => self.quit = true,
        }
        Ok(Vec::new())
    }

    /// An answer is taken in; the reader may be waiting for that.
    fn seen(&self) {
        let mut held = self.questions.0.lock();
        if held.unseen >= MOST_UNSEEN {
            self.questions.1.notify_all();
        }
        held.unseen = held.unseen.saturating_sub(1);
    }

    fn tick(&mut self) -> Vec<Effect> {
        self.last_tick = Instant::now();
        let mut effects = self.app.handle(Event::Tick(self.clock.now()));
        if failures() > self.failed {
            self.failed = failures();
            let told = "a part of watchfire failed and goes on; its log says what happened".to_owned();
            effects.extend(self.app.handle(Event::Done(Err(told))));
        }
        effects
    }

    /// Bytes for the terminal that are no part of a frame.
    fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let out = self.terminal.backend_mut();
        out.write_all(bytes)?;
        Ok(Write::flush(out)?)
    }

    fn perform(&mut self, effect: Effect) -> anyhow::Result<()> {
        match effect {
            Effect::Quit => self.quit = true,
            Effect::Suspend if has_job_control() => {
                self.guard.release();
                // SIGTSTP has a handler, so it would not stop anything any more.
                let _ = rustix::process::kill_process(rustix::process::getpid(), Signal::STOP);
                self.guard.resume()?;
                self.terminal.clear()?;
            }
            Effect::Suspend => {
                let _ = self.send.send(Wake::Done(Err("no shell is there to come back from; q leaves".to_owned())));
            }
            Effect::Copy(text) => {
                let encoded = base64::engine::general_purpose::STANDARD.encode(text);
                self.write(format!("\x1b]52;c;{encoded}\x07").as_bytes())?;
            }
            Effect::Command(command) => {
                // Durable means fsynced, so it may take a moment: never on this thread.
                let (commands, send) = (self.commands.clone(), self.send.clone());
                std::thread::spawn(move || {
                    let done = commands.execute(&command).map_err(|e| e.to_string());
                    let _ = send.send(Wake::Done(done));
                });
            }
            Effect::Save { name, text } => {
                let _ = self.send.send(Wake::Done(save(Path::new("."), &name, &text)));
            }
            Effect::Remember(line) => {
                // A home directory may be far away: never on this thread.
                let typed = self.typed.clone();
                std::thread::spawn(move || typed.add(&line));
            }
            Effect::OpenUrl(url) => open(if cfg!(target_os = "macos") { "open" } else { "xdg-open" }, url, self.send.clone()),
            Effect::Refresh => {
                self.questions.0.lock().changed = true;
                self.questions.1.notify_all();
            }
            Effect::Redraw => self.terminal.clear()?,
        }
        Ok(())
    }
}

fn terminal_event(app: &mut App, event: TerminalEvent) -> Vec<Effect> {
    match event {
        TerminalEvent::Key(key) if key.kind != KeyEventKind::Release => app.handle(Event::Key(key)),
        TerminalEvent::Mouse(mouse) => app.handle(Event::Mouse(mouse)),
        TerminalEvent::Paste(text) => app.handle(Event::Paste(text)),
        TerminalEvent::Resize(columns, rows) => app.handle(Event::Resize(columns, rows)),
        _ => Vec::new(),
    }
}

/// Tells the reader thread what the screen wants now, and wakes it when that differs: then the answer is what it wants.
fn ask(questions: &(Mutex<Questions>, Condvar), app: &App) -> Option<Vec<Request>> {
    let (wants, at) = (app.wants(), app.at());
    let mut held = questions.0.lock();
    if held.wants == wants && held.at == at {
        return None;
    }
    held.wants.clone_from(&wants);
    held.at = at;
    held.changed = true;
    questions.1.notify_all();
    Some(wants)
}

/// Ends the screens with the thread that reads keys, however it ends: without keys nobody could leave.
struct LastWord(Sender<Wake>);

impl Drop for LastWord {
    fn drop(&mut self) {
        let _ = self.0.send(Wake::Quit);
    }
}

fn spawn_input(send: Sender<Wake>, stop: Arc<AtomicBool>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let _last_word = LastWord(send.clone());
        while !stop.load(Ordering::SeqCst) {
            match crossterm::event::poll(KEYS_PATIENCE) {
                Ok(true) => match crossterm::event::read() {
                    Ok(event) => {
                        failpoint("input");
                        if send.send(Wake::Terminal(event)).is_err() {
                            return;
                        }
                    }
                    Err(_) => return,
                },
                Ok(false) => {}
                Err(_) => return,
            }
            // A dead terminal makes the event source spin; leaving is the only right thing then.
            if hung_up() {
                return;
            }
        }
    })
}

fn spawn_reader(source: Arc<dyn Source>, questions: Arc<(Mutex<Questions>, Condvar)>, send: Sender<Wake>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        loop {
            let (wants, at) = {
                let mut held = questions.0.lock();
                if !held.changed && !held.stop {
                    questions.1.wait_for(&mut held, READ_EVERY);
                }
                while held.unseen >= MOST_UNSEEN && !held.stop {
                    questions.1.wait(&mut held);
                }
                if held.stop {
                    return;
                }
                held.changed = false;
                (held.wants.clone(), held.at)
            };
            for request in wants {
                // A reading that fails must not take the others with it.
                let read = || {
                    failpoint("reader");
                    source.read(&request, at)
                };
                let answer = std::panic::catch_unwind(std::panic::AssertUnwindSafe(read))
                    .unwrap_or_else(|_| Err(ReadError::BadRequest("this reading failed; the log says what happened".to_owned())));
                // The status says that the other side is gone; everything else stays on screen as it was.
                if matches!(answer, Err(ReadError::Disconnected(_))) {
                    continue;
                }
                questions.0.lock().unseen += 1;
                if send.send(Wake::Answer(request, at, answer)).is_err() {
                    return;
                }
                let held = questions.0.lock();
                if held.stop {
                    return;
                }
                // What a key asks for now comes before the rest of what the screen before it wanted.
                if held.changed {
                    break;
                }
            }
        }
    })
}

/// Passes on that somebody stops or continues the program from outside.
pub fn listen_for_job_control(runtime: &tokio::runtime::Runtime, wake: Sender<Wake>) -> std::io::Result<()> {
    let _inside = runtime.enter();
    let (mut stop, mut go_on) =
        (signal(SignalKind::from_raw(Signal::TSTP.as_raw()))?, signal(SignalKind::from_raw(Signal::CONT.as_raw()))?);
    runtime.spawn(async move {
        loop {
            let event = tokio::select! {
                Some(()) = stop.recv() => Wake::Suspend,
                Some(()) = go_on.recv() => Wake::Resumed,
                else => return,
            };
            if wake.send(event).is_err() {
                return;
            }
        }
    });
    Ok(())
}

/// Lets a test see how a failure at this place ends: `WATCHFIRE_PANIC_IN` names one. Not in release builds.
fn failpoint(place: &str) {
    #[cfg(debug_assertions)]
    assert!(std::env::var("WATCHFIRE_PANIC_IN").as_deref() != Ok(place), "asked to fail in {place}: \x1b[31mred");
    #[cfg(not(debug_assertions))]
    let _ = place;
}

/// A channel for everything that wakes the loop; notifiers and signals get clones of the sender.
pub fn wakes() -> (Sender<Wake>, Receiver<Wake>) {
    channel()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Always;

    impl Source for Always {
        fn read(&self, _: &Request, _: Option<Timestamp>) -> Result<Reading, ReadError> {
            Err(ReadError::Timeout)
        }
    }

    #[test]
    fn answers_do_not_pile_up_while_no_frame_is_taken() {
        let questions = Arc::new((Mutex::new(Questions { wants: vec![Request::Status], ..Questions::default() }), Condvar::new()));
        let (send, receive) = channel();
        let reader = spawn_reader(Arc::new(Always), questions.clone(), send);
        for _ in 0..10 * MOST_UNSEEN {
            questions.0.lock().changed = true;
            questions.1.notify_all();
            // Until it has taken the question up, or waits to be heard.
            while questions.0.lock().changed && questions.0.lock().unseen < MOST_UNSEEN {
                std::thread::yield_now();
            }
        }
        let heard: Vec<_> = (0..MOST_UNSEEN).map(|_| receive.recv_timeout(Duration::from_secs(5))).collect();
        assert!(heard.iter().all(Result::is_ok) && receive.try_recv().is_err());
        questions.0.lock().unseen = 0;
        questions.1.notify_all();
        assert!(receive.recv_timeout(Duration::from_secs(5)).is_ok(), "it goes on");
        questions.0.lock().stop = true;
        questions.1.notify_all();
        reader.join().expect("it ends");
    }
}
