//! Readers of `X-Forwarded-For` and of `Forwarded` (RFC 7239).
//!
//! ```text
//! X-Forwarded-For: 192.0.2.1, [2001:db8::1]:4711, 10.0.0.1
//! Forwarded: for=192.0.2.1;proto=https;host=a.example, for="[2001:db8::1]:4711";by=_gate
//! ```

use std::net::{IpAddr, SocketAddr};

use countersign_auth::canonical::is_token_byte;
use http::header::{FORWARDED, HeaderName};
use http::{HeaderMap, HeaderValue};
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
        told.hops.extend(items(value).map(|item| node(trim(item?))));
    }
    for value in headers.get_all(X_FORWARDED_PROTO) {
        told.schemes.extend(items(value).map(|item| scheme(trim(item?))));
    }
    told
}

/// The items of a list, each by itself: what is no text in one of them, which may be the client's, is in no other.
fn items(value: &HeaderValue) -> impl Iterator<Item = Option<&str>> {
    value.as_bytes().split(|byte| *byte == b',').map(|item| std::str::from_utf8(item).ok())
}

/// Reads `Forwarded`, from its end: each front appends what it knows, so that the last element is that of the front which
/// is believed, the one before it that of whoever this front names, and so on.
///
/// An element that breaks the grammar is a hop that cannot be read, and nothing before it is read: where it begins, and so
/// what it hides, cannot be known. What comes behind it is whole whatever it is, also where a quote is open in it: a client
/// that could spoil what its front appends would have no address (T-B6).
pub fn forwarded(headers: &HeaderMap) -> Told {
    let mut told = Told::default();
    'fields: for value in headers.get_all(FORWARDED).iter().rev() {
        let mut rest = Some(value.as_bytes());
        while let Some(list) = rest {
            let (before, last) = last_element(list);
            let read = std::str::from_utf8(last).ok().and_then(element);
            let (hop, scheme) = read.unwrap_or_default();
            told.hops.push(hop);
            told.schemes.push(scheme);
            if read.is_none() {
                break 'fields;
            }
            rest = before;
        }
    }
    told.hops.reverse();
    told.schemes.reverse();
    told
}

/// The last element of a list and what is before its comma, which no quotes surround as they are counted from the end.
fn last_element(list: &[u8]) -> (Option<&[u8]>, &[u8]) {
    let mut quoted = false;
    let mut before = list;
    while let Some((byte, rest)) = before.split_last() {
        match byte {
            b'"' if quoted => {
                let escapes = rest.iter().rev().take_while(|byte| **byte == b'\\').count();
                quoted = !escapes.is_multiple_of(2);
            }
            b'"' => quoted = true,
            b',' if !quoted => return (Some(rest), list.get(before.len()..).unwrap_or_default()),
            _ => {}
        }
        before = rest;
    }
    (None, list)
}

/// `[ pair ] *( ";" [ pair ] )`: the hop and its scheme, of an element that says of each no more than once. A hop that says
/// nothing of its client still is one.
fn element(text: &str) -> Option<(Option<IpAddr>, Option<Scheme>)> {
    let (mut hop, mut proto) = (None, None);
    let mut rest = trim(text);
    loop {
        if !rest.is_empty() && !rest.starts_with(';') {
            let (name, tail) = rest.split_once('=')?;
            if name.is_empty() || !name.bytes().all(is_token_byte) {
                return None;
            }
            let (value, tail) = value(tail)?;
            rest = trim(tail);
            // RFC 7239 section 4: each parameter occurs at most once in an element.
            if name.eq_ignore_ascii_case("for") {
                if hop.replace(node(&value)).is_some() {
                    return None;
                }
            } else if name.eq_ignore_ascii_case("proto") && proto.replace(scheme(&value)).is_some() {
                return None;
            }
        }
        if rest.is_empty() {
            return Some((hop.flatten(), proto.flatten()));
        }
        rest = trim(rest.strip_prefix(';')?);
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

/// Some fronts call that of a WebSocket's handshake after the WebSocket.
fn scheme(text: &str) -> Option<Scheme> {
    let is_one_of = |names: [&str; 2]| names.iter().any(|name| text.eq_ignore_ascii_case(name));
    if is_one_of(["https", "wss"]) {
        Some(Scheme::Https)
    } else if is_one_of(["http", "ws"]) {
        Some(Scheme::Http)
    } else {
        None
    }
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
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
            (&["for=6.6.6.6", "for=", "for=1.1.1.1"], "? 1.1.1.1"),
            (&["for=6.6.6.6, for=1.1.1.1 x, for=2.2.2.2;proto=https"], "? 2.2.2.2 https"),
            (&["for=\", for=2.2.2.2"], "? 2.2.2.2"),
            (&["for=\"x\\, for=\"[2001:db8::1]\";host=\"a\""], "? 2001:db8::1"),
            (&["for=\"6.6.6.6, for=1.1.1.1, for=\"2.2.2.2:80\""], "? 1.1.1.1 2.2.2.2"),
            (&["for=1.1.1.1;host=\"a\\\", for=6.6.6.6;x=\\\"b\""], "1.1.1.1"),
            (&["for=1.1.1.1;host=\"a\\\\\", for=2.2.2.2"], "1.1.1.1 2.2.2.2"),
            (&["for=1.1.1.1,,for=2.2.2.2,"], "1.1.1.1 ? 2.2.2.2 ?"),
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
    fn what_is_no_text_is_in_no_other_hop() {
        let mut headers = HeaderMap::new();
        let field = |bytes: &[u8]| HeaderValue::from_bytes(bytes).unwrap();
        headers.insert(FORWARDED, field(b"for=6.6.6.6, for=\xe4\xff, for=1.1.1.1;proto=https"));
        assert_eq!(show(&forwarded(&headers)), "? 1.1.1.1 https");
        headers.insert(X_FORWARDED_FOR, field(b"6.6.6.6, \xe4\xff, 1.1.1.1"));
        headers.insert(X_FORWARDED_PROTO, field(b"http, \xff, https"));
        assert_eq!(show(&x_forwarded(&headers)), "6.6.6.6 ? 1.1.1.1 https");
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
        for (said, meant) in [("wss", Scheme::Https), ("WS", Scheme::Http)] {
            headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(said));
            assert_eq!(x_forwarded(&headers).scheme_at(None), Some(meant));
        }
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
