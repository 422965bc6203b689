//! What a screen says of what it cannot show, does not know exactly, or was refused.

use super::fixture::screen::Screen;
use super::fixture::{NOW, Situation, answer, feed};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use std::time::Duration;
use watchfire_model::reading::{Explanation, QueryResult, QuerySeries, ReadError};
use watchfire_model::{HealthState, Labels, Reading, Request};
use watchfire_views::{App, Event, Options};

/// The other side came back with another token, or is another version: it is there, and says no.
#[test]
fn a_source_that_refuses_says_what_it_refuses_and_what_to_do() {
    for lost_before in [false, true] {
        let mut screen = Screen::incident();
        let Ok(Reading::Status(mut status)) = answer(&Request::Status, Situation::Incident) else { panic!("status") };
        status.disconnected_since = lost_before.then_some(status.now);
        screen.app.receive(&Request::Status, Ok(Reading::Status(status)));
        let why = "http://watch:9499 refuses the token: set WATCHFIRE_TOKEN to its security.token and attach again";
        screen.app.receive(&Request::Status, Err(ReadError::BadRequest(why.into())));
        // Ages do not go on where nothing is read.
        screen.app.handle(Event::Tick(NOW.saturating_add(Duration::from_secs(600))));
        screen.shows("✖ refused, frozen at 03:12:44").hides("disconnected").shows("3m12s");
        screen.shows("▲ http://watch:9499 refuses the token: set WATCHFIRE_TOKEN").shows("to its security.token");
    }
}

#[test]
fn a_service_whose_name_is_a_blank_can_be_seen() {
    let mut screen = Screen::incident();
    let Ok(Reading::Services(mut reading)) = answer(&Request::Services, Situation::Incident) else { panic!("services") };
    reading.services[0].name = " ".into();
    screen.app.receive(&Request::Services, Ok(Reading::Services(reading)));
    screen.shows(" \u{2420} ");
}

#[test]
fn a_window_that_is_too_small_says_so_in_whole_words() {
    let mut screen = Screen::incident();
    let words = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
    for (width, height) in [(20, 6), (39, 9), (12, 8), (200, 3)] {
        let expected = format!("watchfire needs 40x10 this window is {width}x{height}, make it larger");
        assert_eq!(words(screen.app.frame_text(width, height)), expected);
    }
    for width in 0..40 {
        for height in 0..10 {
            screen.app.frame_text(width, height);
        }
    }
}

#[test]
fn explore_says_which_values_are_no_numbers_and_what_is_gone() {
    let mut screen = Screen::incident();
    screen.keys("0ix<enter>");
    let asked = screen.app.wants().into_iter().find(|r| matches!(r, Request::QueryRange { .. })).expect("asked");
    let Request::QueryRange { end, .. } = asked else { panic!("a range") };
    let series = |name: &str, at, value, last: Option<&str>| QuerySeries {
        labels: Labels::from_pairs([("service", name)]),
        points: vec![(at, value)],
        last: last.map(str::to_owned),
    };
    let before = end.saturating_sub(Duration::from_secs(600));
    let all = vec![
        series("a", end, None, Some("NaN")),
        series("b", end, None, Some("+Inf")),
        series("c", end, None, Some("count 12 sum 3.4")),
        series("d", before, Some(7.0), None),
        series("e", end, Some(8.0), None),
    ];
    screen.app.receive(&asked, Ok(Reading::QueryRange(QueryResult { series: all, ..QueryResult::default() })));
    let text = screen.text();
    let ends =
        |name: &str| text.lines().find(|l| l.contains(&format!("service={name}"))).map(|l| l.trim_end().to_owned()).unwrap_or_default();
    for (name, shown) in [("a", " NaN"), ("b", " +Inf"), ("c", " count 12 sum 3.4"), ("d", " 7.00      7.00         –"), ("e", " 8.00")] {
        assert!(ends(name).ends_with(shown), "{name} should end with {shown:?}:\n{text}");
    }
}

#[test]
fn the_map_finds_what_a_focus_hides_and_forgets_what_it_could_not_find() {
    let mut screen = Screen::incident();
    screen.keys("2f").shows("1 hop round social-service").hides("redis");
    screen.keys(":map redis<enter>").hides("is not on the map").hides("hop round").shows("redis");
    screen.keys(":map nowhere<enter>").shows("nowhere is not on the map").keys("f").hides("is not on the map");
}

#[test]
fn a_change_that_is_known_roughly_says_so() {
    let mut screen = Screen::incident();
    screen.keys("c").shows("~03:09:40").shows("~ up to 40s earlier").hides("~03:10:31");
}

#[test]
fn the_blast_radius_names_whom_it_reaches_also_beyond_a_focus() {
    let mut screen = Screen::incident();
    let reached = |screen: &mut Screen| {
        let text = screen.text();
        text.lines()
            .nth(2)
            .and_then(|l| l.split("a failure reaches ").nth(1))
            .map(|l| l.trim().to_owned())
            .unwrap_or_else(|| panic!("{text}"))
    };
    screen.keys(":map redis<enter>b");
    let whole = reached(&mut screen);
    assert!(whole.contains("api-gateway"), "{whole}");
    screen.keys("f");
    assert_eq!(reached(&mut screen), whole);
    screen.keys("<esc>").hides("› a failure reaches");
}

