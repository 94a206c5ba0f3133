//! What administrators do to accounts.
//!
//! Changes go one after the other. The rows are changed first, in one piece with the deletion of the tokens that
//! have to go and the audit; memory follows when that is safe, before anybody is told.

use std::sync::Arc;

use countersign_auth::account::{Account, AccountId};
use countersign_auth::port::{Answer, Unavailable};
use countersign_auth::secret::Secret;
use countersign_auth::time::Time;
use countersign_auth::token::TokenDigest;
use tokio::sync::MutexGuard;
use zeroize::Zeroizing;

use super::changing::{Besides, stands};
use super::directories::{Sought, Tie};
use super::ending::Scope;
use super::{By, Core, LAST_ACCOUNT, Service, unavailable};
use crate::accounts::directory::Entry;
use crate::accounts::{AccountDraft, AccountError, AccountView, Standing, rows};
use crate::audit::{self, AuditEvent};
use crate::equivalents::Replacement;
use crate::store::{AccountRow, AuditRow, Change, StoreError, ValuePurpose};
use crate::values::Values;

/// So many accounts are ended in one write.
const ENDED_TOGETHER: usize = 256;
/// The role that may touch all keys of an API, and everything in the console.
pub const ADMINISTRATOR: &str = "administrator";
/// Characters of the first administrator's password: 144 random bits.
const FIRST_PASSWORD_FORM: &str = "{base64url:24}";

