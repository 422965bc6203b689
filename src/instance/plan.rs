//! From flags, environment and files to what is to be started. Everything that can be wrong with the wish is found here, before a port opens.

use super::guide::Guide;
use super::preset_rules::preset_groups;
use crate::cli::{DemoArgs, RunFlags};
use crate::clock::SystemClock;
use crate::local::Declared;
use anyhow::{Context as _, bail};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use watchfire_alerts::{RuleError, RuleFile, RuleGroup};
use watchfire_config::files::{BY_HAND, GENERATED, read_file, read_text};
use watchfire_config::{Config, ConfigError, Loaded, Platform, load_platform};
use watchfire_model::{Clock, Labels, Timestamp, glob};

/// Rules for those who have none.
const DEFAULT_RULES: &str = include_str!("../../assets/rules/default.yaml");
/// Name of the default rule file in `/api/v1/rules`.
const DEFAULT_RULES_NAME: &str = "watchfire-defaults.yaml";
/// Whether rules can be evaluated is watched whoever wrote them.
const OWN_RULES: &str = include_str!("../../assets/rules/itself.yaml");
const OWN_RULES_NAME: &str = "watchfire-itself.yaml";

/// The annotation that says where to read what to do.
const RUNBOOK: &str = "runbook_url";

/// A run, decided.
pub struct Plan {
    pub config: Config,
    pub loaded: Loaded,
    pub platform: Option<Platform>,
    /// Simulate the platform instead of waiting for a real one.
    pub demo: Option<DemoPlan>,
    /// Alert states, silences and unsent notifications outlive the run.
    pub durable: bool,
    pub wish: Wish,
    /// When the first of its files began to be read.
    pub read_at: Timestamp,
}

/// What a plan is made from; a reload makes it again.
#[derive(Clone)]
pub enum Wish {
    Run(RunFlags),
    Demo(DemoArgs),
}

impl Wish {
    /// # Errors
    /// As the plan it makes.
    pub fn plan(&self) -> anyhow::Result<Plan> {
        match self {
            Wish::Run(flags) => Plan::from_flags(flags),
            Wish::Demo(args) => Plan::demo(args),
        }
    }
}

/// The simulated part of a demo.
pub struct DemoPlan {
    pub scenario: Option<String>,
    pub speed: f64,
    pub seed: u64,
}

impl Plan {
    /// # Errors
    /// Everything that is wrong with configuration, preset or rules, with file, line and column.
    pub fn from_flags(flags: &RunFlags) -> anyhow::Result<Plan> {
        let read_at = SystemClock.now();
        let loaded = load(flags)?;
        let config = loaded.config.clone();
        let platform = config.platform.as_deref().map(platform).transpose()?;
        let plan = Plan { config, loaded, platform, demo: None, durable: true, wish: Wish::Run(flags.clone()), read_at };
        plan.check_addresses()?;
        Ok(plan)
    }

    /// # Errors
    /// As [`from_flags`](Self::from_flags), and for an unknown platform or scenario.
    pub fn demo(args: &DemoArgs) -> anyhow::Result<Plan> {
        let read_at = SystemClock.now();
        let loaded = load(&args.run)?;
        let config = loaded.config.clone();
        let platform = platform(args.platform())?;
        if let Some(name) = &args.scenario
            && platform.scenario(name).is_none()
        {
            let names: Vec<&str> = platform.scenarios.iter().map(|s| s.name.as_str()).collect();
            let near = watchfire_config::nearest(name, names.iter().copied()).map(|n| format!("; did you mean {n}?")).unwrap_or_default();
            bail!("{} has no scenario {name:?}{near}\n`watchfire demo {} --list` names them", platform.title, args.platform());
        }
        if !(args.speed.is_finite() && args.speed > 0.0 && args.speed <= 1000.0) {
            bail!("--speed {}: use a number above 0, at most 1000", args.speed);
        }
        let demo = DemoPlan { scenario: args.scenario.clone(), speed: args.speed, seed: args.seed };
        let plan =
            Plan { config, loaded, platform: Some(platform), demo: Some(demo), durable: false, wish: Wish::Demo(args.clone()), read_at };
        plan.check_addresses()?;
        let security = &plan.config.security;
        let guarded = security.token.is_some() || security.token_file.is_some() || security.tls_certificate.is_some();
        let beyond = [plan.config.otlp_grpc, plan.config.otlp_http].iter().filter_map(|l| l.address()).any(|a| !a.ip().is_loopback());
        if guarded && beyond {
            bail!("the services of a demo send in the clear and without a token; keep --otlp-grpc and --otlp-http on loopback");
        }
        Ok(plan)
    }

