//! What stands round every view: palette, prompt, messages, crumbs, help and header.

use super::fixture::screen::Screen;
use super::fixture::{self, Situation, ago, answer};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Modifier;
use watchfire_model::reading::Command;
use watchfire_model::{Reading, Request};
use watchfire_views::{Effect, Event, Options};

#[test]
fn the_palette_has_what_other_views_do_and_leads_there() {
    let mut screen = Screen::incident();
    screen.keys("<c-p>rulelab").shows("Alerts: what this rule would have done").shows("8 r").keys("<enter>");
    // Which alert is meant nobody has seen yet.
    screen.shows("CAUSE").shows("choose a row, then r: what this rule would have done").hides("no action");
    screen.keys("1<c-p>template<enter>").shows("TEMPLATE");
    screen.keys("1<c-p>acknowledge<enter>").shows("choose a row, then a: acknowledge this alert");
    assert!(!screen.effects.iter().any(|e| matches!(e, Effect::Command(_))));
    // A command that only another view knows leads there as well.
    Screen::incident().keys(":patterns<enter>").shows("TEMPLATE");
}

#[test]
fn what_is_typed_wrongly_is_explained_whole() {
    let mut screen = Screen::incident();
    let words = |screen: &mut Screen| screen.app.frame_text(80, 24).split_whitespace().collect::<Vec<_>>().join(" ");
    screen.keys("/foo=1");
    assert!(words(&mut screen).contains("p95, p99, dur, busy, error, simulated"), "{}", screen.text());
    screen.keys("<esc>:theme nosuch<enter>");
    assert!(words(&mut screen).contains("high-contrast, colour-blind, mono"), "{}", screen.text());
    // What stands there already is no completion.
    screen.keys("/p95>1s and not error");
    assert!(!screen.text().lines().any(|l| l.trim() == "p95>1s and not error"), "{}", screen.text());
    screen.keys("<esc>");
    screen.keys(":changes abc<enter>").shows("`abc` is neither a length of time nor a time");
    screen.keys(":export foo<enter>").shows("cannot write this as foo");
    assert!(!screen.effects.iter().any(|e| matches!(e, Effect::Save { .. })));
}

#[test]
fn what_changed_since_a_time_is_asked_by_that_time() {
    let mut screen = Screen::incident();
    let asked =
        |screen: &Screen| screen.app.wants().into_iter().find_map(|r| if let Request::Changes { since } = r { Some(since) } else { None });
    screen.keys(":changes 03:02:44<enter>").shows("What changed 10m");
    // On the grid that answers are kept by.
    assert!(asked(&screen).is_some_and(|since| (ago(660)..=ago(600)).contains(&since)), "{:?}", asked(&screen));
    // Since then means up to the time on screen.
    screen.keys(":at 03:07:44<enter>:changes 03:02:44<enter>");
    // On the grid that answers are kept by.
    assert!(asked(&screen).is_some_and(|since| (ago(660)..=ago(600)).contains(&since)), "{:?}", asked(&screen));
    screen.keys(":changes 03:10<enter>").shows("after the time on screen");
}

#[test]
fn a_frozen_screen_opens_others_as_of_the_moment_it_stands_at() {
    let mut screen = Screen::incident();
    screen.keys("<space>").event(Event::Tick(ago(-30))).shows("‖ frozen at 03:12:44");
    // What is known is looked at as it is, and stays frozen.
    screen.keys("jj").shows("‖ frozen at 03:12:44");
    screen.keys("5").hides("reading …").shows("OLDEST").shows("‖ at 03:12:44 UTC  -30s");
    assert_eq!(screen.app.at(), Some(ago(0)));
    // The key that froze it lets go of it.
    screen.keys("<space>").shows("● live").hides("frozen");
    screen.keys(",<space>").shows("‖ frozen");
}

#[test]
fn the_key_of_explore_comes_back_to_now_within_it() {
    let mut screen = Screen::incident();
    screen.keys("0,").shows("‖ at");
    screen.keys("0").hides("‖ at").shows("Everything is a series");
    screen.keys(",1").shows("‖ at").keys("0").shows("‖ at");
}

