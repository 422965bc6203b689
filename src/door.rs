//! The door for the same user: each running instance serves its API on a Unix socket in a directory that nobody else may enter, so that
//! `watchfire attach` finds it without an address and needs no token. Who knocks is asked of the kernel, not of the client.

use anyhow::{Context as _, bail, ensure};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use tokio::net::UnixListener;
use watchfire_config::paths;

/// An open door. The socket file goes with it.
#[derive(Debug)]
pub struct Door {
    path: PathBuf,
}

impl Door {
    /// Opens the door of this process in `directory`, and clears away those of processes that ended without closing theirs.
    ///
    /// # Errors
    /// When the directory is not this user's alone, or the socket cannot be made.
    pub fn open(directory: &Path) -> anyhow::Result<(Door, UnixListener)> {
        own(directory)?;
        for path in sockets(directory) {
            if !answers(&path) && process_of(&path).is_some_and(|pid| !is_running(pid)) {
                let _ = fs::remove_file(path);
            }
        }
        let path = directory.join(format!("{}.sock", std::process::id()));
        // A left-over of an earlier process with this number.
        let _ = fs::remove_file(&path);
        let listener = UnixListener::bind(&path).with_context(|| format!("cannot listen on {}", path.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        Ok((Door { path }, listener))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Where doors of this user are: `$XDG_RUNTIME_DIR/watchfire`, or where the system would have put it.
pub fn directory(environment: &BTreeMap<String, String>) -> PathBuf {
    let uid = rustix::process::geteuid().as_raw();
    let of_the_system = PathBuf::from(format!("/run/user/{uid}"));
    paths(environment).runtime_dir.unwrap_or_else(|| {
        if of_the_system.is_dir() { of_the_system.join("watchfire") } else { std::env::temp_dir().join(format!("watchfire-{uid}")) }
    })
}

/// The doors in `directory` that answer, oldest first. A directory that another user could have prepared holds none.
pub fn open_doors(directory: &Path) -> Vec<PathBuf> {
    if is_own(directory).is_err() {
        return Vec::new();
    }
    let mut found = sockets(directory);
    found.retain(|path| answers(path));
    found
}

/// The process behind a door, by the name of its socket.
pub fn process_of(path: &Path) -> Option<u32> {
    path.file_stem()?.to_str()?.parse().ok()
}

fn sockets(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let is_socket = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|t| t.is_socket());
    let mut found: Vec<PathBuf> = entries.flatten().filter(is_socket).map(|e| e.path()).filter(|p| process_of(p).is_some()).collect();
    found.sort_by_key(|path| fs::metadata(path).and_then(|m| m.modified()).ok());
    found
}

fn answers(path: &Path) -> bool {
    UnixStream::connect(path).is_ok()
}

fn is_running(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    pid.is_some_and(|pid| rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

/// Makes the directory, and makes sure of it.
fn own(directory: &Path) -> anyhow::Result<()> {
    if let Some(parent) = directory.parent() {
        fs::create_dir_all(parent)?;
    }
    match fs::DirBuilder::new().mode(0o700).create(directory) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => bail!("cannot make {}: {e}", directory.display()),
        _ => is_own(directory),
    }
}

/// Whether the directory belongs to this user and nobody else may enter it.
fn is_own(directory: &Path) -> anyhow::Result<()> {
    let found = fs::symlink_metadata(directory).with_context(|| format!("cannot look at {}", directory.display()))?;
    ensure!(found.is_dir(), "{} is not a directory", directory.display());
    ensure!(found.uid() == rustix::process::geteuid().as_raw(), "{} belongs to another user", directory.display());
    ensure!(found.mode() & 0o077 == 0, "{} is open to others; chmod 700 it", directory.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_door_is_for_its_user_alone_and_goes_when_it_is_closed() {
        let home = tempfile::TempDir::new().expect("a directory");
        let directory = home.path().join("watchfire");
        let (door, _listener) = Door::open(&directory).expect("a door");
        let mode = |path: &Path| fs::metadata(path).expect("it is there").mode() & 0o777;
        assert_eq!((mode(&directory), mode(door.path())), (0o700, 0o600));
        assert_eq!(open_doors(&directory), [door.path().to_owned()]);
        assert_eq!(process_of(door.path()), Some(std::process::id()));
        let path = door.path().to_owned();
        drop(door);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn doors_of_dead_processes_are_cleared_away() {
        let home = tempfile::TempDir::new().expect("a directory");
        let directory = home.path().join("watchfire");
        let (door, _listener) = Door::open(&directory).expect("a door");
        // No process has a number this large.
        let left = directory.join("4194999.sock");
        drop(UnixListener::bind(&left).expect("a socket"));
        assert!(left.exists());
        assert_eq!(open_doors(&directory), [door.path().to_owned()], "what does not answer is not offered");
        let _again = Door::open(&directory).expect("the same door again");
        assert!(!left.exists());
    }

    #[test]
    fn a_directory_open_to_others_is_refused() {
        let home = tempfile::TempDir::new().expect("a directory");
        let directory = home.path().join("watchfire");
        fs::create_dir(&directory).expect("made");
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).expect("changed");
        let refused = own(&directory).expect_err("others may enter").to_string();
        assert!(refused.contains("open to others"), "{refused}");
        assert!(open_doors(&directory).is_empty());
        let link = home.path().join("link");
        std::os::unix::fs::symlink(home.path(), &link).expect("linked");
        assert!(own(&link).is_err(), "a link is not a directory of ours");
    }
}
