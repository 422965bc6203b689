//! Keys do what help says: a situation, keys, and what is then on screen or asked of the program.

mod fixture;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use fixture::screen::Screen;
use fixture::{NOW, Situation, answer, app};
use watchfire_model::reading::{Command, Health};
use watchfire_model::{Reading, Request, Timestamp};
use watchfire_views::{Effect, Event, Options};

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
fn simulated_rows_are_never_shown_without_their_mark() {
    let mut app = app(Situation::Calm, Options::default());
    let Ok(Reading::Status(mut status)) = answer(&Request::Status, Situation::Calm) else { panic!("a status") };
    // Read before the first simulated span came.
    status.simulated = false;
    app.receive(&Request::Status, Ok(Reading::Status(status)));
    assert!(app.frame_text(100, 30).contains("SIMULATED"));
    let Ok(Reading::Services(mut services)) = answer(&Request::Services, Situation::Calm) else { panic!("services") };
    services.services.iter_mut().for_each(|row| row.simulated = false);
    app.receive(&Request::Services, Ok(Reading::Services(services)));
    assert!(!app.frame_text(100, 30).contains("SIMULATED"));
}

#[test]
fn what_fires_is_told_before_where_it_was_read() {
    let mut app = app(Situation::Incident, Options::default());
    let Ok(Reading::Status(mut status)) = answer(&Request::Status, Situation::Incident) else { panic!("a status") };
    status.source = Some("http://127.0.0.1:40713".into());
    app.receive(&Request::Status, Ok(Reading::Status(status)));
    for (width, told) in
        [(40, "1 critical"), (60, "1 critical"), (72, "1 critical"), (80, "1 critical"), (120, "127.0.0.1:40713 live 03:12:44 UTC")]
    {
        let text = app.frame_text(width, 24);
        let header = text.lines().next().unwrap_or_default();
        assert!(header.contains(told) && header.contains("UNHEALTHY") && header.contains("SIM") && header.contains("03:12:44"), "{header}");
        assert!(header.contains("1 critical"), "{header}");
    }
}

#[test]
fn on_the_smallest_screen_no_reason_covers_a_figure() {
    let text = app(Situation::Incident, Options::default()).frame_text(40, 10);
    let row = text.lines().find(|line| line.contains("✖ social-s")).expect("the failing service").to_owned();
    assert!(row.contains(" 42.1/s  18.4 "), "{row}");
}

#[test]
fn why_an_alert_fires_names_on_a_low_screen_what_leads_on_and_what_it_leaves_out() {
    let mut screen = Screen::incident();
    screen.keys("8<enter>");
    let text = screen.app.frame_text(80, 24);
    for part in ["explains", "operation", "traces", "runbook", "more in a larger window: "] {
        assert!(text.contains(part), "{part} is not on screen:\n{text}");
    }
    assert!(!screen.app.frame_text(120, 50).contains("more in a larger window"), "nothing is left out where there is room");
}

#[test]
fn what_fires_on_after_a_restart_is_told_before_anything_was_received() {
    let mut app = app(Situation::Empty, Options::default());
    assert!(app.frame_text(80, 24).contains("nothing received yet"));
    let Ok(Reading::Status(mut status)) = answer(&Request::Status, Situation::Empty) else { panic!("a status") };
    status.firing.insert("critical".to_owned(), 8);
    app.receive(&Request::Status, Ok(Reading::Status(status)));
    let text = app.frame_text(80, 24);
    assert!(text.lines().next().is_some_and(|header| header.contains("8 critical")), "{text}");
}

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
fn keys_that_can_do_nothing_say_so() {
    let mut screen = Screen::incident();
    screen.keys("3/nothing-like-it<enter><enter>").shows("no trace is selected; i opens one by any id");
    screen
        .keys("<esc><enter>")
        .shows("trace 4bf9")
        .keys("/facebook<enter>")
        .shows("match 2 of 3")
        .keys("n")
        .shows("match 3 of 3")
        .keys("N")
        .shows("match 2 of 3");
    screen.keys("/<c-u>INSERT<enter>").shows("match 1 of 1").keys("n").shows("no other span holds INSERT");
    screen.keys("2gb").shows("nothing is seen to call api-gateway: its failure reaches nobody");
    let mut app = app(Situation::Empty, Options::default());
    assert!(!app.frame_text(80, 24).contains("next problem"), "where nothing is known there is none");
}

