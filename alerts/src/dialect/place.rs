//! Targets that nobody named are called by their address. What they export is of the service that is called there.

use super::Look;
use std::cell::OnceCell;
use std::collections::BTreeSet;
use watchfire_model::{Labels, is_address, same_address, service_at};

/// Services and the addresses of nodes, looked up if somebody asks.
#[derive(Default)]
pub(super) struct Places(OnceCell<(BTreeSet<String>, Vec<Labels>)>);

impl Places {
    /// The service that an exporter's name for one means.
    pub fn service(&self, name: String, look: &Look<'_>) -> String {
        if !is_address(&name) {
            return name;
        }
        let (services, nodes) = self.0.get_or_init(|| {
            let named = |labels: Labels| labels.value("service_name").to_owned();
            let services =
                look.text_vector("group by (service_name) (watchfire_service_info)").into_iter().map(|(labels, _)| named(labels));
            let nodes = look.text_vector("group by (node, address) (watchfire_node_address)").into_iter().map(|(labels, _)| labels);
            (services.collect(), nodes.collect())
        });
        let nodes = nodes.iter().map(|labels| (labels.value("node"), labels.value("address")));
        // An address without a port is of all that runs there.
        let is_there = |address: &str| is_address(address) && same_address(address, &name);
        service_at(nodes, is_there, |node| services.contains(node)).map_or_else(|| name.clone(), str::to_owned)
    }
}
