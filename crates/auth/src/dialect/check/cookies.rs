//! What must hold of cookies that open something.

use super::complain_at;
use crate::dialect::operation::Operation;
use crate::dialect::place::Place;
use crate::dialect::source::Table;
use crate::dialect::{CookieRule, CredentialRule, Dialect, Endpoint};
use crate::token::TokenKind;

/// A browser sends a cookie for any page, so what it opens needs a proof, and the proof a session that rides in a cookie too.
pub(super) fn need_csrf(root: &Table<'_, '_>, dialect: &Dialect) {
    let Some(csrf) = &dialect.csrf else {
        for rule in dialect.credentials.iter().filter(|rule| rule.in_cookie()) {
            complain_at(root, "credential", &rule.name, UNLISTED.to_owned());
        }
        return;
    };
    let is_bound =
        |rule: &CredentialRule| rule.token.as_ref().is_some_and(|token| token.word == csrf.bound_to.word);
    let some_is_bound = dialect.credentials.iter().any(|rule| rule.in_cookie() && is_bound(rule));
    for rule in dialect.credentials.iter().filter(|rule| rule.in_cookie()) {
        let of = rule.token.as_ref();
        if !csrf.credentials.iter().any(|name| **name == *rule.name) {
            complain_at(root, "credential", &rule.name, UNLISTED.to_owned());
        } else if of.is_some_and(|token| token.kind == TokenKind::Refresh) {
            let message = "a refresh token in a cookie: no cookie of the gate can hold one; let it ride in the body or in a header";
            complain_at(root, "credential", &rule.name, message.to_owned());
        } else if !some_is_bound {
            let message = format!(
                "rides in a cookie, and no credential in a cookie reads `{0}`, to which `csrf.bound_to` binds the proofs: \
                 no call that needs one could be made; bind them to its own token, or add a credential for `{0}`",
                csrf.bound_to.word
            );
            complain_at(root, "credential", &rule.name, message);
        }
    }
}

const UNLISTED: &str = "rides in a cookie, but `csrf.for` does not list it: any foreign page could use it";

/// A cookie that an answer sets holds what the call issues.
pub(super) fn hold_what_is_issued(root: &Table<'_, '_>, dialect: &Dialect) {
    for endpoint in dialect.sites.items().filter_map(|site| site.endpoint.as_ref()) {
        let sessions = endpoint.answer.cookies.iter().filter(|cookie| cookie.value.names("session.id"));
        for cookie in sessions.filter(|_| endpoint.operation == Operation::Issue) {
            if let Some(message) = holds_another(dialect, endpoint, cookie) {
                complain_at(root, "endpoint", &endpoint.name, message);
            }
        }
    }
}

/// What is wrong with a cookie that is to hold the session which a call issues.
fn holds_another(dialect: &Dialect, endpoint: &Endpoint, cookie: &CookieRule) -> Option<String> {
    let rides = |rule: &CredentialRule| {
        rule.primary_is(|place| matches!(place, Place::Cookie(name) if *name == cookie.name))
    };
    let mut readers = dialect.credentials.iter().filter(|rule| rides(rule)).peekable();
    readers.peek()?;
    let words: Vec<_> = readers.filter_map(|rule| rule.token.as_ref()).map(|token| &token.word).collect();
    match endpoint.session(dialect) {
        Some(token) if words.contains(&&token.word) => None,
        Some(token) => Some(format!(
            "sets the cookie `{}` to the value of `{}`, which no credential reads from it; leave one of them out",
            cookie.name, token.word
        )),
        None => Some(format!(
            "sets the cookie `{}` and issues no session that it could hold; issue one, or leave the cookie out",
            cookie.name
        )),
    }
}
