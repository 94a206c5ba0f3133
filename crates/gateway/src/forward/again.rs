//! What is needed to send a request once more.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version, request};

/// A request's head, kept beside the one that the engine takes.
///
/// The fields are one piece of memory, as on the wire: a map of them would be two dozen to count and to give back, for each
/// request that is sent on a connection which has waited, and hardly any is sent twice.
pub(super) struct Again {
    method: Method,
    uri: Uri,
    version: Version,
    fields: Vec<u8>,
}

/// More than most heads have; it grows for others.
const FIELDS_BYTES: usize = 1536;

impl Again {
    pub(super) fn of<B>(request: &Request<B>) -> Self {
        let mut fields = Vec::with_capacity(FIELDS_BYTES);
        for (name, value) in request.headers() {
            fields.extend_from_slice(name.as_str().as_bytes());
            fields.push(b':');
            fields.extend_from_slice(value.as_bytes());
            fields.push(b'\n');
        }
        let (method, uri) = (request.method().clone(), request.uri().clone());
        Self { method, uri, version: request.version(), fields }
    }

    /// The head, all of it; `None` never, since names have no colon and values no line end.
    pub(super) fn head(self) -> Option<request::Parts> {
        let mut headers = HeaderMap::new();
        for line in self.fields.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let (name, value) = (line.get(..colon)?, line.get(colon + 1..)?);
            headers.append(HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value).ok()?);
        }
        let mut head = Request::new(()).into_parts().0;
        (head.method, head.uri, head.version, head.headers) = (self.method, self.uri, self.version, headers);
        Some(head)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn what_is_sent_once_more_is_what_was_sent() {
        let mut request = Request::new(());
        *request.method_mut() = Method::PUT;
        *request.uri_mut() = "/a?b=:".parse().unwrap();
        for (name, value) in [
            ("host", &b"a.example"[..]),
            ("x-two", b"first: one"),
            ("x-empty", b""),
            ("x-two", b"second\tand \xE9\xFF:"),
        ] {
            request.headers_mut().append(name, HeaderValue::from_bytes(value).unwrap());
        }
        let again = Again::of(&request).head().unwrap();
        assert_eq!((&again.method, &again.uri), (request.method(), request.uri()));
        assert_eq!(again.version, request.version());
        assert_eq!(&again.headers, request.headers());
        assert!(Again::of(&Request::new(())).head().unwrap().headers.is_empty());
    }
}
