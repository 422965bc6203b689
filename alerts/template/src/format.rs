//! Go's `printf`.

use super::float::{exponential, general, special};
use super::value::TemplateValue;

#[derive(Clone, Default)]
struct Flags {
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: usize,
    precision: Option<usize>,
}

/// The widest field and longest fraction a template may ask for: a whole text may hardly be longer.
const MAX_WIDTH: usize = 60_000;
/// The same for each element of a list or map, of which there may be many.
const ELEMENT_WIDTH: usize = 1000;
/// Go takes no number from here on for a width.
const TOO_LARGE: usize = 1_000_000;
/// A text that is longer is refused anyway.
const ENOUGH: usize = 1 << 20;

/// Go's `fmt.Sprintf` over template values.
///
/// # Errors
/// When a field is wider than any text may be.
pub(super) fn sprintf(format: &str, arguments: &[TemplateValue]) -> Result<String, String> {
    let mut reader = Directives { rest: format, arguments, next: 0, reordered: false, good_index: true };
    let mut out = String::new();
    while let Some((before, rest)) = reader.rest.split_once('%') {
        out.push_str(before);
        reader.rest = rest;
        let flags = reader.flags(&mut out);
        if flags.width > MAX_WIDTH || flags.precision.is_some_and(|p| p > MAX_WIDTH) {
            return Err(format!("printf: a width or precision of more than {MAX_WIDTH} makes no text"));
        }
        let mut after = reader.rest.chars();
        let Some(verb) = after.next() else {
            out.push_str("%!(NOVERB)");
            break;
        };
        reader.rest = after.as_str();
        match arguments.get(reader.next) {
            _ if verb == '%' => out.push('%'),
            _ if !reader.good_index => out.push_str(&format!("%!{verb}(BADINDEX)")),
            Some(argument) => {
                out.push_str(&formatted(verb, &flags, argument));
                reader.next += 1;
            }
            None => out.push_str(&format!("%!{verb}(MISSING)")),
        }
        if out.len() > ENOUGH {
            break;
        }
    }
    out.push_str(reader.rest);
    if !reader.reordered && reader.next < arguments.len() {
        let extra: Vec<String> = arguments[reader.next..]
            .iter()
            .map(|a| match a {
                TemplateValue::Nil | TemplateValue::Missing => "<nil>".to_owned(),
                a => format!("{}={}", a.type_name(), a.print()),
            })
            .collect();
        out.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    Ok(out)
}

/// What stands between `%` and its verb.
struct Directives<'a> {
    rest: &'a str,
    arguments: &'a [TemplateValue],
    /// The argument that is next.
    next: usize,
    /// `%[2]d` was used: then nobody counts what was left over.
    reordered: bool,
    good_index: bool,
}

