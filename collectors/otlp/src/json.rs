//! OTLP/JSON to protobuf, driven by the message tables: one parse, no tree in between, elements counted as they come.
//!
//! Lenient where the specification allows it (ids in any case, 64-bit integers as strings or numbers, `null` for absent, unknown keys ignored)
//! and strict where it must be (enums are integers, keys are lowerCamelCase).

use crate::inspect::nests;
use crate::limits::Limits;
use crate::refusal::{Refusal, Signal};
use crate::repair::TOO_DEEP;
use crate::schema::{self, Field, Kind, Message};
use crate::value::from_base64;
use crate::wire::{FIXED32, FIXED64, VARINT, put_bytes, put_message, put_tag, put_varint};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

/// The `string_value` field of `AnyValue`.
const STRING_VALUE: u32 = 1;

/// Translates one OTLP/JSON request into its protobuf form.
///
/// # Errors
/// When it is not JSON, not OTLP/JSON, or has too many elements.
pub fn to_protobuf(json: &[u8], signal: Signal, limits: &Limits) -> Result<Vec<u8>, Refusal> {
    let message = match signal {
        Signal::Traces => &schema::TRACES,
        Signal::Metrics => &schema::METRICS,
        Signal::Logs => &schema::LOGS,
    };
    // Invalid UTF-8 in a string costs that string, not the request.
    let lossy;
    let text = match simdutf8::basic::from_utf8(json) {
        Ok(text) => text,
        Err(_) => {
            lossy = String::from_utf8_lossy(json);
            &lossy
        }
    };
    // Some editors and runtimes begin every file with a mark of its encoding, which is no JSON (RFC 8259, 8.1: it may be ignored).
    let text = mend_surrogates(text.strip_prefix('\u{feff}').unwrap_or(text));
    let items = Cell::new(0);
    let mut out = Vec::with_capacity(text.len() / 2);
    let mut deserializer = serde_json::Deserializer::from_str(&text);
    // Depth is bounded here, by the number of arrays and maps in a value; what is deeper is skipped without recursion.
    deserializer.disable_recursion_limit();
    let context = Context { items: &items, limits };
    let parsed = Body { message, depth: 0, context, out: &mut out }.deserialize(&mut deserializer).and_then(|()| deserializer.end());
    match parsed {
        Ok(()) => Ok(out),
        Err(_) if items.get() > limits.max_items => Err(Refusal::too_many(limits)),
        Err(error) => Err(Refusal::Decode(signal, error.to_string())),
    }
}

/// Half of a character, which JavaScript writes as `\ud83d` where it cut a text between the two, becomes U+FFFD like other broken text.
fn mend_surrogates(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    // Backslashes stand only in strings, each with what it escapes.
    let half = |at: usize| {
        let digits = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
        let code = u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        (0xd800..0xe000).contains(&code).then_some(code)
    };
    let mut mended: Option<String> = None;
    let (mut at, mut copied) = (0, 0);
    while let Some(step) = memchr::memchr(b'\\', &bytes[at..]) {
        at += step;
        match (half(at), half(at + 6)) {
            (None, _) => at += 2,
            (Some(..0xdc00), Some(0xdc00..)) => at += 12,
            (Some(_), _) => {
                let mended = mended.get_or_insert_with(|| String::with_capacity(text.len()));
                mended.push_str(&text[copied..at]);
                mended.push_str("\\ufffd");
                at += 6;
                copied = at;
            }
        }
        at = at.min(bytes.len());
    }
    match mended {
        Some(mended) => Cow::Owned(mended + &text[copied..]),
        None => Cow::Borrowed(text),
    }
}

#[derive(Clone, Copy)]
struct Context<'a> {
    /// Elements of repeated message fields so far.
    items: &'a Cell<usize>,
    limits: &'a Limits,
}

