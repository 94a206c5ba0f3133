//! A store in memory: a world of its own for every mutation, without a file.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use countersign_identity::store::{
    AccountRow, AuditRow, Change, EquivalentRow, KeyRow, NoteRow, ObjectRow, SigningKeyRow, Store,
    StoreError, StoreFuture, TokenRow, ValueRow,
};

#[derive(Clone, Default)]
struct Rows {
    meta: BTreeMap<&'static str, Vec<u8>>,
    accounts: BTreeMap<i64, AccountRow>,
    tokens: BTreeMap<[u8; 32], TokenRow>,
    keys: BTreeMap<[u8; 12], KeyRow>,
    values: Vec<ValueRow>,
    equivalents: Vec<EquivalentRow>,
    notes: Vec<NoteRow>,
    signing: BTreeMap<String, SigningKeyRow>,
    objects: BTreeMap<(String, String, String), ObjectRow>,
}

/// Rows in memory.
#[derive(Default)]
pub(crate) struct MemoryStore(Mutex<Rows>);

impl MemoryStore {
    /// Another store with the same rows.
    pub(crate) fn copy(&self) -> Arc<Self> {
        Arc::new(Self(Mutex::new(self.rows().clone())))
    }

    /// What another store is to be told to hold the same; for a world that was set up and never used.
    pub(crate) fn changes(&self) -> Vec<Change> {
        let rows = self.rows();
        let accounts = rows.accounts.values().cloned().map(|row| Change::InsertAccount(Box::new(row)));
        let signing = rows.signing.values().cloned().map(Change::PutSigningKey);
        let values = rows.values.iter().cloned().map(Change::PutValue);
        let equivalents = rows.equivalents.iter().cloned().map(Change::PutEquivalent);
        let meta = rows.meta.iter().map(|(name, value)| Change::PutMeta(name, value.clone()));
        accounts.chain(signing).chain(values).chain(equivalents).chain(meta).collect()
    }

    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T: Send + 'static>(&self, query: impl FnOnce(&Rows) -> T) -> StoreFuture<T> {
        let answer = query(&self.rows());
        Box::pin(std::future::ready(Ok(answer)))
    }
}

impl Rows {
    fn apply(&mut self, change: Change) -> Result<(), StoreError> {
        match change {
            Change::InsertAccount(row) => self.put_account(*row, Known::No)?,
            Change::UpdateAccount(row) => self.put_account(*row, Known::Yes)?,
            Change::DeleteAccount(id) => {
                self.accounts.retain(|known, _| known.cast_unsigned() != id);
                self.tokens.retain(|_, row| row.account != id);
                self.keys.retain(|_, row| row.account != id);
                self.values.retain(|row| row.account != id);
                self.equivalents.retain(|row| row.account != id);
                self.notes.retain(|row| row.account != id);
            }
            Change::PutTokens(rows) => self.tokens.extend(rows.into_iter().map(|row| (row.digest, row))),
            Change::TouchTokens(used) => {
                for (digest, at) in used {
                    if let Some(row) = self.tokens.get_mut(&digest) {
                        row.used_at = at;
                    }
                }
            }
            Change::SpendToken(digest, at) => {
                if let Some(row) = self.tokens.get_mut(&digest).filter(|row| !row.spent) {
                    row.spent = true;
                    row.used_at = at;
                }
            }
            Change::DeleteTokens(digests) => self.tokens.retain(|digest, _| !digests.contains(digest)),
            Change::DeleteTokensOf { account, keep } => {
                self.tokens.retain(|digest, row| row.account != account || Some(*digest) == keep);
            }
            Change::PutKey(row) => {
                self.keys.insert(row.id, *row);
            }
            Change::DeleteKey(id) => {
                self.keys.remove(&id);
            }
            Change::PutValue(row) => {
                self.forget_value(&row);
                self.values.push(row);
            }
            Change::DeleteValue(purpose, api, word, account) => {
                self.forget_value(&ValueRow { purpose, api, word, account, mac: [0; 32] });
            }
            Change::PutEquivalent(row) => {
                self.equivalents.retain(|other| (other.account, other.scheme) != (row.account, row.scheme));
                self.equivalents.push(row);
            }
            Change::PutNote(row) => {
                self.notes.retain(|other| (&other.service, other.account) != (&row.service, row.account));
                self.notes.push(row);
            }
            Change::DeleteNote(service, account) => {
                self.notes.retain(|row| row.service != service || row.account != account);
            }
            Change::DeleteEquivalents(account) => self.equivalents.retain(|row| row.account != account),
            Change::PutSigningKey(row) => {
                self.signing.insert(row.id.clone(), row);
            }
            Change::DeleteSigningKey(id) => {
                self.signing.remove(&id);
            }
            Change::BindObjects(rows, now) => {
                for row in rows {
                    let over = |known: &ObjectRow| known.ends_at.is_some_and(|ends_at| ends_at <= now);
                    if self.objects.get(&name(&row)).is_none_or(over) {
                        self.objects.insert(name(&row), row);
                    }
                }
            }
            Change::ClaimObject(row, now) => {
                let free = |known: &&mut ObjectRow| {
                    known.owner.is_none() && known.ends_at.is_none_or(|ends_at| ends_at > now)
                };
                if let Some(known) = self.objects.get_mut(&name(&row)).filter(free) {
                    *known =
                        ObjectRow { owner: row.owner, tenant: row.tenant, ends_at: None, ..known.clone() };
                }
            }
            Change::PutObject(row) => {
                let known = self.objects.entry(name(&row)).or_insert_with(|| row.clone());
                *known = ObjectRow { random: known.random, reference: known.reference, ..row };
            }
            Change::DeleteObject(api, kind, id) => {
                self.objects.remove(&(api, kind, id));
            }
            Change::DeleteObjectsOver(before) => {
                self.objects.retain(|_, row| row.ends_at.is_none_or(|ends_at| ends_at > before));
            }
            Change::Audit(_) => {}
            Change::PutMeta(name, value) => {
                self.meta.insert(name, value);
            }
        }
        Ok(())
    }

