//! The vocabulary of watchfire: what a span, a sample, a probe, an alert and a reading *are*.
//! Every other crate speaks in these types; nothing here reads a file, opens a socket, asks the time or awaits.
//!
//! Types to know
//! - [`Timestamp`] (milliseconds, wall clock) for samples and alerts; [`Nanos`] for the times inside spans.
//! - [`Labels`]: sorted, unique, cheap to clone; [`Selector`] matches them.
//! - [`SeriesSink`] and [`SeriesSource`]: how samples enter and leave the store. [`SpanVisitor`]: how spans enter it.
//! - [`ServiceName`]: whose telemetry it is, told the same way for spans, metrics and logs.
//! - [`Request`] and [`Reading`]: everything a view, the HTTP API or an attached terminal can ask, and the answer.
//! - [`Notice`]: what an alert transition says to people. [`Topology`]: who depends on whom, right now.
//! - [`Meter`]: watchfire's own counters; each refusal has a `reason`.
//! - [`harmless`]: the one place where text from outside is made safe to show.
//!
//! Invariants
//! - Values only: no function here performs I/O, and only parsing can fail.
//! - A figure that is not known is `None`, never zero; a state that is not known is `Unknown`, never healthy.
//! - Siblings (collectors, store, alerts, views, promql) never see each other; what crosses between them is defined here.
//!
//! To add a word to the vocabulary: one file named after it, one `mod` and one `pub use` line here.

mod address;
mod causes;
mod clock;
mod duration;
mod glob;
mod harmless;
mod histogram;
mod ids;
mod labels;
mod log;
mod meter;
mod notice;
mod panics;
mod pattern;
mod probe;
pub mod reading;
mod sample;
mod secret;
mod series;
mod service_name;
mod span;
mod time;
mod topology;
mod yaml;

pub use address::{Places, is_address, same_address, service_at};
pub use causes::causes;
pub use clock::{Clock, ClockReading, HandClock, SteadyWall};
pub use duration::{DurationError, format_duration, parse_duration};
pub use glob::glob;
pub use harmless::{harmless, harmless_limited};
pub use histogram::{BucketSpan, CUSTOM_BUCKETS_SCHEMA, CounterResetHint, NativeHistogram};
pub use ids::{from_base64, ids_in};
pub use labels::{Label, Labels, LabelsBuilder, METRIC_NAME, MatchOp, Matcher, MatcherError, Selector, WrittenName};
pub use log::{LogRecord, LogSink, Severity as LogSeverity};
pub use meter::{Counter, Gauge, Meter};
pub use notice::{Cause, Evidence, Notice, NoticeState, Severity};
pub use panics::caught;
pub use pattern::{PatternError, go_regex, go_regex_whole};
pub use probe::{CheckReport, DependencyReport, HealthState, ProbeSink, of_only_servers};
pub use reading::{Reading, Request};
pub use sample::{ORDINARY_NAN, STALE_NAN, Value, is_stale};
pub use secret::{Secret, is_secret_name, without_secrets};
pub use series::{
    Appended, Exemplar, MAX_AHEAD, Metadata, MetricKind, OriginId, OwnSeries, SeriesData, SeriesId, SeriesSink, SeriesSource, SeriesView,
    SourceError,
};
pub use service_name::{ServiceName, UNKNOWN_SERVICE};
pub use span::{AttributeValue, Receipt, ResourceView, SpanId, SpanKind, SpanStatus, SpanView, SpanVisitor, TraceId};
pub use time::{Nanos, TimeRange, Timestamp};
pub use topology::{Dependency, Relation, Topology, Unhealthy};
pub use yaml::first_yaml_document;
