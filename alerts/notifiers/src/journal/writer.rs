//! The one thread that writes, and group commit.

use super::directory::StateDirectory;
use super::entries::{Acknowledgement, Cell};
use super::faults::Faults;
use super::log::SegmentLog;
use super::payload::{self, AlertStates};
use super::state::{Change, State};
use super::{JournalError, banner_bytes};
use parking_lot::{Mutex, RwLock};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use watchfire_model::reading::Silence;
use watchfire_model::{Counter, Gauge, Meter, Timestamp, caught};

/// Commits that may wait for the disk; more wait for a place.
const WAITING: usize = 1024;
/// Commits and bytes that share one sync.
const GROUP: usize = 256;
const GROUP_BYTES: usize = 8 << 20;
/// How often a failed journal is tried anew.
const RETRY: Duration = Duration::from_secs(1);
/// How often an idle journal looks whether its file is still there.
const LOOK: Duration = Duration::from_secs(5);

/// What was found at start.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    /// The evaluator's records by its keys.
    pub alert_states: Vec<(String, Vec<u8>)>,
    /// Entries that still wait to be sent.
    pub outbox: Vec<Cell>,
    pub silences: Vec<Silence>,
    pub acknowledgements: Vec<Acknowledgement>,
    /// What was lost or repaired, one sentence each.
    pub banners: Vec<String>,
}

struct Commit {
    payload: Vec<u8>,
    states: AlertStates,
    changes: Vec<Change>,
    done: Box<dyn FnOnce(bool) + Send>,
}

/// The journal with its state. Dropping it writes what is waiting and ends the thread.
#[derive(Debug)]
pub struct Journal {
    commits: Option<SyncSender<Commit>>,
    thread: Option<JoinHandle<()>>,
    state: Arc<RwLock<State>>,
    trouble: Arc<Mutex<Option<String>>>,
    faults: Faults,
}

