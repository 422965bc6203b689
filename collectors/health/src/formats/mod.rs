//! Body formats of health endpoints. Each file knows its own: whether a body is of that kind, and what it says.
//!
//! To add one: a file with `FORMAT` and, for tests, its `FIXTURES`; one line in [`FORMATS`] before the general ones at its end.

mod aspnet;
mod dapr;
mod health_json;
mod healthchecks_ui;
mod home_grown;
mod kubernetes;
mod microprofile;
mod plain_text;
mod spring;
mod terminus;

use crate::words::{self, Word, classify_scalar};
use serde_json::{Map, Value};
use watchfire_model::{DependencyReport, HealthState};

/// Dependencies read from one body, and levels they may be nested.
const MAX_DEPENDENCIES: usize = 200;
const MAX_DEPTH: usize = 8;
/// Characters kept of any text of the other side.
const MAX_TEXT: usize = 300;

/// A body as it arrived.
#[derive(Clone, Copy, Debug)]
pub struct Body<'a> {
    pub status: u16,
    pub content_type: &'a str,
    pub path: &'a str,
    pub text: &'a str,
    /// The text as JSON, where it is.
    pub json: Option<&'a Value>,
}

impl<'a> Body<'a> {
    fn object(&self) -> Option<&'a Map<String, Value>> {
        self.json?.as_object()
    }
}

/// What a body says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    pub overall: Option<Word>,
    pub dependencies: Vec<DependencyReport>,
    /// A sentence of the service about its state.
    pub message: String,
    /// The name the service gives itself.
    pub service: Option<String>,
    pub uptime_seconds: Option<f64>,
    /// What it gives as its state and what is no word for one: nothing is concluded from it, and that is said.
    pub unread: String,
}

