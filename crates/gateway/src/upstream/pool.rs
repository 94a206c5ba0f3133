//! Connections that wait for their next request, on one core.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use tokio::task::AbortHandle;

use super::spare::{Full, Room, Spared};
use super::{Trace, Upstream};
use crate::body::{Outgoing, Progress, Streaming};
use crate::gate::ApiIndex;
use crate::pulse::{Pulse, millis};
use crate::watch::Watch;
use crate::worker::LocalGate;
use countersign_auth::source::Source;

/// A connection to a backend. Dropping it ends it, whatever is going on.
pub(crate) struct Sender {
    pub(crate) requests: SendRequest<Outgoing>,
    pub(crate) trace: Arc<Trace>,
    task: AbortHandle,
    /// Let go, it ends when what is going on has ended.
    abort: bool,
    is_last: bool,
}

impl Sender {
    pub(crate) fn new(requests: SendRequest<Outgoing>, task: AbortHandle, trace: Arc<Trace>) -> Self {
        Self { requests, trace, task, abort: true, is_last: false }
    }

    /// After this answer the connection is not used again: to a service that spoke HTTP/1.0 on it the engine would speak so
    /// as well, which has no bodies of unknown length.
    pub(crate) fn end_with_this(&mut self) {
        self.is_last = true;
    }

    /// Lets the connection go on without its pool: it has left HTTP.
    fn let_go(mut self) {
        self.abort = false;
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        if self.abort {
            self.task.abort();
        }
    }
}

struct Idle {
    sender: Sender,
    expires_ms: u64,
}

/// The idle connections of one core to the backends of one upstream, and how many others there are.
pub(crate) struct Pools {
    turn: Cell<usize>,
    /// Requests that have a connection, or look for one, within what this core has to itself.
    flights: Cell<usize>,
    idle: Vec<RefCell<Vec<Idle>>>,
}

impl Pools {
    pub(crate) fn new(backends: usize) -> Self {
        Self {
            turn: Cell::new(0),
            flights: Cell::new(0),
            idle: (0..backends).map(|_| RefCell::default()).collect(),
        }
    }

    /// Counts a request; `source` is asked where it takes of what is there for all cores.
    ///
    /// # Errors
    /// If there is no room for it.
    pub(crate) fn depart(
        self: &Rc<Self>,
        room: Room,
        upstream: &Arc<Upstream>,
        source: impl FnOnce() -> Option<Source>,
    ) -> Result<Flight, Full> {
        let flights = self.flights.get();
        if flights >= room.own() {
            let spared = Spared::take(upstream, room, source())?;
            return Ok(Flight { pools: Rc::clone(self), spared: Some(spared) });
        }
        self.flights.set(flights + 1);
        Ok(Flight { pools: Rc::clone(self), spared: None })
    }

    /// Whose turn it is.
    pub(crate) fn next_turn(&self) -> usize {
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        turn
    }

    /// The connection that was used last and is still good.
    pub(crate) fn take(&self, backend: usize, now_ms: u64) -> Option<Sender> {
        let mut idle = self.idle.get(backend)?.borrow_mut();
        while let Some(last) = idle.pop() {
            if last.expires_ms > now_ms && last.sender.requests.is_ready() {
                return Some(last.sender);
            }
        }
        None
    }

    fn put(&self, backend: usize, sender: Sender, size: usize, expires_ms: u64) {
        if let Some(idle) = self.idle.get(backend) {
            let mut idle = idle.borrow_mut();
            if idle.len() < size && !sender.requests.is_closed() {
                idle.push(Idle { sender, expires_ms });
            }
        }
    }

    /// Ends connections that have waited for too long, or that the backend has closed.
    pub(crate) fn expire(&self, now_ms: u64) {
        for idle in &self.idle {
            idle.borrow_mut().retain(|idle| idle.expires_ms > now_ms && !idle.sender.requests.is_closed());
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.idle.iter().all(|idle| idle.borrow().is_empty())
    }
}

/// A request under way, counted until this is dropped.
pub(crate) struct Flight {
    pools: Rc<Pools>,
    /// Where it is none of the core's own.
    spared: Option<Spared>,
}

impl Drop for Flight {
    fn drop(&mut self) {
        if self.spared.is_some() {
            return;
        }
        self.pools.flights.set(self.pools.flights.get().saturating_sub(1));
    }
}

/// A connection while its answer is read. Dropped before [`Lease::give_back`], it takes the connection with it:
/// nobody reads the rest of an answer that was abandoned, or sends the rest of a request (T-G3).
pub(crate) struct Lease {
    sender: Sender,
    backend: usize,
    upstream: Arc<Upstream>,
    flight: Flight,
    pulse: Rc<Pulse>,
    request: Option<Rc<Progress>>,
}

impl Lease {
    pub(crate) fn new(
        sender: Sender,
        backend: usize,
        upstream: &Arc<Upstream>,
        flight: Flight,
        pulse: &Rc<Pulse>,
        request: Option<Rc<Progress>>,
    ) -> Self {
        Self { sender, backend, upstream: Arc::clone(upstream), flight, pulse: Rc::clone(pulse), request }
    }

    /// The answer was read to its end: the connection may serve again, unless the request is still being sent. The request
    /// is counted for as long as the caller keeps it so.
    pub(crate) fn give_back(self) -> Flight {
        if !self.sender.is_last && self.request.as_ref().is_none_or(|request| request.is_done()) {
            let expires = self.pulse.now_ms().saturating_add(millis(self.upstream.times.pool_idle));
            self.flight.pools.put(self.backend, self.sender, self.upstream.pool_size, expires);
        }
        self.flight
    }

    /// The connection has left HTTP; it is counted for as long as the caller keeps it so.
    pub(crate) fn let_go(self) -> Flight {
        self.sender.let_go();
        self.flight
    }

    /// The backend broke off in its answer.
    pub(crate) fn broke_off(&self) {
        if let Some(backend) = self.upstream.backends.get(self.backend) {
            backend.health.failed(self.pulse.now_ms(), &self.upstream.name, &backend.address.host);
        }
    }

    /// How long the body may stand still.
    pub(crate) fn body_idle(&self) -> Duration {
        self.upstream.times.body_idle
    }

    /// The answer's body; it gives the connection back at its end.
    pub(crate) fn streaming(
        self,
        incoming: Incoming,
        gate: &Rc<LocalGate>,
        api: ApiIndex,
        pulse: &Rc<Pulse>,
        watch: Option<Watch>,
    ) -> Box<Streaming> {
        let idle = self.body_idle();
        Box::new(Streaming::new(incoming, self, gate, api, pulse, idle, watch))
    }
}
