//! Log-ins with foreign issuers in browsers.

use std::path::Path;

use countersign_auth::api::Api;
use countersign_auth::api::logins::LoginOption;
use countersign_auth::port::foreign::LoginTerms;
use countersign_identity::directory::FirstSight;
use countersign_identity::issuers::login::{LoginEndpoints, LoginOptions};
use countersign_identity::outbound::{Endpoint, Outbound};
use countersign_identity::service::Service;

use crate::config::issuer::{ForeignIssuer, Issuer, Login};
use crate::config::value::Url;
use crate::config::{self, Loaded, Mistake};
use crate::prompt;

/// Longer names make no path that anybody reads.
const NAME_BYTES_MAX: usize = 32;

/// What the claims of OpenID Connect Core 1.0 section 5.1 fill where the configuration does not say it.
const STANDARD_CLAIMS: [(&str, &str); 4] =
    [("name", "name"), ("email", "email"), ("first_name", "given_name"), ("last_name", "family_name")];

/// The log-ins of an API, each with its issuer.
fn logins(api: &config::Api) -> impl Iterator<Item = (&String, &ForeignIssuer, &Login)> {
    api.issuers.iter().filter_map(|(name, issuer)| match issuer {
        Issuer::Word(_) => None,
        Issuer::Foreign(foreign) => Some((name, &**foreign, foreign.login.as_ref()?)),
    })
}

/// What pages print of them.
pub(super) fn options(api: &config::Api) -> Vec<LoginOption> {
    let option = |login: &Login| LoginOption {
        name: login.name.clone(),
        title: login.title.clone().unwrap_or_else(|| login.name.clone()),
    };
    logins(api).map(|(_, _, login)| option(login)).collect()
}

/// The one that comes in the place of the sign-in page.
pub(super) fn straight(api: &config::Api) -> Option<String> {
    logins(api).find(|(_, _, login)| login.straight).map(|(_, _, login)| login.name.clone())
}

/// What is wrong with them, at an API whose dialect is known.
pub(super) fn problems(loaded: &Loaded, api: &config::Api, settled: &Api, path: &str) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    for (at, (issuer, foreign, login)) in logins(api).enumerate() {
        let mut add = |key: &str, message: String| {
            let path = format!("{path}.issuers.{issuer:?}.login{key}");
            mistakes.push(loaded.mistake(&path, message));
        };
        let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let Login { name, .. } = login;
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(is_name) {
            add(".name", format!("stands in paths: small letters, digits and `-`, {NAME_BYTES_MAX} at most"));
        }
        let before = || logins(api).take(at);
        if before().any(|(_, _, other)| other.name == *name) {
            add(".name", format!("another issuer is called `{name}`"));
        }
        if login.straight && before().any(|(_, _, other)| other.straight) {
            add(".straight", String::from("browsers can be sent to one issuer alone"));
        }
        let Url(redirect) = &login.redirect;
        if let Err(error) = Endpoint::parse(&redirect.to_string()) {
            add(".redirect", error.to_string());
        }
        if let Some(paths) = settled.login_paths(name) {
            let places = api.at.iter().map(|place| place.prefix.strip_suffix('/').unwrap_or(&place.prefix));
            let ways: Vec<String> = places.map(|prefix| format!("{prefix}{}", paths.back)).collect();
            if redirect.query().is_some() || !ways.iter().any(|way| way == redirect.path()) {
                add(".redirect", format!("browsers come back to {}", ways.join(" or ")));
            }
        }
        if let Err((key, message)) = made(loaded, issuer, foreign, login) {
            add(key, message);
        }
    }
    mistakes
}

/// Tells a service how people log in with an issuer, if they do; the issuer's keys it was told of before.
pub(super) fn apply(
    loaded: &Loaded,
    api: &str,
    issuer: &str,
    keys: &Issuer,
    service: &Service,
    outbound: &Outbound,
) -> Result<(), String> {
    let Issuer::Foreign(foreign) = keys else { return Ok(()) };
    let Some(login) = &foreign.login else { return Ok(()) };
    let told = |(key, message): (&str, String)| format!("login{key} of issuer {issuer}: {message}");
    let options = made(loaded, issuer, foreign, login).map_err(told)?;
    if service.log_in_with(api, &login.name, options, outbound) {
        Ok(())
    } else {
        Err(format!("login of issuer {issuer}: client and secret cannot stand in a header"))
    }
}

fn made(
    loaded: &Loaded,
    issuer: &str,
    foreign: &ForeignIssuer,
    login: &Login,
) -> Result<LoginOptions, (&'static str, String)> {
    let endpoint = |key, Url(url): &Url| {
        Endpoint::parse(&url.to_string()).map_err(|error| (key, format!("{url} {error}")))
    };
    let endpoints = match (&login.authorize_url, &login.token_url, &foreign.discovery) {
        (Some(authorize), Some(token), _) => LoginEndpoints::Given {
            authorization: endpoint(".authorize_url", authorize)?,
            token: endpoint(".token_url", token)?,
        },
        (None, None, Some(_)) => LoginEndpoints::Discovered,
        (None, None, None) => {
            let message = "needs the issuer's `discovery`, or `authorize_url` and `token_url`";
            return Err(("", String::from(message)));
        }
        (Some(_), None, _) | (None, Some(_), _) => {
            return Err(("", String::from("`authorize_url` and `token_url` go together")));
        }
    };
    let from = |file: &Path| prompt::from_file(&loaded.path(file));
    let secret = login.secret_file.as_deref().map(from).transpose();
    let secret = secret.map_err(|error| (".secret_file", format!("{error:#}")))?;
    let pair = |(target, claim): (&str, &str)| (target.to_owned(), claim.to_owned());
    let claims = if foreign.claims.is_empty() {
        STANDARD_CLAIMS.map(pair).to_vec()
    } else {
        foreign.claims.pairs().map(pair).collect()
    };
    let mut scopes = vec!["openid"];
    scopes.extend(login.scopes.iter().map(String::as_str).filter(|scope| *scope != "openid"));
    Ok(LoginOptions {
        terms: LoginTerms {
            issuer: issuer.to_owned(),
            client: login.client.clone(),
            redirect: login.redirect.0.to_string(),
            scope: scopes.join(" "),
            claims,
            roles: foreign.roles.given(),
        },
        secret,
        endpoints,
        first_sight: if login.create { FirstSight::Create } else { FirstSight::Refuse },
        patience: login.timeout.0,
    })
}
