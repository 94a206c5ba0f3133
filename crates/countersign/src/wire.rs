//! Ties the crates together: the one file that knows how the configuration becomes a gate.
//!
//! Everything else in this crate speaks in the terms of [`crate::config`] and [`crate::record`].

mod identities;
mod running;

use std::sync::Arc;

use countersign_auth::api::{Api, ApiOptions, TokenSettings};
use countersign_auth::dialect::Dialect;
use countersign_auth::dialect::source::Problem;
use countersign_auth::policy::{Allow, Conditions, RouteOptions};

use crate::config::{self, AllowWord, Loaded, Mistake, UNPROVEN_FROM_ANYWHERE};
use crate::dialects;

pub(crate) use self::identities::Identities;
pub(crate) use self::running::{Running, start};

/// Where the administration listener publishes the keys that assertions are verified with.
pub(crate) const JWKS_PATH: &str = "/jwks/assertion";

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
