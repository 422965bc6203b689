//! Which addresses a redirect may lead to.

use std::net::{IpAddr, Ipv6Addr};

/// The rule a connection is made under. A configured target may be anywhere; a redirect may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// Every address: the target is named in the configuration.
    Open,
    /// A redirect given by a loopback peer: loopback is fine, link-local (where clouds keep their credentials) is not.
    NoLinkLocal,
    /// A redirect given by another machine: neither link-local nor this machine.
    NoLocal,
}

/// The address of the AWS metadata service in IPv6, which is not link-local.
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

impl Guard {
    /// The rule for the hop after an answer from `peer`.
    pub fn after(peer: IpAddr) -> Self {
        if is_this_machine(peer) { Guard::NoLinkLocal } else { Guard::NoLocal }
    }

    pub fn permits(self, address: IpAddr) -> bool {
        match self {
            Guard::Open => true,
            Guard::NoLinkLocal => !is_link_local(address),
            Guard::NoLocal => !is_link_local(address) && !is_this_machine(address),
        }
    }
}

/// Loopback, and the unspecified address, which connects to loopback.
fn is_this_machine(address: IpAddr) -> bool {
    let address = address.to_canonical();
    address.is_loopback() || address.is_unspecified()
}

fn is_link_local(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6 == METADATA_V6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_reach_neither_metadata_services_nor_from_outside_this_machine() {
        for (address, from_loopback, from_outside) in [
            ("127.0.0.1", true, false),
            ("::1", true, false),
            ("0.0.0.0", true, false),
            ("::ffff:127.0.0.1", true, false),
            ("169.254.169.254", false, false),
            ("::ffff:169.254.169.254", false, false),
            ("fe80::1", false, false),
            ("fd00:ec2::254", false, false),
            ("10.0.0.7", true, true),
            ("2001:db8::1", true, true),
        ] {
            let address: IpAddr = address.parse().unwrap();
            assert!(Guard::Open.permits(address));
            assert_eq!(Guard::NoLinkLocal.permits(address), from_loopback, "{address}");
            assert_eq!(Guard::NoLocal.permits(address), from_outside, "{address}");
        }
    }

    #[test]
    fn the_peer_decides_the_rule() {
        assert_eq!(Guard::after("127.0.0.1".parse().unwrap()), Guard::NoLinkLocal);
        assert_eq!(Guard::after("192.0.2.1".parse().unwrap()), Guard::NoLocal);
    }
}
