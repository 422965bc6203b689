//! The attributes of a span, one after the other: a glance at each tells whether it needs a closer look.

use crate::inspect::{Findings, Stop, inspect};
use crate::limits::Limits;
use crate::schema::KEY_VALUE;
use crate::wire::{LENGTH, Reader};

/// Tag of an attribute in a span.
const ATTRIBUTE: u8 = 9 << 3 | LENGTH;

/// Attributes of one span that cost nothing of the request's budget of elements.
const FREE: usize = 32;

/// Reads on as long as attributes follow that are shorter than 128 bytes. `seen` counts them.
///
/// # Errors
/// When one is malformed, or there are too many elements in the request.
#[inline(never)]
pub(super) fn read(reader: &mut Reader<'_>, seen: &mut usize, limits: &Limits, findings: &mut Findings) -> Result<(), Stop> {
    let longest = limits.max_key.min(limits.max_value);
    let mut at = *reader;
    // What has not been looked at yet. Keys and texts are looked at all together: between them are only ASCII characters, and of those none is a part of
    // another.
    let mut text = at.rest();
    let mut more = 0;
    loop {
        let before = at;
        if let Some(usual) = usual(at.rest())
            && usual.length <= longest
        {
            more += 1;
            at.pass(usual.length);
            if usual.number == 0 {
                continue;
            }
            let read = &text[..text.len() - at.rest().len()];
            if !is_text(&read[..read.len() - usual.number]) {
                inspect_each(read, limits, findings)?;
            }
        } else {
            let Some(value) = at.short_field(ATTRIBUTE) else { break };
            more += 1;
            let read = &text[..text.len() - before.rest().len()];
            if !is_text(read) {
                inspect_each(read, limits, findings)?;
            }
            inspect(value, &KEY_VALUE, 0, limits, findings)?;
        }
        text = at.rest();
    }
    *reader = at;
    count(seen, more, limits, findings)?;
    let read = &text[..text.len() - at.rest().len()];
    if is_text(read) { Ok(()) } else { inspect_each(read, limits, findings) }
}

/// Counts attributes.
///
/// # Errors
/// When there are too many elements in the request.
#[inline]
pub(super) fn count(seen: &mut usize, more: usize, limits: &Limits, findings: &mut Findings) -> Result<(), Stop> {
    let before = (*seen).max(FREE);
    *seen += more;
    findings.count((*seen).max(FREE) - before, limits)
}

#[inline(never)]
fn is_text(bytes: &[u8]) -> bool {
    is_ascii(bytes) || simdutf8::basic::from_utf8(bytes).is_ok()
}

/// Looks at each of some attributes.
#[cold]
fn inspect_each(attributes: &[u8], limits: &Limits, findings: &mut Findings) -> Result<(), Stop> {
    let mut reader = Reader::new(attributes);
    while let Some(value) = reader.short_field(ATTRIBUTE) {
        inspect(value, &KEY_VALUE, 0, limits, findings)?;
    }
    Ok(())
}

/// An attribute as every SDK writes it: a key and one scalar value, all lengths below 128.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Usual {
    /// Bytes of the field, its tag included.
    length: usize,
    /// Bytes at its end that are a number and no text.
    number: usize,
}

/// The attribute that comes next, if it is a usual one whatever its key and text are made of. Nothing is certain about others.
#[inline(always)]
fn usual(rest: &[u8]) -> Option<Usual> {
    // Four bytes at a time: tag, length, tag of the key, length of the key ...
    let head = u32::from_le_bytes(*rest.first_chunk()?);
    if head & 0x00ff_80ff != u32::from_le_bytes([ATTRIBUTE, 0, 0x0a, 0]) {
        return None;
    }
    let (length, key_length) = (2 + (head >> 8 & 0x7f) as usize, (head >> 24) as usize);
    let field = rest.get(..length)?;
    // ... and tag of the value, its length, tag within it, and the length of a text or the first byte of a number.
    let value = u32::from_le_bytes(field.get(4 + key_length..8 + key_length)?.try_into().ok()?);
    let value_length = (length - key_length - 6) as u32;
    if value == 0x000a_0012 + (value_length << 8) + ((value_length - 2) << 24) {
        return Some(Usual { length, number: 0 });
    }
    if value & 0xffff != 0x12 + (value_length << 8) {
        return None;
    }
    let number = match ((value >> 16) as u8, field.get(7 + key_length..)?) {
        (0x10 | 0x18, [0..0x80]) => 0,
        // Status codes and ports.
        (0x18, [0x80..=0xff, 0..0x80]) => 2,
        (0x10 | 0x18, number @ [first @ .., 0..0x80]) if first.len() < 9 && first.iter().all(|byte| *byte >= 0x80) => number.len(),
        (0x21, [_, _, _, _, _, _, _, _]) => 8,
        _ => return None,
    };
    Some(Usual { length, number })
}

