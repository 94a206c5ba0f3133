//! Checks the words of an API that only its dialect can know.

use countersign_auth::token::TokenKind;

use super::{SHORT_SHARED_VALUE, UNPROVEN_FROM_ANYWHERE, suggestion};
use crate::config::report::Report;
use crate::config::tree::{Allow, Api};
use crate::dialects::{CredentialOutline, Outline};

/// What `dangerous` says beside `csrf = false`.
const CSRF: &str = "csrf";

/// Reports every word that the dialect does not have.
pub(super) fn check(api: &Api, outline: &Outline, path: &str, report: &mut Report) {
    // A file that could not be read as TOML has no outline: the loader says why.
    if outline.credentials.is_empty() {
        return;
    }
    let credentials = || outline.credentials.iter().map(|credential| credential.name.as_str());
    for (key, names) in [("enable", &api.enable), ("disable", &api.disable)] {
        for (at, name) in names.iter().enumerate() {
            let path = format!("{path}.{key}[{at}]");
            if !credentials().any(|known| known == name) {
                let message = format!("the dialect has no credential `{name}`");
                report.add(&path, message, suggestion(name, credentials(), "credentials"));
            } else if key == "disable" && api.enable.contains(name) {
                let hint = "take it out of one of them";
                report.add(&path, format!("`{name}` is in `enable` as well"), Some(hint.to_owned()));
            }
        }
    }
    let unproven = outline.credentials.iter().filter(|credential| credential.scheme == "unproven");
    let mut dangers: Vec<&str> = unproven.map(|credential| credential.name.as_str()).collect();
    dangers.extend([CSRF, UNPROVEN_FROM_ANYWHERE, SHORT_SHARED_VALUE]);
    for (at, word) in api.dangerous.iter().enumerate() {
        if !dangers.contains(&word.as_str()) {
            let hint = suggestion(word, dangers.iter().copied(), "words");
            report.add(
                &format!("{path}.dangerous[{at}]"),
                format!("`{word}` is nothing dangerous here"),
                hint,
            );
        }
    }
    services(api, outline, path, report);
    schemes(api, outline, path, report);
    let every = || outline.tokens.iter().map(|token| token.word.as_str());
    let shared =
        || outline.tokens.iter().filter(|token| token.kind == "shared").map(|token| token.word.as_str());
    for word in api.token.keys().filter(|word| !every().any(|known| known == word.as_str())) {
        let hint = suggestion(word, every(), "tokens").or_else(none);
        report.add(&format!("{path}.token.{word}"), format!("the dialect has no token `{word}`"), hint);
    }
    for token in &outline.tokens {
        let Some(set) = api.token.get(&token.word) else { continue };
        let settings = [
            ("idle", set.idle.is_some()),
            ("lifetime", set.lifetime.is_some()),
            ("per_account", set.per_account.is_some()),
        ];
        for (key, _) in settings.into_iter().filter(|(_, is_set)| *is_set) {
            let Some(why) = TokenKind::named(&token.kind).and_then(|kind| kind.does_not_heed(key)) else {
                continue;
            };
            report.add(
                &format!("{path}.token.{}.{key}", token.word),
                format!("says nothing of a token of the kind `{}`", token.kind),
                Some(why.to_owned()),
            );
        }
    }
    for word in api.shared.keys().filter(|word| !shared().any(|known| known == word.as_str())) {
        let hint = suggestion(word, shared(), "shared tokens").or_else(none);
        report.add(
            &format!("{path}.shared.{word}"),
            format!("the dialect has no shared token `{word}`"),
            hint,
        );
    }
}

/// What is left to the upstream is a service that the dialect mounts, or an endpoint that mounts one.
fn services(api: &Api, outline: &Outline, path: &str, report: &mut Report) {
    let known =
        || outline.services.iter().flat_map(|(endpoint, service)| [endpoint.as_str(), service.as_str()]);
    for (at, name) in api.left_to_upstream.iter().enumerate() {
        if !known().any(|known| known == name) {
            let mut names: Vec<&str> = known().collect();
            names.sort_unstable();
            names.dedup();
            let hint = suggestion(name, names.into_iter(), "services and endpoints").or_else(none);
            let path = format!("{path}.left_to_upstream[{at}]");
            report.add(&path, format!("the dialect mounts no service `{name}`"), hint);
        }
    }
}

/// Rules may name schemes that the dialect uses, and its credentials.
fn schemes(api: &Api, outline: &Outline, path: &str, report: &mut Report) {
    let mut known: Vec<&str> = outline
        .credentials
        .iter()
        .flat_map(|credential| [credential.scheme.as_str(), credential.name.as_str()])
        .filter(|name| !name.is_empty())
        .collect();
    known.sort_unstable();
    known.dedup();
    for (number, route) in api.route.iter().enumerate() {
        let Allow::Rule(rule) = &route.allow else { continue };
        for (at, name) in rule.schemes.iter().enumerate() {
            let named =
                |credential: &&CredentialOutline| credential.scheme == *name || credential.name == *name;
            let deployment = api.deployment.as_deref().or(outline.deployments.first().map(String::as_str));
            let is_on =
                |credential: &CredentialOutline| credential.is_on(deployment, &api.enable, &api.disable);
            let mut meant = outline.credentials.iter().filter(named);
            if let Some(off) = meant.clone().next().filter(|_| !meant.any(is_on)) {
                report.add(
                    &format!("{path}.route[{number}].allow.schemes[{at}]"),
                    format!("`{name}` is off: nobody could come by it"),
                    Some(format!("write enable = [\"{}\"], or take it out", off.name)),
                );
            } else if !known.contains(&name.as_str()) {
                report.add(
                    &format!("{path}.route[{number}].allow.schemes[{at}]"),
                    format!("the dialect has neither a scheme nor a credential `{name}`"),
                    suggestion(name, known.iter().copied(), "known here"),
                );
            }
        }
    }
}

fn none() -> Option<String> {
    Some(String::from("it has none: take the line away"))
}
