//! One request, from its head to its answer's head.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header, response};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt as _;
use tokio::time::Instant;

use super::Connection;
use crate::address::{Peer, RequestId};
use crate::admission::{Admission, Finishing, Forward, Handler, KeptBack, Later};
use crate::body::{self, AnswerBody, Bound, Inbound, ReadError};
use crate::forward::{self, Ends, ForwardError, Sending};
use crate::hop;
use crate::log::Tail;
use crate::strict;
use crate::upstream::{Flight, Lease, Upstream};
use crate::watch::{Extent, Watch};
use crate::worker::{LocalGate, Worker};

/// Whoever takes nothing more keeps no connection by it.
const LAST_WORD: Duration = Duration::from_secs(1);

/// Answers a request. Whatever happens, the [`Tail`] counts and logs it.
///
/// The engine keeps room for this as long as a connection lives, so what is large is in a box, which is there while the
/// request is decided and forwarded: not on a connection that nobody uses, nor while a service's answer is waited for.
pub(super) async fn answer<H: Handler>(
    worker: Rc<Worker>,
    connection: Arc<Connection>,
    handler: Arc<H>,
    request: Request<Incoming>,
) -> Response<AnswerBody> {
    match Box::pin(begun(worker, connection, handler, request)).await {
        Begun::Answered(response) => response,
        Begun::Waiting(waiting) => waiting.answer().await,
    }
}

/// What became of a request.
enum Begun<F> {
    Answered(Response<AnswerBody>),
    Waiting(Box<Waiting<F>>),
}

/// A request whose answer a named service owes.
struct Waiting<F> {
    later: Box<Later<F>>,
    gate: Rc<LocalGate>,
    tail: Box<Tail>,
    wanted: Option<OnUpgrade>,
    id: RequestId,
}

impl<F: Finishing> Waiting<F> {
    async fn answer(mut self: Box<Self>) -> Response<AnswerBody> {
        let answer = (&mut self.later.answer).await;
        let Self { later, gate, mut tail, wanted, id } = *self;
        let (response, refusal) = Box::pin(later.finish.served(&gate, answer)).await;
        if let Some(refusal) = refusal {
            tail.refused(&refusal);
        }
        let connection = Arc::clone(tail.connection());
        stays(named(own(response, tail), &gate, id), wanted, &connection)
    }
}

/// The answer to a client that stays with HTTP, whatever it wanted. The engine lets go of the connection with the answer
/// to a request that wanted to leave, and says no word at its end, as TLS wants it (RFC 8446 section 6.1).
fn stays(
    mut response: Response<AnswerBody>,
    wanted: Option<OnUpgrade>,
    connection: &Connection,
) -> Response<AnswerBody> {
    connection.answers(response.headers_mut());
    if let Some(wanted) = wanted {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        tokio::task::spawn_local(async move {
            if let Ok(connection) = wanted.await {
                let _ended = tokio::time::timeout(LAST_WORD, TokioIo::new(connection).shutdown()).await;
            }
        });
    }
    response
}

/// The answer with the id of its request, where clients are told that.
fn named(mut response: Response<AnswerBody>, gate: &LocalGate, id: RequestId) -> Response<AnswerBody> {
    if let Some(name) = &gate.request_id {
        response.headers_mut().insert(name, id.field());
    }
    response
}

async fn begun<H: Handler>(
    worker: Rc<Worker>,
    connection: Arc<Connection>,
    handler: Arc<H>,
    request: Request<Incoming>,
) -> Begun<H::Finish> {
    let gate = worker.gate();
    let mut tail = Box::new(Tail::new(&worker, &gate, &connection));
    let (mut head, body) = request.into_parts();
    let body = Inbound::new(body, &connection, gate.limits.head_bounds());
    let peer = Peer::new(&connection, &gate.fronts, &head.headers, head.version, worker.next_request());
    tail.asked(&head.method, &peer);
    let client = head.extensions.remove::<OnUpgrade>();
    // What was sent right behind a request that wanted to leave HTTP, and may not, is no request (T-G1).
    let wanted = client.clone().filter(|_| strict::wants_upgrade(&head));
    let one_reading = connection.take_head().map_err(strict::Fault::Head);
    let response = match one_reading.and_then(|()| strict::check(&mut head, &gate.limits, peer.scheme)) {
        Err(fault) => {
            drop(body);
            let refusal = fault.refusal();
            let words = handler.turned_away(&gate, &head, &peer, &mut tail, &refusal);
            tail.refused(&refusal);
            own(fault.answer(words), tail)
        }
        Ok(()) => match handler.admit(&gate, head, body, &peer, &mut tail).await {
            Admission::Answer(response) => own(response, tail),
            Admission::Forward(forward) => pass_on(&worker, &gate, forward, &peer, client, tail).await,
            Admission::Later(later) => {
                return Begun::Waiting(Box::new(Waiting { later, gate, tail, wanted, id: peer.request }));
            }
        },
    };
    let response = named(response, &gate, peer.request);
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        connection.leave_http();
        return Begun::Answered(response);
    }
    Begun::Answered(stays(response, wanted, &connection))
}

/// An answer that the gate made.
fn own(response: Response<Bytes>, mut tail: Box<Tail>) -> Response<AnswerBody> {
    tail.answered(response.status());
    let (mut head, mut bytes) = response.into_parts();
    if tail.ends_with_head() && !bytes.is_empty() {
        head.headers.entry(header::CONTENT_LENGTH).or_insert_with(|| bytes.len().into());
        bytes = Bytes::new();
    }
    Response::from_parts(head, AnswerBody::full(bytes, tail))
}

