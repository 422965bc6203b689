//! Where a real platform is probed and scraped: documented ports and paths on one host, with the user's corrections.

use super::Platform;
use crate::ServiceOverride;
use std::collections::BTreeMap;

/// Something to scrape or probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub service: String,
    pub url: String,
    /// Name of the check; empty for scrapes.
    pub check: String,
    pub owner: String,
}

/// What `--platform` adds to the configured targets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Targets {
    pub scrapes: Vec<Target>,
    pub probes: Vec<Target>,
}

impl Platform {
    /// Targets of every service whose address is known: by a correction's `url`, or by `host` and the documented port. Services without either
    /// (and all of them, if `host` is empty) are only waited for.
    pub fn targets(&self, host: &str, corrections: &BTreeMap<String, ServiceOverride>) -> Targets {
        let mut targets = Targets::default();
        for service in &self.services {
            let correction = corrections.get(&service.name);
            if correction.is_some_and(|c| c.ignore) {
                continue;
            }
            let documented = || (service.port != 0 && !host.is_empty()).then(|| format!("http://{}:{}", bracketed(host), service.port));
            let Some(base) = correction.and_then(|c| c.url.clone()).or_else(documented) else { continue };
            let base = base.trim_end_matches('/');
            let owner = correction.and_then(|c| c.owner.clone()).unwrap_or_else(|| service.owner.clone());
            let target = |path: &str, check: &str| Target {
                service: service.name.clone(),
                url: format!("{base}{path}"),
                check: check.to_owned(),
                owner: owner.clone(),
            };
            let metrics_path = service.metrics_path.as_deref().unwrap_or(&self.defaults.metrics_path);
            if !metrics_path.is_empty() {
                targets.scrapes.push(target(metrics_path, ""));
            }
            targets.probes.extend(self.probes(service).iter().map(|check| target(&check.path, &check.name)));
        }
        targets
    }
}

/// An IPv6 address in a URL stands in brackets.
fn bracketed(host: &str) -> String {
    if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load_platform;

    #[test]
    fn documented_ports_and_corrections_give_the_targets() -> Result<(), Vec<crate::ConfigError>> {
        let platform = load_platform("clientnest")?;
        let correction = |url: Option<&str>, ignore| ServiceOverride { url: url.map(str::to_owned), ignore, ..ServiceOverride::default() };
        let corrections = BTreeMap::from([
            ("user-service".to_owned(), correction(Some("https://users.internal/"), false)),
            ("ai-service".to_owned(), correction(None, true)),
        ]);
        let targets = platform.targets("::1", &corrections);
        assert_eq!(targets.scrapes.len(), 10);
        assert_eq!(targets.probes.len(), 40);
        let url = |service: &str| targets.scrapes.iter().find(|t| t.service == service).map(|t| t.url.as_str());
        assert_eq!(url("api-gateway"), Some("http://[::1]:8000/metrics"));
        assert_eq!(url("user-service"), Some("https://users.internal/metrics"));
        assert_eq!(url("ai-service"), None);
        let waiting = platform.targets("", &corrections);
        assert_eq!(waiting.scrapes.len(), 1, "only the one whose address is given");
        Ok(())
    }
}
