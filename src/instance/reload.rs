//! Rules, notification settings, and what is scraped and probed are read again: on SIGHUP, on request, and when a file changes by itself. What
//! cannot be used changes nothing.

use super::evaluation::EvaluatorHandle;
use super::notifications::notify_settings;
use super::plan::{Plan, Wish, expand};
use super::targets::targets;
use parking_lot::Mutex;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio_util::sync::CancellationToken;
use watchfire_health::{CheckSettings, ProberHandle};
use watchfire_model::{Clock, Counter, Gauge, Meter, Timestamp, glob, harmless_limited};
use watchfire_notifiers::routing::{Routing, files_matching};
use watchfire_notifiers::{DispatcherHandle, Settings};
use watchfire_scrape::{Job, ScraperHandle};
use watchfire_serve::Certificates;

const LOOK: Duration = Duration::from_secs(2);

/// Keys that a reload puts into force; all others need a restart.
const RELOADED: [&str; 21] = [
    "rules",
    "services.*.url",
    "scrape",
    "probe",
    "collector",
    "platform_host",
    "limits.scrape",
    "limits.probe",
    "runbook_base",
    "notify",
    "receivers",
    "person",
    "people",
    "team",
    "route",
    "delivery",
    "alertmanager",
    "security.tls_certificate",
    "security.tls_key",
    "security.tls_client_ca",
    "security.tls_client_crl",
];

/// Below those and yet only in force after a restart.
const KEPT: [&str; 1] = ["limits.probe.parallel"];

/// What is told of a reload.
pub struct Parts {
    pub evaluator: EvaluatorHandle,
    pub dispatcher: DispatcherHandle,
    pub scraper: ScraperHandle,
    pub prober: ProberHandle,
    /// Scraped and probed whatever the configuration says: the endpoints of a simulated platform.
    pub simulated: (Vec<Job>, Vec<CheckSettings>),
    /// Of ports that speak TLS; whether they do is decided at the start.
    pub certificates: Option<Certificates>,
}

/// Reads everything again that can change while running.
pub struct Reloader {
    wish: Wish,
    /// Where this instance is reached, unless the configuration says otherwise.
    api_url: String,
    parts: Parts,
    clock: Arc<dyn Clock>,
    /// Settings in force, one line each. Held for a whole reload: of two at once the one that read the older files could be the last to put them
    /// into force.
    settings: Mutex<String>,
    trouble: Mutex<Option<String>>,
    watched: Mutex<Watched>,
    /// When what is in force at the start began to be read.
    read_at: Timestamp,
    successful: Gauge,
    success_time: Gauge,
    failures: Counter,
}

impl Reloader {
    pub fn new(plan: &Plan, delivery: &Settings, api_url: String, parts: Parts, clock: Arc<dyn Clock>, meter: &Meter) -> Self {
        let reloader = Reloader {
            wish: plan.wish.clone(),
            api_url,
            parts,
            settings: Mutex::new(plan.loaded.show()),
            trouble: Mutex::default(),
            watched: Mutex::new(Watched::of(plan, delivery)),
            read_at: plan.read_at,
            successful: meter.gauge("watchfire_config_last_reload_successful", &[]),
            success_time: meter.gauge("watchfire_config_last_reload_success_timestamp_seconds", &[]),
            failures: meter.counter("watchfire_config_reload_failures_total", &[]),
            clock,
        };
        reloader.successful.set(1.0);
        reloader.success_time.set(reloader.clock.now().seconds());
        reloader
    }

    /// Reads configuration, preset, rule files, targets and certificates again. Any mistake keeps everything as it was. Blocks.
    ///
    /// # Errors
    /// Every mistake, with file, line and column.
    pub fn reload(&self) -> Result<String, String> {
        let done = self.try_reload().map_err(|e| format!("{e:#}"));
        self.successful.set(if done.is_ok() { 1.0 } else { 0.0 });
        match &done {
            Ok(_) => self.success_time.set(self.clock.now().seconds()),
            Err(_) => self.failures.add(1),
        }
        *self.trouble.lock() = done.as_ref().err().cloned();
        done
    }