impl Service {
    /// Makes an account.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn create_account(
        &self,
        draft: AccountDraft,
        by: By,
        now: Time,
    ) -> Answer<Result<Arc<Account>, AccountError>> {
        self.run(move |core| async move { core.create_account(draft, None, &by, now).await })
    }

    /// Brings an account to what `change` makes of it; the kind stays, and so does the password, which is set by itself
    /// ([`Service::set_password`]). A change of subject, tenant, roles or keys ends what was proven before.
    ///
    /// `change` is shown the account as it is while nobody else changes any: whoever took a right away before has taken it
    /// away, and whoever asks for a change may be looked up once more. It must not wait for anything.
    ///
    /// # Errors
    /// What `change` says, and see [`AccountError`].
    pub fn update_account<E>(
        &self,
        id: AccountId,
        change: impl FnOnce(&AccountView) -> Result<AccountDraft, E> + Send + 'static,
        by: By,
        now: Time,
    ) -> Answer<Result<Arc<Account>, E>>
    where
        E: From<AccountError> + From<Unavailable> + Send + 'static,
    {
        self.run(move |core| async move {
            core.update_account_with(id, change, Besides::default(), &by, now).await
        })
    }

    /// Disables an account, which ends its sessions and tokens, or enables it again. Its API keys are refused
    /// while it is disabled.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn set_standing(
        &self,
        id: AccountId,
        standing: Standing,
        by: By,
        now: Time,
    ) -> Answer<Result<(), AccountError>> {
        self.run(move |core| async move { core.set_standing(id, standing, &by, now).await })
    }

    /// Deletes an account with all that hangs on it. Its number is never used again.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn delete_account(&self, id: AccountId, by: By, now: Time) -> Answer<Result<(), AccountError>> {
        self.run(move |core| async move { core.delete_account(id, &by, now).await })
    }

    /// Ends all sessions and tokens of an account, and proofs made before.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn end_sessions(&self, id: AccountId, by: By, now: Time) -> Answer<Result<(), AccountError>> {
        self.run(move |core| async move { core.end_sessions(id, &by, now).await })
    }

    /// Ends all sessions and tokens of all accounts, and proofs made before; says how many accounts there are. Some hundred are
    /// one write, so that a hundred thousand take some seconds.
    ///
    /// # Errors
    /// If the store cannot be reached; what was ended before that is ended.
    pub fn end_everybodys_sessions(&self, by: By, now: Time) -> Answer<Result<usize, AccountError>> {
        self.run(move |core| async move { core.end_everybodys_sessions(&by, now).await })
    }

    /// Empties the buckets of failures of an account.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn unlock(&self, id: AccountId, by: By, now: Time) -> Answer<Result<(), AccountError>> {
        self.run(move |core| async move {
            let entry = core.entry(id)?;
            core.lockout.unlock(id.0, now);
            let event = audit::row(&by, "account.unlocked", audit::name_of(&entry.account), now);
            core.store.write(vec![Change::Audit(event)]).await.map_err(account_error)
        })
    }

    /// All accounts by number.
    pub fn accounts(&self) -> Vec<AccountView> {
        self.core.directory.all().iter().map(|entry| self.core.view(entry)).collect()
    }

    /// An account by number.
    pub fn account(&self, id: AccountId) -> Option<AccountView> {
        self.core.directory.find(id.0).map(|entry| self.core.view(&entry))
    }

    /// An account by kind and name.
    pub fn account_named(&self, kind: &str, name: &str) -> Option<AccountView> {
        self.core.directory.named(kind, name).map(|entry| self.core.view(&entry))
    }

    /// Makes the first administrator, of kind `users`, unless there is an account of that name; the password is
    /// told this once.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn ensure_administrator(
        &self,
        name: &str,
        now: Time,
    ) -> Answer<Result<Option<Secret>, AccountError>> {
        let mut draft = AccountDraft::new("users", name);
        self.run(move |core| async move {
            if core.directory.named("users", &draft.name).is_some() {
                return Ok(None);
            }
            let form = countersign_auth::form::Form::parse(FIRST_PASSWORD_FORM)
                .map_err(|error| Unavailable(error.to_string()))?;
            let password = core.fresh_value(&form, None, "")?;
            draft.password = Some(Secret::new(password.expose()));
            draft.roles = vec![ADMINISTRATOR.to_owned()];
            core.create_account(draft, None, &By::gate(), now).await.map(|_| Some(password))
        })
    }

    /// Sets a shared value (a `shared` token of a dialect): its holders act as that account.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn set_shared_value(
        &self,
        api: &str,
        word: &str,
        account: AccountId,
        value: Secret,
        by: By,
        now: Time,
    ) -> Answer<Result<(), AccountError>> {
        let place = (ValuePurpose::Shared, api.to_owned(), word.to_owned());
        self.run(move |core| async move { core.set_value(place, account, Some(value), &by, now).await })
    }

    /// Takes a shared value away.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn clear_shared_value(
        &self,
        api: &str,
        word: &str,
        account: AccountId,
        by: By,
        now: Time,
    ) -> Answer<Result<(), AccountError>> {
        let place = (ValuePurpose::Shared, api.to_owned(), word.to_owned());
        self.run(move |core| async move { core.set_value(place, account, None, &by, now).await })
    }

    /// Sets the secret with which an application may speak for an API.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn set_application_secret(
        &self,
        api: &str,
        application: AccountId,
        secret: Secret,
        by: By,
        now: Time,
    ) -> Answer<Result<(), AccountError>> {
        let place = (ValuePurpose::Application, api.to_owned(), String::new());
        self.run(move |core| async move { core.set_value(place, application, Some(secret), &by, now).await })
    }

    /// When the last lock of an account ends that failed attempts began; `None` if none lasts. Attempts from elsewhere may be
    /// open meanwhile.
    pub fn locked_until(&self, account: AccountId, now: Time) -> Option<Time> {
        self.core.lockout.locked_until(account.0, now)
    }

    /// Says that log-in calls at an API may name this identity provider, and this domain of it.
    pub fn declare_provider(&self, api: &str, provider: &str, domain: Option<&str>) {
        self.core.providers.add(api, provider, domain);
    }

    /// How often the password KDF ran since the start.
    pub fn password_runs(&self) -> u64 {
        self.core.passwords.runs()
    }

    pub(crate) fn audit_rows(
        &self,
        limit: u32,
        read: fn(AuditRow) -> AuditEvent,
    ) -> Answer<Result<Vec<AuditEvent>, Unavailable>> {
        self.run(move |core| async move {
            let rows = core.store.audit(limit).await.map_err(unavailable)?;
            Ok(rows.into_iter().map(read).collect())
        })
    }
}

impl Core {
    pub(super) fn view(&self, entry: &Entry) -> AccountView {
        entry.view(self.equivalents.schemes(entry.account.id.0))
    }

    pub(super) fn entry(&self, id: AccountId) -> Result<Arc<Entry>, AccountError> {
        self.directory.find(id.0).ok_or(AccountError::NotFound)
    }

    pub(super) fn fits(&self, password: &Secret, names: &[&str]) -> Result<(), AccountError> {
        let fit = self.passwords.check_new(password.expose(), names);
        fit.map_err(|problem| AccountError::Unfit { field: "password", problem })
    }

    pub(super) async fn hashed(&self, password: &Secret, names: &[&str]) -> Result<String, AccountError> {
        self.fits(password, names)?;
        let password = Zeroizing::new(password.expose().to_owned());
        let run = self.passwords.hash(password).map_err(|_| AccountError::TooMany)?;
        let lost = |_| Unavailable("a password could not be hashed: the pool has ended".to_owned());
        Ok(run.await.map_err(lost)??)
    }

