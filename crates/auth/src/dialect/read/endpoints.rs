//! `[endpoint.NAME]`, and the table of sites that they and the surfaces make.

use std::sync::Arc;

use super::answers::{self, Families, Whose};
use super::{Context, credentials_named, patterns, places};
use crate::dialect::operation::Operation;
use crate::dialect::pattern::{Pattern, Patterns};
use crate::dialect::place::Place;
use crate::dialect::source::{At, Table, did_you_mean};
use crate::dialect::variables::Scope;
use crate::dialect::{Endpoint, Site, Surface, check};
use crate::fields::content_type::Encoding;
use crate::refusal::Reason;

pub(super) fn sites(
    root: &Table<'_, '_>,
    context: &Context,
    surfaces: &Patterns<Arc<Surface>>,
    families: &Families,
) -> Patterns<Arc<Site>> {
    let mut entries = Vec::new();
    for (name, table) in root.tables("endpoint") {
        let patterns = patterns(&table);
        let accepts = credentials_named(&table, "accepts", context);
        let Some((endpoint, own)) = endpoint(name, &table, context) else {
            table.finish();
            continue;
        };
        let endpoint = Arc::new(endpoint);
        for At { value: pattern, span } in patterns {
            let Some(surface) = surface_of(&pattern, surfaces) else {
                let message = format!("`{pattern}` lies on no surface, so nothing says how it refuses");
                table.problem(span, message);
                continue;
            };
            let (accepts, anonymous) = accepts.clone().unwrap_or_else(|| (surface.accepts.clone(), false));
            let site = Site {
                endpoint: Some(Arc::clone(&endpoint)),
                refusals: families.with(&surface.refusals, &own),
                surface,
                accepts,
                anonymous,
            };
            check::site(&table, &span, &pattern, &site, accepts_given(&table));
            entries.push((pattern, !endpoint.when.is_empty(), Arc::new(site)));
        }
        table.finish();
    }
    Patterns::new(context.path_case, entries)
}

fn accepts_given(table: &Table<'_, '_>) -> bool {
    table.raw("accepts").is_some()
}

/// The surface that a call lies on: that of any request which the pattern matches.
fn surface_of(pattern: &Pattern, surfaces: &Patterns<Arc<Surface>>) -> Option<Arc<Surface>> {
    let text = pattern.to_string();
    let path = text.split_once(' ').map_or(text.as_str(), |(_, path)| path);
    let path: Vec<&str> = path
        .split('/')
        .map(|segment| if segment.starts_with('{') { "any" } else { segment })
        .map(|segment| if segment == "**" { "any" } else { segment })
        .collect();
    let method = pattern.methods().first().cloned().unwrap_or(http::Method::GET);
    surfaces.matching(&method, &path.join("/")).next().map(|(surface, _)| Arc::clone(surface))
}

fn endpoint(name: String, table: &Table<'_, '_>, context: &Context) -> Option<(Endpoint, answers::Written)> {
    let operation = operation(table);
    let when = when(table);
    let reads = reads(table);
    let issues: Vec<_> = table
        .texts("issues")
        .unwrap_or_default()
        .into_iter()
        .filter_map(|word| {
            let rule = context.tokens.iter().find(|rule| *rule.word == *word.value);
            if rule.is_none() {
                let hint = did_you_mean(&word.value, context.tokens.iter().map(|rule| &*rule.word));
                table.problem(word.span, format!("no token is called `{}`{hint}", word.value));
            }
            rule.cloned()
        })
        .collect();
    let forward = table.flag("forward").unwrap_or(false);
    let reason = table.text("reason").and_then(|text| {
        let reason = Reason::named(&text.value);
        if reason.is_none() {
            let hint = did_you_mean(&text.value, Reason::ALL.into_iter().map(Reason::name));
            table.problem(text.span, format!("no refusal reason is called `{}`{hint}", text.value));
        }
        reason
    });
    let inputs = inputs(table, operation);
    let answer_table = table.table("answer");
    let on_table = table.table("on");
    let operation = operation?;
    let names: Vec<String> = inputs.iter().map(|(name, _)| name.clone()).collect();
    let issued: Vec<_> = issues.iter().map(|rule| (rule.word.to_string(), rule.second.is_some())).collect();
    let scope = Scope::operation(operation, &context.keys, &issued, &names);
    let bodies =
        if operation == Operation::Show { scope.clone().without("session.id") } else { scope.clone() };
    let answer = answer_table.map_or_else(Default::default, |inner| {
        let read = answers::answer(&inner, context, &scope, &bodies);
        inner.finish();
        read
    });
    let own =
        on_table.map_or_else(Default::default, |inner| answers::written(&inner, context, Whose::Endpoint));
    let sets_cookies = !answer.cookies.is_empty();
    let endpoint =
        Endpoint { name, when, operation, reads, inputs, issues, answer, forward, reason, sets_cookies };
    check::endpoint(table, &endpoint);
    Some((endpoint, own))
}

fn operation(table: &Table<'_, '_>) -> Option<Operation> {
    let Some(text) = table.text("operation") else {
        table.complain("`operation` is missing: what the call does");
        return None;
    };
    let operation = Operation::named(&text.value);
    if operation.is_none() {
        let hint = did_you_mean(&text.value, Operation::ALL.into_iter().map(Operation::name));
        table.problem(text.span, format!("no operation is called `{}`{hint}", text.value));
    }
    operation
}

fn when(table: &Table<'_, '_>) -> Vec<(Place, String)> {
    let Some(inner) = table.table("when") else { return Vec::new() };
    let mut when = Vec::new();
    for key in inner.keys() {
        let value = inner.text(&key.value);
        match (Place::parse(&key.value), value) {
            (Ok(place), Some(value)) => when.push((place, value.value)),
            (Err(message), _) => inner.problem(key.span, message),
            (Ok(_), None) => {}
        }
    }
    when
}

const ENCODINGS: [(&str, Encoding); 4] = [
    ("json", Encoding::Json),
    ("form", Encoding::Form),
    ("xml", Encoding::Xml),
    ("multipart", Encoding::Multipart),
];

fn reads(table: &Table<'_, '_>) -> Vec<Encoding> {
    let mut reads = Vec::new();
    for text in table.texts("reads").unwrap_or_default() {
        match ENCODINGS.into_iter().find(|(name, _)| *name == text.value) {
            Some((_, encoding)) => reads.push(encoding),
            None => table.problem(text.span, "`reads` takes json, form, xml and multipart"),
        }
    }
    reads
}

fn inputs(table: &Table<'_, '_>, operation: Option<Operation>) -> Vec<(String, Vec<Place>)> {
    let Some(inner) = table.table("inputs") else { return Vec::new() };
    let mut inputs = Vec::new();
    for key in inner.keys() {
        if let Some(known) = operation.map(Operation::inputs) {
            let mut names = known.required.iter().chain(known.optional).copied();
            if !names.any(|name| name == key.value) {
                let names = known.required.iter().chain(known.optional).copied();
                let hint = did_you_mean(&key.value, names);
                let operation = operation.map_or("", Operation::name);
                inner.problem(key.span.clone(), format!("`{operation}` has no input `{}`{hint}", key.value));
            }
        }
        if let Some(texts) = inner.texts(&key.value) {
            inputs.push((key.value, places(&inner, texts)));
        }
    }
    inputs
}
