//! What a platform declares is what its demo shows, soon: every service and every call, and none besides.

use super::held::held;
use std::collections::BTreeSet;
use std::time::Duration;
use watchfire_config::load_platform;
use watchfire_model::reading::{Reading, Request, Source};

#[test]
fn every_declared_service_and_call_is_seen_within_twenty_seconds_and_no_other() {
    for name in ["clientnest", "mediacms", "commerce", "playnite", "sunday"] {
        let platform = load_platform(name).expect("a preset");
        let calm = platform.scenarios.first().expect("a scenario").name.clone();
        let (source, _) = held(name, &calm, Duration::from_secs(20), |_, _, _| {}).expect("the demo runs");
        let Ok(Reading::Map(map)) = source.read(&Request::Map, None) else { panic!("{name}: no map") };
        let odd = map.edges.iter().filter(|e| !e.declared || !e.observed).map(|e| (e.client.as_str(), e.server.as_str()));
        assert_eq!(odd.collect::<Vec<_>>(), [], "{name}: only declared, or only observed");
        let seen: BTreeSet<&str> = map.nodes.iter().filter(|n| n.observed).map(|n| n.name.as_str()).collect();
        let unseen = platform.services.iter().map(|s| s.name.as_str()).filter(|service| !seen.contains(service));
        assert_eq!(unseen.collect::<Vec<_>>(), [] as [&str; 0], "{name}");
    }
}
