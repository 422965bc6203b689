//! Queues that really fill and drain: messages come from operations and schedulers, workers take them one at a time, failures go back with a
//! delay, and after the last try to the dead letters.

use crate::exposition::DURATION_BUCKETS;
use crate::outcome::Outcome;
use crate::request::{Place, names_of};
use crate::trace::{Finished, SpanId, Trace, text};
use crate::world::Sim;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;
use watchfire_config::platform::{Queue, QueueExporter};

const TRIES: u32 = 3;
/// How often stopped or slowed consumers look again.
const LOOK: Duration = Duration::from_millis(250);

pub(crate) struct Message {
    job: String,
    /// Context of the producer, if the message was traced.
    from: Option<(Rc<Trace>, SpanId)>,
    queued_at: Duration,
    tries: u32,
}

/// What lies in a queue and what happened there.
#[derive(Default)]
pub(crate) struct QueueState {
    pub(crate) messages: VecDeque<Message>,
    pub(crate) busy: u32,
    pub(crate) dead: u64,
    pub(crate) published: u64,
    pub(crate) handled: u64,
    pub(crate) last_handled: Duration,
}

impl QueueState {
    pub(crate) fn depth(&self) -> usize {
        self.messages.len()
    }

    /// Age of the message at the front.
    pub(crate) fn oldest(&self, now: Duration) -> Duration {
        self.messages.front().map_or(Duration::ZERO, |m| now.saturating_sub(m.queued_at))
    }
}

impl Sim {
    /// Puts a message of an operation into a queue: the producer's span, then the message.
    pub(crate) async fn publish(&self, queue: usize, job: &str, place: &Place) -> Outcome {
        let start = self.now();
        let (span, took) = {
            let mut world = self.world();
            (world.span_id(), world.chance.duration(Duration::from_millis(1), Duration::from_millis(4)))
        };
        self.sleep(took).await;
        let platform = self.platform();
        let names = names_of(self, place.service);
        let queue_name = &platform.queues[queue];
        let service = platform.services[place.service].name.as_str();
        let mut attributes = vec![
            text("messaging.system", queue_name.system.clone()),
            text("messaging.destination.name", queue_name.name.clone()),
            text("messaging.operation.name", "send"),
            text(names.pick("messaging.operation.type", "messaging.operation"), names.pick("send", "publish")),
            text("messaging.message.type", job),
        ];
        {
            let mut world = self.world();
            let id: [u8; 8] = world.chance.bytes();
            attributes.push(text("messaging.message.id", format!("{:016x}", u64::from_be_bytes(id))));
            let labels = [("service", service), ("queue", queue_name.name.as_str())];
            let seconds = (self.now() - start).as_secs_f64();
            world.services[place.service].exposition.observe(
                "messaging_client_operation_duration_seconds",
                "Duration of publishing a message.",
                &labels,
                &DURATION_BUCKETS,
                Some(seconds),
            );
            world.finish(
                place.service,
                Finished {
                    trace: &place.trace,
                    span_id: span,
                    parent: Some(place.span),
                    name: format!("send {}", queue_name.name),
                    kind: SpanKind::Producer,
                    start,
                    end: self.now(),
                    attributes,
                    error: None,
                    links: Vec::new(),
                },
            );
        }
        self.push(queue, Message { job: job.to_owned(), from: Some((Rc::clone(&place.trace), span)), queued_at: self.now(), tries: 0 });
        Outcome::Answer(200)
    }

    fn push(&self, queue: usize, message: Message) {
        {
            let mut world = self.world();
            world.queues[queue].published += u64::from(message.tries == 0);
            world.count_task(queue, &message.job, "sent");
            world.queues[queue].messages.push_back(message);
        }
        self.engage(queue);
    }

    /// Gives idle workers something to do.
    fn engage(&self, queue: usize) {
        let platform = self.platform();
        let stopped = self.consumers_stopped(&platform.queues[queue]);
        let mut world = self.world();
        let state = &mut world.queues[queue];
        if stopped || state.messages.is_empty() || state.busy >= platform.queues[queue].workers {
            return;
        }
        state.busy += 1;
        drop(world);
        let sim = self.clone();
        self.executor.spawn(async move { sim.work(queue).await });
    }

