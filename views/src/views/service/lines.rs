//! What stands on the page, line by line, and where each line leads.

use crate::filter::quoted;
use crate::look::{Role, breaker_look, severity_glyph, severity_state, state_glyph};
use crate::number;
use crate::view::Cx;
use crate::views::{ViewId, alerts, logs, queues};
use watchfire_model::reading::{AlertState, Edge, Instance, OperationRow, ServicePage};

/// One line of the page, and what Enter opens from it.
pub(super) struct Line<'a> {
    pub(super) what: What<'a>,
    pub(super) target: Option<Target>,
}

/// A place, and the filter that finds there what one came for.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) view: ViewId,
    pub(super) subject: String,
    pub(super) filter: String,
}

fn to(view: ViewId, subject: impl Into<String>) -> Option<Target> {
    Some(Target { view, subject: subject.into(), filter: String::new() })
}

fn traces(service: &str, filter: String) -> Option<Target> {
    Some(Target { view: ViewId::Traces, subject: service.to_owned(), filter })
}

/// What stands at the other end of an edge: only services have a page.
fn end_of(edge: &Edge, caller: bool) -> Option<Target> {
    let name = if caller { &edge.client } else { &edge.server };
    match edge.kind.as_str() {
        "database" | "cache" | "external" if !caller => to(ViewId::Map, name),
        "messaging" => to(ViewId::Queues, name),
        _ => to(ViewId::Service, name),
    }
}

