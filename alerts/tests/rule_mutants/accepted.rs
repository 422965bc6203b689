//! Changes that no test of the rule can notice, each with its reason.

/// (rule file, rule, change, why it may pass).
pub const ACCEPTED: &[(&str, &str, &str, &str)] = &[
    ("config/platforms/clientnest/rules.yaml", "UnusualTraffic", "4 as 3.6", "a count is a whole number: at least 3.6 is at least 4"),
    ("config/platforms/playnite/rules.yaml", "ThroughputTrend", "4 as 3.6", "a count is a whole number: at least 3.6 is at least 4"),
    (
        "config/platforms/clientnest/rules.yaml",
        "service:request_rate:20s",
        "without service=\"api-gateway\"",
        "the other side of `and` keeps the gateway only, and what is read beyond it is not recorded",
    ),
    (
        "config/platforms/clientnest/rules.yaml",
        "service:request_rate:20s",
        "the second without service=\"api-gateway\"",
        "the other side of `and` keeps the gateway only, and what is read beyond it is not recorded",
    ),
    (
        "config/platforms/playnite/rules.yaml",
        "service:request_rate:20s",
        "without service=\"api-gateway\"",
        "the other side of `and` keeps the gateway only, and what is read beyond it is not recorded",
    ),
    (
        "config/platforms/playnite/rules.yaml",
        "service:request_rate:20s",
        "the second without service=\"api-gateway\"",
        "the other side of `and` keeps the gateway only, and what is read beyond it is not recorded",
    ),
    (
        "config/platforms/commerce/rules.yaml",
        "ErrorRateMissed",
        "without or and what follows",
        "before the first error the ratio is 0 or unknown, and neither fires; the SLO board shows the same query and needs the 0",
    ),
];
