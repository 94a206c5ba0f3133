//! Checks what an API says about the keys of services behind the gate.

use std::collections::HashSet;

use countersign_services::publish::Pattern;

use super::suggestion;
use crate::config::report::Report;
use crate::config::tree::Api;

/// Reports keys that are for nothing, or for what is not there.
pub(super) fn check(api: &Api, path: &str, report: &mut Report) {
    let mut known = HashSet::new();
    for (at, key) in api.service_key.iter().enumerate() {
        let path = format!("{path}.service_key[{at}]");
        if !known.insert(key.sha256.0) {
            let hint = "each service has keys of its own: `countersign service-key` makes one";
            report.add(&format!("{path}.sha256"), "this key is there already", Some(hint.to_owned()));
        }
        if key.publish.is_empty() && key.objects.is_empty() {
            let hint = "name channels in `publish`, like \"/v2/me/*\", or kinds of objects in `objects`";
            report.add(&path, "it is for nothing", Some(hint.to_owned()));
        }
        for (at, channel) in key.publish.iter().enumerate() {
            if let Err(problem) = Pattern::parse(channel) {
                report.add(&format!("{path}.publish[{at}]"), format!("`{channel}`: {problem}"), None);
            }
        }
        for (at, kind) in key.objects.iter().enumerate() {
            if !api.object.contains_key(kind) {
                let known = api.object.keys().map(String::as_str);
                report.add(
                    &format!("{path}.objects[{at}]"),
                    format!("the API has no kind of objects `{kind}`"),
                    suggestion(kind, known, "kinds"),
                );
            }
        }
    }
}
