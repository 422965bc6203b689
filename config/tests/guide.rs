//! What `docs/your-own-platform.md` tells people to write is accepted as it stands there.

use std::collections::BTreeSet;
use std::path::Path;
use watchfire_config::{Config, load_platform};

const GUIDE: &str = include_str!("../../docs/your-own-platform.md");

/// (path, text) of every file that the guide shows: a line with the path alone, then the block.
fn files() -> Vec<(&'static str, &'static str)> {
    let mut found = Vec::new();
    for part in GUIDE.split("\n`shop/").skip(1) {
        let (Some((path, rest)), Some(block)) = (part.split_once("`\n\n```"), part.split("```").nth(1)) else { continue };
        if !path.contains('\n') && !rest.is_empty() {
            found.push((path, block.split_once('\n').map_or("", |(_, text)| text)));
        }
    }
    found
}

fn written() -> Result<tempfile::TempDir, std::io::Error> {
    let directory = tempfile::tempdir()?;
    for (path, text) in files() {
        let path = directory.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
        std::fs::write(path, text)?;
    }
    Ok(directory)
}

#[test]
fn the_guide_shows_every_kind_of_file() {
    let paths: BTreeSet<&str> = files().into_iter().map(|(path, _)| path).collect();
    let kinds =
        ["platform.toml", "rules.yaml", "rules.test.yaml", "scenarios/payments_down.toml", "config.toml", "dialects/shop_fuse_state.toml"];
    assert_eq!(paths, BTreeSet::from(kinds));
}

#[test]
fn the_platform_of_the_guide_is_valid_and_its_parts_fit_together() -> Result<(), Box<dyn std::error::Error>> {
    let directory = written()?;
    let platform = load_platform(&directory.path().display().to_string())
        .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
    assert_eq!(platform.name, "shop");
    assert!(platform.declared_edges().iter().any(|e| e.client == "orders" && e.server == "payments"));
    assert_eq!(platform.scenarios.len(), 1);
    let scenario = &platform.scenarios[0];
    for id in &scenario.trips {
        assert!(platform.rules.contains(&format!("threshold_id: {id}\n")), "no rule has {id}");
    }
    for id in &scenario.misses {
        assert!(platform.objectives.iter().any(|o| o.id == *id), "no objective has {id}");
    }
    let alerts = platform.rules.lines().filter_map(|l| l.trim().strip_prefix("- alert: "));
    for alert in alerts {
        assert!(platform.rule_tests.contains(&format!("alertname=\"{alert}\"")), "{alert} has no test");
    }
    Ok(())
}

#[test]
fn the_configuration_of_the_guide_is_valid_and_corrects_a_service_of_its_platform() -> Result<(), Box<dyn std::error::Error>> {
    let directory = written()?;
    let loaded = Config::load(Some(&directory.path().join("config.toml")), [], [])
        .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
    let config = loaded.config;
    // The guide's platform lies beside its configuration.
    let named = config.platform.as_deref().ok_or("no platform is named")?;
    assert_eq!(std::fs::canonicalize(named)?, std::fs::canonicalize(directory.path())?);
    assert_eq!((config.receivers.len(), config.person.len(), config.team.len(), config.route.len()), (2, 1, 1, 3));
    let platform = load_platform(named).map_err(|e| format!("{e:?}"))?;
    let targets = platform.targets(&config.platform_host, &config.services);
    let urls: Vec<&str> = targets.scrapes.iter().map(|t| t.url.as_str()).collect();
    assert_eq!(urls, ["http://127.0.0.1:9000/metrics", "http://orders.internal:9001/metrics", "http://127.0.0.1:9002/metrics"]);
    Ok(())
}

#[test]
fn every_key_of_the_platform_that_the_guide_shows_is_in_the_json_schema() -> Result<(), Box<dyn std::error::Error>> {
    let schema: serde_json::Value = serde_json::from_str(watchfire_config::platform_schema())?;
    let text = files().into_iter().find(|(path, _)| *path == "platform.toml").map(|(_, text)| text).ok_or("no platform")?;
    let table: toml::Table = text.parse()?;
    for key in table.keys() {
        assert!(schema.pointer(&format!("/properties/{key}")).is_some(), "{key}");
    }
    Ok(())
}
