//! crossterm's backend with two differences. Where terminals do not agree how many columns a character takes, the next cell is addressed
//! anew: a name in one row never moves what stands beside it. And without its one question: clearing asks the terminal where the cursor is, and the answer would come through the same
//! input that the keys come through, read by another thread. Nothing here depends on the cursor, so it is never asked.

use ratatui::backend::{Backend, ClearType, CrosstermBackend, WindowSize};
use ratatui::buffer::Cell;
use ratatui::layout::{Position, Size};
use std::io::{self, Write};

/// Draws through crossterm; believes the cursor to be at the origin.
pub struct ScreenBackend<W: Write>(CrosstermBackend<W>);

impl<W: Write> ScreenBackend<W> {
    pub fn new(writer: W) -> Self {
        ScreenBackend(CrosstermBackend::new(writer))
    }
}

impl<W: Write> Write for ScreenBackend<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Write::flush(&mut self.0)
    }
}

impl<W: Write> Backend for ScreenBackend<W> {
    type Error = io::Error;

    fn draw<'a, I: Iterator<Item = (u16, u16, &'a Cell)>>(&mut self, content: I) -> io::Result<()> {
        let mut content = content.peekable();
        while content.peek().is_some() {
            let mut ended = false;
            // crossterm addresses the first cell of each run.
            self.0.draw(std::iter::from_fn(|| {
                let cell = if ended { None } else { content.next() }?;
                ended = cell.2.symbol().chars().any(is_of_disputed_width);
                Some(cell)
            }))?;
        }
        Ok(())
    }

    fn hide_cursor(&mut self) -> io::Result<()> {
        self.0.hide_cursor()
    }

    /// Called when the screens end, and the terminal's guard does the same: where that fails the terminal is gone, and ratatui would say so on
    /// standard error.
    fn show_cursor(&mut self) -> io::Result<()> {
        let _ = self.0.show_cursor();
        Ok(())
    }

    fn get_cursor_position(&mut self) -> io::Result<Position> {
        Ok(Position::ORIGIN)
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, position: P) -> io::Result<()> {
        self.0.set_cursor_position(position)
    }

    fn clear(&mut self) -> io::Result<()> {
        self.0.clear()
    }

    fn clear_region(&mut self, kind: ClearType) -> io::Result<()> {
        self.0.clear_region(kind)
    }

    fn size(&self) -> io::Result<Size> {
        self.0.size()
    }

    fn window_size(&mut self) -> io::Result<WindowSize> {
        self.0.window_size()
    }

    fn flush(&mut self) -> io::Result<()> {
        Backend::flush(&mut self.0)
    }
}

/// Characters outside of the scripts and signs whose columns every terminal counts alike: marks, scripts that join or stack their letters, halves
/// of flags, ligatures.
fn is_of_disputed_width(c: char) -> bool {
    !matches!(c as u32,
        0x20..=0x2ff | 0x370..=0x52f | 0x2010..=0x2027 | 0x2030..=0x205e | 0x2070..=0x2bff | 0x2e80..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff
        | 0xfe30..=0xfe4f | 0xff01..=0xff60 | 0x1f300..=0x1faff)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::buffer::Buffer;

    fn written(text: &str) -> String {
        let buffer = Buffer::with_lines([text]);
        let mut bytes = Vec::new();
        let cells = (0..buffer.area.width).map(|x| (x, 0, &buffer[(x, 0)]));
        ScreenBackend::new(&mut bytes).draw(cells).expect("drawing into memory");
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn what_stands_beside_a_character_of_disputed_width_is_addressed() {
        for (text, address) in
            [("\u{1f1e9}x", "\x1b[1;2H"), ("a\u{e47}bc", "\x1b[1;2H"), ("\u{fdfa}x", "\x1b[1;2H"), ("a\u{93f}x", "\x1b[1;2H")]
        {
            assert!(written(text).contains(address), "{text:?} as {:?}", written(text));
        }
    }

    #[test]
    fn what_terminals_agree_on_is_written_in_one_run() {
        for text in ["plain words", "grün Ωмега", "● ✖ ▲ │─╭▁▇⣿… →␛"] {
            assert_eq!(written(text).matches('H').count(), 1, "{:?}", written(text));
        }
    }
}
