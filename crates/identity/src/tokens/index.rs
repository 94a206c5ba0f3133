//! Which tokens an account holds.

use std::sync::{Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use smallvec::SmallVec;

use super::record::Mark;

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

    fn is_empty(&self) -> bool {
        self.kept.is_empty() && self.fresh.as_ref().is_none_or(|fresh| fresh.is_empty())
    }
}

/// For each account what it holds. Anonymous sessions are not in it.
///
/// Order of locks: a shard of this before a shard of the table, never the other way.
pub(crate) struct Index {
    shards: Box<[Mutex<HashMap<u64, Held, RandomState>>]>,
}

/// One account's part of the index, locked.
pub(crate) struct HeldGuard<'a> {
    shard: MutexGuard<'a, HashMap<u64, Held, RandomState>>,
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
        self.shard.entry(self.account).or_default()
    }

    /// All that the account holds.
    pub(crate) fn marks(&self) -> SmallVec<[Mark; 8]> {
        self.shard.get(&self.account).map(|held| held.marks().collect()).unwrap_or_default()
    }

    /// Adds a token.
    pub(crate) fn add(&mut self, mark: Mark) {
        let kept = &mut self.get().kept;
        if kept.len() == kept.capacity() {
            // Not twice as much: of ten sessions that would be six too many.
            kept.reserve_exact(kept.len() / 2 + 1);
        }
        kept.push(mark);
    }

    /// Takes a token out.
    pub(crate) fn remove(&mut self, mark: Mark) {
        let Some(held) = self.shard.get_mut(&self.account) else { return };
        held.kept.retain(|other| *other != mark);
        if let Some(fresh) = &mut held.fresh {
            fresh.retain(|(_, other)| *other != mark);
            if fresh.is_empty() {
                held.fresh = None;
            }
        }
        if held.is_empty() {
            self.shard.remove(&self.account);
        }
    }
}
