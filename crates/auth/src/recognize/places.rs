//! Reads values out of the places of a request: each place holds one value, or it is ambiguous.

use std::borrow::Cow;

use http::HeaderValue;
use smallvec::SmallVec;

use super::Request;
use crate::api::Api;
use crate::canonical::query::{self, QueryError};
use crate::dialect::place::Place;
use crate::dialect::{CredentialRule, Site};
use crate::fields::{Case, FieldError};
use crate::intake::Taken;
use crate::refusal::{Reason, Refusal};

/// How many cookies of one name are looked up at the most; real logs show two.
pub(super) const COOKIES_TRIED_MAX: usize = 4;

/// Whether the conditions of a conditional call hold.
pub(super) fn conditions_hold(site: &Site, request: &Request<'_>, api: &Api) -> Result<bool, Refusal> {
    let Some(endpoint) = &site.endpoint else { return Ok(true) };
    let nothing = Taken::default();
    for (place, literal) in &endpoint.when {
        let value = one_value(place, request, &nothing, &[], api)?;
        if !value.is_some_and(|value| value.eq_ignore_ascii_case(literal)) {
            return Ok(false);
        }
    }
    Ok(true)
}

pub(super) fn repeated(what: &str) -> Refusal {
    Refusal::new(Reason::Ambiguous, format!("{what} came twice")).carried_by(what)
}

pub(super) fn text<'v>(value: &'v HeaderValue, name: &str) -> Result<&'v str, Refusal> {
    value.to_str().map(str::trim).map_err(|_error| {
        Refusal::new(Reason::Malformed, format!("{name} holds bytes that are not visible ascii"))
            .carried_by(name)
    })
}

/// An `Authorization` value. Digest's challenge says `charset=UTF-8`, so its users may have any letters; control
/// characters are refused when it is read. All else is visible ASCII.
pub(super) fn authorization_text(value: &HeaderValue) -> Result<&str, Refusal> {
    let bytes = value.as_bytes();
    if !bytes.get(..7).is_some_and(|word| word.eq_ignore_ascii_case(b"digest ")) {
        return text(value, "Authorization");
    }
    std::str::from_utf8(bytes).map(str::trim).map_err(|_error| {
        Refusal::new(Reason::Malformed, "Authorization is not utf-8").carried_by("Authorization")
    })
}

/// The credential part of an `Authorization` value, if the place's scheme is its scheme.
pub(super) fn authorization<'v>(place: &Place, value: &'v str) -> Option<&'v str> {
    match place {
        Place::Authorization(word) => {
            let (scheme, rest) = value.split_once(' ').unwrap_or((value, ""));
            scheme.eq_ignore_ascii_case(word).then_some(rest)
        }
        Place::AuthorizationAssigned(word) => {
            let (scheme, rest) = value.split_once('=')?;
            scheme.eq_ignore_ascii_case(word).then_some(rest)
        }
        Place::AuthorizationBare => (!value.contains(' ')).then_some(value),
        Place::Header(..) | Place::Cookie(_) | Place::Query(_) | Place::Body(_) | Place::Path(_) => None,
    }
}

