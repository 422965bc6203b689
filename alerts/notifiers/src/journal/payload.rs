//! The payload of one record: evaluator states as raw bytes, everything else as JSON.
//!
//! `count (key, value)* count key* JSON`, where counts and lengths are 32-bit little-endian.

use super::state::{Change, State};

/// Evaluator states of one tick.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertStates {
    pub changed: Vec<(String, Vec<u8>)>,
    pub removed: Vec<String>,
}

/// Changes per record of a snapshot.
const SNAPSHOT_CHANGES: usize = 64;

pub fn encode(states: &AlertStates, changes: &[Change]) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    put_length(&mut out, states.changed.len());
    for (key, value) in &states.changed {
        put_bytes(&mut out, key.as_bytes());
        put_bytes(&mut out, value);
    }
    put_length(&mut out, states.removed.len());
    for key in &states.removed {
        put_bytes(&mut out, key.as_bytes());
    }
    if !changes.is_empty() {
        serde_json::to_writer(&mut out, changes).expect("changes hold only values that JSON can write, into memory");
    }
    out
}

/// Applies a payload to the state; `None` when it does not decode, which a good checksum leaves to another version of watchfire.
pub fn apply(payload: &[u8], state: &mut State) -> Option<()> {
    let mut rest = payload;
    let mut states = AlertStates::default();
    for _ in 0..take_length(&mut rest)? {
        let key = take_text(&mut rest)?;
        states.changed.push((key, take_bytes(&mut rest)?.to_vec()));
    }
    for _ in 0..take_length(&mut rest)? {
        states.removed.push(take_text(&mut rest)?);
    }
    let changes: Vec<Change> = if rest.is_empty() { Vec::new() } else { serde_json::from_slice(rest).ok()? };
    for change in &changes {
        state.apply(change);
    }
    apply_states(states, state);
    Some(())
}

pub fn apply_states(states: AlertStates, state: &mut State) {
    for key in &states.removed {
        state.alert_states.remove(key);
    }
    state.alert_states.extend(states.changed);
}

/// The whole state as payloads.
pub fn snapshot(state: &State) -> impl Iterator<Item = Vec<u8>> + '_ {
    let mut changes = state.snapshot().peekable();
    let mut states = state.alert_states.iter().peekable();
    std::iter::from_fn(move || {
        if changes.peek().is_some() {
            let batch: Vec<Change> = changes.by_ref().take(SNAPSHOT_CHANGES).collect();
            return Some(encode(&AlertStates::default(), &batch));
        }
        states.peek()?;
        let changed = states.by_ref().take(SNAPSHOT_CHANGES).map(|(k, v)| (k.clone(), v.clone())).collect();
        Some(encode(&AlertStates { changed, removed: Vec::new() }, &[]))
    })
}

fn put_length(out: &mut Vec<u8>, length: usize) {
    out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_length(out, bytes.len());
    out.extend_from_slice(bytes);
}

fn take_length(rest: &mut &[u8]) -> Option<usize> {
    let (length, tail) = rest.split_first_chunk::<4>()?;
    *rest = tail;
    Some(u32::from_le_bytes(*length) as usize)
}

fn take_bytes<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = take_length(rest)?;
    let (bytes, tail) = rest.split_at_checked(length)?;
    *rest = tail;
    Some(bytes)
}

fn take_text(rest: &mut &[u8]) -> Option<String> {
    take_bytes(rest).and_then(|b| String::from_utf8(b.to_vec()).ok())
}
