//! watchfire beside the Prometheus that is installed, on the same targets at the same time: processor time per scraped sample, and per round of fifty rules.
//!
//! `cargo run --release -p watchfire-bench --example against_prometheus [-- PATH-OF-WATCHFIRE]`. About five minutes. Linux only: processor time is read
//! from `/proc`. First both evaluate the same rules over the same samples, which carry their times for that; only when all values agree to nine digits are
//! figures taken: four processes, each with and without rules, over the same span of time. Prometheus also writes a log of samples to disk, and we do not.
//! Without `prometheus` on the path there is nothing to compare with, and it says so.

mod rules;
mod subject;
mod targets;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use subject::{Failure, Subject};
use targets::{SERIES, TARGETS, Targets};

/// Windows of rules are full after this long.
const WARM_UP: Duration = Duration::from_secs(70);
const MEASURED: Duration = Duration::from_secs(40);
const ROUNDS: usize = 3;

fn main() -> Result<(), Failure> {
    let Ok(version) = std::process::Command::new("prometheus").arg("--version").output() else {
        println!("skipped: there is no `prometheus` on the path to compare with");
        return Ok(());
    };
    let text = String::from_utf8_lossy(&version.stdout).into_owned();
    println!("against {}", text.lines().next().unwrap_or("a Prometheus that does not tell its version"));
    let binary = match std::env::args().nth(1) {
        Some(path) => PathBuf::from(path),
        None => std::env::current_exe()?.ancestors().nth(2).ok_or("no directory of builds")?.join("watchfire"),
    };
    if !binary.exists() {
        return Err(format!("{} is not built: cargo build --release", binary.display()).into());
    }
    let targets = Targets::serve()?;
    let directory = tempfile::tempdir()?;
    let rule_file = directory.path().join("rules.yaml");
    std::fs::write(&rule_file, rules::file())?;
    let bench = Bench { binary, directory: directory.path(), rules: &rule_file, targets: &targets };
    bench.agree()?;
    bench.measure()
}

struct Bench<'a> {
    binary: PathBuf,
    directory: &'a Path,
    rules: &'a Path,
    targets: &'a Targets,
}

impl Bench<'_> {
    /// A Prometheus configuration, which both read.
    fn configuration(&self, name: &str, interval: &str, with_rules: bool) -> Result<PathBuf, Failure> {
        let addresses: Vec<String> = self.targets.addresses.iter().map(|a| format!("\"{a}\"")).collect();
        let rules = if with_rules { format!("rule_files: [\"{}\"]\n", self.rules.display()) } else { String::new() };
        let text = format!(
            "global: {{ scrape_interval: {interval}, scrape_timeout: {interval}, evaluation_interval: 5s }}\n{rules}scrape_configs:\n- job_name: bench\n  static_configs: [{{ targets: [{}] }}]\n",
            addresses.join(", ")
        );
        let path = self.directory.join(format!("{name}.yml"));
        std::fs::write(&path, text)?;
        Ok(path)
    }

    fn room(&self, name: &str) -> Result<PathBuf, Failure> {
        let room = self.directory.join(name);
        std::fs::create_dir_all(&room)?;
        Ok(room)
    }

    /// Whether all rules come to the same values on the same samples.
    fn agree(&self) -> Result<(), Failure> {
        self.targets.stamp(true);
        // Twice for each second, so that no second is missed.
        let configuration = self.configuration("agree", "500ms", false)?;
        let theirs = Subject::prometheus("Prometheus", &self.room("agree-prometheus")?, &configuration)?;
        let ours = Subject::watchfire("watchfire", &self.binary, &self.room("agree-watchfire")?, &configuration, None)?;
        let at = same_samples(&ours, &theirs)?;
        let (mut values, mut alerts) = (0, 0);
        for (measured, limit) in rules::conditions() {
            let expected = same(&ours, &theirs, &measured, at)?;
            if !measured.contains("up == 0") && expected == 0 {
                return Err(format!("{measured} has no value").into());
            }
            values += expected;
            alerts += same(&ours, &theirs, &format!("{measured} {limit}"), at)?;
        }
        println!("{} rules agree to nine digits: {values} values, {alerts} alerts", rules::RULES);
        Ok(())
    }

    fn measure(&self) -> Result<(), Failure> {
        self.targets.stamp(false);
        let plain = self.configuration("plain", "1s", false)?;
        let ruled = self.configuration("ruled", "1s", true)?;
        let subjects = [
            Subject::prometheus("Prometheus", &self.room("prometheus")?, &plain)?,
            Subject::prometheus("Prometheus with rules", &self.room("prometheus-rules")?, &ruled)?,
            Subject::watchfire("watchfire", &self.binary, &self.room("watchfire")?, &plain, None)?,
            Subject::watchfire("watchfire with rules", &self.binary, &self.room("watchfire-rules")?, &plain, Some(self.rules))?,
        ];
        std::thread::sleep(WARM_UP);
        let (mut scrapes, mut rounds) = (Vec::new(), Vec::new());
        let mut before = subjects.iter().map(Reading::of).collect::<Result<Vec<_>, _>>()?;
        for _ in 0..ROUNDS {
            std::thread::sleep(MEASURED);
            let after = subjects.iter().map(Reading::of).collect::<Result<Vec<_>, _>>()?;
            let spent: Vec<Reading> = after.iter().zip(&before).map(|(a, b)| a.since(b)).collect();
            let per_sample = |leg: usize| spent[leg].cpu / spent[leg].samples * 1e9;
            // What the same number of samples costs without rules is taken off.
            let per_round = |leg: usize| {
                (spent[leg + 1].cpu - spent[leg].cpu * spent[leg + 1].samples / spent[leg].samples) / spent[leg + 1].rounds * 1e3
            };
            println!(
                "{:.0} s: scraping {:.1} and {:.1} ns a sample, a round of rules {:.1} and {:.2} ms; {:.0} and {:.0} samples, {:.1} and {:.1} rounds",
                MEASURED.as_secs_f64(),
                per_sample(0),
                per_sample(2),
                per_round(0),
                per_round(2),
                spent[0].samples,
                spent[2].samples,
                spent[1].rounds,
                spent[3].rounds,
            );
            scrapes.push((per_sample(0) / per_sample(2), per_sample(0), per_sample(2)));
            rounds.push((per_round(0) / per_round(2), per_round(0), per_round(2)));
            before = after;
        }
        let series = (TARGETS * SERIES) as f64;
        for subject in &subjects {
            let memory = subject.resident_megabytes()?;
            println!("{}: {memory:.0} MB resident, {:.2} kB a series", subject.name, memory * 1024.0 / series);
        }
        report("P12: processor time per scraped sample, whole process, without rules", "ns", scrapes);
        report(&format!("P13: processor time per round of {} rules over {series} series", rules::RULES), "ms", rounds);
        Ok(())
    }
}

