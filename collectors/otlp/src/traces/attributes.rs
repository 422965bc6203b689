//! A glance at an attribute that tells whether a closer look is needed.

/// Whether an encoded `KeyValue` is, for certain, an ASCII key with one scalar value of ordinary size, written as every SDK writes it.
/// Whatever is not certain gets the full inspection.
#[inline(always)]
pub(super) fn is_plain(kv: &[u8]) -> bool {
    let length = kv.len();
    // Below 128 bytes every length inside takes one byte; a longer one is not certain.
    if !(6..0x80).contains(&length) || kv[0] != 0x0a {
        return false;
    }
    let key_end = 2 + usize::from(kv[1]);
    let Some([0x12, value_length, tag, value @ ..]) = kv.get(key_end..) else { return false };
    if usize::from(*value_length) != value.len() + 1 {
        return false;
    }
    match (tag, value) {
        (0x0a, [text_length, text @ ..]) => usize::from(*text_length) == text.len() && is_ascii(kv),
        (0x10 | 0x18, [number @ .., last]) => {
            *last < 0x80 && number.len() < 9 && number.iter().all(|b| *b >= 0x80) && is_ascii(&kv[..key_end])
        }
        (0x21, number) => number.len() == 8 && is_ascii(&kv[..key_end]),
        _ => false,
    }
}

/// For texts of some dozen bytes, where a call costs as much as the look itself: sixteen bytes at a time from both ends, which meet or overlap in the
/// middle. A loop only for what is long, because how often a short one goes round is what a processor guesses wrong.
#[inline(always)]
pub(super) fn is_ascii(bytes: &[u8]) -> bool {
    let (Some(first), Some(last)) = (bytes.first_chunk::<16>(), bytes.last_chunk::<16>()) else {
        let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) else {
            return bytes.iter().fold(0, |all, byte| all | byte) < 0x80;
        };
        return (u64::from_ne_bytes(*first) | u64::from_ne_bytes(*last)) & u64::from_ne_bytes([0x80; 8]) == 0;
    };
    let word = |chunk: &[u8; 16]| u128::from_ne_bytes(*chunk);
    let mut all = word(first) | word(last);
    let length = bytes.len();
    if length > 32
        && let (Some(second), Some(last_but_one)) = (bytes[16..].first_chunk(), bytes[..length - 16].last_chunk())
    {
        all |= word(second) | word(last_but_one);
        if length > 64 {
            all = bytes[32..length - 16].as_chunks().0.iter().fold(all, |all, chunk| all | word(chunk));
        }
    }
    all & u128::from_ne_bytes([0x80; 16]) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, any_value::Value};
    use prost::Message;

    fn encoded(key: &str, value: Option<Value>) -> Vec<u8> {
        KeyValue { key: key.to_owned(), value: Some(AnyValue { value }), key_strindex: 0 }.encode_to_vec()
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
    fn scalars_are_plain_and_everything_else_is_looked_into() {
        for value in [
            Value::StringValue(String::new()),
            Value::StringValue("GET".to_owned()),
            Value::BoolValue(true),
            Value::IntValue(200),
            Value::IntValue(i64::MAX),
            Value::DoubleValue(0.5),
        ] {
            assert!(is_plain(&encoded("http.request.method", Some(value.clone()))), "{value:?}");
        }
        for kv in [
            encoded("", Some(Value::StringValue("no key is written at all".to_owned()))),
            encoded("größe", Some(Value::IntValue(1))),
            encoded("a", Some(Value::StringValue("größe".to_owned()))),
            encoded("a", Some(Value::StringValue("x".repeat(126)))),
            encoded("a", Some(Value::StringValue("x".repeat(121)))),
            encoded(&"k".repeat(200), Some(Value::IntValue(1))),
            encoded("a", Some(Value::IntValue(-1))),
            encoded("a", Some(Value::ArrayValue(ArrayValue { values: vec![] }))),
            encoded("a", None),
            vec![],
            vec![0x0a],
            vec![0x0a, 1, b'a', 0x12, 3, 0x0a, 2, b'x'],
            vec![0x0a, 1, b'a', 0x12, 3, 0x0a, 2, b'x', b'y'],
        ] {
            assert!(!is_plain(&kv), "{kv:?}");
        }
    }
}