#[test]
fn what_was_said_of_one_paste_is_gone_with_the_next() {
    let mut screen = Screen::incident();
    screen.event(Event::Paste("no id here".into())).shows("✖ paste an id");
    screen.event(Event::Paste("req-42".into())).hides("✖ paste an id").shows("search");
}

#[test]
fn of_a_pasted_address_or_traceparent_the_trace_is_named_and_its_span_is_found() {
    let paste = |text: &str| {
        let mut screen = Screen::incident();
        let mut trace = fixture::traces::trace();
        trace.spans[1].span_id = "00f067aa0ba902b7".into();
        screen.event(Event::Paste(text.into())).shows("Traces › trace 4bf92f3577b34da6").hides("https");
        let request = screen.app.wants().into_iter().find(|r| matches!(r, Request::Trace { .. })).expect("a trace");
        let mut app = fixture::app(Situation::Incident, Options::default());
        app.handle(Event::Paste(text.into()));
        app.receive(&request, Ok(Reading::Trace(std::sync::Arc::new(trace))));
        app.frame_text(100, 30)
    };
    for text in [
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "https://jaeger.example/trace/4bf92f3577b34da6a3ce929d0e0e4736?uiFind=00f067aa0ba902b7",
    ] {
        let text = paste(text);
        assert!(text.contains("user-service validate   9ms, self 9ms"), "{text}");
    }
}

#[test]
fn a_trace_is_pinned_by_its_own_id_whatever_it_was_opened_by() {
    let mut screen = Screen::incident();
    screen.event(Event::Paste("req-42".into())).keys("p");
    let pinned = Effect::Command(Command::PinTrace { id: "4bf92f3577b34da6a3ce929d0e0e4736".into() });
    assert!(screen.asked(&pinned), "{:?}", screen.effects);
}

#[test]
fn the_filter_of_the_list_is_none_of_an_open_trace() {
    let mut screen = Screen::incident();
    screen.keys("3/service=api-gateway<enter>").shows("/ service=api-gateway").keys("<enter>").hides("/ service=api-gateway");
    screen.keys("<esc>").shows("/ service=api-gateway");
}

#[test]
fn traces_ordered_by_how_long_they_took_are_the_longest_of_all() {
    let mut screen = Screen::incident();
    let slowest = |screen: &Screen| screen.app.wants().iter().any(|r| matches!(r, Request::Traces(q) if q.slowest_first));
    screen.keys("3");
    assert!(!slowest(&screen));
    screen.keys("T").shows("TOOK▾");
    assert!(slowest(&screen));
    screen.keys("T");
    assert!(!slowest(&screen), "the shortest of the newest");
}

#[test]
fn a_filter_of_traces_is_asked_of_the_source_as_far_as_that_can_answer() {
    let mut screen = Screen::incident();
    let asked = |screen: &Screen| {
        screen.app.wants().into_iter().find_map(|r| if let Request::Traces(q) = r { Some(q) } else { None }).expect("traces")
    };
    screen.keys("3/service=a dur>1s error cloud.region=ap start>-10m<enter>");
    assert_eq!(asked(&screen).limit, Some(500));
    // The source is asked for more where only rows can answer.
    for filter in ["checkout", "root=a", "service=a or service=b", "service=a service=b", "errors>2", "op=a operation=b"] {
        screen.keys(&format!("/<c-u>{filter}<enter>"));
        assert_eq!(asked(&screen).limit, Some(5000), "{filter}");
    }
    screen.keys("/<c-u>!error pinned<enter>");
    assert_eq!((asked(&screen).error, asked(&screen).pinned, asked(&screen).limit), (Some(false), Some(true), Some(500)));
    // Attributes as they are written, also those without a dot.
    screen.keys("/<c-u>.tenant=t1 app.orderId=7<enter>");
    assert_eq!(asked(&screen).attributes, [("tenant".to_owned(), "t1".to_owned()), ("app.orderId".to_owned(), "7".to_owned())]);
    screen.keys("/<c-u>tenant=t1").shows("as an attribute it is .tenant=VALUE");
}

