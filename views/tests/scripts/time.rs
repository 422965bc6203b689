//! Which time is on screen, and that nothing of another one is.

use super::fixture::screen::Screen;
use super::fixture::{NOW, Situation, answer, app};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use watchfire_model::{Request, Timestamp};
use watchfire_views::{Effect, Event, Options};

#[test]
fn nothing_of_another_time_is_shown_under_the_cursor() {
    let mut app = app(Situation::Incident, Options::default());
    let press = |app: &mut watchfire_views::App, key: char| app.handle(Event::Key(KeyEvent::new(KeyCode::Char(key), KeyModifiers::NONE)));
    press(&mut app, '5');
    app.receive(&Request::Queues, answer(&Request::Queues, Situation::Incident));
    assert!(app.frame_text(100, 30).contains("1.40k"), "{}", app.frame_text(100, 30));
    press(&mut app, 'j');
    press(&mut app, '1');
    app.order("at -10m");
    press(&mut app, '5');
    let text = app.frame_text(100, 30);
    assert!(text.contains("reading …") && !text.contains("1.40k"), "queues of now, said to be of then:\n{text}");
    // The map keeps what it drew, and must not draw it as of another time.
    press(&mut app, '2');
    app.receive(&Request::Map, answer(&Request::Map, Situation::Incident));
    assert!(app.frame_text(100, 30).contains("social-service"));
    press(&mut app, '5');
    app.order("live");
    app.order("map api-gateway");
    let text = app.frame_text(100, 30);
    assert!(text.contains("reading …") && !text.contains("social-service"), "a map of then, said to be of now:\n{text}");
    app.order("at -10m");
    press(&mut app, '5');
    // The row that was chosen is still the one when the answer comes.
    app.receive(&Request::Queues, answer(&Request::Queues, Situation::Incident));
    let text = app.frame_text(100, 30);
    assert!(text.contains("analytics_processing  ●"), "{text}");
}

#[test]
fn one_time_cursor_for_every_view() {
    let mut screen = Screen::incident();
    screen.keys(",,").shows("‖ at 03:12:14 UTC  -30s");
    assert_eq!(screen.app.at(), Some(Timestamp::from_millis(NOW.millis() - 30_000)));
    screen.keys("5").shows("‖ at 03:12:14 UTC").keys(":at 03:10<enter>").shows("‖ at 03:10:00 UTC  -2m44s");
    screen.keys("<end>").shows("● live");
    assert_eq!(screen.app.at(), None);
    screen.keys("1{").shows("‖ at 03:10:31 UTC").keys("{").shows("‖ at 03:10:04 UTC").keys("}").shows("‖ at 03:10:31 UTC");
    screen.keys("}").shows("● live").keys("{").shows("‖ at 03:10:31 UTC");
    screen.keys(">").shows("● live");
    assert!(screen.asked(&Effect::Refresh));
    // In a view that lists no changes they are read first.
    let mut screen = Screen::incident();
    screen
        .keys("5:at -1m<enter>{")
        .event(Event::Tick(NOW))
        .shows("‖ at 03:10:31 UTC")
        .keys("{")
        .event(Event::Tick(NOW))
        .shows("‖ at 03:10:04 UTC");
}

#[test]
fn freezing_holds_and_counts_what_arrives() {
    let mut screen = Screen::incident();
    screen.keys("<space>").shows("‖ frozen at 03:12:44");
    // The key came later than the figures.
    screen.app.handle(Event::Key(KeyEvent::new(KeyCode::Char(' '), KeyModifiers::NONE)));
    screen.app.handle(Event::Tick(NOW.saturating_add(std::time::Duration::from_secs(3))));
    screen.app.handle(Event::Key(KeyEvent::new(KeyCode::Char(' '), KeyModifiers::NONE)));
    screen.shows("‖ frozen at 03:12:44");
    let calm = answer(&Request::Services, Situation::Calm);
    screen.app.receive(&Request::Services, calm);
    screen.shows("breaker facebook open 2m").shows(" held");
    screen.app.handle(Event::Key(KeyEvent::new(KeyCode::Char(' '), KeyModifiers::NONE)));
    screen.shows("● live").hides("breaker facebook open 2m");
}

#[test]
fn times_are_shown_and_read_in_the_zone_of_the_person() {
    let zone = watchfire_views::Zone::named("Asia/Kolkata").expect("a zone");
    let options = Options { zone, ..Options::default() };
    let mut screen = Screen { app: app(Situation::Incident, options), effects: Vec::new() };
    screen.shows("● live 08:42:44 IST").shows("What changed since 08:31").shows("08:40:31");
    screen.keys(":at 08:40<enter>").shows("‖ at 08:40:00 IST  -2m44s").keys(":at 03:09Z<enter>").shows("‖ at 08:39:00 IST");
    screen.keys("<end>3").shows("08:42:02.100").keys("<enter>").shows("08:42:02.114");
    screen.keys("L").shows("08:42:35.000 ERROR");
}
