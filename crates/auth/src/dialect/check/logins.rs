//! What must hold of the calls that lead to an issuer and back.

use std::ops::Range;

use http::Method;

use crate::dialect::operation::Operation;
use crate::dialect::pattern::Pattern;
use crate::dialect::place::Place;
use crate::dialect::source::Table;
use crate::dialect::{Endpoint, Scheme, Site, pattern_text};

/// It answers by itself, and is told the issuer by the path: the way there has to be known beforehand.
pub(super) fn endpoint(table: &Table<'_, '_>, endpoint: &Endpoint) {
    if endpoint.operation != Operation::IssuerLogin {
        return;
    }
    if table.raw("answer").is_some() {
        table.complain("`issuer-login` answers by itself: leave `answer` out");
    }
    let issuer = endpoint.inputs.iter().find(|(name, _)| name == "issuer");
    if issuer.is_some_and(|(_, places)| !matches!(places.as_slice(), [Place::Path(_)])) {
        table.complain("`issuer` is \"path NAME\"");
    }
}

/// A browser comes back by GET, and nothing else may decide who comes.
pub(super) fn site(table: &Table<'_, '_>, span: &Range<usize>, pattern: &Pattern, site: &Site) {
    let Some(endpoint) = &site.endpoint else { return };
    if endpoint.operation == Operation::IssuerLogin && !site.anonymous {
        table.complain(
            "`issuer-login` is for callers who have proven nothing yet: `accepts = [\"anonymous\"]`",
        );
    }
    let Some(rule) = site.accepts.iter().find(|rule| rule.scheme == Scheme::Code) else { return };
    if endpoint.operation != Operation::Issue || site.accepts.len() > 1 || site.anonymous {
        table.complain(format!("`{}` is taken by an `issue` that accepts nothing else", rule.name));
    }
    if !pattern.admits(&Method::GET) {
        table.problem(
            span.clone(),
            format!("browsers come back by GET, which `{}` does not take", pattern_text(pattern)),
        );
    }
}
