//! Starting the dispatcher, and what the rest of the program asks of it.

use super::path::{self, PathStatus};
use super::plan::PathTraits;
use super::shared::{PathState, Shared};
use super::trial::{PathReport, test_all};
use super::{Anchor, summary};
use crate::channels;
use crate::channels::terminal::{Terminal, TerminalKind, TerminalSink};
use crate::journal::{Acknowledgement, ActiveSilence, AlertStates, Cell, Change, DeadLetter, Faults, Journal, JournalError, Recovered};
use crate::message::stable_key;
use crate::routing::{Explanation, Routing};
use crate::settings::Settings;
use parking_lot::Mutex;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use watchfire_model::reading::Silence;
use watchfire_model::{Clock, Labels, Meter, Notice, NoticeState, Timestamp};

/// What one evaluation tick changed.
#[derive(Clone, Debug, Default)]
pub struct TickRecord {
    /// The evaluator's records that changed, by its own keys; opaque here.
    pub states_changed: Vec<(String, Vec<u8>)>,
    pub states_removed: Vec<String>,
    pub notices: Vec<Notice>,
}

/// Why the dispatcher cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Exit code 2.
    #[error("notify: {0}")]
    Settings(String),
}

/// Starts delivery.
pub struct Dispatcher;

/// The running dispatcher; clones share it.
#[derive(Clone)]
pub struct DispatcherHandle {
    pub(super) shared: Arc<Shared>,
    terminal: Terminal,
    tasks: TaskTracker,
}

impl Dispatcher {
    /// Opens the journal, takes up what was not delivered, and starts one task per delivery path on the current tokio runtime.
    /// Cancelling the token drains: what is owed is sent at once, for at most `limits.drain`; await [`DispatcherHandle::drained`].
    ///
    /// # Errors
    /// When settings contradict themselves, or the state directory is refused or in use.
    pub fn start(
        settings: Settings,
        state_dir: Option<&Path>,
        meter: Meter,
        clock: Arc<dyn Clock>,
        cancel: CancellationToken,
    ) -> Result<(DispatcherHandle, Recovered), StartError> {
        Self::start_with_faults(settings, state_dir, meter, clock, cancel, Faults::default())
    }

    /// As [`start`](Self::start), with places where a test makes operations fail.
    #[doc(hidden)]
    pub fn start_with_faults(
        settings: Settings,
        state_dir: Option<&Path>,
        meter: Meter,
        clock: Arc<dyn Clock>,
        cancel: CancellationToken,
        faults: Faults,
    ) -> Result<(DispatcherHandle, Recovered), StartError> {
        let routing = Routing::new(&settings).map_err(StartError::Settings)?;
        let terminal = Terminal::default();
        let mut paths = Vec::new();
        for receiver in routing.receivers() {
            for channel in &receiver.channels {
                let made = channels::build(&channel.settings, &settings, &terminal)
                    .map_err(|e| StartError::Settings(format!("receiver {:?}: {e}", receiver.name)))?;
                paths.push(Arc::new(PathState {
                    traits: PathTraits {
                        name: channel.path.clone(),
                        receiver: receiver.name.clone(),
                        habits: made.habits(),
                        at_least: channel.at_least,
                        send_resolved: channel.send_resolved,
                    },
                    channel: made,
                    status: Mutex::new(PathStatus::default()),
                    changed: Notify::new(),
                }));
            }
        }
        let woken = paths.clone();
        let wake = Box::new(move || woken.iter().for_each(|p| p.changed.notify_one()));
        let (journal, recovered) = Journal::open(state_dir, clock.now(), &meter, faults, wake)?;
        for banner in &recovered.banners {
            tracing::warn!("{banner}");
        }
        let shared = Arc::new(Shared {
            journal,
            limits: settings.limits.clone(),
            external_url: settings.external_url.clone(),
            anchor: Anchor::new(&*clock),
            clock,
            meter,
            paths,
            cancel,
            recovered: recovered.banners.clone(),
            persistent: state_dir.is_some(),
            silences: AtomicU64::new(0),
            drain_until: OnceLock::new(),
            routing,
        });
        let tasks = TaskTracker::new();
        for path in &shared.paths {
            tasks.spawn(path::run(shared.clone(), path.clone()));
        }
        tasks.spawn(summary::run(shared.clone()));
        tasks.close();
        Ok((DispatcherHandle { shared, terminal, tasks }, recovered))
    }
}

impl DispatcherHandle {
    /// Journals a tick and hands its notices to the senders. Blocks until the record is on disk, then returns true; returns false when it is
    /// held in memory only, because there is no state directory or the disk failed. For the evaluator's own thread, not for async code.
    pub fn commit(&self, tick: TickRecord) -> bool {
        if tick.states_changed.is_empty() && tick.states_removed.is_empty() && tick.notices.is_empty() {
            return self.shared.journal.trouble().is_none();
        }
        let at = self.shared.anchor.now(&*self.shared.clock).steady;
        let mut changes: Vec<Change> = tick.notices.into_iter().map(|notice| self.shared.addressed(notice, at, None)).collect();
        if !changes.is_empty() {
            changes.extend(self.shared.overflow());
        }
        self.shared.journal.commit(AlertStates { changed: tick.states_changed, removed: tick.states_removed }, changes)
    }

    /// Paths that have told somebody of the alert's present incident.
    pub fn delivery(&self, fingerprint: &str) -> Vec<String> {
        let state = self.shared.journal.state().read();
        let told = |cell: &Cell| match (cell.notice.state, cell.sent_state) {
            (_, None) => false,
            // What was told was the end of the incident before.
            (NoticeState::Firing, Some(NoticeState::Resolved)) => false,
            (_, Some(_)) => true,
        };
        state.cells.iter().filter(|(_, cells)| cells.get(fingerprint).is_some_and(told)).map(|(path, _)| path.clone()).collect()
    }

