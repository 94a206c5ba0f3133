//! `[[api.publisher]]`: services that post events for push clients.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::value::page::Digest;

/// `[[api.publisher]]`
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Publisher {
    /// What the log calls it.
    pub(crate) name: String,
    /// SHA-256 of its key in hex: `openssl rand -hex 32 | tr -d '\n' | tee key | sha256sum`.
    pub(crate) key_sha256: Digest,
    /// Channels and patterns on which it may publish, such as `/v2/me/*`.
    pub(crate) channels: Vec<String>,
}
