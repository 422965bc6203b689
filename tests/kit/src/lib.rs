//! What the tests of several crates need: a source of series, a clock, a desktop.
//!
//! Types to know: [`MemorySource`] is a `SeriesSource` over plain vectors;
//! [`SleepyClock`] runs and can be said to have slept; [`DesktopSession`] is a desktop that shows popups to nobody.
//!
//! Invariants: depends on the model only, so every crate can use it in its tests without a cycle; nothing here sleeps but to look
//! again at a process that has no other way to tell.

mod clock;
mod desktop_session;
mod source;

pub use clock::SleepyClock;
pub use desktop_session::DesktopSession;
pub use source::MemorySource;