    /// For a verdict only: nobody is told anything, and nothing is kept from or for another run.
    pub fn only_judge(&mut self) {
        self.durable = false;
        let config = &mut self.config;
        config.notify = vec!["none".to_owned()];
        config.receivers.clear();
        config.person.clear();
        config.team.clear();
        config.route.clear();
        config.alertmanager = None;
        for key in ["alertmanager_config", "alertmanagers", "default_to"] {
            config.delivery.remove(key);
        }
    }

    /// Other people's machines may reach an address beyond loopback, so it needs a token or an explicit word.
    fn check_addresses(&self) -> anyhow::Result<()> {
        let security = &self.config.security;
        let known = security.token.is_some() || security.token_file.is_some() || security.tls_client_ca.is_some();
        let guarded = known || security.allow_unauthenticated;
        for (name, listen) in [("otlp_grpc", self.config.otlp_grpc), ("otlp_http", self.config.otlp_http), ("api", self.config.api)] {
            if !listen.is_loopback() && !guarded {
                bail!(
                    "{name} = {listen} can be reached from other machines\nset security.token_file, or security.allow_unauthenticated = true if that is meant"
                );
            }
        }
        Ok(())
    }

    /// Whether a port gives way where it is taken: a demo leaves nothing behind and meets nobody, so it starts beside a real instance,
    /// on ports that were not asked for by name.
    pub fn may_move(&self, asked: impl Fn(&RunFlags) -> &Option<String>) -> bool {
        matches!(&self.wish, Wish::Demo(args) if asked(&args.run).is_none())
    }

    /// Sentences for the banner: what was tolerated in the configuration, and what is risky about it.
    pub fn warnings(&self) -> Vec<String> {
        let mut out: Vec<String> = self.loaded.warnings.iter().map(|w| w.to_string().replace("\n  ", "; ")).collect();
        let open = [self.config.otlp_grpc, self.config.otlp_http, self.config.api].iter().any(|l| !l.is_loopback());
        if open && self.config.security.allow_unauthenticated {
            out.push("ports are reachable from other machines without a token (security.allow_unauthenticated)".to_owned());
        }
        out
    }

    /// What tells this instance from others.
    pub fn external_labels(&self) -> Labels {
        Labels::from_pairs(self.config.external_labels.iter().map(|(name, value)| (name.as_str(), value.as_str())))
    }

    /// Settings as `/api/v1/status/flags` lists them; secrets are not settings.
    pub fn flag_values(&self) -> Vec<(String, String)> {
        let config = &self.config;
        vec![
            ("otlp-grpc".to_owned(), config.otlp_grpc.to_string()),
            ("otlp-http".to_owned(), config.otlp_http.to_string()),
            ("api".to_owned(), config.api.to_string()),
            ("memory-limit".to_owned(), config.memory_limit.to_string()),
            ("evaluation-interval".to_owned(), watchfire_model::format_duration(config.evaluation_interval)),
            ("query.lookback-delta".to_owned(), watchfire_model::format_duration(config.limits.query.lookback)),
            ("query.max-samples".to_owned(), config.limits.query.samples.to_string()),
            ("web.enable-remote-write-receiver".to_owned(), config.remote_write_receiver.to_string()),
        ]
    }

