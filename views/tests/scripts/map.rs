//! The map by keys and by mouse.

use super::fixture::screen::Screen;
use super::fixture::{Situation, answer, app};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use watchfire_model::HealthState;
use watchfire_model::reading::{Edge, Map, Node, NodeKind};
use watchfire_model::{Reading, Request};
use watchfire_views::{Effect, Event, Options};

#[test]
fn the_map_focuses_and_shows_the_blast_radius() {
    let mut screen = Screen::incident();
    screen
        .keys("2")
        .shows("a failure reaches")
        .keys("f")
        .shows("1 hop round social-service")
        .hides("redis")
        .keys("+")
        .shows("2 hops")
        .keys("<esc>")
        .shows("redis");
    screen.keys("n").shows("core/*").keys("n").keys("v").keys("b");
    screen.keys(":export dot<enter>");
    assert!(screen.effects.iter().any(|e| matches!(e, Effect::Save { name, text } if name == "map.dot" && text.starts_with("digraph"))));
    screen.keys(":export pdf<enter>").shows("cannot write a map as pdf");
}

#[test]
fn keys_and_clicks_find_their_node_on_a_map_that_changed_since_it_was_drawn() {
    let Ok(Reading::Map(whole)) = answer(&Request::Map, Situation::Incident) else { panic!("a map") };
    let mut services: Vec<_> = whole.nodes.iter().filter(|n| n.kind == NodeKind::Service).cloned().collect();
    services.sort_by(|a, b| a.name.cmp(&b.name));
    let last = services.last().expect("services").clone();
    let few = Map { nodes: vec![services[0].clone(), last.clone()], edges: Vec::new() };
    let seen = |selected: &str, before: &Map, after: &Map| {
        let mut app = app(Situation::Incident, Options::default());
        app.order(&format!("map {selected}"));
        app.receive(&Request::Map, Ok(Reading::Map(before.clone())));
        let drawn = app.frame_text(200, 50);
        app.receive(&Request::Map, Ok(Reading::Map(after.clone())));
        (app, drawn)
    };
    for (before, after) in [(&few, &whole), (&whole, &few)] {
        for key in [KeyCode::Down, KeyCode::Up, KeyCode::Right, KeyCode::Left, KeyCode::Home, KeyCode::End] {
            let (mut app, _) = seen(&last.name, before, after);
            app.handle(Event::Key(KeyEvent::new(key, KeyModifiers::NONE)));
        }
        let (mut app, drawn) = seen(&services[0].name, before, after);
        let place = drawn.lines().enumerate().skip(3).find_map(|(y, line)| {
            let at = line.find(&last.name)?;
            Some((line[..at].chars().count() as u16, y as u16))
        });
        let (column, row) = place.expect("it is drawn");
        let kind = MouseEventKind::Down(MouseButton::Left);
        app.handle(Event::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE }));
        app.handle(Event::Key(KeyEvent::new(KeyCode::Enter, KeyModifiers::NONE)));
        let text = app.frame_text(200, 50);
        assert!(text.lines().nth(2).is_some_and(|crumbs| crumbs.ends_with(&last.name)), "{text}");
    }
}

/// Two hundred services as one drawing are mostly lines: the drawing begins round what is wrong, and says what it leaves out.
#[test]
fn the_drawing_of_a_large_map_begins_round_the_selected_node() {
    let name = |i: usize| format!("service-{i:03}");
    let node = |i: usize| Node {
        name: name(i),
        state: if i == 77 { HealthState::Unhealthy } else { HealthState::Healthy },
        observed: true,
        ..Node::default()
    };
    let edge = |i: usize| Edge { client: name(i / 3), server: name(i), observed: true, rate: Some(1.0), ..Edge::default() };
    let large = Map { nodes: (0..200).map(node).collect(), edges: (1..200).map(edge).collect() };
    let mut app = app(Situation::Incident, Options::default());
    let mut shown = |keys: &[KeyCode]| {
        for key in keys {
            app.handle(Event::Key(KeyEvent::new(*key, KeyModifiers::NONE)));
            app.receive(&Request::Map, Ok(Reading::Map(large.clone())));
            app.frame_text(80, 24);
        }
        app.frame_text(80, 24)
    };
    let tree = shown(&[KeyCode::Char('2')]);
    assert!(tree.contains("CALLS") && tree.contains("200 nodes"), "{tree}");
    let drawn = shown(&[KeyCode::Char('v')]);
    assert!(drawn.contains("1 hop round service-077") && drawn.contains("│ ✖ service-077 │") && !drawn.contains("CALLS"), "{drawn}");
    assert!(drawn.contains("service-025") && drawn.contains("2 nodes, 1 edge"), "{drawn}");
    let tree = shown(&[KeyCode::Char('v')]);
    assert!(tree.contains("CALLS") && tree.contains("200 nodes"), "the focus came with the drawing and goes with it: {tree}");
    // Who asks for all of it gets it, and a focus of one's own stays.
    let whole = shown(&[KeyCode::Char('v'), KeyCode::Char('f')]);
    assert!(!whole.contains("CALLS") && whole.contains("200 nodes"), "{whole}");
    let tree = shown(&[KeyCode::Char('f'), KeyCode::Char('v')]);
    assert!(tree.contains("CALLS") && tree.contains("1 hop round service-077"), "{tree}");
}
