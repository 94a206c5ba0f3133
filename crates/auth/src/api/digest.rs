//! Digest at one API: what it offers, and its challenges.

use std::sync::Arc;
use std::time::Duration;

use http::header::WWW_AUTHENTICATE;
use http::{HeaderMap, HeaderValue};

use super::Api;
use crate::dialect::{CredentialRule, Scheme};
use crate::intake::Taken;
use crate::port::digest::Digests;
use crate::render::quoted;
use crate::scheme::digest::algorithm::{Algorithm, Protection};
use crate::scheme::digest::hash::DigestHash;
use crate::time::Time;

/// What an API says about Digest, over what its dialect says.
#[derive(Clone, Debug)]
pub struct DigestOptions {
    /// In place of the dialect's algorithms.
    pub algorithms: Option<Vec<Algorithm>>,
    /// Whether `auth-int` is offered beside `auth`. Bodies are read whole then.
    pub auth_int: bool,
    /// Whether clients may send a hash of the user's name in its place.
    pub user_hash: bool,
    /// How long a nonce is good for.
    pub nonce_lifetime: Duration,
}

/// A client that was quiet for longer has to answer a new challenge, which costs it one round trip.
const NONCE_LIFETIME: Duration = Duration::from_secs(5 * 60);

impl Default for DigestOptions {
    fn default() -> Self {
        Self { algorithms: None, auth_int: false, user_hash: false, nonce_lifetime: NONCE_LIFETIME }
    }
}

impl DigestOptions {
    /// The same, with its algorithms once each and strongest first.
    pub(super) fn settled(mut self) -> Self {
        if let Some(algorithms) = &mut self.algorithms {
            algorithms.sort_unstable();
            algorithms.dedup();
        }
        self
    }

    /// The algorithms of a credential, strongest first.
    pub(crate) fn algorithms<'a>(&'a self, rule: &'a CredentialRule) -> &'a [Algorithm] {
        self.algorithms.as_deref().unwrap_or(&rule.algorithms)
    }
}

/// Whether a challenge answers a right response whose nonce was too old (RFC 7616 section 3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// It answers anything else.
    First,
    /// `stale=true`: the client need not ask its user.
    Stale,
}

impl Api {
    /// Where Digest is spoken: accounts of this kind answer challenges of this realm, with this hash function.
    pub fn digest_places(&self) -> impl Iterator<Item = (&Arc<str>, &str, DigestHash)> {
        let rules = self.dialect.credentials.iter();
        let rules = rules.filter(|rule| rule.scheme == Scheme::Digest && self.is_on(rule));
        rules.flat_map(|rule| {
            let algorithms = self.digest.algorithms(rule).iter();
            algorithms.map(|algorithm| (&rule.accounts, self.realm.as_str(), algorithm.hash()))
        })
    }

    /// Whether the body must be read whole because the credential protects it.
    pub fn proof_covers_body(&self, taken: &Taken) -> bool {
        if !self.digest.auth_int {
            return false;
        }
        let mut values = taken.authorization.iter().map(HeaderValue::as_bytes);
        let is_digest =
            |value: &[u8]| value.get(..7).is_some_and(|word| word.eq_ignore_ascii_case(b"Digest "));
        let protects = |value: &[u8]| {
            value.windows(AUTH_INT.len()).any(|window| window.eq_ignore_ascii_case(AUTH_INT.as_bytes()))
        };
        values.any(|value| is_digest(value) && protects(value))
    }

    /// One challenge for each algorithm, strongest first, each with a nonce of its own.
    pub(crate) fn digest_challenges(
        &self,
        rule: &CredentialRule,
        digests: &dyn Digests,
        freshness: Freshness,
        now: Time,
        headers: &mut HeaderMap,
    ) {
        let qop = if self.digest.auth_int { "auth,auth-int" } else { Protection::Auth.name() };
        for algorithm in self.digest.algorithms(rule) {
            let nonce = digests.nonces().make((&self.name, &rule.name), now);
            let mut line = format!(
                "Digest realm={}, qop=\"{qop}\", algorithm={}, nonce=\"{nonce}\", charset=UTF-8",
                quoted(&self.realm),
                algorithm.name()
            );
            if self.digest.user_hash {
                line.push_str(", userhash=true");
            }
            if freshness == Freshness::Stale {
                line.push_str(", stale=true");
            }
            if let Ok(line) = HeaderValue::from_str(&line) {
                headers.append(WWW_AUTHENTICATE, line);
            }
        }
    }
}

const AUTH_INT: &str = Protection::AuthInt.name();
