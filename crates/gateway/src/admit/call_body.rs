//! The bodies that the gate reads itself: calls, and forms that carry a CSRF token.

use std::time::Duration;

use bytes::Bytes;
use countersign_auth::fields::Fields;
use countersign_auth::fields::content_type::{ContentType, Encoding};
use countersign_auth::refusal::{Reason, Refusal};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use crate::body::Body;

/// A login or a form fits in 64 KiB many times over; what is larger is somebody else's business.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// A body that small that takes longer is sent byte by byte to hold a place.
const BODY_TIME_MAX: Duration = Duration::from_secs(10);

/// Reads a body to its end.
///
/// # Errors
/// `too-large` and `malformed`; the latter also if it does not come in time.
pub(super) async fn read(body: Body, idle: Duration) -> Result<Bytes, Refusal> {
    let incoming = match body {
        Body::Full(bytes) => return Ok(bytes.unwrap_or_default()),
        Body::Streaming(incoming) => incoming,
    };
    let limit = idle.min(BODY_TIME_MAX);
    match tokio::time::timeout(limit, Limited::new(incoming, BODY_BYTES_MAX).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(Refusal::new(Reason::TooLarge, "the body of a call of the gate is longer than 64 KiB"))
        }
        Ok(Err(_)) => Err(Refusal::new(Reason::Malformed, "the body broke off")),
        Err(_) => Err(Refusal::new(Reason::Malformed, "the body did not come in time")),
    }
}

/// The fields of a body, if it is in one of the encodings that are read here.
///
/// A body in another encoding has none, and so lacks whatever is required; an empty one likewise.
///
/// # Errors
/// What the parser says.
pub(super) fn fields(
    content_type: Option<&str>,
    encodings: &[Encoding],
    bytes: &[u8],
) -> Result<Option<Fields>, Refusal> {
    let Some(content_type) = content_type.and_then(ContentType::parse) else {
        return Ok(None);
    };
    let read = encodings.is_empty() || encodings.contains(&content_type.encoding());
    if !read || bytes.is_empty() {
        return Ok(None);
    }
    Fields::parse(&content_type, bytes)
        .map(Some)
        .map_err(|error| Refusal::new(error.reason(), error.to_string()))
}