/// One body format.
#[derive(Clone, Copy)]
pub struct Format {
    pub name: &'static str,
    /// Whether the body is of this kind and of no more special one.
    pub sniff: fn(&Body<'_>) -> bool,
    pub decode: fn(&Body<'_>) -> Verdict,
}

/// Special formats first; the last two take what is left.
pub const FORMATS: [Format; 10] = [
    kubernetes::FORMAT,
    spring::FORMAT,
    microprofile::FORMAT,
    aspnet::FORMAT,
    healthchecks_ui::FORMAT,
    health_json::FORMAT,
    terminus::FORMAT,
    dapr::FORMAT,
    home_grown::FORMAT,
    plain_text::FORMAT,
];

/// The verdict of a body: by the named format, or by the first that recognises it. `None` when nobody does.
pub fn read(body: &Body<'_>, hint: Option<&str>) -> Option<(&'static str, Verdict)> {
    let format = match hint {
        Some(name) => FORMATS.iter().find(|f| f.name == name),
        None => FORMATS.iter().find(|f| (f.sniff)(body)),
    }?;
    Some((format.name, (format.decode)(body)))
}

/// A text cut to what is kept of it.
fn bounded(text: &str) -> String {
    text.trim().chars().take(MAX_TEXT).collect()
}

/// A field by name, whatever the case of its letters and however its words are joined.
fn field<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object.get(name).or_else(|| object.iter().find(|(key, _)| same_key(key, name)).map(|(_, value)| value))
}

/// `overallStatus`, `overall-status` and `OVERALL_STATUS` are one key.
fn same_key(a: &str, b: &str) -> bool {
    let letters = |key: &'_ str| key.bytes().filter(|b| !matches!(b, b'_' | b'-')).map(|b| b.to_ascii_lowercase()).collect::<Vec<u8>>();
    // Most keys differ in their first letter.
    a.as_bytes().first().map(u8::to_ascii_lowercase) == b.as_bytes().first().map(u8::to_ascii_lowercase) && letters(a) == letters(b)
}

/// The first of several fields that holds text, bounded.
fn text_of(object: &Map<String, Value>, names: &[&str]) -> String {
    names
        .iter()
        .find_map(|name| match field(object, name)? {
            Value::String(text) if !text.trim().is_empty() => Some(bounded(text)),
            Value::Object(inner) => inner.get("message").and_then(Value::as_str).map(bounded),
            _ => None,
        })
        .unwrap_or_default()
}

/// The state an object gives itself, and the text it gives it with.
fn status_of(object: &Map<String, Value>, names: &[&str]) -> Option<(Word, String)> {
    names.iter().find_map(|name| {
        let value = field(object, name)?;
        let word = classify_scalar(value)?;
        Some((word, value.as_str().map(bounded).unwrap_or_default()))
    })
}

/// What an object gives as its state and what is no word for one.
fn unread(object: &Map<String, Value>, names: &[&str]) -> String {
    let text = names.iter().find_map(|name| field(object, name)?.as_str()).unwrap_or_default();
    if words::classify(text).is_none() { bounded(text) } else { String::new() }
}

/// Collects dependencies within the limits. Where they are too many, it is not the bad ones that are left out.
#[derive(Default)]
struct Dependencies(Vec<DependencyReport>);

impl Dependencies {
    fn add(&mut self, name: &str, word: Word, detail: String, latency: Option<std::time::Duration>) {
        if word == Word::Absent {
            return;
        }
        let report = || DependencyReport { name: bounded(name), state: word.state(), detail, latency };
        if self.0.len() < MAX_DEPENDENCIES {
            self.0.push(report());
        } else if matches!(word, Word::Bad | Word::Middle)
            && let Some(better) = self.0.iter_mut().rev().find(|held| matches!(held.state, HealthState::Healthy | HealthState::Unknown))
        {
            *better = report();
        }
    }
}

fn join(parent: &str, name: &str) -> String {
    if parent.is_empty() { name.to_owned() } else { format!("{parent}/{name}") }
}

/// `uptime` as seconds, where it is a number or a duration text.
fn uptime_of(object: &Map<String, Value>) -> Option<f64> {
    let (value, unit) = ["uptime_seconds", "uptimeSeconds", "uptime"]
        .iter()
        .find_map(|n| field(object, n).map(|v| (v, 1.0)))
        .or_else(|| ["uptime_ms", "uptimeMs"].iter().find_map(|n| field(object, n).map(|v| (v, 1000.0))))?;
    match value {
        Value::Number(n) => n.as_f64().map(|n| n / unit),
        Value::String(text) if text.ends_with('s') || text.contains(':') => words::duration(value).map(|d| d.as_secs_f64()),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// The name a body gives its service.
fn service_of(object: &Map<String, Value>) -> Option<String> {
    ["service", "service_name", "serviceName", "serviceId"].iter().find_map(|n| {
        let name = field(object, n)?.as_str()?.trim();
        (!name.is_empty() && name.chars().count() <= 100).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judgement::{Outcome, judge};
    use proptest::prelude::*;

    /// A body as a real service sends it, and what it must come to.
    pub(super) struct Fixture {
        pub(super) status: u16,
        pub(super) content_type: &'static str,
        pub(super) path: &'static str,
        pub(super) body: &'static str,
        pub(super) state: HealthState,
        pub(super) dependencies: &'static [(&'static str, HealthState)],
    }

    fn all() -> Vec<(&'static str, &'static [Fixture])> {
        vec![
            (kubernetes::FORMAT.name, kubernetes::FIXTURES),
            (spring::FORMAT.name, spring::FIXTURES),
            (microprofile::FORMAT.name, microprofile::FIXTURES),
            (aspnet::FORMAT.name, aspnet::FIXTURES),
            (healthchecks_ui::FORMAT.name, healthchecks_ui::FIXTURES),
            (health_json::FORMAT.name, health_json::FIXTURES),
            (terminus::FORMAT.name, terminus::FIXTURES),
            (dapr::FORMAT.name, dapr::FIXTURES),
            (home_grown::FORMAT.name, home_grown::FIXTURES),
            (plain_text::FORMAT.name, plain_text::FIXTURES),
        ]
    }

    fn with_body<T>(fixture: &Fixture, act: impl FnOnce(&Body<'_>) -> T) -> T {
        let json: Option<Value> = serde_json::from_str(fixture.body).ok();
        act(&Body {
            status: fixture.status,
            content_type: fixture.content_type,
            path: fixture.path,
            text: fixture.body,
            json: json.as_ref(),
        })
    }

    #[test]
    fn every_format_claims_its_own_bodies_and_no_others() {
        for (owner, fixtures) in all() {
            assert!(fixtures.iter().filter(|f| f.state == HealthState::Healthy).count() >= 3, "{owner} needs three good bodies");
            assert!(fixtures.iter().any(|f| f.state != HealthState::Healthy), "{owner} needs a bad body");
            for fixture in fixtures {
                for format in &FORMATS {
                    let claimed = with_body(fixture, |body| (format.sniff)(body));
                    assert_eq!(claimed, format.name == owner, "{} on {:?}", format.name, fixture.body);
                }
            }
        }
    }

    #[test]
    fn every_body_comes_to_its_state_and_dependencies() {
        for (owner, fixtures) in all() {
            for fixture in fixtures {
                let (name, verdict) = with_body(fixture, |body| read(body, None)).unwrap();
                assert_eq!(name, owner);
                let found: Vec<(String, HealthState)> = verdict.dependencies.iter().map(|d| (d.name.clone(), d.state)).collect();
                let mut expected: Vec<(String, HealthState)> = fixture.dependencies.iter().map(|(n, s)| ((*n).to_owned(), *s)).collect();
                let mut sorted = found.clone();
                sorted.sort();
                expected.sort();
                assert_eq!(sorted, expected, "{owner}: {}", fixture.body);
                let Outcome { state, detail, .. } = judge(fixture.status, Some(&verdict), &[], HealthState::Unknown);
                assert_eq!(state, fixture.state, "{owner}: {} ({detail})", fixture.body);
            }
        }
    }

    #[test]
    fn the_one_bad_dependency_of_a_thousand_is_seen() {
        let names = (0..1000).map(|i| (format!("d{i:03}"), Value::from(if i == 999 { "down" } else { "up" }))).collect();
        let json = serde_json::json!({ "status": "ok", "dependencies": Value::Object(names) });
        let body = Body { status: 200, content_type: "application/json", path: "/", text: "{}", json: Some(&json) };
        let verdict = read(&body, None).expect("a format").1;
        assert_eq!(verdict.dependencies.len(), MAX_DEPENDENCIES);
        let outcome = judge(200, Some(&verdict), &[], HealthState::Unknown);
        assert_eq!((outcome.state, outcome.detail.as_str()), (HealthState::Degraded, "HTTP 200: d999 unhealthy"));
    }

    #[test]
    fn a_word_that_says_nothing_is_quoted() {
        for text in [r#"{"status":"BANANA"}"#, r#"{"status":"BANANA","version":"1"}"#] {
            let json = serde_json::from_str(text).expect("valid");
            let body = Body { status: 200, content_type: "application/json", path: "/", text, json: Some(&json) };
            let verdict = read(&body, None).expect("a format").1;
            let outcome = judge(200, Some(&verdict), &[], HealthState::Unknown);
            assert_eq!(
                (outcome.state, outcome.detail.as_str()),
                (HealthState::Healthy, r#"HTTP 200; it says "BANANA", which is no known state"#)
            );
        }
    }

    #[test]
    fn a_body_never_improves_a_server_error() {
        for (_, fixtures) in all() {
            for fixture in fixtures {
                let verdict = with_body(fixture, |body| read(body, None)).map(|(_, v)| v);
                assert_eq!(judge(500, verdict.as_ref(), &[], HealthState::Unknown).state, HealthState::Unhealthy);
            }
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in any::<String>(), status in 100u16..600) {
            let json: Option<Value> = serde_json::from_str(&text).ok();
            let body = Body { status, content_type: "", path: "/", text: &text, json: json.as_ref() };
            for format in &FORMATS {
                (format.sniff)(&body);
                (format.decode)(&body);
            }
        }

        #[test]
        fn damaged_bodies_of_every_format_stay_within_the_limits(
            which in any::<proptest::sample::Index>(),
            edits in proptest::collection::vec((any::<proptest::sample::Index>(), 0usize..12, "[\\[\\]{}\":,a-z0-9 \n=#-]{0,6}"), 1..5),
        ) {
            let fixtures: Vec<&Fixture> = all().into_iter().flat_map(|(_, fixtures)| fixtures).collect();
            let fixture = fixtures[which.index(fixtures.len())];
            let mut chars: Vec<char> = fixture.body.chars().collect();
            for (at, length, instead) in edits {
                let at = at.index(chars.len() + 1);
                chars.splice(at..(at + length).min(chars.len()), instead.chars());
            }
            let text: String = chars.into_iter().collect();
            let json: Option<Value> = serde_json::from_str(&text).ok();
            let body = Body { status: fixture.status, content_type: fixture.content_type, path: fixture.path, text: &text, json: json.as_ref() };
            if let Some((_, verdict)) = read(&body, None) {
                prop_assert!(verdict.dependencies.len() <= MAX_DEPENDENCIES);
                prop_assert!(verdict.dependencies.iter().all(|d| d.name.chars().count() <= MAX_TEXT && d.detail.chars().count() <= MAX_TEXT));
            }
        }

        #[test]
        fn any_json_stays_within_the_limits(json in any_json()) {
            let text = json.to_string();
            let body = Body { status: 200, content_type: "application/json", path: "/", text: &text, json: Some(&json) };
            for format in &FORMATS {
                let verdict = (format.decode)(&body);
                prop_assert!(verdict.dependencies.len() <= MAX_DEPENDENCIES);
                prop_assert!(verdict.dependencies.iter().all(|d| d.name.chars().count() <= MAX_TEXT && d.detail.chars().count() <= MAX_TEXT));
            }
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let key = prop_oneof![
            Just("status".to_owned()),
            Just("checks".to_owned()),
            Just("components".to_owned()),
            Just("details".to_owned()),
            Just("entries".to_owned()),
            Just("error".to_owned()),
            "[a-z]{1,5}"
        ];
        let word =
            prop_oneof![Just("UP"), Just("down"), Just("pass"), Just("Degraded"), Just("x")].prop_map(|w| Value::String(w.to_owned()));
        let leaf = prop_oneof![word, any::<bool>().prop_map(Value::from), any::<i32>().prop_map(Value::from), Just(Value::Null)];
        leaf.prop_recursive(6, 64, 6, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                proptest::collection::btree_map(key.clone(), inner, 0..6).prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        })
    }
}
