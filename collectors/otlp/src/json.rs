//! OTLP/JSON to protobuf, driven by the message tables: one parse, no tree in between, elements counted as they come.
//!
//! Lenient where the specification allows it (ids in any case, 64-bit integers as strings or numbers, `null` for absent, unknown keys ignored)
//! and strict where it must be (enums are integers, keys are lowerCamelCase). A value of the wrong type or range costs the element that it
//! stands in and no more: its attribute, event or link, else its span, data point or log record.

use crate::inspect::nests;
use crate::limits::Limits;
use crate::refusal::{Refusal, Signal};
use crate::repair::TOO_DEEP;
use crate::schema::{self, Field, Kind, Message};
use crate::surrogates::mend_surrogates;
use crate::wire::{FIXED32, FIXED64, VARINT, put_bytes, put_message, put_tag, put_varint};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::cell::{Cell, RefCell};
use std::fmt;
use watchfire_model::{Receipt, from_base64};

/// The `string_value` field of `AnyValue`.
const STRING_VALUE: u32 = 1;

/// An OTLP/JSON request in its protobuf form.
#[derive(Debug)]
pub struct Translated {
    pub protobuf: Vec<u8>,
    /// What was left out: spans, data points and log records as rejected, what was lost within those that stay as a warning.
    pub lost: Receipt,
}

/// Translates one OTLP/JSON request into its protobuf form.
///
/// # Errors
/// When it is not JSON, not OTLP/JSON down to the lists of spans, metrics and log records, or has too many elements.
pub fn to_protobuf(json: &[u8], signal: Signal, limits: &Limits) -> Result<Translated, Refusal> {
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
    let account = Account::default();
    let mut out = Vec::with_capacity(text.len() / 2);
    let mut deserializer = serde_json::Deserializer::from_str(&text);
    // Depth is bounded here, by the number of arrays and maps in a value; what is deeper is skipped without recursion.
    deserializer.disable_recursion_limit();
    let context = Context { account: &account, limits };
    let parsed = Body { message, depth: 0, context, out: &mut out }.deserialize(&mut deserializer).and_then(|()| deserializer.end());
    if account.elements.get() > limits.max_items {
        return Err(Refusal::too_many(limits));
    }
    // What is wrong outside of every element that could be left out.
    let wrong = account.wrong.take();
    match (parsed, wrong) {
        (Ok(()), None) => Ok(Translated { protobuf: out, lost: account.receipt() }),
        (Err(error), _) => Err(Refusal::Decode(signal, error.to_string())),
        (Ok(()), Some(wrong)) => Err(Refusal::Decode(signal, wrong)),
    }
}

#[derive(Clone, Copy)]
struct Context<'a> {
    account: &'a Account,
    limits: &'a Limits,
}

/// What has been met so far.
#[derive(Default)]
struct Account {
    /// Elements of repeated message fields.
    elements: Cell<usize>,
    /// Spans, data points and log records, and how many of them were left out.
    items: Cell<u64>,
    rejected: Cell<u64>,
    /// Attributes, events and the like that were left out of items that stay.
    repaired: Cell<u64>,
    /// The first wrong value of the element at hand, which is read to its end all the same.
    wrong: RefCell<Option<String>>,
}

impl Account {
    fn wrong(&self, message: String) {
        self.wrong.borrow_mut().get_or_insert(message);
    }

    fn receipt(&self) -> Receipt {
        let counted = |count: u64| if count == 0 { vec![] } else { vec![("wrong type or range", count)] };
        Receipt { accepted: 0, rejected: counted(self.rejected.get()), warnings: counted(self.repaired.get()) }
    }
}

/// The elements that others are grouped by. Where they are not what they must be, it is not OTLP/JSON.
fn groups(field: &Field) -> bool {
    matches!(field.json, "resourceSpans" | "resourceMetrics" | "resourceLogs" | "scopeSpans" | "scopeMetrics" | "scopeLogs")
}

fn is_item(field: &Field) -> bool {
    matches!(field.json, "spans" | "dataPoints" | "logRecords")
}

/// The fields of one message, appended to `out`.
struct Body<'a, 'o> {
    message: &'static Message,
    /// Arrays and maps around it.
    depth: usize,
    context: Context<'a>,
    out: &'o mut Vec<u8>,
}

