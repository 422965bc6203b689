//! Alerts as the search for causes sees them: what they are about, and where.

use watchfire_model::{Labels, Severity, Timestamp};

/// Labels that name the service an alert is about, most telling first. A queue stands for itself: the topology says who consumes it.
const SUBJECT_LABELS: [&str; 8] = ["service", "service_name", "app", "application", "queue", "client", "job", "instance"];

/// Labels that tell apart what two alerts on one service are about: two instances or two breakers are two faults, two operations are one.
const PLACE_LABELS: [&str; 28] = [
    "instance",
    "pod",
    "node",
    "host",
    "hostname",
    "breaker",
    "queue",
    "topic",
    "server",
    "dependency",
    "device",
    "mountpoint",
    "disk",
    "volume",
    "persistentvolumeclaim",
    "namespace",
    "k8s_namespace_name",
    "region",
    "cloud_region",
    "zone",
    "datacenter",
    "cluster",
    "k8s_cluster_name",
    "env",
    "environment",
    "deployment_environment",
    "deployment_environment_name",
    "stage",
];

/// Of those, the labels that name a whole deployment: what is wrong in one explains nothing in another, whatever calls what. Between namespaces
/// and regions there are calls.
const DEPLOYMENT_LABELS: [&str; 7] =
    ["cluster", "k8s_cluster_name", "env", "environment", "deployment_environment", "deployment_environment_name", "stage"];

/// An active alert as the search for causes sees it.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub name: String,
    pub service: Option<String>,
    pub severity: Severity,
    pub active_at: Timestamp,
    /// Pending otherwise.
    pub firing: bool,
    /// No fault elsewhere explains it.
    pub independent: bool,
    /// Since when, where it fires.
    pub fired_at: Timestamp,
    /// Where on the service: label and value.
    pub place: Vec<(&'static str, String)>,
    /// The server beside which the exporter stands whose series the alert is made of: it is about that as well.
    pub beside: Option<String>,
}

impl Candidate {
    /// From an alert's labels. Whoever attacks needs no fault to do so.
    pub fn of(labels: &Labels, severity: Severity, active_at: Timestamp, firing: bool) -> Self {
        Candidate {
            name: labels.value("alertname").to_owned(),
            service: subject(labels).map(str::to_owned),
            severity,
            active_at,
            firing,
            independent: severity == Severity::Security,
            fired_at: active_at,
            place: PLACE_LABELS.iter().filter_map(|name| labels.get(name).map(|value| (*name, value.to_owned()))).collect(),
            beside: None,
        }
    }

    /// What the alert is about, under all names.
    pub(crate) fn subjects(&self) -> impl Iterator<Item = &str> {
        let beside = self.beside.as_deref().filter(|beside| self.service.as_deref() != Some(*beside));
        self.service.as_deref().into_iter().chain(beside)
    }

    pub(super) fn shares_subject(&self, other: &Candidate) -> bool {
        self.subjects().any(|subject| other.subjects().any(|o| o == subject))
    }

    /// Who is called, where the alert is about calls to one of the others: by the breaker around them, the far end of the edge, or what a health body
    /// says of it.
    pub(super) fn callee(&self) -> Option<&str> {
        self.place.iter().find(|(name, _)| matches!(*name, "breaker" | "server" | "dependency")).map(|(_, value)| value.as_str())
    }

    /// Whether nothing says that two alerts are about different places.
    pub(super) fn same_place(&self, other: &Candidate) -> bool {
        self.agrees(other, |_| true)
    }

    /// Whether nothing says that two alerts are about different deployments.
    pub(super) fn same_deployment(&self, other: &Candidate) -> bool {
        self.agrees(other, |name| DEPLOYMENT_LABELS.contains(&name))
    }

    fn agrees(&self, other: &Candidate, on: impl Fn(&str) -> bool) -> bool {
        let asked = self.place.iter().filter(|(name, _)| on(name));
        asked.into_iter().all(|(name, value)| other.place.iter().all(|(n, v)| n != name || v == value))
    }
}

/// The service (or queue) an alert is about.
pub fn subject(labels: &Labels) -> Option<&str> {
    SUBJECT_LABELS.iter().find_map(|name| labels.get(name))
}

/// The target whose series an alert is made of, where no label says that it is about something else.
pub fn target(labels: &Labels) -> Option<&str> {
    let subject = SUBJECT_LABELS.iter().find(|name| labels.get(name).is_some());
    labels.get("instance").filter(|_| subject.is_some_and(|name| ["job", "instance"].contains(name)))
}
