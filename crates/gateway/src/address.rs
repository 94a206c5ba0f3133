//! Who is at the other end: of the connection, and behind balancers that may be believed.

pub mod forwarded;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use countersign_auth::link::Sharing;
use http::header::VIA;
use http::{HeaderMap, HeaderValue};
use ipnet::IpNet;

use crate::hop::is_forwarding;
use crate::listen::Connection;

/// A list of networks. The empty list holds nobody.
#[derive(Clone, Debug, Default)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// These networks.
    pub fn new(networks: impl IntoIterator<Item = IpNet>) -> Self {
        Self(networks.into_iter().collect())
    }

    /// Whether one of them holds `address`. An IPv4 address that is mapped into IPv6 is the IPv4 address.
    pub fn hold(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Which fields tell of the hops before: one family, the other is never read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ForwardingFields {
    /// `X-Forwarded-For`, `-Proto`, `-Host`: what nearly every front sends.
    #[default]
    XForwarded,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// Whom the gate believes about the hops before it. Without networks, nobody (T-B1).
#[derive(Clone, Debug, Default)]
pub struct Fronts {
    /// Where the fronts connect from.
    pub networks: Networks,
    /// What they send.
    pub fields: ForwardingFields,
}

/// Where the address of a client comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressSource {
    /// The connection itself, or the PROXY header of a balancer that may be believed.
    Connection,
    /// A forwarding field of a front that may be believed.
    Front,
    /// A front that may be believed sent what cannot be read: the address is that front's own, which the access line
    /// names and failed attempts count for. No rule of a route asks for an address, so that none lets the request
    /// pass for it. Clients have no part in it: what they write is before what their fronts append (T-B6).
    Unreadable,
}

/// How the client speaks, as far as the gate can know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// In clear.
    Http,
    /// Through TLS.
    Https,
}

impl Scheme {
    /// `http` or `https`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port that is meant where none is named.
    pub(crate) const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// Names one request in every log line about it. Unique while a process lives. Whoever is told his own cannot tell others', nor how
/// many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId(u64);

/// What the ids of a process are drawn with.
pub(crate) type RequestSecret = [u64; 2];

impl RequestId {
    /// The one with this number, under the process's secret. Each step can be taken back, so that no two numbers collide.
    pub(crate) fn of(secret: RequestSecret, number: u64) -> Self {
        let [one, other] = secret;
        Self(mixed(mixed(mixed(number ^ one) ^ other) ^ one) ^ other)
    }

    /// Its sixteen hexadecimal digits, in ASCII.
    pub(crate) fn digits(self) -> [u8; 16] {
        let mut digits = [0; 16];
        for (digit, shift) in digits.iter_mut().zip((0..64).step_by(4).rev()) {
            let nibble = (self.0 >> shift & 0xf) as u8;
            *digit = if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
        }
        digits
    }
}

/// Spreads each bit over all: the last step of MurmurHash3 with 64 bits.
const fn mixed(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 33)).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    bits = (bits ^ (bits >> 33)).wrapping_mul(0xC4CE_B9FE_1A85_EC53);
    bits ^ (bits >> 33)
}

impl RequestId {
    /// The same as the value of a field.
    pub(crate) fn field(self) -> HeaderValue {
        HeaderValue::from_bytes(&self.digits()).unwrap_or(HeaderValue::from_static(""))
    }
}

impl std::fmt::Display for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(std::str::from_utf8(&self.digits()).unwrap_or_default())
    }
}

/// The other end of one request.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The client's address: behind fronts that may be believed, the last one that none of them has. Never an
    /// IPv4 address mapped into IPv6.
    pub address: IpAddr,
    /// Where it comes from.
    pub source: AddressSource,
    /// The hops that a front told of and that are believed, farthest first: the client's address and those of the fronts
    /// between it and the connection. Empty where the address is the connection's. What a field says of hops before the
    /// client is the client's own word, and not among them.
    pub hops: Box<[IpAddr]>,
    /// How the client speaks.
    pub scheme: Scheme,
    /// Its HTTP version.
    pub version: http::Version,
    /// The request's name.
    pub request: RequestId,
    /// The connection that the request came on.
    pub connection: Arc<Connection>,
}

impl Peer {
    pub(crate) fn new(
        connection: &Arc<Connection>,
        fronts: &Fronts,
        headers: &HeaderMap,
        version: http::Version,
        request: RequestId,
    ) -> Self {
        let scheme = if connection.tls.is_some() { Scheme::Https } else { Scheme::Http };
        let address = connection.address.ip();
        let mut peer = Self {
            address,
            source: AddressSource::Connection,
            hops: Box::default(),
            scheme,
            version,
            request,
            connection: Arc::clone(connection),
        };
        if !fronts.networks.is_empty() && fronts.networks.hold(address) {
            peer.believe(fronts, headers);
        }
        peer
    }

