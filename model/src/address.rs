//! Addresses as callers and configurations write them.

use crate::Labels;
use std::collections::BTreeSet;

/// Whether two addresses are of one server, as far as their text tells: `localhost:6379` and `127.0.0.1:6379` are, and a port that is not said may be any.
pub fn same_address(one: &str, other: &str) -> bool {
    let ((host, port), (other_host, other_port)) = (host_and_port(one), host_and_port(other));
    same_host(host, other_host) && (port == other_port || port.is_none() || other_port.is_none())
}

/// The service at an address: the only node that is known there, of nodes with their addresses. Where there are several, as behind a balancer, or where
/// the one is no service, it is nobody's.
pub fn service_at<'a>(
    nodes: impl IntoIterator<Item = (&'a str, &'a str)>,
    is_there: impl Fn(&str) -> bool,
    is_service: impl Fn(&str) -> bool,
) -> Option<&'a str> {
    let mut there = nodes.into_iter().filter(|(_, address)| is_there(address)).map(|(node, _)| node);
    let node = there.next().filter(|node| is_service(node))?;
    there.all(|other| other == node).then_some(node)
}

/// Services, and nodes with their addresses, as series of value 1 tell them.
#[derive(Clone, Debug, Default)]
pub struct Places {
    services: BTreeSet<String>,
    /// By node.
    addresses: Vec<(String, String)>,
}

impl Places {
    /// The services: each by its `service_name`.
    pub const SERVICES: &str = "group by (service_name) (watchfire_service_info)";
    /// The addresses: each with its `node` and `address`.
    pub const ADDRESSES: &str = "group by (node, address) (watchfire_node_address)";

    /// From the labels that [`SERVICES`](Self::SERVICES) and [`ADDRESSES`](Self::ADDRESSES) give.
    pub fn new(services: impl IntoIterator<Item = Labels>, addresses: impl IntoIterator<Item = Labels>) -> Self {
        Places {
            services: services.into_iter().map(|labels| labels.value("service_name").to_owned()).collect(),
            addresses: addresses.into_iter().map(|l| (l.value("node").to_owned(), l.value("address").to_owned())).collect(),
        }
    }

    pub fn is_service(&self, name: &str) -> bool {
        self.services.contains(name)
    }

    /// The only service at an address, as [`service_at`].
    pub fn service_at(&self, is_there: impl Fn(&str) -> bool) -> Option<&str> {
        let nodes = self.addresses.iter().map(|(node, address)| (&**node, &**address));
        service_at(nodes, is_there, |node| self.is_service(node))
    }
}

/// Whether a name is `host:port`, as targets are called that nobody gave a name.
pub fn is_address(name: &str) -> bool {
    host_and_port(name).1.is_some()
}

/// The parts of `host:port`, `host`, `[::1]:port` or `::1`.
pub(crate) fn host_and_port(address: &str) -> (&str, Option<u16>) {
    let bare = |host: &str| host.contains(':') && !host.starts_with('[');
    match address.rsplit_once(':') {
        Some((host, port)) if !bare(host) => (host.trim_matches(['[', ']']), port.parse().ok()),
        _ => (address.trim_matches(['[', ']']), None),
    }
}

pub(crate) fn same_host(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other) || (is_loopback(one) && is_loopback(other))
}

pub(crate) fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host == "::1" || host.starts_with("127.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_server_has_many_spellings() {
        for (one, other, same) in [
            ("cache-1:6379", "Cache-1:6379", true),
            ("cache-1:6379", "cache-1", true),
            ("cache-1:6379", "cache-1:6380", false),
            ("cache-1:6379", "cache-2:6379", false),
            ("localhost:6379", "[::1]:6379", true),
            ("::1", "127.0.0.1:6379", true),
        ] {
            assert_eq!((same_address(one, other), same_address(other, one)), (same, same), "{one} {other}");
        }
    }
}
