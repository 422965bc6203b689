//! The terminal: every screen is a function of readings and its own cursor. Events and readings go in, effects and frames come out.
//!
//! Types to know
//! - [`App`]: the whole screen. [`App::wants`] says what must be read, [`App::receive`] takes answers, [`App::handle`] takes events
//!   and returns [`Effect`]s, [`App::render`] draws.
//! - `View` (in `view.rs`): one screen. It sees a `Cx` (readings, time, filter) and asks for things through `Out`.
//! - `Canvas`: where text meets cells; the one place where telemetry is made harmless.
//! - `Table`: a windowed list with sorting, filtering and selection by identity. `Look`: a theme for this terminal.
//! - [`plain`]: the same events as lines, for screen readers and pipes. [`svg`]: pictures of frames.
//!
//! Invariants
//! - No I/O, no clock, no await: time comes in with [`Event::Tick`], everything else with readings. So a frame can be tested by comparing text.
//! - Only visible rows are built, and a frame is due only when [`App::dirty`] says so.
//! - A state is a glyph and a word before it is a colour; what is not known is `–` or `?`, never zero and never green.
//! - No size of terminal and no text in a reading makes drawing panic or puts a control character into a cell.
//!
//! To add a view: one file in `views/` and two lines in `views.rs`. A theme: one file in `assets/themes/` and one line in `look.rs`.
//! An action: one line in `action.rs`; its key is a line in `assets/keymap.toml`.

mod action;
mod app;
mod canvas;
mod chart;
mod command;
mod effect;
mod filter;
mod keymap;
pub mod layout;
mod look;
mod number;
mod palette;
mod part;
pub mod plain;
mod prompt;
mod promql_words;
mod readings;
mod shell;
pub mod svg;
mod table;
mod view;
mod views;
mod zone;

pub use action::Action;
pub use app::{App, OptionError, Options};
pub use effect::{Effect, Event};
pub use keymap::KeymapError;
pub use look::{ColorDepth, Glyphs, ThemeError};
pub use zone::Zone;
