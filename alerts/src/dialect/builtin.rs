//! The dialects that come with watchfire. A new one is a file in `alerts/dialects/` and a line here; specific ones stand before generic ones.

use super::Dialect;

macro_rules! dialects {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../../dialects/", $name, ".toml")))),*]
    };
}

/// Name and text of each file.
pub(super) const FILES: [(&str, &str); 25] = dialects![
    "resilience4j",
    "polly",
    "opossum",
    "microprofile",
    "hystrix",
    "envoy",
    "dapr",
    "kong",
    "haproxy",
    "proxies",
    "rabbitmq",
    "kafka",
    "redis",
    "celery",
    "bullmq",
    "sidekiq",
    "nats",
    "beanstalkd",
    "sqs",
    "pubsub",
    "otelcol",
    "exporters",
    "pools",
    "homemade",
    "generic_queue",
];

/// All built-in dialects.
///
/// # Errors
/// Which file is wrong, and where.
pub fn builtin_dialects() -> Result<Vec<Dialect>, String> {
    FILES.iter().map(|(name, text)| Dialect::parse(name, text)).collect()
}