#[test]
fn numbers_open_views_and_escape_comes_back() {
    let mut screen = Screen::incident();
    screen.keys("<enter>").shows("Services › Service social-service").shows("OPERATIONS");
    screen.keys("t").shows("Traces social-service").keys("<enter>").shows("trace 4bf92f3577b34da6");
    screen.keys("<esc>").hides("trace 4bf92f3577b34da6").keys("<esc>").shows("OPERATIONS").keys("<esc>").hides("OPERATIONS");
    assert!(screen.effects.iter().all(|e| *e != Effect::Quit));
    screen.keys("q");
    assert!(screen.asked(&Effect::Quit));
}

#[test]
fn a_filter_works_while_it_is_typed() {
    let mut screen = Screen::incident();
    screen.keys("/err>3%").shows("social-service").hides("user-service").keys("<enter>").shows("2 of 11").shows("/ err>3%");
    screen.keys("<esc>").shows("11 of 11");
    screen.keys("/owner2=x").shows("no field `owner2` here").keys("<esc>").shows("11 of 11");
    screen.keys("!").hides("user-service").keys("j").shows("3 of 11").keys("!j").shows("11 of 11");
}

#[test]
fn commands_complete_and_explain_mistakes() {
    let mut screen = Screen::incident();
    screen.keys(":que").shows("query").shows("queues").keys("<tab><tab><enter>").shows("OLDEST");
    screen.keys(":sevrices<enter>").shows("did you mean :se").keys(":xyz<enter>").shows("✖ no command `xyz`; : lists them, Tab completes");
    screen.keys(":map nobody<enter>").shows("nobody is not on the map, / searches").keys(":map ai-service<enter>").hides("on the map,");
    screen.keys(":service ai<tab><enter>").shows("Service ai-service");
    screen.keys(":theme light<enter>").shows("theme light");
    assert_eq!(screen.app.theme(), "light");
    screen.keys(":<up><up><enter>").shows("Service ai-service");
    screen.keys(":q<enter>");
    assert!(screen.asked(&Effect::Quit));
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
    screen.keys(">").shows("● live");
    assert!(screen.asked(&Effect::Refresh));
}

#[test]
fn e_walks_through_the_problems_of_all_views() {
    let mut screen = Screen::incident();
    screen.keys("e").keys("e");
    // No third degraded service after queue-service: on to alerts.
    screen.keys("e").shows("CAUSE").shows("SocialErrorRateHigh").keys("e").shows("CAUSE").keys("e").shows("IN SERVICE");
    screen.keys("e").shows("DRAINS").keys("e").shows("CHECK").keys("e").shows("What changed");
    screen.keys("E").shows("CHECK").keys("E").shows("DRAINS");
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
    let calm = fixture::answer(&Request::Services, Situation::Calm);
    screen.app.receive(&Request::Services, calm);
    screen.shows("breaker facebook open 2m").shows(" held");
    screen.app.handle(Event::Key(KeyEvent::new(KeyCode::Char(' '), KeyModifiers::NONE)));
    screen.shows("● live").hides("breaker facebook open 2m");
}

#[test]
fn alerts_are_silenced_and_acknowledged() {
    let mut screen = Screen::incident();
    screen.keys("8s").shows("silence SocialErrorRateHigh social-service for").keys("<c-u>2h provider is down<enter>");
    let silence = screen.effects.iter().find_map(|e| match e {
        Effect::Command(Command::Silence(s)) => Some(s.clone()),
        _ => None,
    });
    let silence = silence.expect("a silence was asked for");
    assert_eq!(silence.ends_at.since(silence.starts_at).as_secs(), 7200);
    assert_eq!((silence.comment.as_str(), silence.created_by.as_str()), ("provider is down", "ana"));
    assert!(silence.matchers.contains(&("service".into(), "=".into(), "social-service".into())));
    screen.keys("a");
    assert!(screen.effects.iter().any(|e| matches!(e, Effect::Command(Command::Acknowledge { by, .. }) if by == "ana")));
    screen.keys("s<c-u>forever<enter>").shows("is not a duration");
}

