//! What a view is: a function of readings and its own cursor. It asks the world for things only through [`Out`].

use crate::action::Action;
use crate::canvas::Canvas;
use crate::effect::Effect;
use crate::filter::Filter;
use crate::look::Role;
use crate::readings::{Kind, Readings};
use crate::views::ViewId;
use crate::zone::Zone;
use watchfire_model::reading::ReadError;
use watchfire_model::{Request, Timestamp};

/// What a view may look at.
pub(crate) struct Cx<'a> {
    pub(crate) readings: &'a Readings,
    /// The time the screen describes: the cursor, or now.
    pub(crate) now: Timestamp,
    pub(crate) at: Option<Timestamp>,
    /// What times of day are written in.
    pub(crate) zone: Zone,
    pub(crate) filter: &'a Filter,
    /// Grows whenever the filter changes.
    pub(crate) filter_stamp: u64,
    pub(crate) faults_only: bool,
    /// Rows that are marked, the latest last.
    pub(crate) marks: &'a [String],
}

/// Where one is: a view, and what it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) view: ViewId,
    pub(crate) subject: Option<String>,
}

/// A question to the person, answered on the prompt line and handed back to [`View::answer`].
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) topic: &'static str,
    pub(crate) label: String,
    pub(crate) text: String,
    /// Offer metric and label names while typing.
    pub(crate) promql: bool,
}

impl Cx<'_> {
    /// The last `length` milliseconds. The end is a whole step, so that the question stays the same for a while.
    pub(crate) fn last(&self, length: i64, step: i64) -> (Timestamp, Timestamp) {
        let end = self.now.floor(step);
        (Timestamp::from_millis(end.millis().saturating_sub(length)), end)
    }

    /// The first of the growing `ranges` that holds all that can be known, up to the one at `usual`: a chart of an hour is mostly empty
    /// when watchfire has run for a minute.
    pub(crate) fn fitting_range(&self, seconds: impl Iterator<Item = i64>, usual: usize) -> usize {
        let known = self.readings.status().map(|s| s.uptime_seconds as i64).filter(|s| *s > 0);
        known.and_then(|known| seconds.take(usual).position(|range| range >= known)).unwrap_or(usual)
    }
}

/// What a view wants done.
#[derive(Debug, Default)]
pub(crate) struct Out {
    pub(crate) effects: Vec<Effect>,
    pub(crate) go: Option<Place>,
    /// Why nothing was done.
    pub(crate) refusal: Option<String>,
    pub(crate) ask: Option<Ask>,
    pub(crate) filter: Option<String>,
    /// The filter of the view that `go` leads to.
    pub(crate) filter_there: Option<String>,
    /// Moves the time cursor.
    pub(crate) at: Option<Timestamp>,
    /// A row to mark, or to unmark if it is.
    pub(crate) mark: Option<String>,
}

impl Out {
    pub(crate) fn go(&mut self, view: ViewId, subject: Option<String>) {
        self.go = Some(Place { view, subject });
    }

    /// Why what was asked for cannot be done, and what can.
    pub(crate) fn refuse(&mut self, why: impl Into<String>) {
        self.refusal = Some(why.into());
    }
}

