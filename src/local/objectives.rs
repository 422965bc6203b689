//! The SLO board: Target and Impact from the preset, Current from live telemetry, burn rates from bad and total events.

use super::lens::Lens;
use std::time::Duration;
use watchfire_alerts::slo;
use watchfire_config::platform::{Comparison, Objective as Declared};
use watchfire_model::reading::{BurnLimit, Objective, ReadError, Slo};
use watchfire_model::{SeriesView, TimeRange, Timestamp, format_duration};

/// Windows of multi-window burn-rate alerts, long ones and the short ones that say whether it still burns (Google SRE workbook, chapter 5).
const WINDOWS: [&str; 7] = ["5m", "30m", "1h", "2h", "6h", "1d", "3d"];
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
    let budget = budget(lens, declared);
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
        burn_rate: burn_rates.iter().find(|(window, _)| window == "1h").and_then(|(_, rate)| *rate),
        budget_left: budget.map(|b| b.left),
        budget_window_seconds: budget.map(|_| declared.window.as_secs_f64()),
        budget_held_seconds: budget.map(|b| b.held.as_secs_f64()),
        burn_limits: if burn_rates.is_empty() { Vec::new() } else { burn_limits(declared) },
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
    WINDOWS.iter().map(|window| ((*window).to_owned(), ratio(lens, declared, window).map(|r| r / allowed))).collect()
}

/// The limits of the burn-rate alerts, which go by the objective's own period.
fn burn_limits(declared: &Declared) -> Vec<BurnLimit> {
    let limit = |w: &slo::BurnWindow| BurnLimit {
        long: format_duration(w.long),
        short: format_duration(w.short),
        factor: w.factor(declared.window),
        pages: w.pages,
    };
    slo::WINDOWS.iter().map(limit).collect()
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Budget {
    left: f64,
    held: Duration,
}

/// What is left of the objective's budget over its own window, and how much of the window is held; `None` without events.
fn budget(lens: &Lens<'_>, declared: &Declared) -> Option<Budget> {
    let allowed = declared.objective.map(|o| 1.0 - o).filter(|a| *a > 0.0)?;
    let window = format_duration(declared.window);
    let spent = ratio(lens, declared, &window)? / allowed;
    let query = lens.cache.parse(lens.engine, &declared.total.replace("$window", &window)).ok()?;
    // Samples have their own rhythm: one from just before the window shows that the window is whole.
    let range = TimeRange::new(lens.at.saturating_sub(declared.window + Duration::from_secs(300)), lens.at);
    let mut oldest: Option<Timestamp> = None;
    for selector in query.selectors() {
        let mut visit = |view: SeriesView<'_>| {
            oldest = view.times.first().copied().into_iter().chain(oldest).min();
        };
        lens.source.select(&selector, range, &mut visit).ok()?;
    }
    let held = lens.at.since(oldest?).min(declared.window);
    Some(Budget { left: 1.0 - spent, held })
}

#[cfg(test)]
mod tests {
    use super::super::lens::{QueryCache, RATE_WINDOW, SCRAPE_WINDOW};
    use super::*;
    use watchfire_model::{Labels, Value};
    use watchfire_promql::Engine;
    use watchfire_testkit::MemorySource;

    /// One call a second, of which every `bad`th fails, over so long.
    fn calls(over: Duration, bad: u64) -> (MemorySource, Timestamp) {
        let mut source = MemorySource::new();
        let begin = Timestamp(1_772_334_000_000);
        let labels = |name: &str| Labels::from_pairs([("__name__", name)]);
        let minutes = over.as_secs() / 60;
        for minute in 0..=minutes {
            let at = begin.saturating_add(Duration::from_secs(minute * 60));
            source.push(&labels("calls_total"), at, Value::Float((minute * 60) as f64));
            source.push(&labels("bad_total"), at, Value::Float((minute * 60 / bad) as f64));
        }
        (source, begin.saturating_add(Duration::from_secs(minutes * 60)))
    }

    /// Counters that stand still say nothing of an objective. Half of all calls fail where 2 % may: that is 25 budgets, so 24 are missing.
    #[test]
    fn without_traffic_nothing_is_known_and_an_overspent_budget_says_by_how_much() {
        let mut still = MemorySource::new();
        let at = Timestamp(1_772_334_000_000);
        for minute in 0..=90 {
            for name in ["calls_total", "bad_total"] {
                still.push(&Labels::from_pairs([("__name__", name)]), Timestamp(at.0 + minute * 60_000), Value::Float(50.0));
            }
        }
        let quiet = read(&still, Timestamp(at.0 + 90 * 60_000), Duration::from_secs(3600));
        assert_eq!((quiet.burn_rate, quiet.budget_left, quiet.budget_held_seconds), (None, None, None));
        assert!(!quiet.burn_rates.is_empty() && quiet.burn_rates.iter().all(|(_, rate)| rate.is_none()), "{:?}", quiet.burn_rates);
        let (failing, at) = calls(Duration::from_secs(3600), 2);
        let spent = read(&failing, at, Duration::from_secs(1800));
        assert!((spent.budget_left.expect("known") + 24.0).abs() < 0.2, "{spent:?}");
        assert!(spent.burn_rate.is_some_and(|burn| burn > 20.0), "{spent:?}");
    }

