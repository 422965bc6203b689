//! From configuration and preset to who is told over what, and the dispatcher that does it.

use super::plan::Plan;
use crate::clock::SystemClock;
use crate::modes::Wake;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use tokio_util::sync::CancellationToken;
use watchfire_alerts::Audience;
use watchfire_config::platform::{Platform, Route};
use watchfire_model::{Clock, Labels, Matcher, Meter, Secret, Severity};
use watchfire_notifiers::channels::email::EmailSettings;
use watchfire_notifiers::channels::pagerduty::PagerDutySettings;
use watchfire_notifiers::channels::slack::SlackSettings;
use watchfire_notifiers::channels::sms::SmsSettings;
use watchfire_notifiers::channels::webhook::WebhookSettings;
use watchfire_notifiers::routing::condition;
use watchfire_notifiers::{
    ChannelSettings, Dispatcher, DispatcherHandle, ReceiverSettings, Recovered, RouteSettings, Settings, TerminalKind, TerminalSink,
    probe_paths, test_paths,
};

/// Settings of the dispatcher for a plan. `external_url` is where this instance is reached, unless the configuration says otherwise.
///
/// # Errors
/// When receivers, people, teams or routes contradict the schema; the message names the key.
pub fn notify_settings(plan: &Plan, external_url: &str) -> anyhow::Result<Settings> {
    let config = &plan.config;
    let mut table = config.delivery.clone();
    let mut receivers = Vec::new();
    for (name, receiver) in &config.receivers {
        let mut receiver = receiver.clone();
        // One channel may stand without a list: `[receivers.slack] type = "slack"`.
        if receiver.contains_key("type") {
            let mut whole = toml::Table::new();
            whole.insert("channels".to_owned(), toml::Value::Array(vec![toml::Value::Table(receiver)]));
            receiver = whole;
        }
        receiver.insert("name".to_owned(), toml::Value::String(name.clone()));
        receivers.push(toml::Value::Table(receiver));
    }
    table.insert("receivers".to_owned(), toml::Value::Array(receivers));
    table.insert("routes".to_owned(), toml::Value::Array(config.route.iter().cloned().map(toml::Value::Table).collect()));
    table.insert("people".to_owned(), toml::Value::Array(config.person.iter().cloned().map(toml::Value::Table).collect()));
    table.insert("teams".to_owned(), toml::Value::Array(config.team.iter().cloned().map(toml::Value::Table).collect()));
    let mut settings: Settings = toml::Value::Table(table).try_into().map_err(|e| anyhow::anyhow!("notify: {e}"))?;
    settings.default_to = config.notify.iter().filter(|n| *n != "none").cloned().collect();
    if config.route.is_empty() && !settings.default_to.is_empty() {
        settings.routes = preset_routes(plan, &settings);
    }
    settings.limits.resend_delay = config.limits.rules.resend_delay;
    if settings.external_url.is_empty() {
        external_url.clone_into(&mut settings.external_url);
    }
    if let Some(url) = &config.alertmanager {
        settings.alertmanagers.push(url.clone());
    }
    Ok(settings)
}

/// The preset's routes, as far as its receivers are configured here. What would reach nobody goes where everything goes by default: a page
/// must not be lost because nobody has written down the channel of a document. A digest beside other routes is left out then: it would say a second time
/// what was said at once.
fn preset_routes(plan: &Plan, settings: &Settings) -> Vec<RouteSettings> {
    let known = |name: &&String| {
        ["desktop", "terminal"].contains(&name.as_str())
            || settings.receivers.iter().any(|r| r.name == **name)
            || settings.teams.iter().any(|t| t.name == **name)
            || settings.people.iter().any(|p| p.name == **name)
    };
    let routes = plan.platform.iter().flat_map(|p| &p.routes);
    let at_once = |severity: &String| routes.clone().any(|r| r.digest.is_none() && r.severities.contains(severity));
    let settings = routes
        .clone()
        .filter_map(|route| {
            let mut to: Vec<String> = route.receivers.iter().chain(&route.teams).filter(known).cloned().collect();
            if to.is_empty() {
                if route.digest.is_some() && route.severities.iter().all(at_once) {
                    return None;
                }
                to.clone_from(&settings.default_to);
            }
            Some(route_settings(route, to))
        })
        .collect();
    in_order(settings)
}

/// Digests first: they collect what they match, and the first of the others decides who is told at once.
fn in_order(mut routes: Vec<RouteSettings>) -> Vec<RouteSettings> {
    routes.sort_by_key(|route| route.batch.is_none());
    routes
}

