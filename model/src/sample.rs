//! Sample values and the two NaNs of Prometheus.

use crate::NativeHistogram;
use std::sync::Arc;

/// Marks a series as gone: from here on it has no value. Bit pattern of Prometheus (`model/value`).
pub const STALE_NAN: f64 = f64::from_bits(0x7ff0_0000_0000_0002);
/// A value that is not a number because someone computed it so.
pub const ORDINARY_NAN: f64 = f64::from_bits(0x7ff8_0000_0000_0001);

/// True only for the staleness marker, not for other NaNs.
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_NAN.to_bits()
}

/// What a sample holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Float(f64),
    Histogram(Arc<NativeHistogram>),
}

impl Value {
    pub fn is_stale(&self) -> bool {
        match self {
            Value::Float(v) => is_stale(*v),
            Value::Histogram(h) => is_stale(h.sum),
        }
    }

    pub fn as_float(&self) -> Option<f64> {
        match self {
            Value::Float(v) => Some(*v),
            Value::Histogram(_) => None,
        }
    }
}
