//! Each counter of a nonce once.
//!
//! A client counts its requests under a nonce (`nc`); several connections bring them out of order. For each nonce
//! that proved something a window of the last counters is kept, one for all cores. Nothing is kept of a nonce before a
//! response to it was verified, so whoever knows no password takes no memory.
//!
//! The nonces that are kept are bounded. Whichever goes, goes oldest first and leaves its number behind as a floor:
//! below that a nonce without a window was perhaps used, and is never taken again (THREATS T-D11).
//!
//! Nothing here is locked. A part's list of nonces and its floor are read as they are, and changed in a copy that takes
//! their place if nobody was faster; a nonce that is in no list and above the floor never had a window, so there is
//! never a second one of it. Its counters are atomic words ([`counters`]): whoever still holds a window that is just
//! being forgotten uses them up in the only one there is.

mod counters;
#[cfg(test)]
mod orders;

/// What the counters are made of; where their orders are tried, there are others in their place.
mod atomic {
    pub(super) use std::sync::atomic::{AtomicU64, Ordering};
}

use std::cell::LazyCell;
use std::sync::Arc;

use arc_swap::ArcSwap;

use self::counters::Counters;
use super::hash::{Ha1, Hashed};
use crate::account::Account;

/// Each is copied when it gets another nonce, so they are many and small.
const SHARDS: usize = 1024;
/// Some 300 bytes each, so that all take 20 MiB at the most; a client takes a nonce in five minutes.
const NONCES_PER_SHARD_MAX: usize = 64;

/// What a nonce proved: its next requests need no look-up.
#[derive(Clone)]
pub struct Known {
    /// Of the API: what was proven by other rules for one of its name is looked up anew.
    pub edition: u64,
    /// The user as the client sent it.
    pub user: Arc<str>,
    /// Whose proof it was; worth nothing once that copy of the account is out of date.
    pub account: Arc<Account>,
    /// What his responses are made from.
    pub ha1: Ha1,
    /// The key that the first response made for the nonce, for algorithms ending in `-sess`.
    pub session: Option<Hashed>,
}

/// What became of a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// It is used from now on.
    Fresh,
    /// It was used before, or is older than the window and perhaps was.
    Used,
    /// Too many nonces came after this one: whether it was used is no longer known.
    Forgotten,
}

/// A nonce that proved something.
struct Seen {
    known: ArcSwap<Known>,
    counters: Counters,
}

#[derive(Clone, Default)]
struct Shard {
    /// With their numbers, and by them.
    seen: Vec<(u64, Arc<Seen>)>,
    /// Nonces up to this number may have been forgotten.
    floor: Option<u64>,
}

impl Shard {
    fn find(&self, serial: u64) -> Result<&Seen, usize> {
        let at = self.seen.binary_search_by_key(&serial, |(serial, _)| *serial)?;
        self.seen.get(at).map(|(_, seen)| &**seen).ok_or(at)
    }

    /// A copy that has one more, and is none too many.
    fn with(&self, serial: u64, new: &Arc<Seen>, at: usize) -> Self {
        let mut seen = Vec::with_capacity(self.seen.len() + 1);
        let (before, behind) = self.seen.split_at_checked(at).unwrap_or((&self.seen, &[]));
        seen.extend_from_slice(before);
        seen.push((serial, Arc::clone(new)));
        seen.extend_from_slice(behind);
        let mut floor = self.floor;
        if seen.len() > NONCES_PER_SHARD_MAX {
            floor = floor.max(Some(seen.remove(0).0));
        }
        Self { seen, floor }
    }
}

/// The windows of all nonces.
pub struct Windows {
    shards: Box<[ArcSwap<Shard>]>,
}

