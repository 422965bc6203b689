//! The `:` line: commands with their completion.

use crate::action::Action;
use crate::view::Place;
use crate::views::ViewId;
use crate::zone::Zone;
use chrono::NaiveTime;
use std::time::Duration;
use watchfire_model::{Timestamp, parse_duration};

/// What a command line asks for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Order {
    Go(Place, Option<String>),
    At(Option<Timestamp>),
    /// What changed since then.
    Since(Timestamp),
    Theme(String),
    Export(String),
    Act(Action),
    /// Handed to the view under a topic, as if it had asked.
    Tell(&'static str, String),
    CopySnippet,
}

/// Commands beside the names of views: name, what follows, what it does.
pub(crate) const COMMANDS: [(&str, &str, &str); 15] = [
    ("service", "NAME", "the page of one service"),
    ("trace", "ID", "a trace by its id, a span id or a correlation id"),
    ("query", "PROMQL", "ask in Explore"),
    ("at", "-10m | 03:10:31 | live", "move the time cursor of every view"),
    ("live", "", "time cursor back to now"),
    ("changes", "[10m | 03:10]", "what changed within that time, or since then"),
    ("theme", "NAME", "change colours"),
    ("export", "mermaid | dot | svg | text, csv, json", "write the map, a table or a trace to a file"),
    ("silence", "DURATION [COMMENT]", "silence the selected alert"),
    ("acknowledge", "[NAME]", "acknowledge the selected alert"),
    ("otlp", "", "copy the collector's exporter block"),
    ("refresh", "", "read everything again"),
    ("help", "", "keys that work here"),
    ("quit", "", "leave watchfire"),
    ("q", "", "leave watchfire"),
];

/// Short names of views.
const ALIASES: [(&str, ViewId); 9] = [
    ("svc", ViewId::Services),
    ("s", ViewId::Services),
    ("t", ViewId::Traces),
    ("lat", ViewId::Latency),
    ("br", ViewId::Breakers),
    ("al", ViewId::Alerts),
    ("slos", ViewId::Slo),
    ("log", ViewId::Logs),
    ("promql", ViewId::Explore),
];

/// Reads a command line. `now` is the wall clock, `zone` the one that times of day are read in.
///
/// # Errors
/// In words, with what would have been understood.
pub(crate) fn parse(line: &str, now: Timestamp, zone: Zone) -> Result<Order, String> {
    let line = line.trim().trim_start_matches(':');
    let (word, rest) = line.split_once(char::is_whitespace).map_or((line, ""), |(w, r)| (w, r.trim()));
    let word = word.to_ascii_lowercase();
    let place = |view, subject: &str| Place { view, subject: (!subject.is_empty()).then(|| subject.to_owned()) };
    let needs = |what: &str| if rest.is_empty() { Err(format!(":{word} needs {what}")) } else { Ok(()) };
    match word.as_str() {
        "" => Err("an empty command".to_owned()),
        "q" | "quit" | "exit" => Ok(Order::Act(Action::ForceQuit)),
        "service" => needs("the name of a service").map(|()| Order::Go(place(ViewId::Service, rest), None)),
        "trace" | "id" => needs("an id").map(|()| Order::Go(place(ViewId::Traces, &format!("id:{rest}")), None)),
        "query" => needs("an expression").map(|()| Order::Go(place(ViewId::Explore, rest), None)),
        "explore" | "promql" => Ok(Order::Go(place(ViewId::Explore, rest), None)),
        "map" | "latency" | "lat" => {
            let view = if word == "map" { ViewId::Map } else { ViewId::Latency };
            Ok(Order::Go(place(view, rest), None))
        }
        "at" => needs("a time: -10m, 03:10:31 or live").and_then(|()| time(rest, now, zone)).map(Order::At),
        "live" => Ok(Order::At(None)),
        "changes" if !rest.is_empty() && parse_duration(rest).is_err() => match time(rest, now, zone) {
            Ok(Some(since)) => Ok(Order::Since(since)),
            _ => Err(format!("`{rest}` is neither a length of time nor a time; write 10m or 03:10")),
        },
        "changes" => Ok(Order::Go(place(ViewId::Changes, rest), None)),
        "theme" => needs("a name").map(|()| Order::Theme(rest.to_owned())),
        "export" => Ok(Order::Export(if rest.is_empty() { "text" } else { rest }.to_ascii_lowercase())),
        "silence" => Ok(Order::Tell("silence", if rest.is_empty() { "1h".to_owned() } else { rest.to_owned() })),
        "acknowledge" | "ack" => Ok(Order::Tell("acknowledge", rest.to_owned())),
        "otlp" => Ok(Order::CopySnippet),
        _ => {
            let alias = || ALIASES.iter().find(|(a, _)| *a == word).map(|(_, v)| *v);
            let view = ViewId::from_name(&word).or_else(alias).or_else(|| begun(&word));
            if let Some(view) = view {
                return Ok(Order::Go(Place { view, subject: None }, Some(rest.trim_start_matches('/').to_owned())));
            }
            Action::from_name(&word).map(Order::Act).ok_or_else(|| {
                let instead =
                    nearest(&word).map_or_else(|| "; : lists them, Tab completes".to_owned(), |n| format!("; did you mean :{n}?"));
                format!("no command `{word}`{instead}")
            })
        }
    }
}

