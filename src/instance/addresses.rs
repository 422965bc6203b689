//! Listening: from configured addresses to bound sockets, with errors that name the port and the way out.

use std::net::SocketAddr;
use tokio::net::TcpListener;

/// Binds, or says which setting to change.
///
/// # Errors
/// When the address is taken or not ours.
pub async fn bind(what: &str, flag: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|e| match e.kind() {
        std::io::ErrorKind::AddrInUse => anyhow::anyhow!(
            "{what} {address} is already in use\nif another watchfire runs, `watchfire attach` shows it; or choose another address with --{flag} (port 0 picks one)"
        ),
        _ => anyhow::anyhow!("cannot listen for {what} on {address}: {e}; choose another address with --{flag}"),
    })
}

/// Whether an address could be bound right now.
pub fn is_free(address: SocketAddr) -> bool {
    std::net::TcpListener::bind(address).is_ok()
}
