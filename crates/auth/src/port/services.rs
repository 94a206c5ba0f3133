//! Named services, as the gate calls them.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};

use super::Answer;
use crate::identity::Identity;
use crate::refusal::{Reason, Refusal};
use crate::time::Time;

/// A request for a service that an endpoint mounts: its caller is authenticated, its CSRF proof checked.
#[derive(Debug)]
pub struct ServiceCall {
    /// The API.
    pub api: Arc<str>,
    /// The endpoint of its dialect.
    pub endpoint: Arc<str>,
    /// The method.
    pub method: Method,
    /// The canonical path below the API's prefix.
    pub path: String,
    /// The query without credentials.
    pub query: Option<String>,
    /// Scheme, host and prefix that the client used: `https://api.example/api/v2`.
    pub base: String,
    /// The client's headers without credentials.
    pub headers: HeaderMap,
    /// The body, which is no larger than what the gate reads itself.
    pub body: Bytes,
    /// Who calls.
    pub identity: Identity,
    /// From where.
    pub address: IpAddr,
    /// When.
    pub now: Time,
}

/// What a service answers.
#[derive(Debug)]
pub struct ServiceAnswer {
    /// The status.
    pub status: StatusCode,
    /// Headers; the dialect's stamp comes on top.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// What is to be done before it is sent.
    pub after: After,
}

/// What becomes of the caller's session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// It goes on.
    GoOn,
    /// It ends, with all that hangs on it.
    EndSession,
}

/// The services that endpoints mount. Called on a core of the data plane: nothing in it may block; what is awaited
/// may take as long as a long poll.
pub trait Services: Send + Sync {
    /// Serves a call.
    ///
    /// The future may be dropped at any moment: the client has gone.
    fn serve(&self, call: ServiceCall) -> Answer<Result<ServiceAnswer, Refusal>>;

    /// Whether [`Services::last_word`] may have something to say at this endpoint.
    fn has_last_word(&self, api: &str, endpoint: &str) -> bool;

    /// What a caller is told in place of a refusal because his session is dead, if he held something there that has
    /// to hear of it.
    fn last_word(&self, api: &str, endpoint: &str, body: &[u8], now: Time) -> Option<ServiceAnswer>;
}

/// No services: for gates whose APIs mount none.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoServices;

impl Services for NoServices {
    fn serve(&self, call: ServiceCall) -> Answer<Result<ServiceAnswer, Refusal>> {
        let cause = format!("nobody serves endpoint {} of api {}", call.endpoint, call.api);
        Box::pin(async { Err(Refusal::new(Reason::Internal, cause)) })
    }

    fn has_last_word(&self, _api: &str, _endpoint: &str) -> bool {
        false
    }

    fn last_word(&self, _api: &str, _endpoint: &str, _body: &[u8], _now: Time) -> Option<ServiceAnswer> {
        None
    }
}