/// A point in time: `-10m`, `03:10`, `03:10:31`, `01:10:31Z`, `2026-11-29T03:10:31Z`, `live`, Unix seconds or milliseconds.
/// A time of day later than now was yesterday.
pub(crate) fn time(text: &str, now: Timestamp, zone: Zone) -> Result<Option<Timestamp>, String> {
    let bad = || format!("`{text}` is not a time; write -10m, 03:10:31 or live");
    if matches!(text, "live" | "now" | "0") {
        return Ok(None);
    }
    if let Some(back) = text.strip_prefix('-') {
        let back = parse_duration(back).map_err(|_| bad())?;
        return Ok((back > Duration::ZERO).then(|| now.saturating_sub(back)));
    }
    if let Some(at) = zone.dated(text) {
        return if at <= now { Ok(Some(at)) } else { Err(format!("`{text}` is yet to come")) };
    }
    if text.contains(':') {
        // A time of day is one of the clock in the header; with a Z it is UTC.
        let (text, zone) = text.strip_suffix('Z').map_or((text, zone), |text| (text, Zone::default()));
        let time = ["%H:%M:%S", "%H:%M"].iter().find_map(|format| NaiveTime::parse_from_str(text, format).ok()).ok_or_else(bad)?;
        return zone.last_time_of_day(time, now).ok_or_else(bad).map(Some);
    }
    let seconds: f64 = text.parse().map_err(|_| bad())?;
    let at = match seconds {
        1e9..1e11 => Timestamp::from_seconds(seconds),
        1e11..1e14 => Timestamp::from_seconds(seconds / 1000.0),
        _ => return Err(bad()),
    };
    if at <= now { Ok(Some(at)) } else { Err(bad()) }
}

/// What could stand at the end of the line: whole lines.
pub(crate) fn complete(line: &str, services: &[&str], themes: &[String]) -> Vec<String> {
    let Some((word, rest)) = line.split_once(' ') else {
        let mut names: Vec<&str> = ViewId::ALL.iter().map(|v| v.name()).chain(COMMANDS.iter().map(|c| c.0)).collect();
        // Every action is a command too; before a letter is typed they would bury the others.
        if !line.is_empty() {
            names.extend(Action::ALL.iter().map(|a| a.name()));
        }
        names.sort_unstable();
        names.dedup();
        return names.into_iter().filter(|n| n.starts_with(line)).map(str::to_owned).collect();
    };
    let from = |values: Vec<&str>| values.into_iter().filter(|v| v.contains(rest)).map(|v| format!("{word} {v}")).collect();
    match word {
        "service" | "map" | "latency" => from(services.to_vec()),
        "theme" => from(themes.iter().map(String::as_str).collect()),
        "export" => from(vec!["mermaid", "dot", "svg", "text", "csv", "json"]),
        "at" => from(vec!["-1m", "-10m", "-1h", "live"]),
        "changes" => from(vec!["5m", "15m", "1h"]),
        "silence" => from(vec!["30m", "1h", "4h", "1d"]),
        _ => {
            // Views take a filter; its usual beginning is a service.
            let Some(part) = rest.rsplit(' ').next().and_then(|p| p.strip_prefix("service=")) else { return Vec::new() };
            let head = &line[..line.len() - part.len()];
            services.iter().filter(|s| s.contains(part)).map(|s| format!("{head}{s}")).collect()
        }
    }
}

