//! Calls of services: what is not a plain text for everybody, but asked for with a key.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use countersign_auth::port::Answer;
use countersign_auth::secret::Secret;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;

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

/// A call of a service.
#[derive(Debug)]
pub struct Call {
    /// Its method.
    pub method: Method,
    /// Its path.
    pub path: String,
    /// The key of `Authorization: Bearer`; nobody is known without. It stands in a header that no page of another
    /// origin may send, so that none can call.
    pub key: Option<Secret>,
    /// Its body.
    pub body: Bytes,
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

/// Answers calls of services.
pub type Calls = Arc<dyn Fn(Call) -> Answer<Reply> + Send + Sync>;

/// The longest body of a call with this path; `None` if it is none.
pub(super) fn body_bytes_max(path: &str) -> Option<usize> {
    BELOW.iter().find(|(below, _)| path.starts_with(below)).map(|(_, bytes)| *bytes)
}

pub(super) async fn answer(
    calls: &Calls,
    request: Request<Incoming>,
    body_bytes_max: usize,
) -> Response<Full<Bytes>> {
    let (head, mut body) = request.into_parts();
    let max = Bound { bytes: body_bytes_max, key: "the longest of its kind" };
    let read = read(&mut body, max, BODY_TIME).await;
    if matches!(read, Err(ReadError::TooLarge(_))) {
        tokio::spawn(linger(body));
    }
    let Reply { status, body } = match read {
        Ok(body) => {
            let (method, path) = (head.method, head.uri.path().to_owned());
            calls(Call { key: key(&head.headers), method, path, body }).await
        }
        Err(ReadError::TooLarge(_)) => Reply::refused(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large"),
        Err(ReadError::Late | ReadError::Broken(_) | ReadError::Trailers(_)) => {
            Reply::refused(StatusCode::BAD_REQUEST, "the body did not come")
        }
    };
    if body.is_empty() { text(status, String::new()) } else { typed(status, "application/json", body) }
}

/// The one bearer key of a request.
fn key(headers: &HeaderMap) -> Option<Secret> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, key) = value.to_str().ok()?.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && !key.is_empty()).then(|| Secret::new(key))
}
