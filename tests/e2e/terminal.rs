//! The screens in a pseudo-terminal: alive within seconds, driven by keys, and the terminal given back on every way out.

use crate::instance::Watchfire;
use crate::screen::{Screen, emulator, modes};
use portable_pty::PtySize;
use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;
use tempfile::TempDir;

impl Screen {
    /// This program, at ports of its own.
    pub fn start(columns: u16, rows: u16, arguments: &[&str]) -> Self {
        let mut all = arguments.to_vec();
        if arguments[0] != "attach" {
            all.extend(["--otlp-grpc", "127.0.0.1:0", "--otlp-http", "127.0.0.1:0", "--api", "127.0.0.1:0"]);
        }
        all.extend(["--theme", "dark"]);
        Self::start_program(columns, rows, env!("CARGO_BIN_EXE_watchfire"), &all, &[])
    }
}

#[test]
fn the_demo_is_alive_and_its_views_open_by_key() {
    let mut screen = Screen::start(100, 30, &["demo", "--seed", "7"]);
    let first = screen.until("services with rates", |s| s.contains("api-gateway") && s.contains("/s"));
    assert!(first.contains("SIMULATED"), "{first}");
    for (key, shows) in
        [("2", "api-gateway"), ("3", "TOOK"), ("5", "content_publishing"), ("6", "facebook"), ("7", "health/ready"), ("1", "SERVICE")]
    {
        screen.keys(key);
        screen.until(shows, |s| s.contains(shows));
    }
    screen.keys("?");
    screen.until("help", |s| s.contains("help: Services"));
    screen.keys("\x1b");
    screen.keys(":q\r");
    assert_eq!(screen.end(), (0, true));
}

#[test]
fn the_first_minute_says_what_to_paste_and_resizing_is_survived() {
    let mut screen = Screen::start(80, 24, &["--notify", "none"]);
    let empty = screen.until("the addresses", |s| s.contains("OTEL_EXPORTER_OTLP_ENDPOINT"));
    assert!(empty.contains("watchfire demo"), "{empty}");
    for (columns, rows) in [(20, 5), (200, 50), (80, 24)] {
        screen.master.resize(PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 }).expect("resized");
        screen.parser = emulator(columns, rows);
    }
    screen.until("the addresses again", |s| s.contains("OTEL_EXPORTER_OTLP_ENDPOINT"));
    screen.keys("\x03");
    assert_eq!(screen.end(), (0, true));
}

#[test]
fn sigterm_gives_the_terminal_back() {
    let mut screen = Screen::start(80, 24, &["--notify", "none"]);
    screen.until("the first screen", |s| s.contains("watchfire"));
    let id = screen.child.process_id().expect("a process").to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &id]).status().is_ok_and(|s| s.success()));
    assert_eq!(screen.end(), (0, true));
}

#[test]
fn an_attached_terminal_freezes_when_the_other_side_goes_and_recovers_when_it_is_back() {
    let watchfire = Watchfire::start(&[]);
    let (url, api) = (watchfire.url(""), watchfire.api.clone());
    let mut screen = Screen::start(100, 30, &["attach", &url]);
    screen.until("the other side's first minute", |s| s.contains("nothing received yet") && s.contains("live"));
    assert_eq!(watchfire.stop("KILL"), None);
    screen.until("that the other side is gone", |s| s.contains("disconnected") && s.contains("frozen at"));
    let again = Watchfire::start(&["--api", &api]);
    screen.until("the other side again", |s| s.contains("live") && !s.contains("disconnected"));
    screen.keys(":q\r");
    assert_eq!(screen.end(), (0, true));
    assert_eq!(again.stop("TERM"), Some(0));
}

#[test]
fn a_directory_that_cannot_be_written_costs_the_log_and_not_the_screens() {
    let watchfire = Watchfire::start(&[]);
    let url = watchfire.url("");
    // Below a file there is no directory, whoever asks.
    let nowhere = [("XDG_STATE_HOME", "/dev/null")];
    let mut screen = Screen::start_program(120, 30, env!("CARGO_BIN_EXE_watchfire"), &["attach", &url], &nowhere);
    screen.until("what it does without", |s| s.contains("no log is written: /dev/null/watchfire"));
    screen.until("the other side's first minute", |s| s.contains("nothing received yet"));
    screen.keys(":q\r");
    assert_eq!(screen.end(), (0, true));
}

