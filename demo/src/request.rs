//! One request on its way: a service does its own work, calls others under time-outs, breakers and retries, and answers.

use crate::executor::{Answer, together};
use crate::exposition::{DURATION_BUCKETS, Histogram};
use crate::outcome::Outcome;
use crate::trace::{Finished, Names, SpanId, Trace, int, text};
use crate::world::{Node, Sim};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;
use watchfire_config::platform::{Operation, Protocol, ServiceKind, Step, StoreKind};

/// Where a piece of work stands in its trace.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) trace: Rc<Trace>,
    pub(crate) span: SpanId,
    pub(crate) service: usize,
}

impl Sim {
    /// Answers one call of an operation: the server side.
    pub(crate) fn serve(
        self,
        service: usize,
        operation: Rc<Operation>,
        trace: Rc<Trace>,
        parent: Option<SpanId>,
    ) -> Pin<Box<dyn Future<Output = Outcome>>> {
        Box::pin(async move {
            let platform = self.platform();
            let description = &platform.services[service];
            let influence = self.influence(&description.name, &operation.name);
            if influence.down {
                self.sleep(Duration::from_millis(1)).await;
                return Outcome::Refused;
            }
            let start = self.now();
            let (span, own, client_error, own_error) = {
                let mut world = self.world();
                let own = world.chance.duration(operation.p50, operation.p95).mul_f64(influence.latency_factor) + influence.latency_add;
                let client_error = world.chance.happens(operation.client_errors) && !trace.thorough;
                let own_error = world.chance.happens((operation.errors + influence.errors).min(1.0));
                (world.span_id(), own, client_error, own_error)
            };
            let place = Place { trace, span, service };
            self.sleep(own.mul_f64(0.4)).await;
            let mut cause = None;
            let status = if client_error {
                operation.client_error_status.unwrap_or(400)
            } else if own_error {
                influence.status.unwrap_or(500)
            } else {
                match self.steps(&operation.steps, &place).await {
                    Ok(()) => {
                        self.sleep(own.mul_f64(0.6)).await;
                        if operation.name.starts_with("POST ") { 201 } else { 200 }
                    }
                    Err((target, outcome)) => {
                        let store = platform.store(&target).is_some();
                        let status = outcome.passed_on(description.kind == ServiceKind::Gateway, store);
                        cause = outcome.error(&target);
                        status
                    }
                }
            };
            self.answered(&place, &operation, parent, start, status, cause);
            Outcome::Answer(status)
        })
    }

    /// The server's span, metrics and log line.
    fn answered(
        &self,
        place: &Place,
        operation: &Operation,
        parent: Option<SpanId>,
        start: Duration,
        status: u16,
        cause: Option<(String, String)>,
    ) {
        let end = self.now();
        let mut world = self.world();
        let platform = Rc::clone(&world.platform);
        let service = &platform.services[place.service];
        let names = world.names(service);
        let (name, mut attributes) = world.call_attributes(names, &operation.name, operation.protocol, SpanKind::Server, Some(status));
        if service.port != 0 {
            attributes.push(int(names.pick("server.port", "net.host.port"), i64::from(service.port)));
        }
        let blamed = status >= 500 || (status >= 400 && service.http_4xx_is_error.unwrap_or(platform.defaults.http_4xx_is_error));
        let error = blamed.then(|| match &cause {
            Some((_, message)) => (status.to_string(), message.clone()),
            None => (status.to_string(), format!("{} failed", operation.name)),
        });
        let (method, route) = match operation.protocol {
            Protocol::Http => operation.name.split_once(' ').unwrap_or(("GET", &operation.name)),
            Protocol::Grpc => ("GRPC", operation.name.as_str()),
            Protocol::Graphql => ("POST", operation.name.as_str()),
            Protocol::Websocket => ("WS", operation.name.as_str()),
        };
        if let Some((_, message)) = &error {
            let attributes = vec![text("http.route", route), int("http.response.status_code", i64::from(status))];
            world.log(
                place.service,
                17,
                format!("{} {status}: {message}", operation.name),
                Some((&place.trace, place.span)),
                attributes,
                end,
            );
        } else if place.trace.sampled && parent.is_none() {
            let body = format!("{} {status} in {} ms", operation.name, (end - start).as_millis());
            world.log(place.service, 9, body, Some((&place.trace, place.span)), vec![text("http.route", route)], end);
        }
        let seconds = (end - start).as_secs_f64();
        let state = &mut world.services[place.service];
        let code = status.to_string();
        let labels = [("service", service.name.as_str()), ("method", method), ("route", route), ("status", code.as_str())];
        state.exposition.count("http_requests_total", "Requests by route and status.", &labels, 1.0);
        state.exposition.observe(
            "http_server_request_duration_seconds",
            "Duration of server requests.",
            &labels[..3],
            &DURATION_BUCKETS,
            Some(seconds),
        );
        state
            .durations
            .entry((method.to_owned(), route.to_owned(), status))
            .or_insert_with(|| Histogram::new(&DURATION_BUCKETS))
            .observe(seconds);
        world.finish(
            place.service,
            Finished {
                trace: &place.trace,
                span_id: place.span,
                parent,
                name,
                kind: SpanKind::Server,
                start,
                end,
                attributes,
                error,
                links: Vec::new(),
            },
        );
    }

