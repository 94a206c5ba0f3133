//! All accounts in memory, by number, name, subject and e-mail address.
//!
//! They are loaded before the service answers anything. Some 1 KB each: fit for a hundred thousand, not for
//! millions.

use std::hash::{BuildHasher as _, Hash};
use std::sync::{Arc, Mutex, PoisonError};

use countersign_auth::account::{Account, AccountId};
use countersign_auth::time::Time;
use foldhash::fast::RandomState;
use hashbrown::{Equivalent, HashMap};
use smallvec::SmallVec;

use super::{AccountView, PasswordState, Standing};
use crate::equivalents::{NOBODY, WeakerScheme};
use crate::rcu::Rcu;

/// Every look-up of a token asks for its account, without a lock; a change copies one shard: some 400 entries of a
/// hundred thousand, a few microseconds.
const SHARDS: usize = 256;

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
    pub(crate) const fn standing(&self) -> Standing {
        if self.disabled { Standing::Disabled } else { Standing::Enabled }
    }

    pub(crate) fn view(&self, weaker: Vec<WeakerScheme>) -> AccountView {
        AccountView {
            account: Arc::clone(&self.account),
            standing: self.standing(),
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

type Shard<K, V> = Rcu<HashMap<K, V, RandomState>>;

/// Maps that are read without a lock, a shard of them copied when something changes.
struct Shards<K, V>(Box<[Shard<K, V>]>, RandomState);

impl<K: Hash + Eq + Clone, V: Clone> Shards<K, V> {
    /// Filled at once: entry by entry each would cost a copy.
    fn of(entries: impl IntoIterator<Item = (K, V)>) -> Self {
        let mut shards: Vec<HashMap<K, V, RandomState>> = (0..SHARDS).map(|_| HashMap::default()).collect();
        let hasher = RandomState::default();
        for (key, value) in entries {
            if let Some(shard) = shards.get_mut(place(&hasher, &key)) {
                shard.insert(key, value);
            }
        }
        Self(shards.into_iter().map(Rcu::new).collect(), hasher)
    }

    fn shard<Q: Hash + ?Sized>(&self, key: &Q) -> &Shard<K, V> {
        #[expect(
            clippy::indexing_slicing,
            reason = "there are SHARDS shards and the place is a remainder by that"
        )]
        &self.0[place(&self.1, key)]
    }

    fn find<Q: Hash + Equivalent<K> + ?Sized>(&self, key: &Q) -> Option<V> {
        self.shard(key).read().get(key).cloned()
    }
}

fn place<Q: Hash + ?Sized>(hasher: &RandomState, key: &Q) -> usize {
    usize::try_from(hasher.hash_one(key) >> 56).unwrap_or(0) % SHARDS
}

struct Names {
    by_name: Shards<Arc<str>, u64>,
    by_subject: Shards<Arc<str>, u64>,
    by_email: Shards<Arc<str>, SmallVec<[u64; 1]>>,
}

/// Names are compared without regard to ASCII case: `Ann` and `ann` are one account and one lockout bucket.
fn folded(kind: &str, name: &str) -> String {
    format!("{kind}\0{}", name.to_ascii_lowercase())
}

fn exact(kind: &str, subject: &str) -> String {
    format!("{kind}\0{subject}")
}

/// An account, and beside it what every request asks: that is one place of memory less on its way.
#[derive(Clone)]
struct Known {
    /// `None` if it is disabled.
    enabled: Option<Arc<Account>>,
    entry: Arc<Entry>,
}

impl From<Entry> for Known {
    fn from(entry: Entry) -> Self {
        let enabled = (!entry.disabled).then(|| Arc::clone(&entry.account));
        Self { enabled, entry: Arc::new(entry) }
    }
}

/// See the module's words.
pub(crate) struct Directory {
    entries: Shards<u64, Known>,
    names: Names,
    /// An account and its names change together.
    changes: Mutex<()>,
}

impl Directory {
    /// Of these accounts; no two of them have a name or a subject in common.
    pub(crate) fn of(entries: Vec<Entry>) -> Self {
        let accounts = || entries.iter().map(|entry| &entry.account);
        let mut by_email: HashMap<Arc<str>, SmallVec<[u64; 1]>> = HashMap::new();
        for account in accounts().filter(|account| !account.email.is_empty()) {
            by_email.entry(folded(&account.kind, &account.email).into()).or_default().push(account.id.0);
        }
        let names = Names {
            by_name: Shards::of(accounts().map(|one| (folded(&one.kind, &one.name).into(), one.id.0))),
            by_subject: Shards::of(accounts().map(|one| (exact(&one.kind, &one.subject).into(), one.id.0))),
            by_email: Shards::of(by_email),
        };
        let entries = entries.into_iter().map(|entry| (entry.account.id.0, Known::from(entry)));
        Self { entries: Shards::of(entries), names, changes: Mutex::default() }
    }

    /// The account of that number, disabled or not.
    pub(crate) fn find(&self, id: u64) -> Option<Arc<Entry>> {
        self.entries.shard(&id).read().get(&id).map(|known| Arc::clone(&known.entry))
    }

