//! The terminal: a view is a function of a snapshot and its own cursor.
