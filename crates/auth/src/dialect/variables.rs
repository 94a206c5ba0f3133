//! Which names a template may print, by the place where it stands.

use std::collections::BTreeMap;

use crate::dialect::operation::Operation;
use crate::dialect::source::did_you_mean;
use crate::dialect::template::Medium;

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    /// Text that opens something.
    Secret,
    Int,
    Time,
    Flag,
    /// For `for`; its items stand at `name[]`.
    List,
    /// Not a value but a beginning: `identity`.
    Group,
}

/// The names that are known in one place.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    names: BTreeMap<String, Kind>,
    secrets_forbidden: bool,
}

const IDENTITY: [(&str, Kind); 8] = [
    ("identity.subject", Kind::Text),
    ("identity.name", Kind::Text),
    ("identity.email", Kind::Text),
    ("identity.first_name", Kind::Text),
    ("identity.last_name", Kind::Text),
    ("identity.tenant", Kind::Text),
    ("identity.roles", Kind::List),
    ("identity.scheme", Kind::Text),
];
const SESSION: [(&str, Kind); 5] = [
    ("session.id", Kind::Secret),
    ("session.ref", Kind::Text),
    ("session.created_at", Kind::Time),
    ("session.expires_at", Kind::Time),
    ("session.subject", Kind::Text),
];
/// Whom a browser may log in with.
const ISSUERS: [(&str, Kind); 3] =
    [("issuers", Kind::List), ("issuers[].name", Kind::Text), ("issuers[].title", Kind::Text)];
const KEY: [(&str, Kind); 9] = [
    ("key.id", Kind::Text),
    ("key.owner", Kind::Text),
    ("key.label", Kind::Text),
    ("key.description", Kind::Text),
    ("key.created_at", Kind::Time),
    ("key.updated_at", Kind::Time),
    ("key.expires_at", Kind::Time),
    ("key.endless", Kind::Flag),
    ("key.value", Kind::Secret),
];
const SHOWN: [(&str, Kind); 4] = [
    ("shown.ref", Kind::Text),
    ("shown.subject", Kind::Text),
    ("shown.created_at", Kind::Time),
    ("shown.expires_at", Kind::Time),
];

impl Scope {
    fn everywhere() -> Self {
        let mut scope = Self::default();
        for name in ["api", "prefix", "media", "realm"] {
            scope.add(name, Kind::Text);
        }
        scope
    }

    /// What refusals may print; `code` and `message` themselves may not print each other.
    pub(crate) fn refusal() -> Self {
        let mut scope = Self::refusal_message();
        scope.add("code", Kind::Text);
        scope.add("message", Kind::Text);
        scope.extend(&ISSUERS);
        scope
    }

    /// What the `code` of a refusal may print: nothing that a client chose.
    pub(crate) fn refusal_code() -> Self {
        let mut scope = Self::everywhere();
        scope.add("status", Kind::Int);
        scope.add("reason", Kind::Text);
        scope
    }

    /// What the `message` of a refusal may print.
    pub(crate) fn refusal_message() -> Self {
        let mut scope = Self::everywhere();
        scope.add("status", Kind::Int);
        for name in ["reason", "detail", "carrier", "trace", "return_to"] {
            scope.add(name, Kind::Text);
        }
        scope.secrets_forbidden = true;
        scope
    }

    /// What cookies and stamps may print.
    pub(crate) fn caller(keys: &[String]) -> Self {
        let mut scope = Self::everywhere();
        scope.extend(&IDENTITY);
        scope.add("identity.roles[]", Kind::Text);
        for key in keys {
            scope.add(&format!("identity.keys.{key}"), Kind::Text);
        }
        scope.extend(&SESSION);
        scope.add("csrf.token", Kind::Secret);
        scope.add("csrf.header", Kind::Text);
        scope
    }

    /// What the service may be told: no secret but the CSRF token of the caller's session, which pages print.
    pub(crate) fn assertion(keys: &[String]) -> Self {
        let mut scope = Self::caller(keys);
        scope.names.remove("session.id");
        scope.add("csrf.token", Kind::Text);
        scope
    }

    /// What the claims of an assertion may print: nothing of the session, because an assertion serves all
    /// requests of one proof.
    pub(crate) fn claims(keys: &[String]) -> Self {
        let mut scope = Self::assertion(keys);
        scope.names.retain(|name, _| !name.starts_with("session.") && !name.starts_with("csrf."));
        scope
    }

