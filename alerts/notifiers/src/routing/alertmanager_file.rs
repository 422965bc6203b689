//! Reads an `alertmanager.yml` as it is: routes, receivers with the templates of their messages, intervals and inhibition. Receivers of kinds
//! that are not spoken are kept by name, so routing agrees, and are listed as ignored.

use super::calendar::TimeInterval;
use super::matchers::parse_matchers;
use super::own;
use super::template_files;
use super::tree::{GroupBy, InhibitRule, Node, Receiver, Routing, Timing};
use super::unused::{Unfit, UnfitText};
use crate::channels::email::{EmailSettings, Security};
use crate::channels::pagerduty::PagerDutySettings;
use crate::channels::slack::SlackSettings;
use crate::channels::webhook::WebhookSettings;
use crate::settings::ChannelSettings;
use crate::wording::{EmailWording, PagerDutyWording, SlackWording, unfit_text};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use watchfire_model::{MatchOp, Matcher, Secret, Severity, parse_duration};
use watchfire_template::receiver::Templates;

/// Files beyond this are not routing tables.
const FILE_BYTES: usize = 4 << 20;
const DEPTH: usize = 50;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    global: BTreeMap<String, Value>,
    route: Route,
    #[serde(default)]
    receivers: Vec<BTreeMap<String, Value>>,
    #[serde(default)]
    inhibit_rules: Vec<Inhibit>,
    #[serde(default)]
    mute_time_intervals: Vec<NamedInterval>,
    #[serde(default)]
    time_intervals: Vec<NamedInterval>,
    #[serde(default)]
    templates: Vec<String>,
    #[serde(default, rename = "tracing")]
    _tracing: Value,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Route {
    receiver: Option<String>,
    group_by: Option<Vec<String>>,
    r#continue: bool,
    matchers: Vec<String>,
    r#match: BTreeMap<String, Value>,
    match_re: BTreeMap<String, Value>,
    mute_time_intervals: Vec<String>,
    active_time_intervals: Vec<String>,
    group_wait: Option<String>,
    group_interval: Option<String>,
    repeat_interval: Option<String>,
    routes: Vec<Route>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Inhibit {
    name: String,
    source_match: BTreeMap<String, Value>,
    source_match_re: BTreeMap<String, Value>,
    source_matchers: Vec<String>,
    target_match: BTreeMap<String, Value>,
    target_match_re: BTreeMap<String, Value>,
    target_matchers: Vec<String>,
    equal: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NamedInterval {
    name: String,
    #[serde(default)]
    time_intervals: Vec<TimeInterval>,
}

/// The table, and what of the messages' texts cannot be used. Template files are looked up in `directory`.
pub fn load(text: &str, directory: Option<&Path>) -> Result<(Routing, Unfit), String> {
    if text.len() > FILE_BYTES {
        return Err(format!("longer than {} MiB", FILE_BYTES >> 20));
    }
    let file: File = serde_saphyr::from_str(text).map_err(|e| e.to_string())?;
    let mut routing = Routing::default();
    for interval in file.mute_time_intervals.into_iter().chain(file.time_intervals) {
        for one in &interval.time_intervals {
            one.check().map_err(|e| format!("time interval {:?}: {e}", interval.name))?;
        }
        if routing.intervals.insert(interval.name.clone(), interval.time_intervals).is_some() {
            return Err(format!("time interval {:?} is defined twice", interval.name));
        }
    }
    for rule in &file.inhibit_rules {
        routing.inhibit.push(InhibitRule {
            source: conditions(&rule.source_matchers, &rule.source_match, &rule.source_match_re)?,
            target: conditions(&rule.target_matchers, &rule.target_match, &rule.target_match_re)?,
            equal: rule.equal.clone(),
        });
        tracing::debug!(rule = rule.name, "inhibition rule");
    }
    let mut unfit = Unfit::default();
    let templates = match directory {
        Some(directory) => {
            let (templates, empty) = template_files::load(&file.templates, directory)?;
            unfit.files = empty;
            templates
        }
        None => Templates::shipped()?,
    };
    let templates = Arc::new(templates);
    for declared in &file.receivers {
        let made = receiver(declared, &file.global, &templates, &mut unfit)?;
        if routing.receivers.iter().any(|r| r.name == made.name) {
            return Err(format!("notification config name {:?} is not unique", made.name));
        }
        routing.receivers.push(made);
    }
    let root = &file.route;
    if root.receiver.is_none() {
        return Err("root route must specify a default receiver".to_owned());
    }
    if !(root.matchers.is_empty() && root.r#match.is_empty() && root.match_re.is_empty()) {
        return Err("root route must not have any matchers".to_owned());
    }
    if root.r#continue {
        return Err("cannot have continue in root route".to_owned());
    }
    if !(root.mute_time_intervals.is_empty() && root.active_time_intervals.is_empty()) {
        return Err("root route must not have any mute or active time intervals".to_owned());
    }
    let defaults = Node {
        name: String::new(),
        severities: Vec::new(),
        matchers: Vec::new(),
        receivers: Vec::new(),
        group_by: GroupBy::Labels(Vec::new()),
        timing: Timing {
            group_wait: Duration::from_secs(30),
            group_interval: Duration::from_secs(300),
            repeat_interval: Duration::from_secs(4 * 3600),
        },
        goes_on: false,
        mute: Vec::new(),
        active: Vec::new(),
        routes: Vec::new(),
    };
    add(&mut routing.nodes, root, &defaults, DEPTH)?;
    Ok((routing, unfit))
}

/// Children inherit receiver, grouping and times, nothing else.
fn add(nodes: &mut Vec<Node>, route: &Route, parent: &Node, depth: usize) -> Result<usize, String> {
    if depth == 0 {
        return Err(format!("routes are nested more than {DEPTH} deep"));
    }
    let time = |text: &Option<String>, inherited: Duration, what: &str| match text {
        Some(text) => parse_duration(text).map_err(|e| format!("{what}: {e}")),
        None => Ok(inherited),
    };
    let matchers = conditions(&route.matchers, &route.r#match, &route.match_re)?;
    let shown: Vec<String> = matchers.iter().map(Matcher::to_string).collect();
    let timing = Timing {
        group_wait: time(&route.group_wait, parent.timing.group_wait, "group_wait")?,
        group_interval: time(&route.group_interval, parent.timing.group_interval, "group_interval")?,
        repeat_interval: time(&route.repeat_interval, parent.timing.repeat_interval, "repeat_interval")?,
    };
    if timing.group_interval.is_zero() || timing.repeat_interval.is_zero() {
        return Err("group_interval and repeat_interval cannot be zero".to_owned());
    }
    let group_by = match &route.group_by {
        Some(names) if names.iter().any(|n| n == "...") && names.len() > 1 => {
            return Err("cannot have wildcard group_by (`...`) and other labels at the same time".to_owned());
        }
        Some(names) if names.iter().any(|n| n == "...") => GroupBy::All,
        Some(names) => GroupBy::Labels(names.clone()),
        None => parent.group_by.clone(),
    };
    let prefix = if parent.name.is_empty() { String::new() } else { format!("{}/", parent.name) };
    let node = Node {
        name: format!("{prefix}{{{}}}", shown.join(",")),
        severities: Vec::new(),
        matchers,
        receivers: match &route.receiver {
            Some(name) if !name.is_empty() => vec![name.clone()],
            _ => parent.receivers.clone(),
        },
        group_by,
        timing,
        goes_on: route.r#continue,
        mute: route.mute_time_intervals.clone(),
        active: route.active_time_intervals.clone(),
        routes: Vec::new(),
    };
    let index = nodes.len();
    nodes.push(node.clone());
    for (position, child) in route.routes.iter().enumerate() {
        let child = add(nodes, child, &node, depth - 1)?;
        // Sibling routes with equal matchers are still different groups.
        let repeated = nodes[index].routes.iter().any(|r| nodes[*r].name == nodes[child].name);
        if repeated {
            nodes[child].name.push_str(&format!("/{position}"));
        }
        nodes[index].routes.push(child);
    }
    Ok(index)
}

fn conditions(matchers: &[String], equal: &BTreeMap<String, Value>, regex: &BTreeMap<String, Value>) -> Result<Vec<Matcher>, String> {
    let mut out = Vec::new();
    for (name, value) in equal {
        out.push(Matcher::equal(name, &scalar(value)));
    }
    for (name, value) in regex {
        out.push(Matcher::new(name, MatchOp::Regex, &scalar(value)).map_err(|e| format!("{name}: {e}"))?);
    }
    for text in matchers {
        out.extend(parse_matchers(text)?);
    }
    Ok(out)
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn receiver(
    declared: &BTreeMap<String, Value>,
    global: &BTreeMap<String, Value>,
    templates: &Arc<Templates>,
    unfit: &mut Unfit,
) -> Result<Receiver, String> {
    let name = declared.get("name").map(scalar).filter(|n| !n.is_empty()).ok_or("a receiver has no name")?;
    let mut channels = Vec::new();
    let mut resolved = Vec::new();
    let mut ignored = Vec::new();
    for (kind, entries) in declared.iter().filter(|(k, _)| *k != "name") {
        let Some(entries) = entries.as_array() else {
            if entries.is_null() {
                continue;
            }
            return Err(format!("receiver {name:?}: {kind} is not a list"));
        };
        for (position, entry) in entries.iter().enumerate() {
            // One text that cannot be used costs the wording of this channel, and is named.
            let mut note = |field: &str, what: String| {
                unfit.texts.push(UnfitText { receiver: name.clone(), kind: kind.clone(), position, field: field.to_owned(), what });
            };
            let worded = match unfit_text(kind, entry, templates) {
                Some((field, reason)) => {
                    note(&field, format!(" cannot be used ({reason}); watchfire's own text is sent instead"));
                    None
                }
                None => Some(templates),
            };
            if let Some(header) = EmailWording::unsent(entry).filter(|_| kind == "email_configs") {
                note("headers", format!(": {header} is not sent"));
            }
            let fields = Fields { entry, global, worded };
            let (channel, default) = match kind.as_str() {
                "slack_configs" => (fields.slack(), false),
                "pagerduty_configs" => (fields.pagerduty(), true),
                "email_configs" => (fields.email(), false),
                "webhook_configs" => (fields.webhook(), true),
                other => {
                    if !other.ends_with("_configs") {
                        return Err(format!("receiver {name:?}: unknown field {other:?}"));
                    }
                    ignored.push(other.trim_end_matches("_configs").to_owned());
                    continue;
                }
            };
            channels.push((channel, Severity::Info, false));
            resolved.push(entry.get("send_resolved").and_then(Value::as_bool).unwrap_or(default));
        }
    }
    let mut made = own::receiver(&name, channels);
    for (channel, send_resolved) in made.channels.iter_mut().zip(resolved) {
        channel.send_resolved = send_resolved;
    }
    made.ignored = ignored;
    Ok(made)
}

/// A receiver entry, with the file's `global` section behind it.
struct Fields<'a> {
    entry: &'a Value,
    global: &'a BTreeMap<String, Value>,
    worded: Option<&'a Arc<Templates>>,
}

impl Fields<'_> {
    fn text(&self, name: &str) -> Option<String> {
        self.entry.get(name).filter(|v| !v.is_null()).map(scalar)
    }

    fn or_global(&self, name: &str, global: &str) -> Option<String> {
        self.text(name).or_else(|| self.global.get(global).filter(|v| !v.is_null()).map(scalar))
    }

    /// A secret and its `_file` form: what the entry says hides what `global` says.
    fn secret(&self, name: &str, global: &str) -> (Option<Secret>, Option<PathBuf>) {
        let of = |get: &dyn Fn(&str) -> Option<String>, name: &str| {
            let inline = get(name).map(|text| Secret::new(&text));
            let file = if inline.is_some() { None } else { get(&format!("{name}_file")).map(PathBuf::from) };
            (inline, file)
        };
        let own = of(&|n| self.text(n), name);
        if own.0.is_some() || own.1.is_some() {
            return own;
        }
        of(&|n| self.global.get(n).filter(|v| !v.is_null()).map(scalar), global)
    }

    fn slack(&self) -> ChannelSettings {
        let (url, url_file) = self.secret("api_url", "slack_api_url");
        let wording = self.worded.and_then(|templates| SlackWording::of(self.entry, templates));
        ChannelSettings::Slack(SlackSettings { url, url_file, channel: self.text("channel"), wording, ..SlackSettings::default() })
    }

    fn pagerduty(&self) -> ChannelSettings {
        let (routing_key, routing_key_file) = self.secret("routing_key", "");
        let url = self.or_global("url", "pagerduty_url").unwrap_or_default();
        let wording = self.worded.and_then(|templates| PagerDutyWording::of(self.entry, templates));
        ChannelSettings::Pagerduty(PagerDutySettings { routing_key, routing_key_file, url, wording, ..PagerDutySettings::default() })
    }

    fn email(&self) -> ChannelSettings {
        let (password, password_file) = self.secret("auth_password", "smtp_auth_password");
        let smarthost = self.or_global("smarthost", "smtp_smarthost").unwrap_or_default();
        let tls = self.or_global("require_tls", "smtp_require_tls").is_none_or(|v| v == "true");
        let security = match smarthost.rsplit_once(':') {
            Some((_, "465")) => Security::Tls,
            _ if tls => Security::Starttls,
            _ => Security::None,
        };
        ChannelSettings::Email(EmailSettings {
            smarthost,
            from: self.or_global("from", "smtp_from").unwrap_or_default(),
            to: self.text("to").unwrap_or_default().split(',').map(|t| t.trim().to_owned()).filter(|t| !t.is_empty()).collect(),
            username: self.or_global("auth_username", "smtp_auth_username"),
            password,
            password_file,
            password_env: None,
            security,
            hello: self.or_global("hello", "smtp_hello"),
            wording: self.worded.and_then(|templates| EmailWording::of(self.entry, templates)),
        })
    }

    fn webhook(&self) -> ChannelSettings {
        let (url, url_file) = self.secret("url", "");
        let mut settings = WebhookSettings { url, url_file, ..WebhookSettings::default() };
        settings.max_alerts = self.entry.get("max_alerts").and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
        let http = self.entry.get("http_config").unwrap_or_else(|| self.global.get("http_config").unwrap_or(&Value::Null));
        let text = |value: &Value, name: &str| value.get(name).filter(|v| !v.is_null()).map(scalar);
        if let Some(basic) = http.get("basic_auth") {
            settings.username = text(basic, "username");
            settings.password = text(basic, "password").map(|text| Secret::new(&text));
            settings.password_file = text(basic, "password_file").map(PathBuf::from);
        }
        let bearer = http.get("authorization").unwrap_or(http);
        let token = text(bearer, "credentials").or_else(|| text(bearer, "bearer_token"));
        settings.bearer_token = token.map(|text| Secret::new(&text));
        settings.bearer_token_file = text(bearer, "credentials_file").or_else(|| text(bearer, "bearer_token_file")).map(PathBuf::from);
        ChannelSettings::Webhook(settings)
    }
}
