//! Answers: `statusCode` in every body, and `statusMessage` and nothing else beside it in errors.

use bytes::Bytes;
use countersign_auth::port::Unavailable;
use countersign_auth::port::services::{After, ServiceAnswer};
use countersign_auth::refusal::{Reason, Refusal};
use countersign_identity::accounts::AccountError;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value, json};

/// The vendor's codes, as far as the service has a use for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// A required parameter is missing.
    Missing,
    /// Not possible in the current state.
    State,
    /// Forbidden, whoever asks.
    Forbidden,
    /// The caller may not.
    NoPermission,
    /// There is no such thing.
    NotFound,
    /// Some of it was done.
    Partly,
    /// A parameter cannot be as it is.
    Invalid,
    /// A property that never changes was to be changed.
    ReadOnly,
    /// It is there already.
    Exists,
    /// Another holds it.
    InUse,
}

impl Code {
    const fn number(self) -> u8 {
        match self {
            Self::Missing => 1,
            Self::State => 2,
            Self::Forbidden => 3,
            Self::NoPermission => 5,
            Self::NotFound => 6,
            Self::Partly => 7,
            Self::Invalid => 10,
            Self::ReadOnly => 11,
            Self::Exists => 18,
            Self::InUse => 19,
        }
    }

    const fn status(self) -> StatusCode {
        match self {
            Self::Partly => StatusCode::OK,
            Self::Missing | Self::State | Self::Invalid | Self::ReadOnly => StatusCode::BAD_REQUEST,
            Self::Forbidden | Self::NoPermission | Self::Exists | Self::InUse => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
        }
    }
}

/// An error as the service says it.
#[derive(Debug)]
pub(crate) struct Failed {
    code: Code,
    message: String,
}

impl Failed {
    pub(crate) fn answer(&self) -> ServiceAnswer {
        let Self { code, message } = self;
        answer(code.status(), &json!({ "statusCode": code.number(), "statusMessage": message }))
    }
}

/// Why a call is not done.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The service says so.
    Own(Failed),
    /// The gate says so, in the words of the dialect.
    Gate(Refusal),
}

impl Failure {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self::Own(Failed { code, message: message.into() })
    }

    pub(crate) fn missing(parameter: &str) -> Self {
        Self::new(Code::Missing, format!("Required parameter missing: {parameter}"))
    }

    pub(crate) fn invalid(parameter: &str, problem: &str) -> Self {
        Self::new(Code::Invalid, format!("{parameter} {problem}"))
    }

    pub(crate) fn no_permission() -> Self {
        Self::new(Code::NoPermission, "No permission")
    }

    pub(crate) fn user_not_found() -> Self {
        Self::new(Code::NotFound, "User not found")
    }
}

/// What the accounts say against a change.
pub(crate) fn account_failure(error: AccountError) -> Failure {
    match error {
        AccountError::Unfit { field, problem } => Failure::invalid(field, problem),
        AccountError::Taken(what) => Failure::new(Code::Exists, what),
        AccountError::NotFound => Failure::user_not_found(),
        AccountError::TooMany => {
            Failure::Gate(Refusal::new(Reason::TooMany, "too many passwords are being worked on"))
        }
        AccountError::Unavailable(error) => Failure::Gate(error.into()),
    }
}

impl From<AccountError> for Failure {
    fn from(error: AccountError) -> Self {
        account_failure(error)
    }
}

impl From<Unavailable> for Failure {
    fn from(error: Unavailable) -> Self {
        Self::Gate(error.into())
    }
}

/// Success and nothing else.
pub(crate) fn done() -> ServiceAnswer {
    answer(StatusCode::OK, &json!({ "statusCode": 0 }))
}

/// Success with the members of an object.
pub(crate) fn done_with(mut members: Value) -> ServiceAnswer {
    if let Value::Object(members) = &mut members {
        members.insert("statusCode".to_owned(), 0.into());
    }
    answer(StatusCode::OK, &members)
}

fn answer(status: StatusCode, body: &Value) -> ServiceAnswer {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    ServiceAnswer { status, headers, body: Bytes::from(body.to_string()), after: After::GoOn }
}
