//! What holds for every platform that comes with watchfire.

use std::collections::BTreeSet;
use watchfire_config::{Platform, load_platform, platform_names};

/// Threshold ids of each platform, by prefix and number of rows in its document's list.
const ROWS: [(&str, &str, u32); 5] =
    [("clientnest", "CN", 19), ("mediacms", "MC", 11), ("commerce", "CO", 27), ("playnite", "PN", 11), ("sunday", "SU", 12)];

fn platforms() -> Vec<Platform> {
    platform_names()
        .into_iter()
        .map(|name| match load_platform(name) {
            Ok(platform) => platform,
            Err(errors) => panic!("{}", errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n\n")),
        })
        .collect()
}

/// (alert, threshold id, severity) of every alert of a rule file, which writes one field per line.
fn alerts(rules: &str) -> Vec<(String, String, String)> {
    let mut found: Vec<(String, String, String)> = Vec::new();
    for line in rules.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("- alert: ") {
            found.push((name.to_owned(), String::new(), String::new()));
        } else if let (Some(id), Some(last)) = (line.strip_prefix("threshold_id: "), found.last_mut()) {
            last.1 = id.to_owned();
        } else if let (Some(severity), Some(last)) = (line.strip_prefix("severity: "), found.last_mut()) {
            last.2 = severity.to_owned();
        }
    }
    found
}

#[test]
fn the_five_platforms_are_there_and_the_default_comes_first() {
    assert_eq!(platform_names(), ROWS.map(|(name, ..)| name));
}

#[test]
fn every_alert_names_a_threshold_of_its_platform_and_a_severity_that_is_routed() {
    for (platform, (_, prefix, rows)) in platforms().iter().zip(ROWS) {
        let alerts = alerts(&platform.rules);
        assert!(!alerts.is_empty());
        let routed: BTreeSet<&str> = platform.routes.iter().flat_map(|r| r.severities.iter().map(String::as_str)).collect();
        for (alert, id, severity) in &alerts {
            let number = id.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('-')).and_then(|n| n.parse::<u32>().ok());
            assert!(number.is_some_and(|n| (1..=rows).contains(&n)), "{}: {alert} has the threshold {id:?}", platform.name);
            assert!(routed.contains(severity.as_str()), "{}: {alert} is {severity:?}, which goes to nobody", platform.name);
        }
    }
}

#[test]
fn every_row_of_every_document_is_an_alert_an_objective_a_recorded_figure_or_a_requirement_that_says_where_it_is_seen() {
    for (platform, (name, prefix, rows)) in platforms().iter().zip(ROWS) {
        let mut answered: BTreeSet<String> = alerts(&platform.rules).into_iter().map(|(_, id, _)| id).collect();
        answered.extend(platform.objectives.iter().map(|o| o.id.clone()));
        // A recorded figure is named in the comment above it.
        let comments = platform.rules.lines().filter_map(|line| line.trim().strip_prefix("# "));
        answered.extend(comments.filter_map(|c| c.split_once(". ")).map(|(id, _)| id.to_owned()));
        answered.extend(platform.requirements.iter().map(|r| r.id.clone()));
        for number in 1..=rows {
            let id = format!("{prefix}-{number:02}");
            assert!(answered.contains(&id), "{name}: {id} is nowhere");
        }
    }
}

#[test]
fn every_alert_has_tests_and_a_scenario_that_trips_its_threshold() {
    for platform in platforms() {
        let tripped: BTreeSet<&str> = platform.scenarios.iter().flat_map(|s| s.trips.iter().map(String::as_str)).collect();
        for (alert, id, _) in alerts(&platform.rules) {
            assert!(platform.rule_tests.contains(&format!("\"{alert}: ")), "{}: {alert} has no test", platform.name);
            assert!(tripped.contains(id.as_str()), "{}: no scenario trips {id}", platform.name);
        }
        let known: BTreeSet<String> = alerts(&platform.rules).into_iter().map(|(_, id, _)| id).collect();
        for scenario in &platform.scenarios {
            assert!(!scenario.look_for.is_empty() && !scenario.title.is_empty(), "{}/{}", platform.name, scenario.name);
            for id in &scenario.trips {
                assert!(known.contains(id), "{}/{} trips {id}, which no alert has", platform.name, scenario.name);
            }
            for id in &scenario.misses {
                assert!(
                    platform.objectives.iter().any(|o| o.id == *id && o.value.is_some()),
                    "{}/{} misses {id}",
                    platform.name,
                    scenario.name
                );
            }
        }
    }
}

