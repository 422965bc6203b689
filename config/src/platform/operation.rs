//! What services do: operations, their steps, and sagas.

use super::{Protocol, Retry};
use crate::duration_text;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// One thing a service answers to.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operation {
    pub service: String,
    /// `GET /api/users/{id}` for HTTP, `package.Service/Method` for gRPC, `query Board` for GraphQL, the event name for WebSocket.
    pub name: String,
    #[serde(default)]
    pub protocol: Protocol,
    /// Calls per second that arrive from outside the platform, before sampling.
    #[serde(default)]
    pub rate: f64,
    /// Where outside traffic comes from: shown as the client of the first edge.
    #[serde(default)]
    pub from: String,
    /// The service's own time, steps not included.
    #[serde(with = "duration_text")]
    pub p50: Duration,
    #[serde(with = "duration_text")]
    pub p95: Duration,
    /// Share of calls that fail by the service's own fault (5xx).
    #[serde(default)]
    pub errors: f64,
    /// Share of calls that the client is to blame for (4xx).
    #[serde(default)]
    pub client_errors: f64,
    /// Status of those; 400 if absent.
    #[serde(default)]
    pub client_error_status: Option<u16>,
    #[serde(default)]
    pub steps: Vec<Step>,
    #[serde(default)]
    pub assumed: bool,
}

/// One call on the way through an operation. Steps run in order; `together` starts one with the step before it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// A service, store, provider or queue; empty: work inside the process, named by `op`.
    #[serde(default)]
    pub to: String,
    /// The called operation: of a service by name; of a store `SELECT posts`; of a provider `POST /v1/feed`; of a queue the job.
    #[serde(default)]
    pub op: String,
    /// Probability that the step happens.
    #[serde(default = "always")]
    pub share: f64,
    /// Runs beside the step before it.
    #[serde(default)]
    pub together: bool,
    /// A failure of this step does not fail the operation.
    #[serde(default)]
    pub optional: bool,
    /// Duration of work inside the process, or other than the target's own.
    #[serde(default, with = "duration_text::optional", skip_serializing_if = "Option::is_none")]
    pub p50: Option<Duration>,
    #[serde(default, with = "duration_text::optional", skip_serializing_if = "Option::is_none")]
    pub p95: Option<Duration>,
    #[serde(default, with = "duration_text::optional", skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// Other than the platform's.
    #[serde(default)]
    pub retry: Option<Retry>,
}

fn always() -> f64 {
    1.0
}

/// A distributed transaction: steps in order, each with a compensation that runs backwards when a later one fails.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saga {
    pub name: String,
    /// The orchestrator.
    pub service: String,
    /// Sagas started per second besides those of operations.
    pub rate: f64,
    pub steps: Vec<SagaStep>,
    #[serde(default)]
    pub assumed: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SagaStep {
    pub name: String,
    pub to: String,
    pub op: String,
    #[serde(with = "duration_text")]
    pub timeout: Duration,
    /// The operation that undoes it; empty: nothing to undo.
    #[serde(default)]
    pub compensation: String,
}
