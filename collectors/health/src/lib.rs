//! Health probes: asks every endpoint on time over HTTP, TCP or grpc.health.v1, understands the bodies the field sends, and reports one state
//! per check and per named dependency. It keeps no history and raises no alarm.
//!
//! Types to know
//! - [`Prober::start`] gives a [`ProberHandle`]; every attempt becomes one `CheckReport` in the `ProbeSink`.
//! - [`CheckSettings`]: one check; [`CheckSettings::from_url`] makes it of a URL alone.
//! - [`Direct`]: a check whose answers are handed over in the same process.
//! - [`formats`]: the body formats, one file each, tried in order by [`read`](formats::read).
//! - [`judge`](judgement::judge): the one place that turns a status code and a body into a state.
//!
//! Invariants
//! - A wrong probe is not a broken service: 401, 403, 404 and 405 and refused redirects are `unknown` with the word "misconfigured".
//! - A body can make a good status worse, never a bad one better.
//! - One failure changes nothing but the detail; two in a row do (configurable). One good answer recovers.
//! - Nothing a body says is trusted for size: 64 KiB, 200 dependencies, 8 levels, 300 characters of text.
//! - Targets come from settings only; there is no endpoint that probes what a caller names.
//!
//! To add a body format: one file in `formats/` with `FORMAT` and its fixtures, one line in the list of `formats/mod.rs`.

mod attempt;
mod certificate;
mod direct;
pub mod formats;
mod greeting;
mod grpc;
pub mod judgement;
mod names;
mod prober;
mod settings;
mod tracker;
pub mod words;

pub use direct::Direct;
pub use prober::{Prober, ProberHandle};
pub use settings::{CheckError, CheckSettings, FormatHint};