fn route_settings(route: &Route, to: Vec<String>) -> RouteSettings {
    RouteSettings {
        severity: route.severities.iter().map(|s| Severity::from_label(s)).collect(),
        matchers: route.labels.iter().map(|(name, value)| condition(&Matcher::equal(name, value))).collect(),
        to,
        batch: route.digest,
        r#continue: route.digest.is_some(),
        ..RouteSettings::default()
    }
}

/// The routes of a preset with every receiver and team it names, as if each were configured: what the document asks for, nothing of this machine.
/// Their addresses lead nowhere.
pub fn document_settings(platform: &Platform) -> Settings {
    let names = |route: &Route| route.receivers.iter().chain(&route.teams).cloned().collect::<Vec<_>>();
    let mut all: Vec<String> = platform.routes.iter().flat_map(names).filter(|n| !["desktop", "terminal"].contains(&n.as_str())).collect();
    all.sort();
    all.dedup();
    let receivers = all.into_iter().map(|name| ReceiverSettings { channels: vec![channel_of(&name)], name }).collect();
    let routes = platform.routes.iter().map(|route| route_settings(route, names(route))).collect();
    Settings { receivers, routes: in_order(routes), default_to: vec!["desktop".to_owned()], ..Settings::default() }
}

/// The channel that a receiver is named after. A document does not say how it reaches a team, a telephone or a dashboard: that is a webhook here.
fn channel_of(receiver: &str) -> ChannelSettings {
    let nowhere = Some(Secret::new("https://nowhere.invalid/"));
    let address = "nobody@nowhere.invalid".to_owned();
    match receiver {
        "slack" => ChannelSettings::Slack(SlackSettings { url: nowhere, ..SlackSettings::default() }),
        "pagerduty" => ChannelSettings::Pagerduty(PagerDutySettings { routing_key: nowhere, ..PagerDutySettings::default() }),
        "sms" => ChannelSettings::Sms(SmsSettings { url: nowhere, to: vec!["+0".to_owned()], ..SmsSettings::default() }),
        "email" => ChannelSettings::Email(EmailSettings {
            smarthost: "nowhere.invalid:25".to_owned(),
            from: address.clone(),
            to: vec![address],
            ..EmailSettings::default()
        }),
        _ => ChannelSettings::Webhook(WebhookSettings { url: nowhere, ..WebhookSettings::default() }),
    }
}

/// Starts delivery. A demo keeps its state in memory: nothing of it should be there tomorrow.
///
/// # Errors
/// When settings are wrong, or the state directory is refused or in use.
pub fn start(
    plan: &Plan,
    settings: Settings,
    terminal: Option<Sender<Wake>>,
    meter: &Meter,
    clock: &Arc<dyn Clock>,
    cancel: &CancellationToken,
) -> anyhow::Result<(DispatcherHandle, Recovered)> {
    let state_dir: Option<&Path> = plan.durable.then_some(plan.config.state_dir.as_path());
    let (handle, recovered) = Dispatcher::start(settings, state_dir, meter.clone(), clock.clone(), cancel.clone())?;
    if let Some(wake) = terminal {
        let kind = TerminalKind::detect(&|name| std::env::var(name).ok());
        handle.attach_terminal(Arc::new(ScreenBytes(wake)), kind);
    }
    Ok((handle, recovered))
}

/// Bytes go to the thread that owns the terminal.
struct ScreenBytes(Sender<Wake>);

impl TerminalSink for ScreenBytes {
    fn write(&self, bytes: &[u8]) -> bool {
        self.0.send(Wake::Bytes(bytes.to_vec())).is_ok()
    }
}

/// The people behind the dispatcher, as the evaluator asks for them.
pub struct Hearers(pub DispatcherHandle);

impl Audience for Hearers {
    fn hears(&self, fingerprint: &str, labels: &Labels, severity: Severity) -> bool {
        self.0.hears(fingerprint, labels, severity)
    }
}

/// Sends a test over every path: (path, arrived, why not).
///
/// # Errors
/// When settings are wrong.
pub fn test_notifications(plan: &Plan, runtime: &tokio::runtime::Runtime) -> anyhow::Result<Vec<(String, bool, String)>> {
    let settings = notify_settings(plan, "")?;
    let reports = runtime.block_on(test_paths(&settings, SystemClock.now())).map_err(|e| anyhow::anyhow!("{e}"))?;
    Ok(reports.into_iter().map(|r| (r.path, r.works, r.detail)).collect())
}

/// Which paths could work, without sending anything.
pub fn notification_paths(plan: &Plan, runtime: &tokio::runtime::Runtime) -> Vec<(String, bool, String)> {
    match notify_settings(plan, "").map_err(|e| e.to_string()).and_then(|settings| runtime.block_on(probe_paths(&settings))) {
        Ok(reports) => reports.into_iter().map(|r| (r.path, r.works, r.detail)).collect(),
        Err(error) => vec![("settings".to_owned(), false, error)],
    }
}
