//! The platforms that come with watchfire. One line each; a directory given by path needs none.

use super::{Platform, PlatformFiles};
use crate::diagnosis::{ConfigError, nearest};
use std::borrow::Cow;
use std::path::Path;

struct Embedded {
    name: &'static str,
    platform: &'static str,
    rules: &'static str,
    rule_tests: &'static str,
    scenarios: &'static [(&'static str, &'static str)],
}

macro_rules! embedded {
    ($name:literal: $($scenario:literal)*) => {
        Embedded {
            name: $name,
            platform: include_str!(concat!("../../platforms/", $name, "/platform.toml")),
            rules: include_str!(concat!("../../platforms/", $name, "/rules.yaml")),
            rule_tests: include_str!(concat!("../../platforms/", $name, "/rules.test.yaml")),
            scenarios: &[$(($scenario, include_str!(concat!("../../platforms/", $name, "/scenarios/", $scenario, ".toml")))),*],
        }
    };
}

static ROSTER: &[Embedded] = &[
    embedded!(
        "clientnest":
        "database_outage" "dependency_degraded" "disk_filling" "error_burst" "every_breaker" "login_attack" "queue_backlog" "registry_expired"
        "resource_pressure" "service_gone" "slow_database" "slow_social_provider" "traffic_spike" "webhook_flood"
        "webhook_timeouts"
    ),
    embedded!(
        "mediacms":
        "dead_letters" "degraded_database" "every_breaker" "replication_lag" "service_gone" "slow_email_provider"
        "slow_recommendations" "sync_failures"
    ),
    embedded!(
        "commerce":
        "cdc_lag" "cold_cache" "delivery_failures" "every_breaker" "failover_trouble" "handlers_fail" "resource_pressure" "search_trouble"
        "service_gone" "slow_conflicts" "slow_payment_gateway" "slow_providers" "slow_pubsub" "source_lags" "sync_fails" "systems_disagree"
        "throughput_drop"
    ),
    embedded!(
        "playnite":
        "database_check_fails" "error_burst" "every_breaker" "moderation_outage" "service_gone" "slow_feed" "traffic_wave"
    ),
    embedded!(
        "sunday":
        "ai_rate_limit" "every_breaker" "item_errors" "kafka_silence" "saga_timeout" "service_gone" "slow_collaboration" "slow_items"
        "stolen_token"
    ),
];

/// Names of the platforms that come with watchfire, the default one first.
pub fn platform_names() -> Vec<&'static str> {
    ROSTER.iter().map(|p| p.name).collect()
}

/// A platform by its name, or from a directory if `name_or_directory` is a path (contains `/`, or `.`).
///
/// # Errors
/// When there is none of that name, or its files are wrong.
pub fn load_platform(name_or_directory: &str) -> Result<Platform, Vec<ConfigError>> {
    if let Some(embedded) = ROSTER.iter().find(|p| p.name == name_or_directory) {
        let files = PlatformFiles {
            place: format!("{} (built in)", embedded.name),
            platform: embedded.platform.into(),
            rules: embedded.rules.into(),
            rule_tests: embedded.rule_tests.into(),
            scenarios: embedded.scenarios.iter().map(|(name, text)| (Cow::Borrowed(*name), Cow::Borrowed(*text))).collect(),
        };
        return files.parse();
    }
    let directory = Path::new(name_or_directory);
    if directory.join("platform.toml").is_file() || name_or_directory.contains(['/', '\\', '.']) {
        return PlatformFiles::read(directory)?.parse();
    }
    let known = platform_names().join(", ");
    let help = match nearest(name_or_directory, platform_names()) {
        Some(near) => format!("did you mean `{near}`? Known: {known}; or give a directory that holds a platform.toml"),
        None => format!("known: {known}; or give a directory that holds a platform.toml"),
    };
    Err(vec![ConfigError::new("platform", format!("there is no platform `{name_or_directory}`")).with_help(help)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_platform_of_the_roster_parses_and_passes_its_checks() {
        for name in platform_names() {
            match load_platform(name) {
                Ok(platform) => assert_eq!(platform.name, name),
                Err(errors) => panic!("{}", errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n\n")),
            }
        }
    }

    #[test]
    fn the_roster_holds_every_scenario_file() -> std::io::Result<()> {
        for embedded in ROSTER {
            let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("platforms").join(embedded.name).join("scenarios");
            let mut on_disk: Vec<String> = std::fs::read_dir(directory)?
                .filter_map(|e| e.ok()?.path().file_stem().map(|s| s.to_string_lossy().into_owned()))
                .collect();
            on_disk.sort();
            let mut listed: Vec<&str> = embedded.scenarios.iter().map(|(name, _)| *name).collect();
            listed.sort_unstable();
            assert_eq!(listed, on_disk, "{}", embedded.name);
        }
        Ok(())
    }
}
