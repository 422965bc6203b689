//! Rules to states to notices: Prometheus rule files are read, evaluated on their schedules, and what changes for people comes out.
//! Pure over what it is given: series, topology and time are injected. No sockets; files only in [`DiskFiles`], for rule tests.
//!
//! Types to know
//! - [`RuleFile`]: a rule file, checked as promtool checks it; [`Rule`] and [`RuleGroup`] are its content.
//! - [`Evaluator`]: groups on their schedules. [`Evaluator::tick`] gives a [`TickOutcome`]: notices, and [`AlertRecord`]s to make durable
//!   before anything of it is shown or sent.
//! - [`state`]: the life of an alert as pure functions; [`cause`]: which alert explains which.
//! - [`EvidenceSource`]: implemented by the caller, finds what a page should show besides the rule's own text.
//! - [`Audience`]: implemented by the caller as well, says whether anybody hears of an alert; a cause of which nobody hears keeps nobody quiet.
//! - [`check()`], [`test()`] and [`backtest()`]: what `watchfire rules` does, with promtool's formats and exit codes.
//! - [`DialectEngine`]: breakers and queues of many systems as one set of series, read from the data files in `alerts/dialects/`.
//! - [`Courses`]: the hour behind an alert, looked up for whoever looks at it.
//! - [`slo`]: burn rates and the alerts that follow from objectives.
//! - [`MemorySeries`]: a source and sink in memory, for rule tests and files of samples.
//!
//! Invariants
//! - The same state code runs live, in rule tests and in backtests.
//! - Time that was not watched (suspend, stall, set clocks) fires and resolves nothing; missed evaluations are counted, never made up for.
//! - A rule that cannot be evaluated keeps its alerts, says why, and is never silently green.
//! - Only notification is held back for a cause, never evaluation or resolution; every explained alert has somebody who speaks for it.
//! - Notifiers are not here: this crate says what happened, `alerts/notifiers` says it to people.
//!
//! To add a dialect: a file in `alerts/dialects/` and a line in `dialect::builtin`, with a fixture in the exporter's own text format.

mod backtest;
pub mod cause;
mod check;
mod comparison;
mod course;
mod dialect;
mod evaluator;
mod files;
mod identity;
mod layered;
mod memory;
mod nearest;
#[cfg(test)]
mod openmetrics;
mod rule;
mod rule_file;
mod rule_test;
pub mod slo;
pub mod state;
mod timeline;
mod yaml;

pub use backtest::{BACKTEST_STEP, Period, RuleBacktest, backtest, backtest_query, read_of};
pub use check::{CheckOptions, Lint, Verdict, check};
pub use comparison::Comparison;
pub use course::Courses;
pub use dialect::{
    BreakerRow, BreakerState, CLOSED_AGAIN, Dialect, DialectEngine, DialectRows, ObservedSeries, Proposal, QueueRow, builtin_dialects,
    holds_dead_letters, propose,
};
pub use evaluator::{
    AlertRecord, AlertReport, Audience, EvaluationNote, Evaluator, EvaluatorSettings, EvidenceRequest, EvidenceSource, GroupReport, Paging,
    RuleHealth, RuleReport, Standing, TickOutcome, graph_url, outward,
};
pub use files::{DiskFiles, RuleFiles};
pub use identity::fingerprint;
pub use memory::MemorySeries;
pub use rule::{Alerting, Rule, RuleError, RuleGroup, RuleKind};
pub use rule_file::{RuleFile, duplicates};
pub use rule_test::{TestOptions, TestOutcome, test};
pub use timeline::ClockEvent;
