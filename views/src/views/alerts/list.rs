//! The list of alerts: what is at fault first, with its evidence, and beneath it what it explains.

use super::words::{notified, state_word, subject};
use super::{Alerts, detail};
use crate::action::Action;
use crate::canvas::{Canvas, display_width, visible};
use crate::look::{Role, severity_glyph, severity_state};
use crate::number;
use crate::table::{chosen, window};
use crate::view::Cx;
use std::collections::HashMap;
use watchfire_model::reading::{Alert, AlertState, Alerts as Reading};

/// One line of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    Alert {
        index: usize,
        /// Beneath its cause: whether it is the last one.
        child: Option<bool>,
    },
    /// A sentence about the alert of that index.
    Note(usize, Note),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Note {
    Summary,
    Evidence,
}

/// A column that causes are ordered by, and whether it descends; `None` is by how bad they are.
pub(super) type Order = Option<(Column, bool)>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Cause,
    Since,
    Notified,
    State,
}

impl Column {
    pub(super) const ALL: [(Column, &'static str, char); 4] =
        [(Column::Cause, "CAUSE", 'C'), (Column::Since, "SINCE", 'I'), (Column::Notified, "NOTIFIED", 'N'), (Column::State, "STATE", 'T')];
}

/// The newest first: that is what one has not seen yet.
fn begins_descending(column: Column) -> bool {
    column == Column::Since
}

/// The order after the letter of a column.
pub(super) fn by_letter(order: Order, letter: char) -> Option<Order> {
    let (column, ..) = Column::ALL.into_iter().find(|(_, _, l)| *l == letter)?;
    Some(chosen(order, column, begins_descending(column)))
}

/// The keys that walk through the columns and turn the order round.
pub(super) fn by_action(order: Order, action: Action) -> Option<Order> {
    match action {
        Action::SortNext => {
            let next = order.map_or(0, |(column, _)| Column::ALL.iter().position(|(c, ..)| *c == column).map_or(0, |i| i + 1));
            Some(Column::ALL.get(next).map(|(column, ..)| (*column, begins_descending(*column))))
        }
        Action::SortReverse => Some(order.map(|(column, descending)| (column, !descending))),
        _ => None,
    }
}

fn sort(order: &mut [usize], alerts: &[Alert], by: Order) {
    let Some((column, descending)) = by else { return };
    let compare = |a: &Alert, b: &Alert| match column {
        Column::Cause => (&a.name, subject(a)).cmp(&(&b.name, subject(b))),
        Column::Since => a.state_since().cmp(&b.state_since()),
        Column::Notified => notified(a, false).cmp(&notified(b, false)),
        Column::State => word(a).cmp(word(b)),
    };
    order.sort_by(|a, b| {
        let ascending = compare(&alerts[*a], &alerts[*b]);
        if descending { ascending.reverse() } else { ascending }
    });
}

fn word(alert: &Alert) -> &'static str {
    match (&alert.acknowledged_by, alert.silenced) {
        (Some(_), _) if alert.state == AlertState::Firing => "acked",
        (_, true) if alert.state == AlertState::Firing => "silenced",
        _ => state_word(alert),
    }
}

/// Causes first by how bad and how old they are, those that speak before those that are held, or as somebody ordered them; each is followed by what
/// it explains.
pub(super) fn arrange(reading: &Reading, cx: &Cx<'_>, history: bool, by: Order) -> Vec<Line> {
    let alerts = &reading.alerts;
    let shown = |a: &Alert| {
        (history || a.state != AlertState::Resolved) && cx.filter.accepts(a) && (!cx.faults_only || a.state == AlertState::Firing)
    };
    let mut order: Vec<usize> = (0..alerts.len()).filter(|i| shown(&alerts[*i])).collect();
    order.sort_by_key(|i| {
        let a = &alerts[*i];
        (a.state, std::cmp::Reverse(a.severity), a.acknowledged_by.is_some(), a.cause.is_some(), a.active_at)
    });
    sort(&mut order, alerts, by);
    let explained_by = |child: &Alert, parent: &Alert| {
        child.state != AlertState::Resolved
            && parent.state != AlertState::Resolved
            && child.cause.as_ref().is_some_and(|c| c.service.is_empty() || c.service == subject(parent))
    };
    let mut by_name: HashMap<&str, Vec<usize>> = HashMap::new();
    for i in &order {
        by_name.entry(&alerts[*i].name).or_default().push(*i);
    }
    let mut parent: Vec<Option<usize>> = vec![None; alerts.len()];
    for i in &order {
        let named = alerts[*i].cause.as_ref().and_then(|c| by_name.get(c.alert.as_str()));
        parent[*i] = named.into_iter().flatten().copied().find(|p| p != i && explained_by(&alerts[*i], &alerts[*p]));
    }
    // A cause may itself be explained; what stands at the end of the chain is the cause of all.
    let root = |mut i: usize| {
        for _ in 0..64 {
            match parent[i] {
                Some(p) => i = p,
                None => return i,
            }
        }
        i
    };
    let mut beneath: HashMap<usize, Vec<usize>> = HashMap::new();
    for i in &order {
        beneath.entry(root(*i)).or_default().push(*i);
    }
    let mut lines = Vec::new();
    for i in order.iter().filter(|i| root(**i) == **i) {
        lines.push(Line::Alert { index: *i, child: None });
        let alert = &alerts[*i];
        if alert.state == AlertState::Firing {
            lines.push(Line::Note(*i, Note::Summary));
            if alert.evidence.as_ref().is_some_and(|e| !e.trace_ids.is_empty() || e.top_operation.is_some()) {
                lines.push(Line::Note(*i, Note::Evidence));
            }
        }
        let children: Vec<usize> = beneath.remove(i).into_iter().flatten().filter(|c| c != i).collect();
        for (n, child) in children.iter().enumerate() {
            lines.push(Line::Alert { index: *child, child: Some(n + 1 == children.len()) });
        }
    }
    // Chains that run in a circle have no end; they are shown all the same.
    let circling = order.iter().filter(|i| beneath.contains_key(&root(**i)));
    lines.extend(circling.map(|index| Line::Alert { index: *index, child: None }));
    lines
}

impl Alerts {
    pub(super) fn list(&mut self, reading: &Reading, cx: &Cx<'_>, canvas: &mut Canvas<'_>) {
        let (width, height) = (canvas.width(), canvas.height());
        // Name, subject, since, notified, state; the rest is for words.
        let state_width = 9;
        let notified_width = match width {
            100.. => 22,
            64.. => 18,
            _ => 0,
        };
        // The smallest screens keep what fires and for whom.
        let since_width = if width >= 48 { 7 } else { 0 };
        let fixed = since_width + notified_width + state_width + 8;
        let room = width.saturating_sub(fixed);
        // No wider than the longest name and subject, so that the eye finds what it belongs to.
        let longest = |text: fn(&Alert) -> &str| reading.alerts.iter().map(|a| display_width(text(a))).max().unwrap_or(0) as u16;
        let name_width = (room * 5 / 9).min(longest(|a| &a.name) + 7);
        let names = room.min(name_width + longest(subject) + 4);
        let columns = [1, 1 + name_width + 2, 1 + names + 1, 1 + names + since_width + 3, 1 + names + since_width + notified_width + 5];
        let heading = canvas.style(Role::Heading);
        let key = canvas.style(Role::Key);
        let places = [(columns[0], name_width), (columns[2], since_width), (columns[3], notified_width), (columns[4], state_width)];
        self.headings.clear();
        for ((column, title, letter), (x, room)) in Column::ALL.into_iter().zip(places).filter(|(_, (_, room))| *room > 0) {
            let arrow = match self.order {
                Some((c, true)) if c == column => "▾",
                Some((c, false)) if c == column => "▴",
                _ => "",
            };
            let text = format!("{title}{arrow}");
            let left = if column == Column::Since { x + room.saturating_sub(display_width(&text) as u16) } else { x };
            canvas.text(left, 0, room.max(display_width(&text) as u16), &text, heading);
            canvas.patch(left + title.find(letter).unwrap_or(0) as u16, 0, 1, 1, key);
            self.headings.push((x, room, letter));
        }
        let rows = usize::from(height.saturating_sub(1));
        self.page = rows;
        self.offset = window(self.position, self.offset, rows, self.lines.len());
        for (line, (position, entry)) in self.lines.iter().enumerate().skip(self.offset).take(rows).enumerate() {
            let y = line as u16 + 1;
            let mut row = canvas.part(0, y, width, 1);
            match entry {
                Line::Note(index, note) => note_line(&mut row, &reading.alerts[*index], *note),
                Line::Alert { index, child } => {
                    let alert = &reading.alerts[*index];
                    let state = severity_state(alert.severity).into();
                    let tone = match alert.state {
                        AlertState::Firing => state,
                        _ => Role::Dim,
                    };
                    let mut pen = row.pen(columns[0], 0);
                    match child {
                        Some(true) => {
                            pen.put("  └ ", Role::Faint);
                        }
                        Some(false) => {
                            pen.put("  ├ ", Role::Faint);
                        }
                        None => {}
                    }
                    pen.put(severity_glyph(alert.severity), tone).gap(1);
                    let left = pen.x();
                    let strong = row.style(if child.is_none() && alert.state == AlertState::Firing { Role::Strong } else { Role::Text });
                    row.text(left, 0, columns[1].saturating_sub(left + 1), &alert.name, strong);
                    let text = row.style(Role::Text);
                    row.text(columns[1], 0, names.saturating_sub(name_width + 2), &visible(subject(alert)), text);
                    row.right(columns[2], 0, since_width, &number::since(alert.state_since(), cx.now), text);
                    let dim = row.style(Role::Dim);
                    row.text(columns[3], 0, notified_width, &notified(alert, child.is_some()), dim);
                    let tone = row.style(tone);
                    row.text(columns[4], 0, state_width, word(alert), tone);
                    if position == self.position {
                        let style = row.style(Role::Selected);
                        row.patch(0, 0, width, 1, style);
                    }
                }
            }
        }
    }
}

/// What is said beneath a cause.
fn note_line(canvas: &mut Canvas<'_>, alert: &Alert, note: Note) {
    match note {
        Note::Summary => {
            let mut words: Vec<String> = Vec::new();
            if alert.unconfirmed {
                words.push(detail::UNCONFIRMED.to_owned());
            }
            let summary = alert.annotations.value("summary");
            if !summary.is_empty() {
                words.push(summary.to_owned());
            } else if let Some(value) = alert.value {
                words.push(detail::value_sentence(alert, value));
            }
            if let Some(evidence) = &alert.evidence {
                words.extend(evidence.surroundings.iter().take(2).cloned());
            }
            if let Some(by) = &alert.acknowledged_by {
                words.push(format!("acknowledged by {by}"));
            }
            canvas.pen(3, 0).put(&words.join(" · "), Role::Text);
        }
        Note::Evidence => {
            let Some(evidence) = &alert.evidence else { return };
            let mut pen = canvas.pen(3, 0);
            pen.put("evidence  ", Role::Dim);
            if !evidence.trace_ids.is_empty() {
                let plural = if evidence.trace_ids.len() == 1 { "" } else { "s" };
                pen.put(&format!("{} trace{plural}  ", evidence.trace_ids.len()), Role::Text);
            }
            pen.put(evidence.top_operation.as_deref().unwrap_or(""), Role::Text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::Filter;
    use crate::readings::Readings;
    use serde_json::json;
    use watchfire_model::Timestamp;

    /// Lines of alerts that are each explained by the one named beside them; children are indented.
    fn lines(causes: &[(&str, &str)]) -> Vec<String> {
        let alert = |(name, cause): &(&str, &str)| -> Alert {
            let cause = (!cause.is_empty()).then(|| json!({"alert": cause, "service": "", "reason": ""}));
            let alert = json!({
                "name": name, "state": "pending", "severity": "warning", "labels": {"service": name}, "annotations": {},
                "active_at": null, "cause": cause, "notified": false,
            });
            serde_json::from_value(alert).expect("an alert")
        };
        let reading = Reading { alerts: causes.iter().map(alert).collect(), ..Reading::default() };
        let (readings, filter, marks) = (Readings::default(), Filter::default(), Vec::new());
        let cx = Cx {
            readings: &readings,
            now: Timestamp::default(),
            at: None,
            zone: crate::zone::Zone::default(),
            filter: &filter,
            filter_stamp: 0,
            faults_only: false,
            marks: &marks,
        };
        let shown = |line: &Line| match line {
            Line::Alert { index, child } => format!("{}{}", if child.is_some() { " " } else { "" }, reading.alerts[*index].name),
            Line::Note(..) => unreachable!("nothing fires"),
        };
        arrange(&reading, &cx, false, None).iter().map(shown).collect()
    }

    #[test]
    fn what_is_explained_stands_beneath_the_end_of_its_chain() {
        assert_eq!(lines(&[("db", ""), ("web", "orders"), ("orders", "db"), ("mail", "")]), ["db", " web", " orders", "mail"]);
        assert_eq!(lines(&[("web", "gone")]), ["web"], "what explains it does not fire any more");
    }

    #[test]
    fn alerts_that_explain_each_other_are_all_shown_once() {
        for circle in [
            &[("a", "b"), ("b", "a")][..],
            &[("a", "b"), ("b", "c"), ("c", "a")],
            &[("a", "b"), ("b", "c"), ("c", "d"), ("d", "b"), ("e", "")],
        ] {
            let mut shown: Vec<String> = lines(circle).iter().map(|l| l.trim().to_owned()).collect();
            shown.sort();
            assert_eq!(shown, circle.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>());
        }
    }
}
