//! `issuers` of an API: whose signed tokens it takes.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::asked::{Filled, Roles, remember, timeout};
use super::value::{Network, Period, Url};

/// `issuers."ISS"` of an API.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Issuer {
    /// The gate's own tokens.
    Word(IssuerWord),
    /// Somebody else's.
    Foreign(Box<ForeignIssuer>),
}

/// An issuer that needs no file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum IssuerWord {
    /// The gate itself.
    #[serde(rename = "self")]
    Gate,
}

/// Somebody else: where his keys are (one of the four), and on what terms his tokens are taken.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ForeignIssuer {
    /// A JSON Web Key Set (RFC 7517).
    #[serde(default)]
    pub(crate) jwks_file: Option<PathBuf>,
    /// A public key in PEM.
    #[serde(default)]
    pub(crate) pem_file: Option<PathBuf>,
    /// Where a JSON Web Key Set is fetched: https, or http on this machine.
    #[serde(default)]
    pub(crate) jwks_url: Option<Url>,
    /// The discovery document that says where (`…/.well-known/openid-configuration`).
    #[serde(default)]
    pub(crate) discovery: Option<Url>,
    /// How long fetched keys are good for before they are fetched again.
    #[serde(default = "refresh")]
    pub(crate) refresh: Period,
    /// How long they serve on while they cannot be fetched.
    #[serde(default = "stale")]
    pub(crate) stale: Period,
    /// `aud` of its tokens; the dialect's if it is not given.
    #[serde(default)]
    pub(crate) audience: Option<String>,
    /// Which claim fills what: subject, tenant, roles, name, email, first_name, last_name, or a key; by its name, or by
    /// a JSON pointer. The dialect's if it is not given.
    #[serde(default)]
    pub(crate) claims: Filled,
    /// Roles by what the claim for roles says; without it they are taken as they are.
    #[serde(default)]
    pub(crate) roles: Roles,
    /// Whether its subjects name the same people as those of the gate's own accounts, and of other issuers that say so.
    /// No: an equal subject is somebody else. Must be said where a route compares subjects,
    /// or the dialect tells services them in a header.
    #[serde(default)]
    pub(crate) same_people: Option<bool>,
    /// People log in with it in their browsers.
    #[serde(default)]
    pub(crate) login: Option<Login>,
}

/// `login` of an issuer: OpenID Connect, authorization code with PKCE.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Login {
    /// What it is called in paths: small letters, digits and `-`.
    pub(crate) name: String,
    /// What people read on the sign-in page; the name if it is not given.
    #[serde(default)]
    pub(crate) title: Option<String>,
    /// The name that the gate has there (`client_id`).
    pub(crate) client: String,
    /// A file with its secret and nothing else; without it PKCE alone is the gate's proof.
    #[serde(default)]
    pub(crate) secret_file: Option<PathBuf>,
    /// What is asked for beside `openid`.
    #[serde(default = "scopes")]
    pub(crate) scopes: Vec<String>,
    /// The address that is registered there for the way back: https, or http on this machine. It ends with the
    /// dialect's path.
    pub(crate) redirect: Url,
    /// Where browsers are sent, if the discovery document does not say it; goes with `token_url`.
    #[serde(default)]
    pub(crate) authorize_url: Option<Url>,
    /// Where codes are exchanged.
    #[serde(default)]
    pub(crate) token_url: Option<Url>,
    /// Whether an account is made for whoever comes for the first time.
    #[serde(default)]
    pub(crate) create: bool,
    /// Whether a browser that opens a page without a session is sent there at once; the sign-in page is still at its
    /// own address.
    #[serde(default)]
    pub(crate) straight: bool,
    /// How long an answer may take.
    #[serde(default = "timeout")]
    pub(crate) timeout: Period,
}

fn scopes() -> Vec<String> {
    ["profile", "email"].map(String::from).to_vec()
}

const fn refresh() -> Period {
    Period::secs(300)
}

const fn stale() -> Period {
    Period::secs(24 * 3600)
}

/// `introspection.CREDENTIAL` of an API: who is asked about tokens that only their issuer can read (RFC 7662).
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Introspection {
    /// Where: https, or http on this machine.
    pub(crate) url: Url,
    /// The name that the gate has there.
    pub(crate) client: String,
    /// A file with its secret and nothing else.
    pub(crate) secret_file: PathBuf,
    /// `iss` of the answers, if it must be a certain one.
    #[serde(default)]
    pub(crate) issuer: Option<String>,
    /// `aud` of the answers, if they must say one.
    #[serde(default)]
    pub(crate) audience: Option<String>,
    /// Which member fills what, as in `issuers`.
    #[serde(default)]
    pub(crate) claims: Filled,
    /// Roles by what the member for roles says; without it they are taken as they are.
    #[serde(default)]
    pub(crate) roles: Roles,
    /// Whether the subjects name the same people as those of the gate's own accounts, and of other issuers that say so.
    /// No: an equal subject is somebody else. Must be said where a route compares subjects,
    /// or the dialect tells services them in a header.
    #[serde(default)]
    pub(crate) same_people: Option<bool>,
    /// How long a good token is good for without another question; never longer than it lives.
    #[serde(default = "remember")]
    pub(crate) remember: Period,
    /// How long an answer may take.
    #[serde(default = "timeout")]
    pub(crate) timeout: Period,
}

/// `front` of an API: a front that logs people in and says who they are in the header that the dialect names.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Front {
    /// Where it connects from; from anywhere else it is not believed.
    pub(crate) networks: Vec<Network>,
    /// A file with the secret that it says with each request, in the header that the dialect names for the proof; this,
    /// `issuer` or `certificate`.
    #[serde(default)]
    pub(crate) secret_file: Option<PathBuf>,
    /// One of `issuers`, whose JWT for that very user the front sends as its proof.
    #[serde(default)]
    pub(crate) issuer: Option<String>,
    /// The host name or address in the certificate that it shows, of an authority in `client_ca` of the listener; or
    /// `sha256:` and the hash of that very certificate in hexadecimal digits.
    #[serde(default)]
    pub(crate) certificate: Option<String>,
    /// `aud` of the tokens of `issuer`; the API's name if it is not given.
    #[serde(default)]
    pub(crate) audience: Option<String>,
    /// Domains of users that are taken, and taken off: `CORP` of `CORP\\ann`, `corp.example` of `ann@corp.example`.
    #[serde(default)]
    pub(crate) domains: Vec<String>,
    /// Whether an account is made for whoever comes for the first time.
    #[serde(default)]
    pub(crate) create: bool,
}
