//! Messages as an `alertmanager.yml` words them: each field of a receiver is a template over the alerts of the message, with the data and the
//! functions Alertmanager has. A receiver whose file says nothing about its texts has no wording, and sends watchfire's own.
//!
//! What comes from alerts is made harmless before a template sees it; what the file's author wrote is sent as written. A template that fails
//! or takes too long costs its text, never the message: the receiver gets watchfire's own with the reason under it.

mod email;
mod pagerduty;
mod slack;

pub use email::{EmailWording, WordedMail};
pub use pagerduty::PagerDutyWording;
pub use slack::SlackWording;
pub(crate) use slack::escaped;

use crate::message::{Message, MessageAlert, common};
use serde_json::Value;
use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;
use watchfire_model::{Labels, NoticeState, Timestamp, harmless};
use watchfire_template::TemplateLimits;
use watchfire_template::receiver::{AlertData, Execution, MessageData, Templates};

/// All texts of one message together.
const TIME: Duration = Duration::from_secs(1);

/// Whether a receiver's entry, or a file of templates, says anything about the texts of a kind of channel.
pub(crate) fn is_worded(entry: &Value, fields: &[&str], templates: &Templates, prefix: &str, names: &[&str]) -> bool {
    const SHARED: [&str; 5] = ["__alertmanager", "__alertmanagerURL", "__subject", "__description", "__text_alert_list"];
    let own = names.iter().map(|name| format!("{prefix}.default.{name}"));
    fields.iter().any(|field| entry.get(field).is_some_and(|v| !v.is_null()))
        || own.chain(SHARED.map(str::to_owned)).any(|name| templates.defines(&name))
}

/// The first text of a receiver's entry that is no template, and why.
pub(crate) fn unfit_text(kind: &str, entry: &Value, templates: &Templates) -> Option<(String, String)> {
    fields(kind).iter().find_map(|field| unfit(entry.get(field)?, templates).map(|reason| ((*field).to_owned(), reason)))
}

/// The fields of a kind of channel that are texts.
pub(crate) fn fields(kind: &str) -> &'static [&'static str] {
    match kind {
        "slack_configs" => &slack::FIELDS,
        "pagerduty_configs" => &pagerduty::FIELDS,
        "email_configs" => &email::FIELDS,
        _ => &[],
    }
}

fn unfit(value: &Value, templates: &Templates) -> Option<String> {
    match value {
        Value::String(text) => templates.check(text).err(),
        Value::Array(items) => items.iter().find_map(|item| unfit(item, templates)),
        Value::Object(fields) => fields.values().find_map(|field| unfit(field, templates)),
        _ => None,
    }
}

/// A field of a receiver's entry as text.
pub(crate) fn text(entry: &Value, name: &str) -> Option<String> {
    match entry.get(name)? {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// A table of texts in a receiver's entry.
pub(crate) fn table(entry: &Value, name: &str) -> BTreeMap<String, String> {
    let fields = entry.get(name).and_then(Value::as_object).into_iter().flatten();
    fields.filter_map(|(key, _)| Some((key.clone(), text(&entry[name], key)?))).collect()
}

/// The entries of a list of tables.
pub(crate) fn entries<'a>(entry: &'a Value, name: &str) -> &'a [Value] {
    entry.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Fills the fields of one message in, until the first one fails.
pub(crate) struct Filling<'a> {
    templates: &'a Templates,
    data: &'a MessageData,
    at: Timestamp,
    deadline: Instant,
    failure: RefCell<Option<String>>,
}

impl<'a> Filling<'a> {
    pub fn new(templates: &'a Templates, data: &'a MessageData, at: Timestamp) -> Self {
        Filling { templates, data, at, deadline: Instant::now() + TIME, failure: RefCell::new(None) }
    }

    /// The same time and the same failure, over other data.
    pub fn text_over(&self, data: &MessageData, field: &str, template: &str) -> String {
        self.filled(field, |execution| self.templates.text(template, data, execution))
    }

    pub fn text(&self, field: &str, template: &str) -> String {
        self.text_over(self.data, field, template)
    }

    pub fn html(&self, field: &str, template: &str) -> String {
        self.filled(field, |execution| self.templates.html(template, self.data, execution))
    }

