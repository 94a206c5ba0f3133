//! All accounts in memory, by number, name, subject and e-mail address.
//!
//! They are loaded before the service answers anything. Some 1 KB each: fit for a hundred thousand, not for
//! millions.

use std::sync::{Arc, PoisonError, RwLock};

use countersign_auth::account::{Account, AccountId};
use countersign_auth::time::Time;
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use smallvec::SmallVec;

use super::{AccountView, PasswordState, Standing};
use crate::equivalents::WeakerScheme;

/// Every look-up of a token asks for its account; cores rarely want one shard.
const SHARDS: usize = 64;

/// An account with what only this crate sees of it. It is never changed, only replaced.
pub(crate) struct Entry {
    pub(crate) account: Arc<Account>,
    pub(crate) disabled: bool,
    /// Argon2id in PHC form.
    pub(crate) password: Option<Arc<str>>,
    pub(crate) password_due: bool,
    pub(crate) created_at: Time,
    pub(crate) updated_at: Time,
}

impl Entry {
    pub(crate) fn view(&self, weaker: Vec<WeakerScheme>) -> AccountView {
        AccountView {
            account: Arc::clone(&self.account),
            standing: if self.disabled { Standing::Disabled } else { Standing::Enabled },
            password: match (&self.password, self.password_due) {
                (None, _) => PasswordState::None,
                (Some(_), false) => PasswordState::Set,
                (Some(_), true) => PasswordState::Due,
            },
            weaker,
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }
}

type Shard = RwLock<HashMap<u64, Arc<Entry>, RandomState>>;

#[derive(Default)]
struct Names {
    by_name: HashMap<String, u64>,
    by_subject: HashMap<String, u64>,
    by_email: HashMap<String, SmallVec<[u64; 1]>>,
}

/// Names are compared without regard to ASCII case: `Ann` and `ann` are one account and one lockout bucket.
fn folded(kind: &str, name: &str) -> String {
    format!("{kind}\0{}", name.to_ascii_lowercase())
}

fn exact(kind: &str, subject: &str) -> String {
    format!("{kind}\0{subject}")
}

/// See the module's words.
pub(crate) struct Directory {
    shards: Box<[Shard]>,
    names: RwLock<Names>,
}

impl Directory {
    pub(crate) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| RwLock::default()).collect(), names: RwLock::default() }
    }

    fn shard(&self, id: u64) -> &Shard {
        let at = usize::try_from(id % 64).unwrap_or(0) % SHARDS;
        #[expect(
            clippy::indexing_slicing,
            reason = "there are SHARDS shards and `at` is a remainder by that"
        )]
        &self.shards[at]
    }

    /// The account of that number, disabled or not.
    pub(crate) fn find(&self, id: u64) -> Option<Arc<Entry>> {
        self.shard(id).read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// The account of that number, if anybody may act as it.
    pub(crate) fn enabled(&self, id: u64) -> Option<Arc<Account>> {
        let shard = self.shard(id).read().unwrap_or_else(PoisonError::into_inner);
        shard.get(&id).filter(|entry| !entry.disabled).map(|entry| Arc::clone(&entry.account))
    }

    /// The account of that name.
    pub(crate) fn named(&self, kind: &str, name: &str) -> Option<Arc<Entry>> {
        let id = *self.names().by_name.get(&folded(kind, name))?;
        self.find(id)
    }

    /// The account that somebody means who types `user`: its name, else the e-mail address of one account.
    pub(crate) fn login(&self, kind: &str, user: &str) -> Option<Arc<Entry>> {
        if let Some(entry) = self.named(kind, user) {
            return Some(entry);
        }
        let id = match self.names().by_email.get(&folded(kind, user)).map(SmallVec::as_slice) {
            Some([id]) => *id,
            Some(_) | None => return None,
        };
        self.find(id)
    }

    /// The account of that subject, disabled or not.
    pub(crate) fn subject(&self, kind: &str, subject: &str) -> Option<Arc<Entry>> {
        let id = *self.names().by_subject.get(&exact(kind, subject))?;
        self.find(id)
    }

    /// All accounts by number.
    pub(crate) fn all(&self) -> Vec<Arc<Entry>> {
        let mut all: Vec<_> = self
            .shards
            .iter()
            .flat_map(|shard| {
                let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
                shard.values().cloned().collect::<Vec<_>>()
            })
            .collect();
        all.sort_by_key(|entry| entry.account.id);
        all
    }

    /// Puts an account in the place of what was there; every copy of that falls out of date.
    pub(crate) fn put(&self, entry: Entry) {
        let id = entry.account.id.0;
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(old) = self.find(id) {
            unname(&mut names, &old.account);
        }
        let account = &entry.account;
        names.by_name.insert(folded(&account.kind, &account.name), id);
        names.by_subject.insert(exact(&account.kind, &account.subject), id);
        if !account.email.is_empty() {
            names.by_email.entry(folded(&account.kind, &account.email)).or_default().push(id);
        }
        let mut shard = self.shard(id).write().unwrap_or_else(PoisonError::into_inner);
        let old = shard.insert(id, Arc::new(entry));
        drop(shard);
        if let Some(old) = old {
            old.account.live.fall();
        }
    }

    /// Takes an account out; every copy of it falls out of date.
    pub(crate) fn remove(&self, id: AccountId) {
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        let old = self.shard(id.0).write().unwrap_or_else(PoisonError::into_inner).remove(&id.0);
        if let Some(old) = old {
            unname(&mut names, &old.account);
            old.account.live.fall();
        }
    }

    fn names(&self) -> std::sync::RwLockReadGuard<'_, Names> {
        self.names.read().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unname(names: &mut Names, account: &Account) {
    names.by_name.remove(&folded(&account.kind, &account.name));
    names.by_subject.remove(&exact(&account.kind, &account.subject));
    let email = folded(&account.kind, &account.email);
    if let Some(ids) = names.by_email.get_mut(&email) {
        ids.retain(|id| *id != account.id.0);
        if ids.is_empty() {
            names.by_email.remove(&email);
        }
    }
}