    /// Runs the steps of an operation or message in order, those marked `together` beside each other. The first failure that is not optional
    /// comes back with the name of its target.
    pub(crate) async fn steps(&self, steps: &[Step], place: &Place) -> Result<(), (String, Outcome)> {
        let mut rest = steps;
        while !rest.is_empty() {
            let beside = rest[1..].iter().take_while(|s| s.together).count();
            let group: Vec<Step> = {
                let mut world = self.world();
                rest[..=beside].iter().filter(|step| world.chance.happens(step.share) || place.trace.thorough).cloned().collect()
            };
            rest = &rest[beside + 1..];
            let futures = group.iter().cloned().map(|step| self.clone().step(step, place.clone())).collect();
            for (step, outcome) in group.iter().zip(together(futures).await) {
                if outcome.is_error_for_client() && !step.optional {
                    return Err((step.to.clone(), outcome));
                }
            }
        }
        Ok(())
    }

    /// One step: work inside the process, a message, or a call under breaker and retries.
    fn step(self, step: Step, place: Place) -> Pin<Box<dyn Future<Output = Outcome>>> {
        Box::pin(async move {
            if step.to.is_empty() {
                return self.inside(&step, &place).await;
            }
            let node = self.world().nodes.get(&step.to).copied();
            match node {
                None => Outcome::Refused,
                Some(Node::Queue(queue)) => self.publish(queue, &step.op, &place).await,
                Some(node) => self.resilient(&step, node, &place).await,
            }
        })
    }

    async fn inside(&self, step: &Step, place: &Place) -> Outcome {
        let start = self.now();
        let (took, span) = {
            let mut world = self.world();
            let p50 = step.p50.unwrap_or(Duration::from_millis(5));
            (world.chance.duration(p50, step.p95.unwrap_or(p50 * 3)), world.span_id())
        };
        self.sleep(took).await;
        self.world().finish(
            place.service,
            Finished {
                trace: &place.trace,
                span_id: span,
                parent: Some(place.span),
                name: step.op.clone(),
                kind: SpanKind::Internal,
                start,
                end: self.now(),
                attributes: Vec::new(),
                error: None,
                links: Vec::new(),
            },
        );
        Outcome::Answer(200)
    }

    /// A call with the breaker, retries and fallback that the platform declares for it.
    async fn resilient(&self, step: &Step, node: Node, place: &Place) -> Outcome {
        let platform = self.platform();
        let retry = match node {
            // A failed statement goes up at once: repeating it is the caller's decision.
            Node::Store(_) => None,
            _ => Some(step.retry.clone().unwrap_or_else(|| platform.defaults.retry.clone())),
        };
        let attempts = retry.as_ref().map_or(1, |r| r.attempts.max(1));
        let breaker = self.world().breaker(place.service, &step.to);
        let service = platform.services[place.service].name.as_str();
        let labels = [("service", service), ("target", step.to.as_str())];
        let mut outcome = Outcome::Rejected;
        for attempt in 0..attempts {
            if attempt > 0 {
                let delay = {
                    let mut world = self.world();
                    world.services[place.service].exposition.count("client_retries_total", "Calls tried again.", &labels, 1.0);
                    retry.as_ref().map(|r| backoff(r, attempt, world.chance.unit())).unwrap_or_default()
                };
                self.sleep(delay).await;
            }
            outcome = self.guarded(step, node, place, breaker, attempt).await;
            let provider = matches!(node, Node::Provider(_));
            if !outcome.retryable(provider) {
                break;
            }
        }
        if outcome.failed() {
            let mut world = self.world();
            let exposition = &mut world.services[place.service].exposition;
            if attempts > 1 && outcome != Outcome::Rejected {
                exposition.count("client_retries_exhausted_total", "Calls given up after the last try.", &labels, 1.0);
            }
            let fallback = breaker.map(|b| world.breakers[b].parameters().fallback.clone()).unwrap_or_default();
            if !fallback.is_empty() {
                world.services[place.service].exposition.count("client_fallbacks_total", "Calls answered by a fallback.", &labels, 1.0);
                return Outcome::Answer(200);
            }
        }
        outcome
    }