/// The fields of one message, appended to `out`.
struct Body<'a, 'o> {
    message: &'static Message,
    /// Arrays and maps around it.
    depth: usize,
    context: Context<'a>,
    out: &'o mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Body<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Body<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(field) = map.next_key_seed(Key(self.message))? {
            match field {
                Some(field) => map.next_value_seed(Content { field, depth: self.depth, context: self.context, out: self.out })?,
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// A key of a message; `None` for one that is not known.
struct Key(&'static Message);

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Option<&'static Field>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Key {
    type Value = Option<&'static Field>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.named(key))
    }
}

/// The value of one field: scalar, message, or array of either.
struct Content<'a, 'o> {
    field: &'static Field,
    depth: usize,
    context: Context<'a>,
    out: &'o mut Vec<u8>,
}

impl Content<'_, '_> {
    fn repeated(&self) -> bool {
        matches!(self.field.kind, Kind::Messages(_) | Kind::Texts | Kind::Fixed64s | Kind::Doubles | Kind::Varints)
    }

    fn wrong<E: Error>(&self, what: &str) -> E {
        E::custom(format_args!("\"{}\" cannot be {what}", self.field.json))
    }

    fn integer<E: Error>(self, value: i128) -> Result<(), E> {
        let number = self.field.number;
        let fits = |low: i128, high: i128| (low..=high).contains(&value);
        let (signed, unsigned) = (i128::from(i64::MIN), i128::from(u64::MAX));
        match self.field.kind {
            // Alone these are enums, counts and `intValue`, none of which goes further.
            Kind::Varint | Kind::Varints if fits(signed, if self.repeated() { unsigned } else { i128::from(i64::MAX) }) => {
                put_tag(self.out, number, VARINT);
                put_varint(self.out, value as u64);
            }
            Kind::Zigzag if fits(i128::from(i32::MIN), i128::from(i32::MAX)) => {
                let value = value as i32;
                put_tag(self.out, number, VARINT);
                put_varint(self.out, u64::from((value << 1 ^ value >> 31).cast_unsigned()));
            }
            Kind::Fixed64 | Kind::Fixed64s if fits(0, unsigned) => {
                put_tag(self.out, number, FIXED64);
                self.out.extend_from_slice(&(value as u64).to_le_bytes());
            }
            Kind::Signed64 if fits(signed, i128::from(i64::MAX)) => {
                put_tag(self.out, number, FIXED64);
                self.out.extend_from_slice(&(value as i64).to_le_bytes());
            }
            Kind::Fixed32 if fits(0, i128::from(u32::MAX)) => {
                put_tag(self.out, number, FIXED32);
                self.out.extend_from_slice(&(value as u32).to_le_bytes());
            }
            Kind::Double | Kind::Doubles => self.double(value as f64),
            _ => return Err(self.wrong(&format!("the number {value}"))),
        }
        Ok(())
    }

