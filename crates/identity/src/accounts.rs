//! Accounts: what they may look like, and the directory of them in memory.

pub(crate) mod directory;
pub(crate) mod rows;

use std::collections::BTreeMap;
use std::sync::Arc;

use countersign_auth::account::{Account, KINDS};
use countersign_auth::port::Unavailable;
use countersign_auth::secret::Secret;
use countersign_auth::time::Time;

use crate::equivalents::WeakerScheme;

/// Longer values fit no header beside everything else that is told to an upstream.
const TEXT_BYTES_MAX: usize = 256;
/// Roles and keys of one account travel in one assertion.
const LIST_MAX: usize = 64;

/// What an account is to be: everything but its number and its times.
#[derive(Debug, Default)]
pub struct AccountDraft {
    /// One of [`KINDS`]; it never changes.
    pub kind: String,
    /// What a person types to log in; unique within the kind, ASCII case ignored. At most 256 bytes, no colon
    /// (Basic could not carry it), no control characters.
    pub name: String,
    /// What upstreams are told; unique within the kind. The name if `None`.
    pub subject: Option<String>,
    /// For people to read.
    pub full_name: String,
    /// May be empty.
    pub first_name: String,
    /// May be empty.
    pub last_name: String,
    /// May be empty. Serves to log in as well, as long as one account of the kind has it.
    pub email: String,
    /// The company on whose behalf it acts.
    pub tenant: Option<String>,
    /// Roles; at most 64.
    pub roles: Vec<String>,
    /// Verified keys, e.g. `customer` = `4711`; at most 64.
    pub keys: BTreeMap<String, String>,
    /// A password to set; `None` leaves things as they are.
    pub password: Option<Secret>,
    /// The password that is set here is to be changed at the first log-in.
    pub password_due: bool,
    /// Nobody may act as it when it is made; a change leaves that as it is.
    pub disabled: bool,
    /// What the password that is set here is kept for beside log-ins: password-equivalents, marked weaker.
    pub weaker: Vec<WeakerScheme>,
}

/// An account as administrators see it.
#[derive(Clone, Debug)]
pub struct AccountView {
    /// What everybody sees.
    pub account: Arc<Account>,
    /// Whether anybody may act as it.
    pub standing: Standing,
    /// Whether it has a password.
    pub password: PasswordState,
    /// The schemes that password-equivalents are kept for: whoever steals them logs in without the password.
    pub weaker: Vec<WeakerScheme>,
    /// When it was made.
    pub created_at: Time,
    /// When it was last changed.
    pub updated_at: Time,
}

/// Whether anybody may act as an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Yes.
    Enabled,
    /// No; sessions are ended, passwords and keys refused.
    Disabled,
}

/// Whether an account has a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordState {
    /// No: nobody can log in with one.
    None,
    /// It has.
    Set,
    /// It has one that must be changed before anything else.
    Due,
}

