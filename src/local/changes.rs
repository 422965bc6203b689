//! "What changed since t": versions, breakers, alerts, checks, error shares and edges that differ, each with its moment.

use super::lens::Lens;
use std::collections::BTreeMap;
use std::time::Duration;
use watchfire_model::reading::{Change, ReadError};
use watchfire_model::{Labels, Timestamp};

/// Columns a look back is cut into; the moment of a change is known to one of them.
const COLUMNS: u32 = 90;
/// The same for states.
const FINE_COLUMNS: u32 = 735;
/// Moments are whole multiples of this, the rhythm of rules and signals, so that a change has one time wherever it is shown. The fine
/// columns of an hour are as wide.
const RHYTHM: Duration = Duration::from_secs(5);
/// Nothing is held for longer than this; who asks since the beginning of time means all of it.
const LONGEST: Duration = Duration::from_secs(3653 * 86_400);
/// An error share is worth a line when it crosses this and at least doubles.
const ERROR_SHARE: f64 = 0.05;
const WORSE: f64 = 2.0;
/// Changes of a kind whose moment is looked for, where a column is wide.
const CLOSELY: usize = 16;

/// Changes between `since` and the cursor, newest first.
///
/// # Errors
/// When the store cannot be queried.
pub fn changes(lens: &Lens<'_>, since: Timestamp) -> Result<Vec<Change>, ReadError> {
    let back = lens.at.since(since).clamp(Duration::from_secs(60), LONGEST);
    let lens = &whole(lens);
    let step = rhythmic(back / COLUMNS);
    let mut out = Vec::new();
    // States come and go within seconds and are few: what opened and closed between two moments of a coarse look did happen.
    let fine = rhythmic(back / FINE_COLUMNS);
    versions(lens, back, step, &mut out)?;
    steps(lens, back, fine, "breaker", "max by (service, breaker) (watchfire_breaker_state)", &breaker_subject, &breaker_word, &mut out)?;
    steps(lens, back, fine, "health", "min by (service, check) (watchfire_service_health)", &check_subject, &health_word, &mut out)?;
    errors(lens, back, step, &mut out)?;
    presence(
        lens,
        back,
        fine,
        "alert",
        r#"ALERTS{alertstate="firing"}"#,
        &alert_subject,
        ("", "firing"),
        ("firing", "resolved"),
        &mut out,
    )?;
    presence(
        lens,
        back,
        step,
        "edge",
        "sum by (client, server) (rate(traces_service_graph_request_total[5m])) > 0",
        &|l| format!("{} → {}", l.value("client"), l.value("server")),
        ("", "calls"),
        ("calls", "silent"),
        &mut out,
    )?;
    edges_closely(lens, step, &mut out)?;
    out.sort_by(|a, b| b.at.cmp(&a.at).then_with(|| a.subject.cmp(&b.subject)));
    Ok(out)
}

/// The next whole multiple of the rhythm.
fn rhythmic(step: Duration) -> Duration {
    RHYTHM * step.as_millis().div_ceil(RHYTHM.as_millis()).max(1) as u32
}

/// The lens at a whole multiple of the rhythm. A coarser one would hold back what is new.
fn whole<'a>(lens: &Lens<'a>) -> Lens<'a> {
    Lens { at: lens.at.floor(RHYTHM.as_millis() as i64), ..*lens }
}

fn at(lens: &Lens<'_>, back: Duration, step: Duration, index: usize) -> Timestamp {
    lens.grid(back, step).0.saturating_add(step * index as u32)
}

/// A value that moves between words.
#[allow(clippy::too_many_arguments)]
fn steps(
    lens: &Lens<'_>,
    back: Duration,
    step: Duration,
    kind: &str,
    expression: &str,
    subject: &dyn Fn(&Labels) -> String,
    word: &dyn Fn(f64) -> String,
    out: &mut Vec<Change>,
) -> Result<(), ReadError> {
    for (labels, column) in lens.columns(expression, back, step)? {
        let mut last: Option<String> = None;
        for (index, value) in column.iter().enumerate() {
            let Some(now) = value.map(word) else { continue };
            if let Some(before) = last.replace(now.clone()).filter(|b| *b != now) {
                out.push(Change {
                    at: at(lens, back, step, index),
                    within_seconds: step.as_secs_f64(),
                    kind: kind.to_owned(),
                    subject: subject(&labels),
                    from: before,
                    to: now,
                });
            }
        }
    }
    Ok(())
}

