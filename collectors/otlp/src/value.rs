//! Attribute values as text: strings as they are, everything else as JSON would write it.

use crate::limits::Limits;
use crate::repair::{TOO_DEEP, cut};
use crate::wire::{Reader, WireError};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::borrow::Cow;
use std::fmt::Write;

/// The text of an encoded `AnyValue`, cut at `limit` bytes.
pub(crate) fn value_text(any_value: &[u8], limit: usize, limits: &Limits) -> Result<String, WireError> {
    let mut out = Writer { text: String::new(), limit, max_depth: limits.max_depth };
    out.value(any_value, 0)?;
    Ok(match cut(&out.text, limit) {
        Cow::Owned(cut) => cut,
        Cow::Borrowed(_) => out.text,
    })
}

struct Writer {
    text: String,
    limit: usize,
    max_depth: usize,
}

impl Writer {
    /// The last of the value's fields decides, as in any oneof. `depth` counts arrays and maps around it.
    fn value(&mut self, any_value: &[u8], depth: usize) -> Result<(), WireError> {
        let start = self.text.len();
        let mut reader = Reader::new(any_value);
        while let Some((field, wire_type)) = reader.tag()? {
            if !(1..=7).contains(&field) {
                reader.skip(field, wire_type)?;
                continue;
            }
            self.text.truncate(start);
            match field {
                1 => self.string(&String::from_utf8_lossy(reader.bytes()?), depth > 0),
                2 => self.text.push_str(if reader.varint()? != 0 { "true" } else { "false" }),
                3 => self.write(format_args!("{}", reader.varint()?.cast_signed())),
                4 => self.write(format_args!("{}", f64::from_bits(reader.fixed64()?))),
                5 | 6 => {
                    let body = reader.bytes()?;
                    if depth >= self.max_depth { self.string(TOO_DEEP, depth > 0) } else { self.members(body, field == 6, depth + 1)? }
                }
                _ => {
                    let body = reader.bytes()?;
                    self.string(&STANDARD.encode(&body[..body.len().min(self.limit)]), depth > 0);
                }
            }
        }
        if self.text.len() == start && depth > 0 && any_value.is_empty() {
            self.text.push_str("null");
        }
        Ok(())
    }

    fn members(&mut self, body: &[u8], named: bool, depth: usize) -> Result<(), WireError> {
        let (open, close) = if named { ('{', '}') } else { ('[', ']') };
        self.text.push(open);
        let mut first = true;
        let mut reader = Reader::new(body);
        while let Some((field, wire_type)) = reader.tag()? {
            if field != 1 {
                reader.skip(field, wire_type)?;
                continue;
            }
            let member = reader.bytes()?;
            // What is beyond the limit is cut anyway.
            if self.text.len() > self.limit {
                continue;
            }
            if !std::mem::replace(&mut first, false) {
                self.text.push(',');
            }
            if named {
                let (key, value) = key_value(member)?;
                self.string(&String::from_utf8_lossy(key), true);
                self.text.push(':');
                self.value(value, depth)?;
            } else {
                self.value(member, depth)?;
            }
        }
        self.text.push(close);
        Ok(())
    }

    fn string(&mut self, text: &str, quoted: bool) {
        if quoted {
            // A string always has a JSON form.
            self.text.push_str(&serde_json::Value::from(text).to_string());
        } else {
            self.text.push_str(text);
        }
    }

    fn write(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = self.text.write_fmt(text);
    }
}

/// Key and encoded value of a `KeyValue`; a value that comes in several parts is refused nowhere, the last part decides.
pub(crate) fn key_value(bytes: &[u8]) -> Result<(&[u8], &[u8]), WireError> {
    let (mut key, mut value): (&[u8], &[u8]) = (&[], &[]);
    let mut reader = Reader::new(bytes);
    while let Some((field, wire_type)) = reader.tag()? {
        match field {
            1 => key = reader.bytes()?,
            2 => value = reader.bytes()?,
            _ => reader.skip(field, wire_type)?,
        }
    }
    Ok((key, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList, any_value::Value};
    use prost::Message;

    fn any(value: Value) -> AnyValue {
        AnyValue { value: Some(value) }
    }

    fn text(value: Value) -> String {
        value_text(&any(value).encode_to_vec(), 64, &Limits { max_depth: 3, ..Limits::default() }).expect("well formed")
    }

    #[test]
    fn every_kind_of_value_has_a_text() {
        let list = |values| Value::ArrayValue(ArrayValue { values });
        let nested = |inner| list(vec![any(inner)]);
        for (value, expected) in [
            (Value::StringValue("a\"b".to_owned()), "a\"b"),
            (Value::BoolValue(false), "false"),
            (Value::IntValue(-3), "-3"),
            (Value::DoubleValue(0.5), "0.5"),
            (Value::BytesValue(vec![0xff, 0, 1, 2]), "/wABAg=="),
            (
                list(vec![any(Value::StringValue("a\"b".to_owned())), any(Value::IntValue(1)), AnyValue { value: None }]),
                r#"["a\"b",1,null]"#,
            ),
            (
                Value::KvlistValue(KeyValueList {
                    values: vec![KeyValue { key: "k".to_owned(), value: Some(any(Value::BoolValue(true))), key_strindex: 0 }],
                }),
                r#"{"k":true}"#,
            ),
            (nested(nested(nested(Value::IntValue(1)))), "[[[1]]]"),
            (nested(nested(nested(nested(Value::IntValue(1))))), r#"[[["<too deep>"]]]"#),
            (Value::StringValue("x".repeat(5000)), &format!("{}...(4 KiB)", "x".repeat(64))),
        ] {
            assert_eq!(text(value), expected);
        }
    }
}