    /// (path, works, what was found or is missing), from the last attempt or probe.
    pub fn paths(&self) -> Vec<(String, bool, String)> {
        self.shared.paths.iter().map(|p| p.status.lock().report(&p.traits.name)).map(|r| (r.path, r.works, r.detail)).collect()
    }

    /// Sentences for the banner: what was lost at start, and what is wrong with the journal now. To run without a state directory is a choice,
    /// not a fault, and is not in here.
    pub fn banners(&self) -> Vec<String> {
        let now = self.shared.journal.trouble().filter(|_| self.shared.persistent);
        self.shared.recovered.iter().cloned().chain(now).collect()
    }

    /// True while committed means on disk.
    pub fn is_durable(&self) -> bool {
        self.shared.journal.trouble().is_none()
    }

    /// Adds or replaces a silence and returns its id once it is durable. An empty id gets a new one. Blocks.
    ///
    /// # Errors
    /// When a matcher or the times are refused, or it could not be made durable.
    pub fn silence(&self, mut silence: Silence) -> Result<String, String> {
        ActiveSilence::new(silence.clone())?;
        if silence.id.is_empty() {
            let number = self.shared.silences.fetch_add(1, Ordering::Relaxed).to_string();
            let at = self.shared.clock.now().millis().to_string();
            silence.id = stable_key(&["silence", &at, &number, &std::process::id().to_string(), &format!("{:?}", silence.matchers)]);
        }
        let id = silence.id.clone();
        self.shared.decided(Change::Silence(silence), "the silence").map(|()| id)
    }

    /// Ends a silence now. Blocks.
    ///
    /// # Errors
    /// When there is none of that id, or its end could not be made durable.
    pub fn expire(&self, id: &str) -> Result<(), String> {
        let now = self.shared.clock.now();
        let mut silence = self
            .shared
            .journal
            .state()
            .read()
            .silences
            .get(id)
            .map(|s| s.silence.clone())
            .ok_or_else(|| format!("there is no silence {id:?}"))?;
        if silence.ends_at <= now {
            return Err(format!("silence {id:?} has ended already"));
        }
        silence.starts_at = silence.starts_at.min(Timestamp(now.millis() - 1));
        silence.ends_at = now;
        self.shared.decided(Change::Silence(silence), "the end of the silence")
    }

    /// Records that somebody looks after the alert: repeats stop until `until`, or until it resolves. Blocks.
    ///
    /// # Errors
    /// When `until` has passed, or it could not be made durable.
    pub fn acknowledge(&self, fingerprint: &str, by: &str, until: Option<Timestamp>) -> Result<(), String> {
        let at = self.shared.clock.now();
        if until.is_some_and(|until| until <= at) {
            return Err("the acknowledgement would have ended already".to_owned());
        }
        let acknowledgement = Acknowledgement { fingerprint: fingerprint.to_owned(), by: by.to_owned(), at, until };
        self.shared.decided(Change::Acknowledge(acknowledgement), "the acknowledgement")
    }

    /// Takes an acknowledgement back. Blocks.
    ///
    /// # Errors
    /// When it could not be made durable.
    pub fn unacknowledge(&self, fingerprint: &str) -> Result<(), String> {
        self.shared.decided(Change::Unacknowledge { fingerprint: fingerprint.to_owned() }, "the end of the acknowledgement")
    }

    /// Silences that are active or to come, and those that ended in the last days.
    pub fn silences(&self) -> Vec<Silence> {
        self.shared.journal.state().read().silences.values().map(|s| s.silence.clone()).collect()
    }

    /// The id of the silence that covers these labels now.
    pub fn is_silenced(&self, labels: &Labels) -> Option<String> {
        self.shared.journal.state().read().silenced_by(labels, self.shared.clock.now()).map(|s| s.id.clone())
    }

    /// Who looks after the alert, and until when.
    pub fn acknowledged(&self, fingerprint: &str) -> Option<Acknowledgement> {
        self.shared.journal.state().read().acknowledged_by(fingerprint, self.shared.clock.now()).cloned()
    }

    /// Messages that were given up.
    pub fn dead_letters(&self) -> Vec<DeadLetter> {
        self.shared.journal.state().read().dead.iter().cloned().collect()
    }

    /// Entries that wait to be sent.
    pub fn owed(&self) -> usize {
        self.shared.journal.state().read().owed()
    }

    /// Who would hear of these labels, and why.
    pub fn explain(&self, labels: &Labels) -> Explanation {
        self.shared.routing.explain(labels)
    }

    /// Lends the terminal for notifications; the sink writes outside of any frame.
    pub fn attach_terminal(&self, sink: Arc<dyn TerminalSink>, kind: TerminalKind) {
        self.terminal.attach(sink, kind);
        for path in &self.shared.paths {
            path.status.lock().retry_now();
            path.changed.notify_one();
        }
    }

    pub fn detach_terminal(&self) {
        self.terminal.detach();
    }

    /// Sends a test message over every path, around the outbox, and says what became of it.
    pub async fn test(&self) -> Vec<PathReport> {
        let paths = self.shared.paths.iter().map(|p| (p.traits.clone(), p.channel.clone())).collect();
        test_all(paths, &self.shared.limits, &self.shared.external_url, self.shared.clock.now()).await
    }

    /// After the token was cancelled: returns when everything owed was sent or the time to drain is over. What is left is in the journal.
    pub async fn drained(&self) {
        self.tasks.wait().await;
    }
}
