//! Presets through the program: their rules and rule tests by our engine and by promtool, and a platform of one's own without any Rust.

use crate::instance::{Watchfire, command};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use watchfire_config::load_platform;
use watchfire_config::platform::DeclaredEdge;

const PLATFORMS: [&str; 5] = ["clientnest", "mediacms", "commerce", "playnite", "sunday"];
const GUIDE: &str = include_str!("../../docs/your-own-platform.md");

fn directory(platform: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config/platforms").join(platform)
}

fn watchfire(arguments: &[&str], at: &Path) -> Output {
    let state = TempDir::new().expect("a temporary directory");
    command(state.path()).args(arguments).current_dir(at).stdin(Stdio::null()).output().expect("the program runs")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Each rule file that comes with the program, with its tests: (directory, rules, tests).
fn rule_files() -> Vec<(PathBuf, &'static str, &'static str)> {
    let defaults = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/rules");
    let platforms = PLATFORMS.iter().map(|p| (directory(p), "rules.yaml", "rules.test.yaml"));
    let own = (defaults.clone(), "itself.yaml", "itself.test.yaml");
    platforms.chain([(defaults, "default.yaml", "default.test.yaml"), own]).collect()
}

#[test]
fn rules_and_their_tests_pass_here() {
    for (directory, rules, tests) in rule_files() {
        for (verb, file) in [("check", rules), ("test", tests)] {
            let output = watchfire(&["rules", verb, file], &directory);
            assert!(output.status.success(), "{} {verb}: {}", directory.display(), said(&output));
        }
    }
}

#[test]
fn rules_and_their_tests_pass_in_promtool() {
    for (directory, rules, tests) in rule_files() {
        for (verb, file) in [("check", rules), ("test", tests)] {
            match Command::new("promtool").args([verb, "rules", file]).current_dir(&directory).output() {
                Ok(output) => assert!(output.status.success(), "{} {verb}: {}", directory.display(), said(&output)),
                Err(e) => return println!("skipped: promtool: {e} (Debian package prometheus)"),
            }
        }
    }
}

#[test]
fn tests_are_chosen_by_an_expression_as_go_reads_it() {
    let home = TempDir::new().expect("a temporary directory");
    let case = |name: &str, expected: u32| {
        format!(
            "- name: '{name}'\n  promql_expr_test:\n  - {{expr: vector(1), eval_time: 1m, exp_samples: [{{labels: '{{}}', value: {expected}}}]}}\n"
        )
    };
    let names = [("good [1]", 1), ("good 12", 1), ("bad \u{664}", 2)];
    let cases: String = names.iter().map(|(name, expected)| case(name, *expected)).collect();
    std::fs::write(home.path().join("t.yml"), format!("evaluation_interval: 1m\ntests:\n{cases}")).expect("written");
    let chosen = |run: &str| watchfire(&["rules", "test", "--run", run, "t.yml"], home.path());
    // Of the three only the last fails.
    for (run, passes) in [("", false), ("good", true), (r"[[]\d", true), (r"\Q[1]\E", true), (r"\d", true), (r"^bad \D$", false)] {
        let output = chosen(run);
        assert_eq!(output.status.success(), passes, "{run}: {}", said(&output));
    }
    for run in ["(", "x{1000}{1000}"] {
        let output = chosen(run);
        assert!(!output.status.success() && said(&output).contains("--run: "), "{run}: {}", said(&output));
    }
}

#[test]
fn what_else_promtool_lets_through_is_let_through_on_request() {
    let home = TempDir::new().expect("a temporary directory");
    let write = |name: &str, text: &str| std::fs::write(home.path().join(name), text).expect("written");
    write("twice.yml", "groups:\n- name: g\n  rules:\n  - {record: a, expr: b}\n  - {record: a, expr: c}\n");
    write("more.yml", "owner: me\ngroups:\n- name: g\n  partial_response_strategy: abort\n  rules: []\n");
    write("t.yml", "owner: me\nrule_files: [more.yml]\ntests: [{name: a}, {name: b, team: c}]\n");
    for (arguments, code) in [
        (&["check", "--lint-fatal", "twice.yml"][..], 3),
        (&["check", "--lint-fatal", "--lint=all", "twice.yml"], 3),
        (&["check", "--lint-fatal", "--lint=none", "twice.yml"], 0),
        (&["check", "more.yml"], 1),
        (&["check", "--ignore-unknown-fields", "more.yml"], 0),
        (&["test", "t.yml"], 1),
        (&["test", "--ignore-unknown-fields", "--run", "a", "--run", "b", "t.yml"], 0),
    ] {
        let output = watchfire(&[&["rules"], arguments].concat(), home.path());
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", said(&output));
    }
}

/// The files of the guide, written as it says.
fn shop() -> TempDir {
    let home = TempDir::new().expect("a temporary directory");
    for part in GUIDE.split("\n`shop/").skip(1) {
        let (Some((path, _)), Some(block)) = (part.split_once("`\n\n```"), part.split("```").nth(1)) else { continue };
        let path = home.path().join("shop").join(path);
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("made");
        std::fs::write(path, block.split_once('\n').map_or("", |(_, text)| text)).expect("written");
    }
    home
}

#[test]
fn a_sixth_platform_takes_files_and_no_rust() {
    let home = shop();
    let output = watchfire(&["config", "check", "--platform", "./shop"], home.path());
    assert!(output.status.success(), "{}", said(&output));
    let file = home.path().join("shop/config.toml").display().to_string();
    for (at, file) in [("", "shop/config.toml"), ("shop", "config.toml"), ("/", &file)] {
        let output = watchfire(&["config", "check", "--config", file], &home.path().join(at));
        assert!(output.status.success() && said(&output).contains("platform shop: 3 services"), "{at}: {}", said(&output));
    }
    let output = watchfire(&["demo", "./shop", "--list"], home.path());
    assert!(output.status.success() && said(&output).contains("payments_down"), "{}", said(&output));
    let output = watchfire(&["demo", "./shop", "--rehearse", "--scenario", "payments_down"], home.path());
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn a_mistake_in_a_preset_is_shown_with_file_line_column_and_the_nearest_name() {
    let home = shop();
    let file = home.path().join("shop/platform.toml");
    let good = std::fs::read_to_string(&file).expect("is there");
    let broken = good.replacen("[[service]]", "[[servce]]", 1);
    let line = broken.lines().position(|l| l == "[[servce]]").expect("is there") + 1;
    std::fs::write(&file, broken).expect("written");
    let output = watchfire(&["config", "check", "--platform", "./shop"], home.path());
    assert_eq!(output.status.code(), Some(1));
    let text = said(&output);
    assert!(text.contains(&format!("shop/platform.toml:{line}:3:")) && text.contains("did you mean `service`"), "{text}");
}

/// What is written down from the telemetry of a platform is that platform again: it loads, it has its services and its calls, and the simulation takes it.
#[test]
fn a_preset_from_telemetry_has_the_services_queues_and_calls_that_were_there() {
    let truth = load_platform("commerce").expect("a platform");
    let demo = Watchfire::calm_demo("commerce");
    let home = TempDir::new().expect("a temporary directory");
    std::fs::create_dir(home.path().join("mine")).expect("made");
    let file = home.path().join("mine/platform.toml");
    let until = Instant::now() + Duration::from_secs(90);
    let draft = loop {
        let output = watchfire(&["config", "init", "--from-telemetry", "--url", &format!("http://{}", demo.api)], home.path());
        let missing = if output.status.success() {
            std::fs::write(&file, &output.stdout).expect("written");
            let draft = load_platform(&file.parent().expect("a directory").display().to_string());
            let draft = draft.unwrap_or_else(|e| panic!("{e:?}\n{}", said(&output)));
            let ends = |e: &DeclaredEdge| (e.client.clone(), e.server.clone());
            let known: Vec<_> = draft.declared_edges().iter().map(ends).collect();
            let missing: Vec<_> = truth.declared_edges().iter().map(ends).filter(|e| !known.contains(e)).collect();
            if missing.is_empty() {
                break draft;
            }
            format!("{missing:?}")
        } else {
            said(&output)
        };
        assert!(Instant::now() < until, "still missing: {missing}");
    };
    let names =
        |platform: &watchfire_config::Platform| platform.services.iter().map(|s| s.name.clone()).collect::<std::collections::BTreeSet<_>>();
    assert_eq!(names(&draft), names(&truth));
    for queue in &truth.queues {
        let found = draft.queue(&queue.name).unwrap_or_else(|| panic!("no queue {}", queue.name));
        assert_eq!((&found.consumer, &found.system), (&queue.consumer, &queue.system), "{}", queue.name);
    }
    for store in &truth.stores {
        let found = draft.store(&store.name).unwrap_or_else(|| panic!("no store {}", store.name));
        assert_eq!((&found.system, found.kind), (&store.system, store.kind), "{}", store.name);
    }
    let output = watchfire(&["config", "check", "--platform", "./mine"], home.path());
    assert!(output.status.success(), "{}", said(&output));
}
