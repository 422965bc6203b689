//! Starting the dispatcher, and what the rest of the program asks of it.

use super::path::{self, PathStatus};
use super::plan::PathTraits;
use super::shared::{Current, PathState, Shared, Table, Undecided};
use super::survive::survive;
use super::trial::{PathReport, test_all};
use super::{Anchor, Now, summary};
use crate::channels;
use crate::channels::terminal::{Terminal, TerminalKind, TerminalSink};
use crate::journal::{
    Acknowledgement, ActiveSilence, AlertStates, Cell, Change, DeadLetter, Destination, Faults, Journal, JournalError, Recovered, State,
    UNHEARD, entries_of,
};
use crate::message::stable_key;
use crate::routing::{Explanation, Routing};
use crate::settings::Settings;
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use watchfire_model::reading::Silence;
use watchfire_model::{Clock, Labels, Meter, Notice, NoticeState, Severity, Timestamp};

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
    /// The task of each path; the next one of that name begins when it has ended.
    running: Arc<Mutex<BTreeMap<String, JoinHandle<()>>>>,
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
        let terminal = Terminal::default();
        let made = table(&settings, &terminal).map_err(StartError::Settings)?;
        made.routing.unused().iter().for_each(|line| tracing::warn!("{line}"));
        let current: Current = Arc::new(RwLock::new(Arc::new(made)));
        let woken = current.clone();
        let wake = Box::new(move || woken.read().paths.iter().for_each(|p| p.changed.notify_one()));
        let (journal, recovered) = Journal::open(state_dir, clock.now(), &meter, faults, wake)?;
        for banner in &recovered.banners {
            tracing::warn!("{banner}");
        }
        let shared = Arc::new(Shared {
            journal,
            current,
            anchor: Anchor::new(&*clock),
            clock,
            meter,
            cancel,
            recovered: recovered.banners.clone(),
            persistent: state_dir.is_some(),
            silences: AtomicU64::new(0),
            drain_until: OnceLock::new(),
        });
        let handle = DispatcherHandle { shared, terminal, tasks: TaskTracker::new(), running: Arc::default() };
        // Settings may have changed while nobody ran.
        handle.readdress();
        handle.spawn();
        let shared = handle.shared.clone();
        handle.tasks.spawn(async move { survive(&shared, "summary", || summary::run(shared.clone())).await });
        handle.tasks.close();
        Ok((handle, recovered))
    }
}

/// Makes the routing table and builds every path of it.
pub(super) fn table(settings: &Settings, terminal: &Terminal) -> Result<Table, String> {
    let routing = Routing::new(settings)?;
    let mut paths = Vec::new();
    for receiver in routing.receivers() {
        for channel in &receiver.channels {
            let made = channels::build(&channel.settings, settings, terminal).map_err(|e| format!("receiver {:?}: {e}", receiver.name))?;
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
                retired: CancellationToken::new(),
            }));
        }
    }
    Ok(Table { routing, limits: settings.limits.clone(), external_url: settings.external_url.clone(), paths })
}

impl DispatcherHandle {
    /// Puts other settings into force. What is under way is finished first, what is owed goes where it goes now: who is newly addressed hears
    /// of everything that fires, who is no longer addressed learns only how it ends. Blocks until that is durable. Settings that cannot be
    /// used change nothing.
    ///
    /// # Errors
    /// What is wrong with the settings.
    pub fn reload(&self, settings: &Settings) -> Result<(), String> {
        let made = Arc::new(table(settings, &self.terminal)?);
        made.routing.unused().iter().for_each(|line| tracing::warn!("{line}"));
        let before = std::mem::replace(&mut *self.shared.current.write(), made);
        before.paths.iter().for_each(|p| p.retired.cancel());
        self.readdress();
        self.spawn();
        Ok(())
    }

    /// Addresses what fires anew, and forgets paths that no longer exist.
    fn readdress(&self) {
        let changes = {
            let table = self.shared.table();
            let state = self.shared.journal.state().read();
            readdressed(&state, &table, self.shared.now(), &self.shared.meter)
        };
        if !changes.is_empty() {
            self.shared.journal.commit(AlertStates::default(), changes);
        }
    }

    fn spawn(&self) {
        let mut running = self.running.lock();
        for path in &self.shared.table().paths {
            let before = running.remove(&path.traits.name);
            let (shared, state) = (self.shared.clone(), path.clone());
            let task = self.tasks.spawn(async move {
                if let Some(before) = before {
                    let _ = before.await;
                }
                let run = || path::run(shared.clone(), state.clone());
                survive(&shared, &state.traits.name, run).await;
            });
            running.insert(path.traits.name.clone(), task);
        }
    }

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

    /// The states that ticks committed, by key, as a start would recover them.
    pub fn alert_states(&self) -> Vec<(String, Vec<u8>)> {
        self.shared.journal.state().read().alert_states.iter().map(|(key, bytes)| (key.clone(), bytes.clone())).collect()
    }

