//! Failed proofs are counted, and slow further ones down.
//!
//! Two kinds of buckets. *Accounts*: one bucket for an account whatever the dialect, the spelling of its name or
//! the e-mail address in its place (T-D3, T-D4); an address from which the account has logged in before has a
//! bucket of its own, so that strangers' guesses do not lock the owner out (T-D5). From the fifth failure on,
//! each one locks the bucket for twice as long, 1 s to 15 min. *Addresses*: so many failures a minute, whoever
//! the user; an IPv6 subscriber is his /64.
//!
//! An attempt is counted before it is made and given back when it succeeds: a thousand guesses at once are not
//! all the first. Unknown names need no bucket: a locked account looks to clients like a wrong password, at the
//! same cost, so there is nothing to tell the two apart by.

pub(crate) mod addresses;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use countersign_auth::source::Source;
use countersign_auth::time::Time;
use hashbrown::HashMap;
use smallvec::SmallVec;

use self::addresses::Addresses;
use crate::rcu::Rcu;

/// How patient the gate is.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// From this failure on a bucket is locked for a while.
    pub failures: u32,
    /// The first lock; each further failure doubles it.
    pub delay_first: Duration,
    /// The longest lock.
    pub delay_max: Duration,
    /// Failures a minute from one address, whoever the user.
    pub address_failures: u32,
    /// Ids and references a minute from one address that turn out not to be the caller's.
    pub address_guesses: u32,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            failures: 5,
            delay_first: Duration::from_secs(1),
            delay_max: Duration::from_secs(15 * 60),
            address_failures: 50,
            address_guesses: 300,
        }
    }
}

/// Failures are forgotten so long after the last one.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60 * 60);
/// Addresses that an account is known to log in from; the oldest gives way.
const KNOWN_ADDRESSES_MAX: usize = 8;

/// A bucket of failures: an account, and the address if it is a known one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Bucket {
    account: u64,
    source: Option<Source>,
}

impl Bucket {
    /// Something to put into a key with other things.
    pub(crate) fn text(&self) -> String {
        match self.source {
            Some(source) => format!("{} {source}", self.account),
            None => self.account.to_string(),
        }
    }
}

#[derive(Clone, Copy)]
struct Strikes {
    failures: u32,
    last: Time,
    locked_until: Time,
}

impl Strikes {
    /// Whether there is a lock. One that was made by a clock which has been set back since begins again, as long as it
    /// was, rather than to last for as long as the clock was set back as well. Requests that overtake each other change
    /// nothing.
    fn are_locked(&mut self, now: Time) -> bool {
        if now.is_set_back_from(self.last) {
            self.locked_until = now.plus(self.locked_until.since(self.last));
            self.last = now;
        }
        now < self.locked_until
    }
}

#[derive(Default)]
struct Accounts {
    buckets: HashMap<Bucket, Strikes>,
    known: HashMap<u64, SmallVec<[Source; KNOWN_ADDRESSES_MAX]>>,
}

/// The bucket is locked.
#[derive(Debug)]
pub(crate) struct Locked;

/// What a failure came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The bucket is still open.
    Counted,
    /// This failure was the first one that locked it.
    NowLocked,
}

/// See the module's words. Accounts are as many as there are accounts with failures in the last hour.
pub(crate) struct Lockout {
    patience: Patience,
    accounts: Mutex<Accounts>,
    /// Accounts with a locked bucket, and when the last of it ends: whoever asks about another account, on each of
    /// its requests, takes no mutex.
    locked: Rcu<HashMap<u64, Time>>,
    /// Wrong proofs from addresses.
    pub(crate) addresses: Arc<Addresses>,
    /// Ids and references from addresses that were not the caller's.
    pub(crate) guesses: Addresses,
}

impl Lockout {
    pub(crate) fn new(patience: Patience) -> Self {
        Self {
            accounts: Mutex::default(),
            locked: Rcu::default(),
            addresses: Arc::new(Addresses::new(patience.address_failures)),
            guesses: Addresses::new(patience.address_guesses),
            patience,
        }
    }