    /// One attempt, if the breaker lets it out.
    async fn guarded(&self, step: &Step, node: Node, place: &Place, breaker: Option<usize>, attempt: u32) -> Outcome {
        let platform = self.platform();
        let now = self.now();
        if let Some(index) = breaker {
            let (allowed, span) = {
                let mut world = self.world();
                let before = world.breakers[index].transitions().len();
                let allowed = world.breakers[index].allow(now);
                world.breaker_moved(index, before, Some((&place.trace, place.span)), now);
                (allowed, world.span_id())
            };
            if !allowed {
                self.rejected(step, place, span, index);
                return Outcome::Rejected;
            }
        }
        let limit = breaker.and_then(|b| platform.breakers[b].timeout).or(step.timeout);
        let limit = limit.unwrap_or_else(|| match node {
            Node::Provider(index) => platform.providers[index].timeout.unwrap_or(platform.defaults.timeout),
            _ => platform.defaults.timeout,
        });
        let outcome = self.attempt(step, node, place, limit, attempt).await;
        if let Some(index) = breaker {
            let now = self.now();
            let mut world = self.world();
            let before = world.breakers[index].transitions().len();
            world.breakers[index].record(now, outcome.failed());
            world.breaker_moved(index, before, Some((&place.trace, place.span)), now);
        }
        outcome
    }

    /// A call that the breaker kept back: no network, so an internal span.
    fn rejected(&self, step: &Step, place: &Place, span: SpanId, breaker: usize) {
        let now = self.now();
        let mut world = self.world();
        let name = world.breakers[breaker].parameters().name.clone();
        let state = world.breakers[breaker].state().word();
        let service = world.platform.services[place.service].name.clone();
        let labels = [("service", service.as_str()), ("target", step.to.as_str()), ("outcome", "rejected")];
        world.services[place.service].exposition.count("client_requests_total", "Calls to other parts by outcome.", &labels, 1.0);
        world.finish(
            place.service,
            Finished {
                trace: &place.trace,
                span_id: span,
                parent: Some(place.span),
                name: format!("circuit breaker {name}"),
                kind: SpanKind::Internal,
                start: now,
                end: now + Duration::from_micros(40),
                attributes: vec![text("circuit_breaker.name", name), text("circuit_breaker.state", state)],
                error: Outcome::Rejected.error(&step.to),
                links: Vec::new(),
            },
        );
    }

    /// One attempt over the network: the client's span and metrics.
    async fn attempt(&self, step: &Step, node: Node, place: &Place, limit: Duration, attempt: u32) -> Outcome {
        let start = self.now();
        let span = self.world().span_id();
        let platform = self.platform();
        let outcome = match node {
            Node::Service(service) => {
                let Some(operation) = platform.operation(&step.to, &step.op) else { return Outcome::Refused };
                self.sleep(Duration::from_micros(400)).await;
                let answer = Answer::new(&self.executor);
                let (sim, operation, trace, giver) = (self.clone(), Rc::new(operation.clone()), Rc::clone(&place.trace), answer.clone());
                self.executor.spawn(async move { giver.give(sim.serve(service, operation, trace, Some(span)).await) });
                answer.within(limit).await.unwrap_or(Outcome::Timeout)
            }
            Node::Store(index) => {
                self.elsewhere(step, (platform.stores[index].p50, platform.stores[index].p95, platform.stores[index].errors), limit).await
            }
            Node::Provider(index) => {
                let provider = &platform.providers[index];
                self.elsewhere(step, (provider.p50, provider.p95, provider.errors), limit).await
            }
            Node::Queue(_) => Outcome::Refused,
        };
        self.called(step, node, place, span, start, attempt, &outcome);
        outcome
    }

