//! What the selected spans have in common against the others of the same time.

use crate::canvas::{Canvas, wrap};
use crate::look::Role;
use crate::number;
use crate::zone::Zone;
use watchfire_model::Timestamp;
use watchfire_model::reading::{ExplainQuery, Explanation, Finding};

/// Which spans are selected: `slower than 178ms, 01:22:12 to 01:37:07`.
pub(super) fn in_words(question: &ExplainQuery, zone: Zone, now: Timestamp) -> String {
    let ms = |v: f64| number::latency(v / 1000.0);
    let took = match (question.min_duration_ms, question.max_duration_ms) {
        (Some(low), Some(high)) => format!("{} to {}", ms(low), ms(high)),
        (Some(low), None) => format!("slower than {}", ms(low)),
        (None, Some(high)) => format!("faster than {}", ms(high)),
        (None, None) => "of any duration".to_owned(),
    };
    let failing = if question.errors_only { "failing, " } else { "" };
    format!("{failing}{took}, {} to {}", zone.moment(question.start, now), zone.clock(question.end))
}

/// Where nothing was selected, nothing can have been found out.
const NONE_SELECTED: &str = "no span lies there: go back, then move the cursor to a filled cell, or select a larger region";

/// Lines above the findings.
const HEAD: u16 = 3;
/// Findings that examples leave room for.
const FEWEST: u16 = 3;

/// What the selected spans have more often than the others, most telling first.
pub(super) fn findings(explanation: &Explanation, of: &str, scroll: &mut usize, canvas: &mut Canvas<'_>) {
    let (width, height) = (canvas.width(), canvas.height());
    canvas.pen(1, 1).put(of, Role::Dim);
    canvas
        .pen(1, 0)
        .put(&number::count(explanation.selected as f64), Role::Strong)
        .put(" selected spans against ", Role::Text)
        .put(&number::count(explanation.others as f64), Role::Strong)
        .put(" others of the same time", Role::Text);
    let heading = canvas.style(Role::Heading);
    let names = width.saturating_sub(44).clamp(20, 60);
    canvas.text(1, 2, names, "OVER-REPRESENTED", heading);
    canvas.right(names + 2, 2, 8, "SELECTED", heading);
    canvas.right(names + 12, 2, 7, "OTHERS", heading);
    // What was found comes before where to see it.
    let examples = (explanation.example_traces.len().min(3) as u16).min(height.saturating_sub(HEAD + FEWEST + 1));
    let rows = usize::from(height.saturating_sub(HEAD + examples + u16::from(examples > 0)));
    let findings = together(&explanation.findings);
    *scroll = (*scroll).min(findings.len().saturating_sub(rows));
    let bar = width.saturating_sub(names + 22);
    for (y, (finding, follows)) in findings.into_iter().skip(*scroll).take(rows).enumerate() {
        let y = y as u16 + 3;
        let strong = finding.score >= 0.5;
        let (role, tone) = if strong { (Role::Strong, Role::Unhealthy) } else { (Role::Text, Role::Dim) };
        let (style, dim) = (canvas.style(role), canvas.style(Role::Dim));
        if follows {
            canvas.text(1, y, names, &format!("  with {} {} {}", finding.attribute, finding.sign.text(), finding.value), dim);
            continue;
        }
        canvas.text(1, y, names, &format!("{} {} {}", finding.attribute, finding.sign.text(), finding.value), style);
        canvas.right(names + 2, y, 8, &number::percent_sign(Some(finding.share_selected)), style);
        canvas.right(names + 12, y, 7, &number::percent_sign(Some(finding.share_others)), dim);
        crate::chart::meter(canvas, names + 21, y, bar.min(40), finding.share_selected, tone);
    }
    match (explanation.selected, explanation.findings.is_empty()) {
        (0, _) => {
            for (y, line) in wrap(NONE_SELECTED, width.saturating_sub(2), 3).iter().enumerate() {
                canvas.pen(1, 3 + y as u16).put(line, Role::Dim);
            }
        }
        (_, true) => {
            canvas.pen(1, 3).put("nothing sets the selected spans apart", Role::Dim);
        }
        _ => {}
    }
    for (i, id) in explanation.example_traces.iter().take(usize::from(examples)).enumerate() {
        let y = height.saturating_sub(examples) + i as u16;
        canvas.pen(1, y).put("example  ", Role::Dim).put(id, Role::Accent);
    }
}

/// Findings that as many spans have, selected and others, beneath the first of them: a host, its instance and its service are one finding with
/// three names. Whether each only follows.
fn together(findings: &[Finding]) -> Vec<(&Finding, bool)> {
    let mut out: Vec<(&Finding, bool)> = Vec::with_capacity(findings.len());
    for finding in findings {
        let same = |f: &Finding| f.share_selected == finding.share_selected && f.share_others == finding.share_others;
        match out.iter().rposition(|(f, _)| same(f)) {
            Some(last) => out.insert(last + 1, (finding, true)),
            None => out.push((finding, false)),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_always_comes_together_is_one_finding() {
        let finding = |attribute: &str, selected: f64, others: f64| Finding {
            attribute: attribute.to_owned(),
            share_selected: selected,
            share_others: others,
            ..Finding::default()
        };
        let findings =
            [finding("host", 0.3, 0.02), finding("method", 0.3, 0.1), finding("service", 0.3, 0.02), finding("instance", 0.3, 0.02)];
        let shown: Vec<(&str, bool)> = together(&findings).iter().map(|(f, follows)| (f.attribute.as_str(), *follows)).collect();
        assert_eq!(shown, [("host", false), ("service", true), ("instance", true), ("method", false)]);
    }
}
