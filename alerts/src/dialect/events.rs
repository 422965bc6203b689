//! The state of a breaker whose exporter only counts events.

use super::State;
use super::breaker::state_of;
use std::collections::{BTreeMap, HashMap};
use watchfire_model::Labels;

/// The state after the last event. Where several counters grew between two looks the totals decide: every half-open follows an open, and every close one or
/// more opens, by way of half-open or, closed by hand, not.
///
/// An exporter that does not count half-open leaves it open which of an open and a close came last. Then `calls` tell: events that only a closed (or only an
/// open) breaker has, while no transition is counted.
pub(super) fn last_event(
    series: &[(Labels, f64)],
    label: &str,
    (states, calls): (&BTreeMap<String, State>, &BTreeMap<String, State>),
    before: Option<State>,
    values: &mut HashMap<Labels, f64>,
) -> (State, Vec<(State, f64)>) {
    let mut totals: BTreeMap<State, f64> = BTreeMap::new();
    let mut grown: BTreeMap<State, f64> = BTreeMap::new();
    let mut known_before = true;
    let mut called: BTreeMap<State, f64> = BTreeMap::new();
    for (labels, value) in series {
        if let Some(state) = calls.get(labels.value(label)) {
            let last = values.insert(labels.clone(), *value);
            *called.entry(*state).or_insert(0.0) += last.map_or(0.0, |last| if *value >= last { value - last } else { *value });
            continue;
        }
        let state = state_of(states, labels.value(label));
        *totals.entry(state).or_insert(0.0) += value;
        match values.insert(labels.clone(), *value) {
            Some(last) if *value > last => *grown.entry(state).or_insert(0.0) += value - last,
            Some(_) => {}
            // A counter appears with its first event; before any look at this breaker that says nothing about order.
            None if before.is_some() && *value > 0.0 => *grown.entry(state).or_insert(0.0) += value,
            None => known_before = false,
        }
    }
    let total = |state: State| totals.get(&state).copied().unwrap_or(0.0);
    let (opened, halved, closed) = (total(State::Open), total(State::HalfOpen), total(State::Closed));
    if !called.is_empty() {
        // These count opens and closes from the start, and have no series before the first.
        [State::Open, State::Closed].into_iter().for_each(|state| _ = totals.entry(state).or_insert(0.0));
    }
    let counted = totals.iter().filter(|(s, _)| **s != State::Unknown).map(|(s, n)| (*s, *n)).collect();
    let only = |state: State| called.get(&state).is_some_and(|n| *n > 0.0) && called.iter().all(|(s, n)| *s == state || *n == 0.0);
    let ordered = called.is_empty() || totals.contains_key(&State::HalfOpen);
    let state = if !ordered && grown.is_empty() && only(State::Open) {
        State::Open
    } else if !ordered && (opened == 0.0 || (grown.is_empty() && only(State::Closed))) {
        State::Closed
    } else if grown.len() == 1 {
        grown.keys().next().copied().unwrap_or(State::Unknown)
    } else if grown.len() > 1 {
        match (opened > halved, grown.contains_key(&State::Closed)) {
            (_, true) if closed >= opened => State::Closed,
            (true, _) => State::Open,
            (false, true) => State::Closed,
            (false, false) => State::HalfOpen,
        }
    } else if let (Some(before), true) = (before.filter(|s| *s != State::Unknown), known_before) {
        before
    } else if opened + halved + closed == 0.0 || (!ordered && closed > 0.0 && opened > closed) {
        State::Unknown
    } else if closed > 0.0 && closed >= opened {
        State::Closed
    } else if opened > halved {
        State::Open
    } else if closed >= halved {
        State::Closed
    } else if closed == 0.0 {
        State::HalfOpen
    } else {
        State::Unknown
    };
    (state, counted)
}