/// Why an account was not made or changed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AccountError {
    /// A field cannot be as it is.
    #[error("{field} {problem}")]
    Unfit {
        /// Which.
        field: &'static str,
        /// Why not, for people.
        problem: &'static str,
    },
    /// Another account has the name or the subject.
    #[error("{0}")]
    Taken(&'static str),
    /// There is no such account.
    #[error("no such account")]
    NotFound,
    /// Too many passwords are being worked on.
    #[error("too many passwords are being worked on")]
    TooMany,
    /// The store could not be asked.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl AccountDraft {
    /// A draft of that kind and name, with nothing else.
    pub fn new(kind: &str, name: &str) -> Self {
        Self { kind: kind.to_owned(), name: name.to_owned(), ..Self::default() }
    }

    /// What an account is now, to be changed.
    pub fn of(account: &Account) -> Self {
        Self {
            subject: Some(account.subject.clone()),
            full_name: account.full_name.clone(),
            first_name: account.first_name.clone(),
            last_name: account.last_name.clone(),
            email: account.email.clone(),
            tenant: account.tenant.clone(),
            roles: account.roles.clone(),
            keys: account.keys.clone(),
            ..Self::new(&account.kind, &account.name)
        }
    }

    /// Whether an account is this already, its kind and its password aside.
    pub(crate) fn is_as(&self, account: &Account) -> bool {
        let texts = [
            (self.subject.as_ref().unwrap_or(&self.name), &account.subject),
            (&self.full_name, &account.full_name),
            (&self.first_name, &account.first_name),
            (&self.last_name, &account.last_name),
            (&self.email, &account.email),
        ];
        account.name == self.name
            && texts.into_iter().all(|(one, other)| one == other)
            && (&self.tenant, &self.roles, &self.keys) == (&account.tenant, &account.roles, &account.keys)
    }

    /// Checks everything but the password and what is taken.
    pub(crate) fn check(&self) -> Result<(), AccountError> {
        let unfit = |field, problem| Err(AccountError::Unfit { field, problem });
        if !KINDS.contains(&self.kind.as_str()) {
            return unfit(
                "kind",
                "is none of users, clients, customers, oauth-clients, applications, devices",
            );
        }
        if self.name.is_empty() || self.subject.as_ref().is_some_and(String::is_empty) {
            return unfit("name", "is empty");
        }
        if self.name.contains(':') {
            return unfit("name", "has a colon, which Basic authentication cannot carry");
        }
        if self.name.trim() != self.name {
            return unfit("name", "begins or ends with a blank");
        }
        // Services that read the subject in a header of its own would take it for another's.
        if self.subject.as_ref().is_some_and(|subject| subject.trim() != subject) {
            return unfit("subject", "begins or ends with a blank");
        }
        if self.roles.len() > LIST_MAX || self.keys.len() > LIST_MAX {
            return unfit("roles or keys", "are too many; 64 at most");
        }
        let texts = [
            ("name", &self.name),
            ("full_name", &self.full_name),
            ("first_name", &self.first_name),
            ("last_name", &self.last_name),
            ("email", &self.email),
        ];
        let more = self.subject.iter().map(|text| ("subject", text));
        let more = more.chain(self.tenant.iter().map(|text| ("tenant", text)));
        let more = more.chain(self.roles.iter().map(|text| ("roles", text)));
        let more = more.chain(self.keys.iter().flat_map(|(key, value)| [("keys", key), ("keys", value)]));
        for (field, text) in texts.into_iter().chain(more) {
            if text.len() > TEXT_BYTES_MAX {
                return unfit(field, "is longer than 256 bytes");
            }
            // What reaches a header must not end it (T-B9).
            if text.chars().any(char::is_control) {
                return unfit(field, "has a control character");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        reason = "tests"
    )]
    use super::*;

    #[test]
    fn drafts_are_checked() {
        let check = |change: fn(&mut AccountDraft), expected: &str| {
            let mut draft = AccountDraft::new("users", "ann");
            change(&mut draft);
            let answer = draft.check().map_or_else(|error| error.to_string(), |()| "fit".to_owned());
            assert_eq!(answer, expected);
        };
        check(|_| {}, "fit");
        check(|draft| draft.email = "ann@example.com".to_owned(), "fit");
        check(|draft| draft.name = String::new(), "name is empty");
        check(|draft| draft.subject = Some(String::new()), "name is empty");
        check(|draft| draft.name = " ann".to_owned(), "name begins or ends with a blank");
        check(|draft| draft.subject = Some("ann ".to_owned()), "subject begins or ends with a blank");
        check(
            |draft| draft.name = "a:b".to_owned(),
            "name has a colon, which Basic authentication cannot carry",
        );
        check(
            |draft| draft.kind = "gods".to_owned(),
            "kind is none of users, clients, customers, oauth-clients, applications, devices",
        );
        check(|draft| draft.tenant = Some("a\r\nb".to_owned()), "tenant has a control character");
        check(|draft| draft.roles = vec!["r".repeat(257)], "roles is longer than 256 bytes");
        check(|draft| draft.roles = vec![String::new(); 65], "roles or keys are too many; 64 at most");
    }
}
