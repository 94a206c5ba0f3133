//! What an administrator says of an account in one go: all of it is done, or nothing.

use std::sync::Arc;

use countersign_auth::account::{Account, AccountId};
use countersign_auth::port::{Answer, Unavailable};
use countersign_auth::secret::Secret;
use countersign_auth::time::Time;

use super::administration::{Next, Proofs};
use super::equivalents::NewPassword;
use super::{By, Core, Service};
use crate::accounts::directory::Entry;
use crate::accounts::{AccountDraft, AccountError, AccountView, Standing, rows};
use crate::store::AccountRow;

/// What is said of an account beside what describes it.
#[derive(Debug, Default)]
pub struct Besides {
    /// A new password: ends sessions and tokens, unlocks the account, and is kept for the schemes that it has opted in to.
    pub password: Option<NewPassword>,
    /// Whether anybody may act as it.
    pub standing: Option<Standing>,
}

impl Service {
    /// Brings an account to what `change` makes of it, as [`Service::update_account`] does, and to what is said beside
    /// that, in one write.
    ///
    /// # Errors
    /// What `change` says, and see [`AccountError`]; nothing is changed then.
    pub fn update_account_with<E>(
        &self,
        id: AccountId,
        change: impl FnOnce(&AccountView) -> Result<AccountDraft, E> + Send + 'static,
        besides: Besides,
        by: By,
        now: Time,
    ) -> Answer<Result<Arc<Account>, E>>
    where
        E: From<AccountError> + From<Unavailable> + Send + 'static,
    {
        self.run(move |core| async move { core.update_account_with(id, change, besides, &by, now).await })
    }
}

impl Core {
    pub(super) async fn update_account_with<E: From<AccountError>>(
        &self,
        id: AccountId,
        change: impl FnOnce(&AccountView) -> Result<AccountDraft, E>,
        besides: Besides,
        by: &By,
        now: Time,
    ) -> Result<Arc<Account>, E> {
        let Besides { password, standing } = besides;
        let hash = match &password {
            Some(password) => self.hash_of(id, password).await?,
            None => None,
        };
        let guard = self.administration.lock().await;
        let now = if password.is_some() { self.by_now(now) } else { now };
        let entry = self.entry(id)?;
        let draft = change(&self.view(&entry))?;
        draft.check()?;
        if draft.password.is_some() {
            return Err(AccountError::Unfit { field: "password", problem: "is set by itself" }.into());
        }
        // It was found fit for the names that the account had.
        if let Some(secret) = password.as_ref().and_then(NewPassword::secret) {
            self.fits(secret, &[&draft.name, &draft.email])?;
        }
        let (mut row, mut proofs, mut events) = described(&entry, &draft, standing);
        let names = (&*row.kind, &*row.name);
        let kept = match &password {
            Some(password) => {
                events.push("password.set");
                proofs = Proofs::End(None);
                let weaker = self.equivalents.schemes(id.0);
                let clear = password.secret().map(Secret::expose);
                Some(self.kept(id.0, names, clear, &weaker, by, now)?)
            }
            None if *row.name != *entry.account.name => {
                let renamed = self.equivalents.renamed(id.0, names, &*self.random);
                Some(renamed.map_err(AccountError::from)?)
            }
            None => None,
        };
        if let Some(password) = &password {
            row.password_hash = hash;
            row.password_due = password.is_due();
        }
        if events.is_empty() {
            return Ok(Arc::clone(&entry.account));
        }
        let account = self.replace(guard, Next { row, proofs, kept }, &events, by, now).await?;
        if password.is_some() {
            self.lockout.unlock(id.0, now);
        }
        Ok(account)
    }
}

/// The row of an account after what is said of it, whether its proofs end, and what the audit is told.
fn described(
    entry: &Entry,
    draft: &AccountDraft,
    standing: Option<Standing>,
) -> (AccountRow, Proofs, Vec<&'static str>) {
    let before = rows::row(entry);
    let mut row = before.clone();
    let (mut proofs, mut events) = (Proofs::Stay, Vec::new());
    if !draft.is_as(&entry.account) {
        rows::fill(&mut row, draft);
        row.kind.clone_from(&before.kind);
        events.push("account.changed");
        if rights(&row) != rights(&before) {
            proofs = Proofs::End(None);
        }
    }
    if let Some(standing) = standing.filter(|standing| *standing != entry.standing()) {
        let (ended, event) = stands(&mut row, standing);
        if matches!(ended, Proofs::End(_)) {
            proofs = ended;
        }
        events.push(event);
    }
    (row, proofs, events)
}

/// Whether anybody may act as an account: whoever may not has no proofs left.
pub(super) fn stands(row: &mut AccountRow, standing: Standing) -> (Proofs, &'static str) {
    row.disabled = standing == Standing::Disabled;
    match standing {
        Standing::Disabled => (Proofs::End(None), "account.disabled"),
        Standing::Enabled => (Proofs::Stay, "account.enabled"),
    }
}

/// What others decide by.
fn rights(row: &AccountRow) -> (&str, &Option<String>, &str, &str) {
    (&row.subject, &row.tenant, &row.roles, &row.keys)
}
