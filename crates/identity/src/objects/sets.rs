//! A cache that is read without a lock: many small sets, of which a digest belongs to one.
//!
//! A set is read as it is, and changed in a copy that takes its place if nobody was faster. So a core that is interrupted
//! in a change holds up nobody, and whoever begins to read after a change has ended sees it. A set that is full lets go
//! first what was not read since it came or since it was spared the last time.

use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwapOption;
use foldhash::fast::RandomState;

/// Sets are copied as a whole, so they are small.
const SET_MAX: usize = 24;

/// What is kept under a digest.
struct Kept<V> {
    digest: [u8; 32],
    value: V,
    /// Since it came, or was spared.
    was_read: AtomicBool,
}

/// A set; what stays longest stands first. The hashes are beside it so that one look finds the only one that may be it.
type Set<V> = Vec<(u64, Arc<Kept<V>>)>;

/// The sets.
pub(super) struct Sets<V> {
    sets: Box<[ArcSwapOption<Set<V>>]>,
    /// Drawn anew by each process: nobody can choose ids that fill one set.
    hasher: RandomState,
}

impl<V: Clone> Sets<V> {
    /// A cache for about so many digests.
    pub(super) fn new(digests: usize) -> Self {
        let sets = digests.div_ceil(SET_MAX).max(1);
        Self { sets: (0..sets).map(|_| ArcSwapOption::empty()).collect(), hasher: RandomState::default() }
    }

    fn set(&self, digest: &[u8; 32]) -> (u64, &ArcSwapOption<Set<V>>) {
        let hash = self.hasher.hash_one(digest);
        let at = usize::try_from(hash).unwrap_or(0) % self.sets.len();
        #[expect(clippy::indexing_slicing, reason = "it is less than their number")]
        (hash, &self.sets[at])
    }

    pub(super) fn get(&self, digest: &[u8; 32]) -> Option<V> {
        let (hash, place) = self.set(digest);
        let set = place.load();
        let kept = set.as_ref()?.iter().find(|(other, kept)| *other == hash && kept.digest == *digest);
        let (_, kept) = kept?;
        // Who finds it noted writes nothing: cores that read the same do not wait for each other's line.
        if !kept.was_read.load(Ordering::Relaxed) {
            kept.was_read.store(true, Ordering::Relaxed);
        }
        Some(kept.value.clone())
    }

    /// Keeps a value in place of what was under its digest.
    pub(super) fn insert(&self, digest: [u8; 32], value: V) {
        let (hash, place) = self.set(&digest);
        let new = Arc::new(Kept { digest, value, was_read: AtomicBool::new(false) });
        place.rcu(|set| {
            let mut set = without(set.as_deref(), &digest);
            if set.len() >= SET_MAX {
                let spared = set.iter().take_while(|(_, kept)| kept.was_read.swap(false, Ordering::Relaxed));
                let spared = spared.count();
                // Where all were read, the first one goes.
                let begin = spared % set.len();
                set.rotate_left(begin);
                set.remove(0);
            }
            set.push((hash, Arc::clone(&new)));
            Some(Arc::new(set))
        });
    }

    pub(super) fn remove(&self, digest: &[u8; 32]) {
        let (_, place) = self.set(digest);
        place.rcu(|set| Some(without(set.as_deref(), digest)).filter(|set| !set.is_empty()).map(Arc::new));
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.sets.iter().filter_map(|set| set.load().as_ref().map(|set| set.len())).sum()
    }
}

/// A copy of a set without a digest, and with room for it.
fn without<V>(set: Option<&Set<V>>, digest: &[u8; 32]) -> Set<V> {
    let set = set.map_or(&[][..], |set| set);
    let mut copy = Vec::with_capacity((set.len() + 1).min(SET_MAX));
    copy.extend(set.iter().filter(|(_, kept)| kept.digest != *digest).cloned());
    copy
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::collections::HashMap;
    use std::sync::Barrier;

    use super::{SET_MAX, Sets};

    fn digest(number: u32) -> [u8; 32] {
        let mut digest = [7; 32];
        digest.iter_mut().zip(number.to_be_bytes()).for_each(|(to, from)| *to = from);
        digest
    }

    #[test]
    fn what_is_kept_is_what_a_map_has() {
        // So many sets that none is ever full.
        let (sets, mut map) = (Sets::new(500 * SET_MAX), HashMap::new());
        let mut draw = 1_u32;
        for _ in 0..20_000 {
            draw = draw.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (number, what) = (draw >> 8 & 0x1FF, draw >> 30);
            match what {
                0 => {
                    sets.remove(&digest(number));
                    map.remove(&number);
                }
                1 => {
                    sets.insert(digest(number), draw);
                    map.insert(number, draw);
                }
                _ => assert_eq!(sets.get(&digest(number)), map.get(&number).copied()),
            }
        }
        assert_eq!(sets.len(), map.len());
        assert!(sets.len() > 100);
    }

    #[test]
    fn what_is_read_stays_and_what_is_not_gives_way() {
        let sets = Sets::new(SET_MAX);
        for number in 0..10_000 {
            sets.insert(digest(number), number);
            let read = if number < 3 { number } else { number % 3 };
            assert_eq!(sets.get(&digest(read)), Some(read), "read all the time");
        }
        assert_eq!(sets.len(), SET_MAX);
        assert_eq!(sets.get(&digest(5_000)), None);
        assert_eq!(sets.get(&digest(9_999)), Some(9_999), "the newest one");
        for number in 9_999 - 10..=9_999 {
            assert!(sets.get(&digest(number)).is_some(), "{number} is newer than what gave way");
        }
    }

    #[test]
    fn a_set_whose_all_are_read_takes_another_one() {
        let sets = Sets::new(SET_MAX);
        for number in 0..100 {
            sets.insert(digest(number), number);
            assert_eq!(sets.get(&digest(number)), Some(number));
        }
        assert_eq!(sets.len(), SET_MAX);
    }

    #[test]
    fn changes_that_meet_are_all_made() {
        const CORES: u32 = 4;
        const EACH: u32 = 20_000;
        let sets = Sets::new(SET_MAX);
        let begin = Barrier::new(usize::try_from(CORES).unwrap());
        std::thread::scope(|threads| {
            for core in 0..CORES {
                let (sets, begin) = (&sets, &begin);
                threads.spawn(move || {
                    begin.wait();
                    for round in 0..EACH {
                        sets.insert(digest(core), round);
                        assert_eq!(sets.get(&digest(core)), Some(round), "nobody else changes it");
                        if round % 2 == 0 {
                            sets.remove(&digest(core));
                            assert_eq!(sets.get(&digest(core)), None);
                        }
                    }
                });
            }
        });
        assert_eq!(sets.len(), usize::try_from(CORES).unwrap());
    }
}
