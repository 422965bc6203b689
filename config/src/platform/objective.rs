//! Service-level objectives: the rows of a document's tables, with the query that fills their column "Current".

use crate::duration_text;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// On which side of the target the measured value must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Comparison {
    Below,
    AtMost,
    Above,
    AtLeast,
}

impl Comparison {
    pub fn holds(self, current: f64, target: f64) -> bool {
        match self {
            Comparison::Below => current < target,
            Comparison::AtMost => current <= target,
            Comparison::Above => current > target,
            Comparison::AtLeast => current >= target,
        }
    }

    pub fn sign(self) -> &'static str {
        match self {
            Comparison::Below => "<",
            Comparison::AtMost => "<=",
            Comparison::Above => ">",
            Comparison::AtLeast => ">=",
        }
    }
}

/// One row of the SLO board.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Objective {
    /// `CO-01`.
    pub id: String,
    /// Heading of the document's table.
    pub group: String,
    pub name: String,
    /// The target in the document's words: `< 10 ms (p95)`. Empty for figures that are shown without a target.
    #[serde(default)]
    pub target: String,
    #[serde(default)]
    pub comparison: Option<Comparison>,
    /// In the unit of `expression`'s result.
    #[serde(default)]
    pub value: Option<f64>,
    /// `seconds`, `ratio`, `per_second`, `bytes`, `count`.
    pub unit: String,
    /// PromQL; its one value (or the worst of several) is Current.
    pub expression: String,
    #[serde(default)]
    pub impact: String,
    /// Bad and all events per second over `$window`, for burn rates: PromQL with the placeholder `$window`. Both or neither.
    #[serde(default)]
    pub bad: String,
    #[serde(default)]
    pub total: String,
    /// Share of good events that the budget is computed from, 0 to 1; needed with `bad` and `total`.
    #[serde(default)]
    pub objective: Option<f64>,
    #[serde(default = "thirty_days", with = "duration_text")]
    pub window: Duration,
    #[serde(default)]
    pub assumed: bool,
}

fn thirty_days() -> Duration {
    Duration::from_secs(30 * 86_400)
}

impl Objective {
    /// Whether `current` meets the target; `None` where there is no target.
    pub fn met(&self, current: f64) -> Option<bool> {
        Some(self.comparison?.holds(current, self.value?))
    }

    /// The measured value in the unit a reader expects: `87.4 ms`, `99.95 %`, `3.1 GB`.
    pub fn display(&self, value: f64) -> String {
        let scaled = |steps: &[(f64, f64, &str)]| {
            let (_, divisor, suffix) = steps.iter().copied().find(|(from, ..)| value.abs() >= *from).unwrap_or(steps[steps.len() - 1]);
            format!("{} {suffix}", significant(value / divisor))
        };
        match self.unit.as_str() {
            "seconds" => scaled(&[(86_400.0, 86_400.0, "d"), (120.0, 60.0, "min"), (1.0, 1.0, "s"), (0.0, 1e-3, "ms")]),
            "ratio" => {
                let percent = value * 100.0;
                let digits = if percent > 99.0 && percent < 100.0 { 3 } else { 2 };
                format!("{} %", trimmed(format!("{percent:.digits$}")))
            }
            "per_second" => format!("{}/s", significant(value)),
            "bytes" => scaled(&[(1e9, 1e9, "GB"), (1e6, 1e6, "MB"), (1e3, 1e3, "kB"), (0.0, 1.0, "B")]),
            _ => significant(value),
        }
    }
}

/// Three significant digits below a thousand, whole numbers above.
fn significant(value: f64) -> String {
    let digits = match value.abs() {
        v if v >= 100.0 || v == 0.0 => 0,
        v if v >= 10.0 => 1,
        _ => 2,
    };
    trimmed(format!("{value:.digits$}"))
}

fn trimmed(text: String) -> String {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn current_is_written_as_people_write_it() {
        let row = |unit: &str| Objective {
            id: String::new(),
            group: String::new(),
            name: String::new(),
            target: String::new(),
            comparison: Some(Comparison::Below),
            value: Some(0.2),
            unit: unit.to_owned(),
            expression: String::new(),
            impact: String::new(),
            bad: String::new(),
            total: String::new(),
            objective: None,
            window: thirty_days(),
            assumed: false,
        };
        for (unit, value, shown) in [
            ("seconds", 0.0874, "87.4 ms"),
            ("seconds", 2.5, "2.5 s"),
            ("seconds", 900.0, "15 min"),
            ("ratio", 0.99951, "99.951 %"),
            ("ratio", 1.0, "100 %"),
            ("bytes", 3.1e9, "3.1 GB"),
            ("per_second", 51_234.4, "51234/s"),
            ("count", 7.0, "7"),
        ] {
            assert_eq!(row(unit).display(value), shown);
        }
        assert_eq!(row("seconds").met(0.1), Some(true));
        assert_eq!(row("seconds").met(0.2), Some(false));
    }
}