    fn try_reload(&self) -> anyhow::Result<String> {
        let mut in_force = self.settings.lock();
        let plan = self.wish.plan()?;
        let groups = plan.rule_groups()?;
        let settings = notify_settings(&plan, &self.api_url)?;
        let (mut jobs, mut checks) = targets(&plan)?;
        let tls = crate::tls::server_config(&plan.config.security)?;
        // The last thing that can fail.
        self.parts.dispatcher.reload(&settings).map_err(|e| anyhow::anyhow!("notify: {e}"))?;
        *self.watched.lock() = Watched::of(&plan, &settings);
        let rules: usize = groups.iter().map(|g| g.rules.len()).sum();
        let mut done = format!("{rules} rules in {} groups loaded", groups.len());
        self.parts.evaluator.reload(groups);
        // Targets that did not change go on with their slots and their series; those that are gone end with stale markers.
        jobs.extend(self.parts.simulated.0.iter().cloned());
        checks.extend(self.parts.simulated.1.iter().cloned());
        self.parts.scraper.set_jobs(jobs);
        self.parts.prober.set_checks(checks);
        let speaks_tls = tls.is_some();
        if let (Some(certificates), Some(tls)) = (&self.parts.certificates, tls) {
            certificates.replace(tls);
        }
        let now = plan.loaded.show();
        let before = std::mem::replace(&mut *in_force, now.clone());
        let mut waiting = restart_needed(&before, &now);
        if speaks_tls != self.parts.certificates.is_some() {
            waiting.push("security.tls_certificate".to_owned());
        }
        if !waiting.is_empty() {
            done.push_str(&format!("; changed and in force only after a restart: {}", waiting.join(", ")));
        }
        Ok(done)
    }

    pub fn evaluator(&self) -> &EvaluatorHandle {
        &self.parts.evaluator
    }

    /// Why the last reload changed nothing, for the banner.
    pub fn trouble(&self) -> Option<String> {
        let trouble = self.trouble.lock();
        let first = trouble.as_deref()?.lines().next().unwrap_or_default();
        Some(format!("the last reload failed, what was loaded before stays: {}", harmless_limited(first, 300)))
    }

    /// Looks for changed files until cancelled.
    pub async fn watch(self: Arc<Self>, cancel: CancellationToken) {
        // A file may have changed since it was read, which is some time ago: as it is now it is not known.
        let (watched, read_at) = (self.watched.lock().clone(), self.read_at);
        let mut known = tokio::task::spawn_blocking(move || watched.stamps_as_read(read_at)).await.unwrap_or_default();
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            let now = self.stamps().await;
            if now == known {
                continue;
            }
            known = now;
            let reloader = self.clone();
            match tokio::task::spawn_blocking(move || reloader.reload()).await {
                Ok(Ok(done)) => tracing::info!("a file changed: {done}"),
                Ok(Err(error)) => tracing::error!("a file changed and is wrong, what was loaded before stays: {error}"),
                Err(error) => tracing::error!("reload failed: {error}"),
            }
        }
    }

    async fn stamps(&self) -> Vec<(PathBuf, Option<Stamp>)> {
        let watched = self.watched.lock().clone();
        tokio::task::spawn_blocking(move || watched.stamps()).await.unwrap_or_default()
    }
}

/// Files that decide what a reload loads.
#[derive(Clone)]
struct Watched {
    files: Vec<PathBuf>,
    /// Of rule files; expanded at every look, so that a new file is a change as well.
    patterns: Vec<PathBuf>,
    /// Of template files, likewise.
    templates: Vec<PathBuf>,
}

impl Watched {
    fn of(plan: &Plan, settings: &Settings) -> Self {
        let preset = plan.config.platform.as_deref().map(PathBuf::from).filter(|p| p.is_dir());
        let preset = preset.iter().flat_map(|p| ["platform.toml", "rules.yaml"].map(|name| p.join(name)));
        let security = &plan.config.security;
        let certificates =
            [&security.tls_certificate, &security.tls_key, &security.tls_client_ca, &security.tls_client_crl].into_iter().flatten();
        let imported = plan.config.scrape.iter().filter_map(|job| job.prometheus.as_ref());
        let named = plan.loaded.file.iter().chain(&settings.alertmanager_config).chain(certificates).chain(imported);
        let files = named.cloned().chain(preset).collect();
        Watched { files, patterns: plan.config.rules.clone(), templates: Routing::template_patterns(settings) }
    }

    fn stamps(&self) -> Vec<(PathBuf, Option<Stamp>)> {
        let rules = self.patterns.iter().flat_map(|p| expand(p).unwrap_or_default());
        let templates = self.templates.iter().flat_map(|p| files_matching(p));
        let files = self.files.iter().cloned().chain(rules).chain(templates);
        files.map(|f| (f.clone(), std::fs::metadata(&f).ok().map(|m| Stamp::of(&m)))).collect()
    }

    /// As [`stamps`](Self::stamps), without those of files that have changed, or came under their names, since they were read.
    fn stamps_as_read(&self, read_at: Timestamp) -> Vec<(PathBuf, Option<Stamp>)> {
        let mut stamps = self.stamps();
        for (_, stamp) in &mut stamps {
            *stamp = stamp.filter(|stamp| stamp.changed_at() < read_at.millis());
        }
        stamps
    }
}

/// What changes with a file. Its time alone does not where another one that is as old is put in its place, or where reading is allowed at last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    written: Option<SystemTime>,
    bytes: u64,
    #[cfg(unix)]
    changed: (i64, i64),
    #[cfg(unix)]
    inode: u64,
}

