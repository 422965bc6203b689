//! What exporters say of the servers beside them.

use super::*;
use parking_lot::Mutex;
use watchfire_model::{CheckReport, HealthState, ProbeSink};

fn servers(texts: &[&str]) -> Vec<(String, String, String, bool)> {
    rows(texts).servers.into_iter().map(|s| (s.service, s.check, s.url, s.up)).collect()
}

fn server(service: &str, check: &str, url: &str, up: bool) -> (String, String, String, bool) {
    (service.to_owned(), check.to_owned(), url.to_owned(), up)
}

#[test]
fn a_server_is_where_its_exporter_last_told_or_where_such_servers_are() {
    let down = r#"
redis_up{instance="10.0.0.1:9121"} 0
pg_up{instance="10.0.0.2:9187"} 0
mysql_up{instance="10.0.0.3:9104"} 0
redis_up{instance="redis://cache-2:6379"} 0
redis_up{addr="redis://cache-3:6381",alias="",instance="10.0.0.9:9121"} 0
memcached_up{instance="[::1]:9150"} 0
elasticsearch_clusterinfo_up{instance="10.0.0.4:9114",url="http://search:9201"} 0
nginx_up{instance="10.0.0.5:9113"} 0
"#;
    let told = r#"
redis_instance_info{instance="10.0.0.1:9121",role="master",run_id="a",tcp_port="6380"} 1
pg_settings_port{instance="10.0.0.2:9187",server="db-1:5433"} 5433
mysql_global_variables_port{instance="10.0.0.3:9104"} 3307
"#;
    let found = servers(&[&(down.replace("} 0", "} 1") + told), down]);
    for expected in [
        server("10.0.0.1:6380", "redis_up", "redis://10.0.0.1:6380", false),
        server("10.0.0.3:3307", "mysql_up", "mysql://10.0.0.3:3307", false),
        server("[::1]:11211", "memcached_up", "memcached://[::1]:11211", false),
        server("cache-2:6379", "redis_up", "redis://cache-2:6379", false),
        server("cache-3:6381", "redis_up", "redis://cache-3:6381", false),
        server("db-1:5433", "pg_up", "postgresql://db-1:5433", false),
        server("nginx of 10.0.0.5", "nginx_up", "nginx://", false),
        server("search:9201", "elasticsearch_clusterinfo_up", "elasticsearch://search:9201", false),
    ] {
        assert!(found.contains(&expected), "{expected:?} of {found:#?}");
    }
    assert_eq!(found.len(), 8);
    let never_up = servers(&["redis_up{instance=\"10.0.0.1:9121\"} 0"]);
    assert_eq!(never_up, [server("10.0.0.1:6379", "redis_up", "redis://10.0.0.1:6379", false)]);
}

#[test]
fn of_two_exporters_of_a_server_the_one_that_does_not_reach_it_is_heard() {
    let found = servers(&["redis_up{instance=\"cache:9121\"} 1\nredis_up{instance=\"cache:9122\"} 0\nredis_up{instance=\"cache:9123\"} 1"]);
    assert_eq!(found, [server("cache:6379", "redis_up", "redis://cache:6379", false)]);
}

#[derive(Default)]
struct Heard(Mutex<Vec<(Option<HealthState>, String)>>);

impl ProbeSink for Heard {
    fn probe(&self, report: CheckReport) {
        assert_eq!((report.service.as_str(), report.success), ("cache:6379", report.state == HealthState::Healthy));
        self.0.lock().push((Some(report.state), format!("{} {}", (report.at.0 - report.since.0) / 1000, report.detail)));
    }

    fn forget(&self, service: &str, check: &str) {
        self.0.lock().push((None, format!("{service} {check}")));
    }
}

#[test]
fn an_exporter_is_a_check_and_its_silence_is_not_known() {
    let (store, _) = scraped(&[]);
    let heard = Arc::new(Heard::default());
    let mut engine = DialectEngine::built_in().expect("good files").reporting_to(heard.clone());
    let (promql, meter) = (Engine::default(), Meter::new());
    let stale = f64::from_bits(0x7ff0_0000_0000_0002);
    let labels = Labels::from_pairs([("__name__", "redis_up"), ("job", "redis"), ("instance", "cache:9121")]);
    for (seconds, value) in [(0, Some(1.0)), (15, Some(0.0)), (30, Some(0.0)), (45, Some(stale)), (60, None), (1_000, None)] {
        let at = START.saturating_add(Duration::from_secs(seconds));
        if let Some(value) = value {
            store.push(&labels, at, Value::Float(value));
        }
        engine.tick(&promql, &*store, &*store, at, at, &meter, Control::default());
    }
    let expected = [
        (Some(HealthState::Healthy), "0 ".to_owned()),
        (Some(HealthState::Unhealthy), "0 not reached, says redis_up of cache:9121".to_owned()),
        (Some(HealthState::Unhealthy), "15 not reached, says redis_up of cache:9121".to_owned()),
        (Some(HealthState::Unknown), "0 nothing is heard of redis_up of cache:9121".to_owned()),
        (Some(HealthState::Unknown), "15 nothing is heard of redis_up of cache:9121".to_owned()),
        (None, "cache:6379 redis_up".to_owned()),
    ];
    assert_eq!(*heard.0.lock(), expected);
}

#[test]
fn a_probe_of_others_is_a_check_of_what_it_asks() {
    let found = servers(&[r#"
probe_success{instance="https://shop.example/health"} 0
probe_success{instance="https://shop.example/cart"} 1
probe_success{instance="http://10.0.0.7:8080/"} 1
probe_success{instance="10.0.0.8:6379"} 1
probe_success{instance="10.0.0.9",service="gateway"} 0
"#]);
    let expected = [
        server("10.0.0.7:8080", "probe_success", "http://10.0.0.7:8080", true),
        server("10.0.0.8:6379", "probe_success", "probe://10.0.0.8:6379", true),
        server("gateway", "probe_success", "probe://10.0.0.9", false),
        // One that fails is not all of the host.
        server("shop.example", "health", "https://shop.example", false),
        server("shop.example", "cart", "https://shop.example", true),
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for one in expected {
        assert!(found.contains(&one), "{one:?} of {found:#?}");
    }
    // What watchfire itself has asked is a check already.
    let (store, at) = scraped(&[]);
    let own = Labels::from_pairs([("__name__", "probe_success"), ("service", "shop"), ("check", "health")]);
    store.push(&own, at, Value::Float(0.0));
    assert_eq!(DialectEngine::built_in().expect("good files").evaluate(&Engine::default(), &*store, at).servers, []);
}
