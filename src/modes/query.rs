//! `watchfire query`: PromQL against a running instance, as table, JSON, CSV or a chart.

use crate::api::params::parse_time;
use crate::attach::RemoteSource;
use crate::chart::{Span, chart};
use crate::cli::{QueryArgs, QueryOutput};
use crate::exit;
use serde_json::Value as Json;
use std::process::ExitCode;
use watchfire_model::{Clock, Labels, Timestamp, parse_duration};

/// # Errors
/// When the instance cannot be reached or refuses the expression.
pub fn query(args: &QueryArgs, runtime: &tokio::runtime::Runtime) -> anyhow::Result<ExitCode> {
    let remote = RemoteSource::of_environment(&args.instance.url, runtime)?;
    let now = crate::clock::SystemClock.now();
    let at = match &args.time {
        Some(text) => moment(text, now)?,
        None => now,
    };
    let mut pairs: Vec<(&str, String)> = vec![("query", args.expression.clone())];
    let mut span = None;
    let path = match &args.range {
        Some(range) => {
            let back = parse_duration(range).map_err(|e| anyhow::anyhow!("--range: {e}; write 1h, 30m or 90s"))?;
            let step = parse_duration(&args.step).map_err(|e| anyhow::anyhow!("--step: {e}; write 15s or 1m"))?;
            let start = at.saturating_sub(back);
            let seconds = |at: Timestamp| at.millis() as f64 / 1000.0;
            span = Some(Span { start: seconds(start), end: seconds(at), step: step.as_secs_f64() });
            pairs.push(("start", start.to_string()));
            pairs.push(("end", at.to_string()));
            pairs.push(("step", step.as_secs_f64().to_string()));
            "/api/v1/query_range"
        }
        None => {
            pairs.push(("time", at.to_string()));
            "/api/v1/query"
        }
    };
    let encoded = form_urlencoded::Serializer::new(String::new()).extend_pairs(&pairs).finish();
    let body = remote.get(&format!("{path}?{encoded}")).map_err(|e| match e {
        watchfire_model::reading::ReadError::Disconnected(_) => remote.advise(e),
        other => anyhow::anyhow!("{}", pointed(&other.to_string(), &args.expression)),
    })?;
    let answer: Json = serde_json::from_slice(&body)?;
    for kind in ["warnings", "infos"] {
        for text in answer[kind].as_array().into_iter().flatten().filter_map(Json::as_str) {
            eprintln!("{}: {}", kind.trim_end_matches('s'), watchfire_model::harmless(text));
        }
    }
    let series = series(&answer["data"]);
    match args.output {
        QueryOutput::Json => exit::print(&format!("{}\n", serde_json::to_string_pretty(&answer["data"])?)),
        QueryOutput::Csv => exit::print(&csv(&series)),
        QueryOutput::Table => exit::print(&table(&series)),
        QueryOutput::Chart => exit::print(&chart(&series, span, 80, 16)),
    }
    Ok(ExitCode::SUCCESS)
}

/// The refusal, with the place it speaks of (`2:5: parse error: ...`) marked under the expression.
fn pointed(refusal: &str, expression: &str) -> String {
    let plain = refusal.strip_prefix("invalid parameter \"query\": ").unwrap_or(refusal);
    let place = plain.split_once(": parse error: ").and_then(|(place, _)| {
        let (line, column) = place.split_once(':')?;
        Some((line.parse::<usize>().ok()?, column.parse::<usize>().ok()?))
    });
    let Some((line, column)) = place else { return plain.to_owned() };
    let Some(text) = line.checked_sub(1).and_then(|line| expression.lines().nth(line)) else { return plain.to_owned() };
    // Columns count bytes, a mark stands under a character.
    let before = text.char_indices().take_while(|(at, _)| at + 1 < column).count();
    format!("{plain}\n  {text}\n  {}^", " ".repeat(before))
}

/// Unix seconds, RFC 3339, or `-10m` before `now`.
pub fn moment(text: &str, now: Timestamp) -> anyhow::Result<Timestamp> {
    if let Some(back) = text.strip_prefix('-') {
        return Ok(now.saturating_sub(parse_duration(back).map_err(|e| anyhow::anyhow!("--time: {e}"))?));
    }
    parse_time(text).ok_or_else(|| anyhow::anyhow!("--time: {text:?} is not a time; write Unix seconds, RFC 3339 or -10m"))
}

