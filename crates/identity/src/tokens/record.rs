//! One live token, which takes 64 bytes of memory.

use std::sync::Arc;

use countersign_auth::time::Time;
use countersign_auth::token::{TokenDigest, TokenKind};

use crate::store::TokenRow;

/// 2020-01-01T00:00:00Z. Moments of records are whole seconds since then: 32 bits reach the year 2156.
const EPOCH_UNIX_SECS: i64 = 1_577_836_800;
/// No such moment.
pub(crate) const NEVER: u32 = u32::MAX;
/// The largest number of an account: 36 bits, 68 thousand millions, given out one after another.
pub(crate) const ACCOUNT_MAX: u64 = (1 << 36) - 1;
/// What is kept of the number of a family: 48 bits, of which 47 tell the families of one account apart.
pub(crate) const FAMILY_MAX: u64 = (1 << 48) - 1;
/// Set in the number of a family that hangs on a token, see [`family_on`].
const HANGS: u64 = 1 << 47;
/// The longest idle time that is told from a longer one: 28 bits, eight and a half years.
pub(crate) const IDLE_SECS_MAX: u32 = (1 << 28) - 1;
/// A session that was opened without waiting for the store dies after this if it is never presented: long
/// enough for the slowest client's next request.
pub(crate) const FRESH_SECS: u32 = 5 * 60;
/// The store learns of a use at least so often.
const STORED_USE_SECS_MAX: u32 = 5 * 60;
/// For so long a spent refresh token still gives its successor: two tabs of one client refresh at once.
const GRACE_SECS: u32 = 10;

/// A moment of a record, rounded down.
pub(crate) fn floor(time: Time) -> u32 {
    from_unix(time.unix_secs())
}

/// A moment of a record, rounded up. A proof is never recorded as older than it is: an account's `proofs_from`
/// in the same second would otherwise kill the session that was opened right after.
pub(crate) fn ceil(time: Time) -> u32 {
    from_unix(time.plus(std::time::Duration::from_millis(999)).unix_secs())
}

/// From seconds since the Unix epoch; saturates.
pub(crate) fn from_unix(secs: i64) -> u32 {
    u32::try_from(secs.saturating_sub(EPOCH_UNIX_SECS).clamp(0, i64::from(NEVER - 1))).unwrap_or(0)
}

/// To seconds since the Unix epoch.
pub(crate) fn to_unix(secs: u32) -> i64 {
    EPOCH_UNIX_SECS + i64::from(secs)
}

/// To a moment.
pub(crate) fn time(secs: u32) -> Time {
    Time::from_unix_secs(to_unix(secs))
}

/// What is known of a token besides its times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Marks(u8);

impl Marks {
    pub(crate) const NONE: Self = Self(0);
    /// It was never presented; it dies after [`FRESH_SECS`].
    pub(crate) const FRESH: Self = Self(1);
    /// The store does not know it yet.
    pub(crate) const UNSTORED: Self = Self(2);
    /// It waits to be written.
    pub(crate) const DIRTY: Self = Self(4);
    /// It is a refresh token that has been used; `used` says when.
    pub(crate) const SPENT: Self = Self(8);

    pub(crate) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(crate) const fn bits(self) -> u8 {
        self.0
    }

    pub(crate) const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    pub(crate) const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// A family's number from 64 random bits; never that of none.
pub(crate) fn family(drawn: u64) -> u64 {
    (drawn & (HANGS - 1)).max(1)
}

/// The family of what is issued on a token, and ends with it: its digest says which.
pub(crate) fn family_on(token: &TokenDigest) -> u64 {
    HANGS | (Mark::of(&token.0).0 & (HANGS - 1))
}

/// A token in memory. The digest alone is never written to a log.
#[derive(Clone, Copy)]
#[cfg_attr(test, derive(Debug, PartialEq))]
pub(crate) struct Record {
    pub(crate) digest: [u8; 32],
    /// 0 if anonymous; at most [`ACCOUNT_MAX`].
    pub(crate) account: u64,
    /// 0 for none; at most [`FAMILY_MAX`]. Of an anonymous session what stands for the source that asked for it.
    pub(crate) family: u64,
    pub(crate) issued: u32,
    pub(crate) used: u32,
    pub(crate) proven: u32,
    /// [`NEVER`] if only idleness ends it.
    pub(crate) ends: u32,
    /// 0 if idleness does not end it; at most [`IDLE_SECS_MAX`].
    pub(crate) idle: u32,
    /// API and word, see [`Words`](super::words::Words).
    pub(crate) word: u16,
    pub(crate) kind: TokenKind,
    pub(crate) marks: Marks,
}

/// The beginning of a digest: enough to find a record again together with its account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Mark(pub(crate) u64);

impl Mark {
    pub(crate) fn of(digest: &[u8; 32]) -> Self {
        let mut bytes = [0; 8];
        for (to, from) in bytes.iter_mut().zip(digest) {
            *to = *from;
        }
        Self(u64::from_be_bytes(bytes))
    }
}

impl Record {
    pub(crate) fn mark(&self) -> Mark {
        Mark::of(&self.digest)
    }

