//! What is read at the moment of a scrape: resources, pools, caches, queues, breakers, the registry; under the names of their usual exporters.

use crate::influence::pulled;
use crate::world::{Node, World};
use std::rc::Rc;
use std::time::Duration;
use watchfire_config::platform::{QueueExporter, Step, StoreKind};

const MEMORY_BYTES: f64 = 8.0 * (1u64 << 30) as f64;
const DISK_BYTES: f64 = 100e9;
/// How far apart resource readings jump.
const JITTER: f64 = 0.03;

impl World {
    /// The text under a service's `/metrics` at `now`.
    pub(crate) fn metrics_text(&mut self, service: usize, now: Duration) -> String {
        self.read_resources(service, now);
        self.update_signals(now);
        self.read_stores(service, now);
        self.read_queues(service, now);
        self.read_breakers(service);
        self.read_registry(service);
        self.services[service].exposition.text()
    }

    /// (cpu, memory, disk), each 0 to 1.
    pub(crate) fn resources(&mut self, service: usize, now: Duration) -> [f64; 3] {
        let platform = Rc::clone(&self.platform);
        let description = &platform.services[service];
        let influence = self.influence(&description.name, "", now);
        [(description.cpu, influence.cpu), (description.memory, influence.memory), (description.disk, influence.disk)]
            .map(|(ordinary, pull)| (pulled(ordinary, pull) + JITTER * ordinary * self.chance.swing()).clamp(0.0, 0.995))
    }

    fn read_resources(&mut self, service: usize, now: Duration) {
        let [cpu, memory, disk] = self.resources(service, now);
        let start = self.timeline.nanos(Duration::ZERO, Duration::ZERO) as f64 / 1e9;
        let platform = Rc::clone(&self.platform);
        let description = &platform.services[service];
        let state = &mut self.services[service];
        let passed = now.saturating_sub(state.resources_read).as_secs_f64();
        state.resources_read = now;
        state.cpu_seconds += passed * cpu;
        let e = &mut state.exposition;
        let cpu_help = "Seconds the CPUs spent in each mode.";
        e.count("node_cpu_seconds_total", cpu_help, &[("cpu", "0"), ("mode", "idle")], passed * (1.0 - cpu));
        e.count("node_cpu_seconds_total", cpu_help, &[("cpu", "0"), ("mode", "user")], passed * cpu * 0.8);
        e.count("node_cpu_seconds_total", cpu_help, &[("cpu", "0"), ("mode", "system")], passed * cpu * 0.2);
        e.set("node_memory_MemTotal_bytes", "Memory.", &[], MEMORY_BYTES);
        e.set("node_memory_MemAvailable_bytes", "Memory available.", &[], (MEMORY_BYTES * (1.0 - memory)).round());
        let mount = [("device", "/dev/vda1"), ("fstype", "ext4"), ("mountpoint", "/")];
        e.set("node_filesystem_size_bytes", "Size of the file system.", &mount, DISK_BYTES);
        e.set("node_filesystem_avail_bytes", "Space available to non-root users.", &mount, (DISK_BYTES * (1.0 - disk)).round());
        e.count("process_cpu_seconds_total", "CPU time of the process.", &[], passed * cpu);
        e.set("process_resident_memory_bytes", "Resident memory of the process.", &[], (MEMORY_BYTES * memory * 0.6).round());
        e.set("process_start_time_seconds", "Start of the process, unix time.", &[], start);
        let version = if description.version.is_empty() { "0.0.0" } else { &description.version };
        e.set(
            "service_info",
            "Version of the service.",
            &[("service", &description.name), ("version", version), ("language", &description.language)],
            1.0,
        );
    }

