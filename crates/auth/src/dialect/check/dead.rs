//! What of a file could never come to anything.

use std::sync::Arc;

use super::complain_at;
use crate::dialect::operation::Operation;
use crate::dialect::source::Table;
use crate::dialect::{Dialect, Endpoint, Scheme, TokenRule};
use crate::token::TokenKind;

/// What is told of a file as a whole.
pub(super) fn dialect(root: &Table<'_, '_>, dialect: &Dialect) {
    codes(root, dialect);
    for endpoint in endpoints(dialect) {
        for token in endpoint.issues.iter().filter(|token| !is_read(dialect, token)) {
            let message = format!(
                "issues `{0}`, which no credential reads: no [credential.NAME] has `token = \"{0}\"`",
                token.word
            );
            complain_at(root, "endpoint", &endpoint.name, message);
        }
    }
}

/// Whoever comes back from an issuer was sent there by the gate, with what it asks him for then.
fn codes(root: &Table<'_, '_>, dialect: &Dialect) {
    if endpoints(dialect).any(|endpoint| endpoint.operation == Operation::IssuerLogin) {
        return;
    }
    for rule in dialect.credentials.iter().filter(|rule| rule.scheme == Scheme::Code) {
        let message = "nobody is sent to an issuer: a credential of scheme \"code\" needs an endpoint with operation \"issuer-login\"";
        complain_at(root, "credential", &rule.name, message.to_owned());
    }
}

/// Whether a client can present a token. That of a signed one is looked at with the token itself.
fn is_read(dialect: &Dialect, token: &TokenRule) -> bool {
    let reads = |own: Option<&Arc<TokenRule>>| own.is_some_and(|own| own.word == token.word);
    token.kind == TokenKind::Jwt || dialect.credentials.iter().any(|rule| reads(rule.token.as_ref()))
}

fn endpoints(dialect: &Dialect) -> impl Iterator<Item = &Arc<Endpoint>> {
    dialect.sites.items().filter_map(|site| site.endpoint.as_ref())
}
