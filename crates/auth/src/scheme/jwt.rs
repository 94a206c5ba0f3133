//! Signed tokens: compact JWS (RFC 7515) with claims (RFC 7519).
//!
//! ```text
//! base64url(header) . base64url(payload) . base64url(signature)
//! {"alg":"RS256"}     {"iss":...,"aud":...,"sub":...,"exp":...}
//! ```
//!
//! Everything but the signature itself is checked here and not by a library: the key decides the algorithm and
//! the header only has to agree; nothing in a token can name a key that we were not given; a claim of the wrong
//! type is refused and not taken as absent (THREATS C, P-JWT1 to P-JWT9).

mod key;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};

use crate::account::Live;
use crate::json::parse_strict;
use crate::port::{IssuerKey, IssuerKeys};
use crate::refusal::Reason;
pub use crate::scheme::jwt::key::VerifyingKey;
use crate::time::Time;

/// What a token has to say to be accepted.
#[derive(Clone, Copy, Debug)]
pub struct JwtRule<'a> {
    /// `iss`, byte for byte.
    pub issuer: &'a str,
    /// One of `aud`, byte for byte.
    pub audience: &'a str,
    /// How far clocks may differ; more than [`LEEWAY_SECS_MAX`] counts as that.
    pub leeway_secs: u32,
}

/// The claims of a token whose signature, issuer, audience and times were found good.
#[derive(Debug)]
pub struct VerifiedClaims {
    claims: Claims,
    key: Live,
    expires_at: Time,
    issued_at: Option<Time>,
    subject: String,
}

/// A token that was read and not verified: nothing in it is proven.
#[derive(Clone, Debug)]
pub struct UnverifiedJwt<'a> {
    /// Header and payload as they were signed.
    signed: &'a str,
    signature: &'a str,
    header: Header,
    claims: Claims,
}

/// Why a token proves nothing. It never tells what the token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwtError {
    /// Longer than [`TOKEN_BYTES_MAX`].
    #[error("token is too long")]
    TooLong,
    /// Not three parts of base64url without padding.
    #[error("token is not of three parts of base64url")]
    NotCompact,
    /// The header is not an object with one reading, or a member of it is of the wrong type.
    #[error("token has a bad header")]
    Header,
    /// The payload is not an object with one reading.
    #[error("token has a bad payload")]
    Payload,
    /// `crit`: whatever it asks for, we do not know it.
    #[error("token has a critical extension")]
    Critical,
    /// `typ` of something that is no token for us, such as an assertion for an upstream.
    #[error("token is of another type")]
    Type,
    /// No active key of the issuer has that `kid`.
    #[error("token names a key that is not known")]
    UnknownKey,
    /// `alg` is not that of any key that could be meant; `none` and the HMACs never are.
    #[error("token has an algorithm that no key of its issuer is for")]
    Algorithm,
    /// The signature is wrong.
    #[error("token has a wrong signature")]
    Signature,
    /// `iss` is missing, no string, or another issuer.
    #[error("token is of another issuer")]
    Issuer,
    /// `aud` is missing, of the wrong type, or does not hold ours.
    #[error("token is for another audience")]
    Audience,
    /// `sub` is missing, no string, or empty.
    #[error("token has no subject")]
    Subject,
    /// `exp` is missing, or not a whole number of seconds before the year 10000.
    #[error("token has no proper expiry")]
    Expiry,
    /// `nbf` is not a whole number of seconds, or ahead.
    #[error("token is not valid yet")]
    NotYet,
    /// All is good but the time.
    #[error("token has expired")]
    Expired,
}

/// Genuine tokens are of some kilobytes; fronts cap header lines at 8 or 16 KiB anyway.
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// Beyond that it is a wrong clock and no skew (P-JWT4).
pub const LEEWAY_SECS_MAX: u32 = 60;
/// Genuine claims nest three deep at most.
const DEPTH_MAX: usize = 32;
/// How many keys a token without `kid` is tried against: each costs a signature check to whoever sends garbage.
const KEYS_TRIED_MAX: usize = 8;
/// The last second of the year 9999. Milliseconds taken for seconds lie beyond it.
const SECS_MAX: i64 = 253_402_300_799;
/// An `iat` above this is in milliseconds (as seconds it would be in the year 5138, P-JWT5).
const IAT_SECS_MAX: f64 = 1e11;

/// Reads a token and verifies it.
///
/// The signature is checked before any claim, the expiry last: [`JwtError::Expired`] says that everything else
/// was good.
///
/// # Errors
/// See [`JwtError`].
pub fn verify(
    token: &str,
    keys: &IssuerKeys,
    rule: &JwtRule<'_>,
    now: Time,
) -> Result<VerifiedClaims, JwtError> {
    UnverifiedJwt::parse(token)?.verify(keys, rule, now)
}

