//! The body of an answer on its way to the client, and the end of its request.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;

use super::BodyError;
use crate::gate::ApiIndex;
use crate::listen::{Owed, Piece, Untaken};
use crate::log::Tail;
use crate::pulse::{Alarm, Pulse, millis};
use crate::trailers;
use crate::upstream::{Flight, Lease};
use crate::watch::Watch;
use crate::worker::LocalGate;

/// An answer in memory is handed out in pieces of so many bytes, a piece when the one before has found room: whoever keeps the
/// rest knows that it is not taken yet.
const PIECE_BYTES: usize = 64 * 1024;

/// What a client is sent.
pub(crate) struct AnswerBody {
    source: Source,
    /// Counts and logs the request when it is dropped; a tunnel's goes with the tunnel.
    tail: Option<Box<Tail>>,
}

/// The engine moves an answer a dozen times before it is sent: what is large stays in its place.
enum Source {
    Full(Option<Bytes>),
    Whole(Box<Whole>),
    Streaming(Box<Streaming>),
}

/// A large answer in memory, which is counted until its client has it.
struct Whole {
    rest: Bytes,
    _counted: Counted,
}

/// What a large answer in memory is counted among.
enum Counted {
    /// An upstream's that was read whole: the requests under way there, of which one address has no more than its share.
    Passed { _flight: Flight },
    /// The gate's own: what it owes on the connection.
    Own { _owed: Owed },
}

impl Whole {
    fn piece(&mut self) -> Option<Bytes> {
        let length = self.rest.len().min(PIECE_BYTES);
        (length > 0).then(|| self.rest.split_to(length))
    }
}

/// A body that comes from an upstream.
pub(crate) struct Streaming {
    incoming: Incoming,
    /// The connection, until it may go back to the pool.
    lease: Option<Lease>,
    gate: Rc<LocalGate>,
    /// Whose answer it is.
    api: ApiIndex,
    pulse: Rc<Pulse>,
    idle: Duration,
    waited_since_ms: u64,
    alarm: Option<Alarm>,
    watch: Option<Watch>,
    /// The beat at which the watch was asked last.
    watched_at_ms: u64,
}

impl Streaming {
    pub(crate) fn new(
        incoming: Incoming,
        lease: Lease,
        gate: &Rc<LocalGate>,
        api: ApiIndex,
        pulse: &Rc<Pulse>,
        idle: Duration,
        watch: Option<Watch>,
    ) -> Self {
        let mut this = Self {
            incoming,
            lease: Some(lease),
            gate: Rc::clone(gate),
            api,
            pulse: Rc::clone(pulse),
            idle,
            waited_since_ms: 0,
            alarm: None,
            watch,
            watched_at_ms: pulse.now_ms(),
        };
        this.give_back_if_done();
        this
    }

    /// A body that was read to its end frees its connection; the client's speed is none of its business.
    fn give_back_if_done(&mut self) {
        if http_body::Body::is_end_stream(&self.incoming)
            && let Some(lease) = self.lease.take()
        {
            drop(lease.give_back());
        }
    }

    /// Whether what the answer lives on has ended: asked once a beat, so that an answer which is through before the next
    /// one asks nothing.
    fn is_over(&mut self) -> bool {
        let Some(watch) = &self.watch else { return false };
        let now_ms = self.pulse.now_ms();
        if now_ms == self.watched_at_ms {
            return false;
        }
        self.watched_at_ms = now_ms;
        watch.is_over(&self.gate)
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.is_over() {
            return Poll::Ready(Some(Err(BodyError::Revoked)));
        }
        match http_body::Body::poll_frame(Pin::new(&mut self.incoming), cx) {
            Poll::Ready(Some(Ok(mut frame))) => {
                self.alarm = None;
                if let Some(trailers) = frame.trailers_mut() {
                    trailers::strip_answer(&self.gate, self.api, trailers);
                }
                self.give_back_if_done();
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                if let Some(lease) = &self.lease {
                    lease.broke_off();
                }
                Poll::Ready(Some(Err(BodyError::Broken(error))))
            }
            Poll::Ready(None) => {
                if let Some(lease) = self.lease.take() {
                    drop(lease.give_back());
                }
                Poll::Ready(None)
            }
            Poll::Pending => self.poll_idle(cx),
        }
    }

    /// A channel that can be revoked is looked at on every beat, others when they have stood still for too long.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let span = if self.watch.is_some() { Duration::ZERO } else { self.idle };
        let alarm = match &mut self.alarm {
            Some(alarm) => alarm,
            None => {
                self.waited_since_ms = self.pulse.now_ms();
                self.alarm.insert(self.pulse.alarm(span))
            }
        };
        while alarm.poll(cx).is_ready() {
            let waited = self.pulse.now_ms().saturating_sub(self.waited_since_ms);
            if waited >= millis(self.idle) {
                return Poll::Ready(Some(Err(BodyError::Stalled("upstream.body_timeout"))));
            }
            alarm.again(span);
        }
        Poll::Pending
    }
}

