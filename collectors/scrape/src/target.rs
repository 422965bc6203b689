//! From a discovered address to a target: labels, URL, times, by the rules of Prometheus (`scrape/target.go`).

use crate::job::Job;
use crate::relabel::{LabelMap, Relabel, apply_all};
use std::hash::{Hash, Hasher};
use std::time::Duration;
use watchfire_model::{Labels, LabelsBuilder, parse_duration};

/// What is scraped, when and under which labels.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TargetPlan {
    pub(crate) discovered: Labels,
    pub(crate) labels: Labels,
    pub(crate) url: reqwest::Url,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
}

/// What became of a discovered address.
pub(crate) enum Planned {
    Target(Box<TargetPlan>),
    /// Relabelling dropped it.
    Dropped(Labels),
    Bad(String),
}

/// One address of a group, before relabelling.
pub(crate) fn plan(job: &Job, rules: &[Relabel], address: &str, group: &LabelMap) -> Planned {
    let mut labels: LabelMap = job.labels.clone();
    let defaults = [
        ("job", job.job_name.clone()),
        ("__scheme__", job.scheme.clone()),
        ("__metrics_path__", job.metrics_path.clone()),
        ("__scrape_interval__", watchfire_model::format_duration(job.scrape_interval)),
        ("__scrape_timeout__", watchfire_model::format_duration(job.timeout())),
    ];
    labels.extend(defaults.map(|(name, value)| (name.to_owned(), value)));
    for (name, values) in &job.params {
        if let Some(first) = values.first() {
            labels.insert(format!("__param_{name}"), first.clone());
        }
    }
    labels.extend(group.iter().map(|(n, v)| (n.clone(), v.clone())));
    labels.insert("__address__".to_owned(), address.to_owned());
    labels.retain(|_, value| !value.is_empty());
    let discovered = Labels::from_pairs(&labels);

    if !apply_all(rules, &mut labels) {
        return Planned::Dropped(discovered);
    }
    match finish(job, labels, discovered) {
        Ok(target) => Planned::Target(Box::new(target)),
        Err(what) => Planned::Bad(format!("target {address:?}: {what}")),
    }
}

fn finish(job: &Job, mut labels: LabelMap, discovered: Labels) -> Result<TargetPlan, String> {
    let text = |name: &str| labels.get(name).map_or("", String::as_str);
    let address = text("__address__").to_owned();
    if address.is_empty() {
        return Err("no address".to_owned());
    }
    if address.contains('/') {
        return Err("an address is host:port; the path belongs into metrics_path".to_owned());
    }
    let duration = |name: &str, default: Duration| match text(name) {
        "" => Ok(default),
        written => parse_duration(written).map_err(|e| format!("{name}: {e}")),
    };
    let interval = duration("__scrape_interval__", job.scrape_interval)?;
    let timeout = duration("__scrape_timeout__", job.timeout())?;
    if interval.is_zero() || timeout.is_zero() || timeout > interval {
        return Err("interval and timeout must be above 0 and the timeout at most the interval".to_owned());
    }
    let path = text("__metrics_path__");
    let slash = if path.starts_with('/') { "" } else { "/" };
    let mut url = reqwest::Url::parse(&format!("{}://{address}{slash}{path}", text("__scheme__"))).map_err(|e| e.to_string())?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("scheme {:?}: use http or https", url.scheme()));
    }
    let mut query: Vec<(String, String)> =
        job.params.iter().flat_map(|(name, values)| values.iter().map(move |v| (name.clone(), v.clone()))).collect();
    for (label, value) in &labels {
        if let Some(name) = label.strip_prefix("__param_") {
            match query.iter_mut().find(|(n, _)| n == name) {
                Some((_, first)) => first.clone_from(value),
                None => query.push((name.to_owned(), value.clone())),
            }
        }
    }
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(&query);
    }
    labels.retain(|name, _| !name.starts_with("__"));
    labels.entry("instance".to_owned()).or_insert(address);
    let mut builder = LabelsBuilder::new();
    for (name, value) in &labels {
        builder.set(name, value);
    }
    Ok(TargetPlan { discovered, labels: builder.build(), url, interval, timeout })
}

