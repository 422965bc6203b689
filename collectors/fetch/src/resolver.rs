//! Names to addresses, boxed in time.

use crate::{FetchError, Guard};
use parking_lot::Mutex;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};

/// A look-up is waited for this long; then the last known addresses serve.
const PATIENCE: Duration = Duration::from_secs(2);
/// Names remembered; a target list is shorter.
const MAX_NAMES: usize = 8192;
/// Look-ups under way at once: each holds a thread of the blocking pool while the name service is silent.
const MAX_LOOKUPS: usize = 32;

type Lookup = watch::Receiver<Option<Result<Vec<IpAddr>, String>>>;

#[derive(Default)]
struct Known {
    addresses: Vec<IpAddr>,
    /// Present while a look-up is under way.
    pending: Option<Lookup>,
}

/// The system's resolver with a time limit and a memory. Share one per process.
pub struct Resolver {
    known: Arc<Mutex<HashMap<String, Known>>>,
    lookups: Arc<Semaphore>,
}

impl Default for Resolver {
    fn default() -> Self {
        Resolver { known: Arc::default(), lookups: Arc::new(Semaphore::new(MAX_LOOKUPS)) }
    }
}

impl Resolver {
    pub fn new() -> Arc<Self> {
        Arc::new(Resolver::default())
    }

    /// Addresses of a host: fresh within two seconds, else the last known ones.
    ///
    /// # Errors
    /// When the name does not resolve in time and never did before.
    pub async fn lookup(&self, host: &str) -> Result<Vec<IpAddr>, FetchError> {
        let mut pending = self.join_lookup(host);
        let fresh = tokio::time::timeout(PATIENCE, async {
            match pending.wait_for(Option::is_some).await {
                Ok(outcome) => outcome.clone().unwrap_or_else(|| Err("look-up ended without an answer".to_owned())),
                Err(_) => Err("look-up was given up".to_owned()),
            }
        })
        .await;
        let why = match fresh {
            Ok(Ok(addresses)) => return Ok(addresses),
            Ok(Err(why)) => why,
            Err(_) => format!("no answer within {} s", PATIENCE.as_secs()),
        };
        match self.known.lock().get(host) {
            Some(known) if !known.addresses.is_empty() => Ok(known.addresses.clone()),
            _ => Err(FetchError::Resolve { host: host.to_owned(), why }),
        }
    }

    /// The look-up under way for this name, or a new one: a silent name service costs one thread per name, not one per attempt.
    fn join_lookup(&self, host: &str) -> Lookup {
        let mut known = self.known.lock();
        if let Some(pending) = known.get(host).and_then(|k| k.pending.clone()) {
            return pending;
        }
        if known.len() >= MAX_NAMES {
            known.retain(|_, k| k.pending.is_some());
        }
        let (sender, receiver) = watch::channel(None);
        known.entry(host.to_owned()).or_default().pending = Some(receiver.clone());
        let (host, names, lookups) = (host.to_owned(), self.known.clone(), self.lookups.clone());
        tokio::spawn(async move {
            let _turn = lookups.acquire().await;
            let outcome = match tokio::net::lookup_host((host.as_str(), 0)).await {
                Ok(found) => {
                    let mut addresses: Vec<IpAddr> = Vec::new();
                    for address in found.map(|a| a.ip()) {
                        if !addresses.contains(&address) {
                            addresses.push(address);
                        }
                    }
                    if addresses.is_empty() { Err("no addresses".to_owned()) } else { Ok(addresses) }
                }
                Err(e) => Err(e.to_string()),
            };
            if let Some(entry) = names.lock().get_mut(&host) {
                entry.pending = None;
                if let Ok(addresses) = &outcome {
                    entry.addresses.clone_from(addresses);
                }
            }
            let _ = sender.send(Some(outcome));
        });
        receiver
    }
}

