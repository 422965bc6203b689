//! Attaching: over TLS, over a slow link, as another user, to another version; and what is said when it cannot be.

use crate::instance::{Watchfire, command};
use crate::screen::Screen;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const TOKEN: &str = "0123456789abcdef";

/// A certificate for loopback that is its own authority, as `openssl req -x509` writes it, its key, and a configuration that serves with them and wants a token.
fn secured(home: &Path) -> (String, String) {
    let mut parameters = CertificateParams::new(["127.0.0.1".to_owned()]).expect("names");
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let signing_key = KeyPair::generate().expect("a key");
    let signed = parameters.self_signed(&signing_key).expect("a certificate");
    let (certificate, key, config) = (home.join("cert.pem"), home.join("key.pem"), home.join("config.toml"));
    fs::write(&certificate, signed.pem()).expect("written");
    fs::write(&key, signing_key.serialize_pem()).expect("written");
    let text = format!("[security]\ntoken = {TOKEN:?}\ntls_certificate = {certificate:?}\ntls_key = {key:?}\n");
    fs::write(&config, text).expect("written");
    (config.display().to_string(), certificate.display().to_string())
}

fn words(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_terminal_attaches_over_tls_with_a_token() {
    let home = TempDir::new().expect("a temporary directory");
    let (config, certificate) = secured(home.path());
    let watchfire = Watchfire::start_in(home.path(), &["--config", &config]);
    let url = format!("https://{}", watchfire.api);
    let status = |variables: &[(&str, &str)]| {
        let asked = command(home.path()).args(["status", "--url", &url]).envs(variables.iter().copied()).output();
        let asked = asked.expect("it runs");
        (asked.status.code(), words(&asked))
    };
    let (code, text) = status(&[("WATCHFIRE_CA", &certificate), ("WATCHFIRE_TOKEN", TOKEN)]);
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = status(&[("WATCHFIRE_CA", &certificate)]);
    assert!(code == Some(2) && text.to_lowercase().contains("token"), "without a token: {text}");
    let (code, text) = status(&[("WATCHFIRE_TOKEN", TOKEN)]);
    assert!(code == Some(2) && text.contains("certificate") && text.contains("WATCHFIRE_CA"), "a certificate nobody vouches for: {text}");
    let attached = |url: &str| words(&command(home.path()).args(["attach", url]).output().expect("it runs"));
    let text = attached(&url);
    assert!(text.contains("WATCHFIRE_CA") && !text.contains("start one"), "it runs already: {text}");
    let text = attached(&url.replace("https", "http"));
    assert!(text.contains("write https://"), "{text}");
    let program = env!("CARGO_BIN_EXE_watchfire");
    let environment = [("WATCHFIRE_CA", certificate.as_str()), ("WATCHFIRE_TOKEN", TOKEN)];
    let mut screen = Screen::start_program(100, 30, program, &["attach", &url, "--theme", "dark"], &environment);
    screen.until("the other side's first minute", |s| s.contains("nothing received yet") && s.contains("live"));
    screen.keys(":q\r");
    assert_eq!(screen.end(), (0, true));
    assert_eq!(watchfire.stop("TERM"), Some(0));
}

#[test]
fn another_user_is_refused_at_the_socket() {
    const NOBODY: u32 = 65_534;
    if fs::metadata("/proc/self").map_or(1, |m| std::os::unix::fs::MetadataExt::uid(&m)) != 0 {
        println!("skipped: only root can become another user");
        return;
    }
    let home = TempDir::new().expect("a temporary directory");
    let open = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("changed");
    let program = home.path().join("watchfire");
    fs::copy(env!("CARGO_BIN_EXE_watchfire"), &program).expect("copied");
    let watchfire = Watchfire::start_in(home.path(), &[]);
    let doors = home.path().join("run/watchfire");
    let socket = fs::read_dir(&doors).expect("a door").next().expect("a door").expect("a door").path();
    // Everything that file permissions would refuse is open, so that only the kernel's word on who connects is left.
    for (path, mode) in [(home.path(), 0o755), (&home.path().join("run"), 0o755), (&doors, 0o755), (&socket, 0o666), (&program, 0o755)] {
        open(path, mode);
    }
    let ask = |uid: u32| {
        let mut command = std::process::Command::new(&program);
        command.env_clear().env("HOME", "/nonexistent").args(["status", "--url", &format!("unix:{}", socket.display())]);
        command.uid(uid).gid(uid).output().expect("it runs")
    };
    let (own, other) = (ask(0), ask(NOBODY));
    assert_eq!(own.status.code(), Some(0), "{}", words(&own));
    assert_eq!(other.status.code(), Some(2), "{}", words(&other));
    assert!(!words(&other).contains("Permission denied"), "the file let it in: {}", words(&other));
    assert_eq!(watchfire.stop("TERM"), Some(0));
}

/// Passes bytes on at no more than `rate` a second from the server, and counts them.
fn slow_link(to: String, rate: usize) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let passed = Arc::new(AtomicUsize::new(0));
    let counter = passed.clone();
    let begun = Instant::now();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(server) = TcpStream::connect(&to) else { return };
            let (mut up, mut to_server) = (client.try_clone().expect("a socket"), server.try_clone().expect("a socket"));
            std::thread::spawn(move || std::io::copy(&mut up, &mut to_server));
            let (mut server, mut client, counter) = (server, client, counter.clone());
            std::thread::spawn(move || {
                let mut chunk = [0; 2048];
                while let Ok(n @ 1..) = server.read(&mut chunk) {
                    let total = counter.fetch_add(n, Ordering::SeqCst) + n;
                    let due = Duration::from_secs_f64(total as f64 / rate as f64);
                    // This is the link itself: it takes its time.
                    std::thread::sleep(due.saturating_sub(begun.elapsed()));
                    if client.write_all(&chunk[..n]).is_err() {
                        return;
                    }
                }
            });
        }
    });
    (address, passed)
}

