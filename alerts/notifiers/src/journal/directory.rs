//! The state directory: ours alone, held by one process, written without following links.

use super::{JournalError, takes_nothing};
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a lock is waited for. Whoever follows another process starts while that one ends, and a child that a process starts holds its lock for
/// the moment until it becomes another program.
const HANDOVER: Duration = Duration::from_millis(500);
/// Between two tries.
const TRY: Duration = Duration::from_millis(20);

/// A checked and locked directory; the lock lives as long as this value.
#[derive(Debug)]
pub struct StateDirectory {
    path: PathBuf,
    lock: File,
}

impl StateDirectory {
    /// Creates (0700) or checks the directory, then locks it.
    ///
    /// # Errors
    /// [`JournalError::Unsafe`] when the path is a link, not a directory, somebody else's, or writable by everybody;
    /// [`JournalError::InUse`] when another process holds it.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        Self::open_within(path, HANDOVER)
    }

    fn open_within(path: &Path, patience: Duration) -> Result<Self, JournalError> {
        let failed = |what: &str, error: io::Error| JournalError::Io { what: format!("{what} {}", path.display()), error };
        match path.symlink_metadata() {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|e| failed("cannot create", e))?;
            }
            Err(e) => return Err(failed("cannot look at", e)),
            Ok(_) => {}
        }
        let metadata = path.symlink_metadata().map_err(|e| failed("cannot look at", e))?;
        let refuse = |why: String| Err(JournalError::Unsafe { path: path.to_owned(), why });
        if metadata.is_symlink() {
            return refuse("it is a symbolic link; name the directory itself".to_owned());
        }
        if !metadata.is_dir() {
            return refuse("it is not a directory".to_owned());
        }
        let me = rustix::process::geteuid().as_raw();
        if metadata.uid() != me {
            return refuse(format!("it belongs to user {}, and this process runs as user {me}", metadata.uid()));
        }
        if metadata.mode() & 0o002 != 0 {
            return refuse(format!("everybody may write to it (mode {:04o}); run `chmod 700`", metadata.mode() & 0o7777));
        }
        let lock_path = path.join("lock");
        let mut lock = match options().read(true).write(true).create(true).open(&lock_path) {
            Err(e) if e.kind() == io::ErrorKind::ReadOnlyFilesystem => read_only_lock(path, &lock_path),
            opened => opened,
        }
        .map_err(|e| failed("cannot open the lock in", e))?;
        let started = Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if started.elapsed() < patience => std::thread::sleep(TRY),
                Err(TryLockError::WouldBlock) => {
                    let mut pid = String::new();
                    match lock.take(32).read_to_string(&mut pid) {
                        Err(e) if e.kind() != io::ErrorKind::IsADirectory => return Err(failed("cannot read the lock in", e)),
                        _ => {}
                    }
                    return Err(JournalError::InUse { path: path.to_owned(), pid: pid.trim().to_owned() });
                }
                Err(TryLockError::Error(e)) => return Err(failed("cannot lock", e)),
            }
        }
        match lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id())) {
            // It is held all the same, only nobody reads by whom.
            Err(e) if takes_nothing(&e) || is_read_only(&lock) => {}
            written => written.map_err(|e| failed("cannot write the lock in", e))?,
        }
        Ok(StateDirectory { path: path.to_owned(), lock })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the lock and this open file are still what their names lead to. Where somebody took the names away, what is written is lost with
    /// the process, and another one may hold the directory.
    pub fn holds(&self, name: &str, file: &File) -> bool {
        self.leads_to("lock", &self.lock) && self.leads_to(name, file)
    }

    fn leads_to(&self, name: &str, file: &File) -> bool {
        let place = |m: std::fs::Metadata| (m.dev(), m.ino());
        match (self.path.join(name).symlink_metadata().map(place), file.metadata().map(place)) {
            (Ok(named), Ok(open)) => named == open,
            // Only what is certainly gone is gone.
            (Err(error), _) => error.kind() != io::ErrorKind::NotFound,
            (_, Err(_)) => true,
        }
    }

    /// Makes directory and lock anew, where they were taken away.
    ///
    /// # Errors
    /// As [`StateDirectory::open`].
    pub fn restore(&mut self) -> io::Result<()> {
        if !self.leads_to("lock", &self.lock) {
            *self = StateDirectory::open_within(&self.path, Duration::ZERO).map_err(|error| match error {
                JournalError::Io { error, .. } => error,
                refused => io::Error::other(refused.to_string()),
            })?;
        }
        Ok(())
    }

    /// A new file that must not exist yet, for writing.
    pub fn create(&self, name: &str) -> io::Result<File> {
        options().write(true).create_new(true).open(self.path.join(name))
    }

    /// An existing file, for reading and writing.
    pub fn reopen(&self, name: &str) -> io::Result<File> {
        options().read(true).write(true).open(self.path.join(name))
    }

    /// The whole of an existing file of at most `most` bytes; a longer one is [`io::ErrorKind::FileTooLarge`].
    pub fn read(&self, name: &str, most: u64) -> io::Result<Vec<u8>> {
        let file = options().read(true).open(self.path.join(name))?;
        let found = file.metadata()?;
        if !found.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no file"));
        }
        if found.len() > most {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let mut bytes = Vec::new();
        file.take(most).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    pub fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path.join(from), self.path.join(to))
    }

    /// Removes a file; one that is already gone is fine.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        match std::fs::remove_file(self.path.join(name)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }

    /// Makes creations, renames and removals durable.
    pub fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    /// File names, sorted.
    pub fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }
}

