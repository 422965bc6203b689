//! What is said, in words: one renderer for every channel. Everything that came from outside is made harmless here, once.

use chrono::DateTime;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use watchfire_model::{Labels, LabelsBuilder, Notice, NoticeState, Severity, Timestamp, format_duration, harmless_limited};

/// Characters of a title, and of one line.
const TITLE: usize = 160;
const LINE: usize = 300;
/// Names listed before "and N more".
const LISTED: usize = 5;

/// A group of alerts for one delivery path.
#[derive(Clone, Debug)]
pub struct Message {
    /// The same for every attempt to deliver this message, over restarts too, and for no other message.
    pub key: String,
    pub path: String,
    pub receiver: String,
    pub group_key: String,
    pub group_labels: Labels,
    /// What changed comes first, then what still fires in the same group.
    pub alerts: Vec<MessageAlert>,
    /// Alerts of the group for which there was no room.
    pub left_out: usize,
    /// Text instead of alerts: the daily summary.
    pub note: Option<Text>,
    pub external_url: String,
    /// By the clock of this machine, as others read theirs.
    pub at: Timestamp,
    /// How far the times of the alerts are ahead of that clock, because it was set back.
    pub carried: Duration,
}

/// One alert of a message.
#[derive(Clone, Debug)]
pub struct MessageAlert {
    pub notice: Arc<Notice>,
    /// By which its route tells it together with others.
    pub group_labels: Labels,
    /// False for those that only complete the picture of the group.
    pub changed: bool,
    /// The last state this path has confirmed.
    pub told: Option<NoticeState>,
    pub acknowledged_by: Option<String>,
    /// What the receiver called the last message about this alert.
    pub handle: Option<u64>,
    pub queued_at: Timestamp,
}

/// A title and lines under it; harmless text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Text {
    pub title: String,
    /// The sentence a person reads first; may be empty.
    pub summary: String,
    /// (what it is, text).
    pub facts: Vec<(&'static str, String)>,
}

impl Text {
    /// Title, then one line each.
    pub fn plain(&self) -> String {
        format!("{}\n{}", self.title, self.body())
    }

    /// All but the title.
    pub fn body(&self) -> String {
        let mut lines = Vec::new();
        if !self.summary.is_empty() {
            lines.push(self.summary.clone());
        }
        lines.extend(self.facts.iter().map(|(name, text)| format!("{name}: {text}")));
        lines.join("\n")
    }
}

impl Message {
    pub fn firing(&self) -> impl Iterator<Item = &MessageAlert> {
        self.alerts.iter().filter(|a| a.notice.state == NoticeState::Firing)
    }

    pub fn resolved(&self) -> impl Iterator<Item = &MessageAlert> {
        self.alerts.iter().filter(|a| a.notice.state == NoticeState::Resolved)
    }

    /// Firing while any alert of it fires.
    pub fn state(&self) -> NoticeState {
        if self.firing().next().is_some() { NoticeState::Firing } else { NoticeState::Resolved }
    }

    /// The loudest alert in it.
    pub fn severity(&self) -> Severity {
        self.alerts.iter().map(|a| a.notice.severity).max().unwrap_or(Severity::Info)
    }

    /// One line for the whole message.
    pub fn title(&self) -> String {
        if let Some(note) = &self.note {
            return note.title.clone();
        }
        if let [only] = self.alerts.as_slice() {
            return alert_text(only).title;
        }
        let firing = self.firing().count();
        let resolved = self.resolved().count();
        let counts = match (firing, resolved) {
            (f, 0) => format!("FIRING:{f}"),
            (0, r) => format!("RESOLVED:{r}"),
            (f, r) => format!("FIRING:{f}, RESOLVED:{r}"),
        };
        let mut names: Vec<&str> = self.alerts.iter().map(|a| a.notice.name()).collect();
        names.dedup();
        line(&format!("[{counts}] {}", listed(&names)), TITLE)
    }

