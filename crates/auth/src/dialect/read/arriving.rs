//! What of a request a call is still told, once everything has been taken out that is taken out of all requests.

use super::Context;
use crate::canonical::header_name::{folded, folds_to};
use crate::dialect::place::Place;
use crate::intake;

/// Why a call is never told what a client says there; `None` where it is.
pub(super) fn never_told(place: &Place, context: &Context) -> Option<String> {
    let Place::Header(name, spelled) = place else { return None };
    let passes = context.passes.iter().map(|name| (name, name.as_str()));
    let known: Vec<_> = headers(context).chain(passes).collect();
    if known.iter().any(|(known, _)| *known == name) {
        return None;
    }
    if intake::tells_identity(name.as_str()) {
        return Some(format!(
            "`{spelled}` is taken out of every request: services believe what it says; name another header"
        ));
    }
    let folded = folded(name.as_str());
    let (_, other) = known.iter().find(|(known, _)| folds_to(known.as_str(), &folded))?;
    Some(format!(
        "`{spelled}` is taken out of every request: services could take it for `{other}`; name another header"
    ))
}

/// Why no condition can look there; `None` where one can. Conditions are looked at while nothing is known but what is left of
/// the request without its credentials and proofs.
pub(super) fn no_condition(place: &Place, context: &Context) -> Option<String> {
    let carriers = || context.credentials.iter().flat_map(|rule| &rule.parts).flat_map(|part| &part.places);
    let looks = match place {
        Place::Header(name, _) => !headers(context).any(|(carrier, _)| carrier == name),
        Place::Query(_) => !carriers().any(|carrier| carrier == place),
        Place::Body(_) => !context.csrf_places.contains(place),
        Place::Cookie(_)
        | Place::Path(_)
        | Place::Authorization(_)
        | Place::AuthorizationAssigned(_)
        | Place::AuthorizationBare => false,
    };
    if !looks {
        return Some(
            "a condition looks at \"header …\", \"query …\" or \"body …\", and at no credential".to_owned(),
        );
    }
    never_told(place, context)
}

/// Headers in which credentials and CSRF proofs ride, and how the file spells them.
fn headers(context: &Context) -> impl Iterator<Item = (&http::HeaderName, &str)> {
    let parts = context.credentials.iter().flat_map(|rule| &rule.parts).flat_map(|part| &part.places);
    parts.chain(&context.csrf_places).filter_map(Place::header)
}
