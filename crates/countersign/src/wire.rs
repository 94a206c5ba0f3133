//! Ties the crates together: here and nowhere else the configuration becomes a gate.
//!
//! Everything else in this crate speaks in the terms of [`crate::config`] and [`crate::record`].

mod called;
mod descriptors;
mod desk;
mod directories;
mod health;
mod identities;
mod issuers;
mod logins;
mod negotiation;
mod objects;
mod pages;
mod plane;
mod reload;
mod service_keys;

use std::path::PathBuf;
use std::sync::Arc;

use countersign_auth::api::digest::DigestOptions;
use countersign_auth::api::{Api, ApiOptions, TokenSettings};
use countersign_auth::dialect::Dialect;
use countersign_auth::dialect::source::Problem;
use countersign_auth::policy::{Allow, Conditions, RouteOptions, headers_checked};
use countersign_auth::scheme::digest::algorithm::Algorithm;
use countersign_services::mounted;

pub(crate) use self::identities::{FirstAdministrator, Identities};
pub(crate) use self::plane::{Running, lowered, start};
pub(crate) use self::service_keys::sha256;
use crate::config::{
    self, AllowWord, DigestAlgorithm, Loaded, Mistake, SHORT_SHARED_VALUE, UNPROVEN_FROM_ANYWHERE,
};
use crate::control;
use crate::dialects;
use crate::output::Failure;

pub(crate) use countersign_auth::account::KINDS as ACCOUNT_KINDS;
pub(crate) use countersign_identity::equivalents::WeakerScheme;
pub(crate) use countersign_identity::service::administration::ADMINISTRATOR as ADMINISTRATOR_ROLE;
use countersign_identity::store::sqlite::{misplaced, place};

/// Where the administration listener publishes the keys that assertions are verified with.
pub(crate) const JWKS_PATH: &str = "/jwks/assertion";

/// The header that carries the assertion.
pub(crate) const ASSERTION_HEADER: http::HeaderName = countersign_auth::assertion::HEADER;

/// All that a start would fail with, but for what others have taken: what [`problems`] finds, and the store's place.
pub(crate) fn problems_at_start(loaded: &Loaded) -> Vec<Mistake> {
    let mut mistakes = problems(loaded);
    let store = misplaced(&store_file(loaded));
    let store = store.or_else(|| control::problem(loaded));
    mistakes.extend(store.map(|problem| loaded.mistake("store.path", problem)));
    mistakes
}

/// The store's file, whatever link the configuration calls it by.
pub(crate) fn store_file(loaded: &Loaded) -> PathBuf {
    place::settled(&loaded.path(&loaded.config.store.path))
}

/// What dialects, key files and certificates say against a checked configuration.
pub(crate) fn problems(loaded: &Loaded) -> Vec<Mistake> {
    let mut mistakes = plane::problems(loaded);
    mistakes.extend(directories::problems(loaded));
    for (at, api) in loaded.config.api.iter().enumerate() {
        let path = format!("api[{at}]");
        for (key, problem) in objects::problems(api) {
            mistakes.push(loaded.mistake(&format!("{path}.{key}"), problem));
        }
        match settle(loaded, api) {
            Ok(Settled { api: settled, .. }) => {
                mistakes.extend(issuers::problems(loaded, api, &settled, &path));
                mistakes.extend(idle_routes(loaded, api, &settled, &path));
                mistakes.extend(request_id_of_another_meaning(loaded, &settled));
                let found = mounted::problems(&settled);
                mistakes.extend(found.into_iter().map(|problem| loaded.mistake(&path, problem)));
            }
            Err(found) => mistakes.extend(found.into_iter().map(|problem| loaded.mistake(&path, problem))),
        }
    }
    mistakes
}

/// What is no mistake in a checked configuration, and may mean something else than was meant.
pub(crate) fn notes(loaded: &Loaded) -> Vec<Mistake> {
    let mut notes = loaded.notes().to_vec();
    for (at, api) in loaded.config.api.iter().enumerate() {
        let path = format!("api[{at}]");
        // What is wrong with it is told elsewhere.
        let Ok(Settled { api: settled, .. }) = settle(loaded, api) else { continue };
        notes.extend(settled.notes().iter().map(|note| loaded.mistake(&path, note)));
        notes.extend(issuers::notes(loaded, api, &path));
    }
    notes
}

/// A header for ids of requests that means something to an API: no client could send it any more.
fn request_id_of_another_meaning(loaded: &Loaded, settled: &Api) -> Option<Mistake> {
    let name = plane::request_id(&loaded.config)?;
    let read = settled.headers_read().chain(headers_checked(settled));
    let said = settled.identity_header_names().chain(settled.headers_said());
    read.chain(said).any(|read| *read == name).then(|| {
        let message =
            format!("`{name}` is read or set by API `{}`: ids need a name of their own", settled.name());
        loaded.mistake("log.request_id", message)
    })
}

/// Routes that ask for something where everybody may.
fn idle_routes(loaded: &Loaded, api: &config::Api, settled: &Api, path: &str) -> Vec<Mistake> {
    let asks = |route: &config::Route| !matches!(route.allow, config::Allow::Word(AllowWord::Anonymous));
    let routes = api.route.iter().enumerate().filter(|(_, route)| asks(route));
    let idle = routes.filter_map(|(at, route)| Some((at, settled.everybodys_call(&route.at.0)?)));
    idle.map(|(at, call)| Mistake {
        hint: Some("take it away, or name the methods and paths that go on to the service".to_owned()),
        ..loaded.mistake(
            &format!("{path}.route[{at}].at"),
            format!(
                "is about `{call}`, which the gate answers itself for everybody: nobody is kept from it by this"
            ),
        )
    })
    .collect()
}

