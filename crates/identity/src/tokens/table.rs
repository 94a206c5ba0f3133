//! All tokens of the gate in memory, in shards.

use std::sync::{Mutex, MutexGuard, PoisonError};

use hashbrown::HashTable;

use super::record::{Mark, Marks, Record};

/// More than any machine has cores, so that two of them rarely want one lock. It is held for some 50 ns.
const SHARDS: usize = 256;

#[derive(Default)]
struct Shard {
    records: HashTable<Record>,
    /// What waits to be written; each at most once, as [`Marks::DIRTY`] says.
    dirty: Vec<[u8; 32]>,
}

/// The records, found by digest or by the beginning of it.
///
/// The digests are SHA-256 of values that nobody but the gate chooses, so they are their own hash: one
/// multiplication spreads the bits that choose the shard.
pub(crate) struct Table {
    shards: Box<[Mutex<Shard>]>,
}

fn hash(mark: Mark) -> u64 {
    mark.0.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

fn hash_of(record: &Record) -> u64 {
    hash(record.mark())
}

impl Table {
    pub(crate) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }

    fn shard(&self, mark: Mark) -> MutexGuard<'_, Shard> {
        let at = usize::try_from(mark.0 >> 56).unwrap_or(0) % SHARDS;
        #[expect(
            clippy::indexing_slicing,
            reason = "there are SHARDS shards and `at` is a remainder by that"
        )]
        self.shards[at].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a record; false if its digest is there already.
    pub(crate) fn insert(&self, record: Record) -> bool {
        let mark = record.mark();
        let mut shard = self.shard(mark);
        if shard.records.find(hash(mark), |other| other.digest == record.digest).is_some() {
            return false;
        }
        if record.marks.has(Marks::DIRTY) {
            shard.dirty.push(record.digest);
        }
        shard.records.insert_unique(hash(mark), record, hash_of);
        true
    }

    /// Takes a record out.
    pub(crate) fn remove(&self, digest: &[u8; 32]) -> Option<Record> {
        let mark = Mark::of(digest);
        let mut shard = self.shard(mark);
        let entry = shard.records.find_entry(hash(mark), |record| record.digest == *digest).ok()?;
        Some(entry.remove().0)
    }

    /// Takes a record out if it still is as the caller expects.
    pub(crate) fn remove_if(
        &self,
        digest: &[u8; 32],
        expected: impl FnOnce(&Record) -> bool,
    ) -> Option<Record> {
        let mark = Mark::of(digest);
        let mut shard = self.shard(mark);
        let entry = shard.records.find_entry(hash(mark), |record| record.digest == *digest).ok()?;
        if expected(entry.get()) { Some(entry.remove().0) } else { None }
    }

    /// A copy of a record.
    pub(crate) fn get(&self, digest: &[u8; 32]) -> Option<Record> {
        self.change(digest, |record| *record)
    }

    /// Works on a record in its place. What the work marks as dirty is queued.
    pub(crate) fn change<T>(&self, digest: &[u8; 32], work: impl FnOnce(&mut Record) -> T) -> Option<T> {
        let mark = Mark::of(digest);
        let mut shard = self.shard(mark);
        let Shard { records, dirty } = &mut *shard;
        let record = records.find_mut(hash(mark), |record| record.digest == *digest)?;
        let before = record.marks;
        let answer = work(record);
        if record.marks.has(Marks::DIRTY) && !before.has(Marks::DIRTY) {
            dirty.push(record.digest);
        }
        Some(answer)
    }

    /// A copy of the record of that account whose digest begins so.
    pub(crate) fn find(&self, mark: Mark, account: u64) -> Option<Record> {
        let shard = self.shard(mark);
        shard.records.find(hash(mark), |record| record.mark() == mark && record.account == account).copied()
    }

    /// Empties the queues of what waits to be written, and hands out copies of those still there.
    pub(crate) fn take_dirty(&self) -> Vec<Record> {
        let mut taken = Vec::new();
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let Shard { records, dirty } = &mut *shard;
            for digest in std::mem::take(dirty) {
                let found = records.find_mut(hash(Mark::of(&digest)), |record| record.digest == digest);
                if let Some(record) = found.filter(|record| record.marks.has(Marks::DIRTY)) {
                    taken.push(*record);
                    record.marks = record.marks.without(Marks::DIRTY.with(Marks::UNSTORED));
                }
            }
        }
        taken
    }

    /// Digests of records that meet a condition.
    pub(crate) fn select(&self, condition: impl Fn(&Record) -> bool) -> Vec<[u8; 32]> {
        let mut chosen = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            chosen
                .extend(shard.records.iter().filter(|record| condition(record)).map(|record| record.digest));
        }
        chosen
    }

    /// How many records there are.
    pub(crate) fn len(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).records.len())
            .sum()
    }
}
