//! The byte stream of a client, watched.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::Connection;
use crate::pulse::Coarse;

/// Whether bytes that come while nothing is asked begin a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heads {
    /// HTTP/1: they do.
    Watched,
    /// HTTP/2: they may be a ping.
    Unwatched,
}

/// Tells its [`Connection`] when bytes move and when they do not.
pub(super) struct Watched<S> {
    stream: TokioIo<S>,
    connection: Arc<Connection>,
    clock: Coarse,
    heads: Heads,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, connection: &Arc<Connection>, clock: &Coarse, heads: Heads) -> Self {
        Self { stream: TokioIo::new(stream), connection: Arc::clone(connection), clock: clock.clone(), heads }
    }

    fn wrote(&self, polled: &Poll<io::Result<usize>>) {
        match polled {
            Poll::Ready(_) => self.connection.moved(),
            Poll::Pending => self.connection.stalled(self.clock.now_ms()),
        }
    }
}

impl<S: AsyncRead + Unpin> Read for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        // An end of file counts as bytes; the connection ends with it anyway.
        if self.heads == Heads::Watched && polled.is_ready() {
            self.connection.bytes_came(self.clock.now_ms());
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> Write for Watched<S> {
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
