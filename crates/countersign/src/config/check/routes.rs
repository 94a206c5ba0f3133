//! Checks what the routes of an API are about, as far as no dialect has to be asked.

use crate::config::report::Report;
use crate::config::tree::{Allow, Api};
use crate::config::value::Place;

/// Reports routes that ask for nothing, or are about nothing.
pub(super) fn check(api: &Api, path: &str, report: &mut Report) {
    for (at, route) in api.route.iter().enumerate() {
        if let Allow::Rule(rule) = &route.allow
            && rule.roles.is_empty()
            && rule.tenants.is_empty()
            && rule.schemes.is_empty()
            && rule.max_age.is_none()
        {
            let hint = "write \"authenticated\", or name roles, tenants, schemes or max_age";
            report.add(&format!("{path}.route[{at}].allow"), "asks for nothing", Some(hint.to_owned()));
        }
        if let Some((place, meant)) = doubled(api, &route.at.0) {
            let (key, prefix) = (format!("{path}.route[{at}].at"), &place.prefix);
            let message =
                format!("begins with the prefix of `{place}`: it would be about `{prefix}{prefix}`");
            let hint = format!("routes are below the prefix already: write `{meant}`");
            // Below another prefix it may be meant.
            if api.at.iter().any(|other| other.prefix != *prefix) {
                report.remark(&key, message, Some(hint));
            } else {
                let hint =
                    format!("{hint}; or with a variable in place of a word, if the service has such a path");
                report.add(&key, message, Some(hint));
            }
        }
    }
}

/// The place whose prefix a route begins with, and the route without it: whoever writes the prefix means the path that his
/// service sees, and another route would decide about that.
fn doubled<'a>(api: &'a Api, at: &str) -> Option<(&'a Place, String)> {
    let (methods, route) = at.rsplit_once(' ').map_or(("", at), |(methods, route)| (methods, route));
    let below = |place: &'a Place| {
        let prefix = Some(place.prefix.as_str()).filter(|prefix| !prefix.is_empty())?;
        let (head, rest) = route.split_at_checked(prefix.len())?;
        let is_it = head.eq_ignore_ascii_case(prefix) && (rest.is_empty() || rest.starts_with('/'));
        // Where another host's place has every path, the route is about that path there.
        let is_meant = api.at.iter().any(|other| other.prefix.is_empty() && other.host != place.host);
        (is_it && !is_meant).then_some((place, rest))
    };
    // The longest, as of places.
    let (place, rest) = api.at.iter().filter_map(below).max_by_key(|(place, _)| place.prefix.len())?;
    let rest = if rest.is_empty() { "/" } else { rest };
    Some((place, format!("{methods}{}{rest}", if methods.is_empty() { "" } else { " " })))
}