/// The only view whose name begins so: `alert`, `queue`, `breaker`.
fn begun(word: &str) -> Option<ViewId> {
    let mut found = ViewId::ALL.iter().copied().filter(|view| word.len() >= 3 && view.name().starts_with(word));
    found.next().filter(|_| found.next().is_none())
}

fn nearest(word: &str) -> Option<&'static str> {
    let shared = |a: &str| a.chars().zip(word.chars()).take_while(|(x, y)| x == y).count();
    ViewId::ALL.iter().map(|v| v.name()).chain(COMMANDS.iter().map(|c| c.0)).max_by_key(|n| shared(n)).filter(|n| shared(n) >= 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000); // 22:13:20 UTC

    #[test]
    fn commands_are_understood() {
        assert_eq!(parse(":q", NOW, Zone::default()), Ok(Order::Act(Action::ForceQuit)));
        assert_eq!(parse("traces service=x dur>500ms", NOW, Zone::default()).ok(), {
            Some(Order::Go(Place { view: ViewId::Traces, subject: None }, Some("service=x dur>500ms".to_owned())))
        });
        assert_eq!(
            parse("service checkout", NOW, Zone::default()),
            Ok(Order::Go(Place { view: ViewId::Service, subject: Some("checkout".to_owned()) }, None))
        );
        assert_eq!(parse("at -10m", NOW, Zone::default()), Ok(Order::At(Some(Timestamp::from_millis(NOW.millis() - 600_000)))));
        assert_eq!(parse("svc", NOW, Zone::default()), Ok(Order::Go(Place { view: ViewId::Services, subject: None }, Some(String::new()))));
        assert_eq!(parse("alert", NOW, Zone::default()), Ok(Order::Go(Place { view: ViewId::Alerts, subject: None }, Some(String::new()))));
        assert!(parse("serv", NOW, Zone::default()).is_err(), "service or services");
        assert!(parse("traecs", NOW, Zone::default()).unwrap_err().contains("did you mean :trace"));
        assert!(parse("theme", NOW, Zone::default()).unwrap_err().contains("needs"));
    }

    #[test]
    fn times_are_understood() {
        assert_eq!(time("22:13", NOW, Zone::default()), Ok(Some(Timestamp::from_millis(1_699_999_980_000))));
        assert_eq!(time("23:00:00", NOW, Zone::default()), Ok(Some(Timestamp::from_millis(1_699_916_400_000))), "yesterday");
        assert_eq!(time("live", NOW, Zone::default()), Ok(None));
        let ten_past = Ok(Some(Timestamp::from_millis(1_699_999_800_000)));
        for dated in [
            "2023-11-14T22:10:00Z",
            "2023-11-14T23:10:00.000+01:00",
            "2023-11-14 22:10",
            "2023-11-14T22:10:00",
            "1699999800",
            "1699999800000",
        ] {
            assert_eq!(time(dated, NOW, Zone::default()), ten_past, "{dated}");
        }
        let berlin = Zone::named("Europe/Berlin").expect("a zone");
        assert_eq!(time("2023-11-14 23:10", NOW, berlin), ten_past);
        assert!(time("2023-11-15 22:10", NOW, Zone::default()).unwrap_err().contains("yet to come"));
        for bad in ["x", "NaN", "inf", "1e300", "25:00", "1:2:3:4", "-x", "3", "10:99"] {
            assert!(time(bad, NOW, Zone::default()).is_err(), "{bad}");
        }
    }

    #[test]
    fn lines_are_completed() {
        assert_eq!(complete("que", &[], &[]), ["query", "queues"]);
        assert_eq!(complete("fol", &[], &[]), ["follow"], "actions are commands");
        assert!(!complete("", &[], &[]).contains(&"follow".to_owned()));
        assert_eq!(complete("service so", &["social-service", "user-service"], &[]), ["service social-service"]);
        assert_eq!(complete("traces error service=us", &["social-service", "user-service"], &[]), ["traces error service=user-service"]);
    }
}
