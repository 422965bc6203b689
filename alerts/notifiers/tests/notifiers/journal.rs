//! The journal against damage of every byte, and against disks that fail.

use crate::receiver::Receiver;
use crate::{RealClock, eventually, notice, start_at, told_at_once};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use watchfire_model::{Meter, NoticeState::*, Timestamp};
use watchfire_notifiers::journal::{AlertStates, Journal, SegmentLog, StateDirectory};
use watchfire_notifiers::{Faults, Recovered, Undecided};

pub const NOW: Timestamp = Timestamp(1_772_334_900_000);

pub fn open(directory: &Path, faults: Faults) -> (Journal, Recovered) {
    Journal::open(Some(directory), NOW, &Meter::new(), faults, Box::new(|| {})).unwrap()
}

pub fn put(key: &str, value: &str) -> AlertStates {
    AlertStates { changed: vec![(key.to_owned(), value.as_bytes().to_vec())], removed: Vec::new() }
}

pub fn held(recovered: &Recovered) -> BTreeMap<String, Vec<u8>> {
    recovered.alert_states.iter().cloned().collect()
}

pub fn segments(directory: &Path) -> Vec<std::path::PathBuf> {
    let mut found: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|e| e.unwrap().path()).filter(|p| p.extension().is_some_and(|e| e == "log")).collect();
    found.sort();
    found
}

#[test]
fn each_flipped_byte_and_each_truncation_of_a_journal_opens_and_loses_only_its_own_record() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    let records = 10;
    {
        let (journal, _) = open(&path, Faults::default());
        for n in 0..records {
            assert!(journal.commit(put(&format!("key-{n:02}"), &"v".repeat(60)), Vec::new()));
        }
    }
    let name = segments(&path)[0].file_name().unwrap().to_owned();
    let bytes = std::fs::read(path.join(&name)).unwrap();
    let try_with = |bytes: &[u8]| {
        let copy = tempfile::tempdir().unwrap();
        std::fs::write(copy.path().join(&name), bytes).unwrap();
        let (_journal, recovered) = open(copy.path(), Faults::default());
        let kept = std::fs::read_dir(copy.path()).unwrap().any(|e| e.unwrap().file_name().to_string_lossy().contains(".corrupt-"));
        (recovered, kept)
    };
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x41;
        let (recovered, kept) = try_with(&damaged);
        assert_eq!(recovered.alert_states.len(), records - 1, "byte {at}");
        assert!(kept && !recovered.banners.is_empty(), "byte {at}");
    }
    let record = bytes.len() / records;
    for end in (0..bytes.len()).step_by(7) {
        let (recovered, _) = try_with(&bytes[..end]);
        assert_eq!(recovered.alert_states.len(), end / record, "cut at {end}");
    }
}

#[test]
fn what_is_no_segment_of_ours_is_set_aside_and_the_rest_is_read() {
    let plants: [fn(&Path); 3] = [
        |planted| std::fs::File::create(planted).unwrap().set_len(1 << 30).unwrap(),
        |planted| std::os::unix::fs::symlink("/etc/hostname", planted).unwrap(),
        |planted| std::fs::create_dir(planted).unwrap(),
    ];
    for plant in plants {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state");
        {
            let (journal, _) = open(&path, Faults::default());
            assert!(journal.commit(put("key", "value"), Vec::new()));
        }
        plant(&path.join("journal-0000000002.log"));
        let (journal, recovered) = open(&path, Faults::default());
        assert_eq!(held(&recovered).len(), 1);
        assert!(
            matches!(&recovered.banners[..], [b] if b.contains("journal-0000000002.log") && b.contains("set aside")),
            "{:?}",
            recovered.banners
        );
        assert!(journal.commit(put("more", "value"), Vec::new()), "and it is written on");
        drop(journal);
        let (_, recovered) = open(&path, Faults::default());
        assert_eq!((held(&recovered).len(), recovered.banners), (2, Vec::new()), "said once");
        let aside =
            std::fs::read_dir(&path).unwrap().filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().contains(".corrupt-")).count();
        assert_eq!(aside, 1, "kept for whoever wants to know");
    }
}

#[test]
fn damage_is_reported_once_and_not_again_at_the_next_start() {
    let directory = tempfile::tempdir().unwrap();
    {
        let (journal, _) = open(directory.path(), Faults::default());
        for n in 0..10 {
            journal.commit(put(&format!("k{n}"), "v"), Vec::new());
        }
    }
    let file = segments(directory.path())[0].clone();
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let (journal, recovered) = open(directory.path(), Faults::default());
    assert_eq!((recovered.banners.len(), recovered.alert_states.len()), (1, 9), "{:?}", recovered.banners);
    assert!(recovered.banners[0].contains("1 record lost"));
    journal.commit(put("after", "v"), Vec::new());
    drop(journal);
    let (_, recovered) = open(directory.path(), Faults::default());
    assert!(recovered.banners.is_empty(), "{:?}", recovered.banners);
    assert_eq!(recovered.alert_states.len(), 10);
}

