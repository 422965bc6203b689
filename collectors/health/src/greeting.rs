//! What a connection says of who takes it. The system takes connections for a process that is stopped, so by itself it says that there is a process.

use crate::judgement::Outcome;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// Connections on which a greeting is waited for, and how long, before a server counts as one that does not speak first.
const ASKED: u8 = 3;
const PATIENCE: Duration = Duration::from_millis(200);

/// Whether a server speaks first, as those of mail, SSH, MySQL and NATS do. One that greeted before is not well when it does no more.
#[derive(Default)]
pub(crate) struct Greeting {
    heard: AtomicBool,
    asked: AtomicU8,
}

impl Greeting {
    /// What comes of a new connection, and whether it was greeted. `limit` is for a server that is known to greet.
    pub(crate) async fn of(&self, mut stream: TcpStream, limit: Duration) -> (Outcome, bool) {
        let known = self.heard.load(Ordering::Relaxed);
        if !known && self.asked.fetch_add(1, Ordering::Relaxed) >= ASKED {
            self.asked.store(ASKED, Ordering::Relaxed);
            return (unanswered(), false);
        }
        let wait = if known { limit } else { PATIENCE.min(limit) };
        let outcome = match tokio::time::timeout(wait, stream.read(&mut [0])).await {
            Ok(Ok(1)) => {
                self.heard.store(true, Ordering::Relaxed);
                return (Outcome::healthy("connected, and greeted"), true);
            }
            _ if !known => unanswered(),
            Ok(Ok(_)) => Outcome::unhealthy("exchange", "takes connections and closes them without the greeting of before"),
            Ok(Err(e)) => Outcome::unhealthy("exchange", format!("takes connections, which break before the greeting: {e}")),
            Err(_) => Outcome::unhealthy("timeout", format!("takes connections, and did not greet within {limit:?} as before")),
        };
        (outcome, false)
    }
}

fn unanswered() -> Outcome {
    Outcome::healthy("takes connections; whether it would answer is not asked")
}
