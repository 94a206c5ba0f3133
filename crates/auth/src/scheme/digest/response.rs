//! What a client answers: the parameters behind `Digest` in `Authorization` (RFC 7616 section 3.4).
//!
//! ```text
//! #( token BWS "=" BWS ( token / quoted-string ) )      RFC 9110 sections 5.6 and 11.2
//! ```
//!
//! Names without regard to case; values quoted or not, as real clients differ; empty list elements are passed over.
//! Every name once.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use smallvec::SmallVec;

use super::algorithm::{Algorithm, Protection};
use crate::canonical::is_token_byte;
use crate::refusal::Reason;

/// A target of 8 KiB, and room for the rest.
pub const RESPONSE_BYTES_MAX: usize = 12 * 1024;
/// RFC 7616 has twelve.
const PARAMETERS_MAX: usize = 24;
const COUNT_DIGITS: usize = 8;

/// Why a response cannot be read, or asks for what is never done. It never repeats what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResponseError {
    /// Longer than [`RESPONSE_BYTES_MAX`], or more parameters than anybody sends.
    #[error("the digest response is too long")]
    TooLong,
    /// Not of the form that the module draws.
    #[error("the digest response is malformed")]
    Malformed,
    /// A name twice.
    #[error("a parameter of the digest response came twice")]
    Repeated,
    /// `username` and `username*`.
    #[error("the digest response names its user twice")]
    TwoUsers,
    /// A parameter that has to be there is not.
    #[error("the digest response lacks its {0}")]
    Missing(&'static str),
    /// A parameter has a value that it cannot have.
    #[error("the digest response has an invalid {0}")]
    Invalid(&'static str),
}

impl ResponseError {
    /// What a client is told: two readings are 400-class, all else is a wrong credential (docs/recognition.md).
    pub fn reason(self) -> Reason {
        match self {
            Self::Repeated | Self::TwoUsers => Reason::Ambiguous,
            Self::TooLong | Self::Malformed | Self::Missing(_) | Self::Invalid(_) => Reason::WrongPassword,
        }
    }
}

/// Whom a response is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum User<'v> {
    /// By name, from `username` or `username*`.
    Named(Cow<'v, str>),
    /// By `H(user:realm)` in hexadecimal digits, with `userhash=true`.
    Hashed(Cow<'v, str>),
}

impl User<'_> {
    /// What was sent, name or digits.
    pub fn text(&self) -> &str {
        match self {
            Self::Named(text) | Self::Hashed(text) => text,
        }
    }
}

/// A response, read and not verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response<'v> {
    /// From whom.
    pub user: User<'v>,
    /// The realm that it answers.
    pub realm: Cow<'v, str>,
    /// The nonce that it answers.
    pub nonce: Cow<'v, str>,
    /// The request target that it is for.
    pub uri: Cow<'v, str>,
    /// Its algorithm; MD5 if it names none.
    pub algorithm: Algorithm,
    /// What it protects.
    pub protection: Protection,
    /// The client's own nonce.
    pub cnonce: Cow<'v, str>,
    /// The eight digits of the counter, as sent.
    pub nc: Cow<'v, str>,
    /// The counter; never 0.
    pub count: u32,
    /// The proof, in hexadecimal digits.
    pub response: Cow<'v, str>,
    /// Whether it sends an `opaque`: the gate gives none out.
    pub has_opaque: bool,
}

type Parameters<'v> = SmallVec<[(&'v str, Value<'v>); 12]>;

struct Value<'v> {
    text: Cow<'v, str>,
    is_quoted: bool,
}

impl<'v> Response<'v> {
    /// Reads what follows `Digest ` in the field.
    ///
    /// # Errors
    /// See [`ResponseError`].
    pub fn parse(value: &'v str) -> Result<Self, ResponseError> {
        let mut parameters = parameters(value)?;
        let mut take = |name: &str| {
            let at = parameters.iter().position(|(own, _)| own.eq_ignore_ascii_case(name))?;
            Some(parameters.swap_remove(at).1)
        };
        let (plain, extended) = (take("username"), take("username*"));
        let user_hash = take("userhash").map(|value| value.text);
        let user = user(plain, extended, user_hash.as_deref())?;
        let mut need =
            |name: &'static str| take(name).map(|value| value.text).ok_or(ResponseError::Missing(name));
        let (realm, nonce, uri) = (need("realm")?, need("nonce")?, need("uri")?);
        let (response, cnonce) = (need("response")?, need("cnonce")?);
        let (qop, nc) = (need("qop")?, need("nc")?);
        let algorithm = match take("algorithm") {
            None => Algorithm::Md5,
            Some(value) => Algorithm::named(&value.text).ok_or(ResponseError::Invalid("algorithm"))?,
        };
        let protections = [Protection::Auth, Protection::AuthInt].into_iter();
        let protection = protections
            .into_iter()
            .find(|protection| protection.name().eq_ignore_ascii_case(&qop))
            .ok_or(ResponseError::Invalid("qop"))?;
        let is_count = nc.len() == COUNT_DIGITS && nc.bytes().all(|byte| byte.is_ascii_hexdigit());
        let count = u32::from_str_radix(&nc, 16).ok().filter(|count| is_count && *count > 0);
        let count = count.ok_or(ResponseError::Invalid("nc"))?;
        let has_opaque = take("opaque").is_some();
        Ok(Self { user, realm, nonce, uri, algorithm, protection, cnonce, nc, count, response, has_opaque })
    }
}

