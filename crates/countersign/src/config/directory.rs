//! `[directory.NAME]`: who else says whether a password is right.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::asked::{Filled, Roles, remember, timeout};
use super::value::{Period, Url};

/// `[directory.NAME]`
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Directory {
    /// An LDAP server or Active Directory; this or `http`.
    #[serde(default)]
    pub(crate) ldap: Option<Ldap>,
    /// A login service that answers over HTTP; this or `ldap`.
    #[serde(default)]
    pub(crate) http: Option<Http>,
    /// Whether an account is made for whoever logs in for the first time; without it only who has one gets in.
    #[serde(default)]
    pub(crate) create: bool,
    /// Roles by the directory's groups, by name or distinguished name; with it the directory decides about roles.
    #[serde(default)]
    pub(crate) roles: Roles,
    /// How many passwords are checked there at once.
    #[serde(default = "at_once")]
    #[schemars(range(min = 1, max = 1000))]
    pub(crate) at_once: u32,
    /// How many may wait for that; more are told to come back later.
    #[serde(default = "waiting")]
    #[schemars(range(min = 0, max = 100_000))]
    pub(crate) waiting: u32,
    /// How long a password that it called right is good for without another question, where it comes with each request.
    #[serde(default = "remember")]
    pub(crate) remember: Period,
    /// How long one answer may take.
    #[serde(default = "timeout")]
    pub(crate) timeout: Period,
}

const fn at_once() -> u32 {
    8
}

const fn waiting() -> u32 {
    128
}

/// `[directory.NAME.ldap]`
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ldap {
    /// The servers in the order in which they are tried: `ldaps://host`, or `ldap://host` with `start_tls`.
    pub(crate) servers: Vec<Url>,
    /// Whether a connection to an `ldap://` server begins with StartTLS; only servers on this machine may go without.
    #[serde(default)]
    pub(crate) start_tls: bool,
    /// A PEM file with the authorities of the servers' certificates; the system's if it is not given.
    #[serde(default)]
    pub(crate) ca: Option<PathBuf>,
    /// Below which entry people are.
    pub(crate) base: String,
    /// How the entry of a user is searched for, like `(uid={user})`; goes with `search_as`.
    #[serde(default)]
    pub(crate) filter: Option<String>,
    /// The account that searches.
    #[serde(default)]
    pub(crate) search_as: Option<SearchAs>,
    /// In place of `filter`: the name that a user is bound as, like `uid={user},ou=people,dc=example,dc=com` or
    /// `{user}@corp.example.com`.
    #[serde(default)]
    pub(crate) bind: Option<String>,
    /// The attribute that a person keeps for good: `entryUUID`, or `objectGUID` in Active Directory.
    #[serde(default = "id")]
    pub(crate) id: String,
    /// Which attribute fills what: name, subject, full_name, first_name, last_name, email, tenant, or a key.
    #[serde(default)]
    pub(crate) attributes: Filled,
    /// Where groups come from; goes with `roles`.
    #[serde(default)]
    pub(crate) groups: Option<Groups>,
}

fn id() -> String {
    String::from("entryUUID")
}

/// `search_as` of an LDAP directory.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SearchAs {
    /// Its distinguished name, or what else the directory takes in its place.
    pub(crate) name: String,
    /// A file with its password and nothing else.
    pub(crate) password_file: PathBuf,
}

/// `groups` of an LDAP directory: an attribute of a person's entry, or a search.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Groups {
    /// The attribute that lists them, like `memberOf`; this or `filter`.
    #[serde(default)]
    pub(crate) attribute: Option<String>,
    /// How they are searched for, like `(member={dn})`; `{user}` is what was typed.
    #[serde(default)]
    pub(crate) filter: Option<String>,
    /// Below which entry; `base` of the directory if it is not given.
    #[serde(default)]
    pub(crate) base: Option<String>,
    /// The attribute that names a group in `roles`, beside its distinguished name.
    #[serde(default = "group_name")]
    pub(crate) name: String,
    /// Whether groups of groups count: each is searched for in turn.
    #[serde(default)]
    pub(crate) nested: bool,
}

fn group_name() -> String {
    String::from("cn")
}

/// `[directory.NAME.http]`
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Http {
    /// Where user and password are posted: https, or http on this machine.
    pub(crate) url: Url,
    /// How they are written.
    #[serde(default)]
    pub(crate) body: BodyWord,
    /// The member for the user.
    #[serde(default = "user_field")]
    pub(crate) user_field: String,
    /// The member for the password.
    #[serde(default = "password_field")]
    pub(crate) password_field: String,
    /// Members that are always the same.
    #[serde(default)]
    pub(crate) fields: BTreeMap<String, String>,
    /// A file with the value of the `Authorization` header that the gate proves itself with.
    #[serde(default)]
    pub(crate) authorization_file: Option<PathBuf>,
    /// Statuses that say that the password is right.
    #[serde(default = "right")]
    pub(crate) right: Vec<u16>,
    /// Statuses that say that it is wrong; any other one says nothing, and is a 503. 401 and 403 if it is not given, which it
    /// must be with `authorization_file`: such a service may answer so to the gate.
    #[serde(default)]
    pub(crate) wrong: Option<Vec<u16>>,
    /// A JSON pointer to what a person keeps for good, like `/user/id`; what was typed if it is not given.
    #[serde(default)]
    pub(crate) id: Option<String>,
    /// Which JSON pointer fills what: name, subject, full_name, first_name, last_name, email, tenant, or a key.
    #[serde(default)]
    pub(crate) attributes: Filled,
    /// A JSON pointer to the groups; goes with `roles`.
    #[serde(default)]
    pub(crate) groups: Option<String>,
}

fn user_field() -> String {
    String::from("user")
}

fn password_field() -> String {
    String::from("password")
}

fn right() -> Vec<u16> {
    vec![200]
}

/// How a login service is sent what it is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum BodyWord {
    /// A JSON object.
    #[default]
    Json,
    /// A form.
    Form,
}

/// `[[api.directory]]`: which log-ins a directory is asked about.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Use {
    /// A `[directory.NAME]`.
    pub(crate) name: String,
    /// Log-ins that name this identity provider; without it those that name none and are no account of the gate's own
    /// with a password.
    #[serde(default)]
    pub(crate) provider: Option<String>,
    /// And this domain of it.
    #[serde(default)]
    pub(crate) domain: Option<String>,
    /// Which accounts its people have.
    #[serde(default = "users")]
    pub(crate) accounts: String,
}

fn users() -> String {
    String::from("users")
}

/// `[outbound]`: how the gate asks others over HTTP.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Outbound {
    /// A PEM file with the authorities whose certificates are believed; the system's if it is not given.
    pub(crate) ca: Option<PathBuf>,
}
