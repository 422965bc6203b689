//! Where text meets cells. Every widget writes through [`Canvas`], so text from outside is made harmless in one place: [`safe`].

use crate::look::{Glyphs, Look, Role};
use crate::zone::Zone;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use std::borrow::Cow;
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// A letter may carry eight marks and a `+`; more characters than this per column cannot be seen.
const CHARACTERS_PER_COLUMN: usize = 10;
/// Columns up to this width show both ends of a name.
const NARROW_NAME: u16 = 24;

/// The one gate between telemetry and anything a person sees: cells, the plain log, exports, the clipboard.
pub(crate) fn safe(text: &str, limit: usize) -> Cow<'_, str> {
    watchfire_model::harmless_limited(text, limit)
}

/// A name that is nothing but blanks as `␠` for each, the way control characters are shown: nobody could see or point at it.
pub(crate) fn visible(name: &str) -> Cow<'_, str> {
    if name.chars().all(char::is_whitespace) { name.chars().map(|_| '\u{2420}').collect() } else { Cow::Borrowed(name) }
}

/// A rectangle of the frame with coordinates of its own. Writing outside of it is cut, never an error.
pub(crate) struct Canvas<'a> {
    buffer: &'a mut Buffer,
    area: Rect,
    look: &'a Look,
}

impl<'a> Canvas<'a> {
    pub(crate) fn new(buffer: &'a mut Buffer, area: Rect, look: &'a Look) -> Self {
        let area = area.intersection(buffer.area);
        Canvas { buffer, area, look }
    }

    pub(crate) fn width(&self) -> u16 {
        self.area.width
    }

    pub(crate) fn height(&self) -> u16 {
        self.area.height
    }