impl Body<'_, '_> {
    fn wrong<E: Error>(&self, what: &str) -> Result<(), E> {
        self.context.account.wrong(format!("an object belongs where {what} is"));
        Ok(())
    }
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

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        self.wrong("a boolean")
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        self.wrong("a number")
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        self.wrong("a number")
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        self.wrong("a number")
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        self.wrong("a string")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        self.wrong("an array")
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

    fn wrong(&self, what: &str) {
        self.context.account.wrong(format!("\"{}\" cannot be {what}", self.field.json));
    }

    fn integer(self, value: i128) {
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
            _ => self.wrong(&format!("the number {value}")),
        }
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
        if matches!(self.field.kind, Kind::Bool) {
            put_tag(self.out, self.field.number, VARINT);
            self.out.push(u8::from(value));
        } else {
            self.wrong("a boolean");
        }
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.integer(i128::from(value));
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.integer(i128::from(value));
        Ok(())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        match self.field.kind {
            Kind::Double | Kind::Doubles => self.double(value),
            // `1e9` is an integer too.
            _ if value.fract() == 0.0 && value.abs() < 2f64.powi(64) => self.integer(value as i128),
            _ => self.wrong(&format!("the number {value}")),
        }
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        match self.field.kind {
            Kind::Text | Kind::Texts => put_bytes(self.out, self.field.number, text.as_bytes()),
            Kind::Hex => {
                // A broken id costs its span or its link, not the request: it arrives as an id of the wrong length.
                let id = from_hex(text).unwrap_or_else(|| vec![0]);
                put_bytes(self.out, self.field.number, &id);
            }
            Kind::Base64 => match from_base64(text) {
                Some(bytes) => put_bytes(self.out, self.field.number, &bytes),
                None => self.wrong("text that is not base64"),
            },
            Kind::Double | Kind::Doubles => match text {
                "NaN" => self.double(f64::NAN),
                "Infinity" => self.double(f64::INFINITY),
                "-Infinity" => self.double(f64::NEG_INFINITY),
                _ => match text.parse() {
                    Ok(value) => self.double(value),
                    Err(_) => self.wrong("text that is not a number"),
                },
            },
            // Names of enums are not valid in OTLP/JSON, and do not parse.
            Kind::Varint | Kind::Varints | Kind::Zigzag | Kind::Fixed64 | Kind::Fixed64s | Kind::Signed64 | Kind::Fixed32 => {
                match text.parse::<i128>() {
                    Ok(value) => self.integer(value),
                    Err(_) => self.wrong("text that is not an integer"),
                }
            }
            Kind::Bool | Kind::Message(_) | Kind::Messages(_) => self.wrong("a string"),
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        if !self.repeated() {
            self.wrong("an array");
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(());
        }
        let (field, depth, context) = (self.field, self.depth, self.context);
        while seq.next_element_seed(Element { field, depth, context, out: &mut *self.out })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.wrong("an object");
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(())
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
        let Kind::Messages(inner) = field.kind else {
            return deserializer.deserialize_any(Content { field, depth, context, out });
        };
        let Context { account, limits } = context;
        account.elements.set(account.elements.get() + 1);
        if account.elements.get() > limits.max_items {
            return Err(D::Error::custom("too many elements"));
        }
        let (start, items, rejected) = (out.len(), account.items.get(), account.rejected.get());
        account.items.set(items + u64::from(is_item(field)));
        // What is wrong around this element must not be taken for its own.
        let around = account.wrong.take();
        put_message(out, field.number, |out| Body { message: inner, depth, context, out }.deserialize(deserializer))?;
        let own = account.wrong.replace(around);
        match own {
            Some(wrong) if groups(field) => account.wrong(wrong),
            Some(_) => {
                out.truncate(start);
                match account.items.get() - items {
                    0 => account.repaired.set(account.repaired.get() + 1),
                    lost => account.rejected.set(rejected + lost),
                }
            }
            None => {}
        }
        Ok(())
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |b: u8| char::from(b).to_digit(16);
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| Some((digit(pair[0])? << 4 | digit(*pair.get(1)?)?) as u8)).collect()
}
