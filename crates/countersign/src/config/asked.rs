//! What is said alike of everybody whom the gate asks about people and tokens: directories, issuers, introspection.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::value::Period;

/// Which of the gate's fields and keys is filled from which attribute, claim or member of theirs.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(transparent)]
pub(crate) struct Filled(pub(crate) BTreeMap<String, String>);

impl Filled {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Field or key, and where it comes from.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(target, source)| (target.as_str(), source.as_str()))
    }
}

/// The gate's roles by their words: groups, or what a claim says. What is not named gives none.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(transparent)]
pub(crate) struct Roles(pub(crate) BTreeMap<String, Vec<String>>);

impl Roles {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The table; `None` where none is given, and their words are taken as they are.
    pub(crate) fn given(&self) -> Option<BTreeMap<String, Vec<String>>> {
        (!self.0.is_empty()).then(|| self.0.clone())
    }
}

/// How long what they called right is good for without another question.
pub(super) const fn remember() -> Period {
    Period::secs(60)
}

/// How long one answer may take.
pub(super) const fn timeout() -> Period {
    Period::secs(5)
}
