//! Several recipients behind one channel: one that is refused keeps nobody else from being told, and one that has been told is not told again.

use super::{Failure, Outcome};
use crate::message::Message;
use parking_lot::Mutex;
use std::collections::BTreeMap;

/// Recipients whom earlier attempts at a message have settled.
#[derive(Default)]
pub(super) struct Recipients(Mutex<Settled>);

#[derive(Default)]
struct Settled {
    /// The key of the message.
    of: String,
    /// By recipient, with the reason where it was refused.
    recipients: BTreeMap<String, Option<String>>,
}

impl Recipients {
    /// Whether an attempt at this message has settled this recipient.
    pub fn knows(&self, message: &Message, recipient: &str) -> bool {
        let settled = self.0.lock();
        settled.of == message.key && settled.recipients.contains_key(recipient)
    }

    /// Whether an attempt at this message has settled anybody.
    pub fn begun(&self, message: &Message) -> bool {
        let settled = self.0.lock();
        settled.of == message.key && !settled.recipients.is_empty()
    }

    /// Keeps what became of one recipient.
    ///
    /// # Errors
    /// When it is to be tried again: nothing is kept.
    pub fn settle(&self, message: &Message, recipient: &str, result: Result<(), Failure>) -> Result<(), Failure> {
        let refused = match result {
            Ok(()) => None,
            Err(Failure::Refused(reason)) => Some(reason),
            Err(retry) => return Err(retry),
        };
        let mut settled = self.0.lock();
        if settled.of != message.key {
            *settled = Settled { of: message.key.clone(), recipients: BTreeMap::new() };
        }
        settled.recipients.insert(recipient.to_owned(), refused);
        Ok(())
    }

    /// What became of the message once everybody is settled; forgets it.
    pub fn outcome(&self, message: &Message) -> Outcome {
        let settled = std::mem::take(&mut *self.0.lock()).recipients;
        let told = settled.values().any(Option::is_none);
        let reasons: Vec<String> =
            settled.into_iter().filter_map(|(recipient, reason)| Some(format!("{recipient}: {}", reason?))).collect();
        let mut outcome = if told { Outcome::all(message) } else { Outcome::default() };
        if !reasons.is_empty() {
            outcome.refused = Outcome::of(message, Err(Failure::Refused(reasons.join("; ")))).refused;
        }
        outcome
    }
}
