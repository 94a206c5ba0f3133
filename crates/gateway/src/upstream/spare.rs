//! Room at an upstream beyond what each core has to itself.
//!
//! Half of the requests that may be under way are divided among the cores, and cost no word with another core. The other half
//! is there for whichever core needs it: a front with one connection of HTTP/2 has all its requests on one. No address has
//! more than half of that half, so that others are served while one sends slowly what it can.

use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

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

/// Cells of a row that addresses are counted in. Few addresses are near half of all at once, two at the most, and one that
/// has both its cells with such is one of a quarter of a million.
const CELLS: usize = 1024;
const ROWS: usize = 2;

/// Why a request finds no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Full {
    /// All of it is taken.
    #[error("limits.upstream_requests are under way")]
    All,
    /// Its address has as much of it as one may have.
    #[error("so many of limits.upstream_requests are under way as one address may have")]
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
    of_sources: Counts,
}

/// How much each source has, without a lock: counted in a cell of each row, that its hash chooses.
///
/// A cell counts for all sources that it is chosen for, so that none of them says too little; the least says how much a
/// source has at the most (a count-min sketch).
#[derive(Debug)]
struct Counts {
    rows: [Box<[AtomicUsize]>; ROWS],
    /// Drawn anew for each: nobody can choose an address that is counted with another one.
    hasher: RandomState,
}

impl Default for Counts {
    fn default() -> Self {
        let row = || (0..CELLS).map(|_| AtomicUsize::default()).collect();
        Self { rows: std::array::from_fn(|_| row()), hasher: RandomState::default() }
    }
}

impl Counts {
    fn cells(&self, source: Source) -> impl Iterator<Item = &AtomicUsize> {
        let hash = self.hasher.hash_one(source);
        let halves = [hash, hash >> u32::BITS].map(|half| usize::try_from(half).unwrap_or(0) % CELLS);
        self.rows.iter().zip(halves).filter_map(|(row, at)| row.get(at))
    }

    /// Counts one more, unless there are `most`; other cores that do the same just now may add one each beyond that.
    fn add(&self, source: Source, most: usize) -> bool {
        let before = self.cells(source).map(|cell| cell.fetch_add(1, Ordering::Relaxed)).min();
        let is_room = before.is_some_and(|before| before < most);
        if !is_room {
            self.take_off(source);
        }
        is_room
    }

    fn take_off(&self, source: Source) {
        for cell in self.cells(source) {
            cell.fetch_sub(1, Ordering::Relaxed);
        }
    }
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
            if !spare.of_sources.add(source, room.spare.div_ceil(2)) {
                return Err(Full::OfAddress);
            }
            place.source = Some(source);
        }
        Ok(place)
    }
}

impl Drop for Spared {
    fn drop(&mut self) {
        let spare = &self.upstream.spare;
        spare.taken.fetch_sub(1, Ordering::Relaxed);
        if let Some(source) = self.source {
            spare.of_sources.take_off(source);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use std::rc::Rc;
    use std::sync::Barrier;

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
        assert!(is_empty(&upstream.spare.of_sources));
        assert_eq!(upstream.spare.taken.load(Ordering::Relaxed), 0);
    }

    fn is_empty(counts: &Counts) -> bool {
        counts.rows.iter().flatten().all(|cell| cell.load(Ordering::Relaxed) == 0)
    }

    fn source(number: u32) -> Source {
        Source::of(std::net::Ipv4Addr::from_bits(number).into())
    }

    #[test]
    fn cores_that_count_at_once_leave_an_address_its_bound() {
        const CORES: usize = 4;
        let (counts, begin) = (Counts::default(), Barrier::new(CORES));
        let count = || {
            begin.wait();
            (0..1_000).filter(|_| counts.add(source(1), 500)).count()
        };
        let counted: usize = std::thread::scope(|threads| {
            let cores = [(); CORES].map(|()| threads.spawn(count));
            cores.into_iter().map(|core| core.join().unwrap()).sum()
        });
        assert!((500..500 + CORES).contains(&counted), "{counted}");
        (0..counted).for_each(|_| counts.take_off(source(1)));
        assert!(is_empty(&counts), "what was refused is not counted");
    }

    #[test]
    fn who_shares_a_cell_with_a_greedy_one_has_another() {
        let counts = Counts::default();
        let cells = |number| counts.cells(source(number)).map(std::ptr::from_ref).collect::<Vec<_>>();
        let greedy = cells(0);
        let shares_one = |number: &u32| {
            let shared = cells(*number).iter().zip(&greedy).filter(|(own, other)| own == other).count();
            shared == 1
        };
        let neighbour = (1..1_000_000).find(shares_one).unwrap();
        (0..5).for_each(|_| assert!(counts.add(source(0), 5)));
        assert!(!counts.add(source(0), 5));
        (0..5).for_each(|_| assert!(counts.add(source(neighbour), 5)));
        assert!(!counts.add(source(neighbour), 5));
    }
}
