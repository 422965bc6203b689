//! HTML templates: what a template's author wrote is HTML, what data brings is text. Every value is escaped for the place where it is written,
//! as Go's `html/template` does; the place is known because everything written before has been read.

use super::value::TemplateValue;

/// Attributes whose value is an address.
const ADDRESSES: [&str; 18] = [
    "action",
    "archive",
    "background",
    "cite",
    "classid",
    "codebase",
    "data",
    "formaction",
    "href",
    "icon",
    "longdesc",
    "manifest",
    "poster",
    "profile",
    "src",
    "usemap",
    "xmlns",
    "ping",
];

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Text,
    Comment,
    /// Inside `<...>`, where a name may come.
    Tag,
    /// Behind `name=`.
    BeforeValue(Attribute),
    Value(Attribute, Quote),
    /// Up to the closing tag nothing is markup.
    Raw(Element),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attribute {
    Plain,
    Address(Part),
    /// Style sheets, scripts and lists of addresses: nothing is written there.
    Code,
}

/// How far an address has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Start,
    Path,
    Query,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quote {
    Double,
    Single,
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Element {
    /// `<textarea>` and `<title>`: text with entities.
    Text(&'static str),
    Code(&'static str),
}

impl Element {
    fn name(self) -> &'static str {
        match self {
            Element::Text(name) | Element::Code(name) => name,
        }
    }
}

/// Where in the HTML the output stands.
#[derive(Debug, Default)]
pub(super) struct Html {
    place: Place,
    /// The element whose tag is open, when its content will be raw.
    element: Option<Element>,
}

impl Html {
    /// Text of the template itself: unchanged, but for comments, which are left out.
    pub(super) fn literal(&mut self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while !rest.is_empty() {
            let used = self.step(rest, &mut out);
            rest = &rest[used..];
        }
        out
    }

    /// Reads what belongs to the current place, and says how many bytes that was.
    fn step(&mut self, rest: &str, out: &mut String) -> usize {
        let until = |stop: &[char]| rest.find(stop).unwrap_or(rest.len());
        match self.place {
            Place::Text => {
                let plain = until(&['<']);
                out.push_str(&rest[..plain]);
                if plain == rest.len() {
                    return plain;
                }
                plain + self.open(&rest[plain..], out)
            }
            Place::Comment => match rest.find("-->") {
                Some(end) => {
                    self.place = Place::Text;
                    end + 3
                }
                None => rest.len(),
            },
            Place::Raw(element) => {
                let closing = format!("</{}", element.name());
                let end =
                    rest.char_indices().find(|(i, _)| rest.get(*i..i + closing.len()).is_some_and(|t| t.eq_ignore_ascii_case(&closing)));
                let used = end.map_or(rest.len(), |(at, _)| {
                    self.place = Place::Text;
                    at
                });
                out.push_str(&rest[..used]);
                used
            }
            Place::Tag => self.tag(rest, out),
            Place::BeforeValue(attribute) => {
                let blank = rest.len() - rest.trim_start().len();
                let (quote, used) = match rest[blank..].chars().next() {
                    None => {
                        out.push_str(rest);
                        return rest.len();
                    }
                    Some('"') => (Quote::Double, blank + 1),
                    Some('\'') => (Quote::Single, blank + 1),
                    Some(_) => (Quote::None, blank),
                };
                self.place = Place::Value(attribute, quote);
                out.push_str(&rest[..used]);
                used
            }
            Place::Value(attribute, quote) => {
                let end = match quote {
                    Quote::Double => rest.find('"'),
                    Quote::Single => rest.find('\''),
                    Quote::None => rest.find(|c: char| c.is_ascii_whitespace() || c == '>'),
                };
                let inside = &rest[..end.unwrap_or(rest.len())];
                let used = match end {
                    Some(at) => {
                        self.place = Place::Tag;
                        at + usize::from(quote != Quote::None)
                    }
                    None => {
                        self.place = Place::Value(attribute.after(inside), quote);
                        rest.len()
                    }
                };
                out.push_str(&rest[..used]);
                used
            }
        }
    }

    /// What a `<` begins.
    fn open(&mut self, rest: &str, out: &mut String) -> usize {
        if rest.starts_with("<!--") {
            self.place = Place::Comment;
            return 4;
        }
        let named = rest[1..].trim_start_matches('/');
        let length = named.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(named.len());
        if !named.starts_with(|c: char| c.is_ascii_alphabetic()) {
            let declaration = rest.get(..9).is_some_and(|t| t.eq_ignore_ascii_case("<!doctype"));
            out.push_str(if declaration { "<" } else { "&lt;" });
            return 1;
        }
        let closes = rest.starts_with("</");
        self.element = match named[..length].to_ascii_lowercase().as_str() {
            _ if closes => None,
            "script" => Some(Element::Code("script")),
            "style" => Some(Element::Code("style")),
            "textarea" => Some(Element::Text("textarea")),
            "title" => Some(Element::Text("title")),
            _ => None,
        };
        self.place = Place::Tag;
        let used = rest.len() - named.len() + length;
        out.push_str(&rest[..used]);
        used
    }

    /// Names of attributes, up to `=` or `>`.
    fn tag(&mut self, rest: &str, out: &mut String) -> usize {
        let blank = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/').len();
        let name = &rest[blank..];
        let length = name.find(|c: char| c.is_ascii_whitespace() || matches!(c, '=' | '>' | '/')).unwrap_or(name.len());
        let after = &name[length..];
        let spaces = after.len() - after.trim_start().len();
        let used = if length == 0 && name.starts_with('>') {
            self.place = self.element.take().map_or(Place::Text, Place::Raw);
            blank + 1
        } else if after[spaces..].starts_with('=') {
            self.place = Place::BeforeValue(Attribute::of(&name[..length]));
            blank + length + spaces + 1
        } else {
            (blank + length).max(1)
        };
        out.push_str(&rest[..used]);
        used
    }

    /// A value, escaped for the place where it goes.
    ///
    /// # Errors
    /// In scripts, style sheets, comments and names of attributes, where text cannot be made safe by escaping alone.
    pub(super) fn value(&mut self, value: &TemplateValue) -> Result<String, String> {
        let text = value.shown();
        let safe = matches!(value, TemplateValue::SafeHtml(_));
        let inside = if safe { without_tags(&text) } else { text.clone() };
        Ok(match self.place {
            Place::Text if safe => text,
            Place::Text => escape(&text),
            Place::Raw(Element::Text(_)) => escape(&inside),
            Place::Comment => String::new(),
            Place::Value(attribute, quote) => attribute.write(&inside, quote)?,
            Place::BeforeValue(attribute) => {
                self.place = Place::Value(attribute, Quote::None);
                attribute.write(&inside, Quote::None)?
            }
            Place::Raw(Element::Code(name)) => return Err(format!("values inside <{name}> are not supported")),
            Place::Tag => return Err("values as names of attributes are not supported".to_owned()),
        })
    }
}

impl Attribute {
    fn of(name: &str) -> Attribute {
        let lower = name.to_ascii_lowercase();
        let lower = lower.strip_prefix("data-").unwrap_or(&lower);
        let lower = match lower.split_once(':') {
            Some(("xmlns", _)) => return Attribute::Address(Part::Start),
            Some((_, local)) => local,
            None => lower,
        };
        if lower == "style" || lower == "srcset" || lower.starts_with("on") {
            Attribute::Code
        } else if ADDRESSES.contains(&lower) || ["src", "uri", "url"].iter().any(|part| lower.contains(part)) {
            Attribute::Address(Part::Start)
        } else {
            Attribute::Plain
        }
    }

    /// After a piece of the template inside the value.
    fn after(self, literal: &str) -> Attribute {
        match self {
            Attribute::Address(part) => Attribute::Address(match part {
                _ if literal.contains(['?', '#']) => Part::Query,
                Part::Start if !literal.trim().is_empty() => Part::Path,
                part => part,
            }),
            other => other,
        }
    }

    fn write(self, text: &str, quote: Quote) -> Result<String, String> {
        let text = match self {
            Attribute::Plain => text.to_owned(),
            Attribute::Address(Part::Start) if !opens_safely(text) => "#ZgotmplZ".to_owned(),
            Attribute::Address(Part::Query) => percent(text, false),
            Attribute::Address(_) => percent(text, true),
            Attribute::Code => return Err("values inside style, scripts and lists of addresses are not supported".to_owned()),
        };
        Ok(if quote == Quote::None { unspaced(&text) } else { escape(&text) })
    }
}

/// Only what a reader may follow: addresses without a scheme, `http`, `https` and `mailto`.
fn opens_safely(address: &str) -> bool {
    match address.split_once(':') {
        Some((scheme, _)) if !scheme.contains('/') => ["http", "https", "mailto"].iter().any(|s| scheme.eq_ignore_ascii_case(s)),
        _ => true,
    }
}

/// Percent-encodes what may not stand in an address, or with `whole` unset everything that means something in one.
fn percent(text: &str, whole: bool) -> String {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    for (i, b) in bytes.iter().enumerate() {
        let keeps = match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => true,
            b'!' | b'#' | b'$' | b'&' | b'*' | b'+' | b',' | b'/' | b':' | b';' | b'=' | b'?' | b'@' | b'[' | b']' => whole,
            b'%' => whole && bytes.get(i + 1..i + 3).is_some_and(|h| h.iter().all(u8::is_ascii_hexdigit)),
            _ => false,
        };
        if keeps { out.push(char::from(*b)) } else { out.push_str(&format!("%{b:02x}")) }
    }
    out
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\0' => out.push('\u{fffd}'),
            '"' => out.push_str("&#34;"),
            '&' => out.push_str("&amp;"),
            '\'' => out.push_str("&#39;"),
            '+' => out.push_str("&#43;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c => out.push(c),
        }
    }
    out
}

/// For values without quotes around them, which a space would end.
fn unspaced(text: &str) -> String {
    if text.is_empty() {
        return "ZgotmplZ".to_owned();
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\t' | '\n' | '\u{b}' | '\u{c}' | '\r' | ' ' | '=' | '`' => out.push_str(&format!("&#{};", c as u32)),
            c => out.push_str(&escape(c.encode_utf8(&mut [0; 4]))),
        }
    }
    out
}

/// What is left of HTML where only text may be.
fn without_tags(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, tag)) = rest.split_once('<') {
        out.push_str(before);
        rest = tag.split_once('>').map_or("", |(_, after)| after);
    }
    out.push_str(rest);
    out
}
