//! API keys: made, shown, changed, rotated and deleted by those who may.
//!
//! A key keeps its public id and its settings for life; its value is told once, when it is made or rotated. Its
//! digest stands in the table of tokens, so that a request with a key is looked up like any other.

use std::sync::{Arc, PoisonError, RwLock};

use countersign_auth::account::{APPLICATIONS, Account};
use countersign_auth::port::keys::{KeyAnswer, KeyCaller, KeyChange, KeyInfo, KeyName};
use countersign_auth::port::{Answer, Unavailable};
use countersign_auth::time::Time;
use countersign_auth::token::{TokenDigest, TokenKind, TokenPlan, TokenRef};
use hashbrown::HashMap;

use crate::accounts::Standing;
use crate::accounts::directory::Entry;
use crate::audit;
use crate::service::administration::ADMINISTRATOR;
use crate::service::{By, Core, Service, unavailable};
use crate::store::{Change, KeyRow};
use crate::tokens::Tokens;
use crate::tokens::record::{self, Marks, NEVER, Record};

/// Keys of one application; more is a program that makes one per call.
const KEYS_PER_APPLICATION_MAX: usize = 1000;
/// A label or description; they are for people to read.
const TEXT_CHARACTERS_MAX: usize = 1000;

#[derive(Default)]
struct Inner {
    by_id: HashMap<[u8; 12], Arc<KeyRow>>,
    by_digest: HashMap<[u8; 32], [u8; 12]>,
}

/// All keys, in memory.
pub(crate) struct Keys(RwLock<Inner>);

fn record_of(row: &KeyRow, tokens: &Tokens) -> Option<Record> {
    let secs = |ms: i64| record::floor(Time::from_unix_ms(ms));
    Some(Record {
        digest: row.digest,
        account: row.account,
        family: 0,
        issued: secs(row.created_at),
        used: secs(row.created_at),
        proven: secs(row.created_at),
        ends: row.expires_at.map_or(NEVER, secs),
        idle: 0,
        word: tokens.words.number(&row.api, &row.word)?,
        kind: TokenKind::Key,
        marks: Marks::NONE,
    })
}

impl Keys {
    pub(crate) fn load(rows: Vec<KeyRow>, tokens: &Tokens) -> Result<Self, Unavailable> {
        let keys = Self(RwLock::default());
        for row in rows {
            keys.put(row, tokens)?;
        }
        Ok(keys)
    }

    /// Puts a key in the place of what had its id; an old value is refused from then on. Whoever presents it meanwhile is
    /// known: a value that stays is changed where it is, and another one is there before the old one goes.
    fn put(&self, row: KeyRow, tokens: &Tokens) -> Result<(), Unavailable> {
        let record = record_of(&row, tokens);
        let record = record.ok_or_else(|| Unavailable("too many different words of tokens".to_owned()))?;
        let mut inner = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if tokens.change(&record.token(), |there| *there = record).is_none() {
            tokens.insert(record);
        }
        inner.by_digest.insert(row.digest, row.id);
        let (id, digest) = (row.id, row.digest);
        if let Some(before) = inner.by_id.insert(id, Arc::new(row))
            && before.digest != digest
        {
            inner.by_digest.remove(&before.digest);
            tokens.remove(&TokenDigest(before.digest));
        }
        Ok(())
    }

    fn remove(&self, id: &[u8; 12], tokens: &Tokens) {
        let mut inner = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(row) = inner.by_id.remove(id) {
            inner.by_digest.remove(&row.digest);
            tokens.remove(&TokenDigest(row.digest));
        }
    }

    /// Forgets the keys of an account; its tokens end by other means.
    pub(crate) fn remove_account(&self, account: u64) {
        let mut inner = self.0.write().unwrap_or_else(PoisonError::into_inner);
        inner.by_id.retain(|_, row| row.account != account);
        let Inner { by_id, by_digest } = &mut *inner;
        by_digest.retain(|_, id| by_id.contains_key(id));
    }

    fn find(&self, name: &KeyName) -> Option<Arc<KeyRow>> {
        let inner = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let id = match name {
            KeyName::Id(id) => id.0,
            KeyName::Digest(digest) => *inner.by_digest.get(&digest.0)?,
        };
        inner.by_id.get(&id).cloned()
    }

    /// The keys of an API's word, from the oldest on.
    fn of(&self, (api, word): (&str, &str)) -> Vec<Arc<KeyRow>> {
        let inner = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let is_meant = |row: &&Arc<KeyRow>| *row.api == *api && *row.word == *word;
        let mut rows: Vec<_> = inner.by_id.values().filter(is_meant).cloned().collect();
        drop(inner);
        rows.sort_by_key(|row| (row.created_at, row.id));
        rows
    }

