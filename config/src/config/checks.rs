//! What is wrong with values that are each readable: those that contradict one another, or the machine.

use super::Config;
use super::file::check_state_dir;
use super::layers::{Layers, dotted};
use crate::diagnosis::nearest;
use crate::size::ByteSize;

const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];
const LEAST_MEMORY: ByteSize = ByteSize::mebibytes(16);
const SHORTEST_TOKEN: usize = 16;
/// Names in `notify` that stand for something undeclared.
const BUILT_IN_RECEIVERS: [&str; 3] = ["desktop", "terminal", "none"];
/// Schemes of what is scraped and posted to.
const HTTP: [&str; 2] = ["http", "https"];
/// Schemes of what is probed.
const PROBED: [&str; 5] = ["http", "https", "tcp", "grpc", "grpcs"];

impl Layers {
    pub(super) fn check(&mut self, config: &Config) {
        self.check_process(config);
        self.check_access(config);
        self.check_notify(config);
        self.check_labels(config);
        self.check_services(config);
        self.check_urls(config);
        if let Err(error) = check_state_dir(&config.state_dir) {
            self.errors.push(error);
        }
    }

    /// What the process itself goes by.
    fn check_process(&mut self, config: &Config) {
        if !LEVELS.contains(&config.log_level.as_str()) {
            let help = nearest(&config.log_level, LEVELS).map_or_else(|| LEVELS.join(", "), |near| format!("did you mean `{near}`?"));
            self.complain("log_level", format!("{:?} is not a log level", config.log_level), &help);
        }
        if config.evaluation_interval.is_zero() {
            self.complain("evaluation_interval", "must be longer than nothing".to_owned(), "write it like \"15s\"");
        }
        if config.memory_limit < LEAST_MEMORY {
            let help = format!("give at least {LEAST_MEMORY}");
            self.complain("memory_limit", format!("{} is too little to work with", config.memory_limit), &help);
        }
        let zone = config.ui.timezone.as_str();
        if !(zone.is_empty() || zone == "local" || zone.eq_ignore_ascii_case("utc") || zone.parse::<chrono_tz::Tz>().is_ok()) {
            self.complain("ui.timezone", format!("there is no time zone {zone:?}"), "write local, utc or a name such as Europe/Berlin");
        }
    }

    /// Who may come in, and what they must show.
    fn check_access(&mut self, config: &Config) {
        let security = &config.security;
        let guarded = security.token.is_some() || security.token_file.is_some() || security.tls_client_ca.is_some();
        for (key, listen) in [("otlp_grpc", config.otlp_grpc), ("otlp_http", config.otlp_http), ("api", config.api)] {
            if !listen.is_loopback() && !guarded && !security.allow_unauthenticated {
                self.complain(
                    key,
                    format!("`{listen}` can be reached by other machines, and nothing asks who they are"),
                    "set security.token_file or security.tls_client_ca, or say security.allow_unauthenticated = true",
                );
            }
        }
        if security.tls_certificate.is_some() != security.tls_key.is_some() {
            self.complain(
                "security.tls_certificate",
                "a certificate and its key belong together".to_owned(),
                "set both tls_certificate and tls_key",
            );
        }
        if security.tls_client_crl.is_some() && security.tls_client_ca.is_none() {
            self.complain(
                "security.tls_client_crl",
                "a revocation list says nothing without the authority whose certificates it takes back".to_owned(),
                "set security.tls_client_ca as well",
            );
        }
        if security.token.as_ref().is_some_and(|t| t.expose().len() < SHORTEST_TOKEN) {
            let message = format!("a token needs at least {SHORTEST_TOKEN} characters");
            self.complain("security.token", message, "openssl rand -hex 16 makes one");
        }
    }

    fn check_notify(&mut self, config: &Config) {
        let named = config.person.iter().chain(&config.team).filter_map(|table| table.get("name")?.as_str());
        let known: Vec<&str> = BUILT_IN_RECEIVERS.into_iter().chain(config.receivers.keys().map(String::as_str)).chain(named).collect();
        for name in config.notify.iter().filter(|name| !known.contains(&name.as_str())) {
            let help = nearest(name, known.iter().copied()).map_or_else(
                || format!("known: {}; others need a [receivers.{name}]", known.join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            self.complain("notify", format!("there is no receiver, person or team `{name}`"), &help);
        }
    }

    fn check_labels(&mut self, config: &Config) {
        for name in config.external_labels.keys() {
            let plain = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            if !plain || name.starts_with("__") {
                let message = format!("{name:?} is not the name of a label");
                self.complain(&dotted(&["external_labels", name]), message, "letters, digits and underscores; cluster = \"eu-1\"");
            }
        }
    }

    fn check_services(&mut self, config: &Config) {
        for (name, service) in &config.services {
            if service.sampling.is_some_and(|s| !(s > 0.0 && s <= 1.0)) {
                let message = "a sampling ratio lies above 0 and at most at 1".to_owned();
                self.complain(&dotted(&["services", name, "sampling"]), message, "0.1 keeps one trace in ten");
            }
        }
    }

    fn check_urls(&mut self, config: &Config) {
        let base = config.runbook_base.as_str();
        let leads = ["https://", "http://"].iter().any(|scheme| base.starts_with(scheme)) && !base.contains(char::is_whitespace);
        if !base.is_empty() && !leads {
            let message = format!("{base:?} is not a URL that a message can lead to");
            self.complain("runbook_base", message, "write it like https://wiki.example/runbooks");
        }
        let mut wrong = Vec::new();
        let mut look = |key: &'static str, url: &str, schemes: &[&str]| {
            let scheme = url.split_once("://").map(|(scheme, _)| scheme);
            if url.is_empty() || scheme.is_some_and(|s| !schemes.contains(&s)) || url.contains(char::is_whitespace) {
                wrong.push((key, format!("{url:?} is not a URL that can be used here"), format!("schemes: {}", schemes.join(", "))));
            }
        };
        config.collector.iter().for_each(|url| look("collector", url, &HTTP));
        config.scrape.iter().flat_map(|job| &job.urls).for_each(|url| look("scrape", url, &HTTP));
        config.probe.iter().for_each(|probe| look("probe", &probe.url, &PROBED));
        config.alertmanager.iter().for_each(|url| look("alertmanager", url, &HTTP));
        for (key, message, help) in wrong {
            self.complain(key, message, &help);
        }
        for job in &config.scrape {
            if job.urls.is_empty() && job.file_sd.is_empty() && job.prometheus.is_none() {
                self.complain("scrape", format!("the scrape job `{}` has neither urls nor file_sd nor prometheus", job.name), "");
            }
        }
    }
}