    pub(crate) fn look(&self) -> &'a Look {
        self.look
    }

    pub(crate) fn style(&self, role: Role) -> Style {
        self.look.style(role)
    }

    pub(crate) fn zone(&self) -> Zone {
        self.look.zone
    }

    /// A part of this canvas, cut to it.
    pub(crate) fn part(&mut self, x: u16, y: u16, width: u16, height: u16) -> Canvas<'_> {
        let x = x.min(self.area.width);
        let y = y.min(self.area.height);
        let area = Rect {
            x: self.area.x + x,
            y: self.area.y + y,
            width: width.min(self.area.width - x),
            height: height.min(self.area.height - y),
        };
        Canvas { buffer: self.buffer, area, look: self.look }
    }

    /// Writes text into at most `width` columns, cut with an ellipsis. Returns the columns used.
    pub(crate) fn text(&mut self, x: u16, y: u16, width: u16, text: &str, style: Style) -> u16 {
        let width = width.min(self.area.width.saturating_sub(x));
        if width == 0 || y >= self.area.height || text.is_empty() {
            return 0;
        }
        let columns = usize::from(width);
        let shown = safe(text, columns * CHARACTERS_PER_COLUMN);
        let shown = if self.look.glyphs == Glyphs::Ascii { crate::look::to_ascii(shown) } else { shown };
        let (left, top) = (self.area.x + x, self.area.y + y);
        let ellipsis = if self.look.glyphs == Glyphs::Ascii { '>' } else { '…' };
        if shown.is_ascii() {
            let cut = shown.len() > columns;
            let kept = if cut { &shown.as_bytes()[..columns - 1] } else { shown.as_bytes() };
            let mut at = left;
            for byte in kept {
                self.buffer[(at, top)].set_char(char::from(*byte)).set_style(style);
                at += 1;
            }
            if cut {
                self.buffer[(at, top)].set_char(ellipsis).set_style(style);
                at += 1;
            }
            return at - left;
        }
        let total = clusters(&shown).map(|(_, w)| w).take(columns * CHARACTERS_PER_COLUMN).sum::<usize>();
        let limit = if total > columns { columns - 1 } else { columns };
        let mut used = 0;
        for (cluster, cluster_width) in clusters(&shown) {
            if used + cluster_width > limit {
                break;
            }
            if cluster_width == 0 {
                continue;
            }
            let at = left + used as u16;
            self.buffer[(at, top)].set_symbol(cluster).set_style(style);
            for extra in 1..cluster_width {
                self.buffer[(at + extra as u16, top)].reset();
                self.buffer[(at + extra as u16, top)].set_style(style);
            }
            used += cluster_width;
        }
        if total > columns {
            self.buffer[(left + used as u16, top)].set_char(ellipsis).set_style(style);
            used += 1;
        }
        used as u16
    }

    /// A name that in a narrow column loses its middle, where names differ at their end: a queue and its dead letters.
    pub(crate) fn name(&mut self, x: u16, y: u16, width: u16, name: &str, style: Style) -> u16 {
        let name = visible(name);
        let columns = usize::from(width);
        if !(5..=NARROW_NAME).contains(&width) || !name.is_ascii() || name.len() <= columns {
            return self.text(x, y, width, &name, style);
        }
        let tail = (columns - 1).div_ceil(3);
        let ellipsis = if self.look.glyphs == Glyphs::Ascii { '>' } else { '…' };
        let (head, end) = (&name[..columns - 1 - tail], &name[name.len() - tail..]);
        self.text(x, y, width, &format!("{head}{ellipsis}{end}"), style)
    }

    /// As [`Canvas::text`], flush with the right end of the `width` columns.
    pub(crate) fn right(&mut self, x: u16, y: u16, width: u16, text: &str, style: Style) {
        let used = display_width(text).min(usize::from(width)) as u16;
        self.text(x + width - used, y, used, text, style);
    }

    /// Starts a run of differently styled pieces.
    pub(crate) fn pen(&mut self, x: u16, y: u16) -> Pen<'_, 'a> {
        Pen { canvas: self, x, y }
    }

    /// Lays a style over cells already written: selection, marks.
    pub(crate) fn patch(&mut self, x: u16, y: u16, width: u16, height: u16, style: Style) {
        let part = self.part(x, y, width, height);
        let area = part.area;
        part.buffer.set_style(area, style);
    }

    /// Empties the canvas, for what lies on top of other things.
    pub(crate) fn clear(&mut self) {
        for y in self.area.top()..self.area.bottom() {
            for x in self.area.left()..self.area.right() {
                self.buffer[(x, y)].reset();
                self.buffer[(x, y)].set_style(self.look.style(Role::Text));
            }
        }
    }

    /// One character; for drawings.
    pub(crate) fn dot(&mut self, x: u16, y: u16, symbol: char, style: Style) {
        if x < self.area.width && y < self.area.height {
            let symbol = if self.look.glyphs == Glyphs::Ascii { crate::look::ascii_drawn(symbol) } else { symbol };
            self.buffer[(self.area.x + x, self.area.y + y)].set_char(symbol).set_style(style);
        }
    }

    /// A frame of single lines round the whole canvas with a title on it.
    pub(crate) fn frame(&mut self, title: &str) {
        let (w, h) = (self.width(), self.height());
        if w < 2 || h < 2 {
            return;
        }
        let style = self.style(Role::Faint);
        for x in 1..w - 1 {
            self.dot(x, 0, '─', style);
            self.dot(x, h - 1, '─', style);
        }
        for y in 1..h - 1 {
            self.dot(0, y, '│', style);
            self.dot(w - 1, y, '│', style);
        }
        for (x, y, c) in [(0, 0, '╭'), (w - 1, 0, '╮'), (0, h - 1, '╰'), (w - 1, h - 1, '╯')] {
            self.dot(x, y, c, style);
        }
        if !title.is_empty() {
            let strong = self.style(Role::Strong);
            self.text(2, 0, w.saturating_sub(4), &format!(" {title} "), strong);
        }
    }
}

/// Writes pieces one after another on one line.
pub(crate) struct Pen<'p, 'a> {
    canvas: &'p mut Canvas<'a>,
    x: u16,
    y: u16,
}

impl Pen<'_, '_> {
    pub(crate) fn put(&mut self, text: &str, role: Role) -> &mut Self {
        let style = self.canvas.style(role);
        self.styled(text, style)
    }

    pub(crate) fn styled(&mut self, text: &str, style: Style) -> &mut Self {
        let width = self.canvas.width().saturating_sub(self.x);
        self.x += self.canvas.text(self.x, self.y, width, text, style);
        self
    }