    /// The bearer token, from the configuration or its file.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn token(&self) -> anyhow::Result<Option<String>> {
        let security = &self.config.security;
        if let Some(token) = &security.token {
            return Ok(Some(token.expose().to_owned()));
        }
        match &security.token_file {
            Some(path) => {
                let text = read_text(path, BY_HAND).with_context(|| format!("cannot read security.token_file {}", path.display()))?;
                Ok(Some(text.trim().to_owned()))
            }
            None => Ok(None),
        }
    }

    /// Who leads through the scenario of a demo that began at `started`.
    pub fn guide(&self, started: Timestamp) -> Option<Guide> {
        let demo = self.demo.as_ref()?;
        let scenario = self.platform.as_ref()?.scenario(demo.scenario.as_ref()?)?.clone();
        Some(Guide { scenario, started, speed: demo.speed })
    }

    /// What preset and configuration say there is: `[services.NAME] owner` and the owner of a probe count before the preset's.
    pub fn declared(&self) -> Declared {
        let mut declared = self.platform.as_ref().map(Declared::from).unwrap_or_default();
        for probe in self.config.probe.iter().filter(|p| !p.service.is_empty() && !p.owner.is_empty()) {
            declared.own(&probe.service, &probe.owner);
        }
        for (name, known) in &self.config.services {
            if let Some(owner) = &known.owner {
                declared.own(name, owner);
            }
        }
        declared
    }

    /// The rule groups of this run: the preset's, those of `rules`, or the defaults where there is neither; and what watches those.
    ///
    /// # Errors
    /// Every mistake in every file.
    pub fn rule_groups(&self) -> anyhow::Result<Vec<RuleGroup>> {
        let mut groups = Vec::new();
        let mut errors = Vec::new();
        let mut add = |found: Result<Vec<RuleGroup>, Vec<RuleError>>| match found {
            Ok(found) => groups.extend(found),
            Err(found) => errors.extend(found.into_iter().map(|e| e.to_string())),
        };
        let parse = |name: &str, text: &str| RuleFile::parse(name, text).map(|file| file.groups);
        if let Some(platform) = &self.platform {
            add(preset_groups(platform));
        }
        self.unmatched_rules().iter().for_each(|said| tracing::warn!("{said}"));
        for path in self.rule_files()? {
            let text = read_file(&path, GENERATED).with_context(|| format!("cannot read rule file {}", path.display()))?;
            add(parse(&path.display().to_string(), &text));
        }
        if self.platform.is_none() && self.config.rules.is_empty() {
            add(parse(DEFAULT_RULES_NAME, DEFAULT_RULES));
        }
        add(parse(OWN_RULES_NAME, OWN_RULES));
        if !errors.is_empty() {
            bail!("{}", errors.join("\n"));
        }
        lead_runbooks(&mut groups, &self.config.runbook_base);
        Ok(groups)
    }

    /// Sentences on patterns of rule files that match nothing (yet): as in Prometheus that is no error, and a directory may be filled later.
    pub fn unmatched_rules(&self) -> Vec<String> {
        let unmatched = self.config.rules.iter().filter(|pattern| expand(pattern).is_ok_and(|found| found.is_empty()));
        unmatched.map(|pattern| format!("rules: {} matches no file", pattern.display())).collect()
    }

    /// Rule files named by the configuration, globs expanded in the last part; one that is named twice is there once.
    ///
    /// # Errors
    /// When a directory cannot be read.
    pub fn rule_files(&self) -> anyhow::Result<Vec<PathBuf>> {
        let mut out = Vec::new();
        for pattern in &self.config.rules {
            for path in expand(pattern)? {
                // A file that is not there is told where it is read.
                let same = |a: &Path, b: &Path| a == b || matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b);
                if !out.iter().any(|known: &PathBuf| same(known, &path)) {
                    out.push(path);
                }
            }
        }
        Ok(out)
    }
}

/// Makes links of runbooks that rules name by a path. Rule files are shared between places; where their pages are published is not.
fn lead_runbooks(groups: &mut [RuleGroup], base: &str) {
    if base.is_empty() {
        return;
    }
    for alerting in groups.iter_mut().flat_map(|g| &mut g.rules).filter_map(|r| r.alerting_mut()) {
        for (_, url) in alerting.annotations.iter_mut().filter(|(name, url)| name == RUNBOOK && is_path(url)) {
            *url = format!("{}/{}", base.trim_end_matches('/'), url.trim_start_matches("./").trim_start_matches('/'));
        }
    }
}

/// Neither an address nor a template that may become one.
fn is_path(url: &str) -> bool {
    !url.is_empty()
        && !url.starts_with("{{")
        && !url.starts_with("//")
        && !url.split(['/', '#', '?']).next().unwrap_or_default().contains(':')
}