/// Something that is there or not. What was there from the start, or was never measured before, is no change.
#[allow(clippy::too_many_arguments)]
fn presence(
    lens: &Lens<'_>,
    back: Duration,
    step: Duration,
    kind: &str,
    expression: &str,
    subject: &dyn Fn(&Labels) -> String,
    appears: (&str, &str),
    goes: (&str, &str),
    out: &mut Vec<Change>,
) -> Result<(), ReadError> {
    // Right after start everything is new; only what appears after the first minute of knowledge is news.
    let known_from = lens
        .columns("count(traces_span_metrics_calls_total) or count(up)", back, step)?
        .first()
        .and_then(|(_, column)| column.iter().position(Option::is_some));
    let settle = (60_000 / step.as_millis().max(1)) as usize;
    for (labels, column) in lens.columns(expression, back, step)? {
        let mut present = column[0].is_some();
        for (index, value) in column.iter().enumerate().skip(1) {
            if value.is_some() == present {
                continue;
            }
            present = value.is_some();
            let news = kind == "alert" || known_from.is_some_and(|from| index > from + settle);
            if news {
                let (from, to) = if present { appears } else { goes };
                out.push(Change {
                    at: at(lens, back, step, index),
                    within_seconds: step.as_secs_f64(),
                    kind: kind.to_owned(),
                    subject: subject(&labels),
                    from: from.to_owned(),
                    to: to.to_owned(),
                });
            }
        }
    }
    Ok(())
}

/// Whether a deploy came before the failures or after them is what one looks at: the newest changes of a kind are given the moment at which an
/// expression that says whether their subject is there first answers as it does at the end of their column.
fn closely<'a>(
    lens: &Lens<'_>,
    step: Duration,
    found: impl Iterator<Item = &'a mut Change>,
    expression: impl Fn(&Change) -> Option<(String, bool)>,
) -> Result<(), ReadError> {
    let mut newest: Vec<&mut Change> = found.collect();
    newest.sort_by_key(|change| std::cmp::Reverse(change.at));
    for change in newest.into_iter().take(CLOSELY).filter(|_| step > RHYTHM) {
        let Some((expression, present)) = expression(change) else { continue };
        let closely = Lens { at: change.at, ..*lens };
        let columns = closely.columns(&expression, step, RHYTHM)?;
        let there = |index: usize| columns.iter().any(|(_, column)| column[index].is_some());
        if let Some(index) = (0..closely.grid(step, RHYTHM).1).find(|index| there(*index) == present) {
            change.at = at(&closely, step, RHYTHM, index);
            change.within_seconds = RHYTHM.as_secs_f64();
        }
    }
    Ok(())
}

fn edges_closely(lens: &Lens<'_>, step: Duration, out: &mut [Change]) -> Result<(), ReadError> {
    closely(lens, step, out.iter_mut().filter(|change| change.kind == "edge"), |change| {
        let (client, server) = change.subject.rsplit_once(" → ")?;
        let (client, server) = (watchfire_promql::quote(client), watchfire_promql::quote(server));
        let calls = format!("sum(rate(traces_service_graph_request_total{{client={client},server={server}}}[5m])) > 0");
        Some((calls, change.to == "calls"))
    })
}

fn versions(lens: &Lens<'_>, back: Duration, step: Duration, out: &mut Vec<Change>) -> Result<(), ReadError> {
    let before = out.len();
    let mut by_service: BTreeMap<String, Vec<(usize, usize, String)>> = BTreeMap::new();
    for (labels, column) in lens.columns(r#"watchfire_service_info{version!=""}"#, back, step)? {
        if let Some(first) = column.iter().position(Option::is_some) {
            let last = column.iter().rposition(Option::is_some).unwrap_or(first);
            by_service.entry(labels.value("service_name").to_owned()).or_default().push((first, last, labels.value("version").to_owned()));
        }
    }
    for (service, mut runs) in by_service {
        runs.sort();
        for pair in runs.windows(2) {
            if pair[1].0 > pair[0].0 {
                out.push(Change {
                    at: at(lens, back, step, pair[1].0),
                    within_seconds: step.as_secs_f64(),
                    kind: "version".to_owned(),
                    subject: service.clone(),
                    from: pair[0].2.clone(),
                    to: pair[1].2.clone(),
                });
            }
        }
    }
    closely(lens, step, out[before..].iter_mut(), |change| {
        let (service, version) = (watchfire_promql::quote(&change.subject), watchfire_promql::quote(&change.to));
        Some((format!("watchfire_service_info{{service_name={service},version={version}}}"), true))
    })
}

