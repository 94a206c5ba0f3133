//! WebSocket: after a 101 the gate passes bytes, until an end closes, takes nothing of what the other has sent, the session
//! dies, or the time is over that a draining gate has. One on which nobody says anything stays open.

use std::cell::Cell;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::{CONNECTION, UPGRADE};
use http::{HeaderValue, response};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::ForwardError;
use crate::admission::Upgrade;
use crate::hop;
use crate::limits::Limits;
use crate::log::Tail;
use crate::metrics::cuts::Cut;
use crate::pulse::{Coarse, millis};
use crate::upstream::Lease;
use crate::watch::Watch;
use crate::worker::{LocalGate, Worker};

/// Two ends that are about to leave HTTP.
pub(crate) struct Ends {
    client: OnUpgrade,
    upstream: OnUpgrade,
    lease: Lease,
}

impl Ends {
    /// Checks that the upstream's 101 is the one that was asked for, and makes its head the client's.
    pub(crate) fn new(
        upgrade: Upgrade,
        head: &mut response::Parts,
        client: Option<OnUpgrade>,
        lease: Lease,
    ) -> Result<Self, ForwardError> {
        let upstream = head.extensions.remove::<OnUpgrade>();
        let websocket = head.headers.get(UPGRADE).is_some_and(|value| hop::lists(value, "websocket"));
        match (upgrade, client, upstream) {
            (Upgrade::WebSocket, Some(client), Some(upstream)) if websocket => {
                hop::strip_answer(&mut head.headers);
                Ok(Self { client, upstream, lease })
            }
            (Upgrade::WebSocket | Upgrade::No, _, _) => Err(ForwardError::Unasked),
        }
    }

    /// Passes bytes from now on; the request ends when that does.
    pub(crate) fn run(
        self,
        worker: &Rc<Worker>,
        head: &mut response::Parts,
        watch: Option<Watch>,
        tail: Box<Tail>,
    ) {
        head.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        head.headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        let Self { client, upstream, lease } = self;
        let flight = lease.let_go();
        let (hold, counted) = (worker.hold(), Counted::new(worker.gate()));
        let worker = Rc::clone(worker);
        let (at_client, at_upstream) = (Rc::<Motion>::default(), Rc::<Motion>::default());
        let mut end = End { tail, at_client: Rc::clone(&at_client), why: Some("the gate stopped") };
        tokio::task::spawn_local(async move {
            let clock = worker.pulse().coarse();
            let watched = |motion: &Rc<Motion>| (Rc::clone(motion), clock.clone());
            let mut passing = pin!(pass((client, watched(&at_client)), (upstream, watched(&at_upstream))));
            let mut alarm = worker.pulse().alarm(Duration::ZERO);
            end.why = std::future::poll_fn(|cx| {
                if let Poll::Ready(ended) = passing.as_mut().poll(cx) {
                    return Poll::Ready(ended.err());
                }
                // A look on every beat: cheap, and soon enough for a revocation (one second).
                while alarm.poll(cx).is_ready() {
                    if watch.as_ref().is_some_and(|watch| watch.is_over(&counted.0)) {
                        return Poll::Ready(Some("the session was revoked"));
                    }
                    let (now_ms, limits) = (clock.now_ms(), &counted.0.limits);
                    if at_client.takes_nothing(now_ms, limits) {
                        counted.0.metrics.cuts.count(Cut::WriteStall);
                        return Poll::Ready(Some(
                            "the client took nothing for longer than limits.write_timeout",
                        ));
                    }
                    if at_upstream.takes_nothing(now_ms, limits) {
                        return Poll::Ready(Some(
                            "the upstream took nothing for longer than limits.write_timeout",
                        ));
                    }
                    if at_client.is_long_closed(now_ms, limits) || at_upstream.is_long_closed(now_ms, limits)
                    {
                        return Poll::Ready(Some("one end closed, and the other did not follow"));
                    }
                    alarm.again(Duration::ZERO);
                }
                Poll::Pending
            })
            .await;
            drop((end, hold, counted, flight));
        });
    }
}