#[test]
fn the_same_user_attaches_without_an_address() {
    let home = TempDir::new().expect("a temporary directory");
    let run = home.path().join("run");
    std::fs::create_dir(&run).expect("made");
    let runtime = run.to_str().expect("text");
    // The token is for the others.
    let token = home.path().join("config.toml");
    std::fs::write(&token, "[security]\ntoken = \"0123456789abcdef\"\n").expect("written");
    let watchfire = Watchfire::start_in(home.path(), &["--config", token.to_str().expect("text")]);
    let mut screen =
        Screen::start_program(100, 30, env!("CARGO_BIN_EXE_watchfire"), &["attach", "--theme", "dark"], &[("XDG_RUNTIME_DIR", runtime)]);
    screen.until("the instance behind the socket", |s| s.contains("pid ") && s.contains("nothing received yet"));
    // Nobody named an instance, so whatever this user starts in its place is the one to show, though its socket is another.
    assert_eq!(watchfire.stop("KILL"), None);
    screen.until("that it is gone", |s| s.contains("disconnected") && s.contains("frozen at"));
    screen.keys("3");
    screen.until("why a view is empty", |s| s.contains("disconnected before this was read"));
    let watchfire = Watchfire::start_in(home.path(), &["--config", token.to_str().expect("text")]);
    screen.until("the next instance", |s| s.contains("live") && !s.contains("disconnected") && s.contains("no traces yet"));
    screen.keys(":q\r");
    assert_eq!(screen.end(), (0, true));
    assert_eq!(watchfire.stop("TERM"), Some(0));
    let left: Vec<_> = std::fs::read_dir(run.join("watchfire")).expect("the directory stays").collect();
    assert!(left.is_empty(), "the socket goes with its instance: {left:?}");
}

/// Who names none means a real one; where there is only a demo, or another one beside it, that is said.
#[test]
fn who_names_no_instance_is_told_that_only_a_demo_runs() {
    let home = TempDir::new().expect("a temporary directory");
    let run = home.path().join("run");
    std::fs::create_dir(&run).expect("made");
    let demo = Watchfire::demo_in(home.path(), &[]);
    let environment = [("XDG_RUNTIME_DIR", run.to_str().expect("text"))];
    let mut screen = Screen::start_program(100, 30, env!("CARGO_BIN_EXE_watchfire"), &["attach", "--theme", "dark"], &environment);
    // Something of somebody else may listen where a headless one does by default.
    let (only, choose) = ("this is a demo, the only watchfire of yours that runs", "another watchfire listens at");
    let shown = screen.until("which one it is", |s| s.contains(only) || s.contains(choose));
    if shown.contains(only) {
        screen.until("that it is simulated", |s| s.contains("SIM"));
        screen.keys(":q\r");
        assert_eq!(screen.end(), (0, true));
    }
    assert_eq!(demo.stop("TERM"), Some(0));
}

#[test]
fn suspending_gives_the_terminal_to_the_shell_and_coming_back_draws_everything() {
    let mut screen = Screen::start_program(80, 24, "sh", &["-i"], &[("PS1", "shell> ")]);
    screen.until("a prompt", |s| s.contains("shell>"));
    let program = env!("CARGO_BIN_EXE_watchfire");
    screen.keys(&format!("{program} --notify none --theme dark --otlp-grpc 127.0.0.1:0 --otlp-http 127.0.0.1:0 --api 127.0.0.1:0\r"));
    screen.until("the first screen", |s| s.contains("OTEL_EXPORTER_OTLP_ENDPOINT"));
    assert_ne!(modes(screen.master.as_ref()), screen.modes, "raw while it draws");
    screen.keys("\x1a");
    screen.until("the shell", |s| s.contains("shell>") && s.contains("topped"));
    screen.keys("echo still $((40+2))\r");
    screen.until("the shell's answer", |s| s.contains("still 42"));
    screen.keys("fg\r");
    screen.until("the screen again", |s| s.contains("OTEL_EXPORTER_OTLP_ENDPOINT") && !s.contains("still 42"));
    screen.keys("\x03");
    // One prompt for the program, one after it was stopped, one after the echo, one after its end.
    screen.until("the shell again", |s| s.contains("still 42") && s.matches("shell>").count() == 4);
    screen.keys("exit\r");
    assert_eq!(screen.end().0, 0);
}

