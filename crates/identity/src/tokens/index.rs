//! Which tokens an account holds.

use std::sync::{Mutex, MutexGuard, PoisonError};

use countersign_auth::token::TokenKind;
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use smallvec::SmallVec;

use super::record::{Mark, Record};

/// Who holds more has the families of his tokens kept beside them: of fewer, all are looked at to find those of a family.
const FAMILIES_FROM: usize = 64;
/// Log-ins of different accounts rarely want one lock.
const SHARDS: usize = 64;

/// The beginnings of the digests that one account holds, in the order in which they were issued.
#[derive(Default)]
pub(crate) struct Held {
    /// Tokens that the store knows or will.
    pub(crate) kept: SmallVec<[Mark; 2]>,
    /// Sessions that were opened and, when last looked at, never presented; with their word.
    #[expect(
        clippy::box_collection,
        reason = "8 bytes instead of 24 for each of a million accounts without any"
    )]
    pub(crate) fresh: Option<Box<Vec<(u16, Mark)>>>,
}

impl Held {
    /// All of them.
    pub(crate) fn marks(&self) -> impl Iterator<Item = Mark> + '_ {
        self.kept
            .iter()
            .copied()
            .chain(self.fresh.iter().flat_map(|fresh| fresh.iter().map(|(_, mark)| *mark)))
    }

    fn len(&self) -> usize {
        self.kept.len() + self.fresh.as_ref().map_or(0, |fresh| fresh.len())
    }
}

/// Tokens of one family that renew it, or those that do not.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Kin {
    family: u64,
    renews: bool,
}

impl Kin {
    /// `None` if the token is of no family.
    fn of(record: &Record) -> Option<Self> {
        (record.family != 0)
            .then_some(Self { family: record.family, renews: record.kind == TokenKind::Refresh })
    }
}

/// The tokens of one account that are of a family. One account can hold so many that to look at them all at each log-in
/// would keep everybody else waiting.
#[derive(Default)]
struct Families(HashMap<Kin, SmallVec<[Mark; 2]>, RandomState>);

impl Families {
    fn add(&mut self, record: &Record) {
        if let Some(kin) = Kin::of(record) {
            self.0.entry(kin).or_default().push(record.mark());
        }
    }

    fn remove(&mut self, record: &Record) {
        let Some(kin) = Kin::of(record) else { return };
        if let Some(marks) = self.0.get_mut(&kin) {
            marks.retain(|other| *other != record.mark());
            if marks.is_empty() {
                self.0.remove(&kin);
            }
        }
    }

    fn marks(&self, kin: Kin) -> impl Iterator<Item = Mark> + '_ {
        self.0.get(&kin).into_iter().flatten().copied()
    }
}

#[derive(Default)]
struct Shard {
    held: HashMap<u64, Held, RandomState>,
    /// Of accounts that hold many.
    families: HashMap<u64, Families, RandomState>,
}

/// For each account what it holds. Anonymous sessions are not in it.
///
/// Order of locks: a shard of this before a shard of the table, never the other way.
pub(crate) struct Index {
    shards: Box<[Mutex<Shard>]>,
}

/// One account's part of the index, locked.
pub(crate) struct HeldGuard<'a> {
    shard: MutexGuard<'a, Shard>,
    account: u64,
}

impl Index {
    pub(crate) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }

    /// Locks what an account holds.
    pub(crate) fn of(&self, account: u64) -> HeldGuard<'_> {
        let at = usize::try_from(account % 64).unwrap_or(0) % SHARDS;
        #[expect(
            clippy::indexing_slicing,
            reason = "there are SHARDS shards and `at` is a remainder by that"
        )]
        let shard = self.shards[at].lock().unwrap_or_else(PoisonError::into_inner);
        HeldGuard { shard, account }
    }
}