/// What is wrong with the directories of a checked configuration.
#[cfg(test)]
pub(crate) fn directory_problems(loaded: &Loaded) -> Vec<Mistake> {
    directories::problems(loaded)
}

/// What is wrong with a dialect file; `key` is the table.
pub(crate) fn dialect_problems(file: &str, text: &str) -> Vec<Mistake> {
    let mistake = |problem: Problem| {
        let Problem { file, line, table: key, message } = problem;
        let (message, hint) = match message.split_once("; did you mean ") {
            Some((message, near)) => (message.to_owned(), Some(format!("did you mean {near}"))),
            None => (message, None),
        };
        Mistake { file, line: line.max(1), key, message, hint }
    };
    match Dialect::load(file, text) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.into_iter().map(mistake).collect(),
    }
}

/// An API with its dialect, and what the two were made from.
#[derive(Clone)]
struct Settled {
    api: Arc<Api>,
    /// The configuration's words.
    words: serde_json::Value,
    /// The dialect file's text.
    dialect: String,
}

impl Settled {
    /// Whether nothing has changed from what another was made from.
    fn is_still(&self, other: &Self) -> bool {
        self.words == other.words && self.dialect == other.dialect
    }
}

/// An API with its dialect, or what is wrong with the two.
fn settle(loaded: &Loaded, api: &config::Api) -> Result<Settled, Vec<String>> {
    let told = |problems: Vec<Problem>| problems.iter().map(ToString::to_string).collect::<Vec<_>>();
    let text = dialects::fetch(&api.dialect, &loaded.folder).map_err(|error| vec![error.to_string()])?;
    let dialect = Dialect::load(&text.file, &text.text).map_err(told)?;
    let words = serde_json::to_value(api).map_err(|error| vec![error.to_string()])?;
    // An API's own problems name no line and no file: the configuration's line is said by the caller.
    let told =
        |problems: Vec<Problem>| problems.into_iter().map(|problem| problem.message).collect::<Vec<_>>();
    let made = Api::new(Arc::new(dialect), options(api)).map(Arc::new).map_err(told)?;
    Ok(Settled { api: made, words, dialect: text.text })
}

/// All APIs of a configuration.
fn settle_all(loaded: &Loaded) -> Result<Vec<Settled>, Failure> {
    let mut settled = Vec::with_capacity(loaded.config.api.len());
    let mut mistakes: Vec<Mistake> = Vec::new();
    for (at, api) in loaded.config.api.iter().enumerate() {
        match settle(loaded, api) {
            Ok(api) => settled.push(api),
            Err(found) => {
                let path = format!("api[{at}]");
                mistakes.extend(found.into_iter().map(|problem| loaded.mistake(&path, problem)));
            }
        }
    }
    if mistakes.is_empty() { Ok(settled) } else { Err(Failure::Mistakes(mistakes)) }
}

fn options(api: &config::Api) -> ApiOptions {
    let settings = |token: &config::Token| TokenSettings {
        idle: token.idle.map(|idle| idle.0),
        lifetime: token.lifetime.map(|lifetime| lifetime.0),
        per_account: token.per_account,
    };
    // The others are the configuration's own, and checked with it.
    let is_of_dialect = |word: &str| ![UNPROVEN_FROM_ANYWHERE, SHORT_SHARED_VALUE].contains(&word);
    ApiOptions {
        name: api.name.clone(),
        deployment: api.deployment.clone(),
        enable: api.enable.clone(),
        disable: api.disable.clone(),
        dangerous: api.dangerous.iter().filter(|word| is_of_dialect(word)).cloned().collect(),
        realm: api.realm.clone(),
        csrf_off: !api.csrf,
        csrf_header: api.csrf_header.clone(),
        tokens: api.token.iter().map(|(word, token)| (word.clone(), settings(token))).collect(),
        routes: api.route.iter().map(route).collect(),
        tenants: api.tenants.clone(),
        mechanisms: negotiation::mechanisms(api),
        objects: objects::kinds(&api.object),
        development: api.development,
        same_site: pages::same_site(api),
        leave: api.left_to_upstream.clone(),
        digest: digest(&api.digest),
        logins: logins::options(api),
        sign_in_with: logins::straight(api),
    }
}

fn digest(digest: &config::Digest) -> DigestOptions {
    let algorithm = |algorithm: &DigestAlgorithm| match algorithm {
        DigestAlgorithm::Sha512_256 => Algorithm::Sha512_256,
        DigestAlgorithm::Sha512_256Sess => Algorithm::Sha512_256Sess,
        DigestAlgorithm::Sha256 => Algorithm::Sha256,
        DigestAlgorithm::Sha256Sess => Algorithm::Sha256Sess,
        DigestAlgorithm::Md5 => Algorithm::Md5,
        DigestAlgorithm::Md5Sess => Algorithm::Md5Sess,
    };
    DigestOptions {
        algorithms: digest.algorithms.as_ref().map(|named| named.iter().map(algorithm).collect()),
        auth_int: digest.auth_int,
        user_hash: digest.userhash,
        nonce_lifetime: digest.nonce_lifetime.0,
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
    RouteOptions { at: route.at.0.clone(), allow, upgrade: route.upgrade, objects: objects::of_route(route) }
}
