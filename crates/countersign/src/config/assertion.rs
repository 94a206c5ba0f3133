//! `[assertion]`: what upstreams are told, and how it is signed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[assertion]`
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Assertion {
    /// What `Countersign-Assertion` is signed with.
    pub(crate) algorithm: Algorithm,
}

/// An algorithm for assertions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub(crate) enum Algorithm {
    /// Ed25519 (RFC 8037).
    #[default]
    #[serde(rename = "EdDSA")]
    Ed25519,
    /// RSA 2048 with SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
    /// P-256 with SHA-256.
    #[serde(rename = "ES256")]
    Es256,
}
