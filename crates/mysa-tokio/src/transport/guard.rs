use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use crate::resources::Held;

/// Socket that is counted while it is open, and whose writes fail when they make no progress for [`WRITE_TIMEOUT`].
///
/// The limit is here, below TLS and WebSocket, because both also write on their own: pongs, closing frames, key
/// updates. Every byte that is sent passes here.
#[derive(Debug)]
pub(crate) struct Guarded<S> {
    inner: S,
    /// Timer that runs from the first refused write until one is accepted.
    stalled: Option<Pin<Box<Sleep>>>,
    _held: Held,
}

/// Time for which a peer may refuse every byte. A working peer's system acknowledges within a round trip what it has
/// room for.
pub(crate) const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

impl<S> Guarded<S> {
    pub(crate) fn new(inner: S, held: Held) -> Self {
        Self { inner, stalled: None, _held: held }
    }

    /// Returns the outcome of a write, or an error if writes have been refused for too long.
    fn judge<T>(&mut self, cx: &mut Context<'_>, write: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if write.is_ready() {
            self.stalled = None;
            return write;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(WRITE_TIMEOUT)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer does not read")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let write = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.judge(cx, write)
    }

    // A TCP stream has no buffer of its own, so flush and shutdown never wait.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let write = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.judge(cx, write)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

impl Connection for Guarded<TcpStream> {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}