    /// Makes an account, which is somebody's from the beginning if there is a tie.
    pub(super) async fn create_account(
        &self,
        draft: AccountDraft,
        tie: Option<Tie<'_>>,
        by: &By,
        now: Time,
    ) -> Result<Arc<Account>, AccountError> {
        draft.check()?;
        let password = match &draft.password {
            Some(password) => Some(self.hashed(password, &[&draft.name, &draft.email]).await?),
            None => None,
        };
        let mut last = self.administration.lock().await;
        let id = *last + 1;
        let row = rows::new_row(&draft, id, password, now);
        let event = audit::row(by, "account.created", format!("{}/{}", row.kind, row.name), now);
        let mut changes = vec![
            Change::InsertAccount(Box::new(row.clone())),
            Change::PutMeta(LAST_ACCOUNT, id.to_be_bytes().to_vec()),
            Change::Audit(event),
        ];
        let mut kept = self.kept_of_draft(id, &draft, by, now)?;
        changes.append(&mut kept.changes);
        let is_one = tie.is_some_and(|tie| tie.sought == Sought::ByTie);
        let tie = tie.map(|tie| self.tie_row(tie, &draft.kind, AccountId(id)));
        if is_one && tie.as_ref().is_some_and(|tie| self.tied_to(tie).is_some()) {
            return Err(AccountError::Taken("the person has an account"));
        }
        changes.extend(tie.clone().map(Change::PutValue));
        self.store.write(changes).await.map_err(account_error)?;
        *last = id;
        let entry = rows::entry(row).map_err(account_error)?;
        let account = Arc::clone(&entry.account);
        self.equivalents.put(kept);
        if let Some(tie) = &tie {
            self.links.put(tie);
        }
        self.directory.put(entry);
        Ok(account)
    }

    async fn set_standing(
        &self,
        id: AccountId,
        standing: Standing,
        by: &By,
        now: Time,
    ) -> Result<(), AccountError> {
        let guard = self.administration.lock().await;
        let mut row = rows::row(&*self.entry(id)?);
        let (proofs, event) = stands(&mut row, standing);
        self.replace(guard, Next { row, proofs, kept: None }, &[event], by, now).await.map(|_| ())
    }

    async fn delete_account(&self, id: AccountId, by: &By, now: Time) -> Result<(), AccountError> {
        let _guard = self.administration.lock().await;
        let entry = self.entry(id)?;
        let event = audit::row(by, "account.deleted", audit::name_of(&entry.account), now);
        let changes = vec![Change::DeleteAccount(id.0), Change::Audit(event)];
        self.store.write(changes).await.map_err(account_error)?;
        self.keys.remove_account(id.0);
        self.values.remove_account(id.0);
        self.equivalents.remove(id.0);
        self.lockout.unlock(id.0, now);
        let remove = || {
            self.directory.remove(id);
            self.links.remove_account(id.0);
        };
        self.end_all(id, None, Scope::Everything, remove, now).await;
        Ok(())
    }

    async fn end_sessions(&self, id: AccountId, by: &By, now: Time) -> Result<(), AccountError> {
        let guard = self.administration.lock().await;
        let row = rows::row(&*self.entry(id)?);
        let next = Next { row, proofs: Proofs::End(None), kept: None };
        self.replace(guard, next, &["sessions.ended"], by, now).await.map(|_| ())
    }

    async fn end_everybodys_sessions(&self, by: &By, now: Time) -> Result<usize, AccountError> {
        let all: Vec<AccountId> = self.directory.all().iter().map(|entry| entry.account.id).collect();
        for some in all.chunks(ENDED_TOGETHER) {
            let _guard = self.administration.lock().await;
            // Whoever was deleted meanwhile holds nothing.
            let entries = some.iter().filter_map(|id| self.entry(*id).ok());
            let mut rows: Vec<AccountRow> = entries.map(|entry| rows::row(&entry)).collect();
            let mut changes = Vec::with_capacity(3 * rows.len());
            for row in &mut rows {
                row.updated_at = now.unix_ms();
                changes.push(end_proofs(row, None, now));
                changes.push(Change::UpdateAccount(Box::new(row.clone())));
                let name = format!("{}/{}", row.kind, row.name);
                changes.push(Change::Audit(audit::row(by, "sessions.ended", name, now)));
            }
            self.store.write(changes).await.map_err(account_error)?;
            for row in rows {
                let entry = rows::entry(row).map_err(account_error)?;
                let (id, proofs_from) = (entry.account.id, entry.account.proofs_from);
                let put = || self.directory.put(entry);
                self.end_all(id, None, Scope::Proofs, put, proofs_from).await;
            }
        }
        Ok(all.len())
    }

