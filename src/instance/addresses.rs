//! Listening: from configured addresses to bound sockets, with errors that name the port, who has it, and the way out.

use std::collections::HashSet;
use std::net::SocketAddr;
use tokio::net::TcpListener;

/// Binds, or says which setting to change. With `may_move`, another port is taken where this one is.
///
/// # Errors
/// When the address is taken or not ours.
pub async fn bind(what: &str, flag: &str, address: SocketAddr, may_move: bool) -> anyhow::Result<TcpListener> {
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(listener),
        Err(e) if may_move && e.kind() == std::io::ErrorKind::AddrInUse => {
            TcpListener::bind((address.ip(), 0)).await.map_err(|e| refusal(what, flag, address, &e))
        }
        Err(e) => Err(refusal(what, flag, address, &e)),
    }
}

/// Why an address cannot be listened on, and what to do about it.
pub fn refusal(what: &str, flag: &str, address: SocketAddr, error: &std::io::Error) -> anyhow::Error {
    if error.kind() != std::io::ErrorKind::AddrInUse {
        return anyhow::anyhow!("cannot listen for {what} on {address}: {error}; choose another address with --{flag}");
    }
    let owner = owner(address).map_or_else(|| "already in use".to_owned(), |owner| format!("in use by {owner}"));
    anyhow::anyhow!(
        "{what} {address} is {owner}\nif that is another watchfire, `watchfire attach` shows it; or choose another address with --{flag} (port 0 picks one)"
    )
}

/// The process that listens on an address, as far as this user may know: `prometheus (pid 812)`.
pub fn owner(address: SocketAddr) -> Option<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let sockets: HashSet<String> = tables
        .iter()
        .filter_map(|table| std::fs::read_to_string(table).ok())
        .flat_map(|table| table.lines().filter_map(|line| listening_socket(line, address.port())).collect::<Vec<_>>())
        .collect();
    if sockets.is_empty() {
        return None;
    }
    for process in std::fs::read_dir("/proc").ok()?.flatten() {
        // Beside processes there are `self` and `thread-self`, which are ours under another name.
        let pid = process.file_name().to_string_lossy().into_owned();
        if !pid.bytes().all(|b| b.is_ascii_digit()) {
            continue;
        }
        let Ok(open) = std::fs::read_dir(process.path().join("fd")) else { continue };
        let holds = |link: std::path::PathBuf| link.to_str().is_some_and(|l| sockets.contains(l));
        if open.flatten().filter_map(|file| std::fs::read_link(file.path()).ok()).any(holds) {
            let name = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(format!("{} (pid {})", watchfire_model::harmless(name.trim()), pid));
        }
    }
    None
}

/// The socket of a line of `/proc/net/tcp` that listens on `port`, as links in `/proc/<pid>/fd` name it.
fn listening_socket(line: &str, port: u16) -> Option<String> {
    const LISTEN: &str = "0A";
    let mut fields = line.split_whitespace();
    let (_, local) = fields.nth(1)?.rsplit_once(':')?;
    let (_, state) = (fields.next()?, fields.next()?);
    let inode = fields.nth(5)?;
    (u16::from_str_radix(local, 16) == Ok(port) && state == LISTEN).then(|| format!("socket:[{inode}]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_kernel_name_their_socket() {
        let listening = "   0: 0100007F:10DD 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 48213 1 0000000000000000 100 0 0 10 0";
        assert_eq!(listening_socket(listening, 4317).as_deref(), Some("socket:[48213]"));
        assert_eq!(listening_socket(listening, 4318), None);
        assert_eq!(listening_socket(&listening.replace(" 0A ", " 01 "), 4317), None, "a connection is not its port's owner");
        assert_eq!(
            listening_socket("  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode", 4317),
            None
        );
    }

    #[tokio::test]
    async fn a_taken_port_is_refused_with_its_owner_or_given_up() {
        let held = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = held.local_addr().expect("bound");
        let error = bind("the API", "api", address, false).await.expect_err("taken").to_string();
        assert!(error.starts_with(&format!("the API {address} is ")) && error.contains("--api"), "{error}");
        if cfg!(target_os = "linux") {
            assert!(error.contains(&format!("(pid {})", std::process::id())), "{error}");
        }
        let other = bind("the API", "api", address, true).await.expect("another").local_addr().expect("bound");
        assert!(other.port() != address.port() && other.ip() == address.ip());
    }
}