pub(super) enum What<'a> {
    Blank,
    Heading(&'static str, &'static [(&'static str, u16)]),
    /// With the share of traces that are kept, where that is not all of them.
    Operation(&'a OperationRow, Option<f64>),
    Edge(&'a Edge, bool),
    /// With when it was heard of last, where it is silent.
    Instance(&'a Instance, Option<f64>, Option<String>),
    /// How often something was so, and what.
    Count(u64, Role, String),
    Text {
        glyph: &'static str,
        tone: Role,
        name: String,
        word: String,
        detail: String,
    },
}

pub(super) const FIGURES: &[(&str, u16)] = &[("RATE", 8), ("ERR%", 7), ("P50", 8), ("P95", 8), ("P99", 8)];
/// Their places.
pub(super) const RATE: usize = 0;
pub(super) const ERRORS: usize = 1;
pub(super) const P50: usize = 2;
pub(super) const P95: usize = 3;
pub(super) const P99: usize = 4;
pub(super) const EDGE_FIGURES: &[(&str, u16)] = &[("RATE", 8), ("ERR%", 7), ("", 8), ("P95", 8), ("", 8)];

pub(super) fn lines<'a>(page: &'a ServicePage, cx: &Cx<'_>) -> Vec<Line<'a>> {
    let (now, zone) = (cx.now, cx.zone);
    let name = page.service.name.as_str();
    let mut lines = Vec::new();
    let mut section = |title, figures, rows: Vec<Line<'a>>| {
        if !rows.is_empty() {
            lines.push(Line { what: What::Blank, target: None });
            lines.push(Line { what: What::Heading(title, figures), target: None });
            lines.extend(rows);
        }
    };
    let firing = page.alerts.iter().filter(|a| a.state != AlertState::Resolved);
    let alerts = firing.map(|a| Line {
        what: What::Text {
            glyph: severity_glyph(a.severity),
            tone: severity_state(a.severity).into(),
            name: a.name.clone(),
            word: alerts::state_word(a).to_owned(),
            detail: match &a.cause {
                Some(cause) => format!("{} ← {}  {}", number::since(a.state_since(), now), cause.service, a.annotations.value("summary")),
                None => format!("{} {}", number::since(a.state_since(), now), a.annotations.value("summary")),
            },
        },
        target: to(ViewId::Alerts, if a.fingerprint.is_empty() { a.name.clone() } else { a.fingerprint.clone() }),
    });
    section("ALERTS", &[], alerts.collect());
    let breakers = page.breakers.iter().map(|b| {
        let (glyph, state) = breaker_look(&b.state);
        let inferred = if b.inferred { " inferred" } else { "" };
        Line {
            what: What::Text {
                glyph,
                tone: state.into(),
                name: b.breaker.clone(),
                word: b.state.clone(),
                detail: format!(
                    "{} {}{inferred}",
                    number::since(b.since, now),
                    number::estimate(number::percent_sign(b.failure_ratio), b.sample_count, b.sampling_ratio)
                ),
            },
            target: to(ViewId::Breakers, format!("{} → {}", b.service, b.breaker)),
        }
    });
    section("BREAKERS", &[], breakers.collect());
    let errors = page.top_errors.iter().map(|(message, count)| Line {
        what: What::Count(*count, Role::Unhealthy, message.clone()),
        target: traces(name, "error".to_owned()),
    });
    section("ERRORS, 15 MIN", &[], errors.collect());
    let refusals = page.refusals.iter().map(|r| Line {
        what: What::Count(r.count, Role::Degraded, format!("{}  {}", r.answer, r.operation)),
        target: traces(name, format!("operation={} {}={}", quoted(&r.operation), r.attribute, quoted(&r.value))),
    });
    section("REFUSED, AMONG THE NEWEST CALLS", &[], refusals.collect());
    let operations = page.operations.iter().map(|o| Line {
        what: What::Operation(o, page.service.sampling_ratio),
        target: traces(name, format!("operation={}", quoted(&o.name))),
    });
    section("OPERATIONS", FIGURES, operations.collect());
    // One that is all there is says nothing beyond the head.
    let several = page.instances.len() > 1;
    let instances = page.instances.iter().filter(|_| several).map(|i| Line {
        what: What::Instance(i, page.service.sampling_ratio, i.rate.is_none().then(|| number::since(i.last_seen, now))),
        target: traces(name, if i.name.is_empty() { String::new() } else { format!("{}={}", i.attribute, quoted(&i.name)) }),
    });
    section("INSTANCES", EDGE_FIGURES, instances.collect());
    let edge = |e: &'a Edge, caller: bool| Line { what: What::Edge(e, caller), target: end_of(e, caller) };
    section("CALLED BY", EDGE_FIGURES, page.callers.iter().map(|e| edge(e, true)).collect());
    section("CALLS", EDGE_FIGURES, page.callees.iter().map(|e| edge(e, false)).collect());
    let queues = page.queues.iter().map(|q| Line {
        what: What::Text {
            glyph: state_glyph(q.state),
            tone: q.state.into(),
            name: q.queue.clone(),
            word: format!("{} {}", number::counted(q.depth), queues::trend(q)),
            detail: format!("in {} out {} drains {}", queues::inflow(q), number::rate(q.out_rate), queues::drains(q)),
        },
        target: to(ViewId::Queues, &q.queue),
    });
    section("QUEUES", &[], queues.collect());
    let checks = page.checks.iter().map(|c| Line {
        what: What::Text {
            glyph: state_glyph(c.state),
            tone: c.state.into(),
            name: c.check.clone(),
            word: c.state.word().to_owned(),
            detail: format!("{} {}", number::latency_known(c.latency_seconds), c.detail),
        },
        target: to(ViewId::Health, format!("{} {}", c.service, c.check)),
    });
    section("CHECKS", &[], checks.collect());
    let logs = page.logs.iter().rev().take(20).map(|l| Line {
        what: What::Text {
            glyph: " ",
            tone: logs::tone(&l.severity),
            name: zone.clock_millis(l.time),
            word: l.severity.clone(),
            detail: l.body.clone(),
        },
        target: match &l.trace_id {
            Some(id) => to(ViewId::Traces, format!("id:{id}")),
            None => to(ViewId::Logs, &l.service),
        },
    });
    section("LOGS, NEWEST FIRST", &[], logs.collect());
    // The page begins right below its head.
    if !lines.is_empty() {
        lines.remove(0);
    }
    lines
}
