//! All tokens of the gate in memory, in shards.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use arc_swap::ArcSwap;

use super::record::{ACCOUNT_MAX, Mark, Marks, Record};
use super::sequence::Sequence;
use super::slots::Slots;

/// More than any machine has cores, so that two of them rarely change one shard; a change takes some 100 ns.
/// One for each first byte of a digest, which the slots therefore do not hold.
const SHARDS: usize = 256;
/// Of a thousand slots so many are taken, or were, before a shard grows: with a byte a slot to look at first, long
/// probes are short ways.
const TAKEN_MAX_PER_MILLE: usize = 900;
/// A shard that grows has so many slots for a thousand records: small steps, since memory for a million sessions
/// is what somebody pays for.
const SLOTS_PER_MILLE: usize = 1280;
const SLOTS_MIN: usize = 8;
/// A reader tries so often to read between two changes; a change in its midst takes far less than this.
const READS_MAX: usize = 100;

/// What a reader finds.
pub(crate) enum Read {
    /// The record.
    Found(Record),
    /// There is none.
    Missing,
    /// Somebody changed the shard all the time, or stopped in the midst of it: ask again where waiting is allowed.
    Busy,
}

/// Records that one mutex guards and that are read without it.
///
/// Whoever changes something holds the mutex and tells the sequence; whoever reads asks the sequence whether what he saw
/// counts. So a look-up takes no lock that another core can hold, and a core that is interrupted in mid-change holds up
/// nobody who looks up.
struct Shard {
    sequence: Sequence,
    slots: ArcSwap<Slots>,
    changes: Mutex<Changes>,
}

#[derive(Default)]
struct Changes {
    /// How many records there are.
    records: usize,
    /// How many slots are taken or were.
    taken: usize,
    /// What waits to be written; each at most once, as [`Marks::DIRTY`] says.
    dirty: Vec<[u8; 32]>,
}

impl Shard {
    fn new(number: u8) -> Self {
        Self {
            sequence: Sequence::default(),
            slots: ArcSwap::from_pointee(Slots::new(number, 0)),
            changes: Mutex::default(),
        }
    }

    fn read(&self, digest: &[u8; 32]) -> Read {
        // The slots are loaded in the reading: those that are replaced change the sequence as well.
        let found = self
            .sequence
            .read(READS_MAX, || self.slots.load().find(Mark::of(digest), |record| record.digest == *digest));
        match found {
            Some(Some((_, record))) => Read::Found(record),
            Some(None) => Read::Missing,
            None => Read::Busy,
        }
    }

    fn lock(&self) -> Locked<'_> {
        Locked { shard: self, changes: self.changes.lock().unwrap_or_else(PoisonError::into_inner) }
    }

    fn try_lock(&self) -> Option<Locked<'_>> {
        let changes = match self.changes.try_lock() {
            Ok(changes) => changes,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        Some(Locked { shard: self, changes })
    }
}

/// A shard while somebody changes it.
struct Locked<'s> {
    shard: &'s Shard,
    changes: MutexGuard<'s, Changes>,
}

impl Locked<'_> {
    fn slots(&self) -> Arc<Slots> {
        self.shard.slots.load_full()
    }

    /// Lets `work` write, which must not panic.
    fn write(&self, work: impl FnOnce()) {
        self.shard.sequence.write(work);
    }

    fn insert(&mut self, record: &Record) -> bool {
        let mut slots = self.slots();
        if slots.find(record.mark(), |other| other.digest == record.digest).is_some() {
            return false;
        }
        if (self.changes.taken + 1) * 1000 > slots.capacity() * TAKEN_MAX_PER_MILLE {
            slots = self.rebuild(1);
        }
        let Some((place, is_new)) = slots.room(record.mark()) else { return false };
        self.write(|| slots.put(place, record));
        self.changes.records += 1;
        self.changes.taken += usize::from(is_new);
        if record.marks.has(Marks::DIRTY) {
            self.changes.dirty.push(record.digest);
        }
        true
    }

    /// Puts the records into other slots: more of them, or as many without the gone ones, and some for `more`
    /// records that are about to be added.
    fn rebuild(&mut self, more: usize) -> Arc<Slots> {
        let capacity = ((self.changes.records + more) * SLOTS_PER_MILLE / 1000).max(SLOTS_MIN);
        let old = self.slots();
        let new = Arc::new(Slots::new(old.shard(), capacity));
        for record in old.records() {
            if let Some((place, _)) = new.room(record.mark()) {
                new.put(place, &record);
            }
        }
        self.write(|| self.shard.slots.store(Arc::clone(&new)));
        self.changes.taken = self.changes.records;
        new
    }

    fn remove_if(&mut self, digest: &[u8; 32], expected: impl FnOnce(&Record) -> bool) -> Option<Record> {
        let slots = self.slots();
        let (place, record) = slots.find(Mark::of(digest), |record| record.digest == *digest)?;
        if !expected(&record) {
            return None;
        }
        self.write(|| slots.take_out(place));
        self.changes.records = self.changes.records.saturating_sub(1);
        Some(record)
    }

    fn change<T>(&mut self, digest: &[u8; 32], work: impl FnOnce(&mut Record) -> T) -> Option<T> {
        let slots = self.slots();
        let (place, before) = slots.find(Mark::of(digest), |record| record.digest == *digest)?;
        let mut record = before;
        let answer = work(&mut record);
        // Who looks something up finds it by these.
        (record.digest, record.account) = (before.digest, before.account);
        self.write(|| slots.put(place, &record));
        if record.marks.has(Marks::DIRTY) && !before.marks.has(Marks::DIRTY) {
            self.changes.dirty.push(record.digest);
        }
        Some(answer)
    }
}

