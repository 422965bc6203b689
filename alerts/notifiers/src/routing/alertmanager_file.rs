//! Reads an `alertmanager.yml` as it is: routes, receivers with the templates of their messages, intervals and inhibition. Receivers of kinds
//! that are not spoken are kept by name, so routing agrees, and are listed as ignored.

use super::contradictions;
use super::declared::{Declared, Email, File, Global, HttpConfig, PagerDuty, Route, Slack, Text, Webhook};
use super::http_config::{connection, secret, tls_settings, unread};
use super::inhibition::InhibitRule;
use super::matchers::parse_matchers;
use super::own;
use super::template_files;
use super::tree::{GroupBy, Node, Receiver, Routing, Timing};
use super::unused::{Unfit, UnfitText};
use crate::channels::connection::Connection;
use crate::channels::email::{EmailSettings, Security};
use crate::channels::pagerduty::PagerDutySettings;
use crate::channels::slack::SlackSettings;
use crate::channels::webhook::WebhookSettings;
use crate::settings::ChannelSettings;
use crate::wording::{EmailWording, PagerDutyWording, SlackWording, unfit_text};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use watchfire_model::{MatchOp, Matcher, Severity, parse_duration};
use watchfire_template::receiver::Templates;

/// Files beyond this are not routing tables.
const FILE_BYTES: usize = 4 << 20;
const DEPTH: usize = 50;

/// Settings as values: texts are read from these, and contradictions found in them.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Texts {
    global: Value,
    receivers: Vec<BTreeMap<String, Value>>,
}

/// What stands under `templates:`; `None` where the text is no such file.
pub fn template_patterns(text: &str) -> Option<Vec<String>> {
    let (text, _) = watchfire_model::first_yaml_document(text);
    let file: File = serde_saphyr::from_str(text).ok()?;
    Some(file.templates)
}

