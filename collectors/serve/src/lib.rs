//! The guarded accept loop behind every HTTP port.
