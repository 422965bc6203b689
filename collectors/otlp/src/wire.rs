//! The protobuf wire format, borrowed: tags, varints, fixed and length-delimited fields. Accepts and refuses exactly what prost does.

use std::fmt;

/// Groups inside groups beyond this are refused; OTLP has none.
const MAX_GROUP_DEPTH: usize = 64;

/// Why bytes are not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireError {
    Truncated,
    Varint,
    Tag,
    /// A known field came with a wire type that is not its own.
    WireType {
        field: u32,
        got: u8,
    },
    Group,
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WireError::Truncated => f.write_str("message is truncated"),
            WireError::Varint => f.write_str("invalid varint"),
            WireError::Tag => f.write_str("invalid field tag"),
            WireError::WireType { field, got } => write!(f, "field {field} has wire type {got}"),
            WireError::Group => f.write_str("unbalanced group"),
        }
    }
}

impl std::error::Error for WireError {}

pub(crate) const VARINT: u8 = 0;
pub(crate) const FIXED64: u8 = 1;
pub(crate) const LENGTH: u8 = 2;
pub(crate) const START_GROUP: u8 = 3;
pub(crate) const END_GROUP: u8 = 4;
pub(crate) const FIXED32: u8 = 5;

/// A cursor over one message: what is left of it, and how long it was.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    length: usize,
}

impl<'a> Reader<'a> {
    #[inline]
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes, length: bytes.len() }
    }

    /// What has not been read yet.
    #[inline]
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Passes over bytes that have been looked at.
    #[inline]
    pub(crate) fn pass(&mut self, bytes: usize) {
        self.rest = &self.rest[bytes..];
    }

    /// Bytes read so far.
    #[inline]
    pub(crate) fn position(&self) -> usize {
        self.length - self.rest.len()
    }

    /// The next tag as (field number, wire type); `None` at the end.
    #[inline]
    pub(crate) fn tag(&mut self) -> Result<Option<(u32, u8)>, WireError> {
        let Some((&first, rest)) = self.rest.split_first() else { return Ok(None) };
        let key = if first < 0x80 {
            self.rest = rest;
            u32::from(first)
        } else {
            u32::try_from(self.varint()?).map_err(|_| WireError::Tag)?
        };
        let (field, wire_type) = (key >> 3, (key & 7) as u8);
        if field == 0 || wire_type > FIXED32 {
            return Err(WireError::Tag);
        }
        Ok(Some((field, wire_type)))
    }

    #[inline(always)]
    pub(crate) fn varint(&mut self) -> Result<u64, WireError> {
        match *self.rest {
            [byte @ 0..0x80, ref rest @ ..] => {
                self.rest = rest;
                Ok(u64::from(byte))
            }
            // The length of a span.
            [low, high @ 0..0x80, ref rest @ ..] => {
                self.rest = rest;
                Ok(u64::from(low & 0x7f) | u64::from(high) << 7)
            }
            _ => self.long_varint(),
        }
    }

    #[inline(never)]
    fn long_varint(&mut self) -> Result<u64, WireError> {
        let mut value = 0u64;
        for index in 0..10 {
            let (&byte, rest) = self.rest.split_first().ok_or(WireError::Truncated)?;
            self.rest = rest;
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                // The tenth byte holds the last bit of 64.
                return if index == 9 && byte > 1 { Err(WireError::Varint) } else { Ok(value) };
            }
        }
        Err(WireError::Varint)
    }

    #[inline]
    pub(crate) fn fixed64(&mut self) -> Result<u64, WireError> {
        let (value, rest) = self.rest.split_first_chunk::<8>().ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(u64::from_le_bytes(*value))
    }

    #[inline]
    pub(crate) fn fixed32(&mut self) -> Result<u32, WireError> {
        let (value, rest) = self.rest.split_first_chunk::<4>().ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(u32::from_le_bytes(*value))
    }

    /// The bytes of a length-delimited field.
    #[inline]
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], WireError> {
        let length = usize::try_from(self.varint()?).map_err(|_| WireError::Truncated)?;
        let (field, rest) = self.rest.split_at_checked(length).ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(field)
    }

    /// The next field, if it has this one-byte tag and a one-byte length and is all there; else nothing is read.
    #[inline(always)]
    pub(crate) fn short_field(&mut self, tag: u8) -> Option<&'a [u8]> {
        let [first, length @ 0..0x80, rest @ ..] = self.rest else { return None };
        if *first != tag {
            return None;
        }
        let (field, rest) = rest.split_at_checked(usize::from(*length))?;
        self.rest = rest;
        Some(field)
    }

    /// The next fixed 32-bit field, if it has this two-byte tag and is all there; else nothing is read.
    #[inline(always)]
    pub(crate) fn tagged_fixed32(&mut self, tag: [u8; 2]) -> Option<u32> {
        let ([first, second, value @ ..], rest) = self.rest.split_first_chunk::<6>()?;
        if [*first, *second] != tag {
            return None;
        }
        self.rest = rest;
        Some(u32::from_le_bytes(*value))
    }

    /// Passes over an unknown field.
    #[inline]
    pub(crate) fn skip(&mut self, field: u32, wire_type: u8) -> Result<(), WireError> {
        match wire_type {
            VARINT => self.varint().map(|_| ()),
            FIXED64 => self.fixed64().map(|_| ()),
            LENGTH => self.bytes().map(|_| ()),
            FIXED32 => self.fixed32().map(|_| ()),
            START_GROUP => self.skip_group(field),
            _ => Err(WireError::Group),
        }
    }

    fn skip_group(&mut self, field: u32) -> Result<(), WireError> {
        let mut open = vec![field];
        while let Some(&innermost) = open.last() {
            match self.tag()?.ok_or(WireError::Truncated)? {
                (field, START_GROUP) if open.len() < MAX_GROUP_DEPTH => open.push(field),
                (_, START_GROUP) => return Err(WireError::Group),
                (field, END_GROUP) if field == innermost => {
                    open.pop();
                }
                (field, wire_type) => self.skip(field, wire_type)?,
            }
        }
        Ok(())
    }
}

/// Refuses a field that does not have the wire type of its declaration.
#[inline]
pub(crate) fn expect(field: u32, got: u8, wanted: u8) -> Result<(), WireError> {
    if got == wanted { Ok(()) } else { Err(WireError::WireType { field, got }) }
}

/// Appends a varint.
#[inline]
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[inline]
pub(crate) fn put_tag(out: &mut Vec<u8>, field: u32, wire_type: u8) {
    put_varint(out, u64::from(field << 3 | u32::from(wire_type)));
}

/// Appends a length-delimited field.
pub(crate) fn put_bytes(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    put_tag(out, field, LENGTH);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a sub-message whose length is known only afterwards: one byte is kept free for it, more move in where that is too little.
pub(crate) fn put_message<T, E>(out: &mut Vec<u8>, field: u32, write: impl FnOnce(&mut Vec<u8>) -> Result<T, E>) -> Result<T, E> {
    put_tag(out, field, LENGTH);
    let start = out.len();
    out.push(0);
    let value = write(out)?;
    let length = out.len() - start - 1;
    if length < 0x80 {
        out[start] = length as u8;
    } else {
        let mut text = Vec::with_capacity(10);
        put_varint(&mut text, length as u64);
        out.splice(start..=start, text);
    }
    Ok(value)
}
