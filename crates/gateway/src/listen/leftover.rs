//! What is left of a request's body when nobody wants it any more.
//!
//! A connection that is closed with bytes unread is reset, and its client may never see the answer; one that goes on, as
//! a handshake that is bound to it needs, cannot do so before the body's end. So the rest is read and forgotten beside
//! the answer, up to some length and for some time. Beyond them the connection ends: it says so in the answer where that
//! is known by then, writes no more, and reads on behind that ([`super::io`]; RFC 9112 section 9.6).

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use http::{HeaderMap, HeaderValue, header};
use http_body::Body as _;
use hyper::body::Incoming;

use super::Connection;
use crate::body::{LINGER_BYTES, linger};

/// The rest of the body of a connection's present request.
#[derive(Debug, Default)]
pub(super) struct Leftover {
    /// Whether there is one; looked at far more often than it is so.
    is_there: AtomicBool,
    /// Whether its answer is on its way: the rest is not asked for before, as whoever waits to be asked (RFC 9110 section
    /// 10.1.1) would send it for nothing.
    is_answered: AtomicBool,
    rest: Mutex<Option<Box<Incoming>>>,
}

impl Leftover {
    fn rest(&self) -> MutexGuard<'_, Option<Box<Incoming>>> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request has come.
    pub(super) fn asked(&self) {
        self.is_answered.store(false, Ordering::Relaxed);
    }

    fn take(&self) -> Option<Box<Incoming>> {
        if !self.is_there.load(Ordering::Relaxed) || !self.is_answered.load(Ordering::Relaxed) {
            return None;
        }
        self.is_there.store(false, Ordering::Relaxed);
        self.rest().take()
    }
}

impl Connection {
    /// Takes over what nobody reads of a request's body. HTTP/2 has no need of it: a stream ends by itself.
    pub(crate) fn leave(&self, rest: Incoming) {
        if self.is_shared() {
            return;
        }
        *self.leftover.rest() = Some(Box::new(rest));
        self.leftover.is_there.store(true, Ordering::Relaxed);
        self.wake();
    }

    /// An answer with these fields goes out. Where more is left of the body than is read beside it, they say that the
    /// connection ends.
    pub(super) fn answers(&self, headers: &mut HeaderMap) {
        self.leftover.is_answered.store(true, Ordering::Relaxed);
        if !self.leftover.is_there.load(Ordering::Relaxed) {
            return;
        }
        let mut rest = self.leftover.rest();
        if rest.as_ref().is_some_and(|rest| rest.size_hint().lower() > LINGER_BYTES as u64) {
            *rest = None;
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
    }
}

/// Reads what is left, and forgets it.
#[derive(Default)]
pub(super) struct Discarding(Option<Pin<Box<dyn Future<Output = ()>>>>);

impl Discarding {
    /// Ready once the rest of a body has come, or was given up: then the engine is to look at it again.
    pub(super) fn poll(&mut self, connection: &Connection, cx: &mut Context<'_>) -> Poll<()> {
        if self.0.is_none() {
            self.0 = connection
                .leftover
                .take()
                .map(|rest| -> Pin<Box<dyn Future<Output = ()>>> { Box::pin(linger(rest)) });
        }
        let Some(reading) = &mut self.0 else { return Poll::Pending };
        std::task::ready!(reading.as_mut().poll(cx));
        self.0 = None;
        Poll::Ready(())
    }
}
