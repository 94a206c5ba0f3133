//! Calls of services: what is not a plain text for everybody, but asked for with a secret.

use std::sync::Arc;

use bytes::Bytes;
use countersign_auth::port::Answer;
use countersign_auth::secret::Secret;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;

use super::{text, typed};

/// A thousand objects; a file of many is sent in pieces.
const BODY_BYTES_MAX: usize = 256 * 1024;

/// A call of a service.
#[derive(Debug)]
pub struct Call {
    /// Its method.
    pub method: Method,
    /// Its path.
    pub path: String,
    /// The secret of `Authorization: Bearer`; nobody is known without.
    pub secret: Option<Secret>,
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

/// Answers calls of services.
pub type Calls = Arc<dyn Fn(Call) -> Answer<Reply> + Send + Sync>;

/// Where calls are: everything below.
pub(super) const BELOW: &str = "/objects/";

pub(super) async fn answer(calls: &Calls, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, BODY_BYTES_MAX).collect().await else {
        return text(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large\n".into());
    };
    let call = Call {
        secret: secret(&head.headers),
        method: head.method,
        path: head.uri.path().to_owned(),
        body: body.to_bytes(),
    };
    let Reply { status, body } = calls(call).await;
    if body.is_empty() { text(status, String::new()) } else { typed(status, "application/json", body) }
}

/// The one bearer secret of a request.
fn secret(headers: &HeaderMap) -> Option<Secret> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, secret) = value.to_str().ok()?.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && !secret.is_empty()).then(|| Secret::new(secret))
}
