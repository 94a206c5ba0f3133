//! Whose page made a browser send a request: one reading, for everything that asks (THREATS T-E7).
//!
//! Browsers say it in `Sec-Fetch-Site` (Fetch Metadata Request Headers), but only over connections that they trust: TLS,
//! and this machine. Over others, and where they are older than that field, `Origin` says it (RFC 6454 section 7) with
//! whatever changes something and with every WebSocket. No script can set either. Programs send neither.

use std::net::IpAddr;

use http::header::{HOST, ORIGIN};
use http::{HeaderMap, HeaderValue};

use crate::canonical::host::canonical_host;
use crate::refusal::{Reason, Refusal};

const SEC_FETCH_SITE: &str = "sec-fetch-site";

/// Which pages may use what a browser knows of its user.
#[derive(Clone, Copy, Debug)]
pub struct Pages<'p> {
    /// How the client speaks, as far as it is known: `http` or `https`.
    pub scheme: &'static str,
    /// The origins, beside the host's own, whose pages may call with the browser's credentials; as browsers write them.
    pub trusted: &'p [String],
    /// The names under which the API is to be found, where its places name hosts.
    pub hosts: &'p [String],
}

/// Whose page made a browser send a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// The request says nothing of a page: a program's, or a navigation of a browser that says nothing about those.
    Unnamed,
    /// Of the host that was asked, or of an origin that is trusted; or the user himself, who typed the address.
    Ours,
    /// Another, or one that cannot be told.
    Foreign,
}

impl Pages<'_> {
    /// Whose page asks, by the headers of its request, with `Host` in its one spelling.
    ///
    /// A page of the same *site* is foreign: whoever has one name below a domain speaks for no other. What is repeated,
    /// unknown or `null` is foreign.
    pub fn asking(&self, headers: &HeaderMap) -> Page {
        let mut sites = headers.get_all(SEC_FETCH_SITE).iter();
        match (sites.next(), sites.next()) {
            (None, _) => self.named_by_origin(headers),
            (Some(site), None) if site == "same-origin" || site == "none" => Page::Ours,
            (Some(_), _) => match Origin::of(headers) {
                Origin::One(origin) if self.trusts(origin) => Page::Ours,
                Origin::One(_) | Origin::None | Origin::Several => Page::Foreign,
            },
        }
    }

    /// Whether the host that was asked is the API's by name, or this machine: an address, or `localhost`. A page of somebody
    /// else's can let a name of its own point here, and is of that name's origin then; it can let no address be another.
    pub fn knows_host(&self, headers: &HeaderMap) -> bool {
        let mut hosts = headers.get_all(HOST).iter();
        let host = match (hosts.next(), hosts.next()) {
            (Some(host), None) => host,
            // No browser comes without.
            (None, _) => return true,
            (Some(_), Some(_)) => return false,
        };
        let Some(host) = host.to_str().ok().and_then(|host| canonical_host(host).ok()) else { return false };
        let name = host.name();
        name == "localhost"
            || name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
            || self.hosts.iter().any(|known| known.eq_ignore_ascii_case(name))
    }

    /// Refuses what a foreign page made a browser do, in words such as `sent the form`.
    ///
    /// Where the page's origin was compared, the log is told with what: whoever has a proxy end TLS, and has not said that
    /// it may be believed, finds `http` there in place of the `https` of his pages.
    pub fn refuse(&self, headers: &HeaderMap, what: &str) -> Refusal {
        let (site, origin) = (headers.contains_key(SEC_FETCH_SITE), Origin::of(headers) != Origin::None);
        let cause = match self.own(headers) {
            Some(own) if !site && origin => format!("a page of another origin than {own} {what}"),
            None | Some(_) if site || origin => format!("a page of another origin {what}"),
            None | Some(_) => format!("a page that names no origin {what}"),
        };
        Refusal::new(Reason::Csrf, cause)
    }

    /// The origin of the host that was asked, as browsers write it.
    fn own(&self, headers: &HeaderMap) -> Option<String> {
        let host = headers.get(HOST)?.to_str().ok()?;
        let host = host.strip_suffix(self.usual_port()).unwrap_or(host);
        Some(format!("{}://{host}", self.scheme))
    }

    fn usual_port(&self) -> &'static str {
        if self.scheme == "https" { ":443" } else { ":80" }
    }

    fn named_by_origin(&self, headers: &HeaderMap) -> Page {
        match Origin::of(headers) {
            Origin::None => Page::Unnamed,
            Origin::One(origin) if self.is_own(origin, headers) || self.trusts(origin) => Page::Ours,
            Origin::One(_) | Origin::Several => Page::Foreign,
        }
    }

    /// Whether an origin is that of the host that was asked. Browsers leave out the usual port; what stands in front of
    /// the gate may add it to `Host`.
    fn is_own(&self, origin: &HeaderValue, headers: &HeaderMap) -> bool {
        let Some(host) = headers.get(HOST).and_then(|host| host.to_str().ok()) else { return false };
        let authority = origin.to_str().ok().and_then(|origin| {
            let rest = origin.strip_prefix(self.scheme)?;
            rest.strip_prefix("://")
        });
        authority.is_some_and(|authority| {
            authority == host || host.strip_suffix(self.usual_port()) == Some(authority)
        })
    }

    fn trusts(&self, origin: &HeaderValue) -> bool {
        self.trusted.iter().any(|trusted| trusted.as_bytes() == origin.as_bytes())
    }
}