/// The end of a tunnel, whoever brings it about: a gate that stops drops those that are left.
struct End {
    tail: Box<Tail>,
    at_client: Rc<Motion>,
    /// Why, if not because its ends closed it.
    why: Option<&'static str>,
}

impl Drop for End {
    fn drop(&mut self) {
        self.tail.sent(self.at_client.written.get());
        if let Some(why) = self.why {
            self.tail.ended(why);
        }
    }
}

/// A tunnel in the metrics.
struct Counted(Rc<LocalGate>);

impl Counted {
    fn new(gate: Rc<LocalGate>) -> Self {
        gate.metrics.tunnels.fetch_add(1, Ordering::Relaxed);
        Self(gate)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.metrics.tunnels.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What moves at one end of a tunnel.
#[derive(Default)]
struct Motion {
    /// Bytes that it took.
    written: Cell<usize>,
    /// Since when it takes nothing of what is there for it.
    stalled_since_ms: Cell<Option<u64>>,
    /// Since when it says no more.
    closed_at_ms: Cell<Option<u64>>,
}

impl Motion {
    fn takes_nothing(&self, now_ms: u64, limits: &Limits) -> bool {
        is_past(self.stalled_since_ms.get(), now_ms, limits.write_stall)
    }

    fn is_long_closed(&self, now_ms: u64, limits: &Limits) -> bool {
        is_past(self.closed_at_ms.get(), now_ms, limits.half_closed)
    }

    fn wrote<T>(&self, polled: &Poll<io::Result<T>>, clock: &Coarse) {
        match polled {
            Poll::Ready(_) => self.stalled_since_ms.set(None),
            Poll::Pending if self.stalled_since_ms.get().is_none() => {
                self.stalled_since_ms.set(Some(clock.now_ms()));
            }
            Poll::Pending => {}
        }
    }
}

fn is_past(since_ms: Option<u64>, now_ms: u64, span: Duration) -> bool {
    since_ms.is_some_and(|since| now_ms.saturating_sub(since) > millis(span))
}

/// One end of a tunnel, watched.
struct Watched<S> {
    stream: S,
    motion: Rc<Motion>,
    clock: Coarse,
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
        if let Poll::Ready(Ok(())) = polled
            && buffer.filled().len() == before
            && this.motion.closed_at_ms.get().is_none()
        {
            this.motion.closed_at_ms.set(Some(this.clock.now_ms()));
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.motion.wrote(&polled, &this.clock);
        if let Poll::Ready(Ok(taken)) = &polled {
            this.motion.written.set(this.motion.written.get().saturating_add(*taken));
        }
        polled
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_flush(cx);
        this.motion.wrote(&polled, &this.clock);
        polled
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_shutdown(cx);
        this.motion.wrote(&polled, &this.clock);
        polled
    }
}

type Observed = (OnUpgrade, (Rc<Motion>, Coarse));

/// # Errors
/// Why it ends, if not by one of the two closing.
async fn pass((client, at_client): Observed, (upstream, at_upstream): Observed) -> Result<(), &'static str> {
    let ends = futures_util::future::try_join(client, upstream).await;
    let (client, upstream) = match ends {
        Ok(ends) => ends,
        Err(error) => {
            tracing::debug!(error = %countersign_auth::causes::chain(&error), "could not leave HTTP");
            return Err("an end was gone before it left HTTP");
        }
    };
    let watched = |stream, (motion, clock)| Watched { stream: TokioIo::new(stream), motion, clock };
    let (mut client, mut upstream) = (watched(client, at_client), watched(upstream, at_upstream));
    let copied = tokio::io::copy_bidirectional(&mut client, &mut upstream).await;
    copied.map(drop).map_err(|error| {
        tracing::debug!(%error, "a tunnel ended with an error");
        "an end broke off"
    })
}
