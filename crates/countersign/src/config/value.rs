//! The scalar values of the configuration: each knows how it is written and says what is wrong with a bad one.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use countersign_auth::canonical::host::canonical_host;
use countersign_auth::canonical::method;
use countersign_auth::dialect::pattern::Pattern;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A value that is written as a string of a certain form.
trait Scalar: FromStr<Err = String> + fmt::Display {
    /// Its name in the JSON Schema, there its `format` as well.
    const FORMAT: &'static str;
    /// How it looks, for the schema.
    const EXAMPLE: &'static str;
    /// What it is.
    const ABOUT: &'static str;
}

macro_rules! scalar {
    ($type:ident, $format:literal, $example:literal, $about:literal) => {
        impl Scalar for $type {
            const FORMAT: &'static str = $format;
            const EXAMPLE: &'static str = $example;
            const ABOUT: &'static str = $about;
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "type": "string",
                    "format": Self::FORMAT,
                    "description": Self::ABOUT,
                    "examples": [Self::EXAMPLE],
                })
            }
        }
    };
}

pub(crate) mod page;

/// Checks a string against a `format` of the schema; `None` if the format is none of ours.
pub(super) fn check_format(format: &str, text: &str) -> Option<Result<(), String>> {
    fn parse<T: Scalar>(text: &str) -> Result<(), String> {
        text.parse::<T>().map(|_| ())
    }
    let check = [
        (Period::FORMAT, parse::<Period> as fn(&str) -> Result<(), String>),
        (Network::FORMAT, parse::<Network>),
        (Address::FORMAT, parse::<Address>),
        (Place::FORMAT, parse::<Place>),
        (Origin::FORMAT, parse::<Origin>),
        (RouteAt::FORMAT, parse::<RouteAt>),
        (Url::FORMAT, parse::<Url>),
        (page::PageOrigin::FORMAT, parse::<page::PageOrigin>),
        (page::FieldName::FORMAT, parse::<page::FieldName>),
        (page::Digest::FORMAT, parse::<page::Digest>),
    ];
    check.iter().find(|(name, _)| *name == format).map(|(_, check)| check(text))
}

/// A span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Period(pub(crate) Duration);

scalar!(Period, "period", "30m", "A span of time: a whole number and one of ms, s, m, h, d.");

/// Units of time, the longest first.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// The longest span of time that can be written: about 100 years, far from any overflow.
const PERIOD_DAYS_MAX: u64 = 36_525;

impl Period {
    /// That many seconds.
    pub(crate) const fn secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }
}

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is no span of time; write a number and one of ms, s, m, h, d, like \"30m\"");
        let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, unit) = text.split_at(digits);
        let factor = UNITS
            .iter()
            .find(|(name, _)| *name == unit.trim())
            .map(|(_, factor)| *factor)
            .ok_or_else(wrong)?;
        let number: u64 = number.parse().map_err(|_| wrong())?;
        match number.checked_mul(factor) {
            Some(0) => Err(format!("`{text}` is no time at all; write at least \"1s\"")),
            Some(ms) if ms <= PERIOD_DAYS_MAX * 86_400_000 => Ok(Self(Duration::from_millis(ms))),
            Some(_) | None => Err(format!("`{text}` is longer than {PERIOD_DAYS_MAX} days")),
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        let (unit, factor) =
            UNITS.iter().find(|(_, factor)| ms.is_multiple_of(*factor)).unwrap_or(&("ms", 1));
        write!(f, "{}{unit}", ms / factor)
    }
}

/// A network of addresses; a lone address is a network of one.
///
/// One of IPv4 in IPv6's notation (`::ffff:10.0.0.0/104`) is the network of IPv4 that it is: peers are compared so,
/// however their listener sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Network(pub(crate) IpNet);

scalar!(Network, "network", "10.0.0.0/8", "A network in CIDR form, or one address.");

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let net = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
        let net = net.ok_or_else(|| {
            format!("`{text}` is no network; write one like \"10.0.0.0/8\" or \"2001:db8::/32\"")
        })?;
        let net = mapped(net).unwrap_or(net);
        if net.trunc() != net {
            return Err(format!("`{text}` has bits set behind its prefix; write \"{}\"", net.trunc()));
        }
        // Whoever may connect could say where he is, and what counts by address would count nothing.
        if net.prefix_len() == 0 {
            return Err(format!(
                "`{text}` is every address: any client would be believed; write the network of the front alone"
            ));
        }
        Ok(Self(net))
    }
}

impl Network {
    /// This machine's own addresses.
    pub(crate) const LOOPBACK: [Self; 2] = [
        Self(IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8))),
        Self(IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128))),
    ];

    /// Whether some address is in both.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        self.0.contains(&other.0) || other.0.contains(&self.0)
    }
}

