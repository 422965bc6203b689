//! From a figure to the failing span.

use super::fixture::screen::Screen;
use super::fixture::{Situation, ago, answer};
use watchfire_model::reading::{Command, Trace};
use watchfire_model::{Reading, Request};
use watchfire_views::{Effect, Event};

#[test]
fn from_wrong_to_the_failing_span_in_five_keys() {
    // Services shows the failing service first; its alert opens with its trace, at the span where the failure began.
    let mut screen = Screen::incident();
    screen
        .keys("8<enter><enter>")
        .shows("POST /api/content/posts")
        .shows("facebook POST /feed   1.60s, self 1.60s   client  error timeout");
    screen.keys("<enter>").shows("error timeout after 1.6s").keys("<esc>g").shows("api-gateway POST /api/content/posts   5.31s,");
    screen.keys("e").shows("social-service publish   5.02s").keys("e").shows("facebook POST /feed   1.60s");
}

#[test]
fn a_region_of_the_heatmap_is_explained() {
    let mut screen = Screen::incident();
    screen.keys("4v").keys("hhhh").shows("region").keys("jjr").shows("peer.service = facebook");
    let query = screen
        .app
        .wants()
        .into_iter()
        .find_map(|r| if let Request::Explain(q) = r { Some(q) } else { None })
        .expect("an explanation was asked for");
    assert!(query.min_duration_ms.is_some_and(|ms| ms > 100.0) && query.start < query.end);
    screen.keys("<enter>").shows("trace 4bf92f3577b34da6").keys("<esc>").shows("peer.service = facebook");
}

#[test]
fn what_failing_spans_have_in_common_is_a_key_away() {
    let mut screen = Screen::incident();
    screen
        .keys("4")
        .shows("f what fails")
        .keys("f")
        .shows("failing, of any duration")
        .shows("peer.service = facebook")
        .shows("f what is slow");
    let failing = |screen: &Screen| screen.app.wants().iter().any(|r| matches!(r, Request::Explain(q) if q.errors_only));
    assert!(failing(&screen));
    screen.keys("f").shows("slower than").shows("f what fails");
    assert!(!failing(&screen));
    // Of a region only what fails in it.
    screen.keys("<esc>vhhjjf").shows("failing, ").hides("of any duration");
    assert!(failing(&screen));
}

#[test]
fn traces_fold_search_pin_and_compare() {
    let mut screen = Screen::incident();
    screen.keys("3<enter>").shows("INSERT posts").keys("gjjh").hides("INSERT posts").shows("+6").keys("l").shows("INSERT posts");
    screen
        .keys("/deadlime<enter>")
        .shows("no span holds deadlime")
        .keys("/<c-u>deadline exceeded<enter>")
        .shows("match 1 of 1")
        .keys("/resend_count<c-u>graph.face<enter>")
        .shows("search graph.face")
        .shows("1.69s, self 1.69s");
    screen.keys("v").hides("analytics-service").keys("v").keys("p");
    assert!(screen.effects.iter().any(|e| matches!(e, Effect::Command(Command::PinTrace { id }) if id.starts_with("4bf9"))));
    screen.keys("<esc>x").shows("»").keys("jd").shows("A  api-gateway POST /api/content/posts").shows("4 errors").shows("3 ✖3");
    screen.keys("<esc>").event(Event::Paste("4bf92f3577b34da6a3ce929d0e0e4736\n".into())).shows("POST /api/content/posts");
    screen.event(Event::Paste("req-123".into())).shows("no trace, span or correlation id req-123 is held");
    // Of what is copied with words around it, the id counts; and what is said of another id is not said of this one.
    screen.event(Event::Paste("traceparent: 00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01\n".into())).hides("req-123 is held");
    screen.shows("no trace, span or correlation id 0af7651916cd43dd8448eb211c80319c 00f067aa0ba902b7 is held");
    screen.event(Event::Paste("nothing to open".into())).shows("✖ paste an id to open its trace");
    screen.shows("i asks for another id").hides("span  h fold").keys("i").shows("trace, span or correlation id");
}

#[test]
fn the_two_traces_marked_last_are_compared() {
    let mut screen = Screen::incident();
    let compared = |screen: &mut Screen| {
        let text = screen.text();
        let id = |side: &str| {
            text.lines().find(|l| l.starts_with(&format!(" {side}  "))).and_then(|l| l.split_whitespace().last()).map(str::to_owned)
        };
        (id("A"), id("B"))
    };
    // The cursor stands on the one marked last, whichever of their ids is the smaller.
    let first = compared(screen.keys("3xjxd"));
    assert!(first.0.is_some() && first.1.is_some() && first.0 != first.1, "{}", screen.text());
    assert_eq!(compared(Screen::incident().keys("3jxkxd")), (first.1.clone(), first.0));
    // One that is marked beyond two takes the place of the oldest mark.
    let unheld = "b2d92f3577b34da6a3ce929d0e0e4702";
    screen.keys("<esc>jxdy").shows(&format!("{unheld} is held"));
    let left = first.1.unwrap_or_default();
    let compared = |e: &Effect| matches!(e, Effect::Copy(pair) if pair.starts_with(left.trim_end_matches('…')) && pair.ends_with(unheld));
    assert!(screen.effects.iter().any(compared), "{left} is not compared with it: {:?}", screen.effects);
}

