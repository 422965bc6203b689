//! Halves of characters in JSON.

use std::borrow::Cow;

/// Half of a character, which JavaScript writes as `\ud83d` where it cut a text between the two, becomes U+FFFD like other broken text.
pub(crate) fn mend_surrogates(text: &str) -> Cow<'_, str> {
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
    }
}