    async fn set_value(
        &self,
        place: (ValuePurpose, String, String),
        account: AccountId,
        value: Option<Secret>,
        by: &By,
        now: Time,
    ) -> Result<(), AccountError> {
        let (purpose, api, word) = place;
        let _guard = self.administration.lock().await;
        let entry = self.entry(account)?;
        let object = format!("{} at {api} {word}", audit::name_of(&entry.account));
        let event = audit::row(by, if value.is_some() { "value.set" } else { "value.cleared" }, object, now);
        if let Some(value) = value {
            let key = &self.derivation_key;
            let row = Values::row(key, purpose, &api, &word, account.0, value.expose());
            // Said at every start: a gate on a full disk starts, and the audit tells of changes alone.
            if self.values.has(&row) {
                return Ok(());
            }
            let changes = vec![Change::PutValue(row.clone()), Change::Audit(event)];
            self.store.write(changes).await.map_err(account_error)?;
            self.values.put(row);
        } else if self.values.has_any(purpose, &api, &word, account.0) {
            let gone = Change::DeleteValue(purpose, api.clone(), word.clone(), account.0);
            self.store.write(vec![gone, Change::Audit(event)]).await.map_err(account_error)?;
            self.values.remove(purpose, &api, &word, account.0);
        }
        Ok(())
    }

    /// Another state of an account: rows, then memory, then everything that was proven before.
    pub(super) async fn replace(
        &self,
        _one_at_a_time: MutexGuard<'_, u64>,
        next: Next,
        events: &[&str],
        by: &By,
        now: Time,
    ) -> Result<Arc<Account>, AccountError> {
        let Next { mut row, proofs, mut kept } = next;
        row.updated_at = now.unix_ms();
        let id = AccountId(row.id.cast_unsigned());
        let mut changes = Vec::with_capacity(3);
        if let Proofs::End(keep) = proofs {
            changes.push(end_proofs(&mut row, keep, now));
        }
        changes.push(Change::UpdateAccount(Box::new(row.clone())));
        let told =
            |event: &&str| Change::Audit(audit::row(by, event, format!("{}/{}", row.kind, row.name), now));
        changes.extend(events.iter().map(told));
        if let Some(kept) = &mut kept {
            changes.append(&mut kept.changes);
        }
        self.store.write(changes).await.map_err(account_error)?;
        let entry = rows::entry(row).map_err(account_error)?;
        let account = Arc::clone(&entry.account);
        if let Some(kept) = kept {
            self.equivalents.put(kept);
        }
        match proofs {
            Proofs::Stay => self.directory.put(entry),
            Proofs::End(keep) => {
                let put = || self.directory.put(entry);
                self.end_all(id, keep, Scope::Proofs, put, account.proofs_from).await;
            }
        }
        Ok(account)
    }
}

/// Ends what was proven for an account before: what becomes of its tokens' rows.
fn end_proofs(row: &mut AccountRow, keep: Option<TokenDigest>, now: Time) -> Change {
    // Later than what was there, also where the clock was set back.
    row.proofs_from = now.unix_ms().max(row.proofs_from.saturating_add(1));
    Change::DeleteTokensOf { account: row.id.cast_unsigned(), keep: keep.map(|digest| digest.0) }
}

/// What an account is to be.
pub(super) struct Next {
    pub(super) row: AccountRow,
    pub(super) proofs: Proofs,
    /// What is kept for weaker schemes, where that changes.
    pub(super) kept: Option<Replacement>,
}

/// What becomes of what an account proved before a change.
#[derive(Clone, Copy)]
pub(super) enum Proofs {
    Stay,
    /// Sessions and tokens end, but perhaps for one.
    End(Option<TokenDigest>),
}

pub(super) fn account_error(error: StoreError) -> AccountError {
    match error {
        StoreError::Conflict(text @ ("the name is taken" | "the subject is taken")) => {
            AccountError::Taken(text)
        }
        StoreError::Conflict(_) => AccountError::NotFound,
        StoreError::Taken | StoreError::Down(_) | StoreError::Corrupt(_) => {
            AccountError::Unavailable(unavailable(error))
        }
    }
}
