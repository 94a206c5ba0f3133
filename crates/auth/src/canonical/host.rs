//! The host that a request is for, in one spelling.

use std::borrow::Cow;
use std::fmt;
use std::net::Ipv6Addr;

/// A host in lower case without trailing dot, and the port if one was named.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CanonicalHost<'a> {
    host: Cow<'a, str>,
    port: Option<u16>,
}

/// Why a request has no one host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// Nothing, or only a port.
    #[error("host is empty")]
    Empty,
    /// `user@host`.
    #[error("host carries user information")]
    UserInfo,
    /// A character that no host name has, an empty or overlong label, a name that is too long.
    #[error("host is not a name or an address")]
    Name,
    /// Not an IPv6 address in brackets.
    #[error("host has a bad address in brackets")]
    Address,
    /// Not a number from 1 to 65535.
    #[error("host has a bad port")]
    Port,
    /// No `Host` and no authority.
    #[error("request names no host")]
    Missing,
    /// Two `Host` headers.
    #[error("request names a host twice")]
    Repeated,
    /// The authority of the target is not that of the `Host` header.
    #[error("request target and host header differ")]
    Differs,
}

/// RFC 1035 section 2.3.4.
const NAME_BYTES_MAX: usize = 253;
/// RFC 1035 section 2.3.4.
const LABEL_BYTES_MAX: usize = 63;

impl CanonicalHost<'_> {
    /// The name or address; IPv6 in brackets.
    pub fn name(&self) -> &str {
        &self.host
    }

    /// The port, where one was named.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Whether both mean the same place, where no port means `default_port`.
    pub fn same_as(&self, other: &CanonicalHost<'_>, default_port: u16) -> bool {
        self.host == other.host && self.port.unwrap_or(default_port) == other.port.unwrap_or(default_port)
    }

    /// Whether `raw` is what [`fmt::Display`] writes. Allocates nothing.
    pub fn is_written(&self, raw: &str) -> bool {
        let port = raw.strip_prefix(&*self.host).map(|rest| (rest, rest.strip_prefix(':')));
        match (port, self.port) {
            (Some(("", _)), None) => true,
            (Some((_, Some(digits))), Some(port)) => !digits.starts_with('0') && digits.parse() == Ok(port),
            (Some(_) | None, _) => false,
        }
    }
}

impl fmt::Display for CanonicalHost<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// The name or address in a host that a [`CanonicalHost`] wrote.
pub fn name_of(written: &str) -> &str {
    match written.rfind(']') {
        // The colons of an IPv6 literal are inside its brackets.
        Some(end) => written.get(..=end).unwrap_or(written),
        None => written.split_once(':').map_or(written, |(name, _port)| name),
    }
}

/// Reads the value of a `Host` header, an authority, or a host in a configuration.
///
/// # Errors
/// See [`HostError`].
pub fn canonical_host(raw: &str) -> Result<CanonicalHost<'_>, HostError> {
    if raw.contains('@') {
        return Err(HostError::UserInfo);
    }
    if let Some(rest) = raw.strip_prefix('[') {
        let (address, port) = rest.split_once(']').ok_or(HostError::Address)?;
        let address: Ipv6Addr = address.parse().map_err(|_| HostError::Address)?;
        let port = match port.strip_prefix(':') {
            Some(port) => read_port(port)?,
            None if port.is_empty() => None,
            None => return Err(HostError::Port),
        };
        return Ok(CanonicalHost { host: Cow::Owned(format!("[{address}]")), port });
    }
    let (name, port) =
        raw.split_once(':').map_or(Ok((raw, None)), |(name, port)| Ok((name, read_port(port)?)))?;
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() {
        return Err(HostError::Empty);
    }
    let good = |label: &str| {
        !label.is_empty()
            && label.len() <= LABEL_BYTES_MAX
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    if name.len() > NAME_BYTES_MAX || !name.split('.').all(good) {
        return Err(HostError::Name);
    }
    let host = if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    };
    Ok(CanonicalHost { host, port })
}

/// The one host of a request: of its target, if that names one, and of its one `Host` header.
///
/// HTTP/1.1 requires the header also beside an absolute target, HTTP/2 allows it beside `:authority`; where both
/// are there they must agree (RFC 9112 section 3.2.2, THREATS T-A10).
///
/// # Errors
/// See [`HostError`].
pub fn one_host<'a>(
    target: Option<&'a str>,
    headers: impl IntoIterator<Item = &'a str>,
    default_port: u16,
) -> Result<CanonicalHost<'a>, HostError> {
    let target = target.map(canonical_host).transpose()?;
    let mut headers = headers.into_iter();
    let header = headers.next().map(canonical_host).transpose()?;
    if headers.next().is_some() {
        return Err(HostError::Repeated);
    }
    match (target, header) {
        (Some(target), Some(header)) if !target.same_as(&header, default_port) => Err(HostError::Differs),
        (Some(host), _) | (None, Some(host)) => Ok(host),
        (None, None) => Err(HostError::Missing),
    }
}