#[test]
fn that_no_trace_matches_is_only_said_of_those_that_were_looked_at() {
    let mut screen = Screen::incident();
    screen.keys("3/root=nosuch<enter>").shows("nothing matches  root=nosuch");
    let Ok(Reading::Traces(mut reading)) = answer(&Request::Traces(Default::default()), Situation::Incident) else { panic!("traces") };
    reading.traces = (0..5000).map(|_| reading.traces[0].clone()).collect();
    let request = screen.app.wants().into_iter().find(|r| matches!(r, Request::Traces(_))).expect("traces");
    screen.app.receive(&request, Ok(Reading::Traces(reading)));
    screen.shows("none of the 5000 newest matches  root=nosuch").shows("0 of newest 5000, 12.4k searched");
}

#[test]
fn where_there_is_nothing_to_filter_no_filter_is_offered() {
    let mut screen = Screen::incident();
    screen.keys("<enter>").shows("Services › Service").hides("/ filter").keys("/").shows("there are no rows to filter here");
    screen.keys("!").shows("there are no rows to filter here");
    // More of the page than fits is told.
    screen.keys("j");
    let text = screen.app.frame_text(80, 16);
    assert!(text.lines().last().is_some_and(|l| l.contains("to line ") && l.contains(" of ")), "{text}");
    screen.keys("3<enter><enter>").hides("/ filter").keys("/").shows("there are no rows to filter here");
    // In the heatmap one chooses by service.
    screen.keys("4").hides("/ filter").keys("/").shows("latency of (service");
}

#[test]
fn an_order_is_told_where_its_column_has_no_room() {
    let mut screen = Screen::incident();
    screen.keys("O");
    let narrow = screen.app.frame_text(80, 24);
    assert!(narrow.contains("by OWNER▴  11 of 11"), "{narrow}");
    let wide = screen.app.frame_text(160, 24);
    assert!(wide.contains("OWNER▴") && !wide.contains("by OWNER"), "{wide}");
}

#[test]
fn on_the_smallest_screen_help_is_offered_and_what_was_found_is_shown() {
    let mut screen = Screen::incident();
    for keys in ["3", "4", "c", "1", "6", "7", "L"] {
        let text = screen.keys(keys).app.frame_text(40, 10);
        assert!(text.lines().last().is_some_and(|l| l.contains("? help")), "{keys}: {text}");
    }
    let text = screen.keys("4r").app.frame_text(40, 10);
    assert!(text.contains("peer.service = face"), "{text}");
}

#[test]
fn help_names_the_letters_that_order() {
    let mut screen = Screen::incident();
    let words = |screen: &mut Screen| screen.app.frame_text(80, 40).split_whitespace().collect::<Vec<_>>().join(" ");
    let help = words(screen.keys("?"));
    assert!(help.contains("M P50, P P95, H P99"), "{help}");
}

#[test]
fn a_reason_takes_the_place_of_the_busiest_resource_and_no_figure_is_cut() {
    let mut screen = Screen::incident();
    let Ok(Reading::Services(mut reading)) = answer(&Request::Services, Situation::Incident) else { panic!("services") };
    let row = reading.services.iter_mut().find(|s| s.name == "social-service").expect("the failing one");
    row.why = vec!["breaker facebook-api open 12m45s".into(), "p95".into()];
    (row.saturation, row.saturation_of) = (Some(0.457), Some("host mem".into()));
    screen.app.receive(&Request::Services, Ok(Reading::Services(reading)));
    let text = screen.app.frame_text(120, 30);
    assert!(text.lines().any(|l| l.contains("social-service") && l.contains("breaker facebook-api open 12m45s · p95")), "{text}");
    for width in 80..140 {
        let text = screen.app.frame_text(width, 30);
        let foot = text.lines().find(|l| l.starts_with(" social-service  breaker")).expect("the selected one in full");
        assert!(!foot.contains('…') || foot.contains("open 1"), "{width}: {foot}");
    }
}

