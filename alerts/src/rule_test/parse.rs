//! Reads test files. Unknown keys are errors, as with promtool.

use super::{AlertTest, ExpectedSample, ExpressionTest, TestFile, TestGroup};
use crate::nearest::nearest;
use crate::yaml::{self, Kind, Node, YamlError};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;
use watchfire_model::{Labels, LabelsBuilder, Timestamp, parse_duration};
use watchfire_promql::script::{Sample, parse_series};

const FILE: [&str; 5] = ["rule_files", "evaluation_interval", "group_eval_order", "fuzzy_compare", "tests"];
const GROUP: [&str; 8] =
    ["name", "interval", "input_series", "alert_rule_test", "promql_expr_test", "external_labels", "external_url", "start_timestamp"];

type Parsed<T> = Result<T, YamlError>;

pub(super) fn parse(name: &str, text: &str, ignore_unknown: bool) -> Result<TestFile, Vec<String>> {
    let read = || {
        let (root, _) = yaml::parse(text)?;
        file(&root, ignore_unknown)
    };
    read().map_err(|e| vec![format!("{name}: {}:{}: {}", e.line, e.column, e.message)])
}

fn fields<'n>(node: &'n Node, known: &[&'static str], what: &str, ignore_unknown: bool) -> Parsed<Vec<(&'static str, &'n Node)>> {
    let entries = match &node.kind {
        Kind::Mapping(entries) => entries,
        Kind::Null => return Ok(Vec::new()),
        _ => return Err(node.error(format!("{what} must be a map, not {}", node.kind_word()))),
    };
    let mut out = Vec::new();
    for (key, value) in entries {
        let text = key.text().unwrap_or("");
        match known.iter().find(|k| **k == text) {
            Some(known) => out.push((*known, value)),
            None if ignore_unknown => {}
            None => {
                let hint = nearest(text, known.iter().copied()).map(|n| format!("; did you mean {n:?}?")).unwrap_or_default();
                return Err(key.error(format!("field {text} not found in {what}{hint}")));
            }
        }
    }
    Ok(out)
}

fn list(node: &Node) -> Parsed<Vec<&Node>> {
    match &node.kind {
        Kind::Sequence(items) => Ok(items.iter().filter(|item| !matches!(item.kind, Kind::Null)).collect()),
        Kind::Null => Ok(Vec::new()),
        _ => Err(node.error(format!("expected a list, not {}", node.kind_word()))),
    }
}

fn string(node: &Node) -> Parsed<String> {
    node.text().map(str::to_owned).ok_or_else(|| node.error(format!("expected text, not {}", node.kind_word())))
}

fn duration(node: &Node) -> Parsed<Duration> {
    let text = string(node)?;
    if text.is_empty() { Ok(Duration::ZERO) } else { parse_duration(&text).map_err(|e| node.error(e.to_string())) }
}

fn labels(node: &Node) -> Parsed<Labels> {
    match &node.kind {
        Kind::Null => Ok(Labels::empty()),
        Kind::Mapping(entries) => {
            let mut builder = LabelsBuilder::new();
            for (name, value) in entries {
                builder.set(&string(name)?, &string(value)?);
            }
            // What is expected to be empty is expected to be there.
            Ok(builder.build_texts())
        }
        _ => Err(node.error(format!("expected a map, not {}", node.kind_word()))),
    }
}

fn file(root: &Node, ignore: bool) -> Parsed<TestFile> {
    let mut file = TestFile {
        rule_files: Vec::new(),
        evaluation_interval: Duration::from_secs(60),
        group_eval_order: Vec::new(),
        fuzzy_compare: false,
        tests: Vec::new(),
    };
    let mut tests = Vec::new();
    for (key, value) in fields(root, &FILE, "the test file", ignore)? {
        match key {
            "rule_files" => file.rule_files = list(value)?.into_iter().map(string).collect::<Parsed<_>>()?,
            "evaluation_interval" => {
                file.evaluation_interval = Some(duration(value)?).filter(|d| !d.is_zero()).unwrap_or(file.evaluation_interval);
            }
            "group_eval_order" => {
                file.group_eval_order = list(value)?.into_iter().map(string).collect::<Parsed<_>>()?;
                for (i, name) in file.group_eval_order.iter().enumerate() {
                    if file.group_eval_order[..i].contains(name) {
                        return Err(value.error(format!("group name repeated in evaluation order: {name}")));
                    }
                }
            }
            "fuzzy_compare" => {
                file.fuzzy_compare = match value.text() {
                    Some("true" | "True" | "TRUE" | "yes" | "on") => true,
                    Some("false" | "False" | "FALSE" | "no" | "off" | "") => false,
                    _ => return Err(value.error("fuzzy_compare must be true or false")),
                };
            }
            _ => tests = list(value)?,
        }
    }
    file.tests = tests.iter().map(|t| group(t, file.evaluation_interval, ignore)).collect::<Parsed<_>>()?;
    Ok(file)
}

