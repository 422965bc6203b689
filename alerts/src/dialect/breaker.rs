//! Breaker states out of the encodings that exporters use.

use super::events;
use super::file::{BreakerSource, Encoding, Format};
use super::rows::BreakerRow;
use super::{Look, State};
use std::collections::{BTreeMap, HashMap};
use watchfire_model::{Labels, METRIC_NAME};

/// What has to be remembered from one look to the next.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Last values of series whose growth tells the state.
    values: HashMap<Labels, f64>,
    /// Last state and seen transitions per (service, breaker).
    seen: HashMap<(String, String), Seen>,
}

#[derive(Debug)]
struct Seen {
    state: State,
    transitions: BTreeMap<State, f64>,
}

type Key = (String, String);

/// The breakers one entry of a dialect knows.
pub(super) fn read(source: &BreakerSource, dialect: &str, look: &Look<'_>, memory: &mut Memory) -> Vec<BreakerRow> {
    let mut groups: BTreeMap<Key, Vec<(Labels, f64)>> = BTreeMap::new();
    let state_set = source.encoding.is_state_set();
    for (mut labels, value) in look.origin(&source.origin) {
        if state_set {
            // The label that names the state is named after the metric.
            let Some(word) = labels.get(labels.metric_name()).map(str::to_owned) else { continue };
            let mut named = labels.to_builder();
            named.set(METRIC_NAME, &word);
            labels = named.build();
        }
        let (Some(service), Some(breaker)) = (Format::first(&source.service, &labels), Format::first(&source.breaker, &labels)) else {
            continue;
        };
        groups.entry((service, breaker)).or_default().push((labels, value));
    }
    if groups.is_empty() {
        return Vec::new();
    }
    let rejecting = rejecting(source, look);
    let members = source.of.as_ref().map(|q| look.vector(q)).unwrap_or_default();
    groups
        .into_iter()
        .map(|(key, series)| {
            let mut counted = Vec::new();
            let mut saturated = false;
            let state = match &source.encoding {
                Encoding::OneHot { label, states } => one_hot(&series, label, states),
                Encoding::Number { table } => number(&series, table),
                Encoding::NumberFromHelp => number_from_help(&series, look),
                Encoding::Growing { label, states } => {
                    growing(&series, label, states, memory).or_else(|| memory.seen.get(&key).map(|s| s.state)).unwrap_or(State::Unknown)
                }
                Encoding::LastEvent { label, states, calls } => {
                    let before = memory.seen.get(&key).map(|s| s.state);
                    let (state, totals) = events::last_event(&series, label, (states, calls), before, &mut memory.values);
                    counted = totals;
                    state
                }
                Encoding::Saturated => {
                    saturated = series.iter().any(|(_, v)| *v > 0.0);
                    State::Closed
                }
                Encoding::Ejected => ejected(&series, &members),
            };
            let unread = match &source.encoding {
                _ if state != State::Unknown => None,
                Encoding::OneHot { label, .. } => series.iter().find(|(_, v)| *v >= 0.5).map(|(l, _)| l.value(label).to_owned()),
                Encoding::Number { .. } | Encoding::NumberFromHelp => {
                    Some(series.iter().map(|(_, v)| *v).fold(f64::NAN, f64::max).to_string())
                }
                _ => None,
            };
            let transitions = memory.see(&key, state, source.trial && has_trial(&source.encoding, &series, look), counted);
            let rejecting = rejecting.iter().any(|labels| {
                Format::first(&source.service, labels).is_some_and(|s| s == key.0)
                    && Format::first(&source.breaker, labels).is_some_and(|b| b == key.1)
            });
            let (service, breaker) = key;
            BreakerRow { service, breaker, state, unread, source: dialect.to_owned(), inferred: false, saturated, rejecting, transitions }
        })
        .collect()
}

impl Memory {
    /// Remembers a state; counts the transition where the source does not count itself. A breaker with a half-open state (`has_trial`) closes only by way
    /// of it, so a trial that came and went between two looks is counted as well. One that failed is not: open looks like open.
    pub fn see(&mut self, key: &Key, state: State, has_trial: bool, counted: Vec<(State, f64)>) -> Vec<(State, f64)> {
        let seen = self.seen.entry(key.clone()).or_insert_with(|| Seen { state, transitions: BTreeMap::new() });
        if state != State::Unknown {
            for to in [State::Closed, State::HalfOpen, State::Open] {
                seen.transitions.entry(to).or_insert(0.0);
            }
            if has_trial && seen.state == State::Open && state == State::Closed {
                *seen.transitions.entry(State::HalfOpen).or_insert(0.0) += 1.0;
            }
            if state != seen.state && seen.state != State::Unknown {
                *seen.transitions.entry(state).or_insert(0.0) += 1.0;
            }
            seen.state = state;
        }
        if counted.is_empty() { seen.transitions.iter().map(|(s, n)| (*s, *n)).collect() } else { counted }
    }

    /// Forgets everything when it is too much, so that it cannot grow without end; transitions are counted from zero again then.
    pub fn bound(&mut self) {
        const MOST: usize = 50_000;
        if self.values.len() > MOST {
            self.values.clear();
        }
        if self.seen.len() > MOST {
            self.seen.clear();
        }
    }
}

