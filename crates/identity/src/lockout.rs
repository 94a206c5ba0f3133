//! Failed proofs are counted, and slow further ones down.
//!
//! Two kinds of buckets. *Accounts*: one bucket for an account whatever the dialect, the spelling of its name or
//! the e-mail address in its place (T-D3, T-D4); an address at which the account was proven before has a
//! bucket of its own, so that strangers' guesses do not lock the owner out (T-D5). From the fifth failure on,
//! each one locks the bucket for twice as long, 1 s to 15 min. *Addresses*: so many failures a minute, whoever
//! the user; an IPv6 subscriber is his /64.
//!
//! An attempt that takes time is counted before it is made and given back when it succeeds: a thousand guesses at once are
//! not all the first. One that is checked in one go is [looked at](Lockout::is_locked) first and counted when it
//! [has failed](Lockout::failed): no thread has more than one in hand, so that no more are looked at than lock the bucket,
//! and one for each thread beside; and whoever is right is in nobody's way. Unknown names need no bucket: a locked account
//! looks to clients like a wrong password, at the same cost, so there is nothing to tell the two apart by.

pub(crate) mod account;
pub(crate) mod addresses;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use countersign_auth::source::Source;
use countersign_auth::time::Time;
use hashbrown::{HashMap, HashSet};

use self::account::Account;
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

/// See the module's words. Accounts are as many as there are accounts with failures in the last hour, or that have
/// logged in.
pub(crate) struct Lockout {
    patience: Patience,
    accounts: Mutex<Accounts>,
    /// Copies of the accounts with a locked bucket: whoever asks about an account, on each of its requests, takes no
    /// mutex. Changed under that of `accounts`.
    locked: Rcu<HashMap<u64, Arc<Account>>>,
    /// Wrong proofs from addresses.
    pub(crate) addresses: Arc<Addresses>,
    /// Ids and references from addresses that were not the caller's.
    pub(crate) guesses: Addresses,
}

