//! What a start and a reload refuse: directories and files that others could have prepared, a second instance, files that are traps.

use crate::instance::{Watchfire, command};
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::Stdio;
use tempfile::TempDir;

const OFF: [&str; 6] = ["--otlp-grpc", "off", "--otlp-http", "off", "--api", "off"];

/// Exit code and complaint of a headless run that must not come to be.
fn refused(home: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = command(home);
    command.args(["run", "--headless", "--notify", "none"]).args(OFF).args(arguments).stdin(Stdio::null());
    let output = command.output().expect("the program runs");
    assert!(output.stdout.is_empty(), "it got ready: {}", String::from_utf8_lossy(&output.stdout));
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("changed");
}

#[test]
fn a_state_directory_that_others_could_have_prepared_is_refused_with_path_and_mode() {
    let home = TempDir::new().expect("a directory");
    let (open, link, strange) = (home.path().join("open"), home.path().join("link"), home.path().join("strange"));
    fs::create_dir(&open).expect("made");
    symlink(&open, &link).expect("linked");
    mode(&open, 0o777);
    let mut cases = vec![(&open, "mode 0777"), (&link, "symbolic link")];
    fs::create_dir(&strange).expect("made");
    if chown(&strange, Some(12_345), None).is_ok() {
        cases.push((&strange, "belongs to user 12345"));
    } else {
        println!("skipped: only root can give a directory away");
    }
    for (path, why) in cases {
        let (code, complaint) = refused(home.path(), &["--state-dir", &text(path)]);
        assert_eq!(code, Some(2), "{complaint}");
        assert!(complaint.contains(&text(path)) && complaint.contains(why), "{complaint}");
    }
}

#[test]
fn a_second_instance_on_the_same_state_ends_with_three_and_names_the_first() {
    let home = TempDir::new().expect("a directory");
    let first = Watchfire::start_in(home.path(), &[]);
    let (code, complaint) = refused(home.path(), &["--state-dir", &text(&home.path().join("state"))]);
    assert_eq!(code, Some(3), "{complaint}");
    assert!(complaint.contains(&format!("in use by pid {}", first.pid())), "{complaint}");
    assert_eq!(first.stop("TERM"), Some(0));
}

/// Files that somebody puts in the way of the state are neither followed nor written to.
#[test]
fn planted_links_in_the_state_directory_change_nothing_elsewhere() {
    let home = TempDir::new().expect("a directory");
    let (state, precious) = (home.path().join("state"), home.path().join("precious"));
    assert_eq!(Watchfire::start_in(home.path(), &[]).stop("TERM"), Some(0));
    fs::write(&precious, "precious").expect("written");
    let used: Vec<_> = fs::read_dir(&state).expect("a directory").map(|e| e.expect("an entry").path()).collect();
    assert!(used.len() >= 2, "{used:?}");
    for path in &used {
        fs::remove_file(path).expect("removed");
        symlink(&precious, path).expect("linked");
    }
    let (code, complaint) = refused(home.path(), &["--state-dir", &text(&state)]);
    assert_eq!(code, Some(2), "{complaint}");
    assert!(complaint.contains(&text(&state)), "{complaint}");
    assert_eq!(fs::read_to_string(&precious).expect("still there"), "precious");
}

