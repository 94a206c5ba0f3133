//! Runs one connection until its end, the drain's, or the sweep's.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::Connection;
use super::frames::FrameWatch;
use super::heads::HeadWatch;
use super::io::{Watch, Watched};
use super::leftover::Discarding;
use super::service::answer;
use super::untaken::{Stream, Untaken};
use crate::admission::Handler;
use crate::limits::Limits;
use crate::metrics::cuts::Unread;
use crate::worker::Worker;

/// What a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// What the HTTP engine parses without an allocation; asking for exactly that many would cost one.
const ENGINE_HEADERS: usize = 100;
/// The engine takes a quarter more bytes than the limit says: in HTTP/1 what ends a head that is cut off comes on top, and in
/// HTTP/2 the gate can say which limit it was if a head is not much longer. More would cost memory: a few bytes name fields of
/// kilobytes (RFC 7541), and all streams of a connection may wait with such a head.
const ENGINE_SLACK: usize = 4;

/// Serves the requests of a connection.
pub(super) async fn serve<H, S>(
    worker: &Rc<Worker>,
    handler: &Arc<H>,
    stream: S,
    connection: Arc<Connection>,
    protocol: Protocol,
) where
    H: Handler,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let gate = worker.gate();
    let clock = worker.pulse().coarse();
    let service = {
        let (worker, connection, handler) = (Rc::clone(worker), Arc::clone(&connection), Arc::clone(handler));
        service_fn(move |request| {
            let (worker, connection, handler) =
                (Rc::clone(&worker), Arc::clone(&connection), Arc::clone(&handler));
            async move { Ok::<_, Infallible>(answer(worker, connection, handler, request).await) }
        })
    };
    match protocol {
        Protocol::Http1 => {
            connection.follow_heads();
            let heads = Watch::Heads(HeadWatch::new(gate.limits.head_bounds()));
            let io = TokioIo::new(Watched::new(stream, &connection, clock, heads));
            let serving = pin!(http1_builder(&gate.limits).serve_connection(io, service).with_upgrades());
            drive(worker, &connection, serving, |serving| serving.graceful_shutdown()).await;
        }
        Protocol::Http2 => {
            connection.share();
            let frames = Watch::Frames(FrameWatch::new(gate.limits.control_frames, clock.now_ms()));
            let io = TokioIo::new(Watched::new(stream, &connection, clock, frames));
            let streams = LocalExecutor::new(worker.untaken(), &connection);
            let serving = pin!(http2_builder(&gate.limits, streams).serve_connection(io, service));
            drive(worker, &connection, serving, |serving| serving.graceful_shutdown()).await;
        }
    }
}

/// Polls the connection; between polls, looks at whether it is to finish or to end at once, and reads what nobody else does
/// of a body.
async fn drive<F>(
    worker: &Rc<Worker>,
    connection: &Arc<Connection>,
    mut serving: std::pin::Pin<&mut F>,
    finish: impl Fn(std::pin::Pin<&mut F>),
) where
    F: Future<Output = hyper::Result<()>>,
{
    let _registration = worker.register(connection);
    let mut discarding = Discarding::default();
    let mut finishing = false;
    let mut first = true;
    let ended = std::future::poll_fn(|cx| {
        if first {
            first = false;
            connection.set_waker(cx.waker());
        }
        if connection.is_to_die() {
            return Poll::Ready(None);
        }
        // Polled before it is told to finish: a request that has already come is answered.
        let mut polled = serving.as_mut().poll(cx);
        if polled.is_pending() && !finishing && (worker.is_draining() || connection.is_to_close()) {
            finishing = true;
            finish(serving.as_mut());
            polled = serving.as_mut().poll(cx);
        }
        if polled.is_pending() && discarding.poll(connection, cx).is_ready() {
            polled = serving.as_mut().poll(cx);
        }
        polled.map(Some)
    })
    .await;
    if let Some(cut) = connection.cut() {
        worker.gate().metrics.cuts.count(cut);
    }
    let unread = match &ended {
        Some(Err(error)) if error.is_parse_too_large() => Some(Unread::TooLarge),
        Some(Err(error)) if error.is_parse() => Some(Unread::Malformed),
        Some(Ok(()) | Err(_)) | None => None,
    };
    if let Some(unread) = unread {
        worker.gate().metrics.cuts.count_unread(unread);
    }
    match ended {
        Some(Ok(())) => {}
        // Nobody has seen a request, so that there is no access line to say it.
        Some(Err(error)) if error.is_parse_too_large() => tracing::info!(
            peer.address = %connection.address,
            listener = &*connection.listener,
            auth.cause = match connection.head_fault() {
                Some(fault) => crate::strict::Fault::Head(fault).cause(),
                None => crate::strict::Fault::TooManyFields.cause(),
            },
            "refused a head with 431"
        ),
        Some(Err(error)) => tracing::debug!(
            peer.address = %connection.address,
            error = %countersign_auth::causes::chain(&error),
            "a client's connection ended with an error"
        ),
        None => tracing::debug!(peer.address = %connection.address, "closed a connection that was too slow"),
    }
}

