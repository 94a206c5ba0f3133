//! Kinds of objects, and by which key they are owned.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::account::Account;
use crate::objects::KindOptions;
use crate::port::objects::ObjectName;

/// A kind of objects of an API.
#[derive(Debug)]
pub struct Kind {
    pub(crate) api: Arc<str>,
    pub(crate) name: Arc<str>,
    pub(crate) owner: Owner,
    /// How long a reference lives that nobody claims, where clients get references.
    pub(crate) references: Option<Duration>,
    pub(crate) numeric: bool,
}

/// The key of an identity by which objects are owned.
///
/// An owner is written `customer=4711`, or `subject=customers/4711` where it is an account itself: subjects of
/// different kinds of accounts may be equal. So may those of different issuers: one whose people are its own is written
/// behind the kind, `subject=customers@https:%2F%2Fid.example/4711`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The account itself.
    Subject,
    /// Whoever has this value of that key.
    Key(String),
}

/// The kinds of an API, by name.
pub(crate) type Kinds = BTreeMap<String, Arc<Kind>>;

/// An id has at most so many bytes: longer ones are documents. It is a key of the store.
pub const ID_BYTES_MAX: usize = 256;

impl Kind {
    /// The kinds of an API. Mistakes are added to a list.
    pub(crate) fn all(
        api: &Arc<str>,
        options: &BTreeMap<String, KindOptions>,
        mistakes: &mut Vec<String>,
    ) -> Kinds {
        let kind = |(name, options): (&String, &KindOptions)| {
            if !is_word(name) || matches!(name.as_str(), "subject" | "tenant") {
                mistakes.push(format!("`{name}` is no name for a kind of objects: use letters, digits, `-` and `_`, and none of `subject` and `tenant`"));
            }
            if options.owner != "subject" && !is_word(&options.owner) {
                mistakes.push(format!(
                    "kind `{name}`: `{}` is neither `subject` nor the name of a key",
                    options.owner
                ));
            }
            let kind = Self {
                api: Arc::clone(api),
                name: name.as_str().into(),
                owner: Owner::named(&options.owner),
                references: options.references,
                numeric: options.numeric,
            };
            (name.clone(), Arc::new(kind))
        };
        options.iter().map(kind).collect()
    }

    /// The key by which objects are owned.
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Whether clients get references in place of ids.
    pub fn has_references(&self) -> bool {
        self.references.is_some()
    }

    /// What the store calls an object of this kind; `None` if it cannot have that id.
    pub fn named(&self, id: &str) -> Option<ObjectName> {
        is_id(id).then(|| self.object(id))
    }

    /// What the store calls an object of this kind.
    pub(crate) fn object(&self, id: &str) -> ObjectName {
        ObjectName { api: Arc::clone(&self.api), kind: Arc::clone(&self.name), id: id.to_owned() }
    }
}

impl Owner {
    /// The key of that name.
    pub fn named(key: &str) -> Self {
        if key == "subject" { Self::Subject } else { Self::Key(key.to_owned()) }
    }

    /// An owner in writing, from what services call him: a value of the key, `kind/subject` or `kind@issuer/subject`.
    pub fn written(&self, value: &str) -> String {
        match self {
            Self::Subject => format!("subject={value}"),
            Self::Key(key) => format!("{key}={value}"),
        }
    }

    /// An account as an owner, in writing; `None` if it has no such key.
    pub(crate) fn of(&self, account: &Account) -> Option<String> {
        match self {
            Self::Subject => {
                let kind = &account.kind;
                let account_in_writing = match account.told_apart_by() {
                    None => format!("{kind}/{}", account.subject),
                    Some(issuer) => format!("{kind}@{}/{}", escaped(issuer), account.subject),
                };
                Some(self.written(&account_in_writing))
            }
            Self::Key(key) => Some(self.written(account.keys.get(key).filter(|value| !value.is_empty())?)),
        }
    }

    /// Whether an account is the owner that was written.
    pub(crate) fn is(&self, account: &Account, written: &str) -> bool {
        let Some((key, value)) = written.split_once('=') else { return false };
        match self {
            Self::Subject => {
                let rest = value.strip_prefix(&*account.kind);
                let rest = match account.told_apart_by() {
                    None => rest,
                    Some(issuer) => rest
                        .and_then(|rest| rest.strip_prefix('@'))
                        .and_then(|rest| rest.strip_prefix(&*escaped(issuer))),
                };
                let subject = rest.and_then(|rest| rest.strip_prefix('/'));
                key == "subject" && subject == Some(account.subject.as_str())
            }
            Self::Key(own) => {
                key == own && account.keys.get(own).is_some_and(|own| !own.is_empty() && own == value)
            }
        }
    }
}

/// An issuer's name without the mark that ends it in writing.
fn escaped(issuer: &str) -> String {
    issuer.replace('%', "%25").replace('/', "%2F")
}

/// Whether an id can be kept: not empty, not too long, without control characters.
pub(crate) fn is_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= ID_BYTES_MAX && !id.chars().any(char::is_control)
}

pub(crate) fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::Owner;
    use crate::account::{Account, Issuer, People};
    use crate::objects::key::tests::account;

    /// T-F10.
    #[test]
    fn an_equal_subject_of_another_issuer_is_another_owner() {
        let of = |issuer: Option<(&str, People)>| Account {
            issuer: issuer.map(|(name, people)| Issuer { name: name.into(), people }),
            ..account("users", "ann", &[])
        };
        let all = [
            of(None),
            of(Some(("https://a.example", People::Own))),
            of(Some(("https://b.example/x", People::Own))),
            of(Some(("https://b.example%2Fx", People::Own))),
            of(Some(("", People::Own))),
            Account { subject: "a.example/ann".to_owned(), ..of(Some(("https://", People::Own))) },
            Account { subject: "@https://a.example/ann".to_owned(), ..of(None) },
        ];
        let owner = Owner::Subject;
        for (at, one) in all.iter().enumerate() {
            for (other, account) in all.iter().enumerate() {
                assert_eq!(owner.is(account, &owner.of(one).unwrap()), at == other, "{one:?} {account:?}");
            }
        }
        assert_eq!(owner.of(&all[2]).unwrap(), "subject=users@https:%2F%2Fb.example%2Fx/ann");
        // Where an administrator says that they are the same people, they are.
        for issuer in ["https://a.example", "https://b.example/x"] {
            let same = of(Some((issuer, People::Same)));
            assert_eq!(owner.of(&same), owner.of(&all[0]));
            assert!(owner.is(&same, "subject=users/ann"));
        }
    }

    #[test]
    fn an_owner_is_told_by_key_and_value() {
        let ann = account("users", "1", &[("customer", "7"), ("empty", "")]);
        let by = |key: &str| Owner::named(key);
        assert_eq!(by("subject").of(&ann).as_deref(), Some("subject=users/1"));
        assert_eq!(by("customer").of(&ann).as_deref(), Some("customer=7"));
        assert_eq!(by("empty").of(&ann), None);
        assert_eq!(by("other").of(&ann), None);
        for (key, written, expected) in [
            ("customer", "customer=7", true),
            ("customer", "customer=77", false),
            ("customer", "customer=", false),
            ("customer", "merchant=7", false),
            ("customer", "7", false),
            ("empty", "empty=", false),
            ("other", "other=", false),
            ("subject", "subject=users/1", true),
            ("subject", "subject=customers/1", false),
            ("subject", "subject=1", false),
            ("subject", "subject=users1", false),
            ("customer", "subject=users/1", false),
        ] {
            assert_eq!(by(key).is(&ann, written), expected, "{key} {written}");
        }
    }
}
