//! Probes worth having: where services that nobody probes answer, as their spans say it.

use super::lens::Lens;
use std::collections::{BTreeMap, BTreeSet};
use watchfire_model::reading::{ProposedProbe, ReadError, Span, TraceQuery};
use watchfire_store::Store;

/// Services looked at for one answer.
const MOST: usize = 40;
/// Traces opened for each of them.
const TRACES: usize = 3;
/// A larger trace says the same at a higher price.
const MOST_SPANS: usize = 500;
/// Operations by which services tell how they are.
const HEALTH_OPERATIONS: &str = r#"group by (service_name, span_name) (traces_span_metrics_calls_total{span_kind="SPAN_KIND_SERVER",
    span_name=~"(?i).*grpc[.]health[.].*|.*/(health|healthz|health/.*|livez?|liveness|readyz?|readiness|ping|heartbeat|alive)"})"#;

/// Proposals for the services of the last minutes that have no check. What stands in them comes from outside, so it is taken only where it
/// is plainly an address and a path: people paste it into a shell.
///
/// # Errors
/// When the store cannot be queried.
pub fn proposals(store: &Store, lens: &Lens<'_>, probed: &BTreeSet<&str>) -> Result<Vec<ProposedProbe>, ReadError> {
    let mut operations: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (labels, _) in lens.vector(HEALTH_OPERATIONS)? {
        operations.entry(labels.value("service_name").to_owned()).or_default().push(labels.value("span_name").to_owned());
    }
    let mut services: Vec<String> = store
        .services_seen()
        .into_iter()
        .map(|s| s.name.to_string())
        .filter(|name| !probed.contains(name.as_str()) && plain(name))
        .collect();
    // Who says how it is comes first.
    services.sort_by_key(|name| (!operations.contains_key(name), name.clone()));
    services.truncate(MOST);
    let mut found: Vec<ProposedProbe> = services
        .iter()
        .filter_map(|service| {
            let telling = operations.get(service).into_iter().flatten().map(|o| Some(o.clone()));
            telling.chain([None]).find_map(|operation| look(store, service, operation))
        })
        .collect();
    found.sort_by(|a, b| a.service.cmp(&b.service));
    Ok(found)
}

/// What a few traces through a service, or one of its operations, say.
fn look(store: &Store, service: &str, operation: Option<String>) -> Option<ProposedProbe> {
    let query =
        TraceQuery { service: Some(service.to_owned()), operation: operation.clone(), limit: Some(TRACES), ..TraceQuery::default() };
    let rows = store.traces(&query, None).traces;
    rows.iter().filter(|row| row.spans <= MOST_SPANS).find_map(|row| {
        let trace = store.trace(&row.trace_id)?;
        let own = |s: &&Span| s.service == service && s.kind == "server" && operation.as_deref().is_none_or(|o| s.name == o);
        trace.spans.iter().filter(own).find_map(|span| {
            let caller = trace.spans.iter().find(|s| s.span_id == span.parent_id);
            probe(span, caller)
        })
    })
}

/// A probe of what a span answered. Where it stands is said by itself, or by its caller.
fn probe(span: &Span, caller: Option<&Span>) -> Option<ProposedProbe> {
    let text = |span: &Span, keys: &[&str]| keys.iter().find_map(|key| span.attributes.get(*key)).map(ToString::to_string);
    let place = |span: &Span| {
        let host = text(span, &["server.address", "net.host.name", "net.peer.name"]).filter(|host| is_host(host))?;
        let port = text(span, &["server.port", "net.host.port", "net.peer.port"]).and_then(|p| p.parse::<u16>().ok());
        Some((if host.contains(':') { format!("[{host}]") } else { host }, port))
    };
    let (host, port) = place(span).or_else(|| caller.and_then(place))?;
    let with_port = port.map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
    let grpc =
        text(span, &["rpc.service"]).is_some_and(|s| s == "grpc.health.v1.Health") || span.name.starts_with("grpc.health.v1.Health/");
    let route = text(span, &["http.route", "url.path", "http.target"]).filter(|route| is_path(route) && tells_health(route));
    let (target, reason) = match (grpc, route) {
        (true, _) => (format!("grpc://{with_port}"), "it answers grpc.health.v1.Health".to_owned()),
        (false, Some(route)) => {
            let scheme = text(span, &["url.scheme", "http.scheme"]).filter(|s| s == "https").map_or("http", |_| "https");
            (format!("{scheme}://{with_port}{route}"), format!("it answers {route}"))
        }
        // A port that takes connections is less than health, and more than nothing.
        (false, None) => (format!("tcp://{host}:{}", port?), "it answers there; no health route was seen".to_owned()),
    };
    Some(ProposedProbe { service: span.service.clone(), target, reason })
}