    fn read_stores(&mut self, service: usize, now: Duration) {
        let platform = Rc::clone(&self.platform);
        let name = platform.services[service].name.as_str();
        for (index, store) in platform.stores.iter().enumerate() {
            let influence = self.influence(&store.name, "", now);
            let calls = platform.operations.iter().any(|o| o.service == name && o.steps.iter().any(|s| s.to == store.name));
            if calls && store.pool > 0 {
                let busy = (0.2 * influence.latency_factor * (1.0 + 0.3 * self.chance.swing())).min(1.0);
                let used = (f64::from(store.pool) * busy).round();
                let help = "Connections of a pool by state.";
                let e = &mut self.services[service].exposition;
                e.set("db_client_connection_count", help, &[("pool_name", &store.name), ("state", "used")], used);
                e.set("db_client_connection_count", help, &[("pool_name", &store.name), ("state", "idle")], f64::from(store.pool) - used);
                e.set("db_client_connection_max", "Connections a pool may have.", &[("pool_name", &store.name)], f64::from(store.pool));
            }
            if self.store_exporters[index] != Some(service) {
                continue;
            }
            let up = if influence.down { 0.0 } else { 1.0 };
            let lag = store.replication_lag.map(|lag| pulled(lag.as_secs_f64(), influence.set) * (1.0 + 0.2 * self.chance.swing()));
            let e = &mut self.services[service].exposition;
            match store.kind {
                StoreKind::Database => e.set("pg_up", "Whether the database answers its exporter.", &[("database", &store.name)], up),
                StoreKind::Cache => e.set("redis_up", "Whether Redis answers its exporter.", &[("store", &store.name)], up),
                StoreKind::Search => {
                    e.set("elasticsearch_cluster_health_up", "Whether the cluster answers its exporter.", &[("cluster", &store.name)], up)
                }
                StoreKind::Storage => {}
            }
            if let Some(lag) = lag {
                e.set("pg_replication_lag_seconds", "Delay of the replica.", &[("database", &store.name)], lag);
            }
        }
    }

    /// Counts a read of a cache as hit or miss.
    pub(crate) fn cache_read(&mut self, store: usize, ordinary: f64, step: &Step, now: Duration) {
        if step.op != "GET" && !step.op.starts_with("GET ") {
            return;
        }
        let name = self.platform.stores[store].name.clone();
        let hit_ratio = pulled(ordinary, self.influence(&name, "", now).set);
        let hit = self.chance.happens(hit_ratio);
        let Some(exporter) = self.store_exporters[store] else { return };
        let e = &mut self.services[exporter].exposition;
        e.count("redis_keyspace_hits_total", "Reads that found their key.", &[("store", &name)], f64::from(u8::from(hit)));
        e.count("redis_keyspace_misses_total", "Reads that found nothing.", &[("store", &name)], f64::from(u8::from(!hit)));
    }

