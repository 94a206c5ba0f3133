//! Calls of services: what is not a plain text for everybody, but asked for with a key.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use countersign_auth::port::Answer;
use countersign_auth::secret::Secret;
use http::header::{AUTHORIZATION, CONNECTION, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{text, typed};
use crate::body::{Bound, ReadError, linger, read};

/// An event is 64 KiB at most, and what is written around it is little.
const EVENT_BYTES_MAX: usize = 96 * 1024;
/// Some thousand objects; a file of more is sent in pieces.
const OBJECTS_BYTES_MAX: usize = 256 * 1024;
/// Where calls are, everything below, with the longest body there.
const BELOW: [(&str, usize); 2] = [("/events/", EVENT_BYTES_MAX), ("/objects/", OBJECTS_BYTES_MAX)];
/// Services are near.
const BODY_TIME: Duration = Duration::from_secs(10);

/// A call of a service, whose body has not been read.
#[derive(Debug)]
pub struct Call {
    /// Its method.
    pub method: Method,
    /// Its path.
    pub path: String,
    /// Who calls.
    pub address: IpAddr,
    /// The key of `Authorization: Bearer`; nobody is known without. It stands in a header that no page of another
    /// origin may send, so that none can call.
    pub key: Option<Secret>,
}

/// What a service is told.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// JSON; nothing if it is empty.
    pub body: String,
}

impl Reply {
    /// Says no, and why.
    pub fn refused(status: StatusCode, why: &str) -> Self {
        Self { status, body: serde_json::json!({ "error": why }).to_string() }
    }
}

/// Answers calls of services: it is known who calls before a body is read, or it is not read. A body that is not taken comes as what
/// is said to that, and is answered so.
pub type Calls = Arc<dyn Fn(Call) -> Result<WithBody, Reply> + Send + Sync>;

/// Answers one of them, when its body is there.
pub type WithBody = Box<dyn FnOnce(Result<Bytes, Reply>) -> Answer<Reply> + Send>;

/// One connection's place among those on which services call; it keeps it until it ends.
pub(super) struct Calling {
    address: IpAddr,
    room: Arc<Semaphore>,
    place: OnceLock<OwnedSemaphorePermit>,
}

impl Calling {
    pub(super) fn new(room: &Arc<Semaphore>, address: IpAddr) -> Self {
        Self { address, room: Arc::clone(room), place: OnceLock::new() }
    }

    /// Takes the place, if it has none; false if there is none left.
    fn enter(&self) -> bool {
        if self.place.get().is_none()
            && let Ok(place) = Arc::clone(&self.room).try_acquire_owned()
        {
            // Requests of a connection come one after the other: nobody was faster.
            let _new = self.place.set(place);
        }
        self.place.get().is_some()
    }
}

/// Answers a service that calls on one connection too many; it ends, so that others have it.
async fn turn_away(body: Incoming, with_body: WithBody) -> Response<Full<Bytes>> {
    tokio::spawn(linger(body));
    let why = "services call on as many connections as they may";
    let refused = Reply::refused(StatusCode::SERVICE_UNAVAILABLE, why);
    let mut response = replied(with_body(Err(refused)).await);
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// The longest body of a call with this path; `None` if it is none.
pub(super) fn body_bytes_max(path: &str) -> Option<usize> {
    BELOW.iter().find(|(below, _)| path.starts_with(below)).map(|(_, bytes)| *bytes)
}

pub(super) async fn answer(
    calls: &Calls,
    calling: &Calling,
    request: Request<Incoming>,
    body_bytes_max: usize,
) -> Response<Full<Bytes>> {
    let (head, mut body) = request.into_parts();
    let call = Call {
        key: key(&head.headers),
        method: head.method,
        path: head.uri.path().to_owned(),
        address: calling.address,
    };
    let with_body = match calls(call) {
        Ok(with_body) => with_body,
        Err(reply) => {
            tokio::spawn(linger(body));
            return replied(reply);
        }
    };
    // Whoever is not known takes no place.
    if !calling.enter() {
        return turn_away(body, with_body).await;
    }
    let max = Bound { bytes: body_bytes_max, key: "the longest of its kind" };
    let read = read(&mut body, max, BODY_TIME).await;
    if matches!(read, Err(ReadError::TooLarge(_))) {
        tokio::spawn(linger(body));
    }
    let read = read.map_err(|error| match error {
        ReadError::TooLarge(_) => Reply::refused(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large"),
        ReadError::Late | ReadError::Broken(_) | ReadError::Trailers(_) => {
            Reply::refused(StatusCode::BAD_REQUEST, "the body did not come")
        }
    });
    replied(with_body(read).await)
}

fn replied(Reply { status, body }: Reply) -> Response<Full<Bytes>> {
    if body.is_empty() { text(status, String::new()) } else { typed(status, "application/json", body) }
}

/// The one bearer key of a request.
fn key(headers: &HeaderMap) -> Option<Secret> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, key) = value.to_str().ok()?.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && !key.is_empty()).then(|| Secret::new(key))
}
