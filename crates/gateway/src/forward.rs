//! Sends a request to its upstream and brings the answer's head back.

mod again;
mod error;
mod heads;
mod tunnel;

use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version, request, response};
use http_body::Body as _;
use hyper::body::Incoming;

pub(crate) use crate::forward::error::ForwardError;
pub(crate) use crate::forward::tunnel::Ends;

use self::again::Again;
use crate::address::Peer;
use crate::admission::Upgrade;
use crate::body::{Body, Outgoing, Progress};
use crate::gate::ApiIndex;
use crate::pulse::Pulse;
use crate::upstream::{Backend, HostField, Lease, Pools, Sender, Upstream, connect};
use crate::watch::Watch;
use crate::worker::{LocalGate, Worker};
use countersign_auth::source::Source;

/// A request that is about to be sent. It stays where it is, and is lent to each try: it is large.
pub(crate) struct Sending<'u> {
    /// There until the engine has taken it.
    request: Option<Request<Outgoing>>,
    progress: Option<Rc<Progress>>,
    upstream: &'u Arc<Upstream>,
    /// Whether it may be sent once more; not twice.
    may_repeat: bool,
    /// Whoever waits for the answer stops waiting when this falls (T-E4).
    watch: Option<&'u Watch>,
    /// Who asks.
    address: IpAddr,
}

impl<'u> Sending<'u> {
    /// Makes a head fit for the upstream. `set` is what the gate itself says in it.
    #[expect(clippy::too_many_arguments, reason = "each is a part of the admission that ends here")]
    pub(crate) fn new(
        mut head: request::Parts,
        body: Body,
        set: HeaderMap,
        api: ApiIndex,
        upstream: &'u Arc<Upstream>,
        upgrade: Upgrade,
        watch: Option<&'u Watch>,
        worker: &Worker,
        gate: &Rc<LocalGate>,
        peer: &Peer,
    ) -> Self {
        heads::prepare(&mut head, &body, set, api, upstream, gate, peer, upgrade);
        let (body, progress) = Outgoing::new(body, worker.pulse(), gate.limits.body_idle, gate, api);
        let may_repeat = progress.is_none() && upgrade == Upgrade::No && is_idempotent(&head.method);
        let request = Some(Request::from_parts(head, body));
        Self { request, progress, upstream, may_repeat, watch, address: peer.address }
    }
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

/// Sends a request; returns when the answer's head is there.
///
/// It is sent again only where nothing can have happened twice: if no byte of it was written; or once, and on a new
/// connection, if the method is idempotent (RFC 9110 section 9.2.2), there is no body, no byte of an answer came, and the
/// connection was one that had waited in the pool, where the backend may have closed it at that moment.
pub(crate) async fn send(
    worker: &Rc<Worker>,
    gate: &Rc<LocalGate>,
    sending: &mut Sending<'_>,
) -> Result<Exchange, ForwardError> {
    let upstream = sending.upstream;
    let pools = worker.pools(upstream.id, upstream.backends.len());
    let address = sending.address;
    // A front's own address stands for all its clients.
    let source = || (!gate.fronts.networks.hold(address)).then(|| Source::of(address));
    let room = worker.room(gate.limits.upstream_requests);
    let flight = pools.depart(room, upstream, source).map_err(ForwardError::Full)?;
    let mut route = Route { worker, pools: &pools, gate, sending };
    let mut tried = 0_u64;
    let mut last_error = None;
    loop {
        let Some((index, backend)) = upstream.choose(pools.next_turn(), tried, worker.pulse().now_ms())
        else {
            return Err(last_error.unwrap_or(ForwardError::NoBackend));
        };
        tried |= 1 << index;
        route.name_host(backend);
        match route.through(index, backend).await {
            Ok((response, sender)) => {
                let progress = route.sending.progress.clone();
                let lease = Lease::new(sender, index, upstream, flight, worker.pulse(), progress);
                return Ok(Exchange { response, lease });
            }
            Err(error) if route.sending.request.is_some() => last_error = Some(error),
            Err(error) => return Err(error),
        }
    }
}

struct Route<'r, 'u> {
    worker: &'r Rc<Worker>,
    pools: &'r Pools,
    gate: &'r LocalGate,
    sending: &'r mut Sending<'u>,
}

impl Route<'_, '_> {
    fn name_host(&mut self, backend: &Backend) {
        let Some(request) = &mut self.sending.request else { return };
        if self.sending.upstream.host == HostField::Backend || !request.headers().contains_key(HOST) {
            request.headers_mut().insert(HOST, backend.authority.clone());
        }
    }