#[test]
fn a_failure_anywhere_leaves_a_usable_terminal() {
    let start = |place: &str| {
        let arguments =
            ["--notify", "none", "--theme", "dark", "--otlp-grpc", "127.0.0.1:0", "--otlp-http", "127.0.0.1:0", "--api", "127.0.0.1:0"];
        Screen::start_program(80, 24, env!("CARGO_BIN_EXE_watchfire"), &arguments, &[("WATCHFIRE_PANIC_IN", place)])
    };
    // Where it draws, the terminal comes back before the text, and the text is harmless.
    let mut screen = start("frame");
    screen.until("why it ended", |s| s.contains("watchfire failed") && s.contains("\u{241b}[31mred"));
    assert_eq!(modes(screen.master.as_ref()), screen.modes);
    let (status, restored) = screen.end();
    assert!(status != 0 && restored, "{status}");
    // Without keys nobody could leave, so the end of the thread that reads them is an end in good order.
    let mut screen = start("input");
    screen.until("a first screen", |s| s.contains("watchfire"));
    screen.keys("x");
    assert!(screen.end().1);
    // A reading that fails says so in its place, and nothing else suffers.
    let mut screen = start("reader");
    screen.until("what failed", |s| s.contains("this reading failed"));
    screen.keys("?");
    screen.until("help", |s| s.contains("help: Services"));
    screen.keys("\x03");
    assert_eq!(screen.end(), (0, true));
}

#[test]
fn a_thousand_sizes_in_a_row_are_survived() {
    let mut screen = Screen::start(80, 24, &["demo", "--seed", "7"]);
    screen.until("services", |s| s.contains("api-gateway"));
    let mut state = 7_u32;
    let mut number = |bound: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) % bound
    };
    for _ in 0..1000 {
        let (cols, rows) = match number(10) {
            0 => (1, 1),
            1 => (500, 200),
            2 => (39, 9),
            _ => (1 + number(220) as u16, 1 + number(70) as u16),
        };
        screen.master.resize(PtySize { rows, cols, pixel_width: 0, pixel_height: 0 }).expect("resized");
        while screen.bytes.try_recv().is_ok() {}
    }
    screen.master.resize(PtySize { rows: 10, cols: 40, pixel_width: 0, pixel_height: 0 }).expect("resized");
    screen.parser = emulator(40, 10);
    // A key that comes in the same instant as a new size may wait in crossterm for the next key (its poll is told of both and returns after the first).
    screen.until("the frame of the smallest size", |s| s.contains("m map  ? help         11 of 11"));
    screen.keys("5");
    screen.until("queues at the smallest size", |s| s.contains("QUEUE"));
    screen.keys("\x03");
    assert_eq!(screen.end(), (0, true));
}

#[test]
fn a_terminal_that_understands_no_sequence_is_sent_none() {
    let arguments = ["--otlp-grpc", "127.0.0.1:0", "--otlp-http", "127.0.0.1:0", "--api", "127.0.0.1:0"];
    let mut screen = Screen::start_program(80, 24, env!("CARGO_BIN_EXE_watchfire"), &arguments, &[("TERM", "dumb")]);
    screen.until("what to do instead", |s| s.contains("TERM=dumb cannot show screens; use --plain"));
    assert!(!screen.seen.contains(&0x1b), "{:?}", String::from_utf8_lossy(&screen.seen));
    assert_eq!(screen.end().0, 2);
}

