//! Which attributes two traces differ in, operation by operation.

use crate::canvas::{Canvas, display_width};
use crate::look::Role;
use std::collections::{BTreeMap, BTreeSet};
use watchfire_model::reading::Trace;

/// Attributes of one trace that are looked at, and values of one that are told apart.
const MOST: usize = 20_000;
const VALUES: usize = 4;

/// Where an attribute was set: service and operation; no operation for what the process itself says.
type Spot = (String, String);

/// What the spans of a trace say, by place and attribute.
#[derive(Default)]
pub(super) struct Said {
    values: BTreeMap<Spot, BTreeMap<String, BTreeSet<String>>>,
    count: usize,
}

impl Said {
    pub(super) fn by(trace: &Trace) -> Said {
        let mut said = Said::default();
        for span in &trace.spans {
            let spots = [(span.name.as_str(), &span.attributes), ("", &*span.resource)];
            for (operation, attributes) in spots {
                let spot = said.values.entry((span.service.clone(), operation.to_owned())).or_default();
                for (name, value) in attributes {
                    if said.count >= MOST {
                        return said;
                    }
                    let values = spot.entry(name.clone()).or_default();
                    if values.len() < VALUES {
                        said.count += usize::from(values.insert(value.to_string()));
                    }
                }
            }
        }
        said
    }
}

/// One attribute that differs in the same way in one or several places.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Difference {
    attribute: String,
    /// Its values in A and B; empty where it is not set.
    values: [String; 2],
    places: Vec<String>,
}

/// What differs wherever both traces came by, most telling first: what differs in the same way in several places, and what is no id.
pub(super) fn between(a: &Said, b: &Said) -> Vec<Difference> {
    let mut found: BTreeMap<(&str, [String; 2]), Vec<String>> = BTreeMap::new();
    for (spot, left) in &a.values {
        let Some(right) = b.values.get(spot) else { continue };
        let names: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
        for name in names {
            let values = [left, right].map(|side| side.get(name).map_or_else(String::new, written));
            if values[0] != values[1] {
                let (service, operation) = spot;
                let place = if operation.is_empty() { service.clone() } else { format!("{service} {operation}") };
                found.entry((name, values)).or_default().push(place);
            }
        }
    }
    let mut out: Vec<Difference> =
        found.into_iter().map(|((attribute, values), places)| Difference { attribute: attribute.to_owned(), values, places }).collect();
    out.sort_by_key(|d| (is_one_of_a_kind(&d.attribute), std::cmp::Reverse(d.places.len())));
    out
}

fn written(values: &BTreeSet<String>) -> String {
    let more = if values.len() >= VALUES { ", …" } else { "" };
    let shown: Vec<&str> = values.iter().take(VALUES - 1).map(String::as_str).collect();
    format!("{}{more}", shown.join(", "))
}

/// Whether an attribute differs between any two requests, which says nothing about these two.
fn is_one_of_a_kind(attribute: &str) -> bool {
    let last = attribute.rsplit(['.', '_', '-']).next().unwrap_or_default();
    let varies = ["id", "uuid", "guid", "token", "port", "timestamp", "offset"].contains(&last) || attribute.starts_with("thread.");
    varies && attribute != "service.instance.id"
}

/// As many as the height holds, beneath a heading.
pub(super) fn draw(differences: &[Difference], canvas: &mut Canvas<'_>) {
    let (width, rows) = (canvas.width(), usize::from(canvas.height().saturating_sub(1)));
    let heading = canvas.style(Role::Heading);
    let kept = if differences.len() > rows { rows.saturating_sub(1) } else { rows };
    let shown = |value: &str| if value.is_empty() { "not set".to_owned() } else { value.chars().take(30).collect::<String>() };
    let change = |d: &Difference| display_width(&shown(&d.values[0])) + display_width(&shown(&d.values[1])) + 3;
    let longest = |length: &dyn Fn(&Difference) -> usize| differences.iter().take(kept).map(length).max().unwrap_or(0) as u16;
    let names = longest(&|d| display_width(&d.attribute)).max(22).min(width * 2 / 5);
    let places = names + 3 + longest(&change).max(5).min(width / 3) + 2;
    canvas.text(1, 0, names, "ATTRIBUTE THAT DIFFERS", heading);
    canvas.text(names + 3, 0, 5, "A → B", heading);
    canvas.text(places, 0, 5, "WHERE", heading);
    for (y, difference) in differences.iter().take(kept).enumerate() {
        let y = y as u16 + 1;
        let text = canvas.style(Role::Text);
        canvas.name(1, y, names, &difference.attribute, text);
        let [a, b] = &difference.values;
        let more = match difference.places.len() {
            1 => String::new(),
            n => format!(" and {} more", n - 1),
        };
        let mut values = canvas.part(names + 3, y, places.saturating_sub(names + 5), 1);
        values.pen(0, 0).put(&shown(a), Role::Text).put(" → ", Role::Dim).put(&shown(b), Role::Accent);
        canvas.pen(places, y).put(&difference.places[0], Role::Dim).put(&more, Role::Dim);
    }
    if kept < differences.len() {
        let more = format!("{} more in a larger window", differences.len() - kept);
        canvas.pen(1, kept as u16 + 1).put(&more, Role::Faint);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_in_many_places_comes_first_and_ids_come_last() {
        let trace = |version: &str, status: i64, request: &str, retried: bool| -> Trace {
            let span = |service: &str, name: &str, attributes: serde_json::Value| {
                serde_json::json!({
                    "service": service, "name": name, "attributes": attributes, "resource": {"service.version": version, "host.name": "h1"},
                })
            };
            let mut call = serde_json::json!({"http.response.status_code": status, "request.id": request, "peer": "db"});
            if retried {
                call["retry"] = serde_json::json!(true);
            }
            let spans = [span("web", "GET /", serde_json::json!({"http.route": "/"})), span("shop", "buy", call)];
            serde_json::from_value(serde_json::json!({"trace_id": "x", "spans": spans})).expect("a trace")
        };
        let [a, b] = [trace("1.4", 200, "r1", false), trace("1.5", 503, "r2", true)].map(|t| Said::by(&t));
        let shown: Vec<String> =
            between(&a, &b).iter().map(|d| format!("{} {} > {} @ {}", d.attribute, d.values[0], d.values[1], d.places.join("+"))).collect();
        assert_eq!(
            shown,
            [
                "service.version 1.4 > 1.5 @ shop+web",
                "http.response.status_code 200 > 503 @ shop buy",
                "retry  > true @ shop buy",
                "request.id r1 > r2 @ shop buy",
            ]
        );
        assert_eq!(between(&a, &a), []);
    }
}
