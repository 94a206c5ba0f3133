//! The live tokens in memory: sessions, access and refresh tokens, the digests of API keys.
//!
//! A look-up takes no lock that anybody else can hold, waits for nothing and allocates nothing. Ends by idleness
//! and by time are decided here. What is used is noted coarsely and written behind; what a script opened and
//! never used is never written.

mod anonymous;
pub(crate) mod index;
#[cfg(test)]
mod orders;
pub(crate) mod record;
mod sequence;
mod slots;
pub(crate) mod table;
#[cfg(test)]
mod tests;
pub(crate) mod words;

/// What the sequence lock is made of; where its orders are tried, there are others in their place.
mod atomic {
    pub(super) use std::sync::atomic::{AtomicU64, Ordering, fence};
}

use countersign_auth::token::{AtLimit, TokenDigest, TokenKind};
use hashbrown::HashSet;

use anonymous::Anonymous;
use index::{HeldGuard, Index};
use record::{Marks, Record};
use table::{Read, Table};
use words::Words;

/// How many tokens may be in memory of some kinds that strangers or scripts can make.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    /// Sessions that one account has open at one API and never presented: scripts send Basic on every GET and
    /// ignore the cookie. The oldest goes.
    fresh_per_account: usize,
    /// Tokens of one account where the dialect names no limit: one account cannot fill the memory.
    held: usize,
    /// See [`ANONYMOUS_FRESH_MAX`].
    anonymous_fresh: usize,
    /// See [`ANONYMOUS_KEPT_MAX`].
    anonymous_kept: usize,
}

/// Strangers open them without an end, and present few; the oldest goes.
const ANONYMOUS_FRESH_MAX: usize = 100_000;
/// Of more visitors at once a session keeps to its first five minutes; so it does beyond the part of one source.
const ANONYMOUS_KEPT_MAX: usize = 100_000;

const BOUNDS: Bounds = Bounds {
    fresh_per_account: 100,
    held: 10_000,
    anonymous_fresh: ANONYMOUS_FRESH_MAX,
    anonymous_kept: ANONYMOUS_KEPT_MAX,
};
/// An expired token is told apart from an unknown one for so long.
const EXPIRED_SECS: u32 = 60 * 60;
/// The same of anonymous sessions, as long as an answer is waited for that one of them asked for in its last moment.
const NOBODYS_EXPIRED_SECS: u32 = 2 * 60;

/// What a look-up found.
pub(crate) enum Found {
    /// It is good; its use is noted.
    Live(Record),
    /// Its time has passed.
    Expired,
    /// A refresh token that was spent longer ago than parallel refreshes take: somebody has a copy.
    Reused(Record),
    /// Not in memory.
    Missing,
    /// Something has to be noted first, or somebody changes the memory just now: ask where waiting is allowed.
    Unsettled,
}

/// How many an account may hold of one word, and what happens to the one too many.
pub(crate) type Limit = Option<(u32, AtLimit)>;

/// The account holds as many as it may.
#[derive(Debug)]
pub(crate) struct Full;

/// See the module's words.
pub(crate) struct Tokens {
    bounds: Bounds,
    pub(crate) words: Words,
    table: Table,
    index: Index,
    anonymous: Anonymous,
}

impl Tokens {
    pub(crate) fn new() -> Self {
        Self::bounded(BOUNDS)
    }

    fn bounded(bounds: Bounds) -> Self {
        Self {
            anonymous: Anonymous::new(bounds.anonymous_fresh, bounds.anonymous_kept),
            bounds,
            words: Words::default(),
            table: Table::new(),
            index: Index::new(),
        }
    }

    /// Makes room for so many tokens at once, which are about to be added.
    pub(crate) fn reserve(&self, count: usize) {
        self.table.reserve(count);
    }

    /// Looks a token up for somebody who presents it; never waits.
    ///
    /// That it was used is noted if nobody changes the same part of the memory meanwhile: the next use notes it too.
    pub(crate) fn look(&self, digest: &TokenDigest, now: u32) -> Found {
        let record = match self.table.read(&digest.0) {
            Read::Found(record) => record,
            Read::Missing => return Found::Missing,
            Read::Busy => return Found::Unsettled,
        };
        match found(&record, now) {
            Found::Live(mut record) if record.is_use_old(now) => {
                record.note_use(now);
                self.table.try_change(&digest.0, |record| record.note_use(now));
                Found::Live(record)
            }
            found @ (Found::Live(_)
            | Found::Expired
            | Found::Reused(_)
            | Found::Missing
            | Found::Unsettled) => found,
        }
    }