async fn pass_on<F: Finishing>(
    worker: &Rc<Worker>,
    gate: &Rc<LocalGate>,
    forward: Box<Forward<F>>,
    peer: &Peer,
    client: Option<OnUpgrade>,
    mut tail: Box<Tail>,
) -> Response<AnswerBody> {
    let (api, upstream, upgrade, watch, finish) =
        (forward.api, &forward.upstream, forward.upgrade, forward.watch, &forward.finish);
    let mut sending = Sending::new(
        forward.head,
        forward.body,
        forward.set,
        api,
        upstream,
        upgrade,
        watch.as_ref(),
        worker,
        gate,
        peer,
    );
    let sent_at = Instant::now();
    let exchange = match forward::send(worker, gate, &mut sending).await {
        Ok(exchange) => exchange,
        Err(error) => return failed(gate, error, peer, upstream, finish, tail),
    };
    tail.upstream_took(sent_at.elapsed());
    let (mut answer, incoming, lease) = exchange.into_parts();
    if answer.status == StatusCode::SWITCHING_PROTOCOLS {
        let ends = match Ends::new(upgrade, &mut answer, client, lease) {
            Ok(ends) => ends,
            Err(error) => return failed(gate, error, peer, upstream, finish, tail),
        };
        if let Err(kept) = Box::pin(finish.finish(gate, &mut answer)).await {
            return kept_back(*kept, peer, upstream, tail);
        }
        tail.answered(answer.status);
        tail.leaves_http();
        ends.run(worker, &mut answer, watch, tail);
        return Response::from_parts(answer, AnswerBody::none());
    }
    hop::strip_answer(&mut answer.headers);
    forward::settle_length(&mut answer, &incoming);
    let (rest, read, flight) = match finish.body_bytes_max(&answer) {
        None => (Some((incoming, lease)), None, None),
        Some(bytes_max) => {
            let (read, flight) = Box::pin(read_whole(incoming, lease, bytes_max, gate)).await;
            (None, Some(read), flight)
        }
    };
    let body = match finish.follow(gate, &mut answer, read).await {
        Ok(body) => body,
        Err(kept) => return kept_back(*kept, peer, upstream, tail),
    };
    if let Err(kept) = finish.finish(gate, &mut answer).await {
        return kept_back(*kept, peer, upstream, tail);
    }
    tail.answered(answer.status);
    let body = match rest {
        None => match (body, flight) {
            (Some(bytes), Some(flight)) => AnswerBody::whole(bytes, flight, tail),
            (bytes, _) => AnswerBody::full(bytes.unwrap_or_default(), tail),
        },
        Some((incoming, lease)) => {
            let watch = watch.map(|watch| going(watch, finish, &answer, &incoming));
            AnswerBody::streaming(lease.streaming(incoming, gate, api, worker.pulse(), watch), tail)
        }
    };
    Response::from_parts(answer, body)
}

/// What an answer lives on from its head on.
fn going<F: Finishing>(watch: Watch, finish: &F, answer: &response::Parts, incoming: &Incoming) -> Watch {
    let is_last = finish.is_last_of_session(answer.status);
    let watch = if is_last { watch.beyond_its_session() } else { watch };
    watch.going(Extent::of(&answer.headers, incoming))
}

/// Reads the body of an answer that a route's objects are looked for in, and lets go of its connection.
async fn read_whole(
    mut incoming: Incoming,
    lease: Lease,
    bytes_max: usize,
    gate: &LocalGate,
) -> (Result<Bytes, ReadError>, Option<Flight>) {
    let max = Bound { bytes: bytes_max, key: "answer_bytes_max of the route" };
    let body = body::read(&mut incoming, max, gate.limits.own_body).await;
    let mut flight = None;
    match &body {
        Ok(_) => flight = Some(lease.give_back()),
        Err(ReadError::Late | ReadError::Broken(_)) => lease.broke_off(),
        Err(ReadError::TooLarge(_) | ReadError::Trailers(_)) => {}
    }
    (body, flight)
}

/// There is an answer, and it is not for the client.
fn kept_back(kept: KeptBack, peer: &Peer, upstream: &Upstream, mut tail: Box<Tail>) -> Response<AnswerBody> {
    let KeptBack { why, instead } = kept;
    tail.kept_back(&why);
    tracing::warn!(
        request.id = %peer.request,
        upstream = upstream.name,
        auth.reason = why.reason.name(),
        auth.cause = %why.cause,
        "kept back an answer of the service"
    );
    own(instead, tail)
}

/// There is no answer: the client is told so in its dialect.
fn failed<F: Finishing>(
    gate: &Rc<LocalGate>,
    error: ForwardError,
    peer: &Peer,
    upstream: &Upstream,
    finish: &F,
    mut tail: Box<Tail>,
) -> Response<AnswerBody> {
    tail.upstream_failed(&error);
    error.log(peer, upstream);
    let beyond = error.trailers_fault();
    let answer = finish.failed(gate, error);
    let answer = match beyond {
        Some(fault) => strict::Fault::Head(fault).answer(Some(answer)),
        None => answer,
    };
    own(answer, tail)
}