#[test]
fn a_share_of_errors_does_not_push_its_cause_out_of_sight() {
    let mut screen = Screen::incident();
    let Ok(Reading::Services(mut reading)) = answer(&Request::Services, Situation::Incident) else { panic!("services") };
    for row in reading.services.iter_mut().filter(|s| s.name == "social-service" || s.name == "content-service") {
        row.why = vec!["64.9 % errors".into(), "← ai-service".into()];
    }
    reading.services.iter_mut().filter(|s| s.name == "queue-service").for_each(|row| row.why = vec!["64.9 % errors".into()]);
    screen.app.receive(&Request::Services, Ok(Reading::Services(reading)));
    let text = screen.app.frame_text(80, 24);
    let row = |name: &str| text.lines().find(|l| l.contains(name) && l.contains("/s")).unwrap_or_default().to_owned();
    assert!(row("content-service").contains("← ai-service") && !row("content-service").contains("% errors"), "{text}");
    assert!(row("queue-service").contains("64.9 % errors"), "{text}");
}

#[test]
fn the_bar_of_the_selected_row_is_of_one_piece_without_colours() {
    for theme in ["mono", "dark"] {
        let options = Options { theme: theme.into(), color: watchfire_views::ColorDepth::Mono, ..Options::default() };
        let mut app = fixture::app(Situation::Incident, options);
        let mut buffer = Buffer::empty(Rect::new(0, 0, 100, 30));
        let area = buffer.area;
        app.render_to(&mut buffer, area);
        let row = (0..30).find(|y| buffer[(5, *y)].modifier.contains(Modifier::REVERSED)).expect("a selected row");
        assert!((0..100).all(|x| !buffer[(x, row)].modifier.contains(Modifier::DIM)), "{theme}");
    }
}

#[test]
fn a_deep_span_shows_whose_it_is_on_a_narrow_screen() {
    use std::sync::Arc;
    let mut screen = Screen::incident();
    let mut trace = fixture::traces::trace();
    let spans: Vec<_> = (0..40)
        .map(|i| watchfire_model::reading::Span {
            span_id: format!("d{i}"),
            parent_id: if i == 0 { String::new() } else { format!("d{}", i - 1) },
            service: "billing".into(),
            name: format!("step {i}"),
            start: ago(0).seconds(),
            duration_seconds: 1.0,
            ..Default::default()
        })
        .collect();
    trace.spans = spans;
    screen.keys("3<enter>");
    screen.app.receive(&Request::Trace { id: trace.trace_id.clone() }, Ok(Reading::Trace(Arc::new(trace))));
    let text = screen.app.frame_text(80, 30);
    for step in ["step 4 ", "step 20"] {
        assert!(text.lines().any(|l| l.contains("billing") && l.contains(step)), "{step}:\n{text}");
    }
}

#[test]
fn what_was_typed_is_there_in_the_next_session() {
    let mut screen = Screen::incident();
    screen.keys("1/service=social<enter>:at -5m<enter>:at -5m<enter>:live<enter>0isum(up)<enter>8:silence 1h<enter><esc>");
    // What is begun with a blank is not for later, as in shells, and neither is what was wrong.
    screen.keys(": changes 10m<enter>3/nothing-of=it<enter><esc>:q<enter>");
    let remembered = |screen: &Screen| -> Vec<String> {
        screen.effects.iter().filter_map(|e| if let Effect::Remember(line) = e { Some(line.clone()) } else { None }).collect()
    };
    let typed = remembered(&screen);
    assert_eq!(typed, ["/service=social", ":at -5m", ":live", "?sum(up)", ":silence 1h"]);
    let app = fixture::app(Situation::Incident, Options { typed, ..Options::default() });
    let mut next = Screen { app, effects: Vec::new() };
    next.keys(":<up>").shows(":silence 1h").keys("<up>").shows(":live").keys("<esc>1/<up>").shows("/service=social");
    next.keys("<esc>0i<up>").shows("promql sum(up)");
}
