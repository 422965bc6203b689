//! The socket under a connection: TCP or Unix, watched for progress.

use crate::connection::Activity;
use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// Where connections come from.
#[derive(Debug)]
pub enum Listener {
    Tcp(TcpListener),
    /// With the only user that may connect, if there is one.
    Unix(UnixListener, Option<u32>),
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Listener::Tcp(listener)
    }
}

impl From<UnixListener> for Listener {
    fn from(listener: UnixListener) -> Self {
        Listener::Unix(listener, None)
    }
}

impl Listener {
    /// A socket for one user: who connects is asked of the kernel, whatever the permissions of the file have become.
    pub fn of_user(listener: UnixListener, uid: u32) -> Self {
        Listener::Unix(listener, Some(uid))
    }

    pub(crate) async fn accept(&self) -> io::Result<Socket> {
        match self {
            Listener::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // Answers are small and complete; waiting to fill a packet only adds latency. A socket that refuses works all the same.
                let _ = stream.set_nodelay(true);
                Ok(Socket::Tcp(stream))
            }
            Listener::Unix(listener, user) => {
                let (stream, _) = listener.accept().await?;
                match user {
                    Some(uid) if stream.peer_cred()?.uid() != *uid => {
                        Err(io::Error::new(io::ErrorKind::PermissionDenied, "another user connected to a socket that is not theirs"))
                    }
                    _ => Ok(Socket::Unix(stream)),
                }
            }
        }
    }
}

/// One accepted connection. Reads and writes go through `&self`, so that the watchdog can say why it closes.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    /// Who is at the other end; nobody in particular on a Unix socket.
    pub(crate) fn peer(&self) -> Option<IpAddr> {
        match self {
            Socket::Tcp(s) => s.peer_addr().ok().map(|a| a.ip()),
            Socket::Unix(_) => None,
        }
    }

    pub(crate) fn descriptor(&self) -> u64 {
        let descriptor = match self {
            Socket::Tcp(s) => s.as_raw_fd(),
            Socket::Unix(s) => s.as_raw_fd(),
        };
        u64::try_from(descriptor).unwrap_or(0)
    }

    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Socket::Tcp(s) => s.poll_read_ready(cx),
            Socket::Unix(s) => s.poll_read_ready(cx),
        }
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Socket::Tcp(s) => s.poll_write_ready(cx),
            Socket::Unix(s) => s.poll_write_ready(cx),
        }
    }

    fn try_read(&self, buf: &mut ReadBuf<'_>) -> io::Result<usize> {
        match self {
            Socket::Tcp(s) => s.try_read_buf(buf),
            Socket::Unix(s) => s.try_read_buf(buf),
        }
    }

    pub(crate) fn try_write(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Socket::Tcp(s) => s.try_write_vectored(bufs),
            Socket::Unix(s) => s.try_write_vectored(bufs),
        }
    }

    /// Reads until the peer is done, keeping nothing.
    pub(crate) async fn discard(&self) {
        let mut scrap = vec![0; 64 << 10];
        loop {
            if std::future::poll_fn(|cx| self.poll_read_ready(cx)).await.is_err() {
                return;
            }
            match self.try_read(&mut ReadBuf::new(&mut scrap)) {
                Ok(0) => return,
                Ok(_) => {}
                Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                Err(_) => return,
            }
        }
    }

    /// Tells the peer that no more will come. The file descriptor closes with the last handle.
    fn shutdown_write(&self) -> io::Result<()> {
        use std::net::Shutdown;
        use std::os::fd::AsFd;
        // The borrowed descriptor is duplicated, because tokio's sockets offer `shutdown` only through `&mut self`.
        let owned = match self {
            Socket::Tcp(s) => s.as_fd().try_clone_to_owned()?,
            Socket::Unix(s) => s.as_fd().try_clone_to_owned()?,
        };
        match self {
            Socket::Tcp(_) => std::net::TcpStream::from(owned).shutdown(Shutdown::Write),
            Socket::Unix(_) => std::os::unix::net::UnixStream::from(owned).shutdown(Shutdown::Write),
        }
    }
}

/// The socket as hyper sees it.
pub(crate) struct Watched {
    socket: Arc<Socket>,
    activity: Arc<Activity>,
    /// Whether what comes in is what a client says, or only looks like noise.
    readable: bool,
}

impl Watched {
    pub(crate) fn new(socket: Arc<Socket>, activity: Arc<Activity>) -> Self {
        Watched { socket, activity, readable: true }
    }

    /// Under TLS, what is read here says nothing about requests.
    pub(crate) fn encrypted(self) -> Self {
        Watched { readable: false, ..self }
    }

    fn poll_write_bufs(&self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        loop {
            match self.socket.try_write(bufs) {
                Ok(written) => {
                    self.activity.sent();
                    return Poll::Ready(Ok(written));
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Poll::Ready(Err(e)),
            }
            match self.socket.poll_write_ready(cx) {
                Poll::Ready(ready) => ready?,
                Poll::Pending => {
                    self.activity.blocked();
                    return Poll::Pending;
                }
            }
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            ready!(self.socket.poll_read_ready(cx))?;
            let before = buf.filled().len();
            match self.socket.try_read(buf) {
                Ok(read) => {
                    if read > 0 && self.readable {
                        self.activity.received(&buf.filled()[before..]);
                    }
                    return Poll::Ready(Ok(()));
                }
                Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                Err(e) => return Poll::Ready(Err(e)),
            }
        }
    }
}

impl AsyncWrite for Watched {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_bufs(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.poll_write_bufs(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(match self.socket.shutdown_write() {
            // Already gone is as good as closed.
            Err(e) if e.kind() != io::ErrorKind::NotConnected => Err(e),
            _ => Ok(()),
        })
    }
}
