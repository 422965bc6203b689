//! What is shown at t is what was shown live at t: frames of an incident, drawn while it happened and again with the time cursor.

use super::EPOCH;
use super::held::{BEHIND, SCREENS, held, read, screen};
use crate::local::LocalSource;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use std::time::Duration;
use watchfire_model::Timestamp;
use watchfire_views::Event;

/// Seconds of the scenario: calm, as it begins, in the midst, as it ends.
const MOMENTS: [u64; 4] = [45, 75, 121, 190];

/// A command and the keys that go on from there.
type Way = (&'static str, &'static str);
/// When, which screen in which size, and its lines.
type Shown = (Timestamp, Way, (u16, u16), Vec<String>);

/// The frame of a screen without its first and last line: the clock and the keys differ by design.
fn frame(source: &LocalSource, (name, keys): Way, size: (u16, u16), now: Timestamp, at: Option<Timestamp>) -> Vec<String> {
    let mut app = screen(source, name, size, now, at);
    for key in keys.chars() {
        let code = if key == '\n' { KeyCode::Enter } else { KeyCode::Char(key) };
        app.handle(Event::Key(KeyEvent::new(code, KeyModifiers::NONE)));
        for _ in 0..2 {
            read(&mut app, source);
            app.frame_text(size.0, size.1);
        }
    }
    let text = app.frame_text(size.0, size.1);
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines[1..lines.len() - 1].to_vec()
}

#[test]
fn what_is_shown_at_a_moment_is_what_was_shown_then() {
    let sizes = [(80, 24), (200, 50)];
    let mut live: Vec<Shown> = Vec::new();
    let lasts = Duration::from_secs(MOMENTS[MOMENTS.len() - 1] + 40);
    let (source, now) = held("clientnest", "database_outage", lasts, |source, now, seconds| {
        if MOMENTS.contains(&seconds) {
            for screen in SCREENS.map(|name| (name, "")).into_iter().chain(BEHIND) {
                live.extend(sizes.map(|size| (now, screen, size, frame(source, screen, size, now, None))));
            }
        }
    })
    .expect("the demo runs");
    let text = |screen: &str, size| live.iter().filter(|l| l.1 == (screen, "") && l.2 == size).map(|l| l.3.join("\n")).collect::<Vec<_>>();
    assert!(text("alerts", sizes[0]).iter().any(|f| f.contains("HighErrorRate")), "the incident is in the frames");
    assert!(text("breakers", sizes[0]).iter().any(|f| f.contains("IN SERVICE")), "the breakers are in the frames");

    let mut differences = Vec::new();
    for (at, screen, size, before) in &live {
        let after = frame(&source, *screen, *size, now, Some(*at));
        for (row, (before, after)) in before.iter().zip(&after).enumerate().filter(|(_, (before, after))| before != after) {
            differences.push(format!("{screen:?} {size:?} +{}s row {row}\n  live {before}\n  then {after}", at.since(EPOCH).as_secs()));
        }
    }
    assert!(differences.is_empty(), "{} rows differ:\n{}", differences.len(), differences.join("\n"));

    // Nothing of now is shown from before the run began, and it is said that nobody was there.
    let before = screen(&source, "services", sizes[1], now, Some(EPOCH.saturating_sub(Duration::from_secs(600)))).frame_text(200, 50);
    assert!(
        before.contains("watchfire was not running then: it started ") && !before.contains("B of") && !before.contains("SIMULATED"),
        "{before}"
    );
    let before = screen(&source, "alerts", sizes[1], now, Some(EPOCH.saturating_sub(Duration::from_secs(600)))).frame_text(200, 50);
    assert!(before.contains("no alert is known of then") && !before.contains("nothing fires"), "{before}");
    let unseen = EPOCH.saturating_add(Duration::from_secs(MOMENTS[0] / 2));
    let unseen = screen(&source, "services", sizes[1], now, Some(unseen)).frame_text(200, 50);
    assert!(unseen.contains("rebuilt from series alone"), "{unseen}");
    let header = screen(&source, "services", sizes[1], now, None).frame_text(200, 50);
    assert!(header.contains("B of"), "{header}");
}
