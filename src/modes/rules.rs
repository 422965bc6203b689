//! `watchfire rules`: check, test and backtest rule files with promtool's verdicts.

use crate::attach::RemoteSource;
use crate::cli::{RulesCommand, StatusOutput};
use crate::clock::SystemClock;
use crate::exit;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use watchfire_alerts::{RuleFile, RuleGroup};
use watchfire_model::reading::{Backtest, BacktestQuery, Reading, Request, Source};
use watchfire_model::{Clock, SeriesSource, Timestamp, format_duration, parse_duration};
use watchfire_promql::Engine;

/// # Errors
/// When files cannot be read, or the instance cannot be reached.
pub fn rules(command: &RulesCommand) -> anyhow::Result<ExitCode> {
    match command {
        RulesCommand::Check { files, lint_fatal } => Ok(ExitCode::from(watchfire_alerts::tool::check(files, *lint_fatal))),
        RulesCommand::Test { files, run, junit } => Ok(ExitCode::from(watchfire_alerts::tool::test(files, run.as_deref(), junit.as_deref())?)),
        RulesCommand::Backtest { files, since, from, step, instance, output } => {
            let back = parse_duration(since).map_err(|e| anyhow::anyhow!("--since: {e}; write 6h or 30m"))?;
            let step = parse_duration(step).map_err(|e| anyhow::anyhow!("--step: {e}; write 15s or 1m"))?;
            backtest(files, back, from.as_deref(), step, &instance.url, *output)
        }
    }
}

fn backtest(
    files: &[PathBuf],
    back: Duration,
    from: Option<&Path>,
    step: Duration,
    url: &str,
    output: StatusOutput,
) -> anyhow::Result<ExitCode> {
    let mut groups: Vec<RuleGroup> = Vec::new();
    for path in files {
        let text = std::fs::read_to_string(path).map_err(|e| anyhow::anyhow!("cannot read {}: {e}", path.display()))?;
        let file = RuleFile::parse(&path.display().to_string(), &text)
            .map_err(|errors| anyhow::anyhow!(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))?;
        groups.extend(file.groups);
    }
    let mut out = Vec::new();
    match from {
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|e| anyhow::anyhow!("cannot read {}: {e}", path.display()))?;
            let source = watchfire_alerts::OpenMetricsFile::parse(&text).map_err(|e| anyhow::anyhow!("{}: {e}", path.display()))?;
            let (first, last) = source.range().ok_or_else(|| anyhow::anyhow!("{} holds no samples", path.display()))?;
            let start = first.max(last.saturating_sub(back));
            let engine = Engine::default();
            for query in queries(&groups, start, last, step) {
                let done = watchfire_alerts::backtest(&query.1, &engine, &source as &dyn SeriesSource).map_err(|e| anyhow::anyhow!("{}: {e}", query.0))?;
                out.push((query.0, done));
            }
        }
        None => {
            let runtime = super::runtime()?;
            let remote = RemoteSource::new(url, std::env::var("WATCHFIRE_TOKEN").ok(), runtime.handle().clone())?;
            let now = SystemClock.now();
            for (name, query) in queries(&groups, now.saturating_sub(back), now, step) {
                match remote.read(&Request::Backtest(query), None) {
                    Ok(Reading::Backtest(done)) => out.push((name, done)),
                    Ok(_) => anyhow::bail!("{url} does not speak this version of watchfire"),
                    Err(e) => anyhow::bail!("{name}: {e}"),
                }
            }
        }
    }
    exit::print(&match output {
        StatusOutput::Json => {
            let json: Vec<_> = out.iter().map(|(name, b)| serde_json::json!({"rule": name, "backtest": b})).collect();
            format!("{}\n", serde_json::to_string_pretty(&json)?)
        }
        StatusOutput::Table => table(&out),
    });
    Ok(ExitCode::SUCCESS)
}

/// Every alerting rule as a question about the past. Recording rules are not run: they are series already, or the rule sees what it saw then.
fn queries(groups: &[RuleGroup], start: Timestamp, end: Timestamp, step: Duration) -> Vec<(String, BacktestQuery)> {
    groups
        .iter()
        .flat_map(|g| g.rules.iter())
        .filter_map(|rule| {
            let alerting = rule.alerting()?;
            let query = BacktestQuery {
                expression: rule.expression.clone(),
                for_seconds: alerting.hold.as_secs_f64(),
                keep_firing_for_seconds: alerting.keep_firing_for.as_secs_f64(),
                start,
                end,
                step_ms: step.as_millis() as i64,
            };
            Some((rule.name.clone(), query))
        })
        .collect()
}

fn table(results: &[(String, Backtest)]) -> String {
    let mut out = String::new();
    for (name, backtest) in results {
        out.push_str(&format!("{name}: {} pages in {} evaluations\n", backtest.pages, backtest.evaluations));
        for episode in &backtest.episodes {
            let fired = match episode.fired_at {
                Some(at) => format!("fired {} (after {})", moment(at), format_duration(at.since(episode.pending_at))),
                None => "never fired".to_owned(),
            };
            let ended = episode.ended_at.map_or("still active".to_owned(), |at| format!("ended {}", moment(at)));
            let peak = episode.peak_value.map_or(String::new(), |v| format!(", peak {v:.4}"));
            out.push_str(&format!("  {}  pending {}, {fired}, {ended}{peak}\n", episode.labels, moment(episode.pending_at)));
        }
        for warning in &backtest.warnings {
            out.push_str(&format!("  note: {warning}\n"));
        }
    }
    if results.is_empty() {
        out.push_str("no alerting rules in these files\n");
    }
    out
}

fn moment(at: Timestamp) -> String {
    crate::api::rfc3339(at)
}
