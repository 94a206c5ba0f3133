//! How a password is checked that a directory knows, and whose account that is.
//!
//! ```text
//! bucket of failures ─▶ one question to the directory ─▶ person ─▶ account, made at first sight if that is wanted
//! ```
//!
//! Whoever changes this file says whose account a person of a directory or of an issuer has; it is reviewed as such.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use countersign_auth::account::{Account, AccountId};
use countersign_auth::port::{PasswordAnswer, PasswordClaim, Unavailable};
use countersign_auth::secret::Secret;
use countersign_auth::time::Time;
use icu_normalizer::DecomposingNormalizerBorrowed;

use super::changing::Besides;
use super::flights::TooMany;
use super::passwords::{Checked, is_of_another};
use super::{By, Core, Service, unavailable};
use crate::accounts::directory::Entry;
use crate::accounts::{AccountDraft, AccountError, AccountView};
use crate::audit;
use crate::directory::person::Person;
use crate::directory::{
    Directory, DirectorySettings, FirstSight, HealthReport, Kept, Route, Trouble, Verdict,
};
use crate::lockout::{Bucket, Verdict as Strike};
use crate::store::{Change, ValuePurpose, ValueRow};
use crate::values::{Values, framed_mac};

/// How often a directory is asked whether it is well.
const PROBE_EVERY: Duration = Duration::from_secs(30);

/// Names that the gate has no account for share so many buckets of failures: memory is bounded, and since they are
/// chosen by a keyed hash nobody can aim at somebody else's.
const NAMELESS_BUCKETS: u64 = 65_536;

/// Buckets of names begin here, beyond any account's number.
const NAMELESS_FROM: u64 = 1 << 63;

/// What became of one question.
#[derive(Clone)]
pub(super) enum Outcome {
    Right(Arc<Entry>),
    Refused(&'static str),
    Busy,
    Down(String),
}

impl Outcome {
    /// Whether it counts against the addresses that it was tried from.
    pub(super) fn is_failure(&self) -> bool {
        match self {
            Self::Refused(_) => true,
            Self::Right(_) | Self::Busy | Self::Down(_) => false,
        }
    }
}

/// One question.
struct Question {
    directory: Arc<Kept>,
    kind: Arc<str>,
    user: String,
    password: Secret,
    tenant: Option<String>,
    address: IpAddr,
    bucket: Bucket,
    now: Time,
}

/// Where people are known by what ties them to their accounts: a directory, or an issuer.
pub(super) struct Home {
    /// In ties.
    pub(super) name: String,
    /// For the audit.
    pub(super) actor: String,
    pub(super) first_sight: FirstSight,
}

/// Whose an account is: no other source's, whatever that calls its people.
#[derive(Clone, Copy)]
pub(super) struct Tie<'t> {
    /// A directory's name, or that of another source of people, which has a blank in it.
    pub(super) home: &'t str,
    /// What he is known by there.
    pub(super) person: &'t str,
    /// How he is looked for.
    pub(super) sought: Sought,
}

/// How those are looked for who are tied to accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sought {
    /// By what they are tied by: each has one account at the most.
    ByTie,
    /// By the account's name.
    ByName,
}

/// Why a person has no account.
pub(super) enum Unmapped {
    Refused(&'static str),
    Down(Unavailable),
}

impl From<AccountError> for Unmapped {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::Unfit { .. } => Self::Refused("the directory's values fit no account"),
            AccountError::Taken(_) => Self::Refused("another account has the name or the subject"),
            AccountError::NotFound => Self::Refused("the account is gone"),
            AccountError::TooMany => Self::Down(Unavailable("too many passwords".to_owned())),
            AccountError::Unavailable(error) => Self::Down(error),
        }
    }
}

impl Service {
    /// Adds a directory, or puts it in the place of the one of that name. It is asked every 30 s whether it is well.
    pub fn add_directory(&self, name: &str, directory: Box<dyn Directory>, settings: DirectorySettings) {
        let kept = Arc::downgrade(&self.core.directories.add(name, directory, settings));
        self.core.handle.spawn(async move {
            while let Some(kept) = kept.upgrade() {
                kept.probe().await;
                drop(kept);
                tokio::time::sleep(PROBE_EVERY).await;
            }
        });
    }

    /// Says which log-ins a directory is asked about, and that they may name it; false if there is none of that name.
    pub fn route_directory(&self, route: Route, name: &str) -> bool {
        if let Some(provider) = &route.provider {
            self.core.providers.add(&route.api, provider, route.domain.as_deref());
        }
        self.core.directories.route(route, name)
    }

    /// How the directories are, by name.
    pub fn directory_health(&self) -> Vec<HealthReport> {
        self.core.directories.health()
    }
}