impl Stamp {
    fn of(found: &std::fs::Metadata) -> Self {
        #[cfg(unix)]
        use std::os::unix::fs::MetadataExt;
        Stamp {
            written: found.modified().ok(),
            bytes: found.len(),
            #[cfg(unix)]
            changed: (found.ctime(), found.ctime_nsec()),
            #[cfg(unix)]
            inode: found.ino(),
        }
    }

    /// Milliseconds since the epoch.
    fn changed_at(&self) -> i64 {
        #[cfg(unix)]
        return self.changed.0.saturating_mul(1000).saturating_add(self.changed.1 / 1_000_000);
        #[cfg(not(unix))]
        return self.written.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok()).map_or(0, |since| since.as_millis() as i64);
    }
}

/// Keys whose values differ and that a reload does not put into force.
fn restart_needed(before: &str, now: &str) -> Vec<String> {
    let of = |text: &str| text.lines().map(str::to_owned).collect::<std::collections::BTreeSet<String>>();
    let (before, now) = (of(before), of(now));
    let key = |line: &String| line.split(" = ").next().unwrap_or_default().to_owned();
    let mut keys: Vec<String> = before.symmetric_difference(&now).map(key).collect();
    let below = |key: &str, all: &str| glob(all, key) || key.strip_prefix(all).is_some_and(|rest| rest.starts_with(['.', '[']));
    keys.retain(|k| KEPT.contains(&k.as_str()) || !RELOADED.iter().any(|all| below(k, all)));
    keys.sort();
    keys.dedup();
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_while_the_rest_was_read_is_not_taken_for_what_was_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("rules.yaml"), "old").expect("written");
        std::fs::write(path("new.yaml"), "new").expect("written");
        let watched = Watched { files: vec![path("rules.yaml")], patterns: vec![], templates: vec![] };
        let stamp = |name: &str| Stamp::of(&std::fs::metadata(path(name)).expect("there"));
        let later = Timestamp(stamp("rules.yaml").changed_at() + 1);
        assert_eq!(watched.stamps_as_read(later), [(path("rules.yaml"), Some(stamp("rules.yaml")))], "read after its last change");
        assert_eq!(watched.stamps_as_read(Timestamp(0)), [(path("rules.yaml"), None)]);
        // One that was written before takes its place; its time is still that of the writing.
        let written = stamp("new.yaml").written;
        std::fs::rename(path("new.yaml"), path("rules.yaml")).expect("renamed");
        let now = stamp("rules.yaml");
        assert_eq!((now.written, watched.stamps()), (written, vec![(path("rules.yaml"), Some(now))]));
        assert_eq!(watched.stamps_as_read(Timestamp(now.changed_at())), [(path("rules.yaml"), None)]);
    }

    #[test]
    fn template_files_are_watched_those_that_come_later_too() {
        let folder = tempfile::tempdir().expect("a folder");
        let routes = folder.path().join("alertmanager.yml");
        let text = "route: {receiver: a}\nreceivers: [{name: a}]\ntemplates: ['texts/*.tmpl', 'one.tmpl']\n";
        std::fs::write(&routes, text).expect("written");
        std::fs::create_dir(folder.path().join("texts")).expect("made");
        let settings = Settings { alertmanager_config: Some(routes), ..Settings::default() };
        let watched = Watched { files: vec![], patterns: vec![], templates: Routing::template_patterns(&settings) };
        let names = || watched.stamps().into_iter().map(|(path, _)| path).collect::<Vec<_>>();
        assert_eq!(names(), [] as [PathBuf; 0]);
        for name in ["texts/b.tmpl", "texts/a.tmpl", "texts/a.txt", "one.tmpl"] {
            std::fs::write(folder.path().join(name), "").expect("written");
        }
        assert_eq!(names(), ["texts/a.tmpl", "texts/b.tmpl", "one.tmpl"].map(|name| folder.path().join(name)));
    }

    #[test]
    fn only_what_is_not_reloaded_needs_a_restart() {
        let before = "api = \"127.0.0.1:1\"\nrules = [\"a\"]\nlimits.store.series = 5\nsecurity.tls_key = \"a\"\nscrape = [\"http://a\"]\nplatform_host = \"a\"\nlimits.probe.parallel = 1\nservices.a.url = \"http://a\"\nservices.a.owner = \"x\"\n";
        let now = "api = \"127.0.0.1:2\"\nrules = [\"b\"]\nlimits.store.series = 5\nsecurity.tls_key = \"b\"\ndelivery.external_url = \"http://x\"\nscrape[0].urls = [\"http://a\"]\nlimits.scrape.interval = \"5s\"\nplatform_host = \"b\"\nlimits.probe.parallel = 2\nservices.a.url = \"http://b\"\nservices.a.owner = \"y\"\n";
        assert_eq!(restart_needed(before, now), ["api", "limits.probe.parallel", "services.a.owner"]);
        assert_eq!(restart_needed(now, now), Vec::<String>::new());
    }
}