/// An empty port is no port (RFC 3986 section 3.2.3).
fn read_port(raw: &str) -> Result<Option<u16>, HostError> {
    if raw.is_empty() {
        return Ok(None);
    }
    if raw.len() > 5 || !raw.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(HostError::Port);
    }
    match raw.parse() {
        Ok(0) | Err(_) => Err(HostError::Port),
        Ok(port) => Ok(Some(port)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::{any, proptest};

    use super::{HostError, canonical_host, name_of, one_host};

    #[test]
    fn one_spelling() {
        let check = |raw: &str, expected: &str| {
            let host = canonical_host(raw).unwrap();
            assert_eq!(
                (host.to_string(), host.is_written(raw)),
                (expected.to_owned(), raw == expected),
                "{raw}"
            );
            assert!(host.is_written(expected), "{raw}");
            assert_eq!(name_of(expected), host.name(), "{raw}");
        };
        check("a.B.example.com", "a.b.example.com");
        check("EXAMPLE.com.", "example.com");
        check("example.com.:8443", "example.com:8443");
        check("example.com:", "example.com");
        check("127.0.0.1:80", "127.0.0.1:80");
        check("example.com:080", "example.com:80");
        check("a.example:8443", "a.example:8443");
        check("[2001:DB8::0:1]", "[2001:db8::1]");
        check("[::1]:443", "[::1]:443");
        check("[::ffff:10.0.0.1]", "[::ffff:10.0.0.1]");
        check("my_host", "my_host");
        check("xn--caf-dma.example", "xn--caf-dma.example");
    }

    #[test]
    fn bad_hosts_are_refused() {
        let check = |raw: &str, expected| assert_eq!(canonical_host(raw), Err(expected), "{raw}");
        check("", HostError::Empty);
        check(".", HostError::Empty);
        check(":80", HostError::Empty);
        check("a@b", HostError::UserInfo);
        check("user:pass@b:80", HostError::UserInfo);
        for raw in
            ["a..b", ".a", "a..", "a b", "a/b", "a%41", "a,b", "caf\u{e9}", "a\0", "a#b", "a?b", "a\\b"]
        {
            check(raw, HostError::Name);
        }
        check(&"a".repeat(64), HostError::Name);
        check(&"ab.".repeat(85), HostError::Name);
        for raw in ["[::1", "[]", "[1.2.3.4]", "[fe80::1%25eth0]", "[::g]"] {
            check(raw, HostError::Address);
        }
        for raw in ["a:0", "a:65536", "a:+80", "a:8a", "a:80:80", "::1", "[::1]80", "[::1]:x", "a: 80"] {
            let error = canonical_host(raw).unwrap_err();
            assert!(matches!(error, HostError::Port | HostError::Empty), "{raw}: {error}");
        }
    }

    #[test]
    fn one_host_or_none() {
        let check = |target: Option<&str>, headers: &[&str], expected: Result<&str, HostError>| {
            let found = one_host(target, headers.iter().copied(), 443).map(|host| host.to_string());
            assert_eq!(found, expected.map(str::to_owned), "{target:?} {headers:?}");
        };
        check(None, &["A.example"], Ok("a.example"));
        check(Some("a.example"), &[], Ok("a.example"));
        check(Some("a.example"), &["A.EXAMPLE.:443"], Ok("a.example"));
        check(Some("a.example"), &["a.example:8443"], Err(HostError::Differs));
        check(Some("a.example"), &["b.example"], Err(HostError::Differs));
        check(None, &["a.example", "a.example"], Err(HostError::Repeated));
        check(None, &[], Err(HostError::Missing));
        check(Some("a.example"), &["a b"], Err(HostError::Name));
    }

    proptest! {
        #[test]
        fn canonical_is_a_fixed_point(raw in "[a-zA-Z0-9.:\\[\\]_-]{0,20}") {
            if let Ok(host) = canonical_host(&raw) {
                let text = host.to_string();
                assert_eq!((host.is_written(&raw), name_of(&text)), (raw == text, host.name()));
                assert_eq!(canonical_host(&text).unwrap().to_string(), text);
            }
        }

        #[test]
        fn any_text_is_read_or_refused(raw in any::<String>()) {
            let _ = canonical_host(&raw);
        }
    }
}
