//! String literals, with the escapes of Go.

/// Resolves the escapes of a quoted string (without its quotes).
///
/// # Errors
/// The message Prometheus gives for a bad escape.
pub fn unquote(raw: &str, quote: u8) -> Result<String, String> {
    if !raw.contains('\\') {
        return Ok(raw.to_owned());
    }
    let mut out: Vec<u8> = Vec::with_capacity(raw.len());
    let mut chars = raw.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            push(&mut out, c);
            continue;
        }
        let escape = chars.next().ok_or("escape sequence not terminated")?;
        match escape {
            'a' => out.push(7),
            'b' => out.push(8),
            'f' => out.push(12),
            'n' => out.push(b'\n'),
            'r' => out.push(b'\r'),
            't' => out.push(b'\t'),
            'v' => out.push(11),
            '\\' => out.push(b'\\'),
            c if c as u32 == u32::from(quote) => out.push(quote),
            'x' => out.push(digits(&mut chars, 2, 16)? as u8),
            'u' => push(&mut out, character(digits(&mut chars, 4, 16)?)?),
            'U' => push(&mut out, character(digits(&mut chars, 8, 16)?)?),
            '0'..='7' => {
                let first = escape.to_digit(8).unwrap_or(0);
                let value = first * 64 + digits(&mut chars, 2, 8)?;
                out.push(u8::try_from(value).map_err(|_| "escape sequence is an invalid octal byte")?);
            }
            c => return Err(format!("unknown escape sequence U+{:04X} {c:?}", u32::from(c))),
        }
    }
    Ok(match String::from_utf8(out) {
        Ok(text) => text,
        Err(error) => with_stand_ins(error.as_bytes()),
    })
}

/// Bytes that are not UTF-8 are kept as private-use characters from here on, so that a literal keeps its identity and names can be refused.
const STAND_IN: u32 = 0x10_ff00;

fn with_stand_ins(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        out.extend(chunk.invalid().iter().filter_map(|b| char::from_u32(STAND_IN + u32::from(*b))));
    }
    out
}

/// False when the text came from bytes that are not UTF-8.
pub fn is_utf8(text: &str) -> bool {
    !text.chars().any(|c| c as u32 >= STAND_IN)
}

/// A Go string literal (`%q`).
pub fn go_quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\u{b}' => out.push_str("\\v"),
            c if c as u32 >= STAND_IN => out.push_str(&format!("\\x{:02x}", c as u32 - STAND_IN)),
            c if (c as u32) < 0x20 || c == '\u{7f}' => out.push_str(&format!("\\x{:02x}", c as u32)),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn push(out: &mut Vec<u8>, c: char) {
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

fn digits(chars: &mut std::str::Chars<'_>, count: usize, radix: u32) -> Result<u32, String> {
    let mut value = 0u32;
    for _ in 0..count {
        let c = chars.next().ok_or("escape sequence not terminated")?;
        let digit = c.to_digit(radix).ok_or_else(|| format!("unknown character {c:?} in escape sequence"))?;
        value = value.wrapping_mul(radix).wrapping_add(digit);
    }
    Ok(value)
}

fn character(code: u32) -> Result<char, String> {
    char::from_u32(code).ok_or_else(|| "escape sequence is an invalid Unicode code point".to_owned())
}
