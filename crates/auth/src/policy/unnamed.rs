//! Methods that a route does not name, where another route decides about them at the same paths and asks for less.
//!
//! Whoever writes `GET|POST /admin/**` beside `/**` may mean that nobody deletes there; but then `/**` decides about DELETE.

use http::Method;

use super::RouteOptions;
use super::crossing::less_at_path;
use crate::dialect::Dialect;
use crate::dialect::pattern::Patterns;

/// The standard methods that change something. Who may read less than others is no worse off for a laxer GET.
const CHANGING: [Method; 4] = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

/// What is worth knowing of the routes of a table, for people.
pub(super) fn notes<T>(
    dialect: &Dialect,
    routes: &Patterns<(T, &RouteOptions)>,
) -> impl Iterator<Item = String> {
    routes.iter().filter(|(at, _)| !at.methods().is_empty()).flat_map(|(at, (_, route))| {
        let mut told: Vec<(String, &str, Vec<Method>)> = Vec::new();
        for method in CHANGING.into_iter().filter(|method| !at.admits(method)) {
            let Some((other, (_, laxer))) = routes.elsewhere(at, &method) else { continue };
            let Some(why) = less_at_path(dialect, (other, laxer), (at, route)) else { continue };
            let other = other.to_string();
            match told.iter_mut().find(|(known, ..)| *known == other) {
                Some((_, _, methods)) => methods.push(method),
                None => told.push((other, why, vec![method])),
            }
        }
        let at = at.to_string();
        told.into_iter().map(move |(other, why, methods)| {
            let path = at.rsplit(' ').next().unwrap_or_default();
            let names: Vec<&str> = methods.iter().map(Method::as_str).collect();
            let (names, is) = (names.join(", "), if methods.len() == 1 { "is" } else { "are" });
            format!("{names} of `{path}` {is} decided by `{other}`, which asks for less than `{at}` ({why})")
        })
    })
}
