//! How far something goes that a token opened, when the token's time is over.
//!
//! Expiry is routine. It ends what would go on for ever, and not what its client asked for in time and has to ask for again
//! if it breaks off.

use std::time::Duration;

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http_body::Body;

/// An export whose length nobody knew when it began is through within an hour of its token's end; what is not says no more
/// when it ends than a stream does. Memory forgets sessions and tokens of accounts that have been over for so long,
/// anonymous sessions after two minutes, and what is still going ends then as well.
const UNTOLD: Duration = Duration::from_secs(3600);

/// What says of itself that it is a stream: it goes on for as long as somebody listens.
const STREAMS: [&str; 9] = [
    "text/event-stream",
    "multipart/x-mixed-replace",
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "application/x-jsonlines",
    "application/json-seq",
    "application/stream+json",
    "application/x-json-stream",
];
/// gRPC, whatever its messages are made of.
const GRPC: &str = "application/grpc";

/// Where something ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Nowhere: a WebSocket, a stream.
    Endless,
    /// Somewhere; its service has not told where.
    Untold,
    /// Where its service has told.
    Told,
}

impl Extent {
    /// That of an answer. Its head is looked at only where its length was not told.
    pub(crate) fn of(headers: &HeaderMap, body: &impl Body) -> Self {
        if body.size_hint().exact().is_some() {
            return Self::Told;
        }
        let is_stream = headers.get_all(CONTENT_TYPE).iter().any(|value| is_stream(value.as_bytes()));
        if is_stream { Self::Endless } else { Self::Untold }
    }

    /// How long it goes on when what opened it has expired; `None` for as long as it takes.
    pub(super) const fn beyond(self) -> Option<Duration> {
        match self {
            Self::Endless => Some(Duration::ZERO),
            Self::Untold => Some(UNTOLD),
            Self::Told => None,
        }
    }
}

fn is_stream(media_type: &[u8]) -> bool {
    let essence = media_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let is_grpc = essence.get(..GRPC.len()).is_some_and(|start| start.eq_ignore_ascii_case(GRPC.as_bytes()));
    is_grpc || STREAMS.iter().any(|stream| essence.eq_ignore_ascii_case(stream.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::is_stream;

    #[test]
    fn streams_say_so() {
        let check = |media_type: &str, expected| {
            assert_eq!(is_stream(media_type.as_bytes()), expected, "{media_type}")
        };
        for stream in [
            "text/event-stream",
            "Text/Event-Stream;charset=utf-8",
            " application/x-ndjson ; a=b",
            "multipart/x-mixed-replace; boundary=x",
            "application/json-seq",
            "application/grpc",
            "application/grpc-web+proto",
        ] {
            check(stream, true);
        }
        for other in [
            "",
            ";",
            "application/json",
            "text/csv",
            "text/event-streams",
            "application/zip; a=text/event-stream",
        ] {
            check(other, false);
        }
    }
}
