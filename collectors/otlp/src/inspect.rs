//! A look at a message before anything is built from it: is it well formed, how many elements has it, and what in it needs repair.

use crate::limits::Limits;
use crate::schema::{ANY_VALUE, ARRAY_VALUE, Field, KEY_VALUE, KEY_VALUES, Kind, Message};
use crate::wire::{LENGTH, Reader, WireError, expect};

/// Bucket counts and bounds are eight bytes each once decoded: so many of them weigh as much as one element.
const SCALARS_PER_ITEM: usize = 8;

/// What a look found. Elements are members of repeated message fields: they are what costs memory once decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    pub(crate) items: usize,
    /// Texts that are not UTF-8.
    pub(crate) bad_text: u64,
    /// Attribute values nested deeper than allowed.
    pub(crate) too_deep: u64,
    /// Texts and values longer than kept.
    pub(crate) too_long: u64,
}

impl Findings {
    /// Counts elements.
    ///
    /// # Errors
    /// When there are too many.
    #[inline]
    pub(crate) fn count(&mut self, elements: usize, limits: &Limits) -> Result<(), Stop> {
        self.items += elements;
        if self.items > limits.max_items { Err(Stop::TooManyItems) } else { Ok(()) }
    }

    pub(crate) fn needs_repair(&self) -> bool {
        self.bad_text + self.too_deep + self.too_long > 0
    }
}

/// Why a look ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    Wire(WireError),
    TooManyItems,
}

impl From<WireError> for Stop {
    fn from(error: WireError) -> Self {
        Stop::Wire(error)
    }
}

/// How long a text field may be.
pub(crate) fn text_limit(message: &Message, field: &Field, limits: &Limits) -> usize {
    if std::ptr::eq(message, &KEY_VALUE) {
        limits.max_key
    } else if field.json == "name" {
        limits.max_name
    } else {
        limits.max_value
    }
}

/// Arrays and maps may hold a little more than a text, since they are shown shortened anyway.
pub(crate) fn value_limit(limits: &Limits) -> usize {
    limits.max_value.saturating_mul(4)
}

/// Whether entering this message goes one level deeper into a value.
pub(crate) fn nests(message: &Message) -> bool {
    std::ptr::eq(message, &ARRAY_VALUE) || std::ptr::eq(message, &KEY_VALUES)
}

/// Looks at a whole message. `depth` is the number of arrays and maps around it.
///
/// # Errors
/// When it is not well formed, or has more than `limits.max_items` elements (those already in `findings` included).
pub(crate) fn inspect(bytes: &[u8], message: &'static Message, depth: usize, limits: &Limits, findings: &mut Findings) -> Result<(), Stop> {
    let mut reader = Reader::new(bytes);
    while let Some((number, wire_type)) = reader.tag()? {
        let Some(field) = message.field(number) else {
            reader.skip(number, wire_type)?;
            continue;
        };
        if field.kind.may_be_packed() && wire_type == LENGTH {
            findings.count(packed(reader.bytes()?, field.kind)? / SCALARS_PER_ITEM, limits)?;
            continue;
        }
        expect(number, wire_type, field.kind.wire_type())?;
        match field.kind {
            Kind::Text | Kind::Texts => {
                let text = reader.bytes()?;
                if simdutf8::basic::from_utf8(text).is_err() {
                    findings.bad_text += 1;
                }
                if text.len() > text_limit(message, field, limits) {
                    findings.too_long += 1;
                }
            }
            Kind::Base64 => {
                if reader.bytes()?.len() > limits.max_value && std::ptr::eq(message, &ANY_VALUE) {
                    findings.too_long += 1;
                }
            }
            Kind::Message(inner) | Kind::Messages(inner) => {
                if matches!(field.kind, Kind::Messages(_)) {
                    findings.count(1, limits)?;
                }
                let body = reader.bytes()?;
                let inside = depth + usize::from(nests(inner));
                if inside > limits.max_depth {
                    findings.too_deep += 1;
                    continue;
                }
                if nests(inner) && inside == 1 && body.len() > value_limit(limits) {
                    findings.too_long += 1;
                }
                inspect(body, inner, inside, limits, findings)?;
            }
            _ => reader.skip(number, wire_type)?,
        }
    }
    Ok(())
}

/// The number of scalars in a packed field.
fn packed(bytes: &[u8], kind: Kind) -> Result<usize, WireError> {
    if matches!(kind, Kind::Varints) {
        let mut reader = Reader::new(bytes);
        let mut scalars = 0;
        while reader.position() < bytes.len() {
            reader.varint()?;
            scalars += 1;
        }
        return Ok(scalars);
    }
    if bytes.len().is_multiple_of(8) { Ok(bytes.len() / 8) } else { Err(WireError::Truncated) }
}
