//! Rules to states to notices.

mod nearest;
pub mod template;
mod yaml;
