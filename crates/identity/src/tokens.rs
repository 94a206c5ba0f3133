//! The live tokens in memory: sessions, access and refresh tokens, the digests of API keys.
//!
//! A look-up takes one lock of many for some 50 ns, waits for nothing and allocates nothing. Ends by idleness
//! and by time are decided here. What is used is noted coarsely and written behind; what a script opened and
//! never used is never written.

pub(crate) mod index;
pub(crate) mod record;
pub(crate) mod table;
pub(crate) mod words;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use countersign_auth::token::{AtLimit, TokenDigest, TokenKind};

use index::{Held, Index};
use record::{GRACE_SECS, Marks, Record};
use table::Table;
use words::Words;

/// Sessions that one account has open at one API and never presented: scripts send Basic on every GET and
/// ignore the cookie. The oldest goes.
const FRESH_PER_ACCOUNT_MAX: usize = 100;
/// Tokens of one account where the dialect names no limit: one account cannot fill the memory.
const HELD_MAX: usize = 10_000;
/// Anonymous sessions that were never presented. The oldest goes.
const ANONYMOUS_FRESH_MAX: usize = 100_000;
/// Anonymous sessions that live on. Beyond it a session keeps to its first five minutes.
const ANONYMOUS_KEPT_MAX: usize = 100_000;
/// An expired token is told apart from an unknown one for so long.
const EXPIRED_SECS: u32 = 60 * 60;

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
}

/// How many an account may hold of one word, and what happens to the one too many.
pub(crate) type Limit = Option<(u32, AtLimit)>;

/// The account holds as many as it may.
#[derive(Debug)]
pub(crate) struct Full;

/// See the module's words.
pub(crate) struct Tokens {
    pub(crate) words: Words,
    table: Table,
    index: Index,
    anonymous_fresh: Mutex<VecDeque<[u8; 32]>>,
    anonymous_kept: AtomicUsize,
}

impl Tokens {
    pub(crate) fn new() -> Self {
        Self {
            words: Words::default(),
            table: Table::new(),
            index: Index::new(),
            anonymous_fresh: Mutex::default(),
            anonymous_kept: AtomicUsize::new(0),
        }
    }

    /// Looks a token up for somebody who presents it, and notes that.
    pub(crate) fn present(&self, digest: &TokenDigest, now: u32) -> Found {
        let found = self.table.change(&digest.0, |record| {
            if now >= record.deadline() {
                return Found::Expired;
            }
            if record.marks.has(Marks::SPENT) {
                let in_grace = now <= record.used.saturating_add(GRACE_SECS);
                return if in_grace { Found::Live(*record) } else { Found::Reused(*record) };
            }
            if record.marks.has(Marks::FRESH) {
                if record.account != 0 || self.keep_anonymous() {
                    record.marks = record.marks.without(Marks::FRESH).with(Marks::DIRTY);
                    record.used = record.used.max(now);
                }
            } else if record.idle > 0 && now >= record.used.saturating_add(record.use_grain()) {
                record.marks = record.marks.with(Marks::DIRTY);
                record.used = now;
            }
            Found::Live(*record)
        });
        found.unwrap_or(Found::Missing)
    }

