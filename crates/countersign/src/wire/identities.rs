//! The identity service of a configuration, in the terms of the command line.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use countersign_auth::account::{AccountId, Live};
use countersign_auth::api::Api;
use countersign_auth::port::{KeyAnswer, KeyCaller, KeyChange, KeyInfo, KeyName, Operations};
use countersign_auth::secret::Secret;
use countersign_auth::time::{Clock, Time};
use countersign_auth::token::{TokenPlan, TokenRef};
use countersign_identity::accounts::{AccountDraft, AccountView, Standing};
use countersign_identity::issuers::TrustedIssuer;
use countersign_identity::lockout::Patience;
use countersign_identity::password::PasswordOptions;
use countersign_identity::service::administration::NewPassword;
use countersign_identity::service::{By, Service, ServiceOptions};
use countersign_identity::signing::public::{parse_jwks, parse_pem};
use countersign_identity::signing::{SigningAlgorithm, SigningOptions};
use countersign_identity::world::WallClock;

use super::{ADMINISTRATOR_ROLE, settle};
use crate::config::{Algorithm, Config, Issuer, Loaded};
use crate::output::Failure;
use crate::record::{Account, AccountState, Key, NewAccount, NewKey, Session, Whose};

/// What the first administrator is called.
const FIRST_ADMINISTRATOR: &str = "admin";

/// The identity service of a configuration, opened.
pub(crate) struct Identities {
    pub(super) service: Arc<Service>,
    pub(super) clock: Arc<dyn Clock>,
    /// The APIs of the configuration, by its order.
    pub(super) apis: Vec<Arc<Api>>,
}

/// An administrator who was just made.
pub(crate) struct FirstAdministrator {
    /// Its name.
    pub(crate) name: String,
    /// Its password; known to nobody else.
    pub(crate) password: Secret,
}

impl Identities {
    /// Opens the store of a configuration; makes it if it is not there.
    ///
    /// # Errors
    /// If the store cannot be opened, or a file that the configuration names cannot be read.
    pub(crate) async fn open(loaded: &Loaded) -> Result<Self, Failure> {
        let database = loaded.path(&loaded.config.store.path);
        let options = ServiceOptions { ..service_options(&loaded.config, ServiceOptions::at(&database)) };
        let service = Service::open(options, tokio::runtime::Handle::current())
            .await
            .with_context(|| format!("could not open the store {}", database.display()))?;
        Self::over(loaded, service, Arc::new(WallClock)).await
    }

    /// Takes a service that is open, and tells it what the configuration says of issuers and shared values.
    ///
    /// # Errors
    /// If a file that the configuration names cannot be read.
    pub(crate) async fn over(loaded: &Loaded, service: Arc<Service>, clock: Arc<dyn Clock>) -> Result<Self, Failure> {
        let apis = loaded
            .config
            .api
            .iter()
            .map(|api| settle(loaded, api).map_err(Failure::Usage))
            .collect::<Result<Vec<_>, _>>()?;
        let identities = Self { service, clock, apis };
        identities.trust_issuers(loaded)?;
        identities.set_shared_values(loaded).await?;
        Ok(identities)
    }

