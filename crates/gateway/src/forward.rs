//! Sends a request to its upstream and brings the answer's head back.

mod error;
mod heads;
mod tunnel;

use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::header::{CONTENT_LENGTH, HOST};
use http::{HeaderMap, Method, Request, Response, request, response};
use http_body::Body as _;
use hyper::body::Incoming;

pub(crate) use crate::forward::error::{ForwardError, chain};
pub(crate) use crate::forward::tunnel::Ends;

use crate::address::Peer;
use crate::admission::Upgrade;
use crate::body::{Body, Outgoing, Progress};
use crate::pulse::Pulse;
use crate::upstream::{Backend, HostField, Lease, Pools, Sender, Upstream, connect};
use crate::watch::Watch;
use crate::worker::{LocalGate, Worker};

/// What is to be sent.
pub(crate) struct Sending<'u> {
    pub(crate) head: request::Parts,
    pub(crate) body: Body,
    pub(crate) set: HeaderMap,
    pub(crate) upstream: &'u Arc<Upstream>,
    pub(crate) upgrade: Upgrade,
    /// Whoever waits for the answer stops waiting when this falls (T-E4).
    pub(crate) watch: Option<&'u Watch>,
}

/// An answer's head, and the connection that its body comes on.
pub(crate) struct Exchange {
    response: Response<Incoming>,
    lease: Lease,
}

impl Exchange {
    pub(crate) fn into_parts(self) -> (response::Parts, Incoming, Lease) {
        let (head, incoming) = self.response.into_parts();
        (head, incoming, self.lease)
    }
}

/// What is needed to send once more.
struct Spare {
    head: request::Parts,
}

/// Sends a request; returns when the answer's head is there.
///
/// It is sent again only where nothing can have happened twice: if no byte of it was written, or if the method
/// is idempotent (RFC 9110 section 9.2.2), there is no body, and the connection was one that had waited in the
/// pool, where the backend may have closed it at that moment.
pub(crate) async fn send(
    worker: &Rc<Worker>,
    gate: &Rc<LocalGate>,
    sending: Sending<'_>,
    peer: &Peer,
) -> Result<Exchange, ForwardError> {
    let Sending { mut head, body, set, upstream, upgrade, watch } = sending;
    heads::prepare(&mut head, &body, set, upstream, gate, peer, upgrade);
    let pulse = worker.pulse();
    let (body, progress) = Outgoing::new(body, pulse, gate.limits.body_idle, gate);
    let may_repeat = progress.is_none() && upgrade == Upgrade::No && is_idempotent(&head.method);
    let pools = worker.pools(upstream.id, upstream.backends.len());
    let limit_bytes = gate.limits.answer_header_bytes;
    let route = Route { worker, upstream, pools: &pools, progress, limit_bytes, watch, gate };
    let mut request = Request::from_parts(head, body);
    let mut tried = 0_u64;
    let mut last_error = None;
    loop {
        let Some((index, backend)) = upstream.choose(pools.next_turn(), tried, pulse.now_ms()) else {
            return Err(last_error.unwrap_or(ForwardError::NoBackend));
        };
        tried |= 1 << index;
        name_host(&mut request, upstream, backend);
        match route.through(index, backend, request, may_repeat).await {
            Ok(exchange) => return Ok(exchange),
            Err((error, Some(again))) => {
                last_error = Some(error);
                request = *again;
            }
            Err((error, None)) => return Err(error),
        }
    }
}

/// A failed try: why, and the request if it may be sent again.
type Failed = (ForwardError, Option<Box<Request<Outgoing>>>);

struct Route<'r> {
    worker: &'r Rc<Worker>,
    upstream: &'r Arc<Upstream>,
    pools: &'r Rc<Pools>,
    progress: Option<Rc<Progress>>,
    limit_bytes: usize,
    watch: Option<&'r Watch>,
    gate: &'r LocalGate,
}

