//! From the tables of a file to the structures of a dialect.

mod answers;
mod arriving;
mod carriers;
mod credentials;
mod endpoints;
mod given;
mod on_surface;
mod services;

use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use crate::date::DateFormat;
use crate::dialect::pattern::{PathCase, Pattern, Patterns};
use crate::dialect::place::Place;
use crate::dialect::read::given::{answer_headers, assertion, cookies, stamps};
use crate::dialect::source::{At, Source, Table, did_you_mean};
use crate::dialect::template::{Medium, Template};
use crate::dialect::variables::Scope;
use crate::dialect::{CookieRule, CredentialRule, CsrfRule, Dialect, Site, Surface, TokenRule, check};
use crate::fields::Case;
use crate::loggable::{secret_paths, tokens_in_paths};
use crate::token::TokenKind;

/// The version of the file format.
const SCHEMA: u32 = 1;

/// Names that are needed while the rest is read.
pub(crate) use answers::medium as read_medium;

/// Names that are needed while the rest is read.
pub(super) struct Context {
    pub(super) keys: Vec<String>,
    pub(super) media: Vec<String>,
    pub(super) deployments: Vec<String>,
    pub(super) tokens: Vec<Arc<TokenRule>>,
    pub(super) credentials: Vec<Arc<CredentialRule>>,
    pub(super) cookies: Vec<Arc<CookieRule>>,
    pub(super) csrf_places: Vec<Place>,
    pub(super) passes: Vec<HeaderName>,
    pub(super) path_case: PathCase,
    /// Tables of the file, so that one with a mistake in it is not also called unknown.
    pub(super) declared: Vec<String>,
    /// Names of the endpoints that mount a named service.
    pub(super) mounted: Vec<String>,
}

impl Context {
    fn declares(&self, kind: &str, name: &str) -> bool {
        self.declared.iter().any(|table| table.split_once('.') == Some((kind, name)))
    }

    /// The token of a word; what is wrong with the word goes to the table.
    pub(super) fn token(&self, table: &Table<'_, '_>, word: &At<String>) -> Option<Arc<TokenRule>> {
        let rule = self.tokens.iter().find(|rule| *rule.word == *word.value);
        if rule.is_none() && !self.declares("token", &word.value) {
            let hint = did_you_mean(&word.value, self.tokens.iter().map(|rule| &*rule.word));
            table.problem(word.span.clone(), format!("no token is called `{}`{hint}", word.value));
        }
        rule.cloned()
    }

    /// The cookie of a name; what is wrong with the name goes to the table.
    pub(super) fn cookie(&self, table: &Table<'_, '_>, name: &At<String>) -> Option<Arc<CookieRule>> {
        let rule = self.cookies.iter().find(|rule| rule.name == name.value);
        if rule.is_none() && !self.declares("cookie", &name.value) {
            let hint = did_you_mean(&name.value, self.cookies.iter().map(|rule| rule.name.as_str()));
            table.problem(name.span.clone(), format!("no cookie is called `{}`{hint}", name.value));
        }
        rule.cloned()
    }
}

/// `[token.WORD]`, `[credential.NAME]` and `[cookie.NAME]` that a file has.
fn declared(root: &Table<'_, '_>) -> Vec<String> {
    ["token", "credential", "cookie"]
        .into_iter()
        .flat_map(|kind| root.tables(kind).into_iter().map(|(_, table)| table.name))
        .collect()
}