    /// Writes what waits to be written.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub(crate) async fn close(&self) -> Result<(), Failure> {
        Ok(self.service.close().await.context("could not write what waited to be written")?)
    }

    fn now(&self) -> Time {
        self.clock.now()
    }

    fn trust_issuers(&self, loaded: &Loaded) -> Result<(), Failure> {
        for (api, settled) in loaded.config.api.iter().zip(&self.apis) {
            for issuer in settled.own_issuers() {
                self.service.trust_issuer(&api.name, issuer, TrustedIssuer::Ours);
            }
            for (issuer, keys) in &api.issuers {
                self.service.trust_issuer(&api.name, issuer, issuer_keys(loaded, keys)?);
            }
        }
        Ok(())
    }

    async fn set_shared_values(&self, loaded: &Loaded) -> Result<(), Failure> {
        for (api, settled) in loaded.config.api.iter().zip(&self.apis) {
            for (word, kind) in settled.shared_words() {
                let Some(shared) = api.shared.get(&**word) else { continue };
                let file = loaded.path(&shared.file);
                let value = std::fs::read_to_string(&file)
                    .with_context(|| format!("could not read the value of token {word} from {}", file.display()))?;
                let whose = Whose { kind: kind.to_string(), name: format!("{}-{word}", api.name) };
                if self.view(&whose).is_err() {
                    self.create(AccountDraft::new(&whose.kind, &whose.name)).await?;
                }
                let id = self.view(&whose)?.account.id;
                let value = Secret::new(value.trim_end_matches(['\r', '\n']));
                let set = self.service.set_shared_value(&api.name, word, id, value, By::gate(), self.now());
                set.await.with_context(|| format!("could not set the value of token {word}"))?;
            }
        }
        Ok(())
    }

    /// Makes the first administrator, if there is no account at all.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub(crate) async fn ensure_administrator(&self) -> Result<Option<FirstAdministrator>, Failure> {
        let is_administrator = |view: &AccountView| view.account.roles.iter().any(|role| role == ADMINISTRATOR_ROLE);
        if self.service.accounts().iter().any(is_administrator) {
            return Ok(None);
        }
        let made = self.service.ensure_administrator(FIRST_ADMINISTRATOR, self.now()).await;
        let password = made.context("could not make the first administrator")?;
        Ok(password.map(|password| FirstAdministrator { name: FIRST_ADMINISTRATOR.to_owned(), password }))
    }

    /// All accounts, or those of one kind.
    ///
    /// # Errors
    /// None at present.
    pub(crate) async fn accounts(&self, kind: Option<&str>) -> Result<Vec<Account>, Failure> {
        let views = self.service.accounts();
        let wanted = |view: &&AccountView| kind.is_none_or(|kind| view.account.kind == kind);
        Ok(views.iter().filter(wanted).map(shown).collect())
    }

    /// Adds an account with a password.
    ///
    /// # Errors
    /// If a field or the password is unfit, the name is taken, or the store cannot be written.
    pub(crate) async fn add_account(&self, account: NewAccount, password: Secret) -> Result<(), Failure> {
        let draft = AccountDraft {
            subject: account.subject.clone(),
            full_name: account.full_name(),
            first_name: account.first_name,
            last_name: account.last_name,
            email: account.email,
            tenant: account.tenant,
            roles: account.roles,
            keys: account.keys,
            password: Some(password),
            ..AccountDraft::new(&account.whose.kind, &account.whose.name)
        };
        self.create(draft).await
    }

    async fn create(&self, draft: AccountDraft) -> Result<(), Failure> {
        let name = draft.name.clone();
        let made = self.service.create_account(draft, By::gate(), self.now()).await;
        made.with_context(|| format!("could not add account {name}"))?;
        Ok(())
    }

    fn view(&self, whose: &Whose) -> Result<AccountView, Failure> {
        let found = self.service.account_named(&whose.kind, &whose.name);
        found.ok_or_else(|| Failure::Failed(anyhow!("there is no account {} of kind {}", whose.name, whose.kind)))
    }

    fn id(&self, whose: &Whose) -> Result<AccountId, Failure> {
        Ok(self.view(whose)?.account.id)
    }

    /// Gives an account a new password; its sessions and tokens end.
    ///
    /// # Errors
    /// If there is no such account, the password is unfit, or the store cannot be written.
    pub(crate) async fn set_password(&self, whose: &Whose, password: Secret) -> Result<(), Failure> {
        let id = self.id(whose)?;
        let set = self.service.set_password(id, NewPassword::Lasting(password), By::gate(), self.now());
        Ok(set.await.with_context(|| format!("could not set the password of {}", whose.name))?)
    }

    /// Enables or disables an account.
    ///
    /// # Errors
    /// If there is no such account, or the store cannot be written.
    pub(crate) async fn set_state(&self, whose: &Whose, state: AccountState) -> Result<(), Failure> {
        let standing = match state {
            AccountState::Enabled => Standing::Enabled,
            AccountState::Disabled => Standing::Disabled,
        };
        let set = self.service.set_standing(self.id(whose)?, standing, By::gate(), self.now());
        Ok(set.await.with_context(|| format!("could not change {}", whose.name))?)
    }

    /// Deletes an account.
    ///
    /// # Errors
    /// If there is no such account, or the store cannot be written.
    pub(crate) async fn delete_account(&self, whose: &Whose) -> Result<(), Failure> {
        let deleted = self.service.delete_account(self.id(whose)?, By::gate(), self.now());
        Ok(deleted.await.with_context(|| format!("could not delete {}", whose.name))?)
    }

    /// Forgets the wrong passwords of an account.
    ///
    /// # Errors
    /// If there is no such account, or the store cannot be written.
    pub(crate) async fn unlock(&self, whose: &Whose) -> Result<(), Failure> {
        let unlocked = self.service.unlock(self.id(whose)?, By::gate(), self.now());
        Ok(unlocked.await.with_context(|| format!("could not unlock {}", whose.name))?)
    }

    fn key_place(&self, api: &str) -> Result<(KeyCaller, TokenPlan), Failure> {
        let settled = self.apis.iter().find(|settled| **settled.name() == *api);
        let settled = settled.ok_or_else(|| Failure::usage(format!("no api is called `{api}`")))?;
        let plan = settled.key_plan();
        let plan = plan.ok_or_else(|| Failure::usage(format!("the dialect of api `{api}` has no keys")))?;
        let caller = KeyCaller {
            account: Arc::new(gate_account()),
            api: Arc::clone(settled.name()),
            word: Arc::clone(&plan.word),
        };
        Ok((caller, plan.clone()))
    }

    /// Makes a key; its value is known to nobody else.
    ///
    /// # Errors
    /// If there is no such API or application, or the store cannot be written.
    pub(crate) async fn create_key(&self, key: NewKey) -> Result<(Key, Secret), Failure> {
        let (caller, plan) = self.key_place(&key.api)?;
        let now = self.now();
        let change = KeyChange {
            label: Some(key.label),
            description: Some(key.description),
            expires_at: Some(key.lifetime.map(|lifetime| now.plus(lifetime.0))),
        };
        let made = self.service.key_create(caller, key.owner, plan, change, now).await;
        with_value(made.context("could not make the key")?)
    }

    /// The keys of an API, or of one application there.
    ///
    /// # Errors
    /// If there is no such API, or the store cannot be read.
    pub(crate) async fn keys(&self, api: &str, owner: Option<&str>) -> Result<Vec<Key>, Failure> {
        let (caller, _) = self.key_place(api)?;
        let keys = self.service.key_list(caller, owner.map(str::to_owned), self.now()).await;
        Ok(keys.context("could not list the keys")?.iter().map(key).collect())
    }

    /// Gives a key a new value.
    ///
    /// # Errors
    /// If there is no such key, or the store cannot be written.
    pub(crate) async fn rotate_key(&self, api: &str, id: &str) -> Result<(Key, Secret), Failure> {
        let (caller, plan) = self.key_place(api)?;
        let rotated = self.service.key_rotate(caller, key_name(id)?, plan, self.now()).await;
        with_value(rotated.context("could not rotate the key")?)
    }

    /// Deletes a key.
    ///
    /// # Errors
    /// If there is no such key, or the store cannot be written.
    pub(crate) async fn delete_key(&self, api: &str, id: &str) -> Result<(), Failure> {
        let (caller, _) = self.key_place(api)?;
        let deleted = self.service.key_delete(caller, key_name(id)?, self.now()).await;
        match deleted.context("could not delete the key")? {
            KeyAnswer::Done(..) => Ok(()),
            KeyAnswer::NotFound => Err(no_key()),
        }
    }

    /// Sets the secret with which an application proves itself at an API beside a user's credential.
    ///
    /// # Errors
    /// If there is no such application, or the store cannot be written.
    pub(crate) async fn set_application_secret(
        &self,
        api: &str,
        application: &str,
        secret: Secret,
    ) -> Result<(), Failure> {
        let whose = Whose { kind: String::from("applications"), name: application.to_owned() };
        let set = self.service.set_application_secret(api, self.id(&whose)?, secret, By::gate(), self.now());
        Ok(set.await.with_context(|| format!("could not set the secret of {application}"))?)
    }

    /// What an account holds.
    ///
    /// # Errors
    /// If there is no such account, or the store cannot be read.
    pub(crate) async fn sessions(&self, whose: &Whose) -> Result<Vec<Session>, Failure> {
        let id = self.id(whose)?;
        let mut sessions = Vec::new();
        for api in &self.apis {
            let held = self.service.sessions(id, Arc::clone(api.name()), self.now()).await;
            for info in held.context("could not list the sessions")? {
                sessions.push(Session {
                    reference: info.reference.to_string(),
                    api: info.api.to_string(),
                    word: info.word.to_string(),
                    subject: info.subject,
                    issued_at: info.issued_at.into(),
                    expires_at: info.expires_at.map(Into::into),
                });
            }
        }
        Ok(sessions)
    }

    /// Ends what an account holds: one by its public name, or all; says how many.
    ///
    /// # Errors
    /// If there is no such account, or the store cannot be written.
    pub(crate) async fn revoke_sessions(&self, whose: &Whose, name: Option<&str>) -> Result<usize, Failure> {
        let id = self.id(whose)?;
        let Some(name) = name else {
            let held = self.sessions(whose).await?.len();
            let ended = self.service.end_sessions(id, By::gate(), self.now()).await;
            ended.context("could not end the sessions")?;
            return Ok(held);
        };
        let Some(reference) = TokenRef::parse(name) else {
            return Err(Failure::usage(format!("`{name}` is no session; `session list` shows their names")));
        };
        let ended = self.service.end_named(id, reference, self.now()).await;
        Ok(usize::from(ended.context("could not end the session")?))
    }
}

