//! The identity service of a configuration, in the terms of the command line.

mod keys;
mod sessions;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::anyhow;
use arc_swap::ArcSwap;
use countersign_auth::account::{APPLICATIONS, AccountId};
use countersign_auth::api::Api;
use countersign_auth::secret::Secret;
use countersign_auth::time::{Clock, Time};
use countersign_identity::accounts::{AccountDraft, AccountError, AccountView, Standing};
use countersign_identity::audit;
use countersign_identity::equivalents::{KeyPlace, WeakerScheme};
use countersign_identity::issuers::TrustedIssuer;
use countersign_identity::lockout::Patience;
use countersign_identity::outbound::Outbound;
use countersign_identity::password::PasswordOptions;
use countersign_identity::service::equivalents::NewPassword;
use countersign_identity::service::{By, OpenError, Service, ServiceOptions, Upkeep};
use countersign_identity::signing::{SigningAlgorithm, SigningOptions};
use countersign_identity::store::StoreError;
use serde::Serialize;

use super::called::Called;
use super::reload::Declared;
use super::{ADMINISTRATOR_ROLE, Settled, directories, issuers, negotiation, objects, settle_all};
use countersign_identity::world::{OsRandom, WallClock};

use crate::config::{self, Algorithm, Config, Loaded, SECRET_BYTES_MIN};
use crate::output::Failure;
use crate::prompt;
use crate::record::{Account, AccountState, AuditEvent, NewAccount, Whose};

/// The first administrator's name.
const ADMINISTRATOR_NAME: &str = "admin";

/// The identity service of a configuration, opened, with the APIs that it knows.
pub(crate) struct Identities {
    service: Arc<Service>,
    apis: ArcSwap<Vec<Settled>>,
    /// What was said of each API to the service, by its name, when it came to be: it is not unsaid while the API is served.
    declared: Mutex<BTreeMap<String, Declared>>,
    /// What services were answered, under whatever configuration.
    called: Called,
    /// Of a new password.
    characters_min: u32,
}

/// An administrator who was just made.
#[derive(Serialize)]
pub(crate) struct FirstAdministrator {
    /// Its name.
    pub(crate) user: String,
    /// Its password, to be shown once; known to nobody else.
    pub(crate) password: String,
}

impl Identities {
    /// Opens the store of a configuration; makes it if it is not there.
    ///
    /// # Errors
    /// If a dialect does not suit its API, the store cannot be opened, or somebody else has it open.
    pub(crate) async fn open(loaded: &Loaded) -> Result<Self, Failure> {
        let apis = settle_all(loaded)?;
        let database = super::store_file(loaded);
        let said = format!("could not open the store {}", database.display());
        let taken = format!(
            "another gate runs on the store {}: stop it, or name another folder with --data, or another store.path",
            database.display()
        );
        // What stands beside the store is beside the file itself.
        let usual = ServiceOptions::at(database);
        let options = ServiceOptions {
            equivalents_key: match &loaded.config.store.key {
                Some(file) => KeyPlace::File(loaded.path(file)),
                None => usual.equivalents_key,
            },
            database: loaded.path(&loaded.config.store.path),
            passwords: passwords(&loaded.config),
            patience: patience(&loaded.config),
            signing: signing(&loaded.config),
            clock: Arc::new(WallClock),
            random: Arc::new(OsRandom::default()),
            upkeep: Upkeep::Background,
        };
        let opened = Service::open(options, tokio::runtime::Handle::current()).await;
        let service = opened.map_err(|error| {
            let said = if matches!(error, OpenError::Store(StoreError::Taken)) { taken } else { said };
            anyhow::Error::new(error).context(said)
        })?;
        // Before any password is set: what is kept of one is what was declared by then.
        for Settled { api, .. } in &apis {
            for (kind, realm, hash) in api.digest_places() {
                service.declare_digest(kind, realm, hash);
            }
        }
        let characters_min = loaded.config.passwords.length_min;
        service.tokens_live_for(longest(&apis));
        Ok(Self {
            service,
            apis: ArcSwap::from_pointee(apis),
            declared: Mutex::default(),
            called: Called::default(),
            characters_min,
        })
    }

    /// The service itself.
    pub(super) fn service(&self) -> Arc<Service> {
        Arc::clone(&self.service)
    }

    /// What services were answered.
    pub(super) fn called(&self) -> &Called {
        &self.called
    }

