//! TLS on a port: the certificates in force, the handshake, and the plain side of the connection as hyper sees it.

use crate::connection::Activity;
use crate::guard::Guard;
use crate::stream::Watched;
use rustls::ServerConfig;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use watchfire_model::causes;

/// What TLS is spoken with. Clones share it: a replacement is in force on every port from the next connection on.
#[derive(Clone, Debug)]
pub struct Certificates(Arc<RwLock<Arc<ServerConfig>>>);

impl Certificates {
    pub fn new(config: ServerConfig) -> Self {
        Certificates(Arc::new(RwLock::new(Arc::new(config))))
    }

    /// Connections that are open keep what they were opened with.
    pub fn replace(&self, config: ServerConfig) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
    }

    /// For one connection, offering exactly the protocols that the port speaks.
    pub(crate) fn offering(&self, guard: &Guard) -> Arc<ServerConfig> {
        // All of its parts are shared, so a copy costs nothing beside a handshake.
        let mut config = ServerConfig::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner));
        config.alpn_protocols = [guard.http2.is_some().then_some(&b"h2"[..]), guard.http1.then_some(b"http/1.1")]
            .into_iter()
            .flatten()
            .map(<[u8]>::to_vec)
            .collect();
        Arc::new(config)
    }
}

const MINUTE: Duration = Duration::from_secs(60);

/// Why clients got no TLS. The first reason of a minute is logged and the others are counted: an open port hears a scanner every second.
#[derive(Debug, Default)]
pub(crate) struct Handshakes(Mutex<Spoken>);

#[derive(Debug, Default)]
struct Spoken {
    last: Option<Instant>,
    unsaid: u64,
}

impl Handshakes {
    pub(crate) fn failed(&self, port: &str, peer: Option<IpAddr>, error: &io::Error) {
        if let Some(unsaid) = self.due(Instant::now()) {
            let peer = peer.map(|p| p.to_string()).unwrap_or_default();
            tracing::warn!(port, peer, unsaid, error = %watchfire_model::harmless_limited(&reason(error), 200), "TLS refused");
        }
    }

    /// Whether this one is to be told, with how many were not since the last that was.
    fn due(&self, now: Instant) -> Option<u64> {
        let mut spoken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if spoken.last.is_some_and(|last| now.duration_since(last) < MINUTE) {
            spoken.unsaid += 1;
            return None;
        }
        spoken.last = Some(now);
        Some(std::mem::take(&mut spoken.unsaid))
    }
}

/// What the handshake failed of, rather than what the socket says of it.
fn reason(error: &io::Error) -> String {
    let failed = causes(error).find_map(|e| e.downcast_ref::<rustls::Error>());
    failed.map_or_else(|| error.to_string(), watchfire_config::handshake_failure)
}

/// What is said inside of the encryption. Only that counts as activity: a handshake is no request.
pub(crate) struct Decrypted {
    stream: TlsStream<Watched>,
    activity: Arc<Activity>,
}

impl Decrypted {
    pub(crate) async fn accept(config: Arc<ServerConfig>, raw: Watched, activity: Arc<Activity>) -> io::Result<Self> {
        let stream = TlsAcceptor::from(config).accept(raw).await?;
        Ok(Decrypted { stream, activity })
    }
}

impl AsyncRead for Decrypted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let read = &buf.filled()[before..];
        if !read.is_empty() {
            self.activity.received(read);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Decrypted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_reason_a_minute_is_told_and_the_others_are_counted() {
        let handshakes = Handshakes::default();
        let start = Instant::now();
        assert_eq!(handshakes.due(start), Some(0));
        for second in 1..60 {
            assert_eq!(handshakes.due(start + Duration::from_secs(second)), None);
        }
        assert_eq!(handshakes.due(start + MINUTE), Some(59));
        assert_eq!(handshakes.due(start + MINUTE * 2), Some(0));
    }

    #[test]
    fn a_client_whose_certificate_has_expired_is_told_of_with_dates() {
        let at = |seconds| rustls::pki_types::UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let expired = rustls::CertificateError::ExpiredContext { time: at(1_795_934_813), not_after: at(1_791_244_800) };
        let error = io::Error::new(io::ErrorKind::InvalidData, rustls::Error::InvalidCertificate(expired));
        assert!(reason(&error).starts_with("the certificate expired at 2026-10-06T00:00:00Z; "), "{}", reason(&error));
        assert_eq!(reason(&io::Error::other("peer is gone")), "peer is gone");
    }
}