impl Directives<'_> {
    fn flags(&mut self, out: &mut String) -> Flags {
        let mut flags = Flags::default();
        self.good_index = true;
        loop {
            match self.rest.bytes().next() {
                Some(b'-') => (flags.minus, flags.zero) = (true, false),
                Some(b'+') => flags.plus = true,
                Some(b'#') => flags.sharp = true,
                Some(b' ') => flags.space = true,
                Some(b'0') => flags.zero = !flags.minus,
                _ => break,
            }
            self.rest = &self.rest[1..];
        }
        let mut after_index = self.index();
        if self.takes('*') {
            let width = self.starred();
            if width.is_none() {
                out.push_str("%!(BADWIDTH)");
            }
            if width.is_some_and(|w| w < 0) {
                (flags.minus, flags.zero) = (true, false);
            }
            flags.width = width.map_or(0, |w| usize::try_from(w.unsigned_abs()).unwrap_or(0));
            after_index = false;
        } else if let Some(width) = self.number() {
            flags.width = width;
            self.good_index &= !after_index;
        }
        if self.takes('.') {
            self.good_index &= !after_index;
            after_index = self.index();
            if self.takes('*') {
                flags.precision = self.starred().and_then(|p| usize::try_from(p).ok());
                if flags.precision.is_none() {
                    out.push_str("%!(BADPREC)");
                }
                after_index = false;
            } else {
                flags.precision = Some(self.number().unwrap_or(0));
            }
        }
        if !after_index {
            self.index();
        }
        flags
    }

    fn takes(&mut self, c: char) -> bool {
        let rest = self.rest.strip_prefix(c);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// `[2]`: true where one stands that is a number.
    fn index(&mut self) -> bool {
        let Some(inside) = self.rest.strip_prefix('[') else { return false };
        self.reordered = true;
        let closed = inside.split_once(']').filter(|_| self.rest.len() >= 3);
        let number =
            closed.and_then(|(digits, _)| digits.bytes().all(|b| b.is_ascii_digit()).then(|| parse(digits).ok().flatten())).flatten();
        self.rest = closed.map_or(inside, |(_, after)| after);
        match number {
            Some(n) if (1..=self.arguments.len()).contains(&n) => self.next = n - 1,
            _ => self.good_index = false,
        }
        number.is_some()
    }

    /// Digits; a number that is too large takes everything after it with it.
    fn number(&mut self) -> Option<usize> {
        let digits = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        let number = parse(&self.rest[..digits]);
        self.rest = if number.is_ok() { &self.rest[digits..] } else { "" };
        number.ok().flatten()
    }

    fn starred(&mut self) -> Option<i64> {
        let argument = self.arguments.get(self.next)?;
        self.next += 1;
        match argument {
            TemplateValue::Int(i) | TemplateValue::Duration(i) if i.unsigned_abs() <= TOO_LARGE as u64 => Some(*i),
            _ => None,
        }
    }
}

/// `None` of no digits; an error of too many.
fn parse(digits: &str) -> Result<Option<usize>, ()> {
    let mut number = None;
    for digit in digits.bytes() {
        if number.is_some_and(|n| n > TOO_LARGE) {
            return Err(());
        }
        number = Some(number.unwrap_or(0) * 10 + usize::from(digit - b'0'));
    }
    Ok(number)
}

fn formatted(verb: char, flags: &Flags, value: &TemplateValue) -> String {
    use TemplateValue::{Bool, Duration, Float, Histogram, Int, List, Map, Missing, Nil, Record, SafeHtml, Str, Time};
    match (verb, value) {
        ('T', Nil | Missing) => padded("<nil>", flags, false),
        ('T', _) => padded(cut(value.type_name(), flags), flags, false),
        ('v', Nil | Missing) => padded("<nil>", flags, false),
        (_, Nil | Missing) => format!("%!{verb}(<nil>)"),
        // `%+v` and `%#v` ask for field names and Go syntax, not for signs.
        ('v', Int(_) | Float(_)) => plainly(&Flags { plus: false, sharp: false, ..*flags }, value),
        ('v', Str(s) | SafeHtml(s)) if flags.sharp => padded(&quoted(cut(s, flags), '"', false), flags, false),
        ('v', Str(s) | SafeHtml(s)) => padded(cut(s, flags), flags, false),
        (_, Map { .. } | List { .. } | Record(_)) if flags.width.max(flags.precision.unwrap_or(0)) > ELEMENT_WIDTH => {
            let precision = flags.precision.map(|p| p.min(ELEMENT_WIDTH));
            formatted(verb, &Flags { width: flags.width.min(ELEMENT_WIDTH), precision, ..*flags }, value)
        }
        ('v', Bool(_) | Time(_) | Duration(_) | Histogram(_)) => padded(&value.print(), flags, false),
        ('t', Bool(b)) => padded(&b.to_string(), flags, false),
        (_, Int(i)) => whole(verb, flags, *i).unwrap_or_else(|| bad(verb, flags, value)),
        ('d', Duration(i)) => padded(&integer(10, flags, *i), &unfilled(flags), true),
        ('e' | 'E' | 'f' | 'F' | 'g' | 'G', Float(f)) => padded(&float_verb(verb, flags, *f), flags, true),
        (_, Str(s) | SafeHtml(s)) => text(verb, flags, s).unwrap_or_else(|| bad(verb, flags, value)),
        (_, Time(_) | Duration(_) | Histogram(_)) => text(verb, flags, &value.print()).unwrap_or_else(|| bad(verb, flags, value)),
        (_, Map { entries, .. }) => {
            let pair = |(key, value): (&String, &TemplateValue)| {
                format!("{}:{}", formatted(verb, flags, &TemplateValue::text(key)), formatted(verb, flags, value))
            };
            format!("map[{}]", entries.iter().map(pair).collect::<Vec<_>>().join(" "))
        }
        (_, List { items, .. }) => format!("[{}]", items.iter().map(|item| formatted(verb, flags, item)).collect::<Vec<_>>().join(" ")),
        (_, Record(record)) => {
            let field = |(name, value): &(&str, TemplateValue)| {
                let text = formatted(verb, flags, value);
                if verb == 'v' && flags.plus { format!("{name}:{text}") } else { text }
            };
            let inner: Vec<String> = record.fields.iter().map(field).collect();
            format!("{}{{{}}}", if record.pointer { "&" } else { "" }, inner.join(" "))
        }
        _ => bad(verb, flags, value),
    }
}