    /// Tries one backend: an idle connection if there is one, and a new one if there is none or it had been closed. If
    /// the request may be sent again, it is back when this has failed.
    async fn through(
        &mut self,
        index: usize,
        backend: &Backend,
    ) -> Result<(Response<Incoming>, Sender), ForwardError> {
        let pulse = self.worker.pulse();
        let mut idle = self.pools.take(index, pulse.now_ms());
        loop {
            let is_new = idle.is_none();
            let sender = match idle.take() {
                Some(sender) => sender,
                // On the heap: it is rare, and as large as all the rest of a request's state.
                None => {
                    let limits = &self.gate.limits;
                    match Box::pin(connect(self.sending.upstream, backend, self.worker, limits)).await {
                        Ok(sender) => sender,
                        Err(error) => {
                            self.failed(backend);
                            return Err(ForwardError::Connect(error));
                        }
                    }
                }
            };
            match self.once(backend, sender, is_new).await {
                // A new connection that was closed before it took anything: another backend may do better.
                Err(ForwardError::Stale(error)) if is_new => {
                    self.failed(backend);
                    return Err(ForwardError::Broken(error));
                }
                Err(ForwardError::Stale(_)) if self.sending.request.is_some() => {}
                done => return done,
            }
        }
    }

    /// Sends on one connection. With [`ForwardError::Stale`] the request is back, with all others it is not.
    async fn once(
        &mut self,
        backend: &Backend,
        mut sender: Sender,
        is_new: bool,
    ) -> Result<(Response<Incoming>, Sender), ForwardError> {
        let pulse = self.worker.pulse();
        let Some(request) = self.sending.request.take() else { return Err(ForwardError::NoBackend) };
        let again = (self.sending.may_repeat && !is_new).then(|| Again::of(&request));
        sender.trace.asks();
        let answer = sender.requests.try_send_request(request);
        let wait = Wait {
            limit: self.sending.upstream.times.head,
            progress: self.sending.progress.as_deref(),
            watch: self.sending.watch,
            gate: self.gate,
        };
        match wait.for_head(pulse, answer).await {
            Ok(Ok(mut response)) => {
                // The backend is there, whatever it says: its other answers may be good.
                one_framing(&response).map_err(ForwardError::Framing)?;
                // The gate's answer to its own client, whatever the service speaks (RFC 9110 section 2.5).
                if response.version() != Version::HTTP_11 {
                    sender.end_with_this();
                    *response.version_mut() = Version::HTTP_11;
                }
                backend.health.succeeded();
                Ok((response, sender))
            }
            Ok(Err(mut error)) => {
                if let Some(request) = error.take_message() {
                    self.sending.request = Some(request);
                    return Err(ForwardError::Stale(error.into_error()));
                }
                let error = error.into_error();
                if error.is_user() {
                    return Err(ForwardError::ClientBody(error));
                }
                if error.is_parse() {
                    self.failed(backend);
                    let is_long = error.is_parse_too_large();
                    let what = if is_long { ForwardError::TooLarge } else { ForwardError::NoHttp };
                    return Err(what(error));
                }
                if !sender.trace.is_heard()
                    && let Some(head) = again.and_then(Again::head)
                {
                    self.sending.may_repeat = false;
                    self.sending.request = Some(Request::from_parts(head, Outgoing::empty()));
                    return Err(ForwardError::Stale(error));
                }
                // A backend that takes no more of a client's body may be well, whatever it thinks of the client.
                if self.sending.progress.as_ref().is_none_or(|progress| progress.is_done()) {
                    self.failed(backend);
                }
                Err(ForwardError::Broken(error))
            }
            Err(Vain::Late) => {
                self.failed(backend);
                Err(ForwardError::Late)
            }
            Err(Vain::Revoked) => Err(ForwardError::Revoked),
        }
    }

    fn failed(&self, backend: &Backend) {
        backend.health.failed(
            self.worker.pulse().now_ms(),
            &self.sending.upstream.name,
            &backend.address.host,
        );
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
                if self.watch.is_some_and(|watch| watch.is_revoked(self.gate)) {
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

fn is_idempotent(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE)
}

/// Whether an answer's body has one reading. The engine takes the last coding off and lets those before it go by, so that the
/// client would have to guess what it got, and lets a length stand beside a coding (RFC 9112 sections 6.1 and 6.3).
///
/// # Errors
/// What is wrong with it.
fn one_framing<B>(answer: &Response<B>) -> Result<(), &'static str> {
    let mut codings = answer.headers().get_all(TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else { return Ok(()) };
    if codings.next().is_some() || !coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
        Err("its transfer coding is not chunked alone")
    } else if answer.headers().contains_key(CONTENT_LENGTH) {
        Err("it has a length and a transfer coding")
    } else if answer.version() == Version::HTTP_10 {
        Err("it has a transfer coding in HTTP/1.0")
    } else {
        Ok(())
    }
}

/// Takes `Content-Length` out where it would be a second framing beside a chunked body, and where there is no content by
/// definition (204; RFC 9110 section 8.6), as clients of HTTP/2 compare the two. Elsewhere it says what is sent, or what
/// would be (HEAD, and 304, from which the engine takes it over HTTP/1.1).
pub(crate) fn settle_length(head: &mut response::Parts, body: &Incoming) {
    if body.size_hint().exact().is_none() || head.status == StatusCode::NO_CONTENT {
        head.headers.remove(CONTENT_LENGTH);
    }
}
