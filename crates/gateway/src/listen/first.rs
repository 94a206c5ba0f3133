//! The first bytes of a connection in clear, which say what it speaks.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::Http2;
use super::serve::Protocol;

/// HTTP/2 with prior knowledge begins so (RFC 9113 section 3.4), which no method of HTTP/1 does.
const PREFACE: &[u8; 3] = b"PRI";

/// A connection whose first bytes were read; they come first again.
pub(super) struct First {
    stream: TcpStream,
    bytes: [u8; PREFACE.len()],
    /// How many of them there are, and how many were handed on.
    read: usize,
    handed: usize,
}

impl First {
    /// Reads as many bytes as say which protocol it is; `None` if the client has gone before. They are taken from the
    /// system, which tells of nothing more, no end either, while something that it told of is left with it.
    pub(super) async fn read(stream: TcpStream, http2: Http2) -> Option<(Self, Protocol)> {
        let mut first = Self { stream, bytes: [0; PREFACE.len()], read: 0, handed: 0 };
        if http2 == Http2::Off {
            return Some((first, Protocol::Http1));
        }
        loop {
            let room = first.bytes.get_mut(first.read..)?;
            let read = first.stream.read(room).await.ok()?;
            first.read += read;
            match first.bytes.get(..first.read)? {
                _ if read == 0 => return None,
                all if all == PREFACE => return Some((first, Protocol::Http2)),
                begun if !PREFACE.starts_with(begun) => return Some((first, Protocol::Http1)),
                _ => {}
            }
        }
    }
}

impl AsyncRead for First {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let first = this.bytes.get(this.handed..this.read).unwrap_or_default();
        if first.is_empty() {
            return Pin::new(&mut this.stream).poll_read(cx, buffer);
        }
        let now = first.get(..buffer.remaining()).unwrap_or(first);
        buffer.put_slice(now);
        this.handed += now.len();
        // With what has come behind them, which is the rest of a head most often.
        match Pin::new(&mut this.stream).poll_read(cx, buffer) {
            Poll::Pending => Poll::Ready(Ok(())),
            ready @ Poll::Ready(_) => ready,
        }
    }
}

impl AsyncWrite for First {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, pieces)
    }
}