    fn accounts(&self) -> MutexGuard<'_, Accounts> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bucket that an attempt on an account counts in.
    pub(crate) fn bucket(&self, account: u64, address: IpAddr) -> Bucket {
        let source = Source::of(address);
        let known = self.accounts().known.get(&account).is_some_and(|known| known.contains(&source));
        Bucket { account, source: known.then_some(source) }
    }

    /// When the last lock of an account ends, wherever the attempts came from that began it.
    pub(crate) fn locked_until(&self, account: u64, now: Time) -> Option<Time> {
        self.locked.read().get(&account).copied().filter(|end| now < *end)
    }

    /// Whether attempts on an account from an address are refused for now.
    pub(crate) fn is_locked(&self, account: u64, address: IpAddr, now: Time) -> bool {
        if self.locked.read().get(&account).is_none_or(|end| now >= *end) {
            return false;
        }
        let bucket = self.bucket(account, address);
        self.accounts().buckets.get_mut(&bucket).is_some_and(|strikes| strikes.are_locked(now))
    }

    /// Counts an attempt as failed before it is made.
    pub(crate) fn begin(&self, bucket: Bucket, now: Time) -> Result<Verdict, Locked> {
        let mut accounts = self.accounts();
        let strikes =
            accounts.buckets.entry(bucket).or_insert(Strikes { failures: 0, last: now, locked_until: now });
        if strikes.are_locked(now) {
            return Err(Locked);
        }
        if now.since(strikes.last) >= FORGOTTEN_AFTER {
            strikes.failures = 0;
        }
        strikes.failures = strikes.failures.saturating_add(1);
        strikes.last = now.max(strikes.last);
        let Some(beyond) = strikes.failures.checked_sub(self.patience.failures) else {
            return Ok(Verdict::Counted);
        };
        let factor = 1_u32.checked_shl(beyond).unwrap_or(u32::MAX);
        let delay = self.patience.delay_first.saturating_mul(factor).min(self.patience.delay_max);
        strikes.locked_until = strikes.last.plus(delay);
        let end = strikes.locked_until;
        self.locked.change(|locked| {
            locked.retain(|_, end| now < *end);
            let until = locked.entry(bucket.account).or_insert(end);
            *until = end.max(*until);
        });
        Ok(if beyond == 0 { Verdict::NowLocked } else { Verdict::Counted })
    }

    /// The attempt succeeded: the bucket is empty again, and the address is known from now on.
    pub(crate) fn succeeded(&self, bucket: Bucket, address: IpAddr) {
        let mut accounts = self.accounts();
        accounts.buckets.remove(&bucket);
        let source = Source::of(address);
        let known = accounts.known.entry(bucket.account).or_default();
        if let Some(at) = known.iter().position(|other| *other == source) {
            known.remove(at);
        } else if known.len() >= KNOWN_ADDRESSES_MAX {
            known.remove(0);
        }
        known.push(source);
    }

    /// The attempt came to nothing for a reason that is not the caller's.
    pub(crate) fn undo(&self, bucket: Bucket) {
        let mut accounts = self.accounts();
        if let Some(strikes) = accounts.buckets.get_mut(&bucket) {
            strikes.failures = strikes.failures.saturating_sub(1);
            strikes.locked_until = strikes.last;
        }
    }

    /// Empties all buckets of an account.
    pub(crate) fn unlock(&self, account: u64) {
        self.accounts().buckets.retain(|bucket, _| bucket.account != account);
    }

