//! Readers of `X-Forwarded-For` and of `Forwarded` (RFC 7239).
//!
//! ```text
//! X-Forwarded-For: 192.0.2.1, [2001:db8::1]:4711, 10.0.0.1
//! Forwarded: for=192.0.2.1;proto=https;host=a.example, for="[2001:db8::1]:4711";by=_gate
//! ```

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use http::header::{FORWARDED, HeaderName};
use smallvec::SmallVec;

use super::Scheme;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// What a front said.
#[derive(Debug, Default)]
pub struct Told {
    /// The hops from left to right; `None` for one that names no address.
    pub(super) hops: SmallVec<[Option<IpAddr>; 4]>,
    /// How each hop's client speaks; for `X-Forwarded-Proto` often one word for all.
    schemes: SmallVec<[Option<Scheme>; 4]>,
}

impl Told {
    /// The hops from left to right, farthest first; `None` for one that names no address or cannot be read.
    pub fn hops(&self) -> &[Option<IpAddr>] {
        &self.hops
    }

    /// How the client at `hop` speaks: by its own entry where each hop has one, else by the nearest front's.
    pub fn scheme_at(&self, hop: Option<usize>) -> Option<Scheme> {
        match hop {
            Some(hop) if self.schemes.len() == self.hops.len() => self.schemes.get(hop).copied().flatten(),
            Some(_) | None => self.schemes.last().copied().flatten(),
        }
    }
}

/// Reads the `X-Forwarded-*` family; several fields are one list.
pub fn x_forwarded(headers: &HeaderMap) -> Told {
    let mut told = Told::default();
    for value in headers.get_all(X_FORWARDED_FOR) {
        match value.to_str() {
            Ok(value) => told.hops.extend(value.split(',').map(|item| node(trim(item)))),
            Err(_) => told.hops.push(None),
        }
    }
    for value in headers.get_all(X_FORWARDED_PROTO) {
        told.schemes.extend(value.to_str().unwrap_or("").split(',').map(|item| scheme(trim(item))));
    }
    told
}

/// Reads `Forwarded`. One element that breaks the grammar makes its whole field unreadable: where it ends, and
/// so what it hides, cannot be known.
pub fn forwarded(headers: &HeaderMap) -> Told {
    let mut told = Told::default();
    for value in headers.get_all(FORWARDED) {
        let mark = told.hops.len();
        if value.to_str().ok().and_then(|text| elements(text, &mut told)).is_none() {
            told.hops.truncate(mark);
            told.schemes.truncate(mark);
            told.hops.push(None);
            told.schemes.push(None);
        }
    }
    told
}

/// `1#( [ pair ] *( ";" [ pair ] ) )`
fn elements(text: &str, told: &mut Told) -> Option<()> {
    let mut rest = text;
    loop {
        let mut hop = None;
        let mut proto = None;
        let more = loop {
            rest = rest.trim_start_matches([' ', '\t']);
            if !rest.starts_with([';', ',']) && !rest.is_empty() {
                let (name, tail) = rest.split_once('=')?;
                if name.is_empty() || !name.bytes().all(is_token_byte) {
                    return None;
                }
                let (value, tail) = value(tail)?;
                rest = tail.trim_start_matches([' ', '\t']);
                // RFC 7239 section 4: each parameter occurs at most once in an element.
                if name.eq_ignore_ascii_case("for") {
                    if hop.replace(node(&value)).is_some() {
                        return None;
                    }
                } else if name.eq_ignore_ascii_case("proto") && proto.replace(scheme(&value)).is_some() {
                    return None;
                }
            }
            let mut chars = rest.chars();
            match chars.next() {
                None => break false,
                Some(',') => {
                    rest = chars.as_str();
                    break true;
                }
                Some(';') => rest = chars.as_str(),
                Some(_) => return None,
            }
        };
        // A hop that says nothing of its client still is one.
        told.hops.push(hop.flatten());
        told.schemes.push(proto.flatten());
        if !more {
            return Some(());
        }
    }
}

/// `token / quoted-string`, and what follows it.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.bytes().position(|byte| !is_token_byte(byte)).unwrap_or(text.len());
        let (token, rest) = text.split_at_checked(end)?;
        return (!token.is_empty()).then(|| (token.to_owned(), rest));
    };
    let mut unquoted = String::new();
    let mut chars = quoted.chars();
    loop {
        match chars.next()? {
            '"' => return Some((unquoted, chars.as_str())),
            '\\' => unquoted.push(chars.next()?),
            other => unquoted.push(other),
        }
    }
}

/// `( IPv4address / "[" IPv6address "]" / "unknown" / obfuscated ) [ ":" port ]`, and the bare IPv6 address that
/// `X-Forwarded-For` allows; `None` for whatever is no address.
fn node(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_canonical());
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address.ip().to_canonical());
    }
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    inner.parse::<std::net::Ipv6Addr>().ok().map(|address| IpAddr::V6(address).to_canonical())
}

