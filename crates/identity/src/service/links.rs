//! Whose account it is of the people of a directory.
//!
//! A person is tied to his account by what his directory knows him by, not by his name: whoever gets a name that
//! somebody else had does not get that one's account, and two directories that know the same name know two people.

use std::sync::{PoisonError, RwLock};

use hashbrown::HashMap;

use crate::store::{ValuePurpose, ValueRow};

#[derive(Default)]
struct Tied {
    accounts: HashMap<[u8; 32], u64>,
    people: HashMap<u64, [u8; 32]>,
}

/// All ties, in memory: 100 bytes for each account that lives in a directory.
pub(super) struct Links(RwLock<Tied>);

impl Links {
    /// Tells the rows of ties from those of other values.
    pub(super) fn apart(rows: Vec<ValueRow>) -> (Vec<ValueRow>, Vec<ValueRow>) {
        rows.into_iter().partition(|row| row.purpose == ValuePurpose::Directory)
    }

    pub(super) fn load(rows: Vec<ValueRow>) -> Self {
        let links = Self(RwLock::default());
        for row in rows {
            links.put(&row);
        }
        links
    }

    pub(super) fn put(&self, row: &ValueRow) {
        let mut tied = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(old) = tied.people.insert(row.account, row.mac) {
            tied.accounts.remove(&old);
        }
        tied.accounts.insert(row.mac, row.account);
    }

    /// The account of a person.
    pub(super) fn account(&self, person: &[u8; 32]) -> Option<u64> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).accounts.get(person).copied()
    }

    /// Whether an account is somebody's of a directory.
    pub(super) fn is_tied(&self, account: u64) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).people.contains_key(&account)
    }

    pub(super) fn remove_account(&self, account: u64) {
        let mut tied = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(person) = tied.people.remove(&account) {
            tied.accounts.remove(&person);
        }
    }
}
