//! What this crate reads by itself, against what prost and serde make of the same request.

mod generate;
mod json;
mod walk;