fn tells_health(route: &str) -> bool {
    let words = ["health", "healthz", "live", "livez", "liveness", "ready", "readyz", "readiness", "ping", "heartbeat", "alive"];
    route.to_ascii_lowercase().split('/').any(|part| words.contains(&part))
}

/// A name that can stand before `=` in an argument.
fn plain(name: &str) -> bool {
    !name.is_empty() && name.len() <= 100 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

fn is_host(text: &str) -> bool {
    let address = text.parse::<std::net::Ipv6Addr>().is_ok();
    address || plain(text) && !text.starts_with('-')
}

/// A path without parameters, queries or anything that a shell would read.
fn is_path(text: &str) -> bool {
    text.starts_with('/') && text.len() <= 200 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use watchfire_model::reading::attribute::Scalar;

    fn span(name: &str, attributes: &[(&str, &str)]) -> Span {
        let attributes = attributes.iter().map(|(k, v)| ((*k).to_owned(), Scalar::Text((*v).to_owned()))).collect();
        Span { service: "cart".to_owned(), name: name.to_owned(), kind: "server".to_owned(), attributes, ..Span::default() }
    }

    fn target(name: &str, attributes: &[(&str, &str)]) -> Option<String> {
        probe(&span(name, attributes), None).map(|p| p.target)
    }

    #[test]
    fn a_span_says_where_its_service_can_be_probed() {
        let at = [("server.address", "cart.local"), ("server.port", "8081")];
        let with = |more: &[(&'static str, &'static str)]| [&at[..], more].concat();
        assert_eq!(target("GET /healthz", &with(&[("http.route", "/healthz")])).as_deref(), Some("http://cart.local:8081/healthz"));
        assert_eq!(
            target("GET", &with(&[("url.path", "/health/ready"), ("url.scheme", "https")])).as_deref(),
            Some("https://cart.local:8081/health/ready")
        );
        assert_eq!(target("x", &with(&[("rpc.service", "grpc.health.v1.Health")])).as_deref(), Some("grpc://cart.local:8081"));
        assert_eq!(target("GET /cart", &with(&[("http.route", "/cart")])).as_deref(), Some("tcp://cart.local:8081"));
        assert_eq!(target("GET /ping", &[("server.address", "::1"), ("http.route", "/ping")]).as_deref(), Some("http://[::1]/ping"));
        assert_eq!(target("GET /cart", &[("http.route", "/cart")]), None, "nobody says where");
        let caller = span("GET", &at);
        assert_eq!(probe(&span("GET /cart", &[]), Some(&caller)).map(|p| p.target).as_deref(), Some("tcp://cart.local:8081"));
    }

    #[test]
    fn nothing_that_a_shell_would_read_is_proposed() {
        for host in ["a;b", "$(x)", "a b", "-x", "", "a\u{1b}[0m", "a/b", "a'b"] {
            assert_eq!(target("GET /health", &[("server.address", host), ("http.route", "/health")]), None, "{host}");
        }
        for route in ["/health;rm", "/health?x=`y`", "/health{id}", "/health /", "/health$(x)"] {
            let proposed = target("GET", &[("server.address", "a"), ("server.port", "1"), ("http.route", route)]);
            assert_eq!(proposed.as_deref(), Some("tcp://a:1"), "{route}");
        }
    }
}