/// The alerts of the incident, with one more that comes first in the list, and without some.
fn alerts_of(gone: &str, newcomer: bool) -> Result<Reading, watchfire_model::reading::ReadError> {
    let Ok(Reading::Alerts(mut alerts)) = answer(&Request::Alerts, Situation::Incident) else { panic!("alerts") };
    let mut worse = alerts.alerts[0].clone();
    (worse.name, worse.fingerprint, worse.active_at) = ("EverythingIsDown".into(), "0".into(), Some(fixture::ago(9000)));
    alerts.alerts.retain(|a| a.name != gone);
    alerts.alerts.extend(newcomer.then_some(worse));
    Ok(Reading::Alerts(alerts))
}

#[test]
fn what_is_silenced_is_the_alert_that_was_asked_about_and_from_now_on() {
    for (gone, newcomer, silenced) in [("", true, Some("SocialErrorRateHigh")), ("SocialErrorRateHigh", true, None)] {
        let mut screen = Screen::incident();
        screen.keys("8s").shows("silence SocialErrorRateHigh social-service for (and why) 1h");
        screen.app.receive(&Request::Alerts, alerts_of(gone, newcomer));
        let effects = screen.app.handle(Event::Key(KeyEvent::new(KeyCode::Enter, KeyModifiers::NONE)));
        let asked = effects.iter().find_map(|e| match e {
            Effect::Command(Command::Silence(s)) => Some(s.matchers[0].2.as_str()),
            _ => None,
        });
        assert_eq!(asked, silenced, "{}", screen.text());
    }
    // A silence of the past would end before it began.
    let mut screen = Screen::incident();
    screen.keys("8:at -2h<enter>s<enter>");
    let begins = screen.effects.iter().find_map(|e| match e {
        Effect::Command(Command::Silence(s)) => Some((s.starts_at, s.ends_at.since(s.starts_at).as_secs())),
        _ => None,
    });
    assert_eq!(begins, Some((NOW, 3600)));
}

#[test]
fn the_page_of_an_alert_stays_its_own() {
    let mut screen = Screen::incident();
    screen.keys("8<enter>").shows("✖ SocialErrorRateHigh  social-service");
    screen.app.receive(&Request::Alerts, alerts_of("", true));
    screen.shows("✖ SocialErrorRateHigh  social-service");
    // Nothing stands on it when the alert is gone: the list does.
    screen.app.receive(&Request::Alerts, alerts_of("SocialErrorRateHigh", true));
    screen.shows("CAUSE").shows("EverythingIsDown");
    // One that resolves is read on.
    let Ok(Reading::Alerts(mut alerts)) = answer(&Request::Alerts, Situation::Incident) else { panic!("alerts") };
    let mut screen = Screen::incident();
    screen.keys("8<enter>");
    for alert in alerts.alerts.iter_mut().filter(|a| a.name == "SocialErrorRateHigh") {
        (alert.state, alert.resolved_at) = (watchfire_model::reading::AlertState::Resolved, Some(NOW));
    }
    screen.app.receive(&Request::Alerts, Ok(Reading::Alerts(alerts)));
    screen.shows("SocialErrorRateHigh  social-service  resolved");
}

#[test]
fn an_alert_says_when_nothing_confirms_it_and_when_nobody_can_hear_it() {
    let mut screen = Screen::incident();
    screen.keys("8").hides("before the restart");
    let Ok(Reading::Alerts(mut alerts)) = answer(&Request::Alerts, Situation::Incident) else { panic!("alerts") };
    for alert in alerts.alerts.iter_mut().filter(|a| a.name == "SocialErrorRateHigh") {
        (alert.unconfirmed, alert.unheard, alert.notified, alert.notified_by) = (true, true, false, Vec::new());
    }
    screen.app.receive(&Request::Alerts, Ok(Reading::Alerts(alerts)));
    screen.shows("from before the restart, no data since · 18.4 % of 42/s fail").shows("nobody: no route");
}

