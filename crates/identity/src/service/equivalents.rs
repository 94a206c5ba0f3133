//! How passwords are set, and what is kept of them for weaker schemes.
//!
//! A password that an administrator sets is kept for exactly the schemes that he names with it; one that its holder
//! changes is kept for the schemes that the account opted in to before.

use std::sync::Arc;

use countersign_auth::account::AccountId;
use countersign_auth::port::{Answer, PasswordAnswer, PasswordChange, PasswordClaim, Unavailable};
use countersign_auth::scheme::digest::hash::DigestHash;
use countersign_auth::secret::Secret;
use countersign_auth::time::Time;
use countersign_auth::token::TokenDigest;

use super::administration::{Next, Proofs};
use super::{By, Core, Service};
use crate::accounts::{AccountDraft, AccountError, rows};
use crate::audit;
use crate::equivalents::{Replacement, WeakerScheme};
use crate::store::Change;

/// A password that an administrator sets.
#[derive(Debug)]
pub enum NewPassword {
    /// It stays until it is changed.
    Lasting(Secret),
    /// It must be changed before it is good for anything else.
    Due(Secret),
    /// None: nobody logs in with one.
    None,
}

impl NewPassword {
    pub(super) const fn secret(&self) -> Option<&Secret> {
        match self {
            Self::Lasting(secret) | Self::Due(secret) => Some(secret),
            Self::None => None,
        }
    }

    pub(super) const fn is_due(&self) -> bool {
        matches!(self, Self::Due(_))
    }
}

impl Service {
    /// Sets an account's password, unlocks it and ends its sessions and tokens. What was kept of the old one for
    /// weaker schemes goes; what `weaker` names is kept of the new one, and that is told in the audit.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn set_password(
        &self,
        id: AccountId,
        password: NewPassword,
        weaker: Vec<WeakerScheme>,
        by: By,
        now: Time,
    ) -> Answer<Result<(), AccountError>> {
        self.run(move |core| async move { core.set_password(id, password, &weaker, &by, now).await })
    }

    /// Deletes what is kept of an account's password for weaker schemes; the password itself stays.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn strengthen(&self, id: AccountId, by: By, now: Time) -> Answer<Result<(), AccountError>> {
        self.run(move |core| async move { core.strengthen(id, &by, now).await })
    }

    /// Says that accounts of a kind answer Digest challenges of a realm with this hash function. To be called before
    /// passwords are set: what is kept of one is what was declared by then.
    pub fn declare_digest(&self, kind: &str, realm: &str, hash: DigestHash) {
        self.core.equivalents.declare(kind, realm, hash);
    }

    /// Whether the key for what weaker schemes need is the one that its file holds, or was not needed yet.
    pub fn has_key_of_file(&self) -> bool {
        self.core.equivalents.is_key_of_file()
    }
}

impl Core {
    async fn set_password(
        &self,
        id: AccountId,
        password: NewPassword,
        weaker: &[WeakerScheme],
        by: &By,
        now: Time,
    ) -> Result<(), AccountError> {
        let hash = self.hash_of(id, &password).await?;
        let guard = self.administration.lock().await;
        let now = self.by_now(now);
        let mut row = rows::row(&*self.entry(id)?);
        let names = (&*row.kind, &*row.name);
        let kept = self.kept(id.0, names, password.secret().map(Secret::expose), weaker, by, now)?;
        row.password_hash = hash;
        row.password_due = password.is_due();
        let next = Next { row, proofs: Proofs::End(None), kept: Some(kept) };
        self.replace(guard, next, &["password.set"], by, now).await?;
        self.lockout.unlock(id.0, now);
        Ok(())
    }

    /// The hash of a new password, if it is fit for an account as that is called now.
    pub(super) async fn hash_of(
        &self,
        id: AccountId,
        password: &NewPassword,
    ) -> Result<Option<String>, AccountError> {
        let entry = self.entry(id)?;
        let names = [&*entry.account.name, &*entry.account.email];
        match password.secret() {
            Some(secret) => Ok(Some(self.hashed(secret, &names).await?)),
            None => Ok(None),
        }
    }

    /// The moment for a change that was ordered at `now`: a password was hashed and others waited for, and all that time
    /// the old one was good.
    pub(super) fn by_now(&self, now: Time) -> Time {
        now.max(self.clock.now())
    }

