//! What is wrong with a file although every key of it can be read.
//!
//! The checks that depend on which credentials are on run twice: for each deployment when the file is loaded, and
//! again for an API after its own `enable` and `disable`.

mod cookies;
mod dead;
mod enabled;
mod keys;
mod logins;
mod places;
mod signed;

use std::ops::Range;
use std::sync::Arc;

use http::{HeaderName, Method};

use super::read::Context;
use crate::canonical::header_name::{folded, folds_to, is_decisive};
pub(crate) use crate::dialect::check::enabled::enabled;
pub(super) use crate::dialect::check::places::companions;
pub(super) use crate::dialect::check::signed::tokens as jwt_tokens;
use crate::dialect::operation::Operation;
use crate::dialect::pattern::{Pattern, Segments};
use crate::dialect::place::Place;
use crate::dialect::source::Table;
use crate::dialect::template::Template;
use crate::dialect::{CredentialRule, Dialect, Endpoint, Scheme, Site, Surface};
use crate::intake;
use crate::token::TokenKind;

/// A stamp must not hand a script what the browser keeps from it.
pub(super) fn stamp(
    table: &Table<'_, '_>,
    context: &Context,
    credentials: Option<&[String]>,
    headers: &[(HeaderName, Template)],
) {
    let stamped = |rule: &&Arc<CredentialRule>| {
        credentials.is_none_or(|names| names.iter().any(|name| **name == *rule.name))
    };
    let rules = context.credentials.iter().filter(stamped);
    if let Some(message) = shows_cookie(headers, rules) {
        table.complain(format!("{message}; list other credentials in `for`"));
    }
}

/// What is wrong with headers that print the session of a caller whose cookie scripts may not read.
fn shows_cookie<'r>(
    headers: &[(HeaderName, Template)],
    mut rules: impl Iterator<Item = &'r Arc<CredentialRule>>,
) -> Option<String> {
    if !headers.iter().any(|(_, template)| template.names("session.id")) {
        return None;
    }
    let rule = rules.find(|rule| rule.in_cookie())?;
    Some(format!(
        "prints the id of sessions that came in the HttpOnly cookie of `{}`: scripts could read it",
        rule.name
    ))
}

/// What must hold of a call by itself.
pub(super) fn endpoint(table: &Table<'_, '_>, endpoint: &Endpoint) {
    let operation = endpoint.operation;
    let given = |name: &&&str| !endpoint.inputs.iter().any(|(given, _)| given == **name);
    let missing: Vec<_> = operation.inputs().required.iter().filter(given).collect();
    if !missing.is_empty() {
        table.complain(format!("`{}` needs inputs {missing:?}", operation.name()));
    }
    if endpoint.forward && operation != Operation::End {
        table.complain("`forward` goes with operation \"end\"");
    }
    match (operation, table.raw("reason")) {
        (Operation::Refuse, None) => table.complain("`refuse` needs `reason`"),
        (Operation::Refuse, Some(_)) | (_, None) => {}
        (_, Some(_)) => table.complain("`reason` goes with operation \"refuse\""),
    }
    if operation == Operation::Refuse && table.raw("answer").is_some() {
        table.complain(
            "`refuse` answers as its reason does: leave `answer` out, and say in `on` what is otherwise here",
        );
    }
    issues(table, endpoint);
    logins::endpoint(table, endpoint);
    if endpoint.reads.is_empty() && looks_into_body(endpoint) {
        table.complain(READS);
    }
}

fn issues(table: &Table<'_, '_>, endpoint: &Endpoint) {
    let operation = endpoint.operation;
    if operation == Operation::Issue && table.raw("issues").is_none() {
        table.complain("`issue` needs `issues`: which tokens");
    }
    for rule in &endpoint.issues {
        let is_key = rule.kind == TokenKind::Key;
        if rule.kind == TokenKind::Shared {
            table.complain(format!("`{}` is set by an operator; no call issues it", rule.word));
        } else if operation == Operation::Issue && is_key {
            table.complain("`issue` makes no keys; use operation \"key-create\"");
        } else if operation.is_about_keys() && !is_key {
            table.complain(format!("`{}` issues one token of kind \"key\"", operation.name()));
        } else if operation != Operation::Issue && !operation.is_about_keys() {
            table.complain(format!("`{}` issues nothing: leave `issues` out", operation.name()));
        }
    }
    if operation == Operation::KeyCreate && (table.raw("issues").is_none() || endpoint.issues.len() > 1) {
        table.complain("`key-create` issues one token of kind \"key\"");
    }
}

