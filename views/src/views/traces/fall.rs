//! The shape of a trace: tree, critical path, self times. Computed once per reading; survives missing parents and cycles.

use std::collections::HashMap;
use watchfire_model::reading::{Span, Trace};

/// One span in the order of the waterfall.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    /// Index into the trace's spans.
    pub(super) span: usize,
    /// Row of the parent.
    pub(super) parent: Option<usize>,
    pub(super) depth: usize,
    /// The last child of its parent.
    pub(super) last: bool,
    /// Rows below that belong to it.
    pub(super) descendants: usize,
    pub(super) self_seconds: f64,
    pub(super) critical: bool,
    /// Starts before its parent, or after the parent ended: clocks differ.
    pub(super) skewed: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Fall {
    pub(super) rows: Vec<Row>,
    pub(super) start: f64,
    pub(super) end: f64,
    pub(super) errors: usize,
    pub(super) skewed: usize,
    /// The row where most of the critical path is spent itself, and its share of the whole trace.
    pub(super) bottleneck: Option<(usize, f64)>,
}

fn end(span: &Span) -> f64 {
    span.start + span.duration_seconds.max(0.0)
}

impl Fall {
    pub(super) fn of(trace: &Trace) -> Fall {
        let spans = &trace.spans;
        if spans.is_empty() {
            return Fall::default();
        }
        let by_id: HashMap<&str, usize> = spans.iter().enumerate().map(|(i, s)| (s.span_id.as_str(), i)).collect();
        let parent_of = |i: usize| by_id.get(spans[i].parent_id.as_str()).copied().filter(|p| *p != i && !spans[i].parent_id.is_empty());
        let mut children: Vec<Vec<usize>> = vec![Vec::new(); spans.len()];
        let mut roots: Vec<usize> = Vec::new();
        for i in 0..spans.len() {
            match parent_of(i) {
                Some(p) => children[p].push(i),
                None => roots.push(i),
            }
        }
        let by_start = |a: &usize, b: &usize| spans[*a].start.total_cmp(&spans[*b].start).then(a.cmp(b));
        children.iter_mut().for_each(|c| c.sort_by(by_start));
        roots.sort_by(by_start);
        let mut fall = Fall {
            rows: Vec::with_capacity(spans.len()),
            start: spans.iter().map(|s| s.start).fold(f64::INFINITY, f64::min),
            end: spans.iter().map(end).fold(f64::NEG_INFINITY, f64::max),
            errors: spans.iter().filter(|s| s.status == "error").count(),
            ..Fall::default()
        };
        let mut seen = vec![false; spans.len()];
        for root in &roots {
            fall.walk(*root, spans, &children, &mut seen);
        }
        // What stands in a cycle has no root; its earliest span becomes one.
        let mut left: Vec<usize> = (0..spans.len()).filter(|i| !seen[*i]).collect();
        left.sort_by(by_start);
        for i in left {
            if !seen[i] {
                fall.walk(i, spans, &children, &mut seen);
            }
        }
        fall.skewed = fall.rows.iter().filter(|r| r.skewed).count();
        fall.mark_critical(spans);
        fall
    }

    fn walk(&mut self, root: usize, spans: &[Span], children: &[Vec<usize>], seen: &mut [bool]) {
        let mut stack = vec![(root, None, 0, true)];
        while let Some((i, parent, depth, last)) = stack.pop() {
            if std::mem::replace(&mut seen[i], true) {
                continue;
            }
            let row = self.rows.len();
            let span = &spans[i];
            let skewed = parent.is_some_and(|p: usize| {
                let above = &spans[self.rows[p].span];
                let asynchronous = matches!(span.kind.as_str(), "consumer" | "producer");
                span.start + 0.000_5 < above.start || (!asynchronous && span.start > end(above) + 0.000_5)
            });
            self.rows.push(Row {
                span: i,
                parent,
                depth,
                last,
                descendants: 0,
                self_seconds: self_time(span, &children[i], spans),
                critical: false,
                skewed,
            });
            let count = children[i].len();
            for (n, child) in children[i].iter().enumerate().rev() {
                stack.push((*child, Some(row), depth + 1, n + 1 == count));
            }
        }
        for row in (0..self.rows.len()).rev() {
            if let Some(parent) = self.rows[row].parent {
                self.rows[parent].descendants = self.rows[parent].descendants.max(self.rows[row].descendants + row - parent);
            }
        }
    }