/// Fails every operation at this place while the switch is on.
/// A machine whose disk has filled up is the one whose evaluator is started again, and it has something to tell.
#[tokio::test]
async fn a_full_disk_at_the_start_keeps_nothing_from_going_on() {
    for kept in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        if kept {
            assert!(open(directory.path(), Faults::default()).0.commit(put("a", "1"), Vec::new()));
        }
        let on = Arc::new(AtomicBool::new(true));
        let full = failing("open", std::io::ErrorKind::StorageFull, &on);
        let (journal, recovered) = open(directory.path(), full);
        assert_eq!(held(&recovered).contains_key("a"), kept);
        let trouble = journal.trouble().expect("said");
        assert!(trouble.contains("state is not durable: no storage space"), "{trouble}");
        assert!(!journal.commit(put("b", "2"), Vec::new()), "and it is not said to be kept");
        on.store(false, Ordering::SeqCst);
        eventually("it is durable again", || journal.commit(put("c", "3"), Vec::new())).await;
        assert_eq!(journal.trouble(), None);
        drop(journal);
        let (_, recovered) = open(directory.path(), Faults::default());
        assert_eq!(held(&recovered).len(), 2 + usize::from(kept));
    }
}

fn failing(point: &'static str, kind: std::io::ErrorKind, on: &Arc<AtomicBool>) -> Faults {
    let on = on.clone();
    Faults::hook(move |at| if at == point && on.load(Ordering::SeqCst) { Err(kind.into()) } else { Ok(()) })
}

#[tokio::test]
async fn a_failing_disk_stops_nothing_is_said_aloud_and_heals_by_itself() {
    for (point, kind) in [
        ("append", std::io::ErrorKind::StorageFull),
        ("append-half", std::io::ErrorKind::StorageFull),
        ("sync", std::io::ErrorKind::Other),
        ("append", std::io::ErrorKind::ReadOnlyFilesystem),
    ] {
        let on = Arc::new(AtomicBool::new(false));
        let both = on.clone();
        // The new file fails as well as long as the disk does.
        let faults =
            Faults::hook(
                move |at| if (at == point || at == "compact-write") && both.load(Ordering::SeqCst) { Err(kind.into()) } else { Ok(()) },
            );
        let receiver = Receiver::start().await;
        let directory = tempfile::tempdir().unwrap();
        let ours = told_at_once(&receiver);
        let running = start_at(ours.clone(), Some(directory.path()), RealClock::shared(), faults);
        let durable = running.meter.gauge("watchfire_state_durable", &[]);
        assert!(running.commit(vec![notice("Before", 1, Firing)]).await);
        eventually("sent", || receiver.count() == 1).await;
        assert_eq!(durable.get(), 1.0);
        on.store(true, Ordering::SeqCst);
        assert!(!running.commit(vec![notice("During", 1, Firing)]).await, "{point}: not durable");
        eventually("sent all the same", || receiver.count() == 2).await;
        assert_eq!(durable.get(), 0.0);
        assert!(running.handle.banners().iter().any(|b| b.contains("not durable")), "{:?}", running.handle.banners());
        let handle = running.handle.clone();
        let refusal = tokio::task::spawn_blocking(move || handle.acknowledge("fp-During", "alex", None)).await.unwrap();
        assert!(matches!(refusal, Err(Undecided::NotDurable(why)) if why.contains("would be lost in a crash")));
        on.store(false, Ordering::SeqCst);
        eventually("durable again", || durable.get() == 1.0).await;
        assert!(running.handle.banners().is_empty());
        assert!(running.commit(vec![notice("After", 1, Firing)]).await);
        eventually("sent", || receiver.count() == 3 && running.handle.owed() == 0).await;
        running.stop().await;
        drop(receiver);
        let running = start_at(ours, Some(directory.path()), RealClock::shared(), Faults::default());
        assert!(running.recovered.outbox.is_empty(), "{point}: what was sent while the disk failed is known");
        assert!(running.recovered.banners.is_empty(), "{:?}", running.recovered.banners);
        running.cancel.cancel();
        running.handle.drained().await;
    }
}

