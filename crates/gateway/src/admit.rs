//! TEMPORARY: forwards everything to the first API's upstream, untouched and unchecked.
//!
//! It stands here so that the data plane can be built and tested before the rules are; it must not be shipped.

use bytes::Bytes;
use countersign_auth::refusal::Reason;
use http::{HeaderMap, Response, StatusCode, request, response};
use hyper::body::{Body as _, Incoming};

use crate::address::Peer;
use crate::admission::{Admission, Finishing, Forward, Handler, LogFacts, Upgrade};
use crate::body::Body;
use crate::forward::ForwardError;
use crate::gate::Gate;
use crate::strict;

/// TEMPORARY: lets everybody in.
pub(crate) struct Admit;

impl Handler for Admit {
    type Finish = Finish;

    async fn admit(
        &self,
        gate: &Gate,
        head: request::Parts,
        body: Incoming,
        peer: &Peer,
    ) -> Admission<Finish> {
        admit(gate, head, body, peer).await
    }
}

/// TEMPORARY: lets everybody in.
#[expect(clippy::unused_async, reason = "the real one awaits look-ups")]
async fn admit(gate: &Gate, head: request::Parts, body: Incoming, _peer: &Peer) -> Admission<Finish> {
    let Some(api) = gate.apis().first() else {
        let log = LogFacts { reason: Some(Reason::NotFound), ..LogFacts::default() };
        return Admission::Answer(plain(StatusCode::NOT_FOUND), log);
    };
    let upgrade = if strict::is_websocket(&head) { Upgrade::WebSocket } else { Upgrade::No };
    let body = if body.is_end_stream() { Body::full(Bytes::new()) } else { Body::streaming(body) };
    Admission::Forward(Box::new(Forward {
        head,
        body,
        set: HeaderMap::new(),
        upstream: api.upstream.clone(),
        upgrade,
        live: None,
        finish: Finish,
        log: LogFacts { api: Some(api.index), ..LogFacts::default() },
    }))
}

/// TEMPORARY: leaves answers as they are.
pub(crate) struct Finish;

impl Finishing for Finish {
    async fn finish(self, _gate: &Gate, _head: &mut response::Parts) -> Option<Response<Bytes>> {
        None
    }

    fn failed(self, _gate: &Gate, why: ForwardError) -> Response<Bytes> {
        plain(StatusCode::from_u16(why.reason().status()).unwrap_or(StatusCode::BAD_GATEWAY))
    }
}

fn plain(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}
