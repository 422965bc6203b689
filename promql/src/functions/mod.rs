//! All functions of PromQL: names, argument types, and which family computes them.
//!
//! To add one: a row in [`TABLE`], and its body in the family's file (`elementwise`, `date`, `over_time`, `rates`; in `crate::eval` `histograms` for
//! those of histograms, and `calls` and `labels` for those that work on whole series).

pub(crate) mod date;
pub(crate) mod elementwise;
pub(crate) mod extended;
pub(crate) mod over_time;
pub(crate) mod rates;
pub(crate) mod statistics;
pub(crate) mod sums;
pub(crate) mod window;

use crate::ast::ValueType::{self, Matrix as M, Scalar as S, String as T, Vector as V};
use std::fmt;

/// The computation behind a name.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// One float in, one float out, histograms ignored.
    Elementwise(fn(f64) -> f64),
    /// A part of a date, of the values or of the evaluation time.
    Date(date::Part),
    /// One value from the samples of a window.
    OverTime(over_time::OverTime),
    Absent,
    AbsentOverTime,
    Clamp,
    ClampMax,
    ClampMin,
    Round,
    Scalar,
    Vector,
    Time,
    Pi,
    QueryStep,
    QueryRange,
    QueryStart,
    QueryEnd,
    MinOf,
    MaxOf,
    Timestamp,
    StartTimestamp,
    HistogramAvg,
    HistogramCount,
    HistogramSum,
    HistogramStddev,
    HistogramStdvar,
    HistogramFraction,
    HistogramQuantile,
    HistogramQuantiles,
    Sort {
        descending: bool,
    },
    SortByLabel {
        descending: bool,
    },
    LabelReplace,
    LabelJoin,
    Info,
}

/// Name and types of a function.
pub struct Signature {
    pub name: &'static str,
    pub args: &'static [ValueType],
    /// 0: exactly `args`; n > 0: the last argument is optional and may come up to n times; -1: any number of times.
    pub variadic: i32,
    pub returns: ValueType,
    pub kind: Kind,
    /// Its result depends on the evaluation time even where its arguments do not.
    pub depends_on_time: bool,
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// The function of that name.
pub fn signature(name: &str) -> Option<&'static Signature> {
    TABLE.binary_search_by(|row| row.name.cmp(name)).ok().map(|index| &TABLE[index])
}

/// Every function, sorted by name.
pub fn all() -> &'static [Signature] {
    TABLE
}

const fn row(name: &'static str, args: &'static [ValueType], variadic: i32, returns: ValueType, kind: Kind) -> Signature {
    Signature { name, args, variadic, returns, kind, depends_on_time: false }
}

const fn each(name: &'static str, f: fn(f64) -> f64) -> Signature {
    row(name, &[V], 0, V, Kind::Elementwise(f))
}

const fn date_part(name: &'static str, part: date::Part) -> Signature {
    Signature { name, args: &[V], variadic: 1, returns: V, kind: Kind::Date(part), depends_on_time: true }
}

const fn window(name: &'static str, kind: over_time::OverTime) -> Signature {
    row(name, &[M], 0, V, Kind::OverTime(kind))
}

const fn timed(mut row: Signature) -> Signature {
    row.depends_on_time = true;
    row
}

use date::Part;
use elementwise as e;
use over_time::OverTime as O;