const READS: &str = "looks into the body; say which encodings: `reads = [\"json\"]`";

fn looks_into_body(endpoint: &Endpoint) -> bool {
    let body = |place: &Place| matches!(place, Place::Body(_));
    endpoint.inputs.iter().any(|(_, places)| places.iter().any(body))
        || endpoint.when.iter().any(|(place, _)| body(place))
}

/// What must hold of a call at one of its paths.
pub(super) fn site(
    table: &Table<'_, '_>,
    span: &Range<usize>,
    pattern: &Pattern,
    site: &Site,
    accepts_given: bool,
) {
    let Some(endpoint) = &site.endpoint else { return };
    let operation = endpoint.operation;
    if operation == Operation::Issue {
        if !accepts_given {
            table.complain(
                "`accepts` must name credentials; where nobody has to prove anything write [\"anonymous\"]",
            );
        } else if site.anonymous {
            let others = endpoint.issues.iter().find(|rule| rule.kind != TokenKind::Session);
            match (others, site.accepts.is_empty()) {
                (None, true) => {}
                (Some(rule), _) => table.complain(gives_away(&rule.word)),
                (None, false) => {
                    let word = endpoint.issues.first().map_or("a session", |rule| &rule.word);
                    table.complain(gives_away(word));
                }
            }
        }
    } else if let Some(rule) = site.accepts.iter().find(|rule| accepts_given && is_refresh(rule)) {
        table.complain(format!("`{}` is a refresh token; only operation \"issue\" takes it", rule.name));
    }
    // The surface's own complaint is enough where the list is the surface's.
    if accepts_given && endpoint.reads.is_empty() && site.accepts.iter().any(|rule| rule.needs_body()) {
        table.complain(READS);
    }
    if let Some(message) = shows_cookie(&endpoint.answer.headers, site.accepts.iter()) {
        table.complain(message);
    }
    logins::site(table, span, pattern, site);
    places::site(table, span, pattern, site);
    let safe = [Method::GET, Method::HEAD];
    if operation.changes() && !endpoint.forward && safe.iter().any(|method| pattern.admits(method)) {
        table.problem(
            span.clone(),
            format!("`{}` changes something and may not answer GET and HEAD", operation.name()),
        );
    }
}

fn gives_away(word: &str) -> String {
    format!(
        "gives `{word}` to callers who proved nothing; only a session may be issued to [\"anonymous\"] alone"
    )
}

fn is_refresh(rule: &CredentialRule) -> bool {
    rule.token.as_ref().is_some_and(|token| token.kind == TokenKind::Refresh)
}

/// What must hold of the file as a whole.
pub(super) fn dialect(root: &Table<'_, '_>, dialect: &Dialect) {
    cookies::need_csrf(root, dialect);
    cookies::hold_what_is_issued(root, dialect);
    surfaces(root, dialect);
    ties(root, dialect);
    passes(root, dialect);
    assertion(root, dialect);
    keys::dialect(root, dialect);
    signed::holders(root, dialect);
    places::optional(root, dialect);
    dead::dialect(root, dialect);
    for (name, table) in root.tables("credential") {
        let rule = dialect.credentials.iter().find(|rule| *rule.name == *name);
        let default = dialect.deployments.first();
        if let Some(rule) = rule
            && rule.scheme == Scheme::Unproven
            && is_on(rule, default.map(String::as_str))
        {
            table.complain(match default {
                Some(default) => format!(
                    "believes what the caller says; it may not be on in the default deployment `{default}`"
                ),
                None => "believes what the caller says; it may be on only where an API enables it by name: \
                         `deployments = []`"
                    .to_owned(),
            });
        }
    }
    let unnamed = [None];
    let named: Vec<_> = dialect.deployments.iter().map(|name| Some(name.as_str())).collect();
    let deployments = if named.is_empty() { &unnamed[..] } else { &named };
    for deployment in deployments {
        for (table, message) in enabled(dialect, &|rule| is_on(rule, *deployment)) {
            match root
                .tables("surface")
                .into_iter()
                .chain(root.tables("endpoint"))
                .find(|(_, t)| t.name == table)
            {
                Some((_, table)) => table.complain(message),
                None => root.complain(format!("{table}: {message}")),
            }
        }
    }
}

