//! Rewrites a message so that whoever reads it later meets only valid UTF-8, bounded texts and bounded nesting. What was wrong costs only itself.

use crate::inspect::{nests, text_limit, value_limit};
use crate::limits::Limits;
use crate::schema::{ANY_VALUE, Kind, Message};
use crate::wire::{LENGTH, Reader, WireError, put_bytes, put_message, put_tag, put_varint};
use std::borrow::Cow;

/// Stands where a value was nested too deep.
pub(crate) const TOO_DEEP: &str = "<too deep>";
const STRING_VALUE: u32 = 1;

/// Appends a repaired copy of a message that [`inspect`](crate::inspect::inspect) has found well formed.
///
/// # Errors
/// Only for messages that are not well formed.
pub(crate) fn repair(bytes: &[u8], message: &'static Message, depth: usize, limits: &Limits, out: &mut Vec<u8>) -> Result<(), WireError> {
    let mut reader = Reader::new(bytes);
    let value_end = (depth > 0 && nests(message)).then(|| out.len().saturating_add(value_limit(limits)));
    // Elements kept and dropped per repeated field that has a limit: attributes, events, links.
    let mut kept = [0usize; 17];
    let mut dropped = [0u64; 17];
    loop {
        let start = reader.position();
        let Some((number, wire_type)) = reader.tag()? else { break };
        let field = message.field(number);
        let (Some(field), LENGTH) = (field, wire_type) else {
            reader.skip(number, wire_type)?;
            if dropped_count_of(message, number).is_none() {
                out.extend_from_slice(&bytes[start..reader.position()]);
            } else if let Some(of) = dropped_count_of(message, number) {
                // Written again at the end, with what is dropped here.
                let mut again = Reader::new(&bytes[start..reader.position()]);
                again.tag()?;
                dropped[of] = dropped[of].saturating_add(again.varint()?);
            }
            continue;
        };
        let body = reader.bytes()?;
        match field.kind {
            Kind::Text | Kind::Texts => {
                put_bytes(out, number, cut(&String::from_utf8_lossy(body), text_limit(message, field, limits)).as_bytes())
            }
            Kind::Base64 if std::ptr::eq(message, &ANY_VALUE) && body.len() > limits.max_value => {
                put_bytes(out, number, &body[..limits.max_value]);
            }
            Kind::Message(inner) | Kind::Messages(inner) => {
                let limit = if matches!(field.kind, Kind::Messages(_)) { element_limit(message, number, limits) } else { None };
                if let Some(limit) = limit {
                    kept[number as usize] += 1;
                    if kept[number as usize] > limit {
                        dropped[number as usize] += 1;
                        continue;
                    }
                }
                if value_end.is_some_and(|end| out.len() > end) {
                    continue;
                }
                let inside = depth + usize::from(nests(inner));
                if inside > limits.max_depth {
                    put_bytes(out, STRING_VALUE, TOO_DEEP.as_bytes());
                } else {
                    put_message(out, number, |out| repair(body, inner, inside, limits, out))?;
                }
            }
            _ => put_bytes(out, number, body),
        }
    }
    for (number, count) in dropped.into_iter().enumerate().filter(|(_, count)| *count > 0) {
        if let Some(field) = dropped_field(message, number as u32) {
            put_tag(out, field, crate::wire::VARINT);
            put_varint(out, count.min(u64::from(u32::MAX)));
        }
    }
    Ok(())
}

/// How many elements of a repeated field are kept, where what is beyond is counted.
fn element_limit(message: &Message, number: u32, limits: &Limits) -> Option<usize> {
    dropped_field(message, number)?;
    Some(match message.field(number)?.json {
        "events" => limits.max_events,
        "links" => limits.max_links,
        _ => limits.max_attributes,
    })
}

/// The field that counts what was dropped from a repeated field, where the message has one.
fn dropped_field(message: &Message, number: u32) -> Option<u32> {
    let counter = match message.field(number)?.json {
        "attributes" => "droppedAttributesCount",
        "events" => "droppedEventsCount",
        "links" => "droppedLinksCount",
        _ => return None,
    };
    message.named(counter).map(|f| f.number)
}

/// The other way round: which repeated field a dropped-count belongs to.
fn dropped_count_of(message: &Message, number: u32) -> Option<usize> {
    message.fields.iter().find(|f| dropped_field(message, f.number) == Some(number)).map(|f| f.number as usize)
}

/// Text of at most `limit` bytes; a longer one says how long it was.
pub(crate) fn cut(text: &str, limit: usize) -> Cow<'_, str> {
    if text.len() <= limit {
        return Cow::Borrowed(text);
    }
    let mut end = limit;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    Cow::Owned(format!("{}...({})", &text[..end], size(text.len())))
}

fn size(bytes: usize) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    }
}
