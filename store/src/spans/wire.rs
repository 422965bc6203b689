//! The little of protobuf that stored span bodies need: fields one after the other, and scalar attributes, all borrowed.
//! Tolerant where prost is not: text that is not UTF-8 costs only itself, and nesting is bounded.

use watchfire_model::AttributeValue;

/// The value of one field as the wire has it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wire<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
}

/// Walks the fields of one message. Ends at the first byte that does not parse.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub fn new(message: &'a [u8]) -> Self {
        Fields { rest: message }
    }

    /// What has not been walked yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    #[inline]
    fn varint(&mut self) -> Option<u64> {
        let (first, rest) = self.rest.split_first()?;
        if *first < 0x80 {
            self.rest = rest;
            return Some(u64::from(*first));
        }
        let mut value = 0u64;
        for (i, byte) in self.rest.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * i);
            if *byte < 0x80 {
                self.rest = &self.rest[i + 1..];
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.rest.split_at_checked(count)?;
        self.rest = tail;
        Some(head)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u32, Wire<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).ok().filter(|n| *n > 0)?;
        let value = match tag & 7 {
            0 => Wire::Varint(self.varint()?),
            1 => Wire::Fixed64(u64::from_le_bytes(self.take(8)?.try_into().ok()?)),
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Wire::Bytes(self.take(length)?)
            }
            5 => Wire::Fixed32(u32::from_le_bytes(self.take(4)?.try_into().ok()?)),
            _ => return None,
        };
        Some((number, value))
    }
}

/// Key and undecoded `AnyValue` of one encoded `KeyValue`; the last of repeated fields wins, as protobuf says.
pub fn key_value(message: &[u8]) -> (&[u8], &[u8]) {
    let (mut key, mut value) = (&[][..], &[][..]);
    for field in Fields::new(message) {
        match field {
            (1, Wire::Bytes(bytes)) => key = bytes,
            (2, Wire::Bytes(bytes)) => value = bytes,
            _ => {}
        }
    }
    (key, value)
}

/// The scalar inside an encoded `AnyValue`. Arrays, maps, bytes and text that is not UTF-8 are `Other`.
pub fn scalar(any_value: &[u8]) -> AttributeValue<'_> {
    let mut found = AttributeValue::Other;
    for field in Fields::new(any_value) {
        found = match field {
            (1, Wire::Bytes(bytes)) => std::str::from_utf8(bytes).map_or(AttributeValue::Other, AttributeValue::Str),
            (2, Wire::Varint(v)) => AttributeValue::Bool(v != 0),
            (3, Wire::Varint(v)) => AttributeValue::Int(v as i64),
            (4, Wire::Fixed64(v)) => AttributeValue::Double(f64::from_bits(v)),
            (5..=7, Wire::Bytes(_)) => AttributeValue::Other,
            _ => found,
        };
    }
    found
}

/// Decodes one `KeyValue` whose value is a scalar; `None` when the key is not text.
pub fn attribute(message: &[u8]) -> Option<(&str, AttributeValue<'_>)> {
    let (key, value) = key_value(message);
    Some((std::str::from_utf8(key).ok()?, scalar(value)))
}

/// The undecoded `AnyValue` in what follows the key of a `KeyValue`.
pub fn any_value(rest: &[u8]) -> &[u8] {
    match Fields::new(rest).next() {
        Some((2, Wire::Bytes(value))) => value,
        _ => &[],
    }
}

/// Where the value of an attribute is.
#[derive(Clone, Copy)]
pub enum AttributeAt<'a> {
    /// In what follows the key, as nearly every encoder writes it.
    Behind(&'a [u8]),
    /// Found: from JSON, whose members have no order.
    Value(&'a [u8]),
}

impl<'a> AttributeAt<'a> {
    /// The encoded `AnyValue`.
    pub fn any(self) -> &'a [u8] {
        match self {
            AttributeAt::Behind(rest) => any_value(rest),
            AttributeAt::Value(value) => value,
        }
    }

    /// Its text, if it is one.
    #[inline]
    pub fn text(self) -> Option<&'a [u8]> {
        // The usual form: field 2 holding field 1, both shorter than 128 bytes.
        if let AttributeAt::Behind([0x12, outer, 0x0a, inner, text @ ..]) = self
            && usize::from(*outer) == text.len() + 2
            && usize::from(*inner) == text.len()
        {
            return Some(text);
        }
        match text(self.any()) {
            AnyText::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A number from 128 to 65,535 in the usual form: field 2 of three or four bytes holding field 3, a varint of two or three.
    #[inline]
    pub fn small_number(self) -> Option<u32> {
        match self {
            AttributeAt::Behind(&[0x12, 3, 0x18, low @ 0x80..=0xff, high @ 0..=0x7f]) => Some(u32::from(low & 0x7f) | u32::from(high) << 7),
            AttributeAt::Behind(&[0x12, 4, 0x18, low @ 0x80..=0xff, middle @ 0x80..=0xff, high @ 0..=3]) => {
                Some(u32::from(low & 0x7f) | u32::from(middle & 0x7f) << 7 | u32::from(high) << 14)
            }
            _ => None,
        }
    }
}

/// By which most keys are told from a few wanted ones without comparing them: made of a key's length and its first letter, below 64.
#[inline(always)]
pub const fn sign(length: usize, first_letter: u8) -> u32 {
    (length as u32 + 3 * first_letter as u32) & 63
}

/// Calls `take` with the key of each attribute among the fields of a span, and where its value is; those whose keys have other signs than `wanted`
/// are passed over. In place, because nearly every span comes here.
#[inline(always)]
pub fn each_attribute<'a>(fields: &'a [u8], wanted: impl Fn(u32) -> bool, mut take: impl FnMut(&'a [u8], AttributeAt<'a>)) {
    let mut rest = fields;
    while !rest.is_empty() {
        // Tag and length, tag of the key and its length, each of one byte, as nearly every attribute has them, and the first letter of the key.
        if let Some(head) = rest.first_chunk().map(|head| u64::from_le_bytes(*head))
            && head & 0x00ff_80ff == 0x000a_004a
        {
            let Some((field, after)) = rest.split_at_checked(2 + (head >> 8 & 0x7f) as usize) else { return };
            rest = after;
            let length = (head >> 24 & 0xff) as usize;
            if wanted(sign(length, (head >> 32) as u8))
                && let Some((key, value)) = field.get(4..).and_then(|field| field.split_at_checked(length))
            {
                take(key, AttributeAt::Behind(value));
            }
            continue;
        }
        let mut fields = Fields::new(rest);
        let Some(field) = fields.next() else { return };
        rest = fields.rest();
        let (9, Wire::Bytes(message)) = field else { continue };
        let (key, value) = key_value(message);
        if let Some(first) = key.first()
            && wanted(sign(key.len(), *first))
        {
            take(key, AttributeAt::Value(value));
        }
    }
}

/// Appends a varint.
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a length-delimited field.
pub fn put_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_varint(out, u64::from(number) << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// The text of an `AnyValue`, as bytes.
pub enum AnyText<'a> {
    Text(&'a [u8]),
    Other,
}

pub fn text(any_value: &[u8]) -> AnyText<'_> {
    match Fields::new(any_value).last() {
        Some((1, Wire::Bytes(bytes))) => AnyText::Text(bytes),
        _ => AnyText::Other,
    }
}