    /// How many keys an account has.
    fn count(&self, account: u64) -> usize {
        let inner = self.0.read().unwrap_or_else(PoisonError::into_inner);
        inner.by_id.values().filter(|row| row.account == account).count()
    }
}

/// Whether the caller may touch the keys of that application: the application itself, or an administrator, of the
/// application's tenant where he has one. Other users may not: a key acts with the application's roles, not with
/// those of whoever made it.
fn may_touch(caller: &Account, owner: &Account) -> bool {
    if *caller.kind == *APPLICATIONS {
        return caller.id == owner.id;
    }
    let administrator = caller.roles.iter().any(|role| role == ADMINISTRATOR);
    administrator && (caller.tenant.is_none() || caller.tenant == owner.tenant)
}

/// The keys that one API knows by one word of its dialect.
#[derive(Clone, Debug)]
pub struct KeysOf {
    /// The API's name.
    pub api: Arc<str>,
    /// The word.
    pub word: Arc<str>,
}

/// Who asks for something about keys.
pub(crate) enum Asking {
    /// A client. He may touch what his account may.
    Client(KeyCaller),
    /// Whoever may open the store or its socket. He may touch all keys, also those of applications that are disabled:
    /// a key that was stolen is gone before its application is enabled again.
    Administrator(KeysOf, By),
}

impl Asking {
    fn place(&self) -> (&Arc<str>, &Arc<str>) {
        match self {
            Self::Client(caller) => (&caller.api, &caller.word),
            Self::Administrator(keys, _) => (&keys.api, &keys.word),
        }
    }

    fn by(&self) -> By {
        match self {
            Self::Client(caller) => By::new(audit::name_of(&caller.account), Some(caller.address)),
            Self::Administrator(_, by) => by.clone(),
        }
    }
}

impl Service {
    /// The keys of an API, or of one application there, each with the standing of its application.
    pub fn keys(&self, of: KeysOf, owner: Option<&str>) -> Vec<(KeyInfo, Standing)> {
        self.core().key_list(&Asking::Administrator(of, By::gate()), owner)
    }

    /// Makes a key for an application that is enabled; `by` is for the audit.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn create_key(
        &self,
        of: KeysOf,
        owner: String,
        plan: TokenPlan,
        change: KeyChange,
        by: By,
        now: Time,
    ) -> Answer<Result<KeyAnswer, Unavailable>> {
        let change = cut(change);
        self.run(move |core| core.key_create(Asking::Administrator(of, by), owner, plan, change, now))
    }

    /// Gives a key a new value, whatever its application's standing; the old one is refused from then on.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn rotate_key(
        &self,
        of: KeysOf,
        key: TokenRef,
        plan: TokenPlan,
        by: By,
        now: Time,
    ) -> Answer<Result<KeyAnswer, Unavailable>> {
        self.run(move |core| core.key_rotate(Asking::Administrator(of, by), KeyName::Id(key), plan, now))
    }

    /// Deletes a key, whatever its application's standing.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn delete_key(
        &self,
        of: KeysOf,
        key: TokenRef,
        by: By,
        now: Time,
    ) -> Answer<Result<KeyAnswer, Unavailable>> {
        self.run(move |core| core.key_delete(Asking::Administrator(of, by), KeyName::Id(key), now))
    }
}

impl Core {
    /// Whether whoever asks may touch the keys of that application, by what his account is now.
    fn may_ask(&self, asking: &Asking, owner: &Account) -> bool {
        match asking {
            Asking::Client(caller) => {
                self.directory.enabled(caller.account.id.0).is_some_and(|now| may_touch(&now, owner))
            }
            Asking::Administrator(..) => true,
        }
    }

    /// A key that whoever asks may touch, with the application that it belongs to.
    fn key_of(&self, asking: &Asking, name: &KeyName) -> Option<(Arc<KeyRow>, Arc<Entry>)> {
        let row = self.keys.find(name)?;
        let (api, word) = asking.place();
        if row.api != *api || row.word != *word {
            return None;
        }
        let owner = self.directory.find(row.account)?;
        self.may_ask(asking, &owner.account).then_some((row, owner))
    }

    pub(crate) fn key_show(&self, asking: &Asking, name: &KeyName) -> KeyAnswer {
        match self.key_of(asking, name) {
            Some((row, owner)) => KeyAnswer::Done(info(&row, &owner.account), None),
            None => KeyAnswer::NotFound,
        }
    }

