//! What `admit` says about a request, and what it hands on.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use countersign_auth::port::Answer;
use countersign_auth::port::services::ServiceAnswer;
use countersign_auth::refusal::Refusal;
use http::{HeaderMap, Response, StatusCode, request, response};

use crate::address::Peer;
use crate::body::{Body, Inbound, ReadError};
use crate::forward::ForwardError;
use crate::gate::{ApiIndex, Gate};
use crate::log::Tail;
use crate::upstream::Upstream;
use crate::watch::Watch;

/// What becomes of a request.
pub(crate) enum Admission<F> {
    /// The gate answers itself.
    Answer(Response<Bytes>),
    /// The request goes on.
    Forward(Box<Forward<F>>),
    /// A named service answers, perhaps much later.
    Later(Box<Later<F>>),
}

/// An answer that a named service owes. It may take as long as a push client waits for an event, so nothing of the
/// request is kept meanwhile but what the answer needs.
pub(crate) struct Later<F> {
    /// What it will say.
    pub(crate) answer: Answer<Result<ServiceAnswer, Refusal>>,
    /// What is done to that.
    pub(crate) finish: F,
}

/// A request on its way to the upstream.
pub(crate) struct Forward<F> {
    /// The head: canonical path, credentials taken out. Fields of the client's hop are taken out later.
    pub(crate) head: request::Parts,
    /// The body, streaming or buffered.
    pub(crate) body: Body,
    /// Identity headers, set last; whatever folds to the same names is taken out before (T-B3, T-B5).
    pub(crate) set: HeaderMap,
    /// Which API it is for.
    pub(crate) api: ApiIndex,
    /// Where it goes.
    pub(crate) upstream: Arc<Upstream>,
    /// Whether the route may upgrade to WebSocket and the request asks for it.
    pub(crate) upgrade: Upgrade,
    /// What channels (streams, WebSockets) live on.
    pub(crate) watch: Option<Watch>,
    /// What is done to the upstream's answer.
    pub(crate) finish: F,
}

/// Whether a request may leave HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Upgrade {
    /// It stays a request: `Upgrade` is taken out.
    No,
    /// It asks for WebSocket (HTTP/1.1), and its route allows that.
    WebSocket,
}

/// An upstream's answer that no client gets.
pub(crate) struct KeptBack {
    /// Why.
    pub(crate) why: Refusal,
    /// What the client is told in its place.
    pub(crate) instead: Response<Bytes>,
}

/// The second half of an admission.
pub(crate) trait Finishing: 'static {
    /// So many bytes of the answer's body are to be read at most, and handed to [`Finishing::follow`]; `None` if it
    /// is passed on as it comes.
    fn body_bytes_max(&self, _head: &response::Parts) -> Option<usize> {
        None
    }

    /// Works on what an answer shows: comes before [`Finishing::finish`]. Returns the body in the place of the one
    /// that was read; an answer that is an error goes to the client in place of the upstream's.
    ///
    /// # Errors
    /// Why the answer is kept back, and what the client is told.
    fn follow(
        &self,
        _gate: &Gate,
        _head: &mut response::Parts,
        body: Option<Result<Bytes, ReadError>>,
    ) -> impl Future<Output = Result<Option<Bytes>, Box<KeptBack>>> {
        async { Ok(body.and_then(Result::ok)) }
    }

    /// Works on the head of the upstream's answer, fields of the upstream's hop already taken out.
    ///
    /// # Errors
    /// Why the answer is kept back, and what the client is told.
    fn finish(
        &self,
        gate: &Gate,
        head: &mut response::Parts,
    ) -> impl Future<Output = Result<(), Box<KeptBack>>>;

    /// Whether an answer with that status ends what its caller was proven by, so that its own body comes after that end.
    fn is_last_of_session(&self, _status: StatusCode) -> bool {
        false
    }

    /// Makes what a named service says the client's answer; a refusal comes back for the log.
    fn served(
        self,
        gate: &Gate,
        answer: Result<ServiceAnswer, Refusal>,
    ) -> impl Future<Output = (Response<Bytes>, Option<Refusal>)>;

    /// What the client is told when there is no answer, in its dialect.
    fn failed(&self, gate: &Gate, why: ForwardError) -> Response<Bytes>;
}

/// Who decides. [`crate::admit`] in production, a closure's worth of rules in tests of the forwarding.
pub(crate) trait Handler: Send + Sync + 'static {
    /// What the handler does with answers.
    type Finish: Finishing;

    /// Decides about one request, and notes what it finds out as soon as that is known: the client may go at any moment.
    fn admit(
        &self,
        gate: &Gate,
        head: request::Parts,
        body: Inbound,
        peer: &Peer,
        tail: &mut Tail,
    ) -> impl Future<Output = Admission<Self::Finish>>;

    /// The answer, in the dialect of whoever is at the request's place, to a head that is refused before it is
    /// anybody's; `None` where nobody can be told to be there, and the answer is a bare status.
    fn turned_away(
        &self,
        gate: &Gate,
        head: &request::Parts,
        peer: &Peer,
        tail: &mut Tail,
        refusal: &Refusal,
    ) -> Option<Response<Bytes>>;
}