/// The table, and what of the messages' texts cannot be used. Template files are looked up in `directory`.
pub fn load(text: &str, directory: Option<&Path>) -> Result<(Routing, Unfit), String> {
    if text.len() > FILE_BYTES {
        return Err(format!("longer than {} MiB", FILE_BYTES >> 20));
    }
    let (text, _) = watchfire_model::first_yaml_document(text);
    let file: File = serde_saphyr::from_str(text).map_err(|e| e.to_string())?;
    let mut routing = Routing { by_route: true, ..Routing::default() };
    for interval in file.mute_time_intervals.into_iter().chain(file.time_intervals) {
        for one in &interval.time_intervals {
            one.check().map_err(|e| format!("time interval {:?}: {e}", interval.name))?;
        }
        if routing.intervals.insert(interval.name.clone(), interval.time_intervals).is_some() {
            return Err(format!("time interval {:?} is defined twice", interval.name));
        }
    }
    for rule in &file.inhibit_rules {
        if rule.equal.iter().any(String::is_empty) {
            return Err("inhibit_rules: \"\" is not a valid label name in equal".to_owned());
        }
        routing.inhibit.push(InhibitRule {
            source: conditions(&rule.source_matchers, &rule.source_match, &rule.source_match_re)?,
            target: conditions(&rule.target_matchers, &rule.target_match, &rule.target_match_re)?,
            equal: rule.equal.clone(),
        });
        tracing::debug!(rule = rule.name.as_deref().unwrap_or_default(), "inhibition rule");
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
    let global = file.global.unwrap_or_default();
    if let Some(text) = &global.resolve_timeout {
        parse_duration(text).map_err(|e| format!("global.resolve_timeout: {e}"))?;
    }
    let texts: Texts = serde_saphyr::from_str(text).unwrap_or_default();
    contradictions::check(&texts.global, &texts.receivers)?;
    unfit.http = unread(texts.global.get("http_config"));
    let none = BTreeMap::new();
    for (position, declared) in file.receivers.iter().enumerate() {
        let entries = texts.receivers.get(position).unwrap_or(&none);
        let made = receiver(declared, entries, &global, directory, &templates, &mut unfit)?;
        if routing.receivers.iter().any(|r| r.name == made.name) {
            return Err(format!("notification config name {:?} is not unique", made.name));
        }
        routing.receivers.push(made);
    }
    let root = &file.route;
    if root.receiver.as_deref().unwrap_or_default().is_empty() {
        return Err("root route must specify a default receiver".to_owned());
    }
    if !(root.matchers.is_empty() && root.r#match.is_empty() && root.match_re.is_empty()) {
        return Err("root route must not have any matchers".to_owned());
    }
    if root.r#continue == Some(true) {
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
        Some(names) if names.iter().any(|n| n == "...") && names.iter().any(|n| n != "...") => {
            return Err("cannot have wildcard group_by (`...`) and other labels at the same time".to_owned());
        }
        Some(names) if names.iter().any(|n| n == "...") => GroupBy::All,
        Some(names) if names.iter().any(String::is_empty) => return Err("invalid label name \"\" in group_by list".to_owned()),
        Some(names) if names.iter().enumerate().any(|(n, name)| names[..n].contains(name)) => {
            return Err(format!("duplicated label in group_by list: {}", names.join(", ")));
        }
        // An empty list says nothing, as in Alertmanager.
        Some(names) if !names.is_empty() => GroupBy::Labels(names.clone()),
        _ => parent.group_by.clone(),
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
        goes_on: route.r#continue.unwrap_or_default(),
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

fn conditions(matchers: &[String], equal: &BTreeMap<String, Text>, regex: &BTreeMap<String, Text>) -> Result<Vec<Matcher>, String> {
    let mut out = Vec::new();
    for (name, value) in equal {
        out.push(Matcher::equal(name, value.as_deref().unwrap_or_default()));
    }
    for (name, value) in regex {
        let value = value.as_deref().ok_or_else(|| format!("invalid regexp value for {name:?}"))?;
        // Written as Alertmanager writes it: it is part of the key of a group.
        out.push(Matcher::new(name, MatchOp::Regex, &format!("^(?:{value})$")).map_err(|e| format!("{name}: {e}"))?);
    }
    for text in matchers {
        out.extend(parse_matchers(text)?);
    }
    out.sort_by(|a, b| (&a.name, &a.value).cmp(&(&b.name, &b.value)));
    Ok(out)
}

fn receiver(
    declared: &Declared,
    entries: &BTreeMap<String, Value>,
    global: &Global,
    directory: Option<&Path>,
    templates: &Arc<Templates>,
    unfit: &mut Unfit,
) -> Result<Receiver, String> {
    let name = declared.name.clone().filter(|n| !n.is_empty()).ok_or("a receiver has no name")?;
    let mut worded = Worded { receiver: &name, entries, templates, unfit };
    let mut channels = Vec::new();
    let files = directory.unwrap_or(Path::new(""));
    let refused = |kind: &str, reason: String| format!("receiver {name:?}: {kind}: {reason}");
    let over = |kind: &str, own: &Option<HttpConfig>| {
        connection(own.as_ref().or(global.http_config.as_ref()), files).map_err(|e| refused(kind, format!("http_config: {e}")))
    };
    for (n, entry) in declared.email_configs.iter().flatten().enumerate() {
        let newest = entry.tls_config.as_ref().or(global.smtp_tls_config.as_ref()).and_then(|tls| tls.max_version.as_deref());
        if newest.is_some_and(|newest| newest != "TLS13") {
            worded.note("email_configs", n, "tls_config", ": max_version is not used for mail".to_owned());
        }
        let made = email(entry, global, files, worded.entry("email_configs", n)).map_err(|e| refused("email_configs", e))?;
        channels.push((made, entry.send_resolved.unwrap_or(false)));
    }
    let mut ignored = declared.unspoken();
    for (n, entry) in declared.pagerduty_configs.iter().flatten().enumerate() {
        // The key of a service is of the first Events API, which takes no keys of the second, nor the other way round.
        let first = [("service_key", &entry.service_key), ("service_key_file", &entry.service_key_file)];
        if let Some((field, _)) = first.iter().find(|(_, key)| key.as_ref().is_some_and(|key| !key.is_empty())) {
            let what = " belongs to PagerDuty's Events API v1, which is not spoken: nothing is sent there; \
                        add an integration of Events API v2 to the service and give its routing_key";
            worded.note("pagerduty_configs", n, field, what.to_owned());
            ignored.push("pagerduty with service_key".to_owned());
            continue;
        }
        let connection = over("pagerduty_configs", &entry.http_config)?;
        channels.push((pagerduty(entry, global, connection, worded.entry("pagerduty_configs", n)), entry.send_resolved.unwrap_or(true)));
    }
    for (n, entry) in declared.slack_configs.iter().flatten().enumerate() {
        let connection = over("slack_configs", &entry.http_config)?;
        channels.push((slack(entry, global, connection, worded.entry("slack_configs", n)), entry.send_resolved.unwrap_or(false)));
    }
    for (n, entry) in declared.webhook_configs.iter().flatten().enumerate() {
        worded.unread_http("webhook_configs", n);
        channels.push((webhook(entry, over("webhook_configs", &entry.http_config)?), entry.send_resolved.unwrap_or(true)));
    }
    let (channels, resolved): (Vec<_>, Vec<_>) = channels.into_iter().map(|(c, resolved)| ((c, Severity::Info, false), resolved)).unzip();
    let mut made = own::receiver(&name, channels);
    for (channel, send_resolved) in made.channels.iter_mut().zip(resolved) {
        channel.send_resolved = send_resolved;
    }
    made.ignored = ignored;
    Ok(made)
}

/// The texts of one receiver.
struct Worded<'a> {
    receiver: &'a str,
    entries: &'a BTreeMap<String, Value>,
    templates: &'a Arc<Templates>,
    unfit: &'a mut Unfit,
}

impl<'a> Worded<'a> {
    fn value(&self, kind: &str, position: usize) -> &'a Value {
        self.entries.get(kind).and_then(|list| list.get(position)).unwrap_or(&Value::Null)
    }

    fn note(&mut self, kind: &str, position: usize, field: &str, what: String) {
        let (receiver, kind, field) = (self.receiver.to_owned(), kind.to_owned(), field.to_owned());
        self.unfit.texts.push(UnfitText { receiver, kind, position, field, what });
    }

    /// The entry with its templates. One text that cannot be used costs the wording of this channel, and is named.
    fn entry(&mut self, kind: &str, position: usize) -> (&'a Value, Option<&'a Arc<Templates>>) {
        self.unread_http(kind, position);
        let (entry, templates) = (self.value(kind, position), self.templates);
        if let Some(header) = EmailWording::unsent(entry).filter(|_| kind == "email_configs") {
            self.note(kind, position, "headers", format!(": {header} is not sent"));
        }
        match unfit_text(kind, entry, templates) {
            Some((field, reason)) => {
                self.note(kind, position, &field, format!(" cannot be used ({reason}); watchfire's own text is sent instead"));
                (entry, None)
            }
            None => (entry, Some(templates)),
        }
    }

    /// Settings of the connection that have no effect.
    fn unread_http(&mut self, kind: &str, position: usize) {
        if let Some(what) = unread(self.value(kind, position).get("http_config")) {
            self.note(kind, position, "http_config", what);
        }
    }
}

