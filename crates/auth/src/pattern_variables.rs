//! The variables of a path, kept while a request is served.

use crate::dialect::pattern::Variables;

/// Names and values, percent-encoded as they stood.
#[derive(Clone, Debug, Default)]
pub(crate) struct OwnedVariables(Vec<(String, String)>);

impl OwnedVariables {
    pub(crate) fn of(variables: &Variables<'_>) -> Self {
        Self(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    pub(crate) fn as_slice(&self) -> &[(String, String)] {
        &self.0
    }
}
