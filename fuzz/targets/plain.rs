//! Other readers, written from the grammar alone and without regard to speed: what is read is compared with them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A host and its port, as RFC 3986 section 3.2 has them, less user information: letters in lower case, without a dot at
/// the end, addresses as they are written shortest.
pub(super) fn host(text: &str) -> Option<(String, Option<u16>)> {
    let (name, behind) = if text.starts_with('[') {
        let end = text.find(']')?;
        let address: Ipv6Addr = text[1..end].parse().ok()?;
        (format!("[{address}]"), &text[end + 1..])
    } else {
        let end = text.find(':').unwrap_or(text.len());
        let name = text[..end].to_lowercase();
        let name = name.strip_suffix('.').unwrap_or(&name).to_owned();
        let letter = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || "-_".contains(char);
        let label = |label: &str| (1..=63).contains(&label.len()) && label.chars().all(letter);
        (name.len() <= 253 && name.split('.').all(label) && text[..end].is_ascii()).then_some(())?;
        (name, &text[end..])
    };
    let port = match behind.chars().collect::<Vec<_>>()[..] {
        [] | [':'] => None,
        [':', ref digits @ ..] if digits.len() <= 5 => {
            let mut port = 0;
            for digit in digits {
                port = port * 10 + digit.to_digit(10)?;
            }
            Some(u16::try_from(port).ok().filter(|port| *port > 0)?)
        }
        _ => return None,
    };
    Some((name, port))
}

/// A name or a value of a query, by the URL standard's `application/x-www-form-urlencoded`, but that a broken escape and
/// what is not UTF-8 is none.
pub(super) fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        rest = behind;
        match (first, behind) {
            (b'+', _) => bytes.push(b' '),
            (b'%', [high, low, behind @ ..]) => {
                let digit =
                    |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                bytes.push(digit(*high)? * 16 + digit(*low)?);
                rest = behind;
            }
            (b'%', _) => return None,
            (plain, _) => bytes.push(*plain),
        }
    }
    String::from_utf8(bytes).ok()
}

/// The client's end in a PROXY header of version 1: six words, one blank between them, CRLF.
pub(super) fn proxied_text(header: &[u8]) -> Option<SocketAddr> {
    // What comes behind the line is not its own.
    let end = header.windows(2).position(|pair| pair == b"\r\n")?;
    let line = std::str::from_utf8(&header[..end]).ok()?;
    let [_, family, source, destination, source_port, destination_port] =
        line.split(' ').collect::<Vec<_>>()[..]
    else {
        return None;
    };
    let address = |text: &str| -> Option<IpAddr> {
        match family {
            "TCP4" => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
            "TCP6" => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            _ => None,
        }
    };
    let (_, _): (IpAddr, u16) = (address(destination)?, destination_port.parse().ok()?);
    Some(SocketAddr::new(address(source)?.to_canonical(), source_port.parse().ok()?))
}

/// The client's end in a PROXY header of version 2, by the places of its bytes.
pub(super) fn proxied_binary(header: &[u8]) -> Option<SocketAddr> {
    let [command, family] = header.get(12..14)?.try_into().ok()?;
    if command != 0x21 {
        return None;
    }
    let port = |at: usize| Some(u16::from_be_bytes(header.get(at..at + 2)?.try_into().ok()?));
    let (address, port): (IpAddr, u16) = match family >> 4 {
        1 => (<[u8; 4]>::try_from(header.get(16..20)?).ok()?.into(), port(24)?),
        2 => (<[u8; 16]>::try_from(header.get(16..32)?).ok()?.into(), port(48)?),
        _ => return None,
    };
    Some(SocketAddr::new(address.to_canonical(), port))
}

/// What a dialect's file calls credentials and proofs, read from its lines alone.
pub(super) struct Credentials {
    headers: Vec<String>,
    cookies: Vec<String>,
    queries: Vec<String>,
    passes: Vec<String>,
}

impl Credentials {
    pub(super) fn of(text: &str) -> Self {
        let mut found =
            Self { headers: Vec::new(), cookies: Vec::new(), queries: Vec::new(), passes: Vec::new() };
        let mut table = "";
        for line in text.lines().map(str::trim) {
            // Names in these files hold no `#`.
            let line = line.split('#').next().unwrap_or_default();
            if let Some(name) = line.strip_prefix('[') {
                table = name.split(']').next().unwrap_or_default();
                found.cookies.extend(table.strip_prefix("cookie.").map(str::to_owned));
            }
            let quoted = line.split('"').skip(1).step_by(2);
            if table.is_empty() && line.starts_with("passes") {
                found.passes.extend(quoted.map(one_name));
            } else if table == "csrf" || table.starts_with("credential.") {
                for place in quoted {
                    match place.split_once(' ') {
                        Some(("header", name)) => found.headers.push(one_name(name)),
                        Some(("cookie", name)) => found.cookies.push(name.to_owned()),
                        Some(("query", name)) => found.queries.push(name.to_owned()),
                        Some(_) | None => {}
                    }
                }
            }
        }
        assert!(!found.headers.is_empty() || !found.cookies.is_empty(), "no credential is named");
        found
    }

    /// None of them is left in a head, in a spelling that servers take for it.
    pub(super) fn are_not_in(&self, headers: &http::HeaderMap) {
        for (name, value) in headers {
            let name = name.as_str();
            let one = one_name(name);
            assert!(!self.headers.contains(&one), "{name} went on");
            assert!(one != "authorization" && !one.starts_with("countersign-"), "{name} went on");
            if self.passes.contains(&one) {
                assert!(
                    !name.contains(|char: char| !char.is_alphanumeric() && char != '-'),
                    "{name} went on"
                );
            }
            if name == "cookie" {
                for pair in String::from_utf8_lossy(value.as_bytes()).split(';') {
                    let name = pair.split('=').next().unwrap_or_default().trim();
                    assert!(!self.cookies.iter().any(|own| own == name), "cookie {name} went on");
                }
            }
        }
    }

    /// None of them is left in a query.
    pub(super) fn are_not_in_query(&self, query: &str) {
        for pair in query.split('&') {
            let name = decoded(pair.split('=').next().unwrap_or_default());
            assert!(!name.is_some_and(|name| self.queries.contains(&name)), "{pair} went on");
        }
    }
}

/// A field's name as servers of the CGI family have it.
fn one_name(name: &str) -> String {
    name.chars()
        .map(|char| if char.is_ascii_alphanumeric() { char.to_ascii_lowercase() } else { '-' })
        .collect()
}
