//! `watchfire rules`: check, test and backtest rule files with promtool's verdicts.

use crate::attach::RemoteSource;
use crate::cli::{LintChecks, RulesCommand, StatusOutput};
use crate::clock::SystemClock;
use crate::exit;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use watchfire_alerts::{CheckOptions, DiskFiles, Lint, Period, RuleFile, RuleFiles, RuleGroup, TestOptions, TestOutcome, Verdict};
use watchfire_config::files::{GENERATED, RECORDED, read_text, text};
use watchfire_model::reading::{Backtest, BacktestQuery, Reading, Request, Source};
use watchfire_model::{Clock, Timestamp, format_duration, parse_duration};
use watchfire_promql::{Engine, EngineOptions};

/// # Errors
/// When files cannot be read, or the instance cannot be reached.
pub fn rules(command: &RulesCommand) -> anyhow::Result<ExitCode> {
    match command {
        RulesCommand::Check { files, lint, lint_fatal, ignore_unknown_fields } => {
            // Repeated rules are all that there is to look for in a rule file.
            let lint = if matches!(lint, LintChecks::None) { Lint::None } else { Lint::DuplicateRules };
            let options = CheckOptions { lint, lint_fatal: *lint_fatal, ignore_unknown_fields: *ignore_unknown_fields };
            Ok(conclude(&watchfire_alerts::check(&contents(files), options)))
        }
        RulesCommand::Test { files, run, junit, ignore_unknown_fields } => {
            let run =
                run.iter().map(|r| watchfire_model::go_regex(r)).collect::<Result<_, _>>().map_err(|e| anyhow::anyhow!("--run: {e}"))?;
            test(files, &TestOptions { run, ignore_unknown_fields: *ignore_unknown_fields }, junit.as_deref())
        }
        RulesCommand::Backtest { files, since, from, step, instance, output } => {
            let back = parse_duration(since).map_err(|e| anyhow::anyhow!("--since: {e}; write 6h or 30m"))?;
            let step = step.as_deref().map(parse_duration).transpose();
            let step = step.map_err(|e| anyhow::anyhow!("--step: {e}; write 15s or 1m"))?;
            if step.is_some_and(|step| step.is_zero()) {
                anyhow::bail!("--step: {:?} is no distance; write 15s or 1m", "0s");
            }
            backtest(files, back, from.as_deref(), step, &instance.url, *output)
        }
    }
}

/// Name and text of each file; standard input where none is named.
fn contents(files: &[PathBuf]) -> Vec<(String, Result<String, String>)> {
    if files.is_empty() {
        let read = text(std::io::stdin(), GENERATED).map_err(|e| e.to_string());
        return vec![("standard input".to_owned(), read)];
    }
    files
        .iter()
        .map(|path| (path.display().to_string(), read_text(path, GENERATED).map_err(|e| format!("{}: {e}", path.display()))))
        .collect()
}

fn conclude(verdict: &Verdict) -> ExitCode {
    exit::print(&verdict.stdout);
    for line in verdict.stderr.lines() {
        eprintln!("{}", watchfire_model::harmless(line));
    }
    ExitCode::from(verdict.exit_code)
}

fn test(files: &[PathBuf], options: &TestOptions, junit: Option<&Path>) -> anyhow::Result<ExitCode> {
    let beside: Vec<DiskFiles> = files.iter().map(|path| DiskFiles::beside(path)).collect();
    let inputs: Vec<(String, Result<String, String>, &dyn RuleFiles)> =
        contents(files).into_iter().zip(&beside).map(|((name, text), files)| (name, text, files as &dyn RuleFiles)).collect();
    let (verdict, outcomes) = watchfire_alerts::test(&inputs, options);
    if let Some(path) = junit {
        std::fs::write(path, report(&outcomes)).map_err(|e| anyhow::anyhow!("cannot write {}: {e}", path.display()))?;
    }
    Ok(conclude(&verdict))
}

fn report(outcomes: &[TestOutcome]) -> String {
    let failed = outcomes.iter().filter(|o| !o.failures.is_empty()).count();
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite name=\"rules\" tests=\"{}\" failures=\"{failed}\">\n",
        outcomes.len()
    );
    for outcome in outcomes {
        let (file, name) = (exit::xml(&outcome.file), exit::xml(&outcome.name));
        out.push_str(&format!("    <testcase classname=\"{file}\" name=\"{name}\""));
        if outcome.failures.is_empty() {
            out.push_str("/>\n");
        } else {
            out.push_str(&format!("><failure message=\"{}\"/></testcase>\n", exit::xml(&outcome.failures.join("\n"))));
        }
    }
    out.push_str("  </testsuite>\n</testsuites>\n");
    out
}

