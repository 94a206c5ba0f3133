//! Fields that mean one hop only, and fields that only the gate may set.
//!
//! RFC 9110 section 7.6.1: an intermediary takes out `Connection`, every field that it nominates, and the fields
//! that are known to be about the connection, before it forwards a message.

use countersign_auth::canonical::header_name::{folded, folds_to};
use http::header::{self, CONNECTION, HeaderMap, HeaderName, HeaderValue, TE};
use smallvec::SmallVec;

/// What is about the connection alone. `Proxy-Authorization` is for whoever asked for it, and no service did.
const OF_THE_HOP: [&str; 7] = [
    "te",
    "transfer-encoding",
    "upgrade",
    "proxy-authorization",
    "keep-alive",
    "proxy-connection",
    "http2-settings",
];

/// Fields that no client may have taken out by nominating them, whatever the configuration: routing, credentials,
/// framing and origin.
const NEVER_NOMINATED: [&str; 17] = [
    "authorization",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "date",
    "forwarded",
    "host",
    "origin",
    "proxy-authorization",
    "referer",
    "sec-fetch-site",
    "set-cookie",
    "trailer",
    "via",
    "x-real-ip",
    "x-request-id",
];

/// Takes out what is about the client's connection, and whatever else is `unwanted`, in one pass.
///
/// `TE: trailers` stays, alone of its kind: it travels on (RFC 9110 section 10.1.4). `Upgrade` goes; whoever
/// lets a request upgrade sets it again.
pub(crate) fn strip_request(headers: &mut HeaderMap, unwanted: impl Fn(&HeaderName) -> bool) {
    strip_nominated(headers);
    let trailers = headers.get_all(TE).iter().any(|value| lists(value, "trailers"));
    remove_where(headers, |name| is_of_the_hop(name) || unwanted(name));
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}

/// Whether a field is about the connection alone, or a service might take it for one that is.
fn is_of_the_hop(name: &HeaderName) -> bool {
    OF_THE_HOP.iter().any(|known| folds_to(name.as_str(), known))
}

/// Takes out what is about the upstream's connection.
pub(crate) fn strip_answer(headers: &mut HeaderMap) {
    strip_nominated(headers);
    remove_where(headers, is_of_the_hop);
}

/// The tokens of all `Connection` fields, as sent.
pub(crate) fn nominated(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers.get_all(CONNECTION).iter().flat_map(tokens)
}

fn strip_nominated(headers: &mut HeaderMap) {
    let mut fields = headers.get_all(CONNECTION).iter();
    match (fields.next(), fields.next()) {
        (None, _) => return,
        (Some(only), None) if nominates_nothing(only) => {
            headers.remove(CONNECTION);
            return;
        }
        (Some(_), _) => {}
    }
    let names: SmallVec<[HeaderName; 4]> = nominated(headers)
        .filter(|token| !token.eq_ignore_ascii_case("te"))
        .filter_map(|token| HeaderName::from_bytes(token.as_bytes()).ok())
        .filter(|name| !matches!(*name, header::HOST | header::CONTENT_LENGTH))
        .collect();
    for name in names {
        headers.remove(name);
    }
    headers.remove(CONNECTION);
}

/// Whether a field is what nearly everybody says.
fn nominates_nothing(value: &HeaderValue) -> bool {
    value == "keep-alive" || value == "close"
}

fn tokens(value: &HeaderValue) -> impl Iterator<Item = &str> {
    value
        .to_str()
        .unwrap_or("")
        .split(',')
        .map(|token| token.trim_matches([' ', '\t']))
        .filter(|token| !token.is_empty())
}

/// Whether a comma-separated field holds `token`, in any case.
pub(crate) fn lists(value: &HeaderValue, token: &str) -> bool {
    tokens(value).any(|item| item.split(';').next().unwrap_or("").trim_end().eq_ignore_ascii_case(token))
}

/// Names that only the gate may set, compared after folding: without case, and with whatever is neither letter nor digit
/// read as `-`, because upstreams that put fields into environment variables cannot tell them apart (T-B2).
#[derive(Clone, Debug, Default)]
pub struct Protected {
    folded: Vec<Box<str>>,
}

impl Protected {
    /// Protects these names.
    pub fn new<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        let mut folded: Vec<Box<str>> = names.into_iter().map(|name| folded(name).into()).collect();
        folded.sort_unstable();
        folded.dedup();
        Self { folded }
    }

    /// Whether only the gate may set `name`.
    pub fn covers(&self, name: &str) -> bool {
        !self.folded.is_empty() && self.folded.iter().any(|protected| folds_to(name, protected))
    }

    /// The first token of `Connection` that names a protected field, one of those that the API `reads`, or one that is
    /// never the hop's to take out: such a request is refused with 400 (T-B5). What was decided about would not be what
    /// arrives.
    pub(crate) fn nominated_by<'h>(&self, headers: &'h HeaderMap, reads: &Protected) -> Option<&'h str> {
        let mut fields = headers.get_all(CONNECTION).iter();
        match (fields.next(), fields.next()) {
            (None, _) => return None,
            (Some(only), None) if nominates_nothing(only) => return None,
            (Some(_), _) => {}
        }
        nominated(headers).find(|token| {
            NEVER_NOMINATED.iter().any(|name| folds_to(token, name))
                || is_forwarding(token)
                || self.covers(token)
                || reads.covers(token)
        })
    }
}

