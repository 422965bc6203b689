//! Who hears what: a tree of conditions over labels, from our own routes or from an `alertmanager.yml`.
//!
//! A decision depends on labels only, so it can be asked for and explained without an alert; whether somebody is *currently* left in peace
//! (quiet hours, mute intervals, inhibition) is asked again whenever a message is about to be sent.

mod alertmanager_file;
mod calendar;
mod contradictions;
mod declared;
mod http_config;
mod inhibition;
mod matchers;
mod own;
mod template_files;
mod tree;
mod unused;
mod written;

pub use calendar::{QuietHours, TimeInterval, Zone};
pub use inhibition::{InhibitRule, Inhibition, Inhibitors};
pub use matchers::{condition, parse_matchers};
pub use template_files::files_matching;
pub use tree::{Explanation, GroupBy, Hop, Node, Receiver, ReceiverChannel, Routing, Timing};

use crate::settings::Settings;
use watchfire_config::files::{BY_HAND, read_text};

impl Routing {
    /// Builds the table.
    ///
    /// # Errors
    /// One sentence that names the receiver, route or file and what is wrong with it.
    pub fn new(settings: &Settings) -> Result<Routing, String> {
        let mut routing = match &settings.alertmanager_config {
            Some(path) => {
                let shown = path.display();
                let text = read_text(path, BY_HAND).map_err(|e| format!("cannot read {shown}: {e}"))?;
                let directory = path.parent().unwrap_or(std::path::Path::new(""));
                let (mut routing, unfit) = alertmanager_file::load(&text, Some(directory)).map_err(|e| format!("{shown}: {e}"))?;
                routing.unused = unused::unused(&text, &unfit).into_iter().map(|u| format!("{shown}: {u}")).collect();
                routing
            }
            None => own::load(settings)?,
        };
        own::add_alertmanagers(&mut routing, settings);
        routing.check()?;
        Ok(routing)
    }

    /// Paths, with wildcards, of the template files that the settings' `alertmanager.yml` names; none where there is none or it cannot be read.
    /// [`files_matching`] finds those that are there.
    pub fn template_patterns(settings: &Settings) -> Vec<std::path::PathBuf> {
        let read = |path: &std::path::PathBuf| {
            let patterns = alertmanager_file::template_patterns(&read_text(path, BY_HAND).ok()?)?;
            let directory = path.parent().unwrap_or(std::path::Path::new(""));
            Some(patterns.iter().map(|pattern| directory.join(pattern)).collect())
        };
        settings.alertmanager_config.as_ref().and_then(read).unwrap_or_default()
    }

    /// From the text of an `alertmanager.yml` alone, without its template files.
    ///
    /// # Errors
    /// As [`Routing::new`].
    pub fn from_alertmanager_yml(text: &str) -> Result<Routing, String> {
        let (routing, _) = alertmanager_file::load(text, None)?;
        routing.check()?;
        Ok(routing)
    }
}