impl Journal {
    /// Opens the directory, or keeps everything in memory when there is none. `changed` is called after every batch of applied commits.
    ///
    /// # Errors
    /// When the directory is refused or in use; damage to the files is not an error, it is repaired and reported.
    pub fn open(
        directory: Option<&Path>,
        now: Timestamp,
        meter: &Meter,
        faults: Faults,
        changed: Box<dyn Fn() + Send>,
    ) -> Result<(Journal, Recovered), JournalError> {
        let mut state = State::default();
        let mut banners = Vec::new();
        let mut unreadable = 0u64;
        let mut full = None;
        let log = match directory {
            Some(path) => {
                let directory = StateDirectory::open(path)?;
                let (mut log, damage) = SegmentLog::open(directory, now, faults.clone(), &mut |bytes| {
                    // One record that panics would do so at every start.
                    if caught(|| payload::apply(bytes, &mut state)).ok().flatten().is_none() {
                        unreadable += 1;
                    }
                })?;
                banners = damage.banners;
                full = damage.full;
                // Written anew, so that the same loss is not reported at every start.
                if damage.lost_records > 0
                    && damage.kept
                    && let Err(error) = log.rewrite(payload::snapshot(&state))
                {
                    banners.push(format!("journal: cannot be written anew: {error}"));
                }
                meter.counter("watchfire_journal_lost_records_total", &[]).add(damage.lost_records + unreadable);
                meter.counter("watchfire_journal_cut_bytes_total", &[]).add(damage.cut_bytes);
                if unreadable > 0 {
                    banners.push(format!("journal: {unreadable} records cannot be understood; were they written by another version?"));
                }
                Some(log)
            }
            None => None,
        };
        state.not_ahead_of(now);
        // Without a journal a counter that began at one again would repeat keys that receivers have seen.
        state.counter = state.counter.max(u64::try_from(now.millis()).unwrap_or(0));
        let recovered = Recovered {
            alert_states: state.alert_states.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
            outbox: state.cells.values().flat_map(|c| c.values()).filter(|c| c.is_owed()).cloned().collect(),
            silences: state.silences.values().map(|s| s.silence.clone()).collect(),
            acknowledgements: state.acknowledgements.values().cloned().collect(),
            banners,
        };
        let state = Arc::new(RwLock::new(state));
        let trouble = Arc::new(Mutex::new(match directory {
            Some(_) => None,
            None => Some("state is kept in memory only: no state directory is set".to_owned()),
        }));
        let (sender, receiver) = sync_channel(WAITING);
        let mut writer = Writer {
            log,
            state: state.clone(),
            trouble: trouble.clone(),
            durable: meter.gauge("watchfire_state_durable", &[]),
            disk: meter.gauge("watchfire_journal_bytes", &[]),
            failures: meter.counter("watchfire_journal_failures_total", &[]),
            panics: meter.counter("watchfire_panics_total", &[("task", "journal")]),
            faults: faults.clone(),
            changed,
        };
        match full {
            // Evaluating and sending do not wait for room.
            Some(kind) => writer.failed(&kind.into()),
            None => writer.report(None),
        }
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || {
                // Who commits waits for this thread, and whoever is to be told waits for who commits.
                while let Err(panic) = caught(|| writer.run(&receiver)) {
                    writer.panicked(&panic);
                }
            })
            .map_err(|error| JournalError::Io { what: "cannot start the journal thread".to_owned(), error })?;
        Ok((Journal { commits: Some(sender), thread: Some(thread), state, trouble, faults }, recovered))
    }

    /// The state as of the last finished commit.
    pub fn state(&self) -> &RwLock<State> {
        &self.state
    }

    /// Why what is committed now would not survive a crash, if so.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().clone()
    }

    /// Commits and calls `done` with whether it is durable; the state has changed by then. Blocks only while [`WAITING`] others wait.
    pub fn submit(&self, states: AlertStates, changes: Vec<Change>, done: impl FnOnce(bool) + Send + 'static) {
        if let Err(error) = self.faults.at("commit") {
            tracing::warn!(%error, "journal");
        }
        let payload = payload::encode(&states, &changes);
        let commit = Commit { payload, states, changes, done: Box::new(done) };
        if let Some(commits) = &self.commits {
            // The thread ends only after this sender is gone.
            let _ = commits.send(commit);
        }
        if let Err(error) = self.faults.at("queued") {
            tracing::warn!(%error, "journal");
        }
    }

    /// Commits and waits: true when it is on disk, false when it is held in memory only. Not for async code.
    pub fn commit(&self, states: AlertStates, changes: Vec<Change>) -> bool {
        let (sender, receiver) = sync_channel(1);
        self.submit(states, changes, move |durable| {
            let _ = sender.send(durable);
        });
        receiver.recv().unwrap_or(false)
    }

    /// As [`commit`](Self::commit), for async code.
    pub async fn commit_async(&self, changes: Vec<Change>) -> bool {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        self.submit(AlertStates::default(), changes, move |durable| {
            let _ = sender.send(durable);
        });
        receiver.await.unwrap_or(false)
    }

    pub(crate) fn faults(&self) -> &Faults {
        &self.faults
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.commits = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the journal thread panicked");
        }
    }
}

struct Writer {
    log: Option<SegmentLog>,
    state: Arc<RwLock<State>>,
    trouble: Arc<Mutex<Option<String>>>,
    durable: Gauge,
    disk: Gauge,
    failures: Counter,
    panics: Counter,
    faults: Faults,
    changed: Box<dyn Fn() + Send>,
}