#[test]
fn a_configuration_that_others_can_write_is_refused_and_a_link_of_ones_own_is_not() {
    let home = TempDir::new().expect("a directory");
    let directory = home.path().join("etc");
    fs::create_dir(&directory).expect("made");
    let config = directory.join("config.toml");
    fs::write(&config, "log_level = \"warn\"\n").expect("written");
    let link = home.path().join("link.toml");
    symlink(&config, &link).expect("linked");
    let check = |path: &Path| {
        let output = command(home.path()).args(["config", "check", "--config", &text(path)]).output().expect("runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(check(&config).0, Some(0));
    assert_eq!(check(&link), (Some(0), String::new()), "settings are often mounted as links");
    mode(&config, 0o646);
    let (code, complaint) = refused(home.path(), &["--config", &text(&config)]);
    assert!(code == Some(2) && complaint.contains("mode 0646") && complaint.contains("config.toml"), "{code:?} {complaint}");
    mode(&config, 0o600);
    mode(&directory, 0o777);
    for path in [&config, &link] {
        let (code, complaint) = refused(home.path(), &["--config", &text(path)]);
        assert!(code == Some(2) && complaint.contains("mode 0777") && complaint.contains(&text(&directory)), "{code:?} {complaint}");
    }
    mode(&directory, 0o755);
    if std::os::unix::fs::lchown(&link, Some(12_345), None).is_ok() {
        let (code, complaint) = refused(home.path(), &["--config", &text(&link)]);
        assert!(code == Some(2) && complaint.contains("symbolic link of user 12345"), "{code:?} {complaint}");
    }
}

#[test]
fn what_the_screens_would_refuse_is_found_by_the_check() {
    let home = TempDir::new().expect("a directory");
    let (config, keymap) = (home.path().join("config.toml"), home.path().join("keys.toml"));
    for (keys, setting, complaint) in [
        ("\"M\" = \"nosuchaction\"\n", "", "nosuchaction"),
        ("\"M\" = \"map\"\n", "theme = \"pink\"\n", "pink"),
        ("\"M\" = \"map\"\n", "timezone = \"Mars/Olympus\"\n", "Mars/Olympus"),
        ("\"M\" = \"map\"\n", "", ""),
    ] {
        fs::write(&keymap, format!("[everywhere]\n{keys}")).expect("written");
        fs::write(&config, format!("[ui]\nkeymap = {keymap:?}\n{setting}")).expect("written");
        let output = command(home.path()).args(["config", "check", "--config", &text(&config)]).output().expect("runs");
        let said = String::from_utf8_lossy(&output.stderr);
        let code = if complaint.is_empty() { 0 } else { 1 };
        assert!(output.status.code() == Some(code) && said.contains(complaint), "{setting}{keys}{said}");
    }
}

#[test]
fn secrets_that_others_can_read_warn_and_strict_refuses_them() {
    let home = TempDir::new().expect("a directory");
    let config = home.path().join("config.toml");
    fs::write(&config, "[receivers.oncall]\ntype = \"pagerduty\"\nrouting_key = \"canary-key\"\n").expect("written");
    mode(&config, 0o644);
    let output = command(home.path()).args(["config", "check", "--config", &text(&config)]).output().expect("runs");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("mode 0644"), "{said}");
    let (code, complaint) = refused(home.path(), &["--config", &text(&config), "--strict"]);
    assert_eq!(code, Some(2), "{complaint}");
    for said in [said, complaint] {
        assert!(said.contains("routing_key_file") && said.contains("environment variable"), "{said}");
        assert!(!said.contains("canary-key"), "{said}");
    }
}

/// Each is put in the place of a rule file while watchfire runs: refused with line and column, nothing is lost, and no memory goes into it.
#[tokio::test(flavor = "multi_thread")]
async fn rule_files_that_are_traps_cost_nothing_and_change_nothing() {
    let home = TempDir::new().expect("a directory");
    let rules = home.path().join("rules.yml");
    let good = "groups:\n- name: g\n  interval: 1s\n  rules:\n  - {alert: Always, expr: vector(1)}\n";
    fs::write(&rules, good).expect("written");
    let watchfire = Watchfire::start(&["--rules", &text(&rules)]);
    watchfire.until("/api/v1/rules", "the alert fires", |r| r["data"]["groups"][0]["rules"][0]["state"] == "firing").await;
    let laughs: String = (1..12).fold("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned(), |text, n| {
        let alias = format!("*a{}", n - 1);
        format!("{text}a{n}: &a{n} [{}]\n", [alias.as_str(); 10].join(", "))
    });
    let deep = format!("groups: {}{}\n", "[".repeat(50_000), "]".repeat(50_000));
    let misspelt = good.replace("interval", "intervall");
    let twice = good.replace("expr: vector(1)", "expr: vector(1), expr: vector(2)");
    // Without content on disk, but a gigabyte to whoever reads it.
    let endless = home.path().join("endless.yml");
    fs::File::create(&endless).and_then(|f| f.set_len(1 << 30)).expect("made");
    let before = watchfire.resident_kib();
    let mut failures = 0.0;
    for (trap, why) in
        [(Some(laughs), ": 5:"), (Some(deep), ": 1:"), (Some(misspelt), ": 3:3: "), (Some(twice), ": 5:"), (None, "larger than 8 MiB")]
    {
        match trap {
            Some(text) => fs::write(home.path().join("new"), text).expect("written"),
            None => fs::rename(&endless, home.path().join("new")).expect("moved"),
        }
        fs::rename(home.path().join("new"), &rules).expect("moved");
        let answer = watchfire.client().post(watchfire.url("/-/reload")).send().await.expect("answered");
        let (status, said) = (answer.status().as_u16(), answer.text().await.expect("text"));
        assert!(status >= 400 && said.contains("rules.yml") && said.contains(why) && said.len() < 4000, "{status} {why}: {said}");
        let now = watchfire.metric("watchfire_config_reload_failures_total").await;
        assert!(now > failures, "counted");
        failures = now;
    }
    let grown = watchfire.resident_kib() - before;
    assert!(grown < 32 << 10, "{grown} KiB more");
    let state = watchfire.json("/api/v1/rules").await;
    assert_eq!(state["data"]["groups"][0]["rules"][0]["state"], "firing", "what was loaded before stays");
}

/// The directory, its files and what is in them may come later, and each is put into force by itself.
#[tokio::test(flavor = "multi_thread")]
async fn rule_files_may_come_after_the_start_and_a_rule_that_is_broken_is_watched() {
    let home = TempDir::new().expect("a directory");
    let (directory, log) = (home.path().join("rules"), home.path().join("log"));
    let pattern = directory.join("*.yml");
    let watchfire = Watchfire::start_logging(&log, &["--rules", &pattern.to_string_lossy(), "--evaluation-interval", "1s"]);
    let said = fs::read_to_string(&log).expect("a log");
    assert!(said.contains("*.yml matches no file"), "{said}");
    fs::create_dir(&directory).expect("made");
    // At every evaluation two elements meet one.
    let twice = "vector(1) * on () (label_replace(vector(1), 'a', '1', '', '') or label_replace(vector(1), 'a', '2', '', ''))";
    let rules = format!("groups:\n- name: g\n  interval: 1s\n  rules:\n  - alert: Never\n    expr: {twice}\n");
    fs::write(directory.join("late.yml"), rules).expect("written");
    let broken = |json: &serde_json::Value| json["data"]["groups"][0]["rules"][0]["health"] == "err";
    watchfire.until("/api/v1/rules", "the rule is there, and broken", broken).await;
    let alert = |json: &serde_json::Value| {
        let alerts = json["data"]["alerts"].as_array().cloned().unwrap_or_default();
        alerts.iter().any(|a| a["labels"]["alertname"] == "RulesBroken" && a["labels"]["rule_group"] == "g" && a["state"] == "pending")
    };
    watchfire.until("/api/v1/alerts", "somebody will be told", alert).await;
    assert_eq!(watchfire.metric("watchfire_broken_rules{rule_group=\"g\"}").await, 1.0);
}