#[test]
fn any_number_of_spans_may_be_left_out_of_a_trace() {
    let mut screen = Screen::incident();
    screen.keys("3<enter>").shows("POST /api/content/posts");
    for request in screen.app.wants().into_iter().filter(|r| matches!(r, Request::Trace { .. })) {
        let Ok(Reading::Trace(trace)) = answer(&request, Situation::Incident) else { panic!("a trace") };
        let trace = Trace { omitted: usize::MAX, ..Trace::clone(&trace) };
        screen.app.receive(&request, Ok(Reading::Trace(trace.into())));
    }
    screen.shows(&format!("of {} spans", usize::MAX));
}

#[test]
fn an_open_trace_is_marked_and_compared_and_searched_both_ways() {
    let mut screen = Screen::incident();
    screen.keys("3<enter>d").shows("✖ mark another trace first").keys("x").shows("» marked").shows("x mark");
    screen.keys("<esc>j<enter>").keys("d").shows("B - A").shows("social-service publish").shows("operations");
    // What B has that A had not; what only one of them calls has nothing to be compared with.
    screen
        .shows("service.version            2.4.1 → 2.4.0  content-service")
        .shows("502 → 201      api-gateway POST /api")
        .hides("resend_count");
    screen.keys("<esc>").shows("41ms   5 spans").hides("B - A");
    screen
        .keys("<esc>k<enter>gn")
        .shows("✖ / searches in this trace")
        .keys("/feed<enter>")
        .shows("facebook POST /feed   1.60s, self 1.60s");
    // Three spans hold it; after the last comes the first, and before the first the last.
    screen.keys("nn").shows("facebook POST /feed   1.69s").keys("n").shows("facebook POST /feed   1.60s");
    screen.keys("N").shows("facebook POST /feed   1.69s");
    // Who marked another trace came to compare, also where there is little room.
    screen.keys("<esc>j<enter>");
    assert!(screen.app.frame_text(80, 24).contains("d compare with marked"));
}

#[test]
fn a_pasted_span_or_correlation_id_lands_on_its_span() {
    for id in ["09", "req-42"] {
        let mut screen = Screen::incident();
        screen.event(Event::Paste(id.into())).shows("facebook POST /feed   1.69s").shows("Services › Traces › trace");
    }
    // The id of the trace itself lands where its failure began.
    Screen::incident().event(Event::Paste("4bf92f3577b34da6a3ce929d0e0e4736".into())).shows("facebook POST /feed   1.60s, self");
}

#[test]
fn from_any_first_screen_the_failing_span_is_five_keys_away() {
    // Services, the service, its traces, the first with errors, its first failing span.
    Screen::incident().keys("<enter>t<enter>e").shows("timeout after 1.6s");
    // The map stands at what is worst.
    Screen::incident().keys("2t<enter>e<enter>").shows("error timeout after 1.6s");
    // What is slow in the heatmap, explained, with an example.
    Screen::incident().keys("4r<enter>e<enter>").shows("error timeout after 1.6s");
}

#[test]
fn a_value_in_explore_leads_to_its_trace() {
    let mut screen = Screen::incident();
    screen.keys("0<enter>").shows("EXEMPLARS").shows("◆").keys("t").shows("trace 4bf92f3577b34da6");
    // The rows go on into the list below them.
    screen.keys("<esc>G").keys("y");
    assert!(screen.effects.iter().any(|e| matches!(e, Effect::Copy(id) if id.starts_with("4bf9"))));
    screen.keys("<enter>").shows("trace 4bf92f3577b34da6");
    // Without an exemplar, the traces that the series counts.
    screen.keys("0<esc><enter>jt").shows("Traces content-service");
}