fn errors(lens: &Lens<'_>, back: Duration, step: Duration, out: &mut Vec<Change>) -> Result<(), ReadError> {
    let mut found: Vec<(Change, f64)> = Vec::new();
    let mut unseen = 0;
    for (labels, column) in lens.columns(&error_share(""), back, step)? {
        // The lowest share since it was calm, which need not be none; while it is worse, where it came from.
        let (mut calm, mut worse): (Option<f64>, Option<f64>) = (None, None);
        // Of a service that came and failed between two moments of a coarse look only the failing is seen.
        if let Some(first) = column.iter().position(Option::is_some).filter(|first| *first > 0 && step > RHYTHM)
            && column[first].is_some_and(|share| share > ERROR_SHARE)
            && unseen < CLOSELY
        {
            unseen += 1;
            let closely = Lens { at: at(lens, back, step, first), ..*lens };
            let shares = closely.columns(&error_share(&of_service(labels.value("service_name"))), step, RHYTHM)?;
            calm = shares.first().and_then(|(_, column)| column.iter().flatten().copied().next()).filter(|share| *share <= ERROR_SHARE);
        }
        for (index, value) in column.iter().enumerate() {
            let Some(share) = *value else { continue };
            if worse.is_some_and(|from| share <= near(from)) {
                (calm, worse) = (Some(share), None);
            }
            match calm {
                Some(before) if share > ERROR_SHARE.max(before * WORSE) => {
                    let change = Change {
                        at: at(lens, back, step, index),
                        within_seconds: step.as_secs_f64(),
                        kind: "errors".to_owned(),
                        subject: labels.value("service_name").to_owned(),
                        from: percent(before),
                        to: percent(peak(&column[index..], before).max(share)),
                    };
                    found.push((change, ERROR_SHARE.max(before * WORSE)));
                    (calm, worse) = (None, Some(before));
                }
                _ if worse.is_none() => calm = Some(calm.map_or(share, |lowest| lowest.min(share))),
                _ => {}
            }
        }
    }
    // A column of an hour is most of a minute, and another one each time somebody looks; the newest are looked at closely.
    found.sort_by_key(|(change, _)| std::cmp::Reverse(change.at));
    for (change, beyond) in found.iter_mut().take(CLOSELY).filter(|_| step > RHYTHM) {
        let closely = Lens { at: change.at, ..*lens };
        let shares = closely.columns(&error_share(&of_service(&change.subject)), step, RHYTHM)?;
        let crossed = shares.first().and_then(|(_, column)| column.iter().position(|share| share.is_some_and(|share| share > *beyond)));
        if let Some(index) = crossed {
            change.at = at(&closely, step, RHYTHM, index);
            change.within_seconds = RHYTHM.as_secs_f64();
        }
    }
    out.extend(found.into_iter().map(|(change, _)| change));
    Ok(())
}

fn of_service(name: &str) -> String {
    format!("service_name={},", watchfire_promql::quote(name))
}

/// The share of what services handle that fails; `matchers` go before the others.
fn error_share(matchers: &str) -> String {
    let kinds = r#"span_kind=~"SPAN_KIND_SERVER|SPAN_KIND_CONSUMER""#;
    let calls = |more: &str| format!("sum by (service_name) (rate(traces_span_metrics_calls_total{{{matchers}{kinds}{more}}}[1m]))");
    // Who never failed has no series of failures, and fails none all the same.
    let all = calls("");
    format!("({} or 0 * {all}) / {all}", calls(r#",status_code="STATUS_CODE_ERROR""#))
}

/// Near enough to where a share came from.
fn near(from: f64) -> f64 {
    (ERROR_SHARE / 2.0).max(from * (1.0 + WORSE) / 2.0)
}

/// The highest share until it is back.
fn peak(column: &[Option<f64>], from: f64) -> f64 {
    column.iter().flatten().take_while(|share| **share > near(from)).fold(0.0, |a, b| a.max(*b))
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn breaker_subject(labels: &Labels) -> String {
    format!("{} → {}", labels.value("service"), labels.value("breaker"))
}

fn check_subject(labels: &Labels) -> String {
    format!("{} {}", labels.value("service"), labels.value("check"))
}

/// What tells an alert from others of its rule: whom it is about, and which of their parts.
fn alert_subject(labels: &Labels) -> String {
    let about = ["service", "service_name", "queue", "instance"].iter().find_map(|l| labels.get(l));
    let part = ["breaker", "check", "dependency"].iter().find_map(|l| labels.get(l));
    let words: Vec<&str> = std::iter::once(labels.value("alertname")).chain(about).chain(part).collect();
    words.join(" ")
}

fn breaker_word(value: f64) -> String {
    match value {
        0.0 => "closed",
        1.0 => "half-open",
        2.0 => "open",
        _ => "unknown",
    }
    .to_owned()
}

fn health_word(value: f64) -> String {
    if value >= 1.0 {
        "healthy"
    } else if value > 0.0 {
        "degraded"
    } else {
        "unhealthy"
    }
    .to_owned()
}

#[cfg(test)]
mod tests;