#[test]
fn a_disk_that_fails_while_the_state_is_written_anew_loses_nothing() {
    for point in ["compact-write", "compact-rename", "compact-remove"] {
        let directory = tempfile::tempdir().unwrap();
        let on = Arc::new(AtomicBool::new(true));
        let written = {
            let (journal, _) = open(directory.path(), failing(point, std::io::ErrorKind::Other, &on));
            // Past the end of a segment, so that it wants to be written anew.
            for n in 0..40 {
                assert!(journal.commit(put(&format!("k{}", n % 4), &format!("{n}{}", "x".repeat(1 << 20))), Vec::new()), "{point} {n}");
            }
            journal.state().read().alert_states.clone()
        };
        let (_, recovered) = open(directory.path(), Faults::default());
        assert!(held(&recovered) == written.into_iter().collect(), "{point}");
        assert!(recovered.banners.is_empty(), "{point}: {:?}", recovered.banners);
    }
}

#[test]
fn the_journal_stays_within_twice_its_state_and_one_segment() {
    let directory = tempfile::tempdir().unwrap();
    let (journal, _) = open(directory.path(), Faults::default());
    for n in 0..100 {
        journal.commit(put("k", &format!("{n}{}", "x".repeat(1 << 20))), Vec::new());
    }
    let bytes: u64 = segments(directory.path()).iter().map(|p| p.metadata().unwrap().len()).sum();
    assert!(bytes < 40 << 20, "{bytes}");
    drop(journal);
    let (_, recovered) = open(directory.path(), Faults::default());
    assert!(held(&recovered)["k"].starts_with(b"99x"));
}

#[test]
fn what_is_too_long_for_one_record_is_durable_once_the_state_is_written_anew() {
    let directory = tempfile::tempdir().unwrap();
    let (journal, _) = open(directory.path(), Faults::default());
    let changed: Vec<_> = (0..1100).map(|n| (format!("alert-{n}"), vec![b'x'; 64 << 10])).collect();
    let storm: BTreeMap<_, _> = changed.iter().cloned().collect();
    assert!(!journal.commit(AlertStates { changed, removed: Vec::new() }, Vec::new()), "68 MiB at once");
    assert!(journal.trouble().is_some_and(|why| why.contains("longer than 64 MiB")), "{:?}", journal.trouble());
    drop(journal);
    let (_, recovered) = open(directory.path(), Faults::default());
    assert!(held(&recovered) == storm, "{} of {}", recovered.alert_states.len(), storm.len());
}

#[test]
fn a_full_file_system_is_survived_on_the_reserve() {
    // A real disk of 4 MiB, in a mount namespace of its own.
    let script = "mount -t tmpfs -o size=4m tmpfs \"$1\" && shift && exec \"$@\"";
    let directory = tempfile::tempdir().unwrap();
    let me = std::env::current_exe().unwrap();
    let output = std::process::Command::new("unshare")
        .args(["-m", "sh", "-c", script, "sh"])
        .arg(directory.path())
        .arg(me)
        .args(["journal::on_a_small_disk", "--exact", "--nocapture", "--test-threads=1"])
        .env("WATCHFIRE_SMALL_DISK", directory.path())
        .output();
    match output {
        Ok(output) if output.status.success() => {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(text.contains("small disk: done"), "{text}");
        }
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(text.contains("unshare") || text.contains("mount"), "{text}{}", String::from_utf8_lossy(&output.stdout));
            println!("skipped: no private mount namespace here: {}", text.trim());
        }
        Err(e) => println!("skipped: unshare is not installed: {e}"),
    }
}

