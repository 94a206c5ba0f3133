//! Bodies: what goes to the upstream, and what goes to the client.

mod answer;
mod inbound;
mod read;

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};

pub(crate) use crate::body::answer::{AnswerBody, Streaming};
pub(crate) use crate::body::inbound::Inbound;
pub(crate) use crate::body::read::{Bound, LINGER_BYTES, ReadError, linger, read};
use crate::gate::ApiIndex;
use crate::listen::HeadFault;
use crate::pulse::{Alarm, Pulse};
use crate::strict::Fault;
use crate::trailers;
use crate::worker::LocalGate;

/// The body of a request: as it comes in, or as `admit` has read or made it.
#[derive(Debug)]
pub(crate) enum Body {
    /// Passed on piece by piece, with its trailers.
    Streaming(Inbound),
    /// In memory; `None` once it is sent.
    Full(Option<Bytes>),
}

impl Body {
    /// A body that is passed on piece by piece.
    pub(crate) const fn streaming(inbound: Inbound) -> Self {
        Self::Streaming(inbound)
    }

    /// A body in memory.
    pub(crate) fn full(bytes: impl Into<Bytes>) -> Self {
        Self::Full(Some(bytes.into()))
    }

    /// Whether there is nothing (more) to send.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Streaming(inbound) => inbound.is_end_stream(),
            Self::Full(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Streaming(inbound) => inbound.size_hint(),
            Self::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
        }
    }
}

/// Why a body broke off.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// The sender's connection failed.
    #[error("could not read the body")]
    Broken(#[source] hyper::Error),
    /// What stands behind it is beyond a limit.
    #[error("could not read the body: {}", Fault::Head(*.0).cause())]
    Trailers(HeadFault),
    /// Nothing came for longer than this key says.
    #[error("could not read the body: it stood still for longer than {0}")]
    Stalled(&'static str),
    /// The session that the channel hangs on has ended.
    #[error("the channel was revoked")]
    Revoked,
}

impl From<hyper::Error> for BodyError {
    fn from(error: hyper::Error) -> Self {
        Self::Broken(error)
    }
}

/// How far the sending of a request's body is; shared by the body and whoever awaits the answer.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    last_ms: Cell<u64>,
    done: Cell<bool>,
}

impl Progress {
    /// When a piece was last sent, on the pulse's clock.
    pub(crate) fn last_ms(&self) -> u64 {
        self.last_ms.get()
    }

    /// Whether all of it was handed to the connection.
    pub(crate) fn is_done(&self) -> bool {
        self.done.get()
    }
}

/// A body on its way to the upstream.
pub(crate) struct Outgoing {
    body: Body,
    watch: Option<Box<OutgoingWatch>>,
}

struct OutgoingWatch {
    progress: Rc<Progress>,
    pulse: Rc<Pulse>,
    idle: Duration,
    alarm: Option<Alarm>,
    gate: Rc<LocalGate>,
    api: ApiIndex,
}

impl Outgoing {
    /// Watches `body` on its way; an empty one needs no watching and costs nothing.
    pub(crate) fn new(
        body: Body,
        pulse: &Rc<Pulse>,
        idle: Duration,
        gate: &Rc<LocalGate>,
        api: ApiIndex,
    ) -> (Self, Option<Rc<Progress>>) {
        if body.is_empty() {
            return (Self { body: Body::Full(None), watch: None }, None);
        }
        let progress = Rc::new(Progress::default());
        progress.last_ms.set(pulse.now_ms());
        let watch = OutgoingWatch {
            progress: Rc::clone(&progress),
            pulse: Rc::clone(pulse),
            idle,
            alarm: None,
            gate: Rc::clone(gate),
            api,
        };
        (Self { body, watch: Some(Box::new(watch)) }, Some(progress))
    }

    /// A body without a byte.
    pub(crate) const fn empty() -> Self {
        Self { body: Body::Full(None), watch: None }
    }
}

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let polled = match &mut this.body {
            Body::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Body::Streaming(inbound) => Pin::new(inbound).poll_frame(cx),
        };
        let Some(watch) = &mut this.watch else {
            return polled;
        };
        match polled {
            Poll::Ready(frame) => {
                watch.alarm = None;
                watch.progress.last_ms.set(watch.pulse.now_ms());
                if frame.is_none() || this.body.is_empty() {
                    watch.progress.done.set(true);
                }
                Poll::Ready(frame.map(|frame| {
                    let mut frame = frame?;
                    if let Some(trailers) = frame.trailers_mut() {
                        trailers::strip_request(&watch.gate, watch.api, trailers);
                    }
                    Ok(frame)
                }))
            }
            Poll::Pending => {
                let alarm = watch.alarm.get_or_insert_with(|| watch.pulse.alarm(watch.idle));
                alarm.poll(cx).map(|()| Some(Err(BodyError::Stalled("limits.body_timeout"))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.body {
            Body::Streaming(inbound) => inbound.is_end_stream(),
            Body::Full(bytes) => bytes.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
