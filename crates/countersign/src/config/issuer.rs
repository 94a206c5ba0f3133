//! `issuers` of an API: whose signed tokens it takes.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `issuers."ISS"` of an API.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Issuer {
    /// The gate's own tokens.
    Word(IssuerWord),
    /// Somebody else's.
    Keys(IssuerFiles),
}

/// An issuer that needs no file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum IssuerWord {
    /// The gate itself.
    #[serde(rename = "self")]
    Gate,
}

/// The keys of an issuer: one of the two.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct IssuerFiles {
    /// A JSON Web Key Set (RFC 7517).
    #[serde(default)]
    pub(crate) jwks_file: Option<PathBuf>,
    /// A public key in PEM.
    #[serde(default)]
    pub(crate) pem_file: Option<PathBuf>,
}
