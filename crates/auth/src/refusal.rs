//! Why not.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use http::HeaderValue;

use crate::account::Account;

/// The closed list of reasons that a dialect file can give an answer to.
///
/// There is none for an unknown user, a locked or a disabled account: a file cannot tell what it cannot name.
/// What the log says is the [`Cause`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// 400.
    BadRequest,
    /// 400: a header, cookie or body could not be read.
    Malformed,
    /// 400: two credentials, or one twice.
    Ambiguous,
    /// 400: an input that a call needs is not there.
    MissingField,
    /// 400: an input has a value that it cannot have.
    InvalidField,
    /// 401.
    Unauthenticated,
    /// 401: nothing was presented.
    NoCredential,
    /// 401: something was presented that is not accepted here.
    NotAccepted,
    /// 401: the password, or whatever stands in its place, is wrong.
    WrongPassword,
    /// 401: the token is unknown, revoked or not well formed.
    BadToken,
    /// 401: the token has expired.
    Expired,
    /// 401: no such identity provider or domain.
    BadProvider,
    /// 401: the proof is older than the route allows.
    StaleProof,
    /// 403.
    Forbidden,
    /// 403: the CSRF proof is missing or wrong.
    Csrf,
    /// 403: the account holds as many sessions as it may.
    SessionLimit,
    /// 403: the password must be changed first.
    PasswordDue,
    /// 404: also another customer's object.
    NotFound,
    /// 405.
    Method,
    /// 413.
    TooLarge,
    /// 415.
    MediaType,
    /// 429.
    TooMany,
    /// 500.
    Internal,
    /// 502.
    Upstream,
    /// 503: what had to be checked could not be.
    Unavailable,
    /// 504.
    UpstreamTimeout,
}

impl Reason {
    /// All of them, in the order of the reference.
    pub const ALL: [Reason; 26] = [
        Self::BadRequest,
        Self::Malformed,
        Self::Ambiguous,
        Self::MissingField,
        Self::InvalidField,
        Self::Unauthenticated,
        Self::NoCredential,
        Self::NotAccepted,
        Self::WrongPassword,
        Self::BadToken,
        Self::Expired,
        Self::BadProvider,
        Self::StaleProof,
        Self::Forbidden,
        Self::Csrf,
        Self::SessionLimit,
        Self::PasswordDue,
        Self::NotFound,
        Self::Method,
        Self::TooLarge,
        Self::MediaType,
        Self::TooMany,
        Self::Internal,
        Self::Upstream,
        Self::Unavailable,
        Self::UpstreamTimeout,
    ];

    /// Its name in dialect files and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BadRequest => "bad-request",
            Self::Malformed => "malformed",
            Self::Ambiguous => "ambiguous",
            Self::MissingField => "missing-field",
            Self::InvalidField => "invalid-field",
            Self::Unauthenticated => "unauthenticated",
            Self::NoCredential => "no-credential",
            Self::NotAccepted => "not-accepted",
            Self::WrongPassword => "wrong-password",
            Self::BadToken => "bad-token",
            Self::Expired => "expired",
            Self::BadProvider => "bad-provider",
            Self::StaleProof => "stale-proof",
            Self::Forbidden => "forbidden",
            Self::Csrf => "csrf",
            Self::SessionLimit => "session-limit",
            Self::PasswordDue => "password-due",
            Self::NotFound => "not-found",
            Self::Method => "method",
            Self::TooLarge => "too-large",
            Self::MediaType => "media-type",
            Self::TooMany => "too-many",
            Self::Internal => "internal",
            Self::Upstream => "upstream",
            Self::Unavailable => "unavailable",
            Self::UpstreamTimeout => "upstream-timeout",
        }
    }

    /// The reason of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }

    /// The reason whose answer serves where a dialect gives this one none.
    pub const fn falls_back_to(self) -> Option<Self> {
        match self {
            Self::Malformed | Self::Ambiguous | Self::MissingField | Self::InvalidField => {
                Some(Self::BadRequest)
            }
            Self::NoCredential
            | Self::NotAccepted
            | Self::WrongPassword
            | Self::BadToken
            | Self::Expired
            | Self::BadProvider
            | Self::StaleProof => Some(Self::Unauthenticated),
            Self::Csrf | Self::SessionLimit | Self::PasswordDue => Some(Self::Forbidden),
            Self::BadRequest
            | Self::Unauthenticated
            | Self::Forbidden
            | Self::NotFound
            | Self::Method
            | Self::TooLarge
            | Self::MediaType
            | Self::TooMany
            | Self::Internal
            | Self::Upstream
            | Self::Unavailable
            | Self::UpstreamTimeout => None,
        }
    }

    /// The status where a dialect names none (RFC 9110 section 15).
    pub const fn status(self) -> u16 {
        match self {
            Self::BadRequest
            | Self::Malformed
            | Self::Ambiguous
            | Self::MissingField
            | Self::InvalidField => 400,
            Self::Unauthenticated
            | Self::NoCredential
            | Self::NotAccepted
            | Self::WrongPassword
            | Self::BadToken
            | Self::Expired
            | Self::BadProvider
            | Self::StaleProof => 401,
            Self::Forbidden | Self::Csrf | Self::SessionLimit | Self::PasswordDue => 403,
            Self::NotFound => 404,
            Self::Method => 405,
            Self::TooLarge => 413,
            Self::MediaType => 415,
            Self::TooMany => 429,
            Self::Internal => 500,
            Self::Upstream => 502,
            Self::Unavailable => 503,
            Self::UpstreamTimeout => 504,
        }
    }
}