    /// Forgets what is over.
    pub(crate) fn sweep(&self, now: Time) {
        self.accounts()
            .buckets
            .retain(|_, strikes| strikes.are_locked(now) || now.since(strikes.last) < FORGOTTEN_AFTER);
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

    fn at(ms: i64) -> Time {
        Time::from_unix_ms(1_700_000_000_000 + ms)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_fifth_failure_locks_and_each_further_one_for_twice_as_long() {
        let lockout = Lockout::new(Patience::default());
        let bucket = lockout.bucket(7, ip("10.0.0.1"));
        for _ in 0..4 {
            assert_eq!(lockout.begin(bucket, at(0)).unwrap(), Verdict::Counted);
        }
        assert_eq!(lockout.begin(bucket, at(0)).unwrap(), Verdict::NowLocked);
        let mut now = 0;
        for delay in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900] {
            let delay = delay * 1000;
            assert!(lockout.begin(bucket, at(now + delay - 1)).is_err(), "{delay}");
            now += delay;
            assert!(lockout.begin(bucket, at(now)).is_ok(), "{delay}");
        }
        let is_locked = |account, now| lockout.is_locked(account, ip("10.0.0.1"), at(now));
        assert!(is_locked(7, now) && is_locked(7, now + 899_999));
        assert!(!is_locked(7, now + 900_000) && !is_locked(8, now));
        assert!(lockout.begin(lockout.bucket(8, ip("10.0.0.1")), at(0)).is_ok());
        lockout.unlock(7);
        assert!(!is_locked(7, now));
        assert!(lockout.begin(bucket, at(now)).is_ok());
    }

    #[test]
    fn strangers_do_not_lock_the_owner_out() {
        let lockout = Lockout::new(Patience::default());
        let home = lockout.bucket(7, ip("2001:db8::1"));
        lockout.begin(home, at(0)).unwrap();
        lockout.succeeded(home, ip("2001:db8::1"));
        for guess in 1..=5 {
            let stranger = lockout.bucket(7, ip(&format!("10.0.0.{guess}")));
            assert!(lockout.begin(stranger, at(1)).is_ok());
        }
        assert!(lockout.begin(lockout.bucket(7, ip("10.9.9.9")), at(2)).is_err());
        let neighbour = lockout.bucket(7, ip("2001:db8::2"));
        assert!(lockout.begin(neighbour, at(2)).is_ok(), "one /64 is one address");
        assert!(lockout.begin(lockout.bucket(7, ip("2001:db8:1::2")), at(2)).is_err());
    }

    #[test]
    fn a_clock_that_is_set_back_makes_no_lock_longer() {
        let address = ip("10.0.0.1");
        let hour = 3_600_000;
        // Whoever looks first: the next attempt, a remembered password, or the sweeper.
        let looks: [fn(&Lockout, Bucket, Time); 3] = [
            |lockout, bucket, now| assert!(lockout.begin(bucket, now).is_err()),
            |lockout, bucket, now| assert!(lockout.is_locked(bucket.account, ip("10.0.0.1"), now)),
            |lockout, _, now| lockout.sweep(now),
        ];
        for look in looks {
            let lockout = Lockout::new(Patience::default());
            let bucket = lockout.bucket(7, address);
            for failure in 0..7 {
                lockout.begin(bucket, at(hour + failure * 10_000)).unwrap();
            }
            // Locked for 4 s, and the clock goes back by an hour.
            look(&lockout, bucket, at(60_000));
            assert!(lockout.is_locked(7, address, at(63_999)));
            assert!(!lockout.is_locked(7, address, at(64_000)));
            lockout.sweep(at(64_000 + hour));
            assert!(lockout.accounts().buckets.is_empty());
        }
    }

    #[test]
    fn an_hour_of_peace_is_enough() {
        let lockout = Lockout::new(Patience::default());
        let bucket = lockout.bucket(7, ip("10.0.0.1"));
        for _ in 0..4 {
            lockout.begin(bucket, at(0)).unwrap();
        }
        for attempt in 0..4 {
            assert_eq!(lockout.begin(bucket, at(3_600_000 + attempt)).unwrap(), Verdict::Counted);
        }
        lockout.sweep(at(2 * 3_600_000 + 10));
        assert!(lockout.accounts().buckets.is_empty());
    }
}
