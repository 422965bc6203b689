use super::*;
use proptest::prelude::*;
use watchfire_model::{Dependency, Labels, Unhealthy};

#[derive(Default)]
struct Fixed {
    edges: Vec<(String, String, Option<f64>)>,
    unhealthy: Vec<(String, String)>,
    /// What bodies say of what their services depend on.
    said: Vec<Unhealthy>,
    /// Edges that messages take.
    sent: Vec<(String, String)>,
    /// Queues and who works them off.
    consumers: Vec<(String, String)>,
}

impl Topology for Fixed {
    fn dependencies(&self, service: &str) -> Vec<Dependency> {
        self.edges
            .iter()
            .filter(|(client, _, _)| client == service)
            .map(|(client, server, error_ratio)| Dependency {
                relation: if self.sent.contains(&(client.clone(), server.clone())) { Relation::Sends } else { Relation::Calls },
                client: client.clone(),
                server: server.clone(),
                error_ratio: *error_ratio,
            })
            .collect()
    }

    fn consumers(&self, queue: &str) -> Vec<String> {
        self.consumers.iter().filter(|(name, _)| name == queue).map(|(_, consumer)| consumer.clone()).collect()
    }

    fn unhealthy(&self) -> Vec<Unhealthy> {
        self.unhealthy.iter().map(|(name, reason)| Unhealthy::checked(name, reason.clone())).chain(self.said.clone()).collect()
    }

    fn meant(&self, _: &str, name: &str) -> Option<String> {
        name.strip_suffix("-database").map(str::to_owned)
    }
}

fn graph(edges: &[(&str, &str)]) -> Fixed {
    Fixed { edges: edges.iter().map(|(a, b)| (a.to_string(), b.to_string(), None)).collect(), ..Fixed::default() }
}

fn alert(service: &str, active: i64) -> Candidate {
    Candidate {
        name: "Errors".to_owned(),
        service: Some(service.to_owned()),
        severity: Severity::Critical,
        active_at: Timestamp(active * 1000),
        firing: true,
        independent: false,
        fired_at: Timestamp(active * 1000),
        place: Vec::new(),
        beside: None,
    }
}

fn roots(alerts: &[Candidate], topology: &Fixed) -> Vec<Option<Root>> {
    explain(alerts, topology, &CauseSettings::default(), &|_| true).into_iter().map(|e| e.map(|e| e.root)).collect()
}

#[test]
fn causes_are_transitive_and_keep_time_order() {
    let topology = graph(&[("web", "api"), ("api", "db"), ("other", "cache")]);
    let alerts = [alert("web", 10), alert("db", 0), alert("other", 5)];
    let found = explain(&alerts, &topology, &CauseSettings::default(), &|_| true);
    assert_eq!(found[0], Some(Explanation { root: Root::Alert(1), hops: 2 }));
    assert_eq!((&found[1], &found[2]), (&None, &None));
    assert_eq!(describe(found[0].as_ref().expect("explained"), &alerts).reason, "db, 2 calls away, fires since 00:00:00");
    let late = [alert("web", 0), alert("db", 61)];
    assert_eq!(roots(&late, &topology), [None, None], "what starts later is no cause");
    let chain = [alert("web", 0), alert("api", 50), alert("db", 100)];
    assert_eq!(roots(&chain, &topology)[0], Some(Root::Alert(2)), "tolerance holds for each step of a chain");
}

#[test]
fn in_a_ring_of_calls_the_earliest_is_the_cause() {
    let topology = graph(&[("a", "b"), ("b", "c"), ("c", "a")]);
    assert_eq!(roots(&[alert("a", 5), alert("b", 3), alert("c", 9)], &topology), [Some(Root::Alert(1)), None, Some(Root::Alert(1))]);
    let same_time = roots(&[alert("a", 5), alert("b", 5), alert("c", 5)], &topology);
    assert_eq!(same_time.iter().filter(|r| r.is_none()).count(), 1);
}