/// The settings of a configuration over the defaults of the service.
pub(crate) fn service_options(config: &Config, base: ServiceOptions) -> ServiceOptions {
    let size = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    ServiceOptions {
        passwords: PasswordOptions {
            threads: size(config.passwords.workers),
            queue: size(config.passwords.queue),
            characters_min: size(config.passwords.length_min),
            ..base.passwords
        },
        patience: Patience {
            failures: config.lockout.account_failures,
            address_failures: config.lockout.address_failures,
            delay_first: config.lockout.delay_first.0,
            delay_max: config.lockout.delay_max.0,
        },
        signing: SigningOptions {
            assertion: match config.assertion.algorithm {
                Algorithm::Ed25519 => SigningAlgorithm::EdDsa,
                Algorithm::Rs256 => SigningAlgorithm::Rs256,
                Algorithm::Es256 => SigningAlgorithm::Es256,
            },
            ..base.signing
        },
        ..base
    }
}

fn issuer_keys(loaded: &Loaded, issuer: &Issuer) -> Result<TrustedIssuer, Failure> {
    let files = match issuer {
        Issuer::Word(_) => return Ok(TrustedIssuer::Ours),
        Issuer::Keys(files) => files,
    };
    let read = |file: &std::path::Path| {
        let file = loaded.path(file);
        std::fs::read_to_string(&file).with_context(|| format!("could not read the keys in {}", file.display()))
    };
    let mut keys = Vec::new();
    if let Some(file) = &files.jwks_file {
        keys.extend(parse_jwks(&read(file)?).with_context(|| format!("could not use the keys in {}", file.display()))?);
    }
    if let Some(file) = &files.pem_file {
        keys.push(parse_pem(&read(file)?).with_context(|| format!("could not use the key in {}", file.display()))?);
    }
    Ok(TrustedIssuer::Keys(keys))
}