/// The records, found by digest or by the beginning of it.
pub(crate) struct Table {
    shards: Box<[Shard]>,
}

impl Table {
    pub(crate) fn new() -> Self {
        Self { shards: (0..=u8::MAX).map(Shard::new).collect() }
    }

    fn shard(&self, mark: Mark) -> &Shard {
        let [first, ..] = mark.0.to_be_bytes();
        #[expect(clippy::indexing_slicing, reason = "there is a shard for every byte")]
        &self.shards[usize::from(first)]
    }

    /// Looks a record up without waiting for anybody.
    pub(crate) fn read(&self, digest: &[u8; 32]) -> Read {
        self.shard(Mark::of(digest)).read(digest)
    }

    /// Makes room for so many records, which are about to be added: digests spread them evenly.
    pub(crate) fn reserve(&self, count: usize) {
        for shard in &self.shards {
            let mut locked = shard.lock();
            if (locked.changes.taken + count / SHARDS) * 1000
                > locked.slots().capacity() * TAKEN_MAX_PER_MILLE
            {
                locked.rebuild(count / SHARDS);
            }
        }
    }

    /// Adds a record; false if its digest is there already, or if no account can have such a number.
    pub(crate) fn insert(&self, record: Record) -> bool {
        record.account <= ACCOUNT_MAX && self.shard(record.mark()).lock().insert(&record)
    }

    /// Takes a record out.
    pub(crate) fn remove(&self, digest: &[u8; 32]) -> Option<Record> {
        self.remove_if(digest, |_| true)
    }

    /// Takes a record out if it still is as the caller expects.
    pub(crate) fn remove_if(
        &self,
        digest: &[u8; 32],
        expected: impl FnOnce(&Record) -> bool,
    ) -> Option<Record> {
        self.shard(Mark::of(digest)).lock().remove_if(digest, expected)
    }

    /// A copy of a record.
    pub(crate) fn get(&self, digest: &[u8; 32]) -> Option<Record> {
        match self.read(digest) {
            Read::Found(record) => Some(record),
            Read::Missing => None,
            Read::Busy => {
                let locked = self.shard(Mark::of(digest)).lock();
                let found = locked.slots().find(Mark::of(digest), |record| record.digest == *digest);
                found.map(|(_, record)| record)
            }
        }
    }

    /// Works on a record in its place. What the work marks as dirty is queued.
    pub(crate) fn change<T>(&self, digest: &[u8; 32], work: impl FnOnce(&mut Record) -> T) -> Option<T> {
        self.shard(Mark::of(digest)).lock().change(digest, work)
    }

    /// The same, if nobody changes the shard just now: for what may as well be noted the next time.
    pub(crate) fn try_change(&self, digest: &[u8; 32], work: impl FnOnce(&mut Record)) {
        if let Some(mut locked) = self.shard(Mark::of(digest)).try_lock() {
            let _gone = locked.change(digest, work);
        }
    }

    /// A copy of the record of that account whose digest begins so.
    pub(crate) fn find(&self, mark: Mark, account: u64) -> Option<Record> {
        let locked = self.shard(mark).lock();
        let found = locked.slots().find(mark, |record| record.account == account);
        found.map(|(_, record)| record)
    }

    /// Empties the queues of what waits to be written, and hands out copies of those still there.
    pub(crate) fn take_dirty(&self) -> Vec<Record> {
        let mut taken = Vec::new();
        for shard in &self.shards {
            let mut locked = shard.lock();
            for digest in std::mem::take(&mut locked.changes.dirty) {
                let _gone = locked.change(&digest, |record| {
                    if record.marks.has(Marks::DIRTY) {
                        taken.push(*record);
                        record.marks = record.marks.without(Marks::DIRTY.with(Marks::UNSTORED));
                    }
                });
            }
        }
        taken
    }

