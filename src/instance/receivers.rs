//! The ports that spans, OTLP metrics and logs come in through.

use super::plan::Plan;
use super::{addresses, settings};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use watchfire_model::{Clock, Meter};
use watchfire_serve::Guard;
use watchfire_store::Store;

/// Where they are, and what runs behind them.
pub struct Receivers {
    pub grpc: Option<SocketAddr>,
    pub http: Option<SocketAddr>,
    pub running: watchfire_otlp::Running,
}

/// Starts receiving into the store.
///
/// # Errors
/// When an address cannot be listened on.
pub fn start(
    plan: &Plan,
    store: &Arc<Store>,
    guard: Guard,
    meter: &Meter,
    clock: &Arc<dyn Clock>,
    cancel: &CancellationToken,
) -> anyhow::Result<Receivers> {
    let config = &plan.config;
    let settings = watchfire_otlp::Settings {
        grpc: config.otlp_grpc.address(),
        http: config.otlp_http.address(),
        grpc_may_move: plan.may_move(|f| &f.otlp_grpc),
        http_may_move: plan.may_move(|f| &f.otlp_http),
        limits: settings::otlp_limits(config),
        guard,
        over_memory: over_memory(store),
    };
    let engine = store.span_engine(settings::signals(plan));
    let ports = [("OTLP gRPC", "otlp-grpc", settings.grpc), ("OTLP HTTP", "otlp-http", settings.http)];
    let running =
        watchfire_otlp::start(settings, engine, store.clone(), store.clone(), meter, clock.clone(), cancel.clone()).map_err(|error| {
            if let watchfire_otlp::StartError::Listen { address, error } = &error
                && let Some((what, flag, _)) = ports.into_iter().find(|(.., at)| *at == Some(*address))
            {
                return addresses::refusal(what, flag, *address, error);
            }
            anyhow::Error::new(error).context("cannot receive OTLP")
        })?;
    Ok(Receivers { grpc: running.grpc, http: running.http, running })
}

/// Whether more is held than may be. Eviction keeps the store below its limit; beyond it, taking more would only lose what is held.
pub fn over_memory(store: &Arc<Store>) -> Arc<dyn Fn() -> bool + Send + Sync> {
    let store = store.clone();
    Arc::new(move || store.is_over_memory())
}