/// HTTP/1.1 by hyper's parser. What it does with what RFC 9112 frowns on, and what the gate does, which sees the
/// bytes before ([`super::heads`]) and the head after it ([`crate::strict`]):
///
/// | on the wire | hyper | the gate |
/// |---|---|---|
/// | `Transfer-Encoding` in HTTP/1.0 | 400, closes | - |
/// | `Transfer-Encoding` that does not end in `chunked` | 400, closes | - |
/// | `Transfer-Encoding: gzip, chunked` | passes it | 400 |
/// | `Content-Length` beside `Transfer-Encoding` | drops the former, closes after the answer | 400, closes |
/// | several equal `Content-Length` | one of them | forwards one |
/// | several different `Content-Length` | 400, closes | - |
/// | obs-fold, space before a colon, NUL | 400, closes | - |
/// | bare LF at a line's end | reads it as the line's end | 400, closes |
/// | `#` in the target | cuts it off with what follows | 400, closes |
/// | several `Host`, or none beside an absolute target | passes them | 400 |
pub fn http1_builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    // A head beyond the limit is cut off before it comes here, so that the gate refuses it in its dialect.
    let engine_bytes = engine_bytes(limits);
    builder
        .half_close(false)
        .keep_alive(true)
        .preserve_header_case(false)
        .max_buf_size(engine_bytes.max(8 * 1024))
        .max_header_size(engine_bytes)
        .auto_date_header(true)
        // The sweep does this, for less than a timer for each request.
        .header_read_timeout(None);
    if limits.header_count > ENGINE_HEADERS {
        builder.max_headers(limits.header_count);
    }
    builder
}

/// The longest head that the engine is to take.
fn engine_bytes(limits: &Limits) -> usize {
    limits.header_bytes.saturating_add(limits.header_bytes / ENGINE_SLACK)
}

/// HTTP/2 by hyper's engine. What it leaves to the gate ([`crate::strict`]), or does in silence:
///
/// | on the wire | hyper | the gate |
/// |---|---|---|
/// | several `content-length` | compares the first with the body, passes all | 400 |
/// | a head more than a quarter beyond `header_bytes` | answers 431 by itself; it keeps no fields and tells nobody | - |
/// | a target of more than 65,534 bytes | resets the stream | - |
/// | `connection`, `transfer-encoding` and the like (RFC 9113 section 8.2.2) | resets the stream; in the first part of a block that goes on in a CONTINUATION frame, drops the field | - |
/// | a fragment in `:path` | cuts it off | - |
/// | `expect: 100-continue` | has no way to send a 100 | waits for the body; whoever waits as well, without an end (RFC 9110 section 10.1.1 says not to), is told 400 after `body_timeout` |
fn http2_builder(limits: &Limits, streams: LocalExecutor) -> http2::Builder<LocalExecutor> {
    let mut builder = http2::Builder::new(streams);
    builder
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(engine_bytes(limits)).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(limits.pending_resets)
        .max_local_error_reset_streams(limits.local_resets)
        .initial_stream_window_size(limits.stream_window)
        .initial_connection_window_size(limits.connection_window)
        .max_send_buf_size(limits.stream_send_buffer)
        .auto_date_header(true);
    builder
}