    /// The APIs, in the order of the configuration.
    pub(super) fn apis(&self) -> Arc<Vec<Settled>> {
        self.apis.load_full()
    }

    /// From now on the APIs are these.
    pub(super) fn adopt(&self, apis: Vec<Settled>) {
        self.service.tokens_live_for(longest(&apis));
        self.apis.store(Arc::new(apis));
    }

    /// What was said to the service of an API that is served.
    pub(super) fn declared(&self, api: &str) -> Option<Declared> {
        let is_served = self.apis().iter().any(|served| **served.api.name() == *api);
        let declared = self.declared.lock().unwrap_or_else(PoisonError::into_inner).get(api).cloned();
        declared.filter(|_| is_served)
    }

    /// Brings issuers, identity providers and operator-set values to what the configuration says. A value that
    /// it no longer names is taken away.
    pub(super) async fn apply(&self, loaded: &Loaded) -> Result<(), Failure> {
        let outbound = directories::outbound(loaded).map_err(|error| anyhow!("outbound.ca: {error}"))?;
        directories::apply(loaded, &self.service, &outbound).map_err(|error| anyhow!(error))?;
        for (config, settled) in loaded.config.api.iter().zip(&*self.apis()) {
            self.declare(loaded, config, settled, &outbound).await?;
        }
        Ok(())
    }

    /// Says to the service what it has to know of an API, and nothing else: an API of that name may have been there before.
    pub(super) async fn declare(
        &self,
        loaded: &Loaded,
        config: &config::Api,
        settled: &Settled,
        outbound: &Outbound,
    ) -> Result<(), Failure> {
        let api = &settled.api;
        let said = Declared::of(loaded, settled);
        self.declared.lock().unwrap_or_else(PoisonError::into_inner).insert(config.name.clone(), said);
        self.service.forget_api(&config.name);
        self.trust_own(config, settled);
        directories::route(config, &self.service).map_err(|error| anyhow!(error))?;
        objects::apply(config, &self.service, outbound).map_err(|error| anyhow!(error))?;
        issuers::apply(loaded, config, &self.service, outbound).map_err(|error| anyhow!(error))?;
        if let Some(settings) = negotiation::settings(loaded, config) {
            let declared = self.service.declare_negotiation(&config.name, settings);
            declared.map_err(|error| anyhow!("api {}: {error}", config.name))?;
        }
        for (provider, domains) in &config.providers {
            if domains.is_empty() {
                self.service.declare_provider(&config.name, provider, None);
            }
            for domain in domains {
                self.service.declare_provider(&config.name, provider, Some(domain));
            }
        }
        if let Some(word) =
            config.shared.keys().find(|word| api.shared_words().all(|(known, _)| **known != ***word))
        {
            return Err(Failure::Failed(anyhow!(
                "the dialect of {} has no shared token `{word}`",
                config.name
            )));
        }
        for (word, kind) in api.shared_words() {
            let value = match config.shared.get(&**word) {
                Some(shared) => Some(prompt::from_file(&loaded.path(&shared.file))?),
                None => None,
            };
            self.set_shared(&config.name, word, kind, value).await?;
        }
        Ok(())
    }

    /// Takes the tokens that the gate signs for an API, whose dialect says in whose name; where the configuration says where
    /// the keys of that issuer are, that counts.
    pub(super) fn trust_own(&self, config: &config::Api, settled: &Settled) {
        for issuer in settled.api.own_issuers().filter(|issuer| !config.issuers.contains_key(*issuer)) {
            self.service.trust_issuer(&config.name, issuer, TrustedIssuer::Ours);
        }
    }

    /// Whoever holds an operator-set value acts as an account of its own, which is made when it is first needed.
    async fn set_shared(
        &self,
        api: &str,
        word: &str,
        kind: &str,
        value: Option<Secret>,
    ) -> Result<(), Failure> {
        let name = format!("{api}-{word}");
        let known = self.service.account_named(kind, &name).map(|view| view.account.id);
        let id = match (known, &value) {
            (Some(id), _) => id,
            (None, None) => return Ok(()),
            (None, Some(_)) => {
                self.service.create_account(AccountDraft::new(kind, &name), By::gate(), now()).await?.id
            }
        };
        match value {
            Some(value) => self.service.set_shared_value(api, word, id, value, By::gate(), now()).await?,
            None => self.service.clear_shared_value(api, word, id, By::gate(), now()).await?,
        }
        Ok(())
    }

