//! The parts of a credential, and where each may ride.

use super::place::Place;

/// What a part of a credential is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum PartName {
    Value,
    Second,
    User,
    Password,
    Provider,
    Domain,
    Tenant,
    App,
    Proof,
}

impl PartName {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::Second => "second",
            Self::User => "user",
            Self::Password => "password",
            Self::Provider => "provider",
            Self::Domain => "domain",
            Self::Tenant => "tenant",
            Self::App => "app",
            Self::Proof => "proof",
        }
    }
}

/// One part of a credential and the places where it may ride; exactly one of them may be used.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) name: PartName,
    pub(crate) places: Vec<Place>,
    /// A required part that is missing is a wrong credential; the others may be left out.
    pub(crate) required: bool,
}
