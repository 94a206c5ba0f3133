//! What must hold of the places of credentials where they are accepted: what rides in the path needs a variable there, and
//! what rides in the body a call that reads it.

use std::ops::Range;
use std::sync::Arc;

use super::complain_at;
use crate::dialect::part::Part;
use crate::dialect::pattern::Pattern;
use crate::dialect::place::Place;
use crate::dialect::source::Table;
use crate::dialect::{CredentialRule, Dialect, Scheme, Site, pattern_text};

/// The path has whatever is read from it there: inputs, and what a credential that is accepted cannot lack.
pub(super) fn site(table: &Table<'_, '_>, span: &Range<usize>, pattern: &Pattern, site: &Site) {
    let inputs = site.endpoint.iter().flat_map(|endpoint| &endpoint.inputs).flat_map(|(_, places)| places);
    for place in inputs {
        if let Some(name) = missing(pattern, place) {
            table.problem(span.clone(), has_no(pattern, name));
        }
    }
    // That the first part of anything else rides in the path was told already.
    let codes = site.accepts.iter().filter(|rule| rule.scheme == Scheme::Code);
    for name in codes.filter_map(|rule| rule.primary()).filter_map(|part| nowhere(pattern, part)) {
        table.problem(span.clone(), has_no(pattern, name));
    }
    companions(table, span, pattern, &site.accepts);
}

/// The path has whatever belongs to a credential that is accepted there.
pub(in crate::dialect) fn companions(
    table: &Table<'_, '_>,
    span: &Range<usize>,
    pattern: &Pattern,
    accepts: &[Arc<CredentialRule>],
) {
    let parts = accepts.iter().flat_map(|rule| rule.parts.iter().skip(1)).filter(|part| part.required);
    for name in parts.filter_map(|part| nowhere(pattern, part)) {
        table.problem(span.clone(), has_no(pattern, name));
    }
}

/// What a credential may lack is somewhere at least.
pub(super) fn optional(root: &Table<'_, '_>, dialect: &Dialect) {
    let places = || dialect.sites.iter().chain(dialect.surface_sites.iter());
    for rule in &dialect.credentials {
        let accepted =
            || places().filter(|(_, site)| site.accepts.iter().any(|other| other.index == rule.index));
        for part in rule.parts.iter().filter(|part| !part.required) {
            let found = accepted().find_map(|(pattern, _)| nowhere(pattern, part));
            if let Some(name) = found
                && accepted().all(|(pattern, _)| nowhere(pattern, part).is_some())
            {
                let message = format!(
                    "`{}` rides in {{{name}}} of the path, which no path has where this is accepted",
                    part.name.name()
                );
                complain_at(root, "credential", &rule.name, message);
            }
        }
    }
}

/// The variable in which a part would ride, where it can ride nowhere there.
fn nowhere<'p>(pattern: &Pattern, part: &'p Part) -> Option<&'p str> {
    let missing: Vec<_> = part.places.iter().filter_map(|place| missing(pattern, place)).collect();
    missing.first().copied().filter(|_| missing.len() == part.places.len())
}

/// The variable that a place needs and a path does not have.
fn missing<'p>(pattern: &Pattern, place: &'p Place) -> Option<&'p str> {
    match place {
        Place::Path(name) if !pattern.has_variable(name) => Some(name),
        Place::Path(_)
        | Place::Header(..)
        | Place::Cookie(_)
        | Place::Query(_)
        | Place::Body(_)
        | Place::Authorization(_)
        | Place::AuthorizationAssigned(_)
        | Place::AuthorizationBare => None,
    }
}

fn has_no(pattern: &Pattern, name: &str) -> String {
    format!("`{}` has no {{{name}}}", pattern_text(pattern))
}