    /// Whether the connection's other end is a front whose forwarding fields are believed.
    pub fn is_behind_front(&self, fronts: &Fronts) -> bool {
        fronts.networks.hold(self.connection.address.ip())
    }

    /// Whether the client has the connection for itself: HTTP/1, not from a front, and without a field that a front
    /// adds. Those fields are believed of anybody here: whoever adds one only takes from himself.
    pub fn sharing(&self, fronts: &Fronts, head: &http::request::Parts) -> Sharing {
        let is_http1 = head.version == http::Version::HTTP_11 || head.version == http::Version::HTTP_10;
        let passed = head.headers.keys().any(|name| *name == VIA || is_forwarding(name.as_str()));
        if is_http1 && !passed && !self.is_behind_front(fronts) { Sharing::Own } else { Sharing::Shared }
    }

    /// The name of the listener that took the connection.
    pub fn listener(&self) -> &str {
        &self.connection.listener
    }

    fn believe(&mut self, fronts: &Fronts, headers: &HeaderMap) {
        let told = match fronts.fields {
            ForwardingFields::XForwarded => forwarded::x_forwarded(headers),
            ForwardingFields::Forwarded => forwarded::forwarded(headers),
        };
        let (client, source) = client_of(&told.hops, &fronts.networks);
        if let Some(scheme) = told.scheme_at(client.map(|(place, _)| place)) {
            self.scheme = scheme;
        }
        if let Some((place, address)) = client {
            self.address = address;
            self.hops = told.hops.iter().skip(place).flatten().copied().collect();
        }
        self.source = source;
        if source == AddressSource::Unreadable {
            static TOLD: AtomicU64 = AtomicU64::new(0);
            // A broken front breaks every request: the first says so, then every 1024th.
            if TOLD.fetch_add(1, Ordering::Relaxed).is_multiple_of(1024) {
                tracing::warn!(
                    peer.address = %self.address,
                    request.id = %self.request,
                    "could not read a forwarding field of a trusted front; the client's address is unknown"
                );
            }
        }
    }
}

/// The rightmost address that is not a front's own, and its place in the list; the leftmost if all are fronts, or if
/// what is before them cannot be read; `None` if there is none at all.
fn client_of(hops: &[Option<IpAddr>], fronts: &Networks) -> (Option<(usize, IpAddr)>, AddressSource) {
    let mut client = None;
    for (place, hop) in hops.iter().enumerate().rev() {
        let Some(address) = *hop else { return (client, AddressSource::Unreadable) };
        client = Some((place, address));
        if !fronts.hold(address) {
            break;
        }
    }
    let source = if client.is_some() { AddressSource::Front } else { AddressSource::Connection };
    (client, source)
}

/// An address without the IPv6 clothes of an IPv4 one.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
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

    #[test]
    fn the_client_is_the_rightmost_that_is_no_front() {
        let fronts = Networks::new(["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()]);
        let ip = |text: &str| Some(text.parse::<IpAddr>().unwrap());
        let check = |hops: &[Option<IpAddr>], address, source| {
            let (client, found) = client_of(hops, &fronts);
            assert_eq!((client.map(|(_, address)| address), found), (address, source), "{hops:?}");
        };
        use AddressSource::{Connection, Front, Unreadable};
        check(&[], None, Connection);
        check(&[ip("192.0.2.1")], ip("192.0.2.1"), Front);
        check(&[ip("198.51.100.7"), ip("192.0.2.1")], ip("192.0.2.1"), Front);
        check(&[ip("192.0.2.1"), ip("10.1.1.1"), ip("fd00::1")], ip("192.0.2.1"), Front);
        check(&[ip("10.2.2.2"), ip("10.1.1.1")], ip("10.2.2.2"), Front);
        // What stands left of the client is the client's own word.
        check(&[None, ip("192.0.2.1")], ip("192.0.2.1"), Front);
        check(&[ip("192.0.2.1"), None], None, Unreadable);
        // Whoever was told last of by what can be read has sent what cannot.
        check(&[None, ip("10.1.1.1")], ip("10.1.1.1"), Unreadable);
        check(&[ip("192.0.2.1"), None, ip("10.2.2.2"), ip("10.1.1.1")], ip("10.2.2.2"), Unreadable);
    }

    #[test]
    fn mapped_addresses_are_the_addresses_they_map() {
        let networks = Networks::new(["10.0.0.0/8".parse().unwrap()]);
        assert!(networks.hold("::ffff:10.0.0.1".parse().unwrap()));
        assert!(!networks.hold("::ffff:11.0.0.1".parse().unwrap()));
        assert!(!Networks::default().hold("127.0.0.1".parse().unwrap()));
    }

    #[test]
    fn request_ids_do_not_repeat() {
        let ids: std::collections::HashSet<_> =
            (0..10_000).map(|count| RequestId::of([7, 9], count).to_string()).collect();
        assert_eq!(ids.len(), 10_000);
    }
}
