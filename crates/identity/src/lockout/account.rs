//! The buckets of one account, and where it is known to log in from.

use std::time::Duration;

use countersign_auth::source::Source;
use countersign_auth::time::Time;
use smallvec::SmallVec;

/// Addresses that an account is known to log in from; the one that was proven longest ago gives way, with its bucket.
///
/// A service account is often a fleet's, and whoever is not known is shut out as long as a stranger guesses: so they are
/// more than the hosts of most fleets. Each is a door of its own for guesses, but only for who sends from there.
///
/// An account that ever logged in takes a place of 129 bytes in a table, which is 150 to 300 with what the table keeps free.
/// Two addresses are in it; those of an account that uses all are 2176 bytes beside it.
pub(crate) const KNOWN_SOURCES_MAX: usize = 128;

/// Failures are forgotten so long after the last one.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60 * 60);

/// The failures of a bucket.
#[derive(Clone, Copy)]
pub(super) struct Strikes {
    pub(super) failures: u32,
    pub(super) last: Time,
    /// No lock is none: a time would be one, for requests that others overtook.
    pub(super) locked_until: Option<Time>,
}

impl Strikes {
    /// Whether there is a lock; `None` if the clock has been set back since, so that it has to be
    /// [begun again](Self::follow_clock). Requests that overtake each other change nothing.
    pub(super) fn are_locked(&self, now: Time) -> Option<bool> {
        (!now.is_set_back_from(self.last)).then_some(self.locked_at(now).is_some())
    }

    /// Begins a lock again, as long as it was, that was made by a clock which has been set back since, rather than to let
    /// it last for as long as the clock was set back as well.
    fn follow_clock(&mut self, now: Time) {
        if now.is_set_back_from(self.last) {
            self.locked_until = self.locked_until.map(|end| now.plus(end.since(self.last)));
            self.last = now;
        }
    }

    /// When the lock ends that there is.
    fn locked_at(&self, now: Time) -> Option<Time> {
        self.locked_until.filter(|end| now < *end)
    }

    fn are_over(&self, now: Time) -> bool {
        self.locked_at(now).is_none() && now.since(self.last) >= FORGOTTEN_AFTER
    }
}

/// An account with failures lately, or with addresses that it is known to log in from.
#[derive(Clone, Default)]
pub(super) struct Account {
    /// Whose proof is longest ago first.
    known: SmallVec<[Source; 2]>,
    /// By known address, and of all others.
    struck: SmallVec<[(Option<Source>, Strikes); 1]>,
}

impl Account {
    /// The bucket of an address: its own if it is known.
    pub(super) fn bucket(&self, source: Source) -> Option<Source> {
        self.known.contains(&source).then_some(source)
    }

    pub(super) fn strikes(&self, bucket: Option<Source>) -> Option<&Strikes> {
        self.struck.iter().find(|(other, _)| *other == bucket).map(|(_, strikes)| strikes)
    }

    pub(super) fn strikes_mut(&mut self, bucket: Option<Source>) -> Option<&mut Strikes> {
        self.struck.iter_mut().find(|(other, _)| *other == bucket).map(|(_, strikes)| strikes)
    }

    /// Counts a failure, from the one numbered `failures` on with a lock that `delay` says; what is `None` if it is locked
    /// already is otherwise the number of the failure.
    pub(super) fn strike(
        &mut self,
        bucket: Option<Source>,
        now: Time,
        delay: impl FnOnce(u32) -> Option<Duration>,
    ) -> Option<u32> {
        if self.strikes(bucket).is_none() {
            self.struck.push((bucket, Strikes { failures: 0, last: now, locked_until: None }));
        }
        let strikes = self.strikes_mut(bucket)?;
        strikes.follow_clock(now);
        if strikes.locked_at(now).is_some() {
            return None;
        }
        if now.since(strikes.last) >= FORGOTTEN_AFTER {
            strikes.failures = 0;
        }
        strikes.failures = strikes.failures.saturating_add(1);
        strikes.last = now.max(strikes.last);
        if let Some(delay) = delay(strikes.failures) {
            strikes.locked_until = Some(strikes.last.plus(delay));
        }
        Some(strikes.failures)
    }

    pub(super) fn forget(&mut self, bucket: Option<Source>) {
        self.struck.retain(|(other, _)| *other != bucket);
    }

    pub(super) fn unlock(&mut self) {
        self.struck.clear();
    }

    /// An address is known from now on.
    pub(super) fn know(&mut self, source: Source) {
        if let Some(at) = self.known.iter().position(|other| *other == source) {
            self.known.remove(at);
        } else if self.known.len() >= KNOWN_SOURCES_MAX {
            let oldest = self.known.remove(0);
            self.forget(Some(oldest));
        }
        self.known.push(source);
    }

    /// Forgets what is over, and begins locks again that a clock made which has been set back since.
    pub(super) fn sweep(&mut self, now: Time) {
        for (_, strikes) in &mut self.struck {
            strikes.follow_clock(now);
        }
        self.struck.retain(|(_, strikes)| !strikes.are_over(now));
    }

    /// When its last lock ends.
    pub(super) fn locked_until(&self, now: Time) -> Option<Time> {
        self.struck.iter().filter_map(|(_, strikes)| strikes.locked_at(now)).max()
    }

    /// Whether there are failures.
    pub(super) fn is_struck(&self) -> bool {
        !self.struck.is_empty()
    }

    pub(super) fn is_nobodys(&self) -> bool {
        self.known.is_empty() && self.struck.is_empty()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn accounts_take_as_many_bytes_as_is_said() {
        // Of a table, which has a byte of its own for each place.
        assert_eq!(size_of::<(u64, Account)>() + 1, 129);
        let mut account = Account::default();
        for number in 0..KNOWN_SOURCES_MAX {
            if number == 2 {
                assert!(!account.known.spilled());
            }
            account.know(Source::of(std::net::IpAddr::from([10, 0, 0, u8::try_from(number).unwrap()])));
        }
        assert_eq!(account.known.capacity() * size_of::<Source>(), 2176);
    }
}
