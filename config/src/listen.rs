//! Addresses to listen on: `127.0.0.1:4317`, `[::1]:4318`, `localhost:0`, `:4317`, `off`.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;

/// Where to listen, or not at all. `localhost` and an absent host mean 127.0.0.1; port 0 picks a free one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    Off,
    On(SocketAddr),
}

impl Listen {
    pub const fn loopback(port: u16) -> Self {
        Listen::On(SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), port))
    }

    pub fn address(self) -> Option<SocketAddr> {
        match self {
            Listen::Off => None,
            Listen::On(address) => Some(address),
        }
    }

    /// Only processes of this machine can connect.
    pub fn is_loopback(self) -> bool {
        self.address().is_none_or(|a| a.ip().is_loopback())
    }
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if matches!(text, "off" | "none" | "false") {
            return Ok(Listen::Off);
        }
        let spelled = match text.strip_prefix("localhost:").or_else(|| text.strip_prefix(':')) {
            Some(port) => format!("127.0.0.1:{port}"),
            None => text.to_owned(),
        };
        spelled.parse().map(Listen::On).map_err(|_| {
            format!("{text:?} is not an address to listen on; write it like \"127.0.0.1:4317\", \"[::1]:4317\", \"127.0.0.1:0\" or \"off\"")
        })
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listen::Off => f.write_str("off"),
            Listen::On(address) => write!(f, "{address}"),
        }
    }
}

impl Serialize for Listen {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_people_write_them() {
        assert_eq!("off".parse(), Ok(Listen::Off));
        assert_eq!("localhost:4317".parse(), Ok(Listen::loopback(4317)));
        assert_eq!(":0".parse(), Ok(Listen::loopback(0)));
        assert!("[::1]:4318".parse::<Listen>().is_ok_and(Listen::is_loopback));
        assert!(!"0.0.0.0:4317".parse::<Listen>().is_ok_and(Listen::is_loopback));
        for bad in ["4317", "127.0.0.1", "127.0.0.1:99999", "example.com:80", ""] {
            assert!(bad.parse::<Listen>().is_err(), "{bad}");
        }
    }
}
