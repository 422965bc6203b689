//! Results of health probes.

use crate::Timestamp;
use crate::address::{host_and_port, is_loopback, same_host};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Four states, never three: what is not known is not healthy. Ordered from best to worst news; `Unknown` sits between.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthState {
    Healthy,
    #[default]
    Unknown,
    Degraded,
    Unhealthy,
}

impl HealthState {
    /// The value of `watchfire_service_health`; unknown has none.
    pub fn series_value(self) -> Option<f64> {
        match self {
            HealthState::Healthy => Some(1.0),
            HealthState::Degraded => Some(0.5),
            HealthState::Unhealthy => Some(0.0),
            HealthState::Unknown => None,
        }
    }

    pub fn word(self) -> &'static str {
        match self {
            HealthState::Healthy => "healthy",
            HealthState::Unknown => "unknown",
            HealthState::Degraded => "degraded",
            HealthState::Unhealthy => "unhealthy",
        }
    }
}

/// A dependency as a health body names it; nested names are joined with `/`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DependencyReport {
    pub name: String,
    pub state: HealthState,
    pub detail: String,
    pub latency: Option<Duration>,
}

/// One check of one service at one time, after failure counting.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CheckReport {
    pub service: String,
    /// Short name of the check: `health`, `health/ready`, `tcp`, `grpc` ...
    pub check: String,
    pub url: String,
    /// What watchfire concludes, after two failures in a row.
    pub state: HealthState,
    /// Whether this one attempt succeeded.
    pub success: bool,
    pub latency: Option<Duration>,
    /// Why the state is what it is, in words, from our side; text of the other side is quoted and bounded.
    pub detail: String,
    pub dependencies: Vec<DependencyReport>,
    pub at: Timestamp,
    /// When `state` was entered.
    pub since: Timestamp,
    /// Expiry of the peer's certificate, where there is one.
    pub certificate_expires: Option<Timestamp>,
}

impl CheckReport {
    /// What is spoken where it asks: the scheme of its URL, which is the system where an exporter's word is the check.
    pub fn scheme(&self) -> &str {
        self.url.split_once("://").map_or("", |(scheme, _)| scheme)
    }

    /// Whether what it asks may be a service. Whom it only connects to, and a server that an exporter stands beside, is what services depend on.
    pub fn asks_service(&self) -> bool {
        const DEPENDENCIES: [&str; 14] = [
            "tcp",
            "probe",
            "dns",
            "redis",
            "memcached",
            "postgresql",
            "pgbouncer",
            "mysql",
            "proxysql",
            "mongodb",
            "mssql",
            "oracle",
            "elasticsearch",
            "rabbitmq",
        ];
        !DEPENDENCIES.contains(&self.scheme())
    }

    /// Whether it asks at this address (`host:port`, or a host where the port is not known), as callers name it.
    pub fn is_of(&self, address: &str) -> bool {
        let Some((scheme, rest)) = self.url.split_once("://") else { return false };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (host, port) = host_and_port(authority.rsplit('@').next().unwrap_or_default());
        let port = port.or(match scheme {
            "http" => Some(80),
            "https" => Some(443),
            _ => None,
        });
        let (called, called_port) = host_and_port(address);
        // Of one host without a port it is not known what is meant; of this machine it is known that much more runs here.
        same_host(host, called) && !host.is_empty() && (called_port == port || (called_port.is_none() && !is_loopback(called)))
    }
}