/// What stands for a value that a verb does not fit.
fn bad(verb: char, flags: &Flags, value: &TemplateValue) -> String {
    format!("%!{verb}({}={})", value.type_name(), plainly(flags, value))
}

/// The value as `%v` writes it, with the flags as they are.
fn plainly(flags: &Flags, value: &TemplateValue) -> String {
    match value {
        TemplateValue::Float(f) => padded(&float_verb('g', flags, *f), flags, true),
        TemplateValue::Int(i) => padded(&integer(10, flags, *i), &unfilled(flags), true),
        TemplateValue::Str(s) => text('s', flags, s).unwrap_or_default(),
        other => padded(&other.print(), flags, false),
    }
}

/// Zeros in front of a whole number are digits of it already.
fn unfilled(flags: &Flags) -> Flags {
    Flags { zero: false, ..*flags }
}

/// A whole number; `None` where the verb is not for one.
fn whole(verb: char, flags: &Flags, value: i64) -> Option<String> {
    let filled = &unfilled(flags);
    let known = u32::try_from(value).ok().and_then(char::from_u32);
    let character = || known.unwrap_or('\u{fffd}');
    Some(match verb {
        'd' => padded(&integer(10, flags, value), filled, true),
        'b' => padded(&integer(2, flags, value), filled, true),
        'o' => padded(&integer(8, flags, value), filled, true),
        'O' => {
            let digits = integer(8, flags, value);
            let at = digits.find(|c: char| c.is_ascii_digit());
            padded(&at.map_or_else(String::new, |at| format!("{}0o{}", &digits[..at], &digits[at..])), filled, true)
        }
        'x' => padded(&integer(16, flags, value), filled, true),
        'X' => padded(&integer(16, flags, value).to_uppercase(), filled, true),
        'c' => padded(&character().to_string(), flags, false),
        'q' => padded(&quoted(&character().to_string(), '\'', flags.plus), flags, false),
        'U' => {
            let shown = known.filter(|c| flags.sharp && !c.is_control()).map_or_else(String::new, |c| format!(" '{c}'"));
            let digits = flags.precision.unwrap_or(4).max(4);
            padded(&format!("U+{value:0digits$X}{shown}"), filled, false)
        }
        _ => return None,
    })
}

/// As many characters as the precision says.
fn cut<'a>(text: &'a str, flags: &Flags) -> &'a str {
    let end = flags.precision.and_then(|p| text.char_indices().nth(p));
    end.map_or(text, |(at, _)| &text[..at])
}

/// A text; `None` where the verb is not for one.
fn text(verb: char, flags: &Flags, text: &str) -> Option<String> {
    let hex = |digits: &dyn Fn(u8) -> String, prefix: &str| {
        let prefix = if flags.sharp { prefix } else { "" };
        let bytes: Vec<String> = text.bytes().map(digits).collect();
        match (bytes.is_empty(), flags.space) {
            (true, _) => String::new(),
            (false, true) => bytes.iter().map(|b| format!("{prefix}{b}")).collect::<Vec<_>>().join(" "),
            (false, false) => format!("{prefix}{}", bytes.concat()),
        }
    };
    let shown = match verb {
        's' => cut(text, flags).to_owned(),
        'q' => {
            let text = cut(text, flags);
            let raw = flags.sharp && !text.contains(|c: char| c == '`' || (c.is_control() && c != '\t') || c == '\u{feff}');
            if raw { format!("`{text}`") } else { quoted(text, '"', flags.plus) }
        }
        'x' => hex(&|b| format!("{b:02x}"), "0x"),
        'X' => hex(&|b| format!("{b:02X}"), "0X"),
        _ => return None,
    };
    Some(padded(&shown, flags, false))
}