    pub(crate) fn key_list(&self, asking: &Asking, owner: Option<&str>) -> Vec<(KeyInfo, Standing)> {
        let (api, word) = asking.place();
        let keys = self.keys.of((api, word)).into_iter().map(|row| KeyName::Id(TokenRef(row.id)));
        let seen = keys.filter_map(|name| self.key_of(asking, &name));
        let wanted = |entry: &Entry| owner.is_none_or(|name| entry.account.name.eq_ignore_ascii_case(name));
        seen.filter(|(_, entry)| wanted(entry))
            .map(|(row, entry)| (info(&row, &entry.account), entry.standing()))
            .collect()
    }

    pub(crate) async fn key_create(
        self: Arc<Self>,
        asking: Asking,
        owner: String,
        plan: TokenPlan,
        change: KeyChange,
        now: Time,
    ) -> Result<KeyAnswer, Unavailable> {
        let _one_at_a_time = self.administration.lock().await;
        // Whoever makes a key means to use it: those of disabled applications can be looked at and taken away, no more.
        let owner = self.directory.named(APPLICATIONS, &owner).filter(|entry| !entry.disabled);
        let Some(owner) =
            owner.map(|entry| Arc::clone(&entry.account)).filter(|owner| self.may_ask(&asking, owner))
        else {
            return Ok(KeyAnswer::NotFound);
        };
        if self.keys.count(owner.id.0) >= KEYS_PER_APPLICATION_MAX {
            return Ok(KeyAnswer::AtLimit);
        }
        let label = change.label.clone().unwrap_or_default();
        let value = self.fresh_value(&plan.form, Some(&owner), &label)?;
        let (api, word) = asking.place();
        let digest = TokenDigest::of(api, word, value.expose());
        let mut row = KeyRow {
            id: digest.reference().0,
            digest: digest.0,
            api: Arc::clone(api),
            word: Arc::clone(word),
            account: owner.id.0,
            label: String::new(),
            description: String::new(),
            created_at: now.unix_ms(),
            updated_at: now.unix_ms(),
            expires_at: None,
        };
        apply(&mut row, change);
        let shown = info(&row, &owner);
        self.key_write(row, &asking.by(), "key.created", &owner, now).await?;
        Ok(KeyAnswer::Done(shown, Some(value)))
    }

    pub(crate) async fn key_update(
        self: Arc<Self>,
        asking: Asking,
        name: KeyName,
        change: KeyChange,
        now: Time,
    ) -> Result<KeyAnswer, Unavailable> {
        let _one_at_a_time = self.administration.lock().await;
        let Some((row, owner)) = self.key_of(&asking, &name) else { return Ok(KeyAnswer::NotFound) };
        let owner = Arc::clone(&owner.account);
        let before = row;
        let mut row = (*before).clone();
        let (digest, end) = (TokenDigest(row.digest), row.expires_at);
        apply(&mut row, change);
        if row == *before {
            // Whoever says again what is so already fills neither the disk nor the audit.
            return Ok(KeyAnswer::Done(info(&row, &owner), None));
        }
        row.updated_at = now.unix_ms();
        let ends_sooner = row.expires_at.is_some_and(|sooner| end.is_none_or(|end| sooner < end));
        let shown = info(&row, &owner);
        self.key_write(row, &asking.by(), "key.changed", &owner, now).await?;
        if ends_sooner {
            // What was issued on it reaches as far as it did.
            self.end_hanging(digest, owner.id).await;
        }
        Ok(KeyAnswer::Done(shown, None))
    }

    pub(crate) async fn key_rotate(
        self: Arc<Self>,
        asking: Asking,
        name: KeyName,
        plan: TokenPlan,
        now: Time,
    ) -> Result<KeyAnswer, Unavailable> {
        let _one_at_a_time = self.administration.lock().await;
        let Some((row, owner)) = self.key_of(&asking, &name) else { return Ok(KeyAnswer::NotFound) };
        let owner = Arc::clone(&owner.account);
        let value = self.fresh_value(&plan.form, Some(&owner), &row.label)?;
        let mut row = (*row).clone();
        let before = TokenDigest(row.digest);
        row.digest = TokenDigest::of(&row.api, &row.word, value.expose()).0;
        row.updated_at = now.unix_ms();
        let shown = info(&row, &owner);
        self.key_write(row, &asking.by(), "key.rotated", &owner, now).await?;
        self.end_hanging(before, owner.id).await;
        Ok(KeyAnswer::Done(shown, Some(value)))
    }