#[test]
fn a_closed_window_ends_the_program() {
    // Without standard error on the terminal nothing fails for want of it, and the program has to see by itself that it is gone.
    for redirected in ["", " 2>/dev/null"] {
        let script = format!("exec \"$0\" --otlp-grpc 127.0.0.1:0 --otlp-http 127.0.0.1:0 --api 127.0.0.1:0 --notify none{redirected}");
        let mut screen = Screen::start_program(80, 24, "sh", &["-c", &script, env!("CARGO_BIN_EXE_watchfire")], &[]);
        let first = screen.until("the first screen", |s| s.contains("OTEL_EXPORTER_OTLP_ENDPOINT=http://"));
        // Somebody who never ends what they send would be waited for at any other end.
        let (_, address) = first.split_once("OTEL_EXPORTER_OTLP_ENDPOINT=http://").expect("an address");
        let mut unfinished = TcpStream::connect(address.split_whitespace().next().expect("an address")).expect("connected");
        unfinished.write_all(b"POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n").expect("sent");
        let Screen { mut child, master, writer, bytes, .. } = screen;
        drop((master, writer, bytes));
        let (ended, end) = std::sync::mpsc::channel();
        std::thread::spawn(move || ended.send(child.wait().is_ok()));
        assert_eq!(end.recv_timeout(Duration::from_secs(6)), Ok(true), "it ends with its terminal{redirected}");
    }
}

#[tokio::test]
async fn thirty_two_attached_terminals_do_not_disturb_the_evaluation() {
    let rules = TempDir::new().expect("a temporary directory");
    let file = rules.path().join("rules.yaml");
    std::fs::write(&file, "groups:\n- name: g\n  interval: 1s\n  rules:\n  - alert: Always\n    expr: vector(1)\n").expect("written");
    let watchfire = Watchfire::start(&["--rules", file.to_str().expect("text")]);
    let url = watchfire.url("");
    let before = watchfire.resident_kib();
    let mut screens: Vec<Screen> = (0..32).map(|_| Screen::start(80, 24, &["attach", &url, "--open", "alerts"])).collect();
    for screen in &mut screens {
        screen.until("the alert", |s| s.contains("Always"));
    }
    // Half of them stop reading what they asked for.
    for screen in &screens[..16] {
        let id = screen.child.process_id().expect("a process").to_string();
        assert!(std::process::Command::new("kill").args(["-STOP", &id]).status().is_ok_and(|s| s.success()));
    }
    let evaluated = |json: &serde_json::Value| json["data"]["groups"][0]["lastEvaluation"].as_str().unwrap_or_default().to_owned();
    let mut last = evaluated(&watchfire.json("/api/v1/rules").await);
    let mut moments = Vec::new();
    for _ in 0..10 {
        let next = watchfire.until("/api/v1/rules", "a further evaluation", |json| evaluated(json) > last).await;
        last = evaluated(&next);
        moments.push(last.clone());
    }
    let missed = watchfire.json("/api/v1/query?query=sum(watchfire_rule_group_iterations_missed_total)").await;
    for screen in &mut screens[16..] {
        screen.keys("9");
        screen.until("objectives", |s| s.contains("objective"));
    }
    let grown = (before, watchfire.resident_kib());
    for screen in &mut screens {
        let _ = screen.child.kill();
    }
    let (begun, late) =
        (watchfire.metric("watchfire_evaluations_begun_total").await, watchfire.metric("watchfire_evaluations_late_total").await);
    println!("{begun} evaluations, {late} of them more than 50 ms late, at {moments:?}; {} KiB a terminal", (grown.1 - grown.0) / 32);
    assert!(begun >= 10.0);
    assert!(missed["data"]["result"].as_array().is_none_or(|r| r.iter().all(|s| s["value"][1] == "0")), "{missed}");
    // Two to four MiB by how many readers the machine runs at once, each with a heap of its own; twice that is no accident.
    assert!((grown.1 - grown.0) / 32 < 8 << 10, "{grown:?}");
    assert_eq!(watchfire.stop("TERM"), Some(0));
}

#[test]
fn the_plain_log_is_lines_of_text() {
    let home = TempDir::new().expect("a temporary directory");
    let output = crate::instance::command(home.path())
        .args(["demo", "--scenario", "service_gone", "--plain", "--for", "12s", "--notify", "none", "--seed", "7"])
        .args(["--otlp-grpc", "127.0.0.1:0", "--otlp-http", "127.0.0.1:0", "--api", "127.0.0.1:0"])
        .output()
        .expect("it runs");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(output.status.success(), "{text}");
    assert!(!text.contains('\u{1b}') && !text.contains('\r'), "{text:?}");
    assert!(text.lines().any(|line| line.contains(" UTC  overall ")), "{text}");
}