    /// Writes a name into at most half of the line: what is said of it has the rest, however long it is.
    pub(crate) fn name(&mut self, text: &str, role: Role) -> &mut Self {
        let style = self.canvas.style(role);
        let half = (self.canvas.width() / 2).min(self.canvas.width().saturating_sub(self.x));
        self.x += self.canvas.text(self.x, self.y, half, text, style);
        self
    }

    /// Writes all of it, or nothing where there is no room for all: half of a figure says something else. Whether it did.
    pub(crate) fn whole(&mut self, pieces: &[(&str, Role)]) -> bool {
        let needed: usize = pieces.iter().map(|(text, _)| display_width(text)).sum();
        let fits = usize::from(self.x) + needed < usize::from(self.canvas.width());
        for (text, role) in pieces.iter().filter(|_| fits) {
            self.put(text, *role);
        }
        fits
    }

    /// Writes into exactly `width` columns: what is shorter is followed by blanks.
    pub(crate) fn column(&mut self, width: u16, text: &str, role: Role) -> &mut Self {
        let style = self.canvas.style(role);
        self.canvas.text(self.x, self.y, width, text, style);
        self.x += width;
        self
    }

    pub(crate) fn gap(&mut self, columns: u16) -> &mut Self {
        self.x = self.x.saturating_add(columns);
        self
    }

    pub(crate) fn x(&self) -> u16 {
        self.x
    }
}

/// Columns that `text` takes when shown. Only for text that is ours or short.
pub(crate) fn display_width(text: &str) -> usize {
    if text.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        return text.len();
    }
    clusters(&safe(text, 4096)).map(|(_, width)| width).sum()
}

/// Grapheme clusters with the columns every terminal agrees on: where a cluster's width is not the sum of its characters'
/// (emoji joined by ZWJ, variation selectors, flags, letters of Indic scripts that join), its characters are shown one by one, each with the
/// marks that belong to it: without its virama or its vowel a name is another one.
fn clusters(text: &str) -> impl Iterator<Item = (&str, usize)> {
    text.graphemes(true).flat_map(|cluster| {
        let by_character: usize = cluster.chars().map(columns).sum();
        let wide = cluster.chars().filter(|c| columns(*c) > 0).count();
        // A mark before its letter would land in the cell before it.
        let leads = cluster.chars().next().is_some_and(|c| columns(c) > 0);
        let whole = leads && wide <= 1 && cluster.width() == by_character;
        let characters = if whole { "" } else { cluster };
        whole.then_some((cluster, by_character)).into_iter().chain(letters(characters))
    })
}

/// Characters with the marks after them, as long as these take no columns of their own. What changes how others are shown is left alone.
fn letters(text: &str) -> impl Iterator<Item = (&str, usize)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let width = columns(first);
        let is_mark =
            |c: char| columns(c) == 0 && !matches!(c as u32, 0x200b..=0x200f | 0x2060..=0x206f | 0xfe00..=0xfe0f | 0xe0000..=0xe0fff);
        let marks: usize = rest[first.len_utf8()..].chars().take_while(|c| width > 0 && is_mark(*c)).map(char::len_utf8).sum();
        let whole = &rest[..first.len_utf8() + marks];
        let shown = if whole.width() == width { whole } else { &rest[..first.len_utf8()] };
        rest = &rest[shown.len()..];
        Some((shown, width))
    })
}

/// Vowel signs beside their letter: half of all terminals give them a column and would write the next character over them without one; in the
/// others they join their letter, and the column stays empty.
fn columns(c: char) -> usize {
    match c as u32 {
        0x09be | 0x09d7 | 0x0b3e | 0x0b57 | 0x0bbe | 0x0bd7 | 0x0cc0 | 0x0cc2 | 0x0cc7 | 0x0cc8 | 0x0cca | 0x0ccb | 0x0cd5 | 0x0cd6
        | 0x0d3e | 0x0d57 | 0x0dcf | 0x0ddf | 0x1b35 => 1,
        _ => c.width().unwrap_or(0),
    }
}