#[test]
fn two_alerts_on_one_service_are_one_fault_under_the_more_severe() {
    let topology = graph(&[]);
    let mut warning = alert("api", 0);
    warning.severity = Severity::Warning;
    assert_eq!(roots(&[warning.clone(), alert("api", 30)], &topology), [Some(Root::Alert(1)), None]);
    assert_eq!(roots(&[warning, alert("api", 4000)], &topology), [None, None], "hours apart they are two");
    let disk = |instance: &str, mount: &str| {
        let labels = Labels::from_pairs([("alertname", "DiskFull"), ("job", "node"), ("instance", instance), ("mountpoint", mount)]);
        Candidate::of(&labels, Severity::Critical, Timestamp(0), true)
    };
    assert_eq!(roots(&[disk("a", "/"), disk("b", "/")], &topology), [None, None], "two machines are two faults");
    assert_eq!(roots(&[disk("a", "/"), disk("a", "/var")], &topology), [None, None]);
    let errors = |operation: &str| {
        let labels = Labels::from_pairs([("alertname", "Errors"), ("service", "api"), ("span_name", operation)]);
        Candidate::of(&labels, Severity::Critical, Timestamp(0), true)
    };
    assert_eq!(roots(&[errors("GET /a"), errors("GET /b")], &topology), [None, Some(Root::Alert(0))], "two operations are one");
}

#[test]
fn what_is_wrong_in_one_deployment_explains_nothing_in_another() {
    let topology = graph(&[("web", "db")]);
    let at = |service: &str, label: &str, value: &str| {
        let labels = Labels::from_pairs([("alertname", "Errors"), ("service", service), (label, value)]);
        Candidate::of(&labels, Severity::Critical, Timestamp(0), true)
    };
    for label in ["cluster", "env", "environment", "deployment_environment_name", "stage"] {
        let staging = at("db", label, "staging");
        assert_eq!(roots(&[at("web", label, "prod"), staging.clone()], &topology), [None, None], "{label}");
        assert_eq!(roots(&[at("web", label, "staging"), staging.clone()], &topology), [Some(Root::Alert(1)), None], "{label}");
        assert_eq!(roots(&[alert("web", 0), staging], &topology), [Some(Root::Alert(1)), None], "{label}: it does not say where");
        assert_eq!(
            roots(&[at("api", label, "prod"), at("api", label, "staging")], &topology),
            [None, None],
            "{label}: one service in both"
        );
    }
    for label in ["namespace", "region", "zone"] {
        assert_eq!(
            roots(&[at("web", label, "a"), at("db", label, "b")], &topology),
            [Some(Root::Alert(1)), None],
            "{label}: calls go across"
        );
        assert_eq!(roots(&[at("api", label, "a"), at("api", label, "b")], &topology), [None, None], "{label}: one name, two services");
    }
}

#[test]
fn quiet_and_security_alerts_explain_nothing() {
    let topology = graph(&[("web", "db")]);
    for severity in [Severity::Info, Severity::Low, Severity::Security] {
        let mut cause = alert("db", 0);
        cause.severity = severity;
        assert_eq!(roots(&[alert("web", 10), cause], &topology), [None, None], "{severity}");
    }
    let attacked = Candidate::of(&Labels::from_pairs([("service", "web")]), Severity::Security, Timestamp(10_000), true);
    assert_eq!(roots(&[attacked, alert("db", 0)], &topology), [None, None]);
}

#[test]
fn what_is_independent_has_no_cause_and_may_be_one() {
    let mut topology = graph(&[("web", "db")]);
    topology.unhealthy = vec![("db".to_owned(), "503".to_owned())];
    topology.edges[0].2 = Some(0.6);
    let flooded = Candidate { independent: true, ..alert("web", 10) };
    assert_eq!(roots(&[flooded.clone(), alert("db", 0)], &topology), [None, None]);
    assert_eq!(roots(&[flooded], &topology), [None]);
    let topology = graph(&[("shop", "web")]);
    let flooded = Candidate { independent: true, ..alert("web", 0) };
    assert_eq!(roots(&[flooded, alert("shop", 10)], &topology), [None, Some(Root::Alert(0))]);
}

