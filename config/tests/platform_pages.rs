//! The pages under `docs/platforms` say what the presets say, and the links in the rules lead somewhere.

#[path = "../examples/platform_pages/keys.rs"]
mod keys;
#[path = "../examples/platform_pages/page.rs"]
mod page;
#[path = "../examples/platform_pages/rules.rs"]
mod rules;
#[path = "../examples/platform_pages/table.rs"]
mod table;

use std::path::Path;
use watchfire_config::{Platform, load_platform, platform_names};

fn platforms() -> impl Iterator<Item = Platform> {
    platform_names().into_iter().map(|name| load_platform(name).unwrap_or_else(|errors| panic!("{errors:?}")))
}

fn committed(platform: &Platform) -> Result<String, Box<dyn std::error::Error>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../docs/platforms/{}.md", platform.name));
    Ok(std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?)
}

#[test]
fn the_pages_are_those_that_the_presets_give() -> Result<(), Box<dyn std::error::Error>> {
    for platform in platforms() {
        let (there, now) = (committed(&platform)?, page::page(&platform)?);
        let differs =
            there.lines().zip(now.lines()).position(|(a, b)| a != b).map_or(there.lines().count().min(now.lines().count()), |n| n);
        assert!(
            there == now,
            "docs/platforms/{}.md differs from its preset from line {} on; write it again with\n\
             cargo run -p watchfire-config --example platform_pages -- docs/platforms",
            platform.name,
            differs + 1
        );
    }
    Ok(())
}

#[test]
fn every_runbook_link_of_a_rule_leads_to_an_anchor() -> Result<(), Box<dyn std::error::Error>> {
    for platform in platforms() {
        let page = committed(&platform)?;
        let mut links = 0;
        for line in platform.rules.lines().map(str::trim) {
            let Some(link) = line.strip_prefix("runbook_url: ") else { continue };
            let (file, anchor) = link.trim_matches('"').split_once('#').ok_or(link)?;
            assert_eq!(file, format!("docs/platforms/{}.md", platform.name));
            assert_eq!(page.matches(&format!("<a id=\"{anchor}\"></a>")).count(), 1, "{}: {anchor}", platform.name);
            links += 1;
        }
        assert!(links > 0);
    }
    Ok(())
}

#[test]
fn every_link_within_a_page_has_its_anchor_and_every_scenario_is_told() -> Result<(), Box<dyn std::error::Error>> {
    for platform in platforms() {
        let page = committed(&platform)?;
        for target in page.split("](#").skip(1).filter_map(|rest| rest.split(')').next()) {
            assert!(page.contains(&format!("<a id=\"{target}\"></a>")), "{}: #{target}", platform.name);
        }
        for scenario in &platform.scenarios {
            assert!(page.contains(&format!("--scenario {}`", scenario.name)), "{}: {}", platform.name, scenario.name);
        }
    }
    Ok(())
}

#[test]
fn the_picture_of_a_page_shows_every_service() -> Result<(), Box<dyn std::error::Error>> {
    for platform in platforms() {
        assert!(committed(&platform)?.contains(&format!("](maps/{}.svg)", platform.name)));
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../docs/platforms/maps/{}.svg", platform.name));
        let picture = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        for service in &platform.services {
            let shown = picture.contains(&format!("{}<", service.name));
            assert!(shown, "{} lacks {}; draw it again as the page says", path.display(), service.name);
        }
    }
    Ok(())
}
