//! A disk that the system makes read-only after an error, at the start: whoever starts the evaluator again has something to tell all the more.

use crate::eventually;
use crate::journal::{NOW, held, open, put};
use std::path::Path;
use std::process::Command;
use watchfire_model::Meter;
use watchfire_notifiers::Faults;
use watchfire_notifiers::journal::{Journal, JournalError};

const HERE: &str = "WATCHFIRE_READ_ONLY_DISK";

#[test]
fn a_read_only_disk_at_the_start_keeps_nothing_from_going_on() {
    // In a mount namespace of its own.
    let script = "mount -t tmpfs -o size=4m tmpfs \"$1\" && shift && exec \"$@\"";
    let directory = tempfile::tempdir().unwrap();
    let output = Command::new("unshare")
        .args(["-m", "sh", "-c", script, "sh"])
        .arg(directory.path())
        .arg(std::env::current_exe().unwrap())
        .args(["read_only::on_a_read_only_disk", "--exact", "--nocapture", "--test-threads=1"])
        .env(HERE, directory.path())
        .output();
    match output {
        Ok(output) if output.status.success() => {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(text.contains("read-only disk: done"), "{text}");
        }
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(text.contains("unshare") || text.contains("mount:"), "{text}{}", String::from_utf8_lossy(&output.stdout));
            println!("skipped: no private mount namespace here: {}", text.trim());
        }
        Err(e) => println!("skipped: unshare is not installed: {e}"),
    }
}

fn remount(disk: &Path, how: &str) {
    assert!(Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(disk).status().unwrap().success());
}

#[tokio::test]
async fn on_a_read_only_disk() {
    let Some(disk) = std::env::var_os(HERE) else { return };
    let disk = Path::new(&disk);
    let state = disk.join("state");
    let (journal, _) = open(&state, Faults::default());
    assert!(journal.commit(put("before", "1"), Vec::new()));
    drop(journal);
    // Left by whoever was cut off while it wrote everything anew.
    std::fs::write(state.join("journal-0000000009.log.tmp"), "").unwrap();
    for lost in ["nothing", "lock"] {
        if lost != "nothing" {
            std::fs::remove_file(state.join(lost)).unwrap();
        }
        remount(disk, "ro");
        let meter = Meter::new();
        let durable = meter.gauge("watchfire_state_durable", &[]);
        let (journal, recovered) = Journal::open(Some(&state), NOW, &meter, Faults::default(), Box::new(|| {})).unwrap();
        assert!(held(&recovered).contains_key("before"), "lost {lost}");
        let trouble = journal.trouble().expect("said");
        assert!(trouble.contains("not durable: read-only"), "{trouble}");
        let second = Journal::open(Some(&state), NOW, &Meter::new(), Faults::default(), Box::new(|| {}));
        assert!(matches!(second, Err(JournalError::InUse { .. })), "lost {lost}: held all the same");
        assert!(!journal.commit(put(lost, "2"), Vec::new()) && durable.get() == 0.0, "lost {lost}");
        remount(disk, "rw");
        eventually("durable again", || durable.get() == 1.0 && journal.trouble().is_none()).await;
        drop(journal);
        let (_, recovered) = open(&state, Faults::default());
        assert!(held(&recovered).contains_key(lost), "lost {lost}");
        assert!(recovered.banners.is_empty(), "{:?}", recovered.banners);
    }
    println!("read-only disk: done");
}