/// The value in the one place of several spellings that is used, and which place that is.
pub(crate) fn plain_value<'v>(
    places: &'v [Place],
    request: &'v Request<'_>,
    taken: &'v Taken,
    variables: &'v [(String, String)],
    api: &Api,
) -> Result<Option<(Cow<'v, str>, &'v Place)>, Refusal> {
    let mut found: Option<(Cow<'v, str>, &Place)> = None;
    for place in places {
        let Some(value) = one_value(place, request, taken, variables, api)? else { continue };
        match &found {
            // One body field may have two spellings that differ in letter case alone; they are then one field.
            Some((_, Place::Body(other)))
                if api.dialect.field_case == Case::Ignore
                    && matches!(place, Place::Body(name) if name.eq_ignore_ascii_case(other)) => {}
            Some(_) => {
                let name = place.carrier().to_owned();
                return Err(
                    Refusal::new(Reason::Ambiguous, format!("{place} came in two spellings")).about(name)
                );
            }
            None => found = Some((value, place)),
        }
    }
    Ok(found)
}

pub(super) fn one_value<'v>(
    place: &'v Place,
    request: &'v Request<'_>,
    taken: &'v Taken,
    variables: &'v [(String, String)],
    api: &Api,
) -> Result<Option<Cow<'v, str>>, Refusal> {
    match place {
        Place::Header(name, spelled) => {
            let mut values = taken.headers.iter().filter(|(own, _)| own == name).map(|(_, value)| value);
            let first = values.next();
            let again = values.next().is_some();
            let mut left = request.headers.get_all(name).iter();
            let (first, again) = match first {
                Some(first) => (Some(first), again),
                None => (left.next(), left.next().is_some()),
            };
            if again {
                return Err(repeated(spelled));
            }
            first.map(|value| text(value, spelled).map(Cow::Borrowed)).transpose()
        }
        Place::Cookie(name) => {
            let mut values = taken.cookies.iter().filter(|(own, _)| **own == **name).map(|(_, value)| value);
            let Some(first) = values.next() else { return Ok(None) };
            if values.any(|other| !other.matches(first.expose())) {
                return Err(repeated(name));
            }
            Ok(Some(first.expose().into()).filter(|value: &Cow<'_, str>| !value.is_empty()))
        }
        Place::Query(name) => {
            let mut values = query_values(request.query, name)?.into_iter();
            let first = values.next();
            if values.next().is_some() {
                return Err(repeated(name).about(name.clone()));
            }
            Ok(first.map(Cow::Owned))
        }
        Place::Body(name) => match request.fields.map(|fields| fields.get(name, api.dialect.field_case)) {
            None => Ok(None),
            Some(Ok(value)) => Ok(value.map(Cow::Borrowed)),
            Some(Err(error)) => {
                let cause = match error {
                    FieldError::Ambiguous => format!("`{name}` stands twice in the body"),
                    FieldError::NotPlain => format!("`{name}` is no plain value in the body"),
                };
                Err(Refusal::new(error.reason(), cause).about(name.clone()))
            }
        },
        Place::Path(name) => {
            let value = variables.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str());
            match value {
                None => Ok(None),
                Some(raw) => crate::canonical::path::decode_segment(raw).map(Some).ok_or_else(|| {
                    Refusal::new(Reason::InvalidField, format!("{{{name}}} of the path is no text"))
                        .about(name.clone())
                }),
            }
        }
        Place::Authorization(_) | Place::AuthorizationAssigned(_) | Place::AuthorizationBare => {
            match taken.authorization.as_slice() {
                [] => Ok(None),
                [value] => Ok(authorization(place, authorization_text(value)?).map(Cow::Borrowed)),
                [_, _, ..] => Err(repeated("Authorization")),
            }
        }
    }
}

pub(super) fn query_values(query: Option<&str>, name: &str) -> Result<SmallVec<[String; 1]>, Refusal> {
    let values = query::values(query.unwrap_or_default(), name);
    let read = values.map(|value| value.map(Cow::into_owned)).collect::<Result<_, QueryError>>();
    read.map_err(|error| Refusal::new(Reason::Malformed, format!("query: {error}")))
}

/// Whether two credentials ride in one place.
pub(super) fn same_primary(a: &CredentialRule, b: &CredentialRule) -> bool {
    let (Some(a), Some(b)) = (a.primary(), b.primary()) else { return false };
    a.places.iter().any(|place| match place {
        Place::Header(name, _) => {
            b.places.iter().any(|other| matches!(other, Place::Header(own, _) if own == name))
        }
        Place::Cookie(_)
        | Place::Query(_)
        | Place::Body(_)
        | Place::Path(_)
        | Place::Authorization(_)
        | Place::AuthorizationAssigned(_)
        | Place::AuthorizationBare => b.places.contains(place),
    })
}

/// Whether the cookie that a credential rides in came with a value.
pub(super) fn cookie_is_there(rule: &CredentialRule, taken: &Taken) -> bool {
    rule.primary().is_some_and(|part| {
        part.places.iter().any(|place| match place {
            Place::Cookie(name) => {
                taken.cookies.iter().any(|(own, value)| **own == **name && !value.expose().is_empty())
            }
            Place::Header(..)
            | Place::Query(_)
            | Place::Body(_)
            | Place::Path(_)
            | Place::Authorization(_)
            | Place::AuthorizationAssigned(_)
            | Place::AuthorizationBare => false,
        })
    })
}
