//! Go's number formatting and `printf`.

use super::value::TemplateValue;

/// `%v` of a float: the shortest text that reads back, with an exponent below 1e-04 and from one million (`1e+06`).
pub(super) fn float_shortest(v: f64) -> String {
    general(v, None, false)
}

/// `%.Ng` of a float.
pub(super) fn float_general(v: f64, precision: usize) -> String {
    general(v, Some(precision), false)
}

fn special(v: f64) -> Option<&'static str> {
    if v.is_nan() {
        Some("NaN")
    } else if v == f64::INFINITY {
        Some("+Inf")
    } else if v == f64::NEG_INFINITY {
        Some("-Inf")
    } else {
        None
    }
}

/// Significant digits without trailing zeros, and the decimal exponent of the first one.
fn digits(v: f64, precision: Option<usize>) -> (String, i32) {
    let text = match precision {
        Some(p) => format!("{:.*e}", p.max(1) - 1, v.abs()),
        None => format!("{:e}", v.abs()),
    };
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let digits = mantissa.replace('.', "");
    let trimmed = digits.trim_end_matches('0');
    (if trimmed.is_empty() { "0".to_owned() } else { trimmed.to_owned() }, exponent.parse().unwrap_or(0))
}

fn general(v: f64, precision: Option<usize>, keep_zeros: bool) -> String {
    if let Some(text) = special(v) {
        return text.to_owned();
    }
    let sign = if v.is_sign_negative() { "-" } else { "" };
    let (mut digits, exponent) = digits(v, precision);
    let count = digits.len() as i32;
    let limit = match precision {
        None => 6,
        Some(p) => {
            let p = p.max(1) as i32;
            if p > count && count > exponent { count } else { p }
        }
    };
    if keep_zeros {
        digits.push_str(&"0".repeat(precision.unwrap_or(6).saturating_sub(digits.len())));
    }
    if exponent < -4 || exponent >= limit {
        let (head, tail) = digits.split_at(1);
        let point = if tail.is_empty() { "" } else { "." };
        return format!("{sign}{head}{point}{tail}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs());
    }
    if exponent < 0 {
        return format!("{sign}0.{}{digits}", "0".repeat((-exponent - 1) as usize));
    }
    let whole = exponent as usize + 1;
    if digits.len() <= whole {
        return format!("{sign}{digits}{}", "0".repeat(whole - digits.len()));
    }
    format!("{sign}{}.{}", &digits[..whole], &digits[whole..])
}

fn exponential(v: f64, precision: usize) -> String {
    if let Some(text) = special(v) {
        return text.to_owned();
    }
    let text = format!("{v:.precision$e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    format!("{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

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

/// The widest field and longest fraction a template may ask for.
const MAX_WIDTH: usize = 1000;

/// Go's `fmt.Sprintf` over template values.
pub(super) fn sprintf(format: &str, arguments: &[TemplateValue]) -> String {
    let mut out = String::new();
    let mut chars = format.chars().peekable();
    let mut next = 0;
    // `%[2]d` was used: then nobody counts what was left over.
    let mut reordered = false;
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut flags = Flags::default();
        while let Some(flag) = chars.next_if(|c| "-+# 0".contains(*c)) {
            match flag {
                '-' => flags.minus = true,
                '+' => flags.plus = true,
                '#' => flags.sharp = true,
                ' ' => flags.space = true,
                _ => flags.zero = true,
            }
        }
        let mut number = |out: &mut String| {
            if chars.next_if_eq(&'*').is_some() {
                let value = match arguments.get(next) {
                    Some(TemplateValue::Int(i)) if i.unsigned_abs() as usize <= MAX_WIDTH => i.unsigned_abs() as usize,
                    _ => {
                        out.push_str("%!(BADWIDTH)");
                        0
                    }
                };
                next += 1;
                return Some(value);
            }
            let mut value = None;
            while let Some(d) = chars.next_if(char::is_ascii_digit) {
                value = Some((value.unwrap_or(0) * 10 + d as usize - '0' as usize).min(MAX_WIDTH));
            }
            value
        };
        flags.width = number(&mut out).unwrap_or(0);
        if chars.next_if_eq(&'.').is_some() {
            let mut number = |out: &mut String| {
                let mut value = 0;
                if chars.next_if_eq(&'*').is_some() {
                    match arguments.get(next) {
                        Some(TemplateValue::Int(i)) if *i >= 0 && *i as usize <= MAX_WIDTH => value = *i as usize,
                        _ => out.push_str("%!(BADPREC)"),
                    }
                    next += 1;
                }
                while let Some(d) = chars.next_if(char::is_ascii_digit) {
                    value = (value * 10 + d as usize - '0' as usize).min(MAX_WIDTH);
                }
                value
            };
            flags.precision = Some(number(&mut out));
        }
        let mut bad_index = false;
        if chars.next_if_eq(&'[').is_some() {
            let digits: String = std::iter::from_fn(|| chars.next_if(char::is_ascii_digit)).collect();
            let closed = chars.next_if_eq(&']').is_some();
            reordered = true;
            match digits.parse::<usize>() {
                Ok(n) if closed && (1..=arguments.len()).contains(&n) => next = n - 1,
                _ => bad_index = true,
            }
        }
        let Some(verb) = chars.next() else {
            out.push_str("%!(NOVERB)");
            break;
        };
        if verb == '%' {
            out.push('%');
            continue;
        }
        match arguments.get(next) {
            _ if bad_index => out.push_str(&format!("%!{verb}(BADINDEX)")),
            Some(argument) => out.push_str(&formatted(verb, &flags, argument)),
            None => out.push_str(&format!("%!{verb}(MISSING)")),
        }
        next += 1;
    }
    if !reordered && next < arguments.len() {
        let extra: Vec<String> = arguments[next..]
            .iter()
            .map(|a| match a {
                TemplateValue::Nil | TemplateValue::Missing => "<nil>".to_owned(),
                a => format!("{}={}", a.type_name(), a.print()),
            })
            .collect();
        out.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    out
}

fn formatted(verb: char, flags: &Flags, value: &TemplateValue) -> String {
    use TemplateValue::{Bool, Duration, Float, Histogram, Int, List, Map, Missing, Nil, Record, SafeHtml, Str, Time};
    match (verb, value) {
        ('T', _) => padded(value.type_name(), flags, false),
        ('v', Nil | Missing) => padded("<nil>", flags, false),
        (_, Nil | Missing) => format!("%!{verb}(<nil>)"),
        // `%+v` and `%#v` ask for field names and Go syntax, not for signs.
        ('v', Int(_) | Float(_)) => plainly(&Flags { plus: false, sharp: false, ..*flags }, value),
        ('v', Str(s) | SafeHtml(s)) if flags.sharp => padded(&quote(s), flags, false),
        ('v', Bool(_) | Str(_) | SafeHtml(_) | Time(_) | Duration(_) | Histogram(_)) => padded(&value.print(), flags, false),
        ('t', Bool(b)) => padded(&b.to_string(), flags, false),
        (_, Int(i)) => whole(verb, flags, *i).unwrap_or_else(|| bad(verb, flags, value)),
        ('d', Duration(i)) => padded(&integer(10, flags, *i), flags, true),
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

/// A precision says how many digits a whole number has; zeros in front are then not asked for.
fn unfilled(flags: &Flags) -> Flags {
    Flags { zero: flags.zero && flags.precision.is_none(), ..*flags }
}

/// A whole number; `None` where the verb is not for one.
fn whole(verb: char, flags: &Flags, value: i64) -> Option<String> {
    let filled = &unfilled(flags);
    let character = || u32::try_from(value).ok().and_then(char::from_u32).unwrap_or('\u{fffd}');
    Some(match verb {
        'd' => padded(&integer(10, flags, value), filled, true),
        'b' => padded(&integer(2, flags, value), filled, true),
        'o' => padded(&integer(8, flags, value), filled, true),
        'O' => {
            let digits = integer(8, &Flags { sharp: false, ..*flags }, value);
            let at = digits.find(|c: char| c.is_ascii_digit()).unwrap_or(0);
            padded(&format!("{}0o{}", &digits[..at], &digits[at..]), filled, true)
        }
        'x' => padded(&integer(16, flags, value), filled, true),
        'X' => padded(&integer(16, flags, value).to_uppercase(), filled, true),
        'c' => padded(&character().to_string(), flags, false),
        'q' => padded(&format!("'{}'", character()), flags, false),
        'U' if flags.sharp => padded(&format!("U+{value:04X} '{}'", character()), flags, false),
        'U' => padded(&format!("U+{value:04X}"), flags, false),
        _ => return None,
    })
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
        's' => match flags.precision {
            Some(p) => text.chars().take(p).collect(),
            None => text.to_owned(),
        },
        'q' if flags.sharp && !text.contains(|c: char| c == '`' || (c.is_control() && c != '\t')) => format!("`{text}`"),
        'q' => quote(text),
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
    if let Some(p) = flags.precision {
        digits = format!("{}{digits}", "0".repeat(p.saturating_sub(digits.len())));
    }
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
    let text = match verb.to_ascii_lowercase() {
        'f' => special(v).map_or_else(|| format!("{:.*}", flags.precision.unwrap_or(6), v), str::to_owned),
        'e' => exponential(v, flags.precision.unwrap_or(6)),
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

/// Go's `%q`.
fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => out.push_str(&format!("\\x{:02x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
