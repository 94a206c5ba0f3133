//! What the upstream is told.

mod minted;

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value, json};
use smallvec::SmallVec;

use crate::api::Api;
use crate::dialect::Scheme;
use crate::dialect::template::Medium;
use crate::identity::{Identity, Lasts};
use crate::objects::settle::Checked;
use crate::policy::Permit;
use crate::port::{Lookups, Purpose, Signer, Unavailable};
use crate::time::Time;
use crate::values::Caller;

pub use minted::Minted;

/// The header that carries the signed assertion.
pub const HEADER: HeaderName = HeaderName::from_static("countersign-assertion");
/// The `typ` of its JOSE header (RFC 8725 section 3.11): no credential of that type is ever accepted.
pub const TYP: &str = "countersign-assertion+jwt";
/// Its issuer.
pub const ISSUER: &str = "countersign";
/// How long one is good for: a minted assertion outlives a revocation by this at the most.
pub const LIFETIME: Duration = Duration::from_secs(60);
/// How long a cached one is handed out, so that a service has time left to read it.
pub const REUSED: Duration = Duration::from_secs(45);
/// Whoever proves himself with each request (an API key, Digest, a front), or gets himself a new token for each from
/// another issuer, would need another assertion each second: his proof is told as made at the beginning of so many seconds,
/// never later than it was.
const PROOF_GRAIN_SECS: i64 = 15;
/// Where many hold tokens of one account that were issued at many times, as programs on devices do, these would be too many
/// assertions all the same: the span doubles while it is less than this part of what has passed since.
const PROOF_GRAIN_PART: i64 = 64;

/// Assertions are some 500 bytes long; with its count one of these takes 640, which is how allocators cut memory. A longer
/// one lies elsewhere.
const INLINE: usize = 608;

/// A verified identity, countersigned for one audience.
///
/// Only [`assert`](assert()) makes one, and only from a [`Permit`].
///
/// ```compile_fail
/// let forged = countersign_auth::assertion::Assertion { jwt: http::HeaderValue::from_static("x") };
/// ```
///
/// ```
/// fn value(assertion: &countersign_auth::assertion::Assertion) -> &http::HeaderValue {
///     assertion.value()
/// }
/// ```
#[derive(Clone)]
pub struct Assertion {
    jwt: HeaderValue,
    minted_at: Time,
}

impl Assertion {
    /// The value of the [`HEADER`].
    pub fn value(&self) -> &HeaderValue {
        &self.jwt
    }

    /// Whether it may still be handed out, to requests as well that the one overtook which it was signed for.
    pub fn is_fresh(&self, now: Time) -> bool {
        !now.is_set_back_from(self.minted_at) && now.since(self.minted_at) < REUSED
    }
}

impl fmt::Debug for Assertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Assertion([secret])")
    }
}

/// What tells two assertions about one account apart that may be kept: equal keys, equal claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AssertionKey {
    /// Its edition: another API may take its place, and its name, after a reload.
    api: u64,
    credential: usize,
    auth_time: i64,
}

impl Permit {
    /// The key under which an assertion for this permit may be kept beside its account, or where nobody's are kept;
    /// `None` if it must not be.
    pub fn assertion_key(&self, api: &Api, now: Time) -> Option<AssertionKey> {
        let identity = self.identity();
        // An account that is made up for one request is not worth it.
        let is_made_up = identity.scheme() == Some(Scheme::Unproven)
            && identity.account().is_some_and(|account| account.is_foreign());
        if self.is_for_one_request() || is_made_up {
            return None;
        }
        let credential = api
            .dialect
            .credentials
            .iter()
            .position(|rule| *rule.name == *identity.credential())
            .map_or(0, |at| at + 1);
        let auth_time = if identity.is_anonymous() { 0 } else { auth_time(identity, now) };
        Some(AssertionKey { api: api.edition, credential, auth_time })
    }
}

/// Signs what the upstream is told of a permitted caller.
///
/// # Errors
/// If there is no key to sign with.
pub fn assert(api: &Api, permit: &Permit, signer: &dyn Signer, now: Time) -> Result<Assertion, Unavailable> {
    let claims = Value::Object(claims(api, permit, now)).to_string();
    let jwt = signer.sign(Purpose::Assertion, TYP, claims.as_bytes())?;
    let mut jwt = HeaderValue::from_maybe_shared(beside_its_count(&jwt))
        .map_err(|_error| Unavailable("the signer made no compact token".to_owned()))?;
    jwt.set_sensitive(true);
    Ok(Assertion { jwt, minted_at: now })
}

/// The text in one piece of memory with the count of its holders: each request that finds it counts itself there, and with
/// a million sessions the two are seldom in a cache.
fn beside_its_count(text: &str) -> Bytes {
    Bytes::from_owner(SmallVec::<[u8; INLINE]>::from_slice(text.as_bytes()))
}

/// When the caller proved who he is, in seconds since the Unix epoch, as services are told.
fn auth_time(identity: &Identity, now: Time) -> i64 {
    let secs = identity.proven_at().min(now).unix_secs();
    let is_anew = match identity.lasts() {
        Lasts::Bound => identity.proven_at() >= now,
        Lasts::Until(_) | Lasts::Word { .. } => true,
    };
    if !is_anew {
        return secs;
    }
    let age_secs = now.unix_secs().saturating_sub(secs);
    let mut grain_secs = PROOF_GRAIN_SECS;
    while 2 * grain_secs <= age_secs / PROOF_GRAIN_PART {
        grain_secs *= 2;
    }
    secs.div_euclid(grain_secs) * grain_secs
}