/// Bits of an IPv6 address before those of the IPv4 address in it (RFC 4291, section 2.5.5.2).
const MAPPED_PREFIX: u8 = 96;

/// The network of IPv4 that one of IPv6 holds and nothing else.
fn mapped(net: IpNet) -> Option<IpNet> {
    let IpNet::V6(net) = net else { return None };
    let prefix = net.prefix_len().checked_sub(MAPPED_PREFIX)?;
    Ipv4Net::new(net.addr().to_ipv4_mapped()?, prefix).ok().map(IpNet::V4)
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Address(pub(crate) SocketAddr);

scalar!(
    Address,
    "address",
    "127.0.0.1:8080",
    "An IP address and a port to listen on; port 0 takes any free one."
);

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|_| {
            format!("`{text}` is no address; write an IP address and a port, like \"127.0.0.1:8080\" or \"[::]:8080\"")
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A place of an API on its listeners: a host, if it is named, and a prefix of paths.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    /// In lower case, without a port; `None` for every host.
    pub(crate) host: Option<String>,
    /// Empty, or `/` and segments, without a slash at its end.
    pub(crate) prefix: String,
}

scalar!(
    Place,
    "place",
    "/api/v2",
    "A prefix like \"/api/v2\", or a host and a prefix like \"api.example.com/v2\"."
);

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((host, prefix)) = text.split_once('/') else {
            return Err(format!(
                "`{text}` has no `/`: write \"/{text}\" for a prefix, or \"{text}/\" for a host"
            ));
        };
        let wrong = || {
            format!("`{host}` is no host name; write \"/prefix\" or \"host/prefix\", without scheme and port")
        };
        let host = match canonical_host(host) {
            _ if host.is_empty() => None,
            Ok(known) if known.port().is_none() && !host.contains(':') => Some(known.name().to_owned()),
            Ok(_) | Err(_) => return Err(wrong()),
        };
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        let bad = |segment: &str| matches!(segment, "" | "." | "..") || !segment.bytes().all(is_plain);
        if !prefix.is_empty() && prefix.split('/').any(bad) {
            return Err(format!(
                "`{text}`: a prefix is made of plain segments: no empty ones, no `.`, `..`, `%`, `*`, `?`"
            ));
        }
        Ok(Self { host, prefix: if prefix.is_empty() { String::new() } else { format!("/{prefix}") } })
    }
}

/// What may stand unencoded in a segment of a path (RFC 3986, section 3.3), less `;`, `{`, `}` and wildcards.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()+,=:@".contains(&byte)
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = if self.prefix.is_empty() { "/" } else { &self.prefix };
        write!(f, "{}{prefix}", self.host.as_deref().unwrap_or(""))
    }
}

/// Where an upstream is: scheme, host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// Whether it speaks TLS.
    pub(crate) scheme: OriginScheme,
    /// Host and, where it is named, port.
    pub(crate) authority: http::uri::Authority,
}

/// How to speak to an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OriginScheme {
    /// In clear.
    Http,
    /// With TLS.
    Https,
}

scalar!(
    Origin,
    "origin",
    "http://127.0.0.1:9000",
    "Scheme, host and port of a server; paths are forwarded as they are."
);

impl FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (scheme, rest) = match text.split_once("://") {
            Some(("http", rest)) => (OriginScheme::Http, rest),
            Some(("https", rest)) => (OriginScheme::Https, rest),
            Some(_) | None => {
                return Err(format!(
                    "`{text}` is no upstream; write http:// or https://, a host and a port, like \"http://127.0.0.1:9000\""
                ));
            }
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#']) {
            return Err(format!(
                "`{text}` has a path; an upstream is scheme, host and port, and gets each path as the client sent it"
            ));
        }
        if authority.contains('@') {
            return Err(format!(
                "`{}` has a user in it; the gate tells the upstream who calls in its assertion",
                without_user(text)
            ));
        }
        let parsed =
            authority.parse::<http::uri::Authority>().ok().filter(|parsed| !parsed.host().is_empty());
        let authority = parsed.ok_or_else(|| format!("`{text}` has no good host and port"))?;
        let port = authority.as_str().strip_prefix(authority.host()).unwrap_or("");
        if !port.is_empty() && authority.port_u16().is_none_or(|port| port == 0) {
            return Err(format!("`{text}`: the port must be a number between 1 and 65535"));
        }
        Ok(Self { scheme, authority })
    }
}

/// The text without user and password, which messages must not repeat.
fn without_user(text: &str) -> String {
    match (text.split_once("://"), text.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://…@{host}"),
        (Some(_) | None, Some(_) | None) => String::from("…"),
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            OriginScheme::Http => "http",
            OriginScheme::Https => "https",
        };
        write!(f, "{scheme}://{}", self.authority)
    }
}