    /// Walks back from the end of the longest root: at each moment the span that finished last is what was waited for.
    fn mark_critical(&mut self, spans: &[Span]) {
        let roots = (0..self.rows.len()).filter(|r| self.rows[*r].parent.is_none());
        let length = |r: &usize| spans[self.rows[*r].span].duration_seconds;
        let Some(root) = roots.max_by(|a, b| length(a).total_cmp(&length(b))) else { return };
        let mut below: Vec<Vec<usize>> = vec![Vec::new(); self.rows.len()];
        for (r, row) in self.rows.iter().enumerate() {
            if let Some(parent) = row.parent {
                below[parent].push(r);
            }
        }
        let mut stack = vec![root];
        while let Some(row) = stack.pop() {
            self.rows[row].critical = true;
            let mut moment = end(&spans[self.rows[row].span]);
            let mut candidates = std::mem::take(&mut below[row]);
            candidates.sort_by(|a, b| end(&spans[self.rows[*b].span]).total_cmp(&end(&spans[self.rows[*a].span])));
            for child in candidates {
                let span = &spans[self.rows[child].span];
                if end(span) <= moment + 1e-9 && span.start < moment {
                    stack.push(child);
                    moment = span.start;
                }
            }
        }
        let whole = (self.end - self.start).max(1e-9);
        self.bottleneck = (0..self.rows.len())
            .filter(|r| self.rows[*r].critical)
            .max_by(|a, b| self.rows[*a].self_seconds.total_cmp(&self.rows[*b].self_seconds))
            .map(|r| (r, (self.rows[r].self_seconds / whole).min(1.0)));
    }
}

/// Time in which no child runs.
fn self_time(span: &Span, children: &[usize], spans: &[Span]) -> f64 {
    let (from, to) = (span.start, end(span));
    let mut covered = 0.0;
    let mut reached = from;
    for child in children {
        let (start, stop) = (spans[*child].start.max(reached), end(&spans[*child]).min(to));
        if stop > start {
            covered += stop - start;
            reached = stop;
        }
    }
    (span.duration_seconds - covered).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(id: &str, parent: &str, start: f64, seconds: f64) -> Span {
        Span { span_id: id.into(), parent_id: parent.into(), start, duration_seconds: seconds, ..Span::default() }
    }

    fn fall(spans: Vec<Span>) -> Fall {
        Fall::of(&Trace { spans, ..Trace::default() })
    }

    #[test]
    fn the_tree_is_in_order_and_times_are_split() {
        let f = fall(vec![span("a", "", 0.0, 10.0), span("c", "a", 5.0, 4.0), span("b", "a", 1.0, 3.0), span("d", "c", 6.0, 3.0)]);
        let order: Vec<(usize, usize, usize)> = f.rows.iter().map(|r| (r.span, r.depth, r.descendants)).collect();
        assert_eq!(order, [(0, 0, 3), (2, 1, 0), (1, 1, 1), (3, 2, 0)]);
        assert_eq!(f.rows[0].self_seconds, 3.0);
        assert_eq!(f.rows[2].self_seconds, 1.0);
        assert!(f.rows.iter().all(|r| r.critical));
    }

    #[test]
    fn what_runs_beside_the_slow_child_is_not_critical() {
        let f = fall(vec![span("a", "", 0.0, 10.0), span("slow", "a", 1.0, 9.0), span("fast", "a", 1.0, 2.0)]);
        let critical: Vec<bool> = f.rows.iter().map(|r| r.critical).collect();
        assert_eq!(critical, [true, true, false]);
        assert_eq!(f.bottleneck.map(|(r, _)| f.rows[r].span), Some(1));
    }

    #[test]
    fn orphans_cycles_and_oneself_as_parent_are_salvaged() {
        let f = fall(vec![span("a", "gone", 0.0, 1.0), span("b", "c", 2.0, 1.0), span("c", "b", 3.0, 1.0), span("d", "d", 4.0, 1.0)]);
        assert_eq!(f.rows.len(), 4);
        assert_eq!(f.rows.iter().filter(|r| r.parent.is_none()).count(), 3);
    }

    #[test]
    fn a_child_before_its_parent_means_skewed_clocks() {
        assert_eq!(fall(vec![span("a", "", 1.0, 1.0), span("b", "a", 0.5, 0.2)]).skewed, 1);
    }

    #[test]
    fn a_chain_of_fifty_thousand_spans_does_not_overflow() {
        let spans = (0..50_000).map(|i| span(&i.to_string(), &(i as i64 - 1).to_string(), f64::from(i), 60_000.0 - f64::from(i))).collect();
        assert_eq!(fall(spans).rows.len(), 50_000);
    }
}
