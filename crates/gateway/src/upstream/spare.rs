//! Room at an upstream beyond what each core has to itself.
//!
//! Half of the requests that may be under way are divided among the cores, and cost no word with another core. The other half
//! is there for whichever core needs it: a front with one connection of HTTP/2 has all its requests on one. No address has
//! more than half of that half, so that others are served while one sends slowly what it can.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::quality::RandomState;

use super::Upstream;
use countersign_auth::source::Source;

/// How many requests may be under way at an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    /// On each core.
    own: usize,
    /// Beside these, on all cores together.
    spare: usize,
}

/// Why a request finds no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Full {
    /// All of it is taken.
    #[error("upstream_requests are under way")]
    All,
    /// Its address has as much of it as one may have.
    #[error("so many of upstream_requests are under way as one address may have")]
    OfAddress,
}

impl Room {
    /// Divides what all cores have together.
    pub(crate) fn divide(all: usize, cores: usize) -> Self {
        let cores = cores.max(1);
        let own = all / 2 / cores;
        Self { own, spare: all - own * cores }
    }

    pub(super) fn own(self) -> usize {
        self.own
    }
}

/// What is taken of an upstream's spare room.
#[derive(Debug, Default)]
pub(crate) struct Spare {
    taken: AtomicUsize,
    of_sources: Mutex<HashMap<Source, usize, RandomState>>,
}

/// A place in the spare room; dropping it gives it back.
pub(crate) struct Spared {
    upstream: Arc<Upstream>,
    source: Option<Source>,
}

impl Spared {
    /// Takes a place. A source is counted by itself; `None` is one that stands for many.
    pub(crate) fn take(upstream: &Arc<Upstream>, room: Room, source: Option<Source>) -> Result<Self, Full> {
        let spare = &upstream.spare;
        if spare.taken.fetch_add(1, Ordering::Relaxed) >= room.spare {
            spare.taken.fetch_sub(1, Ordering::Relaxed);
            return Err(Full::All);
        }
        // What is refused below gives its place back when it is dropped.
        let mut place = Self { upstream: Arc::clone(upstream), source: None };
        if let Some(source) = source {
            let mut of_sources = spare.of_sources();
            let count = of_sources.entry(source).or_default();
            if *count >= room.spare.div_ceil(2) {
                return Err(Full::OfAddress);
            }
            *count += 1;
            place.source = Some(source);
        }
        Ok(place)
    }
}

impl Spare {
    fn of_sources(&self) -> MutexGuard<'_, HashMap<Source, usize, RandomState>> {
        self.of_sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Spared {
    fn drop(&mut self) {
        let spare = &self.upstream.spare;
        spare.taken.fetch_sub(1, Ordering::Relaxed);
        let Some(source) = self.source else { return };
        let mut of_sources = spare.of_sources();
        if let Some(count) = of_sources.get_mut(&source) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                of_sources.remove(&source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use std::rc::Rc;

    use super::*;
    use crate::upstream::{Pools, UpstreamOptions};

    /// An upstream, and the pools of so many cores.
    fn cores(count: usize) -> (Arc<Upstream>, Vec<Rc<Pools>>) {
        let upstream = Upstream::new(UpstreamOptions::new("u", "http://127.0.0.1:1").unwrap()).unwrap();
        (upstream, (0..count).map(|_| Rc::new(Pools::new(1))).collect())
    }

    #[test]
    fn all_room_is_divided_and_none_is_made() {
        for all in 1..50 {
            for cores in 0..20 {
                let Room { own, spare } = Room::divide(all, cores);
                assert_eq!(own * cores.max(1) + spare, all);
                assert!(spare >= all / 2 && spare > 0);
            }
        }
    }

    #[test]
    fn one_core_has_the_spare_room_of_all() {
        let (upstream, cores) = cores(4);
        let room = Room::divide(16, 4);
        let (first, second) = (&cores[0], &cores[1]);
        let depart = |core: &Rc<Pools>| core.depart(room, &upstream, || None);
        let mut flights: Vec<_> = (0..10).map(|_| depart(first).unwrap()).collect();
        assert_eq!(depart(first).err(), Some(Full::All));
        // What other cores have to themselves is theirs.
        let others: Vec<_> = (0..2).map(|_| depart(second).unwrap()).collect();
        assert_eq!(depart(second).err(), Some(Full::All));
        flights.pop();
        assert!(depart(second).is_ok());
        assert!(depart(first).is_ok(), "it was given back");
        drop((flights, others));
        assert_eq!(upstream.spare.taken.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn one_address_leaves_room_for_others() {
        let (upstream, cores) = cores(1);
        let room = Room::divide(16, 1);
        let depart = |address: &str| {
            let source = Source::of(address.parse().unwrap());
            cores[0].depart(room, &upstream, || Some(source))
        };
        let mut greedy: Vec<_> = (0..12).map(|_| depart("192.0.2.1").unwrap()).collect();
        assert_eq!(depart("192.0.2.1").err(), Some(Full::OfAddress));
        let others: Vec<_> = (0..4).map(|_| depart("192.0.2.2").unwrap()).collect();
        assert_eq!(depart("192.0.2.2").err(), Some(Full::All));
        greedy.pop();
        assert!(depart("192.0.2.1").is_ok());
        drop((greedy, others));
        assert!(upstream.spare.of_sources().is_empty());
        assert_eq!(upstream.spare.taken.load(Ordering::Relaxed), 0);
    }
}