impl HeldGuard<'_> {
    /// What the account holds; made if there is nothing yet.
    pub(crate) fn get(&mut self) -> &mut Held {
        self.shard.held.entry(self.account).or_default()
    }

    /// All that the account holds.
    pub(crate) fn marks(&self) -> SmallVec<[Mark; 8]> {
        self.shard.held.get(&self.account).map(|held| held.marks().collect()).unwrap_or_default()
    }

    /// What the account may hold of some families: those, or all that it holds where that is little.
    pub(crate) fn of_families(&self, families: impl Iterator<Item = u64>) -> SmallVec<[Mark; 8]> {
        let Some(kept) = self.shard.families.get(&self.account) else { return self.marks() };
        let kin = families.flat_map(|family| [true, false].map(|renews| Kin { family, renews }));
        kin.flat_map(|kin| kept.marks(kin)).collect()
    }

    /// The refresh tokens that the account may hold of a family, in the same way.
    pub(crate) fn renewing(&self, family: u64) -> SmallVec<[Mark; 8]> {
        let Some(kept) = self.shard.families.get(&self.account) else { return self.marks() };
        kept.marks(Kin { family, renews: true }).collect()
    }

    /// Adds a token.
    pub(crate) fn add(&mut self, record: &Record) {
        let kept = &mut self.get().kept;
        if kept.len() == kept.capacity() {
            // Not twice as much: of ten sessions that would be six too many.
            kept.reserve_exact(kept.len() / 2 + 1);
        }
        kept.push(record.mark());
        self.join_family(record);
    }

    /// Adds a session that nobody has presented yet.
    pub(crate) fn add_fresh(&mut self, record: &Record) {
        self.get().fresh.get_or_insert_default().push((record.word, record.mark()));
        self.join_family(record);
    }

    fn join_family(&mut self, record: &Record) {
        if let Some(families) = self.shard.families.get_mut(&self.account) {
            families.add(record);
        }
    }

    /// Whether the account has come to hold so many that its families have to be [kept](Self::keep_families).
    pub(crate) fn lacks_families(&self) -> bool {
        let Shard { held, families } = &*self.shard;
        held.get(&self.account).is_some_and(|held| held.len() > FAMILIES_FROM)
            && !families.contains_key(&self.account)
    }

    /// Keeps the families of what the account holds, which is handed in, from here on.
    pub(crate) fn keep_families(&mut self, records: impl Iterator<Item = Record>) {
        let mut families = Families::default();
        records.for_each(|record| families.add(&record));
        self.shard.families.insert(self.account, families);
    }

    /// Takes a token out of its family, for whoever has taken it out of what is held.
    pub(crate) fn leave_family(&mut self, record: &Record) {
        if let Some(families) = self.shard.families.get_mut(&self.account) {
            families.remove(record);
        }
    }

    /// Takes a token out.
    pub(crate) fn remove(&mut self, record: &Record) {
        self.leave_family(record);
        let (account, mark) = (self.account, record.mark());
        let Shard { held: all, families } = &mut *self.shard;
        let Some(held) = all.get_mut(&account) else { return };
        held.kept.retain(|other| *other != mark);
        if let Some(fresh) = &mut held.fresh {
            fresh.retain(|(_, other)| *other != mark);
            if fresh.is_empty() {
                held.fresh = None;
            }
        }
        if held.len() < FAMILIES_FROM / 2 {
            families.remove(&account);
        }
        if held.len() == 0 {
            all.remove(&account);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::record::{Marks, NEVER};

    fn record(number: u64, family: u64, kind: TokenKind) -> Record {
        let mut digest = [0; 32];
        for (to, from) in digest.iter_mut().zip(number.to_be_bytes()) {
            *to = from;
        }
        Record {
            digest,
            account: 7,
            family,
            issued: 0,
            used: 0,
            proven: 0,
            ends: NEVER,
            idle: 0,
            word: 0,
            kind,
            marks: Marks::NONE,
        }
    }

    /// An access and a refresh token of each family, and one token that is of none.
    fn pairs(families: std::ops::Range<u64>) -> Vec<Record> {
        let pair = |family| {
            let of = |number, kind| record(number, family, kind);
            [of(2 * family, TokenKind::Access), of(2 * family + 1, TokenKind::Refresh)]
        };
        families.flat_map(pair).chain([record(1, 0, TokenKind::Session)]).collect()
    }

    #[test]
    fn of_an_account_that_holds_many_a_familys_tokens_alone_are_looked_at() {
        let (index, records) = (Index::new(), pairs(1..301));
        let (few, many) = records.split_at(60);
        let mut held = index.of(7);
        few.iter().for_each(|record| held.add(record));
        assert!(!held.lacks_families());
        assert_eq!(
            (held.of_families([3].into_iter()).len(), held.renewing(3).len()),
            (60, 60),
            "of few, all"
        );
        for (number, record) in many.iter().enumerate() {
            held.add(record);
            if held.lacks_families() {
                assert_eq!(number, 4);
                held.keep_families(records.iter().take(60 + number + 1).copied());
            }
        }
        assert_eq!(held.marks().len(), 601);
        for family in [1, 32, 33, 300] {
            let marks = |numbers: &[u64]| -> Vec<_> { numbers.iter().map(|number| Mark(*number)).collect() };
            assert_eq!(held.renewing(family).to_vec(), marks(&[2 * family + 1]));
            let both = marks(&[2 * family + 1, 2 * family]);
            assert_eq!(held.of_families([family, 9999].into_iter()).to_vec(), both);
        }
        for record in &records {
            held.remove(record);
        }
        assert!(held.shard.held.is_empty() && held.shard.families.is_empty());
    }
}