type Wording<'a> = (&'a Value, Option<&'a Arc<Templates>>);

fn slack(entry: &Slack, global: &Global, connection: Connection, (texts, templates): Wording<'_>) -> ChannelSettings {
    let (url, url_file) = secret((&entry.api_url, &entry.api_url_file), (&global.slack_api_url, &global.slack_api_url_file));
    let wording = templates.and_then(|templates| SlackWording::of(texts, templates));
    ChannelSettings::Slack(SlackSettings { url, url_file, channel: entry.channel.clone(), wording, connection, ..SlackSettings::default() })
}

fn pagerduty(entry: &PagerDuty, global: &Global, connection: Connection, (texts, templates): Wording<'_>) -> ChannelSettings {
    let (routing_key, routing_key_file) = secret((&entry.routing_key, &entry.routing_key_file), (&None, &None));
    let url = entry.url.clone().or_else(|| global.pagerduty_url.clone()).unwrap_or_default();
    let wording = templates.and_then(|templates| PagerDutyWording::of(texts, templates));
    ChannelSettings::Pagerduty(PagerDutySettings {
        routing_key,
        routing_key_file,
        url,
        wording,
        connection,
        ..PagerDutySettings::default()
    })
}

fn email(entry: &Email, global: &Global, directory: &Path, (texts, templates): Wording<'_>) -> Result<ChannelSettings, String> {
    let own = (&entry.auth_password, &entry.auth_password_file);
    let (password, password_file) = secret(own, (&global.smtp_auth_password, &global.smtp_auth_password_file));
    let smarthost = entry.smarthost.clone().or_else(|| global.smtp_smarthost.clone()).unwrap_or_default();
    let tls = entry.require_tls.or(global.smtp_require_tls).unwrap_or(true);
    let implicit = entry.force_implicit_tls.or(global.smtp_force_implicit_tls);
    let security = match (smarthost.rsplit_once(':'), implicit) {
        (_, Some(true)) | (Some((_, "465")), None) => Security::Tls,
        _ if tls => Security::Starttls,
        _ => Security::None,
    };
    let to = entry.to.as_deref().unwrap_or_default();
    let tls_config = entry.tls_config.as_ref().or(global.smtp_tls_config.as_ref());
    Ok(ChannelSettings::Email(EmailSettings {
        smarthost,
        from: entry.from.clone().or_else(|| global.smtp_from.clone()).unwrap_or_default(),
        to: to.split(',').map(|t| t.trim().to_owned()).filter(|t| !t.is_empty()).collect(),
        username: entry.auth_username.clone().or_else(|| global.smtp_auth_username.clone()),
        password,
        password_file,
        password_env: None,
        security,
        hello: entry.hello.clone().or_else(|| global.smtp_hello.clone()),
        wording: templates.and_then(|templates| EmailWording::of(texts, templates)),
        tls: tls_config.map(|tls| tls_settings(tls, directory)).transpose()?.unwrap_or_default(),
    }))
}

fn webhook(entry: &Webhook, connection: Connection) -> ChannelSettings {
    let (url, url_file) = secret((&entry.url, &entry.url_file), (&None, &None));
    let max_alerts = entry.max_alerts.and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
    ChannelSettings::Webhook(WebhookSettings { url, url_file, max_alerts, connection, ..WebhookSettings::default() })
}