/// What exporters say of servers at addresses that nobody calls, as from containers of their own, each with the node that it is of: the only one of its
/// system, where nothing else is said of that system. `nodes` are names and systems as callers state them.
pub fn of_only_servers<'c, 'n>(
    checks: impl IntoIterator<Item = &'c CheckReport>,
    nodes: impl IntoIterator<Item = (&'n str, &'n str)>,
    is_placed: impl Fn(&CheckReport) -> bool,
) -> Vec<(&'c CheckReport, &'n str)> {
    // As exporters and as conventions call them.
    const SYSTEMS: [(&str, &[&str]); 8] = [
        ("postgresql", &["postgresql"]),
        ("mysql", &["mysql", "mariadb"]),
        ("mongodb", &["mongodb"]),
        ("mssql", &["mssql", "microsoft.sql_server"]),
        ("oracle", &["oracle", "oracle.db"]),
        ("elasticsearch", &["elasticsearch"]),
        ("redis", &["redis", "valkey"]),
        ("memcached", &["memcached"]),
    ];
    let nodes: BTreeSet<(&str, &str)> = nodes.into_iter().collect();
    let mut said: BTreeMap<&str, Vec<&CheckReport>> = BTreeMap::new();
    for check in checks.into_iter().filter(|check| check.check.ends_with("_up")) {
        said.entry(check.scheme()).or_default().push(check);
    }
    SYSTEMS
        .iter()
        .filter_map(|(scheme, systems)| {
            let mut of_system = nodes.iter().filter(|(_, system)| systems.contains(system)).map(|(name, _)| *name);
            let (node, others) = (of_system.next()?, of_system.next());
            match said.get(scheme).map(Vec::as_slice) {
                Some([check]) if others.is_none() && !is_placed(check) => Some((*check, node)),
                _ => None,
            }
        })
        .collect()
}

/// Where probe results go: the store keeps the newest per check and writes the probe series.
pub trait ProbeSink: Send + Sync {
    fn probe(&self, report: CheckReport);
    /// The check is no longer configured.
    fn forget(&self, service: &str, check: &str);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_is_of_the_address_that_callers_name() {
        for (url, address, same) in [
            ("tcp://db:5432", "db:5432", true),
            ("tcp://DB:5432", "db:5432", true),
            ("tcp://db:5432", "db:5433", false),
            ("tcp://db:5432", "db2:5432", false),
            ("tcp://db:5432", "db", true),
            ("tcp://127.0.0.1:6379", "localhost:6379", true),
            ("tcp://[::1]:6379", "127.0.0.1:6379", true),
            ("tcp://[::1]:6379", "[::1]:6379", true),
            ("tcp://127.0.0.1:6379", "localhost", false),
            ("https://user:secret@api.example.com/health", "api.example.com:443", true),
            ("http://es:9200/_cluster/health", "es:9200", true),
            ("http://es/", "es:9200", false),
            ("tcp://:5432", "", false),
            ("nonsense", "nonsense", false),
        ] {
            let check = CheckReport { url: url.into(), ..CheckReport::default() };
            assert_eq!(check.is_of(address), same, "{url} {address}");
        }
    }

    #[test]
    fn an_exporter_elsewhere_is_of_the_only_server_of_its_system() {
        let check = |url: &str, check: &str| CheckReport {
            service: url.into(),
            check: check.into(),
            url: url.into(),
            state: HealthState::Unhealthy,
            ..CheckReport::default()
        };
        let checks = [
            check("mysql://mysqld-exporter:3306", "mysql_up"),
            check("redis://redis-exporter:6379", "redis_up"),
            check("postgresql://db:5432", "pg_up"),
            check("mongodb://mongo-exporter:27017", "mongodb_up"),
            check("mongodb://other-exporter:27017", "mongodb_up"),
            check("memcached://memcached:11211", "tcp"),
        ];
        let nodes = [
            ("shop", "mysql"),
            ("redis@a:6379", "redis"),
            ("redis@b:6379", "redis"),
            ("orders", "postgresql"),
            ("catalog", "mongodb"),
            ("memcached", "memcached"),
            ("shop", "mysql"),
        ];
        let found = of_only_servers(&checks, nodes, |check| check.is_of("db:5432"));
        let found: Vec<_> = found.into_iter().map(|(check, node)| (check.url.as_str(), node)).collect();
        assert_eq!(found, [("mysql://mysqld-exporter:3306", "shop")]);
    }
}
