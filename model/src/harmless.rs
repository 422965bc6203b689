//! Text from telemetry is hostile. Here, and only here, it is made safe to put on a screen, into a notification or on a log line.

use std::borrow::Cow;

/// Marks of one base character beyond this many are cut.
const MAX_MARKS: usize = 8;

/// Makes text harmless: control characters become visible pictures (`ESC` → `␛`, C1 → `<9B>`), characters that reorder or hide text become
/// `<U+202E>`, a letter keeps at most eight combining marks. Nothing is dropped silently; clean text is returned borrowed.
pub fn harmless(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    let mut marks = 0;
    let mut changed = false;
    let mut previous = '\0';
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{0}'..='\u{1f}' => {
                changed = true;
                out.push(char::from_u32(0x2400 + c as u32).unwrap_or('\u{fffd}'));
            }
            '\u{7f}' => {
                changed = true;
                out.push('\u{2421}');
            }
            '\u{80}'..='\u{9f}' => {
                changed = true;
                out.push_str(&format!("<{:02X}>", c as u32));
            }
            '\u{200d}' if is_pictographic(previous) && chars.peek().is_some_and(|n| is_pictographic(*n)) => out.push(c),
            c if reorders_or_hides(c) => {
                changed = true;
                out.push_str(&format!("<U+{:04X}>", c as u32));
            }
            c if unicode_width::UnicodeWidthChar::width(c) == Some(0) => {
                marks += 1;
                if marks <= MAX_MARKS {
                    out.push(c);
                } else {
                    changed = true;
                    if marks == MAX_MARKS + 1 {
                        out.push('+');
                    }
                }
                continue;
            }
            c => {
                marks = 0;
                out.push(c);
            }
        }
        previous = c;
    }
    if changed { Cow::Owned(out) } else { Cow::Borrowed(text) }
}

/// As [`harmless`], cut to `limit` characters with `…` in the last place.
pub fn harmless_limited(text: &str, limit: usize) -> Cow<'_, str> {
    // A character becomes at most nine; looking at more than `limit` of them cannot change the answer.
    let head = match text.char_indices().nth(limit.saturating_add(1)) {
        Some((end, _)) => &text[..end],
        None => text,
    };
    let safe = harmless(head);
    if safe.chars().count() <= limit && head.len() == text.len() {
        return safe;
    }
    let mut cut: String = safe.chars().take(limit.saturating_sub(1)).collect();
    cut.push('…');
    Cow::Owned(cut)
}

fn reorders_or_hides(c: char) -> bool {
    matches!(c,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{61c}'
        | '\u{ad}' | '\u{180e}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}' | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}')
}

fn is_pictographic(c: char) -> bool {
    matches!(c as u32, 0x1f000..=0x1faff | 0x2600..=0x27bf | 0x2b00..=0x2bff | 0xfe0f)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hostile_text_becomes_visible() {
        for (input, shown) in [
            ("plain", "plain"),
            ("a\x1b[31mb", "a␛[31mb"),
            ("a\u{9b}31m", "a<9B>31m"),
            ("tab\there\r\n", "tab␉here␍␊"),
            ("del\x7f", "del␡"),
            ("a\u{202e}b", "a<U+202E>b"),
            ("zero\u{200b}width", "zero<U+200B>width"),
            ("grün 日本", "grün 日本"),
            ("[red]", "[red]"),
        ] {
            assert_eq!(harmless(input), shown);
        }
    }

    #[test]
    fn a_letter_keeps_eight_marks() {
        let zalgo = format!("a{}", "\u{301}".repeat(20_000));
        let safe = harmless(&zalgo);
        assert_eq!(safe.chars().count(), 10);
        assert!(safe.ends_with('+'));
    }

    #[test]
    fn limited_text_says_that_it_was_cut() {
        assert_eq!(harmless_limited("abcdef", 4), "abc…");
        assert_eq!(harmless_limited("abcd", 4), "abcd");
        assert_eq!(harmless_limited("\x1b\x1b\x1b\x1b\x1b", 4), "␛␛␛…");
    }

    proptest! {
        #[test]
        fn no_control_or_reordering_character_survives(text in any::<String>()) {
            let safe = harmless(&text);
            for c in safe.chars() {
                prop_assert!(!c.is_control());
                prop_assert!(c == '\u{200d}' || !reorders_or_hides(c), "{:?}", c);
            }
        }
    }
}