/// One series of an answer: labels and (seconds, value as Prometheus wrote it).
pub struct Series {
    pub labels: Labels,
    pub points: Vec<(f64, String)>,
}

fn series(data: &Json) -> Vec<Series> {
    let point = |p: &Json| -> Option<(f64, String)> { Some((p[0].as_f64()?, text(&p[1]))) };
    match data["resultType"].as_str() {
        Some("scalar" | "string") => vec![Series { labels: Labels::empty(), points: point(&data["result"]).into_iter().collect() }],
        _ => data["result"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|item| {
                let labels = serde_json::from_value(item["metric"].clone()).unwrap_or_default();
                let mut points = Vec::new();
                for key in ["value", "histogram"] {
                    points.extend(point(&item[key]));
                }
                for key in ["values", "histograms"] {
                    points.extend(item[key].as_array().into_iter().flatten().filter_map(point));
                }
                Series { labels, points }
            })
            .collect(),
    }
}

fn text(value: &Json) -> String {
    match value {
        Json::String(s) => s.clone(),
        Json::Object(h) => format!("count {} sum {}", h["count"].as_str().unwrap_or("?"), h["sum"].as_str().unwrap_or("?")),
        other => other.to_string(),
    }
}

fn table(series: &[Series]) -> String {
    if series.is_empty() {
        return "no data\n".to_owned();
    }
    let width = series.iter().map(|s| s.labels.to_string().chars().count()).max().unwrap_or(0).min(100);
    let mut out = String::new();
    for s in series {
        let labels = s.labels.to_string();
        match s.points.as_slice() {
            [(_, value)] => out.push_str(&format!("{labels:<width$}  {value}\n")),
            points => {
                out.push_str(&format!("{labels}\n"));
                for (t, value) in points {
                    out.push_str(&format!("  {}  {value}\n", clock_text(*t)));
                }
            }
        }
    }
    out
}

fn csv(series: &[Series]) -> String {
    let mut out = "time,series,value\n".to_owned();
    for s in series {
        let labels = s.labels.to_string().replace('"', "\"\"");
        for (t, value) in &s.points {
            let value = if value.contains([',', '"', '\n', '\r']) { format!("\"{}\"", value.replace('"', "\"\"")) } else { value.clone() };
            out.push_str(&format!("{t:.3},\"{labels}\",{value}\n"));
        }
    }
    out
}

fn clock_text(seconds: f64) -> String {
    chrono::DateTime::from_timestamp_millis((seconds * 1000.0) as i64)
        .map_or_else(|| seconds.to_string(), |t| t.format("%Y-%m-%d %H:%M:%S%.3fZ").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn answers_become_tables_and_csv() {
        let data = json!({"resultType": "vector", "result": [
            {"metric": {"__name__": "up", "job": "a"}, "value": [1.0, "1"]},
            {"metric": {"__name__": "up", "job": "long-name"}, "value": [1.0, "0"]},
        ]});
        assert_eq!(table(&series(&data)), "up{job=\"a\"}          1\nup{job=\"long-name\"}  0\n");
        assert_eq!(csv(&series(&data)).lines().nth(1), Some("1.000,\"up{job=\"\"a\"\"}\",1"));
        assert_eq!(table(&series(&json!({"resultType": "vector", "result": []}))), "no data\n");
        let string = json!({"resultType": "string", "result": [1.0, "a,\"b\""]});
        assert_eq!(csv(&series(&string)).lines().nth(1), Some("1.000,\"{}\",\"a,\"\"b\"\"\""));
    }

    #[test]
    fn a_refusal_points_at_its_place() {
        let refusal = "invalid parameter \"query\": 1:4: parse error: unexpected end of input inside braces";
        assert_eq!(pointed(refusal, "up{"), "1:4: parse error: unexpected end of input inside braces\n  up{\n     ^");
        assert_eq!(pointed("2:3: parse error: x", "a +\n  )"), "2:3: parse error: x\n    )\n    ^");
        assert_eq!(pointed("query timed out", "up"), "query timed out");
        assert_eq!(pointed("9:1: parse error: x", "up"), "9:1: parse error: x");
    }

    #[test]
    fn moments_may_be_relative() -> anyhow::Result<()> {
        assert_eq!(moment("-10m", Timestamp(600_000))?, Timestamp(0));
        assert_eq!(moment("5", Timestamp(0))?, Timestamp(5000));
        assert!(moment("soon", Timestamp(0)).is_err());
        Ok(())
    }
}