    /// The text of each alert, what changed first.
    pub fn texts(&self) -> Vec<Text> {
        match &self.note {
            Some(note) => vec![note.clone()],
            None => self.alerts.iter().map(alert_text).collect(),
        }
    }

    /// The whole message as plain text of at most `limit` bytes; what does not fit is counted.
    pub fn plain(&self, limit: usize) -> String {
        let texts = self.texts();
        let mut out = if texts.len() > 1 { format!("{}\n", self.title()) } else { String::new() };
        let mut left_out = self.left_out;
        for (index, text) in texts.iter().enumerate() {
            let next = text.plain();
            if out.len() + next.len() + 40 > limit && index > 0 {
                left_out += texts.len() - index;
                break;
            }
            if !out.is_empty() {
                out.push('\n');
            }
            out.push_str(&next);
        }
        if left_out > 0 {
            out.push_str(&format!("\n... and {left_out} more alerts"));
        }
        out
    }
}

/// The labels of a cause that speaks for an alert louder than itself: with that severity. Receivers and templates go by the label.
pub fn raised_labels(labels: &Labels, severity: Severity) -> Option<Labels> {
    (severity > Severity::from_label(labels.value("severity"))).then(|| {
        let mut raised = labels.to_builder();
        raised.set("severity", severity.word());
        raised.build()
    })
}

/// What one alert says: the same facts on every channel.
pub fn alert_text(alert: &MessageAlert) -> Text {
    let notice = &*alert.notice;
    let state = match notice.state {
        NoticeState::Firing if alert.acknowledged_by.is_some() => "ACKNOWLEDGED",
        NoticeState::Firing => "FIRING",
        NoticeState::Resolved => "RESOLVED",
    };
    let subject = subject(&notice.labels);
    let title = match subject.is_empty() {
        true => format!("[{state}] {} ({})", notice.name(), notice.severity),
        false => format!("[{state}] {}: {subject} ({})", notice.name(), notice.severity),
    };
    let annotation = |names: &[&str]| names.iter().map(|n| notice.annotations.value(n)).find(|v| !v.is_empty()).unwrap_or("").to_owned();
    let mut facts: Vec<(&'static str, String)> = Vec::new();
    let evidence = &notice.evidence;
    if let Some(value) = evidence.value {
        facts.push((
            match notice.state {
                NoticeState::Firing => "value",
                // It is not that any more.
                NoticeState::Resolved => "last value",
            },
            match threshold(&evidence.expression) {
                Some(threshold) => format!("{}, threshold {threshold}", number(value)),
                None => number(value),
            },
        ));
    }
    match notice.state {
        NoticeState::Firing => facts.push(("since", moment(notice.active_at))),
        NoticeState::Resolved => {
            let lasted = format_duration(std::time::Duration::from_secs(notice.ends_at.since(notice.starts_at).as_secs()));
            let untold = if alert.told == Some(NoticeState::Firing) { "" } else { ", began and ended before this could be delivered" };
            facts.push(("fired", format!("{} until {} ({lasted}{untold})", moment(notice.starts_at), moment(notice.ends_at))));
        }
    }
    // Many rules say in general what it is in the one, and of what in the other.
    let (summary, description) = (annotation(&["summary", "message", "description"]), annotation(&["description"]));
    if !description.is_empty() && description != summary {
        facts.push(("description", description));
    }
    if let Some(by) = &alert.acknowledged_by {
        facts.push(("acknowledged by", by.clone()));
    }
    if let Some(cause) = &notice.cause {
        facts.push(("cause", cause.reason.clone()));
    }
    if !evidence.dependents.is_empty() {
        let count = evidence.dependents.len();
        let names: Vec<&str> = evidence.dependents.iter().map(String::as_str).collect();
        facts.push(("affected", format!("and {count} dependent{}: {}", if count == 1 { "" } else { "s" }, listed(&names))));
    }
    let impact = annotation(&["impact"]);
    if !impact.is_empty() {
        facts.push(("impact", impact));
    }
    // Before the evidence: a popup has room for some lines only.
    if let Some(runbook) = runbook(notice).or_else(|| runbook_path(notice)) {
        facts.push(("runbook", runbook.to_owned()));
    }
    if let Some(operation) = &evidence.top_operation {
        facts.push(("top operation", operation.clone()));
    }
    facts.extend(evidence.surroundings.iter().take(LISTED).map(|s| ("near it", s.clone())));
    if !evidence.trace_ids.is_empty() {
        facts.push(("traces", evidence.trace_ids.iter().take(3).map(String::as_str).collect::<Vec<_>>().join(" ")));
    }
    let owner = annotation(&["owner"]);
    if !owner.is_empty() {
        facts.push(("owner", owner));
    }
    if !evidence.command.is_empty() {
        facts.push(("open", evidence.command.clone()));
    }
    Text {
        title: line(&title, TITLE),
        summary: line(&summary, LINE),
        facts: facts.into_iter().map(|(name, text)| (name, line(&text, LINE))).collect(),
    }
}

/// The runbook address, when it is one that a browser may open.
pub fn runbook(notice: &Notice) -> Option<&str> {
    let url = notice.annotations.value("runbook_url");
    let plain = !url.chars().any(|c| c.is_control() || c.is_whitespace() || matches!(c, '<' | '>' | '|' | '"'));
    (plain && (url.starts_with("https://") || url.starts_with("http://"))).then_some(url)
}

/// A runbook that is named and has no address: who is paged can still find the page. No word before a colon, so nothing that could be opened.
fn runbook_path(notice: &Notice) -> Option<&str> {
    let path = notice.annotations.value("runbook_url");
    let plain = path.chars().all(|c| c.is_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '#'));
    (plain && path.starts_with(char::is_alphanumeric)).then_some(path)
}

