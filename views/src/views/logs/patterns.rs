//! Templates of log lines with their count; each leads to its lines.

use super::Logs;
use crate::action::Action;
use crate::canvas::Canvas;
use crate::filter::quoted;
use crate::look::Role;
use crate::number;
use crate::readings::Kind;
use crate::table::{moved, window};
use crate::view::{Cx, Out, blank};

/// What stands in a template for what differs.
const WILD: &str = "<*>";

impl Logs {
    /// Moves among the templates and opens one; false for what means the same with and without them.
    pub(super) fn choose_pattern(&mut self, action: Action, cx: &Cx<'_>, out: &mut Out) -> bool {
        let patterns = patterns(cx);
        if action == Action::Open {
            self.patterns = false;
            out.filter = patterns.get(self.pattern).map(|(template, _)| lines_of(template));
            return true;
        }
        let to = moved(action, self.pattern, self.page, patterns.len().saturating_sub(1));
        self.pattern = to.unwrap_or(self.pattern);
        to.is_some()
    }

    pub(super) fn draw_patterns(&mut self, cx: &Cx<'_>, canvas: &mut Canvas<'_>) {
        let patterns = patterns(cx);
        if patterns.is_empty() {
            return blank(canvas, cx, Kind::Logs, "no patterns yet", "templates of log lines appear with the lines");
        }
        let (heading, width) = (canvas.style(Role::Heading), canvas.width());
        canvas.right(1, 0, 8, "LINES", heading);
        canvas.text(11, 0, 20, "TEMPLATE", heading);
        let rows = usize::from(canvas.height().saturating_sub(1));
        self.page = rows;
        self.pattern = self.pattern.min(patterns.len() - 1);
        let first = window(self.pattern, 0, rows, patterns.len());
        for (line, (i, (template, count))) in patterns.iter().enumerate().skip(first).take(rows).enumerate() {
            let (dim, text, y) = (canvas.style(Role::Dim), canvas.style(Role::Text), line as u16 + 1);
            self.drawn.push((y..y + 1, i));
            canvas.right(1, y, 8, &number::count(*count as f64), dim);
            canvas.text(11, y, width.saturating_sub(12), template, text);
            if i == self.pattern {
                let style = canvas.style(Role::Selected);
                canvas.patch(0, y, width, 1, style);
            }
        }
    }
}

/// The filter that finds the lines of a template.
fn lines_of(template: &str) -> String {
    // Between two words of a template there may be anything that parts words, new lines too.
    let pieces: Vec<String> = template.split(WILD).map(|piece| regex::escape(piece).replace(' ', r"\s+")).collect();
    format!("body~{}", quoted(&format!(r"(?s)^\s*{}", pieces.join(".*"))))
}

fn patterns<'a>(cx: &Cx<'a>) -> &'a [(String, u64)] {
    cx.readings.logs().map(|l| l.patterns.as_slice()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::Filter;
    use watchfire_model::reading::LogLine;

    #[test]
    fn a_template_finds_its_lines_whatever_stands_in_it() {
        let line = |body: &str| LogLine { body: body.to_owned(), ..LogLine::default() };
        for (template, good, bad) in [
            ("user <*> logged in from <*>", "user ana logged in from 10.0.0.1", "user ana logged out"),
            ("said \"<*>\" (twice) <*>", "said \"no\" (twice) again", "said no twice"),
            ("a+b?", "a+b?", "aab"),
            (r"open C:\temp\<*> failed", r"open C:\temp\a.log failed", "open C:/temp/a.log failed"),
            ("Traceback <*> in <*>", "  Traceback (most recent\n\t call last)\n  in main", "Traceback"),
        ] {
            let filter = Filter::parse(&lines_of(template), &["body"]).expect("a filter");
            assert!(filter.accepts(&line(good)) && !filter.accepts(&line(bad)), "{template}");
        }
    }
}