impl Core {
    /// Checks a password in a directory; the address was counted already. `found` is the account that the gate has
    /// for the name that was typed, if it has one.
    pub(super) async fn check_elsewhere(
        self: &Arc<Self>,
        directory: Arc<Kept>,
        found: Option<Arc<Entry>>,
        claim: &PasswordClaim,
        now: Time,
    ) -> Result<Checked, Unavailable> {
        let (name, remembered) = (directory.name.clone(), directory.settings.remembered);
        let tried = found.as_ref().map(|entry| Arc::clone(&entry.account));
        match self.ask(directory, found, claim, now).await {
            Ok(Outcome::Right(entry)) => {
                let answer = PasswordAnswer::ProvenElsewhere(Arc::clone(&entry.account), remembered);
                Ok(Checked { answer, entry: Some(entry) })
            }
            Ok(Outcome::Refused(why)) => Ok(PasswordAnswer::Refused(why, tried).into()),
            Err(TooMany) | Ok(Outcome::Busy) => Ok(PasswordAnswer::TooMany.into()),
            Ok(Outcome::Down(why)) => Err(Unavailable(format!("directory {name}: {why}"))),
        }
    }

    /// Joins the question about the same directory, bucket, user and password that is under way, or begins it.
    async fn ask(
        self: &Arc<Self>,
        directory: Arc<Kept>,
        found: Option<Arc<Entry>>,
        claim: &PasswordClaim,
        now: Time,
    ) -> Result<Outcome, TooMany> {
        let bucket = self.bucket_of(&directory, found.as_deref(), claim);
        let tenant = claim.tenant.as_deref().unwrap_or_default();
        let parts = [
            directory.name.as_str(),
            &*claim.kind,
            &bucket.text(),
            &claim.user,
            tenant,
            claim.password.expose(),
        ];
        let key = framed_mac(&self.derivation_key, "directory flight", &parts);
        let begin = || {
            let question = Question {
                directory,
                kind: Arc::clone(&claim.kind),
                user: claim.user.clone(),
                password: Secret::new(claim.password.expose()),
                tenant: claim.tenant.clone(),
                address: claim.address,
                bucket,
                now,
            };
            let core = Arc::clone(self);
            async move { core.answer(question).await }
        };
        self.asked.join(key, claim.address, now, begin).await
    }

    /// The bucket of the account, if it is one of a directory; else one that the typed name shares with others. What a
    /// directory may take for one name is one name.
    fn bucket_of(&self, directory: &Kept, found: Option<&Entry>, claim: &PasswordClaim) -> Bucket {
        let plain = plain_spelling(&claim.user);
        let tied = |entry: &Entry| Some(entry.account.id.0).filter(|id| self.links.is_tied(*id));
        let plainly = || self.directory.login(&claim.kind, &plain);
        let own = found.and_then(tied).or_else(|| tied(&*plainly()?));
        let account = own.unwrap_or_else(|| {
            let parts = [directory.name.as_str(), &*claim.kind, &plain];
            let mac = framed_mac(&self.derivation_key, "directory name", &parts);
            let first = mac.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
            NAMELESS_FROM + first % NAMELESS_BUCKETS
        });
        self.lockout.bucket(account, claim.address)
    }

    async fn answer(&self, question: Question) -> Outcome {
        let Question { directory, bucket, address, now, .. } = &question;
        // While it is locked the directory is not asked: whoever guesses here does not lock people out there.
        let Ok(strike) = self.lockout.begin(*bucket, *now) else {
            return Outcome::Refused("locked after failed attempts");
        };
        let outcome = match directory.check(&question.user, &question.password).await {
            Ok(Verdict::Right(person)) => match self.account_of(&question, *person).await {
                Ok(entry) => Outcome::Right(entry),
                Err(Unmapped::Refused(why)) => Outcome::Refused(why),
                Err(Unmapped::Down(error)) => Outcome::Down(error.0),
            },
            Ok(Verdict::Wrong(why)) => Outcome::Refused(why),
            Err(Trouble::Busy) => Outcome::Busy,
            Err(Trouble::Down(why)) => Outcome::Down(why),
        };
        match &outcome {
            Outcome::Right(_) => self.lockout.succeeded(*bucket, *address, *now),
            Outcome::Refused(_) if strike == Strike::NowLocked => {
                self.note_lock_elsewhere(&directory.name, *address, *now);
            }
            Outcome::Refused(_) => {}
            Outcome::Busy | Outcome::Down(_) => self.lockout.undo(*bucket, *now),
        }
        outcome
    }

    async fn account_of(&self, question: &Question, person: Person) -> Result<Arc<Entry>, Unmapped> {
        let Question { directory, kind, tenant, now, .. } = question;
        let home = Home {
            name: directory.name.clone(),
            actor: format!("directory {}", directory.name),
            first_sight: directory.settings.first_sight,
        };
        let entry = self.account_at(&home, kind, person, *now).await?;
        if is_of_another(&entry, tenant.as_deref()) {
            return Err(Unmapped::Refused("the account is another tenant's"));
        }
        Ok(entry)
    }

