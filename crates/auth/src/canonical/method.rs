//! Which methods there are.
//!
//! Methods are case-sensitive (RFC 9110 section 9.1), and services that think otherwise run `delete` as `DELETE`: what
//! the rules took for a method that nobody wrote a rule about would then be one that somebody did (THREATS T-A11). So a
//! method is one of a closed list, or it is refused.

use http::Method;

/// What services know everywhere: RFC 9110 section 9.3 without CONNECT and TRACE, and PATCH of RFC 5789.
///
/// CONNECT would make a tunnel of the gate, TRACE an echo of the credentials that it adds.
pub const STANDARD: [Method; 7] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];

/// What else IANA's registry of HTTP methods has, and QUERY, but for `PRI`, which no request may say. A word beyond it is taken
/// for a slip of the pen: a route for `DELTE` would leave `DELETE` to the next rule.
const REGISTERED: [&str; 30] = [
    "ACL",
    "BASELINE-CONTROL",
    "BIND",
    "CHECKIN",
    "CHECKOUT",
    "COPY",
    "LABEL",
    "LINK",
    "LOCK",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MKREDIRECTREF",
    "MKWORKSPACE",
    "MOVE",
    "ORDERPATCH",
    "PROPFIND",
    "PROPPATCH",
    "QUERY",
    "REBIND",
    "REPORT",
    "SEARCH",
    "UNBIND",
    "UNCHECKOUT",
    "UNLINK",
    "UNLOCK",
    "UPDATE",
    "UPDATEREDIRECTREF",
    "VERSION-CONTROL",
];

/// Whether a rule that names no method is about this one.
pub fn is_standard(method: &Method) -> bool {
    STANDARD.contains(method)
}

/// The method that a rule names so.
///
/// ```
/// use countersign_auth::canonical::method::named;
///
/// assert_eq!(named("PROPFIND").unwrap().as_str(), "PROPFIND");
/// assert_eq!((named("propfind"), named("TRACE"), named("DELTE")), (None, None, None));
/// ```
pub fn named(name: &str) -> Option<Method> {
    STANDARD
        .into_iter()
        .find(|method| method.as_str() == name)
        .or_else(|| REGISTERED.contains(&name).then(|| Method::from_bytes(name.as_bytes()).ok()).flatten())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::{Method, REGISTERED, STANDARD, is_standard, named};

    #[test]
    fn only_what_is_listed_is_a_method() {
        for method in &STANDARD {
            assert_eq!(named(method.as_str()).as_ref(), Some(method));
            assert!(is_standard(method));
        }
        for name in REGISTERED {
            let method = named(name).unwrap();
            assert_eq!(method.as_str(), name);
            assert!(!is_standard(&method));
        }
        for name in STANDARD.iter().map(Method::as_str).chain(REGISTERED) {
            assert_eq!(named(&name.to_lowercase()), None);
        }
        for name in ["CONNECT", "TRACE", "PRI", "DELTE", "GET ", "", "X-GET", "PURGE"] {
            assert_eq!(named(name), None, "{name}");
        }
        assert!(!is_standard(&Method::from_bytes(b"delete").unwrap()));
    }
}