#[test]
fn probes_pending_alerts_and_failing_edges_are_causes_of_last_resort() {
    let mut topology = graph(&[("web", "api"), ("api", "db")]);
    topology.edges[0].2 = Some(0.4);
    topology.edges[1].2 = Some(0.6);
    assert_eq!(roots(&[alert("web", 10)], &topology), [Some(Root::Edge { service: "db".to_owned(), error_ratio: 0.6 })]);
    let none = explain(&[alert("web", 10)], &topology, &CauseSettings::default(), &|_| false);
    assert_eq!(none, [None], "nothing will ever alert on a service without telemetry");
    let mut pending = alert("api", 5);
    pending.firing = false;
    assert_eq!(roots(&[alert("web", 10), pending.clone()], &topology)[0], Some(Root::Alert(1)));
    topology.unhealthy = vec![("db".to_owned(), "503".to_owned())];
    let probe = Root::Probe { service: "db".to_owned(), reason: "503".to_owned(), expected: Expected::Alert };
    assert_eq!(roots(&[alert("web", 10), pending], &topology)[0], Some(probe.clone()));
    assert_eq!(roots(&[alert("web", 10), alert("api", 0)], &topology), [Some(probe.clone()), Some(probe)]);
    assert_eq!(roots(&[alert("web", 10), alert("db", 0)], &topology), [Some(Root::Alert(1)), None], "its alert speaks for the probe");
}

#[test]
fn a_probe_speaks_for_calls_that_fail_elsewhere_no_more_than_an_alert_does() {
    let mut topology = Fixed::default();
    topology.unhealthy.push(("cache".to_owned(), "connection refused".to_owned()));
    topology.edges.push(("api".to_owned(), "cache".to_owned(), Some(0.0)));
    topology.edges.push(("api".to_owned(), "db".to_owned(), Some(0.0)));
    let probe = Some(Root::Probe { service: "cache".to_owned(), reason: "connection refused".to_owned(), expected: Expected::Alert });
    assert_eq!(roots(&[alert("api", 0)], &topology), [probe]);
    topology.edges[1].2 = Some(0.9);
    assert_eq!(roots(&[alert("api", 0)], &topology), [Some(Root::Edge { service: "db".to_owned(), error_ratio: 0.9 })]);
}

#[test]
fn what_always_fails_a_little_does_not_explain_that_everything_fails() {
    let mut topology = graph(&[]);
    let mut with = |stock: f64, database: Option<f64>| {
        let edge = |to: &str, ratio| ("shop".to_owned(), to.to_owned(), ratio);
        topology.edges = vec![edge("pricing", Some(0.05)), edge("db", database), edge("stock", Some(stock))];
        roots(&[alert("shop", 90), alert("pricing", 0), alert("stock", 80)], &topology)[0].clone()
    };
    assert_eq!(with(0.0, Some(0.0)), Some(Root::Alert(1)), "the earlier one, where nothing speaks against it");
    let database = Root::Edge { service: "db".to_owned(), error_ratio: 0.4 };
    assert_eq!(with(0.0, Some(0.4)), Some(database), "that pricing fires does not hide it");
    assert_eq!(with(0.4, Some(0.0)), Some(Root::Alert(2)));
    assert_eq!(with(0.0, Some(0.09)), Some(Root::Alert(1)), "a few are no evidence");
    assert_eq!(with(0.0, None), Some(Root::Alert(1)));
}

#[test]
fn of_two_that_call_each_other_neither_is_suspected_by_its_failing_calls() {
    let mut topology = graph(&[("gateway", "content"), ("content", "social"), ("social", "content"), ("gateway", "social")]);
    for (edge, ratio) in topology.edges.iter_mut().zip([0.33, 0.13, 0.33, 0.13]) {
        edge.2 = Some(ratio);
    }
    let alerts = [alert("content", 0), alert("social", 5), alert("gateway", 10)];
    assert_eq!(roots(&alerts, &topology), [None, Some(Root::Alert(0)), Some(Root::Alert(0))]);
    assert_eq!(roots(&alerts[..1], &topology), [None], "before the others alert, too");
    // One that alerts later than the tolerance is no cause by its alert, and not by its edge either.
    let mut topology = graph(&[("web", "api")]);
    topology.edges[0].2 = Some(0.5);
    assert_eq!(roots(&[alert("web", 0), alert("api", 100)], &topology), [None, None]);
}

