//! Ties the crates together: the one file that knows how the configuration becomes a gate.
//!
//! Everything else in this crate speaks in the terms of [`crate::config`] and [`crate::record`].

use std::net::SocketAddr;
use std::sync::Arc;

use countersign_auth::api::{Api, ApiOptions, TokenSettings};
use countersign_auth::dialect::Dialect;
use countersign_auth::dialect::source::Problem;
use countersign_auth::policy::{Allow, Conditions, RouteOptions};
use countersign_auth::secret::Secret;

use crate::config::{self, AllowWord, Loaded, Mistake, UNPROVEN_FROM_ANYWHERE};
use crate::dialects;
use crate::output::Failure;
use crate::record::{Account, AccountState, Key, NewAccount, NewKey, Session, Whose};

/// Where the administration listener publishes the keys that assertions are verified with.
pub(crate) const JWKS_PATH: &str = "/.well-known/jwks.json";

/// The header that carries the assertion.
pub(crate) const ASSERTION_HEADER: &str = "countersign-assertion";

/// The role whose holders may touch what is not theirs.
pub(crate) const ADMINISTRATOR_ROLE: &str = "administrator";

/// What the dialects of a checked configuration say against its APIs.
pub(crate) fn problems(loaded: &Loaded) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    for (at, api) in loaded.config.api.iter().enumerate() {
        if let Err(found) = settle(loaded, api) {
            let path = format!("api[{at}]");
            mistakes.extend(found.into_iter().map(|problem| loaded.mistake(&path, problem)));
        }
    }
    mistakes
}

