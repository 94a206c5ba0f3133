//! Addresses that are out of attempts, for requests that ask about theirs and wait for nobody.
//!
//! A table of fixed size, in parts of which an address belongs to one. A part is read as it is, and changed in a copy that
//! takes its place if nobody was faster. Whoever begins to ask after an address was put in or taken out sees it; what
//! others hold meanwhile is their own copy.

use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arc_swap::ArcSwapOption;
use countersign_auth::source::{Minute, Source};
use countersign_auth::time::Time;
use foldhash::quality::RandomState;

/// Parts are copied as a whole, so they are small.
const PART_MAX: usize = 64;

type Part = Vec<(Source, Minute)>;

pub(super) struct Spent {
    parts: Box<[ArcSwapOption<Part>]>,
    /// Drawn anew for each table: nobody can choose addresses that fill one part.
    hasher: RandomState,
    /// In Unix milliseconds: from then on no address is out of attempts. It is past unless somebody guesses, and then no
    /// part is looked at.
    until: AtomicI64,
}

impl Spent {
    /// A table for about so many addresses.
    pub(super) fn new(addresses: usize) -> Self {
        let parts = addresses.div_ceil(PART_MAX).max(1);
        Self {
            parts: (0..parts).map(|_| ArcSwapOption::empty()).collect(),
            hasher: RandomState::default(),
            until: AtomicI64::new(i64::MIN),
        }
    }

    fn part(&self, source: Source) -> &ArcSwapOption<Part> {
        let at = usize::try_from(self.hasher.hash_one(source)).unwrap_or(0) % self.parts.len();
        #[expect(clippy::indexing_slicing, reason = "it is less than their number")]
        &self.parts[at]
    }

    /// Whether an address was put in with a minute that is not over.
    pub(super) fn has(&self, source: Source, now: Time) -> bool {
        if now.unix_ms() >= self.until.load(Ordering::Relaxed) {
            return false;
        }
        let part = self.part(source).load();
        let is_spent = |(other, minute): &(Source, Minute)| *other == source && minute.count(now) > 0;
        part.as_ref().is_some_and(|part| part.iter().any(is_spent))
    }

    /// Puts an address in, in place of what was said of it before. Where a part is full, whose minute ends first gives way.
    pub(super) fn insert(&self, source: Source, minute: Minute, now: Time) {
        self.part(source).rcu(|part| {
            let mut part = without(part.as_deref(), source);
            part.retain(|(_, minute)| minute.count(now) > 0);
            if part.len() >= PART_MAX
                && let Some(first) =
                    (0..part.len()).min_by_key(|at| part.get(*at).map(|(_, minute)| minute.end()))
            {
                part.swap_remove(first);
            }
            part.push((source, minute));
            Some(Arc::new(part))
        });
        self.until.fetch_max(minute.end().unix_ms(), Ordering::Relaxed);
    }

    pub(super) fn remove(&self, source: Source) {
        let copy = |part: &Option<Arc<Part>>| {
            Some(without(part.as_deref(), source)).filter(|part| !part.is_empty()).map(Arc::new)
        };
        self.part(source).rcu(copy);
    }
}

/// A copy of a part without an address.
fn without(part: Option<&Part>, source: Source) -> Part {
    part.map_or(&[][..], |part| part).iter().filter(|(other, _)| *other != source).copied().collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::net::Ipv4Addr;
    use std::sync::Barrier;

    use super::*;

    fn at(secs: i64) -> Time {
        Time::from_unix_secs(1_700_000_000 + secs)
    }

    fn source(number: u32) -> Source {
        Source::of(Ipv4Addr::from_bits(number).into())
    }

    fn minute(secs: i64) -> Minute {
        let mut minute = Minute::begin(at(secs));
        minute.add(at(secs));
        minute
    }

    fn len(spent: &Spent) -> usize {
        spent.parts.iter().filter_map(|part| part.load().as_ref().map(|part| part.len())).sum()
    }

    #[test]
    fn a_table_has_a_bound_and_forgets_whose_minute_ends_first() {
        // One part.
        let spent = Spent::new(PART_MAX);
        for number in 0..100 {
            spent.insert(source(number), minute(i64::from(number % 50)), at(49));
        }
        assert_eq!(len(&spent), PART_MAX);
        let kept = |number: &u32| spent.has(source(*number), at(49));
        assert_eq!((0..100).filter(kept).count(), PART_MAX);
        assert!((36..50).chain(68..100).all(|number| kept(&number)), "what ends last");
        // What is over makes room by itself.
        spent.insert(source(100), minute(110), at(110));
        assert_eq!(len(&spent), 1);
        spent.remove(source(100));
        assert_eq!(len(&spent), 0);
    }

    #[test]
    fn cores_that_change_a_part_at_once_lose_nothing() {
        const CORES: u32 = 4;
        let (spent, begin) = (Spent::new(PART_MAX), Barrier::new(CORES as usize));
        let turn = |core: u32| {
            begin.wait();
            for _ in 0..200 {
                let own = core..CORES * 8;
                own.clone()
                    .step_by(CORES as usize)
                    .for_each(|own| spent.insert(source(own), minute(0), at(0)));
                assert!(own.clone().step_by(CORES as usize).all(|own| spent.has(source(own), at(0))));
                own.clone().step_by(CORES as usize * 2).for_each(|own| spent.remove(source(own)));
                assert!(own.step_by(CORES as usize * 2).all(|own| !spent.has(source(own), at(0))));
            }
        };
        std::thread::scope(|threads| {
            for core in 0..CORES {
                threads.spawn(move || turn(core));
            }
        });
        assert_eq!(len(&spent), CORES as usize * 4);
    }
}