impl TargetPlan {
    /// Names the writer of this target's samples.
    pub(crate) fn origin(&self) -> String {
        format!("scrape {} {}", self.url, self.labels)
    }

    /// Where in its interval this target is scraped, so that targets spread evenly. Stable across restarts.
    pub(crate) fn offset(&self) -> Duration {
        let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
        self.url.as_str().hash(&mut hasher);
        for label in self.labels.iter() {
            (&*label.name, &*label.value).hash(&mut hasher);
        }
        let nanos = u64::try_from(self.interval.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(mix(hasher.finish()) % nanos)
    }
}

/// FNV-1a: not fast, but the same in every build.
struct Fnv(u64);

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Spreads neighbouring hashes (finaliser of MurmurHash3).
fn mix(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relabel::RelabelConfig;

    fn rules(text: &str) -> Vec<Relabel> {
        let configs: Vec<RelabelConfig> = serde_saphyr::from_str(text).unwrap();
        configs.iter().map(|c| Relabel::new(c).unwrap()).collect()
    }

    fn target(job: &Job, relabel: &str, address: &str) -> TargetPlan {
        match plan(job, &rules(relabel), address, &LabelMap::from([("team".to_owned(), "a".to_owned())])) {
            Planned::Target(t) => *t,
            Planned::Dropped(l) => panic!("dropped {l}"),
            Planned::Bad(e) => panic!("{e}"),
        }
    }

    #[test]
    fn a_target_has_job_instance_and_its_groups_labels() {
        let mut job = Job::from_url("http://x:1/m?a=1").unwrap();
        job.labels.insert("simulated".to_owned(), "true".to_owned());
        let t = target(&job, "[]", "h:80");
        assert_eq!(t.labels.to_string(), r#"{instance="h:80", job="x", simulated="true", team="a"}"#);
        assert_eq!(t.url.as_str(), "http://h/m?a=1");
        assert_eq!(t.discovered.value("__scrape_interval__"), "15s");
    }

    #[test]
    fn relabelling_decides_address_path_parameters_and_times() {
        // The blackbox pattern: the address becomes a parameter, the prober becomes the address.
        let t = target(
            &Job::from_url("http://x:1").unwrap(),
            "[{source_labels: [__address__], target_label: __param_target}, {source_labels: [__param_target], target_label: instance}, \
             {target_label: __address__, replacement: '127.0.0.1:9115'}, {target_label: __metrics_path__, replacement: probe}, \
             {target_label: __scrape_interval__, replacement: 30s}]",
            "example.org:443",
        );
        assert_eq!(t.url.as_str(), "http://127.0.0.1:9115/probe?target=example.org%3A443");
        assert_eq!(t.labels.value("instance"), "example.org:443");
        assert_eq!(t.interval, Duration::from_secs(30));
    }

    #[test]
    fn dropped_and_bad_targets_are_told_apart() {
        let job = Job::from_url("http://x:1").unwrap();
        assert!(matches!(
            plan(&job, &rules("[{source_labels: [job], regex: x, action: drop}]"), "h:1", &LabelMap::new()),
            Planned::Dropped(_)
        ));
        assert!(matches!(plan(&job, &[], "h:1/path", &LabelMap::new()), Planned::Bad(_)));
        assert!(matches!(plan(&job, &rules("[{action: labeldrop, regex: __address__}]"), "h:1", &LabelMap::new()), Planned::Bad(_)));
    }

    #[test]
    fn targets_spread_evenly_over_the_interval() {
        let job = Job::from_url("http://x:1").unwrap();
        let mut slots = [0; 15];
        for port in 0..1500 {
            slots[target(&job, "[]", &format!("10.0.0.1:{port}")).offset().as_secs() as usize] += 1;
        }
        assert!(slots.iter().all(|n| (60..140).contains(n)), "{slots:?}");
    }
}
