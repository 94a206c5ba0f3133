//! What an API's configuration says of its dialect.

use std::collections::BTreeMap;
use std::time::Duration;

use super::digest::DigestOptions;
use super::logins::LoginOption;
use crate::cookie::SameSite;
use crate::objects::KindOptions;
use crate::policy::RouteOptions;

/// What `negotiate` and `ntlm` credentials can be proven by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// Kerberos: one message is enough.
    Kerberos,
    /// NTLM: three messages on one connection.
    Ntlm,
}

/// What an API's configuration says of its dialect.
#[derive(Clone, Debug, Default)]
pub struct ApiOptions {
    /// The API's name: the audience of its assertions, and part of every token's digest.
    pub name: String,
    /// Which deployment; the dialect's first if none is named.
    pub deployment: Option<String>,
    /// Credentials to switch on beside the deployment's.
    pub enable: Vec<String>,
    /// Credentials to switch off.
    pub disable: Vec<String>,
    /// What must be typed twice: unproven credentials that are on, and `csrf` where it is off.
    pub dangerous: Vec<String>,
    /// In place of the dialect's realm.
    pub realm: Option<String>,
    /// Whether the dialect's CSRF protection is off.
    pub csrf_off: bool,
    /// In place of the dialect's CSRF header.
    pub csrf_header: Option<String>,
    /// By token word.
    pub tokens: BTreeMap<String, TokenSettings>,
    /// Who may do what. No rule means no.
    pub routes: Vec<RouteOptions>,
    /// The tenants that are admitted; empty for all.
    pub tenants: Vec<String>,
    /// How Windows' log-ins are checked here.
    pub mechanisms: Vec<Mechanism>,
    /// Kinds of objects, by name.
    pub objects: BTreeMap<String, KindOptions>,
    /// Whether refusals may say more than production should.
    pub development: bool,
    /// In place of what the dialect says of its cookies. With `None` they are `Secure` on every connection.
    pub same_site: Option<SameSite>,
    /// Named services, or single endpoints that mount one, that are left to the service behind the gate.
    pub leave: Vec<String>,
    /// What Digest offers here, where it is on.
    pub digest: DigestOptions,
    /// Whom browsers may log in with, in the order of their links.
    pub logins: Vec<LoginOption>,
    /// The one of them that browsers are sent to at once where the dialect has a sign-in page.
    pub sign_in_with: Option<String>,
}

/// Lifetimes in place of a dialect's.
#[derive(Clone, Debug, Default)]
pub struct TokenSettings {
    /// Ends so long after its last use.
    pub idle: Option<Duration>,
    /// Ends so long after it was issued.
    pub lifetime: Option<Duration>,
    /// How many of one account may live at once.
    pub per_account: Option<u32>,
}
