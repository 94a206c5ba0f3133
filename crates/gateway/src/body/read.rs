//! Reads a body that the gate itself needs whole: a login, or an object whose ids are checked.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

/// Why a body could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// It is longer than allowed; the rest was not read.
    #[error("the body is longer than {0} bytes")]
    TooLarge(usize),
    /// It did not come in time.
    #[error("could not read the body in time")]
    Late,
    /// The client broke off.
    #[error("could not read the body")]
    Broken(#[source] hyper::Error),
}

/// Reads at most `bytes_max` bytes within `limit`; trailers are dropped. A body that says that it is too long is
/// refused before any of it is read.
///
/// # Errors
/// See [`ReadError`].
pub(crate) async fn read(incoming: Incoming, bytes_max: usize, limit: Duration) -> Result<Bytes, ReadError> {
    if incoming.is_end_stream() {
        return Ok(Bytes::new());
    }
    if incoming.size_hint().lower() > bytes_max as u64 {
        return Err(ReadError::TooLarge(bytes_max));
    }
    tokio::time::timeout(limit, collect(incoming, bytes_max)).await.unwrap_or(Err(ReadError::Late))
}

async fn collect(mut incoming: Incoming, bytes_max: usize) -> Result<Bytes, ReadError> {
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(frame) = incoming.frame().await {
        let Ok(piece) = frame.map_err(ReadError::Broken)?.into_data() else { continue };
        let length = first.len() + all.len();
        if length + piece.len() > bytes_max {
            return Err(ReadError::TooLarge(bytes_max));
        }
        // Most bodies come in one piece, which is then not copied.
        if length == 0 {
            first = piece;
        } else {
            if all.is_empty() {
                all.extend_from_slice(&std::mem::take(&mut first));
            }
            all.extend_from_slice(&piece);
        }
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}
