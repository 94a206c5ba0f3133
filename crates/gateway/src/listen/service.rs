//! One request, from its head to its answer's head.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header, response};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use tokio::time::Instant;

use super::Connection;
use crate::address::Peer;
use crate::admission::{Admission, Finishing, Forward, Handler};
use crate::body::{self, AnswerBody, ReadError};
use crate::forward::{self, Ends, ForwardError, Sending};
use crate::hop;
use crate::log::Tail;
use crate::strict;
use crate::upstream::Upstream;
use crate::watch::Watch;
use crate::worker::{LocalGate, Worker};

/// Answers a request. Whatever happens, the [`Tail`] counts and logs it.
pub(super) async fn answer<H: Handler>(
    worker: Rc<Worker>,
    connection: Arc<Connection>,
    handler: Arc<H>,
    request: Request<Incoming>,
) -> Response<AnswerBody> {
    let gate = worker.gate();
    let mut tail = Tail::new(&worker, &gate, &connection);
    let (mut head, body) = request.into_parts();
    let peer = Peer::new(&connection, &gate.fronts, &head.headers, head.version, worker.next_request());
    tail.asked(&head.method, &peer);
    let client = head.extensions.remove::<OnUpgrade>();
    // What was sent right behind a request that wanted to leave HTTP, and may not, is no request (T-G1).
    let wants_upgrade = client.is_some() && strict::wants_upgrade(&head);
    let one_reading = connection.take_head().map_err(strict::Fault::Head);
    let mut response = match one_reading.and_then(|()| strict::check(&mut head, &gate.limits)) {
        Err(fault) => {
            tail.decided(fault.facts());
            own(fault.answer(handler.turned_away(&gate, &head, &peer, &fault.refusal())), tail)
        }
        Ok(()) => match handler.admit(&gate, head, body, &peer).await {
            Admission::Answer(response, facts) => {
                tail.decided(facts);
                own(response, tail)
            }
            Admission::Forward(forward) => pass_on(&worker, &gate, *forward, &peer, client, tail).await,
        },
    };
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        connection.leave_http();
    } else if wants_upgrade {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// An answer that the gate made.
fn own(response: Response<Bytes>, mut tail: Tail) -> Response<AnswerBody> {
    tail.answered(response.status());
    response.map(|bytes| AnswerBody::full(bytes).ending(tail))
}

async fn pass_on<F: Finishing>(
    worker: &Rc<Worker>,
    gate: &Rc<LocalGate>,
    forward: Forward<F>,
    peer: &Peer,
    client: Option<OnUpgrade>,
    mut tail: Tail,
) -> Response<AnswerBody> {
    let Forward { head, body, set, upstream, upgrade, watch, finish, log } = forward;
    tail.decided(log);
    let sending = Sending { head, body, set, upstream: &upstream, upgrade, watch: watch.as_ref() };
    let sent_at = Instant::now();
    let exchange = match forward::send(worker, gate, sending, peer).await {
        Ok(exchange) => exchange,
        Err(error) => return failed(gate, error, peer, &upstream, finish, tail),
    };
    tail.upstream_took(sent_at.elapsed());
    let (mut answer, incoming, lease) = exchange.into_parts();
    if answer.status == StatusCode::SWITCHING_PROTOCOLS {
        return match Ends::new(upgrade, &mut answer, client, lease) {
            Ok(ends) => Box::pin(switch(worker, gate, answer, ends, watch, finish, tail)).await,
            Err(error) => failed(gate, error, peer, &upstream, finish, tail),
        };
    }
    hop::strip_answer(&mut answer.headers);
    forward::settle_length(&mut answer, &incoming);
    let (mut rest, mut read) = (Some((incoming, lease)), None);
    if let Some(bytes_max) = finish.body_bytes_max(&answer)
        && let Some((incoming, lease)) = rest.take()
    {
        let body = Box::pin(body::read(incoming, bytes_max, gate.limits.own_body)).await;
        match &body {
            Ok(_) => lease.give_back(),
            Err(ReadError::Late | ReadError::Broken(_)) => lease.broke_off(),
            Err(ReadError::TooLarge(_)) => {}
        }
        read = Some(body);
    }
    let body = match finish.follow(gate, &mut answer, read).await {
        Ok(body) => body,
        Err(instead) => return own(instead, tail),
    };
    if let Some(instead) = finish.finish(gate, &mut answer).await {
        return own(instead, tail);
    }
    tail.answered(answer.status);
    let Some((incoming, lease)) = rest else {
        let body = AnswerBody::full(body.unwrap_or_default());
        return Response::from_parts(answer, body.ending(tail));
    };
    let streaming = lease.streaming(incoming, gate, worker.pulse(), watch);
    Response::from_parts(answer, AnswerBody::streaming(streaming).ending(tail))
}

/// The upstream leaves HTTP, and the client with it.
async fn switch<F: Finishing>(
    worker: &Rc<Worker>,
    gate: &Rc<LocalGate>,
    mut answer: response::Parts,
    ends: Ends,
    watch: Option<Watch>,
    finish: F,
    mut tail: Tail,
) -> Response<AnswerBody> {
    if let Some(instead) = finish.finish(gate, &mut answer).await {
        return own(instead, tail);
    }
    tail.answered(answer.status);
    ends.run(worker, &mut answer, watch);
    Response::from_parts(answer, AnswerBody::full(Bytes::new()).ending(tail))
}

/// There is no answer: the client is told so in its dialect.
fn failed<F: Finishing>(
    gate: &Rc<LocalGate>,
    error: ForwardError,
    peer: &Peer,
    upstream: &Upstream,
    finish: F,
    mut tail: Tail,
) -> Response<AnswerBody> {
    tail.upstream_failed(&error);
    error.log(peer, upstream);
    own(finish.failed(gate, error), tail)
}