/// The labels that say where, without those that say what.
fn subject(labels: &Labels) -> String {
    for name in ["service_name", "service", "queue", "job", "instance"] {
        let value = labels.value(name);
        if !value.is_empty() {
            let detail = ["operation", "span_name", "breaker", "queue", "check"]
                .iter()
                .map(|n| labels.value(n))
                .find(|v| !v.is_empty() && *v != value);
            return detail.map_or_else(|| value.to_owned(), |d| format!("{value} {d}"));
        }
    }
    let rest: Vec<String> = labels
        .iter()
        .filter(|l| !matches!(&*l.name, "alertname" | "severity" | "alertstate" | "__name__"))
        .take(3)
        .map(|l| format!("{}={}", l.name, l.value))
        .collect();
    rest.join(" ")
}

/// `> 0.05` from `sum(rate(x[5m])) > 0.05`: the comparison at the very end of the expression, where there is one.
fn threshold(expression: &str) -> Option<String> {
    let tail = expression.trim_end();
    let digits = tail.rfind(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | 'e' | '-' | '+' | '_')))? + 1;
    let number = &tail[digits..];
    number.parse::<f64>().ok()?;
    let before = tail[..digits].trim_end();
    let operator = [">=", "<=", "==", "!=", ">", "<"].into_iter().find(|op| before.ends_with(op))?;
    Some(format!("{operator} {number}"))
}

fn number(value: f64) -> String {
    let size = value.abs();
    if value == value.trunc() && size < 1e9 {
        format!("{value}")
    } else if (0.001..1e9).contains(&size) {
        let digits = (3 - size.log10().floor() as i32).clamp(0, 6) as usize;
        let text = format!("{value:.digits$}");
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
    } else {
        format!("{value:.3e}")
    }
}

/// `2026-03-01 03:10:31 UTC`.
pub fn moment(at: Timestamp) -> String {
    DateTime::from_timestamp_millis(at.millis()).map_or_else(|| at.to_string(), |t| t.format("%Y-%m-%d %H:%M:%S UTC").to_string())
}

/// RFC 3339 with milliseconds, for machines.
pub fn rfc3339(at: Timestamp) -> String {
    DateTime::from_timestamp_millis(at.millis())
        .map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), |t| t.to_rfc3339_opts(chrono::SecondsFormat::Millis, true))
}

