//! Clicks and the wheel.

use super::fixture::screen::Screen;
use crossterm::event::{KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use watchfire_views::Event;

fn mouse(kind: MouseEventKind, column: u16, row: u16) -> Event {
    Event::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE })
}

fn click(column: u16, row: u16) -> Event {
    mouse(MouseEventKind::Down(MouseButton::Left), column, row)
}

/// Clicks the last line that holds `text`.
fn click_on(screen: &mut Screen, text: &str) {
    let shown = screen.text();
    let row = shown.lines().collect::<Vec<_>>().iter().rposition(|line| line.contains(text));
    let row = row.unwrap_or_else(|| panic!("`{text}` is not on screen:\n{shown}")) as u16;
    screen.event(click(12, row));
}

#[test]
fn sorting_by_letter_click_and_wheel() {
    let mut screen = Screen::incident();
    let first = |screen: &mut Screen| screen.text().lines().nth(3).map(str::to_owned).unwrap_or_default();
    screen.keys("R").shows("RATE▾");
    assert!(first(&mut screen).contains("api-gateway"));
    screen.keys("R").shows("RATE▴").keys("R").hides("RATE▴");
    screen.event(click(3, 2)).shows("SERVICE▴");
    screen.event(mouse(MouseEventKind::ScrollDown, 3, 5));
    screen.event(click(40, 1)).shows("OLDEST");
}

#[test]
fn in_every_list_a_second_click_opens_what_the_first_one_selected() {
    for (keys, row, opened) in [
        ("1", "● user-service", "Services › Service"),
        ("3", "POST /api/content/posts", "trace 4bf9"),
        ("8", "QueueBacklog", "Alerts › why"),
        ("L", "request 1020", "INFO api-gateway"),
        ("0", "queue depth", "› watchfire_queue_depth"),
    ] {
        let mut screen = Screen::incident();
        screen.keys(keys).keys("j");
        click_on(&mut screen, row);
        let before = screen.text();
        assert!(!before.contains(opened), "a click only selects:\n{before}");
        click_on(&mut screen, row);
        screen.shows(opened);
    }
}

#[test]
fn the_wheel_scrolls_help_and_walks_through_the_palette() {
    let mut screen = Screen::incident();
    screen.keys("?").shows("in Services");
    screen.event(mouse(MouseEventKind::ScrollDown, 9, 9)).hides("in Services");
    screen.event(mouse(MouseEventKind::ScrollUp, 9, 9)).shows("in Services");
    // Keys of lists move it, no further than its end, and the next key up is seen at once.
    screen.keys("G").hides("in Services");
    let end = screen.text();
    assert_ne!(screen.keys("k").text(), end);
    screen.keys("g").shows("in Services").keys("x").hides("in Services");
    screen.keys("<c-p>").event(mouse(MouseEventKind::ScrollDown, 9, 9)).keys("<enter>").shows("nodes");
}