/// Whether a credential is on in a deployment before an API's own settings.
pub(crate) fn is_on(rule: &CredentialRule, deployment: Option<&str>) -> bool {
    match (&rule.deployments, deployment) {
        (None, _) => true,
        (Some(names), Some(deployment)) => names.iter().any(|name| name == deployment),
        (Some(_), None) => false,
    }
}

fn surfaces(root: &Table<'_, '_>, dialect: &Dialect) {
    for (name, table) in root.tables("surface") {
        let Some(surface) = surface_named(dialect, &name) else { continue };
        for rule in &surface.accepts {
            let why = match (rule.is_of_a_call(), rule.in_body(), rule.needs_body()) {
                (_, true, _) => Some("rides in the body"),
                (true, false, _) => Some("is what an issuer sends back"),
                (false, false, true) => Some("has a part in the body"),
                (false, false, false) => None,
            };
            if let Some(where_it_is) = why {
                table.complain(format!("`{}` {where_it_is}; only an endpoint can accept it", rule.name));
            }
            if is_refresh(rule) {
                table.complain(format!(
                    "`{}` is a refresh token; only an endpoint with operation \"issue\" takes it",
                    rule.name
                ));
            }
        }
        if let Some(csrf) = &dialect.csrf
            && csrf.before_authentication
        {
            let mut missing: Vec<&str> = surface.accepts.iter().map(|rule| &*rule.name).collect();
            if surface.anonymous && !missing.is_empty() {
                missing.push("anonymous");
            }
            missing.retain(|name| !csrf.credentials.iter().any(|listed| listed == name));
            if !missing.is_empty()
                && let Some(csrf) = root.table("csrf")
            {
                csrf.complain(format!(
                    "is checked before authentication, so `for` must list everything that [{}] accepts; \
                     missing {missing:?}",
                    table.name
                ));
            }
        }
        sign_in(&table, dialect, surface);
    }
}

/// A page that asks for a session would send browsers round in circles.
fn sign_in(table: &Table<'_, '_>, dialect: &Dialect, surface: &Surface) {
    let Some(path) = &surface.sign_in else { return };
    let at = Segments::of(path);
    let here =
        dialect.sites.matching(&Method::GET, &at).chain(dialect.surface_sites.matching(&Method::GET, &at));
    let admits_all = here.map(|(site, _)| site.anonymous).next();
    if admits_all != Some(true) {
        table.complain(format!(
            "`sign_in`: `GET {path}` must accept \"anonymous\": whoever is sent there has no session"
        ));
    }
}

fn surface_named<'d>(dialect: &'d Dialect, name: &str) -> Option<&'d Arc<Surface>> {
    dialect.surfaces.items().find(|surface| surface.name == name)
}

fn ties(root: &Table<'_, '_>, dialect: &Dialect) {
    for ((a, surface), (b, other)) in dialect.surfaces.ties() {
        complain_at(
            root,
            "surface",
            &surface.name,
            format!(
                "`{a}` and `{b}` of [surface.{}] match the same request and neither is more exact",
                other.name
            ),
        );
    }
    for ((a, site), (b, other)) in dialect.sites.ties() {
        if never_both(site, other) {
            continue;
        }
        let name = |site: &Arc<Site>| {
            site.endpoint.as_ref().map_or_else(String::new, |endpoint| endpoint.name.to_string())
        };
        complain_at(
            root,
            "endpoint",
            &name(site),
            format!(
                "`{a}` and `{b}` of [endpoint.{}] match the same request and neither is more exact",
                name(other)
            ),
        );
    }
    for ((a, stamp), (b, other)) in dialect.stamps.ties() {
        let (for_a, for_b) = (&stamp.credentials, &other.credentials);
        let disjoint = matches!((for_a, for_b), (Some(x), Some(y)) if !x.iter().any(|name| y.contains(name)));
        if !disjoint {
            complain_at(
                root,
                "stamp",
                &stamp.name,
                format!(
                    "`{a}` and `{b}` of [stamp.{}] match the same request and neither is more exact",
                    other.name
                ),
            );
        }
    }
}

