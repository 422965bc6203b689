//! Named places where a test may fail an operation or end the process. Production runs with none.

use std::fmt;
use std::io;
use std::sync::Arc;

/// Places, in the order a notice passes them.
pub const POINTS: [&str; 13] = [
    "commit",
    "queued",
    "append",
    "append-half",
    "sync",
    "synced",
    "apply",
    "compact-write",
    "compact-rename",
    "compact-renamed",
    "compact-remove",
    "send",
    "mark-sent",
];

/// Called with the name of the place; an error becomes the error of the operation about to happen there.
pub type FaultHook = dyn Fn(&'static str) -> io::Result<()> + Send + Sync;

/// The hook, if any. Clones share it.
#[derive(Clone, Default)]
pub struct Faults(Option<Arc<FaultHook>>);

impl Faults {
    pub fn hook(hook: impl Fn(&'static str) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Faults(Some(Arc::new(hook)))
    }

    pub(crate) fn at(&self, point: &'static str) -> io::Result<()> {
        match &self.0 {
            Some(hook) => hook(point),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Faults(hooked)" } else { "Faults(none)" })
    }
}