fn integer(radix: u32, flags: &Flags, value: i64) -> String {
    if value == 0 && flags.precision == Some(0) {
        return String::new();
    }
    let magnitude = value.unsigned_abs();
    let mut digits = match radix {
        2 => format!("{magnitude:b}"),
        8 => format!("{magnitude:o}"),
        16 => format!("{magnitude:x}"),
        _ => magnitude.to_string(),
    };
    // Zeros that fill a field are counted as digits: a prefix comes on top of them.
    let room = usize::from(!sign(flags, value < 0).is_empty());
    let least = flags.precision.unwrap_or(if flags.zero { flags.width.saturating_sub(room) } else { 0 });
    digits = format!("{}{digits}", "0".repeat(least.saturating_sub(digits.len())));
    if flags.sharp {
        let prefix = match radix {
            2 => "0b",
            8 if !digits.starts_with('0') => "0",
            16 => "0x",
            _ => "",
        };
        digits = format!("{prefix}{digits}");
    }
    format!("{}{digits}", sign(flags, value < 0))
}

fn sign(flags: &Flags, negative: bool) -> &'static str {
    match (negative, flags.plus, flags.space) {
        (true, _, _) => "-",
        (false, true, _) => "+",
        (false, false, true) => " ",
        _ => "",
    }
}

fn float_verb(verb: char, flags: &Flags, v: f64) -> String {
    // `#` asks for a point where no digit follows.
    let point = if flags.sharp && flags.precision == Some(0) { "." } else { "" };
    let text = match verb.to_ascii_lowercase() {
        'f' => special(v).map_or_else(|| format!("{:.*}", flags.precision.unwrap_or(6), v) + point, str::to_owned),
        'e' => exponential(v, flags.precision.unwrap_or(6)).replacen('e', &format!("{point}e"), 1),
        _ => general(v, flags.precision, flags.sharp),
    };
    let text = if verb.is_ascii_uppercase() { text.to_uppercase() } else { text };
    let (negative, magnitude) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(&text)),
    };
    // Go always signs an infinity that `%v` and `%g` print.
    let lead = if v == f64::INFINITY && sign(flags, negative).is_empty() { "+" } else { sign(flags, negative) };
    format!("{lead}{magnitude}")
}

fn padded(text: &str, flags: &Flags, number: bool) -> String {
    let missing = flags.width.saturating_sub(text.chars().count());
    if missing == 0 {
        return text.to_owned();
    }
    if flags.minus {
        return format!("{text}{}", " ".repeat(missing));
    }
    if flags.zero && (number || !flags.minus) && !text.contains("Inf") && !text.contains("NaN") {
        let at = usize::from(number && text.starts_with(['-', '+', ' ']));
        return format!("{}{}{}", &text[..at], "0".repeat(missing), &text[at..]);
    }
    format!("{}{text}", " ".repeat(missing))
}

/// Go's `%q`; with `+` in ASCII.
fn quoted(text: &str, mark: char, ascii: bool) -> String {
    let mut out = String::from(mark);
    for c in text.chars() {
        match c {
            c if c == mark || c == '\\' => out.extend(['\\', c]),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => out.push_str(&format!("\\x{:02x}", c as u32)),
            c if !c.is_ascii() && (ascii || c.is_control()) => match c as u32 {
                n if n > 0xffff => out.push_str(&format!("\\U{n:08x}")),
                n => out.push_str(&format!("\\u{n:04x}")),
            },
            c => out.push(c),
        }
    }
    out.push(mark);
    out
}