    /// Writes what waits to be written and lets the store go.
    pub(crate) async fn close(&self) -> Result<(), Failure> {
        Ok(self.service.close().await?)
    }

    /// Whether somebody is administrator.
    pub(crate) fn has_administrator(&self) -> bool {
        let is_administrator =
            |view: &AccountView| view.account.roles.iter().any(|role| role == ADMINISTRATOR_ROLE);
        self.service.accounts().iter().any(is_administrator)
    }

    /// Makes the first administrator, if there is none.
    pub(crate) async fn ensure_administrator(&self) -> Result<Option<FirstAdministrator>, Failure> {
        if self.has_administrator() {
            return Ok(None);
        }
        let made = self.service.ensure_administrator(ADMINISTRATOR_NAME, now()).await?;
        Ok(made.map(|password| FirstAdministrator {
            user: ADMINISTRATOR_NAME.to_owned(),
            password: password.expose().to_owned(),
        }))
    }

    /// All accounts, or those of one kind.
    pub(crate) async fn accounts(&self, kind: Option<&str>) -> Result<Vec<Account>, Failure> {
        let all = self.service.accounts();
        let now = now();
        Ok(all
            .iter()
            .map(|view| account(view, self.service.locked_until(view.account.id, now)))
            .filter(|account| kind.is_none_or(|kind| account.whose.kind == kind))
            .collect())
    }

    /// Adds an account, with a password or for somebody whom a directory or an issuer knows.
    pub(crate) async fn add_account(
        &self,
        account: NewAccount,
        password: Option<Secret>,
    ) -> Result<(), Failure> {
        let full_name = account.full_name();
        let whose = account.whose.clone();
        let draft = AccountDraft {
            kind: account.whose.kind,
            name: account.whose.name,
            subject: account.subject,
            full_name,
            first_name: account.first_name,
            last_name: account.last_name,
            email: account.email,
            tenant: account.tenant,
            roles: account.roles,
            keys: account.keys,
            password,
            password_due: false,
            disabled: false,
            weaker: weaker_schemes(&account.weaker)?,
        };
        let made = self.service.create_account(draft, by(), now()).await;
        made.map(drop).map_err(|error| self.refused(error, &whose))
    }

    /// Says what the command line's user can do about a refused account.
    fn refused(&self, error: AccountError, whose: &Whose) -> Failure {
        let Whose { kind, name } = whose;
        let message = match error {
            AccountError::Taken(_) if self.service.account_named(kind, name).is_some() => {
                format!("{kind} has an account called `{name}` already")
            }
            AccountError::Taken(_) => format!("{kind} has another account with the subject of `{name}`"),
            AccountError::Unfit { field: "password", problem } if problem.ends_with("too short") => {
                format!("the password is too short; write at least {} characters", self.characters_min)
            }
            AccountError::Unfit { field: "password", problem } => problem.to_owned(),
            AccountError::Unfit { .. }
            | AccountError::NotFound
            | AccountError::TooMany
            | AccountError::Unavailable(_) => return Failure::from(error),
        };
        Failure::Failed(anyhow!(message))
    }

    /// Gives an account a new password; its sessions and tokens end.
    pub(crate) async fn set_password(
        &self,
        whose: &Whose,
        password: Secret,
        weaker: &[String],
    ) -> Result<(), Failure> {
        let id = self.id(whose)?;
        let weaker = weaker_schemes(weaker)?;
        let set = self.service.set_password(id, NewPassword::Lasting(password), weaker, by(), now()).await;
        set.map_err(|error| self.refused(error, whose))
    }

    /// Deletes what is kept of an account's password for weaker schemes.
    pub(crate) async fn strengthen(&self, whose: &Whose) -> Result<(), Failure> {
        Ok(self.service.strengthen(self.id(whose)?, by(), now()).await?)
    }

    /// Enables or disables an account.
    pub(crate) async fn set_state(&self, whose: &Whose, state: AccountState) -> Result<(), Failure> {
        let standing = match state {
            AccountState::Enabled => Standing::Enabled,
            AccountState::Disabled => Standing::Disabled,
        };
        Ok(self.service.set_standing(self.id(whose)?, standing, by(), now()).await?)
    }

    /// Deletes an account.
    pub(crate) async fn delete_account(&self, whose: &Whose) -> Result<(), Failure> {
        Ok(self.service.delete_account(self.id(whose)?, by(), now()).await?)
    }