    /// The same where waiting is allowed; notes the first use of a session as well.
    pub(crate) fn present(&self, digest: &TokenDigest, now: u32) -> Found {
        let answer = self.table.change(&digest.0, |record| match found(record, now) {
            Found::Unsettled => {
                if record.account != 0 || self.anonymous.keep(record.family) {
                    record.marks = record.marks.without(Marks::FRESH).with(Marks::DIRTY);
                    record.used = record.used.max(now);
                }
                Found::Live(*record)
            }
            Found::Live(_) if record.is_use_old(now) => {
                record.note_use(now);
                Found::Live(*record)
            }
            found @ (Found::Live(_) | Found::Expired | Found::Reused(_) | Found::Missing) => found,
        });
        answer.unwrap_or(Found::Missing)
    }

    /// A look at a record as it is, noting nothing; never waits.
    pub(crate) fn read(&self, digest: &TokenDigest) -> Read {
        self.table.read(&digest.0)
    }

    /// A copy of a record as it is, noting nothing.
    pub(crate) fn get(&self, digest: &TokenDigest) -> Option<Record> {
        self.table.get(&digest.0)
    }

    /// Works on a record in its place.
    pub(crate) fn change<T>(&self, digest: &TokenDigest, work: impl FnOnce(&mut Record) -> T) -> Option<T> {
        self.table.change(&digest.0, work)
    }

    /// Adds a record as it is; false if it is there already.
    pub(crate) fn insert(&self, record: Record) -> bool {
        if record.account == 0 {
            let added = self.table.insert(record);
            if added && !record.marks.has(Marks::FRESH) {
                self.anonymous.adopt(record.family);
            }
            return added;
        }
        let mut held = self.index.of(record.account);
        let added = self.table.insert(record);
        if added {
            held.add(&record);
            self.part_families(&mut held, record.account);
        }
        added
    }

    /// Takes a record out.
    pub(crate) fn remove(&self, digest: &TokenDigest) -> Option<Record> {
        let record = self.table.remove(&digest.0)?;
        self.forget(&record);
        Some(record)
    }

    /// Undoes what `insert` did beside the table.
    fn forget(&self, record: &Record) {
        if record.account != 0 {
            self.index.of(record.account).remove(record);
        } else if !record.marks.has(Marks::FRESH) {
            self.anonymous.let_go(record.family);
        }
    }

    /// Copies of all that an account holds, in the order of issue, expired ones too.
    pub(crate) fn of_account(&self, account: u64) -> Vec<Record> {
        let marks = self.index.of(account).marks();
        marks.into_iter().filter_map(|mark| self.table.find(mark, account)).collect()
    }

    /// Copies of what an account holds of some families, in no order, expired ones too.
    pub(crate) fn of_families(&self, account: u64, families: &HashSet<u64>) -> Vec<Record> {
        let marks = self.index.of(account).of_families(families.iter().copied());
        let found = marks.into_iter().filter_map(|mark| self.table.find(mark, account));
        found.filter(|record| families.contains(&record.family)).collect()
    }

    /// Copies of the refresh tokens that an account holds of a family, spent and expired ones too.
    pub(crate) fn renewing(&self, account: u64, family: u64) -> Vec<Record> {
        let marks = self.index.of(account).renewing(family);
        let found = marks.into_iter().filter_map(|mark| self.table.find(mark, account));
        found.filter(|record| (record.family, record.kind) == (family, TokenKind::Refresh)).collect()
    }

    /// Keeps the families of an account apart that has come to hold many tokens.
    fn part_families(&self, held: &mut HeldGuard<'_>, account: u64) {
        if held.lacks_families() {
            let marks = held.marks().into_iter();
            held.keep_families(marks.filter_map(|mark| self.table.find(mark, account)));
        }
    }

    /// How many an account holds of a word that could be presented now.
    pub(crate) fn live_of(&self, account: u64, word: u16, now: u32) -> usize {
        let held = self.of_account(account).into_iter();
        held.filter(|record| record.word == word && record.is_live(now)).count()
    }

    /// Adds a token within the limits of its account; what had to go for it is handed out. Those of nobody are
    /// [opened](Self::open).
    pub(crate) fn issue(&self, record: Record, limit: Limit, now: u32) -> Result<Vec<Record>, Full> {
        let mut held = self.index.of(record.account);
        let gone = self.make_room(&mut held, &record, limit, now)?;
        if self.table.insert(record) {
            held.add(&record);
            self.part_families(&mut held, record.account);
        }
        Ok(gone)
    }

    /// Adds a session that nobody has presented yet.
    pub(crate) fn open(&self, record: Record, limit: Limit, now: u32) -> Result<Vec<Record>, Full> {
        if record.account == 0 {
            let remove = |oldest: &[u8; 32]| {
                self.table.remove_if(oldest, |record| record.marks.has(Marks::FRESH));
            };
            self.anonymous.open(record.digest, || self.table.insert(record), remove);
            return Ok(Vec::new());
        }
        let mut held = self.index.of(record.account);
        self.tidy_fresh(&mut held, &record, now);
        let gone = self.make_room(&mut held, &record, limit, now)?;
        if self.table.insert(record) {
            held.add_fresh(&record);
            self.part_families(&mut held, record.account);
        }
        Ok(gone)
    }

