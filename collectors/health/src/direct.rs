//! A check whose answers come from the same process: understood and counted exactly as fetched ones are, in the caller's time.

use crate::attempt::{Finding, understand};
use crate::judgement::Outcome;
use crate::prober::report;
use crate::settings::{CheckError, CheckSettings};
use crate::tracker::Tracker;
use std::time::Duration;
use watchfire_model::{CheckReport, Timestamp};

/// One check without a socket.
pub struct Direct {
    settings: CheckSettings,
    path: String,
    tracker: Tracker,
}

impl Direct {
    /// # Errors
    /// When the settings could not be run either.
    pub fn new(settings: CheckSettings, at: Timestamp) -> Result<Self, CheckError> {
        settings.validate()?;
        let path = settings.parsed()?.path().to_owned();
        Ok(Direct { settings, path, tracker: Tracker::new(at) })
    }

    /// An answer, and the report that follows from it and from those before.
    pub fn answered(&mut self, status: u16, content_type: &str, body: &str, latency: Duration, at: Timestamp) -> CheckReport {
        let finding = understand(&self.settings, status, content_type, &self.path, body);
        self.report(finding, latency, at)
    }

    /// Nobody answered.
    pub fn refused(&mut self, at: Timestamp) -> CheckReport {
        self.report(Outcome::unhealthy("connect", "connection refused").into(), Duration::ZERO, at)
    }

    fn report(&mut self, finding: Finding, latency: Duration, at: Timestamp) -> CheckReport {
        let standing = self.tracker.observe(&finding.outcome, finding.uptime_seconds, self.settings.failures_before_down, at);
        let name = (self.settings.service.clone(), self.settings.check.clone());
        report(name, &self.settings.url, finding, standing, latency, at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use watchfire_model::HealthState::{Degraded, Healthy, Unhealthy};

    #[test]
    fn answers_that_are_handed_over_are_read_as_fetched_ones() -> Result<(), CheckError> {
        let settings = CheckSettings { service: "pay".to_owned(), ..CheckSettings::from_url("http://127.0.0.1:1/health")? };
        let mut check = Direct::new(settings, Timestamp(0))?;
        let body = r#"{"status":"degraded","dependencies":{"database":"unhealthy"}}"#;
        assert_eq!(check.answered(200, "application/json", r#"{"status":"healthy"}"#, Duration::ZERO, Timestamp(1)).state, Healthy);
        let report = check.answered(200, "application/json", body, Duration::ZERO, Timestamp(2));
        assert_eq!((report.state, report.dependencies.len()), (Degraded, 1));
        assert_eq!(check.refused(Timestamp(3)).state, Degraded, "one failure is not believed");
        let report = check.refused(Timestamp(4));
        assert_eq!((report.state, report.since, report.latency), (Unhealthy, Timestamp(4), None));
        for text in ["{\"status\":\"degraded\"}", "Degraded"] {
            let marked = format!("\u{feff}{text}");
            assert_eq!(check.answered(200, "text/plain", &marked, Duration::ZERO, Timestamp(5)).state, Degraded, "{marked:?}");
        }
        Ok(())
    }
}
