//! Native (exponential) histograms as float histograms: absolute bucket counts, sparse by spans.
//! Layout of Prometheus `model/histogram.FloatHistogram`; arithmetic on them belongs to the promql crate.

use serde::{Deserialize, Serialize};

/// Schema of histograms whose bucket bounds are listed in `custom_values`.
pub const CUSTOM_BUCKETS_SCHEMA: i32 = -53;

/// A run of consecutive buckets: `offset` buckets after the end of the previous run (for the first run: the bucket index itself).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketSpan {
    pub offset: i32,
    pub length: u32,
}

/// What is known about a counter reset between this histogram and the one before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CounterResetHint {
    #[default]
    Unknown,
    Reset,
    NotReset,
    Gauge,
}

/// A histogram with exponential buckets: bucket `i` holds `(base^(i-1), base^i]` with `base = 2^(2^-schema)`.
/// Counts are absolute and may be fractional (after rate and sampling correction).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NativeHistogram {
    pub counter_reset: CounterResetHint,
    /// -4 to 8, or [`CUSTOM_BUCKETS_SCHEMA`].
    pub schema: i32,
    pub zero_threshold: f64,
    pub zero_count: f64,
    pub count: f64,
    pub sum: f64,
    pub positive_spans: Vec<BucketSpan>,
    pub positive_buckets: Vec<f64>,
    pub negative_spans: Vec<BucketSpan>,
    pub negative_buckets: Vec<f64>,
    /// Upper bounds, ascending, without +Inf; only with [`CUSTOM_BUCKETS_SCHEMA`].
    pub custom_values: Vec<f64>,
}
