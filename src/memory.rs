//! The memory of this process, as the system gives and counts it.

/// Up to this limit memory counts more than speed.
const SMALL: u64 = 256 << 20;

/// Has the system give small pages to a process that may hold so many bytes of telemetry, where that is little. The allocator asks for huge ones, which
/// are there as a whole when a part of them is: a demo under a limit of 128 MiB took 210 MB with them and 100 MB without. Taking in an ordinary span
/// costs some 15 % more without.
pub fn spare(limit: u64) {
    if limit <= SMALL
        && let Err(error) = disable_huge_pages()
    {
        tracing::debug!(%error, "memory is given in huge pages all the same");
    }
}

#[cfg(target_os = "linux")]
fn disable_huge_pages() -> std::io::Result<()> {
    Ok(rustix::thread::disable_transparent_huge_pages(true)?)
}

/// No other system gives them unasked.
#[cfg(not(target_os = "linux"))]
fn disable_huge_pages() -> std::io::Result<()> {
    Ok(())
}

/// Bytes that are in memory now, code included; `None` where the system does not say.
pub fn resident() -> Option<u64> {
    of_status(&std::fs::read_to_string("/proc/self/status").ok()?)
}

fn of_status(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_counts_in_kibibytes() {
        assert_eq!(of_status("Name:\twatchfire\nVmHWM:\t   99999 kB\nVmRSS:\t   12345 kB\nThreads:\t12\n"), Some(12_345 << 10));
        assert_eq!(of_status("Name:\twatchfire\n"), None);
        #[cfg(target_os = "linux")]
        assert!(resident().is_some_and(|bytes| bytes > 1 << 20));
    }
}