/// Whether two conditions exclude each other: they ask the same place for different words.
fn never_both(site: &Site, other: &Site) -> bool {
    let (Some(a), Some(b)) = (&site.endpoint, &other.endpoint) else { return false };
    a.when.iter().any(|(place, word)| {
        b.when.iter().any(|(own, other)| own == place && !word.eq_ignore_ascii_case(other))
    })
}

fn complain_at(root: &Table<'_, '_>, kind: &str, name: &str, message: String) {
    match root.tables(kind).into_iter().find(|(table, _)| table == name) {
        Some((_, table)) => table.complain(message),
        None => root.complain(message),
    }
}

fn passes(root: &Table<'_, '_>, dialect: &Dialect) {
    let mut carriers: Vec<&HeaderName> = Vec::new();
    let parts = dialect.credentials.iter().flat_map(|rule| &rule.parts).flat_map(|part| &part.places);
    let csrf = dialect.csrf.iter().flat_map(|csrf| &csrf.places);
    for place in parts.chain(csrf) {
        if let Place::Header(name, _) = place {
            carriers.push(name);
        }
    }
    for text in root.texts("passes").unwrap_or_default() {
        let folded = folded(&text.value);
        if ["authorization", "cookie"].contains(&folded.as_str()) || intake::is_well_known(&folded) {
            root.problem(
                text.span.clone(),
                format!("passes: `{}` says who is calling; upstreams believe it", text.value),
            );
        }
        if carriers.iter().any(|carrier| folds_to(carrier.as_str(), &folded)) {
            root.problem(
                text.span.clone(),
                format!("passes: `{}` carries a credential; it never reaches the upstream", text.value),
            );
        }
        if dialect.assertion.headers.iter().any(|(set, _)| folds_to(set.as_str(), &folded)) {
            root.problem(
                text.span.clone(),
                format!("passes: `{}` is also set by [assertion]; a client could forge it", text.value),
            );
        }
        if folded.starts_with("countersign-") {
            root.problem(text.span, format!("passes: `{}` is the gate's own", text.value));
        }
    }
}

/// What a service is told, by a name that no client may use: it is taken out of every request before anything is decided.
fn assertion(root: &Table<'_, '_>, dialect: &Dialect) {
    let Some(table) = root.table("assertion") else { return };
    for line in table.texts("headers").unwrap_or_default() {
        let name = line.value.split(':').next().unwrap_or_default().trim();
        let folded = folded(name);
        if folded.starts_with("countersign-") {
            table.problem(line.span, format!("headers: `{name}` is the gate's own"));
        } else if is_decisive(&folded) {
            table.problem(
                line.span,
                format!(
                    "headers: the gate or HTTP itself decides by `{name}`, and what is told to services is taken out \
                     of requests; name it otherwise, like `X-Auth-{name}`"
                ),
            );
        } else if let Some(reader) = reader(dialect, &folded) {
            table.problem(
                line.span,
                format!("headers: {reader} looks at `{name}`, and what is told to services is taken out of requests"),
            );
        }
    }
}

/// Whatever of a dialect looks at a header of this folded name that is no credential's.
fn reader(dialect: &Dialect, folded: &str) -> Option<String> {
    let is_it = |place: &Place| matches!(place, Place::Header(name, _) if folds_to(name.as_str(), folded));
    if dialect.media_from.as_ref().is_some_and(is_it) {
        return Some("media_from".to_owned());
    }
    let mut endpoints = dialect.sites.items().filter_map(|site| site.endpoint.as_ref());
    let found = endpoints.find(|endpoint| {
        endpoint.when.iter().any(|(place, _)| is_it(place))
            || endpoint.inputs.iter().flat_map(|(_, places)| places).any(is_it)
    });
    found.map(|endpoint| format!("endpoint.{}", endpoint.name))
}