impl<'a> UnverifiedJwt<'a> {
    /// Reads a token, within bounds.
    ///
    /// # Errors
    /// See [`JwtError`].
    pub fn parse(token: &'a str) -> Result<Self, JwtError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(JwtError::TooLong);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(JwtError::NotCompact)?;
        let (header, payload) = signed.split_once('.').ok_or(JwtError::NotCompact)?;
        if payload.contains('.') {
            return Err(JwtError::NotCompact);
        }
        let header = Header::read(object(header, JwtError::Header)?)?;
        let claims = Claims(object(payload, JwtError::Payload)?);
        Ok(Self { signed, signature, header, claims })
    }

    /// Who it says its issuer is: good for choosing the keys that will tell, and for nothing else.
    pub fn issuer(&self) -> Option<&str> {
        self.claims.0.get("iss").and_then(Value::as_str)
    }

    /// Whether any of these keys could have signed it, by the id that it names.
    pub fn is_of_known_key(&self, keys: &IssuerKeys) -> bool {
        keys.keys.iter().any(|key| self.header.may_mean(key))
    }

    /// Whether it may be of a key that is not told by a name: it names none, or some of these have none.
    pub fn names_no_key_of(&self, keys: &IssuerKeys) -> bool {
        self.header.key_id.is_none() || keys.keys.iter().any(|key| key.id.is_none())
    }

    /// Verifies it; see [`verify`].
    ///
    /// # Errors
    /// See [`JwtError`].
    pub fn verify(
        self,
        keys: &IssuerKeys,
        rule: &JwtRule<'_>,
        now: Time,
    ) -> Result<VerifiedClaims, JwtError> {
        let key = self.check_signature(keys)?.key.live().clone();
        let Self { claims: Claims(claims), .. } = self;
        if claims.get("iss").and_then(Value::as_str) != Some(rule.issuer) {
            return Err(JwtError::Issuer);
        }
        if !holds_audience(claims.get("aud"), rule.audience) {
            return Err(JwtError::Audience);
        }
        let subject = claims.get("sub").and_then(Value::as_str).filter(|subject| !subject.is_empty());
        let subject = subject.ok_or(JwtError::Subject)?.to_owned();
        let expires_at = claims.get("exp").and_then(seconds).ok_or(JwtError::Expiry)?;
        let leeway_secs = i64::from(rule.leeway_secs.min(LEEWAY_SECS_MAX));
        let now_secs = now.unix_secs();
        if let Some(from) = claims.get("nbf") {
            let from = seconds(from).ok_or(JwtError::NotYet)?;
            if from > now_secs.saturating_add(leeway_secs) {
                return Err(JwtError::NotYet);
            }
        }
        // RFC 7519 section 4.1.4: not accepted on or after that moment.
        if now_secs >= expires_at.saturating_add(leeway_secs) {
            return Err(JwtError::Expired);
        }
        let issued_at = claims.get("iat").and_then(|at| moment(at, now));
        let expires_at = Time::from_unix_secs(expires_at);
        Ok(VerifiedClaims { claims: Claims(claims), key, expires_at, issued_at, subject })
    }

    /// Finds a key that the signature is of.
    fn check_signature<'k>(&self, keys: &'k IssuerKeys) -> Result<&'k IssuerKey, JwtError> {
        if !self.is_of_known_key(keys) {
            return Err(JwtError::UnknownKey);
        }
        let algorithm = self.header.algorithm.as_str();
        let known = keys.keys.iter().filter(|key| self.header.may_mean(key));
        let mut fitting = known
            .filter(|key| algorithm_name(key.key.algorithm()) == Some(algorithm))
            .take(KEYS_TRIED_MAX)
            .peekable();
        if fitting.peek().is_none() {
            return Err(JwtError::Algorithm);
        }
        let message = self.signed.as_bytes();
        let signature = URL_SAFE_NO_PAD.decode(self.signature).map_err(|_| JwtError::Signature)?;
        fitting.find(|key| key.key.verifies(message, &signature)).ok_or(JwtError::Signature)
    }
}

impl VerifiedClaims {
    /// All claims.
    pub fn claims(&self) -> &Map<String, Value> {
        &self.claims.0
    }

    /// Falls with the key that verified it.
    pub fn key(&self) -> &Live {
        &self.key
    }

    /// `exp`, without leeway.
    pub fn expires_at(&self) -> Time {
        self.expires_at
    }

    /// `iat`, whether it came in seconds or milliseconds, and never ahead of now; `None` if it is missing or no
    /// number.
    pub fn issued_at(&self) -> Option<Time> {
        self.issued_at
    }

