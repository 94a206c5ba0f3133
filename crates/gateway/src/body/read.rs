//! Reads a body that the gate itself needs whole: a login, or an object whose ids are checked.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt as _;

use super::BodyError;
use crate::listen::HeadFault;
use crate::strict::Fault;

/// Forms that are too long are so by kilobytes, and what comes with a handshake is seldom longer; beyond it the
/// connection ends.
pub(crate) const LINGER_BYTES: usize = 1024 * 1024;
/// Long enough for a megabyte over a slow line's first window.
const LINGER_TIME: Duration = Duration::from_secs(2);

/// How long a body may be, and which key says so.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    pub(crate) bytes: usize,
    pub(crate) key: &'static str,
}

/// Why a body could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// It is longer than allowed; the rest was not read.
    #[error("the body is longer than {}, {} bytes", .0.key, .0.bytes)]
    TooLarge(Bound),
    /// It did not come in time.
    #[error("could not read the body within limits.body_timeout")]
    Late,
    /// What stands behind it is beyond a limit.
    #[error("{}", Fault::Head(*.0).cause())]
    Trailers(HeadFault),
    /// The client broke off.
    #[error("could not read the body")]
    Broken(#[source] BodyError),
}

impl From<BodyError> for ReadError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::Trailers(fault) => Self::Trailers(fault),
            BodyError::Broken(_) | BodyError::Stalled(_) | BodyError::Revoked => Self::Broken(error),
        }
    }
}

/// Reads at most `max` within `limit`; trailers are dropped. A body that says that it is too long is
/// refused before any of it is read. What was not read is still there.
///
/// # Errors
/// See [`ReadError`].
pub(crate) async fn read<B>(body: &mut B, max: Bound, limit: Duration) -> Result<Bytes, ReadError>
where
    B: Body<Data = Bytes, Error: Into<BodyError>> + Unpin,
{
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    if body.size_hint().lower() > max.bytes as u64 {
        return Err(ReadError::TooLarge(max));
    }
    tokio::time::timeout(limit, collect(body, max)).await.unwrap_or(Err(ReadError::Late))
}

/// Takes what a client still sends, beside the answer that tells it why: a connection that is closed with bytes
/// unread is reset, and the client would never see the answer.
pub(crate) async fn linger(mut body: impl Body<Data = Bytes, Error = hyper::Error> + Unpin) {
    let discard = async {
        let mut left = LINGER_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            let taken = frame.data_ref().map_or(0, Bytes::len);
            match left.checked_sub(taken) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    };
    // Either way the client has had its time.
    let _over = tokio::time::timeout(LINGER_TIME, discard).await;
}

async fn collect<B>(body: &mut B, max: Bound) -> Result<Bytes, ReadError>
where
    B: Body<Data = Bytes, Error: Into<BodyError>> + Unpin,
{
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame.map_err(|error| ReadError::from(error.into()))?.into_data() else { continue };
        let length = first.len() + all.len();
        if length + piece.len() > max.bytes {
            return Err(ReadError::TooLarge(max));
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
        // Where its length was said, nobody has to wait to hear that this was all.
        if body.is_end_stream() {
            break;
        }
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}