fn user<'v>(
    plain: Option<Value<'v>>,
    extended: Option<Value<'v>>,
    user_hash: Option<&str>,
) -> Result<User<'v>, ResponseError> {
    let is_hashed = match user_hash {
        None => false,
        Some(text) if text.eq_ignore_ascii_case("false") => false,
        Some(text) if text.eq_ignore_ascii_case("true") => true,
        Some(_) => return Err(ResponseError::Invalid("userhash")),
    };
    let user = match (plain, extended) {
        (Some(_), Some(_)) => return Err(ResponseError::TwoUsers),
        (None, None) => return Err(ResponseError::Missing("username")),
        (Some(plain), None) => plain.text,
        // A hash has no letters that would need it (RFC 7616 section 3.4.4).
        (None, Some(_)) if is_hashed => return Err(ResponseError::Invalid("username*")),
        (None, Some(extended)) => extended_text(&extended)?,
    };
    if user.is_empty() || user.chars().any(char::is_control) {
        return Err(ResponseError::Invalid("username"));
    }
    Ok(if is_hashed { User::Hashed(user) } else { User::Named(user) })
}

/// `UTF-8'language'percent-encoded` (RFC 8187 section 3.2), never quoted.
fn extended_text<'v>(value: &Value<'v>) -> Result<Cow<'v, str>, ResponseError> {
    let invalid = ResponseError::Invalid("username*");
    let mut parts = value.text.splitn(3, '\'');
    let (Some(charset), Some(_language), Some(text)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(invalid);
    };
    if value.is_quoted || !charset.eq_ignore_ascii_case("UTF-8") {
        return Err(invalid);
    }
    percent_decode_str(text).decode_utf8().map(|text| Cow::Owned(text.into_owned())).map_err(|_| invalid)
}

/// Takes the list apart.
fn parameters(value: &str) -> Result<Parameters<'_>, ResponseError> {
    if value.len() > RESPONSE_BYTES_MAX {
        return Err(ResponseError::TooLong);
    }
    let mut parameters = Parameters::new();
    let mut rest = value;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return Ok(parameters);
        }
        let (name, after) = rest.split_once('=').ok_or(ResponseError::Malformed)?;
        let name = name.trim_end_matches([' ', '\t']);
        if name.is_empty() || !name.bytes().all(is_token_byte) {
            return Err(ResponseError::Malformed);
        }
        let (value, after) = one_value(after.trim_start_matches([' ', '\t']))?;
        if parameters.iter().any(|(own, _)| own.eq_ignore_ascii_case(name)) {
            return Err(ResponseError::Repeated);
        }
        if parameters.len() == PARAMETERS_MAX {
            return Err(ResponseError::TooLong);
        }
        parameters.push((name, value));
        rest = after.trim_start_matches([' ', '\t']);
        if !rest.is_empty() && !rest.starts_with(',') {
            return Err(ResponseError::Malformed);
        }
    }
}

/// A quoted string or a token, and what follows it.
fn one_value(text: &str) -> Result<(Value<'_>, &str), ResponseError> {
    let Some(inner) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        let (token, after) = text.split_at(end);
        if token.is_empty() || !token.bytes().all(is_unquoted_byte) {
            return Err(ResponseError::Malformed);
        }
        return Ok((Value { text: token.into(), is_quoted: false }, after));
    };
    let end = inner.find(['"', '\\']).ok_or(ResponseError::Malformed)?;
    let (plain, after) = inner.split_at(end);
    if let Some(after) = after.strip_prefix('"') {
        return Ok((Value { text: plain.into(), is_quoted: true }, after));
    }
    let mut unescaped = plain.to_owned();
    let mut rest = after.chars();
    loop {
        match rest.next() {
            Some('"') => {
                let value = Value { text: unescaped.into(), is_quoted: true };
                return Ok((value, rest.as_str()));
            }
            Some('\\') => unescaped.push(rest.next().ok_or(ResponseError::Malformed)?),
            Some(other) => unescaped.push(other),
            None => return Err(ResponseError::Malformed),
        }
    }
}

/// A token's bytes and those of base64 and of targets, which some clients do not quote.
const fn is_unquoted_byte(byte: u8) -> bool {
    is_token_byte(byte) || matches!(byte, b'/' | b'=' | b':' | b'?' | b'@')
}

#[cfg(test)]
mod tests;