#[test]
fn the_rule_lab_asks_the_past_again() {
    let mut screen = Screen::incident();
    screen.keys("8r").shows("would have fired 2 times").shows("fires  > 0.05").keys("+").shows("fires  > 0.055   the rule has > 0.05");
    let asked = |screen: &Screen| {
        screen.app.wants().into_iter().find_map(|r| match r {
            Request::Backtest(q) => Some(q),
            _ => None,
        })
    };
    assert!(asked(&screen).is_some_and(|q| q.expression.ends_with("> 0.055")));
    screen.keys("f<c-u>2m<enter>");
    assert!(asked(&screen).is_some_and(|q| q.for_seconds == 120.0));
    screen.keys("_").keys("<esc>").shows("CAUSE");
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
        .keys("/deadline<enter>")
        .shows("no span holds deadline")
        .keys("/resend_count<c-u>graph.face<enter>")
        .shows("search graph.face")
        .shows("1.69s, self 1.69s");
    screen.keys("v").hides("analytics-service").keys("v").keys("p");
    assert!(screen.effects.iter().any(|e| matches!(e, Effect::Command(Command::PinTrace { id }) if id.starts_with("4bf9"))));
    screen.keys("<esc>x").shows("»").keys("jd").shows("A  api-gateway POST /api/content/posts").shows("4 errors").shows("3 ✖3");
    screen.keys("<esc>").event(Event::Paste("4bf92f3577b34da6a3ce929d0e0e4736\n".into())).shows("POST /api/content/posts");
    screen.event(Event::Paste("req-123".into())).shows("no trace, span or correlation id req-123 is held");
    screen.shows("i asks for another id").hides("span  h fold").keys("i").shows("trace, span or correlation id");
}

#[test]
fn an_open_trace_is_marked_and_compared_and_searched_both_ways() {
    let mut screen = Screen::incident();
    screen.keys("3<enter>d").shows("✖ mark another trace with x first").keys("x").shows("» marked").shows("x mark");
    screen.keys("<esc>j<enter>").keys("d").shows("B - A").shows("social-service publish").shows("operations");
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
fn keys_that_cannot_work_say_why_and_are_not_offered() {
    let mut app = fixture::app(Situation::Calm, Options::default());
    let mut press = |keys: &str| {
        for c in keys.chars() {
            app.handle(Event::Key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE)));
            fixture::feed(&mut app, Situation::Calm);
        }
        app.frame_text(100, 30)
    };
    let text = press("8");
    assert!(text.contains("nothing fires") && !text.contains("acknowledge") && text.contains("H history"), "{text}");
    assert!(press("a").contains("✖ no alert is selected"));
    assert!(press("H").contains("nothing resolved within 15 minutes"));
    // The alert that `:silence` is about is chosen among alerts.
    let mut screen = Screen::incident();
    screen.keys(":silence 1h<enter>").shows("✖ :silence is about the alert that is selected in Alerts");
    screen.keys("8s<c-u>soon<enter>").shows("✖ `soon` is not a duration");
}

#[test]
fn what_changed_leads_to_what_changed() {
    let mut screen = Screen::incident();
    screen.keys("c").shows("FROM → TO");
    let rows: Vec<String> = screen.text().lines().filter(|l| l.contains("03:0") || l.contains("03:1")).map(str::to_owned).collect();
    let row = |what: &str| rows.iter().skip(1).position(|r| r.contains(what)).unwrap_or_else(|| panic!("{what} is not among {rows:#?}"));
    screen.keys(&"j".repeat(row("breaker"))).keys("<enter>").shows("calls of social-service to facebook are cut off").keys("<esc>");
    // The time cursor goes to the change under the cursor, not to the newest.
    screen.keys("{").shows("‖ at 03:10:31 UTC");
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
    while !screen.keys("j<enter>").text().contains("Traces social-service") {
        screen.keys("<esc>");
    }
    // An operation below the root is the source's to find.
    screen.shows("/ operation=").hides("nothing matches").shows("POST /api/content/posts");
}

#[test]
fn what_was_asked_in_explore_can_be_asked_again() {
    let mut screen = Screen::incident();
    screen.keys("0isum(up)<enter>").shows("› sum(up)").keys("<esc>").shows("asked before").keys("G<enter>").shows("› sum(up)");
    screen.keys("<esc>i<up>").shows("promql sum(up)");
}

