//! What an API switches on and off of its dialect.

use super::{ApiOptions, Mechanism};
use crate::dialect::source::did_you_mean;
use crate::dialect::{CredentialRule, Dialect, Scheme, is_on};

pub(super) fn deployment(
    dialect: &Dialect,
    options: &ApiOptions,
    mistakes: &mut Vec<String>,
) -> Option<String> {
    match &options.deployment {
        None => dialect.deployments.first().cloned(),
        Some(name) if dialect.deployments.contains(name) => Some(name.clone()),
        Some(name) => {
            let hint = did_you_mean(name, dialect.deployments.iter().map(String::as_str));
            mistakes.push(format!("the dialect has no deployment `{name}`{hint}"));
            None
        }
    }
}

/// Which credentials are on, by their places in the file, and what is wrong with each of them alone.
pub(super) fn switches(
    dialect: &Dialect,
    options: &ApiOptions,
    deployment: Option<&str>,
    mistakes: &mut Vec<String>,
) -> Vec<bool> {
    let mut on: Vec<bool> = dialect.credentials.iter().map(|rule| is_on(rule, deployment)).collect();
    for (names, state) in [(&options.enable, true), (&options.disable, false)] {
        for name in names {
            match dialect.credentials.iter().position(|rule| *rule.name == **name) {
                Some(at) => {
                    if let Some(on) = on.get_mut(at) {
                        *on = state;
                    }
                }
                None => {
                    let hint = did_you_mean(name, dialect.credential_names());
                    mistakes.push(format!("the dialect has no credential `{name}`{hint}"));
                }
            }
        }
    }
    for rule in &dialect.credentials {
        if on.get(rule.index) == Some(&true) {
            switched_on(rule, options, mistakes);
        }
    }
    on
}

fn switched_on(rule: &CredentialRule, options: &ApiOptions, mistakes: &mut Vec<String>) {
    match rule.scheme {
        Scheme::Unproven if !options.dangerous.iter().any(|name| **name == *rule.name) => {
            mistakes.push(format!(
                "credential `{0}` believes whatever the caller says; if that is meant add dangerous = [\"{0}\"]",
                rule.name
            ));
        }
        Scheme::Negotiate if options.mechanisms.is_empty() => mistakes.push(format!(
            "credential `{}` is on, but nothing says how it is checked; add [api.kerberos] or [api.ntlm]",
            rule.name
        )),
        Scheme::Ntlm if !options.mechanisms.contains(&Mechanism::Ntlm) => mistakes.push(format!(
            "credential `{}` is on, but nothing says how it is checked; add [api.ntlm]",
            rule.name
        )),
        Scheme::Negotiate | Scheme::Ntlm => {}
        Scheme::Password
        | Scheme::Digest
        | Scheme::Jwt
        | Scheme::Token
        | Scheme::Code
        | Scheme::Front
        | Scheme::Unproven => {}
    }
}