#[test]
fn what_an_alert_on_a_breaker_says_of_its_callee_is_looked_for_there_only() {
    let mut topology = graph(&[("web", "users"), ("web", "orders"), ("orders", "db")]);
    topology.edges[0].2 = Some(0.9);
    topology.edges[1].2 = Some(0.2);
    let breaker = |name: &str| {
        let labels = Labels::from_pairs([("alertname", "BreakerOpen"), ("service", "web"), ("breaker", name)]);
        Candidate::of(&labels, Severity::Warning, Timestamp(10_000), true)
    };
    let edge = |service: &str, error_ratio| Some(Root::Edge { service: service.to_owned(), error_ratio });
    assert_eq!(roots(&[breaker("orders"), breaker("users")], &topology), [edge("orders", 0.2), edge("users", 0.9)]);
    assert_eq!(roots(&[breaker("orders"), alert("users", 0)], &topology), [edge("orders", 0.2), None]);
    assert_eq!(roots(&[breaker("orders"), alert("db", 0)], &topology)[0], Some(Root::Alert(1)));
    assert_eq!(roots(&[breaker("payments-v2"), alert("users", 0)], &topology)[0], Some(Root::Alert(1)), "a name of its own limits nothing");
}

fn breaker(service: &str, name: &str, active: i64) -> Candidate {
    let labels = Labels::from_pairs([("alertname", "BreakerOpen"), ("service", service), ("breaker", name)]);
    Candidate::of(&labels, Severity::Warning, Timestamp(active * 1000), true)
}

#[test]
fn a_breaker_that_opens_later_towards_another_service_is_a_fault_of_its_own() {
    let mut topology = graph(&[("web", "facebook"), ("web", "db")]);
    topology.edges[0].2 = Some(0.4);
    // Nothing will ever alert on what is outside.
    let roots = |alerts: &[Candidate]| -> Vec<Option<Root>> {
        let own = |service: &str| matches!(service, "web" | "db");
        explain(alerts, &topology, &CauseSettings::default(), &own).into_iter().map(|e| e.map(|e| e.root)).collect()
    };
    assert_eq!(roots(&[alert("web", 0), breaker("web", "facebook", 30)])[1], Some(Root::Alert(0)), "what fails together is one fault");
    assert_eq!(roots(&[alert("web", 0), breaker("web", "facebook", 120)]), [None, None], "the first alert has been there without it");
    assert_eq!(roots(&[alert("web", 0), breaker("web", "of-its-own", 120)]), [None, None], "whatever its name");
    let found = roots(&[alert("web", 0), breaker("web", "facebook", 30), alert("db", 0)]);
    assert_eq!(found, [Some(Root::Alert(2)), None, None], "the first has another cause, which says nothing of facebook");
    let mut late = alert("web", 200);
    late.severity = Severity::Warning;
    assert_eq!(roots(&[late, breaker("web", "facebook", 0)]), [Some(Root::Alert(1)), None], "errors may follow an open breaker");
}

#[test]
fn a_breaker_is_explained_by_the_alert_on_its_callee_before_the_one_beside_it() {
    let topology = graph(&[("web", "users"), ("web", "orders")]);
    let alerts = [alert("web", 5), breaker("web", "users", 10), alert("users", 4), alert("orders", 0)];
    assert_eq!(roots(&alerts, &topology), [Some(Root::Alert(3)), Some(Root::Alert(2)), None, None]);
}

#[test]
fn a_queue_is_explained_by_its_consumer() {
    let labels = Labels::from_pairs([("queue", "emails"), ("system", "celery"), ("job", "celery-exporter")]);
    assert_eq!(subject(&labels), Some("emails"));
    let topology = Fixed { consumers: vec![("emails".into(), "mailer".into())], ..graph(&[("web", "emails")]) };
    let mut queue = alert("emails", 20);
    queue.severity = Severity::Warning;
    assert_eq!(roots(&[queue, alert("mailer", 0)], &topology), [Some(Root::Alert(1)), None]);
}

/// Who hands a message over does not wait for what becomes of it, and fails for another reason.
#[test]
fn who_works_off_messages_is_no_cause_of_who_sends_them() {
    let topology = Fixed {
        sent: vec![("web".into(), "mailer".into())],
        consumers: vec![("emails".into(), "mailer".into())],
        edges: vec![
            ("web".into(), "mailer".into(), Some(0.5)),
            ("web".into(), "emails".into(), None),
            ("web".into(), "users".into(), Some(0.1)),
        ],
        ..Fixed::default()
    };
    assert_eq!(
        roots(&[alert("web", 10), alert("mailer", 0)], &topology),
        [Some(Root::Edge { service: "users".into(), error_ratio: 0.1 }), None]
    );
    assert_eq!(roots(&[alert("web", 10), alert("mailer", 0), alert("users", 0)], &topology), [Some(Root::Alert(2)), None, None]);
    // An alert that is about these messages is explained by what becomes of them.
    let mut about = alert("web", 10);
    about.place = vec![("server", "mailer".into())];
    assert_eq!(roots(&[about, alert("mailer", 0)], &topology), [Some(Root::Alert(1)), None]);
}

