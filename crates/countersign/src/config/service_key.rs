//! `[[api.service_key]]`: what services behind the gate may ask of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::value::page::Digest;

/// `[[api.service_key]]`
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServiceKey {
    /// The service, as log and audit call it. It has several keys while one replaces the other.
    pub(crate) name: String,
    /// SHA-256 of the key; `countersign service-key` makes both.
    pub(crate) sha256: Digest,
    /// Channels and patterns on which it may publish events, such as `/v2/me/*`.
    #[serde(default)]
    pub(crate) publish: Vec<String>,
    /// Kinds of objects whose owners it may say.
    #[serde(default)]
    pub(crate) objects: Vec<String>,
}
