//! What must hold of tokens that the gate signs: what is read back of them, and as whose.

use std::sync::Arc;

use super::complain_at;
use crate::authenticate::{OWN_ACCOUNT_CLAIM, OWN_API_CLAIM, OWN_PROOFS_CLAIM, OWN_PROVEN_CLAIM};
use crate::dialect::read::Context;
use crate::dialect::source::Table;
use crate::dialect::{CredentialRule, Dialect, JwtCredential, Scheme};

/// A JWT word must name a credential that can read what it issues, by claims that can be written.
pub(in crate::dialect) fn tokens(root: &Table<'_, '_>, context: &Context) {
    for (word, table) in root.tables("token") {
        let Some(name) = table.text("credential") else { continue };
        let reads = |rule: &&Arc<CredentialRule>| *rule.name == *name.value && rule.scheme == Scheme::Jwt;
        let Some(rule) = context.credentials.iter().find(reads) else {
            table.problem(
                name.span,
                format!("`{}` is no credential of scheme \"jwt\" that could read `{word}`", name.value),
            );
            continue;
        };
        if let Some(why) = rule.jwt.as_ref().and_then(unwritable) {
            table.problem(name.span, format!("`{}` reads {why}", name.value));
        }
    }
}

/// What a token cannot be signed with: claims are written by the names by which they are read.
fn unwritable(jwt: &JwtCredential) -> Option<String> {
    jwt.claims.iter().find_map(|(target, claim)| {
        if claim.starts_with('/') {
            return Some(format!(
                "`{target}` from `{claim}`, which is a pointer into a claim: a token that the gate signs has claims of \
                 one word"
            ));
        }
        GATES_OWN.contains(&claim.as_str()).then(|| {
            format!("`{target}` from `{claim}`, which the gate says itself in a token that it signs; name another claim")
        })
    })
}

/// Claims of a signed token that the gate writes, or whose meaning every reader checks (RFC 7519 section 4.1).
const GATES_OWN: [&str; 9] =
    [OWN_API_CLAIM, OWN_ACCOUNT_CLAIM, OWN_PROOFS_CLAIM, OWN_PROVEN_CLAIM, "iss", "aud", "iat", "exp", "nbf"];

/// A signed token is read back as one of the accounts that it was issued to, and buys no other of its kind: it cannot be
/// ended, so it would be good for ever.
pub(super) fn holders(root: &Table<'_, '_>, dialect: &Dialect) {
    for site in dialect.sites.items() {
        let Some(endpoint) = &site.endpoint else { continue };
        for token in &endpoint.issues {
            let reads = |rule: &&Arc<CredentialRule>| token.jwt_credential.as_deref() == Some(&*rule.name);
            let Some(reader) = dialect.credentials.iter().find(reads) else { continue };
            if site.accepts.iter().any(|rule| rule.name == reader.name) {
                let message = format!(
                    "issues `{}` to `{}`, which reads it: a token that buys its successor never ends",
                    token.word, reader.name
                );
                complain_at(root, "endpoint", &endpoint.name, message);
            }
            let Some(other) = site.accepts.iter().find(|rule| rule.accounts != reader.accounts) else {
                continue;
            };
            let message = format!(
                "issues `{}` to {}, which `{}` proves; `{}` reads it as a token of {}",
                token.word, other.accounts, other.name, reader.name, reader.accounts
            );
            complain_at(root, "endpoint", &endpoint.name, message);
        }
    }
}
