//! What the configuration says of objects.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::value::Period;

/// `object.NAME` of an API.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ObjectKind {
    /// The key of a caller by which he owns objects; his subject if it is not given.
    pub(crate) owner: Option<String>,
    /// Clients get references in place of the service's ids. One that nobody claims by logging in lives so long.
    pub(crate) references: Option<Period>,
    /// Whether ids are numbers in the service's JSON.
    pub(crate) numeric: bool,
    /// A URL with {id} that tells the owner of an object which the gate does not know.
    pub(crate) ask: Option<String>,
}

/// One place, or several.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Places {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

impl Places {
    /// All of them.
    pub(crate) fn all(&self) -> Vec<String> {
        match self {
            Self::One(place) => vec![place.clone()],
            Self::Many(places) => places.clone(),
        }
    }
}

/// What becomes of an answer that shows another's object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Foreign {
    /// It is kept back: 502.
    #[default]
    Refuse,
    /// Items of lists that show one are taken out; what is no list is answered as if it were not there.
    Filter,
}
