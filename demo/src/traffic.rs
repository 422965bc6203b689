//! What starts by itself: requests from outside, and the heartbeat by which services stay in the registry.

use crate::trace::Trace;
use crate::world::Sim;
use std::rc::Rc;
use std::time::Duration;

/// How long a gap between arrivals may be before the rate is looked at again.
const LOOK: Duration = Duration::from_millis(500);

/// Every operation that is called from outside, and every saga, has been gone through once by then: what is declared shows itself early, also
/// what is rare or sampled.
pub(crate) const FIRST_WITHIN: Duration = Duration::from_secs(4);

impl Sim {
    /// Starts everything that runs on its own.
    pub(crate) fn begin(&self) {
        let platform = self.platform();
        let sim = self.clone();
        self.executor.spawn(async move { sim.round().await });
        for (index, operation) in platform.operations.iter().enumerate() {
            if operation.rate > 0.0 {
                let sim = self.clone();
                self.executor.spawn(async move { sim.arrivals(index).await });
            }
        }
        for queue in 0..platform.queues.len() {
            let sim = self.clone();
            self.executor.spawn(async move { sim.feed(queue).await });
        }
        for saga in 0..platform.sagas.len() {
            let sim = self.clone();
            self.executor.spawn(async move { sim.run_sagas(saga).await });
        }
        if !platform.defaults.registry_ttl.is_zero() {
            for service in 0..platform.services.len() {
                let sim = self.clone();
                self.executor.spawn(async move { sim.heartbeat(service).await });
            }
        }
    }

    /// One thorough request to every operation that has requests from outside.
    async fn round(self) {
        let platform = self.platform();
        let called: Vec<_> = platform.operations.iter().filter(|o| o.rate > 0.0).collect();
        for operation in &called {
            self.sleep(FIRST_WITHIN / called.len() as u32).await;
            let Some(service) = self.world().service_index(&operation.service) else { continue };
            let trace = Trace::thorough(&mut self.world().chance, self.now());
            let (sim, operation) = (self.clone(), Rc::new((*operation).clone()));
            self.executor.spawn(async move {
                sim.serve(service, operation, trace, None).await;
            });
        }
    }

    /// Requests from outside for one operation, as a Poisson process whose rate the scenario may change.
    async fn arrivals(self, index: usize) {
        let platform = self.platform();
        let operation = Rc::new(platform.operations[index].clone());
        let Some(service) = self.world().service_index(&operation.service) else { return };
        loop {
            let influence = self.influence(&operation.service, &operation.name);
            let rate = operation.rate * influence.rate_factor;
            let gap = if rate > 0.0 { self.world().chance.gap(rate) } else { LOOK * 2 };
            if gap > LOOK {
                // Memoryless: nothing is lost by drawing anew.
                self.sleep(LOOK).await;
                continue;
            }
            self.sleep(gap).await;
            let trace = self.world().begin_trace(service, self.now());
            let (sim, operation) = (self.clone(), Rc::clone(&operation));
            self.executor.spawn(async move {
                sim.serve(service, operation, trace, None).await;
            });
        }
    }

    /// Renews the registration of one service three times per time-to-live, as a client of a registry does.
    async fn heartbeat(self, service: usize) {
        let platform = self.platform();
        let name = &platform.services[service].name;
        let period = (platform.defaults.registry_ttl / 3).min(Duration::from_secs(30));
        loop {
            let influence = self.influence(name, "");
            if !influence.down && !influence.unregistered {
                self.world().services[service].registered_at = self.now();
            }
            self.sleep(period).await;
        }
    }
}
