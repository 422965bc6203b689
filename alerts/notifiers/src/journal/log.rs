//! Records in append-only segment files, `journal-0000000001.log` and so on, in a [`StateDirectory`].
//!
//! A segment is closed at [`SEGMENT_BYTES`]. Space for the next [`RESERVE_BYTES`] is allocated ahead of the writing position, so a disk that
//! fills up still takes the next records. A descriptor that failed once is never written or synced again: the operating system may
//! have thrown the unwritten pages away and report success the next time.

use super::directory::StateDirectory;
use super::faults::Faults;
use super::record::{self, Found};
use super::{JournalError, banner_bytes, takes_nothing};
use std::fs::File;
use std::io::{self, Write};
use watchfire_model::Timestamp;

/// A segment is closed once it is at least this long.
pub const SEGMENT_BYTES: u64 = 16 << 20;
/// Disk space held ahead of the writing position.
pub const RESERVE_BYTES: u64 = 1 << 20;
/// A longer segment is not one that was written here: even one that holds everything anew stays far below.
const MAX_SEGMENT_BYTES: u64 = 256 << 20;
/// Copies of damaged files that are kept; older ones are removed.
const KEPT_CORRUPT_COPIES: usize = 8;

/// What reading the segments found besides records.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// Records that are missing by their numbers, or damaged.
    pub lost_records: u64,
    /// Bytes cut off the end of the last segment.
    pub cut_bytes: u64,
    /// One sentence per finding, for the banner.
    pub banners: Vec<String>,
    /// Damaged files were copied, so the originals may be replaced.
    pub kept: bool,
    /// The disk takes nothing for now. What is there has been read, and the log is not sound until it is written anew.
    pub full: Option<io::ErrorKind>,
}

/// The writing end.
#[derive(Debug)]
pub struct SegmentLog {
    directory: StateDirectory,
    /// `None` after a failure, until [`rewrite`](Self::rewrite) has succeeded.
    file: Option<File>,
    segment: u64,
    sequence: u64,
    length: u64,
    reserved_to: u64,
    closed_bytes: u64,
    rewritten_bytes: u64,
    segment_bytes: u64,
    faults: Faults,
}

fn segment_name(number: u64) -> String {
    format!("journal-{number:010}.log")
}

fn segment_number(name: &str) -> Option<u64> {
    name.strip_prefix("journal-")?.strip_suffix(".log")?.parse().ok()
}

impl SegmentLog {
    /// Locks the directory and hands every readable payload to `visit`, oldest first. The torn end of the last segment is cut off;
    /// of every damaged segment a copy `*.corrupt-<unix seconds>` is kept.
    pub fn open(
        directory: StateDirectory,
        now: Timestamp,
        faults: Faults,
        visit: &mut dyn FnMut(&[u8]),
    ) -> Result<(Self, Damage), JournalError> {
        let failed = |what: String| move |error: io::Error| JournalError::Io { what, error };
        let path = directory.path().display().to_string();
        let names = directory.names().map_err(failed(format!("cannot list {path}")))?;
        for leftover in names.iter().filter(|n| n.ends_with(".tmp")) {
            match directory.remove(leftover) {
                Err(error) if takes_nothing(&error) => {}
                removed => removed.map_err(failed(format!("cannot remove {path}/{leftover}")))?,
            }
        }
        let mut segments: Vec<u64> = names.iter().filter_map(|n| segment_number(n)).collect();
        segments.sort_unstable();
        let mut damage = Damage { kept: true, ..Damage::default() };
        let mut last = 0;
        let mut lengths = Vec::new();
        for (position, number) in segments.iter().enumerate() {
            let name = segment_name(*number);
            if position > 0 && segments[position - 1] + 1 != *number {
                damage.lost_records += 1;
                damage.banners.push(format!("journal: segments between {} and {name} are missing", segment_name(segments[position - 1])));
            }
            let is_last = position + 1 == segments.len();
            let bytes = match directory.read(&name, MAX_SEGMENT_BYTES) {
                Ok(bytes) => bytes,
                Err(error) => {
                    set_aside(&directory, &name, &error, now, &mut damage);
                    lengths.push(0);
                    continue;
                }
            };
            let length = read_segment(&bytes, &name, is_last, &mut last, &mut damage, visit);
            if length < bytes.len() as u64 || damaged(&damage, &name) {
                keep_copy(&directory, &name, &bytes, now, &mut damage);
            }
            lengths.push(length);
        }
        let segment = segments.last().copied().unwrap_or(0);
        let length = lengths.pop().unwrap_or(0);
        let mut log = SegmentLog {
            directory,
            file: None,
            segment,
            sequence: last,
            length,
            reserved_to: 0,
            closed_bytes: lengths.iter().sum(),
            rewritten_bytes: 0,
            segment_bytes: SEGMENT_BYTES,
            faults,
        };
        let (what, opened) = if segment == 0 || damage.lost_records > 0 {
            // Nothing is appended to a damaged file.
            log.closed_bytes += log.length;
            (format!("cannot start a segment in {path}"), log.start_segment(segment + 1))
        } else {
            (format!("cannot go on in {path}/{}", segment_name(segment)), log.go_on())
        };
        match opened {
            Err(error) if takes_nothing(&error) => (log.file, damage.full) = (None, Some(error.kind())),
            opened => opened.map_err(failed(what))?,
        }
        log.reserve();
        Ok((log, damage))
    }

