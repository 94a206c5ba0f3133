//! How a password is checked.
//!
//! ```text
//! form ─▶ provider ─▶ account, or none ─▶ flight, begun or joined ─▶ answer
//!                                          └─▶ address bucket ─▶ account bucket ─▶ one KDF run
//! ```
//!
//! Unknown, locked and disabled accounts, wrong passwords and wrong tenants take the same path and the same run
//! of the KDF; what differs is only told to the log. Where a directory has a part in it, refusals take the same time.

use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use countersign_auth::account::Account;
use countersign_auth::port::{PasswordAnswer, PasswordClaim, Unavailable};
use countersign_auth::time::Time;
use hashbrown::HashSet;
use tokio::time::{Instant, sleep_until};
use zeroize::Zeroizing;

use super::flights::TooMany;
use super::{By, Core};
use crate::accounts::directory::Entry;
use crate::audit;
use crate::directory::Kept;
use crate::lockout::{Bucket, Locked, Verdict};
use crate::password::well_formed;
use crate::store::Change;
use crate::values::framed_mac;

/// Where a directory or a domain may be asked, a refusal is told so long after the question, or when it is there if that takes
/// longer. Directories are quicker about users whom they do not have (nothing is read, no slow hash is computed), and
/// slower or quicker than the gate about its own: nobody is to learn that from the time. Whoever mistyped does not
/// notice it.
pub(super) const REFUSED_AFTER: Duration = Duration::from_millis(250);

/// What one run of the KDF came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Right,
    Wrong,
    Locked,
    Busy,
    /// It could not be run, or the hash that is kept cannot be read.
    Lost,
}

impl Outcome {
    /// Whether it counts against the addresses that it was tried from.
    pub(super) fn is_failure(&self) -> bool {
        match self {
            Self::Wrong | Self::Locked => true,
            Self::Right | Self::Busy | Self::Lost => false,
        }
    }
}

/// The identity providers that log-in calls may name, as API, provider and domain.
#[derive(Default)]
pub(super) struct Providers(RwLock<HashSet<(String, String, Option<String>)>>);

impl Providers {
    pub(super) fn add(&self, api: &str, provider: &str, domain: Option<&str>) {
        let entry = (api.to_owned(), provider.to_owned(), domain.map(str::to_owned));
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(entry);
    }

    pub(super) fn forget(&self, api: &str) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).retain(|(of, _, _)| of != api);
    }

    /// A domain is needed exactly where the provider has some (V14).
    fn know(&self, claim: &PasswordClaim) -> bool {
        let said = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let domain = said(&claim.domain);
        match said(&claim.provider) {
            None => domain.is_none(),
            Some(provider) => {
                let key = (claim.api.as_ref().to_owned(), provider, domain);
                self.0.read().unwrap_or_else(PoisonError::into_inner).contains(&key)
            }
        }
    }
}

/// An answer and what the account looked like when it was found.
pub(super) struct Checked {
    pub(super) answer: PasswordAnswer,
    pub(super) entry: Option<Arc<Entry>>,
}

impl From<PasswordAnswer> for Checked {
    fn from(answer: PasswordAnswer) -> Self {
        Self { answer, entry: None }
    }
}

/// An account that acts for one company does not exist for another.
pub(super) fn is_of_another(entry: &Entry, tenant: Option<&str>) -> bool {
    match (&entry.account.tenant, tenant) {
        (Some(own), Some(asked)) => !own.eq_ignore_ascii_case(asked),
        (None, _) | (_, None) => false,
    }
}

impl Core {
    pub(super) async fn check_password(
        self: Arc<Self>,
        claim: PasswordClaim,
        now: Time,
    ) -> Result<PasswordAnswer, Unavailable> {
        self.check(&claim, now).await.map(|checked| checked.answer)
    }

    pub(super) async fn check(
        self: &Arc<Self>,
        claim: &PasswordClaim,
        now: Time,
    ) -> Result<Checked, Unavailable> {
        let directory = self.directories.of(claim);
        let (is_shared, told) = (directory.is_some(), Instant::now() + REFUSED_AFTER);
        let checked = self.checked(directory, claim, now).await;
        if is_shared && matches!(&checked, Ok(Checked { answer: PasswordAnswer::Refused(..), .. })) {
            sleep_until(told).await;
        }
        checked
    }

    async fn checked(
        self: &Arc<Self>,
        directory: Option<Arc<Kept>>,
        claim: &PasswordClaim,
        now: Time,
    ) -> Result<Checked, Unavailable> {
        if !self.providers.know(claim) {
            return Ok(PasswordAnswer::BadProvider.into());
        }
        if let Err(problem) = well_formed(claim.password.expose()) {
            // Nothing is checked, but it was an attempt.
            return Ok(match self.lockout.addresses.begin(claim.address, now) {
                Ok(()) => PasswordAnswer::Refused(problem, None).into(),
                Err(Locked) => PasswordAnswer::TooMany.into(),
            });
        }
        let found = self.directory.login(&claim.kind, &claim.user);
        if let Some(directory) = directory {
            // Where a log-in names no provider, an account with a password of its own is checked here, so that it is
            // of use when the directory is not.
            let names_none = claim.provider.as_ref().is_none_or(String::is_empty);
            if !names_none || found.as_ref().is_none_or(|entry| entry.password.is_none()) {
                return self.check_elsewhere(directory, found, claim, now).await;
            }
        }
        let named = found.clone();
        let found = found.filter(|entry| !is_of_another(entry, claim.tenant.as_deref()));
        let outcome = self.fly(found.as_ref(), claim, now).await;
        let tried = || named.as_ref().map(|entry| Arc::clone(&entry.account));
        let refused = |text| Ok(PasswordAnswer::Refused(text, tried()).into());
        match outcome {
            Err(TooMany) | Ok(Outcome::Busy) => Ok(PasswordAnswer::TooMany.into()),
            Ok(Outcome::Lost) => Err(Unavailable("a password could not be verified".to_owned())),
            Ok(Outcome::Locked) => refused("locked after failed attempts"),
            Ok(Outcome::Wrong) => refused(match &found {
                None if named.is_some() => "the account is of another tenant",
                None => "no such user",
                Some(entry) if entry.password.is_none() => "the account has no password",
                Some(_) => "wrong password",
            }),
            Ok(Outcome::Right) => Ok(self.proven(found)),
        }
    }

