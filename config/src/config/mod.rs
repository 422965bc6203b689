//! The configuration: what it holds, where each value came from, and how it is written.

mod beside;
mod checks;
mod file;
mod layers;
mod limits;
mod paths;
mod settings;
mod targets;
mod text;

pub use layers::{Loaded, Origin};
pub use limits::{ApiLimits, Limits, OtlpLimits, ProbeLimits, QueryLimits, RuleLimits, ScrapeLimits, StoreLimits};
pub use paths::{Paths, paths};
pub use settings::{OPEN_TABLES, SETTINGS, Setting, SettingKind};
pub use targets::{Probe, ScrapeJob};
pub use text::{config_schema, init_text, platform_schema};

use crate::listen::Listen;
use crate::size::ByteSize;
use crate::{ConfigError, duration_text};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use watchfire_model::Secret;

/// Everything that can be configured. [`Config::load`] fills it from defaults, file, environment and flags.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Name or directory of the platform to watch.
    pub platform: Option<String>,
    /// Host on which the platform's documented ports are probed and scraped; empty: its services are only waited for.
    pub platform_host: String,
    pub headless: bool,
    pub otlp_grpc: Listen,
    pub otlp_http: Listen,
    pub api: Listen,
    /// Collectors to watch themselves.
    pub collector: Vec<String>,
    /// Prometheus targets: URLs, or jobs.
    pub scrape: Vec<ScrapeJob>,
    /// Health endpoints: URLs, or checks.
    pub probe: Vec<Probe>,
    /// Prometheus rule files.
    pub rules: Vec<PathBuf>,
    /// Where runbooks stand whose `runbook_url` is a path; empty: messages name the path.
    pub runbook_base: String,
    pub alertmanager: Option<String>,
    /// What tells this instance from others: on alerts that are sent and series that are federated, where they have no such label.
    pub external_labels: BTreeMap<String, String>,
    pub state_dir: PathBuf,
    pub memory_limit: ByteSize,
    #[serde(with = "duration_text")]
    pub evaluation_interval: Duration,
    /// Who hears what no route matches: `desktop`, `terminal`, or names of receivers, people and teams; `none`.
    pub notify: Vec<String>,
    pub remote_write_receiver: bool,
    pub log_level: String,
    /// Refuse what would otherwise only be warned about.
    pub strict: bool,
    /// How each receiver is reached; read by the notifiers.
    pub receivers: BTreeMap<String, toml::Table>,
    /// Who hears which severity; read by the router.
    pub route: Vec<toml::Table>,
    /// People with channels, quiet hours and a daily summary; read by the router.
    pub person: Vec<toml::Table>,
    /// Teams of people and receivers; read by the router.
    pub team: Vec<toml::Table>,
    /// How notices are delivered: limits, an `alertmanager.yml`, allowed label destinations; read by the notifiers.
    pub delivery: toml::Table,
    /// What is known of a service beyond the preset.
    pub services: BTreeMap<String, ServiceOverride>,
    pub ui: Ui,
    pub security: Security,
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            platform: None,
            platform_host: "127.0.0.1".to_owned(),
            headless: false,
            otlp_grpc: Listen::loopback(4317),
            otlp_http: Listen::loopback(4318),
            api: Listen::loopback(9499),
            collector: Vec::new(),
            scrape: Vec::new(),
            probe: Vec::new(),
            rules: Vec::new(),
            runbook_base: String::new(),
            alertmanager: None,
            external_labels: BTreeMap::new(),
            state_dir: PathBuf::new(),
            memory_limit: ByteSize::mebibytes(512),
            evaluation_interval: Duration::from_secs(15),
            notify: vec!["desktop".to_owned()],
            remote_write_receiver: false,
            log_level: "info".to_owned(),
            strict: false,
            receivers: BTreeMap::new(),
            route: Vec::new(),
            person: Vec::new(),
            team: Vec::new(),
            delivery: toml::Table::new(),
            services: BTreeMap::new(),
            ui: Ui::default(),
            security: Security::default(),
            limits: Limits::default(),
        }
    }
}

/// Corrections to a service of the preset, or facts about one that no preset knows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServiceOverride {
    /// Base URL for its probes and metrics: `http://users.internal:8001`.
    pub url: Option<String>,
    pub owner: Option<String>,
    /// Share of traces it keeps, 0 to 1; rates are divided by it.
    pub sampling: Option<f64>,
    /// Leave it out of probing and scraping.
    pub ignore: bool,
}

/// The terminal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ui {
    /// `auto`, `dark`, `light`, or a theme file.
    pub theme: String,
    /// A keymap file; empty: the keys of the documentation.
    pub keymap: String,
    pub mouse: bool,
    /// Wall-clock zone on screen: `local`, `utc`, or an IANA name.
    pub timezone: String,
}

impl Default for Ui {
    fn default() -> Self {
        Ui { theme: "auto".to_owned(), keymap: String::new(), mouse: true, timezone: "local".to_owned() }
    }
}

/// Tokens and TLS, for ports that others can reach.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Security {
    /// Bearer token that every request to a port beyond loopback must carry.
    pub token: Option<Secret>,
    pub token_file: Option<PathBuf>,
    pub tls_certificate: Option<PathBuf>,
    pub tls_key: Option<PathBuf>,
    /// Certificates that clients must present.
    pub tls_client_ca: Option<PathBuf>,
    /// Which of those certificates their authority has taken back.
    pub tls_client_crl: Option<PathBuf>,
    /// Listen beyond loopback without token or certificates, under a red banner.
    pub allow_unauthenticated: bool,
    /// Host names under which the ports may be addressed, besides loopback ones.
    pub allowed_hosts: Vec<String>,
}

impl Config {
    /// Layers defaults, the file, the environment and flags, and checks the result.
    ///
    /// `path`: the file given by `--config`, which must exist then; `None` takes the one of [`paths`] if there is one.
    /// `environment`: all variables; those named `WATCHFIRE_...` are read. `flags`: pairs such as `("otlp-grpc", "127.0.0.1:0")`, a repeated
    /// flag as repeated pairs, a switch as `("headless", "true")`.
    ///
    /// # Errors
    /// Everything that is wrong, not only the first thing.
    pub fn load(
        path: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        flags: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Loaded, Vec<ConfigError>> {
        layers::load(path, environment, flags)
    }
}
