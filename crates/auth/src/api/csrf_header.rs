//! The header of CSRF proofs, where an API calls it otherwise than its dialect does.

use http::HeaderName;

use crate::canonical::header_name::{folded, folds_to};
use crate::dialect::Dialect;
use crate::dialect::place::Place;

/// The header, and how the configuration spells it.
pub(super) fn settled(
    dialect: &Dialect,
    said: Option<&str>,
    mistakes: &mut Vec<String>,
) -> Option<(HeaderName, String)> {
    let name = said?;
    let Ok(header) = HeaderName::from_bytes(name.as_bytes()) else {
        mistakes.push(format!("`{name}` is no header name"));
        return None;
    };
    mistakes.extend(Place::Header(header.clone(), name.to_owned()).cannot_carry());
    match &dialect.csrf {
        None => mistakes.push(format!(
            "`{name}` would carry no CSRF proof: the dialect has no [csrf]; leave `csrf_header` out"
        )),
        Some(csrf) if !csrf.places.iter().any(is_header) => mistakes.push(format!(
            "`{name}` would carry no CSRF proof: `csrf.from` of the dialect names no header; leave `csrf_header` out"
        )),
        Some(_) => {}
    }
    mistakes.extend(
        carried(dialect, &header)
            .map(|what| format!("`{name}` carries {what}; name another header in `csrf_header`")),
    );
    Some((header, name.to_owned()))
}

/// Where proofs ride: the places of the dialect, with that header in the place of all of its own.
pub(super) fn places(dialect: &Dialect, renamed: Option<&(HeaderName, String)>) -> Vec<Place> {
    let mut places: Vec<Place> = Vec::new();
    for place in dialect.csrf.iter().flat_map(|csrf| &csrf.places) {
        let place = match renamed {
            Some((name, text)) if is_header(place) => Place::Header(name.clone(), text.clone()),
            Some(_) | None => place.clone(),
        };
        if !places.contains(&place) {
            places.push(place);
        }
    }
    places
}

/// What else of a dialect rides in a header of this name, or of one that services could take for it.
fn carried(dialect: &Dialect, header: &HeaderName) -> Option<String> {
    let folded = folded(header.as_str());
    let is_it = |name: &HeaderName| folds_to(name.as_str(), &folded);
    let rides = |place: &Place| matches!(place, Place::Header(name, _) if is_it(name));
    let rule =
        dialect.credentials.iter().find(|rule| rule.parts.iter().flat_map(|part| &part.places).any(rides));
    match rule {
        Some(rule) => Some(format!("`{}`", rule.name)),
        None => dialect
            .passes
            .iter()
            .any(is_it)
            .then(|| "what the service is told by clients (`passes`)".to_owned()),
    }
}

fn is_header(place: &Place) -> bool {
    matches!(place, Place::Header(..))
}