/// What can be locked where nothing can be written: the lock that is there, or the directory itself.
fn read_only_lock(directory: &Path, lock: &Path) -> io::Result<File> {
    match options().read(true).open(lock) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => File::open(directory),
        opened => opened,
    }
}

fn is_read_only(file: &File) -> bool {
    rustix::fs::fcntl_getfl(file).is_ok_and(|flags| !flags.intersects(rustix::fs::OFlags::RDWR | rustix::fs::OFlags::WRONLY))
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    // A pipe in place of a file would keep the start waiting for somebody who writes into it.
    options.mode(0o600).custom_flags((rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits() as i32);
    options
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn refusal(path: &Path) -> String {
        StateDirectory::open(path).expect_err("refused").to_string()
    }

    #[test]
    fn a_missing_directory_is_made_private() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        let _held = StateDirectory::open(&path).unwrap();
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o700);
        assert_eq!(path.join("lock").metadata().unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn links_and_world_writable_directories_are_refused_by_path_and_mode() {
        let parent = tempfile::tempdir().unwrap();
        let real = parent.path().join("real");
        std::fs::create_dir(&real).unwrap();
        let link = parent.path().join("link");
        std::os::unix::fs::symlink(&real, &link).unwrap();
        assert!(refusal(&link).contains("symbolic link"));
        std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o777)).unwrap();
        let text = refusal(&real);
        assert!(text.contains("0777") && text.contains("real"), "{text}");
        let file = parent.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(refusal(&file).contains("not a directory"));
    }

    #[test]
    fn a_lock_that_is_about_to_be_given_back_is_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let held = StateDirectory::open(directory.path()).unwrap();
        let (never, hears) = std::sync::mpsc::channel::<()>();
        let ends = std::thread::spawn(move || {
            assert!(hears.recv_timeout(HANDOVER / 4).is_err());
            drop(held);
        });
        assert!(StateDirectory::open(directory.path()).is_ok());
        ends.join().unwrap();
        drop(never);
    }

    #[test]
    fn a_second_process_is_told_who_holds_it() {
        let parent = tempfile::tempdir().unwrap();
        let _held = StateDirectory::open(parent.path()).unwrap();
        let Err(JournalError::InUse { pid, .. }) = StateDirectory::open(parent.path()) else { panic!("not refused") };
        assert_eq!(pid, std::process::id().to_string());
    }

    #[test]
    fn planted_links_are_never_followed() {
        let parent = tempfile::tempdir().unwrap();
        let victim = parent.path().join("victim");
        std::fs::write(&victim, "precious").unwrap();
        let state = parent.path().join("state");
        let held = StateDirectory::open(&state).unwrap();
        std::os::unix::fs::symlink(&victim, state.join("planted")).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(state.join("pipe")).status().unwrap().success());
        assert!(held.read("pipe", 100).is_err(), "and nobody waits for a pipe");
        assert!(held.create("planted").is_err());
        assert!(held.reopen("planted").is_err());
        assert!(held.read("planted", 1 << 20).is_err());
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
    }
}
