//! What a credential of a dialect says of itself.

use super::part::Part;
use super::place::Place;
use super::{CredentialRule, Scheme};

impl CredentialRule {
    pub(crate) fn primary(&self) -> Option<&Part> {
        self.parts.first()
    }

    pub(super) fn primary_is(&self, test: impl Fn(&Place) -> bool) -> bool {
        self.primary().is_some_and(|part| part.places.iter().any(test))
    }

    /// Whether it rides in a call's body, so that only an endpoint can accept it.
    pub(crate) fn in_body(&self) -> bool {
        self.primary_is(|place| matches!(place, Place::Body(_)))
    }

    /// Whether some part that it cannot lack rides in a call's body alone: what does not read the body would never see that.
    pub(crate) fn needs_body(&self) -> bool {
        let in_body = |part: &Part| part.places.iter().all(|place| matches!(place, Place::Body(_)));
        self.in_body() || self.parts.iter().filter(|part| part.required).any(in_body)
    }

    /// Whether it belongs to a call of its own, so that only an endpoint can accept it, and nothing else decides
    /// there: it rides in the body, or is what a browser brings back from an issuer.
    pub(crate) fn is_of_a_call(&self) -> bool {
        self.in_body() || self.scheme == Scheme::Code
    }

    /// Whether a browser sends it by itself.
    pub(crate) fn in_cookie(&self) -> bool {
        self.primary_is(|place| matches!(place, Place::Cookie(_)))
    }

    /// Whether user and password ride together in `Authorization: Basic`.
    pub(crate) fn is_basic(&self) -> bool {
        self.scheme == Scheme::Password
            && self.primary_is(
                |place| matches!(place, Place::Authorization(word) if word.eq_ignore_ascii_case("basic")),
            )
    }

    /// The header or cookie name that refusals print.
    pub(crate) fn carrier(&self) -> &str {
        self.primary().and_then(|part| part.places.first()).map_or("", Place::carrier)
    }
}
