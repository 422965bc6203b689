//! The JSON of Prometheus's HTTP API, as far as readings need it. Unknown fields are left alone: those who answer like Prometheus add their own.

use chrono::DateTime;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use watchfire_model::reading::ReadError;
use watchfire_model::{Labels, SeriesData, Timestamp, Value};

/// What stands round every answer.
#[derive(Debug, Deserialize)]
pub(super) struct Answer<T> {
    pub data: T,
    #[serde(default)]
    pub warnings: Vec<String>,
    #[serde(default)]
    pub infos: Vec<String>,
}

impl<T: DeserializeOwned> Answer<T> {
    /// # Errors
    /// When this is no answer of a Prometheus.
    pub fn of(body: &[u8]) -> Result<Self, ReadError> {
        serde_json::from_slice(body).map_err(|e| ReadError::Failed(format!("the answer is not one of a Prometheus: {e}")))
    }
}

/// The outcome of a query.
#[derive(Debug, Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
pub(super) enum Outcome {
    Matrix(Vec<Many>),
    Vector(Vec<One>),
    Scalar(Sample),
    String(serde::de::IgnoredAny),
}

/// Seconds, and the value as text.
type Sample = (f64, String);

#[derive(Debug, Deserialize)]
pub(super) struct Many {
    metric: Labels,
    /// Native histograms come beside them, and are left out: a chart has no use for one, and what is computed of them is asked for.
    #[serde(default)]
    values: Vec<Sample>,
}

#[derive(Debug, Deserialize)]
pub(super) struct One {
    metric: Labels,
    #[serde(default)]
    value: Option<Sample>,
}

/// The kind of an outcome, and its series.
pub(super) fn series(outcome: Outcome) -> (&'static str, Vec<SeriesData>) {
    let row = |labels, samples: Vec<Sample>| {
        let read = samples.into_iter().filter_map(|(at, value)| Some((Timestamp::from_seconds(at), Value::Float(value.parse().ok()?))));
        let (times, values) = read.unzip();
        SeriesData { labels, times, values }
    };
    match outcome {
        Outcome::Matrix(series) => ("matrix", series.into_iter().map(|s| row(s.metric, s.values)).collect()),
        Outcome::Vector(samples) => ("vector", samples.into_iter().map(|s| row(s.metric, s.value.into_iter().collect())).collect()),
        Outcome::Scalar(sample) => ("scalar", vec![row(Labels::empty(), vec![sample])]),
        Outcome::String(_) => ("string", Vec::new()),
    }
}

/// Whom firing alerts are sent to.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Alertmanagers {
    active_alertmanagers: Vec<serde::de::IgnoredAny>,
}

impl Alertmanagers {
    pub fn any(&self) -> bool {
        !self.active_alertmanagers.is_empty()
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct RuleGroups {
    groups: Vec<RuleGroup>,
}

#[derive(Debug, Deserialize)]
struct RuleGroup {
    #[serde(default)]
    name: String,
    #[serde(default)]
    rules: Vec<AlertingRule>,
}

/// An alerting rule with its active alerts; a recording rule has none of what matters here.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct AlertingRule {
    #[serde(skip)]
    pub group: String,
    pub name: String,
    pub query: String,
    pub duration: f64,
    pub keep_firing_for: f64,
    pub last_error: String,
    last_evaluation: String,
    #[serde(rename = "type")]
    kind: String,
    pub alerts: Vec<ActiveAlert>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ActiveAlert {
    pub labels: Labels,
    #[serde(default)]
    pub annotations: Labels,
    #[serde(default)]
    active_at: String,
    #[serde(default)]
    pub value: String,
}

impl RuleGroups {
    pub fn alerting(self) -> impl Iterator<Item = AlertingRule> {
        let of_group = |group: RuleGroup| {
            let name = group.name;
            group.rules.into_iter().map(move |rule| AlertingRule { group: name.clone(), ..rule })
        };
        self.groups.into_iter().flat_map(of_group).filter(|rule| rule.kind == "alerting" || !rule.alerts.is_empty())
    }
}

impl AlertingRule {
    pub fn last_evaluation(&self) -> Option<Timestamp> {
        time(&self.last_evaluation)
    }
}

impl ActiveAlert {
    pub fn active_at(&self) -> Option<Timestamp> {
        time(&self.active_at)
    }
}

/// `0001-01-01T00:00:00Z` is Go's word for never.
fn time(text: &str) -> Option<Timestamp> {
    DateTime::parse_from_rfc3339(text).ok().map(|at| Timestamp(at.timestamp_millis())).filter(|at| at.0 > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_as_a_prometheus_writes_them() {
        let body = br#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"up","job":"api"},
            "values":[[1700000000.5,"1"],[1700000015.5,"+Inf"],[1700000030.5,"x"]]},{"metric":{},"histograms":[[1,{"count":"1"}]]}]},"isPartial":false}"#;
        let answer: Answer<Outcome> = Answer::of(body).expect("an answer");
        let (kind, found) = series(answer.data);
        assert_eq!(
            (kind, found.len(), found[0].times.clone()),
            ("matrix", 2, vec![Timestamp(1_700_000_000_500), Timestamp(1_700_000_015_500)])
        );
        assert_eq!(found[0].labels.value("job"), "api");
        let scalar: Answer<Outcome> =
            Answer::of(br#"{"data":{"resultType":"scalar","result":[1,"2.5"]},"warnings":["w"]}"#).expect("an answer");
        assert_eq!(scalar.warnings, ["w"]);
        assert_eq!(series(scalar.data).1[0].values, [Value::Float(2.5)]);
        assert!(Answer::<Outcome>::of(b"<html>").is_err());
    }

    #[test]
    fn rules_are_read_with_their_active_alerts() {
        let body = br#"{"status":"success","data":{"groups":[{"name":"g","file":"f","rules":[
            {"state":"firing","name":"Down","query":"up == 0","duration":60,"keepFiringFor":0,"labels":{},"annotations":{},
             "alerts":[{"labels":{"alertname":"Down","job":"api"},"annotations":{"summary":"api is down"},"state":"firing",
             "activeAt":"2023-11-14T22:13:20.123456789Z","value":"0e+00"}],"health":"ok","lastEvaluation":"0001-01-01T00:00:00Z","type":"alerting"},
            {"name":"r","query":"up","type":"recording","health":"ok"}]}]}}"#;
        let groups: RuleGroups = Answer::of(body).expect("an answer").data;
        let rules: Vec<_> = groups.alerting().collect();
        assert_eq!((rules.len(), rules[0].group.as_str(), rules[0].last_evaluation()), (1, "g", None));
        let alert = &rules[0].alerts[0];
        assert_eq!((alert.active_at(), alert.annotations.value("summary")), (Some(Timestamp(1_700_000_000_123)), "api is down"));
    }
}