/// Takes out the fields whose names `unwanted` picks.
pub(crate) fn remove_where(headers: &mut HeaderMap, unwanted: impl Fn(&HeaderName) -> bool) {
    let names: SmallVec<[HeaderName; 4]> = headers.keys().filter(|name| unwanted(name)).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

/// Whether a name, after folding, says who asked for what before it came here: only fronts may say that, and services behind
/// gateways believe it. Nobody's word passes: what was decided the gate says itself.
pub(crate) fn is_forwarding(name: &str) -> bool {
    const C: &[&str] =
        &["client-ip", "cf-connecting-ip", "cf-connecting-ipv6", "cf-pseudo-ipv4", "cf-visitor"];
    const F: &[&str] = &["forwarded", "forwarded-for", "front-end-https", "fastly-client-ip"];
    const X: &[&str] = &[
        "x-appengine-user-ip",
        "x-azure-clientip",
        "x-azure-socketip",
        "x-client-ip",
        "x-cluster-client-ip",
        "x-forwarded",
        "x-host",
        "x-http-host-override",
        "x-original-forwarded-for",
        "x-original-host",
        "x-original-method",
        "x-original-uri",
        "x-original-url",
        "x-originating-ip",
        "x-proxyuser-ip",
        "x-real-ip",
        "x-remote-addr",
        "x-remote-ip",
        "x-rewrite-url",
        "x-scheme",
        "x-url-scheme",
    ];
    let starts = |family: &str| name.get(..family.len()).is_some_and(|start| folds_to(start, family));
    let known = match name.as_bytes().first() {
        Some(b'c' | b'C') => C,
        Some(b'f' | b'F') => F,
        Some(b'p' | b'P') => &["proxy-client-ip"],
        Some(b't' | b'T') => &["true-client-ip"],
        Some(b'w' | b'W') => &["wl-proxy-client-ip"],
        Some(b'x' | b'X') if starts("x-forwarded-") || starts("x-envoy-") => return true,
        Some(b'x' | b'X') => X,
        Some(_) | None => return false,
    };
    known.iter().any(|known| folds_to(name, known))
}

/// Whether a name, after folding, asks the service to take the request for one of another method. The rules and
/// CSRF saw the true method, so that such a field would lead past both (T-A11, T-E7).
pub(crate) fn is_method_override(name: &str) -> bool {
    ["x-http-method-override", "x-http-method", "x-method-override"].iter().any(|known| folds_to(name, known))
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
    use super::*;

    fn map(fields: &[(&str, &str)]) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| {
                (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
            })
            .collect()
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn what_is_about_the_connection_goes() {
        let mut headers = map(&[
            ("connection", "keep-alive, X-Hop"),
            ("connection", "x-other ,"),
            ("keep-alive", "timeout=5"),
            ("x-hop", "1"),
            ("x-other", "1"),
            ("te", "trailers, deflate;q=0.5"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("http2-settings", "AAMAAABkAAQAAP__"),
            ("proxy-connection", "close"),
            ("transfer_encoding", "chunked"),
            ("proxy~authorization", "Basic YTpi"),
            ("trailer", "x-sum"),
            ("accept", "*/*"),
            ("x-unwanted", "1"),
        ]);
        strip_request(&mut headers, |name| name == "x-unwanted");
        assert_eq!(names(&headers), ["accept", "te", "trailer"]);
        assert_eq!(headers["te"], "trailers");
        strip_answer(&mut headers);
        assert_eq!(names(&headers), ["accept", "trailer"]);
    }

    #[test]
    fn nominating_a_protected_name_is_seen() {
        let protected = Protected::new(["Countersign-Assertion", "X-User"]);
        let reads = Protected::new(["X-Customer"]);
        let check =
            |value: &str| protected.nominated_by(&map(&[("connection", value)]), &reads).map(str::to_owned);
        assert_eq!(check("close, X_User").as_deref(), Some("X_User"));
        assert_eq!(check("COUNTERSIGN-ASSERTION").as_deref(), Some("COUNTERSIGN-ASSERTION"));
        assert_eq!(check("Authorization").as_deref(), Some("Authorization"));
        assert_eq!(check("keep-alive, x-forwarded-for").as_deref(), Some("x-forwarded-for"));
        assert_eq!(check("x-real-ip").as_deref(), Some("x-real-ip"));
        assert_eq!(check("close, x_customer").as_deref(), Some("x_customer"));
        assert_eq!(check("keep-alive, x-users, x-customers, te, upgrade"), None);
        assert_eq!(protected.nominated_by(&HeaderMap::new(), &reads), None);
    }

    #[test]
    fn every_spelling_of_a_protected_name_goes() {
        let protected = Protected::new(["Remote-User"]);
        let mut headers = map(&[
            ("remote_user", "root"),
            ("REMOTE-USER", "root"),
            ("remote.user", "root"),
            ("remote!user", "root"),
            ("remote-users", "a"),
        ]);
        remove_where(&mut headers, |name| protected.covers(name.as_str()));
        assert_eq!(names(&headers), ["remote-users"]);
    }

    #[test]
    fn names_of_method_overrides() {
        for name in ["X-HTTP-Method-Override", "x_http_method", "X-Method.Override"] {
            assert!(is_method_override(name), "{name}");
        }
        for name in ["method", "x-method", "x-http-method-overrides"] {
            assert!(!is_method_override(name), "{name}");
        }
    }

    #[test]
    fn names_of_forwarding_fields() {
        for name in [
            "Forwarded",
            "x-forwarded",
            "x-forwarded-for",
            "X_Forwarded_Uri",
            "x-original-url",
            "X-Real-IP",
            "client.ip",
            "X-Envoy-Internal",
            "TRUE-CLIENT-IP",
            "WL-Proxy-Client-IP",
            "proxy_client_ip",
        ] {
            assert!(is_forwarding(name), "{name}");
        }
        for name in ["forward", "x-forward", "x-forwardedfor", "te", "x-forge", "x-envoy", "client", "x", ""]
        {
            assert!(!is_forwarding(name), "{name}");
        }
    }
}
