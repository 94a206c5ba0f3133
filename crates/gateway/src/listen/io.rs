//! The byte stream of a client, watched.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Connection;
use super::heads::HeadWatch;
use crate::pulse::Coarse;

/// Tells its [`Connection`] when bytes move and when they do not, and what heads they are.
pub(super) struct Watched<S> {
    stream: S,
    connection: Arc<Connection>,
    clock: Coarse,
    /// Of HTTP/1; in HTTP/2 bytes that come while nothing is asked begin no head, but may be a ping.
    heads: Option<HeadWatch>,
}

impl<S> Watched<S> {
    pub(super) fn new(
        stream: S,
        connection: &Arc<Connection>,
        clock: &Coarse,
        heads: Option<HeadWatch>,
    ) -> Self {
        Self { stream, connection: Arc::clone(connection), clock: clock.clone(), heads }
    }

    fn wrote(&self, polled: &Poll<io::Result<usize>>) {
        match polled {
            Poll::Ready(_) => self.connection.moved(self.clock.now_ms()),
            Poll::Pending => self.connection.stalled(self.clock.now_ms()),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(cx, buffer);
        if let Some(heads) = &mut this.heads
            && polled.is_ready()
        {
            this.connection.look(heads, buffer.filled().get(before..).unwrap_or_default());
            // An end of file counts as bytes; the connection ends with it anyway.
            this.connection.bytes_came(this.clock.now_ms());
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(&polled);
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_shutdown(cx);
        if polled.is_pending() {
            self.connection.stalled(self.clock.now_ms());
        }
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, pieces);
        self.wrote(&polled);
        polled
    }
}
