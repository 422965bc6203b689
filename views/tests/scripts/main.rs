//! Keys do what help says: a situation, keys, and what is then on screen or asked of the program.

mod alerts;
#[path = "../fixture/mod.rs"]
mod fixture;
mod map;
mod mouse;
mod plain_log;
mod said;
mod shell;
mod sweep;
mod time;
mod traces;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use fixture::screen::Screen;
use fixture::{NOW, Situation, answer, app};
use watchfire_model::reading::Health;
use watchfire_model::{Reading, Request, Timestamp};
use watchfire_views::{Effect, Event, Options};

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
fn e_walks_through_the_problems_of_all_views() {
    let mut screen = Screen::incident();
    screen.keys("e").keys("e");
    // No third degraded service after queue-service: on to alerts.
    screen.keys("e").shows("CAUSE").shows("SocialErrorRateHigh").keys("e").shows("CAUSE").keys("e").shows("IN SERVICE");
    screen.keys("e").shows("DRAINS").keys("e").shows("CHECK").keys("e").shows("What changed");
    screen.keys("E").shows("CHECK").keys("E").shows("DRAINS");
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

/// The newest thousand lines are a few minutes: what is looked for is looked for in all of them.
#[test]
fn a_filter_of_logs_is_asked_of_all_lines_that_are_held() {
    let mut screen = Screen::incident();
    let asked = |screen: &Screen| {
        screen
            .app
            .wants()
            .into_iter()
            .find_map(|r| if let Request::Logs(query) = r { Some(query) } else { None })
            .expect("logs are asked for")
    };
    screen.keys("L/error timeout<enter>");
    let query = asked(&screen);
    assert_eq!((query.severity.as_deref(), query.word.as_deref(), query.contains), (Some("ERROR"), Some("timeout"), None));
    // What may also be something else is not asked for.
    screen.keys("/<c-u>error or timeout<enter>");
    assert_eq!((asked(&screen).severity, asked(&screen).word), (None, None));
    screen.keys("/<c-u>body~\"publish to .*\" !quick<enter>");
    assert_eq!((asked(&screen).contains.as_deref(), asked(&screen).word), (Some("publish to "), None));
    // Lines round a hit are asked for with it: it may be far back, and the newest lines are not those beside it.
    assert_eq!(asked(&screen).context, None);
    screen.keys("+");
    let query = asked(&screen);
    assert_eq!((query.contains.as_deref(), query.context, query.end), (Some("publish to "), Some(1), None));
    screen.keys("_/<c-u><enter>!");
    assert_eq!(asked(&screen).severity.as_deref(), Some("WARN"));
}

#[test]
fn a_part_of_a_name_is_enough_where_only_one_has_it() {
    Screen::incident().keys(":service social<enter>").shows("Service social-service");
    Screen::incident().keys(":map redi<enter>").hides("is not on the map").shows("● redis  healthy");
    Screen::incident().keys(":latency conten<enter>").shows(" content-service ");
    // More than one, or none: as it was typed, and said.
    Screen::incident().keys(":service service<enter>").shows("Service service");
    Screen::incident().keys(":breaker<enter>").shows("IN SERVICE");
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
fn lists_are_written_as_rows_and_as_nothing_else() {
    for (view, name, row) in [
        ('5', "queues.csv", "\ncontent_publishing,"),
        ('6', "breakers.csv", "\nfacebook,social-service,open,yes,"),
        ('7', "checks.csv", "social-service,health,degraded,"),
        ('L', "logs.csv", ",social-service,"),
    ] {
        let mut screen = Screen::incident();
        screen.keys(&view.to_string()).keys(":export csv<enter>");
        let saved = screen.effects.iter().find_map(|e| match e {
            Effect::Save { name, text } => Some((name.clone(), text.clone())),
            _ => None,
        });
        let (file, text) = saved.unwrap_or_else(|| panic!("nothing was written of {view}"));
        assert_eq!(file, name);
        let columns = text.lines().next().expect("a heading").split(',').count();
        assert!(text.contains(row) && columns > 4, "{text}");
        screen.keys(":export dot<enter>").shows("cannot write this as dot: tables are written as csv");
    }
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
    let mut screen = Screen {
        app: fixture::app(Situation::Incident, Options { keymap: Some(("keys.toml".into(), keymap)), ..Options::default() }),
        effects: Vec::new(),
    };
    screen.keys("<c-c>q");
    assert!(!screen.asked(&Effect::Quit));
    screen.keys("<c-p>force_quit<enter>");
    assert!(screen.asked(&Effect::Quit), "{}", screen.text());
    screen.keys("2<c-p>xyzzyx").shows("no action of that name");
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
    let small = app.frame_text(40, 10);
    for part in ["OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318", "127.0.0.1:4317", "watchfire demo"] {
        assert!(small.contains(part), "{part} is missing:\n{small}");
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
    let options =
        Options { keymap: Some(("keys.toml".into(), "[everywhere]\n\"Q\" = \"queues\"\n\"5\" = \"none\"\n".into())), ..Options::default() };
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