/// The resolver as one client sees it: only addresses its guard permits.
pub(crate) struct Guarded {
    pub(crate) resolver: Arc<Resolver>,
    pub(crate) guard: Guard,
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let (resolver, guard) = (self.resolver.clone(), self.guard);
        Box::pin(async move {
            let found = resolver.lookup(name.as_str()).await?;
            let permitted: Vec<SocketAddr> = found.iter().filter(|a| guard.permits(**a)).map(|a| SocketAddr::new(*a, 0)).collect();
            if permitted.is_empty() {
                let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
                return Err(FetchError::Redirect(format!("{} is {}", name.as_str(), shown.join(", "))).into());
            }
            Ok(Box::new(permitted.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_addresses_serve_when_the_name_service_fails() {
        let resolver = Resolver::new();
        let last: IpAddr = "192.0.2.7".parse().unwrap();
        let host = "does-not-exist.invalid";
        assert!(matches!(resolver.lookup(host).await, Err(FetchError::Resolve { .. })));
        resolver.known.lock().get_mut(host).unwrap().addresses = vec![last];
        assert_eq!(resolver.lookup(host).await, Ok(vec![last]));
    }

    /// A look-up of `host` that answers this, or never.
    fn answering(resolver: &Resolver, host: &str, answer: Option<Vec<IpAddr>>) -> watch::Sender<Option<Result<Vec<IpAddr>, String>>> {
        let (sender, receiver) = watch::channel(answer.map(Ok));
        resolver.known.lock().entry(host.to_owned()).or_default().pending = Some(receiver);
        sender
    }

    #[tokio::test]
    async fn a_silent_name_service_is_waited_for_two_seconds_and_holds_up_no_other_name() {
        let resolver = Resolver::new();
        let last: IpAddr = "192.0.2.7".parse().unwrap();
        let _silent = answering(&resolver, "silent.test", None);
        let _answers = answering(&resolver, "answers.test", Some(vec![last]));
        let began = tokio::time::Instant::now();
        let timed = async |host| (resolver.lookup(host).await, began.elapsed());
        let ((silent, waited), (answers, at_once)) = tokio::join!(timed("silent.test"), timed("answers.test"));
        assert_eq!(answers, Ok(vec![last]));
        assert!(waited >= PATIENCE && at_once < waited);
        assert!(silent.unwrap_err().to_string().contains("no answer within 2 s"));
        resolver.known.lock().get_mut("silent.test").unwrap().addresses = vec![last];
        assert_eq!(resolver.lookup("silent.test").await, Ok(vec![last]), "the last addresses serve");
    }

    #[tokio::test]
    async fn a_name_that_changes_its_mind_is_held_to_the_answer_that_is_connected_to() {
        let resolver = Resolver::new();
        let (outside, inside): (IpAddr, IpAddr) = ("192.0.2.7".parse().unwrap(), "127.0.0.1".parse().unwrap());
        let metadata: IpAddr = "169.254.169.254".parse().unwrap();
        let resolve = async |guard, answer: Vec<IpAddr>| {
            let _sender = answering(&resolver, "rebinding.test", Some(answer));
            let name: Name = "rebinding.test".parse().unwrap();
            let guarded = Guarded { resolver: resolver.clone(), guard };
            guarded.resolve(name).await.map(|found| found.map(|a| a.ip()).collect::<Vec<_>>()).map_err(|e| e.to_string())
        };
        assert_eq!(resolve(Guard::NoLocal, vec![outside]).await, Ok(vec![outside]));
        assert_eq!(resolve(Guard::NoLocal, vec![inside]).await, Err("redirect refused: rebinding.test is 127.0.0.1".to_owned()));
        assert_eq!(
            resolve(Guard::NoLocal, vec![inside, outside, metadata]).await,
            Ok(vec![outside]),
            "only what passed can be connected to"
        );
        assert_eq!(resolve(Guard::NoLinkLocal, vec![metadata, inside]).await, Ok(vec![inside]));
    }

    #[tokio::test]
    async fn literals_resolve_to_themselves() {
        let resolver = Resolver::new();
        assert_eq!(resolver.lookup("127.0.0.1").await, Ok(vec!["127.0.0.1".parse().unwrap()]));
    }
}
