//! From a fault to a popup and to its end, in real time: the real program against a real notification service (python3-dbusmock's) on a session
//! bus of its own. Skipped, and said so, where dbus-daemon or python3-dbusmock is not installed.

use crate::instance::Watchfire;
use std::time::Duration;
use watchfire_testkit::DesktopSession;

/// One row of each document: platform, scenario, and what the popup says.
const ROWS: [(&str, &str, &str); 5] = [
    ("clientnest", "queue_backlog", "QueueBacklog: queue-service"),
    ("mediacms", "replication_lag", "HighReplicationLag: content-service"),
    ("commerce", "resource_pressure", "ResourceEfficiencyMissed"),
    ("playnite", "database_check_fails", "DependencyUnhealthy"),
    ("sunday", "kafka_silence", "ConsumerGroupSilent: collaboration-service"),
];
/// Scenarios last some 75 s; the rest is for loaded machines.
const PATIENCE: Duration = Duration::from_secs(240);

#[test]
fn a_fault_on_each_platform_pops_up_and_its_end_too() {
    let Some(mut session) = DesktopSession::start() else { return };
    if !session.serve() {
        return;
    }
    let running: Vec<Watchfire> = ROWS.map(|(platform, scenario, _)| Watchfire::demo(platform, scenario, session.address())).into();
    let mut waiting: Vec<String> =
        ROWS.iter().flat_map(|(_, _, what)| [format!("[FIRING] {what}"), format!("[RESOLVED] {what}")]).collect();
    session.popups_until(PATIENCE, |popups| {
        waiting.retain(|text| match popups.iter().find(|(_, call)| call.contains(text.as_str())) {
            Some((at, _)) => {
                println!("{text} after {:.1} s", at.as_secs_f64());
                false
            }
            None => true,
        });
        waiting.is_empty()
    });
    assert!(waiting.is_empty(), "never shown: {waiting:?}; said: {:#?}", session.calls());
    drop(running);
}
