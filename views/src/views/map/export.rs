//! The map as a file: Mermaid, Graphviz DOT, SVG, text.

use super::shown::Shown;
use crate::canvas::safe;
use crate::look::{is_tripped, state_glyph};
use crate::number;
use crate::svg::escape;
use std::fmt::Write;
use watchfire_model::HealthState;
use watchfire_model::reading::{Edge, NodeKind};

pub(super) fn export(shown: &Shown, format: &str) -> Result<(String, String), String> {
    let (name, text) = match format {
        "mermaid" | "mmd" => ("map.mmd", mermaid(shown)),
        "dot" => ("map.dot", dot(shown)),
        "svg" => ("map.svg", svg(shown)),
        "text" | "txt" => ("map.txt", text(shown)),
        other => return Err(format!("cannot write a map as {other}; there are mermaid, dot, svg, text")),
    };
    Ok((name.to_owned(), text))
}

fn name(text: &str) -> String {
    safe(text, 120).into_owned()
}

pub(super) fn figures(edge: &Edge) -> String {
    if !edge.observed {
        return "no traffic".to_owned();
    }
    let mut words: Vec<String> = Vec::new();
    if edge.rate.is_some() {
        words.push(number::rate(edge.rate));
    }
    if edge.error_ratio.is_some_and(|e| e >= 0.0005) {
        words.push(number::percent_sign(edge.error_ratio));
    }
    if edge.p95_seconds.is_some() {
        words.push(number::percentile(edge.p95_seconds, edge.sample_count, edge.sampling_ratio));
    }
    words.join(" ")
}

/// The breaker on an edge where it is not closed.
pub(super) fn breaker(edge: &Edge) -> String {
    match edge.breaker.as_deref() {
        Some(state) if is_tripped(state) => format!(" breaker {}{}", name(state), if edge.breaker_inferred { "?" } else { "" }),
        _ => String::new(),
    }
}

fn mermaid(shown: &Shown) -> String {
    // Quotes end a label, and `#` begins an entity, as `&` does for what draws it.
    let label =
        |text: &str| name(text).replace('#', "#35;").replace('&', "#amp;").replace('"', "#quot;").replace('<', "#lt;").replace('>', "#gt;");
    let mut out = String::from("flowchart LR\n");
    for (i, node) in shown.nodes.iter().enumerate() {
        let (open, close) = match node.kind {
            NodeKind::Service => ("[", "]"),
            NodeKind::Database | NodeKind::Cache => ("[(", ")]"),
            NodeKind::Queue => ("[[", "]]"),
            NodeKind::External => ("([", "])"),
        };
        let _ = writeln!(out, "  n{i}{open}\"{} {}\"{close}:::{}", state_glyph(node.state), label(&node.name), node.state.word());
    }
    for (edge, (a, b)) in shown.edges.iter().zip(&shown.pairs) {
        let line = if edge.observed && edge.declared { "-->" } else { "-.->" };
        let text = format!("{}{}", label(&figures(edge)), breaker(edge));
        // Mermaid takes no label without text.
        let text = if text.is_empty() { text } else { format!("|\"{}\"|", text.trim_start()) };
        let _ = writeln!(out, "  n{a} {line}{text} n{b}");
    }
    for (state, colour) in COLOURS {
        let _ = writeln!(out, "  classDef {} stroke:{colour}", state.word());
    }
    out
}

const COLOURS: [(HealthState, &str); 4] = [
    (HealthState::Healthy, "#2da44e"),
    (HealthState::Degraded, "#bf8700"),
    (HealthState::Unhealthy, "#cf222e"),
    (HealthState::Unknown, "#8250df"),
];

fn colour(state: HealthState) -> &'static str {
    COLOURS.iter().find(|(s, _)| *s == state).map_or("#57606a", |(_, c)| c)
}

fn dot(shown: &Shown) -> String {
    // Graphviz reads entities in every string.
    let quoted = |text: &str| format!("\"{}\"", name(text).replace('\\', "\\\\").replace('"', "\\\"").replace('&', "&amp;"));
    let mut out = String::from("digraph watchfire {\n  rankdir=LR;\n  node [shape=box, style=rounded];\n");
    for node in &shown.nodes {
        let shape = match node.kind {
            NodeKind::Service => "box",
            NodeKind::Database | NodeKind::Cache => "cylinder",
            NodeKind::Queue => "cds",
            NodeKind::External => "ellipse",
        };
        let _ = writeln!(out, "  {} [shape={shape}, color=\"{}\"];", quoted(&node.name), colour(node.state));
    }
    for edge in &shown.edges {
        let style = if edge.observed && edge.declared { "solid" } else { "dashed" };
        let label = format!("{}{}", figures(edge), breaker(edge));
        let _ = writeln!(out, "  {} -> {} [label={}, style={style}];", quoted(&edge.client), quoted(&edge.server), quoted(&label));
    }
    out.push_str("}\n");
    out
}