    /// Counts one more anonymous session that lives on, if there is room.
    fn keep_anonymous(&self) -> bool {
        let more = |kept| (kept < ANONYMOUS_KEPT_MAX).then_some(kept + 1);
        self.anonymous_kept.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
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
                self.anonymous_kept.fetch_add(1, Ordering::Relaxed);
            }
            return added;
        }
        let mut held = self.index.of(record.account);
        let added = self.table.insert(record);
        if added {
            held.add(record.mark());
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
            self.index.of(record.account).remove(record.mark());
        } else if !record.marks.has(Marks::FRESH) {
            self.anonymous_kept.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Copies of all that an account holds, in the order of issue, expired ones too.
    pub(crate) fn of_account(&self, account: u64) -> Vec<Record> {
        let marks = self.index.of(account).marks();
        marks.into_iter().filter_map(|mark| self.table.find(mark, account)).collect()
    }

    /// Adds a token within the limits of its account; what had to go for it is handed out.
    pub(crate) fn issue(&self, record: Record, limit: Limit, now: u32) -> Result<Vec<Record>, Full> {
        if record.account == 0 {
            if self.anonymous_kept.load(Ordering::Relaxed) >= ANONYMOUS_KEPT_MAX {
                return Err(Full);
            }
            self.insert(record);
            return Ok(Vec::new());
        }
        let mut guard = self.index.of(record.account);
        let gone = self.make_room(guard.get(), &record, limit, now)?;
        if self.table.insert(record) {
            guard.add(record.mark());
        }
        Ok(gone)
    }

    /// Adds a session that nobody has presented yet.
    pub(crate) fn open(&self, record: Record, limit: Limit, now: u32) -> Result<Vec<Record>, Full> {
        if record.account == 0 {
            self.open_anonymous(record);
            return Ok(Vec::new());
        }
        let mut guard = self.index.of(record.account);
        let held = guard.get();
        self.tidy_fresh(held, &record, now);
        let gone = self.make_room(held, &record, limit, now)?;
        if self.table.insert(record) {
            held.fresh.get_or_insert_default().push((record.word, record.mark()));
        }
        Ok(gone)
    }

    fn open_anonymous(&self, record: Record) {
        let mut fresh = self.anonymous_fresh.lock().unwrap_or_else(PoisonError::into_inner);
        while fresh.len() >= ANONYMOUS_FRESH_MAX
            && let Some(oldest) = fresh.pop_front()
        {
            self.table.remove_if(&oldest, |record| record.marks.has(Marks::FRESH));
        }
        if self.table.insert(record) {
            fresh.push_back(record.digest);
        }
    }

    /// Looks at the sessions that were opened and never presented, once there are too many of them.
    fn tidy_fresh(&self, held: &mut Held, new: &Record, now: u32) {
        let Some(fresh) = &mut held.fresh else { return };
        if fresh.iter().filter(|(word, _)| *word == new.word).count() < FRESH_PER_ACCOUNT_MAX {
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
        let mut surplus = (of_word + 1).saturating_sub(FRESH_PER_ACCOUNT_MAX);
        fresh.retain(|(word, mark)| {
            let Some(record) = self.table.find(*mark, new.account) else { return false };
            let goes = !record.is_live(now) || *word == new.word && surplus > 0;
            // Somebody may present it at this very moment: then it stays.
            let gone = goes && self.table.remove_if(&record.digest, |now| now.marks.has(Marks::FRESH)).is_some();
            surplus -= usize::from(gone && surplus > 0);
            !gone
        });
    }

    /// Ends what has to go before `new` may be added.
    fn make_room(&self, held: &mut Held, new: &Record, limit: Limit, now: u32) -> Result<Vec<Record>, Full> {
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
        if held.kept.len() >= HELD_MAX {
            let oldest = held.kept.iter().filter_map(|mark| self.table.find(*mark, new.account));
            gone.extend(oldest.filter(|record| record.kind != TokenKind::Key).take(1));
        }
        gone.retain(|record| self.table.remove(&record.digest).is_some());
        for record in &gone {
            let mark = record.mark();
            held.kept.retain(|other| *other != mark);
            if let Some(fresh) = &mut held.fresh {
                fresh.retain(|(_, other)| *other != mark);
            }
        }
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

    /// Forgets what ended long enough ago; hands out the digests that the store may still have.
    pub(crate) fn sweep(&self, now: u32) -> Vec<[u8; 32]> {
        let over = |record: &Record| {
            let remembered = if record.marks.has(Marks::FRESH) { 0 } else { EXPIRED_SECS };
            record.deadline().saturating_add(remembered) <= now
        };
        let mut stored = Vec::new();
        for digest in self.table.select(over) {
            if let Some(record) = self.table.remove_if(&digest, over) {
                self.forget(&record);
                if !record.marks.has(Marks::FRESH) && record.kind != TokenKind::Key {
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