fn listed(names: &[&str]) -> String {
    let mut text = names.iter().take(LISTED).copied().collect::<Vec<_>>().join(", ");
    if names.len() > LISTED {
        text.push_str(&format!(" and {} more", names.len() - LISTED));
    }
    text
}

fn line(text: &str, limit: usize) -> String {
    // Rule files wrap long annotations; a line break there is layout, not an attack.
    let joined = text.trim().replace("\r\n", " ").replace('\n', " ");
    harmless_limited(&joined, limit).into_owned()
}

/// The labels all alerts share, with the same value.
pub fn common<'a>(mut sets: impl Iterator<Item = &'a Labels>) -> Labels {
    let Some(first) = sets.next() else { return Labels::empty() };
    let mut pairs: Vec<(&str, &str)> = first.iter().map(|l| (&*l.name, &*l.value)).collect();
    for set in sets {
        pairs.retain(|(name, value)| set.get(name) == Some(value));
    }
    let mut shared = LabelsBuilder::new();
    pairs.into_iter().for_each(|(name, value)| {
        shared.set(name, value);
    });
    // An annotation may be there and say nothing, as in Alertmanager.
    shared.build_texts()
}

/// A hash for keys that must be the same in every build: FNV-1a with 128 bits over parts that cannot run into each other.
pub fn stable_key(parts: &[&str]) -> String {
    let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    for part in parts {
        for byte in (part.len() as u64).to_le_bytes().into_iter().chain(part.bytes()) {
            hash = (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
        }
    }
    format!("{hash:032x}")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use watchfire_model::{Cause, Evidence};

    pub(crate) fn notice(name: &str, state: NoticeState) -> Notice {
        Notice {
            fingerprint: stable_key(&[name]),
            revision: 1,
            state,
            severity: Severity::Critical,
            labels: Labels::from_pairs([("alertname", name), ("service", "social-service"), ("severity", "critical")]),
            annotations: Labels::from_pairs([("summary", "5 % of the calls fail"), ("runbook_url", "https://runbooks.example/errors")]),
            active_at: Timestamp(1_772_334_631_000),
            starts_at: Timestamp(1_772_334_661_000),
            ends_at: Timestamp(1_772_334_841_000),
            generator_url: String::new(),
            cause: None,
            evidence: Evidence {
                value: Some(0.081_234),
                expression: "sum(rate(errors[5m])) / sum(rate(calls[5m])) > 0.05".to_owned(),
                trace_ids: vec!["4bf92f3577b34da6a3ce929d0e0e4736".to_owned()],
                top_operation: Some("POST /posts".to_owned()),
                surroundings: vec!["breaker social-service -> facebook open since 03:10:20".to_owned()],
                dependents: (1..=7).map(|n| format!("service-{n}")).collect(),
                command: "watchfire attach http://127.0.0.1:9499 --view alerts".to_owned(),
            },
        }
    }

    pub(crate) fn alert(notice: Notice) -> MessageAlert {
        MessageAlert {
            group_labels: Labels::empty(),
            notice: Arc::new(notice),
            changed: true,
            told: Some(NoticeState::Firing),
            acknowledged_by: None,
            handle: None,
            queued_at: Timestamp(1_772_334_661_000),
        }
    }

    #[test]
    fn a_page_carries_all_its_evidence() {
        let text = alert_text(&alert(notice("HighErrorRate", NoticeState::Firing))).plain();
        assert_eq!(
            text,
            "[FIRING] HighErrorRate: social-service (critical)\n5 % of the calls fail\nvalue: 0.08123, threshold > 0.05\n\
             since: 2026-03-01 03:10:31 UTC\naffected: and 7 dependents: service-1, service-2, service-3, service-4, service-5 and 2 more\n\
             runbook: https://runbooks.example/errors\ntop operation: POST /posts\nnear it: breaker social-service -> facebook open since 03:10:20\n\
             traces: 4bf92f3577b34da6a3ce929d0e0e4736\n\
             open: watchfire attach http://127.0.0.1:9499 --view alerts"
        );
    }

    #[test]
    fn what_a_rule_says_in_detail_is_not_left_out() {
        let mut page = notice("KubePodCrashLooping", NoticeState::Firing);
        page.annotations =
            Labels::from_pairs([("summary", "Pod is crash looping."), ("description", "Pod shop/cart-0 restarts all the time.")]);
        let text = alert_text(&alert(page.clone())).plain();
        assert!(
            text.contains("\nPod is crash looping.\n") && text.contains("\ndescription: Pod shop/cart-0 restarts all the time.\n"),
            "{text}"
        );
        page.annotations = Labels::from_pairs([("description", "Pod shop/cart-0 restarts all the time.")]);
        assert_eq!(alert_text(&alert(page)).plain().matches("Pod shop/cart-0").count(), 1);
    }

    #[test]
    fn a_resolve_nobody_was_warned_of_carries_both_times() {
        let mut unseen = alert(notice("HighErrorRate", NoticeState::Resolved));
        unseen.told = None;
        let text = alert_text(&unseen).plain();
        assert!(text.contains("\nlast value: 0.08123"), "{text}");
        assert!(text.contains("fired: 2026-03-01 03:11:01 UTC until 2026-03-01 03:14:01 UTC (3m, began and ended before"), "{text}");
    }

    #[test]
    fn hostile_labels_are_shown_and_never_obeyed() {
        let mut hostile = notice("Evil\u{1b}]0;owned\u{7}", NoticeState::Firing);
        hostile.labels = Labels::from_pairs([("alertname", "Evil\u{1b}[31m"), ("service", "a\u{202e}b\r\nX-Header: 1")]);
        hostile.annotations = Labels::from_pairs([("runbook_url", "javascript:alert(1)"), ("summary", "two\nlines\u{9b}")]);
        hostile.cause = Some(Cause { alert: String::new(), service: "x".to_owned(), reason: "\u{7}".to_owned() });
        let text = alert_text(&alert(hostile)).plain();
        assert!(!text.chars().any(|c| c != '\n' && c.is_control()), "{text:?}");
        assert!(
            text.contains("␛[31m") && text.contains("<U+202E>") && text.contains("two lines<9B>") && !text.contains("javascript"),
            "{text}"
        );
    }

    #[test]
    fn a_runbook_that_is_only_a_path_is_named_and_what_could_be_opened_is_not() {
        let said = |url: &str| {
            let mut page = notice("Slow", NoticeState::Firing);
            page.annotations = Labels::from_pairs([("runbook_url", url)]);
            alert_text(&alert(page)).facts.iter().find(|(name, _)| *name == "runbook").map(|(_, text)| text.clone())
        };
        assert_eq!(said("docs/platforms/commerce.md#co-01").as_deref(), Some("docs/platforms/commerce.md#co-01"));
        for refused in ["javascript:alert(1)", "file:///etc/passwd", "-flag", "/etc/passwd", "../x", "http://x\n--y", "a b", "<b>", ""] {
            assert_eq!(said(refused), None, "{refused}");
        }
    }

    #[test]
    fn thresholds_are_read_off_the_end_of_an_expression() {
        for (expression, expected) in [
            ("up == 0", Some("== 0")),
            ("a > 1e3", Some("> 1e3")),
            ("x >= -0.5 ", Some(">= -0.5")),
            ("a > on(b) c", None),
            ("rate(x[5m])", None),
            ("", None),
            ("5", None),
        ] {
            assert_eq!(threshold(expression).as_deref(), expected, "{expression}");
        }
    }

    #[test]
    fn numbers_are_short_and_exact_enough() {
        for (value, text) in
            [(0.0, "0"), (1234.0, "1234"), (0.081_234, "0.08123"), (12.5, "12.5"), (f64::INFINITY, "inf"), (1.5e12, "1.500e12")]
        {
            assert_eq!(number(value), text);
        }
    }
}