#[test]
fn on_a_small_disk() {
    let Some(disk) = std::env::var_os("WATCHFIRE_SMALL_DISK") else { return };
    let disk = Path::new(&disk);
    let state = disk.join("state");
    let meter = Meter::new();
    let (journal, _) = Journal::open(Some(&state), NOW, &meter, Faults::default(), Box::new(|| {})).unwrap();
    assert!(journal.commit(put("first", "1"), Vec::new()));
    // Somebody else fills the disk to the last byte.
    let filler = disk.join("filler");
    let mut file = std::fs::File::create(&filler).unwrap();
    while std::io::Write::write_all(&mut file, &[7; 4096]).is_ok() {}
    while std::io::Write::write_all(&mut file, &[7]).is_ok() {}
    for n in 0..100 {
        assert!(journal.commit(put(&format!("reserve-{n}"), "on the reserve"), Vec::new()), "record {n}");
    }
    let mut kept = 0;
    while journal.commit(put(&format!("big-{kept}"), &"x".repeat(50_000)), Vec::new()) {
        kept += 1;
    }
    assert!((5..40).contains(&kept), "{kept} records of 50 kB fit into the reserve");
    assert_eq!(meter.gauge("watchfire_state_durable", &[]).get(), 0.0);
    assert!(journal.state().read().alert_states.contains_key(&format!("big-{kept}")), "held in memory");
    drop(file);
    std::fs::remove_file(&filler).unwrap();
    let begun = std::time::Instant::now();
    while meter.gauge("watchfire_state_durable", &[]).get() == 0.0 {
        assert!(begun.elapsed().as_secs() < 20, "never durable again");
        // A gauge is looked at; it does not tell.
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let written = journal.state().read().alert_states.clone();
    drop(journal);
    let (_, recovered) = open(&state, Faults::default());
    assert!(held(&recovered) == written.into_iter().collect());
    println!("small disk: done");
}

#[test]
fn beside_a_file_that_was_renamed_and_may_not_last_nothing_is_appended() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    let broken = Arc::new(AtomicBool::new(true));
    let fails = broken.clone();
    let faults = Faults::hook(move |point| match point {
        "compact-renamed" if fails.load(Ordering::Relaxed) => Err(std::io::Error::other("no sync")),
        _ => Ok(()),
    });
    let seen = || {
        let mut seen: Vec<u8> = Vec::new();
        let state = StateDirectory::open(&path).unwrap();
        SegmentLog::open(state, NOW, Faults::default(), &mut |payload| seen.extend(payload)).unwrap();
        seen
    };
    let (mut log, _) = SegmentLog::open(StateDirectory::open(&path).unwrap(), NOW, faults, &mut |_| {}).unwrap();
    log.append([&b"1"[..], b"2"]).unwrap();
    let whole = |records: &[u8]| records.iter().map(|r| vec![*r]).collect::<Vec<_>>().into_iter();
    assert!(log.rewrite(whole(b"12")).is_err());
    // Which of the two files a crash would leave is not known: what is appended to the older one could be followed by what is older still.
    let appended = log.append([&b"3"[..]]).is_ok();
    drop(log);
    assert_eq!(seen().last(), Some(if appended { &b'3' } else { &b'2' }));
    broken.store(false, Ordering::Relaxed);
    let (mut log, _) = SegmentLog::open(StateDirectory::open(&path).unwrap(), NOW, Faults::default(), &mut |_| {}).unwrap();
    log.rewrite(whole(b"123")).unwrap();
    log.append([&b"4"[..]]).unwrap();
    drop(log);
    assert_eq!(seen(), b"1234");
}

#[tokio::test]
async fn a_journal_that_is_taken_away_while_it_is_written_is_there_again() {
    type Taken = fn(&Path);
    let all: [(&str, Taken); 4] = [
        ("directory removed", |directory| std::fs::remove_dir_all(directory).unwrap()),
        ("directory moved", |directory| {
            let aside = directory.with_extension(segments(directory)[0].file_stem().unwrap());
            std::fs::rename(directory, aside).unwrap();
        }),
        ("file removed", |directory| std::fs::remove_file(&segments(directory)[0]).unwrap()),
        ("file replaced", |directory| {
            let file = segments(directory)[0].clone();
            std::fs::copy(&file, file.with_extension("copy")).unwrap();
            std::fs::rename(file.with_extension("copy"), file).unwrap();
        }),
    ];
    for (what, take) in all {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("state");
        let (journal, _) = open(&directory, Faults::default());
        assert!(journal.commit(put("before", "1"), Vec::new()), "{what}");
        take(&directory);
        assert!(journal.commit(put("after", "2"), Vec::new()), "{what}: on disk again");
        assert_eq!(journal.trouble(), None, "{what}");
        let Err(in_use) = StateDirectory::open(&directory) else { panic!("{what}: two would write") };
        assert!(in_use.to_string().contains("in use"), "{what}: {in_use}");
        // An idle one looks by itself.
        let before = segments(&directory);
        take(&directory);
        let anew =
            || directory.exists() && segments(&directory).len() == 1 && segments(&directory) != before && journal.trouble().is_none();
        eventually(&format!("{what}: written anew"), anew).await;
        drop(journal);
        let (_, recovered) = open(&directory, Faults::default());
        let expected = [("before", "1"), ("after", "2")].map(|(k, v)| (k.to_owned(), v.as_bytes().to_vec()));
        assert_eq!(held(&recovered), BTreeMap::from(expected), "{what}");
        assert!(recovered.banners.is_empty(), "{what}: {:?}", recovered.banners);
    }
}

#[test]
fn what_another_process_took_over_is_left_to_it() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("state");
    let (journal, _) = open(&directory, Faults::default());
    assert!(journal.commit(put("ours", "1"), Vec::new()));
    std::fs::remove_dir_all(&directory).unwrap();
    let (theirs, _) = open(&directory, Faults::default());
    assert!(theirs.commit(put("theirs", "2"), Vec::new()));
    assert!(!journal.commit(put("ours", "3"), Vec::new()), "said to be in memory only");
    let trouble = journal.trouble().unwrap();
    assert!(trouble.contains("in use"), "{trouble}");
    assert!(theirs.commit(put("theirs", "4"), Vec::new()));
    drop((journal, theirs));
    let (_, recovered) = open(&directory, Faults::default());
    assert_eq!(held(&recovered), BTreeMap::from([("theirs".to_owned(), b"4".to_vec())]));
}
