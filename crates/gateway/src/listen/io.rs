//! The byte stream of a client, watched.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Connection;
use super::heads::{CutOff, HeadWatch};
use crate::gather;
use crate::pulse::Coarse;

/// Tells its [`Connection`] when bytes move and when they do not, and what heads they are.
pub(super) struct Watched<S> {
    stream: S,
    connection: Arc<Connection>,
    clock: Coarse,
    /// Of HTTP/1; in HTTP/2 bytes that come while nothing is asked begin no head, but may be a ping.
    heads: Option<HeadWatch>,
    /// Once a head was cut off, or the engine has ended within a message, or a client of HTTP/2 was told to go away.
    rest: Option<Rest>,
    /// Whether all that the engine had to write was taken, whole frames.
    is_flushed: bool,
}

/// GOAWAY with ENHANCE_YOUR_CALM (RFC 9113 section 6.8), of any stream. The engine says it of itself alone.
const CALM: [u8; 17] = *b"\0\0\x08\x07\0\0\0\0\0\x7f\xff\xff\xff\0\0\0\x0b";

/// What follows a head that was cut off, or an answer that came before all of its request had.
struct Rest {
    /// Of the head, for the engine.
    ending: &'static [u8],
    /// How much more of what the client sends is read and forgotten.
    left: usize,
    is_shut: bool,
}

/// A client that is still sending its request when the connection closes would be reset, and never read why; so the rest
/// is read behind the answer (RFC 9112 section 9.6), for as long as it takes within `write_timeout`, up to this.
const REST_MAX: usize = 4 * 1024 * 1024;

impl<S> Watched<S> {
    pub(super) fn new(
        stream: S,
        connection: &Arc<Connection>,
        clock: &Coarse,
        heads: Option<HeadWatch>,
    ) -> Self {
        Self {
            stream,
            connection: Arc::clone(connection),
            clock: clock.clone(),
            heads,
            rest: None,
            is_flushed: true,
        }
    }

    fn wrote(&self, polled: &Poll<io::Result<usize>>) {
        match polled {
            Poll::Ready(_) => self.connection.moved(self.clock.now_ms()),
            Poll::Pending => self.connection.stalled(self.clock.now_ms()),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Watched<S> {
    /// Tells a client of HTTP/2 to go away, as soon as no frame is half written, and reads on behind it for a while. `None`
    /// until then; the engine ends with the error.
    fn calm(&mut self, cx: &mut Context<'_>) -> Option<Poll<io::Result<()>>> {
        if self.rest.is_none() {
            if !self.is_flushed {
                return None;
            }
            if Pin::new(&mut self.stream).poll_write(cx, &CALM).is_pending() {
                return None;
            }
        }
        let polled = self.rest.get_or_insert_with(|| Rest::new(b"")).shut(&mut self.stream, cx);
        if polled.is_pending() {
            self.connection.stalled(self.clock.now_ms());
        }
        Some(polled.map(|_| Err(io::ErrorKind::ConnectionAborted.into())))
    }

    /// Whether the client was told that nothing more comes.
    fn is_calming(&self) -> bool {
        self.heads.is_none() && self.rest.is_some()
    }
}

impl Rest {
    /// Of a head that the engine is given this end of.
    fn new(ending: &'static [u8]) -> Self {
        Self { ending, left: REST_MAX, is_shut: false }
    }

    /// Gives the engine the end of the head, and then nothing: the request is refused, and the connection ends.
    fn hand(&mut self, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.ending.is_empty() {
            return Poll::Pending;
        }
        let (now, later) = self.ending.split_at(self.ending.len().min(buffer.remaining()));
        buffer.put_slice(now);
        self.ending = later;
        Poll::Ready(Ok(()))
    }

    /// Says that no more will be written, and then waits until the client has said so as well, or has gone.
    fn shut<S>(&mut self, stream: &mut S, cx: &mut Context<'_>) -> Poll<io::Result<()>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        if !self.is_shut {
            std::task::ready!(Pin::new(&mut *stream).poll_shutdown(cx))?;
            self.is_shut = true;
        }
        let mut bytes = [0; 4096];
        while self.left > 0 {
            let mut buffer = ReadBuf::new(&mut bytes);
            match std::task::ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {
                    self.left = self.left.saturating_sub(buffer.filled().len());
                }
                // The end, or nobody who could read the answer.
                Ok(()) | Err(_) => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.heads.is_none()
            && this.connection.abandoned.is_too_much()
            && let Some(polled) = this.calm(cx)
        {
            return polled;
        }
        if let Some(rest) = &mut this.rest {
            return rest.hand(buffer);
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(cx, buffer);
        if let Some(heads) = &mut this.heads
            && polled.is_ready()
        {
            let cut_off = this.connection.look(heads, buffer.filled().get(before..).unwrap_or_default());
            if let Some(CutOff { kept, ending }) = cut_off {
                buffer.set_filled(before + kept);
                let mut rest = Rest::new(ending);
                // Where there is room; else the engine asks again for what it has not seen an end of.
                let _handed = rest.hand(buffer);
                this.rest = Some(rest);
            }
            // What nobody reads of a body may come when the request has ended.
            if heads.is_within() && !heads.is_in_body() {
                this.connection.bytes_came(this.clock.now_ms());
            }
        }
        polled
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_calming() {
            return Poll::Pending;
        }
        self.is_flushed = false;
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(&polled);
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        self.is_flushed = polled.is_ready();
        polled
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.rest.is_none()
            && this.heads.as_ref().is_some_and(HeadWatch::is_within)
            && this.connection.follows_heads()
        {
            this.rest = Some(Rest::new(b""));
        }
        let polled = match &mut this.rest {
            None => Pin::new(&mut this.stream).poll_shutdown(cx),
            Some(rest) => rest.shut(&mut this.stream, cx),
        };
        if polled.is_pending() {
            this.connection.stalled(this.clock.now_ms());
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
        if self.is_calming() {
            return Poll::Pending;
        }
        self.is_flushed = false;
        let polled = gather::poll_write(Pin::new(&mut self.stream), cx, pieces);
        self.wrote(&polled);
        polled
    }
}