/// `dir/*.yaml` to the files it names, sorted; a plain path is itself.
pub(super) fn expand(pattern: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let Some(name) = pattern.file_name().and_then(|n| n.to_str()).filter(|n| n.contains(['*', '?'])) else {
        return Ok(vec![pattern.to_owned()]);
    };
    let directory = pattern.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut found = Vec::new();
    let entries = match std::fs::read_dir(directory) {
        // It may come yet, as its files may.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(found),
        entries => entries.with_context(|| format!("cannot read {}", directory.display()))?,
    };
    for entry in entries {
        let path = entry?.path();
        if path.file_name().and_then(|n| n.to_str()).is_some_and(|n| glob(name, n)) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn load(flags: &RunFlags) -> anyhow::Result<Loaded> {
    Config::load(flags.config.as_deref(), environment(), pairs(flags)).map_err(all)
}

/// The variables of this process that are text.
pub fn environment() -> BTreeMap<String, String> {
    std::env::vars_os().filter_map(|(n, v)| Some((n.into_string().ok()?, v.into_string().ok()?))).collect()
}

/// A preset by name or directory.
///
/// # Errors
/// When there is none of that name, or its files are wrong.
pub fn platform(name: &str) -> anyhow::Result<Platform> {
    load_platform(name).map_err(all)
}

fn all(errors: Vec<ConfigError>) -> anyhow::Error {
    anyhow::anyhow!(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

/// Flags as the pairs that configuration layers understand.
fn pairs(flags: &RunFlags) -> Vec<(String, String)> {
    let mut out: Vec<(String, String)> = Vec::new();
    let mut put = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            out.push((name.to_owned(), value));
        }
    };
    let path = |p: &Option<PathBuf>| p.as_ref().map(|p| p.display().to_string());
    put("platform", flags.platform.clone());
    put("otlp-grpc", flags.otlp_grpc.clone());
    put("otlp-http", flags.otlp_http.clone());
    put("api", flags.api.clone());
    put("alertmanager", flags.alertmanager.clone());
    put("state-dir", path(&flags.state_dir));
    put("memory-limit", flags.memory_limit.clone());
    put("evaluation-interval", flags.evaluation_interval.clone());
    put("log-level", flags.log_level.clone());
    put("remote-write-receiver", flags.remote_write_receiver.then(|| "true".to_owned()));
    put("strict", flags.strict.then(|| "true".to_owned()));
    put("headless", flags.headless.then(|| "true".to_owned()));
    for (name, values) in [
        ("collector", &flags.collector),
        ("scrape", &flags.scrape),
        ("probe", &flags.probe),
        ("rules", &flags.rules),
        ("notify", &flags.notify),
    ] {
        for value in values {
            put(name, Some(value.clone()));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_rules_are_good_rules() {
        let file = RuleFile::parse(DEFAULT_RULES_NAME, DEFAULT_RULES);
        assert!(file.is_ok(), "{:?}", file.err());
    }

    #[test]
    fn a_runbook_named_by_a_path_leads_to_where_runbooks_stand() {
        let rules = |urls: &[&str]| {
            let one = |url: &&str| format!("  - {{alert: A, expr: up, annotations: {{runbook_url: '{url}'}}}}\n");
            let text = format!("groups:\n- name: g\n  rules:\n{}", urls.iter().map(one).collect::<String>());
            RuleFile::parse("rules", &text).unwrap_or_else(|e| panic!("{e:?}")).groups
        };
        let led = |base: &str, url: &str| {
            let mut groups = rules(&[url]);
            lead_runbooks(&mut groups, base);
            groups[0].rules[0].alerting().map(|a| a.annotations[0].1.clone()).unwrap_or_default()
        };
        let base = "https://wiki.example/runbooks/";
        for (url, expected) in [
            ("docs/x.md#co-01", "https://wiki.example/runbooks/docs/x.md#co-01"),
            ("./x", "https://wiki.example/runbooks/x"),
            ("/x/{{ $labels.job }}", "https://wiki.example/runbooks/x/{{ $labels.job }}"),
            ("x#a:b", "https://wiki.example/runbooks/x#a:b"),
        ] {
            assert_eq!(led(base, url), expected);
            assert_eq!(led("", url), url);
        }
        for kept in ["https://other.example/x", "javascript:alert(1)", "//other.example/x", "{{ $labels.runbook }}"] {
            assert_eq!(led(base, kept), kept);
        }
    }

    #[test]
    fn a_rule_file_that_is_named_twice_is_loaded_once() -> anyhow::Result<()> {
        let directory = tempfile::tempdir()?;
        for name in ["a.yml", "b.yml"] {
            std::fs::write(directory.path().join(name), format!("groups:\n- name: {name}\n  rules: [{{record: r, expr: vector(1)}}]\n"))?;
        }
        let named = |name: &str| directory.path().join(name).display().to_string();
        let flags = RunFlags { rules: vec![named("b.yml"), named("*.yml"), named("./a.yml")], ..RunFlags::default() };
        let groups = Plan::from_flags(&flags)?.rule_groups()?;
        assert_eq!(groups.iter().map(|g| g.name.as_str()).collect::<Vec<_>>(), ["b.yml", "a.yml", "watchfire-itself"]);
        Ok(())
    }

    /// Rules are read again while running, and nobody's reload waits for a pipe.
    #[test]
    fn a_pipe_among_rule_files_is_named_and_not_waited_for() -> anyhow::Result<()> {
        let directory = tempfile::tempdir()?;
        let pipe = directory.path().join("a.yml");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status()?.success());
        let flags = RunFlags { rules: vec![directory.path().join("*.yml").display().to_string()], ..RunFlags::default() };
        let error = Plan::from_flags(&flags)?.rule_groups().expect_err("no file");
        assert_eq!(format!("{error:#}"), format!("cannot read rule file {}: it is not a file", pipe.display()));
        Ok(())
    }

    #[test]
    fn a_probe_may_name_its_service() -> anyhow::Result<()> {
        let flags = RunFlags {
            probe: vec!["pay=http://127.0.0.1:1/health?x=1".to_owned(), "http://127.0.0.1:2/?a=b".to_owned()],
            ..RunFlags::default()
        };
        let plan = Plan::from_flags(&flags)?;
        let (_, checks) = crate::instance::targets(&plan)?;
        assert_eq!(checks[0].service, "pay");
        assert_eq!(checks[0].url, "http://127.0.0.1:1/health?x=1");
        assert_eq!(checks[1].service, "", "what the body says of itself names it");
        Ok(())
    }
}
