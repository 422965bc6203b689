//! The writes of people: silences, acknowledgements, pins, reload. Each returns once it is durable.

use super::reload::Reloader;
use crate::board::Board;
use std::sync::Arc;
use watchfire_model::reading::{Alert, AlertState, Command, CommandSink, ReadError};
use watchfire_model::{TraceId, harmless_limited};
use watchfire_notifiers::{DispatcherHandle, Undecided};
use watchfire_store::Store;

/// Performs commands in this process.
pub struct LocalCommands {
    pub dispatcher: DispatcherHandle,
    pub board: Board,
    pub store: Arc<Store>,
    pub reloader: Arc<Reloader>,
}

fn undecided(why: Undecided) -> ReadError {
    match why {
        Undecided::Refused(why) => ReadError::BadRequest(why),
        Undecided::NotDurable(why) => ReadError::Failed(why),
    }
}

impl CommandSink for LocalCommands {
    fn execute(&self, command: &Command) -> Result<String, ReadError> {
        let refused = |e: String| ReadError::BadRequest(e);
        match command {
            Command::Silence(silence) => {
                let id = self.dispatcher.silence(silence.clone()).map_err(undecided)?;
                let length = watchfire_model::format_duration(silence.ends_at.since(silence.starts_at));
                // The id stands last: who calls the API finds it there.
                Ok(format!("silenced for {length}, silence {id}"))
            }
            Command::ExpireSilence { id } => {
                self.dispatcher.expire(id).map_err(undecided)?;
                Ok(format!("silence ended: {id}"))
            }
            Command::Acknowledge { fingerprint, by, until } => {
                // It is kept until its alert ends, so there has to be one.
                let active = |alert: &Alert| alert.fingerprint == *fingerprint && alert.state != AlertState::Resolved;
                if !self.board.read().alerts.iter().any(active) {
                    return Err(ReadError::NotFound(format!("no alert {} is active", harmless_limited(fingerprint, 100))));
                }
                self.dispatcher.acknowledge(fingerprint, by, *until).map_err(undecided)?;
                Ok(format!("acknowledged by {by}: {fingerprint}"))
            }
            Command::PinTrace { id } => {
                let trace = TraceId::parse(id).ok_or_else(|| refused(format!("{id:?} is not a trace id")))?;
                if self.store.pin(trace) {
                    return Ok(format!("pinned {id}"));
                }
                Err(ReadError::NotFound(format!("nothing of {id} is held any more: there is nothing to keep")))
            }
            Command::ReloadRules => self.reloader.reload().map_err(refused),
        }
    }
}