/// Puts the streams of an HTTP/2 connection on the core that the connection is on, where each can end by itself.
#[derive(Clone)]
struct LocalExecutor {
    untaken: Rc<Untaken>,
    connection: Arc<Connection>,
}

impl LocalExecutor {
    fn new(untaken: &Rc<Untaken>, connection: &Arc<Connection>) -> Self {
        Self { untaken: Rc::clone(untaken), connection: Arc::clone(connection) }
    }
}

impl<F: Future<Output = ()> + 'static> Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(Stream::new(future, &self.untaken, &self.connection));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::cell::Cell;
    use std::pin::Pin;
    use std::task::Context;

    use bytes::Bytes;
    use hyper::Response;
    use hyper::body::{Body, Frame};
    use tokio::io::AsyncWriteExt as _;
    use tokio::runtime::{Builder, LocalOptions};

    use super::*;
    use crate::pulse::Pulse;

    const PIECE: [u8; 1024] = [b'x'; 1024];

    /// An answer without an end that says how much of it was taken.
    struct Endless(Rc<Cell<usize>>);

    impl Body for Endless {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            self.0.set(self.0.get() + PIECE.len());
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&PIECE)))))
        }
    }

    /// How much is taken of an answer whose client has all the windows open that there are, and takes nothing.
    fn taken(stream_send_buffer: usize) -> usize {
        let limits = Limits { stream_send_buffer, ..Limits::default() };
        let runtime =
            Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap();
        runtime.block_on(async {
            let (mut client, server) = tokio::io::duplex(PIECE.len());
            let taken = Rc::new(Cell::new(0));
            let answer = Rc::clone(&taken);
            let service = service_fn(move |_request| {
                let answer = Response::new(Endless(Rc::clone(&answer)));
                async { Ok::<_, Infallible>(answer) }
            });
            let pulse = Pulse::new(limits.tick, tokio::time::Instant::now());
            let streams = LocalExecutor::new(&Untaken::new(pulse.coarse()), &Connection::of_test());
            let serving = http2_builder(&limits, streams).serve_connection(TokioIo::new(server), service);
            let serving = tokio::task::spawn_local(serving);
            client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
            // SETTINGS_INITIAL_WINDOW_SIZE, WINDOW_UPDATE of the connection, and a GET (RFC 9113 sections 6.5.2, 6.9).
            client.write_all(b"\0\0\x06\x04\0\0\0\0\0\0\x04\x7f\xff\xff\xff").await.unwrap();
            client.write_all(b"\0\0\x04\x08\0\0\0\0\0\x7f\x00\x00\x00").await.unwrap();
            client.write_all(b"\0\0\x06\x01\x05\0\0\0\x01\x82\x86\x84\x41\x01a").await.unwrap();
            let (mut before, mut still) = (0, 0);
            while still < 1000 {
                tokio::task::yield_now().await;
                still = if before == taken.get() { still + 1 } else { 0 };
                before = taken.get();
            }
            assert!(!serving.is_finished());
            before
        })
    }

    #[test]
    fn of_an_answer_so_much_waits_for_its_client() {
        let (small, large) = (16 * 1024, 160 * 1024);
        // What the engine writes at once is beside it, whatever the limit.
        let beside = taken(small) - small;
        assert!(beside <= 2 * 16 * 1024, "{beside}");
        assert_eq!(taken(large) - large, beside);
    }
}