#[test]
fn a_slow_link_shows_the_newest_and_stays_alive() {
    const RATE: usize = 64 << 10;
    let watchfire = Watchfire::demo("clientnest", "database_outage", "unix:path=/nonexistent");
    let (link, passed) = slow_link(watchfire.api.clone(), RATE);
    let mut screen = Screen::start(200, 50, &["attach", &format!("http://{link}")]);
    screen.until("services", |s| s.contains("api-gateway"));
    let begun = (Instant::now(), passed.load(Ordering::SeqCst));
    for (key, shows) in [("2", "analytics-db"), ("3", "TOOK"), ("7", "health/ready"), ("8", "CAUSE"), ("1", "SERVICE")] {
        screen.keys(key);
        let shown = screen.until(shows, |s| s.contains(shows) && !s.contains("reading …"));
        assert!(!shown.contains("disconnected"), "{shown}");
    }
    // One question at a time: what is shown is an answer to the latest, never one out of a queue.
    let (took, bytes) = (begun.0.elapsed(), passed.load(Ordering::SeqCst) - begun.1);
    println!("{bytes} bytes in {took:?} over a link of {RATE} bytes/s");
    screen.keys("?");
    screen.until("help at once", |s| s.contains("help: Services"));
    screen.keys("\x03");
    assert_eq!(screen.end(), (0, true));
    assert_eq!(watchfire.stop("TERM"), Some(0));
}

/// Answers every request with what `body` makes of its path.
fn other_version(body: fn(&str) -> &'static str) -> String {
    answering("200 OK", body)
}

/// As [`other_version`], with this status.
fn answering(status: &'static str, body: fn(&str) -> &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let mut request = Vec::new();
            let mut chunk = [0; 1024];
            while !request.windows(4).any(|w| w == b"\r\n\r\n") {
                match client.read(&mut chunk) {
                    Ok(n @ 1..) => request.extend_from_slice(&chunk[..n]),
                    _ => break,
                }
            }
            let text = String::from_utf8_lossy(&request).into_owned();
            let body = body(text.split(' ').nth(1).unwrap_or_default());
            let status = if text.contains("buildinfo") { "200 OK" } else { status };
            let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n", body.len());
            let _ = client.write_all(format!("{head}connection: close\r\n\r\n{body}").as_bytes());
        }
    });
    address
}

#[test]
fn another_version_is_named() {
    let address = other_version(|path| {
        if path.contains("buildinfo") {
            r#"{"status":"success","data":{"version":"3.5.0","application":"watchfire 99.1.2"}}"#
        } else {
            r#"{"overall":["in","another","shape"]}"#
        }
    });
    let home = TempDir::new().expect("a temporary directory");
    let asked = command(home.path()).args(["status", "--url", &format!("http://{address}")]).output().expect("it runs");
    let text = words(&asked);
    assert_eq!(asked.status.code(), Some(2), "{text}");
    assert!(text.contains("there watchfire 99.1.2") && text.contains(concat!("here ", env!("CARGO_PKG_VERSION"))), "{text}");
}

