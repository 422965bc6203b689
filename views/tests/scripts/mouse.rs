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
    // Who fails most is what one asks first.
    screen.keys("%").shows("ERR%▾");
    assert!(first(&mut screen).contains("social-service"));
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

/// What is most, newest or first is a letter or a click on its heading away in the lists that are no plain tables, too.
#[test]
fn alerts_and_series_are_ordered_by_letter_key_and_click() {
    let mut screen = Screen::incident();
    let causes = |screen: &mut Screen| -> Vec<String> {
        let text = screen.text();
        let names = ["SocialErrorRateHigh", "DiskFilling", "TrafficUnusual"];
        text.lines().filter_map(|line| names.into_iter().find(|name| line.contains(name))).map(str::to_owned).collect()
    };
    let worst = causes(screen.keys("8"));
    assert_eq!(worst, ["SocialErrorRateHigh", "DiskFilling", "TrafficUnusual"]);
    screen.keys("I").shows("SINCE▾");
    assert_eq!(causes(&mut screen), ["TrafficUnusual", "SocialErrorRateHigh", "DiskFilling"]);
    screen.keys("I").shows("SINCE▴");
    assert_eq!(causes(&mut screen), ["DiskFilling", "SocialErrorRateHigh", "TrafficUnusual"]);
    // What a cause explains stays beneath it.
    let text = screen.text();
    let line = |name: &str| text.lines().position(|l| l.contains(name)).unwrap_or_else(|| panic!("{name}:\n{text}"));
    assert!(line("ContentSlow") > line("SocialErrorRateHigh") && line("ContentSlow") < line("TrafficUnusual"), "{text}");
    screen.keys("I").hides("SINCE▴").event(click(2, 2)).shows("CAUSE▴").keys("<c-r>").shows("CAUSE▾").keys("<c-o>").shows("SINCE▾");
    assert_eq!(causes(screen.keys("III")).len(), 3);

    let mut screen = Screen::incident();
    let series = |screen: &mut Screen| -> Vec<String> {
        let text = screen.text();
        text.lines()
            .filter(|l| l.starts_with(" █"))
            .filter_map(|l| l.split("service=").nth(1))
            .filter_map(|l| l.split_whitespace().next())
            .map(str::to_owned)
            .collect()
    };
    screen.keys("0ix<enter>").shows("SERIES");
    let come = series(&mut screen);
    let by_now = series(screen.keys("N").shows("NOW▾"));
    let mut turned = series(screen.keys("N").shows("NOW▴"));
    turned.reverse();
    assert!(by_now == turned && by_now.len() == come.len() && by_now.len() > 1, "{by_now:?} {turned:?}");
    assert_eq!(series(screen.keys("N").hides("NOW▴")), come);
    // Help promises it only where it works.
    Screen::incident().keys("0?").shows("⇧ letter");
    Screen::incident().keys("4?").hides("⇧ letter");
}

#[test]
fn a_region_of_the_heatmap_is_drawn_with_the_mouse() {
    let mut screen = Screen::incident();
    screen.keys("4").shows("select region");
    let up = |column, row| mouse(MouseEventKind::Up(MouseButton::Left), column, row);
    screen.event(click(60, 5)).event(up(60, 5)).shows("select region");
    screen.event(click(60, 5)).event(up(80, 9)).shows("unselect");
    let region = screen.text().lines().find(|l| l.starts_with(" region") || l.starts_with(" cursor")).map(str::to_owned);
    assert!(region.as_ref().is_some_and(|line| line.contains(" to ") && line.contains("spans")), "{region:?}");
    // What was drawn is what is explained, and letting go outside of the heatmap is nothing.
    screen.event(up(1, 0)).keys("r").shows("selected spans against");
}