    pub(crate) fn token(&self) -> TokenDigest {
        TokenDigest(self.digest)
    }

    /// Whether it was issued on another token, or is the successor of one that was.
    pub(crate) fn hangs(&self) -> bool {
        self.family & HANGS != 0
    }

    /// The first second in which it is no longer good.
    pub(crate) fn deadline(&self) -> u32 {
        let mut deadline = self.ends;
        if self.idle > 0 {
            deadline = deadline.min(self.used.saturating_add(self.idle));
        }
        if self.marks.has(Marks::FRESH) {
            deadline = deadline.min(self.issued.saturating_add(FRESH_SECS));
        }
        deadline
    }

    /// Whether it could be presented now: neither over nor spent.
    pub(crate) fn is_live(&self, now: u32) -> bool {
        now < self.deadline() && !self.marks.has(Marks::SPENT)
    }

    /// Whether a spent refresh token still gives its successor. One that was spent by a clock which has been set back since
    /// gives none: nobody knows how long ago that was, and it would for as long as the clock was set back.
    pub(crate) fn is_in_grace(&self, now: u32) -> bool {
        now <= self.used.saturating_add(GRACE_SECS) && !time(now).is_set_back_from(time(self.used))
    }

    /// How old the noted use may become before it is noted anew: a 16th of the idle time, 1 s to 60 s.
    fn use_grain(&self) -> u32 {
        (self.idle / 16).clamp(1, 60)
    }

    /// Whether its noted use is so old that another one is to be noted.
    pub(crate) fn is_use_old(&self, now: u32) -> bool {
        let is_noted = self.idle > 0 && !self.marks.has(Marks::SPENT);
        is_noted && now >= self.used.saturating_add(self.use_grain())
    }

    /// Notes a use in memory; and for the store, if it is the first of a span of an eighth of the idle time, 5 minutes
    /// at most.
    ///
    /// Writing each row costs the store as much as a request costs the gate. After a restart a session may therefore end by
    /// idleness that much too early, and by the grain of uses more. Spans begin for each session at another moment, so that the writes do not come at once.
    pub(crate) fn note_use(&mut self, now: u32) {
        let span = u64::from((self.idle / 8).clamp(1, STORED_USE_SECS_MAX));
        let number = |secs: u32| (u64::from(secs) + (self.mark().0 & 0xFFFF_FFFF)) / span;
        if number(now) > number(self.used) {
            self.marks = self.marks.with(Marks::DIRTY);
        }
        self.used = self.used.max(now);
    }

    /// When it ends, `None` for never.
    pub(crate) fn expires_at(&self) -> Option<Time> {
        let deadline = self.deadline();
        (deadline != NEVER).then(|| time(deadline))
    }

    pub(crate) fn from_row(row: &TokenRow, word: u16) -> Self {
        Self {
            digest: row.digest,
            account: row.account,
            family: row.family & FAMILY_MAX,
            issued: from_unix(row.issued_at),
            used: from_unix(row.used_at),
            proven: from_unix(row.proven_at),
            ends: row.ends_at.map_or(NEVER, from_unix),
            idle: row.idle_secs.min(IDLE_SECS_MAX),
            word,
            kind: row.kind,
            marks: if row.spent { Marks::SPENT } else { Marks::NONE },
        }
    }

    pub(crate) fn to_row(self, api: Arc<str>, word: Arc<str>) -> TokenRow {
        TokenRow {
            digest: self.digest,
            api,
            word,
            kind: self.kind,
            account: self.account,
            issued_at: to_unix(self.issued),
            used_at: to_unix(self.used),
            idle_secs: self.idle,
            ends_at: (self.ends != NEVER).then(|| to_unix(self.ends)),
            proven_at: to_unix(self.proven),
            family: self.family,
            spent: self.marks.has(Marks::SPENT),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(number: u8, idle: u32) -> Record {
        Record {
            digest: [number; 32],
            account: 1,
            family: 0,
            issued: 0,
            used: 0,
            proven: 0,
            ends: NEVER,
            idle,
            word: 0,
            kind: TokenKind::Session,
            marks: Marks::NONE,
        }
    }

    #[test]
    fn the_store_learns_of_a_use_now_and_then() {
        for (idle, span) in [(1800, 225), (7200, 300), (400, 50)] {
            let mut first_writes = Vec::new();
            for number in 0..=u8::MAX {
                let mut record = session(number, idle);
                let (mut stored, mut writes) = (0, Vec::new());
                for now in 1..3 * span {
                    record.note_use(now);
                    if record.marks.has(Marks::DIRTY) {
                        record.marks = record.marks.without(Marks::DIRTY);
                        stored = now;
                        writes.push(now);
                    }
                    assert!(now - stored <= span, "{now} is {span} after {stored}");
                }
                assert!((2..=3).contains(&writes.len()), "{writes:?}");
                first_writes.extend(writes.first().copied());
            }
            first_writes.sort_unstable();
            first_writes.dedup();
            assert!(first_writes.len() > 40, "at different moments: {first_writes:?}");
        }
    }
}