/// Reads everything; mistakes go to the source. `None` if the file is no TOML or is of another schema.
pub(super) fn dialect(source: &Source<'_>) -> Option<Dialect> {
    let toml = source.parse()?;
    let root = Table::root(source, &toml);
    match root.number("schema") {
        Some(At { value: SCHEMA, .. }) => {}
        Some(other) => {
            root.problem(
                other.span,
                format!("schema {} is unknown; this gate reads schema {SCHEMA}", other.value),
            );
            return None;
        }
        None => {
            if source.is_clean() {
                root.complain(format!("`schema = {SCHEMA}` is missing"));
            }
            return None;
        }
    }
    let name = root.text("name").map(|name| name.value).unwrap_or_else(|| {
        root.complain("`name` is missing: the name of the dialect");
        String::new()
    });
    let title = root.text("title").map_or_else(|| name.clone(), |title| title.value);
    let media = media(&root);
    let ignore_case = ignored(&root);
    let (path_case, field_case) = ignore_case;
    let mut context = Context {
        keys: values(root.texts("keys")),
        media: if media.is_empty() { vec!["application/json".to_owned()] } else { media },
        deployments: values(root.texts("deployments")),
        tokens: Vec::new(),
        credentials: Vec::new(),
        cookies: Vec::new(),
        csrf_places: Vec::new(),
        passes: header_names(&root, "passes"),
        path_case,
        declared: declared(&root),
        mounted: services::mounted(&root),
    };
    let media_from = media_from(&root);
    let date = date(&root);
    let realm = realm(&root);
    context.tokens = credentials::tokens(&root);
    context.credentials = credentials::credentials(&root, &context);
    check::jwt_tokens(&root, &context);
    context.cookies = cookies(&root, &context);
    let csrf = csrf(&root, &context);
    context.csrf_places = csrf.as_ref().map(|csrf| csrf.places.clone()).unwrap_or_default();
    let families = answers::families(&root, &context);
    let surfaces = surfaces(&root, &context, &families);
    let stamps = stamps(&root, &context);
    let assertion = assertion(&root, &context);
    let sites = endpoints::sites(&root, &context, &surfaces, &families);
    let surface_sites = Patterns::new(
        path_case,
        surfaces.iter().map(|(pattern, surface)| {
            let site = Site {
                endpoint: None,
                surface: Arc::clone(surface),
                accepts: surface.accepts.clone(),
                anonymous: surface.anonymous,
                refusals: Arc::clone(&surface.refusals),
            };
            (pattern.clone(), false, Arc::new(site))
        }),
    );
    let methods_with_bodies = methods_with_bodies(&sites);
    let tokens_in_paths = tokens_in_paths(&sites, &context.tokens);
    let secret_paths = secret_paths(&sites);
    let answer_headers = answer_headers(csrf.as_ref(), &stamps, &context);
    let dialect = Dialect {
        name: name.into(),
        title,
        deployments: context.deployments,
        media: context.media,
        media_from,
        path_case,
        field_case,
        date,
        realm,
        keys: context.keys,
        passes: context.passes,
        tokens: context.tokens,
        credentials: context.credentials,
        csrf,
        cookies: context.cookies,
        stamps,
        sites,
        surfaces,
        surface_sites,
        methods_with_bodies,
        tokens_in_paths,
        secret_paths,
        answer_headers,
        assertion,
    };
    // What is amiss between tables is told once each of them is right.
    if source.is_clean() {
        check::dialect(&root, &dialect);
    }
    root.finish();
    Some(dialect)
}

/// By which methods some call reads its body; `None` where one does by any.
fn methods_with_bodies(sites: &Patterns<Arc<Site>>) -> Option<Vec<http::Method>> {
    let mut methods = Vec::new();
    for (pattern, _) in sites.iter().filter(|(_, site)| site.reads_body()) {
        if pattern.methods().is_empty() {
            return None;
        }
        // GET includes HEAD.
        let head = pattern.admits(&http::Method::HEAD).then_some(&http::Method::HEAD);
        methods.extend(pattern.methods().iter().chain(head).cloned());
    }
    methods.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    methods.dedup();
    Some(methods)
}

pub(super) fn values(texts: Option<Vec<At<String>>>) -> Vec<String> {
    texts.unwrap_or_default().into_iter().map(|at| at.value).collect()
}

fn media(root: &Table<'_, '_>) -> Vec<String> {
    let texts = root.texts("media").unwrap_or_default();
    for text in &texts {
        let readable = HeaderValue::from_str(&text.value).is_ok() && text.value.contains('/');
        if !readable {
            root.problem(
                text.span.clone(),
                format!("`{}` is no media type such as application/json", text.value),
            );
        }
    }
    values(Some(texts))
}

fn media_from(root: &Table<'_, '_>) -> Option<Place> {
    let text = root.text("media_from")?;
    let place = place(root, &text)?;
    if !matches!(place, Place::Header(..) | Place::Query(_)) {
        root.problem(text.span, "`media_from` is \"header …\" or \"query …\"");
    }
    Some(place)
}

