//! What fails from one address, a minute at a time.

mod spent;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use countersign_auth::source::{Minute, Source};
use countersign_auth::time::Time;
use quick_cache::sync::Cache;

use self::spent::Spent;
use super::Locked;

/// Addresses whose failed proofs, or whose guesses at ids, are counted at once; the least watched give way.
const ADDRESSES_MAX: usize = 65_536;

/// So many failures a minute from one address; what was counted and is none is given back.
pub(crate) struct Addresses {
    per_minute: u32,
    watched: Cache<Source, Arc<Mutex<Watched>>>,
    spent: Spent,
}

struct Watched {
    minute: Minute,
    /// Whether it stands in [`Spent`].
    is_spent: bool,
}

impl Addresses {
    pub(crate) fn new(per_minute: u32) -> Self {
        Self { per_minute, watched: Cache::new(ADDRESSES_MAX), spent: Spent::new(ADDRESSES_MAX) }
    }

    /// Counts an attempt as failed before it is made; `Err` if there were too many.
    pub(crate) fn begin(&self, address: IpAddr, now: Time) -> Result<(), Locked> {
        let source = Source::of(address);
        let watched = self.watch(source, now);
        let mut watched = locked(&watched);
        if watched.minute.count(now) >= self.per_minute {
            return Err(Locked);
        }
        watched.minute.add(now);
        self.tell(source, &mut watched, now);
        Ok(())
    }

    /// Whether an address has no attempts left; counts none, and waits for nobody. For proofs that cost nothing to check,
    /// of which failures alone are counted, once they are known: at most one more for each request that is checked at the
    /// same time.
    pub(crate) fn is_spent(&self, address: IpAddr, now: Time) -> bool {
        self.spent.has(Source::of(address), now)
    }

    /// Gives an attempt back that was not a failure.
    pub(crate) fn forgive(&self, address: IpAddr, now: Time) {
        let source = Source::of(address);
        let watched = self.watch(source, now);
        let mut watched = locked(&watched);
        watched.minute.take_back();
        self.tell(source, &mut watched, now);
    }

    /// Lets a minute that was changed be known to whoever only asks.
    fn tell(&self, source: Source, watched: &mut Watched, now: Time) {
        let is_spent = watched.minute.count(now) >= self.per_minute;
        if is_spent {
            self.spent.insert(source, watched.minute, now);
        } else if watched.is_spent {
            self.spent.remove(source);
        }
        watched.is_spent = is_spent;
    }

    fn watch(&self, source: Source, now: Time) -> Arc<Mutex<Watched>> {
        let new = || {
            let watched = Watched { minute: Minute::begin(now), is_spent: false };
            Ok::<_, std::convert::Infallible>(Arc::new(Mutex::new(watched)))
        };
        match self.watched.get_or_insert_with(&source, new) {
            Ok(watched) => watched,
            Err(never) => match never {},
        }
    }
}

fn locked(watched: &Mutex<Watched>) -> MutexGuard<'_, Watched> {
    watched.lock().unwrap_or_else(PoisonError::into_inner)
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
    #[test]
    fn what_was_no_failure_leaves_attempts() {
        let at = |secs: i64| Time::from_unix_secs(1_700_000_000 + secs);
        let ip: IpAddr = "10.0.0.1".parse().unwrap();
        let addresses = Addresses::new(1);
        for secs in [0, 1, 61, 30] {
            addresses.begin(ip, at(secs)).unwrap();
            assert!(addresses.is_spent(ip, at(secs)));
            addresses.forgive(ip, at(secs));
            assert!(!addresses.is_spent(ip, at(secs)));
        }
        // One minute after the other, each of which is spent at once.
        let addresses = Addresses::new(1);
        for minute in 2..5 {
            addresses.begin(ip, at(60 * minute)).unwrap();
            assert!(addresses.is_spent(ip, at(60 * minute + 59)));
        }
        // The clock is set back, and comes back to where a minute was spent that is no more.
        let addresses = Addresses::new(2);
        for secs in [3600, 3600, 0] {
            addresses.begin(ip, at(secs)).unwrap();
        }
        assert!(!addresses.is_spent(ip, at(3600)));
    }

    #[test]
    fn no_more_addresses_are_watched_than_so_many() {
        let now = Time::from_unix_secs(1_700_000_000);
        let addresses = Addresses::new(2);
        let most = u32::try_from(ADDRESSES_MAX).unwrap();
        let ip = |number: u32| IpAddr::from(std::net::Ipv4Addr::from_bits(number));
        for number in 0..2 * most {
            addresses.begin(ip(number), now).unwrap();
        }
        assert!(addresses.watched.len() <= ADDRESSES_MAX, "{}", addresses.watched.len());
        // Those that came last are watched as those before them.
        let last = ip(2 * most - 1);
        assert!(!addresses.is_spent(last, now) && addresses.begin(last, now).is_ok());
        assert!(addresses.is_spent(last, now) && addresses.begin(last, now).is_err());
    }

    /// Where somebody counts a failure of an address, a request of that address goes on.
    #[test]
    fn who_only_asks_waits_for_nobody() {
        let now = Time::from_unix_secs(1_700_000_000);
        let ip: IpAddr = "10.0.0.1".parse().unwrap();
        let addresses = Arc::new(Addresses::new(1));
        addresses.begin(ip, now).unwrap();
        let watched = addresses.watch(Source::of(ip), now);
        let held = locked(&watched);
        let (said, answer) = std::sync::mpsc::channel();
        let asked = Arc::clone(&addresses);
        std::thread::spawn(move || said.send(asked.is_spent(ip, now)));
        assert!(answer.recv_timeout(std::time::Duration::from_secs(60)).unwrap());
        drop(held);
    }
}