#[test]
fn a_proposed_probe_is_copied_as_an_argument() {
    let mut screen = Screen::incident();
    screen
        .keys("7")
        .shows("2 not probed")
        .keys("vvv")
        .shows("NOT PROBED YET")
        .shows("watchfire --probe audit-service=http://audit.local:8014/healthz");
    screen.keys("jy");
    assert!(screen.asked(&Effect::Copy("--probe geo=tcp://geo.local:7000".into())));
    screen.keys("v").shows("CHECK").keys("vjj<enter>").shows("Service");
    // Where nothing is checked, the proposals are what there is to begin with.
    let mut app = fixture::app(Situation::Empty, Options::default());
    app.handle(Event::Key(KeyEvent::new(KeyCode::Char('7'), KeyModifiers::NONE)));
    let Ok(Reading::Health(health)) = fixture::answer(&Request::Health, Situation::Calm) else { panic!("health") };
    let health = Health { proposed: health.proposed, ..Health::default() };
    app.receive(&Request::Health, Ok(Reading::Health(health)));
    let text = app.frame_text(80, 24);
    assert!(text.contains("no health checks yet; these services say where") && text.contains("y copy argument"), "{text}");
    app.handle(Event::Key(KeyEvent::new(KeyCode::Char('j'), KeyModifiers::NONE)));
    let effects = app.handle(Event::Key(KeyEvent::new(KeyCode::Char('y'), KeyModifiers::NONE)));
    assert_eq!(effects, [Effect::Copy("--probe geo=tcp://geo.local:7000".into())]);
}

#[test]
fn log_lines_are_found_by_template_and_seen_with_their_context() {
    let mut screen = Screen::incident();
    screen.keys("L/error<enter>").shows("1 of 42").hides("opened after 5 failures").shows("+ context");
    screen.keys("+").shows("with 1 line round each").shows("1 of 42").shows("opened after 5 failures").hides("request 1038 ");
    screen.keys("+").shows("request 1039 ").keys("__").hides("opened after 5 failures").keys("<esc>");
    screen.keys("p").shows("2 patterns").hides("f stop").keys("j<enter>").shows("failed after 3 tries").hides("request 1").shows("1 of 42");
    // Long lines on several rows never run into each other.
    screen.keys("<esc>v");
    let text = screen.app.frame_text(60, 14);
    let bodies = text.lines().filter(|l| l.contains("INFO")).all(|l| l.contains("request 10"));
    assert!(bodies && text.contains("deadline exceeded"), "{text}");
}

#[test]
fn the_smallest_screen_keeps_names_and_states() {
    let mut screen = Screen::incident();
    for (key, parts) in [
        ("1", &["✖ social-s", "ERR%", "WHY"][..]),
        ("2", &["content-service", "social-service", "18.4", "STATE"]),
        ("5", &["QUEUE", "DEPTH"]),
        ("6", &["facebook", "STATE", "open"]),
        ("7", &["STATE", "degraded"]),
        ("8", &["SocialErr", "firing"]),
    ] {
        screen.keys(key);
        let text = screen.app.frame_text(40, 10);
        for part in parts {
            assert!(text.contains(part), "{key}: {part} is not on screen:\n{text}");
        }
    }
}

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
fn explore_asks_and_draws() {
    let mut screen = Screen::incident();
    screen
        .keys("0isum(que")
        .shows("watchfire_queue_depth")
        .keys("<tab>)<enter>")
        .shows("sum(watchfire_queue_depth)")
        .shows("service=social-service");
    screen.keys("v").hides("SERIES").keys("v").shows("SERIES").keys("<esc>").shows("asked before");
}

#[test]
fn the_palette_finds_actions_by_a_few_letters() {
    let mut screen = Screen::incident();
    screen.keys("<c-p>brkrs").shows("open circuit breakers").keys("<enter>").shows("IN SERVICE");
    screen.keys("<c-p>ai-serv<enter>").shows("Service ai-service");
    // By name too, and also where no key is left.
    let keymap = "[everywhere]\n\"q\" = \"none\"\n\"ctrl-c\" = \"none\"\n".to_owned();
    let mut screen =
        Screen { app: fixture::app(Situation::Incident, Options { keymap: Some(keymap), ..Options::default() }), effects: Vec::new() };
    screen.keys("<c-c>q");
    assert!(!screen.asked(&Effect::Quit));
    screen.keys("<c-p>force_quit<enter>");
    assert!(screen.asked(&Effect::Quit), "{}", screen.text());
    screen.keys("2<c-p>rulelab").shows("no action of that name");
}

#[test]
fn sorting_by_letter_click_and_wheel() {
    let mut screen = Screen::incident();
    let first = |screen: &mut Screen| screen.text().lines().nth(3).map(str::to_owned).unwrap_or_default();
    screen.keys("R").shows("RATE▾");
    assert!(first(&mut screen).contains("api-gateway"));
    screen.keys("R").shows("RATE▴").keys("R").hides("RATE▴");
    let mouse = |kind, column, row| Event::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE });
    screen.event(mouse(MouseEventKind::Down(MouseButton::Left), 3, 2)).shows("SERVICE▴");
    screen.event(mouse(MouseEventKind::ScrollDown, 3, 5));
    screen.event(mouse(MouseEventKind::Down(MouseButton::Left), 40, 1)).shows("OLDEST");
}