impl Route<'_> {
    /// Tries one backend: idle connections while there are any, then a new one.
    async fn through(
        &self,
        index: usize,
        backend: &Backend,
        mut request: Request<Outgoing>,
        may_repeat: bool,
    ) -> Result<Exchange, Failed> {
        let pulse = self.worker.pulse();
        loop {
            let idle = self.pools.take(index, pulse.now_ms());
            let is_new = idle.is_none();
            let sender = match idle {
                Some(sender) => sender,
                // On the heap: it is rare, and as large as all the rest of a request's state.
                None => match Box::pin(connect(self.upstream, backend, pulse, self.limit_bytes)).await {
                    Ok(sender) => sender,
                    Err(error) => {
                        self.failed(backend);
                        return Err((ForwardError::Connect(error), Some(Box::new(request))));
                    }
                },
            };
            let spare = (may_repeat && !is_new).then(|| spare(&request));
            match self.once(index, backend, sender, request, spare).await {
                // A new connection that was closed before it took anything: another backend may do better.
                Err((ForwardError::Stale(error), again)) if is_new => {
                    self.failed(backend);
                    return Err((ForwardError::Broken(error), again));
                }
                Err((ForwardError::Stale(_), Some(again))) => request = *again,
                done => return done,
            }
        }
    }

    /// Sends on one connection. [`ForwardError::Stale`] comes with the request, all others without.
    async fn once(
        &self,
        index: usize,
        backend: &Backend,
        mut sender: Sender,
        request: Request<Outgoing>,
        spare: Option<Spare>,
    ) -> Result<Exchange, Failed> {
        let pulse = self.worker.pulse();
        let answer = sender.requests.try_send_request(request);
        let wait = Wait {
            limit: self.upstream.times.head,
            progress: self.progress.as_deref(),
            watch: self.watch,
            gate: self.gate,
        };
        match wait.for_head(pulse, answer).await {
            Ok(Ok(response)) => {
                backend.health.succeeded();
                let lease =
                    Lease::new(sender, index, self.upstream, self.pools, pulse, self.progress.clone());
                Ok(Exchange { response, lease })
            }
            Ok(Err(mut error)) => {
                if let Some(request) = error.take_message() {
                    return Err((ForwardError::Stale(error.into_error()), Some(Box::new(request))));
                }
                let error = error.into_error();
                if error.is_user() {
                    return Err((ForwardError::ClientBody(error), None));
                }
                if error.is_parse() {
                    self.failed(backend);
                    let is_long = error.is_parse_too_large();
                    let what = if is_long { ForwardError::TooLarge } else { ForwardError::NoHttp };
                    return Err((what(error), None));
                }
                if let Some(spare) = spare {
                    let again = Request::from_parts(spare.head, Outgoing::empty());
                    return Err((ForwardError::Stale(error), Some(Box::new(again))));
                }
                self.failed(backend);
                Err((ForwardError::Broken(error), None))
            }
            Err(Vain::Late) => {
                self.failed(backend);
                Err((ForwardError::Late, None))
            }
            Err(Vain::Revoked) => Err((ForwardError::Revoked, None)),
        }
    }

    fn failed(&self, backend: &Backend) {
        backend.health.failed(self.worker.pulse().now_ms(), &self.upstream.name, &backend.address.host);
    }
}

/// How long a head is waited for.
struct Wait<'r> {
    /// From the last piece of the request that was taken.
    limit: Duration,
    progress: Option<&'r Progress>,
    watch: Option<&'r Watch>,
    gate: &'r LocalGate,
}

/// Why a head is waited for no longer.
enum Vain {
    Late,
    Revoked,
}

impl Wait<'_> {
    async fn for_head<F: Future>(&self, pulse: &Rc<Pulse>, answer: F) -> Result<F::Output, Vain> {
        let mut answer = pin!(answer);
        let began = pulse.now_ms();
        // What can be revoked is looked at on every beat; most answers come before the first.
        let mut alarm = pulse.alarm(if self.watch.is_some() { Duration::ZERO } else { self.limit });
        std::future::poll_fn(|cx| {
            if let Poll::Ready(output) = answer.as_mut().poll(cx) {
                return Poll::Ready(Ok(output));
            }
            while alarm.poll(cx).is_ready() {
                if self.watch.is_some_and(|watch| watch.is_over(self.gate)) {
                    return Poll::Ready(Err(Vain::Revoked));
                }
                let since = self.progress.map_or(began, Progress::last_ms);
                let waited = Duration::from_millis(pulse.now_ms().saturating_sub(since));
                // The beat that `since` may be old.
                let left = (self.limit + pulse.beat()).saturating_sub(waited);
                if left.is_zero() {
                    return Poll::Ready(Err(Vain::Late));
                }
                alarm.again(if self.watch.is_some() { Duration::ZERO } else { left });
            }
            Poll::Pending
        })
        .await
    }
}

fn spare(request: &Request<Outgoing>) -> Spare {
    let mut head = Request::new(()).into_parts().0;
    head.method = request.method().clone();
    head.uri = request.uri().clone();
    head.version = request.version();
    head.headers = request.headers().clone();
    Spare { head }
}

fn name_host(request: &mut Request<Outgoing>, upstream: &Upstream, backend: &Backend) {
    if upstream.host == HostField::Backend || !request.headers().contains_key(HOST) {
        request.headers_mut().insert(HOST, backend.authority.clone());
    }
}

fn is_idempotent(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE)
}

/// Takes `Content-Length` out where it would be a second framing beside a chunked body. Elsewhere it says what is
/// sent, or what would be (HEAD, 304).
pub(crate) fn settle_length(head: &mut response::Parts, body: &Incoming) {
    if body.size_hint().exact().is_none() {
        head.headers.remove(CONTENT_LENGTH);
    }
}