#[test]
fn explore_counts_what_a_filter_leaves() {
    let mut screen = Screen::incident();
    screen.keys("0ix<enter>").shows("3 series, last").keys("/label.service=api-gateway<enter>").shows("1 of 3 series, last");
    screen.keys("/<c-u>nothing=1<enter>").shows("label.NAME");
}

#[test]
fn context_is_refused_where_nothing_is_filtered() {
    let mut screen = Screen::incident();
    screen.keys("L+").shows("✖ all lines are shown").hides("line round each");
    // It ends with its filter, and templates have no neighbours.
    screen.keys("/error<enter>+").shows("with 1 line round each").keys("p").hides("line round each");
    let asked = screen.app.wants().into_iter().find_map(|r| if let Request::Logs(query) = r { Some(query) } else { None });
    assert_eq!(asked.and_then(|query| query.severity).as_deref(), Some("ERROR"));
    screen.keys("p").shows("with 1 line round each").keys("<esc>").hides("line round each");
}

/// An empty corner of the heatmap has nothing in common.
#[test]
fn a_selection_without_spans_says_so_and_what_to_do() {
    let mut screen = Screen::incident();
    screen.keys("4r").shows("OVER-REPRESENTED");
    let asked = screen.app.wants().into_iter().find(|r| matches!(r, Request::Explain(_))).expect("it is asked");
    let nothing = Explanation { others: 1430, ..Explanation::default() };
    screen.app.receive(&asked, Ok(Reading::Explain(nothing)));
    let text = screen.app.frame_text(80, 24);
    assert!(text.contains("no span lies there") && !text.contains("sets the selected spans apart"), "{text}");
}

#[test]
fn an_alerts_page_says_on_the_smallest_screen_whether_it_fires() {
    let mut screen = Screen::incident();
    screen.keys("8<enter>");
    assert!(screen.app.frame_text(40, 10).contains("firing 2m42s"), "{}", screen.app.frame_text(40, 10));
    let Ok(Reading::Alerts(mut alerts)) = answer(&Request::Alerts, Situation::Incident) else { panic!("alerts") };
    for alert in &mut alerts.alerts {
        alert.name = "サービス".repeat(25);
    }
    screen.app.receive(&Request::Alerts, Ok(Reading::Alerts(alerts)));
    for width in 40..120 {
        let text = screen.app.frame_text(width, 10);
        assert!(text.contains("firing 2m42s"), "{width}: {text}");
    }
}

/// `e` visits what is wrong in the order of the rows, from the one that is selected at first.
#[test]
fn the_next_problem_of_the_map_is_the_next_row_that_is_not_fine() {
    let mut screen = Screen::incident();
    let Ok(Reading::Map(mut map)) = answer(&Request::Map, Situation::Incident) else { panic!("a map") };
    map.nodes.iter_mut().for_each(|n| n.state = HealthState::Unhealthy);
    let count = map.nodes.len();
    screen.keys("2v");
    screen.app.receive(&Request::Map, Ok(Reading::Map(map)));
    let mut visited = std::collections::BTreeSet::new();
    for _ in 1..count {
        let text = screen.text();
        let selected = text.lines().rev().nth(3).filter(|l| l.contains("errors  p95")).unwrap_or_else(|| panic!("left the map:\n{text}"));
        visited.insert(selected.to_owned());
        screen.app.handle(Event::Key(KeyEvent::new(KeyCode::Char('e'), KeyModifiers::NONE)));
    }
    assert_eq!(visited.len(), count - 1, "{visited:#?}");
}

/// The long window says that it matters, the short one that it has not stopped; only both wake somebody.
#[test]
fn an_objective_pages_only_while_it_still_burns() {
    let mut screen = Screen::incident();
    screen.keys("9").shows("1h 18.4x 5m 20.2x of 14.4 page");
    let Ok(Reading::Slo(mut slo)) = answer(&Request::Slo, Situation::Incident) else { panic!("objectives") };
    for (window, value) in slo.objectives.iter_mut().flat_map(|o| &mut o.burn_rates) {
        if matches!(window.as_str(), "5m" | "30m") {
            *value = Some(0.2);
        }
    }
    screen.app.receive(&Request::Slo, Ok(Reading::Slo(slo.clone())));
    screen.shows("1h 18.4x 5m 0.20x of 14.4").hides(" page");
    // Over a week the same share of the budget is gone at 3.36 times the even pace; from more than that, not from that on.
    for (burn, pages) in [(3.36, false), (3.37, true)] {
        for objective in &mut slo.objectives {
            objective.burn_limits[0].factor = 3.36;
            objective.burn_rates = ["1h", "5m"].map(|window| (window.to_owned(), Some(burn))).to_vec();
        }
        screen.app.receive(&Request::Slo, Ok(Reading::Slo(slo.clone())));
        screen.shows("of 3.36");
        assert_eq!(screen.text().contains("of 3.36 page"), pages, "{burn}");
    }
}