/// For texts of some dozen bytes, where a call costs as much as the look itself. What is short is looked at from both ends, which meet or overlap in the
/// middle: how often a loop goes round for it is what a processor guesses wrong.
#[inline(always)]
pub(super) fn is_ascii(bytes: &[u8]) -> bool {
    const HIGH: u128 = u128::from_ne_bytes([0x80; 16]);
    /// All bits that any of the words has.
    #[inline(always)]
    fn all<const N: usize>(bytes: &[u8; N]) -> u128 {
        bytes.as_chunks().0.iter().fold(0, |all, word| all | u128::from_ne_bytes(*word))
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk::<16>(), bytes.last_chunk::<16>()) {
        let mut seen = all(first) | all(last);
        if let (Some(first), Some(last)) = (bytes.first_chunk::<32>(), bytes.last_chunk::<32>()) {
            seen |= all(first) | all(last);
            if let Some(last) = bytes.last_chunk::<64>() {
                seen = bytes.as_chunks::<64>().0.iter().fold(seen | all(last), |seen, chunk| seen | all(chunk));
            }
        }
        return seen & HIGH == 0;
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        return (u64::from_ne_bytes(*first) | u64::from_ne_bytes(*last)) & HIGH as u64 == 0;
    }
    bytes.iter().fold(0, |all, byte| all | byte) < 0x80
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, any_value::Value};
    use proptest::prelude::*;
    use prost::Message;

    fn encoded(key: &str, value: Option<Value>) -> Vec<u8> {
        field(&KeyValue { key: key.to_owned(), value: Some(AnyValue { value }), key_strindex: 0 }.encode_to_vec())
    }

    fn field(kv: &[u8]) -> Vec<u8> {
        [&[ATTRIBUTE, kv.len() as u8], kv].concat()
    }

    #[test]
    fn a_byte_that_is_not_ascii_is_found_wherever_it_is() {
        for length in 0..80 {
            let mut text = vec![b'a'; length];
            assert!(is_ascii(&text));
            for at in 0..length {
                text[at] = 0x80;
                assert!(!is_ascii(&text), "{at} of {length}");
                text[at] = 0x7f;
            }
        }
    }

    #[test]
    fn scalars_are_usual_and_everything_else_is_looked_into() {
        for (value, number) in [
            (Value::StringValue(String::new()), 0),
            (Value::StringValue("GET".to_owned()), 0),
            (Value::StringValue("größe".to_owned()), 0),
            (Value::BoolValue(true), 0),
            (Value::IntValue(127), 0),
            (Value::IntValue(200), 2),
            (Value::IntValue(i64::MAX), 9),
            (Value::DoubleValue(0.5), 8),
        ] {
            let mut bytes = encoded("http.request.method", Some(value.clone()));
            let length = bytes.len();
            assert_eq!(usual(&bytes), Some(Usual { length, number }), "{value:?}");
            bytes.extend_from_slice(b"what follows");
            assert_eq!(usual(&bytes), Some(Usual { length, number }), "{value:?}");
            assert_eq!(usual(&bytes[..length - 1]), None, "{value:?}");
        }
        for bytes in [
            encoded("", Some(Value::StringValue("no key is written at all".to_owned()))),
            encoded("a", Some(Value::StringValue("x".repeat(126)))),
            encoded(&"k".repeat(200), Some(Value::IntValue(1))),
            encoded("a", Some(Value::IntValue(-1))),
            encoded("a", Some(Value::ArrayValue(ArrayValue { values: vec![] }))),
            encoded("a", None),
            vec![],
            field(&[]),
            field(&[0x0a]),
            field(&[0x0a, 1, b'a', 0x12, 0, 0x0a, 0]),
            field(&[0x0a, 1, b'a', 0x12, 1, 0x0a]),
            field(&[0x0a, 1, b'a', 0x12, 3, 0x0a, 2, b'x']),
            field(&[0x0a, 1, b'a', 0x12, 3, 0x0a, 2, b'x', b'y']),
            field(&[0x0a, 1, b'a', 0x12, 3, 0x18, 0x80, 0x80]),
            field(&[0x0a, 200, b'a', 0x12, 3, 0x0a, 1, b'x']),
        ] {
            assert_eq!(usual(&bytes), None, "{bytes:?}");
        }
    }

    fn values() -> impl Strategy<Value = Vec<u8>> {
        let text =
            prop_oneof![Just("größe".as_bytes().to_vec()), Just(b"GET".to_vec()), Just(vec![0xff]), Just("日本".as_bytes()[..5].to_vec())];
        let value = prop_oneof![
            text.clone().prop_map(|text| [&[0x0a, text.len() as u8][..], &text].concat()),
            any::<i64>().prop_map(|number| AnyValue { value: Some(Value::IntValue(number)) }.encode_to_vec()),
            any::<f64>().prop_map(|number| AnyValue { value: Some(Value::DoubleValue(number)) }.encode_to_vec()),
            Just(vec![0x2a, 0]),
        ];
        (text, value).prop_map(|(key, value)| {
            let mut kv = [&[0x0a, key.len() as u8][..], &key].concat();
            kv.extend_from_slice(&[0x12, value.len() as u8]);
            kv.extend_from_slice(&value);
            kv
        })
    }

    proptest! {
        #[test]
        fn looked_at_together_or_one_by_one_they_are_the_same(values in prop::collection::vec(values(), 0..12), max_value in 2usize..40) {
            let limits = Limits { max_value, ..Limits::default() };
            let mut wanted = Findings::default();
            let mut bytes = Vec::new();
            for value in &values {
                inspect(value, &KEY_VALUE, 0, &limits, &mut wanted).expect("well formed");
                bytes.extend_from_slice(&field(value));
            }
            let (mut seen, mut findings) = (0, Findings::default());
            let mut reader = Reader::new(&bytes);
            read(&mut reader, &mut seen, &limits, &mut findings).expect("well formed");
            prop_assert_eq!((seen, findings), (values.len(), wanted));
            prop_assert!(reader.rest().is_empty());
        }
    }
}
