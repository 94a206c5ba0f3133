//! What is refused before anybody asks who it is for: requests that two readers could read in two ways.

use bytes::Bytes;
use countersign_auth::canonical::host::{self, HostError};
use countersign_auth::refusal::{Reason, Refusal};
use http::header::{self, HeaderName, HeaderValue};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, Method, Response, StatusCode, Version, request};

use crate::address::Scheme;
use crate::hop;
use crate::limits::Limits;
use crate::listen::HeadFault;

/// Clients name two or three fields in `Connection`; each name is compared with every protected one.
const NOMINATIONS_MAX: usize = 32;

/// What is wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// What the bytes of the head say that the HTTP engine repairs (T-A8, T-G2).
    Head(HeadFault),
    /// No `Host` in HTTP/1.1 (RFC 9112 section 3.2).
    NoHost,
    /// Several, or one that names another host than the target or `:authority` (T-A10).
    Hosts,
    /// A `Host` that is no host and port.
    BadHost,
    /// A transfer coding other than `chunked`: the body would lose its name on the way.
    Coding,
    /// A target that is no path (T-A5, T-A11).
    Target,
    /// `CONNECT` and `TRACE`: the gate is no tunnel and shows nobody's head.
    Method,
    /// More fields than the limit, or more names in `Connection` than any client sends.
    TooManyFields,
    /// Two `Content-Type` fields: two readers would read two bodies.
    Types,
    /// A field whose name is no token (RFC 9110 section 5.1).
    Name,
}

impl Fault {
    const fn status(self) -> StatusCode {
        match self {
            Self::Head(
                HeadFault::TooLong | HeadFault::TooMany | HeadFault::LongTrailers | HeadFault::ManyTrailers,
            ) => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Head(HeadFault::LongTarget) => StatusCode::URI_TOO_LONG,
            Self::Head(_)
            | Self::NoHost
            | Self::Hosts
            | Self::BadHost
            | Self::Coding
            | Self::Target
            | Self::Types
            | Self::Name => StatusCode::BAD_REQUEST,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooManyFields => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        }
    }

    pub(crate) const fn cause(self) -> &'static str {
        match self {
            Self::Head(HeadFault::Fragment) => "the request's target has a fragment",
            Self::Head(HeadFault::LineFeed) => "a line of the request's head ends without CR",
            Self::Head(HeadFault::Framings) => "the request has a length and a transfer coding",
            Self::Head(HeadFault::Lengths) => "the request has no one length",
            Self::Head(HeadFault::TooLong) => "the request's head is longer than limits.header_bytes",
            Self::Head(HeadFault::TooMany) => "the request's head has more fields than limits.header_count",
            Self::Head(HeadFault::LongTarget) => "the request's target is longer than 65534 bytes",
            Self::Head(HeadFault::LongTrailers) => {
                "the fields behind the request's body are longer than limits.header_bytes"
            }
            Self::Head(HeadFault::ManyTrailers) => {
                "the fields behind the request's body are more than limits.header_count"
            }
            Self::Head(HeadFault::Unplaced) => "what came before the request does not say where it begins",
            Self::NoHost => "the request names no host",
            Self::Hosts => "the request names more than one host",
            Self::BadHost => "the request's host is malformed",
            Self::Coding => "the request's transfer coding is not chunked",
            Self::Target => "the request's target is no path",
            Self::Method => "the method is never served",
            Self::TooManyFields => {
                "the request has too many fields: more than limits.header_count, or nominated ones"
            }
            Self::Types => "the request names two content types",
            Self::Name => "the name of a field has a quotation mark",
        }
    }

    /// For the log, and for the dialect of the place, if there is one.
    pub(crate) fn refusal(self) -> Refusal {
        let reason = if self == Self::Method { Reason::Method } else { Reason::BadRequest };
        Refusal::new(reason, self.cause())
    }

    /// Where no dialect has words for it. Whoever is beyond a limit did nothing that has two readings: he is told which.
    fn plain(self) -> Response<Bytes> {
        match self {
            Self::TooManyFields
            | Self::Head(HeadFault::TooLong | HeadFault::TooMany | HeadFault::LongTarget) => {
                let mut response = Response::new(Bytes::from_static(self.cause().as_bytes()));
                let plain = HeaderValue::from_static("text/plain");
                response.headers_mut().insert(header::CONTENT_TYPE, plain);
                response
            }
            Self::Head(_)
            | Self::NoHost
            | Self::Hosts
            | Self::BadHost
            | Self::Coding
            | Self::Target
            | Self::Method
            | Self::Types
            | Self::Name => Response::default(),
        }
    }

    /// For the client: the dialect's words, if there are any, and no further request on an HTTP/1 connection whose
    /// reading is in doubt. The status is HTTP's own, whatever the dialect says to other bad requests.
    pub(crate) fn answer(self, words: Option<Response<Bytes>>) -> Response<Bytes> {
        let mut response = words.unwrap_or_else(|| self.plain());
        *response.status_mut() = self.status();
        kept_by_nobody(response.headers_mut());
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        if self == Self::Method {
            response.headers_mut().insert(
                header::ALLOW,
                HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
            );
        }
        response
    }
}