    /// Takes over how notices read by now, for messages that are still to be made. Tells nobody anything, and is not durable.
    pub fn refresh(&self, notices: &[Notice]) {
        if !notices.is_empty() {
            let mut state = self.shared.journal.state().write();
            notices.iter().for_each(|notice| state.refresh(notice));
        }
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
        let told = |cells: &BTreeMap<String, Cell>| cells.range(entries_of(fingerprint)).any(|(_, cell)| told(cell));
        state.cells.iter().filter(|(_, cells)| told(cells)).map(|(path, _)| path.clone()).collect()
    }

    /// Whether somebody has heard of this alert as it stands or looks after it, or would hear of it now: it is not silenced, and a route leads to
    /// somebody awake.
    pub fn hears(&self, fingerprint: &str, labels: &Labels, severity: Severity) -> bool {
        let (state, table, now) = (self.shared.journal.state().read(), self.shared.table(), self.shared.now().wall);
        let told =
            |cell: &Cell| cell.sent_state == Some(NoticeState::Firing) && cell.notice.state == NoticeState::Firing && !cell.is_owed();
        let mut cells = state.cells.values().flat_map(|cells| cells.range(entries_of(fingerprint))).map(|(_, cell)| cell);
        if state.acknowledged_by(fingerprint, now).is_some() || cells.any(told) {
            return true;
        }
        state.silenced_by(labels, now).is_none() && table.routing.is_awake(labels, severity, now)
    }

    /// Whether no route leads to anybody who could hear of the alert.
    pub fn is_unheard(&self, fingerprint: &str) -> bool {
        self.shared.journal.state().read().cells.get(UNHEARD).is_some_and(|cells| cells.contains_key(fingerprint))
    }

    /// The routes that are in force, as an `alertmanager.yml` without secrets.
    pub fn alertmanager_yml(&self) -> String {
        self.shared.table().routing.to_alertmanager_yml()
    }

    /// For each of these alerts, the fingerprints of those that keep it quiet by the inhibition rules.
    pub fn inhibited_by<'f>(&self, fingerprints: impl Iterator<Item = &'f str>) -> Vec<BTreeSet<String>> {
        let (state, table) = (self.shared.journal.state().read(), self.shared.table());
        let inhibitors = table.routing.inhibitors(&state);
        let newest =
            |fingerprint: &str| state.cells.values().filter_map(|cells| cells.get(fingerprint)).max_by_key(|cell| cell.notice.revision);
        fingerprints.map(|fingerprint| newest(fingerprint).map(|cell| inhibitors.fingerprints(&cell.notice)).unwrap_or_default()).collect()
    }

    /// (path, works, what was found or is missing), from the last attempt or probe, of each path that somebody asked for.
    pub fn paths(&self) -> Vec<(String, bool, String)> {
        let table = self.shared.table();
        let used = table.paths.iter().filter(|p| table.routing.asks_for(&p.traits.name));
        used.map(|p| p.status.lock().report(&p.traits.name)).map(|r| (r.path, r.works, r.detail)).collect()
    }

    /// Sentences for the banner: what was lost at start, and what is wrong with the journal now. To run without a state directory is a choice,
    /// not a fault, and is not in here.
    pub fn banners(&self) -> Vec<String> {
        let now = self.shared.journal.trouble().filter(|_| self.shared.persistent);
        let unused = match self.shared.table().routing.unused() {
            [] => None,
            [only] => Some(only.clone()),
            [first, more @ ..] => Some(format!("{first}, and {} more settings; `watchfire config check` lists them", more.len())),
        };
        self.shared.recovered.iter().cloned().chain(now).chain(unused).collect()
    }

    /// True while committed means on disk.
    pub fn is_durable(&self) -> bool {
        self.shared.journal.trouble().is_none()
    }

    /// Adds or replaces a silence and returns its id once it is durable. An empty id gets a new one. Blocks.
    ///
    /// # Errors
    /// When a matcher or the times are refused, there are too many silences, or it could not be made durable.
    pub fn silence(&self, mut silence: Silence) -> Result<String, Undecided> {
        ActiveSilence::new(silence.clone())?;
        if silence.id.is_empty() {
            let number = self.shared.silences.fetch_add(1, Ordering::Relaxed).to_string();
            let at = self.shared.clock.now().millis().to_string();
            silence.id = uuid(&stable_key(&["silence", &at, &number, &std::process::id().to_string(), &format!("{:?}", silence.matchers)]));
        }
        let id = silence.id.clone();
        let most = self.shared.table().limits.silences;
        let is_one_too_many = {
            let known = &self.shared.journal.state().read().silences;
            known.len() >= most && !known.contains_key(&id)
        };
        if is_one_too_many {
            return Err(format!(
                "{most} silences are held (delivery.limits.silences); change one of them, or wait for ended ones to be forgotten"
            )
            .into());
        }
        self.shared.decided(Change::Silence(silence), "the silence").map(|()| id)
    }

    /// Ends a silence now. Blocks.
    ///
    /// # Errors
    /// When there is none of that id, or its end could not be made durable.
    pub fn expire(&self, id: &str) -> Result<(), Undecided> {
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
            return Err(format!("silence {id:?} has ended already").into());
        }
        silence.starts_at = silence.starts_at.min(Timestamp(now.millis() - 1));
        silence.ends_at = now;
        self.shared.decided(Change::Silence(silence), "the end of the silence")
    }

    /// Records that somebody looks after the alert: repeats stop until `until`, or until it resolves. Blocks.
    ///
    /// # Errors
    /// When `until` has passed, or it could not be made durable.
    pub fn acknowledge(&self, fingerprint: &str, by: &str, until: Option<Timestamp>) -> Result<(), Undecided> {
        let at = self.shared.clock.now();
        if until.is_some_and(|until| until <= at) {
            return Err("the acknowledgement would have ended already".to_owned().into());
        }
        let acknowledgement = Acknowledgement { fingerprint: fingerprint.to_owned(), by: by.to_owned(), at, until };
        self.shared.decided(Change::Acknowledge(acknowledgement), "the acknowledgement")
    }

    /// Takes an acknowledgement back. Blocks.
    ///
    /// # Errors
    /// When it could not be made durable.
    pub fn unacknowledge(&self, fingerprint: &str) -> Result<(), Undecided> {
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

    /// Every receiver there is.
    pub fn receivers(&self) -> Vec<String> {
        self.shared.table().routing.receivers().iter().map(|r| r.name.clone()).collect()
    }

    /// Who would hear of these labels, and why.
    pub fn explain(&self, labels: &Labels) -> Explanation {
        self.shared.table().routing.explain(labels)
    }

    /// Lends the terminal for notifications; the sink writes outside of any frame.
    pub fn attach_terminal(&self, sink: Arc<dyn TerminalSink>, kind: TerminalKind) {
        self.terminal.attach(sink, kind);
        for path in &self.shared.table().paths {
            path.status.lock().retry_now();
            path.changed.notify_one();
        }
    }

    pub fn detach_terminal(&self) {
        self.terminal.detach();
    }

    /// Sends a test message over every path, around the outbox, and says what became of it.
    pub async fn test(&self) -> Vec<PathReport> {
        let table = self.shared.table();
        let paths = table.paths.iter().map(|p| (p.traits.clone(), p.channel.clone())).collect();
        test_all(paths, &table.limits, &table.external_url, self.shared.clock.now()).await
    }

    /// After the token was cancelled: returns when everything owed was sent or the time to drain is over. What is left is in the journal.
    pub async fn drained(&self) {
        self.tasks.wait().await;
    }
}

