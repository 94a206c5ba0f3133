//! What the gate gives out: `[cookie.NAME]`, `[stamp.NAME]`, `[assertion]`.

use std::sync::Arc;

use http::HeaderName;

use super::{Context, answers, names_of_credentials, patterns, template};
use crate::cookie::SameSite;
use crate::dialect::pattern::Patterns;
use crate::dialect::place::Place;
use crate::dialect::sample;
use crate::dialect::source::{At, Table};
use crate::dialect::template::{Medium, Template};
use crate::dialect::variables::Scope;
use crate::dialect::{AssertionRule, CookieRule, CsrfRule, StampRule, check};

pub(super) fn cookies(root: &Table<'_, '_>, context: &Context) -> Vec<Arc<CookieRule>> {
    let scope = Scope::caller(&context.keys);
    let mut cookies = Vec::new();
    for (name, table) in root.tables("cookie") {
        let value = table.text("value");
        let path = table.text("path").unwrap_or(At { value: "/".to_owned(), span: table.span.clone() });
        let http_only = table.flag("http_only");
        let same_site = match table.text("same_site") {
            Some(text) => match text.value.as_str() {
                "Lax" => Some(SameSite::Lax),
                "Strict" => Some(SameSite::Strict),
                "None" => Some(SameSite::None),
                _ => {
                    table.problem(text.span, "`same_site` is Lax, Strict or None");
                    None
                }
            },
            None => {
                table.complain("`same_site` is missing: Lax, Strict or None");
                None
            }
        };
        if http_only.is_none() {
            table.complain("`http_only` is missing: true, or false where scripts must read it");
        }
        let lifetime = table.time("lifetime");
        let (Some(value), Some(http_only), Some(same_site)) = (value, http_only, same_site) else {
            table.finish();
            continue;
        };
        let checked = template(&table, "`value`", &value, &scope, Medium::Cookie);
        let path = template(&table, "`path`", &path, &scope.clone().without_secrets(), Medium::Header);
        if let (Some(template), Some(path)) = (checked, path) {
            if template.names("session.id") && !http_only {
                table.complain("holds a session id and must be `http_only = true`");
            }
            if let Err(message) = sample::cookie(&name, &template, &path, &scope) {
                table.complain(message);
            }
            cookies.push(Arc::new(CookieRule {
                name,
                value: template,
                path,
                http_only,
                same_site,
                lifetime,
            }));
        }
        table.finish();
    }
    cookies
}

pub(super) fn stamps(root: &Table<'_, '_>, context: &Context) -> Patterns<Arc<StampRule>> {
    let scope = Scope::caller(&context.keys);
    let mut entries = Vec::new();
    for (name, table) in root.tables("stamp") {
        let patterns = patterns(&table);
        let credentials = names_of_credentials(&table, "for", context);
        let headers = answers::headers(&table, &scope);
        answers::no_media_type(&table, &headers);
        let cookies = answers::cookies(&table, "cookies", context);
        let names = |beginning: &str| {
            headers.iter().any(|(_, template)| template.names(beginning))
                || cookies.iter().any(|cookie| cookie.value.names(beginning))
        };
        let opens_session = names("csrf.token");
        check::stamp(&table, context, credentials.as_deref(), &headers);
        table.finish();
        let stamp = Arc::new(StampRule { name, credentials, headers, cookies, opens_session });
        entries.extend(patterns.into_iter().map(|pattern| (pattern.value, false, Arc::clone(&stamp))));
    }
    Patterns::new(context.path_case, entries)
}

pub(super) fn assertion(root: &Table<'_, '_>, context: &Context) -> AssertionRule {
    let Some(table) = root.table("assertion") else { return AssertionRule::default() };
    let scope = Scope::assertion(&context.keys);
    let headers = answers::headers(&table, &scope);
    let mut claims = Vec::new();
    if let Some(inner) = table.table("claims") {
        for key in inner.keys() {
            if RESERVED_CLAIMS.contains(&key.value.as_str()) {
                inner.problem(key.span.clone(), format!("claim `{}` is the gate's to set", key.value));
            } else if let Some(text) = inner.text(&key.value)
                && let Some(template) = template(
                    &inner,
                    &format!("claim `{}`", key.value),
                    &text,
                    &Scope::claims(&context.keys),
                    Medium::Text,
                )
            {
                claims.push((key.value, template));
            }
        }
        inner.finish();
    }
    table.finish();
    AssertionRule { headers, claims }
}

/// What an upstream may not say to a client: session and CSRF headers, and whatever a stamp says.
pub(super) fn answer_headers(
    csrf: Option<&CsrfRule>,
    stamps: &Patterns<Arc<StampRule>>,
    context: &Context,
) -> Vec<HeaderName> {
    let carriers = context.credentials.iter().flat_map(|rule| &rule.parts).flat_map(|part| &part.places);
    let places = carriers.chain(csrf.iter().flat_map(|csrf| &csrf.places));
    let mut names: Vec<HeaderName> = places.filter_map(Place::header).map(|(name, _)| name.clone()).collect();
    let secret = |template: &Template| template.names("csrf.") || template.names("session.");
    for stamp in stamps.items() {
        names.extend(
            stamp.headers.iter().filter(|(_, template)| secret(template)).map(|(name, _)| name.clone()),
        );
    }
    names.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    names.dedup();
    names
}

/// Claims that no dialect may set (T-C14).
const RESERVED_CLAIMS: [&str; 17] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "iat",
    "nbf",
    "jti",
    "scheme",
    "credential",
    "tenant",
    "roles",
    "keys",
    "anonymous",
    "auth_time",
    "idp",
    "kind",
    "objects",
];
