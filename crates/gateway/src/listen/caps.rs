//! How many connections may be open, in all and from one address.
//!
//! Asked once for each connection, never for a request; the addresses are spread over shards, so that a core
//! seldom waits for another.

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use countersign_auth::source::Source;
use foldhash::quality::RandomState;

use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::metrics::cuts::Cut;

const SHARDS: usize = 64;

type Shard = Mutex<HashMap<Source, usize, RandomState>>;

/// Counts the connections of all listeners.
#[derive(Debug)]
pub(crate) struct Caps {
    open: AtomicUsize,
    shards: Box<[Shard]>,
    hasher: RandomState,
    metrics: Arc<Metrics>,
}

/// A connection that was counted; dropping it counts it off.
#[derive(Debug)]
pub(crate) struct Permit {
    caps: Arc<Caps>,
    source: Option<Source>,
}

impl Caps {
    pub(crate) fn new(metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            open: AtomicUsize::new(0),
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            hasher: RandomState::default(),
            metrics,
        })
    }

    /// Counts a connection; `None` if there are too many in all.
    pub(crate) fn connection(self: &Arc<Self>, limits: &Limits) -> Option<Permit> {
        if self.open.fetch_add(1, Ordering::Relaxed) >= limits.connections {
            self.open.fetch_sub(1, Ordering::Relaxed);
            self.metrics.cuts.count(Cut::Connections);
            return None;
        }
        self.metrics.accepted.fetch_add(1, Ordering::Relaxed);
        Some(Permit { caps: Arc::clone(self), source: None })
    }

    fn shard(&self, source: Source) -> Option<MutexGuard<'_, HashMap<Source, usize, RandomState>>> {
        let index = usize::try_from(self.hasher.hash_one(source) % SHARDS as u64).unwrap_or(0);
        self.shards.get(index).map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Permit {
    /// Counts the connection for its address as well; `None` if that has too many.
    pub(crate) fn of(mut self, address: IpAddr, limits: &Limits) -> Option<Self> {
        let source = Source::of(address);
        {
            let mut shard = self.caps.shard(source)?;
            let count = shard.entry(source).or_default();
            if *count >= limits.connections_per_address {
                self.caps.metrics.cuts.count(Cut::ConnectionsPerAddress);
                return None;
            }
            *count += 1;
        }
        self.source = Some(source);
        Some(self)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.caps.open.fetch_sub(1, Ordering::Relaxed);
        self.caps.metrics.closed.fetch_add(1, Ordering::Relaxed);
        let Some(source) = self.source else { return };
        let Some(mut shard) = self.caps.shard(source) else { return };
        if let Some(count) = shard.get_mut(&source) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                shard.remove(&source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        reason = "tests"
    )]
    use super::*;

    #[test]
    fn caps_hold_and_let_go() {
        let limits = Limits { connections: 3, connections_per_address: 2, ..Limits::default() };
        let caps = Caps::new(Metrics::new(1));
        let take = |address: &str| caps.connection(&limits)?.of(address.parse().unwrap(), &limits);
        let first = take("192.0.2.1").unwrap();
        let _second = take("::ffff:192.0.2.1").unwrap();
        assert!(take("192.0.2.1").is_none(), "three of one address");
        let _third = take("2001:db8::1").unwrap();
        assert!(take("192.0.2.2").is_none(), "four in all");
        drop(first);
        assert!(take("192.0.2.1").is_some());
        assert_eq!(caps.open.load(Ordering::Relaxed), 2);
    }
}
