//! Counter resets between two histograms. Follows Prometheus `FloatHistogram.DetectReset`.

use super::arithmetic::{common_bounds, roll_up, zero_count_at};
use super::buckets::{Indexed, exponential_bound, negative, positive, reduce, uses_custom_buckets};
use watchfire_model::{CounterResetHint, NativeHistogram};

/// True when the counter was reset between `previous` and `h`: by hint, or because something went down.
pub fn is_reset(h: &NativeHistogram, previous: &NativeHistogram) -> bool {
    match h.counter_reset {
        CounterResetHint::Reset => return true,
        CounterResetHint::NotReset => return false,
        CounterResetHint::Unknown | CounterResetHint::Gauge => {}
    }
    if h.count < previous.count || uses_custom_buckets(h) != uses_custom_buckets(previous) {
        return true;
    }
    if uses_custom_buckets(h) {
        if h.custom_values == previous.custom_values {
            return went_down(&positive(h), &positive(previous));
        }
        let common = common_bounds(&h.custom_values, &previous.custom_values);
        return went_down(
            &roll_up(&positive(h), &h.custom_values, &common),
            &roll_up(&positive(previous), &previous.custom_values, &common),
        );
    }
    if h.schema > previous.schema || h.zero_threshold < previous.zero_threshold {
        return true;
    }
    let (zero_count, threshold) = zero_count_at(previous, h.zero_threshold);
    // A different threshold means that the new one would cut a populated bucket.
    if threshold != h.zero_threshold || h.zero_count < zero_count {
        return true;
    }
    let comparable = |buckets: Indexed| -> Indexed {
        reduce(&buckets, previous.schema, h.schema)
            .into_iter()
            .filter(|(index, _)| h.zero_threshold == 0.0 || exponential_bound(*index, h.schema) > h.zero_threshold)
            .collect()
    };
    went_down(&positive(h), &comparable(positive(previous))) || went_down(&negative(h), &comparable(negative(previous)))
}

fn went_down(now: &[(i32, f64)], before: &[(i32, f64)]) -> bool {
    let mut at = 0;
    before.iter().any(|(index, count)| {
        while now.get(at).is_some_and(|(i, _)| i < index) {
            at += 1;
        }
        let current = now.get(at).filter(|(i, _)| i == index).map_or(0.0, |(_, count)| *count);
        current < *count
    })
}
