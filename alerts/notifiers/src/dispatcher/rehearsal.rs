//! Delivery on somebody else's clock and to nobody: routing, waiting, grouping and composing are those of a run, and channels say what they would
//! send instead of sending it. Every message arrives at once.

use super::handle::table;
use super::path::{composed, message};
use super::plan::{Due, Now, plan};
use super::shared::{PathState, Table};
use crate::channels::terminal::Terminal;
use crate::journal::{Change, State};
use crate::settings::Settings;
use std::sync::Arc;
use watchfire_model::{Notice, NoticeState, Severity, Timestamp};

/// A message that a path would have sent.
#[derive(Clone, Debug)]
pub struct Said {
    pub receiver: String,
    /// The kind of channel, as in configuration.
    pub kind: &'static str,
    /// Fingerprint and state of each alert that is news in it, and how loud it is: a cause speaks as loud as what it stands for.
    pub news: Vec<(String, NoticeState, Severity)>,
    /// What goes over the wire, call by call.
    pub texts: Vec<String>,
}

/// Delivery without a network and without a clock of its own.
pub struct Rehearsal {
    table: Table,
    state: State,
}

impl Rehearsal {
    /// # Errors
    /// When settings contradict themselves.
    pub fn new(settings: &Settings) -> Result<Rehearsal, String> {
        Ok(Rehearsal { table: table(settings, &Terminal::default())?, state: State::default() })
    }

    /// Takes in what a tick has to tell.
    pub fn take(&mut self, notice: Notice, at: Timestamp) {
        let destinations = self.table.routing.destinations(&notice);
        self.state.apply(&Change::Notice { notice: Arc::new(notice), destinations, at });
    }

    /// As [`DispatcherHandle::refresh`](super::DispatcherHandle::refresh).
    pub fn refresh(&mut self, notices: &[Notice]) {
        notices.iter().for_each(|notice| self.state.refresh(notice));
    }

    /// Everything that is due now, in the order in which each path sends it.
    pub fn send(&mut self, at: Timestamp) -> Vec<Said> {
        let now = Now::plain(at);
        let mut said = Vec::new();
        for path in &self.table.paths {
            let name = &path.traits.name;
            loop {
                let planned = plan(&self.state, &path.traits, &self.table.routing, now, None, false);
                if !planned.drops.is_empty() {
                    self.state.apply(&Change::Dropped { path: name.clone(), entries: planned.drops });
                }
                let Some(due) = planned.due else { break };
                let made = composed(name, &due, &self.state);
                self.state.apply(&Change::Compose(made.clone()));
                let Some(message) = message(&self.state, path, &due, made.key, &self.table.external_url, now) else { break };
                said.push(Said {
                    receiver: path.traits.receiver.clone(),
                    kind: self.kind(path),
                    news: message.alerts.iter().filter(|a| a.changed).map(|a| &a.notice).map(news).collect(),
                    texts: path.channel.says(&message),
                });
                self.state.apply(&sent(name, due, at));
            }
        }
        said
    }

    /// When something is due next, if anything is owed.
    pub fn next(&self, at: Timestamp) -> Option<Timestamp> {
        let now = Now::plain(at);
        self.table.paths.iter().filter_map(|path| plan(&self.state, &path.traits, &self.table.routing, now, None, false).next).min()
    }

    fn kind(&self, path: &PathState) -> &'static str {
        let channels = self.table.routing.receivers().iter().flat_map(|r| &r.channels);
        channels.into_iter().find(|c| c.path == path.traits.name).map_or("", |c| c.settings.word())
    }
}

fn news(notice: &Arc<Notice>) -> (String, NoticeState, Severity) {
    (notice.fingerprint.clone(), notice.state, notice.severity)
}

fn sent(path: &str, due: Due, at: Timestamp) -> Change {
    let alerts = due.members.into_iter().map(|(entry, revision)| (entry, revision, None)).collect();
    Change::Sent { path: path.to_owned(), group_key: due.group_key, at, alerts }
}