    /// The password was right; whether the account is, is asked after the KDF: it may have changed meanwhile.
    fn proven(&self, found: Option<Arc<Entry>>) -> Checked {
        let current = found.as_ref().and_then(|entry| self.directory.find(entry.account.id.0));
        let tried = found.as_ref().map(|entry| Arc::clone(&entry.account));
        let (Some(found), Some(entry)) = (found, current) else {
            return PasswordAnswer::Refused("the account is gone", tried).into();
        };
        if entry.disabled {
            return PasswordAnswer::Refused("the account is disabled", tried).into();
        }
        if entry.password != found.password {
            return PasswordAnswer::Refused("the password was changed meanwhile", tried).into();
        }
        let account = Arc::clone(&entry.account);
        let answer =
            if entry.password_due { PasswordAnswer::Due(account) } else { PasswordAnswer::Proven(account) };
        Checked { answer, entry: Some(entry) }
    }

    /// Joins the run for the same account, bucket and password that is under way, or starts one: a client that sends one
    /// password ten times at once is verified once, and counted once.
    async fn fly(
        self: &Arc<Self>,
        found: Option<&Arc<Entry>>,
        claim: &PasswordClaim,
        now: Time,
    ) -> Result<Outcome, TooMany> {
        let bucket = found.map(|entry| self.lockout.bucket(entry.account.id.0, claim.address));
        let whose = match &bucket {
            Some(bucket) => format!("account {}", bucket.text()),
            None => format!("nobody {}", claim.user),
        };
        let stored = found.and_then(|entry| entry.password.clone());
        let hash = stored.as_deref().unwrap_or_default();
        let parts = [&*claim.kind, &whose, hash, claim.password.expose()];
        let key = framed_mac(&self.derivation_key, "password flight", &parts);
        let begin = || {
            let password = Zeroizing::new(claim.password.expose().to_owned());
            let account = found.map(|entry| Arc::clone(&entry.account));
            Arc::clone(self).verify(bucket, account, stored.clone(), password, claim.address, now)
        };
        self.flights.join(key, claim.address, now, begin).await
    }

    async fn verify(
        self: Arc<Self>,
        bucket: Option<Bucket>,
        account: Option<Arc<Account>>,
        stored: Option<Arc<str>>,
        password: Zeroizing<String>,
        address: IpAddr,
        now: Time,
    ) -> Outcome {
        let begun = bucket.map(|bucket| self.lockout.begin(bucket, now));
        let is_counted = matches!(begun, Some(Ok(_)));
        // Nobody knows what the password is worth.
        let unverified = |outcome| {
            if let Some(bucket) = bucket.filter(|_| is_counted) {
                self.lockout.undo(bucket, now);
            }
            outcome
        };
        let Ok(run) = self.passwords.verify(stored, password) else { return unverified(Outcome::Busy) };
        let right = match run.await {
            Ok(Some(right)) => right,
            Ok(None) => {
                let (kind, id) = account.as_ref().map(|account| (&*account.kind, account.id.0)).unzip();
                tracing::error!(
                    account.kind = kind,
                    account.id = id,
                    "could not read the hash of an account's password"
                );
                return unverified(Outcome::Lost);
            }
            Err(_) => {
                tracing::error!("a password could not be verified: the thread that did it has ended");
                return unverified(Outcome::Lost);
            }
        };
        match (bucket, begun) {
            (_, Some(Err(_))) => Outcome::Locked,
            (Some(bucket), Some(Ok(_))) if right => {
                self.lockout.succeeded(bucket, address, now);
                Outcome::Right
            }
            (_, Some(Ok(Verdict::NowLocked))) => {
                if let Some(account) = &account {
                    self.note_lock(account, address, now);
                }
                Outcome::Wrong
            }
            (_, Some(Ok(Verdict::Counted)) | None) => Outcome::Wrong,
        }
    }

    /// Tells the log and the audit that an account has begun to be locked.
    pub(super) fn note_lock(&self, account: &Account, address: IpAddr, now: Time) {
        tracing::warn!(
            account.kind = &*account.kind,
            account.name = account.logged_name(),
            account.id = account.id.0,
            client.address = %address,
            "locked after failed attempts"
        );
        self.audit_lock(audit::name_of(account), address, now);
    }

    /// The same of somebody in a directory, whose name there is a stranger's word.
    pub(super) fn note_lock_elsewhere(&self, directory: &str, address: IpAddr, now: Time) {
        tracing::warn!(directory, client.address = %address, "locked after failed attempts");
        self.audit_lock(format!("somebody of directory {directory}"), address, now);
    }

    /// A log-in does not wait for that.
    fn audit_lock(&self, name: String, address: IpAddr, now: Time) {
        let event = audit::row(&By::new("anonymous", Some(address)), "account.locked", name, now);
        let write = self.store.write(vec![Change::Audit(event)]);
        self.handle.spawn(async move {
            if let Err(error) = write.await {
                tracing::warn!(error = %error, "could not note in the audit that an account was locked");
            }
        });
    }
}
