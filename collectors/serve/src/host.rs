//! Which names a client may call us by. A name that an attacker can point at 127.0.0.1 is refused, so that a web page cannot reach this port
//! through it (DNS rebinding).

use std::net::{Ipv4Addr, Ipv6Addr};

/// The host without its port: `[::1]:80` and `localhost:80` lose the `:80`.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && (!name.starts_with('[') || name.ends_with(']')) => name,
        _ => host,
    }
}

/// Whether `host` (a `Host` header or an `:authority`, port ignored) may be served.
pub(crate) fn is_allowed_host(host: &str, configured: &[String]) -> bool {
    let name = without_port(host);
    if let Some(inner) = name.strip_prefix('[').and_then(|n| n.strip_suffix(']')) {
        let address = inner.split_once("%25").map_or(inner, |(address, _zone)| address);
        return address.parse::<Ipv6Addr>().is_ok();
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    let local = name.eq_ignore_ascii_case("localhost")
        || name.len() > ".localhost".len()
            && name.is_char_boundary(name.len() - ".localhost".len())
            && name[name.len() - ".localhost".len()..].eq_ignore_ascii_case(".localhost");
    local || name.parse::<Ipv4Addr>().is_ok() || configured.iter().any(|c| c == "*" || c.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_and_localhost_are_allowed_and_other_names_only_when_configured() {
        let configured = ["watch.example".to_owned()];
        for host in [
            "localhost",
            "LOCALHOST:4318",
            "localhost.",
            "api.localhost:80",
            "127.0.0.1",
            "127.0.0.1:9499",
            "192.168.1.4:4317",
            "[::1]",
            "[::1]:4318",
            "[fe80::1%25eth0]:1",
            "watch.example:80",
            "Watch.Example",
        ] {
            assert!(is_allowed_host(host, &configured), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:4318",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "127.0.0.1:80.evil.example",
            "evillocalhost",
            ".localhost",
            "",
            ":80",
            "[::1].evil.example",
            "[evil]",
            "user@localhost",
            "localhost:80@evil.example",
            "0x7f000001",
            "2130706433",
        ] {
            assert!(!is_allowed_host(host, &configured), "{host}");
        }
        assert!(is_allowed_host("anything.example", &["*".to_owned()]));
    }
}