static TABLE: &[Signature] = &[
    each("abs", f64::abs),
    row("absent", &[V], 0, V, Kind::Absent),
    row("absent_over_time", &[M], 0, V, Kind::AbsentOverTime),
    each("acos", f64::acos),
    each("acosh", e::acosh),
    each("asin", f64::asin),
    each("asinh", e::asinh),
    each("atan", f64::atan),
    each("atanh", e::atanh),
    window("avg_over_time", O::Avg),
    each("ceil", f64::ceil),
    window("changes", O::Changes),
    row("clamp", &[V, S, S], 0, V, Kind::Clamp),
    row("clamp_max", &[V, S], 0, V, Kind::ClampMax),
    row("clamp_min", &[V, S], 0, V, Kind::ClampMin),
    each("cos", f64::cos),
    each("cosh", f64::cosh),
    window("count_over_time", O::Count),
    date_part("day_of_month", Part::DayOfMonth),
    date_part("day_of_week", Part::DayOfWeek),
    date_part("day_of_year", Part::DayOfYear),
    date_part("days_in_month", Part::DaysInMonth),
    each("deg", e::degrees),
    window("delta", O::Delta),
    window("deriv", O::Deriv),
    row("double_exponential_smoothing", &[M, S, S], 0, V, Kind::OverTime(O::DoubleExponentialSmoothing)),
    timed(row("end", &[], 0, S, Kind::QueryEnd)),
    each("exp", f64::exp),
    window("first_over_time", O::First),
    each("floor", f64::floor),
    row("histogram_avg", &[V], 0, V, Kind::HistogramAvg),
    row("histogram_count", &[V], 0, V, Kind::HistogramCount),
    row("histogram_fraction", &[S, S, V], 0, V, Kind::HistogramFraction),
    row("histogram_quantile", &[S, V], 0, V, Kind::HistogramQuantile),
    row("histogram_quantiles", &[V, T, S, S], 9, V, Kind::HistogramQuantiles),
    row("histogram_stddev", &[V], 0, V, Kind::HistogramStddev),
    row("histogram_stdvar", &[V], 0, V, Kind::HistogramStdvar),
    row("histogram_sum", &[V], 0, V, Kind::HistogramSum),
    date_part("hour", Part::Hour),
    window("idelta", O::Idelta),
    window("increase", O::Increase),
    row("info", &[V, V], 1, V, Kind::Info),
    window("irate", O::Irate),
    row("label_join", &[V, T, T, T], -1, V, Kind::LabelJoin),
    row("label_replace", &[V, T, T, T, T], 0, V, Kind::LabelReplace),
    window("last_over_time", O::Last),
    each("ln", f64::ln),
    each("log10", f64::log10),
    each("log2", f64::log2),
    window("mad_over_time", O::Mad),
    row("max_of", &[S, S], 0, S, Kind::MaxOf),
    window("max_over_time", O::Max),
    row("min_of", &[S, S], 0, S, Kind::MinOf),
    window("min_over_time", O::Min),
    date_part("minute", Part::Minute),
    date_part("month", Part::Month),
    row("pi", &[], 0, S, Kind::Pi),
    timed(row("predict_linear", &[M, S], 0, V, Kind::OverTime(O::PredictLinear))),
    window("present_over_time", O::Present),
    row("quantile_over_time", &[S, M], 0, V, Kind::OverTime(O::Quantile)),
    each("rad", e::radians),
    timed(row("range", &[], 0, S, Kind::QueryRange)),
    window("rate", O::Rate),
    window("resets", O::Resets),
    row("round", &[V, S], 1, V, Kind::Round),
    row("scalar", &[V], 0, S, Kind::Scalar),
    each("sgn", e::sign),
    each("sin", f64::sin),
    each("sinh", f64::sinh),
    row("sort", &[V], 0, V, Kind::Sort { descending: false }),
    row("sort_by_label", &[V, T], -1, V, Kind::SortByLabel { descending: false }),
    row("sort_by_label_desc", &[V, T], -1, V, Kind::SortByLabel { descending: true }),
    row("sort_desc", &[V], 0, V, Kind::Sort { descending: true }),
    each("sqrt", f64::sqrt),
    timed(row("start", &[], 0, S, Kind::QueryStart)),
    row("start_timestamp", &[V], 0, V, Kind::StartTimestamp),
    window("stddev_over_time", O::Stddev),
    window("stdvar_over_time", O::Stdvar),
    timed(row("step", &[], 0, S, Kind::QueryStep)),
    window("sum_over_time", O::Sum),
    each("tan", f64::tan),
    each("tanh", f64::tanh),
    timed(row("time", &[], 0, S, Kind::Time)),
    timed(row("timestamp", &[V], 0, V, Kind::Timestamp)),
    window("ts_of_first_over_time", O::TsOfFirst),
    window("ts_of_last_over_time", O::TsOfLast),
    window("ts_of_max_over_time", O::TsOfMax),
    window("ts_of_min_over_time", O::TsOfMin),
    row("vector", &[S], 0, V, Kind::Vector),
    date_part("year", Part::Year),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_so_that_every_function_is_found() {
        assert!(TABLE.windows(2).all(|w| w[0].name < w[1].name));
        for row in TABLE {
            assert!(signature(row.name).is_some_and(|found| found.name == row.name));
        }
    }
}
