//! The command line: what can be asked, and what each word means. No behaviour here.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// On-call telemetry in a terminal: who is broken, since when, why, and whom it hurts.
///
/// Without a subcommand watchfire listens for OTLP (gRPC 127.0.0.1:4317, HTTP 127.0.0.1:4318), scrapes and probes what it is
/// told to, evaluates alert rules, and opens its screens. Nothing has to be configured: send telemetry and the map draws itself.
#[derive(Debug, Parser)]
#[command(name = "watchfire", version, propagate_version = true, max_term_width = 110, after_help = AFTER_HELP)]
// A flag before the subcommand would go unheard.
#[command(args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub run: RunFlags,
}

const AFTER_HELP: &str = "\
First minute:
  watchfire demo                                   a simulated platform, to look around
  export OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318; watchfire
  watchfire --scrape http://127.0.0.1:9090/metrics --probe http://127.0.0.1:8080/health

Every flag is also a config key and an environment variable WATCHFIRE_...; flag wins over environment, file and default.";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Collect, evaluate and show; with --headless without a terminal (SIGTERM drains).
    Run(Box<RunFlags>),
    /// Watch a simulated platform: clientnest (default), mediacms, commerce, playnite or sunday.
    Demo(Box<DemoArgs>),
    /// Open the screens over a headless instance, or over a Prometheus.
    Attach(AttachArgs),
    /// One shot against a running instance: services, alerts, overall state.
    Status(StatusArgs),
    /// Judge health for CI: exit 0 healthy, 1 warning or degraded, 2 critical or unhealthy, 3 unknown or not to be judged, 64 usage.
    Check(Box<CheckArgs>),
    /// Evaluate a PromQL expression on a running instance.
    Query(QueryArgs),
    /// Check, test and backtest rule files (formats and exit codes of promtool).
    #[command(subcommand)]
    Rules(RulesCommand),
    /// Write, check or show the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Try the notification paths.
    #[command(subcommand)]
    Notify(NotifyCommand),
    /// Look at this machine: ports, clock, session bus, terminal, state directory.
    Doctor(DoctorArgs),
    /// Print a completion script for your shell.
    Completions { shell: clap_complete::Shell },
    /// Print the manual page (roff).
    Man,
}

/// What a run listens to, reads and tells.
#[derive(Args, Clone, Debug, Default)]
pub struct RunFlags {
    /// Configuration file (TOML) [default: $XDG_CONFIG_HOME/watchfire/config.toml]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Watch a known platform: a preset's name or a directory with a platform.toml.
    #[arg(long, value_name = "NAME")]
    pub platform: Option<String>,
    /// OTLP gRPC address; port 0 picks one, `off` disables [default: 127.0.0.1:4317]
    #[arg(long, value_name = "ADDR")]
    pub otlp_grpc: Option<String>,
    /// OTLP HTTP address; port 0 picks one, `off` disables [default: 127.0.0.1:4318]
    #[arg(long, value_name = "ADDR")]
    pub otlp_http: Option<String>,
    /// HTTP API address; port 0 picks one, `off` disables [default: 127.0.0.1:9499]
    #[arg(long, value_name = "ADDR")]
    pub api: Option<String>,
    /// An OpenTelemetry collector to watch: its own metrics and health_check (repeatable).
    #[arg(long, value_name = "URL")]
    pub collector: Vec<String>,
    /// A Prometheus target, or a prometheus.yml whose scrape_configs run here (repeatable).
    #[arg(long, value_name = "URL|FILE")]
    pub scrape: Vec<String>,
    /// A health endpoint: http, https, tcp or grpc (repeatable); `name=URL` names the service.
    #[arg(long, value_name = "URL")]
    pub probe: Vec<String>,
    /// Prometheus rule files, globs allowed (repeatable).
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub rules: Vec<String>,
    /// Send alerts to this Alertmanager too.
    #[arg(long, value_name = "URL")]
    pub alertmanager: Option<String>,
    /// Where alert states, silences and unsent notifications survive a restart; a demo forgets them and only logs there.
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Bound on telemetry held in memory [default: 512MiB]
    #[arg(long, value_name = "SIZE")]
    pub memory_limit: Option<String>,
    /// How often rules are evaluated where their group does not say [default: 15s]
    #[arg(long, value_name = "D")]
    pub evaluation_interval: Option<String>,
    /// Who hears what no [[route]] matches: desktop, terminal, receivers, people and teams by name, or none; routes and Alertmanagers stay.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub notify: Vec<String>,
    /// Accept Prometheus remote write at /api/v1/write of the API.
    #[arg(long)]
    pub remote_write_receiver: bool,
    /// Refuse what would otherwise only be warned about, as secrets in a file that others can read.
    #[arg(long)]
    pub strict: bool,
    /// No terminal: print one line of JSON when ready, log to stderr.
    #[arg(long)]
    pub headless: bool,
    /// error, warn, info, debug or trace [default: info]
    #[arg(long, value_name = "L")]
    pub log_level: Option<String>,
    #[command(flatten)]
    pub screen: ScreenFlags,
}

