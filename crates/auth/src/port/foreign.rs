//! What others issue: their keys when they change, what their tokens mean here, tokens that only they can read.
//!
//! Whoever implements this says what a foreign token proves, and is reviewed like whoever implements
//! [`Lookups`](super::Lookups). Every method has an answer for implementors that know no foreign issuer.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use serde_json::{Map, Value};

use super::{Answer, IssuerKeys, Unavailable};
use crate::account::{Account, Issuer, Live, People};
use crate::link::PeerCertificate;
use crate::scheme::code::RANDOM_BYTES;
use crate::secret::Secret;
use crate::time::Time;

/// On what terms an API takes the tokens of an issuer, in the place of what its dialect says.
#[derive(Clone, Debug, Default)]
pub struct IssuerTerms {
    /// One of `aud`, byte for byte; a token that only its issuer can read may go without.
    pub audience: Option<String>,
    /// Which field or key of an identity is filled from which claim: a name, or a JSON pointer (RFC 6901).
    pub claims: Vec<(String, String)>,
    /// The gate's roles by what the claim for roles says; `None` takes them as they are.
    pub roles: Option<BTreeMap<String, Vec<String>>>,
    /// Whom its subjects name.
    pub people: People,
}

/// A front that logs people in and says who they are.
#[derive(Debug)]
pub struct FrontTerms {
    /// Where it connects from. Without networks it is never believed.
    pub networks: Vec<IpNet>,
    /// How it proves with each request that it is the front.
    pub proof: FrontProof,
    /// Domains of users that are taken, and taken off; empty takes names as they are.
    pub domains: Vec<String>,
    /// Whether an account is made for whoever comes for the first time.
    pub create: bool,
}

/// Which certificate is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateName {
    /// One for this host name or address (its `subjectAltName`).
    For(String),
    /// The very one with this SHA-256 of its DER.
    Sha256([u8; 32]),
}

impl CertificateName {
    /// Whether it is that one.
    pub fn is(&self, certificate: &dyn PeerCertificate) -> bool {
        match self {
            Self::For(name) => certificate.is_for(name),
            Self::Sha256(sha256) => certificate.sha256() == sha256,
        }
    }
}

/// How a front proves itself.
#[derive(Debug)]
pub enum FrontProof {
    /// It says a secret that only it has; compared in constant time.
    Secret(Secret),
    /// Its end of the connection showed a certificate, of an authority that the listener names, with this name.
    Certificate(CertificateName),
    /// It says a JWT whose subject is the user.
    Signed {
        /// Whose.
        issuer: String,
        /// For whom.
        audience: String,
    },
}

/// An issuer that logs people in in their browsers (OpenID Connect Core 1.0 section 3.1).
#[derive(Clone, Debug)]
pub struct LoginTerms {
    /// `iss`, byte for byte.
    pub issuer: String,
    /// The name that the gate has there: `client_id`, and `aud` of its ID tokens.
    pub client: String,
    /// Where browsers come back to, as it is registered there, byte for byte.
    pub redirect: String,
    /// What is asked for: `openid`, and what else.
    pub scope: String,
    /// As in [`IssuerTerms::claims`].
    pub claims: Vec<(String, String)>,
    /// As in [`IssuerTerms::roles`].
    pub roles: Option<BTreeMap<String, Vec<String>>>,
}

/// Where browsers are sent to log in.
pub struct LoginEntrance {
    /// The authorization endpoint.
    pub endpoint: String,
    /// Unpredictable, and never the same again.
    pub random: [u8; RANDOM_BYTES],
}

/// A code that a browser brought back. That this browser began this log-in with this issuer is proven.
#[derive(Debug)]
pub struct CodeClaim {
    /// The API.
    pub api: Arc<str>,
    /// The name of the log-in there.
    pub login: String,
    /// The code.
    pub code: Secret,
    /// The state that it came with: each is good once.
    pub state: String,
    /// The PKCE verifier that belongs to it.
    pub verifier: Secret,
    /// `iss` of the answer, if there was one, which is the issuer's then.
    pub said_issuer: Option<String>,
    /// Where it comes from; wrong ones count against it.
    pub address: IpAddr,
}

