//! Notices to people: who is told, when, over which channel, and the proof that it arrived.
//! Evaluation decides *what* happened; from there on to a confirmed delivery, over crashes and dead receivers, everything is here.
//!
//! Types to know
//! - [`Settings`]: receivers, people, teams and routes as configuration; [`SecretSource`] for where a credential is kept.
//! - [`Dispatcher`] starts delivery; through its [`DispatcherHandle`] the evaluator commits a [`TickRecord`] per tick, and everybody else
//!   silences, acknowledges and asks what was delivered.
//! - [`routing::Routing`]: labels in, receivers and the reason out; from our own routes or an `alertmanager.yml`.
//! - [`journal::Journal`]: the durable state; [`journal::State`] is what it holds.
//! - [`wording`]: the texts of messages, where an `alertmanager.yml` says them.
//! - [`channels::Channel`]: one way to reach people; [`message::Message`] is what it is given.
//!
//! Invariants
//! - A transition and the outbox entries it causes are one record, synced before anybody sees either.
//! - What a path owes about an alert is its newest transition; the last state always arrives, and a repeat carries the same key.
//! - No channel can delay or stop another; a failing disk stops neither evaluation nor sending, and is said aloud.
//! - Labels never choose a destination unless an allow-list says so; text from outside is made harmless once, in [`message`] or in [`wording`].
//! - There is no queue to overflow: what is owed is bounded by alerts times paths, and older transitions are replaced.
//!
//! To add a channel, see [`channels`].

pub mod channels;
pub mod dispatcher;
pub mod journal;
pub mod message;
pub mod routing;
mod secret;
mod settings;
pub mod wording;

pub use channels::terminal::{Multiplexer, Protocol, TerminalKind, TerminalSink, sequence as terminal_sequence};
pub use dispatcher::{
    Dispatcher, DispatcherHandle, PathReport, Rehearsal, Said, StartError, TickRecord, Undecided, check, probe_paths, test_paths,
};
pub use journal::{Acknowledgement, DeadLetter, Faults, JournalError, Recovered};
pub use secret::SecretSource;
pub use settings::{ChannelSettings, Limits, PersonChannel, PersonSettings, ReceiverSettings, RouteSettings, Settings, TeamSettings};