impl Windows {
    pub(super) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| ArcSwap::default()).collect() }
    }

    fn shard(&self, serial: u64) -> Option<&ArcSwap<Shard>> {
        self.shards.get(usize::try_from(serial).ok()? % SHARDS)
    }

    /// What a nonce proved before, if it was for this user.
    pub fn recall(&self, serial: u64, user: &str) -> Option<Known> {
        let shard = self.shard(serial)?.load();
        let known = shard.find(serial).ok()?.known.load();
        (*known.user == *user).then(|| Known::clone(&known))
    }

    /// Uses a counter up. To be called once the response is verified, never before (T-D7).
    pub fn consume(&self, serial: u64, counter: u32, known: impl FnOnce() -> Known) -> Counter {
        let Some(place) = self.shard(serial) else { return Counter::Forgotten };
        let new = LazyCell::new(|| {
            let known = ArcSwap::from_pointee(known());
            Arc::new(Seen { known, counters: Counters::default() })
        });
        loop {
            let shard = place.load();
            let at = match shard.find(serial) {
                Ok(seen) if seen.counters.use_up(counter) => return Counter::Fresh,
                Ok(_) => return Counter::Used,
                Err(at) => at,
            };
            if shard.floor.is_some_and(|floor| serial <= floor) {
                return Counter::Forgotten;
            }
            // Nothing is replaced if another core was faster, perhaps with this very nonce. Either way all is asked again.
            place.compare_and_swap(&shard, Arc::new(shard.with(serial, &new, at)));
        }
    }

    /// Lets what a nonce proved be what was found anew: the account has another copy.
    pub fn renew(&self, serial: u64, known: Known) {
        if let Some(shard) = self.shard(serial)
            && let Ok(seen) = shard.load().find(serial)
        {
            seen.known.store(Arc::new(known));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::collections::BTreeSet;
    use std::sync::Barrier;

    use proptest::prelude::{Strategy as _, prop, proptest};

    use super::super::hash::DigestHash;
    use super::counters::WINDOW;
    use super::*;

    fn known(user: &str) -> Known {
        let account = Arc::new(crate::authenticate::foreign(&"users".into()));
        let ha1 = Ha1::of(DigestHash::Sha256, user, "r", "p");
        Known { edition: 1, user: user.into(), account, ha1, session: None }
    }

    fn consume(windows: &Windows, serial: u64, counter: u32) -> Counter {
        windows.consume(serial, counter, || known("ann"))
    }

    #[test]
    fn each_counter_once_and_out_of_order_within_the_window() {
        use Counter::{Fresh, Used};
        let windows = Windows::new();
        for (counter, expected) in [
            (1, Fresh),
            (1, Used),
            (3, Fresh),
            (2, Fresh),
            (2, Used),
            (3, Used),
            (258, Fresh),
            (2, Used),
            (3, Used),
            (4, Fresh),
            (259, Fresh),
            (4, Used),
            (3, Used),
            (u32::MAX, Fresh),
            (259, Used),
            (u32::MAX, Used),
            (u32::MAX - WINDOW, Fresh),
            (u32::MAX - WINDOW, Used),
            (u32::MAX - 9 * 32, Used),
        ] {
            assert_eq!(consume(&windows, 5, counter), expected, "{counter}");
        }
        assert_eq!(consume(&windows, 6, 1), Fresh, "another nonce counts for itself");
    }

    #[test]
    fn what_was_forgotten_is_never_fresh_again() {
        let windows = Windows::new();
        let [max, shards] = [NONCES_PER_SHARD_MAX, SHARDS].map(|number| u64::try_from(number).unwrap());
        for nonce in 1..=max {
            assert_eq!(consume(&windows, nonce * shards, 1), Counter::Fresh);
        }
        assert_eq!(consume(&windows, shards, 1), Counter::Used);
        assert_eq!(consume(&windows, 0, 1), Counter::Forgotten, "older than all that are kept");
        assert_eq!(consume(&windows, shards, 2), Counter::Fresh, "which drove out nothing");
        assert_eq!(consume(&windows, (max + 1) * shards, 1), Counter::Fresh);
        assert_eq!(consume(&windows, shards, 1), Counter::Forgotten);
        assert_eq!(consume(&windows, shards, 3), Counter::Forgotten);
        assert_eq!(consume(&windows, 2 * shards, 1), Counter::Used, "the next one is still there");
        assert_eq!(consume(&windows, 2 * shards, 2), Counter::Fresh);
        assert_eq!(consume(&windows, 1, 1), Counter::Fresh, "another part");
        let kept = windows.shards.iter().map(|shard| shard.load().seen.len());
        assert_eq!(kept.max(), Some(NONCES_PER_SHARD_MAX));
    }

    #[test]
    fn what_a_nonce_proved_is_one_users() {
        let windows = Windows::new();
        assert!(windows.recall(5, "ann").is_none());
        consume(&windows, 5, 1);
        assert!(windows.recall(5, "ann").is_some());
        assert!(windows.recall(5, "Ann").is_none());
        assert!(windows.recall(6, "ann").is_none());
        windows.renew(5, known("ben"));
        assert!(windows.recall(5, "ben").is_some() && windows.recall(5, "ann").is_none());
        windows.renew(6, known("ben"));
        assert!(windows.recall(6, "ben").is_none(), "only a verified response makes a window");
    }

    /// Cores that are handed the same responses, of nonces that drive each other out of one part meanwhile.
    #[test]
    fn no_two_cores_take_the_same_counter_of_a_nonce() {
        const CORES: usize = 4;
        let shards = u64::try_from(SHARDS).unwrap();
        // Each nonce comes back for its counters while so many others come for the first time.
        let returns = u64::try_from(NONCES_PER_SHARD_MAX).unwrap() - 8;
        let responses = || {
            (0..2_000_u64).flat_map(|round| {
                let older = [0, 1, 2, returns, returns + 20].map(|by| round.saturating_sub(by));
                older.into_iter().zip([1, 2, 3, 300, 4])
            })
        };
        let windows = Windows::new();
        let begin = Barrier::new(CORES);
        let take = || {
            begin.wait();
            responses()
                .map(|(nonce, counter)| (nonce * shards, counter))
                .filter(|(nonce, counter)| consume(&windows, *nonce, *counter) == Counter::Fresh)
                .collect::<Vec<_>>()
        };
        let taken: Vec<_> = std::thread::scope(|threads| {
            let cores = [(); CORES].map(|()| threads.spawn(take));
            cores.into_iter().flat_map(|core| core.join().unwrap()).collect()
        });
        let different: BTreeSet<_> = taken.iter().collect();
        assert_eq!(different.len(), taken.len(), "taken twice");
        assert!(different.contains(&(0, 1)) && different.contains(&(1_999 * shards, 1)));
        assert!(windows.shards.iter().all(|shard| shard.load().seen.len() <= NONCES_PER_SHARD_MAX));
    }

    proptest! {
        /// Against a plain set of numbers.
        #[test]
        fn a_window_is_a_set_that_forgets(counters in prop::collection::vec((1_u32..700).prop_map(|n| n * 3 % 701), 1..400)) {
            let windows = Windows::new();
            let (mut used, mut top) = (BTreeSet::new(), 0);
            for counter in counters {
                let is_fresh = consume(&windows, 9, counter) == Counter::Fresh;
                let is_new = used.insert(counter);
                assert!(is_new || !is_fresh, "{counter} twice, after {top}");
                assert!(is_fresh || !is_new || counter + WINDOW < top, "{counter} refused, after {top}");
                top = top.max(counter);
            }
        }
    }
}
