//! What statistics says of the floats in a window: spread, median deviation, trend.

use crate::histogram::quantile::quantile;
use crate::number::kahan;
use watchfire_model::Timestamp;

/// The variance of the whole population, by Welford's recurrence.
pub fn variance(values: &[f64]) -> f64 {
    let (mut count, mut mean, mut c_mean, mut aux, mut c_aux) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for v in values {
        count += 1.0;
        let delta = v - (mean + c_mean);
        (mean, c_mean) = kahan(delta / count, mean, c_mean);
        (aux, c_aux) = kahan(delta * (v - (mean + c_mean)), aux, c_aux);
    }
    (aux + c_aux) / count
}

pub fn median_absolute_deviation(values: &[f64]) -> f64 {
    if values.iter().any(|v| v.is_nan()) {
        return f64::NAN;
    }
    let mut values = values.to_vec();
    let median = quantile(0.5, &mut values);
    values.iter_mut().for_each(|v| *v = (*v - median).abs());
    quantile(0.5, &mut values)
}

/// Least squares: slope per second, and the value at `intercept_at`.
pub fn regression(times: &[Timestamp], values: &[f64], intercept_at: i64) -> (f64, f64) {
    let first = values[0];
    if values.iter().all(|v| *v == first) {
        return if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first) };
    }
    let n = values.len() as f64;
    let [mut x_sum, mut y_sum, mut xy_sum, mut x2_sum] = [(0.0, 0.0); 4];
    for (t, y) in times.iter().zip(values) {
        let x = (t.0 - intercept_at) as f64 / 1000.0;
        x_sum = kahan(x, x_sum.0, x_sum.1);
        y_sum = kahan(*y, y_sum.0, y_sum.1);
        xy_sum = kahan(x * y, xy_sum.0, xy_sum.1);
        x2_sum = kahan(x * x, x2_sum.0, x2_sum.1);
    }
    let total = |s: (f64, f64)| s.0 + s.1;
    let (x, y, xy, x2) = (total(x_sum), total(y_sum), total(xy_sum), total(x2_sum));
    let slope = (xy - x * y / n) / (x2 - x * x / n);
    (slope, y / n - slope * x / n)
}

/// Double exponential smoothing (Holt-Winters without seasons): the level after the last of at least two values.
pub fn smooth(values: &[f64], smoothing: f64, trend_factor: f64) -> f64 {
    let mut before = 0.0;
    let mut level = values[0];
    let mut trend = values[1] - values[0];
    for (i, v) in values.iter().enumerate().skip(1) {
        if i > 1 {
            trend = trend_factor * (level - before) + (1.0 - trend_factor) * trend;
        }
        let next = smoothing * v + (1.0 - smoothing) * (level + trend);
        before = level;
        level = next;
    }
    level
}
