//! What an API switches on and off of its dialect.

use super::{ApiOptions, Mechanism};
use crate::dialect::source::did_you_mean;
use crate::dialect::{CredentialRule, Dialect, Scheme};

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

pub(super) fn switched_on(rule: &CredentialRule, options: &ApiOptions, mistakes: &mut Vec<String>) {
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