    fn row(over: Duration, window: Duration) -> Objective {
        let (source, at) = calls(over, 100);
        read(&source, at, window)
    }

    fn read(source: &MemorySource, at: Timestamp, window: Duration) -> Objective {
        let engine = Engine::default();
        let cache = QueryCache::default();
        let lens = Lens { engine: &engine, source, cache: &cache, at, window: RATE_WINDOW, scrape_window: SCRAPE_WINDOW };
        let declared: Declared = toml::from_str(&format!(
            "id = \"calls\"\ngroup = \"g\"\nunit = \"ratio\"\nname = \"Calls\"\ntarget = \"> 98 %\"\nexpression = \"vector(1)\"\nbad = \"rate(bad_total[$window])\"\n\
             total = \"rate(calls_total[$window])\"\nobjective = 0.98\nwindow = \"{}\"\n",
            format_duration(window)
        ))
        .expect("an objective");
        objective(&lens, &declared)
    }

    #[test]
    fn the_budget_is_that_of_the_objectives_own_window() {
        let hour = Duration::from_secs(3600);
        // 1 % fails where 2 % may: half is left, whatever the window; how much of the window that speaks for is said.
        let young = row(hour * 2, hour * 24 * 30);
        assert!((young.budget_left.expect("known") - 0.5).abs() < 0.02, "{young:?}");
        assert_eq!((young.budget_held_seconds, young.budget_window_seconds), (Some(7200.0), Some(2_592_000.0)));
        let whole = row(hour * 3, hour);
        assert_eq!((whole.budget_held_seconds, whole.budget_window_seconds), (Some(3600.0), Some(3600.0)));
        let (source, at) = (MemorySource::new(), Timestamp(0));
        let (engine, cache) = (Engine::default(), QueryCache::default());
        let lens = Lens { engine: &engine, source: &source, cache: &cache, at, window: RATE_WINDOW, scrape_window: SCRAPE_WINDOW };
        let nothing = Declared { bad: "rate(b[$window])".into(), total: "rate(t[$window])".into(), ..declared_of(&young) };
        assert_eq!(budget(&lens, &nothing), None, "no events are no budget");
    }

    /// By hand: 120 of 3,600 calls of the last hour fail where 2 % may (72), so it burns at 120 / 72; within the last five minutes 60 of 300
    /// fail where 6 may, so ten times as fast; of the day that is held (two hours, 7,200 calls, 144 may fail) 120 / 144 of the budget is spent.
    #[test]
    fn burn_rates_and_their_limits_are_those_of_a_calculation_by_hand() {
        let begin = Timestamp(1_772_334_000_000);
        let mut source = MemorySource::new();
        let labels = |name: &str| Labels::from_pairs([("__name__", name)]);
        let bad_until = |second: u64| match second {
            0..=3600 => 0,
            3601..=6900 => (second - 3600) * 60 / 3300,
            _ => 60 + (second - 6900) * 60 / 300,
        };
        for second in (0..=7200).step_by(15) {
            let at = begin.saturating_add(Duration::from_secs(second));
            source.push(&labels("calls_total"), at, Value::Float(second as f64));
            source.push(&labels("bad_total"), at, Value::Float(bad_until(second) as f64));
        }
        let row = read(&source, begin.saturating_add(Duration::from_secs(7200)), Duration::from_secs(86_400));
        let burn = |window: &str| row.burn_rates.iter().find(|(w, _)| w == window).and_then(|(_, rate)| *rate).expect(window);
        let near = |a: f64, b: f64| (a - b).abs() < b * 0.01;
        assert!(near(burn("1h"), 120.0 / 72.0) && row.burn_rate == Some(burn("1h")), "{row:?}");
        assert!(near(burn("5m"), 10.0), "{row:?}");
        assert!(near(burn("1d"), 120.0 / 144.0), "{row:?}");
        assert!(near(row.budget_left.expect("known"), 24.0 / 144.0), "{row:?}");
        // 2 % of a day's budget within an hour is 0.48 times the even pace, not 14.4 times as over thirty days.
        let limits: Vec<_> = row.burn_limits.iter().map(|l| (l.long.as_str(), l.short.as_str(), l.pages)).collect();
        assert_eq!(limits, [("1h", "5m", true), ("6h", "30m", true), ("1d", "2h", false), ("3d", "6h", false)]);
        assert!(near(row.burn_limits[0].factor, 0.48) && near(row.burn_limits[1].factor, 0.2), "{row:?}");
        let month = read(&source, begin.saturating_add(Duration::from_secs(7200)), Duration::from_secs(30 * 86_400));
        let factors: Vec<f64> = month.burn_limits.iter().map(|l| (l.factor * 1000.0).round() / 1000.0).collect();
        assert_eq!(factors, [14.4, 6.0, 3.0, 1.0]);
    }

    fn declared_of(row: &Objective) -> Declared {
        toml::from_str(&format!(
            "id = {:?}\ngroup = \"g\"\nunit = \"ratio\"\nname = \"x\"\ntarget = \"> 98 %\"\nexpression = \"vector(1)\"\nobjective = 0.98\n",
            row.id
        ))
        .expect("an objective")
    }
}
