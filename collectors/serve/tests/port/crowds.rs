//! Very many connections, and very few descriptors.

use crate::fixture::{Server, get_with};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use watchfire_serve::Guard;

/// Says to the test below that it is the server now.
const CHILD: &str = "WATCHFIRE_TEST_PORT_WITH_FEW_DESCRIPTORS";

/// What the server answers; empty when it turned the connection away.
fn ask(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("listening");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time");
    let mut answer = String::new();
    if stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").as_bytes()).is_ok() {
        let _ = stream.read_to_string(&mut answer);
    }
    answer
}

/// Five thousand idle sockets at once; with `--nocapture` it prints how long a good client waited among them.
#[tokio::test]
async fn a_good_client_is_served_among_five_thousand_idle_ones() {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    rustix::process::setrlimit(rustix::process::Resource::Nofile, rustix::process::Rlimit { current: limit.maximum, ..limit })
        .expect("up to the hard limit");
    let room = limit.maximum.unwrap_or(u64::MAX).saturating_sub(1500).min(5000) as usize;
    assert!(room >= 1000, "the hard limit of descriptors is too low for this test: {limit:?}");
    let server = Server::start(Guard::default()).await;
    let (mut idle, mut waited) = (Vec::new(), Vec::new());
    while idle.len() < room {
        for _ in 0..50 {
            idle.push(server.connect().await);
        }
        let begun = Instant::now();
        let answer = server.exchange(&get_with("host: localhost\r\n")).await;
        assert!(answer.ends_with("hello"), "among {}: {answer}", idle.len());
        waited.push(begun.elapsed());
    }
    waited.sort();
    println!("{room} idle sockets: p50 {:?}, p99 {:?}", waited[waited.len() / 2], waited[waited.len() * 99 / 100]);
    assert_eq!(server.count("watchfire_connections_refused_total"), 0);
    assert!(server.count("watchfire_connections_evicted_total") as usize >= room - 512);
    drop(idle);
    server.stop().await;
}

/// Connections leave descriptors to files, and a port that runs out of them serves on. In a process of its own, since the limit is the process's.
#[test]
fn a_flood_leaves_descriptors_for_files() {
    if std::env::var_os(CHILD).is_some() {
        return serve_with_few_descriptors();
    }
    let program = std::env::current_exe().expect("known");
    let arguments = ["--exact", "crowds::a_flood_leaves_descriptors_for_files", "--nocapture"];
    let mut server =
        Command::new(program).args(arguments).env(CHILD, "1").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("runs");
    let mut lines = BufReader::new(server.stdout.take().expect("piped")).lines();
    let address = loop {
        let line = lines.next().expect("it says where").expect("text");
        if let Some(address) = line.strip_prefix("listening ") {
            break address.to_owned();
        }
    };
    let mut idle = Vec::new();
    for _ in 0..15 {
        idle.extend((0..20).map(|_| TcpStream::connect(&address).expect("the port accepts on")));
        for (path, answer) in [("/", "hello"), ("/files", "24 files opened")] {
            // Whoever came when there was no room is turned away, and finds room at one of the next tries.
            let answers: Vec<String> = (0..5).map(|_| ask(&address, path)).collect();
            assert!(answers.iter().any(|a| a.ends_with(answer)), "{answers:?}");
        }
    }
    drop(server.stdin.take());
    assert!(server.wait().expect("ends").success());
}

fn serve_with_few_descriptors() {
    let few =
        rustix::process::Rlimit { current: Some(128), maximum: rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, few).expect("fewer");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let server = Server::start(Guard::default()).await;
        println!("listening {}", server.address);
        // Ends when the parent does.
        let _ = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await;
        server.stop().await;
    });
}
