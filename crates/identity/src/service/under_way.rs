//! How many changes that clients order are under way, in all and of one account.
//!
//! Changes of accounts and keys go one after the other, and each waits for the disk; a change that has begun goes on when
//! its client has gone. So whoever finds no place is told to come back later, before anything of his is kept. What operators
//! order takes no place: it waits behind those that have one, and behind nobody else.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashMap;

/// Changes of keys, or of passwords, that clients may have under way at once. A disk that takes five milliseconds has written
/// them all in a third of a second, which is how long an operator's order waits for them. A password is checked before.
const UNDER_WAY_MAX: usize = 64;
/// Of them of one account, which may be a program that sets up keys for many services at once.
const KEYS_UNDER_WAY_MAX: usize = 8;
/// Changes of an account's password at once: it has one, and each costs a run of the KDF.
const PASSWORDS_UNDER_WAY_MAX: usize = 1;

/// See the module's words.
pub(super) struct UnderWay(Arc<Inner>);

struct Inner {
    of_one_max: usize,
    /// Of accounts that have some.
    counts: Mutex<HashMap<u64, usize>>,
}

/// A place, until it is dropped; whoever works on the change holds it.
pub(super) struct Place {
    of: Arc<Inner>,
    account: u64,
}

impl UnderWay {
    /// For changes of keys.
    pub(super) fn of_keys() -> Self {
        Self::with(KEYS_UNDER_WAY_MAX)
    }

    /// For changes of passwords.
    pub(super) fn of_passwords() -> Self {
        Self::with(PASSWORDS_UNDER_WAY_MAX)
    }

    fn with(of_one_max: usize) -> Self {
        Self(Arc::new(Inner { of_one_max, counts: Mutex::default() }))
    }

    /// A place for a change that an account orders; `None` if it has, or all have, too many under way.
    pub(super) fn begin(&self, account: u64) -> Option<Place> {
        let mut counts = self.0.counts();
        if counts.values().sum::<usize>() >= UNDER_WAY_MAX {
            return None;
        }
        let count = counts.entry(account).or_insert(0);
        if *count >= self.0.of_one_max {
            return None;
        }
        *count += 1;
        Some(Place { of: Arc::clone(&self.0), account })
    }
}

impl Inner {
    fn counts(&self) -> MutexGuard<'_, HashMap<u64, usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.of.counts();
        if let Some(count) = counts.get_mut(&self.account) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&self.account);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn an_account_has_some_places_and_all_have_more() {
        let under_way = UnderWay::of_keys();
        let mut held: Vec<_> = (0..KEYS_UNDER_WAY_MAX).map(|_| under_way.begin(1).unwrap()).collect();
        assert!(under_way.begin(1).is_none());
        for account in 2..=8 {
            held.extend((0..KEYS_UNDER_WAY_MAX).map(|_| under_way.begin(account).unwrap()));
        }
        assert_eq!(held.len(), UNDER_WAY_MAX);
        assert!(under_way.begin(9).is_none());
        held.pop();
        let last = under_way.begin(9).unwrap();
        assert!(under_way.begin(9).is_none() && under_way.begin(8).is_none(), "all are taken again");
        drop((held, last));
        assert!(under_way.0.counts().is_empty());
    }
}