#[derive(Default)]
struct Accounts {
    all: HashMap<u64, Account>,
    /// Those with failures: a few of all that have logged in.
    struck: HashSet<u64>,
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
        let source = self.accounts().all.get(&account).and_then(|account| account.bucket(source));
        Bucket { account, source }
    }

    /// When the last lock of an account ends, wherever the attempts came from that began it.
    pub(crate) fn locked_until(&self, account: u64, now: Time) -> Option<Time> {
        self.locked.read().get(&account).and_then(|account| account.locked_until(now))
    }

    /// Whether attempts on an account from an address are refused for now. It waits for nobody, unless the clock was set
    /// back since the account was locked.
    pub(crate) fn is_locked(&self, account: u64, source: Source, now: Time) -> bool {
        let look = |account: &Account| match account.strikes(account.bucket(source)) {
            Some(strikes) => strikes.are_locked(now),
            None => Some(false),
        };
        let at_hand = self.locked.read().get(&account).map_or(Some(false), |account| look(account));
        at_hand.unwrap_or_else(|| {
            self.change(account, now, |own| {
                own.sweep(now);
                look(own).unwrap_or(false)
            })
        })
    }

    /// Changes an account, and the copy that is read of it.
    fn change<R>(&self, number: u64, now: Time, work: impl FnOnce(&mut Account) -> R) -> R {
        let mut accounts = self.accounts();
        let Accounts { all, struck } = &mut *accounts;
        let account = all.entry(number).or_default();
        let answer = work(account);
        let is_locked = account.locked_until(now).is_some();
        if is_locked || self.locked.read().contains_key(&number) {
            let copy = is_locked.then(|| Arc::new(account.clone()));
            self.locked.change(|locked| {
                locked.retain(|_, account| account.locked_until(now).is_some());
                match copy {
                    Some(copy) => drop(locked.insert(number, copy)),
                    None => drop(locked.remove(&number)),
                }
            });
        }
        if account.is_struck() {
            struck.insert(number);
        } else {
            struck.remove(&number);
            if account.is_nobodys() {
                all.remove(&number);
            }
        }
        answer
    }

    /// For how long so many failures lock a bucket.
    fn delay(&self, failures: u32) -> Option<Duration> {
        let Patience { failures: free, delay_first, delay_max, .. } = self.patience;
        let factor = 1_u32.checked_shl(failures.checked_sub(free)?).unwrap_or(u32::MAX);
        Some(delay_first.saturating_mul(factor).min(delay_max))
    }

    fn verdict(&self, failures: u32) -> Verdict {
        if failures == self.patience.failures { Verdict::NowLocked } else { Verdict::Counted }
    }

    /// Counts an attempt as failed before it is made.
    pub(crate) fn begin(&self, bucket: Bucket, now: Time) -> Result<Verdict, Locked> {
        // Guesses at a locked account go on, and each change would be a copy of all that are locked.
        let at_hand = self.locked.read().get(&bucket.account).cloned();
        let strikes = at_hand.as_ref().and_then(|account| account.strikes(bucket.source));
        if strikes.and_then(|strikes| strikes.are_locked(now)) == Some(true) {
            return Err(Locked);
        }
        let strike =
            |account: &mut Account| account.strike(bucket.source, now, |failures| self.delay(failures));
        self.change(bucket.account, now, strike).map(|failures| self.verdict(failures)).ok_or(Locked)
    }

    /// Counts an attempt that failed, after it was asked whether the account [is locked](Self::is_locked), and nothing was
    /// waited for since. It counts also if others have locked the bucket meanwhile: guesses that are made at the same time
    /// wait no less for the next ones than if they came one after the other.
    pub(crate) fn failed(&self, bucket: Bucket, now: Time) -> Verdict {
        let count =
            |account: &mut Account| account.count(bucket.source, now, |failures| self.delay(failures));
        self.verdict(self.change(bucket.account, now, count))
    }

    /// The attempt succeeded: the bucket is empty again, and the address is known from now on.
    pub(crate) fn succeeded(&self, bucket: Bucket, address: IpAddr, now: Time) {
        self.change(bucket.account, now, |account| {
            account.forget(bucket.source);
            account.know(Source::of(address));
        });
    }

    /// Somebody whom an address is not locked for has shown there a proof that was verified before: it is known from now
    /// on, and no attempt, so that what was counted stays.
    pub(crate) fn know(&self, account: u64, source: Source, now: Time) {
        self.change(account, now, |account| account.know(source));
    }

    /// The attempt came to nothing for a reason that is not the caller's.
    pub(crate) fn undo(&self, bucket: Bucket, now: Time) {
        self.change(bucket.account, now, |account| {
            if let Some(strikes) = account.strikes_mut(bucket.source) {
                strikes.failures = strikes.failures.saturating_sub(1);
                strikes.locked_until = None;
            }
        });
    }

    /// Empties all buckets of an account.
    pub(crate) fn unlock(&self, account: u64, now: Time) {
        self.change(account, now, Account::unlock);
    }

    /// Forgets what is over.
    pub(crate) fn sweep(&self, now: Time) {
        let mut accounts = self.accounts();
        let Accounts { all, struck } = &mut *accounts;
        let mut still_locked = HashMap::new();
        struck.retain(|number| {
            let Some(account) = all.get_mut(number) else { return false };
            account.sweep(now);
            if account.locked_until(now).is_some() {
                still_locked.insert(*number, Arc::new(account.clone()));
            }
            let is_struck = account.is_struck();
            if account.is_nobodys() {
                all.remove(number);
            }
            is_struck
        });
        self.locked.change(|locked| *locked = still_locked);
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
    use super::account::KNOWN_SOURCES_MAX;
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
        let is_locked = |account, now| lockout.is_locked(account, Source::of(ip("10.0.0.1")), at(now));
        assert!(is_locked(7, now) && is_locked(7, now + 899_999));
        assert!(!is_locked(7, now + 900_000) && !is_locked(8, now));
        assert!(lockout.begin(lockout.bucket(8, ip("10.0.0.1")), at(0)).is_ok());
        lockout.unlock(7, at(now));
        assert!(!is_locked(7, now));
        assert!(lockout.begin(bucket, at(now)).is_ok());
    }

    /// Requests take the time before they take their turn.
    #[test]
    fn who_is_overtaken_by_a_failure_is_not_locked_out() {
        let lockout = Lockout::new(Patience::default());
        let bucket = lockout.bucket(7, ip("10.0.0.1"));
        let is_locked = |now| lockout.is_locked(7, Source::of(ip("10.0.0.1")), at(now));
        lockout.begin(bucket, at(2)).unwrap();
        lockout.begin(bucket, at(1)).unwrap();
        assert!(!is_locked(0));
        lockout.undo(bucket, at(2));
        lockout.begin(bucket, at(1)).unwrap();
        for now in [3, 2] {
            lockout.begin(bucket, at(now)).unwrap();
        }
        // The fifth was given back.
        lockout.begin(bucket, at(5)).unwrap();
        lockout.undo(bucket, at(5));
        assert!(!is_locked(4));
        assert_eq!(lockout.begin(bucket, at(4)).unwrap(), Verdict::NowLocked);
        assert!(is_locked(1) && is_locked(1004) && !is_locked(1005));
    }

    #[test]
    fn guesses_at_once_are_no_more_than_lock_the_bucket_and_one_a_thread() {
        const THREADS: usize = 8;
        let lockout = Lockout::new(Patience::default());
        let (address, threads) = (ip("10.0.0.1"), std::sync::Barrier::new(THREADS));
        let burst = |now: i64| {
            let guess = || {
                threads.wait();
                let look = || !lockout.is_locked(7, Source::of(address), at(now));
                (0..1000)
                    .filter(|_| {
                        look() && lockout.failed(lockout.bucket(7, address), at(now)) != Verdict::NowLocked
                    })
                    .count()
            };
            std::thread::scope(|scope| {
                let guesses: Vec<_> = (0..THREADS).map(|_| scope.spawn(guess)).collect();
                guesses.into_iter().map(|guesses| guesses.join().unwrap()).sum::<usize>()
            })
        };
        // The one that locked it is not among them.
        let first = burst(0);
        assert!((4..4 + THREADS).contains(&first), "{first}");
        // All of them count towards the next lock.
        let end = lockout.locked_until(7, at(0)).unwrap();
        assert_eq!(end.since(at(0)), Duration::from_secs(1 << (first - 4)));
        let second = burst(end.unix_ms() - at(0).unix_ms());
        assert!((1..=THREADS).contains(&second), "{second}");
    }

    #[test]
    fn strangers_do_not_lock_the_owner_out() {
        let lockout = Lockout::new(Patience::default());
        let home = lockout.bucket(7, ip("2001:db8::1"));
        lockout.begin(home, at(0)).unwrap();
        lockout.succeeded(home, ip("2001:db8::1"), at(0));
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
    fn an_account_is_known_at_so_many_addresses_and_the_oldest_gives_way() {
        let lockout = Lockout::new(Patience::default());
        let host = |number: usize| ip(&format!("10.0.{}.{}", number / 200, number % 200));
        for number in 0..KNOWN_SOURCES_MAX {
            lockout.know(7, Source::of(host(number)), at(0));
        }
        let stranger = lockout.bucket(7, ip("10.9.9.9"));
        for _ in 0..5 {
            lockout.begin(stranger, at(1)).unwrap();
        }
        let is_locked = |number| lockout.is_locked(7, Source::of(host(number)), at(1));
        assert!((0..KNOWN_SOURCES_MAX).all(|number| !is_locked(number)));
        assert!(is_locked(KNOWN_SOURCES_MAX), "who comes meanwhile");
        // One is locked by itself, and by itself alone.
        for _ in 0..5 {
            lockout.begin(lockout.bucket(7, host(0)), at(1)).unwrap();
        }
        assert!(is_locked(0) && !is_locked(1));
        lockout.know(7, Source::of(host(1)), at(1));
        lockout.know(7, Source::of(ip("10.8.8.8")), at(1));
        assert!(!is_locked(1) && !is_locked(2) && is_locked(0));
        lockout.unlock(7, at(1));
        assert!(!is_locked(0) && !is_locked(KNOWN_SOURCES_MAX));
        lockout.sweep(at(3 * 3600 * 1000));
        assert_eq!(lockout.bucket(7, host(1)).source, Some(Source::of(host(1))), "known for good");
    }

    /// Where somebody counts a failure of an account that is locked, a request of its owner goes on.
    #[test]
    fn who_asks_about_a_locked_account_waits_for_nobody() {
        let lockout = Arc::new(Lockout::new(Patience::default()));
        lockout.know(7, Source::of(ip("10.0.0.1")), at(0));
        for _ in 0..5 {
            lockout.begin(lockout.bucket(7, ip("10.9.9.9")), at(0)).unwrap();
        }
        let held = lockout.accounts();
        let (said, answer) = std::sync::mpsc::channel();
        let asked = Arc::clone(&lockout);
        std::thread::spawn(move || {
            let is_locked = |address| asked.is_locked(7, Source::of(ip(address)), at(0));
            let stranger = Bucket { account: 7, source: None };
            said.send([is_locked("10.0.0.1"), is_locked("10.9.9.9"), asked.begin(stranger, at(0)).is_err()])
        });
        assert_eq!(answer.recv_timeout(Duration::from_secs(60)).unwrap(), [false, true, true]);
        drop(held);
    }

    #[test]
    fn a_clock_that_is_set_back_makes_no_lock_longer() {
        let address = ip("10.0.0.1");
        let hour = 3_600_000;
        // Whoever looks first: the next attempt, a remembered password, or the sweeper.
        let looks: [fn(&Lockout, Bucket, Time); 3] = [
            |lockout, bucket, now| assert!(lockout.begin(bucket, now).is_err()),
            |lockout, bucket, now| {
                assert!(lockout.is_locked(bucket.account, Source::of(ip("10.0.0.1")), now))
            },
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
            assert!(lockout.is_locked(7, Source::of(address), at(63_999)));
            assert!(!lockout.is_locked(7, Source::of(address), at(64_000)));
            lockout.sweep(at(64_000 + hour));
            assert!(lockout.accounts().all.is_empty() && lockout.locked.read().is_empty());
        }
    }

    /// The sweeper looks at these alone, however many have logged in.
    #[test]
    fn accounts_with_failures_are_told_from_those_that_are_known() {
        let lockout = Lockout::new(Patience::default());
        let home = ip("10.0.0.1");
        for known in 0..100 {
            lockout.know(known, Source::of(home), at(0));
        }
        let struck = |numbers: &[u64]| {
            assert_eq!(lockout.accounts().struck, numbers.iter().copied().collect());
            // All that have failures, and no others.
            let accounts = lockout.accounts();
            let mut have = accounts.all.iter().filter(|(_, account)| account.is_struck());
            assert!(
                have.clone().count() == numbers.len() && have.all(|(number, _)| numbers.contains(number))
            );
        };
        let fails = |account| {
            lockout.begin(lockout.bucket(account, home), at(1)).unwrap();
        };
        [7, 8, 9, 10, 200, 201].into_iter().for_each(fails);
        struck(&[7, 8, 9, 10, 200, 201]);
        lockout.succeeded(lockout.bucket(7, home), home, at(1));
        lockout.unlock(8, at(1));
        lockout.unlock(200, at(1));
        struck(&[9, 10, 201]);
        [10; 3].into_iter().for_each(fails);
        lockout.sweep(at(3_599_000));
        struck(&[9, 10, 201]);
        // A stranger's is a bucket beside it.
        lockout.begin(lockout.bucket(10, ip("10.9.9.9")), at(3_599_000)).unwrap();
        lockout.sweep(at(3_601_000));
        struck(&[10]);
        lockout.sweep(at(2 * 3_600_000));
        struck(&[]);
        assert_eq!(lockout.accounts().all.len(), 100);
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
        assert!(lockout.accounts().all.is_empty() && lockout.locked.read().is_empty());
    }
}