    /// For tests: closes segments at another length.
    pub fn set_segment_bytes(&mut self, bytes: u64) {
        self.segment_bytes = bytes;
    }

    /// Writes the payloads and makes them durable with one sync.
    ///
    /// # Errors
    /// Any error of writing or syncing. From then on every call fails until [`rewrite`](Self::rewrite) has succeeded.
    pub fn append<'p>(&mut self, payloads: impl IntoIterator<Item = &'p [u8]>) -> io::Result<()> {
        if self.length >= self.segment_bytes {
            let next = self.segment + 1;
            self.closed_bytes += self.length;
            self.start_segment(next).inspect_err(|_| self.file = None)?;
        }
        let Some(mut file) = self.file.take() else {
            return Err(io::Error::other("the journal failed earlier and has not been written anew yet"));
        };
        let mut bytes = Vec::new();
        let mut sequence = self.sequence;
        for payload in payloads {
            if payload.len() > record::MAX_PAYLOAD_BYTES {
                // None of the group is written. Written anew the state is as whole as ever, in shorter records.
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "a record longer than 64 MiB"));
            }
            sequence += 1;
            record::encode(sequence, payload, &mut bytes);
        }
        // Numbers are never given twice, not even to a record whose writing failed.
        self.sequence = sequence;
        self.faults.at("append")?;
        let half = bytes.len() / 2;
        file.write_all(&bytes[..half])?;
        self.faults.at("append-half")?;
        file.write_all(&bytes[half..])?;
        self.faults.at("sync")?;
        file.sync_data()?;
        self.faults.at("synced")?;
        self.length += bytes.len() as u64;
        self.file = Some(file);
        self.reserve();
        Ok(())
    }

    /// What was under way has panicked: neither the file nor what is known of it is gone on with until [`rewrite`](Self::rewrite) has succeeded.
    pub fn abandon(&mut self) {
        self.file = None;
    }

    /// True while appending can succeed.
    pub fn is_sound(&self) -> bool {
        self.file.is_some()
    }

    /// False once the file that is written to, or the lock, has lost its name: removed, moved away, or replaced. From then on every call fails until
    /// [`rewrite`](Self::rewrite) has succeeded.
    pub fn is_in_place(&mut self) -> bool {
        let in_place = self.file.as_ref().is_none_or(|file| self.directory.holds(&segment_name(self.segment), file));
        if !in_place {
            self.file = None;
        }
        in_place
    }

    /// True when most of what is on disk has been superseded.
    pub fn wants_rewrite(&self) -> bool {
        self.closed_bytes > 0 && self.closed_bytes + self.length > 2 * self.rewritten_bytes + self.segment_bytes
    }

    /// Replaces everything on disk by these payloads: temp file, sync, rename, directory sync, only then are older segments removed.
    pub fn rewrite(&mut self, payloads: impl Iterator<Item = Vec<u8>>) -> io::Result<()> {
        self.directory.restore()?;
        let number = self.segment + 1;
        let name = segment_name(number);
        let temporary = format!("{name}.tmp");
        self.directory.remove(&temporary)?;
        let mut file = self.directory.create(&temporary)?;
        let mut bytes = Vec::new();
        let mut sequence = self.sequence;
        let mut length = 0;
        for payload in payloads {
            sequence += 1;
            record::encode(sequence, &payload, &mut bytes);
            if bytes.len() > 1 << 20 {
                self.faults.at("compact-write")?;
                file.write_all(&bytes)?;
                length += bytes.len() as u64;
                bytes.clear();
            }
        }
        self.faults.at("compact-write")?;
        file.write_all(&bytes)?;
        length += bytes.len() as u64;
        file.sync_all()?;
        self.faults.at("compact-rename")?;
        self.directory.rename(&temporary, &name)?;
        // Whether the new file or the older one is found after a crash is not known until then, so neither is gone on with.
        self.faults.at("compact-renamed").and_then(|()| self.directory.sync()).inspect_err(|_| self.file = None)?;
        self.segment = number;
        self.sequence = sequence;
        self.length = length;
        self.rewritten_bytes = length;
        self.closed_bytes = 0;
        self.reserved_to = 0;
        self.file = Some(file);
        self.reserve();
        self.faults.at("compact-remove")?;
        for older in self.directory.names()?.iter().filter(|n| segment_number(n).is_some_and(|n| n < number)) {
            self.directory.remove(older)?;
        }
        self.directory.sync()
    }

    /// Disk space that the journal takes, in bytes.
    pub fn disk_bytes(&self) -> u64 {
        self.closed_bytes + self.length
    }

    /// Opens the last segment behind its last good record.
    fn go_on(&mut self) -> io::Result<()> {
        self.faults.at("open")?;
        let file = self.directory.reopen(&segment_name(self.segment))?;
        file.set_len(self.length)?;
        file.sync_all()?;
        self.file = Some(positioned(file, self.length)?);
        Ok(())
    }

    fn start_segment(&mut self, number: u64) -> io::Result<()> {
        self.faults.at("open")?;
        let file = self.directory.create(&segment_name(number))?;
        self.directory.sync()?;
        self.file = Some(file);
        self.segment = number;
        self.length = 0;
        self.reserved_to = 0;
        Ok(())
    }

    /// Best effort: without it appending still works, it only has no head room on a full disk.
    fn reserve(&mut self) {
        let Some(file) = &self.file else { return };
        if self.length + RESERVE_BYTES / 2 > self.reserved_to
            && rustix::fs::fallocate(file, rustix::fs::FallocateFlags::KEEP_SIZE, self.length, RESERVE_BYTES).is_ok()
        {
            self.reserved_to = self.length + RESERVE_BYTES;
        }
    }
}

