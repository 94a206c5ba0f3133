//! What can go wrong on the way to an upstream.

use std::error::Error;

use countersign_auth::refusal::Reason;

use crate::address::Peer;
use crate::body::BodyError;
use crate::listen::HeadFault;
use crate::metrics::UpstreamFault;
use crate::upstream::{ConnectError, Full, Upstream};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ForwardError {
    /// No connection could be made.
    #[error("could not reach the upstream")]
    Connect(#[source] ConnectError),
    /// As many requests are under way as may be.
    #[error("could not send the request: {0}")]
    Full(Full),
    /// There is no backend left to try.
    #[error("could not find a backend")]
    NoBackend,
    /// A connection was closed before it took the request. Never seen outside: it is tried again.
    #[error("could not send the request: the upstream closed the connection")]
    Stale(#[source] hyper::Error),
    /// The connection broke off before the answer.
    #[error("could not read the answer: the upstream broke off")]
    Broken(#[source] hyper::Error),
    /// What came is no HTTP.
    #[error("could not read the answer: it is no HTTP")]
    NoHttp(#[source] hyper::Error),
    /// Its body has more readings than one.
    #[error("could not use the answer: {0}")]
    Framing(&'static str),
    /// Its head is beyond a limit; the engine does not say which.
    #[error(
        "could not read the answer: its head is longer than limits.upstream_header_bytes, or has more fields than limits.upstream_header_count"
    )]
    TooLarge(#[source] hyper::Error),
    /// No answer in time.
    #[error("could not wait longer for the answer than upstream.response_timeout")]
    Late,
    /// What the request hangs on was revoked while its answer was awaited (T-E4).
    #[error("could not wait longer for the answer: the account or session has ended")]
    Revoked,
    /// The client's body broke off or stood still.
    #[error("could not send the request: its body broke off")]
    ClientBody(#[source] hyper::Error),
    /// The upstream leaves HTTP although it was not asked to, or for another protocol.
    #[error("could not use the answer: the upstream switched protocols unasked")]
    Unasked,
}

impl ForwardError {
    /// Which answer of the dialect serves.
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::Connect(ConnectError::Late { .. }) | Self::Late => Reason::UpstreamTimeout,
            Self::Connect(
                ConnectError::Tcp { .. } | ConnectError::Tls { .. } | ConnectError::Http { .. },
            )
            | Self::NoBackend
            | Self::Stale(_)
            | Self::Broken(_)
            | Self::NoHttp(_)
            | Self::Framing(_)
            | Self::TooLarge(_)
            | Self::Unasked => Reason::Upstream,
            Self::Full(_) => Reason::Unavailable,
            Self::ClientBody(_) => Reason::BadRequest,
            Self::Revoked => Reason::BadToken,
        }
    }

    /// The limit that what stands behind the client's body is beyond, if that is why.
    pub(crate) fn trailers_fault(&self) -> Option<HeadFault> {
        let Self::ClientBody(error) = self else { return None };
        match error.source()?.downcast_ref()? {
            BodyError::Trailers(fault) => Some(*fault),
            BodyError::Broken(_) | BodyError::Stalled(_) | BodyError::Revoked => None,
        }
    }

    /// What is counted; the client's failures are not the upstream's.
    pub(crate) fn fault(&self) -> Option<UpstreamFault> {
        match self {
            Self::Connect(ConnectError::Late { .. }) | Self::Late => Some(UpstreamFault::Late),
            Self::Connect(
                ConnectError::Tcp { .. } | ConnectError::Tls { .. } | ConnectError::Http { .. },
            )
            | Self::NoBackend => Some(UpstreamFault::Unreachable),
            Self::Stale(_)
            | Self::Broken(_)
            | Self::NoHttp(_)
            | Self::Framing(_)
            | Self::TooLarge(_)
            | Self::Unasked => Some(UpstreamFault::Broken),
            Self::Full(_) => Some(UpstreamFault::Full),
            Self::ClientBody(_) | Self::Revoked => None,
        }
    }

    /// The error with all its sources.
    pub(crate) fn chain(&self) -> String {
        countersign_auth::causes::chain(self)
    }

    /// Says it in the log.
    pub(crate) fn log(&self, peer: &Peer, upstream: &Upstream) {
        let error = self.chain();
        match self.fault() {
            // There may be very many; they are counted, and their access lines say why.
            Some(UpstreamFault::Full) => {
                tracing::debug!(request.id = %peer.request, upstream = upstream.name, error, "a request was not sent");
            }
            Some(UpstreamFault::Unreachable | UpstreamFault::Late | UpstreamFault::Broken) => {
                tracing::warn!(request.id = %peer.request, upstream = upstream.name, error, "an upstream failed");
            }
            None => {
                tracing::debug!(request.id = %peer.request, upstream = upstream.name, error, "a client's request ended before its answer");
            }
        }
    }
}