/// The origin that a request names (RFC 6454 section 7), as its page's browser wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin<'h> {
    /// No such field.
    None,
    /// One.
    One(&'h HeaderValue),
    /// More than one: which of them counts nobody can say.
    Several,
}

impl<'h> Origin<'h> {
    /// The origin in these headers.
    pub fn of(headers: &'h HeaderMap) -> Self {
        let mut origins = headers.get_all(ORIGIN).iter();
        match (origins.next(), origins.next()) {
            (None, _) => Self::None,
            (Some(origin), None) => Self::One(origin),
            (Some(_), Some(_)) => Self::Several,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::{Page, Pages};
    use http::{HeaderMap, HeaderName, HeaderValue};

    fn asking(scheme: &'static str, fields: &[(&str, &str)]) -> Page {
        let headers: HeaderMap = fields
            .iter()
            .map(|(name, value)| {
                (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
            })
            .collect();
        let trusted = ["https://desk.example".to_owned()];
        Pages { scheme, trusted: &trusted, hosts: &[] }.asking(&headers)
    }

    #[test]
    fn what_a_browser_says_of_the_site_comes_first() {
        let host = ("host", "crm.example");
        let says = |site: &str, origin: &[(&str, &str)]| {
            asking("https", &[&[host, ("sec-fetch-site", site)], origin].concat())
        };
        let (own, desk, sibling) = (
            ("origin", "https://crm.example"),
            ("origin", "https://desk.example"),
            ("origin", "https://wiki.example"),
        );
        assert_eq!(says("same-origin", &[]), Page::Ours);
        assert_eq!(says("same-origin", &[("origin", "null")]), Page::Ours, "a page without a referrer");
        assert_eq!(says("none", &[]), Page::Ours);
        for site in ["same-site", "cross-site"] {
            assert_eq!(says(site, &[desk]), Page::Ours, "{site}");
            for origin in [&[][..], &[own], &[sibling], &[("origin", "null")], &[desk, sibling]] {
                assert_eq!(says(site, origin), Page::Foreign, "{site} {origin:?}");
            }
        }
        for site in ["", "Same-Origin", "same-origin, cross-site", "anything"] {
            assert_eq!(says(site, &[own]), Page::Foreign, "{site}");
        }
        let twice = [host, ("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site"), own];
        assert_eq!(asking("https", &twice), Page::Foreign);
    }

    /// T-E7.
    #[test]
    fn a_host_is_known_by_its_name_or_is_an_address() {
        let knows = |hosts: &[&str]| {
            let mut headers = HeaderMap::new();
            for host in hosts {
                headers.append("host", HeaderValue::from_str(host).unwrap());
            }
            let known = ["crm.corp".to_owned()];
            Pages { scheme: "http", trusted: &[], hosts: &known }.knows_host(&headers)
        };
        for host in
            ["crm.corp", "CRM.corp:8080", "localhost:8080", "127.0.0.1:8080", "[::1]:8080", "192.0.2.7"]
        {
            assert!(knows(&[host]), "{host}");
        }
        for host in ["evil.example", "x.crm.corp", "crm.corp.evil.example", "127.0.0.1.evil.example", ""] {
            assert!(!knows(&[host]), "{host}");
        }
        assert!(knows(&[]) && !knows(&["crm.corp", "crm.corp"]));
    }

    #[test]
    fn the_origin_says_it_elsewhere() {
        let from = |scheme, host: &str, origin: &str| asking(scheme, &[("host", host), ("origin", origin)]);
        assert_eq!(asking("http", &[("host", "crm.corp")]), Page::Unnamed);
        for (scheme, host, origin) in [
            ("http", "crm.corp", "http://crm.corp"),
            ("http", "crm.corp:80", "http://crm.corp"),
            ("https", "crm.corp:443", "https://crm.corp"),
            ("http", "crm.corp:8080", "http://crm.corp:8080"),
            ("http", "[::1]:80", "http://[::1]"),
            ("http", "crm.corp", "https://desk.example"),
        ] {
            assert_eq!(from(scheme, host, origin), Page::Ours, "{host} {origin}");
        }
        for (scheme, host, origin) in [
            ("http", "crm.corp", "http://evil"),
            ("http", "crm.corp", "https://crm.corp"),
            ("https", "crm.corp", "http://crm.corp"),
            ("http", "crm.corp:443", "http://crm.corp"),
            ("http", "crm.corp", "http://crm.corp:8080"),
            ("http", "crm.corp", "http://crm.corp.evil"),
            ("http", "crm.corp", "http://crm.corp@evil"),
            ("http", "crm.corp", "http://crm.corp/"),
            ("http", "crm.corp", "crm.corp"),
            ("http", "crm.corp", "http://desk.example"),
            ("http", "crm.corp", "null"),
            ("http", "crm.corp", ""),
        ] {
            assert_eq!(from(scheme, host, origin), Page::Foreign, "{host} {origin}");
        }
        let (host, own) = (("host", "crm.corp"), ("origin", "http://crm.corp"));
        assert_eq!(asking("http", &[host, own, ("origin", "http://evil")]), Page::Foreign);
        assert_eq!(asking("http", &[own]), Page::Foreign, "without a host nothing is its own");
    }
}