/// What the log says beside the reason: facts for administrators, never a secret, never shown to a client.
pub type Cause = Cow<'static, str>;

/// Why a request is not let through.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// Chooses the answer of the dialect.
    pub reason: Reason,
    /// Printed as `detail` in answers: the name of a field or path variable, never a value that was sent.
    pub detail: String,
    /// Printed as `carrier`: the header or cookie that the credential rode in.
    pub carrier: String,
    /// The cookie that died, which the browser is told to forget.
    pub dead_cookie: Option<String>,
    /// In place of all challenges: the next message of an exchange that goes on. The answer is a 401 then, whatever
    /// the dialect says of refusals.
    pub challenge: Option<Box<HeaderValue>>,
    /// Whether a Digest response was right but for its nonce, so that the client may answer the next one by itself.
    pub stale: bool,
    /// For the log.
    pub cause: Cause,
    /// For the log: what was tried, where it is known. Boxed, since every result has room for a refusal and few are one.
    pub tried: Option<Box<Tried>>,
}

/// What a refused proof was to prove.
#[derive(Clone, Debug, Default)]
pub struct Tried {
    /// The name of the credential.
    pub credential: Option<Arc<str>>,
    /// Whose account it would be. He proved nothing, or not what else was asked for, and need not be who asked.
    pub account: Option<Arc<Account>>,
}

impl Refusal {
    /// A refusal with nothing more to tell the client than its reason.
    pub fn new(reason: Reason, cause: impl Into<Cause>) -> Self {
        Self {
            reason,
            detail: String::new(),
            carrier: String::new(),
            dead_cookie: None,
            challenge: None,
            stale: false,
            cause: cause.into(),
            tried: None,
        }
    }

    /// Names the account that a failed proof was about, or one that lacked something else, for the log.
    #[must_use]
    pub fn of_account(mut self, account: Option<&Arc<Account>>) -> Self {
        if account.is_some() {
            self.tried.get_or_insert_default().account = account.cloned();
        }
        self
    }

    /// Names the credential that was not good, for the log.
    #[must_use]
    pub fn by_credential(mut self, name: &Arc<str>) -> Self {
        self.tried.get_or_insert_default().credential = Some(Arc::clone(name));
        self
    }

    /// Names the field or variable that is at fault.
    #[must_use]
    pub fn about(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    /// Names the header or cookie that the credential rode in.
    #[must_use]
    pub fn carried_by(mut self, carrier: impl Into<String>) -> Self {
        self.carrier = carrier.into();
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason.name(), self.cause)
    }
}

impl From<crate::port::Unavailable> for Refusal {
    fn from(error: crate::port::Unavailable) -> Self {
        Self::new(Reason::Unavailable, error.0)
    }
}