    /// Digests of records that meet a condition.
    pub(crate) fn select(&self, condition: impl Fn(&Record) -> bool) -> Vec<[u8; 32]> {
        let mut chosen = Vec::new();
        for shard in &self.shards {
            let locked = shard.lock();
            chosen.extend(
                locked.slots().records().filter(|record| condition(record)).map(|record| record.digest),
            );
        }
        chosen
    }

    /// How many records there are.
    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().changes.records).sum()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use std::collections::HashMap;
    use std::sync::atomic::{AtomicBool, Ordering};

    use countersign_auth::token::TokenKind;

    use super::*;

    /// A record of the first shard whose every field follows from its number.
    fn record(number: u32, used: u32) -> Record {
        let mut digest = [0; 32];
        for (to, from) in
            digest.iter_mut().skip(1).zip(number.wrapping_mul(0x9E37_79B9).to_be_bytes().repeat(8))
        {
            *to = from;
        }
        Record {
            digest,
            account: u64::from(number) + 1,
            family: u64::from(number) + 2,
            issued: number + 3,
            used,
            proven: used,
            ends: used,
            idle: used,
            word: 7,
            kind: TokenKind::Session,
            marks: Marks::NONE,
        }
    }

    #[test]
    fn a_table_is_what_a_map_is() {
        let (table, mut map) = (Table::new(), HashMap::new());
        let mut draw = 1_u32;
        for _ in 0..20_000 {
            draw = draw.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (number, what) = (draw >> 8 & 0x1FF, draw >> 29);
            let record = record(number, draw);
            match what {
                0..=2 => assert_eq!(table.insert(record), map.try_insert_if_missing(number, draw)),
                3 | 4 => {
                    assert_eq!(table.remove(&record.digest).map(|found| found.used), map.remove(&number))
                }
                _ => {
                    let changed = table.change(&record.digest, |found| found.used = draw);
                    assert_eq!(changed.is_some(), map.get_mut(&number).map(|used| *used = draw).is_some());
                }
            }
        }
        assert_eq!(table.len(), map.len());
        for number in 0..0x200 {
            let found = table.get(&record(number, 0).digest);
            assert_eq!(
                found.map(|found| (found.used, found.account)),
                map.get(&number).map(|used| (*used, u64::from(number) + 1))
            );
        }
        assert_eq!(table.select(|_| true).len(), map.len());
    }

    #[test]
    fn numbers_that_do_not_fit_are_refused() {
        let table = Table::new();
        assert!(table.insert(Record { account: ACCOUNT_MAX, ..record(1, 0) }));
        assert!(!table.insert(Record { account: ACCOUNT_MAX + 1, ..record(2, 0) }));
        assert_eq!(table.get(&record(1, 0).digest).unwrap().account, ACCOUNT_MAX);
        assert_eq!(table.len(), 1);
    }

    trait InsertIfMissing {
        fn try_insert_if_missing(&mut self, number: u32, used: u32) -> bool;
    }

    impl InsertIfMissing for HashMap<u32, u32> {
        fn try_insert_if_missing(&mut self, number: u32, used: u32) -> bool {
            let is_missing = !self.contains_key(&number);
            self.entry(number).or_insert(used);
            is_missing
        }
    }

    #[test]
    fn who_reads_while_others_write_sees_whole_records() {
        const ROUNDS: u32 = 200;
        const ROUNDS_IN_VAIN: u32 = 100 * ROUNDS;
        let (table, met, done) = (Table::new(), AtomicBool::new(false), AtomicBool::new(false));
        assert!(table.insert(record(0, 0)));
        std::thread::scope(|threads| {
            threads.spawn(|| {
                // It grows, gets gaps and is rebuilt, and the record that is read is changed all the time.
                for round in 1..ROUNDS_IN_VAIN {
                    for number in 1..200 {
                        table.insert(record(number, round));
                        let written = table
                            .change(&record(0, 0).digest, |zero| *zero = record(0, round * 200 + number));
                        assert!(written.is_some());
                    }
                    for number in 1..200 {
                        table.remove(&record(number, 0).digest);
                    }
                    // Whoever reads may be late to begin.
                    if round >= ROUNDS && met.load(Ordering::Acquire) {
                        break;
                    }
                }
                done.store(true, Ordering::Release);
            });
            let (mut seen, mut busy) = (0, 0);
            while !done.load(Ordering::Acquire) {
                match table.read(&record(0, 0).digest) {
                    Read::Found(found) => {
                        let whole = [found.proven, found.ends, found.idle] == [found.used; 3];
                        assert!(whole && found.used >= seen && found.account == 1, "torn or old");
                        seen = found.used;
                    }
                    Read::Missing => panic!("it was there all the time"),
                    Read::Busy => busy += 1,
                }
                met.store(seen > 0 || busy > 0, Ordering::Release);
                assert!(matches!(table.read(&record(900, 0).digest), Read::Missing | Read::Busy));
            }
            assert!(seen > 0 || busy > 0, "nothing was written while it was read");
        });
    }
}
