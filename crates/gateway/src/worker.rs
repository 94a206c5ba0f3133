//! What one core has for itself: its timer, its connections, its pools, its view of the gate.
//!
//! Nothing here is shared with another core, so nothing here has a lock.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use foldhash::fast::RandomState;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::address::{RequestId, RequestSecret};
use crate::gate::Gate;
use crate::listen::{Connection, Untaken};
use crate::log::Lines;
use crate::metrics::cuts::Cut;
use crate::pulse::Pulse;
use crate::upstream::{Lookups, Pools, Room, UpstreamId};

/// The gate that all cores share, and which of its editions is the present one.
pub(crate) struct Shared {
    gate: ArcSwap<Gate>,
    edition: AtomicU64,
    began: Instant,
}

impl Shared {
    pub(crate) fn new(gate: Gate) -> Arc<Self> {
        Arc::new(Self {
            gate: ArcSwap::from_pointee(gate),
            edition: AtomicU64::new(1),
            began: Instant::now(),
        })
    }

    /// Puts another gate in its place; requests that were begun end with the one that they began with.
    pub(crate) fn replace(&self, gate: Gate) {
        self.gate.store(Arc::new(gate));
        self.edition.fetch_add(1, Ordering::Release);
    }

    /// The present gate.
    pub(crate) fn gate(&self) -> Arc<Gate> {
        self.gate.load_full()
    }
}

/// A gate as one core holds it: counted per core, so that counting moves no cache line between cores.
pub(crate) struct LocalGate(Arc<Gate>);

impl Deref for LocalGate {
    type Target = Gate;

    fn deref(&self) -> &Gate {
        &self.0
    }
}

/// One core of the data plane.
pub(crate) struct Worker {
    index: usize,
    /// How many there are.
    cores: usize,
    pulse: Rc<Pulse>,
    untaken: Rc<Untaken>,
    shared: Arc<Shared>,
    gate: RefCell<(u64, Rc<LocalGate>)>,
    connections: RefCell<HashMap<u64, Arc<Connection>, RandomState>>,
    next_connection: Cell<u64>,
    held: Cell<usize>,
    draining: Cell<bool>,
    emptied: Notify,
    pools: RefCell<HashMap<UpstreamId, Rc<Pools>, RandomState>>,
    lookups: Rc<Lookups>,
    request_secret: RequestSecret,
    request_count: Cell<u64>,
    lines: Lines,
}

impl Worker {
    /// The core with the number `index` of so many; `secret` is what the ids of its requests are drawn with.
    pub(crate) fn new(index: usize, cores: usize, shared: Arc<Shared>, secret: RequestSecret) -> Rc<Self> {
        let edition = shared.edition.load(Ordering::Acquire);
        let gate = shared.gate();
        let pulse = Pulse::new(gate.limits.tick, shared.began);
        Rc::new(Self {
            index,
            cores,
            untaken: Untaken::new(pulse.coarse()),
            pulse,
            shared,
            gate: RefCell::new((edition, Rc::new(LocalGate(gate)))),
            connections: RefCell::default(),
            next_connection: Cell::new(0),
            held: Cell::new(0),
            draining: Cell::new(false),
            emptied: Notify::new(),
            pools: RefCell::default(),
            lookups: Rc::default(),
            request_secret: secret,
            // The core's number in the top bits: cores never give the same id.
            request_count: Cell::new((index as u64) << 48),
            lines: Lines::default(),
        })
    }

    /// Its number.
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    /// How the requests that may be under way at one upstream are divided among the cores.
    pub(crate) fn room(&self, all: usize) -> Room {
        Room::divide(all, self.cores)
    }

    /// What it has handed out and was not taken.
    pub(crate) fn untaken(&self) -> &Rc<Untaken> {
        &self.untaken
    }

    /// Its timer.
    pub(crate) fn pulse(&self) -> &Rc<Pulse> {
        &self.pulse
    }

