//! Functions of one float that the standard library does not have in Go's form.

use std::f64::consts::{LN_2, PI};

pub fn degrees(v: f64) -> f64 {
    v * 180.0 / PI
}

pub fn radians(v: f64) -> f64 {
    v * PI / 180.0
}

pub fn sign(v: f64) -> f64 {
    if v < 0.0 {
        -1.0
    } else if v > 0.0 {
        1.0
    } else {
        v
    }
}

/// Inverse hyperbolic sine, exact near zero and without overflow (FreeBSD `s_asinh.c`).
pub fn asinh(v: f64) -> f64 {
    if !v.is_finite() {
        return v;
    }
    let x = v.abs();
    let result = if x > (1u64 << 28) as f64 {
        x.ln() + LN_2
    } else if x > 2.0 {
        (2.0 * x + 1.0 / ((x * x + 1.0).sqrt() + x)).ln()
    } else if x < 1.0 / (1u64 << 28) as f64 {
        x
    } else {
        (x + x * x / (1.0 + (1.0 + x * x).sqrt())).ln_1p()
    };
    result.copysign(v)
}

/// Inverse hyperbolic cosine (FreeBSD `e_acosh.c`).
pub fn acosh(x: f64) -> f64 {
    if x < 1.0 || x.is_nan() {
        f64::NAN
    } else if x == 1.0 {
        0.0
    } else if x >= (1u64 << 28) as f64 {
        x.ln() + LN_2
    } else if x > 2.0 {
        (2.0 * x - 1.0 / (x + (x * x - 1.0).sqrt())).ln()
    } else {
        let t = x - 1.0;
        (t + (2.0 * t + t * t).sqrt()).ln_1p()
    }
}

/// Inverse hyperbolic tangent (FreeBSD `e_atanh.c`).
pub fn atanh(v: f64) -> f64 {
    let x = v.abs();
    if x > 1.0 || v.is_nan() {
        return f64::NAN;
    }
    if x == 1.0 {
        return f64::INFINITY.copysign(v);
    }
    let result = if x < 1.0 / (1u64 << 28) as f64 {
        x
    } else if x < 0.5 {
        let t = x + x;
        0.5 * (t + t * x / (1.0 - x)).ln_1p()
    } else {
        0.5 * ((x + x) / (1.0 - x)).ln_1p()
    };
    result.copysign(v)
}