    fn read_queues(&mut self, service: usize, now: Duration) {
        let platform = Rc::clone(&self.platform);
        for (index, queue) in platform.queues.iter().enumerate() {
            if queue.exported_by != platform.services[service].name {
                continue;
            }
            let stopped = self.influence(&queue.name, "", now).consumers_stopped || self.influence(&queue.consumer, "", now).down;
            let consumers = if stopped { 0.0 } else { f64::from(queue.workers) };
            let members = self.group_members(&queue.group, now);
            let state = &self.queues[index];
            let (depth, busy, dead) = (state.depth() as f64, f64::from(state.busy), state.dead as f64);
            let (published, handled, oldest) = (state.published as f64, state.handled as f64, state.oldest(now).as_secs_f64());
            let name = queue.name.as_str();
            let group = if queue.group.is_empty() { queue.consumer.as_str() } else { queue.group.as_str() };
            let e = &mut self.services[service].exposition;
            e.set("queue_oldest_message_age_seconds", "Age of the message at the front.", &[("queue", name)], oldest);
            match queue.exporter {
                QueueExporter::Celery => {
                    e.set("celery_queue_length", "The number of message in broker queue.", &[("queue_name", name)], depth);
                    e.set(
                        "celery_active_consumer_count",
                        "The number of active consumer in broker queue.",
                        &[("queue_name", name)],
                        consumers,
                    );
                    e.set(
                        "celery_active_worker_count",
                        "The number of active workers in broker queue.",
                        &[("queue_name", name)],
                        consumers.min(1.0),
                    );
                    if !queue.dead_letter.is_empty() {
                        e.set("celery_queue_length", "The number of message in broker queue.", &[("queue_name", &queue.dead_letter)], dead);
                    }
                }
                QueueExporter::Kafka => {
                    let partition = [("consumergroup", group), ("topic", name), ("partition", "0")];
                    e.set(
                        "kafka_consumergroup_lag",
                        "Current Approximate Lag of a ConsumerGroup at Topic/Partition",
                        &partition,
                        depth + busy,
                    );
                    e.set(
                        "kafka_consumergroup_current_offset",
                        "Current Offset of a ConsumerGroup at Topic/Partition",
                        &partition,
                        handled,
                    );
                    e.set("kafka_consumergroup_members", "Amount of members in a consumer group", &[("consumergroup", group)], members);
                    e.set(
                        "kafka_topic_partition_current_offset",
                        "Current Offset of a Broker at Topic/Partition",
                        &[("topic", name), ("partition", "0")],
                        published,
                    );
                }
                QueueExporter::RedisStreams => {
                    let stream = [("db", "db0"), ("stream", name)];
                    let grouped = [("db", "db0"), ("stream", name), ("group", group)];
                    e.set("redis_stream_length", "The number of elements of the stream", &stream, depth + busy);
                    e.set(
                        "redis_stream_group_lag",
                        "The number of entries in the stream that are still waiting to be delivered to the group's consumers",
                        &grouped,
                        depth,
                    );
                    e.set("redis_stream_group_messages_pending", "Pending number of messages in the stream group", &grouped, busy);
                    e.set("redis_stream_group_consumers", "Consumers count of stream group", &grouped, consumers);
                    if !queue.dead_letter.is_empty() {
                        let dead_letters = [("db", "db0"), ("stream", queue.dead_letter.as_str())];
                        e.set("redis_stream_length", "The number of elements of the stream", &dead_letters, dead);
                    }
                }
                QueueExporter::Rabbitmq => {
                    let labels = [("vhost", "/"), ("queue", name)];
                    e.set("rabbitmq_detailed_queue_messages", "Sum of ready and unacknowledged messages", &labels, depth + busy);
                    e.set("rabbitmq_detailed_queue_messages_ready", "Messages ready to be delivered to consumers", &labels, depth);
                    e.set(
                        "rabbitmq_detailed_queue_messages_unacked",
                        "Messages delivered to consumers but not yet acknowledged",
                        &labels,
                        busy,
                    );
                    e.set("rabbitmq_detailed_queue_consumers", "Consumers on a queue", &labels, consumers);
                    if !queue.dead_letter.is_empty() {
                        let labels = [("vhost", "/"), ("queue", queue.dead_letter.as_str())];
                        e.set("rabbitmq_detailed_queue_messages", "Sum of ready and unacknowledged messages", &labels, dead);
                    }
                }
                QueueExporter::Bullmq => {
                    let help = "Number of jobs in the queue by state";
                    for (state, count) in [("waiting", depth), ("active", busy), ("delayed", 0.0), ("completed", handled), ("failed", dead)]
                    {
                        e.set("bullmq_job_count", help, &[("queue", name), ("state", state)], count);
                    }
                }
            }
            e.set("dead_letters", "Messages given up after the last try.", &[("queue", name)], dead);
        }
    }

    /// Consumers that a group has on all of its topics together.
    fn group_members(&self, group: &str, now: Duration) -> f64 {
        let topics = self.platform.queues.iter().filter(|q| q.group == group);
        let working = topics.filter(|q| !self.influence(&q.name, "", now).consumers_stopped && !self.influence(&q.consumer, "", now).down);
        working.map(|q| f64::from(q.workers)).sum()
    }

