//! Sagas: steps in order, each under its own time-out; when one fails, those before it are undone in reverse order.

use crate::executor::Answer;
use crate::exposition::DURATION_BUCKETS;
use crate::outcome::Outcome;
use crate::request::Place;
use crate::trace::{Finished, Trace, text};
use crate::traffic::FIRST_WITHIN;
use crate::world::Sim;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use std::rc::Rc;
use std::time::Duration;
use watchfire_config::platform::{Saga, SagaStep};

impl Sim {
    /// Starts sagas of one kind at their rate.
    pub(crate) async fn run_sagas(self, index: usize) {
        let platform = self.platform();
        let rate = platform.sagas[index].rate;
        if rate <= 0.0 {
            return;
        }
        let mut first = true;
        loop {
            let gap = self.world().chance.gap(rate);
            self.sleep(if first { gap.min(FIRST_WITHIN) } else { gap }).await;
            let sim = self.clone();
            self.executor.spawn(async move { sim.saga(index, first).await });
            first = false;
        }
    }

    async fn saga(self, index: usize, thorough: bool) {
        let platform = self.platform();
        let saga = &platform.sagas[index];
        let Some(service) = self.world().service_index(&saga.service) else { return };
        if self.influence(&saga.service, "").down {
            return;
        }
        let start = self.now();
        let (trace, span) = {
            let mut world = self.world();
            let trace = if thorough { Trace::thorough(&mut world.chance, start) } else { world.begin_trace(service, start) };
            (trace, world.span_id())
        };
        let place = Place { trace, span, service };
        let mut done: Vec<&SagaStep> = Vec::new();
        let mut failed = None;
        for step in &saga.steps {
            let outcome = self.saga_step(saga, step, &step.op, &place).await;
            if outcome.failed() {
                failed = Some((step, outcome));
                break;
            }
            done.push(step);
        }
        let (outcome, error) = match failed {
            None => ("completed", None),
            Some((step, outcome)) => {
                let mut undone = true;
                for step in done.iter().rev().filter(|s| !s.compensation.is_empty()) {
                    undone &= !self.saga_step(saga, step, &step.compensation, &place).await.failed();
                }
                let message = format!("step {} failed, {}", step.name, if undone { "compensated" } else { "compensation failed" });
                let kind = if outcome == Outcome::Timeout { "SagaTimeout" } else { "SagaStepFailed" };
                (if undone { "compensated" } else { "failed" }, Some((kind.to_owned(), message)))
            }
        };
        let end = self.now();
        let mut world = self.world();
        let labels = [("service", saga.service.as_str()), ("saga", saga.name.as_str()), ("outcome", outcome)];
        world.services[service].exposition.count("saga_total", "Sagas by outcome.", &labels, 1.0);
        if let Some((_, message)) = &error {
            world.log(service, 17, format!("saga {}: {message}", saga.name), Some((&place.trace, span)), Vec::new(), end);
        }
        world.finish(
            service,
            Finished {
                trace: &place.trace,
                span_id: span,
                parent: None,
                name: format!("saga {}", saga.name),
                kind: SpanKind::Internal,
                start,
                end,
                attributes: vec![text("saga.name", saga.name.clone()), text("saga.outcome", outcome)],
                error,
                links: Vec::new(),
            },
        );
    }

    /// Calls one operation for a saga, within the time-out of the step.
    async fn saga_step(&self, saga: &Saga, step: &SagaStep, op: &str, place: &Place) -> Outcome {
        let platform = self.platform();
        let start = self.now();
        let Some(operation) = platform.operation(&step.to, op) else { return Outcome::Refused };
        let (target, client) = {
            let mut world = self.world();
            let Some(target) = world.service_index(&step.to) else { return Outcome::Refused };
            (target, world.span_id())
        };
        let answer = Answer::new(&self.executor);
        let (sim, operation, trace, giver) = (self.clone(), Rc::new(operation.clone()), Rc::clone(&place.trace), answer.clone());
        let protocol = operation.protocol;
        self.executor.spawn(async move { giver.give(sim.serve(target, operation, trace, Some(client)).await) });
        let outcome = answer.within(step.timeout).await.unwrap_or(Outcome::Timeout);
        let end = self.now();
        let mut world = self.world();
        let labels = [("service", saga.service.as_str()), ("saga", saga.name.as_str()), ("step", step.name.as_str())];
        let exposition = &mut world.services[place.service].exposition;
        exposition.observe(
            "saga_step_duration_seconds",
            "Duration of saga steps.",
            &labels,
            &DURATION_BUCKETS,
            Some((end - start).as_secs_f64()),
        );
        if outcome == Outcome::Timeout {
            exposition.count("saga_step_timeouts_total", "Saga steps beyond their timeout.", &labels, 1.0);
        }
        let names = world.names(&platform.services[place.service]);
        let status = match &outcome {
            Outcome::Answer(status) => Some(*status),
            _ => None,
        };
        let (name, mut attributes) = world.call_attributes(names, op, protocol, SpanKind::Client, status);
        attributes.push(text("saga.step", step.name.clone()));
        attributes.extend(names.peer(&step.to, 80));
        let error = outcome.error(&step.to);
        world.finish(
            place.service,
            Finished {
                trace: &place.trace,
                span_id: client,
                parent: Some(place.span),
                name,
                kind: SpanKind::Client,
                start,
                end: end.max(start + Duration::from_nanos(1)),
                attributes,
                error,
                links: Vec::new(),
            },
        );
        outcome
    }
}
