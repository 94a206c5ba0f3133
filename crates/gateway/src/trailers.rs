//! What may stand behind a body: nothing that would count in a head (RFC 9110 section 6.5.1). Whoever reads trailers may
//! take them for headers, and nobody has looked at them (T-B2, T-B11).

use countersign_auth::api::Api;
use countersign_auth::canonical::header_name::folds_to;
use countersign_auth::intake::tells_identity;
use http::HeaderMap;
use http::header::{self, CONNECTION, HeaderName, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};

use crate::cors;
use crate::gate::{ApiIndex, Gate};
use crate::hop::{Protected, is_forwarding, is_method_override, remove_where};
use crate::listen::HeadFault;
use crate::listen::heads::HeadBounds;
use crate::strict::{field_bytes, is_quoted};

/// Framing, routing, authentication and content, which neither side may send so.
const NEVER_TRAILERS: [HeaderName; 15] = [
    header::AUTHORIZATION,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_RANGE,
    header::CONTENT_TYPE,
    header::COOKIE,
    header::HOST,
    header::PROXY_AUTHORIZATION,
    header::SET_COOKIE,
    CONNECTION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("forwarded"),
];

/// Looks at how long the trailer section of a request of HTTP/2 is. Of HTTP/1 it was counted as it came.
///
/// # Errors
/// The limit that it is beyond.
pub(crate) fn check(trailers: &HeaderMap, max: HeadBounds) -> Result<(), HeadFault> {
    if trailers.len() > max.fields {
        Err(HeadFault::ManyTrailers)
    } else if field_bytes(trailers) > max.bytes {
        Err(HeadFault::LongTrailers)
    } else {
        Ok(())
    }
}

/// Leaves in the trailer section of a request what says nothing that its head would have been asked about: no credential
/// of the API's dialect, no proof against foreign pages, nothing that a rule reads.
pub(crate) fn strip_request(gate: &Gate, api: ApiIndex, trailers: &mut HeaderMap) {
    match gate.api(api) {
        Some(mount) => strip(&gate.protected, trailers, |name| mount.reads.covers(name)),
        None => trailers.clear(),
    }
}

/// Leaves in the trailer section of an answer what says nothing that is taken out of its head.
pub(crate) fn strip_answer(gate: &Gate, api: ApiIndex, trailers: &mut HeaderMap) {
    strip(&gate.protected, trailers, |_name| false);
    match gate.api(api) {
        Some(mount) => mount.remove_own_names(trailers),
        None => trailers.clear(),
    }
    Api::remove_challenges(trailers);
    cors::remove_words(trailers);
}

fn strip(protected: &Protected, trailers: &mut HeaderMap, unwanted: impl Fn(&str) -> bool) {
    remove_where(trailers, |field| {
        let name = field.as_str();
        is_quoted(field)
            || NEVER_TRAILERS.iter().any(|never| folds_to(name, never.as_str()))
            || is_forwarding(name)
            || is_method_override(name)
            || tells_identity(name)
            || protected.covers(name)
            || unwanted(name)
    });
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use http::HeaderValue;

    #[test]
    fn trailers_carry_no_routing_credentials_or_identity() {
        let (protected, reads) = (Protected::new(["X-User"]), Protected::new(["X-Token"]));
        let names = [
            "x_user",
            "x.token",
            "authorization",
            "proxy-authorization",
            "x-forwarded-for",
            "client-ip",
            "remote_user",
            "countersign-anything",
            "content-length",
            "grpc-status",
        ];
        let mut trailers: HeaderMap = names
            .iter()
            .map(|name| (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_static("1")))
            .collect();
        strip(&protected, &mut trailers, |name| reads.covers(name));
        assert_eq!(trailers.keys().collect::<Vec<_>>(), ["grpc-status"]);
    }
}
