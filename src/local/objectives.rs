//! The SLO board: Target and Impact from the preset, Current from live telemetry, burn rates from bad and total events.

use super::lens::Lens;
use std::time::Duration;
use watchfire_config::platform::{Comparison, Objective as Declared};
use watchfire_model::reading::{Objective, ReadError, Slo};

/// Long windows and the burn rate at which each is worth waking or writing to somebody (Google SRE workbook, chapter 5).
const WINDOWS: [(&str, f64); 4] = [("1h", 14.4), ("6h", 6.0), ("1d", 3.0), ("3d", 1.0)];
const HISTORY: Duration = Duration::from_secs(15 * 60);

/// The `slo` reading.
///
/// # Errors
/// When the store cannot be queried. A single expression that fails leaves its own row unknown.
pub fn objectives(lens: &Lens<'_>, declared: &[Declared]) -> Result<Slo, ReadError> {
    Ok(Slo { objectives: declared.iter().map(|d| objective(lens, d)).collect() })
}

/// Whether an objective is met; `None` without a target or without data.
pub fn met(lens: &Lens<'_>, declared: &Declared) -> Option<bool> {
    worst(lens, declared).and_then(|v| declared.met(v))
}

fn objective(lens: &Lens<'_>, declared: &Declared) -> Objective {
    let current = worst(lens, declared);
    let burn_rates = burn_rates(lens, declared);
    let sparkline = lens
        .columns(&declared.expression, HISTORY, Duration::from_secs(60))
        .ok()
        .and_then(|series| series.into_iter().next())
        .map(|(_, column)| column)
        .unwrap_or_default();
    Objective {
        id: declared.id.clone(),
        name: declared.name.clone(),
        target: declared.target.clone(),
        current: current.map(|v| declared.display(v)),
        current_value: current,
        target_value: declared.value,
        met: current.and_then(|v| declared.met(v)),
        impact: declared.impact.clone(),
        burn_rate: burn_rates.first().and_then(|(_, rate)| *rate),
        budget_left: budget_left(lens, declared),
        burn_rates,
        group: declared.group.clone(),
        sparkline,
        expression: declared.expression.clone(),
    }
}

/// Where an expression gives several values, the one furthest from its target speaks for the row.
fn worst(lens: &Lens<'_>, declared: &Declared) -> Option<f64> {
    let values = lens.vector(&declared.expression).ok()?.into_iter().map(|(_, v)| v).filter(|v| v.is_finite());
    match declared.comparison {
        Some(Comparison::Above | Comparison::AtLeast) => values.min_by(f64::total_cmp),
        _ => values.max_by(f64::total_cmp),
    }
}

fn ratio(lens: &Lens<'_>, declared: &Declared, window: &str) -> Option<f64> {
    if declared.bad.is_empty() || declared.total.is_empty() {
        return None;
    }
    let number = |expression: &str| lens.number(&format!("sum({})", expression.replace("$window", window))).ok();
    let total = number(&declared.total)??;
    // No bad event ever seen leaves the numerator absent, which means none.
    let bad = number(&declared.bad)?.unwrap_or(0.0);
    (total > 0.0).then(|| (bad / total).clamp(0.0, 1.0))
}

/// Budget burned relative to even use: error share over the window divided by the share the objective allows.
fn burn_rates(lens: &Lens<'_>, declared: &Declared) -> Vec<(String, Option<f64>)> {
    let Some(allowed) = declared.objective.map(|o| 1.0 - o).filter(|a| *a > 0.0) else { return Vec::new() };
    WINDOWS.iter().map(|(window, _)| ((*window).to_owned(), ratio(lens, declared, window).map(|r| r / allowed))).collect()
}

/// Share of the window's budget that is left, over what is held; `None` without events.
fn budget_left(lens: &Lens<'_>, declared: &Declared) -> Option<f64> {
    let allowed = declared.objective.map(|o| 1.0 - o).filter(|a| *a > 0.0)?;
    let spent = ratio(lens, declared, "3d")? / allowed;
    Some((1.0 - spent).clamp(0.0, 1.0))
}