    /// Looks at the sessions that were opened and never presented, once there are too many of them.
    fn tidy_fresh(&self, guard: &mut HeldGuard<'_>, new: &Record, now: u32) {
        let held = guard.get();
        let Some(fresh) = &mut held.fresh else { return };
        if fresh.iter().filter(|(word, _)| *word == new.word).count() < self.bounds.fresh_per_account {
            return;
        }
        let mut of_word = 0;
        fresh.retain(|(word, mark)| match self.table.find(*mark, new.account) {
            Some(record) if record.marks.has(Marks::FRESH) => {
                of_word += usize::from(*word == new.word);
                true
            }
            Some(_) => {
                held.kept.push(*mark);
                false
            }
            None => false,
        });
        let mut surplus = (of_word + 1).saturating_sub(self.bounds.fresh_per_account);
        let mut removed = Vec::new();
        fresh.retain(|(word, mark)| {
            let Some(record) = self.table.find(*mark, new.account) else { return false };
            let goes = !record.is_live(now) || *word == new.word && surplus > 0;
            // Somebody may present it at this very moment: then it stays.
            let gone =
                goes && self.table.remove_if(&record.digest, |now| now.marks.has(Marks::FRESH)).is_some();
            surplus -= usize::from(gone && surplus > 0);
            removed.extend(gone.then_some(record));
            !gone
        });
        removed.iter().for_each(|record| guard.leave_family(record));
    }

    /// Ends what has to go before `new` may be added.
    fn make_room(
        &self,
        guard: &mut HeldGuard<'_>,
        new: &Record,
        limit: Limit,
        now: u32,
    ) -> Result<Vec<Record>, Full> {
        let held = guard.get();
        let mut gone = Vec::new();
        if let Some((most, at_limit)) = limit {
            let most = usize::try_from(most).unwrap_or(usize::MAX);
            let mut live: Vec<Record> = held
                .marks()
                .filter_map(|mark| self.table.find(mark, new.account))
                .filter(|record| record.word == new.word && record.is_live(now))
                .collect();
            if live.len() >= most {
                match at_limit {
                    AtLimit::Refuse => return Err(Full),
                    AtLimit::EndOldest => {
                        live.sort_by_key(|record| record.issued);
                        let surplus = live.len() + 1 - most.max(1);
                        gone.extend(live.into_iter().take(surplus));
                    }
                }
            }
        }
        if held.kept.len() >= self.bounds.held {
            let oldest = held.kept.iter().filter_map(|mark| self.table.find(*mark, new.account));
            gone.extend(oldest.filter(|record| record.kind != TokenKind::Key).take(1));
        }
        gone.retain(|record| self.table.remove(&record.digest).is_some());
        gone.iter().for_each(|record| guard.remove(record));
        Ok(gone)
    }

    /// Copies of what waits to be written.
    pub(crate) fn take_dirty(&self) -> Vec<Record> {
        self.table.take_dirty()
    }

    /// Puts what could not be written back into the queue.
    pub(crate) fn put_back_dirty(&self, records: &[Record]) {
        for record in records {
            let unstored = record.marks.has(Marks::UNSTORED);
            self.change(&record.token(), |now| {
                let marks = now.marks.with(Marks::DIRTY);
                now.marks = if unstored { marks.with(Marks::UNSTORED) } else { marks };
            });
        }
    }

    /// Forgets what ended long enough ago, and anonymous sessions sooner, to make room for others; hands out the digests that
    /// the store may still have. API keys stay, as their rows do: where the clock was wrong for a while, nobody would look for
    /// them there.
    pub(crate) fn sweep(&self, now: u32) -> Vec<[u8; 32]> {
        let over = |record: &Record| {
            let remembered = match record.account {
                0 => NOBODYS_EXPIRED_SECS,
                _ if record.marks.has(Marks::FRESH) => 0,
                _ => EXPIRED_SECS,
            };
            record.kind != TokenKind::Key && record.deadline().saturating_add(remembered) <= now
        };
        let mut stored = Vec::new();
        for digest in self.table.select(over) {
            if let Some(record) = self.table.remove_if(&digest, over) {
                self.forget(&record);
                if !record.marks.has(Marks::FRESH) {
                    stored.push(digest);
                }
            }
        }
        stored
    }

    /// How many records there are, expired ones too.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }
}

/// What a record is to whoever presents it now.
fn found(record: &Record, now: u32) -> Found {
    if now >= record.deadline() {
        return Found::Expired;
    }
    if record.marks.has(Marks::SPENT) {
        return if record.is_in_grace(now) { Found::Live(*record) } else { Found::Reused(*record) };
    }
    if record.marks.has(Marks::FRESH) { Found::Unsettled } else { Found::Live(*record) }
}