    /// What the answer of an operation may print.
    pub(crate) fn operation(
        operation: Operation,
        keys: &[String],
        issues: &[(String, bool)],
        inputs: &[String],
    ) -> Self {
        let mut scope = Self::caller(keys);
        scope.extend(&ISSUERS);
        scope.add("return_to", Kind::Text);
        for input in inputs {
            scope.add(&format!("input.{input}"), Kind::Text);
        }
        match operation {
            Operation::Issue => {
                scope.names.retain(|name, _| !name.starts_with("session"));
                for (word, pair) in issues {
                    scope.add(&format!("issued.{word}.value"), Kind::Secret);
                    if *pair {
                        scope.add(&format!("issued.{word}.second"), Kind::Secret);
                    }
                    scope.add(&format!("issued.{word}.ref"), Kind::Text);
                    scope.add(&format!("issued.{word}.expires_at"), Kind::Time);
                    scope.add(&format!("issued.{word}.expires_in"), Kind::Int);
                }
            }
            Operation::SessionList => {
                scope.add("sessions", Kind::List);
                for (name, kind) in SHOWN {
                    scope.add(&name.replace("shown", "sessions[]"), kind);
                }
            }
            Operation::SessionShow => scope.extend(&SHOWN),
            Operation::KeyList => {
                scope.add("keys", Kind::List);
                for (name, kind) in KEY.into_iter().filter(|(_, kind)| *kind != Kind::Secret) {
                    scope.add(&name.replace("key.", "keys[]."), kind);
                }
            }
            Operation::KeyCreate | Operation::KeyShow | Operation::KeyUpdate | Operation::KeyRotate => {
                scope.extend(&KEY);
                if matches!(operation, Operation::KeyShow | Operation::KeyUpdate) {
                    scope.names.remove("key.value");
                }
            }
            Operation::Show
            | Operation::End
            | Operation::Refuse
            | Operation::KeyDelete
            | Operation::PasswordChange
            | Operation::IssuerLogin
            | Operation::Service(_) => {}
        }
        scope
    }

    /// The same with every secret out of reach.
    pub(crate) fn without_secrets(mut self) -> Self {
        self.secrets_forbidden = true;
        self
    }

    /// The same without one name.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.names.remove(name);
        self
    }

    fn add(&mut self, name: &str, kind: Kind) {
        self.names.insert(name.to_owned(), kind);
    }

    fn extend(&mut self, names: &[(&str, Kind)]) {
        for (name, kind) in names {
            self.add(name, *kind);
        }
    }

    /// The names of both.
    #[cfg(test)]
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.names.extend(other.names);
        self
    }

    /// What a name stands for here.
    pub(crate) fn kind(&self, name: &str, _medium: Medium) -> Result<Kind, String> {
        match self.names.get(name) {
            Some(Kind::Secret) if self.secrets_forbidden => {
                Err(format!("`{name}` is a secret and may not be printed here"))
            }
            Some(kind) => Ok(*kind),
            None => {
                let beginning = format!("{name}.");
                if self.names.keys().any(|known| known.starts_with(&beginning)) {
                    Ok(Kind::Group)
                } else if self.secrets_forbidden && is_secret_somewhere(name) {
                    Err(format!("`{name}` is a secret and may not be printed here"))
                } else {
                    Err(self.unknown(name))
                }
            }
        }
    }

    /// `… is not known here; known: …`, with what could stand at the first part that is wrong.
    pub(crate) fn unknown(&self, name: &str) -> String {
        let mut prefix = String::new();
        for part in name.split('.') {
            let longer = format!("{prefix}{part}.");
            if !self.names.keys().any(|known| known.starts_with(&longer)) {
                break;
            }
            prefix = longer;
        }
        let mut known: Vec<&str> = self
            .names
            .keys()
            .filter_map(|known| known.strip_prefix(prefix.as_str()))
            .filter_map(|rest| rest.split(['.', '[']).next())
            .collect();
        known.sort_unstable();
        known.dedup();
        let wrong =
            name.strip_prefix(prefix.as_str()).and_then(|rest| rest.split('.').next()).unwrap_or(name);
        if prefix.strip_suffix('.') == Some(name) {
            return format!("`{name}` has no value of its own; below it: {}", known.join(", "));
        }
        let hint = did_you_mean(wrong, known.iter().copied());
        format!("`{name}` is not known here; known: {}{hint}", known.join(", "))
    }

    /// All names with their kinds, for the reference and for samples.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, Kind)> {
        self.names.iter().map(|(name, kind)| (name.as_str(), *kind))
    }
}

fn is_secret_somewhere(name: &str) -> bool {
    name == "session.id"
        || name == "csrf.token"
        || name == "key.value"
        || (name.starts_with("issued.") && (name.ends_with(".value") || name.ends_with(".second")))
}