    pub(crate) fn consumers_stopped(&self, queue: &Queue) -> bool {
        self.influence(&queue.name, "").consumers_stopped || self.influence(&queue.consumer, "").down
    }

    /// One worker, until the queue is empty or consumers are stopped.
    async fn work(self, queue: usize) {
        let platform = self.platform();
        loop {
            let stopped = self.consumers_stopped(&platform.queues[queue]);
            let next = if stopped { None } else { self.world().queues[queue].messages.pop_front() };
            let Some(message) = next else { break };
            self.handle(queue, message).await;
        }
        self.world().queues[queue].busy -= 1;
    }

    /// Handles one message: the consumer's span with what it calls, then success, another try or the dead letters.
    async fn handle(&self, queue: usize, message: Message) {
        let platform = self.platform();
        let description = &platform.queues[queue];
        let Some(consumer) = self.world().service_index(&description.consumer) else { return };
        let influence = self.influence(&description.name, "");
        let own_trouble = self.influence(&description.consumer, &message.job);
        let start = self.now();
        let (trace, span, own, failed) = {
            let mut world = self.world();
            let trace = match (&message.from, description.same_trace) {
                (Some((trace, _)), true) => Rc::clone(trace),
                (Some((trace, _)), false) => trace.follow(&mut world.chance, start),
                (None, _) => world.begin_trace(consumer, start),
            };
            let own = world
                .chance
                .duration(description.p50, description.p95)
                .mul_f64(own_trouble.latency_factor / influence.service_factor.max(0.01));
            let failed = world.chance.happens((description.errors + influence.errors + own_trouble.errors).min(1.0));
            world.count_task(queue, &message.job, "received");
            world.count_task(queue, &message.job, "started");
            (trace, world.span_id(), own + influence.latency_add, failed)
        };
        let place = Place { trace, span, service: consumer };
        self.sleep(own).await;
        let result = if failed { Err((message.job.clone(), Outcome::Answer(500))) } else { self.steps(&description.steps, &place).await };
        let end = self.now();
        let error = result
            .err()
            .map(|(target, outcome)| outcome.error(&target).unwrap_or_else(|| ("TaskError".to_owned(), format!("{target} failed"))));
        self.handled(queue, &message, &place, (start, end), error.clone());
        if error.is_some() {
            self.again_or_dead(queue, message);
        }
    }

    fn handled(&self, queue: usize, message: &Message, place: &Place, (start, end): (Duration, Duration), error: Option<(String, String)>) {
        let platform = self.platform();
        let description = &platform.queues[queue];
        let names = names_of(self, place.service);
        let mut attributes = vec![
            text("messaging.system", description.system.clone()),
            text("messaging.destination.name", description.name.clone()),
            text("messaging.operation.name", "process"),
            text(names.pick("messaging.operation.type", "messaging.operation"), "process"),
            text("messaging.message.type", message.job.clone()),
        ];
        if !description.group.is_empty() {
            attributes.push(text(names.pick("messaging.consumer.group.name", "messaging.kafka.consumer.group"), description.group.clone()));
        }
        let mut world = self.world();
        if let Some((_, reason)) = &error {
            let body = format!("{} failed (try {} of {TRIES}): {reason}", message.job, message.tries + 1);
            world.log(
                place.service,
                17,
                body,
                Some((&place.trace, place.span)),
                vec![text("messaging.destination.name", description.name.clone())],
                end,
            );
        }
        let outcome = if error.is_none() { "succeeded" } else { "failed" };
        world.count_task(queue, &message.job, outcome);
        world.task_took(queue, &message.job, (end - start).as_secs_f64(), start.saturating_sub(message.queued_at).as_secs_f64());
        world.queues[queue].handled += u64::from(error.is_none());
        world.queues[queue].last_handled = end;
        let parent = message.from.as_ref().filter(|_| description.same_trace).map(|(_, span)| *span);
        world.finish(
            place.service,
            Finished {
                trace: &place.trace,
                span_id: place.span,
                parent,
                name: format!("process {}", description.name),
                kind: SpanKind::Consumer,
                start,
                end,
                attributes,
                error,
                links: message.from.iter().cloned().collect(),
            },
        );
    }

