//! Exact arithmetic on native histograms: layout, addition, subtraction, scaling, counter resets, quantiles, trimming.
//!
//! - [`buckets`]: spans to indexed buckets and back, bounds, iteration in order of value.
//! - [`arithmetic`]: addition and subtraction with their compensated form, scaling, equality.
//! - [`reset`]: whether a counter histogram was reset. [`quantile`]: quantiles and fractions. [`trim`]: what is below or above a point.
//! - [`text`]: the forms Prometheus writes histograms in.

pub(crate) mod arithmetic;
pub(crate) mod buckets;
pub(crate) mod quantile;
pub(crate) mod reset;
pub(crate) mod text;
pub(crate) mod trim;

pub use text::{ApiBucket, api_buckets};

/// What `histogram_quantile` gives for one native histogram; NaN where it is empty.
pub fn quantile_of(q: f64, histogram: &watchfire_model::NativeHistogram) -> f64 {
    quantile::native_quantile(q, histogram).0
}