/// Who the command line is to the rules about keys.
fn gate_account() -> countersign_auth::account::Account {
    countersign_auth::account::Account {
        id: AccountId(0),
        kind: String::from("users"),
        name: String::from("countersign"),
        subject: String::from("countersign"),
        full_name: String::new(),
        first_name: String::new(),
        last_name: String::new(),
        email: String::new(),
        tenant: None,
        roles: vec![ADMINISTRATOR_ROLE.to_owned()],
        keys: BTreeMap::new(),
        proofs_from: Time::from_unix_secs(0),
        live: Live::new(),
    }
}

fn shown(view: &AccountView) -> Account {
    let account = &view.account;
    Account {
        whose: Whose { kind: account.kind.clone(), name: account.name.clone() },
        subject: account.subject.clone(),
        full_name: account.full_name.clone(),
        email: account.email.clone(),
        tenant: account.tenant.clone(),
        roles: account.roles.clone(),
        keys: account.keys.clone(),
        state: match view.standing {
            Standing::Enabled => AccountState::Enabled,
            Standing::Disabled => AccountState::Disabled,
        },
    }
}

fn key(info: &KeyInfo) -> Key {
    Key {
        id: info.id.to_string(),
        owner: info.owner.clone(),
        label: info.label.clone(),
        description: info.description.clone(),
        created_at: info.created_at.into(),
        expires_at: info.expires_at.map(Into::into),
    }
}

fn key_name(id: &str) -> Result<KeyName, Failure> {
    let reference = TokenRef::parse(id);
    reference.map(KeyName::Id).ok_or_else(|| Failure::usage(format!("`{id}` is no key's id; `key list` shows them")))
}

fn no_key() -> Failure {
    Failure::Failed(anyhow!("there is no such key or application"))
}

fn with_value(answer: KeyAnswer) -> Result<(Key, Secret), Failure> {
    match answer {
        KeyAnswer::Done(info, Some(value)) => Ok((key(&info), value)),
        KeyAnswer::Done(_, None) => Err(Failure::Failed(anyhow!("the key has no new value"))),
        KeyAnswer::NotFound => Err(no_key()),
    }
}
