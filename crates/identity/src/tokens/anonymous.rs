//! Sessions of nobody, of which strangers can have as many as they like: so all are bounded, and those of one source.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hashbrown::HashMap;

/// A company or a mobile network is one source, and has thousands of visitors at once; it takes twenty sources to fill
/// the table.
const SOURCES: usize = 20;

/// How many there are; of those that nobody presented yet, which.
pub(super) struct Anonymous {
    fresh_max: usize,
    kept_max: usize,
    /// The oldest first; some were presented meanwhile.
    fresh: Mutex<VecDeque<[u8; 32]>>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    all: usize,
    by_source: HashMap<u64, usize>,
}

impl Anonymous {
    pub(super) fn new(fresh_max: usize, kept_max: usize) -> Self {
        Self { fresh_max, kept_max, fresh: Mutex::default(), kept: Mutex::default() }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one more of a source that lives on, if there is room; sources of which nothing is known, 0, share all of it.
    pub(super) fn keep(&self, source: u64) -> bool {
        let mut kept = self.kept();
        let of_source = kept.by_source.get(&source).copied().unwrap_or(0);
        let share = if source == 0 { self.kept_max } else { (self.kept_max / SOURCES).max(1) };
        if kept.all >= self.kept_max || of_source >= share {
            return false;
        }
        kept.count(source);
        true
    }

    /// Counts one more that lives on already.
    pub(super) fn adopt(&self, source: u64) {
        self.kept().count(source);
    }

    /// One that lived on is gone.
    pub(super) fn let_go(&self, source: u64) {
        let mut kept = self.kept();
        kept.all = kept.all.saturating_sub(1);
        if let Some(of_source) = kept.by_source.get_mut(&source) {
            *of_source = of_source.saturating_sub(1);
            if *of_source == 0 {
                kept.by_source.remove(&source);
            }
        }
    }

    /// Adds one that nobody presented yet by `insert`, which says whether it was new; of too many the oldest are taken out
    /// by `remove`, if nobody has presented them since.
    pub(super) fn open(&self, digest: [u8; 32], insert: impl FnOnce() -> bool, remove: impl Fn(&[u8; 32])) {
        let mut fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        while fresh.len() >= self.fresh_max
            && let Some(oldest) = fresh.pop_front()
        {
            remove(&oldest);
        }
        if insert() {
            fresh.push_back(digest);
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        let kept = self.kept();
        kept.all == 0 && kept.by_source.is_empty()
    }
}

impl Kept {
    fn count(&mut self, source: u64) {
        self.all += 1;
        *self.by_source.entry(source).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_source_has_its_share() {
        let anonymous = Anonymous::new(10, 100);
        let kept = |source| (0..10).filter(|_| anonymous.keep(source)).count();
        assert_eq!((kept(1), kept(2)), (5, 5));
        anonymous.let_go(1);
        assert_eq!((kept(1), kept(2)), (1, 0));
        // Whose source is not known, from before a restart.
        assert_eq!((kept(0), kept(0)), (10, 10));
        for _ in 0..70 {
            anonymous.adopt(3);
        }
        assert_eq!(kept(4), 0, "all places are taken");
        for _ in 0..70 {
            anonymous.let_go(3);
        }
        assert_eq!(kept(4), 5);
    }
}