fn backtest(
    files: &[PathBuf],
    back: Duration,
    from: Option<&Path>,
    step: Option<Duration>,
    url: &str,
    output: StatusOutput,
) -> anyhow::Result<ExitCode> {
    let mut groups: Vec<RuleGroup> = Vec::new();
    for (name, text) in contents(files) {
        let file = RuleFile::parse(&name, &text.map_err(|e| anyhow::anyhow!("cannot read {e}"))?)
            .map_err(|errors| anyhow::anyhow!(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))?;
        groups.extend(file.groups);
    }
    let out: Vec<(String, Backtest)> = match from {
        Some(path) => {
            let text = read_text(path, RECORDED).map_err(|e| {
                let too_large = e.kind() == std::io::ErrorKind::FileTooLarge;
                let advice = if too_large { "; write out only the series and hours that the rules need" } else { "" };
                anyhow::anyhow!("cannot read {}: {e}{advice}", path.display())
            })?;
            let source = crate::samples_file::read(&text).map_err(|e| anyhow::anyhow!("{}: {e}", path.display()))?;
            let (first, end) = source.span().ok_or_else(|| anyhow::anyhow!("{} holds no samples", path.display()))?;
            let start = first.max(end.saturating_sub(back));
            let period = Period { start, end, step };
            let engine =
                Engine::new(EngineOptions { subquery_step: step.unwrap_or(watchfire_alerts::BACKTEST_STEP), ..EngineOptions::default() });
            let results = watchfire_alerts::backtest(&engine, &groups, &source, period);
            results.into_iter().map(|r| (r.rule, r.backtest)).collect()
        }
        None => remote(&groups, back, step, url)?,
    };
    exit::print(&match output {
        StatusOutput::Json => {
            let json: Vec<_> = out.iter().map(|(name, b)| serde_json::json!({"rule": name, "backtest": b})).collect();
            format!("{}\n", serde_json::to_string_pretty(&json)?)
        }
        StatusOutput::Table => table(&out),
    });
    // Of a rule that fails, no pages say nothing.
    let is_blind = |backtest: &Backtest| backtest.failed > 0 && backtest.pages == 0;
    Ok(if out.iter().any(|(_, backtest)| is_blind(backtest)) { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

/// Asks a running instance about every alerting rule. What other rules give is there as far as it runs them already.
fn remote(groups: &[RuleGroup], back: Duration, step: Option<Duration>, url: &str) -> anyhow::Result<Vec<(String, Backtest)>> {
    let runtime = super::runtime()?;
    let remote = RemoteSource::of_environment(url, &runtime)?;
    let end = SystemClock.now();
    let start = end.saturating_sub(back);
    let mut out = Vec::new();
    for (group, rule) in groups.iter().flat_map(|g| g.rules.iter().map(move |rule| (g, rule))) {
        let Some(alerting) = rule.alerting() else { continue };
        let step = step.or(group.interval).unwrap_or(watchfire_alerts::BACKTEST_STEP);
        let query = BacktestQuery {
            expression: rule.expression.clone(),
            for_seconds: alerting.hold.as_secs_f64(),
            keep_firing_for_seconds: alerting.keep_firing_for.as_secs_f64(),
            start,
            end,
            step_ms: step.as_millis() as i64,
        };
        match remote.read(&Request::Backtest(query), None) {
            Ok(Reading::Backtest(mut done)) => {
                let read = watchfire_alerts::read_of(groups, rule);
                if !read.is_empty() {
                    done.warnings.push(format!(
                        "it reads what {} of these files give, and sees them as {url} runs them, if it does; \
                         write the series out and name the file in --from to try all of them together",
                        read.join(", ")
                    ));
                }
                out.push((rule.name.clone(), done));
            }
            Ok(_) => anyhow::bail!("{url} does not speak this version of watchfire"),
            Err(e) => anyhow::bail!("{}: {e}", rule.name),
        }
    }
    Ok(out)
}

fn table(results: &[(String, Backtest)]) -> String {
    let mut out = String::new();
    for (name, backtest) in results {
        let failed = if backtest.failed > 0 { format!(", of which {} fail", backtest.failed) } else { String::new() };
        let pages = if backtest.pages == 1 { "1 page".to_owned() } else { format!("{} pages", backtest.pages) };
        out.push_str(&format!("{name}: {pages} in {} evaluations{failed}\n", backtest.evaluations));
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