#[test]
fn copying_is_clean_and_urls_are_checked() {
    let mut screen = Screen::incident();
    screen.keys("y").shows("copied ");
    assert!(screen.effects.iter().any(|e| matches!(e, Effect::Copy(text) if text.starts_with("social-service unhealthy"))));
    screen.keys("8o");
    assert!(screen.asked(&Effect::OpenUrl("https://runbooks.example/social-errors".into())));
}

#[test]
fn the_first_minute_says_what_to_paste() {
    let mut app = fixture::app(Situation::Empty, Options::default());
    let text = app.frame_text(80, 24);
    for part in
        ["nothing received yet", "127.0.0.1:4317", "export OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318", "watchfire demo", "--scrape"]
    {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
    let effects = app.handle(Event::Key(KeyEvent::new(KeyCode::Char('y'), KeyModifiers::NONE)));
    assert!(matches!(&effects[..], [Effect::Copy(text)] if text.contains("otlp/watchfire") && text.contains("127.0.0.1:4317")));
}

#[test]
fn a_lost_source_says_so_and_keeps_its_last_answer() {
    let mut screen = Screen::incident();
    let error = watchfire_model::reading::ReadError::Disconnected("connection refused".into());
    screen.app.receive(&Request::Status, Err(error.clone()));
    screen.app.receive(&Request::Services, Err(error));
    screen.shows("✖ disconnected: connection refused").shows("social-service");
}

#[test]
fn the_screen_is_dirty_only_when_something_changed() {
    let mut screen = Screen::incident();
    screen.text();
    assert!(!screen.app.dirty());
    screen.app.handle(Event::Tick(Timestamp::from_millis(NOW.millis() + 100)));
    fixture::feed(&mut screen.app, Situation::Incident);
    assert!(!screen.app.dirty(), "the same second and the same readings");
    screen.app.handle(Event::Tick(Timestamp::from_millis(NOW.millis() + 1100)));
    assert!(screen.app.dirty());
}

#[test]
fn suspend_and_interrupt_are_asked_of_the_program() {
    let mut screen = Screen::incident();
    screen.keys("<c-z>:abc<c-c><c-c>");
    assert!(screen.asked(&Effect::Suspend));
    assert!(screen.asked(&Effect::Quit));
}

#[test]
fn keys_can_be_remapped_and_help_knows() {
    let options = Options { keymap: Some("[everywhere]\n\"Q\" = \"queues\"\n\"5\" = \"none\"\n".into()), ..Options::default() };
    let mut screen = Screen { app: fixture::app(Situation::Incident, options), effects: Vec::new() };
    screen.keys("5").hides("OLDEST").keys("Q").shows("OLDEST").keys("?").shows("open queues");
    assert!(screen.text().lines().any(|l| l.contains("Q ") && l.contains("open queues")));
}

#[test]
fn the_open_breaker_and_the_filling_queue_are_a_key_away() {
    // What is worst stands first, so opening a view is enough; Enter says whom it hurts.
    let mut screen = Screen::incident();
    screen.keys("6").shows("calls of social-service to facebook are cut off").keys("<enter>").shows("Service social-service");
    screen.keys("5").shows("more comes in than goes out: it does not drain").keys("<enter>").shows("Service queue-service");
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
fn times_are_shown_and_read_in_the_zone_of_the_person() {
    let zone = watchfire_views::Zone::named("Asia/Kolkata").expect("a zone");
    let options = Options { zone, ..Options::default() };
    let mut screen = Screen { app: fixture::app(Situation::Incident, options), effects: Vec::new() };
    screen.shows("● live 08:42:44 IST").shows("What changed since 08:31").shows("08:40:31");
    screen.keys(":at 08:40<enter>").shows("‖ at 08:40:00 IST  -2m44s").keys(":at 03:09Z<enter>").shows("‖ at 08:39:00 IST");
    screen.keys("<end>3").shows("08:42:02.100").keys("<enter>").shows("08:42:02.114");
    screen.keys("L").shows("08:42:35.000 ERROR");
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
