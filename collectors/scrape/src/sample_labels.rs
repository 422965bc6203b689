//! From the labels of a sample line to the labels of a series: target labels, `honor_labels`, relabelling, limits, normalised bounds.

use crate::exposition::ParseError;
use crate::exposition::line::{Pairs, parse_series};
use crate::exposition::number::{openmetrics_float, parse_float};
use crate::relabel::{LabelMap, Relabel, apply_all};
use hashbrown::HashSet;
use std::borrow::Cow;
use std::sync::Arc;
use watchfire_model::{Labels, LabelsBuilder, METRIC_NAME, MetricKind};

/// Texts kept for sharing; a target has far fewer label names and metric names.
const MAX_TEXTS: usize = 20_000;

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

/// Label names and metric names of one target, each kept once.
#[derive(Debug, Default)]
pub(crate) struct Texts(HashSet<Arc<str>>);

impl Texts {
    fn share(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.0.get(text) {
            return known.clone();
        }
        let made: Arc<str> = Arc::from(text);
        if self.0.len() < MAX_TEXTS {
            self.0.insert(made.clone());
        }
        made
    }
}

impl LabelRules {
    /// The labels of a series, or `None` where relabelling drops it. `kind` is the type of its family, for `le` and `quantile`.
    ///
    /// # Errors
    /// When the text is no series or a label limit is exceeded; both fail the scrape.
    pub(crate) fn resolve(&self, text: &[u8], texts: &mut Texts, kind: impl Fn(&str) -> MetricKind) -> Result<Option<Labels>, ParseError> {
        let mut pairs = parse_series(text)?;
        let kind = kind(&pairs[0].1);
        let bound = match kind {
            MetricKind::Histogram | MetricKind::GaugeHistogram if pairs[0].1.ends_with("_bucket") => "le",
            MetricKind::Summary => "quantile",
            _ => "",
        };
        if let Some((_, bound)) = pairs.iter_mut().find(|(name, _)| !bound.is_empty() && name == bound)
            && let Some(number) = parse_float(bound.as_bytes())
        {
            *bound = Cow::Owned(openmetrics_float(number));
        }
        let mut pairs = self.with_target_labels(pairs);
        pairs.retain(|(_, value)| !value.is_empty());
        if !self.metric_relabel.is_empty() {
            let mut labels: LabelMap = pairs.into_iter().map(|(n, v)| (n.into_owned(), v.into_owned())).collect();
            if !apply_all(&self.metric_relabel, &mut labels) {
                return Ok(None);
            }
            if !labels.contains_key(METRIC_NAME) {
                return Err(ParseError::Refused("metric_relabel_configs removed the metric name".to_owned()));
            }
            pairs = labels.into_iter().map(|(n, v)| (Cow::Owned(n), Cow::Owned(v))).collect();
        }
        self.check(&pairs)?;
        Ok(Some(self.build(&pairs, texts)))
    }

    fn with_target_labels<'a>(&'a self, mut pairs: Pairs<'a>) -> Pairs<'a> {
        let mut displaced: Vec<(&str, Cow<'a, str>)> = Vec::new();
        for label in self.target.iter() {
            let (name, value) = (Cow::Borrowed(&*label.name), Cow::Borrowed(&*label.value));
            let Some(at) = pairs.iter().position(|(n, _)| *n == name) else {
                pairs.push((name, value));
                continue;
            };
            if self.honor_labels {
                continue;
            }
            let scraped = std::mem::replace(&mut pairs[at].1, value);
            if !scraped.is_empty() {
                displaced.push((&label.name, scraped));
            }
        }
        // The shortest name first, as in Prometheus: where one is exported already, the next free one is taken.
        displaced.sort_by_key(|(name, _)| name.len());
        for (name, scraped) in displaced {
            let mut kept = format!("exported_{name}");
            while pairs.iter().any(|(n, _)| *n == kept) {
                kept.insert_str(0, "exported_");
            }
            pairs.push((Cow::Owned(kept), scraped));
        }
        pairs
    }

    fn build(&self, pairs: &Pairs<'_>, texts: &mut Texts) -> Labels {
        let mut builder = LabelsBuilder::new();
        for (name, value) in pairs {
            let value = match self.target.iter().find(|l| *l.name == **name && *l.value == **value) {
                Some(label) => label.value.clone(),
                None if name == METRIC_NAME => texts.share(value),
                None => Arc::from(&**value),
            };
            builder.set_shared(texts.share(name), value);
        }
        builder.build()
    }

    fn check(&self, pairs: &Pairs<'_>) -> Result<(), ParseError> {
        let over = |length: usize, limit: usize| limit > 0 && length > limit;
        let metric = || pairs.iter().find(|(n, _)| n == METRIC_NAME).map_or("", |(_, v)| v);
        if over(pairs.len(), self.label_limit) {
            return Err(ParseError::LabelLimit(format!("{} labels on {:.100}, the limit is {}", pairs.len(), metric(), self.label_limit)));
        }
        for (name, value) in pairs {
            if over(name.len(), self.name_length) {
                let (length, limit) = (name.len(), self.name_length);
                return Err(ParseError::LabelLimit(format!("a label name of {length} bytes on {:.100}, the limit is {limit}", metric())));
            }
            if over(value.len(), self.value_length) {
                let (length, limit) = (value.len(), self.value_length);
                return Err(ParseError::LabelLimit(format!("label {name} of {length} bytes on {:.100}, the limit is {limit}", metric())));
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
        rules.resolve(text.as_bytes(), &mut Texts::default(), |_| kind).unwrap().map_or("dropped".to_owned(), |l| l.to_string())
    }

    #[test]
    fn a_targets_claim_to_be_another_is_kept_as_exported() {
        let mut rules = rules();
        let text = r#"m{job="x",exported_job="y",instance=""}"#;
        assert_eq!(resolve(&rules, text, MetricKind::Gauge), r#"m{exported_exported_job="x", exported_job="y", instance="i", job="j"}"#);
        rules.honor_labels = true;
        assert_eq!(resolve(&rules, text, MetricKind::Gauge), r#"m{exported_job="y", job="x"}"#);
        // Of two that must give way the one with the shorter name is the first to take a free one.
        let rules = LabelRules { target: Labels::from_pairs([("team", "blue"), ("exported_team", "q")]), ..LabelRules::default() };
        assert_eq!(
            resolve(&rules, r#"m{team="x",exported_team="y"}"#, MetricKind::Gauge),
            r#"m{exported_exported_exported_team="y", exported_exported_team="x", exported_team="q", team="blue"}"#
        );
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
            assert!(
                matches!(limited.resolve(text.as_bytes(), &mut Texts::default(), |_| MetricKind::Gauge), Err(ParseError::LabelLimit(_))),
                "{text}"
            );
        }
        let config: RelabelConfig = serde_saphyr::from_str("{source_labels: [__name__], regex: 'go_.*', action: drop}").unwrap();
        let dropping = LabelRules { metric_relabel: vec![Relabel::new(&config).unwrap()], ..rules() };
        assert_eq!(resolve(&dropping, "go_gc", MetricKind::Gauge), "dropped");
    }
}
