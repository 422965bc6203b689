//! Wrong tokens per address: after so many within a minute an address hears 429 instead of 401 until the minute is over.
//!
//! A right token is let in all the while. Tokens are too long to be guessed at any rate; a lock on the address would only let one misconfigured
//! (or hostile) sender keep out everybody who shares its address: a NAT, a proxy, this machine.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Wrong tokens that one address may try in a minute.
const ALLOWED: u32 = 20;
const MINUTE: Duration = Duration::from_secs(60);
/// Addresses remembered; beyond them the one whose minute ends first is forgotten.
const ADDRESSES: usize = 4096;

/// Wrong tokens of the last minute; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Attempts(Arc<Mutex<HashMap<IpAddr, Window>>>);

#[derive(Clone, Copy, Debug)]
struct Window {
    since: Instant,
    wrong: u32,
}

impl Attempts {
    /// Counts a wrong token from `address`. When that was one too many, says how long until the next one is looked at as a first one again.
    pub(crate) fn wrong(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let address = network(address);
        if windows.len() >= ADDRESSES && !windows.contains_key(&address) {
            windows.retain(|_, w| now.duration_since(w.since) < MINUTE);
            if windows.len() >= ADDRESSES
                && let Some(oldest) = windows.iter().min_by_key(|(_, w)| w.since).map(|(address, _)| *address)
            {
                windows.remove(&oldest);
            }
        }
        let window = windows.entry(address).or_insert(Window { since: now, wrong: 0 });
        if now.duration_since(window.since) >= MINUTE {
            *window = Window { since: now, wrong: 0 };
        }
        window.wrong = window.wrong.saturating_add(1);
        (window.wrong > ALLOWED).then(|| MINUTE.saturating_sub(now.duration_since(window.since)))
    }
}

/// What one sender can hardly have many of: a whole IPv4 address, the first half of an IPv6 address.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_twenty_first_wrong_token_of_a_minute_is_one_too_many() {
        let attempts = Attempts::default();
        let start = Instant::now();
        let (one, other): (IpAddr, IpAddr) = ("192.0.2.1".parse().expect("valid"), "192.0.2.2".parse().expect("valid"));
        for i in 0..20 {
            assert_eq!(attempts.wrong(one, start + Duration::from_secs(i)), None);
        }
        assert_eq!(attempts.wrong(one, start + Duration::from_secs(20)), Some(Duration::from_secs(40)));
        assert_eq!(attempts.wrong("::ffff:192.0.2.1".parse().expect("valid"), start + MINUTE / 2), Some(MINUTE / 2));
        assert_eq!(attempts.wrong(other, start + Duration::from_secs(20)), None, "another address");
        assert_eq!(attempts.wrong(one, start + MINUTE), None, "a new minute");
    }

    #[test]
    fn addresses_of_one_network_are_one_sender_and_many_networks_take_no_more_room() {
        let attempts = Attempts::default();
        let start = Instant::now();
        let at = |high: u64, low: u64| IpAddr::V6(Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low)));
        let refused = (0..30).filter(|low| attempts.wrong(at(7, *low), start).is_some()).count();
        assert_eq!(refused, 10);
        for high in 0..3 * ADDRESSES as u64 {
            attempts.wrong(at(high, 1), start + Duration::from_millis(high));
        }
        assert_eq!(attempts.0.lock().expect("not poisoned").len(), ADDRESSES);
    }
}