/// What is wrong with a dialect file, one line each, ready to print.
pub(crate) fn dialect_problems(file: &str, text: &str) -> Vec<String> {
    match Dialect::load(file, text) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

/// An API with its dialect, or what is wrong with the two.
fn settle(loaded: &Loaded, api: &config::Api) -> Result<Arc<Api>, Vec<String>> {
    let told = |problems: Vec<Problem>| problems.iter().map(ToString::to_string).collect::<Vec<_>>();
    let text = dialects::fetch(&api.dialect, &loaded.folder).map_err(|error| vec![error.to_string()])?;
    let dialect = Dialect::load(&text.file, &text.text).map_err(told)?;
    // An API's own problems name no line and no file: the configuration's line is said by the caller.
    let told = |problems: Vec<Problem>| problems.into_iter().map(|problem| problem.message).collect::<Vec<_>>();
    Api::new(Arc::new(dialect), options(api)).map(Arc::new).map_err(told)
}

fn options(api: &config::Api) -> ApiOptions {
    let settings = |token: &config::Token| TokenSettings {
        idle: token.idle.map(|idle| idle.0),
        lifetime: token.lifetime.map(|lifetime| lifetime.0),
        per_account: token.per_account,
    };
    ApiOptions {
        name: api.name.clone(),
        deployment: api.deployment.clone(),
        enable: api.enable.clone(),
        disable: api.disable.clone(),
        dangerous: api.dangerous.iter().filter(|word| *word != UNPROVEN_FROM_ANYWHERE).cloned().collect(),
        realm: api.realm.clone(),
        csrf_off: !api.csrf,
        csrf_header: api.csrf_header.clone(),
        tokens: api.token.iter().map(|(word, token)| (word.clone(), settings(token))).collect(),
        routes: api.route.iter().map(route).collect(),
        tenants: api.tenants.clone(),
        development: api.development,
    }
}

fn route(route: &config::Route) -> RouteOptions {
    let allow = match &route.allow {
        config::Allow::Word(AllowWord::Anonymous) => Allow::Anonymous,
        config::Allow::Word(AllowWord::Authenticated) => Allow::Proven(Conditions::default()),
        config::Allow::Rule(rule) => Allow::Proven(Conditions {
            roles: rule.roles.clone(),
            tenants: rule.tenants.clone(),
            schemes: rule.schemes.clone(),
            max_age: rule.max_age.map(|age| age.0),
        }),
    };
    RouteOptions { at: route.at.0.clone(), allow, upgrade: route.upgrade }
}

/// The identity service of a configuration, opened.
pub(crate) struct Identities {}

/// An administrator who was just made.
pub(crate) struct FirstAdministrator {
    /// Its name.
    pub(crate) name: String,
    /// Its password; known to nobody else.
    pub(crate) password: Secret,
}

impl Identities {
    /// Opens the store of a configuration; makes it if it is not there.
    pub(crate) async fn open(_loaded: &Loaded) -> Result<Self, Failure> {
        bail_unwired()
    }

    /// Writes what waits to be written and lets the store go.
    pub(crate) async fn close(&self) -> Result<(), Failure> {
        bail_unwired()
    }

    /// Makes the first administrator, if there is none.
    pub(crate) async fn ensure_administrator(&self) -> Result<Option<FirstAdministrator>, Failure> {
        bail_unwired()
    }

    /// All accounts, or those of one kind.
    pub(crate) async fn accounts(&self, _kind: Option<&str>) -> Result<Vec<Account>, Failure> {
        bail_unwired()
    }

    /// Adds an account with a password.
    pub(crate) async fn add_account(&self, _account: NewAccount, _password: Secret) -> Result<(), Failure> {
        bail_unwired()
    }

    /// Gives an account a new password; its sessions and tokens end.
    pub(crate) async fn set_password(&self, _whose: &Whose, _password: Secret) -> Result<(), Failure> {
        bail_unwired()
    }

    /// Enables or disables an account.
    pub(crate) async fn set_state(&self, _whose: &Whose, _state: AccountState) -> Result<(), Failure> {
        bail_unwired()
    }

    /// Deletes an account.
    pub(crate) async fn delete_account(&self, _whose: &Whose) -> Result<(), Failure> {
        bail_unwired()
    }

    /// Forgets the wrong passwords of an account.
    pub(crate) async fn unlock(&self, _whose: &Whose) -> Result<(), Failure> {
        bail_unwired()
    }

    /// Makes a key; its value is known to nobody else.
    pub(crate) async fn create_key(&self, _key: NewKey) -> Result<(Key, Secret), Failure> {
        bail_unwired()
    }

    /// The keys of an API, or of one application there.
    pub(crate) async fn keys(&self, _api: &str, _owner: Option<&str>) -> Result<Vec<Key>, Failure> {
        bail_unwired()
    }

    /// Gives a key a new value.
    pub(crate) async fn rotate_key(&self, _api: &str, _id: &str) -> Result<(Key, Secret), Failure> {
        bail_unwired()
    }

    /// Deletes a key.
    pub(crate) async fn delete_key(&self, _api: &str, _id: &str) -> Result<(), Failure> {
        bail_unwired()
    }

    /// Sets the secret with which an application proves itself at an API beside a user's credential.
    pub(crate) async fn set_application_secret(
        &self,
        _api: &str,
        _application: &str,
        _secret: Secret,
    ) -> Result<(), Failure> {
        bail_unwired()
    }

    /// What an account holds.
    pub(crate) async fn sessions(&self, _whose: &Whose) -> Result<Vec<Session>, Failure> {
        bail_unwired()
    }

    /// Ends what an account holds: one by its public name, or all; says how many.
    pub(crate) async fn revoke_sessions(&self, _whose: &Whose, _name: Option<&str>) -> Result<usize, Failure> {
        bail_unwired()
    }
}

/// A gate that runs.
pub(crate) struct Running {
    /// Where its administration listener is.
    pub(crate) administration: SocketAddr,
    /// Where its listeners are, by name.
    pub(crate) listeners: Vec<(String, SocketAddr)>,
}

impl Running {
    /// Stops it: no new connections, what runs may end, the store is closed.
    pub(crate) async fn stop(self) {}
}

/// Starts the gate of a checked configuration.
pub(crate) async fn start(_loaded: &Loaded, _identities: &Arc<Identities>) -> Result<Running, Failure> {
    bail_unwired()
}

fn bail_unwired<T>() -> Result<T, Failure> {
    Err(Failure::Failed(anyhow::anyhow!("identity and gateway are not merged yet")))
}
