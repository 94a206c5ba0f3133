//! Where requests come from, as far as anything is counted by it, and what is counted of it in a minute.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use crate::time::Time;

/// What counts as one source: an IPv4 address, or the /64 that one IPv6 subscriber usually has to himself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Source(IpAddr);

impl Source {
    /// The source that an address is. An IPv4 address that is mapped into IPv6 is the IPv4 address.
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => address.into(),
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        })
    }
}

impl std::fmt::Display for Source {
    /// Its address, or the first of them.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// How often something happened in a minute, which begins with the first time.
#[derive(Clone, Copy, Debug)]
pub struct Minute {
    since: Time,
    count: u32,
}

const MINUTE: Duration = Duration::from_secs(60);

impl Minute {
    /// One in which nothing has happened yet.
    pub fn begin(now: Time) -> Self {
        Self { since: now, count: 0 }
    }

    /// How often; never, if it is over.
    pub fn count(&self, now: Time) -> u32 {
        if self.is_over(now) { 0 } else { self.count }
    }

    /// Counts one time; the first of another minute if this one is over.
    pub fn add(&mut self, now: Time) {
        if self.is_over(now) {
            *self = Self::begin(now);
        }
        self.count = self.count.saturating_add(1);
    }

    /// Gives one back that should not have been counted.
    pub fn take_back(&mut self) {
        self.count = self.count.saturating_sub(1);
    }

    /// When it is over.
    pub fn end(&self) -> Time {
        self.since.plus(MINUTE)
    }

    /// Also where the clock was set back behind its beginning.
    fn is_over(&self, now: Time) -> bool {
        now >= self.end() || now.is_set_back_from(self.since)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn neighbours_in_ipv6_are_one_source() {
        let source = |address: &str| Source::of(address.parse().unwrap());
        assert_eq!(source("2001:db8::1"), source("2001:db8::ffff:1"));
        assert_ne!(source("2001:db8::1"), source("2001:db8:0:1::1"));
        assert_ne!(source("192.0.2.1"), source("192.0.2.2"));
        assert_eq!(source("192.0.2.1"), source("::ffff:192.0.2.1"));
        // Also where no routed address is.
        assert_ne!(source("0.0.0.1"), source("::2:0:0:0:1"));
        assert_ne!(source("7fff::1"), source("ffff::1"));
    }

    #[test]
    fn a_minute_begins_with_the_first_time_and_no_request_that_was_overtaken_ends_it() {
        let at = |ms: i64| Time::from_unix_ms(1_700_000_000_000 + ms);
        let mut minute = Minute::begin(at(0));
        minute.add(at(0));
        minute.add(at(59_999));
        minute.add(at(-59_999));
        assert_eq!([-60_000, -59_999, 0, 59_999, 60_000].map(|ms| minute.count(at(ms))), [0, 3, 3, 3, 0]);
        minute.take_back();
        assert_eq!(minute.count(at(0)), 2);
        minute.add(at(60_000));
        assert_eq!((minute.count(at(60_000)), minute.end()), (1, at(120_000)));
        // The clock is set back.
        minute.add(at(0));
        assert_eq!((minute.count(at(0)), minute.end()), (1, at(60_000)));
        minute.take_back();
        minute.take_back();
        assert_eq!(minute.count(at(0)), 0);
    }
}
