//! Sessions that strangers open, counted by the address that they come from.
//!
//! Asked only when an anonymous session is about to be opened: nothing else pays for it.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use countersign_auth::port::strangers::Strangers;
use countersign_auth::source::{Minute, Source};
use countersign_auth::time::Time;
use quick_cache::sync::Cache;

/// Addresses that are watched at once; the least watched give way.
const ADDRESSES_MAX: usize = 65_536;

/// See the module's words.
pub(crate) struct Openings {
    per_minute: u32,
    minutes: Cache<Source, Arc<Mutex<Minute>>>,
}

impl Openings {
    /// So many sessions a minute from one address.
    pub(crate) fn new(per_minute: u32) -> Self {
        Self { per_minute, minutes: Cache::new(ADDRESSES_MAX) }
    }

    /// The budget of an address.
    pub(crate) fn of(&self, address: IpAddr) -> Budget<'_> {
        Budget { openings: self, address }
    }
}

/// The budget of one address.
pub(crate) struct Budget<'o> {
    openings: &'o Openings,
    address: IpAddr,
}

impl Strangers for Budget<'_> {
    fn may_open(&self, now: Time) -> bool {
        let source = Source::of(self.address);
        let begun = || Ok::<_, std::convert::Infallible>(Arc::new(Mutex::new(Minute::begin(now))));
        let Ok(opened) = self.openings.minutes.get_or_insert_with(&source, begun);
        let mut opened = opened.lock().unwrap_or_else(PoisonError::into_inner);
        let may = opened.count(now) < self.openings.per_minute;
        if may {
            opened.add(now);
        }
        may
    }

    fn address(&self) -> IpAddr {
        self.address
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn each_address_has_its_budget_for_a_minute() {
        let openings = Openings::new(2);
        let at = Time::from_unix_secs;
        let open = |address: &str, secs| openings.of(address.parse().unwrap()).may_open(at(secs));
        assert!(open("192.0.2.1", 0) && open("::ffff:192.0.2.1", 59));
        assert!(!open("192.0.2.1", 59), "the third within a minute");
        assert!(open("192.0.2.2", 59), "another address");
        assert!(open("192.0.2.1", 60), "another minute");
        assert!(open("192.0.2.2", 59), "the second");
        assert!(!open("192.0.2.2", 59) && !open("192.0.2.2", 10), "a request that was overtaken");
        assert!(open("192.0.2.2", -1), "the clock went back");
        assert!(open("2001:db8::1", 0) && open("2001:db8::2", 0) && !open("2001:db8::3", 0), "one /64");
    }
    #[test]
    fn no_more_addresses_are_kept_than_so_many() {
        let openings = Openings::new(2);
        let open = |number: u32| {
            let address = IpAddr::from(std::net::Ipv4Addr::from_bits(number));
            openings.of(address).may_open(Time::from_unix_secs(0))
        };
        let most = u32::try_from(ADDRESSES_MAX).unwrap();
        for number in 0..2 * most {
            assert!(open(number), "{number}: another address has another budget");
        }
        assert!(openings.minutes.len() <= ADDRESSES_MAX, "{}", openings.minutes.len());
        // Those that came last are watched as those before them.
        assert!(open(2 * most - 1) && !open(2 * most - 1));
    }
}
