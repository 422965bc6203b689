//! The durable state and the file it lives in: one record per evaluation tick holds the changed alert states *and* the outbox entries they caused.
//!
//! [`Journal::commit`] returns once the record is on disk; only then is the [`State`] changed that everybody else reads. Commits that arrive
//! together share one sync. When the disk fails, changes are applied in memory only, `watchfire_state_durable` is 0, a banner says why, and the
//! whole state is written to a new file as soon as that works.

mod directory;
mod entries;
mod faults;
mod log;
mod payload;
mod record;
mod silence;
mod state;
mod writer;

pub use directory::StateDirectory;
pub(crate) use entries::entries_of;
pub use entries::{Acknowledgement, Cell, Composed, DeadLetter, Destination, Note, Transition, Turn, UNHEARD, entry, fingerprint_of};
pub use faults::{Faults, POINTS};
pub use log::{Damage, RESERVE_BYTES, SEGMENT_BYTES, SegmentLog};
pub use payload::AlertStates;
pub use silence::ActiveSilence;
pub use state::{Change, State};
pub use writer::{Journal, Recovered};

use std::io;
use std::path::PathBuf;

/// Why the journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Exit code 2.
    #[error("state directory {path}: {why}", path = path.display())]
    Unsafe { path: PathBuf, why: String },
    /// Exit code 3.
    #[error("state directory {path} is in use by pid {pid}; stop that process or give --state-dir another directory", path = path.display())]
    InUse { path: PathBuf, pid: String },
    #[error("{what}: {error}")]
    Io { what: String, error: io::Error },
}

/// Whether the disk takes nothing for now: it is full, or the system has made it read-only after an error. Nothing is wrong with what is there.
fn takes_nothing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::ReadOnlyFilesystem)
}

fn banner_bytes(bytes: u64) -> String {
    format!("{bytes} byte{}", if bytes == 1 { "" } else { "s" })
}