    fn read_breakers(&mut self, service: usize) {
        for index in 0..self.breakers.len() {
            let breaker = &self.breakers[index];
            let (owner, name) = (breaker.parameters().service.clone(), breaker.parameters().name.clone());
            if self.service_index(&owner) == Some(service) {
                let state = breaker.state().number();
                let labels = [("service", owner.as_str()), ("breaker", name.as_str())];
                self.services[service].exposition.set(
                    "circuit_breaker_state",
                    "State of the circuit breaker: 0=closed 1=half-open 2=open",
                    &labels,
                    state,
                );
            }
        }
    }

    /// The registry's view of every service, shown by the first service of the file.
    fn read_registry(&mut self, service: usize) {
        if service != 0 || self.platform.defaults.registry_ttl.is_zero() {
            return;
        }
        let platform = Rc::clone(&self.platform);
        for (index, description) in platform.services.iter().enumerate() {
            let renewed = self.services[index].registered_at;
            let at = self.timeline.nanos(renewed, renewed) as f64 / 1e9;
            let help = "Unix time at which the service last renewed its registration.";
            self.services[service].exposition.set(
                "service_registry_last_refresh_timestamp_seconds",
                help,
                &[("service", &description.name)],
                at,
            );
        }
    }

    /// Stores and providers that a service needs, as its health names them: (name, healthy).
    pub(crate) fn dependencies(&self, service: usize, now: Duration) -> Vec<(String, bool)> {
        let description = &self.platform.services[service];
        let called = || {
            let operations = self.platform.operations.iter().filter(|o| o.service == description.name).flat_map(|o| &o.steps);
            let messages = self.platform.queues.iter().filter(|q| q.consumer == description.name).flat_map(|q| &q.steps);
            operations.chain(messages).filter(|s| matches!(self.nodes.get(&s.to), Some(Node::Store(_)))).map(|s| s.to.clone())
        };
        let mut names: Vec<String> =
            if description.health_dependencies.is_empty() { called().collect() } else { description.health_dependencies.clone() };
        names.sort();
        names.dedup();
        names.into_iter().map(|name| self.dependency(&name, now)).collect()
    }

    /// The four checks of a health assessment: database, external APIs, resources and queues, each healthy or not.
    pub(crate) fn assessment(&self, service: usize, now: Duration) -> [(&'static str, bool); 4] {
        let name = self.platform.services[service].name.as_str();
        let operations = self.platform.operations.iter().filter(|o| o.service == name).flat_map(|o| &o.steps);
        let messages = self.platform.queues.iter().filter(|q| q.consumer == name).flat_map(|q| &q.steps);
        let needed: Vec<&str> = operations.chain(messages).map(|s| s.to.as_str()).collect();
        let all = |wanted: fn(&Node) -> bool| {
            needed.iter().filter(|n| self.nodes.get(**n).is_some_and(wanted)).all(|n| self.dependency(n, now).1)
        };
        let consumed = self.platform.queues.iter().filter(|q| q.consumer == name).all(|q| self.dependency(&q.name, now).1);
        let influence = self.influence(name, "", now);
        let roomy = [influence.cpu, influence.memory, influence.disk].into_iter().flatten().all(|(value, strength)| value * strength < 0.9);
        [
            ("database", all(|n| matches!(n, Node::Store(_)))),
            ("external_apis", all(|n| matches!(n, Node::Provider(_)))),
            ("resources", roomy),
            ("queues", consumed && all(|n| matches!(n, Node::Queue(_)))),
        ]
    }

    fn dependency(&self, name: &str, now: Duration) -> (String, bool) {
        match self.nodes.get(name) {
            Some(Node::Store(index)) => {
                let store = &self.platform.stores[*index];
                let shown = if store.health_name.is_empty() { name } else { &store.health_name };
                (shown.to_owned(), self.store_is_healthy(*index, now))
            }
            Some(Node::Queue(index)) => {
                let threshold = self.platform.queues[*index].threshold.unwrap_or(u64::MAX);
                (name.to_owned(), (self.queues[*index].depth() as u64) < threshold)
            }
            _ => {
                let influence = self.influence(name, "", now);
                (name.to_owned(), !(influence.down || influence.errors >= 0.5 || influence.health == "unhealthy"))
            }
        }
    }
}
