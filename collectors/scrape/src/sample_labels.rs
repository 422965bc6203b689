//! From the labels of a sample line to the labels of a series: target labels, `honor_labels`, relabelling, limits, normalised bounds.

use crate::exposition::number::{openmetrics_float, parse_float};
use crate::exposition::{ParseError, line};
use crate::relabel::{LabelMap, Relabel, apply_all};
use watchfire_model::{Labels, METRIC_NAME, MetricKind};

/// The part of a job that shapes its series.
#[derive(Clone, Debug, Default)]
pub struct LabelRules {
    /// Labels of the target.
    pub target: Labels,
    pub honor_labels: bool,
    pub metric_relabel: Vec<Relabel>,
    pub label_limit: usize,
    pub name_length: usize,
    pub value_length: usize,
}

impl LabelRules {
    /// The labels of a series, or `None` where relabelling drops it. `kind` is the type of its family, for `le` and `quantile`.
    ///
    /// # Errors
    /// When the text is no series or a label limit is exceeded; both fail the scrape.
    pub fn resolve(&self, text: &[u8], kind: impl Fn(&str) -> MetricKind) -> Result<Option<Labels>, ParseError> {
        let mut labels = LabelMap::new();
        for (name, value) in line::parse_series(text)? {
            labels.insert(name.into_owned(), value.into_owned());
        }
        let name = labels.get(METRIC_NAME).cloned().unwrap_or_default();
        let bound = match kind(&name) {
            MetricKind::Histogram | MetricKind::GaugeHistogram if name.ends_with("_bucket") => labels.get_mut("le"),
            MetricKind::Summary => labels.get_mut("quantile"),
            _ => None,
        };
        if let Some(bound) = bound
            && let Some(number) = parse_float(bound.as_bytes())
        {
            *bound = openmetrics_float(number);
        }
        self.add_target_labels(&mut labels);
        labels.retain(|_, value| !value.is_empty());
        if !self.metric_relabel.is_empty() {
            if !apply_all(&self.metric_relabel, &mut labels) {
                return Ok(None);
            }
            if !labels.contains_key(METRIC_NAME) {
                return Err(ParseError::Refused("metric_relabel_configs removed the metric name".to_owned()));
            }
        }
        self.check(&name, &labels)?;
        Ok(Some(Labels::from_pairs(&labels)))
    }

    fn add_target_labels(&self, labels: &mut LabelMap) {
        if self.honor_labels {
            for label in self.target.iter() {
                labels.entry(label.name.to_string()).or_insert_with(|| label.value.to_string());
            }
            return;
        }
        for label in self.target.iter() {
            let scraped = labels.insert(label.name.to_string(), label.value.to_string());
            if let Some(scraped) = scraped.filter(|v| !v.is_empty()) {
                let mut name = format!("exported_{}", label.name);
                while labels.contains_key(&name) || self.target.get(&name).is_some() {
                    name.insert_str(0, "exported_");
                }
                labels.insert(name, scraped);
            }
        }
    }

    fn check(&self, metric: &str, labels: &LabelMap) -> Result<(), ParseError> {
        let over = |length: usize, limit: usize| limit > 0 && length > limit;
        if over(labels.len(), self.label_limit) {
            return Err(ParseError::LabelLimit(format!("{} labels on {metric:.100}, the limit is {}", labels.len(), self.label_limit)));
        }
        for (name, value) in labels {
            if over(name.len(), self.name_length) {
                return Err(ParseError::LabelLimit(format!(
                    "a label name of {} bytes on {metric:.100}, the limit is {}",
                    name.len(),
                    self.name_length
                )));
            }
            if over(value.len(), self.value_length) {
                let (length, limit) = (value.len(), self.value_length);
                return Err(ParseError::LabelLimit(format!("label {name} of {length} bytes on {metric:.100}, the limit is {limit}")));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relabel::RelabelConfig;

    fn rules() -> LabelRules {
        LabelRules { target: Labels::from_pairs([("job", "j"), ("instance", "i")]), ..LabelRules::default() }
    }

    fn resolve(rules: &LabelRules, text: &str, kind: MetricKind) -> String {
        rules.resolve(text.as_bytes(), |_| kind).unwrap().map_or("dropped".to_owned(), |l| l.to_string())
    }

    #[test]
    fn a_targets_claim_to_be_another_is_kept_as_exported() {
        let mut rules = rules();
        let text = r#"m{job="x",exported_job="y",instance=""}"#;
        assert_eq!(resolve(&rules, text, MetricKind::Gauge), r#"m{exported_exported_job="x", exported_job="y", instance="i", job="j"}"#);
        rules.honor_labels = true;
        assert_eq!(resolve(&rules, text, MetricKind::Gauge), r#"m{exported_job="y", job="x"}"#);
    }

    #[test]
    fn bounds_of_histograms_and_summaries_are_normalised() {
        for (text, kind, expected) in [
            (r#"h_bucket{le="1"}"#, MetricKind::Histogram, r#"le="1.0""#),
            (r#"h_bucket{le="+Inf"}"#, MetricKind::Histogram, r#"le="+Inf""#),
            (r#"s{quantile="0.50"}"#, MetricKind::Summary, r#"quantile="0.5""#),
            (r#"g{le="1"}"#, MetricKind::Gauge, r#"le="1""#),
            (r#"h_bucket{le="wide"}"#, MetricKind::Histogram, r#"le="wide""#),
        ] {
            assert!(resolve(&rules(), text, kind).contains(expected), "{text}");
        }
    }

    #[test]
    fn limits_fail_and_relabelling_drops() {
        let limited = LabelRules { label_limit: 4, name_length: 12, value_length: 8, ..rules() };
        assert_eq!(resolve(&limited, r#"m{a="1"}"#, MetricKind::Gauge), r#"m{a="1", instance="i", job="j"}"#);
        for text in [r#"m{a="1",b="2"}"#, r#"m{a123456789012="1"}"#, r#"m{a="123456789"}"#] {
            assert!(matches!(limited.resolve(text.as_bytes(), |_| MetricKind::Gauge), Err(ParseError::LabelLimit(_))), "{text}");
        }
        let config: RelabelConfig = serde_saphyr::from_str("{source_labels: [__name__], regex: 'go_.*', action: drop}").unwrap();
        let dropping = LabelRules { metric_relabel: vec![Relabel::new(&config).unwrap()], ..rules() };
        assert_eq!(resolve(&dropping, "go_gc", MetricKind::Gauge), "dropped");
    }
}
