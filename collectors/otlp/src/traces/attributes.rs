//! A glance at an attribute that tells whether a closer look is needed.

/// Whether an encoded `KeyValue` is, for certain, an ASCII key with one scalar value of ordinary size, written as every SDK writes it.
/// Whatever is not certain gets the full inspection.
#[inline]
pub(super) fn is_plain(kv: &[u8]) -> bool {
    let [0x0a, key_length, rest @ ..] = kv else { return false };
    let Some((key, [0x12, value_length, value @ ..])) = rest.split_at_checked(usize::from(*key_length)) else { return false };
    // Lengths of 128 and more take two bytes and fail here, as does anything after the value.
    if value.len() != usize::from(*value_length) || *value_length >= 0x80 || *key_length >= 0x80 || !key.is_ascii() {
        return false;
    }
    match value {
        [0x0a, length, text @ ..] => text.len() == usize::from(*length) && text.is_ascii(),
        [0x10 | 0x18, number @ .., last] => *last < 0x80 && number.len() < 9 && number.iter().all(|b| *b >= 0x80),
        [0x21, number @ ..] => number.len() == 8,
        _ => false,
    }
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
