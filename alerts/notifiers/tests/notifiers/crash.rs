//! Processes that are killed: nothing acknowledged is lost, and what comes twice has the same key and was sent within the last 100 ms.

use crate::receiver::Receiver;
use crate::{RealClock, eventually, notice, settings, start_at};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use watchfire_model::NoticeState;
use watchfire_notifiers::journal::POINTS;
use watchfire_notifiers::{Faults, Recovered, Settings, TickRecord};

const ALERTS: u64 = 7;
/// What was sent this long before a crash may come again.
const WINDOW: Duration = Duration::from_millis(100);
/// Until the parent, on a busy machine, has noticed a death or taken a request out of its socket.
const NOTICED: Duration = Duration::from_millis(150);
/// Key of a large record that is no alert.
const BULK: &str = "bulk";

fn ours(url: &str) -> Settings {
    settings(&format!(
        "[[receivers]]\nname = \"ops\"\nchannels = [{{ type = \"webhook\", url = \"{url}\" }}]\n[[routes]]\nto = [\"ops\"]\ngroup_wait = \"0s\"\ngroup_interval = \"0s\"\n[limits]\nbackoff_min = \"10ms\"\nbackoff_max = \"50ms\""
    ))
}

/// The process that is killed: commits transitions as fast as the disk allows and prints each one that was acknowledged.
#[test]
fn victim() {
    let Ok(directory) = std::env::var("WATCHFIRE_VICTIM") else { return };
    let url = std::env::var("WATCHFIRE_VICTIM_URL").unwrap();
    let point = std::env::var("WATCHFIRE_VICTIM_POINT").unwrap_or_default();
    let nth: u64 = std::env::var("WATCHFIRE_VICTIM_NTH").ok().and_then(|n| n.parse().ok()).unwrap_or(0);
    let seen = AtomicU64::new(0);
    let faults = Faults::hook(move |at| {
        if at == point && seen.fetch_add(1, Ordering::SeqCst) == nth {
            // As hard as kill -9: no destructor, no buffer, no exit handler.
            std::process::abort();
        }
        Ok(())
    });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _inside = runtime.enter();
    let running = start_at(ours(&url), Some(Path::new(&directory)), RealClock::shared(), faults);
    let mut revisions = revisions(&running.recovered);
    // What restarting lost or kept is checked by the parent: it knows what was acknowledged.
    println!("recovered {}", revisions.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(" "));
    // Enough state that the journal is written anew every few commits.
    let bulk = std::env::var_os("WATCHFIRE_VICTIM_BULK").is_some();
    for round in 0u64.. {
        let name = format!("A{}", round % ALERTS);
        let revision = revisions.get(&name).copied().unwrap_or(0) + 1;
        revisions.insert(name.clone(), revision);
        let state = if revision % 2 == 1 { NoticeState::Firing } else { NoticeState::Resolved };
        let mut states_changed = vec![(name.clone(), revision.to_string().into_bytes())];
        if bulk {
            states_changed.push((BULK.to_owned(), vec![b'0'; 4 << 20]));
        }
        let durable =
            running.handle.commit(TickRecord { states_changed, states_removed: Vec::new(), notices: vec![notice(&name, revision, state)] });
        assert!(durable);
        println!("acknowledged {name} {revision}");
        // The victim's pace: commits all the time, and time for delivery in between.
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn revisions(recovered: &Recovered) -> BTreeMap<String, u64> {
    let states = recovered.alert_states.iter().filter(|(key, _)| key != BULK);
    states.map(|(key, value)| (key.clone(), String::from_utf8_lossy(value).parse().unwrap())).collect()
}

struct Victim {
    child: Child,
    lines: std::sync::mpsc::Receiver<String>,
}

fn spawn(directory: &Path, url: &str, point: &str, nth: u64) -> Victim {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["crash::victim", "--exact", "--nocapture", "--test-threads=1"])
        .env("WATCHFIRE_VICTIM", directory)
        .env("WATCHFIRE_VICTIM_URL", url)
        .env("WATCHFIRE_VICTIM_POINT", point)
        .env("WATCHFIRE_VICTIM_NTH", nth.to_string())
        .envs(point.starts_with("compact").then_some(("WATCHFIRE_VICTIM_BULK", "1")))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (sender, lines) = std::sync::mpsc::channel();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    std::thread::spawn(move || {
        for line in stdout.lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    Victim { child, lines }
}

/// What the parent knows to be durable.
#[derive(Default)]
struct Known(BTreeMap<String, u64>);

impl Known {
    /// Reads what the victim says until it is dead; kills it after `life` of work.
    fn follow(&mut self, mut victim: Victim, life: Option<Duration>) -> (u64, Option<Instant>) {
        let mut acknowledged = 0;
        let mut deadline: Option<Instant> = None;
        let mut killed = None;
        loop {
            let wait = deadline.map_or(Duration::from_secs(30), |d| d.saturating_duration_since(Instant::now()));
            match victim.lines.recv_timeout(wait) {
                Ok(line) => {
                    if let Some(at) = line.find("recovered ") {
                        let found: BTreeMap<String, u64> = line[at + 10..]
                            .split(' ')
                            .filter_map(|pair| pair.split_once('='))
                            .map(|(k, v)| (k.to_owned(), v.parse().unwrap()))
                            .collect();
                        for (name, revision) in &self.0 {
                            let recovered = found.get(name).copied().unwrap_or(0);
                            // One more may have been synced without its acknowledgement having been heard.
                            assert!(
                                recovered == *revision || recovered == revision + 1,
                                "{name}: acknowledged {revision}, recovered {recovered}"
                            );
                        }
                        self.0 = found;
                        deadline = life.map(|life| Instant::now() + life);
                    } else if let Some(rest) = line.find("acknowledged ").map(|at| &line[at + 13..]) {
                        let (name, revision) = rest.split_once(' ').unwrap();
                        self.0.insert(name.to_owned(), revision.parse().unwrap());
                        acknowledged += 1;
                    }
                }
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) if deadline.is_some() && killed.is_none() => {
                    killed = Some(Instant::now());
                    victim.child.kill().unwrap();
                    deadline = None;
                }
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) => panic!("the victim neither worked nor died"),
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break,
            }
        }
        let status = victim.child.wait().unwrap();
        assert!(!status.success());
        (acknowledged, killed.or_else(|| Some(Instant::now())))
    }
}

/// After all the crashes: lets a last process deliver what is owed, and checks what arrived.
async fn verify(directory: &Path, receiver: &Receiver, known: &Known, deaths: &[Instant]) {
    let running = start_at(ours(&receiver.url), Some(directory), RealClock::shared(), Faults::default());
    let found: BTreeMap<String, u64> = revisions(&running.recovered);
    for (name, revision) in &known.0 {
        let recovered = found.get(name).copied().unwrap_or(0);
        assert!(recovered == *revision || recovered == revision + 1, "{name}: acknowledged {revision}, recovered {recovered}");
    }
    eventually("everything owed arrived", || running.handle.owed() == 0).await;
    running.stop().await;
    let mut last: BTreeMap<String, String> = BTreeMap::new();
    for (name, status) in receiver.alerts() {
        last.insert(name, status);
    }
    for (name, revision) in &found {
        let expected = if revision % 2 == 1 { "firing" } else { "resolved" };
        assert_eq!(last.get(name).map(String::as_str), Some(expected), "{name} ended in revision {revision}");
    }
    let mut times: BTreeMap<String, Vec<Instant>> = BTreeMap::new();
    let mut bodies: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for received in receiver.received() {
        times.entry(received.key().to_owned()).or_default().push(received.at);
        bodies.entry(received.key().to_owned()).or_default().insert(received.json()["alerts"].to_string());
    }
    let mut repeats = 0;
    for (key, sent) in times.iter().filter(|(_, sent)| sent.len() > 1) {
        repeats += sent.len() - 1;
        assert_eq!(bodies[key].len(), 1, "a repeat says the same");
        for at in &sent[..sent.len() - 1] {
            // The nearest death, and how long before it (or, in our own books, after it) the request was taken.
            let away = deaths.iter().map(|death| if death >= at { death.duration_since(*at) } else { at.duration_since(*death) });
            let away = away.min().unwrap_or(Duration::MAX);
            assert!(away < WINDOW + NOTICED, "a message sent {away:?} from any crash was repeated");
        }
    }
    println!("{} crashes, {} messages, {repeats} repeated with their key, 0 lost", deaths.len(), receiver.count());
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_at_random_moments_loses_nothing() {
    // WATCHFIRE_KILLS=200 for the long run.
    let kills: u64 = std::env::var("WATCHFIRE_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(15);
    let receiver = Receiver::start().await;
    let directory = tempfile::tempdir().unwrap();
    let mut known = Known::default();
    let mut deaths = Vec::new();
    let mut total = 0;
    for round in 0..kills {
        let victim = spawn(directory.path(), &receiver.url, "", 0);
        let life = Duration::from_millis(20 + (round * 37) % 150);
        let (acknowledged, death) = tokio::task::block_in_place(|| known.follow(victim, Some(life)));
        total += acknowledged;
        deaths.extend(death);
    }
    println!("{total} transitions acknowledged before {kills} kills");
    assert!(total > kills, "the victims did work");
    verify(directory.path(), &receiver, &known, &deaths).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dying_at_every_point_of_the_way_loses_nothing() {
    let rounds: u64 = std::env::var("WATCHFIRE_KILLS").map_or(1, |_| 10);
    for point in POINTS {
        let receiver = Receiver::start().await;
        let directory = tempfile::tempdir().unwrap();
        let mut known = Known::default();
        let mut deaths = Vec::new();
        for round in 0..rounds {
            let victim = spawn(directory.path(), &receiver.url, point, if point.starts_with("compact") { round } else { 3 + round * 5 });
            let (_, death) = tokio::task::block_in_place(|| known.follow(victim, None));
            deaths.extend(death);
        }
        print!("{point}: ");
        verify(directory.path(), &receiver, &known, &deaths).await;
    }
}
