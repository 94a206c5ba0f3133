//! `[[api.route]]`: who may do what, and to which objects.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::objects::{Foreign, Places};
use super::tree::Allow;
use super::value::RouteAt;

/// `[[api.route]]`
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Route {
    /// Which requests. Of several routes the most exact one counts; it may not ask for less than one that it crosses.
    pub(crate) at: RouteAt,
    /// Who may.
    pub(crate) allow: Allow,
    /// Whether it may become a WebSocket.
    #[serde(default)]
    pub(crate) upgrade: bool,
    /// Ids in the request and where they stand, by the kind of objects or the key of the caller whose they must be.
    #[serde(default)]
    pub(crate) ids: BTreeMap<String, Places>,
    /// Where the answer tells the id of an object that is the caller's from then on, by kind.
    #[serde(default)]
    pub(crate) creates: BTreeMap<String, Places>,
    /// Where the answer tells ids of objects, which must be the caller's, by kind or key.
    #[serde(default)]
    pub(crate) shows: BTreeMap<String, Places>,
    /// What becomes of an answer that shows another's.
    #[serde(default)]
    pub(crate) foreign: Foreign,
    /// A longer body is refused where ids may be in it; 262,144 bytes if it is not given.
    #[serde(default)]
    #[schemars(range(min = 1, max = 16_777_216))]
    pub(crate) body_bytes_max: Option<u32>,
    /// A longer answer is refused where ids may be in it; 1,048,576 bytes if it is not given.
    #[serde(default)]
    #[schemars(range(min = 1, max = 16_777_216))]
    pub(crate) answer_bytes_max: Option<u32>,
}
