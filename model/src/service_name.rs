//! Whose telemetry it is: the service that a resource stands for.

use std::borrow::Cow;

/// The service of telemetry that does not say whose it is. SDKs that were not told add a colon and the name of their program (OpenTelemetry resource
/// conventions).
pub const UNKNOWN_SERVICE: &str = "unknown_service";

/// How much of a name is the service's.
#[derive(Clone, Copy)]
enum Bears {
    /// All of it.
    Name,
    /// A ReplicaSet adds the hash of its template.
    Hash,
    /// A CronJob's jobs bear the minute they were due.
    Minute,
    /// A pod bears what its controller adds behind that controller's own name.
    Pod,
}

/// Attributes that name the service where `service.name` does not, best first. Those of Kubernetes in the order of OpenTelemetry's recommendation for
/// Kubernetes attributes; then what names a function and a container elsewhere.
const NAMES: [(&str, Bears); 10] = [
    ("k8s.deployment.name", Bears::Name),
    ("k8s.replicaset.name", Bears::Hash),
    ("k8s.statefulset.name", Bears::Name),
    ("k8s.daemonset.name", Bears::Name),
    ("k8s.cronjob.name", Bears::Name),
    ("k8s.job.name", Bears::Minute),
    ("k8s.pod.name", Bears::Pod),
    ("k8s.container.name", Bears::Name),
    ("faas.name", Bears::Name),
    ("container.name", Bears::Name),
];

/// The name of a service, gathered from the attributes of a resource in whatever order they come.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServiceName<'a> {
    stated: &'a str,
    /// Place in [`NAMES`] and name.
    workload: Option<(usize, &'a str)>,
    /// What an SDK says that was not told a name.
    unknown: &'a str,
    program: &'a str,
}

impl<'a> ServiceName<'a> {
    /// Looks at one attribute; of duplicates the last counts.
    pub fn see(&mut self, key: &str, value: &'a str) {
        if value.is_empty() {
            return;
        }
        match key {
            "service.name" if is_unknown(value) => (self.stated, self.unknown) = ("", value),
            "service.name" => self.stated = value,
            "process.executable.name" => self.program = value,
            _ => {
                if let Some(place) = NAMES.iter().position(|(name, _)| *name == key)
                    && self.workload.is_none_or(|(best, _)| place <= best)
                {
                    self.workload = Some((place, value));
                }
            }
        }
    }

    /// The best name that was seen.
    pub fn found(&self) -> Option<Cow<'a, str>> {
        let workload = self.workload.map(|(place, value)| NAMES[place].1.service(value));
        let borrowed = [self.stated, workload.unwrap_or_default(), self.unknown].into_iter().find(|name| !name.is_empty());
        let program = || (!self.program.is_empty()).then(|| format!("{UNKNOWN_SERVICE}:{}", self.program).into());
        borrowed.map(Cow::Borrowed).or_else(program)
    }

    /// The best name that was seen, or [`UNKNOWN_SERVICE`].
    pub fn or_unknown(&self) -> Cow<'a, str> {
        self.found().unwrap_or(Cow::Borrowed(UNKNOWN_SERVICE))
    }
}

fn is_unknown(name: &str) -> bool {
    name.strip_prefix(UNKNOWN_SERVICE).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
}

impl Bears {
    fn service(self, name: &str) -> &str {
        // Generated endings have no vowels (apimachinery's `rand.String`), and of those letters and digits a hash has ten (`rand.SafeEncodeString`).
        let random = |end: &str| end.len() == 5 && end.bytes().all(|b| b"bcdfghjklmnpqrstvwxz2456789".contains(&b));
        let hash = |end: &str| (6..=10).contains(&end.len()) && end.bytes().all(|b| b"456789bcdf".contains(&b));
        let number = |end: &str| !end.is_empty() && end.bytes().all(|b| b.is_ascii_digit());
        // Minutes since 1970 have eight digits until 2160, the seconds of older CronJobs ten.
        let minute = |end: &str| end.len() >= 8 && number(end);
        match self {
            Bears::Name => name,
            Bears::Hash => without(name, hash),
            Bears::Minute => without(name, minute),
            // One of a StatefulSet bears its number instead.
            Bears::Pod => match without(name, random) {
                whole if whole == name => without(name, number),
                of_set => without(of_set, |end| hash(end) || minute(end)),
            },
        }
    }
}

/// A name without an ending that was generated.
fn without(name: &str, generated: impl Fn(&str) -> bool) -> &str {
    name.rsplit_once('-').filter(|(rest, end)| !rest.is_empty() && generated(end)).map_or(name, |(rest, _)| rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_a_service_best_counts_in_any_order() {
        for (attributes, expected) in [
            (&[][..], None),
            (&[("service.name", ""), ("host.name", "vm-3")], None),
            (&[("k8s.deployment.name", "web"), ("service.name", "shop")], Some("shop")),
            (&[("service.name", "unknown_service:node"), ("k8s.deployment.name", "web")], Some("web")),
            (&[("service.name", "unknown_service:node"), ("process.executable.name", "node")], Some("unknown_service:node")),
            (&[("service.name", "unknown_service")], Some("unknown_service")),
            (&[("service.name", "unknown_services")], Some("unknown_services")),
            (&[("process.executable.name", "cron"), ("host.name", "vm-3")], Some("unknown_service:cron")),
            (&[("process.executable.name", "java"), ("faas.name", "resize")], Some("resize")),
            (&[("k8s.container.name", "app"), ("k8s.pod.name", "web-5d4f8c7b9d-x7k2p")], Some("web")),
            (&[("k8s.replicaset.name", "web-5d4f8c7b9d"), ("k8s.pod.name", "web-5d4f8c7b9d-x7k2p")], Some("web")),
            (&[("k8s.pod.name", "db-0"), ("k8s.statefulset.name", "db")], Some("db")),
            (&[("k8s.job.name", "nightly-28373940")], Some("nightly")),
            (&[("container.name", "shop-web-1")], Some("shop-web-1")),
        ] {
            for turned in [false, true] {
                let mut name = ServiceName::default();
                let mut attributes = attributes.to_vec();
                if turned {
                    attributes.reverse();
                }
                attributes.iter().for_each(|(key, value)| name.see(key, value));
                assert_eq!(name.found().as_deref(), expected, "{attributes:?}");
            }
        }
        assert_eq!(ServiceName::default().or_unknown(), "unknown_service");
    }

    #[test]
    fn a_pod_is_of_the_service_that_its_controller_is_called_like() {
        for (pod, service) in [
            ("db-2", "db"),
            ("node-agent-x7k2p", "node-agent"),
            ("nightly-28373940-vq2wz", "nightly"),
            ("web", "web"),
            ("my-web", "my-web"),
            ("a-backend", "a-backend"),
            ("-x7k2p", "-x7k2p"),
        ] {
            assert_eq!(Bears::Pod.service(pod), service);
        }
        assert_eq!(Bears::Hash.service("front-end"), "front-end");
    }
}
