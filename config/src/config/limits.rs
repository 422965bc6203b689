//! Every limit, with its safe default. What goes beyond one is refused and counted, never allowed to hurt.

use crate::duration_text;
use crate::size::ByteSize;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// `[limits]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    pub otlp: OtlpLimits,
    pub store: StoreLimits,
    pub signals: SignalLimits,
    pub scrape: ScrapeLimits,
    pub probe: ProbeLimits,
    pub rules: RuleLimits,
    pub query: QueryLimits,
    pub api: ApiLimits,
}

/// `[limits.otlp]`: what one request may bring.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OtlpLimits {
    /// Of one message, before and after decompression.
    pub message: ByteSize,
    /// Of all requests being worked on.
    pub in_flight: ByteSize,
    pub items_per_request: usize,
    pub attributes: usize,
    pub events: usize,
    pub links: usize,
    pub value: ByteSize,
    pub key: ByteSize,
    pub name: ByteSize,
    pub log_body: ByteSize,
    pub depth: usize,
    /// Of one point; quantiles likewise.
    pub buckets: usize,
    /// Delta streams, histograms and summaries that are remembered from one point to the next.
    pub streams: usize,
}

impl Default for OtlpLimits {
    fn default() -> Self {
        OtlpLimits {
            message: ByteSize::mebibytes(16),
            in_flight: ByteSize::mebibytes(64),
            items_per_request: 250_000,
            attributes: 128,
            events: 128,
            links: 128,
            value: ByteSize::kibibytes(4),
            key: ByteSize(256),
            name: ByteSize::kibibytes(1),
            log_body: ByteSize::kibibytes(64),
            depth: 64,
            buckets: 1024,
            streams: 100_000,
        }
    }
}

/// `[limits.store]`: how much is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreLimits {
    pub logs: usize,
    pub series: usize,
    pub exemplars: usize,
    #[serde(with = "duration_text")]
    pub retention: Duration,
    pub spans_per_trace: usize,
    /// What the spans of one trace may say, before it is unpacked.
    pub trace_text: ByteSize,
}

impl Default for StoreLimits {
    fn default() -> Self {
        StoreLimits {
            logs: 200_000,
            series: 100_000,
            exemplars: 10_000,
            retention: Duration::from_secs(6 * 3600),
            spans_per_trace: 50_000,
            trace_text: ByteSize::mebibytes(32),
        }
    }
}

/// `[limits.scrape]`: what one target may answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScrapeLimits {
    #[serde(with = "duration_text")]
    pub interval: Duration,
    #[serde(with = "duration_text")]
    pub timeout: Duration,
    pub body: ByteSize,
    pub samples: usize,
    pub labels: usize,
    pub name: ByteSize,
    pub value: ByteSize,
    pub redirects: usize,
}

impl Default for ScrapeLimits {
    fn default() -> Self {
        ScrapeLimits {
            interval: Duration::from_secs(15),
            timeout: Duration::from_secs(10),
            body: ByteSize::mebibytes(16),
            samples: 50_000,
            labels: 64,
            name: ByteSize(256),
            value: ByteSize::kibibytes(2),
            redirects: 5,
        }
    }
}

/// `[limits.probe]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProbeLimits {
    #[serde(with = "duration_text")]
    pub interval: Duration,
    #[serde(with = "duration_text")]
    pub timeout: Duration,
    pub body: ByteSize,
    pub redirects: usize,
    pub parallel: usize,
    /// Failures in a row before a check counts as down.
    pub failures: u32,
}

impl Default for ProbeLimits {
    fn default() -> Self {
        ProbeLimits {
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(5),
            body: ByteSize::kibibytes(64),
            redirects: 3,
            parallel: 64,
            failures: 2,
        }
    }
}

/// `[limits.rules]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RuleLimits {
    pub alerts_per_rule: usize,
    pub alerts: usize,
    #[serde(with = "duration_text")]
    pub resend_delay: Duration,
    /// How long watchfire may have been away for `for` to be taken up again.
    #[serde(with = "duration_text")]
    pub outage_tolerance: Duration,
    /// How long an alert with a suspected cause waits for it before it notifies by itself; a critical one shorter.
    #[serde(with = "duration_text")]
    pub cause_wait: Duration,
    #[serde(with = "duration_text")]
    pub cause_wait_critical: Duration,
}

impl Default for RuleLimits {
    fn default() -> Self {
        RuleLimits {
            alerts_per_rule: 1000,
            alerts: 10_000,
            resend_delay: Duration::from_secs(60),
            outage_tolerance: Duration::from_secs(3600),
            cause_wait: Duration::from_secs(60),
            cause_wait_critical: Duration::from_secs(30),
        }
    }
}

/// `[limits.signals]`: what is told apart among what is derived from spans. Everything beyond is counted under the name `__overflow__`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SignalLimits {
    pub services: usize,
    pub operations: usize,
    pub operations_per_service: usize,
    pub edges: usize,
    /// Databases, queues and other peers that send no spans themselves.
    pub peers: usize,
    /// Histograms that are published as classic buckets beside the native form, 25 series each; those beyond are native only.
    pub classic_histograms: usize,
}

impl Default for SignalLimits {
    fn default() -> Self {
        SignalLimits { services: 2000, operations: 2000, operations_per_service: 300, edges: 5000, peers: 2000, classic_histograms: 2000 }
    }
}

/// `[limits.query]`: PromQL.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QueryLimits {
    #[serde(with = "duration_text")]
    pub timeout: Duration,
    pub samples: usize,
    #[serde(with = "duration_text")]
    pub lookback: Duration,
    pub text: ByteSize,
    pub depth: usize,
    pub label: ByteSize,
    pub points: usize,
    pub parallel: usize,
}

impl Default for QueryLimits {
    fn default() -> Self {
        QueryLimits {
            timeout: Duration::from_secs(10),
            samples: 5_000_000,
            lookback: Duration::from_secs(300),
            text: ByteSize::kibibytes(16),
            depth: 100,
            label: ByteSize::kibibytes(16),
            points: 11_000,
            parallel: 2,
        }
    }
}

/// `[limits.api]`: the HTTP ports.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApiLimits {
    pub connections: usize,
    #[serde(with = "duration_text")]
    pub header_timeout: Duration,
    #[serde(with = "duration_text")]
    pub body_timeout: Duration,
    #[serde(with = "duration_text")]
    pub idle_timeout: Duration,
    pub headers: ByteSize,
}

impl Default for ApiLimits {
    fn default() -> Self {
        ApiLimits {
            connections: 512,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(60),
            headers: ByteSize::kibibytes(16),
        }
    }
}
