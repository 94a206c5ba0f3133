//! `[api.digest]`: what Digest offers at an API.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::value::Period;

/// `digest` of an API.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Digest {
    /// In place of the dialect's algorithms. They are offered strongest first.
    pub(crate) algorithms: Option<Vec<DigestAlgorithm>>,
    /// Whether `auth-int` is offered beside `auth`: the body is part of the proof, read whole, and may have 64 KiB.
    pub(crate) auth_int: bool,
    /// Whether clients may send a hash in place of the user's name.
    pub(crate) userhash: bool,
    /// How long a client may go on with one nonce.
    pub(crate) nonce_lifetime: Period,
}

impl Default for Digest {
    fn default() -> Self {
        Self { algorithms: None, auth_int: false, userhash: false, nonce_lifetime: Period::secs(5 * 60) }
    }
}

/// An algorithm of RFC 7616.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub(crate) enum DigestAlgorithm {
    /// SHA-512/256. curl before 8.10 answers it wrongly.
    #[serde(rename = "SHA-512-256")]
    Sha512_256,
    /// The same, with a key that is made once for a nonce.
    #[serde(rename = "SHA-512-256-sess")]
    Sha512_256Sess,
    /// What clients of today know.
    #[serde(rename = "SHA-256")]
    Sha256,
    /// The same, with a key that is made once for a nonce.
    #[serde(rename = "SHA-256-sess")]
    Sha256Sess,
    /// For clients that know nothing else.
    #[serde(rename = "MD5")]
    Md5,
    /// The same, with a key that is made once for a nonce.
    #[serde(rename = "MD5-sess")]
    Md5Sess,
}