    /// Forgets the wrong passwords of an account.
    pub(crate) async fn unlock(&self, whose: &Whose) -> Result<(), Failure> {
        Ok(self.service.unlock(self.id(whose)?, by(), now()).await?)
    }

    /// Sets the secret with which an application proves itself at an API beside a user's credential.
    pub(crate) async fn set_application_secret(
        &self,
        api: &str,
        application: &str,
        secret: Secret,
    ) -> Result<(), Failure> {
        self.api(api)?;
        if secret.expose().len() < SECRET_BYTES_MIN {
            let problem = format!(
                "an application's secret has at least {SECRET_BYTES_MIN} bytes, or it could be guessed"
            );
            return Err(Failure::Failed(anyhow::anyhow!(problem)));
        }
        let whose = Whose { kind: APPLICATIONS.to_owned(), name: application.to_owned() };
        Ok(self.service.set_application_secret(api, self.id(&whose)?, secret, by(), now()).await?)
    }

    /// The newest events of the audit, newest first.
    pub(crate) async fn audit(&self, limit: u32) -> Result<Vec<AuditEvent>, Failure> {
        let events = self.service.audit(limit).await?.into_iter();
        let event = |event: audit::AuditEvent| AuditEvent {
            at: event.at.into(),
            actor: event.actor,
            event: event.event,
            object: event.object,
            address: event.address,
        };
        Ok(events.map(event).collect())
    }

    fn id(&self, whose: &Whose) -> Result<AccountId, Failure> {
        let found = self.service.account_named(&whose.kind, &whose.name);
        let found = found.ok_or_else(|| anyhow!("none of the {} is called `{}`", whose.kind, whose.name))?;
        Ok(found.account.id)
    }

    fn api(&self, name: &str) -> Result<Arc<Api>, Failure> {
        let apis = self.apis();
        let found = apis.iter().find(|settled| **settled.api.name() == *name);
        Ok(found
            .map(|settled| Arc::clone(&settled.api))
            .ok_or_else(|| anyhow!("no API is called `{name}`"))?)
    }
}

fn by() -> By {
    By::new("command line", None)
}

pub(super) fn now() -> Time {
    WallClock.now()
}

fn account(view: &AccountView, locked_until: Option<Time>) -> Account {
    let account = &view.account;
    Account {
        id: account.id.0,
        whose: Whose { kind: account.kind.to_string(), name: account.name.to_string() },
        subject: account.subject.clone(),
        full_name: account.full_name.clone(),
        email: account.email.clone(),
        tenant: account.tenant.clone(),
        roles: account.roles.clone(),
        keys: account.keys.clone(),
        state: view.standing.into(),
        locked_until: locked_until.map(Into::into),
        weaker: view.weaker.iter().map(|scheme| scheme.name().to_owned()).collect(),
    }
}

fn weaker_schemes(names: &[String]) -> Result<Vec<WeakerScheme>, Failure> {
    let scheme = |name: &String| {
        WeakerScheme::named(name)
            .ok_or_else(|| Failure::Failed(anyhow!("`{name}` is no scheme that passwords are kept for")))
    };
    names.iter().map(scheme).collect()
}

fn passwords(config: &Config) -> PasswordOptions {
    let size = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    let usual = PasswordOptions::default();
    PasswordOptions {
        threads: config.passwords.workers.map_or(usual.threads, size),
        queue: size(config.passwords.queue),
        characters_min: size(config.passwords.length_min),
        ..usual
    }
}

fn patience(config: &Config) -> Patience {
    let lockout = &config.lockout;
    Patience {
        failures: lockout.failures,
        delay_first: lockout.first.0,
        delay_max: lockout.longest.0,
        address_failures: lockout.address_failures,
        address_guesses: lockout.address_guesses,
    }
}

/// How long a token lives at the most that the gate signs for clients.
fn longest(apis: &[Settled]) -> Duration {
    apis.iter().map(|settled| settled.api.signed_tokens_live()).max().unwrap_or_default()
}

fn signing(config: &Config) -> SigningOptions {
    let assertion = match config.assertion.algorithm {
        Algorithm::Ed25519 => SigningAlgorithm::EdDsa,
        Algorithm::Rs256 => SigningAlgorithm::Rs256,
        Algorithm::Es256 => SigningAlgorithm::Es256,
    };
    SigningOptions { assertion, ..SigningOptions::default() }
}
