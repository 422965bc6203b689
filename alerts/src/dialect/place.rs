//! Targets that nobody named are called by their address. What they export is of the service that is called there.

use super::Look;
use std::cell::OnceCell;
use watchfire_model::{Labels, Places, is_address, same_address};

/// Services and the addresses of nodes, looked up if somebody asks.
#[derive(Default)]
pub(super) struct Placed(OnceCell<Places>);

impl Placed {
    /// The service that an exporter's name for one means.
    pub fn service(&self, name: String, look: &Look<'_>) -> String {
        if !is_address(&name) {
            return name;
        }
        let labels = |found: Vec<(Labels, f64)>| found.into_iter().map(|(labels, _)| labels);
        let places =
            self.0.get_or_init(|| Places::new(labels(look.text_vector(Places::SERVICES)), labels(look.text_vector(Places::ADDRESSES))));
        // An address without a port is of all that runs there.
        let is_there = |address: &str| is_address(address) && same_address(address, &name);
        places.service_at(is_there).map_or_else(|| name.clone(), str::to_owned)
    }
}