/// Whether the source has a word or a number for half-open.
fn has_trial(encoding: &Encoding, series: &[(Labels, f64)], look: &Look<'_>) -> bool {
    let half = |states: &BTreeMap<String, State>| states.values().any(|s| *s == State::HalfOpen);
    match encoding {
        Encoding::OneHot { states, .. } | Encoding::Growing { states, .. } => states.is_empty() || half(states),
        Encoding::Number { table } => half(table),
        Encoding::NumberFromHelp => series.iter().any(|(l, _)| look.help(l.metric_name()).is_some_and(|help| half(&table_in(&help)))),
        // Events are counted by their source; the others have no trial.
        Encoding::LastEvent { .. } | Encoding::Saturated | Encoding::Ejected => false,
    }
}

pub(super) fn state_of(states: &BTreeMap<String, State>, word: &str) -> State {
    if states.is_empty() { State::from_word(word).unwrap_or(State::Unknown) } else { states.get(word).copied().unwrap_or(State::Unknown) }
}

/// The state whose series is 1; of several (instances disagree) the most open one.
fn one_hot(series: &[(Labels, f64)], label: &str, states: &BTreeMap<String, State>) -> State {
    series.iter().filter(|(_, v)| *v >= 0.5).map(|(l, _)| state_of(states, l.value(label))).max().unwrap_or(State::Unknown)
}

fn number(series: &[(Labels, f64)], table: &BTreeMap<String, State>) -> State {
    let read = |v: f64| table.iter().find(|(key, _)| key.parse::<f64>().is_ok_and(|k| (k - v).abs() < 1e-9)).map(|(_, s)| *s);
    series.iter().map(|(_, v)| read(*v).unwrap_or(State::Unknown)).max().unwrap_or(State::Unknown)
}

fn number_from_help(series: &[(Labels, f64)], look: &Look<'_>) -> State {
    let mut worst = State::Unknown;
    for (labels, value) in series {
        let table = look.help(labels.metric_name()).map(|help| table_in(&help)).unwrap_or_default();
        worst = worst.max(number(&[(labels.clone(), *value)], &table));
    }
    worst
}

/// Reads `0=closed`, `1: half-open`, `2 - open`, `closed=0` and the like out of a HELP text.
pub(super) fn table_in(help: &str) -> BTreeMap<String, State> {
    let mut table = BTreeMap::new();
    let words: Vec<&str> = help
        .split(|c: char| !(c.is_alphanumeric() || matches!(c, '.' | '-' | '_')))
        .map(|w| w.trim_matches(|c: char| c == '.' || c == '-'))
        .filter(|w| !w.is_empty() && !matches!(w.to_ascii_lowercase().as_str(), "is" | "means" | "for" | "and" | "or"))
        .collect();
    let digit = |w: &str| w.parse::<f64>().is_ok();
    let first_is_number = words.iter().find(|w| digit(w) || State::from_word(w).is_some()).is_some_and(|w| digit(w));
    let mut i = 0;
    while i + 1 < words.len() {
        let (word, used) = state_at(&words, if first_is_number { i + 1 } else { i });
        let number = if first_is_number { Some(words[i]) } else { words.get(i + used).copied() };
        match (number.filter(|n| digit(n)), word) {
            (Some(number), Some(state)) => {
                table.entry(number.to_owned()).or_insert(state);
                i += 1 + used;
            }
            _ => i += 1,
        }
    }
    table
}

/// The state a word names, and how many words that took: `half open` may be two.
fn state_at(words: &[&str], at: usize) -> (Option<State>, usize) {
    let two = words.get(at + 1).map(|next| format!("{}{next}", words[at]));
    match two.filter(|t| t.to_ascii_lowercase().starts_with("half")).and_then(|t| State::from_word(&t)) {
        Some(state) => (Some(state), 2),
        None => (words.get(at).and_then(|w| State::from_word(w)), 1),
    }
}

/// The state whose time grew most since the last look.
fn growing(series: &[(Labels, f64)], label: &str, states: &BTreeMap<String, State>, memory: &mut Memory) -> Option<State> {
    let mut most: Option<(f64, State)> = None;
    for (labels, value) in series {
        let before = memory.values.insert(labels.clone(), *value);
        let growth = before.map_or(0.0, |b| value - b);
        if growth > 0.0 && most.is_none_or(|(g, _)| growth > g) {
            most = Some((growth, state_of(states, labels.value(label))));
        }
    }
    most.map(|(_, state)| state)
}

fn ejected(series: &[(Labels, f64)], members: &[(Labels, f64)]) -> State {
    let mut worst = State::Unknown;
    for (labels, ejected) in series {
        let same =
            |other: &Labels| labels.iter().filter(|l| &*l.name != METRIC_NAME).all(|l| other.get(&l.name).is_none_or(|v| v == &*l.value));
        let total = members.iter().find(|(other, _)| same(other)).map(|(_, v)| *v);
        let state = match (*ejected, total) {
            (e, _) if e <= 0.0 => State::Closed,
            (e, Some(total)) if e >= total => State::Open,
            _ => State::HalfOpen,
        };
        worst = worst.max(state);
    }
    worst
}

/// Labels of rejection counters that grew within the last five minutes.
fn rejecting(source: &BreakerSource, look: &Look<'_>) -> Vec<Labels> {
    let Some(query) = &source.rejected else { return Vec::new() };
    let text = format!("increase({}[5m]) > 0", query.text());
    look.text_vector(&text).into_iter().map(|(labels, _)| labels).collect()
}