    fn filled(&self, field: &str, fill: impl FnOnce(&Execution<'_>) -> Result<String, String>) -> String {
        if self.failure.borrow().is_some() {
            return String::new();
        }
        let expired = || Instant::now() > self.deadline;
        match fill(&Execution { at: self.at, limits: TemplateLimits::default(), expired: &expired }) {
            Ok(text) => text,
            Err(reason) => {
                *self.failure.borrow_mut() = Some(format!("{field}: {reason}"));
                String::new()
            }
        }
    }

    /// # Errors
    /// What failed first.
    pub fn finish<T>(self, worded: T) -> Result<T, String> {
        match self.failure.into_inner() {
            Some(reason) => Err(format!("the template of this receiver failed: {}", watchfire_model::harmless_limited(&reason, 200))),
            None => Ok(worded),
        }
    }
}

/// What templates see of a message, or of one of its alerts. `clean` is applied to all that comes from outside.
pub(crate) fn data(message: &Message, only: Option<&MessageAlert>, clean: fn(&str) -> String) -> MessageData {
    let mut alerts: Vec<&MessageAlert> = message.alerts.iter().filter(|a| only.is_none_or(|only| std::ptr::eq(*a, only))).collect();
    alerts.sort_by(|a, b| before(&a.notice.labels, &b.notice.labels));
    let cleaned = |labels: &Labels| Labels::from_pairs(labels.iter().map(|l| (l.name.to_string(), clean(&l.value))));
    MessageData {
        receiver: quoted(&message.receiver),
        firing: alerts.iter().any(|a| a.notice.state == NoticeState::Firing),
        // Where each alert has its own message, its group is there all the same.
        group_labels: cleaned(only.map_or(&message.group_labels, |alert| &alert.group_labels)),
        common_labels: cleaned(&common(alerts.iter().map(|a| &a.notice.labels))),
        common_annotations: cleaned(&common(alerts.iter().map(|a| &a.notice.annotations))),
        external_url: message.external_url.clone(),
        alerts: alerts
            .into_iter()
            .map(|alert| {
                let notice = &*alert.notice;
                AlertData {
                    firing: notice.state == NoticeState::Firing,
                    labels: cleaned(&notice.labels),
                    annotations: cleaned(&notice.annotations),
                    starts_at: notice.starts_at,
                    ends_at: (notice.state == NoticeState::Resolved).then_some(notice.ends_at),
                    generator_url: clean(&notice.generator_url),
                    fingerprint: notice.fingerprint.clone(),
                }
            })
            .collect(),
    }
}

/// Harmless text that keeps its lines.
pub(crate) fn clean(text: &str) -> String {
    text.split('\n').map(|line| harmless(line.trim_end_matches('\r'))).collect::<Vec<_>>().join("\n")
}

/// At most so many characters, and no half of an escaped one.
fn cut(text: String, limit: usize) -> String {
    if text.char_indices().nth(limit).is_none() {
        return text;
    }
    let mut kept: String = text.chars().take(limit.saturating_sub(1)).collect();
    if let Some(at) = kept.rfind('&').filter(|at| kept.len() - at < "&amp;".len() && !kept[*at..].contains(';')) {
        kept.truncate(at);
    }
    kept + "…"
}

/// Alertmanager's order of alerts: by job, by instance, then by all labels.
fn before(a: &Labels, b: &Labels) -> Ordering {
    for name in ["job", "instance"] {
        let order = match (a.get(name), b.get(name)) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (Some(a), Some(b)) => a.cmp(b),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    let all = |labels: &Labels| labels.iter().count();
    all(a).cmp(&all(b)).then_with(|| {
        let mut names: Vec<&str> = a.iter().chain(b.iter()).map(|l| &*l.name).collect();
        names.sort_unstable();
        // A set that lacks the first name that differs comes first.
        names.into_iter().map(|name| a.get(name).cmp(&b.get(name))).find(|order| *order != Ordering::Equal).unwrap_or(Ordering::Equal)
    })
}

/// Go's `regexp.QuoteMeta`, which Alertmanager applies to the receiver's name.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if "\\.+*?()|[]{}^$".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}
