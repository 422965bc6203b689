//! Simulated time only: no sockets, no waiting.

use crate::{BreakerState, Export, Payload, Simulation};
use std::time::Duration;
use watchfire_config::platform::{Effect, Platform, Scenario};
use watchfire_config::{load_platform, platform_names};
use watchfire_model::Timestamp;

const EPOCH: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn platform(name: &str) -> Platform {
    match load_platform(name) {
        Ok(platform) => platform,
        Err(errors) => panic!("{errors:?}"),
    }
}

fn simulation(platform: &Platform, scenario: Option<&Scenario>) -> Simulation {
    Simulation::new(platform, 1, scenario, Some(1.0), EPOCH, 1.0)
}

fn story(lasts: u64, effects: Vec<Effect>) -> Scenario {
    Scenario {
        name: "test".into(),
        title: "test".into(),
        trips: Vec::new(),
        misses: Vec::new(),
        look_for: String::new(),
        lasts: Duration::from_secs(lasts),
        effects,
    }
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn service(platform: &Platform, name: &str) -> usize {
    platform.services.iter().position(|s| s.name == name).unwrap()
}

/// Value of a series in an exposition, by the text before the value.
fn value(text: &str, series: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
}

#[test]
fn a_queue_fills_while_its_consumers_are_stopped_and_drains_afterwards() {
    let platform = platform("clientnest");
    let stop = Effect {
        at: seconds(5),
        until: Some(seconds(65)),
        target: "analytics_processing".into(),
        consumers_stopped: true,
        ..Effect::default()
    };
    let story = story(120, vec![stop]);
    let mut simulation = simulation(&platform, Some(&story));
    simulation.run_until(seconds(5));
    assert!(simulation.queue_depth("analytics_processing") < Some(50));
    simulation.run_until(seconds(65));
    let full = simulation.queue_depth("analytics_processing").unwrap();
    assert!((900..2_200).contains(&full), "arrivals of a minute wait: {full}");
    let text = simulation.metrics_text(service(&platform, "queue-service")).unwrap();
    assert_eq!(value(&text, "celery_queue_length{queue_name=\"analytics_processing\",simulated=\"true\"}"), Some(full as f64));
    simulation.run_until(seconds(120));
    assert!(simulation.queue_depth("analytics_processing") < Some(50), "{:?}", simulation.queue_depth("analytics_processing"));
}

#[test]
fn a_breaker_goes_closed_open_half_open_and_closed_because_calls_time_out() {
    let platform = platform("clientnest");
    let slow = Effect {
        at: seconds(5),
        until: Some(seconds(50)),
        target: "facebook-api".into(),
        latency_add: Some(seconds(20)),
        ..Effect::default()
    };
    let story = story(120, vec![slow]);
    let mut simulation = simulation(&platform, Some(&story));
    simulation.run_until(seconds(16));
    assert_eq!(simulation.breaker("social-service", "facebook-api").map(|(state, _)| state), Some(BreakerState::Open));
    simulation.run_until(seconds(90));
    let (state, transitions) = simulation.breaker("social-service", "facebook-api").unwrap();
    assert_eq!(state, BreakerState::Closed);
    let states: Vec<_> = transitions.iter().map(|(_, state)| state.word()).collect();
    assert_eq!(states, ["open", "half-open", "closed"], "{transitions:?}");
    let open_for = transitions[1].0 - transitions[0].0;
    assert!((seconds(60)..seconds(63)).contains(&open_for), "{open_for:?}");
}

#[test]
fn one_seed_gives_one_run_and_another_seed_another() {
    let platform = platform("clientnest");
    let scenario = platform.scenario("database_outage");
    let run = |seed| {
        let mut simulation = Simulation::new(&platform, seed, scenario, None, EPOCH, 1.0);
        simulation.run_until(seconds(20));
        let spans: Vec<_> = (0..platform.services.len())
            .flat_map(|s| simulation.take_exports(s))
            .filter_map(|export| match export.payload {
                Payload::Traces(request) => Some(format!("{request:?}")),
                _ => None,
            })
            .collect();
        (spans, simulation.metrics_text(0))
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

#[test]
fn an_outage_of_a_database_fails_its_service_and_shows_in_its_health() {
    let platform = platform("clientnest");
    let mut simulation = simulation(&platform, platform.scenario("database_outage"));
    let content = service(&platform, "content-service");
    simulation.run_until(seconds(4));
    assert!(simulation.health(content, "/health").unwrap().body.contains(r#""status":"healthy""#));
    simulation.run_until(seconds(20));
    let health = simulation.health(content, "/health").unwrap();
    assert_eq!(health.status, 200, "the document answers 200 when degraded");
    assert!(health.body.contains(r#""status":"degraded""#) && health.body.contains(r#""database":"unhealthy""#), "{}", health.body);
    let text = simulation.metrics_text(content).unwrap();
    assert!(text.contains("status=\"500\""), "its requests fail");
    let others = simulation.health(service(&platform, "user-service"), "/health").unwrap();
    assert!(others.body.contains(r#""status":"healthy""#), "{}", others.body);
}

#[test]
fn a_service_that_is_down_answers_nothing_and_callers_try_again_with_backoff() {
    let platform = platform("clientnest");
    let down = Effect { at: seconds(2), target: "notification-service".into(), down: true, ..Effect::default() };
    let story = story(60, vec![down]);
    let mut simulation = simulation(&platform, Some(&story));
    simulation.run_until(seconds(20));
    let notification = service(&platform, "notification-service");
    assert_eq!(simulation.metrics_text(notification), None);
    assert_eq!(simulation.health(notification, "/health"), None);
    let gateway = service(&platform, "api-gateway");
    let spans = spans_of(simulation.take_exports(gateway));
    let tries: Vec<_> =
        spans.iter().filter(|s| s.name == "GET /api/notifications/user/{id}" && s.kind == 3 && s.status.is_some()).collect();
    let first_trace = tries.iter().filter(|s| s.trace_id == tries[0].trace_id).collect::<Vec<_>>();
    assert_eq!(first_trace.len(), 3, "three tries");
    let gap = |i: usize| Duration::from_nanos(first_trace[i + 1].start_time_unix_nano - first_trace[i].end_time_unix_nano);
    assert!((gap(0).as_secs_f64() - 1.0).abs() < 0.01 && (gap(1).as_secs_f64() - 2.0).abs() < 0.01, "{:?} {:?}", gap(0), gap(1));
}

fn spans_of(exports: Vec<Export>) -> Vec<opentelemetry_proto::tonic::trace::v1::Span> {
    exports
        .into_iter()
        .filter_map(|export| match export.payload {
            Payload::Traces(request) => Some(request),
            _ => None,
        })
        .flat_map(|request| request.resource_spans)
        .flat_map(|resource| resource.scope_spans)
        .flat_map(|scope| scope.spans)
        .collect()
}

#[test]
fn spans_of_a_trace_fit_into_each_other_and_consumers_link_to_producers() {
    let platform = platform("clientnest");
    let mut simulation = simulation(&platform, None);
    simulation.run_until(seconds(20));
    let spans: Vec<_> = (0..platform.services.len()).flat_map(|s| spans_of(simulation.take_exports(s))).collect();
    let by_id: std::collections::HashMap<_, _> = spans.iter().map(|s| (s.span_id.clone(), s)).collect();
    assert_eq!(by_id.len(), spans.len(), "ids are unique");
    let mut children = 0;
    for span in &spans {
        assert!(span.end_time_unix_nano >= span.start_time_unix_nano);
        if let Some(parent) = by_id.get(&span.parent_span_id) {
            children += 1;
            assert_eq!(parent.trace_id, span.trace_id);
            assert!(
                parent.start_time_unix_nano <= span.start_time_unix_nano && span.end_time_unix_nano <= parent.end_time_unix_nano + 100_000
            );
        }
    }
    assert!(children > 1_000, "{children}");
    let linked =
        spans.iter().filter(|s| s.kind == 5).flat_map(|s| &s.links).filter(|l| by_id.get(&l.span_id).is_some_and(|p| p.kind == 4)).count();
    assert!(linked > 50, "{linked}");
}

/// What a client or producer span says it talks to.
fn peer(span: &opentelemetry_proto::tonic::trace::v1::Span) -> String {
    let value = |key: &str| {
        span.attributes.iter().find(|a| a.key == key).and_then(|a| match a.value.as_ref()?.value.as_ref()? {
            opentelemetry_proto::tonic::common::v1::any_value::Value::StringValue(text) => Some(text.clone()),
            _ => None,
        })
    };
    let keys = ["service.peer.name", "peer.service", "messaging.destination.name", "server.address", "net.peer.name"];
    keys.into_iter().find_map(value).unwrap_or_default()
}

#[test]
fn every_platform_shows_every_declared_service_and_edge_within_twenty_seconds() {
    for name in platform_names() {
        let platform = platform(name);
        // At the platform's own sampling: what is rare or sampled has to show itself too.
        let mut simulation = Simulation::new(&platform, 1, None, None, EPOCH, 1.0);
        simulation.run_until(seconds(20));
        let mut seen = std::collections::BTreeSet::new();
        for (index, service) in platform.services.iter().enumerate() {
            assert!(simulation.metrics_text(index).is_some_and(|text| !text.is_empty()), "{name}/{} has no metrics", service.name);
            assert!(
                simulation.health(index, &platform.probes(service)[0].path).is_some_and(|h| h.status == 200),
                "{name}/{}",
                service.name
            );
            let spans = spans_of(simulation.take_exports(index));
            assert!(!spans.is_empty(), "{name}/{} sends no spans", service.name);
            for span in spans.iter().filter(|s| s.kind == 3 || s.kind == 4) {
                seen.insert((service.name.clone(), peer(span)));
            }
        }
        for edge in platform.declared_edges().iter().filter(|e| platform.queue(&e.client).is_none()) {
            let found = seen.contains(&(edge.client.clone(), edge.server.clone()));
            assert!(found, "{name}: {} -> {} was not seen", edge.client, edge.server);
        }
    }
}

#[test]
fn every_breaker_of_every_platform_can_be_driven_through_a_whole_cycle() {
    for name in platform_names() {
        let platform = platform(name);
        for breaker in &platform.breakers {
            let end = Some(seconds(15));
            let failing = Effect { at: seconds(2), until: end, target: breaker.protects.clone(), down: true, ..Effect::default() };
            let story = story(300, vec![failing]);
            // Without spans: only outcomes matter here.
            let mut simulation = Simulation::new(&platform, 1, Some(&story), Some(0.0), EPOCH, 1.0);
            // It is the first call after the reset that tries: where calls are rare, that takes a while.
            let mut states = (28..240).step_by(10).map(|after| {
                simulation.run_until(breaker.reset + seconds(after));
                let (_, transitions) = simulation.breaker(&breaker.service, &breaker.name).unwrap();
                transitions.iter().map(|(_, s)| s.word()).collect::<Vec<_>>()
            });
            let whole = states.find(|states| states.last() == Some(&"closed"));
            let states = whole.unwrap_or_else(|| panic!("{name}: {} {} never closed again", breaker.service, breaker.name));
            assert_eq!(states.first(), Some(&"open"), "{name}: {} {} {states:?}", breaker.service, breaker.name);
            assert!(states.contains(&"half-open"), "{name}: {} {} {states:?}", breaker.service, breaker.name);
        }
    }
}