    /// Whether there is an account of that number, disabled or not.
    pub(crate) fn has(&self, id: u64) -> bool {
        self.entries.shard(&id).read().contains_key(&id)
    }

    /// The account of that number, if anybody may act as it.
    pub(crate) fn enabled(&self, id: u64) -> Option<Arc<Account>> {
        self.entries.shard(&id).read().get(&id)?.enabled.clone()
    }

    /// The number of the account of that name.
    pub(crate) fn number_of(&self, kind: &str, name: &str) -> Option<u64> {
        self.names.by_name.find(folded(kind, name).as_str())
    }

    /// The account of that name.
    pub(crate) fn named(&self, kind: &str, name: &str) -> Option<Arc<Entry>> {
        self.find(self.names.by_name.find(folded(kind, name).as_str())?)
    }

    /// The account that somebody means who types `user`: its name, else the e-mail address of one account. Whoever he
    /// is, and if he is nobody, the same is looked up.
    pub(crate) fn login(&self, kind: &str, user: &str) -> Option<Arc<Entry>> {
        let folded = folded(kind, user);
        let named = self.names.by_name.find(folded.as_str());
        let addressed = match self.names.by_email.find(folded.as_str()).as_deref() {
            Some([id]) => Some(*id),
            Some([] | [_, _, ..]) | None => None,
        };
        self.find(named.or(addressed).unwrap_or(NOBODY))
    }

    /// The account of that subject, disabled or not.
    pub(crate) fn subject(&self, kind: &str, subject: &str) -> Option<Arc<Entry>> {
        self.find(self.names.by_subject.find(exact(kind, subject).as_str())?)
    }

    /// All accounts by number.
    pub(crate) fn all(&self) -> Vec<Arc<Entry>> {
        let shards = self.entries.0.iter();
        let mut all: Vec<_> = shards
            .flat_map(|shard| shard.read().values().map(|known| Arc::clone(&known.entry)).collect::<Vec<_>>())
            .collect();
        all.sort_by_key(|entry| entry.account.id);
        all
    }

    /// Puts an account in the place of what was there; every copy of that falls out of date. Whoever asks meanwhile finds one
    /// or the other by a name that they share, and by one that they do not share at the most too many.
    pub(crate) fn put(&self, entry: Entry) {
        let _one_at_a_time = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let account = Arc::clone(&entry.account);
        let id = account.id.0;
        let old = self.find(id);
        let old = old.as_ref().map(|old| &*old.account);
        self.names.add(&account, old);
        self.entries.shard(&id).change(|shard| shard.insert(id, Known::from(entry)));
        if let Some(old) = old {
            self.names.remove(old, Some(&account));
            old.live.fall();
        }
    }

    /// Takes an account out; every copy of it falls out of date.
    pub(crate) fn remove(&self, id: AccountId) {
        let _one_at_a_time = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(old) = self.entries.shard(&id.0).change(|shard| shard.remove(&id.0)) {
            self.names.remove(&old.entry.account, None);
            old.entry.account.live.fall();
        }
    }
}

impl Names {
    /// Adds what an account is called and `known`, the same account before, was not.
    fn add(&self, account: &Account, known: Option<&Account>) {
        let id = account.id.0;
        for (map, called) in [(&self.by_name, name_of as Called), (&self.by_subject, subject_of)] {
            let name = called(account);
            if known.map(called).as_ref() != Some(&name) {
                map.shard(name.as_str()).change(|shard| shard.insert(name.as_str().into(), id));
            }
        }
        let email = email_of(account);
        if !account.email.is_empty() && known.map(email_of).as_ref() != Some(&email) {
            let shard = self.by_email.shard(email.as_str());
            shard.change(|shard| shard.entry(email.as_str().into()).or_default().push(id));
        }
    }

    /// Takes away what an account was called and `now`, the same account after, is not.
    fn remove(&self, account: &Account, now: Option<&Account>) {
        for (map, called) in [(&self.by_name, name_of as Called), (&self.by_subject, subject_of)] {
            let name = called(account);
            if now.map(called).as_ref() != Some(&name) {
                map.shard(name.as_str()).change(|shard| shard.remove(name.as_str()));
            }
        }
        let email = email_of(account);
        if now.map(email_of).as_ref() == Some(&email) {
            return;
        }
        self.by_email.shard(email.as_str()).change(|shard| {
            if let Some(ids) = shard.get_mut(email.as_str()) {
                ids.retain(|id| *id != account.id.0);
                if ids.is_empty() {
                    shard.remove(email.as_str());
                }
            }
        });
    }
}

/// A key that an account is found by.
type Called = fn(&Account) -> String;

fn name_of(account: &Account) -> String {
    folded(&account.kind, &account.name)
}

fn subject_of(account: &Account) -> String {
    exact(&account.kind, &account.subject)
}

fn email_of(account: &Account) -> String {
    folded(&account.kind, &account.email)
}
