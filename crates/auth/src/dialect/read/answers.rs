//! Answers, and the families of refusals.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::HeaderName;

use super::{Context, template};
use crate::dialect::sample;
use crate::dialect::source::{At, Table, did_you_mean};
use crate::dialect::template::{Medium, Template};
use crate::dialect::variables::Scope;
use crate::dialect::{Answer, BodyKind, CookieRule, Refusals};
use crate::refusal::Reason;

/// Refusals by reason, as a file writes them: only what it names.
pub(super) type Written = BTreeMap<&'static str, Answer>;

/// `[errors.FAMILY]` tables.
pub(super) struct Families {
    families: BTreeMap<String, Family>,
}

struct Family {
    base: Answer,
    written: Written,
    merged: Arc<Refusals>,
}

impl Families {
    /// The merged answers of a family.
    pub(super) fn refusals(&self, table: &Table<'_, '_>, name: &At<String>) -> Option<Arc<Refusals>> {
        match self.families.get(&name.value) {
            Some(family) => Some(Arc::clone(&family.merged)),
            None => {
                let hint = did_you_mean(&name.value, self.families.keys().map(String::as_str));
                table.problem(name.span.clone(), format!("no [errors.{}]{hint}", name.value));
                None
            }
        }
    }

    /// The answers of a call: what it names itself, before those of its surface's family.
    pub(super) fn with(&self, merged: &Arc<Refusals>, own: &Written) -> Arc<Refusals> {
        if own.is_empty() {
            return Arc::clone(merged);
        }
        match self.families.values().find(|family| Arc::ptr_eq(&family.merged, merged)) {
            Some(family) => Arc::new(merge(&family.base, &[own, &family.written])),
            None => Arc::clone(merged),
        }
    }
}

fn merge(base: &Answer, layers: &[&Written]) -> Refusals {
    Refusals::new(|reason| {
        let written = layers.iter().find_map(|layer| {
            let own = layer.get(reason.name());
            own.or_else(|| reason.falls_back_to().and_then(|wider| layer.get(wider.name())))
        });
        written.map_or_else(|| base.clone(), |answer| answer.over(base))
    })
}

pub(super) fn families(root: &Table<'_, '_>, context: &Context) -> Families {
    let mut families = BTreeMap::new();
    for (name, table) in root.tables("errors") {
        let base = match table.table("any") {
            Some(any) => {
                let base = refusal(&any, context);
                any.finish();
                base
            }
            None => Answer::default(),
        };
        let written = written(&table, context, Whose::Family);
        base_status(&table, &base, &written);
        let merged = Arc::new(merge(&base, &[&written]));
        sample::merged_refusals(&table, &merged);
        families.insert(name, Family { base, written, merged });
    }
    Families { families }
}

/// Whether refusals may answer below 400.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// A family's may not.
    Family,
    /// An endpoint's own `on` may.
    Endpoint,
}

/// The reasons of a table with their answers.
pub(super) fn written(table: &Table<'_, '_>, context: &Context, whose: Whose) -> Written {
    let mut written = Written::new();
    for key in table.keys() {
        if key.value == "any" && whose == Whose::Family {
            continue;
        }
        let Some(reason) = Reason::named(&key.value) else {
            let hint = did_you_mean(&key.value, Reason::ALL.into_iter().map(Reason::name));
            table.problem(key.span, format!("no refusal reason is called `{}`{hint}", key.value));
            continue;
        };
        let Some(inner) = table.table(&key.value) else { continue };
        let answer = refusal(&inner, context);
        inner.finish();
        if let Some(message) = answer.status.and_then(|status| wrong_status(reason, status, whose)) {
            table.problem(key.span.clone(), message);
        }
        written.insert(reason.name(), answer);
    }
    written
}

/// What is wrong with a refusal's status, if anything is.
fn wrong_status(reason: Reason, status: u16, whose: Whose) -> Option<String> {
    if status < 400 && whose == Whose::Family {
        return Some(format!(
            "`{}` answers {status}: behind auth_request or ext_authz anything below 400 lets the request pass; \
             only an endpoint's own `on` may do that",
            reason.name()
        ));
    }
    (reason == Reason::Unavailable && status < 500)
        .then(|| format!("`unavailable` answers {status}: what could not be checked must be a 5xx"))
}

/// Checks the answers of a call laid over those of its surface.
pub(super) fn own_refusals(table: &Table<'_, '_>, merged: &Refusals) {
    if !table.is_clean() {
        return;
    }
    sample::merged_refusals(table, merged);
    let unavailable = merged.answer(Reason::Unavailable).and_then(|answer| answer.status);
    if let Some(message) =
        unavailable.and_then(|status| wrong_status(Reason::Unavailable, status, Whose::Endpoint))
    {
        table.complain(message);
    }
}

/// A base's status holds for every reason that has none of its own.
fn base_status(table: &Table<'_, '_>, base: &Answer, written: &Written) {
    let Some(status) = base.status else { return };
    let unavailable = written.get(Reason::Unavailable.name()).and_then(|answer| answer.status);
    let wrong = wrong_status(Reason::BadRequest, status, Whose::Family)
        .map(|message| message.replacen("`bad-request`", "`any`", 1))
        .or_else(|| wrong_status(Reason::Unavailable, unavailable.unwrap_or(status), Whose::Endpoint));
    if let Some(message) = wrong {
        table.complain(message);
    }
}