    /// `sub`; not empty.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// A claim that is a string or a whole number, as text.
    pub fn text(&self, name: &str) -> Option<String> {
        match self.claims.0.get(name)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) if !number.is_f64() => Some(number.to_string()),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }
}

impl JwtError {
    /// What the dialect answers.
    pub const fn reason(self) -> Reason {
        match self {
            Self::Expired => Reason::Expired,
            Self::TooLong
            | Self::NotCompact
            | Self::Header
            | Self::Payload
            | Self::Critical
            | Self::Type
            | Self::UnknownKey
            | Self::Algorithm
            | Self::Signature
            | Self::Issuer
            | Self::Audience
            | Self::Subject
            | Self::Expiry
            | Self::NotYet => Reason::BadToken,
        }
    }
}

/// The members of a header that are looked at. `jku`, `x5u`, `jwk` and `x5c` are not among them (P-JWT2).
#[derive(Clone, Debug)]
struct Header {
    algorithm: String,
    key_id: Option<String>,
}

impl Header {
    fn read(mut header: Map<String, Value>) -> Result<Self, JwtError> {
        if header.contains_key("crit") {
            return Err(JwtError::Critical);
        }
        match header.get("typ") {
            None => {}
            Some(Value::String(typ)) if is_token_type(typ) => {}
            Some(_) => return Err(JwtError::Type),
        }
        let mut text = |name: &str| match header.remove(name) {
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(JwtError::Header),
            None => Ok(None),
        };
        let algorithm = text("alg")?.ok_or(JwtError::Algorithm)?;
        Ok(Self { algorithm, key_id: text("kid")? })
    }

    /// A key without an id may be meant by any `kid`.
    fn may_mean(&self, key: &IssuerKey) -> bool {
        match (&self.key_id, &key.id) {
            (Some(wanted), Some(id)) => wanted == id,
            (None, _) | (_, None) => true,
        }
    }
}

/// RFC 7519 section 5.1 and RFC 9068 section 2.1. An assertion of the gate's own is none of them (T-C11).
fn is_token_type(typ: &str) -> bool {
    let typ = typ.to_ascii_lowercase();
    matches!(typ.strip_prefix("application/").unwrap_or(&typ), "jwt" | "at+jwt")
}

/// Claims, which may say who somebody is: `Debug` prints names only.
#[derive(Clone)]
struct Claims(Map<String, Value>);

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

fn object(part: &str, error: JwtError) -> Result<Map<String, Value>, JwtError> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| JwtError::NotCompact)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| error)?;
    match parse_strict(text, DEPTH_MAX) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) | Err(_) => Err(error),
    }
}

/// What a key of that algorithm is called in a header; `None` for algorithms that no public key is for.
fn algorithm_name(algorithm: Algorithm) -> Option<&'static str> {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the crate's list may grow; what is new is not accepted"
    )]
    match algorithm {
        Algorithm::RS256 => Some("RS256"),
        Algorithm::RS384 => Some("RS384"),
        Algorithm::RS512 => Some("RS512"),
        Algorithm::PS256 => Some("PS256"),
        Algorithm::PS384 => Some("PS384"),
        Algorithm::PS512 => Some("PS512"),
        Algorithm::ES256 => Some("ES256"),
        Algorithm::ES384 => Some("ES384"),
        Algorithm::EdDSA => Some("EdDSA"),
        _ => None,
    }
}

/// A whole number of seconds in range (P-JWT4).
fn seconds(value: &Value) -> Option<i64> {
    value.as_i64().filter(|secs| (0..=SECS_MAX).contains(secs))
}

/// A string, or a list of nothing but strings (RFC 7519 section 4.1.3).
fn holds_audience(value: Option<&Value>, audience: &str) -> bool {
    match value {
        Some(Value::String(one)) => one == audience,
        Some(Value::Array(list)) => {
            list.iter().all(Value::is_string) && list.iter().any(|one| one.as_str() == Some(audience))
        }
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => false,
    }
}

/// When something happened, as a claim says: in seconds, whole or not, or in milliseconds, and never ahead of now; `None` if it
/// is no such number.
pub(crate) fn moment(value: &Value, now: Time) -> Option<Time> {
    let number = value.as_f64().filter(|number| *number >= 0.0)?;
    let millis = if number > IAT_SECS_MAX { number } else { number * 1000.0 };
    // Saturates; what is ahead of now is cut anyway.
    #[expect(clippy::cast_possible_truncation, reason = "whole milliseconds are wanted")]
    Some(Time::from_unix_ms(millis as i64).min(now))
}

#[cfg(test)]
mod tests;