/// As Alertmanager's tools expect the id of a silence.
fn uuid(digits: &str) -> String {
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}

/// What other settings change in the durable state.
fn readdressed(state: &State, table: &Table, now: Now, meter: &Meter) -> Vec<Change> {
    let exists = |path: &str| path == UNHEARD || table.paths.iter().any(|p| p.traits.name == path);
    let mut changes = Vec::new();
    let mut newest: BTreeMap<&str, &Cell> = BTreeMap::new();
    let gone: BTreeSet<&String> = state.cells.keys().chain(state.notes.keys().map(|(path, _)| path)).filter(|p| !exists(p)).collect();
    for path in gone {
        let owed = state.cells.get(path).map_or(0, |cells| cells.values().filter(|c| c.is_owed()).count());
        if owed > 0 {
            tracing::warn!(path, owed, "this delivery path is no longer configured; what it had not delivered goes where alerts go now");
            meter.counter("watchfire_notifications_dropped_total", &[("path", path), ("reason", "path_removed")]).add(owed as u64);
        }
        changes.push(Change::Forget { path: path.clone() });
    }
    for cell in state.cells.values().flat_map(BTreeMap::values) {
        let have = newest.entry(&cell.notice.fingerprint).or_insert(cell);
        if cell.notice.revision > have.notice.revision {
            *have = cell;
        }
    }
    for cell in newest.values().filter(|c| c.notice.state == NoticeState::Firing) {
        let about = cell.notice.labels.value("path");
        if cell.notice.name() == path::GAVE_UP && !exists(about) {
            // Who is not there any more fails nobody.
            let notice = path::gave_up(about, "", NoticeState::Resolved, Some(cell.notice.revision), now.wall);
            let destinations = table.routing.destinations(&notice);
            changes.push(Change::Notice { notice: Arc::new(notice), destinations, at: now.steady });
            continue;
        }
        let destinations = table.routing.destinations(&cell.notice);
        let entries =
            state.cells.iter().filter(|(path, _)| exists(path)).map(|(_, cells)| cells.range(entries_of(&cell.notice.fingerprint)));
        let mut before: Vec<&Destination> = entries.flatten().map(|(_, cell)| &cell.destination).collect();
        let mut after: Vec<&Destination> = destinations.iter().collect();
        for all in [&mut before, &mut after] {
            all.sort_by_key(|d| (&d.path, &d.apart));
        }
        let same = before == after;
        // Alerts of the dispatcher itself leave out the path they are about; they are addressed once.
        if !same && cell.notice.name() != path::GAVE_UP {
            changes.push(Change::Readdress { notice: cell.notice.clone(), held: cell.held, destinations, at: now.steady });
        }
    }
    changes
}