/// What becomes of a code.
#[derive(Debug)]
pub enum CodeAnswer {
    /// The ID token that the issuer gives for it; not verified.
    Token(Secret),
    /// The issuer does not take it, or it was shown before; the text is for the log.
    Refused(&'static str),
    /// The limits on unverified work are reached: come back later.
    TooMany,
}

/// Somebody whom an issuer logged in: its ID token was verified.
#[derive(Debug)]
pub struct LoggedIn {
    /// The API.
    pub api: Arc<str>,
    /// The name of the log-in there.
    pub login: String,
    /// What the issuer knows him by: `sub`, which it never reassigns.
    pub id: String,
    /// What its claims say of him; empty where they say nothing.
    pub described: Account,
}

/// A token that only its issuer can read.
#[derive(Debug)]
pub struct OpaqueClaim {
    /// The API at which it is presented.
    pub api: Arc<str>,
    /// The credential that it was presented as.
    pub credential: Arc<str>,
    /// The token.
    pub value: Secret,
    /// For whom it is asked.
    pub asker: Asker,
}

/// For whom the issuer of a token is asked about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// A request from that address; wrong tokens count against it.
    Request(IpAddr),
    /// Something that goes on and that the token opened when it was good: nobody tries anything, and it waits for its turn.
    Channel,
}

/// What its issuer says of it.
#[derive(Clone, Debug)]
pub enum OpaqueAnswer {
    /// It is good.
    Active {
        /// What it says; signed by nobody, but told by the issuer itself.
        claims: Arc<Map<String, Value>>,
        /// Who says so.
        issuer: Issuer,
        /// How that is to be read.
        terms: Arc<IssuerTerms>,
        /// Not to be used from then on without another question.
        until: Time,
        /// When it ends by itself, where the issuer says so.
        ends_at: Option<Time>,
    },
    /// It is not; the text is for the log.
    Refused(&'static str),
    /// The limits on unverified work are reached: come back later.
    TooMany,
}

/// See the module's words.
pub trait Foreign: Send + Sync {
    /// On what terms an API takes the tokens of an issuer, if it says so itself; from memory.
    fn issuer_terms(&self, _api: &str, _issuer: &str) -> Option<Arc<IssuerTerms>> {
        None
    }

    /// The account that a token of an issuer describes, alive as long as the keys that it was verified by: the copy at
    /// hand, if one says the same, with what was signed about it; from memory.
    fn described(&self, account: Account, keys: &[Live]) -> Arc<Account> {
        Arc::new(Account { live: Live::under(keys.iter().cloned()), ..account })
    }

    /// The keys of an issuer, fetched anew if that may be done now (T-C5); `None` if there are no newer ones than
    /// those at hand. Fails while they cannot be fetched: a key that is not at hand may be there then.
    fn renewed_keys(
        &self,
        _api: &str,
        _issuer: &str,
    ) -> Answer<Result<Option<Arc<IssuerKeys>>, Unavailable>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    /// Whether somebody can be asked about tokens that come as a credential; from memory.
    fn introspects(&self, _api: &str, _credential: &str) -> bool {
        false
    }

    /// Asks the issuer of a token whether it is good (RFC 7662).
    fn introspect(&self, _claim: OpaqueClaim, _now: Time) -> Answer<Result<OpaqueAnswer, Unavailable>> {
        Box::pin(std::future::ready(Ok(OpaqueAnswer::Refused("nobody is asked about such tokens"))))
    }

    /// The terms of a log-in of an API by its name; from memory.
    fn login_terms(&self, _api: &str, _login: &str) -> Option<Arc<LoginTerms>> {
        None
    }

    /// Where that log-in begins, which the issuer may have to be asked.
    fn login_entrance(&self, _api: &str, _login: &str) -> Answer<Result<LoginEntrance, Unavailable>> {
        Box::pin(std::future::ready(Err(Unavailable("no issuer logs anybody in".to_owned()))))
    }

    /// Asks the issuer for the ID token that a code stands for.
    fn redeem_code(&self, _claim: CodeClaim, _now: Time) -> Answer<Result<CodeAnswer, Unavailable>> {
        Box::pin(std::future::ready(Ok(CodeAnswer::Refused("no issuer logs anybody in"))))
    }

    /// Whose account it is of somebody whom an issuer logged in, made at first sight if that is wanted; or why he has
    /// none, for the log.
    fn logged_in(
        &self,
        _person: LoggedIn,
        _now: Time,
    ) -> Answer<Result<Result<Arc<Account>, &'static str>, Unavailable>> {
        Box::pin(std::future::ready(Ok(Err("no issuer logs anybody in"))))
    }

    /// The front of an API, if it has one; from memory.
    fn front(&self, _api: &str) -> Option<Arc<FrontTerms>> {
        None
    }

    /// An enabled account by kind and name; from memory.
    fn account_by_name(&self, _kind: &str, _name: &str) -> Option<Arc<Account>> {
        None
    }

    /// The account of somebody whom an API's front logged in and whom the gate has not seen, if one is to be made.
    fn introduced(
        &self,
        _api: &str,
        _kind: &str,
        _name: &str,
        _now: Time,
    ) -> Answer<Result<Option<Arc<Account>>, Unavailable>> {
        Box::pin(std::future::ready(Ok(None)))
    }
}