impl Writer {
    fn run(&mut self, commits: &Receiver<Commit>) {
        // Commits come more often than once in that time: they must not put off what makes them durable again.
        let mut retry_at: Option<Instant> = None;
        loop {
            let first = if self.log.as_ref().is_none_or(SegmentLog::is_sound) {
                retry_at = None;
                match commits.recv_timeout(LOOK) {
                    Ok(commit) => commit,
                    Err(RecvTimeoutError::Timeout) => {
                        if self.is_displaced() {
                            self.rewrite();
                        }
                        continue;
                    }
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            } else {
                let at = *retry_at.get_or_insert_with(|| Instant::now() + RETRY);
                match commits.recv_timeout(at.saturating_duration_since(Instant::now())) {
                    Ok(commit) => {
                        if Instant::now() >= at {
                            retry_at = None;
                            self.rewrite();
                        }
                        commit
                    }
                    Err(RecvTimeoutError::Timeout) => {
                        retry_at = None;
                        self.rewrite();
                        continue;
                    }
                    Err(RecvTimeoutError::Disconnected) => {
                        self.rewrite();
                        return;
                    }
                }
            };
            let mut bytes = first.payload.len();
            let mut group = vec![first];
            while group.len() < GROUP && bytes < GROUP_BYTES {
                match commits.try_recv() {
                    Ok(commit) => {
                        bytes += commit.payload.len();
                        group.push(commit);
                    }
                    Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
                }
            }
            self.write(group);
        }
    }

    /// Whether somebody has taken the journal's file away since it was last looked at.
    fn is_displaced(&mut self) -> bool {
        let displaced = self.log.as_mut().is_some_and(|log| !log.is_in_place());
        if displaced {
            self.failed(&io::Error::new(io::ErrorKind::NotFound, "its file was removed or replaced"));
        }
        displaced
    }

    fn write(&mut self, group: Vec<Commit>) {
        let displaced = self.survives(Self::is_displaced).unwrap_or_default();
        let mut durable = self.survives(|writer| writer.append(&group)).unwrap_or_default();
        let mut done = Vec::with_capacity(group.len());
        let mut panics = Vec::new();
        {
            // Held over the whole group: nobody sees half of a commit.
            let mut state = self.state.write();
            for commit in group {
                for change in &commit.changes {
                    match caught(|| self.faults.at("apply").map(|()| state.apply(change))) {
                        Ok(applied) => durable &= applied.is_ok(),
                        Err(panic) => panics.push(panic),
                    }
                }
                payload::apply_states(commit.states, &mut state);
                done.push(commit.done);
            }
        }
        for panic in panics {
            self.panicked(&panic);
            durable = false;
        }
        if displaced {
            self.rewrite();
            durable = self.log.as_ref().is_some_and(SegmentLog::is_sound);
        }
        for done in done {
            self.survives(|_| done(durable));
        }
        self.survives(|writer| (writer.changed)());
        let rewrite = self.log.as_ref().is_some_and(|log| log.is_sound() && log.wants_rewrite());
        if rewrite {
            self.rewrite();
        }
        if let Some(log) = &self.log {
            self.disk.set(log.disk_bytes() as f64);
        }
    }

    fn append(&mut self, group: &[Commit]) -> bool {
        let Some(log) = self.log.as_mut().filter(|log| log.is_sound()) else { return false };
        let written = log.append(group.iter().map(|c| c.payload.as_slice()));
        written.inspect_err(|error| self.failed(error)).is_ok()
    }

    /// Runs a part of the work. A panic costs this part and the file that was written to, and nobody else their turn.
    fn survives<T>(&mut self, part: impl FnOnce(&mut Self) -> T) -> Option<T> {
        caught(|| part(self)).inspect_err(|panic| self.panicked(panic)).ok()
    }

    fn panicked(&mut self, panic: &str) {
        self.panics.add(1);
        if let Some(log) = &mut self.log {
            log.abandon();
        }
        self.failed(&io::Error::other(panic.to_owned()));
    }

    fn rewrite(&mut self) {
        self.survives(Self::write_anew);
    }

    /// Writes the whole state to a new file. After a failure this is what makes it durable again.
    fn write_anew(&mut self) {
        let Some(log) = &mut self.log else { return };
        let state = self.state.read();
        let was_sound = log.is_sound();
        let result = log.rewrite(payload::snapshot(&state));
        let sound = log.is_sound();
        drop(state);
        match result {
            Ok(()) if !was_sound => {
                tracing::info!("the journal is durable again");
                self.report(None);
            }
            Ok(()) => {}
            Err(error) if sound && !was_sound => {
                tracing::warn!(%error, "the journal is durable again; older files could not be removed");
                self.report(None);
            }
            // Either file is whole, and the log goes on in one of them.
            Err(error) if sound => tracing::warn!(%error, "the journal could not be written anew"),
            Err(error) => self.failed(&error),
        }
    }

    fn failed(&mut self, error: &io::Error) {
        self.failures.add(1);
        let text = format!(
            "state is not durable: {error} while writing the journal. Alerts are still evaluated and sent, but a crash now could repeat or lose some; \
             free space or repair the disk, it recovers by itself"
        );
        if self.trouble.lock().as_deref() != Some(text.as_str()) {
            tracing::error!("{text}");
        }
        self.report(Some(text));
    }

    fn report(&mut self, trouble: Option<String>) {
        let sound = self.log.as_ref().is_some_and(SegmentLog::is_sound);
        self.durable.set(if sound && trouble.is_none() { 1.0 } else { 0.0 });
        if let Some(log) = &self.log {
            self.disk.set(log.disk_bytes() as f64);
            *self.trouble.lock() = trouble;
            tracing::debug!(disk = banner_bytes(log.disk_bytes()), "journal");
        }
    }
}