#[test]
fn what_an_exporter_says_and_what_is_said_of_its_server_is_one_fault() {
    let of = |pairs: &[(&str, &str)], active| {
        Candidate::of(&Labels::from_pairs(pairs.iter().copied()), Severity::Critical, Timestamp(active), true)
    };
    let down = [("alertname", "RedisDown"), ("job", "redis"), ("instance", "10.0.0.1:9121")];
    assert_eq!(target(&Labels::from_pairs(down)), Some("10.0.0.1:9121"));
    assert_eq!(target(&Labels::from_pairs([("service", "x"), ("instance", "a:1")])), None, "it is about something else");
    let beside = |server: &str, active| Candidate { beside: Some(server.to_owned()), ..of(&down, active) };
    let unhealthy = of(&[("alertname", "ServiceUnhealthy"), ("service", "10.0.0.1:6379")], 5_000);
    let mut topology = graph(&[("web", "10.0.0.1:6379"), ("api", "redis")]);
    topology.unhealthy = vec![("10.0.0.1:6379".to_owned(), "redis_up".to_owned())];
    // Whichever was first speaks, and neither is explained by the check that both are about.
    assert_eq!(roots(&[beside("10.0.0.1:6379", 0), unhealthy.clone()], &topology), [None, Some(Root::Alert(0))]);
    assert_eq!(roots(&[beside("10.0.0.1:6379", 9_000), unhealthy.clone()], &topology), [Some(Root::Alert(1)), None]);
    assert_eq!(roots(&[beside("10.0.0.9:6379", 0), unhealthy.clone()], &topology), [None, None], "another server");
    let patient = Candidate { fired_at: Timestamp(60_000), ..beside("10.0.0.1:6379", 0) };
    assert_eq!(roots(&[patient, unhealthy.clone()], &topology), [Some(Root::Alert(1)), None], "what fired first has been told");
    // Who calls the server suffers from it, under either name.
    let victims = [beside("10.0.0.1:6379", 0), alert("web", 20), alert("api", 20)];
    assert_eq!(roots(&victims, &topology), [None, Some(Root::Alert(0)), Some(Root::Alert(0))]);
}

/// The database of the spans and the address that is probed are one place, no call apart.
#[test]
fn what_a_probe_asks_by_its_address_is_as_near_as_what_is_called() {
    struct Probed;
    impl Topology for Probed {
        fn dependencies(&self, service: &str) -> Vec<Dependency> {
            let to =
                |server: &str, relation| vec![Dependency { client: service.into(), server: server.into(), error_ratio: None, relation }];
            match service {
                "web" => to("orders", Relation::Calls),
                "orders" => to("db:5432", Relation::Is),
                _ => Vec::new(),
            }
        }
        fn unhealthy(&self) -> Vec<Unhealthy> {
            vec![Unhealthy::checked("db:5432", "connection refused".into())]
        }
    }
    let found = explain(&[alert("web", 10)], &Probed, &CauseSettings::default(), &|_| true);
    let root = Root::Probe { service: "db:5432".into(), reason: "connection refused".into(), expected: Expected::Alert };
    assert_eq!(found, [Some(Explanation { root, hops: 1 })]);
}

fn said(name: &str, by: &[&str], doubted: bool) -> Unhealthy {
    let said_by: Vec<String> = by.iter().map(|s| (*s).to_owned()).collect();
    Unhealthy { name: name.to_owned(), reason: "say others".to_owned(), said_by, doubted, ..Unhealthy::default() }
}