    /// The present gate.
    pub(crate) fn gate(&self) -> Rc<LocalGate> {
        let mut held = self.gate.borrow_mut();
        let edition = self.shared.edition.load(Ordering::Acquire);
        if held.0 != edition {
            *held = (edition, Rc::new(LocalGate(self.shared.gate())));
        }
        Rc::clone(&held.1)
    }

    /// Its part of the access log.
    pub(crate) fn lines(&self) -> &Lines {
        &self.lines
    }

    /// Names the next request.
    pub(crate) fn next_request(&self) -> RequestId {
        let count = self.request_count.get();
        self.request_count.set(count.wrapping_add(1));
        RequestId::of(self.request_secret, count)
    }

    /// The idle connections of this core to an upstream.
    pub(crate) fn pools(&self, id: UpstreamId, backends: usize) -> Rc<Pools> {
        let mut pools = self.pools.borrow_mut();
        Rc::clone(pools.entry(id).or_insert_with(|| Rc::new(Pools::new(backends))))
    }

    /// Its questions for the addresses of names.
    pub(crate) fn lookups(&self) -> &Rc<Lookups> {
        &self.lookups
    }

    /// Lists a connection, so that it is swept and drained.
    pub(crate) fn register(self: &Rc<Self>, connection: &Arc<Connection>) -> Registration {
        let key = self.next_connection.get();
        self.next_connection.set(key.wrapping_add(1));
        self.connections.borrow_mut().insert(key, Arc::clone(connection));
        Registration { worker: Rc::clone(self), key }
    }

    /// Keeps the core from being empty until it is dropped: for what is no connection in the list yet, or any more.
    pub(crate) fn hold(self: &Rc<Self>) -> Hold {
        self.held.set(self.held.get() + 1);
        Hold { worker: Rc::clone(self) }
    }

    /// Whether this core is to finish what it has and take nothing more.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Tells every connection to finish.
    pub(crate) fn drain(&self) {
        self.draining.set(true);
        let connections: Vec<Arc<Connection>> = self.connections.borrow().values().cloned().collect();
        connections.iter().for_each(|connection| connection.wake());
        if self.is_empty() {
            self.emptied.notify_one();
        }
    }

    /// Waits, while draining, until the last connection has ended.
    pub(crate) async fn emptied(&self) {
        while !self.is_empty() {
            self.emptied.notified().await;
        }
    }

    /// How many connections are open.
    pub(crate) fn open(&self) -> usize {
        self.connections.borrow().len() + self.held.get()
    }

    fn is_empty(&self) -> bool {
        self.open() == 0
    }

    /// Ends connections that take too long, and idle upstream connections that are too old; on every beat.
    pub(crate) fn sweep(&self) {
        let gate = self.gate();
        let now = self.pulse.now_ms();
        for _ in 0..self.untaken.sweep(&gate.limits) {
            gate.metrics.cuts.count(Cut::WriteStall);
        }
        let due: Vec<Arc<Connection>> = self
            .connections
            .borrow()
            .values()
            .filter(|connection| connection.sweep(now, &gate.limits))
            .cloned()
            .collect();
        due.iter().for_each(|connection| connection.wake());
        self.pools.borrow_mut().retain(|id, pools| {
            pools.expire(now);
            // Whose turn it is lives in there, so that an upstream of the present gate keeps its pools, empty or not.
            // One reference is the map's.
            !pools.is_empty()
                || Rc::strong_count(pools) > 1
                || gate.apis().iter().any(|mount| mount.upstream.id == *id)
        });
    }

    fn check_emptied(&self) {
        if self.draining.get() && self.is_empty() {
            self.emptied.notify_one();
        }
    }
}

/// A connection's entry in its core's list.
pub(crate) struct Registration {
    worker: Rc<Worker>,
    key: u64,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.worker.connections.borrow_mut().remove(&self.key);
        self.worker.check_emptied();
    }
}

/// See [`Worker::hold`].
pub(crate) struct Hold {
    worker: Rc<Worker>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.worker.held.set(self.worker.held.get().saturating_sub(1));
        self.worker.check_emptied();
    }
}
