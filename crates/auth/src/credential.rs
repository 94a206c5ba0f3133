//! What a client presented, unverified.

use std::fmt;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::dialect::{CredentialRule, Scheme};
use crate::link::Bound;
use crate::secret::Secret;

/// A credential that was recognized and taken out of a request. Nothing about it is proven.
pub struct Credential {
    pub(crate) rule: Arc<CredentialRule>,
    pub(crate) proof: Proof,
    pub(crate) said: Said,
}

/// What came beside the proof, and must agree with the account that is proven.
#[derive(Default)]
pub(crate) struct Said {
    pub(crate) user: Option<String>,
    pub(crate) tenant: Option<String>,
    /// The secret of the application that speaks for the account.
    pub(crate) app: Option<Secret>,
}

/// The values of a token credential: shared with whoever took them out of the request, and with the session found.
pub(crate) type TokenValues = SmallVec<[Arc<Secret>; 1]>;

/// The values that came with it.
pub(crate) enum Proof {
    Password {
        user: String,
        password: Secret,
        provider: Option<String>,
        domain: Option<String>,
        tenant: Option<String>,
    },
    Token {
        /// Several only where a dialect takes the first live one of repeated cookies.
        values: TokenValues,
        second: Option<Secret>,
    },
    Jwt {
        /// Shared with what it opens, if only its issuer can read it.
        value: Arc<Secret>,
    },
    /// A message of SPNEGO or NTLM, in base64.
    Negotiation {
        message: Secret,
    },
    /// Nothing came with the request: it was proven on the connection before.
    Bound(Bound),
    /// What a front says, and what it proves itself with.
    Front {
        user: String,
        proof: Option<Secret>,
    },
    /// What a browser brings back from an issuer.
    Code(Box<Return>),
    Digest {
        /// What follows the scheme's word: nothing in it is secret, the response is good once.
        value: String,
    },
    Unproven {
        subject: String,
    },
}

/// What a browser brings back from an issuer (RFC 6749 section 4.1.2, RFC 9207), and what it had before it went.
pub(crate) struct Return {
    /// The issuer's name in the path.
    pub(crate) issuer: String,
    pub(crate) code: Option<Secret>,
    pub(crate) state: Option<String>,
    /// `iss`.
    pub(crate) said_issuer: Option<String>,
    pub(crate) error: Option<String>,
    /// The cookies that may say which browser it is: of this host alone, and the one in clear.
    pub(crate) of_host: Option<Secret>,
    pub(crate) in_clear: Option<Secret>,
}

impl Credential {
    /// The name of the dialect's rule that recognized it.
    pub fn name(&self) -> &str {
        &self.rule.name
    }

    /// How it is to be proven.
    pub fn scheme(&self) -> Scheme {
        self.rule.scheme
    }
}

impl CredentialRule {
    /// Whether a browser presents it to whatever page asks, once its user has: what it remembers, or what the user's
    /// own log-in to the desktop proves.
    pub(crate) fn is_repeated_by_browsers(&self) -> bool {
        self.is_basic()
            || matches!(self.scheme, Scheme::Digest | Scheme::Negotiate | Scheme::Ntlm | Scheme::Front)
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential({}, [secret])", self.rule.name)
    }
}