    fn again_or_dead(&self, queue: usize, mut message: Message) {
        message.tries += 1;
        if message.tries < TRIES {
            self.world().count_task(queue, &message.job, "retried");
            let sim = self.clone();
            let delay = Duration::from_secs(1 << (message.tries - 1));
            self.executor.spawn(async move {
                sim.sleep(delay).await;
                message.queued_at = sim.now();
                sim.push(queue, message);
            });
            return;
        }
        let platform = self.platform();
        let mut world = self.world();
        world.queues[queue].dead += 1;
        let Some(consumer) = world.service_index(&platform.queues[queue].consumer) else { return };
        let body = format!("{} moved to {} after {TRIES} tries", message.job, platform.queues[queue].dead_letter);
        let trace = message.from.as_ref().map(|(trace, span)| (&**trace, *span));
        world.log(consumer, 17, body, trace, vec![text("messaging.destination.name", platform.queues[queue].name.clone())], self.now());
    }

    /// Messages that come from schedulers and other regions, and consumers that look again after a stop.
    pub(crate) async fn feed(self, queue: usize) {
        let platform = self.platform();
        let description = &platform.queues[queue];
        loop {
            let rate = description.arrivals + self.influence(&description.name, "").arrivals;
            // The gap is memoryless: waiting at most a look and drawing anew keeps the rate and notices that it changed.
            let gap = if rate > 0.0 { self.world().chance.gap(rate) } else { LOOK * 2 };
            if gap > LOOK {
                self.sleep(LOOK).await;
                self.engage(queue);
                continue;
            }
            self.sleep(gap).await;
            let job = self.world().chance.pick(&description.jobs).cloned().unwrap_or_else(|| "message".to_owned());
            let queued_at = self.now();
            self.push(queue, Message { job, from: None, queued_at, tries: 0 });
        }
    }
}

impl crate::world::World {
    /// Task counters of the exporter that this queue has, where it has any.
    fn count_task(&mut self, queue: usize, job: &str, event: &str) {
        let platform = Rc::clone(&self.platform);
        let description = &platform.queues[queue];
        if description.exporter != QueueExporter::Celery {
            return;
        }
        let Some(service) = self.service_index(&description.exported_by) else { return };
        let labels = [("name", job), ("queue_name", description.name.as_str())];
        self.services[service].exposition.count(&format!("celery_task_{event}_total"), "Tasks by event.", &labels, 1.0);
    }

    fn task_took(&mut self, queue: usize, job: &str, runtime: f64, waited: f64) {
        let platform = Rc::clone(&self.platform);
        let description = &platform.queues[queue];
        if let (QueueExporter::Celery, Some(service)) = (description.exporter, self.service_index(&description.exported_by)) {
            let labels = [("name", job), ("queue_name", description.name.as_str())];
            let exposition = &mut self.services[service].exposition;
            exposition.observe("celery_task_runtime", "Seconds a task ran.", &labels, &DURATION_BUCKETS, Some(runtime));
            exposition.observe(
                "celery_task_queue_wait_time",
                "Seconds a task waited in its queue.",
                &labels,
                &DURATION_BUCKETS,
                Some(waited),
            );
        }
        if let Some(consumer) = self.service_index(&description.consumer) {
            let labels = [("service", description.consumer.as_str()), ("queue", description.name.as_str())];
            self.services[consumer].exposition.observe(
                "messaging_process_duration_seconds",
                "Duration of processing a message.",
                &labels,
                &DURATION_BUCKETS,
                Some(runtime),
            );
        }
    }
}
