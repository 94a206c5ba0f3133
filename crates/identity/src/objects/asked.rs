//! Objects whose owner the gate does not keep: a service is asked.
//!
//! ```text
//! GET /owners/9001  ──▶  200 {"owner":"4711","tenant":"0001"}    an owner; the tenant may be missing
//!                        404                                     nobody's, or no such object
//!                        anything else, or nothing in time       not to be checked now: 503
//! ```
//!
//! An answer counts for a second, as long as a revocation may take; a refusal is asked for each time.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use countersign_auth::objects::kind::Owner;
use countersign_auth::port::Unavailable;
use countersign_auth::port::objects::{Binding, ObjectName};
use countersign_auth::secret::Secret;
use countersign_auth::source::Source;
use countersign_auth::time::Clock;
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use hyper::body::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};

use crate::outbound::{Bounds, Endpoint, EndpointError, Outbound};
use crate::turns::Turns;

/// How long an answer counts.
const FRESH: Duration = Duration::from_secs(1);
/// A service that takes longer holds a request for nothing; an answer is two words.
const BOUNDS: Bounds = Bounds { time: Duration::from_secs(2), bytes: 4096 };
/// Questions about one kind of objects at once, a quarter of them for one address; one more waits a while. A service that
/// is slow about one kind takes no place from another's.
const AT_ONCE: usize = 64;
/// What stands raw of an id in a URL.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// What stands in a URL for the id.
const ID: &str = "{id}";

/// Whom to ask about the objects of a kind, and how.
pub struct Question {
    before: String,
    behind: String,
    key: Owner,
    outbound: Outbound,
    at_once: Turns,
}

/// Why a URL is none to ask at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuestionError {
    /// The id does not stand in it, or twice.
    #[error("must hold {{id}} once, behind its host")]
    Id,
    /// It is no place that may be asked.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
}

impl Question {
    /// A question asked at a URL with `{id}` in its path or query; the answer's owner is a value of `key`.
    ///
    /// # Errors
    /// See [`QuestionError`].
    pub fn new(url: &str, key: Owner, outbound: Outbound) -> Result<Self, QuestionError> {
        Self::check(url)?;
        let (before, behind) = url.split_once(ID).ok_or(QuestionError::Id)?;
        let (before, behind) = (before.to_owned(), behind.to_owned());
        Ok(Self { before, behind, key, outbound, at_once: Turns::even(AT_ONCE) })
    }

    /// Whether a question can be asked at a URL.
    ///
    /// # Errors
    /// See [`QuestionError`].
    pub fn check(url: &str) -> Result<(), QuestionError> {
        let (before, behind) = url.split_once(ID).ok_or(QuestionError::Id)?;
        let path = before.split_once("://").and_then(|(_, rest)| rest.find('/'));
        if behind.contains(ID) || path.is_none() {
            return Err(QuestionError::Id);
        }
        Endpoint::parse(&url.replace(ID, "1"))?;
        Ok(())
    }

    fn endpoint(&self, id: &str) -> Result<Endpoint, EndpointError> {
        Endpoint::parse(&format!("{}{}{}", self.before, utf8_percent_encode(id, SEGMENT), self.behind))
    }

    /// Asks whose an object is.
    async fn ask(
        &self,
        name: ObjectName,
        source: Source,
        clock: &dyn Clock,
    ) -> Result<Option<Binding>, Unavailable> {
        let turn = self.at_once.enter(source).await;
        let _turn = turn.ok_or_else(|| Unavailable("too many owners are being asked for".to_owned()))?;
        // An answer counts from when it was asked for, however long that had to wait.
        let now = clock.now();
        let endpoint = self
            .endpoint(&name.id)
            .map_err(|error| Unavailable(format!("could not ask for an owner: {error}")))?;
        let mut request = Request::new(Full::<Bytes>::default());
        *request.method_mut() = Method::GET;
        let heard = self.outbound.send(&endpoint, request, BOUNDS).await?;
        let told = match heard.status {
            StatusCode::NOT_FOUND => return Ok(None),
            StatusCode::OK => serde_json::from_slice::<Map<String, Value>>(&heard.body).ok(),
            status => return Err(Unavailable(format!("{endpoint} answered {status}"))),
        };
        let nonsense = || Unavailable(format!("{endpoint} told no owner"));
        let told = told.ok_or_else(nonsense)?;
        let owner = text(told.get("owner")).ok_or_else(nonsense)?;
        let tenant = text(told.get("tenant")).ok_or_else(nonsense)?;
        Ok(owner.map(|owner| Binding {
            name,
            owner: Some(self.key.written(&owner)),
            tenant,
            reference: Secret::new(""),
            ends_at: Some(now.plus(FRESH)),
        }))
    }
}

/// A name or number; `Some(None)` if there is none, `None` if it is neither.
fn text(value: Option<&Value>) -> Option<Option<String>> {
    match value {
        None | Some(Value::Null) => Some(None),
        Some(Value::String(text)) => Some(Some(text.clone()).filter(|text| !text.is_empty())),
        Some(Value::Number(number)) => Some(Some(number.to_string())),
        Some(Value::Bool(_) | Value::Array(_) | Value::Object(_)) => None,
    }
}

/// The questions of all APIs.
#[derive(Default)]
pub(crate) struct Questions(RwLock<HashMap<(String, String), Arc<Question>>>);

impl Questions {
    /// From now on the owners of these objects are asked for.
    pub(crate) fn add(&self, api: &str, kind: &str, question: Question) {
        let mut questions = self.0.write().unwrap_or_else(PoisonError::into_inner);
        questions.insert((api.to_owned(), kind.to_owned()), Arc::new(question));
    }

    /// From now on nobody is asked about objects of an API.
    pub(crate) fn forget(&self, api: &str) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).retain(|(of, _), _| of != api);
    }

    /// Whose an object is, if somebody is asked about such.
    pub(crate) async fn ask(
        &self,
        name: ObjectName,
        source: Source,
        clock: &dyn Clock,
    ) -> Result<Option<Binding>, Unavailable> {
        let question = {
            let questions = self.0.read().unwrap_or_else(PoisonError::into_inner);
            questions.get(&(name.api.to_string(), name.kind.to_string())).cloned()
        };
        match question {
            Some(question) => question.ask(name, source, clock).await,
            None => Ok(None),
        }
    }
}
