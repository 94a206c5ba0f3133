//! `[endpoint.NAME]`, and the table of sites that they and the surfaces make.

use std::sync::Arc;

use super::answers::{self, Families, Whose};
use super::arriving::{never_told, no_condition};
use super::on_surface::{Ground, Said};
use super::{Context, credentials_named, is_empty, patterns, services, some_places, values};
use crate::dialect::operation::Operation;
use crate::dialect::pattern::Patterns;
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
    let tables: Vec<_> =
        root.tables("endpoint").into_iter().map(|(name, table)| (name, patterns(&table), table)).collect();
    let ground = Ground::new(surfaces, &tables, context);
    for (name, patterns, table) in tables {
        let accepts = credentials_named(&table, "accepts", context);
        if accepts_given(&table) && is_empty(&table, "accepts") {
            table.complain("`accepts` names nobody; name credentials, or [\"anonymous\"]");
        }
        let Some((endpoint, own)) = endpoint(name, &table, context) else {
            table.finish();
            continue;
        };
        let endpoint = Arc::new(endpoint);
        let said = Said {
            operation: endpoint.operation,
            accepts: accepts.as_ref(),
            when: !endpoint.when.is_empty(),
        };
        for At { value: pattern, span } in patterns {
            let surface = match ground.surface_of(&pattern, &said) {
                Ok(surface) => surface,
                Err(message) => {
                    table.problem(span, message);
                    continue;
                }
            };
            // Without `accepts`: whoever the surface accepts, and callers without a credential only where nobody
            // else is accepted.
            let (accepts, anonymous) = accepts.clone().unwrap_or_else(|| {
                (surface.accepts.clone(), surface.accepts.is_empty() && surface.anonymous)
            });
            let site = Site {
                endpoint: Some(Arc::clone(&endpoint)),
                refusals: families.with(&surface.refusals, &own),
                surface,
                accepts,
                anonymous,
            };
            check::site(&table, &span, &pattern, &site, accepts_given(&table));
            if !own.is_empty() {
                answers::own_refusals(&table, &site.refusals);
            }
            entries.push((pattern, !endpoint.when.is_empty(), Arc::new(site)));
        }
        table.finish();
    }
    Patterns::new(context.path_case, entries)
}

fn accepts_given(table: &Table<'_, '_>) -> bool {
    table.raw("accepts").is_some()
}

fn endpoint(name: String, table: &Table<'_, '_>, context: &Context) -> Option<(Endpoint, answers::Written)> {
    let operation = operation(table);
    let when = when(table, context);
    let reads = reads(table);
    let issues: Vec<_> = table
        .texts("issues")
        .unwrap_or_default()
        .into_iter()
        .filter_map(|word| context.token(table, &word))
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
    let inputs = inputs(table, operation, context);
    let options = services::options(table, operation);
    let unless = unless(table, context);
    let answer_table = table.table("answer");
    let on_table = table.table("on");
    let operation = operation?;
    let names: Vec<String> = inputs.iter().map(|(name, _)| name.clone()).collect();
    // A word that is wrong was told already; templates may then name any.
    let all_right = issues.len() == values(table.texts("issues")).len();
    let nameable = if all_right && table.raw("issues").is_some() { &issues } else { &context.tokens };
    let issued: Vec<_> = nameable.iter().map(|rule| (rule.word.to_string(), rule.second.is_some())).collect();
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
    if forward && table.raw("answer").is_some() {
        table.complain("`forward` leaves the answer to the upstream: leave `answer` out");
    }
    let sets_cookies = !answer.cookies.is_empty();
    let endpoint = Endpoint {
        name: name.into(),
        when,
        operation,
        reads,
        inputs,
        issues,
        answer,
        forward,
        reason,
        options,
        unless,
        sets_cookies,
    };
    check::endpoint(table, &endpoint);
    Some((endpoint, own))
}

/// The endpoint in whose place another stands.
fn unless(table: &Table<'_, '_>, context: &Context) -> Option<String> {
    let text = table.text("unless")?;
    if !context.mounted.contains(&text.value) {
        let hint = did_you_mean(&text.value, context.mounted.iter().map(String::as_str));
        table.problem(text.span, format!("no endpoint `{}` mounts a named service{hint}", text.value));
    }
    Some(text.value)
}

fn operation(table: &Table<'_, '_>) -> Option<Operation> {
    if table.raw("operation").is_none() {
        table.complain("`operation` is missing: what the call does");
    }
    let text = table.text("operation")?;
    let operation = Operation::named(&text.value);
    if operation.is_none() {
        let hint = did_you_mean(&text.value, Operation::ALL.into_iter().map(Operation::name));
        table.problem(text.span, format!("no operation is called `{}`{hint}", text.value));
    }
    operation
}

fn when(table: &Table<'_, '_>, context: &Context) -> Vec<(Place, String)> {
    let Some(inner) = table.table("when") else { return Vec::new() };
    let mut when = Vec::new();
    for key in inner.keys() {
        let value = inner.text(&key.value);
        match Place::parse(&key.value) {
            Ok(place) => {
                if let Some(message) = no_condition(&place, context) {
                    inner.problem(key.span, message);
                } else if let Some(value) = value {
                    when.push((place, value.value));
                }
            }
            Err(message) => inner.problem(key.span, message),
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

fn inputs(
    table: &Table<'_, '_>,
    operation: Option<Operation>,
    context: &Context,
) -> Vec<(String, Vec<Place>)> {
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
        let places = some_places(&inner, &key.value);
        for message in places.iter().filter_map(|place| never_told(place, context)) {
            inner.problem(key.span.clone(), message);
        }
        inputs.push((key.value, places));
    }
    inputs
}
