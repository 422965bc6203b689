//! Everything about one service on one page, put together from the other readings.

use super::{LocalSource, collectors, operations, saturation};
use std::collections::BTreeMap;
use watchfire_model::Timestamp;
use watchfire_model::reading::{Alert, AlertState, LogQuery, ReadError, ServicePage};

impl LocalSource {
    /// # Errors
    /// When the service is not known, or the store cannot be queried.
    pub(super) fn page(&self, name: &str, at: Option<Timestamp>) -> Result<ServicePage, ReadError> {
        let lens = self.lens(self.moment(at));
        let service = self
            .cached_services(at)?
            .services
            .into_iter()
            .find(|s| s.name == name)
            .ok_or_else(|| ReadError::NotFound(format!("no service {name:?} is known")))?;
        let map = self.map(at)?;
        let alerts = self.alerts_at(at)?;
        let last_seen = BTreeMap::new();
        let checks = self.checks(&lens, at)?;
        let context = self.context(&checks, &alerts, &[], &last_seen);
        let about: Vec<Alert> =
            alerts.iter().filter(|a| a.state != AlertState::Resolved && context.alert_service(a) == Some(name)).cloned().collect();
        let mut instances = self.store.instances(name, lens.at, lens.window);
        if let Some(kept) = service.sampling_ratio {
            instances.iter_mut().for_each(|instance| instance.rate = instance.rate.map(|rate| rate / kept));
        }
        Ok(ServicePage {
            instances,
            operations: operations::operations(&lens, name)?,
            callers: map.edges.iter().filter(|e| e.server == name).cloned().collect(),
            callees: map.edges.into_iter().filter(|e| e.client == name).collect(),
            checks: self.health(at)?.checks.into_iter().filter(|c| c.service == name).collect(),
            breakers: self.breakers(at)?.breakers.into_iter().filter(|b| b.service == name).collect(),
            queues: self
                .queues(at)?
                .queues
                .into_iter()
                .filter(|q| q.producers.iter().chain(&q.consumer_services).any(|s| s == name))
                .collect(),
            alerts: about,
            top_errors: self.store.top_errors(name, lens.at),
            refusals: self.store.refusals(name, lens.at),
            logs: self.store.logs(&LogQuery { service: Some(name.to_owned()), limit: Some(20), ..Default::default() }, at).logs,
            resources: saturation::resources(&lens, name)?,
            collector: collectors::collectors(&lens)?.remove(name),
            service,
        })
    }
}
