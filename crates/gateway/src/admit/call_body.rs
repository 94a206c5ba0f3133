//! The bodies that the gate reads itself: calls, and forms that carry a CSRF token.

use bytes::Bytes;
use countersign_auth::fields::content_type::{ContentType, Encoding};
use countersign_auth::fields::{Bounds, Fields, FieldsError};
use countersign_auth::refusal::{Reason, Refusal};
use countersign_auth::time::Time;

use crate::body::{self, Body, Bound, ReadError};
use crate::gate::Gate;

/// A call, which the gate answers.
pub(super) const fn of_call(gate: &Gate) -> Bound {
    Bound { bytes: gate.limits.call_bytes, key: "limits.call_bytes" }
}

/// Reads a body of at most so many bytes to its end. It takes as long as its client likes, so `now` is read anew: what is
/// counted from here on is counted when it happens, and an old time is not taken for a clock that was set back.
///
/// # Errors
/// `too-large` and `malformed`; the latter also if it does not come in time.
pub(super) async fn read(gate: &Gate, now: &mut Time, body: Body, max: Bound) -> Result<Bytes, Refusal> {
    let mut inbound = match body {
        Body::Full(bytes) => return Ok(bytes.unwrap_or_default()),
        Body::Streaming(inbound) => inbound,
    };
    let read = body::read(&mut inbound, max, gate.limits.own_body).await;
    *now = gate.clock.now();
    read.map_err(|error| {
        let reason = match error {
            ReadError::TooLarge(_) | ReadError::Trailers(_) => Reason::TooLarge,
            ReadError::Late | ReadError::Broken(_) => Reason::Malformed,
        };
        Refusal::new(reason, error.to_string())
    })
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
    bounds: Bounds,
) -> Result<Option<Fields>, Refusal> {
    let Some(content_type) = content_type.and_then(ContentType::parse) else {
        return Ok(None);
    };
    let read = encodings.is_empty() || encodings.contains(&content_type.encoding());
    if !read || bytes.is_empty() {
        return Ok(None);
    }
    Fields::parse(&content_type, bytes, bounds).map(Some).map_err(|error| match key(error) {
        Some(key) => Refusal::new(error.reason(), format!("{error}: more than {key}")),
        None => Refusal::new(error.reason(), error.to_string()),
    })
}

/// The limit that a body is beyond.
const fn key(error: FieldsError) -> Option<&'static str> {
    match error {
        FieldsError::TooDeep => Some("limits.call_depth"),
        FieldsError::TooMany => Some("limits.call_fields"),
        FieldsError::TooManyParts => Some("limits.call_parts"),
        FieldsError::Malformed { .. } | FieldsError::NoObject => None,
    }
}