/// What a process has done so far.
struct Reading {
    cpu: f64,
    samples: f64,
    /// Evaluations of all groups.
    rounds: f64,
}

impl Reading {
    fn of(subject: &Subject) -> Result<Self, Failure> {
        let ours = subject.name.starts_with("watchfire");
        let prefix = if ours { "watchfire" } else { "prometheus" };
        let samples = if ours { "watchfire_scrape_samples_total" } else { "prometheus_tsdb_head_samples_appended_total" };
        let groups = 5.0;
        let evaluated = subject.metric(&format!("{prefix}_rule_group_iterations_total"), "group-")?;
        let missed = subject.metric(&format!("{prefix}_rule_group_iterations_missed_total"), "group-")?;
        // Prometheus counts iterations that were due, the missed ones among them.
        let rounds = if ours { evaluated } else { evaluated - missed } / groups;
        Ok(Reading { cpu: subject.cpu()?, samples: subject.metric(samples, "")?, rounds })
    }

    fn since(&self, before: &Reading) -> Reading {
        Reading { cpu: self.cpu - before.cpu, samples: self.samples - before.samples, rounds: self.rounds - before.rounds }
    }
}

/// A time before which both have the same samples. On a busy machine one of them may have missed a second; then its window has to pass.
fn same_samples(ours: &Subject, theirs: &Subject) -> Result<f64, Failure> {
    for _ in 0..10 {
        std::thread::sleep(WARM_UP);
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let at = now.as_secs() as f64 - 2.5;
        let held = "sum by (instance) (count_over_time(http_requests_total[1m]))";
        let (mine, other) = (ours.query(held, at)?, theirs.query(held, at)?);
        if mine == other && mine.len() == TARGETS {
            return Ok(at);
        }
        println!("not the same samples yet, trying again");
    }
    Err("one of the two keeps missing scrapes; the machine is too busy for a comparison".into())
}

/// Asks both, and counts the elements they agree on.
fn same(ours: &Subject, theirs: &Subject, expression: &str, at: f64) -> Result<usize, Failure> {
    let (mine, other) = (ours.query(expression, at)?, theirs.query(expression, at)?);
    if mine.len() != other.len() {
        return Err(format!("{expression}: {} elements here, {} in Prometheus", mine.len(), other.len()).into());
    }
    for ((labels, value), (other_labels, expected)) in mine.iter().zip(&other) {
        let close = (value - expected).abs() <= 1e-9 * expected.abs().max(value.abs()) || value.is_nan() && expected.is_nan();
        if labels != other_labels || !close {
            return Err(format!("{expression}: {labels} {value} here, {other_labels} {expected} in Prometheus").into());
        }
    }
    Ok(mine.len())
}

/// Prints the median of the ratios with their range.
fn report(what: &str, unit: &str, mut figures: Vec<(f64, f64, f64)>) {
    figures.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (ratio, theirs, ours) = figures[figures.len() / 2];
    let (least, most) = (figures[0].0, figures[figures.len() - 1].0);
    println!("{what}: Prometheus {theirs:.1} {unit}, watchfire {ours:.1} {unit}: {ratio:.1}x less [{least:.1} .. {most:.1}]");
}
