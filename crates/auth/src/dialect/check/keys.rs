//! What must hold of calls about API keys.

use super::complain_at;
use crate::dialect::Dialect;
use crate::dialect::operation::Operation;
use crate::dialect::source::Table;
use crate::token::TokenKind;

/// Key operations need a kind of key, and where there are several have to say which: each call is about keys of one kind.
pub(super) fn dialect(root: &Table<'_, '_>, dialect: &Dialect) {
    let keys: Vec<&str> =
        dialect.tokens.iter().filter(|rule| rule.kind == TokenKind::Key).map(|rule| &*rule.word).collect();
    let endpoints = || dialect.sites.items().filter_map(|site| site.endpoint.as_ref());
    for endpoint in endpoints().filter(|endpoint| endpoint.operation.is_about_keys()) {
        let operation = endpoint.operation.name();
        let message = match keys.as_slice() {
            [] => format!("`{operation}` needs a [token.WORD] of kind \"key\""),
            [_] => continue,
            [_, _, ..] if endpoint.issues.len() == 1 => continue,
            several => format!(
                "`{operation}` is about keys of one kind, and there are `{}`: name one in `issues`",
                several.join("`, `")
            ),
        };
        complain_at(root, "endpoint", &endpoint.name, message);
    }
    // Administrators make keys of the first kind, and no others.
    for word in keys.iter().skip(1) {
        let makes = |issues: &[std::sync::Arc<crate::dialect::TokenRule>]| {
            issues.iter().any(|rule| *rule.word == **word)
        };
        if !endpoints().any(|endpoint| endpoint.operation == Operation::KeyCreate && makes(&endpoint.issues))
        {
            let first = keys.first().copied().unwrap_or_default();
            let message = format!(
                "nobody could make such keys: `countersign key` makes those of [token.{first}], and no \"key-create\" \
                 issues `{word}`"
            );
            complain_at(root, "token", word, message);
        }
    }
}