#[test]
fn rows_of_a_services_page_open_what_they_are_about() {
    let mut screen = Screen::incident();
    screen.keys("<enter>").shows("OPERATIONS");
    let lines: Vec<String> = screen.text().lines().map(str::to_owned).collect();
    assert!(lines.iter().any(|l| l.contains("OPERATIONS")), "{lines:#?}");
    for _ in 0..30 {
        screen.keys("j");
    }
    screen.keys("g");
    let on_page = |screen: &mut Screen| screen.text().lines().nth(2).is_some_and(|l| l.trim_end().ends_with("Service social-service"));
    let down_to = |screen: &mut Screen, target: &str| {
        for _ in 0..20 {
            if screen.keys("j<enter>").text().contains(target) {
                return;
            }
            for _ in 0..3 {
                if !on_page(screen) {
                    screen.keys("<esc>");
                }
            }
        }
        panic!("no row leads to {target}:\n{}", screen.text());
    };
    // Refused requests lead to the traces that say so.
    down_to(&mut screen, "/ operation=\"POST /api/users/login\"");
    let refused = [("http.response.status_code".to_owned(), "401".to_owned())];
    assert!(
        screen.app.wants().iter().any(|r| matches!(r, Request::Traces(query) if query.attributes == refused)),
        "{:?}",
        screen.app.wants()
    );
    // Back is first out of the filter, then out of the view.
    screen.keys("<esc><esc>");
    assert!(on_page(&mut screen), "{}", screen.text());
    down_to(&mut screen, "/ operation=\"POST /api/content/posts\"");
    // An operation below the root is the source's to find.
    screen.shows("/ operation=").hides("nothing matches").shows("POST /api/content/posts");
    // One of several instances leads to its own traces.
    screen.keys("<esc><esc>");
    assert!(on_page(&mut screen), "{}", screen.text());
    let page = screen.app.frame_text(120, 50);
    assert!(page.contains("7f8d6c-x2x7k  2.4.1  on node-3") && page.contains("5b9c4d-l0p2w  silent for 3m34s  2.4.0"), "{page}");
    down_to(&mut screen, "/ service.instance.id=\"7f8d6c-x2x7k\"");
    let own = [("service.instance.id".to_owned(), "7f8d6c-x2x7k".to_owned())];
    assert!(screen.app.wants().iter().any(|r| matches!(r, Request::Traces(query) if query.attributes == own)), "{:?}", screen.app.wants());
}

#[test]
fn traces_are_searched_by_when_they_began() {
    let mut screen = Screen::incident();
    screen.keys("3").shows("POST /api/content/posts");
    screen.keys("/start>-10m start<03:12:30 dur<1m dur>1s<enter>").hides("✖ `").hides("nothing matches").shows("POST /api/content/posts");
    let asked = screen.app.wants().into_iter().find_map(|r| if let Request::Traces(query) = r { Some(query) } else { None });
    let query = asked.expect("traces are asked for");
    let bounds = (query.start, query.end, query.min_duration_ms, query.max_duration_ms);
    // Ten minutes before the whole quarter of a minute before now, which is 03:12:44.
    assert_eq!(bounds, (Some(ago(14 + 600)), Some(ago(14)), Some(1000.0), Some(60_000.0)));
    for mistake in ["start=03:10", "start>soon", "start>03:10 or error"] {
        screen.keys(&format!("<esc>/{mistake}<enter>")).shows("start").shows("-10m");
    }
}

/// A span may have an empty name, or one of blanks; its row and its trace can be pointed at all the same.
#[test]
fn a_span_without_a_name_is_seen_in_the_list_and_in_its_trace() {
    for (name, shown) in [("", "(no name)"), ("  ", "\u{2420}\u{2420}")] {
        let mut screen = Screen::incident();
        screen.keys("3");
        for request in screen.app.wants().into_iter().filter(|r| matches!(r, Request::Traces(_))) {
            let Ok(Reading::Traces(mut traces)) = answer(&request, Situation::Incident) else { panic!("traces") };
            traces.traces[0].root_operation = name.to_owned();
            screen.app.receive(&request, Ok(Reading::Traces(traces)));
        }
        screen.shows(shown).keys("<enter>");
        for request in screen.app.wants().into_iter().filter(|r| matches!(r, Request::Trace { .. })) {
            let Ok(Reading::Trace(trace)) = answer(&request, Situation::Incident) else { panic!("a trace") };
            let mut trace = Trace::clone(&trace);
            trace.spans.iter_mut().for_each(|span| span.name = name.to_owned());
            screen.app.receive(&request, Ok(Reading::Trace(trace.into())));
        }
        let text = screen.text();
        assert!(text.lines().filter(|line| line.contains(shown)).count() > 3, "{text}");
    }
}

#[test]
fn the_latency_of_a_service_is_asked_by_a_part_of_its_name_and_left_by_escape() {
    let mut screen = Screen::incident();
    screen.keys("4").shows("entry points").keys("iuser-s").shows("user-service").keys("<enter>").shows(" user-service ");
    screen.keys("i<c-u>nowhere<enter>").shows("✖ no spans of a service called nowhere").shows(" user-service ");
    screen.keys("i<c-u>-service<enter>").shows("✖ several services are called -service");
    screen.keys("<esc>").shows("entry points");
}