    fn put_account(&mut self, row: AccountRow, known: Known) -> Result<(), StoreError> {
        let same = |other: &AccountRow| {
            other.kind == row.kind && (other.name_folded == row.name_folded || other.subject == row.subject)
        };
        let taken = self.accounts.values().any(|other| other.id != row.id && same(other));
        if taken || self.accounts.contains_key(&row.id) != (known == Known::Yes) {
            return Err(StoreError::Conflict("the name is taken"));
        }
        self.accounts.insert(row.id, row);
        Ok(())
    }

    fn forget_value(&mut self, like: &ValueRow) {
        self.values.retain(|row| {
            row.purpose != like.purpose
                || row.api != like.api
                || row.word != like.word
                || row.account != like.account
        });
    }
}

fn name(row: &ObjectRow) -> (String, String, String) {
    (row.api.clone(), row.kind.clone(), row.id.clone())
}

#[derive(PartialEq)]
enum Known {
    Yes,
    No,
}

impl Store for MemoryStore {
    fn write(&self, changes: Vec<Change>) -> StoreFuture<()> {
        let mut rows = self.rows();
        let mut changed = rows.clone();
        let done = changes.into_iter().try_for_each(|change| changed.apply(change));
        if done.is_ok() {
            *rows = changed;
        }
        Box::pin(std::future::ready(done))
    }

    fn is_failing(&self) -> bool {
        false
    }

    fn meta(&self, name: &'static str) -> StoreFuture<Option<Vec<u8>>> {
        self.read(|rows| rows.meta.get(name).cloned())
    }

    fn accounts(&self) -> StoreFuture<Vec<AccountRow>> {
        self.read(|rows| rows.accounts.values().cloned().collect())
    }

    fn tokens(&self, after: i64, limit: u32) -> StoreFuture<(Vec<TokenRow>, i64)> {
        self.read(|rows| {
            let skipped = usize::try_from(after).unwrap_or(0);
            let page: Vec<TokenRow> =
                rows.tokens.values().skip(skipped).take(limit as usize).cloned().collect();
            let end = after + i64::try_from(page.len()).unwrap_or(0);
            (page, end)
        })
    }

    fn token_count(&self) -> StoreFuture<u64> {
        self.read(|rows| rows.tokens.len() as u64)
    }

    fn token(&self, digest: [u8; 32]) -> StoreFuture<Option<TokenRow>> {
        self.read(|rows| rows.tokens.get(&digest).cloned())
    }

    fn keys(&self) -> StoreFuture<Vec<KeyRow>> {
        self.read(|rows| rows.keys.values().cloned().collect())
    }

    fn values(&self) -> StoreFuture<Vec<ValueRow>> {
        self.read(|rows| rows.values.clone())
    }

    fn notes(&self, service: String) -> StoreFuture<Vec<NoteRow>> {
        self.read(move |rows| rows.notes.iter().filter(|row| row.service == service).cloned().collect())
    }

    fn equivalents(&self) -> StoreFuture<Vec<EquivalentRow>> {
        self.read(|rows| rows.equivalents.clone())
    }

    fn signing_keys(&self) -> StoreFuture<Vec<SigningKeyRow>> {
        self.read(|rows| rows.signing.values().cloned().collect())
    }

    fn object(&self, api: String, kind: String, id: String) -> StoreFuture<Option<ObjectRow>> {
        self.read(|rows| rows.objects.get(&(api, kind, id)).cloned())
    }

    fn object_of_reference(&self, digest: [u8; 32]) -> StoreFuture<Option<ObjectRow>> {
        self.read(|rows| rows.objects.values().find(|row| row.reference == digest).cloned())
    }

    fn audit(&self, _limit: u32) -> StoreFuture<Vec<AuditRow>> {
        self.read(|_| Vec::new())
    }

    fn close(&self) -> StoreFuture<()> {
        self.read(|_| ())
    }
}