fn svg(shown: &Shown) -> String {
    const X: f64 = 8.0;
    const Y: f64 = 18.0;
    let sizes: Vec<(u16, u16)> = shown.nodes.iter().map(|n| (crate::canvas::display_width(&n.name).min(60) as u16 + 5, 2)).collect();
    let layout = crate::layout::layered(&crate::layout::Graph {
        sizes: &sizes,
        edges: &shown.pairs,
        labels: &vec![20; shown.pairs.len()],
        labels_at_source: false,
        gap: 1,
    });
    let (width, height) = (f64::from(layout.width) * X + 40.0, f64::from(layout.height) * Y + 40.0);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    let point = |(x, y): (i32, i32)| (f64::from(x) * X + 20.0, f64::from(y) * Y + 20.0);
    for (edge, route) in shown.edges.iter().zip(&layout.routes) {
        let stroke = match edge.error_ratio {
            Some(e) if e >= 0.05 => "#cf222e",
            Some(e) if e >= 0.01 => "#bf8700",
            _ => "#8c959f",
        };
        let dash = if edge.observed && edge.declared { "" } else { " stroke-dasharray=\"4 3\"" };
        for (from, to) in &route.pieces {
            let ((x1, y1), (x2, y2)) = (point(*from), point(*to));
            let _ = writeln!(out, "<line x1=\"{x1:.0}\" y1=\"{y1:.0}\" x2=\"{x2:.0}\" y2=\"{y2:.0}\" stroke=\"{stroke}\"{dash}/>");
        }
        if let Some((x, y)) = route.label.map(point) {
            let text = escape(&format!("{}{}", figures(edge), breaker(edge)));
            let _ = writeln!(out, "<text x=\"{x:.0}\" y=\"{:.0}\" fill=\"{stroke}\">{text}</text>", y - 4.0);
        }
    }
    for (node, (place, size)) in shown.nodes.iter().zip(layout.places.iter().zip(&sizes)) {
        let (x, y) = point(*place);
        let (w, stroke) = (f64::from(size.0) * X - 8.0, colour(node.state));
        let _ = writeln!(
            out,
            "<rect x=\"{x:.0}\" y=\"{:.0}\" width=\"{w:.0}\" height=\"26\" rx=\"5\" fill=\"#f6f8fa\" stroke=\"{stroke}\"/>\
             <text x=\"{:.0}\" y=\"{:.0}\">{} {}</text>",
            y + 4.0,
            x + 8.0,
            y + 21.0,
            state_glyph(node.state),
            escape(&name(&node.name))
        );
    }
    out.push_str("</svg>\n");
    out
}

fn text(shown: &Shown) -> String {
    let mut out = String::new();
    for (i, node) in shown.nodes.iter().enumerate() {
        let _ = writeln!(out, "{} {} {}", state_glyph(node.state), name(&node.name), node.state.word());
        for edge in &shown.out[i] {
            let edge = &shown.edges[*edge];
            let mark = match (edge.observed, edge.declared) {
                (false, _) => " (declared only)",
                (_, false) => " (not declared)",
                _ => "",
            };
            let _ = writeln!(out, "  -> {} {}{}{mark}", name(&edge.server), figures(edge), breaker(edge));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::shown::Cut;
    use super::*;
    use watchfire_model::reading::{Map, Node};

    #[test]
    fn names_cannot_leave_their_quotes() {
        let node = |name: &str| Node { name: name.into(), ..Node::default() };
        let map = Map {
            nodes: vec![node("a\"];evil"), node("<script>&\u{1b}")],
            edges: vec![Edge { client: "a\"];evil".into(), server: "<script>&\u{1b}".into(), observed: true, ..Edge::default() }],
        };
        let shown = Shown::of(&map, &Cut::default());
        assert!(mermaid(&shown).contains("a#quot;];evil"));
        assert!(mermaid(&shown).contains("\n  n1 --> n0\n"), "{}", mermaid(&shown));
        assert!(dot(&shown).contains("\"a\\\"];evil\""));
        assert!(svg(&shown).contains("&lt;script&gt;&amp;␛"));
        assert!(text(&shown).contains("-> <script>&␛"));
    }
}