    fn double(self, value: f64) {
        put_tag(self.out, self.field.number, FIXED64);
        self.out.extend_from_slice(&value.to_le_bytes());
    }
}

impl<'de> DeserializeSeed<'de> for Content<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.field.kind {
            Kind::Message(inner) => {
                let depth = self.depth + usize::from(nests(inner));
                if depth > self.context.limits.max_depth {
                    deserializer.deserialize_ignored_any(IgnoredAny)?;
                    put_bytes(self.out, STRING_VALUE, TOO_DEEP.as_bytes());
                    return Ok(());
                }
                let context = self.context;
                put_message(self.out, self.field.number, |out| Body { message: inner, depth, context, out }.deserialize(deserializer))
            }
            _ => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Content<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a value for \"{}\"", self.field.json)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        if !matches!(self.field.kind, Kind::Bool) {
            return Err(self.wrong("a boolean"));
        }
        put_tag(self.out, self.field.number, VARINT);
        self.out.push(u8::from(value));
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.integer(i128::from(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.integer(i128::from(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        match self.field.kind {
            Kind::Double | Kind::Doubles => {
                self.double(value);
                Ok(())
            }
            // `1e9` is an integer too.
            _ if value.fract() == 0.0 && value.abs() < 2f64.powi(64) => self.integer(value as i128),
            _ => Err(self.wrong(&format!("the number {value}"))),
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        match self.field.kind {
            Kind::Text | Kind::Texts => put_bytes(self.out, self.field.number, text.as_bytes()),
            Kind::Hex => {
                // A broken id costs its span or its link, not the request: it arrives as an id of the wrong length.
                let id = from_hex(text).unwrap_or_else(|| vec![0]);
                put_bytes(self.out, self.field.number, &id);
            }
            Kind::Base64 => {
                let bytes = from_base64(text).ok_or_else(|| self.wrong("text that is not base64"))?;
                put_bytes(self.out, self.field.number, &bytes);
            }
            Kind::Double | Kind::Doubles => match text {
                "NaN" => self.double(f64::NAN),
                "Infinity" => self.double(f64::INFINITY),
                "-Infinity" => self.double(f64::NEG_INFINITY),
                _ => match text.parse() {
                    Ok(value) => self.double(value),
                    Err(_) => return Err(self.wrong("text that is not a number")),
                },
            },
            // Names of enums are not valid in OTLP/JSON, and do not parse.
            Kind::Varint | Kind::Varints | Kind::Zigzag | Kind::Fixed64 | Kind::Fixed64s | Kind::Signed64 | Kind::Fixed32 => {
                return match text.parse::<i128>() {
                    Ok(value) => self.integer(value),
                    Err(_) => Err(self.wrong("text that is not an integer")),
                };
            }
            Kind::Bool | Kind::Message(_) | Kind::Messages(_) => return Err(self.wrong("a string")),
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        if !self.repeated() {
            return Err(self.wrong("an array"));
        }
        let (field, depth, context) = (self.field, self.depth, self.context);
        while seq.next_element_seed(Element { field, depth, context, out: &mut *self.out })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, _map: A) -> Result<(), A::Error> {
        Err(self.wrong("an object"))
    }
}

/// One element of a repeated field.
struct Element<'a, 'o> {
    field: &'static Field,
    depth: usize,
    context: Context<'a>,
    out: &'o mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Element<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let Element { field, depth, context, out } = self;
        match field.kind {
            Kind::Messages(inner) => {
                context.items.set(context.items.get() + 1);
                if context.items.get() > context.limits.max_items {
                    return Err(D::Error::custom("too many elements"));
                }
                put_message(out, field.number, |out| Body { message: inner, depth, context, out }.deserialize(deserializer))
            }
            _ => deserializer.deserialize_any(Content { field, depth, context, out }),
        }
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |b: u8| char::from(b).to_digit(16);
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| Some((digit(pair[0])? << 4 | digit(*pair.get(1)?)?) as u8)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_character_costs_itself() {
        for (json, mended) in [
            (r#""a""#, r#""a""#),
            (r#""\ud83d\ude00""#, r#""\ud83d\ude00""#),
            (r#""cut \ud83d""#, r#""cut \ufffd""#),
            (r#""\uDE00 and \ud83dx""#, r#""\ufffd and \ufffdx""#),
            (r#""\ud83d\ud83d\ude00\ude00""#, r#""\ufffd\ud83d\ude00\ufffd""#),
            (r#""\\ud83d \"\\""#, r#""\\ud83d \"\\""#),
            (r#""\ud83"#, r#""\ud83"#),
            (r#""é\ud8"#, r#""é\ud8"#),
            (r#""\"#, r#""\"#),
        ] {
            assert_eq!(mend_surrogates(json), mended);
        }
        let request = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"cut \ud83d"}]}]}]}"#;
        let protobuf = to_protobuf(request.as_bytes(), Signal::Traces, &Limits::default()).expect("read");
        assert!(String::from_utf8_lossy(&protobuf).contains("cut \u{fffd}"));
    }

    #[test]
    fn an_integer_that_does_not_fit_is_refused_instead_of_wrapped() {
        let read = |value: &str| {
            let json = format!(r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"n","value":{{"intValue":{value}}}}}]}}}}]}}"#);
            to_protobuf(json.as_bytes(), Signal::Traces, &Limits::default()).is_ok()
        };
        assert!(read("\"9223372036854775807\"") && read("\"-9223372036854775808\"") && read("9223372036854775807"));
        assert!(!read("\"9223372036854775808\"") && !read("9223372036854775808") && !read("1e19"));
    }
}
