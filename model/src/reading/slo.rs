//! The SLO board.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Slo {
    pub objectives: Vec<Objective>,
}

/// One row of an SLO board.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Objective {
    pub id: String,
    pub name: String,
    /// As the document states it: `< 100 ms (p95)`.
    pub target: String,
    /// The measured value in the unit of the target, as text; `None` while unknown.
    pub current: Option<String>,
    pub current_value: Option<f64>,
    pub target_value: Option<f64>,
    pub met: Option<bool>,
    pub impact: String,
    /// Error budget burned relative to even use: 1 uses the budget up exactly at the end of the window.
    pub burn_rate: Option<f64>,
    /// Burn rates over 5 m, 30 m, 1 h, 2 h, 6 h, 1 d, 3 d (as far as data reaches).
    pub burn_rates: Vec<(String, Option<f64>)>,
    /// From which burn rates somebody is told, most urgent first; none without a budget.
    pub burn_limits: Vec<BurnLimit>,
    /// Share of the error budget left, judged by what is held of the window: 1 is all of it, below 0 more is spent than there was.
    pub budget_left: Option<f64>,
    /// The window of the budget.
    pub budget_window_seconds: Option<f64>,
    /// How much of the window there are events for; less than the window while watchfire has not run that long.
    pub budget_held_seconds: Option<f64>,
    /// The heading of the document's table.
    pub group: String,
    pub sparkline: Vec<Option<f64>>,
    pub expression: String,
}

/// A pair of windows that must both burn faster than `factor` before somebody is told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BurnLimit {
    /// As [`Objective::burn_rates`] names it: that it matters.
    pub long: String,
    /// That it has not stopped.
    pub short: String,
    pub factor: f64,
    /// Wakes somebody; otherwise it may wait for the day.
    pub pages: bool,
}
