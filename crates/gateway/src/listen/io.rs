//! The byte stream of a client, watched.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Connection;
use super::frames::FrameWatch;
use super::heads::{CutOff, HeadWatch};
use crate::gather;
use crate::pulse::Coarse;

/// Tells its [`Connection`] when bytes move and when they do not, and what heads they are.
pub(super) struct Watched<S> {
    stream: S,
    connection: Arc<Connection>,
    clock: Coarse,
    watch: Watch,
    /// Once a head was cut off, or the engine has ended within a message, or a client of HTTP/2 was told to go away.
    rest: Option<Rest>,
}

/// What is looked for in the bytes.
pub(super) enum Watch {
    /// Of HTTP/1.
    Heads(HeadWatch),
    /// Of HTTP/2, where bytes that come while nothing is asked begin no head, but may be a ping.
    Frames(FrameWatch),
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
    pub(super) fn new(stream: S, connection: &Arc<Connection>, clock: &Coarse, watch: Watch) -> Self {
        Self { stream, connection: Arc::clone(connection), clock: clock.clone(), watch, rest: None }
    }

    fn wrote<'p>(
        &mut self,
        cx: &Context<'_>,
        polled: &Poll<io::Result<usize>>,
        pieces: impl Iterator<Item = &'p [u8]>,
    ) {
        let now_ms = self.clock.now_ms();
        let Poll::Ready(written) = polled else { return self.connection.stalled(now_ms) };
        self.connection.moved(now_ms);
        let (Watch::Frames(frames), Ok(written)) = (&mut self.watch, written) else { return };
        let mut left = *written;
        for piece in pieces {
            let written = piece.get(..left).unwrap_or(piece);
            left -= written.len();
            frames.went(written);
        }
        if frames.is_between() && self.is_to_calm() {
            cx.waker().wake_by_ref();
        }
    }

    /// Whether its client is to be told to go away, or was.
    fn is_to_calm(&self) -> bool {
        match &self.watch {
            Watch::Heads(_) => false,
            Watch::Frames(frames) => frames.is_too_much() || self.connection.abandoned.is_too_much(),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Watched<S> {
    /// Tells a client of HTTP/2 to go away, as soon as no frame is half written, and reads on behind it for a while. The
    /// engine ends with the error.
    fn calm(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.rest.is_none() {
            // Whoever writes the rest of it has this asked again.
            if matches!(&self.watch, Watch::Frames(frames) if !frames.is_between()) {
                return Poll::Pending;
            }
            if Pin::new(&mut self.stream).poll_write(cx, &CALM).is_pending() {
                self.connection.stalled(self.clock.now_ms());
                return Poll::Pending;
            }
        }
        let polled = self.rest.get_or_insert_with(|| Rest::new(b"")).shut(&mut self.stream, cx);
        if polled.is_pending() {
            self.connection.stalled(self.clock.now_ms());
        }
        polled.map(|_| Err(io::ErrorKind::ConnectionAborted.into()))
    }

    /// Whether the client was told that nothing more comes.
    fn is_calming(&self) -> bool {
        matches!(self.watch, Watch::Frames(_)) && self.rest.is_some()
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
        if this.is_to_calm() {
            return this.calm(cx);
        }
        if let Some(rest) = &mut this.rest {
            return rest.hand(buffer);
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(cx, buffer);
        if polled.is_pending() {
            return polled;
        }
        let came = buffer.filled().get(before..).unwrap_or_default();
        match &mut this.watch {
            Watch::Heads(heads) => {
                if let Some(CutOff { kept, ending }) = this.connection.look(heads, came) {
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
            Watch::Frames(frames) => {
                frames.came(came, this.clock.now_ms());
                this.connection.block_is_open(frames.block_since_ms());
                if frames.is_too_much() {
                    this.connection.flooded();
                }
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
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(cx, &polled, std::iter::once(bytes));
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.rest.is_none()
            && matches!(&this.watch, Watch::Heads(heads) if heads.is_within())
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
        let polled = gather::poll_write(Pin::new(&mut self.stream), cx, pieces);
        self.wrote(cx, &polled, pieces.iter().map(|piece| &**piece));
        polled
    }
}