fn scheme(text: &str) -> Option<Scheme> {
    if text.eq_ignore_ascii_case("https") {
        Some(Scheme::Https)
    } else if text.eq_ignore_ascii_case("http") {
        Some(Scheme::Http)
    } else {
        None
    }
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// RFC 9110 section 5.6.2.
const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
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
    use http::HeaderValue;

    use super::*;

    fn show(told: &Told) -> String {
        let hops: Vec<_> =
            told.hops.iter().map(|hop| hop.map_or("?".to_owned(), |address| address.to_string())).collect();
        match told.scheme_at(told.hops.len().checked_sub(1)) {
            Some(scheme) => format!("{} {}", hops.join(" "), scheme.as_str()),
            None => hops.join(" "),
        }
    }

    #[test]
    fn forwarded_is_read_by_its_grammar() {
        let cases: &[(&[&str], &str)] = &[
            (&["for=192.0.2.43"], "192.0.2.43"),
            (&["For=\"[2001:db8:cafe::17]:4711\""], "2001:db8:cafe::17"),
            (&["for=192.0.2.60;proto=http;by=203.0.113.43"], "192.0.2.60 http"),
            (&["for=192.0.2.43, for=198.51.100.17;proto=HTTPS"], "192.0.2.43 198.51.100.17 https"),
            (&["for=192.0.2.43", "for=\"198.51.100.17:80\""], "192.0.2.43 198.51.100.17"),
            (&["for=\"::ffff:10.0.0.1\""], "10.0.0.1"),
            (&["for=\"[::ffff:10.0.0.1]\""], "10.0.0.1"),
            (&["for=unknown, for=_hidden"], "? ?"),
            (&["proto=https;host=\"a,b;c\""], "? https"),
            (&["for=\"1.1.1.1, for=2.2.2.2\""], "?"),
            (&["for=\"1.1\\.1.1\";proto=http"], "1.1.1.1 http"),
            (&["for=\"1.1.1.1"], "?"),
            (&["for=1.1.1.1, for=\"2.2.2.2"], "?"),
            (&["for=1.1.1.1 for=2.2.2.2"], "?"),
            (&["for=1.1.1.1;for=2.2.2.2"], "?"),
            (&["for=[2001:db8::1]"], "?"),
            (&["for =1.1.1.1"], "?"),
            (&["=1.1.1.1"], "?"),
            (&["1.1.1.1"], "?"),
            (&["for=", "for=1.1.1.1"], "? 1.1.1.1"),
            (&[";for=1.1.1.1; ;proto=http;"], "1.1.1.1 http"),
            (&["for=999.1.1.1"], "?"),
            (&[""], "?"),
            (&[], ""),
        ];
        for (values, expected) in cases {
            let mut headers = HeaderMap::new();
            for value in *values {
                headers.append(FORWARDED, HeaderValue::from_str(value).unwrap());
            }
            assert_eq!(show(&forwarded(&headers)), *expected, "{values:?}");
        }
    }

    #[test]
    fn each_hop_has_its_scheme() {
        let mut headers = HeaderMap::new();
        headers
            .insert(FORWARDED, HeaderValue::from_static("for=1.1.1.1;proto=https, for=10.0.0.1;proto=http"));
        assert_eq!(forwarded(&headers).scheme_at(Some(0)), Some(Scheme::Https));
        assert_eq!(forwarded(&headers).scheme_at(Some(1)), Some(Scheme::Http));
        headers.insert(X_FORWARDED_FOR, HeaderValue::from_static("1.1.1.1, 10.0.0.1"));
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("https"));
        assert_eq!(x_forwarded(&headers).scheme_at(Some(0)), Some(Scheme::Https));
        assert_eq!(x_forwarded(&headers).scheme_at(None), Some(Scheme::Https));
    }

    #[test]
    fn x_forwarded_is_one_list() {
        let cases: &[(&[&str], &str, &str)] = &[
            (&["192.0.2.1"], "https", "192.0.2.1 https"),
            (&["192.0.2.1,10.0.0.1 "], "http, https", "192.0.2.1 10.0.0.1 https"),
            (&["192.0.2.1", "::ffff:10.0.0.1"], "", "192.0.2.1 10.0.0.1"),
            (
                &["2001:db8::1, [2001:db8::2], [2001:db8::3]:80, 1.2.3.4:5"],
                "",
                "2001:db8::1 2001:db8::2 2001:db8::3 1.2.3.4",
            ),
            (&["a"], "ftp", "?"),
            (&["192.0.2.1,,10.0.0.1"], "", "192.0.2.1 ? 10.0.0.1"),
            (&["\"192.0.2.1\""], "", "?"),
            (&[], "", ""),
        ];
        for (values, proto, expected) in cases {
            let mut headers = HeaderMap::new();
            for value in *values {
                headers.append(X_FORWARDED_FOR, HeaderValue::from_str(value).unwrap());
            }
            headers.append(X_FORWARDED_PROTO, HeaderValue::from_str(proto).unwrap());
            // The other family is not read.
            headers.append(FORWARDED, HeaderValue::from_static("for=6.6.6.6;proto=http"));
            assert_eq!(show(&x_forwarded(&headers)), *expected, "{values:?}");
        }
    }
}