/// Which requests a route is about, as dialects write it: `[METHOD[|METHOD] ]/seg/{name}/**`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RouteAt(pub(crate) String);

scalar!(
    RouteAt,
    "route",
    "GET /items/**",
    "Methods, if it is not about all of GET, HEAD, POST, PUT, PATCH, DELETE and OPTIONS, and a path below the API's prefix; {name} stands for a segment, ** for any number of them; a slash at the end says nothing. Another method of HTTP's registry, like PROPFIND, is let through only where the route of a path names it."
);

impl FromStr for RouteAt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (methods, path) = match text.split_once(' ') {
            Some((methods, path)) => (Some(methods), path.trim_start()),
            None => (None, text),
        };
        if !path.starts_with('/') {
            return Err(format!("`{text}`: the path must begin with `/`, like \"GET /items/**\""));
        }
        let wrong = |name: &&str| method::named(name).is_none();
        if let Some(name) = methods.into_iter().flat_map(|methods| methods.split('|')).find(wrong) {
            return Err(format!(
                "`{name}` is no method that HTTP knows and the gate takes; write them in capitals with `|` between, like \"GET|POST /items\""
            ));
        }
        Pattern::parse(text)?;
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for RouteAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A place that the gate asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url(pub(crate) http::Uri);

scalar!(Url, "gate-url", "https://login.example.com/check", "A URL with scheme and host.");

impl FromStr for Url {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |text: &str| format!("`{text}` is no URL; write scheme, host and path");
        let uri: http::Uri = text.parse().map_err(|_| wrong(&without_user(text)))?;
        match (uri.scheme(), uri.authority()) {
            (Some(_), Some(authority)) if authority.as_str().contains('@') => {
                Err(format!("`{}` has a user in it; secrets stand in files of their own", without_user(text)))
            }
            (Some(_), Some(authority)) if !authority.host().is_empty() => Ok(Self(uri)),
            (_, _) => Err(wrong(text)),
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn good_values_are_written_back_as_they_were_meant() {
        let check = |format, text: &str, expected: &str| {
            let written = match format {
                Period::FORMAT => text.parse::<Period>().unwrap().to_string(),
                Network::FORMAT => text.parse::<Network>().unwrap().to_string(),
                Place::FORMAT => text.parse::<Place>().unwrap().to_string(),
                _ => text.parse::<Origin>().unwrap().to_string(),
            };
            assert_eq!(written, expected);
        };
        check("period", "90s", "90s");
        check("period", "120s", "2m");
        check("period", "24 h", "1d");
        check("network", "10.1.2.3", "10.1.2.3/32");
        check("network", "::ffff:10.1.2.3", "10.1.2.3/32");
        check("network", "::ffff:10.0.0.0/104", "10.0.0.0/8");
        check("network", "::ffff:0:0/97", "0.0.0.0/1");
        check("network", "::/1", "::/1");
        check("network", "2001:db8::/32", "2001:db8::/32");
        check("place", "/", "/");
        check("place", "/a/b/", "/a/b");
        check("place", "EXAMPLE.com./a", "example.com/a");
        check("origin", "https://example.com/", "https://example.com");
    }

    #[test]
    fn every_bad_value_is_refused_with_its_reason() {
        let check = |format, text: &str, expected: &str| {
            let error = check_format(format, text).unwrap().unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        };
        check("period", "30", "no span of time");
        check("period", "0s", "no time at all");
        check("period", "99999999999d", "longer than");
        check("network", "10.0.0.0/33", "no network");
        check("network", "10.1.0.0/8", "write \"10.0.0.0/8\"");
        check("network", "::ffff:10.1.0.0/104", "write \"10.0.0.0/8\"");
        for all in ["0.0.0.0/0", "::/0", "::ffff:0:0/96"] {
            check("network", all, "every address");
        }
        check("address", "localhost:80", "no address");
        check("place", "system", "write \"/system\"");
        check("place", "/a//b", "plain segments");
        check("place", "/a/../b", "plain segments");
        check("place", "http://x/", "no host name");
        check("origin", "127.0.0.1:80", "no upstream");
        check("origin", "http://a/b", "has a path");
        check("origin", "http://u:p@a", "has a user");
        check("origin", "http://a:70000", "between 1 and 65535");
        check("origin", "http://[::1]:0", "between 1 and 65535");
        check("gate-url", "login.example", "no URL");
        check("gate-url", "/check", "no URL");
        check("gate-url", "https://u:p@login.example/", "has a user");
        check("route", "get /x", "no method");
        check("route", "x", "begin with `/`");
    }

    #[test]
    fn a_password_in_an_origin_is_not_repeated() {
        assert!(!"http://u:geheim@a".parse::<Origin>().unwrap_err().contains("geheim"));
    }
}