fn claims(api: &Api, permit: &Permit, now: Time) -> Map<String, Value> {
    let identity = permit.identity();
    let mut claims = Map::new();
    let caller = Caller::bare(api, Some(identity));
    for (name, template) in &api.dialect.assertion.claims {
        let value = template.render(&caller, Medium::Text);
        if !value.is_empty() {
            claims.insert(name.clone(), value.into());
        }
    }
    // The gate's own claims come last, and win (T-C14).
    claims.insert("iss".to_owned(), ISSUER.into());
    claims.insert("aud".to_owned(), (*api.name).into());
    claims.insert("iat".to_owned(), now.unix_secs().into());
    claims.insert("exp".to_owned(), now.plus(LIFETIME).unix_secs().into());
    claims.insert("credential".to_owned(), identity.credential().into());
    if let Some(Checked(checked)) = permit.checked() {
        let ids = checked.iter().map(|(name, ids)| (name.to_string(), json!(ids)));
        claims.insert("objects".to_owned(), Value::Object(ids.collect()));
    }
    let Some(account) = identity.account() else {
        claims.insert("anonymous".to_owned(), true.into());
        return claims;
    };
    claims.insert("sub".to_owned(), account.subject.as_str().into());
    claims.insert("auth_time".to_owned(), auth_time(identity, now).into());
    claims.insert("kind".to_owned(), (*account.kind).into());
    if let Some(scheme) = identity.scheme() {
        claims.insert("scheme".to_owned(), scheme.name().into());
    }
    if let Some(tenant) = &account.tenant {
        claims.insert("tenant".to_owned(), tenant.as_str().into());
    }
    if let Some(issuer) = &account.issuer {
        claims.insert("idp".to_owned(), (*issuer.name).into());
    }
    claims.insert("roles".to_owned(), json!(account.roles));
    claims.insert("keys".to_owned(), json!(account.keys));
    claims
}

impl Api {
    /// Whether the dialect tells services a variable in a header of its own.
    pub fn tells_services(&self, variable: &str) -> bool {
        self.dialect.assertion.headers.iter().any(|(_, template)| template.names(variable))
    }

    /// The dialect's own identity headers for a caller; a header whose only value is empty is left out.
    pub fn identity_headers(&self, permit: &Permit, prefix: &str, lookups: &dyn Lookups) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if self.dialect.assertion.headers.is_empty() {
            return headers;
        }
        let caller = Caller { lookups: Some(lookups), prefix, ..Caller::bare(self, Some(permit.identity())) };
        for (name, template) in &self.dialect.assertion.headers {
            let value = template.render(&caller, Medium::Header);
            if value.is_empty() && template.is_one_value() {
                continue;
            }
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name.clone(), value);
            }
        }
        headers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use crate::authenticate::foreign;
    use crate::identity::Proven;

    fn proven(at_ms: i64, lasts: Lasts) -> Identity {
        Identity::proven(Proven {
            account: Some(Arc::new(foreign(&"users".into()))),
            credential: "key".into(),
            scheme: Some(Scheme::Token),
            proven_at: Time::from_unix_ms(at_ms),
            session: None,
            token: None,
            lasts,
            dead_cookie: None,
            answers: Vec::new(),
            back: None,
        })
    }

    #[test]
    fn a_proof_of_this_request_is_told_as_of_the_beginning_of_its_span() {
        let told = |at_ms, now_ms| auth_time(&proven(at_ms, Lasts::Bound), Time::from_unix_ms(now_ms));
        for now in [30_000, 30_001, 37_500, 44_999] {
            assert_eq!(told(now, now), 30, "{now}");
        }
        assert_eq!(told(45_000, 45_000), 45);
        // What was proven before is told as it was.
        assert_eq!(told(37_500, 37_501), 37);
        // But for tokens of issuers, of which there may be a new one with each request.
        let signed = proven(37_500, Lasts::Until(Time::from_unix_secs(600)));
        let told = |now_secs| auth_time(&signed, Time::from_unix_secs(now_secs));
        assert_eq!([told(90), told(37 + 30 * 64 - 1)], [30, 30]);
        let late = proven(100_037_500, Lasts::Until(Time::from_unix_secs(600)));
        let told = |now_secs| auth_time(&late, Time::from_unix_secs(now_secs));
        assert_eq!([told(100_037 + 30 * 64 - 1), told(100_037 + 30 * 64)], [100_035, 100_020]);
        assert_eq!(told(100_037 + 60 * 64), 100_020);
        // Nothing that a device holds for a day makes more assertions than an account keeps.
        let times = (0..86_400).map(|at| {
            let signed = proven(at * 1000, Lasts::Until(Time::from_unix_secs(90_000)));
            auth_time(&signed, Time::from_unix_secs(86_400))
        });
        let all: std::collections::BTreeSet<_> = times.collect();
        assert!(all.len() < 600, "{}", all.len());
    }
}
