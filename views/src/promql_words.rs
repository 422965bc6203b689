//! Completion of PromQL while it is typed: metric names, label names, functions.

use watchfire_model::reading::Vocabulary;

const FUNCTIONS: [&str; 34] = [
    "abs",
    "absent",
    "avg",
    "avg_over_time",
    "bottomk",
    "by",
    "ceil",
    "changes",
    "count",
    "count_over_time",
    "delta",
    "deriv",
    "floor",
    "histogram_fraction",
    "histogram_quantile",
    "increase",
    "irate",
    "label_replace",
    "last_over_time",
    "max",
    "max_over_time",
    "min",
    "min_over_time",
    "offset",
    "predict_linear",
    "quantile",
    "rate",
    "resets",
    "sort_desc",
    "stddev",
    "sum",
    "time",
    "topk",
    "without",
];

/// Whole lines with the last word completed. Inside `{}` and after `by (` label names come first, else metric names.
pub(crate) fn complete(line: &str, vocabulary: Option<&Vocabulary>) -> Vec<String> {
    let start = line
        .rfind(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '.')))
        .map_or(0, |i| i + line[i..].chars().next().map_or(1, char::len_utf8));
    let (head, word) = line.split_at(start);
    if word.len() < 2 && !head.ends_with(['{', ',', '(']) {
        return Vec::new();
    }
    let in_braces = head.rfind('{').is_some_and(|open| head.rfind('}').is_none_or(|close| close < open));
    let grouping = head.trim_end().ends_with("by (") || head.trim_end().ends_with("by(") || head.trim_end().ends_with("without (");
    let none = Vocabulary::default();
    let vocabulary = vocabulary.unwrap_or(&none);
    let labels = vocabulary.labels.iter().map(String::as_str);
    let candidates: Vec<&str> = if in_braces || grouping {
        labels.collect()
    } else {
        FUNCTIONS.into_iter().filter(|f| f.starts_with(word)).chain(vocabulary.metrics.iter().map(String::as_str)).collect()
    };
    let mut matching: Vec<&str> = candidates.into_iter().filter(|c| c.contains(word) && *c != word).collect();
    matching.sort_by_key(|c| !c.starts_with(word));
    matching.into_iter().take(64).map(|c| format!("{head}{c}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_labels_and_functions_are_offered_where_they_fit() {
        let vocabulary =
            Vocabulary { metrics: vec!["up".into(), "watchfire_queue_depth".into()], labels: vec!["job".into()], services: vec![] };
        assert_eq!(complete("sum(que", Some(&vocabulary)), ["sum(watchfire_queue_depth"]);
        assert_eq!(complete("up{j", Some(&vocabulary)), ["up{job"]);
        assert_eq!(complete("u", Some(&vocabulary)), Vec::<String>::new());
        assert_eq!(complete("up{", Some(&vocabulary)), ["up{job"]);
        assert_eq!(complete("up{jo", Some(&vocabulary)), ["up{job"]);
        assert_eq!(complete("rat", None), ["rate"]);
        assert_eq!(complete("é", None), Vec::<String>::new());
    }
}
