//! What others issue: their keys when they change, what their tokens mean here, tokens that only they can read.
//!
//! Whoever implements this says what a foreign token proves, and is reviewed like whoever implements
//! [`Lookups`](super::Lookups). Every method has an answer for implementors that know no foreign issuer.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Answer, IssuerKeys, Unavailable};
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
    /// Where it comes from; wrong ones count against it.
    pub address: IpAddr,
}

/// What its issuer says of it.
#[derive(Clone, Debug)]
pub enum OpaqueAnswer {
    /// It is good.
    Active {
        /// What it says; signed by nobody, but told by the issuer itself.
        claims: Arc<Map<String, Value>>,
        /// How that is to be read.
        terms: Arc<IssuerTerms>,
        /// Not to be used from then on without another question.
        until: Time,
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

    /// The keys of an issuer, fetched anew if that may be done now (T-C5); `None` if there are no newer ones than
    /// those at hand.
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
}