    async fn strengthen(&self, id: AccountId, by: &By, now: Time) -> Result<(), AccountError> {
        let guard = self.administration.lock().await;
        let row = rows::row(&*self.entry(id)?);
        let kept = self.kept(id.0, (&row.kind, &row.name), None, &[], by, now)?;
        // The account's copy falls out of date, and with it what was proven by a weaker scheme; sessions stay.
        let next = Next { row, proofs: Proofs::Stay, kept: Some(kept) };
        self.replace(guard, next, &["password.strengthened"], by, now).await.map(|_| ())
    }

    /// What is kept of a password that a draft sets.
    pub(super) fn kept_of_draft(
        &self,
        account: u64,
        draft: &AccountDraft,
        by: &By,
        now: Time,
    ) -> Result<Replacement, AccountError> {
        let password = draft.password.as_ref().map(Secret::expose);
        self.kept(account, (&draft.kind, &draft.name), password, &draft.weaker, by, now)
    }

    /// What is kept of a password, with an audit row for each scheme that it is kept for.
    pub(super) fn kept(
        &self,
        account: u64,
        names: (&str, &str),
        password: Option<&str>,
        weaker: &[WeakerScheme],
        by: &By,
        now: Time,
    ) -> Result<Replacement, AccountError> {
        let mut kept = self.equivalents.replacement(account, names, password, weaker, &*self.random)?;
        let (kind, name) = names;
        for scheme in kept.schemes() {
            let object = format!("{kind}/{name} for {}", scheme.name());
            kept.changes.push(Change::Audit(audit::row(by, "password.weaker", object, now)));
        }
        Ok(kept)
    }

    /// A change that the account's holder asks for: the old password is checked like at a log-in.
    pub(super) async fn password_change(
        self: Arc<Self>,
        claim: PasswordClaim,
        new: Secret,
        keep: Option<TokenDigest>,
        now: Time,
    ) -> Result<PasswordChange, Unavailable> {
        let checked = self.check(&claim, now).await?;
        let account = match checked.answer {
            PasswordAnswer::Proven(account)
            | PasswordAnswer::ProvenElsewhere(account, _)
            | PasswordAnswer::Due(account) => account,
            PasswordAnswer::Refused(..) | PasswordAnswer::BadProvider => return Ok(PasswordChange::WrongOld),
            PasswordAnswer::TooMany => return Ok(PasswordChange::TooMany),
        };
        if checked.entry.as_ref().is_some_and(|entry| entry.password.is_none()) {
            return Ok(PasswordChange::Unfit("the password is kept in a directory; it is changed there"));
        }
        if claim.password.matches(new.expose()) {
            return Ok(PasswordChange::Unfit("the new password is the old one"));
        }
        let hash = match self.hashed(&new, &[&account.name, &account.email]).await {
            Ok(hash) => hash,
            Err(AccountError::Unfit { problem, .. }) => return Ok(PasswordChange::Unfit(problem)),
            Err(AccountError::TooMany) => return Ok(PasswordChange::TooMany),
            Err(AccountError::Unavailable(error)) => return Err(error),
            Err(AccountError::Taken(_) | AccountError::NotFound) => return Ok(PasswordChange::WrongOld),
        };
        let guard = self.administration.lock().await;
        let now = self.by_now(now);
        let Some(entry) = self.directory.find(account.id.0) else { return Ok(PasswordChange::WrongOld) };
        if Some(&entry.password) != checked.entry.as_ref().map(|checked| &checked.password) {
            return Ok(PasswordChange::WrongOld);
        }
        let mut row = rows::row(&entry);
        row.password_hash = Some(hash);
        row.password_due = false;
        let by = By::new(account.name.to_string(), Some(claim.address));
        let weaker = self.equivalents.schemes(account.id.0);
        let unavailable = |error: AccountError| match error {
            AccountError::Unavailable(error) => error,
            AccountError::Unfit { .. }
            | AccountError::Taken(_)
            | AccountError::NotFound
            | AccountError::TooMany => Unavailable(error.to_string()),
        };
        let names = (&*row.kind, &*row.name);
        let kept = self.kept(account.id.0, names, Some(new.expose()), &weaker, &by, now);
        let kept = kept.map_err(unavailable)?;
        let next = Next { row, proofs: Proofs::End(keep), kept: Some(kept) };
        self.replace(guard, next, &["password.changed"], &by, now).await.map_err(unavailable)?;
        Ok(PasswordChange::Done)
    }
}