/// Challenges print it between quotes, in a header.
fn realm(root: &Table<'_, '_>) -> Option<String> {
    let text = root.text("realm")?;
    if let Some(problem) = crate::render::no_realm(&text.value) {
        root.problem(text.span, problem);
    }
    Some(text.value)
}

fn ignored(root: &Table<'_, '_>) -> (PathCase, Case) {
    let mut cases = (PathCase::Counts, Case::Exact);
    for what in root.texts("ignore_case").unwrap_or_default() {
        match what.value.as_str() {
            "paths" => cases.0 = PathCase::Ignored,
            "fields" => cases.1 = Case::Ignore,
            _ => root.problem(what.span, "`ignore_case` takes \"paths\" and \"fields\""),
        }
    }
    cases
}

fn date(root: &Table<'_, '_>) -> DateFormat {
    let Some(text) = root.text("date") else { return DateFormat::RFC3339 };
    match DateFormat::parse_format(&text.value) {
        Ok(format) => format,
        Err(error) => {
            root.problem(text.span, format!("`date`: {error}"));
            DateFormat::RFC3339
        }
    }
}

pub(super) fn place(table: &Table<'_, '_>, text: &At<String>) -> Option<Place> {
    match Place::parse(&text.value) {
        Ok(place) => Some(place),
        Err(message) => {
            table.problem(text.span.clone(), message);
            None
        }
    }
}

/// The places under a key, of which there is at least one.
pub(super) fn some_places(table: &Table<'_, '_>, key: &str) -> Vec<Place> {
    let Some(texts) = table.texts(key) else { return Vec::new() };
    if texts.is_empty() {
        table.complain(format!("`{key}` names no place"));
    }
    texts.iter().filter_map(|text| place(table, text)).collect()
}

pub(super) fn patterns(table: &Table<'_, '_>) -> Vec<At<Pattern>> {
    let Some(texts) = table.texts("at") else {
        table.complain("`at` is missing: which paths");
        return Vec::new();
    };
    let mut patterns = Vec::new();
    if texts.is_empty() {
        table.complain("`at` names no path");
    }
    for text in texts {
        match Pattern::parse(&text.value) {
            Ok(pattern) => patterns.push(At { value: pattern, span: text.span }),
            Err(message) => table.problem(text.span, message),
        }
    }
    patterns
}

pub(super) fn header_names(table: &Table<'_, '_>, key: &str) -> Vec<HeaderName> {
    let mut names = Vec::new();
    for text in table.texts(key).unwrap_or_default() {
        match HeaderName::from_bytes(text.value.as_bytes()) {
            Ok(name) => names.push(name),
            Err(_) => table.problem(text.span, format!("`{}` is no header name", text.value)),
        }
    }
    names
}

/// The credentials of a list of names, and whether `anonymous` stands among them.
pub(super) fn credentials_named(
    table: &Table<'_, '_>,
    key: &str,
    context: &Context,
) -> Option<(Vec<Arc<CredentialRule>>, bool)> {
    let mut found = Vec::new();
    let mut anonymous = false;
    for name in table.texts(key)? {
        if name.value == "anonymous" {
            anonymous = true;
            continue;
        }
        match context.credentials.iter().find(|rule| *rule.name == *name.value) {
            Some(rule) => found.push(Arc::clone(rule)),
            None if context.declares("credential", &name.value) => {}
            None => {
                let names = context.credentials.iter().map(|rule| &*rule.name);
                let hint = did_you_mean(&name.value, names);
                table.problem(name.span, format!("no credential is called `{}`{hint}", name.value));
            }
        }
    }
    Some((found, anonymous))
}

/// Like [`credentials_named`], but only the names (`for` of stamps and CSRF).
fn names_of_credentials(table: &Table<'_, '_>, key: &str, context: &Context) -> Option<Vec<String>> {
    let (found, anonymous) = credentials_named(table, key, context)?;
    let mut names: Vec<String> = found.iter().map(|rule| rule.name.to_string()).collect();
    if anonymous {
        names.push("anonymous".to_owned());
    }
    Some(names)
}

