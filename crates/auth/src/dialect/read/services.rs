//! `options` of an endpoint that mounts a named service.

use std::collections::BTreeMap;

use super::values;
use crate::dialect::operation::Operation;
use crate::dialect::service::{OptionKind, OptionValue, Service, ServiceOptions};
use crate::dialect::source::{At, Table, did_you_mean};

/// Keys that go with operations and not with a service.
const OPERATIONS_ALONE: [&str; 8] =
    ["when", "reads", "inputs", "issues", "answer", "on", "forward", "reason"];

/// Reads what an endpoint says to its service, if it mounts one.
pub(super) fn options(table: &Table<'_, '_>, operation: Option<Operation>) -> ServiceOptions {
    // What is wrong with an operation that there is not was told already.
    let Some(operation) = operation else {
        table.raw("options");
        return ServiceOptions::default();
    };
    let Some(service) = operation.service() else {
        if table.raw("options").is_some() {
            table.complain("`options` go with a named service (bayeux, contact-centre)");
        }
        return ServiceOptions::default();
    };
    for key in OPERATIONS_ALONE {
        if table.raw(key).is_some() {
            table.complain(format!(
                "`{}` is a service and answers by itself: leave `{key}` out",
                service.name()
            ));
        }
    }
    let Some(inner) = table.table("options") else { return ServiceOptions::default() };
    let mut read = BTreeMap::new();
    for At { value: key, span } in inner.keys() {
        let Some((name, kind, _)) = service.options().iter().find(|(name, _, _)| *name == key) else {
            let hint = did_you_mean(&key, service.options().iter().map(|(name, _, _)| *name));
            inner.problem(span, format!("`{}` has no option `{key}`{hint}", service.name()));
            continue;
        };
        if let Some(value) = option(&inner, name, *kind) {
            read.insert(*name, value);
        }
    }
    ServiceOptions(read)
}

fn option(table: &Table<'_, '_>, name: &str, kind: OptionKind) -> Option<OptionValue> {
    match kind {
        OptionKind::Time => table.time(name).map(OptionValue::Time),
        OptionKind::Text => table.text(name).map(|text| OptionValue::Text(text.value)),
        OptionKind::Texts => Some(OptionValue::Texts(values(table.texts(name)))),
        OptionKind::Table => {
            let inner = table.table(name)?;
            let texts = |key: &str| values(inner.texts(key));
            let read = inner.keys().into_iter().map(|key| (key.value.clone(), texts(&key.value)));
            Some(OptionValue::Table(read.collect()))
        }
    }
}

/// The names of the endpoints that mount a service.
pub(super) fn mounted(root: &Table<'_, '_>) -> Vec<String> {
    let is_service = |table: &Table<'_, '_>| {
        let operation = table.raw("operation").and_then(|value| value.get_ref().as_str());
        operation.is_some_and(|name| Service::ALL.iter().any(|service| service.name() == name))
    };
    root.tables("endpoint").into_iter().filter(|(_, table)| is_service(table)).map(|(name, _)| name).collect()
}
