//! Readings over spans and logs. They look at snapshots; the ingest thread never waits for a reader.

pub(crate) mod detail;
pub(crate) mod errors;
pub(crate) mod explain;
pub(crate) mod instances;
mod magnitudes;
pub(crate) mod search;
pub(crate) mod tree;
