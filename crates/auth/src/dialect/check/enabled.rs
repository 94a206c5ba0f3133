//! The checks that depend on which credentials are on: for each deployment when a file is loaded, and again for an
//! API after its own settings.

use std::sync::Arc;

use crate::dialect::{CredentialRule, Dialect, Scheme};

/// The checks that depend on which credentials are on: table and message of each mistake.
pub(crate) fn enabled(dialect: &Dialect, is_on: &dyn Fn(&CredentialRule) -> bool) -> Vec<(String, String)> {
    let mut mistakes = Vec::new();
    for surface in dialect.surfaces.items() {
        let table = format!("surface.{}", surface.name);
        told_apart(&table, &surface.accepts, is_on, &mut mistakes);
    }
    for site in dialect.sites.items() {
        let names = |rules: &[Arc<CredentialRule>]| rules.iter().map(|rule| rule.index).collect::<Vec<_>>();
        // What a call takes over from its surface was complained of there.
        if let Some(endpoint) = &site.endpoint
            && names(&site.accepts) != names(&site.surface.accepts)
        {
            let table = format!("endpoint.{}", endpoint.name);
            told_apart(&table, &site.accepts, is_on, &mut mistakes);
            one_body(&table, &site.accepts, is_on, &mut mistakes);
        }
    }
    mistakes.sort();
    mistakes.dedup();
    mistakes
}

fn told_apart(
    table: &str,
    accepts: &[Arc<CredentialRule>],
    is_on: &dyn Fn(&CredentialRule) -> bool,
    mistakes: &mut Vec<(String, String)>,
) {
    let on: Vec<_> = accepts.iter().filter(|rule| is_on(rule)).collect();
    for (at, a) in on.iter().enumerate() {
        for b in on.iter().skip(at + 1) {
            if !share_a_place(a, b) {
                continue;
            }
            let same_token = match (&a.token, &b.token) {
                (Some(x), Some(y)) => x.word == y.word,
                _ => false,
            };
            if same_token {
                mistakes.push((table.to_owned(), format!(
                    "`{}` and `{}` take the same token from the same place but ask for different parts; enable one",
                    a.name, b.name
                )));
            } else if !forms_differ(a, b) {
                let formed = |rule: &CredentialRule| rule.token.is_some() || rule.scheme == Scheme::Jwt;
                let way_out = if formed(a) && formed(b) {
                    "give the token a `form` with a fixed beginning"
                } else {
                    "accept one of them"
                };
                mistakes.push((
                    table.to_owned(),
                    format!(
                        "`{}` and `{}` use the same place and nothing tells them apart; {way_out}",
                        a.name, b.name
                    ),
                ));
            }
        }
    }
}

/// A body has one credential, so that nobody has to guess which one is meant.
fn one_body(
    table: &str,
    accepts: &[Arc<CredentialRule>],
    is_on: &dyn Fn(&CredentialRule) -> bool,
    mistakes: &mut Vec<(String, String)>,
) {
    let mut bodies = accepts.iter().filter(|rule| is_on(rule) && rule.needs_body());
    if let (Some(a), Some(b)) = (bodies.next(), bodies.next())
        && !share_a_place(a, b)
    {
        mistakes.push((
            table.to_owned(),
            format!(
                "`{}` and `{}` both ride in the body; give each an endpoint of its own, told apart by `when`",
                a.name, b.name
            ),
        ));
    }
}

fn share_a_place(a: &CredentialRule, b: &CredentialRule) -> bool {
    let places = |rule: &CredentialRule| -> Vec<String> {
        let places = rule.primary().map(|part| part.places.as_slice()).unwrap_or_default();
        places.iter().map(|place| place.to_string().to_ascii_lowercase()).collect()
    };
    let others = places(b);
    places(a).iter().any(|place| others.contains(place))
}

fn forms_differ(a: &CredentialRule, b: &CredentialRule) -> bool {
    let form = |rule: &CredentialRule| rule.token.as_ref().and_then(|token| token.form.clone());
    match (form(a), form(b)) {
        (Some(x), Some(y)) => !x.overlaps(&y),
        // A JWT has two dots; a form without any cannot be one.
        (Some(form), None) if b.scheme == Scheme::Jwt => !form.could_have_dots(),
        (None, Some(form)) if a.scheme == Scheme::Jwt => !form.could_have_dots(),
        (Some(_) | None, _) => false,
    }
}