pub(super) fn template(
    table: &Table<'_, '_>,
    key: &str,
    text: &At<String>,
    scope: &Scope,
    medium: Medium,
) -> Option<Template> {
    match Template::parse(&text.value, scope, medium) {
        Ok(template) => Some(template),
        Err(message) => {
            table.problem(text.span.clone(), format!("{key}: {message}"));
            None
        }
    }
}

fn csrf(root: &Table<'_, '_>, context: &Context) -> Option<CsrfRule> {
    let table = root.table("csrf")?;
    let form = credentials::read_form(&table, "form");
    let bound_to = table.text("bound_to");
    let credentials = names_of_credentials(&table, "for", context);
    let before_authentication = match table.text("order") {
        None => false,
        Some(text) if text.value == "before-authentication" => true,
        Some(text) => {
            table.problem(text.span, "`order` is \"before-authentication\", or left out for after");
            false
        }
    };
    let places = some_places(&table, "from");
    for place in &places {
        if let Some(why) = place.cannot_carry() {
            table.complain(why);
        }
        if matches!(place, Place::Cookie(_) | Place::Query(_)) {
            let kind = if matches!(place, Place::Cookie(_)) { "cookie" } else { "query" };
            table.complain(format!(
                "a token in the {kind} proves nothing: the browser sends it by itself, or it leaks; use \"header …\" or \"body …\""
            ));
        } else if !matches!(place, Place::Header(..) | Place::Body(_)) {
            table.complain("the token rides in \"header …\" or \"body …\"");
        }
    }
    let bound_to = bound_to.and_then(|word| {
        let rule = context.token(&table, &word);
        match rule {
            Some(rule) if rule.kind == TokenKind::Session => Some(rule),
            None => None,
            Some(_) => {
                table.problem(word.span, "`bound_to` must name a token of kind \"session\"");
                None
            }
        }
    });
    if ["from", "form", "bound_to", "for"].into_iter().any(|key| table.raw(key).is_none()) {
        table.complain("needs `from`, `form`, `bound_to` and `for`");
    }
    table.finish();
    Some(CsrfRule {
        places,
        form: form?,
        bound_to: bound_to?,
        credentials: credentials?,
        before_authentication,
    })
}

fn surfaces(root: &Table<'_, '_>, context: &Context, families: &answers::Families) -> Patterns<Arc<Surface>> {
    let mut entries = Vec::new();
    for (name, table) in root.tables("surface") {
        let patterns = patterns(&table);
        let accepts = credentials_named(&table, "accepts", context);
        let csrf_every_method = match table.text("csrf") {
            None => false,
            Some(text) if text.value == "every-method" => true,
            Some(text) => {
                table.problem(text.span, "`csrf` is \"every-method\", or left out for unsafe methods only");
                false
            }
        };
        let sign_in = table.text("sign_in").map(|text| text.value);
        if sign_in.as_ref().is_some_and(|path| !path.starts_with('/')) {
            table.complain("`sign_in` is a path below the API's prefix and begins with /");
        }
        let refusals = table.text("errors").and_then(|family| families.refusals(&table, &family));
        let (accepts, anonymous) = accepts.unwrap_or_default();
        if is_empty(&table, "accepts") {
            table.complain("`accepts` is missing: which credentials, or [\"anonymous\"]");
        }
        if table.raw("errors").is_none() {
            table.complain("`errors` is missing: which family of answers it refuses with");
        }
        for At { value: pattern, span } in &patterns {
            check::companions(&table, span, pattern, &accepts);
        }
        table.finish();
        let surface = Arc::new(Surface {
            name,
            accepts,
            anonymous,
            csrf_every_method,
            sign_in,
            refusals: refusals
                .unwrap_or_else(|| Arc::new(crate::dialect::Refusals::new(|_| Default::default()))),
        });
        entries.extend(patterns.into_iter().map(|pattern| (pattern.value, false, Arc::clone(&surface))));
    }
    if entries.is_empty() {
        root.complain("no [surface.NAME]: nothing says which paths there are");
    }
    Patterns::new(context.path_case, entries)
}

/// Whether a list is not there, or has nothing in it.
pub(super) fn is_empty(table: &Table<'_, '_>, key: &str) -> bool {
    table.raw(key).is_none_or(|value| value.get_ref().as_array().is_some_and(|items| items.is_empty()))
}
