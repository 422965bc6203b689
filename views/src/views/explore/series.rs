//! What a series is called, what tells it from the others, and its newest value.

use crate::filter::{Field, Fields};
use crate::number;
use std::borrow::Cow;
use watchfire_model::reading::QuerySeries;
use watchfire_model::{Labels, Timestamp};

impl Fields for QuerySeries {
    fn field(&self, name: &str) -> Option<Field<'_>> {
        match name {
            "value" => Some(Field::Number(newest(self))),
            name => self.labels.get(name.strip_prefix("label.").unwrap_or(name)).map(Field::text),
        }
    }

    fn words(&self) -> Vec<Cow<'_, str>> {
        self.labels.iter().flat_map(|l| [Cow::Borrowed(&*l.name), Cow::Borrowed(&*l.value)]).collect()
    }
}

pub(super) fn newest(series: &QuerySeries) -> Option<f64> {
    series.points.iter().rev().find_map(|(_, v)| *v)
}

/// The value at the end of what was asked for, where there is one then.
pub(super) fn current(series: &QuerySeries, end: Timestamp) -> Option<String> {
    let (at, value) = series.points.last()?;
    if *at < end { None } else { series.last.clone().or_else(|| value.map(number::significant)) }
}

pub(super) fn is_histogram(series: &QuerySeries) -> bool {
    series.last.as_deref().is_some_and(|last| last.starts_with("count "))
}

pub(super) fn title(series: &QuerySeries) -> String {
    name_of(&series.labels, &Labels::default())
}

/// Labels that all of the series share; they tell none of them apart.
pub(super) fn shared(series: &[&QuerySeries]) -> Labels {
    let [first, others @ ..] = series else { return Labels::default() };
    if others.is_empty() {
        return Labels::default();
    }
    let by_all = |name: &str, value: &str| others.iter().all(|s| s.labels.get(name) == Some(value));
    Labels::from_pairs(first.labels.iter().filter(|l| by_all(&l.name, &l.value)).map(|l| (&*l.name, &*l.value)))
}

/// The label that alone tells the series apart, beside those that they share: it stands above them, and its values have the room.
pub(super) fn the_only_label<'a>(series: &[&'a QuerySeries], shared: &Labels) -> Option<&'a str> {
    let own = |s: &'a QuerySeries| {
        let mut own = s.labels.iter().filter(|l| shared.get(&l.name).is_none());
        own.next().filter(|_| own.next().is_none()).map(|l| &*l.name)
    };
    let first = own(series.first()?)?;
    (first != "__name__" && series.len() > 1 && series.iter().all(|s| own(s) == Some(first))).then_some(first)
}

/// A series by its metric and labels, without those that go without saying.
pub(super) fn name_of(labels: &Labels, without: &Labels) -> String {
    let labels: Labels = Labels::from_pairs(labels.iter().filter(|l| without.get(&l.name).is_none()).map(|l| (&*l.name, &*l.value)));
    let pairs: Vec<String> = labels.iter().filter(|l| &*l.name != "__name__").map(|l| format!("{}={}", l.name, l.value)).collect();
    match (labels.metric_name(), pairs.is_empty()) {
        ("", true) => "value".to_owned(),
        (name, true) => name.to_owned(),
        ("", false) => pairs.join("  "),
        (name, false) => format!("{name}  {}", pairs.join("  ")),
    }
}
