//! Each counter of a nonce once.
//!
//! A client counts its requests under a nonce (`nc`); several connections bring them out of order. For each nonce
//! that proved something a window of the last counters is kept. Nothing is kept of a nonce before a response to it
//! was verified, so whoever knows no password takes no memory.
//!
//! The nonces that are kept are bounded. Whichever goes, goes oldest first and leaves its number behind as a floor:
//! below that a nonce without a window was perhaps used, and is never taken again (THREATS T-D11).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::hash::{Ha1, Hashed};
use crate::account::Account;

/// More than any client has under way at once, browsers with HTTP/2 included.
const WINDOW: u32 = 256;
const WORDS: usize = 4;
/// Cores rarely want the same part.
const SHARDS: usize = 64;
/// Some 300 bytes each, so that all take 20 MiB at the most; a client takes a nonce in five minutes.
const NONCES_PER_SHARD_MAX: usize = 1024;

/// What a nonce proved: its next requests need no look-up.
#[derive(Clone)]
pub struct Known {
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
    /// It was used before, or is older than the window.
    Used,
    /// Too many nonces came after this one: whether it was used is no longer known.
    Forgotten,
}

struct Seen {
    known: Known,
    /// The highest counter.
    top: u32,
    /// Bit n: counter `top - n` was used.
    used: [u64; WORDS],
}

#[derive(Default)]
struct Shard {
    seen: BTreeMap<u64, Seen>,
    /// Nonces up to this number may have been forgotten.
    floor: Option<u64>,
}

/// The windows of all nonces.
pub struct Windows {
    shards: Box<[Mutex<Shard>]>,
}

impl Windows {
    pub(super) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }

    fn shard(&self, serial: u64) -> Option<MutexGuard<'_, Shard>> {
        let at = usize::try_from(serial % 64).unwrap_or(0);
        self.shards.get(at).map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What a nonce proved before, if it was for this user.
    pub fn recall(&self, serial: u64, user: &str) -> Option<Known> {
        let shard = self.shard(serial)?;
        shard.seen.get(&serial).map(|seen| &seen.known).filter(|known| *known.user == *user).cloned()
    }

    /// Uses a counter up. To be called once the response is verified, never before (T-D7).
    pub fn consume(&self, serial: u64, count: u32, known: impl FnOnce() -> Known) -> Counter {
        let Some(mut shard) = self.shard(serial) else { return Counter::Forgotten };
        if let Some(seen) = shard.seen.get_mut(&serial) {
            return seen.consume(count);
        }
        if shard.floor.is_some_and(|floor| serial <= floor) {
            return Counter::Forgotten;
        }
        let mut used = [0; WORDS];
        set(&mut used, 0);
        shard.seen.insert(serial, Seen { known: known(), top: count, used });
        while shard.seen.len() > NONCES_PER_SHARD_MAX {
            let Some((oldest, _)) = shard.seen.pop_first() else { break };
            shard.floor = shard.floor.max(Some(oldest));
        }
        if shard.seen.contains_key(&serial) { Counter::Fresh } else { Counter::Forgotten }
    }

    /// Lets what a nonce proved be what was found anew: the account has another copy.
    pub fn renew(&self, serial: u64, known: Known) {
        if let Some(seen) = self.shard(serial).as_mut().and_then(|shard| shard.seen.get_mut(&serial)) {
            seen.known = known;
        }
    }
}

impl Seen {
    fn consume(&mut self, count: u32) -> Counter {
        if let Some(ahead) = count.checked_sub(self.top).filter(|ahead| *ahead > 0) {
            shift(&mut self.used, ahead);
            self.top = count;
            set(&mut self.used, 0);
            return Counter::Fresh;
        }
        let behind = self.top - count;
        if behind >= WINDOW || is_set(&self.used, behind) {
            return Counter::Used;
        }
        set(&mut self.used, behind);
        Counter::Fresh
    }
}

fn place(bit: u32) -> (usize, u64) {
    (usize::try_from(bit / 64).unwrap_or(WORDS), 1 << (bit % 64))
}

fn is_set(words: &[u64; WORDS], bit: u32) -> bool {
    let (word, mask) = place(bit);
    // What lies beyond the window counts as used.
    words.get(word).is_none_or(|word| word & mask != 0)
}

fn set(words: &mut [u64; WORDS], bit: u32) {
    let (word, mask) = place(bit);
    if let Some(word) = words.get_mut(word) {
        *word |= mask;
    }
}

/// Moves every bit `by` places up; what falls out is older than the window.
fn shift(words: &mut [u64; WORDS], by: u32) {
    let old = *words;
    *words = [0; WORDS];
    for bit in (0..WINDOW).filter(|bit| is_set(&old, *bit)) {
        if let Some(moved) = bit.checked_add(by).filter(|moved| *moved < WINDOW) {
            set(words, moved);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::collections::BTreeSet;

    use proptest::prelude::{Strategy as _, prop, proptest};

    use super::super::hash::DigestHash;
    use super::*;

    fn known(user: &str) -> Known {
        let account = Arc::new(crate::authenticate::foreign(&"users".into()));
        Known { user: user.into(), account, ha1: Ha1::of(DigestHash::Sha256, user, "r", "p"), session: None }
    }

    fn consume(windows: &Windows, serial: u64, count: u32) -> Counter {
        windows.consume(serial, count, || known("ann"))
    }

    #[test]
    fn each_counter_once_and_out_of_order_within_the_window() {
        use Counter::{Fresh, Used};
        let windows = Windows::new();
        for (count, expected) in [
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
            (u32::MAX - 255, Fresh),
            (u32::MAX - 256, Used),
        ] {
            assert_eq!(consume(&windows, 5, count), expected, "{count}");
        }
        assert_eq!(consume(&windows, 6, 1), Fresh, "another nonce counts for itself");
    }

    #[test]
    fn what_was_forgotten_is_never_fresh_again() {
        let windows = Windows::new();
        let max = u64::try_from(NONCES_PER_SHARD_MAX).unwrap();
        for nonce in 0..max {
            assert_eq!(consume(&windows, nonce * 64, 1), Counter::Fresh);
        }
        assert_eq!(consume(&windows, 0, 1), Counter::Used);
        assert_eq!(consume(&windows, max * 64, 1), Counter::Fresh);
        assert_eq!(consume(&windows, 0, 1), Counter::Forgotten);
        assert_eq!(consume(&windows, 0, 2), Counter::Forgotten);
        assert_eq!(consume(&windows, 64, 1), Counter::Used, "the next one is still there");
        assert_eq!(consume(&windows, 64, 2), Counter::Fresh);
        assert_eq!(consume(&windows, 1, 1), Counter::Fresh, "another part");
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

    proptest! {
        /// Against a plain set of numbers.
        #[test]
        fn a_window_is_a_set_that_forgets(counts in prop::collection::vec((1_u32..700).prop_map(|n| n * 3 % 701), 1..400)) {
            let windows = Windows::new();
            let (mut used, mut top) = (BTreeSet::new(), 0);
            for (at, count) in counts.into_iter().enumerate() {
                let old = at > 0 && top >= count + WINDOW;
                let fresh = !old && used.insert(count);
                let expected = if fresh { Counter::Fresh } else { Counter::Used };
                assert_eq!(consume(&windows, 9, count), expected, "{count} after {top}");
                top = top.max(count);
            }
        }
    }
}