fn refusal(table: &Table<'_, '_>, context: &Context) -> Answer {
    answer(table, context, &Scope::refusal(), &Scope::refusal())
}

/// Reads an answer: `bodies` may print what `scope` says, headers what `headers` says.
pub(super) fn answer(table: &Table<'_, '_>, context: &Context, scope: &Scope, bodies: &Scope) -> Answer {
    table.is_of_kind("answer");
    let status = table.number("status").and_then(|number| {
        let status = u16::try_from(number.value).ok().filter(|status| (200..=599).contains(status));
        if status.is_none() {
            table.problem(number.span, "`status` is a number from 200 to 599");
        }
        status
    });
    let inner = Scope::refusal_message();
    let code = table
        .text_or_number("code")
        .and_then(|text| template(table, "`code`", &text, &Scope::refusal_code(), Medium::Text));
    let message =
        table.text("message").and_then(|text| template(table, "`message`", &text, &inner, Medium::Text));
    let phrase =
        table.text("phrase").and_then(|text| template(table, "`phrase`", &text, &inner, Medium::Header));
    let read = Answer {
        status,
        headers: headers(table, scope),
        cookies: cookies(table, "cookies", context),
        clear: cookies(table, "clear", context),
        bodies: self::bodies(table, bodies),
        code,
        message,
        challenge: table.flag("challenge"),
        phrase,
    };
    if let Some(status @ (204 | 205 | 304)) = read.status {
        if !read.bodies.is_empty() {
            table.complain(format!("{status} has no body"));
        }
    } else {
        no_media_type(table, &read.headers);
    }
    read
}

/// A body under another type than its own would be read as what it was not escaped for.
pub(super) fn no_media_type(table: &Table<'_, '_>, headers: &[(HeaderName, Template)]) {
    if headers.iter().any(|(name, _)| *name == http::header::CONTENT_TYPE) {
        table.complain(
            "`Content-Type` is the gate's to set, by the kind of the body; name the dialect's own types in `media`",
        );
    }
}

fn bodies(table: &Table<'_, '_>, scope: &Scope) -> Vec<(BodyKind, Template)> {
    let mut bodies = Vec::new();
    for kind in BodyKind::ALL {
        let Some(text) = table.text(kind.name()) else { continue };
        let medium = medium(kind);
        let key = format!("`{}`", kind.name());
        let parsed = template(table, &key, &text, scope, medium);
        let Some(template) = parsed else { continue };
        if kind == BodyKind::Js && !template.is_constant() {
            table.problem(text.span, "`js`: a script is the same for everyone: no variables");
            continue;
        }
        if let Err(message) = sample::body(kind, &template, scope) {
            table.problem(text.span, format!("{key}{message}"));
        }
        bodies.push((kind, template));
    }
    bodies
}

pub(crate) const fn medium(kind: BodyKind) -> Medium {
    match kind {
        BodyKind::Json => Medium::Json,
        BodyKind::Xml => Medium::Xml,
        BodyKind::Html => Medium::Html,
        BodyKind::Text | BodyKind::Js => Medium::Text,
    }
}

/// Reads `headers = ["Name: template"]`.
pub(super) fn headers(table: &Table<'_, '_>, scope: &Scope) -> Vec<(HeaderName, Template)> {
    let mut headers = Vec::new();
    for line in table.texts("headers").unwrap_or_default() {
        let Some((name, value)) = line.value.split_once(':') else {
            table.problem(line.span, format!("`{}` is not of the form \"Name: value\"", line.value));
            continue;
        };
        let Ok(header) = HeaderName::from_bytes(name.trim().as_bytes()) else {
            table.problem(line.span, format!("`{name}` is no header name"));
            continue;
        };
        if header == http::header::SET_COOKIE {
            table.problem(line.span, "`Set-Cookie` is the gate's to set; use `cookies`");
            continue;
        }
        if is_framing(&header) {
            table.problem(line.span, format!("`{name}` is the gate's to set"));
            continue;
        }
        let value = At { value: value.trim().to_owned(), span: line.span.clone() };
        let location = header == http::header::LOCATION;
        let scope = if location { scope.clone().without_secrets() } else { scope.clone() };
        let Some(template) = template(table, &format!("header `{name}`"), &value, &scope, Medium::Header)
        else {
            continue;
        };
        if location && !sample::leads_nowhere_else(&template, &scope) {
            table.problem(line.span, "`Location` begins with {{ prefix }}, {{ return_to }} or one /");
            continue;
        }
        if !sample::is_header_value(&template, &scope) {
            table.problem(
                line.span,
                format!("header `{name}`: only ASCII without control characters may stand there"),
            );
            continue;
        }
        headers.push((header, template));
    }
    headers
}

fn is_framing(name: &HeaderName) -> bool {
    use http::header::{CONNECTION, CONTENT_LENGTH, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
    [CONNECTION, CONTENT_LENGTH, TE, TRAILER, TRANSFER_ENCODING, UPGRADE].contains(name)
}

/// Reads a list of cookie names.
pub(super) fn cookies(table: &Table<'_, '_>, key: &str, context: &Context) -> Vec<Arc<CookieRule>> {
    let mut cookies = Vec::new();
    for name in table.texts(key).unwrap_or_default() {
        cookies.extend(context.cookie(table, &name));
    }
    cookies
}