impl AnswerBody {
    /// An answer of the gate's own. The request ends when the body does.
    pub(crate) fn full(bytes: Bytes, tail: Box<Tail>) -> Self {
        if bytes.len() > PIECE_BYTES {
            let counted = Counted::Own { _owed: Owed::new(tail.connection(), bytes.len()) };
            return Self::of(Source::Whole(Box::new(Whole { rest: bytes, _counted: counted })), tail);
        }
        let bytes = if bytes.is_empty() { None } else { Some(bytes) };
        Self::of(Source::Full(bytes), tail)
    }

    /// An upstream's answer that is in memory, and its place among the requests under way there.
    pub(crate) fn whole(bytes: Bytes, flight: Flight, tail: Box<Tail>) -> Self {
        let counted = Counted::Passed { _flight: flight };
        Self::of(Source::Whole(Box::new(Whole { rest: bytes, _counted: counted })), tail)
    }

    /// An upstream's answer. The request ends when the body does.
    pub(crate) fn streaming(streaming: Box<Streaming>, tail: Box<Tail>) -> Self {
        Self::of(Source::Streaming(streaming), tail)
    }

    /// Of the answer with which a connection leaves HTTP.
    pub(crate) fn none() -> Self {
        Self { source: Source::Full(None), tail: None }
    }

    fn of(source: Source, tail: Box<Tail>) -> Self {
        Self { source, tail: Some(tail) }
    }

    /// The core's list of what was not taken, where the answer shares its connection with others.
    fn untaken(&self) -> Option<&Rc<Untaken>> {
        self.tail.as_ref()?.untaken()
    }

    /// A piece for the client; where it shares its connection with other answers, it is noted until it is taken.
    fn piece(&self, bytes: Bytes) -> Piece {
        match self.untaken() {
            Some(untaken) if !bytes.is_empty() => untaken.piece(bytes),
            Some(_) | None => bytes.into(),
        }
    }

    /// Where its end is told only when all of it was taken: it is large, and on a shared connection.
    fn keeper(&self) -> Option<&Rc<Untaken>> {
        let tail = self.tail.as_ref()?;
        tail.untaken().filter(|_| Untaken::keeps(tail.sent_bytes()))
    }
}

impl http_body::Body for AnswerBody {
    type Data = Piece;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece>, BodyError>>> {
        let this = self.get_mut();
        let polled = match &mut this.source {
            Source::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Source::Whole(whole) => Poll::Ready(whole.piece().map(|bytes| Ok(Frame::data(bytes)))),
            Source::Streaming(streaming) => streaming.poll_frame(cx),
        };
        if matches!(polled, Poll::Ready(None)) && this.keeper().is_some_and(|untaken| untaken.holds_end()) {
            return Poll::Pending;
        }
        if let (Poll::Ready(Some(polled)), Some(tail)) = (&polled, &mut this.tail) {
            match polled {
                Ok(frame) => tail.sent(frame.data_ref().map_or(0, Bytes::len)),
                Err(error) => tail.broke_off(error),
            }
        }
        polled.map_ok(|frame| frame.map_data(|bytes| this.piece(bytes)))
    }

    fn is_end_stream(&self) -> bool {
        let has_ended = match &self.source {
            Source::Full(bytes) => bytes.is_none(),
            Source::Whole(whole) => whole.rest.is_empty(),
            Source::Streaming(streaming) => http_body::Body::is_end_stream(&streaming.incoming),
        };
        has_ended && self.keeper().is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Source::Whole(whole) => SizeHint::with_exact(whole.rest.len() as u64),
            Source::Streaming(streaming) => http_body::Body::size_hint(&streaming.incoming),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::upstream::{Pools, Room, Upstream, UpstreamOptions};

    #[test]
    fn an_answer_in_memory_is_handed_out_in_pieces() {
        let upstream = Upstream::new(UpstreamOptions::new("u", "http://127.0.0.1:1").unwrap()).unwrap();
        let flight = Rc::new(Pools::new(1)).depart(Room::divide(2, 1), &upstream, || None).ok().unwrap();
        let counted = Counted::Passed { _flight: flight };
        let mut whole = Whole { rest: Bytes::from(vec![0; 2 * PIECE_BYTES + 1]), _counted: counted };
        let pieces: Vec<usize> = std::iter::from_fn(|| whole.piece()).map(|piece| piece.len()).collect();
        assert_eq!(pieces, [PIECE_BYTES, PIECE_BYTES, 1]);
        assert!(whole.rest.is_empty());
    }
}
