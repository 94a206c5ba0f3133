//! The body of a client's request as it comes in.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::BodyError;
use crate::listen::Connection;
use crate::listen::heads::HeadBounds;
use crate::trailers;

/// A request's body. Whoever drops it before its end leaves the rest to the connection, which reads on for a while
/// beside the answer (see [`crate::listen::Connection::leave`]).
#[derive(Debug)]
pub(crate) struct Inbound {
    /// There until its end was seen.
    incoming: Option<Incoming>,
    connection: Arc<Connection>,
    trailers_max: HeadBounds,
}

impl Inbound {
    pub(crate) fn new(incoming: Incoming, connection: &Arc<Connection>, trailers_max: HeadBounds) -> Self {
        Self { incoming: Some(incoming), connection: Arc::clone(connection), trailers_max }
    }

    /// What a frame is worth, or what an error means.
    fn checked(&self, came: Result<Frame<Bytes>, hyper::Error>) -> Result<Frame<Bytes>, BodyError> {
        let frame = match came {
            Ok(frame) => frame,
            Err(error) => {
                return Err(match self.connection.trailers_fault() {
                    Some(fault) => BodyError::Trailers(fault),
                    None => BodyError::Broken(error),
                });
            }
        };
        if self.connection.is_shared()
            && let Some(trailers) = frame.trailers_ref()
        {
            trailers::check(trailers, self.trailers_max).map_err(BodyError::Trailers)?;
        }
        Ok(frame)
    }
}

impl Body for Inbound {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let Some(incoming) = &mut this.incoming else { return Poll::Ready(None) };
        let came = std::task::ready!(Pin::new(incoming).poll_frame(cx));
        let polled = Poll::Ready(came.map(|came| this.checked(came)));
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            this.incoming = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for Inbound {
    fn drop(&mut self) {
        if let Some(incoming) = self.incoming.take()
            && !incoming.is_end_stream()
        {
            self.connection.leave(incoming);
        }
    }
}