#[test]
fn what_a_service_says_of_its_dependency_is_the_cause_of_its_alerts() {
    let mut topology = graph(&[("web", "orders"), ("web", "users"), ("orders", "db"), ("users", "db"), ("users", "mail")]);
    topology.unhealthy = vec![("users".to_owned(), "503".to_owned()), ("mail".to_owned(), "refused".to_owned())];
    topology.said = vec![said("db", &["orders", "users"], false)];
    let own = |service: &str| service != "db";
    let roots = |topology: &Fixed, alerts: &[Candidate]| -> Vec<Option<Root>> {
        explain(alerts, topology, &CauseSettings::default(), &own).into_iter().map(|e| e.map(|e| e.root)).collect()
    };
    let db = Some(Root::Probe { service: "db".into(), reason: "say others".into(), expected: Expected::Nothing });
    // Users says so of the database, and nothing of its mail.
    assert_eq!(roots(&topology, &[alert("orders", 0), alert("users", 5)]), [db.clone(), db.clone()]);
    // Who does not speak of it suffers from it through those that do.
    topology.unhealthy.pop();
    assert_eq!(roots(&topology, &[alert("web", 0), alert("users", 5)]), [db.clone(), db.clone()]);
    // Where most find it healthy it is the cause of those only that do not.
    topology.said = vec![said("db", &["users"], true)];
    topology.unhealthy.clear();
    assert_eq!(roots(&topology, &[alert("orders", 0)]), [None]);
    assert_eq!(roots(&topology, &[alert("users", 0)]), [db]);
    // Calls that fail elsewhere are another fault.
    topology.edges[4].2 = Some(0.9);
    let mail = Some(Root::Edge { service: "mail".into(), error_ratio: 0.9 });
    topology.edges[3].2 = Some(0.0);
    let found = explain(&[alert("users", 0)], &topology, &CauseSettings::default(), &|_| true);
    assert_eq!(found.into_iter().map(|e| e.map(|e| e.root)).collect::<Vec<_>>(), [mail]);
}

#[test]
fn an_alert_on_what_a_body_says_is_about_the_dependency_that_is_meant() {
    let mut topology = graph(&[("web", "orders"), ("web", "users")]);
    topology.unhealthy = vec![("users".to_owned(), "503".to_owned()), ("orders".to_owned(), "503".to_owned())];
    let of = |dependency: &str| {
        let labels = Labels::from_pairs([("alertname", "DependencyDown"), ("service", "web"), ("dependency", dependency)]);
        Candidate::of(&labels, Severity::Warning, Timestamp(10_000), true)
    };
    let probe = |service: &str| Some(Root::Probe { service: service.to_owned(), reason: "503".to_owned(), expected: Expected::Alert });
    assert_eq!(roots(&[of("orders-database"), of("users-database")], &topology), [probe("orders"), probe("users")]);
}

proptest! {
    /// Whatever the graph and the times, every explanation ends at something unexplained, so somebody is always told.
    #[test]
    fn every_root_is_itself_unexplained(
        edges in prop::collection::vec((0_u8..8, 0_u8..8), 0..24),
        alerts in prop::collection::vec((0_u8..8, 0_i64..200, 0_usize..7, any::<bool>()), 1..12),
    ) {
        let name = |i: u8| format!("s{i}");
        let topology = Fixed { edges: edges.iter().map(|(a, b)| (name(*a), name(*b), None)).collect(), ..Fixed::default() };
        let alerts: Vec<Candidate> = alerts
            .iter()
            .map(|(s, t, severity, firing)| Candidate { severity: Severity::ALL[*severity], firing: *firing, ..alert(&name(*s), *t) })
            .collect();
        let found = roots(&alerts, &topology);
        for root in found.iter().flatten() {
            if let Root::Alert(index) = root {
                prop_assert!(found[*index].is_none());
            }
        }
    }
}

#[test]
fn thousands_of_alerts_on_one_service_are_one_fault() {
    // Compared each with each, these would take minutes.
    let alerts: Vec<Candidate> = (0..20_000).map(|n| alert("web", n / 100)).collect();
    let found = roots(&alerts, &graph(&[]));
    assert!(found[0].is_none() && found[1..].iter().all(|root| *root == Some(Root::Alert(0))));
}

#[test]
fn thousands_of_alerts_on_one_service_in_as_many_places_are_as_many_faults() {
    // Compared each with each, these would take minutes.
    let alerts: Vec<Candidate> = (0..20_000)
        .map(|n| {
            let labels = Labels::from_pairs([("alertname", "DiskFull"), ("service", "node"), ("pod", format!("pod-{n}").as_str())]);
            Candidate::of(&labels, Severity::Critical, Timestamp(0), true)
        })
        .collect();
    assert!(roots(&alerts, &graph(&[])).iter().all(Option::is_none));
}
