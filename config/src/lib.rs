//! Loading, layering and checking configuration, and the platform presets. Data in, checked values out: nothing here opens a socket
//! or starts a task, and every refusal says file, line, column and the nearest name that would have been right.
//!
//! Types to know
//! - [`Platform`]: services, calls, queues, breakers, objectives, routes, rules and scenarios of one platform, as data.
//!   [`load_platform`] takes the name of a built-in one or a directory.
//! - [`Config`]: the configuration; [`Config::load`] layers defaults, file, environment and flags, [`Loaded`] remembers the origin of each value.
//! - [`ConfigError`]: what is wrong and where.
//! - [`files`]: reading what people wrote with a limit. [`duration_text`]: durations in anybody's settings.
//! - [`Named`]: whom a `ca_file` makes trusted; here because scrapes, probes and notifiers must agree on it and do not see each other.
//!
//! Invariants
//! - Unknown keys are errors, never ignored; a value out of range is refused where it stands, not where it hurts.
//! - The watcher and the simulator read the same [`Platform`]. Nothing in it is code: a further platform is a directory.
//!
//! To add a platform: a directory under `platforms/` and one line in `platform/roster.rs`; a user's own needs only the directory.

mod config;
mod diagnosis;
pub mod duration_text;
pub mod files;
mod listen;
pub mod platform;
mod secret;
mod size;
mod trust;

pub use config::*;
pub use diagnosis::{ConfigError, nearest};
pub use listen::Listen;
pub use platform::{Platform, Scenario, load_platform, platform_names};
pub use size::ByteSize;
pub use trust::{AcceptAny, Named, handshake_failure, tls_refusal};
