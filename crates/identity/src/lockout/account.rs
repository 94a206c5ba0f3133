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

    /// Counts a failure, from a number on with a lock, as `delay` says; what is answered is its number.
    fn count(&mut self, now: Time, delay: impl FnOnce(u32) -> Option<Duration>) -> u32 {
        if now.since(self.last) >= FORGOTTEN_AFTER {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        self.last = now.max(self.last);
        if let Some(delay) = delay(self.failures) {
            self.locked_until = Some(self.last.plus(delay));
        }
        self.failures
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

    /// Counts an attempt as failed, unless its bucket is locked already.
    pub(super) fn strike(
        &mut self,
        bucket: Option<Source>,
        now: Time,
        delay: impl FnOnce(u32) -> Option<Duration>,
    ) -> Option<u32> {
        let strikes = self.current(bucket, now);
        strikes.locked_at(now).is_none().then(|| strikes.count(now, delay))
    }

    /// Counts a failure also if its bucket is locked already.
    pub(super) fn count(
        &mut self,
        bucket: Option<Source>,
        now: Time,
        delay: impl FnOnce(u32) -> Option<Duration>,
    ) -> u32 {
        self.current(bucket, now).count(now, delay)
    }

    /// The failures of a bucket, by the clock as it is now.
    fn current(&mut self, bucket: Option<Source>, now: Time) -> &mut Strikes {
        let at = self.struck.iter().position(|(other, _)| *other == bucket);
        let at = at.unwrap_or_else(|| {
            self.struck.push((bucket, Strikes { failures: 0, last: now, locked_until: None }));
            self.struck.len() - 1
        });
        #[expect(clippy::indexing_slicing, reason = "it was found there, or put there")]
        let (_, strikes) = &mut self.struck[at];
        strikes.follow_clock(now);
        strikes
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