fn positioned(mut file: File, at: u64) -> io::Result<File> {
    io::Seek::seek(&mut file, io::SeekFrom::Start(at))?;
    Ok(file)
}

fn damaged(damage: &Damage, name: &str) -> bool {
    damage.banners.iter().any(|b| b.contains(name))
}

/// Returns the length of the segment up to the end of its last good record.
fn read_segment(bytes: &[u8], name: &str, is_last: bool, last: &mut u64, damage: &mut Damage, visit: &mut dyn FnMut(&[u8])) -> u64 {
    let mut length = 0;
    let mut offset = 0;
    let mut hole = None;
    let before = *last;
    for found in record::Reader::new(bytes, *last) {
        match found {
            Found::Record { sequence, payload } => {
                if let Some((from, to)) = hole.take() {
                    let lost = (sequence - *last - 1).max(1);
                    damage.lost_records += lost;
                    damage.banners.push(format!(
                        "journal: {lost} record{} lost to damage in {name}, bytes {from} to {to}; a copy is kept",
                        if lost == 1 { "" } else { "s" }
                    ));
                } else if sequence > *last + 1 && *last != before {
                    damage.lost_records += sequence - *last - 1;
                    damage.banners.push(format!("journal: {} records missing in {name}", sequence - *last - 1));
                }
                *last = sequence;
                offset += record::HEADER_BYTES + payload.len();
                length = offset as u64;
                visit(payload);
            }
            Found::Damage { from, to } => {
                hole = Some((from, to));
                offset = to;
            }
        }
    }
    if let Some((from, to)) = hole {
        let cut = (to - from) as u64;
        if is_last {
            damage.cut_bytes += cut;
            damage.banners.push(format!(
                "journal: {} cut off the end of {name}: a record that was never finished, or damage; a copy is kept",
                banner_bytes(cut)
            ));
        } else {
            damage.lost_records += 1;
            damage.banners.push(format!("journal: the end of {name} is damaged ({}); a copy is kept", banner_bytes(cut)));
        }
    }
    length
}

fn corrupt_name(name: &str, now: Timestamp) -> String {
    format!("{name}.corrupt-{}", now.millis().div_euclid(1000))
}

/// What cannot be read is none of ours, or may be read one day: it is out of the way and not lost.
fn set_aside(directory: &StateDirectory, name: &str, error: &io::Error, now: Timestamp, damage: &mut Damage) {
    let why = match error.kind() {
        io::ErrorKind::FileTooLarge => format!("is longer than {}, which is none of ours", banner_bytes(MAX_SEGMENT_BYTES)),
        _ => format!("cannot be read: {error}"),
    };
    let aside = corrupt_name(name, now);
    damage.lost_records += 1;
    damage.banners.push(match directory.rename(name, &aside) {
        Ok(()) => format!("journal: {name} {why}; it is set aside as {aside}"),
        Err(error) => {
            damage.kept = false;
            format!("journal: {name} {why}; it cannot be set aside as {aside}: {error}")
        }
    });
}

fn keep_copy(directory: &StateDirectory, name: &str, bytes: &[u8], now: Timestamp, damage: &mut Damage) {
    let copy = corrupt_name(name, now);
    let written = directory.create(&copy).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    match written {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
            damage.kept = false;
            damage.banners.push(format!("journal: cannot keep {copy}: {e}"));
        }
        _ => {}
    }
    let Ok(names) = directory.names() else { return };
    let mut copies: Vec<&String> = names.iter().filter(|n| n.contains(".log.corrupt-")).collect();
    copies.sort_by_key(|n| n.rsplit('-').next().and_then(|t| t.parse::<i64>().ok()));
    for surplus in copies.iter().take(copies.len().saturating_sub(KEPT_CORRUPT_COPIES)) {
        if let Err(e) = directory.remove(surplus) {
            damage.banners.push(format!("journal: cannot remove {surplus}: {e}"));
        }
    }
}