/// An address of something else, of the wrong kind, or of nobody is told apart from a watchfire of another version.
#[test]
fn who_attaches_to_something_else_is_told_what_it_is() {
    let home = TempDir::new().expect("a temporary directory");
    let said = |address: &str| {
        let asked = command(home.path()).args(["attach", address, "--plain"]).output().expect("it runs");
        assert_eq!(asked.status.code(), Some(2), "{asked:?}");
        words(&asked)
    };
    let page = answering("404 Not Found", |_| "<html>404</html>");
    let prometheus = answering("404 Not Found", |path| {
        if path.contains("buildinfo") {
            r#"{"status":"success","data":{"version":"2.53.1","goVersion":"go1.22"}}"#
        } else {
            "404 page not found"
        }
    });
    let welcome = answering("200 OK", |_| "<html>Welcome</html>");
    let login = answering("302 Found", |_| "");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let greeting = listener.local_addr().expect("an address").to_string();
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let _ = client.write_all(b"SSH-2.0-OpenSSH_9.2p1\r\n");
            // Closing over what is not read yet could take back what was said.
            let _ = client.read(&mut [0; 4096]);
        }
    });
    let closed = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").to_string();
    for (address, what) in [
        (format!("http://{page}"), "answered 404 Not Found"),
        (format!("http://{prometheus}"), "no watchfire answers there: Prometheus 2.53.1, or something that answers like it"),
        (format!("http://{welcome}"), "no watchfire answers there"),
        (format!("http://{login}"), "302 Found, which sends callers elsewhere"),
        (format!("http://{greeting}"), "what listens there does not speak HTTP"),
        (format!("http://{closed}"), "Connection refused"),
        (format!("http://ana:hunter2@{closed}"), "running at http://ana:"),
        (closed, "Connection refused"),
        ("/nowhere/none.sock".to_owned(), "No such file"),
    ] {
        let text = said(&address);
        assert!(text.contains("cannot attach to") && text.contains(what), "{address}: {text}");
        assert!(!text.contains("this version of watchfire") && !text.contains("disconnected"), "{address}: {text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn a_taken_port_is_named_with_the_way_out() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let home = TempDir::new().expect("a temporary directory");
    for (flag, free) in [("--api", ["--otlp-grpc", "--otlp-http"]), ("--otlp-grpc", ["--otlp-http", "--api"])] {
        let mut run = command(home.path());
        run.args(["run", "--headless", "--notify", "none", flag, &address]);
        free.iter().for_each(|other| {
            run.args([other, "127.0.0.1:0"]);
        });
        let ended = run.output().expect("it runs");
        let text = words(&ended);
        assert_eq!(ended.status.code(), Some(2), "{flag}: {text}");
        assert!(text.contains(&address) && text.contains("watchfire attach") && text.contains(flag), "{flag}: {text}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let home = TempDir::new().expect("a temporary directory");
    for arguments in [&["completions", "bash"][..], &["man"], &["demo", "--list"], &["config", "show"], &["--help"]] {
        let mut child =
            command(home.path()).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
        drop(child.stdout.take());
        let ended = child.wait_with_output().expect("it ends");
        assert!(ended.status.success() && ended.stderr.is_empty(), "{arguments:?}: {:?} {}", ended.status, words(&ended));
    }
}

#[test]
fn a_demo_reaches_its_own_receivers_whatever_the_configuration_guards() {
    let home = TempDir::new().expect("a temporary directory");
    let (config, certificate) = secured(home.path());
    let watchfire = Watchfire::demo_in(home.path(), &["--config", &config]);
    let url = format!("https://{}", watchfire.api);
    let end = Instant::now() + Duration::from_secs(40);
    loop {
        let mut status = command(home.path());
        status.args(["status", "--url", &url]).envs([("WATCHFIRE_CA", certificate.as_str()), ("WATCHFIRE_TOKEN", TOKEN)]);
        let text = words(&status.output().expect("it runs"));
        if text.lines().any(|l| l.contains("api-gateway") && l.contains("/s")) {
            break;
        }
        assert!(Instant::now() < end, "no calls are seen:\n{text}");
    }
    assert_eq!(watchfire.stop("TERM"), Some(0));
    let mut open = command(home.path());
    open.args(["demo", "--plain", "--for", "2s", "--notify", "none", "--config", &config, "--otlp-grpc", "0.0.0.0:0"]);
    let text = words(&open.args(["--otlp-http", "127.0.0.1:0", "--api", "127.0.0.1:0"]).output().expect("it runs"));
    assert!(text.contains("send in the clear"), "{text}");
}
