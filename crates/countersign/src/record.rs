//! Accounts, keys and sessions as the command line shows and takes them: plain data, no secrets.

use std::collections::BTreeMap;
use std::fmt;

use countersign_auth::time::Time;
use countersign_identity::accounts::Standing;
use serde::{Deserialize, Serialize};

use crate::config::value::Period;

/// Which account is meant: a kind and a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Whose {
    /// `users`, `clients`, ...
    pub(crate) kind: String,
    /// What its owner types to log in.
    pub(crate) name: String,
}

/// Whose an object of a service is to be.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct NewObject {
    /// What the service calls it.
    pub(crate) id: String,
    /// A value of its kind's key, `kind/subject` or `kind@issuer/subject`.
    pub(crate) owner: String,
    /// The tenant that he must act for.
    pub(crate) tenant: Option<String>,
}

/// An object of a service.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Object {
    /// What the service calls it.
    pub(crate) id: String,
    /// Whose it is, as `key=value`; nobody's if it is not there.
    pub(crate) owner: Option<String>,
    /// The tenant that he must act for.
    pub(crate) tenant: Option<String>,
    /// What clients call it, where its owner is known: whoever holds one of nobody's holds the object.
    pub(crate) reference: Option<String>,
    /// When it ends.
    pub(crate) ends_at: Option<Moment>,
}

/// An account to be made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct NewAccount {
    /// Its kind and name.
    pub(crate) whose: Whose,
    /// What upstreams are told; its name if it is not given.
    pub(crate) subject: Option<String>,
    /// For people to read.
    pub(crate) first_name: String,
    /// For people to read.
    pub(crate) last_name: String,
    /// May be empty.
    pub(crate) email: String,
    /// On whose behalf it acts.
    pub(crate) tenant: Option<String>,
    /// In no order.
    pub(crate) roles: Vec<String>,
    /// Verified keys.
    pub(crate) keys: BTreeMap<String, String>,
    /// The schemes that password-equivalents are to be kept for.
    pub(crate) weaker: Vec<String>,
}

impl NewAccount {
    /// First and last name together.
    pub(crate) fn full_name(&self) -> String {
        [self.first_name.as_str(), self.last_name.as_str()].join(" ").trim().to_owned()
    }
}

/// An account that is there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Account {
    /// Its number, as access lines have it.
    pub(crate) id: u64,
    /// Its kind and name.
    #[serde(flatten)]
    pub(crate) whose: Whose,
    /// What upstreams are told.
    pub(crate) subject: String,
    /// For people to read.
    pub(crate) full_name: String,
    /// May be empty.
    pub(crate) email: String,
    /// On whose behalf it acts.
    pub(crate) tenant: Option<String>,
    /// In no order.
    pub(crate) roles: Vec<String>,
    /// Verified keys.
    pub(crate) keys: BTreeMap<String, String>,
    /// Whether it may log in.
    pub(crate) state: AccountState,
    /// Until when attempts are refused after wrong passwords, at least from where those came.
    pub(crate) locked_until: Option<Moment>,
    /// The schemes that password-equivalents are kept for.
    pub(crate) weaker: Vec<String>,
}

/// Something that happened, as the audit has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct AuditEvent {
    /// When.
    pub(crate) at: Moment,
    /// Who did it.
    pub(crate) actor: String,
    /// What.
    pub(crate) event: String,
    /// To what.
    pub(crate) object: String,
    /// From where; empty for the gate itself and the command line.
    pub(crate) address: String,
}

/// Whether an account may log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AccountState {
    /// It may.
    Enabled,
    /// An administrator said no.
    Disabled,
}

impl AccountState {
    /// Its word.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
        }
    }
}

impl From<Standing> for AccountState {
    fn from(standing: Standing) -> Self {
        match standing {
            Standing::Enabled => Self::Enabled,
            Standing::Disabled => Self::Disabled,
        }
    }
}

/// A key to be made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct NewKey {
    /// Of which API.
    pub(crate) api: String,
    /// Of which application.
    pub(crate) owner: String,
    /// What it is for.
    pub(crate) label: String,
    /// What it is for, in more words.
    pub(crate) description: String,
    /// It ends after this time; never if it is not given.
    pub(crate) lifetime: Option<Period>,
}

/// A key that is there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Key {
    /// Its public id.
    pub(crate) id: String,
    /// The application that it belongs to.
    pub(crate) owner: String,
    /// Whether that application may act: with one that may not the key is refused.
    pub(crate) state: AccountState,
    /// What it is for.
    pub(crate) label: String,
    /// What it is for, in more words.
    pub(crate) description: String,
    /// When it was made.
    pub(crate) created_at: Moment,
    /// When it ends, if it does.
    pub(crate) expires_at: Option<Moment>,
}

/// A session or another token that lives.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Session {
    /// Its public name.
    pub(crate) reference: String,
    /// Of which API.
    pub(crate) api: String,
    /// Its word in the dialect.
    pub(crate) word: String,
    /// Whose; empty if anonymous.
    pub(crate) subject: String,
    /// When it was issued.
    pub(crate) issued_at: Moment,
    /// When it ends if it is not used again.
    pub(crate) expires_at: Option<Moment>,
}

/// A moment as people and programs read it: RFC 3339, UTC, whole seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Moment(String);

impl From<Time> for Moment {
    fn from(time: Time) -> Self {
        Self(jiff::Timestamp::from_second(time.unix_secs()).map(|time| time.to_string()).unwrap_or_default())
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A key with its value, which is shown once.
#[derive(Serialize, Deserialize)]
pub(crate) struct ShownKey {
    /// What everybody may see.
    pub(crate) key: Key,
    /// Its value.
    pub(crate) value: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_in_utc() {
        assert_eq!(Moment::from(Time::from_unix_secs(1_403_488_815)).to_string(), "2014-06-23T02:00:15Z");
    }
}