/// Before the first tick no time is known; that is no reason to forget it at once.
#[test]
fn what_is_told_before_the_first_tick_stays_for_a_while() {
    let mut app = App::new(Options::default()).expect("the default options");
    app.tell("this is a demo");
    app.order("nonsense");
    for (seconds, shown) in [(0, true), (5, true), (7, false)] {
        app.handle(Event::Tick(NOW.saturating_add(Duration::from_secs(seconds))));
        assert_eq!(app.frame_text(80, 24).contains("no command `nonsense`"), shown, "after {seconds} s");
    }
}

/// A view that was never read, or long ago, is no proof that nothing is wrong there.
#[test]
fn that_no_view_has_a_problem_is_said_when_all_have_been_read() {
    for (situation, shown) in [(Situation::Incident, "breaker facebook open"), (Situation::Calm, "no problem known in any view")] {
        let mut app = App::new(Options::default()).expect("the default options");
        app.handle(Event::Tick(NOW));
        app.receive(&Request::Status, answer(&Request::Status, situation));
        // It was calm when alerts were looked at last.
        app.receive(&Request::Alerts, answer(&Request::Alerts, Situation::Calm));
        app.order("explore");
        app.handle(Event::Key(KeyEvent::new(KeyCode::Char('e'), KeyModifiers::NONE)));
        let text = app.frame_text(100, 30);
        assert!(text.contains("looking for problems") && !text.contains("no problem"), "{text}");
        for request in app.wants() {
            app.receive(&request, answer(&request, situation));
        }
        app.handle(Event::Tick(NOW.saturating_add(Duration::from_secs(1))));
        let text = app.frame_text(100, 30);
        assert!(text.contains(shown) && !text.contains("looking"), "{text}");
    }
}

/// Names are what a row is about; on the smallest screen figures go before they do.
#[test]
fn the_smallest_screen_names_operations_series_objectives_and_says_what_a_line_says() {
    let small = |keys: &str| {
        let mut screen = Screen::incident();
        screen.keys(keys);
        for _ in 0..2 {
            screen.app.frame_text(40, 10);
            feed(&mut screen.app, Situation::Incident);
        }
        screen.app.frame_text(40, 10)
    };
    // Half of the lines below the crumbs are of the list.
    let top = small("1<enter>");
    let listed = top.lines().skip(5).filter(|line| ["ALERTS", "SocialError", "BREAKERS"].iter().any(|part| line.contains(part)));
    assert_eq!(listed.count(), 3, "{top}");
    let pages: Vec<String> = (0..12).map(|down| small(&format!("1<enter>{}", "j".repeat(down)))).collect();
    for (name, figure) in [("GET /a", "231/s"), ("2x7k", "44.0"), ("ALERTS", "")] {
        let together = |page: &String| page.lines().any(|line| line.contains(name) && line.contains(figure));
        assert!(pages.iter().any(together), "no line has {name} and {figure}:\n{}", pages.join("\n"));
    }
    for (keys, wanted) in [("0ix<enter>", "social-service"), ("0ix<enter>", "by service"), ("L", "request"), ("c", "social-serv…  open")]
    {
        let text = small(keys);
        assert!(text.contains(wanted), "{keys} does not show {wanted}:\n{text}");
    }
}

/// Whoever takes over sees what somebody is at already.
#[test]
fn the_header_says_how_many_alerts_are_silenced_or_acknowledged() {
    let mut screen = Screen::incident();
    let Ok(Reading::Status(mut status)) = answer(&Request::Status, Situation::Incident) else { panic!("status") };
    (status.silenced, status.acknowledged) = (1, 2);
    screen.app.receive(&Request::Status, Ok(Reading::Status(status)));
    let header = |screen: &mut Screen, width| screen.app.frame_text(width, 24).lines().next().unwrap_or_default().to_owned();
    let wide = header(&mut screen, 140);
    assert!(wide.contains("3 warning (2 explained) (1 silenced) (2 acked) · 1 of 11 silent"), "{wide}");
    // Where there is less room, what is explained and the program's name go first.
    let narrow = header(&mut screen, 80);
    assert!(narrow.contains("UNHEALTHY 3m12s  1 critical · 3 warning (3 in hand)  SIM"), "{narrow}");
    let Ok(Reading::Status(mut status)) = answer(&Request::Status, Situation::Incident) else { panic!("status") };
    status.acknowledged = 2;
    screen.app.receive(&Request::Status, Ok(Reading::Status(status)));
    let narrow = header(&mut screen, 80);
    assert!(narrow.contains("UNHEALTHY 3m12s  1 critical · 3 warning (2 acked)  SIM"), "{narrow}");
    let Ok(Reading::Status(mut status)) = answer(&Request::Status, Situation::Incident) else { panic!("status") };
    status.acknowledged = 2;
    screen.app.receive(&Request::Status, Ok(Reading::Status(status)));
    let narrow = header(&mut screen, 80);
    assert!(narrow.contains("UNHEALTHY 3m12s  1 critical · 3 warning (2 acked)  SIM"), "{narrow}");
}
