//! Who it is.

use std::fmt;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use crate::account::Account;
use crate::authenticate::word::IssuersWord;
use crate::dialect::Scheme;
use crate::secret::Secret;
use crate::time::Time;
use crate::token::{LiveToken, TokenDigest, TokenRef};

/// The fields of an identity that a claim of a token may fill; any other name is a key's.
pub const CLAIM_FIELDS: [&str; 7] =
    ["subject", "tenant", "roles", "name", "email", "first_name", "last_name"];

/// A caller whose credential was verified, or one who was let in without any.
///
/// Only [`authenticate`](crate::authenticate::authenticate) makes one: the fields are private, and so is the one
/// constructor.
///
/// ```compile_fail
/// let forged = countersign_auth::identity::Identity { account: None };
/// ```
///
/// ```compile_fail
/// let forged = countersign_auth::identity::Identity::proven(todo!());
/// ```
///
/// What may be done with one from outside:
///
/// ```
/// fn subject(identity: &countersign_auth::identity::Identity) -> Option<&str> {
///     identity.account().map(|account| account.subject.as_str())
/// }
/// ```
#[derive(Clone)]
pub struct Identity(Arc<Proven>);

/// What a proof has to say to the client in return: header fields of the answer.
pub(crate) type Answers = Vec<(HeaderName, HeaderValue)>;

/// A live token that came with a request.
#[derive(Clone)]
pub struct Session {
    pub(crate) live: LiveToken,
    pub(crate) value: Arc<Secret>,
    pub(crate) word: Arc<str>,
}

impl Session {
    /// Its public name.
    pub fn reference(&self) -> TokenRef {
        self.live.digest.reference()
    }

    /// The name it is kept under.
    pub fn digest(&self) -> TokenDigest {
        self.live.digest
    }
}

/// How long a proof is good for what it opened and what goes on: a stream, a WebSocket.
#[derive(Clone)]
pub enum Lasts {
    /// As long as its account, its session and its token.
    Bound,
    /// Until then, and no longer than those: the token says so.
    Until(Time),
    /// As long as its issuer says so, who is asked again when its word is old.
    Word {
        /// Its last word.
        word: Arc<IssuersWord>,
        /// The token that the word is about.
        token: Arc<Secret>,
    },
}

/// What is known when an identity is made.
pub(crate) struct Proven {
    pub(crate) account: Option<Arc<Account>>,
    pub(crate) credential: Arc<str>,
    pub(crate) scheme: Option<Scheme>,
    pub(crate) proven_at: Time,
    pub(crate) session: Option<Session>,
    /// The token that was presented, where it was one: what `end` ends.
    pub(crate) token: Option<Session>,
    pub(crate) lasts: Lasts,
    /// The cookie that counted as nothing because it had died.
    pub(crate) dead_cookie: Option<String>,
    pub(crate) answers: Answers,
    /// Where a log-in with an issuer leads back to.
    pub(crate) back: Option<Arc<str>>,
}

impl Identity {
    /// The one constructor.
    pub(crate) fn proven(proven: Proven) -> Self {
        Self(Arc::new(proven))
    }

    /// The account; `None` for an anonymous caller.
    pub fn account(&self) -> Option<&Arc<Account>> {
        self.0.account.as_ref()
    }

    /// Whether nobody proved anything.
    pub fn is_anonymous(&self) -> bool {
        self.0.account.is_none()
    }

    /// The name of the credential that proved it, or `anonymous`.
    pub fn credential(&self) -> &str {
        &self.0.credential
    }

    /// How it was proven; `None` for an anonymous caller.
    pub fn scheme(&self) -> Option<Scheme> {
        self.0.scheme
    }

    /// When it was proven: for a session, when its holder logged in.
    pub fn proven_at(&self) -> Time {
        self.0.proven_at
    }

    /// The live session of this caller that came with the request.
    pub fn session(&self) -> Option<&Session> {
        self.0.session.as_ref()
    }

    /// The cookie that came with the request and counted as nothing because it had died.
    pub fn dead_cookie(&self) -> Option<&str> {
        self.0.dead_cookie.as_deref()
    }

    /// What the proof has to say to the client with the answer.
    pub(crate) fn answers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.0.answers
    }

    /// Where the log-in with an issuer that proved it leads back to: said by the browser when it began, and sealed.
    pub(crate) fn back(&self) -> Option<&str> {
        self.0.back.as_deref()
    }

    /// How long what this identity opens may go on.
    pub fn lasts(&self) -> &Lasts {
        &self.0.lasts
    }

    /// The issued token that proved it, where one did.
    pub fn token(&self) -> Option<&Session> {
        self.0.token.as_ref()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let account = self.0.account.as_ref().map(|account| account.id);
        write!(f, "Identity({account:?} by {})", self.0.credential)
    }
}
