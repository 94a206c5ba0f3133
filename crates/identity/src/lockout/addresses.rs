//! What fails from one address, a minute at a time.

use std::net::IpAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use countersign_auth::source::{Minute, Source};
use countersign_auth::time::Time;
use quick_cache::sync::Cache;

use super::Locked;

/// Addresses that are watched at once; the least watched give way.
const ADDRESSES_MAX: usize = 65_536;

/// So many failures a minute from one address; what was counted and is none is given back.
pub(crate) struct Addresses {
    per_minute: u32,
    minutes: Cache<Source, Arc<Mutex<Minute>>>,
    /// In Unix milliseconds: from then on no address is out of attempts, as far as is known. While it is past, which it
    /// is unless somebody guesses, nobody waits for a lock.
    spent_until: AtomicI64,
}

impl Addresses {
    pub(crate) fn new(per_minute: u32) -> Self {
        Self { per_minute, minutes: Cache::new(ADDRESSES_MAX), spent_until: AtomicI64::new(i64::MIN) }
    }

    /// Counts an attempt as failed before it is made; `Err` if there were too many.
    pub(crate) fn begin(&self, address: IpAddr, now: Time) -> Result<(), Locked> {
        let failures = self.minute(address, now);
        let mut failures = locked(&failures);
        if failures.count(now) >= self.per_minute {
            return Err(Locked);
        }
        failures.add(now);
        if failures.count(now) >= self.per_minute {
            self.spent_until.fetch_max(failures.end().unix_ms(), Ordering::Relaxed);
        }
        Ok(())
    }

    /// Whether an address has no attempts left; counts none. For proofs that cost nothing to check, of which failures
    /// alone are counted, once they are known: at most one more for each request that is checked at the same time.
    pub(crate) fn is_spent(&self, address: IpAddr, now: Time) -> bool {
        if now.unix_ms() >= self.spent_until.load(Ordering::Relaxed) {
            return false;
        }
        let failures = self.minutes.get(&Source::of(address));
        failures.is_some_and(|failures| locked(&failures).count(now) >= self.per_minute)
    }

    /// Gives an attempt back that was not a failure.
    pub(crate) fn forgive(&self, address: IpAddr, now: Time) {
        locked(&self.minute(address, now)).take_back();
    }

    fn minute(&self, address: IpAddr, now: Time) -> Arc<Mutex<Minute>> {
        let new = || Ok::<_, std::convert::Infallible>(Arc::new(Mutex::new(Minute::begin(now))));
        match self.minutes.get_or_insert_with(&Source::of(address), new) {
            Ok(minute) => minute,
            Err(never) => match never {},
        }
    }
}

fn locked(minute: &Mutex<Minute>) -> MutexGuard<'_, Minute> {
    minute.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn an_address_has_its_failures_a_minute() {
        let at = |ms: i64| Time::from_unix_ms(1_700_000_000_000 + ms);
        let ip = |text: &str| -> IpAddr { text.parse().unwrap() };
        let addresses = Addresses::new(50);
        for _ in 0..50 {
            addresses.begin(ip("10.0.0.1"), at(0)).unwrap();
            addresses.begin(ip("::ffff:10.0.0.2"), at(0)).unwrap();
            addresses.forgive(ip("10.0.0.2"), at(0));
        }
        assert!(addresses.is_spent(ip("::ffff:10.0.0.1"), at(59_999)));
        assert!(!addresses.is_spent(ip("10.0.0.2"), at(0)) && !addresses.is_spent(ip("10.0.0.3"), at(0)));
        assert!(!addresses.is_spent(ip("10.0.0.1"), at(60_000)));
        assert!(addresses.is_spent(ip("10.0.0.1"), at(-59_999)), "a request that was overtaken");
        assert!(addresses.begin(ip("10.0.0.1"), at(-1)).is_err());
        assert!(!addresses.is_spent(ip("10.0.0.1"), at(-60_000)), "the clock was set back");
        assert!(addresses.begin(ip("10.0.0.1"), at(59_999)).is_err());
        assert!(addresses.begin(ip("10.0.0.2"), at(0)).is_ok());
        assert!(addresses.begin(ip("10.0.0.1"), at(60_000)).is_ok());
    }
}