#[test]
fn every_objective_with_a_target_is_missed_in_some_scenario() {
    for platform in platforms() {
        let missed: BTreeSet<&str> = platform.scenarios.iter().flat_map(|s| s.misses.iter().map(String::as_str)).collect();
        for objective in platform.objectives.iter().filter(|o| o.value.is_some()) {
            assert!(missed.contains(objective.id.as_str()), "{}: no scenario misses {}", platform.name, objective.id);
        }
    }
}

#[test]
fn every_breaker_and_every_probe_belongs_to_a_declared_part() {
    for platform in platforms() {
        for breaker in &platform.breakers {
            assert!(
                platform.declared_edges().iter().any(|e| e.client == breaker.service && e.server == breaker.protects),
                "{}: {} never calls {}",
                platform.name,
                breaker.service,
                breaker.protects
            );
        }
        for edge in platform.declared_edges() {
            assert!(platform.node_kind(&edge.client).is_some() && platform.node_kind(&edge.server).is_some());
        }
    }
}

#[test]
fn a_platform_of_ones_own_is_a_directory() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    std::fs::write(
        directory.path().join("platform.toml"),
        "name = \"shop\"\ntitle = \"Shop\"\n[[service]]\nname = \"web\"\nport = 9000\n",
    )?;
    let path = directory.path().display().to_string();
    let platform = load_platform(&path).map_err(|e| format!("{e:?}"))?;
    assert_eq!(platform.services[0].name, "web");
    std::fs::create_dir(directory.path().join("scenarios"))?;
    let scenario = "title = \"x\"\ntrips = []\nlook_for = \"y\"\nlasts = \"1m\"\n[[effect]]\ntarget = \"wbe\"\ndown = true\n";
    std::fs::write(directory.path().join("scenarios/gone.toml"), scenario)?;
    let errors = load_platform(&path).err().ok_or("the scenario names a service that does not exist")?;
    let shown = errors[0].to_string();
    assert!(shown.contains("scenarios/gone.toml:6:10: an effect names `wbe`"), "{shown}");
    assert!(shown.contains("did you mean `web`?"), "{shown}");
    Ok(())
}

#[test]
fn the_json_schema_names_the_keys_that_the_parser_accepts() -> Result<(), Box<dyn std::error::Error>> {
    let schema: serde_json::Value = serde_json::from_str(watchfire_config::platform_schema())?;
    let tables = [
        ("", "/properties"),
        ("[defaults]", "/$defs/Defaults/properties"),
        ("[defaults.retry]", "/$defs/Retry/properties"),
        ("[[defaults.probes]]", "/$defs/Check/properties"),
        ("[[service]]", "/$defs/Service/properties"),
        ("[[store]]", "/$defs/Store/properties"),
        ("[[provider]]", "/$defs/Provider/properties"),
        ("[[queue]]", "/$defs/Queue/properties"),
        ("[[breaker]]", "/$defs/Breaker/properties"),
        ("[[operation]]", "/$defs/Operation/properties"),
        ("[[operation]]\n[[operation.steps]]", "/$defs/Step/properties"),
        ("[[saga]]", "/$defs/Saga/properties"),
        ("[[saga]]\n[[saga.steps]]", "/$defs/SagaStep/properties"),
        ("[[signal]]", "/$defs/Signal/properties"),
        ("[[objective]]", "/$defs/Objective/properties"),
        ("[[route]]", "/$defs/Route/properties"),
        ("[[baseline]]", "/$defs/Baseline/properties"),
        ("[[requirement]]", "/$defs/Requirement/properties"),
    ];
    let directory = tempfile::tempdir()?;
    for (table, pointer) in tables {
        std::fs::write(directory.path().join("platform.toml"), format!("{table}\nqqqqqqqqqqqqqqqqqqqqqqqqqqqq = 1\n"))?;
        let errors = load_platform(&directory.path().display().to_string()).err().ok_or("accepted an unknown key")?;
        let help = errors[0].help.clone().ok_or_else(|| format!("{table}: {}", errors[0]))?;
        let accepted: BTreeSet<String> = help.rsplit("alid here: ").next().unwrap_or("").split(", ").map(str::to_owned).collect();
        let described = schema.pointer(pointer).and_then(|v| v.as_object()).ok_or(pointer)?;
        assert_eq!(accepted, described.keys().cloned().collect(), "{table}");
    }
    Ok(())
}

#[test]
fn a_name_that_is_almost_right_is_recognised() {
    let errors = load_platform("clientnset").map(|p| p.name).unwrap_err();
    assert!(errors[0].help.as_deref().is_some_and(|h| h.contains("did you mean `clientnest`?")), "{errors:?}");
}
