//! The platform simulator: turns a platform file into real OTLP, `/metrics` and `/health` traffic on loopback, so that everything watchfire
//! does can be seen without a platform. It simulates requests, not numbers: breakers open because calls fail, queues grow because workers lag.
//!
//! Types to know
//! - [`Simulation`]: a platform on a clock of its own; what its services would send and show comes out as values. For tests and for the runner.
//! - [`Simulator::start`]: the same in real time on real sockets; [`Running`] lists its scrape and probe targets.
//! - [`CircuitBreaker`]: counts failures and waits, as the documents of the platforms describe.
//!
//! Invariants
//! - One seed, one run: a single simulated clock, one source of chance, tasks in a fixed order. No task sees the machine's time.
//! - Everything sent says that it is simulated: resource attribute `watchfire.simulated`, label `simulated="true"`.
//! - Nothing here knows a platform by name. What a platform needs is a field of its file; what goes wrong is an effect of a scenario file.
//!
//! To add a kind of behaviour: a field in the platform schema, one file here that acts on it, and its task in `traffic.rs`.

mod breaker;
mod chance;
mod endpoints;
mod executor;
mod export;
mod exposition;
mod health;
mod influence;
mod otlp;
mod outcome;
mod queue;
mod readings;
mod request;
mod saga;
mod signals;
mod simulation;
mod simulator;
mod trace;
mod traffic;
mod world;

pub use breaker::{BreakerState, CircuitBreaker};
pub use export::{Receivers, Sent};
pub use health::HealthAnswer;
pub use otlp::{Export, Payload};
pub use simulation::Simulation;
pub use simulator::{DemoOptions, ProbeTarget, Running, ScrapeTarget, Simulator};
pub use watchfire_config::Scenario;

use watchfire_config::Platform;

/// The scenarios of a platform, in order of name: what `demo --list` shows.
pub fn scenarios(platform: &Platform) -> &[Scenario] {
    &platform.scenarios
}