    /// The account of a person, as it is after what his home says of him.
    pub(super) async fn account_at(
        &self,
        home: &Home,
        kind: &str,
        person: Person,
        now: Time,
    ) -> Result<Arc<Entry>, Unmapped> {
        let by = By::new(home.actor.as_str(), None);
        let id = match self.tied(home, kind, &person, &by, now).await? {
            Some(id) => id,
            None if home.first_sight == FirstSight::Refuse => {
                return Err(Unmapped::Refused("no account of the gate is his"));
            }
            None => {
                let draft = overlaid(AccountDraft::new(kind, &person.name), &person);
                let tie = Tie { home: &home.name, person: &person.id, sought: Sought::ByTie };
                match self.create_account(draft, Some(tie), &by, now).await {
                    Ok(account) => account.id,
                    // Another log-in of his may have been a moment earlier.
                    Err(taken @ AccountError::Taken(_)) => {
                        self.tied(home, kind, &person, &by, now).await?.ok_or(taken)?
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        };
        let entry = self.entry(id)?;
        if entry.disabled {
            return Err(Unmapped::Refused("the account is disabled"));
        }
        let described = |account: &Account| overlaid(AccountDraft::of(account), &person);
        // Nearly always there is nothing to change, and no need to wait for those who change something.
        if described(&entry.account).is_as(&entry.account) {
            return Ok(entry);
        }
        let change = |view: &AccountView| Ok::<_, AccountError>(described(&view.account));
        self.update_account_with(id, change, Besides::default(), &by, now).await?;
        Ok(self.entry(id)?)
    }

    /// The account that is a person's already, or that an operator made for him: of his name, without a password, and
    /// nobody else's.
    async fn tied(
        &self,
        home: &Home,
        kind: &str,
        person: &Person,
        by: &By,
        now: Time,
    ) -> Result<Option<AccountId>, Unmapped> {
        let row = Values::row(&self.derivation_key, ValuePurpose::Directory, &home.name, kind, 0, &person.id);
        if let Some(id) = self.tied_to(&row) {
            return Ok(Some(id));
        }
        // Nobody else is tied to it meanwhile, and he to nothing else.
        let _one_at_a_time = self.administration.lock().await;
        if let Some(id) = self.tied_to(&row) {
            return Ok(Some(id));
        }
        let Some(entry) = self.directory.named(kind, &person.name) else { return Ok(None) };
        if entry.password.is_some() {
            return Err(Unmapped::Refused("an account of that name has a password of its own"));
        }
        if self.links.is_tied(entry.account.id.0) {
            return Err(Unmapped::Refused("the account of that name is somebody else's"));
        }
        let row = self.tie_row(
            Tie { home: &home.name, person: &person.id, sought: Sought::ByTie },
            kind,
            entry.account.id,
        );
        let event = audit::row(by, "account.tied", audit::name_of(&entry.account), now);
        let written = self.store.write(vec![Change::PutValue(row.clone()), Change::Audit(event)]).await;
        written.map_err(|error| Unmapped::Down(unavailable(error)))?;
        self.links.put(&row);
        Ok(Some(entry.account.id))
    }

    /// The account that a person is tied to, whatever account the row says.
    pub(super) fn tied_to(&self, row: &ValueRow) -> Option<AccountId> {
        let entry = self.directory.find(self.links.account(&row.mac)?)?;
        Some(entry.account.id)
    }

    /// The row that ties somebody to an account.
    pub(super) fn tie_row(&self, tie: Tie<'_>, kind: &str, account: AccountId) -> ValueRow {
        let Tie { home, person, sought: _ } = tie;
        Values::row(&self.derivation_key, ValuePurpose::Directory, home, kind, account.0, person)
    }
}

/// A name without what directories pass over when they compare names: case, blanks, accents, widths, and characters
/// that nobody sees (RFC 4518; Active Directory passes over accents as well). Otherwise each spelling would have
/// failures of its own, and one password as many guesses as its owner's name has spellings.
fn plain_spelling(user: &str) -> String {
    let decomposed = DecomposingNormalizerBorrowed::new_nfkd().normalize_iter(user.chars());
    let counts = |letter: &char| letter.is_ascii_graphic() || letter.is_alphanumeric();
    decomposed.filter(counts).flat_map(char::to_lowercase).filter(counts).collect()
}

/// A draft with what a directory says of a person in the place of what was there.
fn overlaid(draft: AccountDraft, person: &Person) -> AccountDraft {
    let text = |own: String, said: &Option<String>| said.clone().unwrap_or(own);
    let mut keys = draft.keys;
    for (key, said) in &person.keys {
        match said {
            Some(value) => keys.insert(key.clone(), value.clone()),
            None => keys.remove(key),
        };
    }
    AccountDraft {
        name: person.name.clone(),
        subject: person.subject.clone().or(draft.subject),
        full_name: text(draft.full_name, &person.full_name),
        first_name: text(draft.first_name, &person.first_name),
        last_name: text(draft.last_name, &person.last_name),
        email: text(draft.email, &person.email),
        tenant: person.tenant.clone().unwrap_or(draft.tenant),
        roles: person.roles.clone().unwrap_or(draft.roles),
        keys,
        ..AccountDraft::new(&draft.kind, &person.name)
    }
}
