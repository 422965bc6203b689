//! How the evaluator is set up.

use crate::cause::CauseSettings;
use std::time::Duration;
use watchfire_model::Labels;
use watchfire_template::TemplateLimits;

#[derive(Clone, Debug)]
pub struct EvaluatorSettings {
    /// For groups that name no interval of their own.
    pub interval: Duration,
    /// For groups that name no offset of their own.
    pub query_offset: Duration,
    /// How often a firing alert is repeated to receivers that forget (Alertmanager).
    pub resend_delay: Duration,
    /// A pending alert is taken up again after a restart if the outage was no longer than this.
    pub outage_tolerance: Duration,
    /// What is left of a long `for` after a restart, at least: who read this rule in Prometheus counts on the data of so long before it fires.
    /// Rules that wait no longer than this in all go on where they stood; Prometheus would begin them anew.
    pub outage_grace: Duration,
    /// How long after a restart an alert is kept while its data are not back yet.
    pub restore_hold: Duration,
    /// Added to notices where absent, and seen by templates.
    pub external_labels: Labels,
    /// Where links in notices lead; without a trailing slash.
    pub external_url: String,
    pub template_limits: TemplateLimits,
    /// Longest time for one annotation or label.
    pub template_timeout: Duration,
    pub cause: CauseSettings,
    /// How long an alert with a suspected cause waits before it notifies by itself.
    pub hold: Duration,
    /// The same for critical alerts.
    pub hold_critical: Duration,
    /// The longest that an alert is given to follow a cause that has ended, where its rule looks back that far: until then it counts what was wrong.
    pub hold_longest: Duration,
    /// Active alerts of one rule, and of all rules. Beyond them known alerts go on and new ones are refused.
    pub alerts_per_rule: usize,
    pub alerts: usize,
    /// Time one tick may spend on looking evidence up; what fires beyond it is told without.
    pub evidence_budget: Duration,
    /// How often the records of pending alerts are written again, so that a restart loses no more of their `for`.
    pub record_refresh: Duration,
}

impl Default for EvaluatorSettings {
    fn default() -> Self {
        EvaluatorSettings {
            interval: Duration::from_secs(15),
            query_offset: Duration::ZERO,
            resend_delay: Duration::from_secs(60),
            outage_tolerance: Duration::from_secs(3600),
            outage_grace: Duration::from_secs(600),
            restore_hold: Duration::from_secs(300),
            external_labels: Labels::empty(),
            external_url: "http://127.0.0.1:9499".to_owned(),
            template_limits: TemplateLimits::default(),
            template_timeout: Duration::from_secs(1),
            cause: CauseSettings::default(),
            hold: Duration::from_secs(60),
            hold_critical: Duration::from_secs(30),
            hold_longest: Duration::from_secs(300),
            alerts_per_rule: usize::MAX,
            alerts: usize::MAX,
            evidence_budget: Duration::from_millis(100),
            record_refresh: Duration::from_secs(30),
        }
    }
}