    /// A call to something that sends no telemetry of its own.
    async fn elsewhere(&self, step: &Step, (p50, p95, errors): (Duration, Duration, f64), limit: Duration) -> Outcome {
        let influence = self.influence(&step.to, &step.op);
        if influence.down {
            self.sleep(Duration::from_millis(2)).await;
            return Outcome::Refused;
        }
        let (took, failed) = {
            let mut world = self.world();
            let drawn = world.chance.duration(step.p50.unwrap_or(p50), step.p95.unwrap_or(p95));
            (drawn.mul_f64(influence.latency_factor) + influence.latency_add, world.chance.happens((errors + influence.errors).min(1.0)))
        };
        self.sleep(took.min(limit)).await;
        match (took > limit, failed) {
            (true, _) => Outcome::Timeout,
            (false, true) => Outcome::Answer(influence.status.unwrap_or(503)),
            (false, false) => Outcome::Answer(200),
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn called(&self, step: &Step, node: Node, place: &Place, span: SpanId, start: Duration, attempt: u32, outcome: &Outcome) {
        let end = self.now();
        let mut world = self.world();
        let platform = Rc::clone(&world.platform);
        let service = &platform.services[place.service];
        let names = world.names(service);
        let status = match outcome {
            Outcome::Answer(status) => Some(*status),
            _ => None,
        };
        let seconds = (end - start).as_secs_f64();
        let target = step.to.as_str();
        let labels = [("service", service.name.as_str()), ("target", target), ("outcome", outcome.label())];
        let exposition = &mut world.services[place.service].exposition;
        exposition.count("client_requests_total", "Calls to other parts by outcome.", &labels, 1.0);
        let (family, help) = match node {
            Node::Store(_) => ("db_client_operation_duration_seconds", "Duration of database operations."),
            _ => ("http_client_request_duration_seconds", "Duration of client requests."),
        };
        exposition.observe(family, help, &labels[..2], &DURATION_BUCKETS, Some(seconds));
        let (name, mut attributes) = match node {
            Node::Store(index) => {
                let store = &platform.stores[index];
                if let (StoreKind::Cache, Some(ordinary)) = (store.kind, store.hit_ratio) {
                    world.cache_read(index, ordinary, step, end);
                }
                world.database(place.service, index, &step.op)
            }
            Node::Provider(index) => {
                let (name, mut list) = world.call_attributes(names, &step.op, Protocol::Http, SpanKind::Client, status);
                list.extend(names.peer(&platform.providers[index].host, 443));
                list.push(names.peer_service(&step.to));
                let path = step.op.split_once(' ').map_or("/", |(_, path)| path);
                list.push(text(names.pick("url.full", "http.url"), format!("https://{}{path}", platform.providers[index].host)));
                (name, list)
            }
            _ => {
                let protocol = platform.operation(target, &step.op).map(|o| o.protocol).unwrap_or_default();
                let (name, mut list) = world.call_attributes(names, &step.op, protocol, SpanKind::Client, status);
                let port = platform.service(target).map_or(80, |s| i64::from(s.port));
                list.extend(names.peer(target, if port == 0 { 80 } else { port }));
                (name, list)
            }
        };
        if attempt > 0 {
            attributes.push(int(names.pick("http.request.resend_count", "http.resend_count"), i64::from(attempt)));
        }
        world.finish(
            place.service,
            Finished {
                trace: &place.trace,
                span_id: span,
                parent: Some(place.span),
                name,
                kind: SpanKind::Client,
                start,
                end,
                attributes,
                error: outcome.error(target),
                links: Vec::new(),
            },
        );
    }
}

/// Delay before the given attempt (1 is the first retry).
fn backoff(retry: &watchfire_config::platform::Retry, attempt: u32, random: f64) -> Duration {
    let delay = retry.base.as_secs_f64() * retry.factor.powi(attempt as i32 - 1);
    Duration::from_secs_f64((delay * (1.0 + retry.jitter * random)).min(retry.cap.as_secs_f64()))
}

/// Names of span attributes by service, for tasks outside a request.
pub(crate) fn names_of(sim: &Sim, service: usize) -> Names {
    let world = sim.world();
    world.names(&world.platform.services[service])
}