    pub(crate) async fn key_delete(
        self: Arc<Self>,
        asking: Asking,
        name: KeyName,
        now: Time,
    ) -> Result<KeyAnswer, Unavailable> {
        let _one_at_a_time = self.administration.lock().await;
        let Some((row, owner)) = self.key_of(&asking, &name) else { return Ok(KeyAnswer::NotFound) };
        let owner = &owner.account;
        let event = key_event(&row, &asking.by(), "key.deleted", owner, now);
        let changes = vec![Change::DeleteKey(row.id), Change::Audit(event)];
        self.store.write(changes).await.map_err(unavailable)?;
        self.keys.remove(&row.id, &self.tokens);
        self.end_hanging(TokenDigest(row.digest), owner.id).await;
        Ok(KeyAnswer::Done(info(&row, owner), None))
    }

    /// Row first; memory follows when that is safe, before the caller is told.
    async fn key_write(
        &self,
        row: KeyRow,
        by: &By,
        event: &str,
        owner: &Account,
        now: Time,
    ) -> Result<(), Unavailable> {
        let event = key_event(&row, by, event, owner, now);
        let changes = vec![Change::PutKey(Box::new(row.clone())), Change::Audit(event)];
        self.store.write(changes).await.map_err(unavailable)?;
        self.keys.put(row, &self.tokens)
    }
}

fn key_event(row: &KeyRow, by: &By, event: &str, owner: &Account, now: Time) -> crate::store::AuditRow {
    let object = format!("{} key {}", audit::name_of(owner), TokenRef(row.id));
    audit::row(by, event, object, now)
}

/// A change with texts as long as they are kept, before it waits for anything: a client's may have been longer.
pub(crate) fn cut(change: KeyChange) -> KeyChange {
    let short = |text: String| text.chars().take(TEXT_CHARACTERS_MAX).collect();
    KeyChange { label: change.label.map(short), description: change.description.map(short), ..change }
}

fn apply(row: &mut KeyRow, change: KeyChange) {
    if let Some(label) = change.label {
        row.label = label;
    }
    if let Some(description) = change.description {
        row.description = description;
    }
    if let Some(end) = change.expires_at {
        row.expires_at = end.map(Time::unix_ms);
    }
}

fn info(row: &KeyRow, owner: &Account) -> KeyInfo {
    KeyInfo {
        id: TokenRef(row.id),
        owner: owner.name.to_string(),
        label: row.label.clone(),
        description: row.description.clone(),
        created_at: Time::from_unix_ms(row.created_at),
        updated_at: Time::from_unix_ms(row.updated_at),
        expires_at: row.expires_at.map(Time::from_unix_ms),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    fn row(value: u8, label: &str) -> KeyRow {
        KeyRow {
            id: [7; 12],
            digest: [value; 32],
            api: Arc::from("shop"),
            word: Arc::from("key"),
            account: 1,
            label: label.to_owned(),
            description: String::new(),
            created_at: 1_800_000_000_000,
            updated_at: 1_800_000_000_000,
            expires_at: None,
        }
    }

    #[test]
    fn a_key_that_is_changed_is_known_at_every_moment() {
        let (keys, tokens, done) = (Keys(RwLock::default()), Tokens::new(), AtomicBool::new(false));
        let looked = AtomicBool::new(false);
        let is_known = |value: u8| tokens.get(&TokenDigest([value; 32])).is_some();
        keys.put(row(1, "0"), &tokens).unwrap();
        std::thread::scope(|threads| {
            threads.spawn(|| {
                for label in 0..20_000 {
                    keys.put(row(1, &label.to_string()), &tokens).unwrap();
                }
                while !looked.load(Ordering::Acquire) {
                    std::thread::yield_now();
                }
                for value in 2..=u8::MAX {
                    keys.put(row(value, "rotated"), &tokens).unwrap();
                }
                done.store(true, Ordering::Release);
            });
            let (mut value, mut gaps) = (1, 0);
            looked.store(true, Ordering::Release);
            while !done.load(Ordering::Acquire) {
                // Once it is gone, the next one is there.
                if !is_known(value) {
                    value += 1;
                    gaps += usize::from(!is_known(value) && (value..=u8::MAX).all(|value| !is_known(value)));
                }
            }
            assert_eq!(gaps, 0);
        });
        assert!(!is_known(1) && is_known(u8::MAX));
        assert_eq!(keys.find(&KeyName::Digest(TokenDigest([u8::MAX; 32]))).unwrap().label, "rotated");
        assert!(keys.find(&KeyName::Digest(TokenDigest([1; 32]))).is_none());
        assert_eq!((keys.count(1), tokens.len(), tokens.of_account(1).len()), (1, 1, 1));
    }
}