/// One screen. `update` returns whether it knew what to do with the action.
pub(crate) trait View {
    /// What must be read for this screen, most important first.
    fn wants(&self, cx: &Cx<'_>) -> Vec<Request>;

    /// Called when the view is entered, with what it is about.
    fn open(&mut self, subject: Option<&str>) {
        let _ = subject;
    }

    /// What is open inside of the view, outermost first.
    fn crumbs(&self) -> Vec<String> {
        Vec::new()
    }

    /// Fields of the `/` filter.
    fn fields(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether what is on screen now are rows that the filter is about.
    fn is_filtered(&self) -> bool {
        !self.fields().is_empty()
    }

    /// Letters that order the rows by a column, with what its title is.
    fn orders(&self) -> Vec<(char, &'static str)> {
        Vec::new()
    }

    fn update(&mut self, action: Action, cx: &Cx<'_>, out: &mut Out) -> bool {
        let _ = (action, cx, out);
        false
    }

    /// A Shift-letter that is bound to nothing: sort by the column of that letter.
    fn letter(&mut self, letter: char, cx: &Cx<'_>) -> bool {
        let _ = (letter, cx);
        false
    }

    /// A click at a place of the body.
    fn click(&mut self, x: u16, y: u16, cx: &Cx<'_>, out: &mut Out) -> bool {
        let _ = (x, y, cx, out);
        false
    }

    /// The button that went down at the last click was let go here.
    fn release(&mut self, x: u16, y: u16, cx: &Cx<'_>) -> bool {
        let _ = (x, y, cx);
        false
    }

    fn answer(&mut self, topic: &'static str, text: &str, cx: &Cx<'_>, out: &mut Out) {
        let _ = (topic, text, cx, out);
    }

    /// Closes the innermost thing that is open inside of the view.
    fn back(&mut self) -> bool {
        false
    }

    /// Moves the cursor to the next (or previous) problem of this view; false at the end.
    fn problem(&mut self, forward: bool, cx: &Cx<'_>) -> bool {
        let _ = (forward, cx);
        false
    }

    /// The next search for a problem begins at the first row (or the last).
    fn rewind(&mut self) {}

    /// Keys worth showing at the bottom, most useful first.
    fn hints(&self, cx: &Cx<'_>) -> Vec<(Action, &'static str)>;

    /// What stands at the right end of the key strip: `11 of 11`.
    fn tally(&self, cx: &Cx<'_>) -> String {
        let _ = cx;
        String::new()
    }

    /// The service under the cursor, for keys that open it elsewhere.
    fn service(&self, cx: &Cx<'_>) -> Option<String> {
        let _ = cx;
        None
    }

    /// What `y` copies.
    fn copy(&self, cx: &Cx<'_>) -> Option<String> {
        let _ = cx;
        None
    }

    /// What `:export FORMAT` writes: a file name and its text, or why not.
    fn export(&self, format: &str, cx: &Cx<'_>) -> Result<(String, String), String> {
        let _ = (format, cx);
        Err("nothing to export here; the map exports mermaid, dot, svg and text, lists csv".to_owned())
    }

    fn render(&mut self, cx: &Cx<'_>, canvas: &mut Canvas<'_>);
}

/// Says why there is nothing: an error, still reading, or `none` with what to do about it.
pub(crate) fn blank(canvas: &mut Canvas<'_>, cx: &Cx<'_>, kind: Kind, none: &str, advice: &str) {
    let slot = cx.readings.slot(kind);
    let (x, y) = (3, if canvas.height() > 4 { 1 } else { 0 });
    let width = canvas.width().saturating_sub(x + 1);
    match (&slot.error, &slot.reading) {
        // Nothing is broken: what was asked for is not there.
        (Some(ReadError::NotFound(why)), None) => {
            canvas.pen(x, y).put("? ", Role::Unknown).put(why, Role::Text);
            let dim = canvas.style(Role::Dim);
            for (i, line) in crate::canvas::wrap(advice, width.saturating_sub(2), 4).iter().enumerate() {
                canvas.text(x + 2, y + 1 + i as u16, width, line, dim);
            }
        }
        (Some(error), None) => {
            canvas.pen(x, y).put("✖ ", Role::Unhealthy).put("cannot read: ", Role::Strong).put(&error.to_string(), Role::Text);
            let dim = canvas.style(Role::Dim);
            canvas.text(x, y + 1, width, "watchfire keeps asking; F5 asks now", dim);
        }
        (None, None) => {
            let lost = cx.readings.status().is_some_and(|s| s.disconnected_since.is_some());
            let text = if lost { "disconnected before this was read; it comes when the other side does" } else { "reading …" };
            let style = canvas.style(if lost { Role::Unknown } else { Role::Dim });
            for (i, line) in crate::canvas::wrap(text, width, 3).iter().enumerate() {
                canvas.text(x, y + i as u16, width, line, style);
            }
        }
        _ => {
            let (text, dim) = (canvas.style(Role::Text), canvas.style(Role::Dim));
            let none = if cx.filter.is_empty() { none.to_owned() } else { format!("nothing matches  {}", cx.filter.text) };
            let advice = if cx.filter.is_empty() { advice } else { "/ changes the filter, Esc clears it" };
            canvas.text(x, y, width, &none, text);
            for (i, line) in crate::canvas::wrap(advice, width, 4).iter().enumerate() {
                canvas.text(x, y + 1 + i as u16, width, line, dim);
            }
        }
    }
}