/// How the screens look.
#[derive(Args, Clone, Debug, Default)]
pub struct ScreenFlags {
    /// dark, light, high-contrast, colour-blind or mono [default: from the terminal's background]
    #[arg(long, value_name = "NAME", help_heading = "Screen")]
    pub theme: Option<String>,
    /// Colours: auto, always or never (NO_COLOR is honoured).
    #[arg(long, value_enum, default_value_t = When::Auto, help_heading = "Screen")]
    pub color: When,
    /// Draw with ASCII only.
    #[arg(long, help_heading = "Screen")]
    pub ascii: bool,
    /// Leave the mouse to the terminal.
    #[arg(long, help_heading = "Screen")]
    pub no_mouse: bool,
    /// Open at a place, as `:` would: `service checkout`, `trace 4bf92f35`, `alerts`, `at -10m`.
    #[arg(long, value_name = "COMMAND", help_heading = "Screen")]
    pub open: Option<String>,
    /// A linear log instead of screens, for screen readers and pipes.
    #[arg(long, help_heading = "Screen")]
    pub plain: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum When {
    #[default]
    Auto,
    Always,
    Never,
}

#[derive(Args, Clone, Debug)]
pub struct DemoArgs {
    /// clientnest, mediacms, commerce, playnite, sunday, or a directory with a platform.toml; `--platform` says the same [default: clientnest]
    #[arg(id = "demo_platform", value_name = "PLATFORM", conflicts_with = "platform")]
    named: Option<String>,
    /// Inject this fault; --list names them.
    #[arg(long, value_name = "NAME")]
    pub scenario: Option<String>,
    /// List the scenarios of the platform and what to look for.
    #[arg(long)]
    pub list: bool,
    /// Run the scenario (or all of them) on simulated time, without sockets: what fires, when, and who is told. Exits 1 when that is not what the
    /// scenario declares.
    #[arg(long, conflicts_with_all = ["list", "for_duration"])]
    pub rehearse: bool,
    /// Stop after this long.
    #[arg(long = "for", value_name = "D")]
    pub for_duration: Option<String>,
    /// Simulated seconds per second; a machine that cannot keep up goes slower.
    #[arg(long, value_name = "N", default_value_t = 1.0)]
    pub speed: f64,
    /// Same seed, same traffic.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    #[command(flatten)]
    pub run: RunFlags,
}

impl DemoArgs {
    /// The platform that is simulated.
    pub fn platform(&self) -> &str {
        self.named.as_deref().or(self.run.platform.as_deref()).unwrap_or("clientnest")
    }
}

#[derive(Args, Clone, Debug)]
pub struct AttachArgs {
    /// http(s)://host:port of the API, or unix:/path/to/socket [default: your own instance on this machine]
    ///
    /// WATCHFIRE_TOKEN is sent as the bearer token; WATCHFIRE_CA names a file of certificates to trust for https.
    #[arg(env = "WATCHFIRE_URL")]
    pub url: Option<String>,
    #[command(flatten)]
    pub screen: ScreenFlags,
}

#[derive(Args, Clone, Debug)]
pub struct Instance {
    /// The API of a running instance.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9499", env = "WATCHFIRE_URL")]
    pub url: String,
}

#[derive(Args, Clone, Debug)]
pub struct StatusArgs {
    #[command(flatten)]
    pub instance: Instance,
    #[arg(long, short, value_enum, default_value_t = StatusOutput::Table)]
    pub output: StatusOutput,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StatusOutput {
    Table,
    Json,
}

#[derive(Args, Clone, Debug)]
pub struct CheckArgs {
    /// Judge a running instance instead of starting collectors here.
    #[arg(long, value_name = "URL", env = "WATCHFIRE_URL")]
    pub url: Option<String>,
    /// Watch for this long; an alert that fires meanwhile counts even if it resolves [default: one look]
    #[arg(long = "for", value_name = "D")]
    pub for_duration: Option<String>,
    #[arg(long, short, value_enum, default_value_t = CheckOutput::Text)]
    pub output: CheckOutput,
    #[command(flatten)]
    pub run: RunFlags,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CheckOutput {
    Text,
    Json,
    Junit,
}

#[derive(Args, Clone, Debug)]
pub struct QueryArgs {
    /// PromQL expression.
    pub expression: String,
    #[command(flatten)]
    pub instance: Instance,
    /// Look back this far instead of at one moment.
    #[arg(long, value_name = "D")]
    pub range: Option<String>,
    /// Distance between points with --range.
    #[arg(long, value_name = "D", default_value = "15s", requires = "range")]
    pub step: String,
    /// Moment to evaluate at: Unix seconds, RFC 3339 or -10m [default: now]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub time: Option<String>,
    #[arg(long, short, value_enum, default_value_t = QueryOutput::Table)]
    pub output: QueryOutput,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum QueryOutput {
    Table,
    Json,
    Csv,
    Chart,
}

#[derive(Debug, Subcommand)]
pub enum RulesCommand {
    /// Check rule files; exit 0 good, 1 bad, 3 lint problem with --lint-fatal.
    Check {
        /// Rule files; standard input where none is given.
        files: Vec<PathBuf>,
        /// What is looked for beside errors.
        #[arg(long, value_enum, default_value_t = LintChecks::DuplicateRules)]
        lint: LintChecks,
        /// Lint problems make the exit code 3.
        #[arg(long)]
        lint_fatal: bool,
        /// Fields that Prometheus does not know are let through.
        #[arg(long)]
        ignore_unknown_fields: bool,
    },
    /// Run unit tests in promtool's format; exit 0 passed, 1 failed.
    Test {
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Only tests whose name matches (repeatable).
        #[arg(long, value_name = "REGEX")]
        run: Vec<String>,
        /// Write a JUnit report there.
        #[arg(long, value_name = "FILE")]
        junit: Option<PathBuf>,
        /// Fields that Prometheus does not know are let through.
        #[arg(long)]
        ignore_unknown_fields: bool,
    },
    /// What the rules would have done: pending, firing, resolved, and how many pages.
    Backtest {
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// How far back.
        #[arg(long, value_name = "D", default_value = "6h")]
        since: String,
        /// Over this OpenMetrics file instead of a running instance.
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
        /// Distance between evaluations [default: the interval of each group, or 15s].
        #[arg(long, value_name = "D")]
        step: Option<String>,
        #[command(flatten)]
        instance: Instance,
        #[arg(long, short, value_enum, default_value_t = StatusOutput::Table)]
        output: StatusOutput,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum LintChecks {
    All,
    DuplicateRules,
    None,
}

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Write a commented configuration, or a platform preset made from what is being received.
    Init {
        /// Where to write; standard output where not given.
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// Write a platform preset from the telemetry of a running instance.
        #[arg(long)]
        from_telemetry: bool,
        #[command(flatten)]
        instance: Instance,
    },
    /// Propose dialects for series of a running instance that look like queues or breakers and that no dialect knows.
    Dialects {
        #[command(flatten)]
        instance: Instance,
    },
    /// Check configuration, preset and rule files; errors name file, line and key.
    Check {
        #[command(flatten)]
        run: Box<RunFlags>,
    },
    /// Show the effective configuration.
    Show {
        /// Say where each value comes from.
        #[arg(long)]
        origin: bool,
        #[command(flatten)]
        run: Box<RunFlags>,
    },
}

#[derive(Debug, Subcommand)]
pub enum NotifyCommand {
    /// Send a test notification over every configured path and say which work, and why others do not.
    Test {
        #[command(flatten)]
        run: Box<RunFlags>,
    },
}

#[derive(Args, Clone, Debug)]
pub struct DoctorArgs {
    #[command(flatten)]
    pub run: RunFlags,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_demo_is_of_the_platform_that_is_named_either_way() {
        let platform = |line: &str| match Cli::try_parse_from(line.split(' ')).map(|cli| cli.command) {
            Ok(Some(Command::Demo(args))) => Some(args.platform().to_owned()),
            _ => None,
        };
        assert_eq!(platform("watchfire demo").as_deref(), Some("clientnest"));
        assert_eq!(platform("watchfire demo playnite").as_deref(), Some("playnite"));
        assert_eq!(platform("watchfire demo --platform playnite").as_deref(), Some("playnite"));
        assert_eq!(platform("watchfire demo sunday --platform playnite"), None);
    }

    #[test]
    fn documented_forms_parse() {
        for line in [
            "watchfire",
            "watchfire --scrape http://a/metrics --scrape http://b/metrics --probe tcp://c:1",
            "watchfire run --headless --otlp-grpc 127.0.0.1:0 --rules a.yaml b.yaml",
            "watchfire demo",
            "watchfire demo mediacms --scenario x --headless --for 60s --speed 10 --seed 7",
            "watchfire demo --list",
            "watchfire attach http://127.0.0.1:9499",
            "watchfire status --output json --url http://127.0.0.1:1",
            "watchfire check --for 2m --output junit",
            "watchfire query up --range 1h --step 15s --output chart",
            "watchfire rules check a.yaml b.yaml",
            "watchfire rules test a.yaml",
            "watchfire rules backtest a.yaml --since 6h",
            "watchfire config show --origin",
            "watchfire completions bash",
            "watchfire man",
            "watchfire doctor",
            "watchfire notify test",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
    }
}