/// Text broken into lines of at most `width` columns, at blanks where possible; never more than `limit` lines. Where that is not all of
/// the text, the last line ends in `…`.
pub(crate) fn wrap(text: &str, width: u16, limit: usize) -> Vec<String> {
    let mut lines = broken(text, width, limit + 1);
    if lines.len() > limit {
        lines.truncate(limit);
        if let Some(last) = lines.last_mut() {
            while display_width(last) >= usize::from(width.max(1)) && last.pop().is_some() {}
            last.push('…');
        }
    }
    lines
}

fn broken(text: &str, width: u16, limit: usize) -> Vec<String> {
    let width = usize::from(width).max(1);
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut used = 0;
    for word in safe(text, width * limit * 4).split(' ') {
        let length = display_width(word);
        if used > 0 && used + 1 + length > width {
            lines.push(std::mem::take(&mut line));
            used = 0;
            if lines.len() >= limit {
                return lines;
            }
        }
        if used > 0 {
            line.push(' ');
            used += 1;
        }
        for (cluster, cluster_width) in clusters(word) {
            if used + cluster_width > width {
                lines.push(std::mem::take(&mut line));
                used = 0;
                if lines.len() >= limit {
                    return lines;
                }
            }
            line.push_str(cluster);
            used += cluster_width;
        }
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(text: &str, width: u16) -> String {
        let look = Look::plain();
        let mut buffer = Buffer::empty(Rect::new(0, 0, width, 1));
        let area = buffer.area;
        Canvas::new(&mut buffer, area, &look).text(0, 0, width, text, Style::default());
        buffer.content().iter().map(|c| c.symbol()).collect()
    }

    #[test]
    fn text_is_cut_with_an_ellipsis() {
        assert_eq!(drawn("content-service", 8), "content…");
        assert_eq!(drawn("content", 8), "content ");
        assert_eq!(drawn("日本語です", 5), "日 本 …");
    }

    #[test]
    fn a_name_in_a_narrow_column_keeps_its_end() {
        let named = |name: &str, width: u16| {
            let look = Look::plain();
            let mut buffer = Buffer::empty(Rect::new(0, 0, width, 1));
            let area = buffer.area;
            Canvas::new(&mut buffer, area, &look).name(0, 0, width, name, Style::default());
            buffer.content().iter().map(|c| c.symbol()).collect::<String>()
        };
        assert_eq!(named("analytics_processing", 9), "analy…ing");
        assert_eq!(named("analytics_processing_dead", 9), "analy…ead");
        assert_eq!(named("queue", 9), "queue    ");
        assert_eq!(named("notification_delivery_dead", 20), "notification…ry_dead");
        assert_eq!(named("notification_delivery_dead", 25), "notification_delivery_de…");
    }

    #[test]
    fn control_characters_become_pictures() {
        assert_eq!(drawn("a\x1b[31m\r", 10), "a␛[31m␍   ");
        assert_eq!(drawn("x\u{202e}y", 12), "x<U+202E>y  ");
    }

    #[test]
    fn joined_emoji_take_the_columns_of_their_parts() {
        assert_eq!(display_width("👩‍💻"), 4);
        assert_eq!(display_width("é"), 1);
    }

    /// Letters that join take the columns that terminals without joining give them, and none loses its virama or its vowel.
    #[test]
    fn marks_stay_with_their_letters() {
        for name in ["ক্ষ-বাংলা", "हिन्दी-सेवा", "தமிழ்-சேவை", "ภาษาไทย-บริการ", "é́-x"]
        {
            let columns = display_width(name);
            assert_eq!(drawn(name, columns as u16 + 3).trim_end(), name);
            assert_eq!(drawn(name, columns as u16 + 3).len(), name.len() + 3, "{name}");
        }
        assert_eq!(display_width("বাং"), 3);
        // A selector makes terminals disagree, and a joiner would join what stands in two cells.
        assert_eq!(drawn("❤\u{fe0f}x", 4), "❤x  ");
        assert!(!drawn("👩\u{200d}👩", 6).contains('\u{200d}'));
    }

    #[test]
    fn long_words_are_broken() {
        assert_eq!(wrap("ab cdefgh i", 4, 9), ["ab", "cdef", "gh i"]);
    }
}
