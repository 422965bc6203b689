//! The PromQL engine over a series source.
