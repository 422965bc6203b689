//! TLS on a port: the handshake, and the plain side of the connection as hyper sees it.

use crate::connection::Activity;
use crate::guard::Guard;
use crate::stream::Watched;
use rustls::ServerConfig;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// The guard with its certificates offering exactly the protocols that the port speaks.
pub(crate) fn offering_protocols(mut guard: Guard) -> Guard {
    guard.tls = guard.tls.map(|config| {
        let mut config = ServerConfig::clone(&config);
        config.alpn_protocols = [guard.http2.is_some().then_some(&b"h2"[..]), guard.http1.then_some(b"http/1.1")]
            .into_iter()
            .flatten()
            .map(<[u8]>::to_vec)
            .collect();
        Arc::new(config)
    });
    guard
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
