//! Proof that a request was meant by the page that holds the session.
//!
//! The token is derived from the session's value under the gate's key, so that it lives and dies with the session
//! and is kept nowhere; it is compared in constant time.

use crate::api::Api;
use crate::derive::{DerivationKey, derive};
use crate::dialect::Site;
use crate::form::FormNames;
use crate::identity::Session;
use crate::recognize::{Presented, Request};
use crate::refusal::{Reason, Refusal};
use crate::secret::Secret;

/// The CSRF token of a session.
///
/// `None` if the dialect has no CSRF protection.
pub(crate) fn token(api: &Api, key: &DerivationKey, session_value: &str) -> Option<Secret> {
    let rule = api.dialect.csrf.as_ref()?;
    let bytes = derive(key, "csrf", &[&api.name, session_value], rule.form.bytes_wanted());
    rule.form.fill(&bytes, FormNames::default()).map(Secret::new)
}

/// The name of the header that carries it.
pub(crate) fn header_name(api: &Api) -> &str {
    match (&api.csrf_header, &api.dialect.csrf) {
        (Some((_, name)), _) => name,
        (None, Some(rule)) => rule.header(),
        (None, None) => "",
    }
}

/// When the proof is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Demand {
    /// Never here.
    None,
    /// Before anything else is verified.
    First,
    /// Once the credential is.
    After,
}

/// Whether this request needs a proof, and when.
pub(crate) fn demand(api: &Api, site: &Site, request: &Request<'_>, presented: &Presented) -> Demand {
    // A credential in the body is typed by its user, and what comes back from an issuer has a proof of its own: there
    // is no session yet to ride on.
    match &presented.credential {
        Some(credential) if credential.rule.is_of_a_call() => Demand::None,
        Some(credential) => demand_of(api, site, request, credential.name()),
        None => demand_of(api, site, request, "anonymous"),
    }
}

/// Whether a request with this credential needs a proof, and when.
pub(crate) fn demand_of(api: &Api, site: &Site, request: &Request<'_>, name: &str) -> Demand {
    let Some(rule) = api.dialect.csrf.as_ref().filter(|_| api.csrf_on) else { return Demand::None };
    if site.only_anonymous() || (request.method.is_safe() && !site.surface.csrf_every_method) {
        return Demand::None;
    }
    if !rule.credentials.iter().any(|listed| listed == name) {
        return Demand::None;
    }
    if rule.before_authentication { Demand::First } else { Demand::After }
}

/// The CSRF proof of a call that asks for it before anybody is asked who he is.
pub(crate) fn check_first(
    api: &Api,
    key: &DerivationKey,
    session: Option<&Session>,
    presented: &Presented,
) -> Result<(), Refusal> {
    let Presented { credential, beside: cookie, csrf: shown, .. } = presented;
    check(api, key, session, shown.as_ref()).map_err(|refusal| {
        let refusal = refusal.of_account(session.and_then(|session| session.live.account.as_ref()));
        match cookie.as_ref().or(credential.as_ref()) {
            Some(credential) => refusal.by_credential(&credential.rule.name),
            None => refusal,
        }
    })
}

/// Checks the proof against a session that was found alive.
pub(crate) fn check(
    api: &Api,
    key: &DerivationKey,
    session: Option<&Session>,
    shown: Option<&Secret>,
) -> Result<(), Refusal> {
    let refuse = |cause: &'static str| Err(Refusal::new(Reason::Csrf, cause).carried_by(header_name(api)));
    let Some(session) = session else {
        return refuse("no live session came with the request, so its csrf token proves nothing");
    };
    let Some(shown) = shown else { return refuse("the csrf token is missing") };
    match token(api, key, session.value.expose()) {
        Some(expected) if expected.matches(shown.expose()) => Ok(()),
        Some(_) | None => refuse("the csrf token is not the session's"),
    }
}
