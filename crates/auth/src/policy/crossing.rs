//! Routes that cross: both are about a request, neither is an exception from the other, and the one that counts asks
//! for less.
//!
//! `/{kind}/{id}` is more exact than `/admin/**`, and not what its author thought of when he wrote who may do what
//! below `/admin`. Which of two routes counts where they meet is for the author to say, in a third one.

use super::{Allow, RouteOptions};
use crate::canonical::method::is_standard;
use crate::dialect::Dialect;
use crate::dialect::pattern::{Pattern, Patterns};
use crate::objects::place::same_place;

/// What is wrong with the routes of a table, for people.
pub(super) fn mistakes<T>(
    dialect: &Dialect,
    routes: &Patterns<(T, &RouteOptions)>,
) -> impl Iterator<Item = String> {
    let crossings = routes.crossings(|(at, (_, winner)), (other_at, (_, other))| {
        // About methods that it does not name and that are not standard ones, a route says no.
        let names_other = at.methods().is_empty() && !other_at.methods().is_empty();
        if names_other && !other_at.methods().iter().any(is_standard) {
            return None;
        }
        less(dialect, (at, winner), (other_at, other))
    });
    crossings.map(|crossing| {
        let (winner, other, both) = (crossing.winner.0, crossing.other.0, crossing.both);
        let path = both.sample_path();
        format!(
            "routes `{winner}` and `{other}` both match {}; the first one counts, as it is more exact, and asks for less ({}): write a route at = \"{both}\" that says who may",
            if path.is_empty() { "/" } else { &path },
            crossing.why,
        )
    })
}

/// For what the winner does not ask, and the other one does.
pub(super) fn less(
    dialect: &Dialect,
    winner: (&Pattern, &RouteOptions),
    other: (&Pattern, &RouteOptions),
) -> Option<&'static str> {
    allows_more(dialect, &winner.1.allow, &other.1.allow).or_else(|| {
        let (own, theirs) = (&winner.1.objects, &other.1.objects);
        let words = [
            ("ids", &own.ids, &theirs.ids),
            ("creates", &own.creates, &theirs.creates),
            ("shows", &own.shows, &theirs.shows),
        ];
        let lacks = words.into_iter().find(|(_, own, theirs)| {
            !theirs
                .iter()
                .all(|wanted| own.iter().any(|rule| is_as_strict((winner.0, rule), (other.0, wanted))))
        });
        lacks.map(|(word, _, _)| word)
    })
}

/// The same of what may be asked whatever the method: who somebody is, and ids in the path.
pub(super) fn less_at_path(
    dialect: &Dialect,
    winner: (&Pattern, &RouteOptions),
    other: (&Pattern, &RouteOptions),
) -> Option<&'static str> {
    allows_more(dialect, &winner.1.allow, &other.1.allow).or_else(|| {
        let (own, mut theirs) = (&winner.1.objects.ids, other.1.objects.ids.clone());
        for places in theirs.values_mut() {
            places.retain(|place| place.starts_with("path "));
        }
        let mut named = theirs.iter().filter(|(_, places)| !places.is_empty());
        let is_asked = |wanted| own.iter().any(|rule| is_as_strict((winner.0, rule), (other.0, wanted)));
        (!named.all(is_asked)).then_some("ids")
    })
}

fn allows_more(dialect: &Dialect, winner: &Allow, other: &Allow) -> Option<&'static str> {
    let (own, theirs) = match (winner, other) {
        (_, Allow::Anonymous) => return None,
        (Allow::Anonymous, Allow::Proven(_)) => return Some("no credential"),
        (Allow::Proven(own), Allow::Proven(theirs)) => (own, theirs),
    };
    let scheme = |name: &String| {
        let mut rules = dialect.credentials.iter();
        rules.find(|rule| *rule.name == **name).map(|rule| rule.scheme.name())
    };
    let schemes_within = theirs.schemes.is_empty()
        || (!own.schemes.is_empty()
            && own.schemes.iter().all(|name| {
                theirs.schemes.iter().any(|other| other == name || scheme(name) == Some(other.as_str()))
            }));
    if !within(&own.roles, &theirs.roles) {
        Some("roles")
    } else if !within(&own.tenants, &theirs.tenants) {
        Some("tenants")
    } else if !schemes_within {
        Some("schemes")
    } else if theirs.max_age.is_some_and(|theirs| own.max_age.is_none_or(|own| own > theirs)) {
        Some("max_age")
    } else {
        None
    }
}

/// Whether who has one of these has one of those; an empty list asks for nothing.
fn within(own: &[String], theirs: &[String]) -> bool {
    theirs.is_empty() || (!own.is_empty() && own.iter().all(|one| theirs.contains(one)))
}

/// A name of an object rule and its places.
type Named<'r> = (&'r String, &'r Vec<String>);

/// Whether a rule of objects checks all that the other one checks. Variables of paths are told by where they stand: if
/// that cannot be compared, they are not the same.
fn is_as_strict(
    (at, (name, places)): (&Pattern, Named<'_>),
    (other_at, (other, wanted)): (&Pattern, Named<'_>),
) -> bool {
    let label = |name: &String| name.strip_suffix('?').unwrap_or(name).to_owned();
    let (optional, may_lack) = (name.ends_with('?'), other.ends_with('?'));
    if label(name) != label(other) || (optional && !may_lack) {
        return false;
    }
    let in_path = |place: &String| place.strip_prefix("path ").map(|variable| variable.trim().to_owned());
    let same = |own: &String, wanted: &String| match (in_path(own), in_path(wanted)) {
        (Some(own), Some(wanted)) => {
            let ((a, a_end), (b, b_end)) = (at.place_of(&own), other_at.place_of(&wanted));
            (a.is_some() && a == b) || (a_end.is_some() && a_end == b_end)
        }
        (None, None) => same_place(own, wanted),
        (Some(_), None) | (None, Some(_)) => false,
    };
    // An id elsewhere makes up for none in a place of the other's, unless that one is always there.
    let is_there =
        may_lack || places.len() == wanted.len() || wanted.iter().any(|place| in_path(place).is_some());
    is_there && wanted.iter().all(|wanted| places.iter().any(|own| same(own, wanted)))
}
