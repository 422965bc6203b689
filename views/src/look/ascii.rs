//! The ASCII ladder: what stands for each sign where a terminal has letters only.

use std::borrow::Cow;

/// What stands for a sign of a drawing. There a dot is a place of which nothing is known, and no bar.
pub(crate) fn ascii_drawn(c: char) -> char {
    if c == '·' { '.' } else { ascii_for(c) }
}

/// The ASCII ladder, in one place: each sign watchfire draws has a counterpart of one column; other letters become `?`.
fn ascii_for(c: char) -> char {
    match c {
        ' '..='~' => c,
        '✖' => 'X',
        '▲' => '!',
        '●' | '◆' | '★' => '*',
        '○' | '◐' => 'o',
        '–' | '─' | '╌' | '┄' | '—' => '-',
        '│' | '┃' | '·' | '▏' | '╎' | '┊' | '┆' => '|',
        '┌' | '┐' | '└' | '┘' | '├' | '┤' | '┬' | '┴' | '┼' | '╭' | '╮' | '╰' | '╯' => '+',
        '→' | '▶' | '▸' | '»' | '›' => '>',
        '←' | '◀' | '◂' | '«' | '‹' | '↵' => '<',
        '↑' | '▴' => '^',
        '↓' | '▾' | '▼' => 'v',
        '≈' => '~',
        '…' => '.',
        '⛁' | '▮' | '█' | '▓' => '#',
        '▯' | '▁' => '_',
        '▂' => ',',
        '▃' | '░' => ':',
        '▄' => '-',
        '▅' | '▒' => '=',
        '▆' => '+',
        '▇' => '*',
        '▀' => '"',
        '‖' => '=',
        'µ' => 'u',
        '×' => 'x',
        '✓' => 'v',
        '\u{2800}' => ' ',
        '\u{2801}'..='\u{28ff}' => '*',
        '␀'..='␡' => '^',
        _ => '?',
    }
}

pub(crate) fn to_ascii(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.is_ascii() {
        return text;
    }
    // A wide letter keeps its two columns, a mark vanishes with its letter's.
    use unicode_width::UnicodeWidthChar;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        for _ in 0..c.width().unwrap_or(0) {
            out.push(ascii_for(c));
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_does_not_look_like_a_bar() {
        let drawn: String = "····▁▃█".chars().map(ascii_drawn).collect();
        assert_eq!(drawn, "...._:#");
        assert_eq!(to_ascii("1 critical · 2 warning".into()), "1 critical | 2 warning");
        // What is about so much must not read as just so much.
        assert_eq!(to_ascii("p95 ≈12ms".into()), "p95 ~12ms");
    }
}
