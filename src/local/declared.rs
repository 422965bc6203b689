//! From a platform preset to what readings compare telemetry with.

use super::context::{Declared, DeclaredQueue, DeclaredService};
use watchfire_config::Platform;
use watchfire_config::platform::StoreKind;
use watchfire_model::reading::NodeKind;

impl From<&Platform> for Declared {
    fn from(platform: &Platform) -> Self {
        let mut nodes: Vec<(String, NodeKind)> = Vec::new();
        let mut aliases: Vec<(String, String)> = Vec::new();
        let mut systems: Vec<(String, String)> = Vec::new();
        for store in &platform.stores {
            let kind = match store.kind {
                StoreKind::Cache => NodeKind::Cache,
                StoreKind::Database | StoreKind::Search | StoreKind::Storage => NodeKind::Database,
            };
            nodes.push((store.name.clone(), kind));
            systems.push((store.name.clone(), store.system.clone()));
            if !store.namespace.is_empty() && store.namespace != store.name {
                aliases.push((store.namespace.clone(), store.name.clone()));
            }
        }
        for provider in &platform.providers {
            nodes.push((provider.name.clone(), NodeKind::External));
            aliases.push((provider.host.clone(), provider.name.clone()));
        }
        nodes.extend(platform.queues.iter().map(|q| (q.name.clone(), NodeKind::Queue)));
        systems.extend(platform.queues.iter().map(|q| (q.name.clone(), q.system.clone())));
        let kind_of = |name: &str| nodes.iter().find(|(n, _)| n == name).map_or(NodeKind::Service, |(_, k)| *k);
        let edges = platform.declared_edges().into_iter().map(|e| (e.client, e.server.clone(), kind_of(&e.server))).collect::<Vec<_>>();
        let queues = platform
            .queues
            .iter()
            .map(|q| DeclaredQueue {
                name: q.name.clone(),
                system: q.system.clone(),
                depth_threshold: q.threshold.map(|t| t as f64),
                producers: edges.iter().filter(|(_, server, _)| *server == q.name).map(|(c, _, _)| c.clone()).collect(),
                consumers: vec![q.consumer.clone()],
            })
            .collect();
        Declared {
            platform: Some(platform.title.clone()),
            services: platform
                .services
                .iter()
                .map(|s| DeclaredService {
                    name: s.name.clone(),
                    owner: platform.owner(&s.name).map(str::to_owned),
                    namespace: Some(platform.name.clone()),
                })
                .collect(),
            owners: Vec::new(),
            queues,
            breakers: platform.breakers.iter().map(|b| (b.service.clone(), b.name.clone(), b.protects.clone())).collect(),
            nodes,
            edges,
            aliases,
            systems,
        }
    }
}
