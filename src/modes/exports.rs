//! What leaves the screens: files that are written and pages that are opened.

use super::screen::Wake;
use std::io::Write;
use std::path::Path;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

/// Files of one name in a folder; somebody who exports more often clears up first.
const MOST_OF_A_NAME: usize = 99;

/// Writes a new file and says where it is; what is there already is kept, `map.svg` beside `map-2.svg`.
pub fn save(folder: &Path, name: &str, text: &str) -> Result<String, String> {
    let (stem, ending) = name.rsplit_once('.').unwrap_or((name, "txt"));
    for n in 1..=MOST_OF_A_NAME {
        let path = folder.join(if n == 1 { name.to_owned() } else { format!("{stem}-{n}.{ending}") });
        match std::fs::OpenOptions::new().write(true).create_new(true).open(&path).and_then(|mut file| file.write_all(text.as_bytes())) {
            Ok(()) => return Ok(format!("wrote {}", path.canonicalize().unwrap_or(path).display())),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(format!("cannot write {}: {e}; watchfire writes where it was started", path.display())),
        }
    }
    Err(format!("cannot write {name}: {MOST_OF_A_NAME} files of that name are here already"))
}

/// What ends with an error within this time has opened nothing; later it is a browser that somebody closed.
const OPENS_WITHIN: Duration = Duration::from_secs(10);

/// One argument, no shell, nothing inherited. The program is waited for beside the screens: what nobody waits for stays in the process table, and over
/// SSH there may be nothing that could show a page.
pub fn open(program: &'static str, url: String, send: Sender<Wake>) {
    let begun = Instant::now();
    let started = std::process::Command::new(program)
        .arg(&url)
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn();
    let (said, child) = match started {
        Ok(child) => (Ok(format!("opening {url}")), Some(child)),
        Err(e) => (Err(format!("cannot start {program}: {e}")), None),
    };
    let _ = send.send(Wake::Done(said));
    let Some(mut child) = child else { return };
    std::thread::spawn(move || {
        if let Ok(status) = child.wait()
            && !status.success()
            && begun.elapsed() < OPENS_WITHIN
        {
            let _ = send.send(Wake::Done(Err(format!("{program} could not open {url}: {status}"))));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modes::screen::wakes;

    #[test]
    fn who_opens_a_page_is_waited_for_and_a_failure_is_said() {
        let said = |program| {
            let (send, wakes) = wakes();
            open(program, "http://a/run".to_owned(), send);
            // Ends when the last sender does: the one of the thread that waits.
            wakes
                .into_iter()
                .map(|wake| match wake {
                    Wake::Done(done) => done,
                    _ => panic!("something else"),
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(said("true"), [Ok("opening http://a/run".to_owned())]);
        let failed = said("false");
        assert_eq!(failed.len(), 2, "{failed:?}");
        assert!(failed[1].as_ref().is_err_and(|why| why.starts_with("false could not open http://a/run: exit status: 1")), "{failed:?}");
        assert!(said("no-such-program").iter().all(Result::is_err));
    }

    #[test]
    fn an_export_says_where_it_is_and_keeps_what_is_there() {
        let folder = tempfile::tempdir().expect("a folder");
        for (n, name) in ["map.svg", "map-2.svg", "map-3.svg"].into_iter().enumerate() {
            let said = save(folder.path(), "map.svg", &format!("{n}")).expect("written");
            let path = folder.path().canonicalize().expect("there").join(name);
            assert_eq!(said, format!("wrote {}", path.display()));
            assert_eq!(std::fs::read_to_string(path).expect("readable"), format!("{n}"));
        }
        let nowhere = save(&folder.path().join("missing"), "map.svg", "x").expect_err("no folder");
        assert!(nowhere.contains("watchfire writes where it was started"), "{nowhere}");
    }
}