fn group(node: &Node, default_interval: Duration, ignore: bool) -> Parsed<TestGroup> {
    let mut group = TestGroup {
        name: String::new(),
        interval: default_interval,
        input_series: Vec::new(),
        alert_tests: Vec::new(),
        expression_tests: Vec::new(),
        external_labels: Labels::empty(),
        external_url: String::new(),
        start: Timestamp(0),
    };
    for (key, value) in fields(node, &GROUP, "a test group", ignore)? {
        match key {
            "name" => group.name = string(value)?,
            "interval" => group.interval = Some(duration(value)?).filter(|d| !d.is_zero()).unwrap_or(default_interval),
            "input_series" => {
                let mut places = HashMap::new();
                for item in list(value)? {
                    let (mut series, mut values) = (String::new(), String::new());
                    for (key, value) in fields(item, &["series", "values"], "an input series", ignore)? {
                        match key {
                            "series" => series = string(value)?,
                            _ => values = string(value)?,
                        }
                    }
                    let read = parse_series(&format!("{series} {values}")).map_err(|e| item.error(e))?;
                    // Of two with the same labels the later one counts.
                    match places.entry(read.labels.clone()) {
                        Entry::Occupied(place) => group.input_series[*place.get()] = read,
                        Entry::Vacant(place) => {
                            place.insert(group.input_series.len());
                            group.input_series.push(read);
                        }
                    }
                }
            }
            "alert_rule_test" => group.alert_tests = list(value)?.into_iter().map(|n| alert_test(n, ignore)).collect::<Parsed<_>>()?,
            "promql_expr_test" => {
                group.expression_tests = list(value)?.iter().map(|n| expression_test(n, ignore)).collect::<Parsed<_>>()?
            }
            "external_labels" => group.external_labels = labels(value)?.to_builder().build(),
            "external_url" => group.external_url = string(value)?,
            _ => group.start = start(value)?,
        }
    }
    Ok(group)
}

fn start(node: &Node) -> Parsed<Timestamp> {
    let text = string(node)?;
    if let Ok(seconds) = text.parse::<f64>() {
        return Ok(Timestamp::from_seconds(seconds));
    }
    chrono::DateTime::parse_from_rfc3339(&text)
        .map(|t| Timestamp(t.timestamp_millis()))
        .map_err(|_| node.error(format!("start_timestamp must be Unix seconds or RFC 3339, not {text:?}")))
}

fn alert_test(node: &Node, ignore: bool) -> Parsed<AlertTest> {
    let mut test = AlertTest { eval_time: Duration::ZERO, alertname: String::new(), expected: Vec::new() };
    let mut expected = Vec::new();
    for (key, value) in fields(node, &["eval_time", "alertname", "exp_alerts"], "an alert_rule_test", ignore)? {
        match key {
            "eval_time" => test.eval_time = duration(value)?,
            "alertname" => test.alertname = string(value)?,
            _ => expected = list(value)?,
        }
    }
    if test.alertname.is_empty() {
        let at = watchfire_model::format_duration(test.eval_time);
        return Err(node.error(format!("an item under alert_rule_test misses required attribute alertname at eval_time {at}")));
    }
    for item in expected {
        let (mut exp_labels, mut annotations) = (Labels::empty(), Labels::empty());
        for (key, value) in fields(item, &["exp_labels", "exp_annotations"], "an expected alert", ignore)? {
            match key {
                "exp_labels" => exp_labels = labels(value)?,
                _ => annotations = labels(value)?,
            }
        }
        let mut builder = exp_labels.to_builder();
        builder.set("alertname", &test.alertname);
        test.expected.push((builder.build_texts(), annotations));
    }
    Ok(test)
}

fn expression_test(node: &Node, ignore: bool) -> Parsed<ExpressionTest> {
    let mut test = ExpressionTest { expression: String::new(), eval_time: Duration::ZERO, expected: Vec::new() };
    for (key, value) in fields(node, &["expr", "eval_time", "exp_samples"], "a promql_expr_test", ignore)? {
        match key {
            "expr" => test.expression = string(value)?,
            "eval_time" => test.eval_time = duration(value)?,
            _ => test.expected = list(value)?.iter().map(|n| expected_sample(n, ignore)).collect::<Parsed<_>>()?,
        }
    }
    Ok(test)
}

fn expected_sample(node: &Node, ignore: bool) -> Parsed<ExpectedSample> {
    let mut sample = ExpectedSample { labels: Labels::empty(), value: 0.0, histogram: None };
    for (key, value) in fields(node, &["labels", "value", "histogram"], "an expected sample", ignore)? {
        match key {
            "labels" => {
                let text = string(value)?;
                if !text.is_empty() {
                    sample.labels = parse_series(&text).map_err(|e| value.error(e))?.labels;
                }
            }
            "value" => {
                sample.value = value
                    .number()
                    .ok_or_else(|| value.error("expected a number; text in quotes is none, and YAML has .nan and .inf for NaN and Inf"))?
            }
            _ => {
                let text = string(value)?;
                if !text.is_empty() {
                    let parsed = parse_series(&format!("{{}} {text}")).map_err(|e| value.error(e))?;
                    match parsed.values.as_slice() {
                        [Some(Sample::Histogram { histogram: h, .. })] => sample.histogram = Some((**h).clone()),
                        _ => return Err(value.error("expected one histogram, got something else")),
                    }
                }
            }
        }
    }
    Ok(sample)
}