/// An answer of the gate's own holds for one request: caches keep some of them for minutes if nothing is said (RFC 9111
/// section 4.2.2).
pub(crate) fn kept_by_nobody(headers: &mut HeaderMap) {
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

/// Whether a request asks to leave HTTP for something other than HTTP in another dress, which is ignored: HTTP/2 in clear
/// (T-G6), and TLS on this connection (RFC 2817), which some clients offer with each request and go on without.
pub(crate) fn wants_upgrade(head: &request::Parts) -> bool {
    let is_dress = |name: &[u8]| {
        let name = name.trim_ascii();
        name.eq_ignore_ascii_case(b"h2c")
            || name.get(..4).is_some_and(|beginning| beginning.eq_ignore_ascii_case(b"TLS/"))
    };
    let mut offered = head.headers.get_all(header::UPGRADE).iter();
    !offered.all(|value| value.as_bytes().split(|byte| *byte == b',').all(is_dress))
}

/// Checks a head, and leaves it with exactly one `Host`, in its one spelling, and at most one `Cookie` field.
///
/// # Errors
/// See [`Fault`].
pub(crate) fn check(head: &mut request::Parts, limits: &Limits, scheme: Scheme) -> Result<(), Fault> {
    if head.headers.len() > limits.header_count {
        return Err(Fault::TooManyFields);
    }
    // Of HTTP/1 the bytes were counted as they came.
    if head.version == Version::HTTP_2 && list_bytes(head) > limits.header_bytes {
        return Err(Fault::Head(HeadFault::TooLong));
    }
    // Of HTTP/1 the engine refuses it.
    if head.version == Version::HTTP_2 && head.headers.keys().any(is_quoted) {
        return Err(Fault::Name);
    }
    let nominations = head.headers.get_all(header::CONNECTION).iter();
    let names = nominations.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).count();
    if names > NOMINATIONS_MAX {
        return Err(Fault::TooManyFields);
    }
    if head.headers.get_all(header::CONTENT_TYPE).iter().nth(1).is_some() {
        return Err(Fault::Types);
    }
    if matches!(head.method, Method::CONNECT | Method::TRACE) {
        return Err(Fault::Method);
    }
    // `*` is the one target that is no path, for OPTIONS (RFC 9112 section 3.2.4).
    let path = head.uri.path();
    let is_asterisk = path == "*" && head.method == Method::OPTIONS;
    if !path.starts_with('/') && !is_asterisk {
        return Err(Fault::Target);
    }
    let mut codings = head.headers.get_all(header::TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next()
        && (codings.next().is_some() || !coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
    {
        return Err(Fault::Coding);
    }
    // Of HTTP/1 the engine leaves one of several equal lengths; of HTTP/2 it looks at the first and leaves all.
    if head.headers.get_all(header::CONTENT_LENGTH).iter().nth(1).is_some() {
        return Err(Fault::Head(HeadFault::Lengths));
    }
    one_host(head, scheme)?;
    join_cookies(head);
    Ok(())
}

fn one_host(head: &mut request::Parts, scheme: Scheme) -> Result<(), Fault> {
    let fields = head.headers.get_all(header::HOST).iter();
    // What is no text is no host, like what is empty.
    let fields = fields.map(|field| field.to_str().unwrap_or_default());
    let authority = head.uri.authority().map(Authority::as_str);
    // A target with a host stands in for `Host` in HTTP/2 alone (RFC 9112 section 3.2, RFC 9113 section 8.3.1).
    if authority.is_some() && head.version == Version::HTTP_11 && !head.headers.contains_key(header::HOST) {
        return Err(Fault::NoHost);
    }
    let host = match host::one_host(authority, fields, scheme.default_port()) {
        Ok(host) => host,
        Err(HostError::Missing) if head.version == Version::HTTP_10 => return Ok(()),
        Err(HostError::Missing) => return Err(Fault::NoHost),
        Err(HostError::Repeated | HostError::Differs | HostError::UserInfo) => return Err(Fault::Hosts),
        Err(HostError::Empty | HostError::Name | HostError::Address | HostError::Port) => {
            return Err(Fault::BadHost);
        }
    };
    let is_there = head.headers.get(header::HOST).and_then(|field| field.to_str().ok());
    if !is_there.is_some_and(|field| host.is_written(field)) {
        let host = HeaderValue::try_from(host.to_string()).map_err(|_| Fault::BadHost)?;
        head.headers.insert(header::HOST, host);
    }
    Ok(())
}

/// What each field of HTTP/2 counts beside its name and value.
const FIELD_BYTES: usize = 32;

/// Whether a name has a quotation mark: of all that may not stand in a name it is what the engine lets through in HTTP/2.
pub(crate) fn is_quoted(name: &HeaderName) -> bool {
    name.as_str().contains('"')
}

/// How long the fields of HTTP/2 are, as both ends count them (RFC 9113 section 6.5.2).
fn list_bytes(head: &request::Parts) -> usize {
    let uri = &head.uri;
    let pseudo = [
        (":method", Some(head.method.as_str())),
        (":scheme", uri.scheme_str()),
        (":authority", uri.authority().map(Authority::as_str)),
        (":path", uri.path_and_query().map(PathAndQuery::as_str)),
    ];
    let pseudo = pseudo.iter().filter_map(|(name, value)| Some(name.len() + value.as_ref()?.len()));
    let pseudo: usize = pseudo.map(|bytes| bytes + FIELD_BYTES).sum();
    pseudo + field_bytes(&head.headers)
}

/// How long fields of HTTP/2 are without those.
pub(crate) fn field_bytes(fields: &HeaderMap) -> usize {
    fields.iter().map(|(name, value)| name.as_str().len() + value.len() + FIELD_BYTES).sum()
}

/// HTTP/2 may send a cookie in crumbs; a reader of HTTP/1 wants one field (RFC 9113 section 8.2.3).
fn join_cookies(head: &mut request::Parts) {
    if head.version != Version::HTTP_2 {
        return;
    }
    let mut crumbs = head.headers.get_all(header::COOKIE).iter();
    let (Some(first), Some(second)) = (crumbs.next(), crumbs.next()) else { return };
    let mut joined = first.as_bytes().to_vec();
    for crumb in std::iter::once(second).chain(crumbs) {
        joined.extend_from_slice(b"; ");
        joined.extend_from_slice(crumb.as_bytes());
    }
    if let Ok(joined) = HeaderValue::from_bytes(&joined) {
        head.headers.insert(header::COOKIE, joined);
    }
}

/// Whether a request asks for WebSocket in HTTP/1.1 (RFC 6455 section 4.1).
pub(crate) fn is_websocket(head: &request::Parts) -> bool {
    head.version == Version::HTTP_11
        && head.method == Method::GET
        && head.headers.get_all(header::UPGRADE).iter().any(|value| hop::lists(value, "websocket"))
        && head.headers.get_all(header::CONNECTION).iter().any(|value| hop::lists(value, "upgrade"))
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        reason = "tests"
    )]
    use http::Request;

    use super::*;

    fn check_one(
        version: Version,
        method: &str,
        uri: &str,
        fields: &[(&str, &str)],
    ) -> Result<request::Parts, Fault> {
        let mut builder = Request::builder().version(version).method(method).uri(uri);
        for (name, value) in fields {
            builder = builder.header(*name, *value);
        }
        let mut head = builder.body(()).unwrap().into_parts().0;
        check(&mut head, &Limits::default(), Scheme::Https).map(|()| head)
    }

    #[test]
    fn one_host_or_none_of_it() {
        let one = |uri: &str, fields: &[(&str, &str)]| {
            check_one(Version::HTTP_11, "GET", uri, fields)
                .map(|head| head.headers["host"].to_str().unwrap().to_owned())
        };
        assert_eq!(one("/", &[("host", "a.example:80")]).unwrap(), "a.example:80");
        assert_eq!(one("/", &[("host", "[::1]:80")]).unwrap(), "[::1]:80");
        assert_eq!(one("http://a.example/x", &[("host", "A.example")]).unwrap(), "a.example");
        assert_eq!(one("https://a.example/x", &[("host", "a.example:443")]).unwrap(), "a.example");
        assert_eq!(one("/", &[("host", "A.Example.:0443")]).unwrap(), "a.example:443");
        assert_eq!(one("/", &[]), Err(Fault::NoHost));
        assert_eq!(one("http://a.example/x", &[]), Err(Fault::NoHost));
        assert_eq!(one("/", &[("host", "a"), ("host", "a")]), Err(Fault::Hosts));
        assert_eq!(one("http://b.example/x", &[("host", "a.example")]), Err(Fault::Hosts));
        assert_eq!(one("http://u@a.example/x", &[("host", "a.example")]), Err(Fault::Hosts));
        for bad in ["a, b", "a/b", "", ":80", "a:x.evil", "a:80:81", "[a", "a..", "a:0"] {
            assert_eq!(one("/", &[("host", bad)]), Err(Fault::BadHost), "{bad}");
        }
        assert_eq!(one("/", &[("host", "a@b")]), Err(Fault::Hosts));
        assert!(check_one(Version::HTTP_10, "GET", "/", &[]).is_ok());
        let second = check_one(Version::HTTP_2, "GET", "https://a.example/x", &[]).unwrap();
        assert_eq!(second.headers["host"], "a.example");
        let other = check_one(Version::HTTP_2, "GET", "https://a.example/x", &[("host", "b.example")]);
        assert_eq!(other.err(), Some(Fault::Hosts));
    }

    #[test]
    fn one_framing() {
        let host = ("host", "a");
        let coding =
            |value| check_one(Version::HTTP_11, "POST", "/", &[host, ("transfer-encoding", value)]).err();
        assert_eq!(coding("chunked"), None);
        assert_eq!(coding("CHUNKED"), None);
        assert_eq!(coding("gzip, chunked"), Some(Fault::Coding));
        let twice = [host, ("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")];
        assert_eq!(check_one(Version::HTTP_11, "POST", "/", &twice).err(), Some(Fault::Coding));
    }

    #[test]
    fn one_length() {
        let lengths = |list: &[(&str, &str)]| check_one(Version::HTTP_2, "POST", "http://a/", list).err();
        assert_eq!(lengths(&[("content-length", "3")]), None);
        let twice = [("content-length", "3"), ("content-length", "3")];
        assert_eq!(lengths(&twice), Some(Fault::Head(HeadFault::Lengths)));
    }

    #[test]
    fn methods_and_targets() {
        let host = [("host", "a")];
        assert_eq!(check_one(Version::HTTP_11, "TRACE", "/", &host).err(), Some(Fault::Method));
        assert_eq!(check_one(Version::HTTP_11, "CONNECT", "a:80", &host).err(), Some(Fault::Method));
        assert_eq!(check_one(Version::HTTP_11, "OPTIONS", "*", &host).err(), None);
        assert_eq!(check_one(Version::HTTP_11, "GET", "*", &host).err(), Some(Fault::Target));
    }

    #[test]
    fn crumbs_become_one_cookie() {
        let head =
            check_one(Version::HTTP_2, "GET", "https://a/", &[("cookie", "a=1"), ("cookie", "b=2")]).unwrap();
        assert_eq!(head.headers.get_all("cookie").iter().collect::<Vec<_>>(), ["a=1; b=2"]);
        let head =
            check_one(Version::HTTP_11, "GET", "/", &[("host", "a"), ("cookie", "a=1"), ("cookie", "b=2")])
                .unwrap();
        assert_eq!(
            head.headers.get_all("cookie").iter().count(),
            2,
            "a repeated field of HTTP/1 is for admit to refuse"
        );
    }
}
